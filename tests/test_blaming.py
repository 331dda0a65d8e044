"""The nightly run asks which packages made what it alerts of, within its time, and believes no answer unseen."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import paths
from harness.cli import app
from harness.nightly import alerts, blaming
from harness.results import blames, store
from harness.results.blames import Question
from harness.stacks.locks import get_stack
from harness.suite import inside
from tests import site_results as make
from tests.test_blames import document

OLD, NEW = "v6.3.2", "v6.4.0"
WHY = "TypeError: kernel() got an argument (pymc 6.4.0, numba 0.66.0)"
CELLS = [("ppca", 500, "pymc-c"), ("ppca", 500, "nutpie-numba"), ("discrete", 100, "pymc-c")]
CELLS += [("discrete_marginal", 100, "nutpie-numba")]
BROKEN = Question(OLD, NEW, "ppca", 500, "nutpie-numba", "outcome")


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """What two releases were measured to be on the machine `box`; in the newer one nutpie fails."""
    folder = tmp_path / "checkout"
    make.build(folder / "results", [get_stack(OLD), get_stack(NEW)], CELLS)
    (folder / "docs").mkdir()
    break_it(folder, BROKEN.model, BROKEN.n, BROKEN.backend)
    monkeypatch.setattr(paths, "RESULTS", folder / "results")
    monkeypatch.setenv("BENCH_MACHINE", "box")
    return folder


def break_it(folder: Path, model: str, n: int, backend: str) -> None:
    trials = make.failed(get_stack(NEW), model, n, backend, WHY, inside()["protocol"])
    make.write_records(folder / "results", NEW, trials)


def results(checkout: Path) -> store.Results:
    return store.Results(checkout / "results", inside())


def answer(question: Question = BROKEN, name: str = "numba", **changes) -> dict:
    """What `bench blame` would have found."""
    ends = [{"stack": question.old, "seen": "ok"}, {"stack": question.new, "seen": f"failed: {WHY}"}]
    named = [{"name": name, "old": "0.65.1", "new": "0.66.0", "changes": None}]
    of = {"model": question.model, "n": question.n, "backend": question.backend, "machine": "box"}
    return document(question.metric, ends=ends, packages=named, groups=[[name]]) | of | changes


def test_what_is_alerted_of_is_asked_once(checkout):
    assert blaming.questions("box", results(checkout)) == [BROKEN]
    assert blaming.questions("another", results(checkout)) == [], "each machine asks of what it has measured"


@pytest.mark.parametrize("certain", [True, False])
def test_what_has_been_answered_is_not_asked_again_nor_told_unless_it_is_certain(checkout, certain):
    blames.keep(answer(certain=certain))
    assert blaming.questions("box", results(checkout)) == []
    (found,) = alerts.findings(store.load(results(checkout)))
    assert ("It was" in found.body) is certain


def test_an_outcome_is_asked_of_before_a_count_and_a_count_before_a_time():
    asked = [Question(OLD, NEW, "ppca", 500, "pymc-c", metric) for metric in ("total", "rewrites", "outcome")]
    assert [q.metric for q in sorted(asked, key=blaming._cost)] == ["outcome", "rewrites", "total"]


ANSWERING = """
import json, sys
sys.path.insert(0, {root!r})
from harness import paths
from harness.results import blames
from pathlib import Path
paths.RESULTS = Path({results!r})
with open({log!r}, "a") as log:
    print(*sys.argv[1:], file=log)
document = json.loads(Path({answer!r}).read_text())
if document:
    told = dict(zip(sys.argv[4::2], sys.argv[5::2]))
    of = {{"model": told["--model"], "n": int(told["--n"]), "backend": told["--backend"]}}
    blames.keep(document | of)
else:
    import time
    time.sleep(60)
"""


@pytest.fixture
def answering(checkout, tmp_path, monkeypatch):
    """`bench blame` answers with what a test prepares, or never where that is nothing; returns what was asked."""
    script = tmp_path / "blame.py"
    named = {"root": str(paths.ROOT), "results": str(checkout / "results"), "log": str(tmp_path / "log")}
    script.write_text(ANSWERING.format(answer=str(tmp_path / "answer.json"), **named))

    def prepare(document: dict) -> Path:
        (tmp_path / "answer.json").write_text(json.dumps(document))
        return tmp_path / "log"

    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {script} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(blaming.sys, "executable", str(python))
    return prepare


def test_what_one_answer_explains_is_not_asked_again(checkout, tmp_path, answering):
    for model, n, backend in CELLS[2:]:
        break_it(checkout, model, n, backend)
    said, log = [], answering(answer())
    assert len(blaming.questions("box", results(checkout))) == 3, "nutpie with two models, and PyMC's own with one"
    blaming.answer("box", results(checkout), tmp_path / "answers", 600, said.append)
    assert sorted(line.split()[8] for line in log.read_text().splitlines()) == ["nutpie-numba", "pymc-c"]
    assert said.count("It was numba 0.65.1 → 0.66.0.") == 2
    assert len(list((tmp_path / "answers").iterdir())) == 2
    assert blaming.questions("box", results(checkout)) == []


def test_what_was_found_not_to_differ_is_not_asked_every_night(checkout, tmp_path, answering):
    said: list[str] = []
    answering(answer(certain=False, packages=[], groups=[], untold=["They do not differ."]))
    blaming.answer("box", results(checkout), tmp_path / "answers", 600, said.append)
    assert said[-1] == "No package: They do not differ."
    assert blaming.questions("box", results(checkout)) == []


def test_an_answer_that_cannot_be_read_is_asked_for_again(checkout):
    path = BROKEN.path(checkout / "results")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{")
    assert blaming.questions("box", results(checkout)) == [BROKEN]


def test_the_time_has_an_end_and_what_is_left_is_named(checkout, tmp_path, answering, monkeypatch):
    monkeypatch.setattr(blaming, "_FEWEST_SECONDS", 0.5)
    answering({})
    said: list[str] = []
    blaming.answer("box", results(checkout), tmp_path / "answers", 1.0, said.append)
    assert said[1].startswith("There is no answer to it: it took more than ")
    monkeypatch.setattr(blaming, "_FEWEST_SECONDS", 2.0)
    blaming.answer("box", results(checkout), tmp_path / "answers", 1.0, said.append)
    assert said[-1] == f"The time is up: left to the next run are `{BROKEN.command}`."
    assert not (tmp_path / "answers").exists()


def handed_on(tmp_path: Path, *documents: object) -> Path:
    folder = tmp_path / "handed-on"
    folder.mkdir(exist_ok=True)
    for i, content in enumerate(documents):
        (folder / f"{i}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def take(folder: Path, checkout: Path):
    return blaming.take(folder, checkout, "box", inside())


def test_an_answer_is_taken_and_told_by_alerts_and_table(checkout, tmp_path):
    blames.keep(answer())
    written = BROKEN.path(checkout / "results").read_bytes()
    BROKEN.path(checkout / "results").unlink()
    cell = {"nutpie-numba": {"outcome": "failed", "reason": WHY}}
    release = {
        "default_sampler": None,
        "default_linker": None,
        "fast_run_linker": None,
        "models": {"ppca (n=500)": cell},
    }
    (checkout / "results/compatibility.json").write_text(json.dumps({"schema": 1, "releases": {NEW: release}}))
    taken = take(handed_on(tmp_path, answer()), checkout)
    assert (taken.new, taken.refused) == (["blame/v6.3.2..v6.4.0/ppca-500-nutpie-numba.outcome.json"], [])
    assert BROKEN.path(checkout / "results").read_bytes() == written, "as the command would have written it"
    (found,) = alerts.findings(store.load(results(checkout)))
    assert "**It was ` numba 0.65.1 → 0.66.0 `**" in found.body
    assert "It began with numba 0.65.1 → 0.66.0" in (checkout / "docs/compatibility.md").read_text()
    assert take(handed_on(tmp_path, answer()), checkout).new == []


STRANGE = {
    "another question": (answer(Question(OLD, NEW, "ppca", 500, "pymc-c", "outcome")), "nobody has asked this"),
    "another metric": (answer(metric="total"), "nobody has asked this"),
    "another machine": (answer(machine="elsewhere"), "nobody has asked this"),
    "a package that did not change": (answer(name="zlib"), "zlib did not change between the two stacks"),
    "company that did not change": (answer(beside=["zlib"]), "zlib did not change between the two stacks"),
    "another link": (
        answer(packages=[{"name": "numba", "old": "1", "new": "2", "changes": "https://example.org/"}]), "is no answer",
    ),
    "no answer": ("[" * 10_000, "is no answer"),
    "too much": (" " * blaming.LONGEST_ANSWER + "{}", "no plain file of at most 100 kB"),
}  # fmt: skip


@pytest.mark.parametrize("strange", STRANGE)
def test_what_nobody_has_asked_or_cannot_be_is_refused_by_name(checkout, tmp_path, strange):
    content, why = STRANGE[strange]
    taken = take(handed_on(tmp_path, content), checkout)
    assert taken.new == []
    (sentence,) = taken.refused
    assert sentence.startswith("0.json: ")
    assert why in sentence
    assert str(tmp_path) not in sentence
    assert not (checkout / "results/blame").exists()


def test_links_and_more_files_than_questions_are_left_alone(checkout, tmp_path):
    folder = handed_on(tmp_path, answer(), answer())
    (folder / "0.json").unlink()
    (folder / "0.json").symlink_to("/etc/passwd")
    taken = take(folder, checkout)
    assert taken.new == []
    assert any("no plain file" in sentence for sentence in taken.refused)
    assert any("2 files, and 1 questions" in sentence for sentence in taken.refused)


def test_nothing_handed_on_is_no_error(checkout, tmp_path):
    assert take(tmp_path / "nothing", checkout).refused == []


def test_by_hand_it_says_what_it_does(checkout, tmp_path, answering):
    answering(answer())
    done = CliRunner().invoke(app, ["nightly", "blame", str(tmp_path / "answers"), "--budget", "10"])
    assert done.exit_code == 0
    assert f"10 min left: {BROKEN.command}" in done.stdout
    assert (tmp_path / "answers/1.json").exists()
