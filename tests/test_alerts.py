"""A finding is one issue: opened once, updated while it stays, closed when it is gone; a record is only text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from harness.errors import BenchError
from harness.nightly import alerts
from harness.nightly.alerts import Files, Finding, Told, tell
from harness.nightly.github import Api
from harness.stacks.locks import load_stacks
from tests.made_records import side_by_side
from tests.test_answers import content, given_noise, measurement  # noqa: F401

A, B = Finding("a", "A happened", "numbers of A"), Finding("b", "B happened", "numbers of B")


def documents(folder) -> list[dict]:
    return [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]


def test_a_finding_is_opened_once_updated_while_it_stays_and_closed_when_it_is_gone(tmp_path):
    tracker = Files(tmp_path)
    assert tell([A, B], tracker) == Told(2, 0, 0, 0)
    assert tell([A, B, A], tracker) == Told(0, 0, 2, 0)
    assert tell([Finding("a", "A happened again", "other numbers"), B], tracker) == Told(0, 1, 1, 0)
    assert tell([B], tracker) == Told(0, 0, 1, 1)
    first, second = documents(tmp_path)
    assert (first["open"], first["title"], "other numbers" in first["text"]) == (False, "A happened again", True)
    assert first["why"]
    assert second["open"]
    assert tell([A, B], tracker) == Told(1, 0, 1, 0), "what comes back is told again"


def test_an_issue_that_somebody_else_wrote_is_left_alone(tmp_path):
    tracker = Files(tmp_path)
    tracker.create("A question", "why is it slow?")
    assert tell([], tracker) == Told(0, 0, 0, 0)
    assert documents(tmp_path)[0]["open"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"open": true}'])
def test_a_damaged_issue_is_named_with_the_next_step(tmp_path, content):
    (tmp_path / "3.json").write_text(content)
    with pytest.raises(BenchError, match=r"3\.json is no issue that was written here: delete it and try again\.$"):
        Files(tmp_path).open()


def test_two_issues_with_one_mark_are_one_finding(tmp_path):
    tracker = Files(tmp_path)
    tell([A], tracker)
    tracker.create("A copy", A.text)
    assert tell([A], tracker) == Told(0, 0, 1, 0)


# What is found


def ppca(backend, tag, **numbers):
    return measurement(tag, "ppca", 500, backend, **numbers)


def findings(*machines, site=None) -> list[Finding]:
    return alerts.findings(machines, site)


def both(old: dict, new: dict):
    return content(ppca("pymc-c", "v6.3.2", **old), ppca("pymc-c", "v6.4.0", **new))


def test_a_backend_that_breaks_and_one_that_works_again_are_findings():
    (broken,) = findings(both({}, {"outcome": "failed", "reason": "no progress_bar"}))
    assert broken.title == "pymc-c on ppca (n=500) is broken in PyMC 6.4.0"
    assert "` no progress_bar `" in broken.body
    assert "pymc 6.3.2 → 6.4.0" in broken.body
    (works,) = findings(both({"outcome": "failed"}, {}))
    assert "works again" in works.title
    (wrong,) = findings(both({}, {"outcome": "invalid"}))
    assert "gives a wrong answer" in wrong.title


def test_what_fails_as_before_is_no_finding():
    assert findings(both({"outcome": "failed"}, {"outcome": "failed"})) == []
    assert findings(both({}, {})) == []
    assert findings(content(ppca("pymc-c", "v6.4.0"))) == []


def chain(*setups, tags=("v6.3.1", "v6.3.2", "v6.4.0"), cell=("ppca", 500, "pymc-c"), **changes):
    """Releases that were each measured beside the one before, with these seconds of setup."""
    neighbours = pairwise(zip(tags, setups, strict=False))
    return content(
        *(
            m
            for i, pair in enumerate(neighbours)
            for m in side_by_side({t: {"clocks": {"setup": s}, **changes} for t, s in pair}, cell=cell, block=str(i))
        )
    )


def test_a_slower_release_is_a_finding_with_interval_parts_packages_and_link():
    (found,) = findings(chain(1.0, 9.0, tags=("v6.3.2", "v6.4.0")), site="https://example.org/site/")
    assert re.fullmatch(r"pymc-c on ppca \(n=500\): setup, \w+ caches ×[89]\.\d\d in PyMC 6\.4\.0", found.title)
    assert re.search(
        r"- Setup, warm caches: a ratio of [89]\.\d+, [89]\.\d+ to 9\.\d+ \(95 %\), in 8 rounds: \w", found.body
    )
    assert "Measured side by side with PyMC 6.3.2" in found.body
    assert "pytensor 3.3.1 → 3.3.7" in found.body
    assert "(https://example.org/site/changes.html#v6.3.2-v6.4.0)" in found.body


def test_a_faster_release_is_no_alert():
    assert findings(chain(9.0, 1.0)) == []


def test_what_nobody_would_act_on_is_no_alert_however_sure_it_is():
    assert findings(chain(3.0, 3.04)) == []


def test_releases_that_were_not_measured_side_by_side_are_not_called_slower():
    assert findings(both({"setup": 1.0}, {"setup": 9.0})) == []


def test_a_mark_in_a_reason_does_not_make_another_finding(tmp_path):
    forged = f"<!-- finding {B.identity} -->"
    finding = findings(both({}, {"outcome": "failed", "reason": forged}))[0]
    tracker = Files(tmp_path)
    tell([finding, B], tracker)
    assert tell([finding, B], tracker) == Told(0, 0, 2, 0)


def test_a_run_that_failed_is_a_finding_with_its_log():
    finding = alerts.failed_run(["measure"], "https://example.org/log")
    assert "<https://example.org/log>" in finding.body
    assert "` measure `" in finding.body
    assert finding.identity == alerts.failed_run(["plan", "alert"], None).identity


def three(*outcomes):
    """Three releases with these outcomes."""
    tags = ("v6.3.1", "v6.3.2", "v6.4.0")
    return content(
        *(
            ppca("pymc-c", tag, **({} if o == "ok" else {"outcome": o, "reason": "why"}))
            for tag, o in zip(tags, outcomes, strict=True)
        )
    )


def test_a_release_stays_slower_until_a_later_one_has_made_up_for_it():
    def titles(*setup):
        return [f.title.rpartition(" in ")[2] for f in findings(chain(*setup))]

    assert titles(1.0, 9.0, 9.0) == ["PyMC 6.3.2"]
    assert titles(1.0, 9.0, 1.0) == []
    assert len(titles(1.0, 5.0, 25.0)) == 2


def graph(tag, nodes):
    return ppca("pymc-c", tag, graph={"nodes": nodes, "replacements": 100})


def test_a_graph_that_is_much_larger_is_an_alert_and_a_few_nodes_more_are_none():
    assert findings(content(graph("v6.3.2", 200), graph("v6.4.0", 205))) == []
    (found,) = findings(content(graph("v6.3.2", 200), graph("v6.4.0", 300)))
    assert found.title == "The graph of ppca (n=500) is larger in PyMC 6.4.0"
    assert "pymc-c, nodes of the compiled graph: 200 → 300" in found.body
    assert findings(content(graph("v6.3.1", 200), graph("v6.3.2", 300), graph("v6.4.0", 200))) == []


def test_a_backend_stays_broken_until_it_works_and_that_is_told_once():
    def titles(*outcomes):
        return [f.title.partition(") ")[2] for f in findings(three(*outcomes))]

    assert titles("ok", "failed", "failed") == ["is broken in PyMC 6.3.2"]
    assert titles("ok", "failed", "ok") == ["works again in PyMC 6.4.0"]
    assert titles("failed", "ok", "ok") == []
    assert titles("failed", "failed", "invalid") == ["gives a wrong answer in PyMC 6.4.0"]


def test_what_is_older_than_half_a_year_is_no_longer_told():
    assert findings(chain(1.0, 9.0, tags=("v5.25.1", "v5.26.0"))) == []


def test_a_release_that_was_not_measured_beside_the_one_before_closes_nothing():
    slow = chain(1.0, 9.0)
    (known,) = findings(slow)
    alone = ppca("pymc-c", "v6.4.0", setup=1.0)
    assert findings(content(*slow.all_measurements, alone))[0].identity == known.identity


def test_a_release_that_fails_does_not_make_the_one_before_fast():
    slow = chain(1.0, 9.0)
    found = findings(content(*slow.all_measurements, ppca("pymc-c", "v6.4.0", outcome="failed")))
    assert ["is broken" in f.title for f in found] == [True, False]
    assert "in PyMC 6.3.2" in found[1].title


def table(**outcomes) -> dict:
    """A compatibility table of one backend, by release."""
    cells = {
        tag.replace("_", "."): {"outcome": o, "reason": None if o == "ok" else "why"} for tag, o in outcomes.items()
    }
    return {"releases": {tag: {"models": {"ppca (n=500)": {"pymc-c": cell}}} for tag, cell in cells.items()}}


def test_what_broke_in_a_sweep_is_over_when_a_later_release_was_measured_to_work():
    broke = table(v6_3_1="ok", v6_3_2="failed")
    elsewhere = [ppca("blackjax", tag) for tag in ("v6.3.1", "v6.3.2", "v6.4.0")]
    assert len(findings(content(*elsewhere, table=broke))) == 1
    assert findings(content(*elsewhere, ppca("pymc-c", "v6.4.0"), table=broke)) == []
    again = table(v6_3_1="failed", v6_3_2="ok")
    assert len(findings(content(*elsewhere, table=again))) == 1
    assert findings(content(*elsewhere, ppca("pymc-c", "v6.4.0"), table=again)) == [], "it was told when it was new"
    old = table(v5_25_0="ok", v5_25_1="failed")
    assert findings(content(*elsewhere, table=old)) == []


def test_a_machine_that_measures_no_longer_keeps_nothing_open():
    broke = [ppca("pymc-c", "v6.3.1"), ppca("pymc-c", "v6.3.2", outcome="failed")]
    retired = replace(content(*broke), machine="retired")
    assert len(findings(retired)) == 1
    assert findings(content(ppca("pymc-c", "v6.4.0")), retired) == []
    years_ago = content(ppca("pymc-c", "v5.25.0"), ppca("pymc-c", "v5.25.1", outcome="failed"))
    assert findings(years_ago) == []


def test_where_machines_disagree_both_are_told():
    broken = both({}, {"outcome": "failed"})
    works = replace(both({"outcome": "failed"}, {}), machine="another")
    assert len({f.identity for f in findings(broken, works)}) == 2
    later = replace(three("ok", "failed", "failed"), machine="another")
    assert findings(three("ok", "failed", "ok"), later)[-1].title.endswith("is broken in PyMC 6.3.2")


def test_an_answer_that_is_wrong_the_first_time_is_a_finding():
    old, new = ppca("pymc-c", "v6.3.2"), ppca("pymc-c", "v6.4.0")
    (found,) = findings(content(old, new, ppca("blackjax", "v6.4.0", outcome="invalid")))
    assert found.title == "blackjax on ppca (n=500) gives a wrong answer in PyMC 6.4.0"
    assert "was `not measured` in PyMC 6.3.2 and is `invalid` in PyMC 6.4.0" in found.body
    (alone,) = findings(content(ppca("blackjax", "v6.4.0", outcome="invalid")))
    assert alone.identity == found.identity
    assert "was measured for the first time and is `invalid`" in alone.body


def test_an_issue_is_never_longer_than_github_takes():
    (finding,) = alerts.not_installed(load_stacks(), {"v6.4.0": {"install": "x`" * 100_000}})
    assert len(finding.text) < 65_536
    many = alerts.failed_run([f"{'x' * 5000} {i}" for i in range(1000)], None)
    assert len(many.text) < 65_536
    assert len(Finding("a", "t" * 1000, "").heading) <= 256


def test_an_issue_that_somebody_wrote_below_the_mark_is_still_known(tmp_path):
    tracker = Files(tmp_path)
    tracker.create(A.title, f"{A.text}\r\nI look into this.\r\n")
    assert tell([A], tracker).opened == 0


def test_what_is_not_known_to_be_gone_is_not_closed(tmp_path):
    tracker = Files(tmp_path)
    tell([A, B], tracker)
    assert tell([B], tracker, close=False) == Told(0, 0, 1, 0)
    assert tell([B], tracker, keep=["a"]) == Told(0, 0, 1, 0)
    assert tell([B], tracker, keep=["b"]) == Told(0, 0, 1, 1)


def test_what_two_machines_find_broken_is_one_finding():
    found = both({}, {"outcome": "failed", "reason": "why"})
    other = replace(found, machine="another")
    assert len({f.identity for f in findings(found, other)}) == 1


def test_a_backend_that_breaks_in_a_sweep_is_the_same_finding_as_when_it_is_measured():
    cell = {"outcome": "failed", "reason": "why"}
    table = {
        tag: {"models": {"ppca (n=500)": {"pymc-c": c}}}
        for tag, c in (("v6.3.2", {"outcome": "ok", "reason": None}), ("v6.4.0", cell))
    }
    found = both({}, cell)
    both_told = findings(replace(found, table={"releases": table}))
    assert both_told == findings(found) * 2


def test_a_stack_that_cannot_be_installed_is_a_finding():
    known = load_stacks()
    (finding,) = alerts.not_installed(known, {"v6.3.2": {"install": "no `wheel`"}, "v5.10.0": {"install": "old"}})
    assert finding.title == "PyMC 6.3.2 cannot be installed with the newest of everything"
    assert "`` no `wheel` ``" in finding.body


# GitHub's API


def tracker(api) -> alerts.GitHub:
    return alerts.GitHub(Api("o/r", "secret", api.address))


def issue(number, text, kind="Bot", **more):
    return {"number": number, "body": text, "user": {"type": kind}, **more}


def test_issues_are_opened_updated_and_closed_by_githubs_api(api):
    gone = Finding("gone", "Gone", "was here")
    changed = Finding("a", A.title, "old numbers")
    batch = [
        issue(1, changed.text), issue(2, gone.text), issue(3, B.text, kind="User"), issue(4, None),
        issue(5, B.text, pull_request={}),
    ]  # fmt: skip
    api.answer = lambda method, path: (200, batch if method == "GET" else {})
    assert tell([A, B], tracker(api)) == Told(1, 1, 0, 1), "B's mark was written by a stranger"
    written = [(m, p, d) for m, p, d in api.asked if m != "GET"]
    assert written[0][:2] == ("PATCH", "/issues/1")
    assert written[1][:2] == ("POST", "/issues")
    assert written[1][2]["labels"] == [alerts.LABEL]
    assert [w[:2] for w in written[2:]] == [
        ("POST", "/issues/2/comments"), ("PATCH", "/issues/2")
    ]  # fmt: skip


def test_an_issue_that_was_made_with_a_maintainers_token_is_found_again(api):
    by_hand = issue(1, A.text, kind="User", author_association="OWNER")
    stranger = issue(2, B.text, kind="User", author_association="CONTRIBUTOR")
    api.answer = lambda method, path: (200, [by_hand, stranger] if method == "GET" else {})
    assert tell([A], tracker(api)) == Told(0, 0, 1, 0)
