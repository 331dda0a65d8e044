"""A comparison reads well on a terminal, in Markdown and as data, and foreign text does nothing in it."""

from __future__ import annotations

import io
import json
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from harness.judging import verdicts
from harness.judging.calibration import Calibration
from harness.judging.comparison import Compared, Difference
from harness.output import percent
from tests.made_records import document, measured, side_by_side
from tests.test_calibration import calibrated, series

OLD, NEW = "v6.3.2", "v6.4.0"
HOSTILE = "<script>alert(1)</script> [bold]x[/] @all | `a`\n::error::x"


def compared(new: dict | None = None, **how) -> Compared:
    a, b = side_by_side({OLD: {}, NEW: new or {}}, **how)
    return Compared([a], [b])


@pytest.fixture(scope="module")
def slower() -> Compared:
    """Setup takes a third longer, in another graph."""
    return compared({"clocks": {"setup": 4.0}})


@pytest.fixture(scope="module")
def broken() -> Compared:
    """It fails, and says something that somebody may have thought of."""
    bad = document("cold", outcome="failed", reason=HOSTILE)
    return Compared([measured(OLD, document("cold", effective=None))], [measured(NEW, bad)])


def shown(found: Compared, calibration: Calibration | None = None, brief: bool = False, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    if brief:
        verdicts.brief(console, found, OLD, NEW)
    else:
        verdicts.show(console, found, OLD, NEW, calibration)
    return console.file.getvalue()


def line(text: str, beginning: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(beginning))


def test_each_quantity_has_its_ratio_with_an_interval_and_its_verdict(slower):
    setup = line(shown(slower), "Setup, warm caches")
    assert "slower" in setup
    assert "1.33" in setup or "1.34" in setup
    assert "–" in setup


def test_what_changed_is_followed_by_the_parts_it_is_made_of(slower):
    (parts,) = [told for told in shown(slower).splitlines() if told.startswith("Setup, warm caches: ")]
    assert re.search(r"importing 2\.\d+ → (2\.9|3|3\.0)\d* s", parts)


def test_it_fits_a_terminal_of_eighty_columns(slower):
    lines = shown(slower, width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    (row,) = [told for told in lines if told.startswith("Setup, warm caches ")]
    assert row.split()[3] == "slower"
    assert "ppca n=500 pymc-c, 8 cold rounds and 8 warm rounds" in lines


def test_the_headline_counts_all_verdicts(slower, broken):
    assert verdicts.headline(slower, OLD, NEW).startswith(f"{NEW} beside {OLD}: ")
    assert "slower" in verdicts.headline(slower, OLD, NEW)
    assert "1 newly broken" in verdicts.headline(broken, OLD, NEW)
    assert "nothing to compare" in verdicts.headline(Compared([], []), OLD, NEW)


def test_what_works_again_is_in_the_headline():
    found = Difference(("ppca", 500, "blackjax"), "outcome", "failed", "ok", "TypeError")
    mended = SimpleNamespace(comparisons=[], differences=[found])
    assert verdicts.headline(mended, OLD, NEW) == f"{NEW} beside {OLD}: 1 newly working."


@pytest.mark.parametrize("width", [80, 100, 110, 120, 200])
def test_verdicts_are_whole_however_long_the_names_of_the_two_are(slower, width):
    stream = io.StringIO()
    names = [f"v6.4.0 with pytensor 2.30.2+7.g0699b48d1 (commit {n}699b48d12)" for n in (0, 1)]
    verdicts.show(Console(file=stream, width=width), slower, *names)
    row = next(told for told in stream.getvalue().splitlines() if told.startswith("Setup, warm caches "))
    assert row.split()[3] == "slower"


def test_what_is_newly_broken_comes_first_with_its_reason(broken):
    assert shown(broken).startswith("ppca n=500 pymc-c: outcome ok → failed: ")


@pytest.mark.parametrize("how", ["terminal", "brief", "markdown"])
def test_a_hostile_reason_does_nothing(broken, how):
    text = verdicts.markdown(broken, OLD, NEW) if how == "markdown" else shown(broken, brief=how == "brief")
    assert "[bold]x[/]" in text
    assert not any(part.lstrip().startswith("::") for part in text.splitlines())
    if how == "markdown":
        assert "<script>" not in re.sub(r"(`+) .*? \1", "", text)


def test_a_calibration_is_printed_beside_each_verdict(slower):
    rng_rows = [series(16, 0.01, n=n, quantity=q) for n in range(1, 8) for q in ("warm_setup", "cold_setup", "total")]
    text = shown(slower, calibrated(*rng_rows))
    assert "visible calibrated" in " ".join(line(text, "verdict").split())
    assert line(text, "Setup, warm caches").count("%") == 2
    assert "v6.4.0 beside a copy of itself" in text
    assert "42 comparisons of equal stacks" in text
    assert "| calibrated | verdict |" in verdicts.markdown(slower, OLD, NEW, calibrated(*rng_rows))


def test_a_machine_that_was_not_calibrated_is_said_to_be_so(slower):
    assert "not calibrated: `bench calibrate" in " ".join(shown(slower).split())


def test_the_brief_form_names_what_differs_and_how_small_a_difference_few_rounds_show():
    text = " ".join(shown(compared({"clocks": {"setup": 4.0}}, rounds=2, noise=0.002), brief=True).split())
    assert "show differences from about" in text
    assert f"`bench compare {OLD} {NEW}` goes on from these rounds" in text


def test_nothing_that_was_left_out_is_left_unsaid(slower):
    assert "Left out" not in shown(slower)


def test_the_document_has_every_number_and_can_be_written_as_json(slower, broken):
    told = json.loads(json.dumps(verdicts.document(slower, OLD, NEW)))
    (setup,) = [c for c in told["comparisons"] if c["quantity"] == "warm_setup"]
    assert setup["verdict"] == "slower"
    assert setup["interval_95"][0] < setup["ratio"] < setup["interval_95"][1]
    assert setup["ratio"] == pytest.approx(4 / 3, rel=0.02)
    assert setup["unit"] == "s"
    assert setup["rounds"] == 8
    assert setup["parts"]
    (difference,) = verdicts.document(broken, OLD, NEW)["differences"]
    assert (difference["model"], difference["backend"], difference["broken"]) == ("ppca", "pymc-c", True)


def test_too_few_rounds_to_say_anything_are_shown_without_a_ratio():
    a, b = side_by_side({OLD: {}, NEW: {}}, rounds=1)
    text = shown(Compared([a], [b]))
    assert "–" in line(text, "Setup, warm caches")
    assert "cannot tell" in line(text, "Setup, warm caches")


def test_small_ratios_are_said_in_percent():
    assert [percent(ratio) for ratio in (1.034, 2.5, 1e20)] == ["3.4 %", "150 %", "> 900 %"]
