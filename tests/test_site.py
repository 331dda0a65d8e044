"""The site shows what was measured, whatever that is: all of it, nothing of it, or what somebody put into a record."""

from __future__ import annotations

import csv
import hashlib
import html.parser
import io
import json
import shutil
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import feedparser
import pytest
from asv import util

from harness.errors import BenchError
from harness.results import store
from harness.site import asv_pages, figures, publisher, render
from harness.stacks.locks import get_stack
from harness.suite import inside
from tests import site_results as make

CELLS = [("ppca", 500, b) for b in ("nutpie-numba", "pymc-c", "numpyro-parallel")] + [("ppca", 5000, "pymc-c")]
ASV_PAGES = Path(util.__file__).with_name("www")
HOSTILE = '</title><script>alert("x")</script>\n| `a` ](javascript:alert(1)) {{ 7*7 }}'


@pytest.fixture(scope="module")
def described():
    return inside()


@pytest.fixture
def publish(tmp_path, monkeypatch, described):
    """Publishes the results in `tmp_path/results`, as asv would have it done, and gives the site's folder."""
    monkeypatch.setattr(publisher, "inside", lambda: described)
    monkeypatch.setattr(util, "write_json", util.write_json)

    def published() -> Path:
        site = tmp_path / "html"
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(ASV_PAGES, site)
        conf = SimpleNamespace(results_dir=str(tmp_path / "results" / "asv"), html_dir=str(site))
        publisher.Overview.publish(conf, None, {}, None, None)
        return site

    return published


@pytest.fixture
def results(tmp_path) -> Path:
    """Two releases, three backends, with asv's results."""
    folder = tmp_path / "results"
    make.build(folder, [get_stack("v6.3.2"), get_stack("v6.4.0")], CELLS)
    return folder


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


def pages(site: Path) -> dict[str, _Text]:
    ours = [p for p in site.rglob("*.html") if p.name not in ("history.html", "error.html")]
    return {str(p.relative_to(site)): _Text(p.read_text()) for p in ours}


def test_every_page_is_well_formed_with_ids_of_its_own(results, publish):
    found = pages(publish())
    assert set(found) == {"index.html", "changes.html", "compatibility.html", "trust.html", "models/ppca.html"}
    for name, page in found.items():
        assert len(page.ids) == len(set(page.ids)), name
        assert page.scripts == 1, name


def test_every_link_leads_somewhere(results, publish):
    site = publish()
    ids = {name: set(page.ids) for name, page in pages(site).items()}
    for name, page in pages(site).items():
        for link in page.links:
            assert not link.startswith(("http:", "https:", "//", "javascript:")), (name, link)
            target, _, fragment = link.partition("#")
            path = ((site / name).parent / target).resolve() if target else (site / name).resolve()
            assert path.is_file(), (name, link)
            relative = str(path.relative_to(site.resolve()))
            if fragment and relative in ids:
                assert fragment in ids[relative], (name, link)


def test_the_same_results_are_the_same_bytes(results, publish):
    def digests():
        site = publish()
        return {
            str(p.relative_to(site)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(site.rglob("*"))
            if p.is_file()
        }

    assert digests() == digests()


def test_a_number_leads_to_its_record_and_is_in_the_csv_and_the_json(results, publish):
    site = publish()
    record = json.loads((site / "data/records/box/v6.4.0/ppca-500-pymc-c.json").read_text())
    assert record == json.loads((results / "records/box/v6.4.0/ppca-500-pymc-c.json").read_text())
    assert "data/records/box/v6.4.0/ppca-500-pymc-c.json" in pages(site)["index.html"].links
    lines = list(csv.DictReader(io.StringIO((site / "data/measurements.csv").read_text())))
    assert len(lines) == 2 * len(CELLS) * 3
    (row,) = [r for r in lines if (r["release"], r["backend"], r["n"], r["trial"]) == ("v6.4.0", "pymc-c", "500", "0")]
    assert float(row["sampling_seconds"]) == record[0]["clocks"]["sampling_wall_seconds"]
    assert (row["seed"], row["lock_sha256"]) == (str(record[0]["settings"]["seed"]), record[0]["lock_sha256"])
    assert (site / row["record"]).is_file()
    assert len(json.loads((site / "data/measurements.json").read_text())) == len(lines)


def test_the_feed_is_valid_and_has_an_entry_for_each_step(results, publish):
    feed = feedparser.parse((publish() / "feed.xml").read_bytes())
    assert not feed.bozo
    assert feed.version == "atom10"
    assert feed.feed.id.startswith("urn:uuid:")
    (entry,) = feed.entries
    assert entry.title.startswith("PyMC 6.3.2 → 6.4.0: ")
    assert entry.updated == "2026-11-03T13:46:02Z" or entry.updated.endswith("Z")
    assert entry.link.endswith("changes.html#v6.3.2-v6.4.0")


def test_asvs_pages_keep_their_links_and_load_nothing_from_elsewhere(results, publish):
    site = publish()
    page = (site / "history.html").read_text()
    assert "#/summarylist" in page
    assert "#/regressions" in page
    assert 'href="index.html"' in page
    loaded = [link for link in _links(page) if not link.startswith("#")]
    assert not [link for link in loaded if link.startswith(("http", "//")) and "github.com" not in link]
    for link in loaded:
        if not link.startswith("http") and link not in ("index.html", "regressions.xml"):
            assert (site / link).is_file(), link


def _links(page: str) -> list[str]:
    import re

    return re.findall(r'(?:src|href)="([^"]*)"', page)


def test_an_asv_whose_pages_load_something_new_is_refused_by_name(tmp_path):
    shutil.copytree(ASV_PAGES, tmp_path / "html")
    page = tmp_path / "html/index.html"
    page.write_text(page.read_text().replace("</head>", '<script src="https://cdn.example/new.js"></script></head>'))
    with pytest.raises(BenchError, match=r"new\.js.*asv_pages"):
        asv_pages.move(tmp_path / "html")


def test_text_of_a_record_is_shown_as_text(results, publish, described):
    failed = make.failed(get_stack("v6.4.0"), "ppca", 500, "blackjax", HOSTILE, described["protocol"])
    make.write_records(results, "v6.4.0", failed)
    make.write_records(results, "v6.3.2", make.example_for(get_stack("v6.3.2"), "blackjax", described["protocol"]))
    site = publish()
    for name, page in pages(site).items():
        assert page.scripts == 1, name
        assert not any("javascript" in link for link in page.links), name
    assert "alert(" in pages(site)["index.html"].text
    assert "{{ 7*7 }}" in pages(site)["index.html"].text
    assert "<script>alert" not in (site / "feed.xml").read_text()
    assert not feedparser.parse((site / "feed.xml").read_bytes()).bozo


@pytest.mark.parametrize("name", ["../../escape", "a b", "<img>", "x/y", "..", ""])
def test_a_name_that_is_no_name_is_left_out(results, publish, described, name):
    trials = make.failed(get_stack("v6.4.0"), "ppca", 500, "blackjax", "why", described["protocol"])
    for key in ("model", "backend"):
        changed = [{**t, "settings": {**t["settings"], key: name}} for t in trials]
        path = results / "records/box/v6.4.0" / f"odd-{key}.json"
        path.write_text(json.dumps(changed))
    site = publish()
    assert "odd-model.json" in pages(site)["trust.html"].text
    assert "odd-backend.json" in pages(site)["trust.html"].text
    assert not list(site.parent.glob("escape*"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[{", "is not a list of records"),
        ('[{"schema": 9, "kind": "cold"}]', "is not a list of records"),
        ("", "is not a list of records"),
    ],
)
def test_a_record_that_cannot_be_read_is_named_and_the_rest_is_shown(results, publish, text, says):
    path = results / "records/box/v6.4.0/ppca-500-pymc-c.json"
    path.write_text(text)
    site = publish()
    trust = pages(site)["trust.html"].text
    assert says in trust
    assert "results/records/box/v6.4.0/ppca-500-pymc-c.json" in trust
    assert str(results.parent) not in trust
    assert "nutpie-numba" in pages(site)["index.html"].text


def test_records_of_another_protocol_or_environment_are_kept_apart(results, publish):
    for name, change in (("ppca-500-pymc-c", {"protocol": 1}), ("ppca-500-nutpie-numba", {"lock_sha256": "0" * 64})):
        path = results / f"records/box/v6.4.0/{name}.json"
        path.write_text(json.dumps([{**r, **change} for r in json.loads(path.read_text())]))
    site = publish()
    trust = pages(site)["trust.html"].text
    assert "1 measurement made by protocol 1" in trust
    assert "1 measurement made in an environment that is not the one of the lock" in trust
    assert not (site / "data/records/box/v6.4.0/ppca-500-pymc-c.json").exists()


def test_results_without_records_and_records_without_results_are_told(results, publish):
    shutil.rmtree(results / "records/box/v6.4.0")
    (results / "asv/box" / f"{make.recorded_hashes()['v6.3.2'][:8]}-stack-py3.12.json").unlink()
    trust = pages(publish())["trust.html"].text
    assert f"v6.4.0: asv has numbers of {len(CELLS)} parameter sets without a valid record" in trust
    assert f"v6.3.2: {len(CELLS)} measurements without a number of asv" in trust


def test_machines_have_pages_of_their_own_and_are_never_mixed(results, publish, described):
    make.write_records(
        results, "v6.4.0", make.example_for(get_stack("v6.4.0"), "pymc-c", described["protocol"]), "other"
    )
    site = publish()
    found = pages(site)
    assert "machines/other/index.html" in found
    assert "machines/other/index.html" in found["index.html"].links
    assert "../../index.html" in found["machines/other/index.html"].links
    assert {r["machine"] for r in json.loads((site / "data/measurements.json").read_text())} == {"box"}
    assert {r["machine"] for r in json.loads((site / "machines/other/data/measurements.json").read_text())} == {"other"}


def test_a_name_that_stands_for_two_machines_is_told(results, publish):
    path = results / "records/box/v6.4.0/ppca-500-pymc-c.json"
    documents = json.loads(path.read_text())
    for d in documents:
        d["provenance"]["cpu_count"] = 64
    path.write_text(json.dumps(documents))
    assert "box is the name of several machines" in pages(publish())["trust.html"].text


@pytest.mark.parametrize("name", ["a#b", "50%", "what?", "a b"])
def test_a_folder_that_is_no_machine_is_left_out_and_named(results, publish, described, name):
    trials = make.example_for(get_stack("v6.4.0"), "pymc-c", described["protocol"])
    make.write_records(results, "v6.4.0", trials, name)
    found = pages(publish())
    assert f"{name!r} is no name of a machine" in found["trust.html"].text
    assert not [page for page in found if page.startswith("machines/")]


def test_a_newer_release_in_which_all_failed_is_named_beside_the_older_answer(results, publish, described):
    for path in (results / "records/box/v6.4.0").glob("ppca-500-*.json"):
        backend = path.stem.removeprefix("ppca-500-")
        make.write_records(
            results, "v6.4.0", make.failed(get_stack("v6.4.0"), "ppca", 500, backend, "why", described["protocol"])
        )
    found = pages(publish())["index.html"].text
    assert "No backend gave a valid answer in 6.4.0." in found
    assert "With 500 observations, PyMC 6.3.2 is the newest that was measured." in found


def test_every_model_and_backend_that_was_ever_swept_is_in_the_compatibility_tables(results, publish):
    def release(**models):
        return {"default_sampler": None, "default_linker": None, "fast_run_linker": None, "models": models}

    cell = {"outcome": "failed", "reason": "it is new"}
    table = {
        "v6.3.2": release(**{"old (n=5)": {"pymc-c": cell}}), "v6.4.0": release(**{"ppca (n=500)": {"newcomer": cell}})
    }  # fmt: skip
    (results / "compatibility.json").write_text(json.dumps({"schema": 1, "releases": table}))
    text = pages(publish())["compatibility.html"].text
    assert "old (n=5)" in text
    assert "newcomer" in text
    assert "it is new" in text


def test_a_swept_cell_leads_to_its_record(results, publish, described):
    trial = make.failed(get_stack("v6.4.0"), "ppca", 500, "blackjax", "why", described["protocol"])
    path = results / "sweep/box/v6.4.0/ppca-500-blackjax.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(trial))
    release = {"models": {"ppca (n=500)": {"blackjax": {"outcome": "failed", "reason": "why"}}}}
    (results / "compatibility.json").write_text(json.dumps({"schema": 1, "releases": {"v6.4.0": release}}))
    site = publish()
    assert "data/sweep/box/v6.4.0/ppca-500-blackjax.json" in pages(site)["compatibility.html"].links
    assert json.loads((site / "data/sweep/box/v6.4.0/ppca-500-blackjax.json").read_text()) == trial


def test_a_damaged_table_is_named_without_its_place_on_this_machine(results, publish):
    (results / "compatibility.json").write_text('{"schema": 1}')
    trust = pages(publish())["trust.html"].text
    assert "results/compatibility.json is no compatibility table" in trust
    assert str(results) not in trust


def test_a_sweep_of_other_estimands_than_measured_spoils_nothing(results, publish, described):
    trials = make.example_for(get_stack("v6.4.0"), "pymc-c", described["protocol"])[:1]
    trials[0]["diagnostics"] = {"other": next(iter(trials[0]["diagnostics"].values()))}
    path = results / "sweep/box/v6.4.0/ppca-500-pymc-c.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(trials))
    assert "trust.html" in pages(publish())


def test_a_text_that_a_spreadsheet_would_run_is_quoted_in_the_csv(results, publish, described):
    failed = make.failed(get_stack("v6.4.0"), "ppca", 500, "blackjax", "=HYPERLINK(1)", described["protocol"])
    make.write_records(results, "v6.4.0", failed)
    assert "'=HYPERLINK(1)" in (publish() / "data/measurements.csv").read_text()


def test_a_stack_that_is_not_in_the_timeline_is_named(results, publish, described):
    make.write_records(results, "v9.9.9", make.example_for(get_stack("v6.4.0"), "pymc-c", described["protocol"]))
    assert "v9.9.9 is no stack of this timeline" in pages(publish())["trust.html"].text


# What little there may be


def test_a_site_of_nothing_says_how_to_measure(tmp_path, publish):
    (tmp_path / "results/asv").mkdir(parents=True)
    found = pages(publish())
    assert "Nothing has been measured yet" in found["index.html"].text
    assert "bench sweep" in found["compatibility.html"].text
    assert "a second one is needed" in found["changes.html"].text
    assert not feedparser.parse((tmp_path / "html/feed.xml").read_bytes()).bozo


def test_a_site_of_one_release_of_one_backend(tmp_path, publish, described):
    make.write_records(
        tmp_path / "results", "v6.4.0", make.example_for(get_stack("v6.4.0"), "pymc-c", described["protocol"])
    )
    found = pages(publish())
    assert "pymc-c is the only backend that gave a valid answer" in found["index.html"].text
    assert "a second one is needed" in found["index.html"].text


def test_a_site_of_failures_only_shows_their_reasons(tmp_path, publish, described):
    for backend in ("blackjax", "pymc-c"):
        failed = make.failed(get_stack("v6.4.0"), "ppca", 500, backend, "it fell over", described["protocol"])
        make.write_records(tmp_path / "results", "v6.4.0", failed)
    found = pages(publish())
    assert "no backend gave a valid answer" in found["index.html"].text
    assert "failed" in found["models/ppca.html"].text


def test_the_results_are_only_read(results, publish):
    def state():
        return {p: p.read_bytes() for p in sorted(results.rglob("*")) if p.is_file()}

    before = state()
    publish()
    assert state() == before


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
def test_every_backend_stands_out_from_the_ground(ground, shade, described):
    assert set(figures.LOOKS) == set(described["backends"])
    for name, look in figures.LOOKS.items():
        assert _contrast(getattr(look, shade), ground) >= 3, name


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


def test_every_mark_says_what_it_is(results, publish):
    page = (publish() / "index.html").read_text()
    assert 'aria-label="pymc-c: ' in page
    assert page.count('aria-roledescription="bar"') == 2 * 4


def test_a_chart_says_first_what_a_page_would_show(results, described):
    (machine,) = store.load(store.Results(results, described))
    answer = render.answers.answer(machine, "ppca", 500)
    svg = figures.times(answer, "x", "", {t.backend: "r.json" for t in answer.times})
    assert 'aria-label="Bar chart of ppca with 500 observations. ' in svg
    assert svg.count("<svg") == 1
