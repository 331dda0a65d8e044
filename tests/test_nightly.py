"""The steps of the nightly run, one by one; `test_week.py` runs them for real."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import paths
from harness.cli import app
from harness.errors import BenchError
from harness.measuring.cells import Cell
from harness.nightly import commands, planning
from harness.nightly import shards as handed_on
from harness.nightly.github import Api
from harness.results.collecting import Task
from harness.stacks import locks, timeline, updating
from harness.suite import inside
from tests import site_results as make
from tests.conftest import copy_suite
from tests.site_results import STAMP
from tests.test_proposals import propose

CELLS = [Cell("ppca", 500, "pymc-c"), Cell("ppca", 500, "nutpie-numba")]


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Two releases, measured on the machine `box`."""
    two = [locks.get_stack(tag) for tag in ("v6.3.2", "v6.4.0")]
    make.build(tmp_path / "results", two, [(c.model, c.n, c.backend) for c in CELLS])
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setenv("BENCH_MACHINE", "box")
    return tmp_path / "results"


def left(tags, cells=CELLS, warm=2, machine="box"):
    return planning.left([locks.get_stack(t) for t in tags], machine, cells, inside(), warm)


def test_what_is_measured_beside_the_stack_before_is_not_left(results):
    assert left(["v6.4.0"]) == []
    assert left(["v6.3.2", "v6.4.0", "v6.2.0"]) == ["v6.3.2", "v6.2.0"], "the one before was not in their rounds"
    assert left(["v6.3.2", "v6.4.0"], machine="another") == ["v6.4.0", "v6.3.2"]
    assert left(["v6.4.0"], warm=3) == ["v6.4.0"]
    assert left(["v6.4.0"], [*CELLS, Cell("ppca", 500, "blackjax")]) == ["v6.4.0"]


def test_what_was_withdrawn_or_is_damaged_is_left(results):
    (results / f"records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json").unlink()
    (results / f"records/box/v6.3.2/ppca-500-pymc-c.{STAMP}.json").write_text("[{")
    assert left(["v6.3.2", "v6.4.0"]) == ["v6.4.0", "v6.3.2"]


def test_a_stack_that_cannot_be_installed_has_nothing_left(results, monkeypatch):
    monkeypatch.setattr(locks, "recorded_imports", lambda: {"v6.2.0": {"install": "no"}, "v6.1.0": {"numba": "no"}})
    assert left(["v6.2.0", "v6.1.0"]) == ["v6.1.0"]


def test_a_plan_is_one_line_of_json_for_the_matrix(results, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("BENCH_RELEASES", "v6.2.0 v6.1.0")
    monkeypatch.setenv("BENCH_MODELS", "")
    monkeypatch.setenv("BENCH_BACKENDS", "")
    done = CliRunner().invoke(app, ["nightly", "plan"])
    assert json.loads(done.stdout) == ["v6.2.0", "v6.1.0"]
    assert (tmp_path / "output").read_text() == 'works=["v6.2.0", "v6.1.0"]\n'
    done = CliRunner().invoke(app, ["nightly", "plan", "--most", "1"])
    assert json.loads(done.stdout) == ["v6.2.0"]


def test_a_plan_of_the_history_names_the_parameter_sets_that_lack_rounds(results, monkeypatch):
    done = CliRunner().invoke(app, ["nightly", "plan", "--history", "--model", "ppca", "--warm", "1"])
    planned = json.loads(done.stdout)
    assert sorted(planned) == sorted(f"ppca-500-{backend}" for backend in inside()["backends"])
    assert planned[-2:] == ["ppca-500-pymc-c", "ppca-500-nutpie-numba"], "these have the newest release"
    many = len(inside()["backends"])
    assert re.fullmatch(rf"{many} blocks of the history missing: about \d+ min of trials\.\n", done.stderr)
    both = [locks.get_stack(tag) for tag in ("v6.3.2", "v6.4.0")]
    monkeypatch.setattr(planning, "of_history", lambda: both)
    assert planning.left_of_history("box", CELLS, inside(), 1) == {}
    left = planning.left_of_history("box", CELLS, inside(), 9)
    assert list(left) == ["ppca-500-pymc-c", "ppca-500-nutpie-numba"]
    assert all(seconds > 0 for seconds in left.values())
    monkeypatch.setenv("BENCH_HISTORY", "true")
    done = CliRunner().invoke(app, ["nightly", "plan", "--release", "v6.4.0"])
    assert "name releases, or ask for --history" in str(done.exception)


def test_work_is_a_stack_beside_the_one_before_or_a_parameter_set_in_all_minor_releases():
    stack, block = planning.work("v6.4.0", CELLS), planning.work("ppca-500-pymc-c", CELLS)
    assert ([s.tag for s in stack.stacks], stack.cells) == (["v6.3.2", "v6.4.0"], tuple(CELLS))
    assert list(block.stacks) == locks.last_patches(locks.load_stacks())
    assert block.cells == (CELLS[0],)
    for name in ("v9.9.9", "ppca-500-blackjax"):
        with pytest.raises(BenchError, match=rf"{name}.*no parameter set that was asked for is called so"):
            planning.work(name, CELLS)


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """A runner's checkout of the suite as it was when PyMC 6.3.2 was the newest, and `lock` working in it."""
    source, checkout = tmp_path / "source", tmp_path / "runner"
    copy_suite(source)
    shutil.rmtree(source / "stacks")
    put_on_record("v6.3.2", source / "stacks")
    for place, arguments in (
        (source, ["init", "--quiet", "--initial-branch=main"]),
        (source, ["add", "--all"]),
        (source, ["-c", "user.name=x", "-c", "user.email=x@example.invalid", "commit", "--quiet", "-m", "The suite"]),
        (tmp_path, ["clone", "--quiet", "--bare", str(source), "origin.git"]),
        (tmp_path, ["clone", "--quiet", "--depth=1", (tmp_path / "origin.git").as_uri(), str(checkout)]),
    ):
        subprocess.run(["git", "-C", str(place), *arguments], check=True)
    monkeypatch.setattr(commands, "ROOT", checkout)
    return checkout


def put_on_record(tag: str, folder: Path) -> None:
    """Put a stack that there is at the end of another history."""
    folder.mkdir(exist_ok=True)
    (folder / f"{tag}.txt").write_text(locks.get_stack(tag).text)
    stacks = locks.load_stacks(folder)
    (folder / "imports.json").write_text(json.dumps({stack.tag: {} for stack in stacks}))
    (folder / "timeline.json").write_text(json.dumps(timeline.hashes(stacks)))


def planned(runner: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "nightly", "plan"],
        cwd=runner, env={**os.environ, "BENCH_MACHINE": "box"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.fixture
def proposal(tmp_path, index_of_locks) -> Path:
    """What `resolve` hands on of PyMC 6.4.0."""
    propose(tmp_path / "proposal", "v6.4.0")
    return tmp_path / "proposal"


def test_what_is_locked_tonight_is_planned_tonight(runner, proposal):
    assert planned(runner) == ["v6.3.2"]
    done = CliRunner().invoke(app, ["nightly", "lock", str(proposal)])
    assert done.exit_code == 0, done.output
    assert "to main: v6.4.0." in done.output
    assert planned(runner) == ["v6.4.0", "v6.3.2"]
    done = CliRunner().invoke(app, ["nightly", "lock", str(proposal)])
    assert (done.exit_code, done.output) == (0, "No new stack.\n")


def test_without_a_proposal_nothing_is_locked(runner, tmp_path):
    done = CliRunner().invoke(app, ["nightly", "lock", str(tmp_path / "nothing")])
    assert (done.exit_code, done.output) == (0, "No new stack.\n")


def test_a_proposal_that_is_refused_changes_nothing(runner, proposal):
    (proposal / "v9.9.9.txt").write_text("evil==1\n")
    done = CliRunner().invoke(app, ["nightly", "lock", str(proposal)])
    assert "The proposed v9.9.9.txt is refused" in str(done.exception)
    assert planned(runner) == ["v6.3.2"]


def test_a_checkout_that_cannot_have_the_new_locks_says_so(runner, proposal):
    (runner / "stacks/imports.json").write_text("{}")
    done = CliRunner().invoke(app, ["nightly", "lock", str(proposal)])
    assert done.exit_code == 0, done.output
    assert (
        "This checkout is left as it is (Your local changes to the following files would be overwritten" in done.output
    )
    assert (runner / "stacks/imports.json").read_text() == "{}"


@pytest.mark.parametrize("unsolved", [[], ["PyMC 6.4.1 has no solution."]])
def test_what_is_resolved_is_handed_on_and_what_has_no_solution_is_told(tmp_path, monkeypatch, unsolved):
    def update(folder, **_options):
        shutil.rmtree(folder)
        put_on_record("v6.3.2", folder)
        put_on_record("v6.4.0", folder)
        return [locks.get_stack("v6.4.0")], unsolved

    monkeypatch.setattr(updating, "update", update)
    done = CliRunner().invoke(app, ["nightly", "resolve", str(tmp_path / "to")])
    assert str(done.exception or "") == " ".join(unsolved), done.output
    assert {path.name for path in (tmp_path / "to").iterdir()} == {"v6.4.0.txt", "imports.json"}
    assert (tmp_path / "to/v6.4.0.txt").read_text() == locks.get_stack("v6.4.0").text
    assert json.loads((tmp_path / "to/imports.json").read_text()) == {"v6.4.0": {}}


# Which shards there are.


def shards(below: Path, *tags: str) -> tuple[dict[str, set[str]], list[str]]:
    task = Task("box", {tag: locks.get_stack(tag) for tag in tags}, frozenset(), 4)
    found, strange = handed_on.artifacts(below, task, CELLS, tags)
    return {str(shard.folder.relative_to(below)): set(shard.task.stacks) for shard in found}, strange


def folders(below: Path, *names: str) -> Path:
    for name in names:
        (below / name).mkdir(parents=True)
    return below


def test_a_shard_of_a_block_is_bound_to_its_parameter_set_and_the_minor_releases(tmp_path):
    below = folders(tmp_path, "results-plan", "results-ppca-500-pymc-c/ppca-500-pymc-c", "results-ppca-500-blackjax/x")
    task = Task("box", {}, frozenset(), 4)
    (shard,), strange = handed_on.artifacts(below, task, CELLS, None)
    assert shard.task.cells == {("ppca", 500, "pymc-c")}
    assert list(shard.task.stacks) == [stack.tag for stack in locks.last_patches(locks.load_stacks())]
    assert strange == ["results-ppca-500-blackjax is no artifact of this run"]
    assert handed_on.artifacts(below, task, CELLS, ["v6.4.0"])[0] == []


def test_a_block_hands_on_its_parameter_set_and_no_other(results, tmp_path):
    done = CliRunner().invoke(app, ["nightly", "export", "ppca-500-pymc-c", str(tmp_path / "to")])
    assert done.exit_code == 0, done.output
    found = {path.relative_to(tmp_path / "to").as_posix() for path in (tmp_path / "to").rglob("*.json")}
    records = {f"records/box/{tag}/ppca-500-pymc-c.{STAMP}.json" for tag in ("v6.3.2", "v6.4.0")}
    assert {name for name in found if name.startswith("records/")} == records
    assert "asv/box/machine.json" in found


def test_collecting_nothing_is_said(runner, tmp_path):
    done = CliRunner().invoke(app, ["nightly", "collect"])
    assert str(done.exception).startswith("Which results? Name their folders, or --in")
    done = CliRunner().invoke(app, ["nightly", "collect", "--in", str(tmp_path / "nothing")])
    assert done.exit_code == 0
    assert f"There is no folder {tmp_path / 'nothing'}: no shard has come.\nNothing new: " in done.output


def test_a_shard_is_bound_to_the_stack_that_its_artifact_was_of_and_the_one_before(tmp_path):
    both = folders(tmp_path, "results-plan", "results-v6.4.0/v6.4.0", "results-v6.3.2/v6.3.2")
    assert shards(both, "v6.4.0", "v6.3.2") == (
        {"results-v6.3.2/v6.3.2": {"v6.3.1", "v6.3.2"}, "results-v6.4.0/v6.4.0": {"v6.3.2", "v6.4.0"}}, [],
    )  # fmt: skip
    folders(tmp_path, "results-v6.4.0/v6.3.2")
    found, (strange,) = shards(both, "v6.4.0", "v6.3.2")
    assert found.keys() == {"results-v6.3.2/v6.3.2", "results-v6.4.0/v6.4.0"}
    assert strange == "v6.3.2 in results-v6.4.0 is not its work"


def test_no_artifact_passes_for_several(tmp_path):
    """A single one would be unpacked without a folder of its own, and could have folders that look like others'."""
    found, strange = shards(folders(tmp_path, "results-v6.4.0/v6.4.0", "v6.3.2"), "v6.4.0", "v6.3.2")
    assert found == {}
    assert strange == ["results-v6.4.0 is no artifact beside results-plan", "v6.3.2 is no artifact beside results-plan"]


def test_a_run_that_measured_nothing_has_the_plan_alone(tmp_path):
    (tmp_path / "plan.json").write_text("[]")
    assert shards(tmp_path, "v6.4.0") == ({}, [])
    assert shards(tmp_path / "nothing", "v6.4.0") == ({}, [])


def test_what_was_not_planned_is_named_and_not_looked_at(tmp_path):
    folders(tmp_path, "results-plan", "results-v6.4.0/v6.4.0", "results-v6.3.2/v6.3.2", "x\u202e; $(touch pwned)")
    found, strange = shards(tmp_path, "v6.4.0")
    assert found == {"results-v6.4.0/v6.4.0": {"v6.3.2", "v6.4.0"}}
    assert strange == [f"{n} is no artifact of this run" for n in ("results-v6.3.2", "x\\u202e; $(touch pwned)")]


def test_a_release_that_is_named_twice_is_planned_once(results, monkeypatch):
    monkeypatch.setenv("BENCH_RELEASES", "v6.2.0 6.2.0 v6.1.0")
    assert json.loads(CliRunner().invoke(app, ["nightly", "plan"]).stdout) == ["v6.2.0", "v6.1.0"]


@pytest.mark.parametrize(
    ("answer", "address"),
    [
        ((200, {"html_url": "https://bench.example.org/"}), "https://bench.example.org/"),
        ((404, {}), "https://o.github.io/r/"),
        ((200, []), "https://o.github.io/r/"),
    ],
)
def test_links_of_alerts_lead_to_where_pages_publishes_the_site(api, answer, address):
    api.answer = lambda _, path: answer if path == "/pages" else (404, {})
    assert commands._site(Api("o/r", "secret", api.address)) == address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BENCH_RELEASES", "v6.4.0;id"),
        ("BENCH_MODELS", "$(id)"),
        ("BENCH_BACKENDS", "stan"),
        ("BENCH_RELEASES", "a\nb"),
    ],
)
def test_inputs_by_hand_that_name_nothing_are_one_sentence(results, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["nightly", "plan"])
    assert isinstance(done.exception, BenchError)
    assert str(done.exception).startswith("There is no ")


def test_a_shard_hands_on_its_release_the_one_before_and_its_machine_and_nothing_else(results, tmp_path):
    other = results / f"records/another/v6.4.0/ppca-500-pymc-c.{STAMP}.json"
    other.parent.mkdir(parents=True)
    other.write_text("[]")
    (results / "records/box/v6.4.0/notes.txt").write_text("mine")
    commands.export("v6.4.0", tmp_path / "shard")
    handed = {p.relative_to(tmp_path / "shard").as_posix() for p in (tmp_path / "shard").rglob("*") if p.is_file()}
    both = ("v6.3.2", "v6.4.0")
    assert handed == {
        *(f"records/box/{tag}/ppca-500-{b}.{STAMP}.json" for tag in both for b in ("pymc-c", "nutpie-numba")),
        *(f"asv/box/{locks.recorded_hashes()[tag][:8]}-stack-py3.12.json" for tag in both),
        "asv/box/machine.json",
    }


def test_a_sentence_is_never_taken_for_a_command_of_the_workflow(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "page"))
    commands._say("::set-output name=a::b\n::error::`x` <b>")
    assert capsys.readouterr().out == ": :set-output name=a::b ::error::`x` <b>\n"
    assert (tmp_path / "page").read_text() == "`` ::set-output name=a::b ::error::`x` <b> ``\n\n"


def test_the_parts_of_a_run_that_failed_are_named():
    needs = {
        "plan": {"result": "success", "outputs": {"lock": "failure", "stacks": "[]"}},
        "measure": {"result": "failure", "outputs": {}},
        "collect": {"result": "success", "outputs": {}},
        "deploy": {"result": "skipped", "outputs": {}},
    }
    assert commands._failed(json.dumps(needs)) == ["measure", "plan: lock"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"plan": 1}', '{"plan": {}}'])
def test_what_is_not_what_a_workflow_gives_is_one_sentence(text):
    with pytest.raises(BenchError, match="toJSON"):
        commands._failed(text)


def test_alerts_need_a_place_and_a_token(monkeypatch):
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    done = CliRunner().invoke(app, ["nightly", "alerts"])
    assert "--to FOLDER or --repository" in str(done.exception)
    done = CliRunner().invoke(app, ["nightly", "alerts", "--repository", "o/r"])
    assert "GITHUB_TOKEN is not set" in str(done.exception)


NEEDS = json.dumps({"plan": {"result": "failure", "outputs": {}}})


def told(folder, jobs=NEEDS) -> tuple[object, list[dict]]:
    """How `bench nightly alerts` ended, and the issues that are open afterwards."""
    done = CliRunner().invoke(app, ["nightly", "alerts", "--to", str(folder), *(["--jobs", jobs] if jobs else [])])
    documents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return done, [document for document in documents if document["open"]]


def broken_and_told(results, folder) -> None:
    """A backend breaks, and an issue says so."""
    trials = make.failed(locks.get_stack("v6.4.0"), "ppca", 500, "pymc-c", "why", inside()["protocol"])
    make.write_records(results, "v6.4.0", trials)
    assert [d["title"] for d in told(folder, jobs=None)[1]] == ["pymc-c on ppca (n=500) is broken in PyMC 6.4.0"]


@pytest.mark.parametrize("error", [BenchError("A lock is damaged."), ZeroDivisionError("division by zero")])
def test_a_run_that_failed_is_told_even_where_no_finding_can_be_made(results, tmp_path, monkeypatch, error):
    broken_and_told(results, tmp_path / "issues")

    def load_stacks():
        raise error

    monkeypatch.setattr(locks, "load_stacks", load_stacks)
    done, issues = told(tmp_path / "issues")
    assert done.exception is error
    assert [d["title"].partition(" ")[0] for d in issues] == ["pymc-c", "The"], "what was told before stays"
    assert "` plan `" in issues[1]["text"]
    assert str(error) in issues[1]["text"]


@pytest.mark.parametrize("name", [f"records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json", "compatibility.json"])
def test_what_cannot_be_read_closes_nothing_and_is_named(results, tmp_path, name):
    broken_and_told(results, tmp_path / "issues")
    (results / name).write_text("[{")
    done, issues = told(tmp_path / "issues", jobs=json.dumps({}))
    assert f"results/{name}" in str(done.exception)
    assert len(issues) == 2
    assert name in issues[1]["text"]
    make.build(results, [locks.get_stack("v6.4.0")], [(c.model, c.n, c.backend) for c in CELLS])
    (results / "compatibility.json").unlink(missing_ok=True)
    done, issues = told(tmp_path / "issues", jobs=json.dumps({}))
    assert (done.exit_code, issues) == (0, [])


def test_a_run_by_hand_leaves_what_is_said_of_the_nightly_one(results, tmp_path):
    assert len(told(tmp_path / "issues")[1]) == 1
    assert len(told(tmp_path / "issues", jobs=None)[1]) == 1
    assert told(tmp_path / "issues", jobs=json.dumps({}))[1] == []


def test_very_many_refusals_are_one_sentence_of_a_readable_length():
    said = commands._listed([f"{i} is no result." for i in range(19_000)])
    assert said.startswith("0 is no result; 1 is no result; ")
    assert said.endswith("; 19 is no result; and 18980 more")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {}), "Settings → Pages → Source: GitHub Actions"),
        ((403, {}), "permission"),
        ((200, {"build_type": "legacy"}), "built from a branch"),
        ((200, []), "is not one thing"),
    ],
)
def test_pages_that_are_not_set_up_are_one_sentence(api, monkeypatch, answer, words):
    api.answer = lambda *_: answer
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setattr(commands, "Api", lambda repository, token: nightly_api(repository, token, api.address))
    with pytest.raises(BenchError, match=words):
        commands.pages("o/r")


def test_pages_that_are_set_up_are_told(api, monkeypatch, capsys):
    api.answer = lambda *_: (200, {"build_type": "workflow", "html_url": "https://o.github.io/r/"})
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setattr(commands, "Api", lambda repository, token: nightly_api(repository, token, api.address))
    commands.pages("o/r")
    assert "https://o.github.io/r/" in capsys.readouterr().out


nightly_api = commands.Api
