"""The site shows what was measured, whatever that is: all of it, nothing of it, or what somebody put into a record.

A site is published once for all that is promised of it, and its tests only read it.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import html.parser
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import feedparser
import numpy as np
import pytest
from asv import util

from harness.errors import BenchError
from harness.paths import ROOT
from harness.results import store
from harness.site import asv_pages, data, figures, phase_figures, render
from harness.stacks.locks import get_stack
from harness.suite import inside
from tests import site_results as make
from tests.site_results import STAMP
from tests.test_calibration import series, sitting

CELLS = [("ppca", 500, b) for b in ("nutpie-numba", "pymc-c", "numpyro-parallel")] + [("ppca", 5000, "pymc-c")]
PROTOCOL = inside()["protocol"]
OLD, NEW = get_stack("v6.3.2"), get_stack("v6.4.0")
HOSTILE = '</title><script>alert("x")</script>\n| `a` ](javascript:alert(1)) {{ 7*7 }}'


def contents(folder: Path) -> dict[str, str]:
    """The digest of each file in a folder, by its name."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


class Published(NamedTuple):
    """A site, the results that it is made of, and what they were `before` it was."""

    site: Path
    results: Path
    before: dict[str, str]


def published(folder: Path) -> Published:
    """The site of the results in `folder/results`."""
    before = contents(folder / "results")
    return Published(make.publish(folder), folder / "results", before)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Published:
    """The site of two releases on three backends, with asv's results."""
    folder = tmp_path_factory.mktemp("good")
    make.build(folder / "results", [OLD, NEW], CELLS)
    injected = {"where": "gradient", "amount": 100.0, "series": [series(32, 0.01, 0.1)]}
    calibration = folder / "results/calibration/box/v6.4.0.json"
    calibration.parent.mkdir(parents=True)
    found = sitting(*(series(16, 0.01, n=n) for n in range(1, 11)), injected=(injected,))
    calibration.write_text(found.model_dump_json())
    return published(folder)


ODD_NAMES = ("../../escape", "a b", "<img>", "x/y", "..", "")
FORMULAS = ("=HYPERLINK(2)", "+1", "-1", "@x", " =1")
UNREADABLE = {"pymc-numba": "[{", "pymc-jax": '[{"schema": 9, "kind": "cold"}]', "nutpie-jax": ""}
NO_MACHINES = ("a#b", "50%", "what?", "a b")


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory) -> Published:
    """The site of such results with all in them that may be wrong with results."""
    folder = tmp_path_factory.mktemp("spoiled")
    results = folder / "results"
    make.build(results, [get_stack("v6.2.0"), OLD, NEW], CELLS)
    make.write_records(results, "v6.3.2", make.example_for(OLD, "blackjax", PROTOCOL))
    for backend, reason in (("blackjax", HOSTILE), ("default", "=HYPERLINK(1)")):
        make.write_records(results, "v6.4.0", make.failed(NEW, "ppca", 500, backend, reason, PROTOCOL))
    newest = results / "records/box/v6.4.0"
    # Records that are none
    for backend, text in UNREADABLE.items():
        (newest / f"ppca-500-{backend}.{STAMP}.json").write_text(text)
    for i, name in enumerate(ODD_NAMES):
        for key in ("model", "backend"):
            trials = make.failed(NEW, "ppca", 500, "blackjax", "why", PROTOCOL)
            odd = [{**t, "settings": {**t["settings"], key: name}} for t in trials]
            (newest / f"odd-{key}-{i}.json").write_text(json.dumps(odd))
    # Records of something else
    for name, change in (("pymc-c", {"protocol": 1}), ("numpyro-parallel", {"lock_sha256": "0" * 64})):
        rewrite(newest / f"ppca-500-{name}.{STAMP}.json", lambda r, change=change: r.update(change))
    rewrite(newest / f"ppca-5000-pymc-c.{STAMP}.json", lambda r: r["provenance"].update(cpu_count=64))
    make.write_records(results, "v9.9.9", make.example_for(NEW, "pymc-c", PROTOCOL))
    for name in NO_MACHINES:
        make.write_records(results, "v6.4.0", make.example_for(NEW, "pymc-c", PROTOCOL), name)
    formulas = itertools.cycle(FORMULAS)
    for path in sorted((results / "records/box/v6.3.2").glob("*.json")):
        rewrite(path, lambda r: r["provenance"].update(cpu_model=next(formulas)))
    # A measurement that failed once it was warm
    (gave_up,) = make.failed(OLD, "ppca", 500, "default", "it took too long", PROTOCOL)
    gave_up |= {"kind": "warm", "settings": gave_up["settings"] | {"tune": None, "draws": None, "seed": 9}}
    make.write_records(results, "v6.3.2", [make.example_for(OLD, "default", PROTOCOL)[0], gave_up])
    # Results without records, records without results, and what is beside them
    shutil.rmtree(results / "records/box/v6.2.0")
    (results / "asv/box" / f"{make.recorded_hashes()['v6.3.2'][:8]}-stack-py3.12.json").unlink()
    (results / "compatibility.json").write_text('{"schema": 1}')
    trials = make.example_for(NEW, "pymc-c", PROTOCOL)[1:2]
    trials[0]["diagnostics"] = {"other": next(iter(trials[0]["diagnostics"].values()))}
    sweep(results, trials)
    return published(folder)


@pytest.fixture(scope="module")
def two_machines(tmp_path_factory) -> Published:
    """The site of two machines, on one of which all failed in the newest release at one size, and of sweeps."""
    folder = tmp_path_factory.mktemp("two")
    results = folder / "results"
    for backend in ("nutpie-numba", "pymc-c"):
        make.write_records(results, "v6.3.2", make.example_for(OLD, backend, PROTOCOL))
        make.write_records(results, "v6.4.0", make.failed(NEW, "ppca", 500, backend, "why", PROTOCOL))
    large = make.measurement(NEW, "ppca", 5000, "pymc-c", np.random.default_rng(3), PROTOCOL)
    make.write_records(results, "v6.4.0", large)
    make.write_records(results, "v6.4.0", make.example_for(NEW, "pymc-c", PROTOCOL), "other")
    cell = {"outcome": "failed", "reason": "it is new"}
    blackjax = {"outcome": "failed", "reason": "why"}
    sweep(results, make.failed(NEW, "ppca", 500, "blackjax", "why", PROTOCOL))
    releases = {
        "v6.3.2": {"models": {"old (n=5)": {"pymc-c": cell}}},
        "v6.4.0": {"models": {"ppca (n=500)": {"newcomer": cell, "blackjax": blackjax}}},
    }
    (results / "compatibility.json").write_text(json.dumps({"schema": 1, "releases": releases}))
    return published(folder)


def rewrite(path: Path, change) -> None:
    """Change each record in a file."""
    documents = json.loads(path.read_text())
    for document in documents:
        change(document)
    path.write_text(json.dumps(documents))


def sweep(results: Path, trials: list[dict]) -> None:
    """Keep trials in v6.4.0 as those of a sweep."""
    s = trials[0]["settings"]
    path = results / f"sweep/box/v6.4.0/{s['model']}-{s['n']}-{s['backend']}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(trials))


class _Text(html.parser.HTMLParser):
    """What a page shows, its scripts, its links, and whether its elements are closed in order."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.scripts, self.links, self.ids, self.open = "", 0, [], [], []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.scripts += tag == "script"
        self.links += [attributes[a] for a in ("href", "src", "xlink:href") if a in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@cache
def pages(site: Path) -> dict[str, _Text]:
    ours = [p for p in site.rglob("*.html") if p.name not in ("history.html", "error.html")]
    return {str(p.relative_to(site)): _Text(p.read_text()) for p in ours}


def test_every_page_is_well_formed_with_ids_of_its_own(good):
    found = pages(good.site)
    assert {name for name in found if not name.startswith("which/")} == {
        "index.html", "changes.html", "compatibility.html", "trust.html", "models/ppca.html",
    }  # fmt: skip
    for name, page in found.items():
        assert len(page.ids) == len(set(page.ids)), name
        assert page.scripts == 1, name


def test_every_link_leads_somewhere(good):
    ids = {name: set(page.ids) for name, page in pages(good.site).items()}
    for name, page in pages(good.site).items():
        for link in page.links:
            assert not link.startswith(("http:", "https:", "//", "javascript:")), (name, link)
            target, _, fragment = link.partition("#")
            path = ((good.site / name).parent / target).resolve() if target else (good.site / name).resolve()
            assert path.is_file(), (name, link)
            relative = str(path.relative_to(good.site.resolve()))
            if fragment and relative in ids:
                assert fragment in ids[relative], (name, link)


def test_what_was_told_of_an_older_sitting_leads_to_its_record(tmp_path):
    """Backends are told of the sitting that they share, and a newer one of one of them alone is not that."""
    make.build(tmp_path / "results", [OLD, NEW], CELLS)
    alone = make.example_for(NEW, "pymc-c", PROTOCOL)
    later = [{**trial, "started": "2026-11-28T04:40:50+00:00"} for trial in alone]
    newest = make.write_records(tmp_path / "results", "v6.4.0", later)
    site = published(tmp_path).site
    told = f"data/records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json"
    assert told in pages(site)["index.html"].links
    assert (site / told).is_file()
    assert (site / "data/records/box/v6.4.0" / newest.name).is_file()
    lines = csv.DictReader(io.StringIO((site / "data/measurements.csv").read_text()))
    assert {told, told.replace(STAMP, newest.name.split(".")[1])} <= {row["record"] for row in lines}


def test_a_disk_that_is_full_is_one_sentence(tmp_path, monkeypatch):
    make.build(tmp_path / "results", [NEW], CELLS[:1])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "html/data"))

    monkeypatch.setattr(data, "copy_records", full)
    with pytest.raises(util.UserError, match=r"html/data cannot be written \(No space left on device\)"):
        make.publish(tmp_path)


@pytest.mark.slow
def test_what_has_been_measured_is_published(tmp_path):
    shutil.copytree(ROOT / "results", tmp_path / "results")
    site = make.publish(tmp_path)
    assert all((site / page).stat().st_size for page in ("index.html", "changes.html", "trust.html"))


# Publishes where other things have been drawn before: Vega counts ids on from chart to chart.
AGAIN = """
import sys
from pathlib import Path
from harness.site import figures
from tests import site_results
figures.data([(1, 2), (2, 1)], (1, 1), "another")
site_results.publish(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_the_same_results_are_the_same_bytes_in_another_place_and_process(good, tmp_path):
    shutil.copytree(good.results, tmp_path / "results")
    # What goes by the order of a set is in another order there.
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    subprocess.run([sys.executable, "-c", AGAIN, tmp_path], cwd=ROOT, env=environment, capture_output=True, check=True)
    assert contents(tmp_path / "html") == contents(good.site)


def test_a_number_leads_to_its_record_and_is_in_the_csv_and_the_json(good):
    record = json.loads((good.site / f"data/records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json").read_text())
    assert record == json.loads((good.results / f"records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json").read_text())
    assert f"data/records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json" in pages(good.site)["index.html"].links
    lines = list(csv.DictReader(io.StringIO((good.site / "data/measurements.csv").read_text())))
    assert len(lines) == 2 * len(CELLS) * 3
    (row,) = [r for r in lines if (r["release"], r["backend"], r["n"], r["trial"]) == ("v6.4.0", "pymc-c", "500", "0")]
    assert float(row["setup_seconds"]) == record[0]["clocks"]["setup_wall_seconds"]
    assert (row["seed"], row["lock_sha256"]) == (str(record[0]["settings"]["seed"]), record[0]["lock_sha256"])
    assert (good.site / row["record"]).is_file()
    assert len(json.loads((good.site / "data/measurements.json").read_text())) == len(lines)


def test_the_feed_is_valid_and_has_an_entry_for_each_step(good):
    feed = feedparser.parse((good.site / "feed.xml").read_bytes())
    assert not feed.bozo
    assert feed.version == "atom10"
    assert feed.feed.id.startswith("urn:uuid:")
    (entry,) = feed.entries
    assert entry.title.startswith("PyMC 6.3.2 → 6.4.0: ")
    assert entry.updated == "2026-11-03T13:46:02Z" or entry.updated.endswith("Z")
    assert entry.link.endswith("changes.html#v6.3.2-v6.4.0")


def test_a_reader_finds_the_backend_by_release_and_case(good):
    page = pages(good.site)["which/v6.4.0.html"]
    assert "Which backend, with PyMC 6.4.0?" in page.text
    for title in ("Compile caches are warm", "Compile caches are cold", "100", "1,000", "10,000"):
        assert title in page.text
    assert "../which/v6.4.0.html" in page.links
    assert "which/v6.4.0.html" in pages(good.site)["index.html"].links


def test_a_reader_of_a_release_is_told_which_backends_have_no_time_and_why(spoiled):
    assert "without a time, and why" in pages(spoiled.site)["which/v6.4.0.html"].text


def test_asvs_pages_keep_their_links_and_load_nothing_from_elsewhere(good):
    page = (good.site / "history.html").read_text()
    assert "#/summarylist" in page
    assert "#/regressions" in page
    assert 'href="index.html"' in page
    loaded = [link for link in re.findall(r'(?:src|href)="([^"]*)"', page) if not link.startswith("#")]
    assert not [link for link in loaded if link.startswith(("http", "//")) and "github.com" not in link]
    for link in loaded:
        if not link.startswith("http") and link not in ("index.html", "regressions.xml"):
            assert (good.site / link).is_file(), link


def test_an_asv_whose_pages_load_something_new_is_refused_by_name(tmp_path):
    shutil.copytree(make.ASV_PAGES, tmp_path / "html")
    page = tmp_path / "html/index.html"
    page.write_text(page.read_text().replace("</head>", '<script src="https://cdn.example/new.js"></script></head>'))
    with pytest.raises(BenchError, match=r"new\.js.*asv_pages"):
        asv_pages.move(tmp_path / "html")


def test_the_results_are_only_read(good, spoiled, two_machines):
    for made in (good, spoiled, two_machines):
        assert contents(made.results) == made.before


def test_every_mark_says_what_it_is(good):
    page = (good.site / "index.html").read_text()
    for caches in ("warm", "cold"):
        assert f'aria-label="pymc-c, {caches} caches: importing (setup) ' in page
        assert f'aria-label="pymc-c, {caches} caches: tuning ' in page
    assert page.count('aria-roledescription="bar"') > 2 * 2 * 4


def test_a_chart_says_first_what_a_page_would_show(good):
    (machine,) = store.load(store.Results(good.results, inside()))
    answer = render.answers.answer(machine, "ppca", 500)
    svg = phase_figures.times(answer, "x", "", {t.backend: "r.json" for t in answer.times})
    assert 'aria-label="Bar chart of ppca with 500 observations. ' in svg
    assert svg.count("<svg") == 1


def test_what_rounds_call_slower_is_named_on_the_first_page_and_among_the_changes(tmp_path):
    make.build(tmp_path / "results", [OLD, NEW], CELLS, warm=8, times={NEW.tag: 1.5})
    site = published(tmp_path).site
    pages = {name: (site / name).read_text() for name in ("index.html", "changes.html")}
    assert re.search(r"</span></span> on ppca: [\w, ]+ ×1\.[45]\d", pages["index.html"])
    assert "Slower, or more" in pages["changes.html"]


def test_what_the_machine_can_see_is_on_the_page_with_its_false_alarms_and_its_injections(good):
    text = " ".join(pages(good.site)["trust.html"].text.split())
    assert re.search(
        r"Of 20 comparisons of equal stacks by 8 rounds, over 10 parameter sets, \d were called a difference: ",
        text,
    )
    assert "A copy did more work, 100 elements in each gradient." in text
    assert "4 of 4" in text


def test_a_machine_that_was_not_calibrated_is_said_to_be_so(two_machines):
    assert "bench calibrate does" in " ".join(pages(two_machines.site)["trust.html"].text.split())


# What may be wrong with results


def test_text_of_a_record_is_shown_as_text(spoiled):
    for name, page in pages(spoiled.site).items():
        assert page.scripts == 1, name
        assert not any("javascript" in link for link in page.links), name
    assert "alert(" in pages(spoiled.site)["index.html"].text
    assert "{{ 7*7 }}" in pages(spoiled.site)["index.html"].text
    feed = (spoiled.site / "feed.xml").read_bytes()
    assert b"alert(" in feed
    assert b"<script>alert" not in feed
    assert not feedparser.parse(feed).bozo


@pytest.mark.parametrize("i", range(len(ODD_NAMES)), ids=ODD_NAMES)
def test_a_name_that_is_no_name_is_left_out(spoiled, i):
    assert f"odd-model-{i}.json" in pages(spoiled.site)["trust.html"].text
    assert f"odd-backend-{i}.json" in pages(spoiled.site)["trust.html"].text
    assert not list(spoiled.site.parent.glob("escape*"))


@pytest.mark.parametrize("backend", UNREADABLE)
def test_a_record_that_cannot_be_read_is_named_and_the_rest_is_shown(spoiled, backend):
    trust = pages(spoiled.site)["trust.html"].text
    assert f"results/records/box/v6.4.0/ppca-500-{backend}.{STAMP}.json is not a list of records" in trust
    assert str(spoiled.results.parent) not in trust
    assert "nutpie-numba" in pages(spoiled.site)["index.html"].text


def test_records_of_another_protocol_or_environment_are_kept_apart(spoiled):
    trust = pages(spoiled.site)["trust.html"].text
    assert "1 measurement made by protocol 1" in trust
    assert "1 measurement made in an environment that is not the one of the lock" in trust
    assert not (spoiled.site / f"data/records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json").exists()


def test_results_without_records_and_records_without_results_are_told(spoiled):
    trust = pages(spoiled.site)["trust.html"].text
    assert f"v6.2.0: asv has numbers of {len(CELLS)} parameter sets without a valid record" in trust
    assert f"v6.3.2: {len(CELLS) + 1} measurements without a number of asv" in trust


def test_a_name_that_stands_for_two_machines_is_told(spoiled):
    assert "box is the name of several machines" in pages(spoiled.site)["trust.html"].text


@pytest.mark.parametrize("name", NO_MACHINES)
def test_a_folder_that_is_no_machine_is_left_out_and_named(spoiled, name):
    found = pages(spoiled.site)
    assert f"{name!r} is no name of a machine" in found["trust.html"].text
    assert not [page for page in found if page.startswith("machines/")]


def test_a_damaged_table_is_named_without_its_place_on_this_machine(spoiled):
    trust = pages(spoiled.site)["trust.html"].text
    assert "results/compatibility.json is no compatibility table" in trust
    assert str(spoiled.results) not in trust


def test_a_sweep_of_other_estimands_than_measured_spoils_nothing(spoiled):
    assert "Worst quantity of each backend" in pages(spoiled.site)["trust.html"].text


def test_a_text_that_a_spreadsheet_would_run_is_quoted_in_the_csv(spoiled):
    """Whatever cell it is in; what a spreadsheet is to take for a number is left one."""
    lines = list(csv.DictReader(io.StringIO((spoiled.site / "data/measurements.csv").read_text())))
    assert "'=HYPERLINK(1)" in {line["reason"] for line in lines}
    assert {f"'{formula}" for formula in FORMULAS} <= {line["cpu_model"] for line in lines}
    assert not any(cell.lstrip()[:1] in {*"=+-@"} for line in lines for cell in line.values() if cell)
    assert all(float(line["setup_seconds"]) > 0 for line in lines if line["setup_seconds"])


def test_a_stack_that_is_not_in_the_timeline_is_named(spoiled):
    assert "v9.9.9 is no stack of this timeline" in pages(spoiled.site)["trust.html"].text


# What else there may be


def test_machines_have_pages_of_their_own_and_are_never_mixed(two_machines):
    found, site = pages(two_machines.site), two_machines.site
    assert "machines/other/index.html" in found
    assert "machines/other/index.html" in found["index.html"].links
    assert "../../index.html" in found["machines/other/index.html"].links
    assert {r["machine"] for r in json.loads((site / "data/measurements.json").read_text())} == {"box"}
    assert {r["machine"] for r in json.loads((site / "machines/other/data/measurements.json").read_text())} == {"other"}


def test_the_first_page_is_of_the_machine_that_measured_most_parameter_sets_more_than_once(tmp_path):
    results = tmp_path / "results"
    for backend in ("nutpie-numba", "pymc-c"):
        cold, once, *_ = make.example_for(NEW, backend, PROTOCOL)
        make.write_records(results, "v6.4.0", [cold, once])
    make.write_records(results, "v6.4.0", make.example_for(NEW, "pymc-c", PROTOCOL), "other")
    assert [c.machine for c in store.load(store.Results(results, inside()))] == ["other", "box"]


def test_a_newer_release_in_which_all_failed_is_named_beside_the_older_answer(two_machines):
    found = pages(two_machines.site)["index.html"].text
    assert "No backend gave a valid answer in 6.4.0." in found
    assert "With 500 observations, PyMC 6.3.2 is the newest that was measured." in found


def test_every_model_and_backend_that_was_ever_swept_is_in_the_compatibility_tables(two_machines):
    text = pages(two_machines.site)["compatibility.html"].text
    assert "old (n=5)" in text
    assert "newcomer" in text
    assert "it is new" in text


def test_a_swept_cell_leads_to_its_record(two_machines):
    place = "sweep/box/v6.4.0/ppca-500-blackjax.json"
    assert f"data/{place}" in pages(two_machines.site)["compatibility.html"].links
    assert (two_machines.site / "data" / place).read_bytes() == (two_machines.results / place).read_bytes()


def test_a_swept_cell_leads_to_the_record_that_the_table_tells(tmp_path):
    """What a limit ended on another machine later on is not told, and not led to."""
    make.build(tmp_path / "results", [NEW], CELLS[:1])
    (well,) = make.example_for(NEW, "pymc-c", PROTOCOL)[:1]
    limit = "it did not end within the time limit of 3 s (pymc 6.4.0)"
    (late,) = make.failed(NEW, "ppca", 500, "pymc-c", limit, PROTOCOL)
    for machine, trial in (("box", well), ("later", {**late, "started": "2026-12-24T00:00:00+00:00"})):
        path = tmp_path / f"results/sweep/{machine}/v6.4.0/ppca-500-pymc-c.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps([trial]))
    (content,) = store.load(store.Results(tmp_path / "results", inside()))
    assert content.sweep_paths["v6.4.0", "ppca", 500, "pymc-c"].startswith("data/sweep/box/")


def test_backends_that_came_later_are_in_the_chart_of_agreement(tmp_path):
    pooled = {("ppca", "newcomer"): {"w": SimpleNamespace(z=1.0, bias=0.1, error=0.1, trials=3)}}
    assert "newcomer" in figures.agreement(pooled, "agreement")


# What little there may be


def test_a_site_of_nothing_says_how_to_measure(tmp_path):
    (tmp_path / "results/asv").mkdir(parents=True)
    found = pages(make.publish(tmp_path))
    assert "Nothing has been measured yet" in found["index.html"].text
    assert "bench sweep" in found["compatibility.html"].text
    assert "a second one is needed" in found["changes.html"].text
    assert not feedparser.parse((tmp_path / "html/feed.xml").read_bytes()).bozo


def test_a_site_of_one_release_of_one_backend(tmp_path):
    make.write_records(tmp_path / "results", "v6.4.0", make.example_for(NEW, "pymc-c", PROTOCOL))
    found = pages(make.publish(tmp_path))
    assert "pymc-c is the only backend that gave a valid answer" in found["index.html"].text
    assert "a second one is needed" in found["index.html"].text


def test_a_site_of_failures_only_shows_their_reasons(tmp_path):
    for backend in ("blackjax", "pymc-c"):
        make.write_records(
            tmp_path / "results", "v6.4.0", make.failed(NEW, "ppca", 500, backend, "it fell over", PROTOCOL)
        )
    found = pages(make.publish(tmp_path))
    assert "no backend gave a valid answer" in found["index.html"].text
    assert "failed" in found["models/ppca.html"].text


# How it looks


def _linear(colour: str) -> list[float]:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]


def _contrast(a: str, b: str) -> float:
    light, dark = sorted(
        (sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), _linear(x), strict=True)) for x in (a, b)), reverse=True
    )
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("ground", "shade"), [("#ffffff", "light"), ("#14171c", "dark")])
def test_every_backend_stands_out_from_the_ground(ground, shade):
    for name in (*figures.LOOKS, *inside()["backends"], "one-of-somebody-else", "another", "and-one-more"):
        assert _contrast(getattr(figures.look(name), shade), ground) >= 3, name


def test_a_backend_that_nobody_chose_a_colour_for_has_one_and_always_the_same():
    assert figures.look("one-of-somebody-else") in figures.SPARE
    assert figures.look("one-of-somebody-else") == figures.look("one-of-somebody-else")
    assert not {look.light for look in figures.SPARE} & {look.light for look in figures.LOOKS.values()}


# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009,
# at full severity, in linear RGB.
_SEEN_BY = {
    "everybody": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopes": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def _lab(linear) -> list[float]:
    to_xyz = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    clipped = [min(max(c, 0), 1) for c in linear]
    xyz = [sum(m * c for m, c in zip(row, clipped, strict=True)) for row in to_xyz]
    x, y, z = (v / w for v, w in zip(xyz, (0.9505, 1.0, 1.089), strict=True))
    fx, fy, fz = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return [116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)]


@pytest.mark.parametrize("shade", ["light", "dark"])
@pytest.mark.parametrize("who", _SEEN_BY)
def test_backends_differ_in_colour_for_everybody_and_in_shape(who, shade):
    seen = {}
    for name, look in figures.LOOKS.items():
        linear = _linear(getattr(look, shade))
        seen[name] = _lab([sum(m * c for m, c in zip(row, linear, strict=True)) for row in _SEEN_BY[who]])
    for (a, at), (b, bt) in combinations(seen.items(), 2):
        assert sum((p - q) ** 2 for p, q in zip(at, bt, strict=True)) ** 0.5 > 12, (a, b)
    assert len({look.shape for look in figures.LOOKS.values()}) == len(figures.LOOKS)
