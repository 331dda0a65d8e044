"""What `bench blame` has found is kept, read by one schema, and told where somebody looks for it."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from harness import paths
from harness.errors import BenchError
from harness.judging.blame import NEW, OLD, UNTOLD, Answer
from harness.judging.changes import Turn
from harness.judging.release_changes import ReleaseChange
from harness.measuring import blame as measuring
from harness.measuring import blame_command
from harness.nightly import alerts
from harness.results import compatibility
from harness.results.blames import Blames, keep, read_all, without_versions
from harness.stacks.locks import Difference, get_stack
from tests.test_blame import CELL, OF_PYTENSOR, found, lock

BROKE = ("ok", "failed")
ORDER = {"v6.0.1": 0, "v6.1.0": 1, "v6.2.0": 2, "v6.3.2": 3}
MAKES_IT = Answer(NEW, seen="failed")
BROKEN = "TypeError: x (pymc 6.2.0, blackjax 1.6.2, jax 0.9.1)"
LATER = "TypeError: x (pymc 6.3.2, blackjax 1.7.1, jax 0.12.0)"


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setenv("BENCH_MACHINE", "box")
    return tmp_path


def document(metric: str = "outcome", into: Answer = MAKES_IT, **changes) -> dict:
    """An answer as the command writes it: BlackJAX 1.6, between 6.1.0 and 6.2.0."""
    answer = blame_command.document(found((("blackjax",),), into, Answer(OLD, seen="ok")))
    answer |= blame_command.document_of_commits(None)
    ends = [{"stack": "v6.1.0", "seen": "ok"}, {"stack": "v6.2.0", "seen": f"failed: {BROKEN}"}]
    return json.loads(json.dumps(answer)) | {"ends": ends, "metric": metric} | changes


def blames(*documents: dict) -> Blames:
    for one in documents:
        keep(one)
    answers, damaged = read_all(paths.RESULTS)
    assert damaged == []
    return Blames(answers, ORDER)


def test_what_the_command_writes_is_what_is_read():
    (answer,) = blames(document()).answers
    assert answer.certain
    assert answer.says == "blackjax 1.5 → 1.6"
    assert (
        answer.question.command == "bench blame v6.1.0 v6.2.0 --model ppca --n 500 --backend blackjax --metric outcome"
    )
    assert answer.machine == "box"


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ((("pytensor", "pymc", "arviz"),), "pytensor 1 → 2, pymc 1 → 2 and arviz 1 → 2, which cannot be had apart"),
        ((("pytensor",), ("pymc",)), "pytensor 1 → 2 and pymc 1 → 2, together"),
        ((("pytensor",),), "pytensor 1 → 2"),
    ],
)
def test_several_packages_are_said_to_be_together_or_not_to_be_had_apart(groups, says):
    names = [{"name": name, "old": "1", "new": "2", "changes": None} for group in groups for name in group]
    (answer,) = blames(document(packages=names, groups=[list(group) for group in groups])).answers
    assert answer.says == says


@pytest.mark.parametrize("metric", ["outcome", "graph_nodes"])
def test_that_there_is_nothing_to_blame_is_an_answer_too_which_accuses_nobody(monkeypatch, metric):
    ends = lock("6.1.0", 1), lock("6.2.0", 9)
    search = measuring.Search(Console(quiet=True), ends, CELL, "box", {})
    monkeypatch.setattr(search, "_seen_of", lambda _stack, asked: measuring.Seen(7.0 if asked.counter else "ok"))
    with pytest.raises(measuring.NoStepError, match="do not differ") as raised:
        search.differ(measuring.criterion(metric))
    known = blames(blame_command.document_of_nothing(search, raised.value))
    (answer,) = known.answers
    assert answer.question.metric == metric
    assert answer.untold == [str(raised.value)]
    assert not answer.certain
    assert not answer.packages
    assert known.of_outcome("v6.1.0", "v6.2.0", answer.key, BROKE, None) is None


def test_commits_are_kept_with_it():
    (answer,) = blames(document() | blame_command.document_of_commits(OF_PYTENSOR)).answers
    assert answer.commits.first_new == OF_PYTENSOR.new.digits


def test_one_question_has_one_answer_and_another_another(results):
    for one in (document(), document(measured_stacks=9), document("rewrites"), document(n=5000)):
        keep(one)
    assert len(list(results.glob("blame/v6.1.0..v6.2.0/*.json"))) == 3
    assert {a.measured_stacks for a in read_all(results)[0] if (a.metric, a.n) == ("outcome", 500)} == {9}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("machine", "../x"), ("model", "a/b"), ("metric", ".."), ("ends", []), ("packages", [{"name": "x"}]),
        ("more", 1), ("schema", 2),
        ("packages", [{"name": "x", "old": "1", "new": "2", "changes": "javascript:alert(1)"}]),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_neither_kept_nor_read(results, field, value):
    with pytest.raises((BenchError, ValueError)):
        keep(document(**{field: value}))
    assert read_all(results) == ([], [])
    path = results / "blame/v6.1.0..v6.2.0/x.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document(**{field: value})))
    answers, (sentence,) = read_all(results)
    assert answers == []
    assert "is no answer of `bench blame`" in sentence
    assert "run the command again" in sentence


@pytest.mark.parametrize("text", ["", "[", "null", "[" * 100_000])
def test_a_damaged_file_is_named_and_keeps_no_other_away(results, text):
    keep(document())
    (results / "blame/v6.1.0..v6.2.0/broken.json").write_text(text)
    answers, (sentence,) = read_all(results)
    assert len(answers) == 1
    assert "broken.json" in sentence


KEY = ("ppca", 500, "blackjax")


def test_an_outcome_is_explained_by_what_was_found_between_the_two_stacks():
    known = blames(document())
    for old, new in (("v6.1.0", "v6.2.0"), ("v6.0.1", "v6.3.2")):
        assert known.of_outcome(old, new, KEY, BROKE, None).says == "blackjax 1.5 → 1.6"
    for old, new in (("v6.0.1", "v6.1.0"), ("v6.2.0", "v6.3.2"), ("v6.1.0", "v9.9.9"), (None, "v6.2.0")):
        assert known.of_outcome(old, new, KEY, BROKE, LATER) is None


def test_the_same_failure_of_the_backend_with_another_model_has_the_same_reason():
    known = blames(document())
    assert known.of_outcome("v6.1.0", "v6.2.0", ("radon", 919, "blackjax"), BROKE, LATER)
    assert known.of_outcome("v6.1.0", "v6.2.0", ("radon", 919, "blackjax"), BROKE, "TypeError: y") is None
    assert known.of_outcome("v6.1.0", "v6.2.0", ("radon", 919, "pymc-c"), BROKE, LATER) is None
    assert known.of_outcome("v6.1.0", "v6.2.0", ("radon", 919, "blackjax"), BROKE, None) is None


def test_a_number_is_explained_by_what_was_found_of_it_alone():
    ends = [{"stack": "v6.1.0", "seen": "784"}, {"stack": "v6.2.0", "seen": "2,986"}]
    known = blames(document("rewrites", ends=ends))
    assert known.of_number("v6.1.0", "v6.2.0", KEY, "rewrites", grew=True)
    assert known.of_number("v6.1.0", "v6.2.0", KEY, "rewrites", grew=False) is None
    assert known.of_number("v6.1.0", "v6.2.0", KEY, "graph_nodes", grew=True) is None
    assert known.of_number("v6.1.0", "v6.2.0", ("ppca", 5000, "blackjax"), "rewrites", grew=True) is None


def test_what_moved_the_same_number_of_another_parameter_set_the_same_way_is_a_hint():
    ends = [{"stack": "v6.1.0", "seen": "784"}, {"stack": "v6.2.0", "seen": "2,986"}]
    known = blames(document("rewrites", ends=ends))
    other = ("ppca", 5000, "blackjax")
    assert known.of_another("v6.1.0", "v6.2.0", other, "rewrites", grew=True) is known.answers[0]
    assert known.of_another("v6.1.0", "v6.2.0", other, "rewrites", grew=False) is None
    assert known.of_another("v6.1.0", "v6.2.0", other, "graph_nodes", grew=True) is None
    assert known.of_another("v6.2.0", "v6.3.2", other, "rewrites", grew=True) is None
    assert known.of_another("v6.1.0", "v6.2.0", KEY, "rewrites", grew=True) is None


def test_where_what_was_found_of_others_does_not_agree_there_is_no_hint():
    ends = [{"stack": "v6.1.0", "seen": "784"}, {"stack": "v6.2.0", "seen": "2,986"}]
    one = document("rewrites", ends=ends)
    package = one["packages"][0] | {"new": "1.7"}
    known = blames(one, one | {"model": "radon", "n": 919, "packages": [package]})
    assert len(known.answers) == 2
    assert known.of_another("v6.1.0", "v6.2.0", ("ppca", 5000, "blackjax"), "rewrites", grew=True) is None


@pytest.mark.parametrize(
    ("before", "after", "grew"),
    [("784", "2,986", True), ("5.2 s", "4.9 s", False), ("1e+03 MiB", "2e+03 MiB", True), ("ok", "failed: x", None)],
)
def test_whether_a_number_grew_is_what_was_seen_of_both_ends(before, after, grew):
    ends = [{"stack": "v6.1.0", "seen": before}, {"stack": "v6.2.0", "seen": after}]
    (answer,) = blames(document("total", ends=ends)).answers
    assert answer.grew is grew


def test_what_broke_something_did_not_mend_it():
    assert blames(document()).of_outcome("v6.1.0", "v6.2.0", KEY, ("failed", "ok"), LATER) is None


def test_an_answer_that_is_not_certain_takes_the_place_of_no_certain_one(results):
    keep(document())
    keep(document(into=Answer(UNTOLD, "another measurement was under way")))
    ((answer,), _) = read_all(results)
    assert answer.certain


def test_what_is_not_certain_is_told_nowhere():
    known = blames(document(into=Answer(UNTOLD, "it is neither")))
    assert len(known.answers) == 1
    assert known.of_outcome("v6.1.0", "v6.2.0", KEY, BROKE, LATER) is None
    assert known.of_reason(LATER) is None


def test_versions_aside_two_reasons_are_one():
    assert without_versions(BROKEN) == without_versions(LATER) == "TypeError: x"
    assert without_versions("TypingError: <function f at 0x7f22e0cf02c0> (pymc 5.10.4)") == "TypingError: <function f>"


def test_the_compatibility_page_says_with_what_a_failure_began():
    cell = {"outcome": "failed", "reason": LATER}
    release = {
        "default_sampler": "pymc", "default_linker": "c", "fast_run_linker": "c",
        "models": {"radon (n=919)": {"blackjax": cell}},
    }  # fmt: skip
    page = compatibility.page({"schema": 1, "releases": {"v6.3.2": release}}, ["blackjax"], blames(document()))
    assert "It began with blackjax 1.5 → 1.6: `bench blame v6.1.0 v6.2.0 --model ppca --n 500" in page


def test_a_change_of_a_release_knows_what_made_it():
    turn = Turn("radon", 919, "blackjax", "ok", "failed", BROKEN)
    change = ReleaseChange("v6.1.0", "v6.2.0", "", Difference({}, {}, {}), None, (turn,), blames(document()))
    assert change.blamed([turn]).says == "blackjax 1.5 → 1.6"
    assert replace(change, blames=Blames()).blamed([turn]) is None


def test_an_alert_names_the_package():
    content = SimpleNamespace(blames=blames(document()), machine="box", stack=get_stack)
    turn = Turn(*KEY, "ok", "failed", BROKEN)
    body = alerts._turned(content, "v6.1.0", "v6.2.0", turn, None).body
    assert "**It was ` blackjax 1.5 → 1.6 `**, as `bench blame v6.1.0 v6.2.0 --model ppca" in body
    assert "https://github.com/blackjax-devs/blackjax/compare/1.5...1.6" in body
    content.blames = Blames()
    assert "It was" not in alerts._turned(content, "v6.1.0", "v6.2.0", turn, None).body


def test_an_answer_that_cannot_be_written_is_no_loss_of_what_was_found(monkeypatch):
    def full(_document):
        raise OSError(30, "Read-only file system", "x.json.part")

    monkeypatch.setattr(blame_command.blames, "keep", full)
    kept, problem = blame_command._keep(document())
    assert kept is None
    assert problem.endswith("cannot be written (Read-only file system); the same command tells it again.")
