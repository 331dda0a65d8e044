"""How far a machine can be trusted is counted right, and a damaged calibration is one sentence."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from harness import paths
from harness.errors import BenchError
from harness.judging import calibration, paired
from harness.judging.calibration import Calibration, FalseAlarms, Sitting
from harness.judging.comparison import LASTING, Compared
from harness.measuring import calibrate
from harness.measuring.calibrate import Injection
from harness.measuring.cells import Cell
from harness.measuring.rounds import Arm
from harness.stacks.locks import get_stack
from tests.made_records import side_by_side


def series(
    rounds: int, spread: float, effect: float = 0.0, n: int = 500, quantity: str = "total", seed: int = 1
) -> dict:  # fmt: skip
    """A quantity whose seconds vary by `spread` from trial to trial, times exp(`effect`) in the copy."""
    rng = np.random.default_rng([seed, n, rounds, len(quantity)])
    old, new = np.exp(spread * rng.normal(size=(2, rounds))) * [[1.0], [math.exp(effect)]]
    return {
        "model": "ppca", "n": n, "backend": "pymc-c", "quantity": quantity, "old": list(old), "new": list(new),
        "new_first": [bool(i % 2) for i in range(rounds)], "speed": list(0.02 * rng.normal(size=rounds)),
    }  # fmt: skip


def sitting(*same: dict, injected: tuple = (), made: str = "2026-11-27T00:00:00+00:00") -> Sitting:
    return Sitting.model_validate(
        {
            "machine": "box", "stack": "v6.4.0", "made": made, "protocol": 5, "same": list(same),
            "injected": list(injected),
        }
    )  # fmt: skip


def calibrated(*same: dict, injected: tuple = ()) -> Calibration:
    return Calibration((sitting(*same, injected=injected),))


def test_every_disjoint_stretch_of_rounds_is_a_comparison():
    many = [series(35, 0.02, n=n) for n in range(1, 11)]
    assert calibrated(*many).false_alarms(8) == FalseAlarms(40, 0, 10)
    assert calibrated(*many).false_alarms(16).comparisons == 20
    assert calibrated(*many).false_alarms(36).comparisons == 0


def test_what_differs_between_equal_stacks_is_counted_as_a_false_alarm():
    alarms = calibrated(*(series(32, 0.01, effect=0.5 * (n == 1), n=n) for n in range(1, 11))).false_alarms(8)
    assert (alarms.comparisons, alarms.called) == (40, 4)
    low, high = alarms.interval
    assert low < 0.1 < high


def test_no_alarm_among_three_hundred_says_that_at_most_one_in_eighty_is_one():
    assert FalseAlarms(300, 0, 10).interval == (0.0, pytest.approx(1 - 0.025 ** (1 / 300)))


def test_equal_stacks_are_seldom_called_different_over_many_machines():
    found = [calibrated(*(series(32, 0.02, n=n, seed=s) for n in range(1, 13))).false_alarms(8) for s in range(20)]
    assert sum(f.called for f in found) <= 0.02 * sum(f.comparisons for f in found)


def test_the_larger_a_difference_the_more_often_it_would_be_found():
    seen = calibrated(*(series(64, 0.02, n=n) for n in range(1, 11)))
    shares = [seen.share_found(32, 1 + part)["total"] for part in calibration.ADDED]
    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] == 1.0
    smallest = seen.smallest_found(32)["total"]
    assert seen.share_found(32, smallest)["total"] == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("true", [0.0, 0.006, 0.02])
def test_what_lasts_is_told_from_the_noise_of_rounds(true):
    rng = np.random.default_rng(5)
    many = [series(32, 0.02, effect=true * rng.normal(), n=n) for n in range(1, 201)]
    assert calibrated(*many).lasting() == pytest.approx(true, abs=0.002)


def test_too_few_rounds_do_not_tell_what_lasts():
    assert calibrated(series(7, 0.02)).lasting() is None


@pytest.mark.parametrize("spread", [0.01, 0.03])
def test_the_smallest_difference_found_is_about_what_the_spread_allows(spread):
    seen = calibrated(*(series(64, spread, n=n) for n in range(1, 11)))
    smallest = {look: seen.smallest_found(look)["total"] - 1 for look in (8, 16, 32)}
    # A mean of differences of two trials, of which three or four standard errors are called.
    for look, found in smallest.items():
        assert 2.5 < found / math.hypot(spread * math.sqrt(2 / look), LASTING) < 6.5
    assert smallest[8] > smallest[16] > smallest[32]


def test_what_was_injected_is_found_with_its_size_and_how_often_it_is_called():
    injected = {"where": "gradient", "amount": 100.0, "series": [series(32, 0.01, 0.1), series(32, 0.01, 0, 7)]}
    (found,) = calibrated(series(8, 0.01), injected=(injected,)).injected[0].found()
    assert (found.key, found.quantity) == (("ppca", 500, "pymc-c"), "total")
    assert found.estimate.ratio == pytest.approx(math.exp(0.1), rel=0.02)
    assert found.called[8] == (4, 4)
    assert found.called[32] == (1, 1)
    assert 64 not in found.called


def test_rounds_are_kept_and_read_again_as_they_were(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    sides = [side_by_side({"v6.4.0": {}, "copy": {"clocks": {"setup": setup}}}, rounds=8) for setup in (3.0, 3.6)]
    same, other = (Compared([a], [b]) for a, b in sides)
    description = {"protocol": 5}
    path = calibrate.keep("box", get_stack("v6.4.0"), same, {Injection("compilation", 0.6): other}, description)
    kept = calibration.read(path)
    assert path.is_relative_to(tmp_path / "calibration/box")
    assert (kept.machine, kept.stack, kept.protocol) == ("box", "v6.4.0", 5)
    assert {m.key for m in kept.same} == {("ppca", 500, "pymc-c")}
    assert "warm_setup" in {found.quantity for found in kept.injected[0].found()}
    assert calibration.of_machine(tmp_path / "calibration", "box") == Calibration((kept,))
    assert calibration.of_machine(tmp_path / "calibration", "another") is None


def test_all_sittings_of_a_machine_count_and_rounds_of_two_are_never_one_stretch(tmp_path):
    (tmp_path / "box").mkdir()
    injected = {"where": "gradient", "amount": 100.0, "series": [series(32, 0.01, 0.1)]}
    for day, rounds, its in (("26", 20, (injected,)), ("27", 12, ())):
        many = (series(rounds, 0.02, n=n) for n in range(1, 11))
        text = sitting(*many, injected=its, made=f"2026-11-{day}T00:00:00+00:00").model_dump_json()
        (tmp_path / "box" / f"{day}.json").write_text(text)
    both = calibration.of_machine(tmp_path, "box")
    assert both.false_alarms(8) == FalseAlarms(30, 0, 10)
    assert both.false_alarms(16).comparisons == 10
    assert both.made == "2026-11-26 to 2026-11-27"
    assert [i.where for i in both.injected] == ["gradient"]


def test_what_cannot_differ_is_no_evidence():
    """Draws of one seed are the same, and so are gradients per effective draw, whatever the machine does."""
    same = series(32, 0.0, quantity="gradients_per_effective_draw")
    seen = calibrated(*(series(32, 0.02, n=n) for n in range(1, 11)), same)
    assert seen.false_alarms(8).comparisons == 40
    assert set(seen.smallest_found(8)) == {"total"}


def test_what_is_shown_names_false_alarms_smallest_differences_and_injections():
    injected = {"where": "gradient", "amount": 100.0, "series": [series(32, 0.01, 0.1)]}
    console = Console(file=io.StringIO(), width=140)
    calibration.show(console, calibrated(*(series(16, 0.01, n=n) for n in range(1, 6)), injected=(injected,)))
    said = console.file.getvalue()
    assert "Of 10 comparisons of equal stacks by 8 rounds, over 5 parameter sets, 0 were called a difference" in said
    assert "in 16 rounds" in said
    assert "gradient=100" in said
    assert "4 of 4" in said


@pytest.mark.parametrize("text", ["", "{", "[]", '{"machine": "box"}', '{"same": [{"old": [1e999]}]}', "[" * 100_000])
def test_a_damaged_calibration_is_named_with_what_to_do(tmp_path, text):
    path = tmp_path / "box/v6.4.0.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(BenchError, match=r"is no calibration .* calibrate again"):
        calibration.of_machine(tmp_path, "box")


@pytest.mark.parametrize("change", [{"old": [1.0]}, {"new_first": []}, {"old": [0.0] * 8}, {"n": "x"}])
def test_a_calibration_whose_sides_do_not_fit_is_refused(tmp_path, change):
    path = tmp_path / "x.json"
    document = json.loads(sitting(series(8, 0.01)).model_dump_json())
    document["same"][0] |= change
    path.write_text(json.dumps(document))
    with pytest.raises(BenchError, match="is no calibration"):
        calibration.read(path)


def test_work_to_inject_is_named_by_where_and_how_much():
    assert calibrate.injection("gradient=1000") == Injection("gradient", 1000.0)
    assert calibrate.injection("compilation=0.5") == Injection("compilation", 0.5)


@pytest.mark.parametrize("text", ["", "gradient", "gradient=", "gradient=-1", "gradient=nan", "x=1", "compilation=1e9"])
def test_what_is_no_work_to_inject_is_one_sentence(text):
    with pytest.raises(BenchError, match="name gradient=ELEMENTS or compilation=SECONDS"):
        calibrate.injection(text)


def test_injected_compilation_burns_its_seconds_once_and_only_when_its_module_is_imported(tmp_path, monkeypatch):
    """The module's own code, beside a module of the name that it waits for."""
    package = tmp_path / "pytensor/graph/rewriting"
    package.mkdir(parents=True)
    (package / "basic.py").write_text("class GraphRewriter:\n    def rewrite(self, x):\n        return x + 1\n")
    program = Injection("compilation", 0.2).modules["bench_injected.py"] + (
        "\nfrom pytensor.graph.rewriting.basic import GraphRewriter\nimport time\n"
        "for _ in range(2):\n    began = time.process_time()\n    assert GraphRewriter().rewrite(1) == 2\n"
        "    print(time.process_time() - began)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()  # fmt: skip
    assert 0.2 <= float(said[0]) < 0.4
    assert float(said[1]) < 0.1


def test_rounds_of_a_calibration_are_those_of_a_comparison():
    measured = sitting(series(8, 0.01)).same[0]
    assert all(isinstance(r, paired.Round) for r in measured.rounds)
    assert [r.order for r in measured.rounds] == [-1, 1] * 4


def test_a_calibration_of_another_machine_is_refused_and_one_of_an_earlier_protocol_says_nothing(tmp_path):
    folder = tmp_path / "box"
    folder.mkdir()
    for protocol, spread in ((5, 0.01), (4, 0.5)):
        found = sitting(series(16, spread)).model_copy(update={"protocol": protocol})
        (folder / f"{protocol}.json").write_text(found.model_dump_json())
    assert [s.protocol for s in calibration.of_machine(tmp_path, "box").sittings] == [5]
    folder.rename(tmp_path / "other")
    with pytest.raises(BenchError, match="has a calibration of 'box': move it"):
        calibration.of_machine(tmp_path, "other")


def test_rounds_that_are_kept_are_not_measured_further_so_that_none_counts_twice(tmp_path):
    cell, other = (Cell("ppca", n, "pymc-c") for n in (500, 5000))
    arm = Arm("v6.4.0", get_stack("v6.4.0"), tmp_path, tmp_path / "original")
    for folder in (arm.of(cell), arm.of(other)):
        folder.mkdir(parents=True)
    (arm.of(cell) / "warm-1.json").write_text("[]")
    calibrate.end([arm], [cell], "v6.4.0.20261127T190110")
    assert [arm.of(c).exists() for c in (cell, other)] == [False, True]
    aside = tmp_path / "ended/v6.4.0.20261127T190110/original/ppca-500-pymc-c/warm-1.json"
    assert aside.read_text() == "[]"
