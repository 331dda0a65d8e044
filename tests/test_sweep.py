"""A sweep gives every cell an outcome, whatever the cell does, goes on where it stopped, and renders what it found."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from harness import paths
from harness.cli import app
from harness.errors import BenchError, MachineError
from harness.measuring import alone, cells, sweep
from harness.measuring.cells import Cell
from harness.results import compatibility
from harness.results.blames import Blames, read_all
from harness.results.records import read_records, write_document
from harness.stacks.locks import get_stack, last_patches, load_stacks, with_previous
from harness.suite import inside

CELL = Cell("ppca", 500, "pymc-c")
OTHER = Cell("ppca", 500, "blackjax")
DESCRIPTION = {
    "protocol": 2, "same_draws_since": 2, "models": {"ppca": {}}, "limits": {"seconds": 600, "memory_mib": 8192}
}  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Nothing is written into the repository."""
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setattr(alone, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(compatibility, "TABLE", tmp_path / "compatibility.json")
    monkeypatch.setattr(compatibility, "DOCUMENT", tmp_path / "compatibility.md")
    monkeypatch.setenv("BENCH_MACHINE", "box")
    return tmp_path


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Gives a stack an environment whose interpreter is a script."""

    def install(script: str):
        path = tmp_path / "environment" / "bin" / "python"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{sys.executable}\n{script}")
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setattr(sweep, "stack_environment", lambda stack: tmp_path / "environment")

    return install


def outcome(cell: Cell, **fields) -> dict:
    settings = {"model": cell.model, "n": cell.n, "backend": cell.backend}
    return {"schema": 1, "kind": "cold", "started": "now", "settings": settings, "outcome": "ok", **fields}


OK = {
    "clocks": {"setup_wall_seconds": 1, "sampling_wall_seconds": 1, "call_wall_seconds": 1},
    "effective_draws": 100.0,
    "trial_wall_seconds": 3.0,
}
# A trial that answers with its last arguments, so that every cell has a record of its own.
ANSWER = """
import json, sys
a = sys.argv
named = dict(zip(a[4::2], a[5::2]))
settings = {"model": a[3], "n": int(named["--n"]), "backend": named["--backend"], "seed": int(named["--seed"])}
print(json.dumps({"schema": 2, "kind": "cold", "started": "now", "settings": settings, "outcome": "unsupported",
                  "reason": "because"}))
"""


def test_the_default_releases_are_the_last_patches_of_each_minor():
    tags = [stack.tag for stack in last_patches(load_stacks())]
    assert tags[:3] == ["v5.10.4", "v5.11.0", "v5.12.0"]
    assert {"v5.28.5", "v6.0.1", "v6.3.2", "v6.4.0"} <= set(tags)
    assert len({tag.rpartition(".")[0] for tag in tags}) == len(tags)


def test_every_cell_gets_its_own_record(interpreter):
    interpreter(ANSWER)
    records = [r for (r,) in sweep.sweep_stack("box", get_stack("v6.4.0"), [CELL, OTHER], DESCRIPTION, jobs=2)]
    assert {r.settings.backend for r in records} == {"pymc-c", "blackjax"}
    (kept,) = read_records(sweep.path_of("box", "v6.4.0", OTHER))
    assert (kept.settings.backend, kept.reason) == ("blackjax", "because")


THREADS = """
import json, os, sys
print(json.dumps({"schema": 2, "kind": "cold", "started": "now", "outcome": "failed",
                  "settings": {"model": "ppca", "n": 500, "backend": "pymc-c", "seed": 1},
                  "reason": os.environ["OPENBLAS_NUM_THREADS"] + " " + os.environ["PJRT_NPROC"]}))
"""


@pytest.mark.parametrize(
    ("jobs", "callers", "threads"), [(1, None, "8"), (3, None, "2"), (8, None, "1"), (9, None, "1"), (2, "5", "5")]
)
def test_trials_side_by_side_share_the_processors_unless_the_caller_says(
    interpreter, monkeypatch, jobs, callers, threads
):
    interpreter(THREADS)
    monkeypatch.setattr(sweep.os, "cpu_count", lambda: 8)
    for variable in ("OPENBLAS_NUM_THREADS", "PJRT_NPROC"):
        monkeypatch.delenv(variable, raising=False)
        if callers:
            monkeypatch.setenv(variable, callers)
    ((record,),) = sweep.sweep_stack("box", get_stack("v6.4.0"), [CELL], DESCRIPTION, jobs)
    assert record.reason == f"{threads} {threads}"


def named(*names: str) -> list[Cell]:
    return [Cell(*(model, 500), backend) for model, _, backend in (name.partition(" ") for name in names)]


@pytest.mark.parametrize(
    ("before", "running", "chosen"),
    [
        ("arma pymc-c", "gp blackjax", "arma default"),  # in its home, the same is compiled
        ("gp pymc-c", "arma pymc-c", "arma blackjax"),  # elsewhere it is just being compiled
        ("gp blackjax", "wide blackjax", "arma blackjax"),  # JAX keeps nothing
        (None, "gp blackjax", "arma blackjax"),
    ],
)
def test_cells_that_compile_the_same_follow_each_other_in_one_home(before, running, chosen):
    waiting = named("arma blackjax", "arma default", "arma nutpie-numba", "wide default")
    assert sweep._next(waiting, *(named(before) if before else [None]), named(running)) == named(chosen)[0]


def test_what_has_an_outcome_is_not_run_again_unless_lock_or_protocol_changed(interpreter):
    interpreter(ANSWER)
    stack = get_stack("v6.4.0")
    assert not sweep.swept("box", stack, CELL, DESCRIPTION)
    list(sweep.sweep_stack("box", stack, [CELL], DESCRIPTION, jobs=1))
    assert [r.outcome for r in sweep.swept("box", stack, CELL, DESCRIPTION)] == ["unsupported"]
    assert not sweep.swept("box", stack, CELL, DESCRIPTION | {"same_draws_since": 3})
    assert not sweep.swept("box", replace(stack, text=stack.text + "#"), CELL, DESCRIPTION)


def test_what_took_longest_in_any_release_is_begun_first(monkeypatch):
    short, long, unknown = named("arma default", "wide default", "gp default")
    for tag, cell, seconds in (("v6.3.2", short, 5.0), ("v6.4.0", short, 7.0), ("v6.3.2", long, 300.0)):
        write_document(sweep.path_of("box", tag, cell), [outcome(cell, **OK | {"trial_wall_seconds": seconds})])
    assert sweep.longest_first("box", [short, unknown, long]) == [long, unknown, short]
    monkeypatch.setattr(sweep.os, "cpu_count", lambda: 2)
    assert sweep.estimate_seconds("box", [short, long], jobs=3) == (6.0 + 300.0) / 2


def test_a_new_machine_begins_with_what_took_longest_elsewhere():
    short, long, here = named("arma default", "wide default", "gp default")
    took = [("box", short, 5.0), ("box", long, 300.0), ("box", here, 900.0), ("new", here, 60.0)]
    for machine, cell, seconds in took:
        write_document(sweep.path_of(machine, "v6.4.0", cell), [outcome(cell, **OK | {"trial_wall_seconds": seconds})])
    assert sweep.longest_first("new", [short, here, long]) == [long, here, short]
    assert sweep.estimate_seconds("new", [short, here, long], jobs=1) == 365.0


TIME_LIMIT = "it did not end within the time limit of {:g} s (pymc 6.4.0)"
MEMORY_LIMIT = "it used {:.0f} MiB, more than the memory limit of {:g} MiB (pymc 6.4.0)"


@pytest.mark.parametrize(
    ("reason", "again"),
    [
        (TIME_LIMIT.format(3), True),
        (TIME_LIMIT.format(600), False),
        (TIME_LIMIT.format(900), False),
        (MEMORY_LIMIT.format(104.5, 100), True),
        (MEMORY_LIMIT.format(8200, 8192), False),
        ("ValueError: more than the time limit of 3 s", False),
    ],
)
def test_what_was_ended_by_less_than_a_trial_may_take_now_is_run_again(reason, again):
    stack = get_stack("v6.4.0")
    keep("v6.4.0", {**outcome(CELL, outcome="failed", reason=reason), "lock_sha256": stack.sha256, "protocol": 2})
    assert bool(sweep.swept("box", stack, CELL, DESCRIPTION)) is not again


@pytest.mark.parametrize("damaged", ['[{"schema": 1, "kin', "[]", "[null]"])
def test_a_damaged_record_is_run_again(damaged):
    path = sweep.path_of("box", "v6.4.0", CELL)
    path.parent.mkdir(parents=True)
    path.write_text(damaged)
    assert not sweep.swept("box", get_stack("v6.4.0"), CELL, DESCRIPTION)
    assert sweep.estimate_seconds("box", [CELL], jobs=1) > 0


def test_a_folder_that_is_no_release_is_not_in_the_table():
    keep("v6.4.0", outcome(CELL, outcome="unsupported", reason="none"))
    for name in ("v6.4.0.bak", "vfoo"):
        (paths.RESULTS / "sweep" / "box" / name).mkdir()
    assert list(compatibility.table(paths.RESULTS / "sweep")["releases"]) == ["v6.4.0"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("print('what a day')", "status 0 and no record: it said nothing"),
        ("import sys; sys.exit('numpy is broken')", "status 1 and no record: numpy is broken"),
        ("import os; os.kill(os.getpid(), 9)", "status -9 and no record: it said nothing"),
        ("print('[1, 2]')", "no record"),
        ("""print('{"schema": 1, "kind": "cold"}')""", "the trial's record is not complete"),
    ],
)
def test_a_trial_without_a_record_is_an_outcome(interpreter, script, reason):
    interpreter(script)
    ((record,),) = sweep.sweep_stack("box", get_stack("v6.4.0"), [CELL], DESCRIPTION, jobs=1)
    assert record.outcome == "failed"
    assert reason in record.reason


# A trial whose answer is wrong for some seeds.
WRONG = ANSWER.replace('"unsupported"', '"invalid" if named["--seed"] in ("60400", "{}") else "unsupported"')


@pytest.mark.parametrize(
    ("also_wrong", "outcomes"), [("1060400", ["invalid", "invalid"]), ("none", ["invalid", "unsupported"])]
)
def test_a_wrong_answer_is_confirmed_or_not_by_another_seed(interpreter, also_wrong, outcomes):
    interpreter(WRONG.replace("{}", also_wrong))
    stack = get_stack("v6.4.0")
    (records,) = sweep.sweep_stack("box", stack, [CELL], DESCRIPTION, jobs=2)
    assert [r.outcome for r in records] == outcomes
    assert sweep.swept("box", stack, CELL, DESCRIPTION) == records


def test_a_wrong_answer_that_was_interrupted_before_it_was_confirmed_is_kept_and_confirmed(interpreter):
    interpreter(WRONG)
    stack = get_stack("v6.4.0")
    list(sweep.sweep_stack("box", stack, [CELL], DESCRIPTION, jobs=2))
    path = sweep.path_of("box", "v6.4.0", CELL)
    wrong = json.loads(path.read_text())[:1]
    path.write_text(json.dumps([{**wrong[0], "reason": "off by far"}]))
    assert not sweep.swept("box", stack, CELL, DESCRIPTION)
    (records,) = sweep.sweep_stack("box", stack, [CELL], DESCRIPTION, jobs=2)
    assert [(r.outcome, r.reason) for r in records] == [("invalid", "off by far"), ("unsupported", "because")]


def test_a_trial_more_has_another_seed_and_loses_no_answer(interpreter):
    interpreter(WRONG)
    stack = get_stack("v6.4.0")
    for outcomes in (["invalid", "unsupported"], ["invalid", "unsupported"]):
        (records,) = sweep.sweep_stack("box", stack, [CELL], DESCRIPTION, jobs=1)
        assert [r.outcome for r in records] == outcomes
    path = sweep.path_of("box", "v6.4.0", CELL)
    path.write_text(json.dumps([{**outcome(CELL, **OK), "protocol": 2, "lock_sha256": stack.sha256}]))
    (records,) = sweep.sweep_stack("box", stack, [CELL], DESCRIPTION, jobs=1)
    assert [r.outcome for r in records] == ["ok", "unsupported"]
    assert json.loads(path.read_text())[-1]["settings"]["seed"] == 1_060_400


def test_a_stack_that_cannot_be_installed_fails_all_its_cells_with_the_reason(monkeypatch):
    def broken(stack):
        raise BenchError("Stack v6.4.0 cannot be installed: no such wheel")

    monkeypatch.setattr(sweep, "stack_environment", broken)
    records = [r for (r,) in sweep.sweep_stack("box", get_stack("v6.4.0"), [CELL, OTHER], DESCRIPTION, jobs=2)]
    assert [(r.outcome, r.reason) for r in records] == 2 * [
        ("failed", "Stack v6.4.0 cannot be installed: no such wheel")
    ]


def test_what_a_stack_answered_before_it_could_be_installed_no_more_is_kept(monkeypatch):
    def withdrawn(stack):
        raise BenchError("Stack v6.4.0 cannot be installed: no such wheel")

    monkeypatch.setattr(sweep, "stack_environment", withdrawn)
    stack = get_stack("v6.4.0")
    keep("v6.4.0", {**outcome(CELL, **OK), "protocol": 2, "lock_sha256": stack.sha256})
    (records,) = sweep.sweep_stack("box", stack, [CELL], DESCRIPTION, jobs=1)
    assert [r.outcome for r in records] == ["ok", "failed"]


def test_a_later_trial_leaves_the_protocol_of_an_earlier_one(interpreter):
    interpreter(ANSWER)
    stack = get_stack("v6.4.0")
    keep("v6.4.0", {**outcome(CELL, **OK), "protocol": 2, "lock_sha256": stack.sha256})
    (records,) = sweep.sweep_stack("box", stack, [CELL], DESCRIPTION | {"protocol": 3}, jobs=1)
    assert [r.protocol for r in records] == [2, 3]


def test_without_a_network_nothing_is_recorded(monkeypatch):
    def offline(stack):
        raise MachineError("the package index cannot be reached; check the network connection and try again.")

    monkeypatch.setattr(sweep, "stack_environment", offline)
    with pytest.raises(MachineError):
        list(sweep.sweep_stack("box", get_stack("v6.4.0"), [CELL], DESCRIPTION, jobs=1))
    assert not sweep.path_of("box", "v6.4.0", CELL).exists()


# A trial that ends what it started when it is asked to end; Ctrl-C is ignored by what a shell started with `&`.
IN_THE_BACKGROUND = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(pathlib.Path({ended!r}).write_text("in order") and 1))
pathlib.Path({pid!r}).write_text(str(os.getpid()))
time.sleep(60)
"""


def test_an_interrupted_sweep_ends_its_trials_in_order_and_leaves_no_record(interpreter, tmp_path):
    interpreter(IN_THE_BACKGROUND.format(ended=str(tmp_path / "ended"), pid=str(tmp_path / "pid")))
    cells = sweep.sweep_stack("box", get_stack("v6.4.0"), [CELL], DESCRIPTION, jobs=1)

    def interrupt(_seconds):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "time", SimpleNamespace(sleep=interrupt))
        with pytest.raises(KeyboardInterrupt):
            next(cells)
    pid = int((tmp_path / "pid").read_text())
    assert not (Path(f"/proc/{pid}")).exists()
    assert (tmp_path / "ended").read_text() == "in order"
    assert not sweep.path_of("box", "v6.4.0", CELL).exists()


# The command


def test_the_command_sweeps_what_is_left_and_writes_the_table(interpreter, elsewhere):
    interpreter(ANSWER)
    arguments = ["sweep", "v6.4.0", "v6.3.2", "--model", "discrete", "--backend", "default", "--jobs", "2"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    assert "2 releases × 1 cell on box: with an outcome 0, left 2." in first.output
    assert "This will take about" in first.output
    second = CliRunner().invoke(app, arguments)
    assert "with an outcome 2, left 0." in second.output
    assert list(compatibility.read(compatibility.TABLE)["releases"]) == ["v6.3.2", "v6.4.0"]
    assert "| v6.4.0 | – |" in compatibility.DOCUMENT.read_text()


SWEEP = ["sweep", "v6.4.0", "--model", "discrete", "--backend", "default", "--jobs", "1"]


def test_a_release_that_is_named_twice_is_swept_once(interpreter, elsewhere):
    interpreter(ANSWER)
    done = CliRunner().invoke(app, [*SWEEP, "v6.4.0"])
    assert "1 release × 1 cell on box: with an outcome 0, left 1." in done.output


def test_nothing_is_swept_while_something_is_measured(interpreter, elsewhere):
    interpreter(ANSWER)
    (elsewhere / "cache").mkdir()
    with FileLock(elsewhere / "cache/measuring.lock"):
        done = CliRunner().invoke(app, SWEEP)
    assert str(done.exception).startswith("Another measurement (process unknown) is under way in this folder")
    assert not (paths.RESULTS / "sweep/box").exists()


def test_a_damaged_record_of_another_release_is_named_before_anything_runs(interpreter, elsewhere):
    interpreter(ANSWER)
    path = sweep.path_of("other", "v6.3.2", Cell("discrete", 100, "default"))
    path.parent.mkdir(parents=True)
    path.write_text("[")
    result = CliRunner().invoke(app, SWEEP)
    assert isinstance(result.exception, BenchError)
    assert str(path) in str(result.exception)
    assert not (paths.RESULTS / "sweep/box").exists()


def test_another_machines_outcomes_stay_in_the_table(interpreter, elsewhere, monkeypatch):
    interpreter(ANSWER)
    keep("v6.3.2", outcome(CELL, outcome="failed", reason="on box"))
    keep("v6.4.0", outcome(CELL, outcome="failed", reason="on box"))
    monkeypatch.setenv("BENCH_MACHINE", "other")
    assert CliRunner().invoke(app, SWEEP).exit_code == 0
    releases = compatibility.read(compatibility.TABLE)["releases"]
    assert releases["v6.3.2"]["models"]["ppca (n=500)"]["pymc-c"]["reason"] == "on box"
    assert set(releases["v6.4.0"]["models"]) == {"discrete (n=100)", "ppca (n=500)"}


def test_a_limit_on_one_machine_does_not_replace_what_ended_on_another():
    for machine, started, fields in (
        ("a", "2026-11-01", OK),
        ("b", "2026-11-02", {"outcome": "failed", "reason": TIME_LIMIT.format(3)}),
    ):
        path = sweep.path_of(machine, "v6.4.0", CELL)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps([{**outcome(CELL, **fields), "started": started}]))
    cell = compatibility.table(paths.RESULTS / "sweep")["releases"]["v6.4.0"]["models"]["ppca (n=500)"]["pymc-c"]
    assert cell["outcome"] == "ok"


def test_of_two_machines_outcomes_the_later_one_counts():
    for machine, started in (("a", "2026-11-02"), ("b", "2026-11-01")):
        path = sweep.path_of(machine, "v6.4.0", CELL)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps([{**outcome(CELL, outcome="failed", reason=machine), "started": started}]))
    cell = compatibility.table(paths.RESULTS / "sweep")["releases"]["v6.4.0"]["models"]["ppca (n=500)"]["pymc-c"]
    assert cell["reason"] == "a"


def test_a_sweep_that_is_interrupted_before_its_first_outcome_writes_no_table(elsewhere, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "sweep_stack", interrupted)
    result = CliRunner().invoke(app, SWEEP)
    assert result.exit_code == 130
    assert not compatibility.TABLE.exists()
    assert not compatibility.DOCUMENT.exists()


def test_a_release_without_a_lock_does_not_keep_the_others_from_being_swept(interpreter, elsewhere):
    interpreter(ANSWER)
    arguments = ["sweep", "v5.17.1", "v6.4.0", "--model", "discrete", "--backend", "default"]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, BenchError)
    assert "There is no stack 'v5.17.1'" in str(result.exception)
    assert sweep.path_of("box", "v6.4.0", Cell("discrete", 100, "default")).exists()
    assert list(compatibility.read(compatibility.TABLE)["releases"]) == ["v6.4.0"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sweep", "v9.9.9"], "v9.9.9"),
        (["sweep", "--model", "stan"], "There is no model 'stan'"),
        (["sweep", "--backend", "stan"], "There is no backend 'stan'"),
        (["run", "--model", "stan"], "There is no model 'stan'"),
        (["stacks", "diff", "v5.10.0"], "first stack"),
    ],
)
def test_an_unknown_name_is_one_sentence(arguments, sentence):
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, BenchError)
    assert sentence in str(result.exception)


def test_the_change_of_a_stack_against_the_one_before_is_one_command():
    assert [s.tag for s in with_previous("v6.4.0")] == ["v6.3.2", "v6.4.0"]
    result = CliRunner().invoke(app, ["stacks", "diff", "v6.4.0"])
    assert "v6.3.2 → v6.4.0" in result.output
    assert "pymc 6.3.2 → 6.4.0" in result.output
    assert "no package differs" in CliRunner().invoke(app, ["stacks", "diff", "v6.4.0", "v6.4.0"]).output


# The table


def keep(tag: str, *records: dict) -> None:
    for record in records:
        s = record["settings"]
        path = sweep.path_of("box", tag, Cell(s["model"], s["n"], s["backend"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([record]))


def test_the_page_shows_outcomes_reasons_once_and_what_the_release_picks():
    resolved = {
        "sampler": "nutpie",
        "linker": "numba",
        "default_linker": "NumbaLinker",
        "fast_run_linker": "NumbaLinker",
    }
    broken = {"outcome": "failed", "reason": "TypeError: kernel() got `progress_bar` (pymc 6.4.0, blackjax 1.7.1)"}
    also_broken = {"outcome": "failed", "reason": "TypeError: kernel() got `progress_bar` (pymc 5.9.0, blackjax 1.6)"}
    only_choice = {**resolved, "sampler": "pymc"}
    keep("v6.4.0", outcome(Cell("discrete", 100, "default"), **OK, resolved=only_choice))
    keep("v6.4.0", outcome(Cell("ppca", 500, "default"), **OK, resolved=resolved), outcome(OTHER, **broken))
    keep("v5.9.0", outcome(OTHER, **also_broken), outcome(CELL, outcome="unsupported", reason="none"))
    keep("v5.9.1", outcome(CELL, outcome="invalid", reason="by chance"))
    confirmed = sweep.path_of("box", "v5.9.1", CELL)
    confirmed.write_text(json.dumps([*json.loads(confirmed.read_text()), outcome(CELL, **OK)]))
    keep("v6.10.0", outcome(OTHER, outcome="invalid", reason="<script> | pipe"))
    document = compatibility.table(paths.RESULTS / "sweep")
    assert list(document["releases"]) == ["v5.9.0", "v5.9.1", "v6.4.0", "v6.10.0"]
    page = compatibility.page(document, ["default", "pymc-c", "blackjax"], Blames())
    assert "| v6.4.0 | nutpie | Numba | Numba |" in page
    assert "| v6.4.0 | ok |   | **failed** (2) |" in page
    assert "| v5.9.0 |   | – | **failed** (2) |" in page
    assert "1. \\<script\\> \\| pipe" in page
    assert "| v5.9.1 |   | ok (3) |   |" in page
    assert "3. in another trial: by chance" in page
    assert (
        "2. TypeError: kernel() got \\`progress\\_bar\\`<br>with pymc 6.4.0, blackjax 1.7.1<br>with pymc 5.9.0" in page
    )


@pytest.mark.parametrize("linker", [None, "c"])
def test_the_page_says_c_whether_or_not_a_record_tells_what_compiled(linker):
    resolved = {
        "sampler": "pymc",
        "linker": linker,
        "default_linker": "VMLinker",
        "fast_run_linker": "VMLinker",
    }
    keep("v5.9.0", outcome(Cell("ppca", 500, "default"), **OK, resolved=resolved))
    page = compatibility.page(compatibility.table(paths.RESULTS / "sweep"), ["default"], Blames())
    assert "| v5.9.0 | pymc | C | C |" in page


def test_a_reason_within_a_reason_is_one_note_for_all_versions():
    lost = "a process died; it had warned (ConnectionResetError: reset (pymc {}, jax 0.8))"
    keep("v5.26.0", outcome(CELL, outcome="failed", reason=lost.format("5.26.0")))
    keep("v5.27.0", outcome(CELL, outcome="failed", reason=lost.format("5.27.0")))
    page = compatibility.page(compatibility.table(paths.RESULTS / "sweep"), ["pymc-c"], Blames())
    assert "1. a process died; it had warned (ConnectionResetError: reset)<br>with pymc 5.27.0, jax 0.8<br>" in page
    assert "\n2. " not in page


def test_a_table_of_another_schema_is_refused_with_the_next_step(elsewhere):
    compatibility.TABLE.write_text('{"schema": 2, "releases": {}}')
    with pytest.raises(BenchError, match=r"schema: Input should be 1.*bench sweep"):
        compatibility.read(compatibility.TABLE)


CELL_OF_A_TABLE = {"outcome": "ok", "reason": None}
BROKEN_TABLES = {
    "no releases": {"schema": 1},
    "a list": {"schema": 1, "releases": []},
    "a release of nothing": {"schema": 1, "releases": {"v6.4.0": None}},
    "no models": {"schema": 1, "releases": {"v6.4.0": {}}},
    "a model without its size": {
        "schema": 1,
        "releases": {"v6.4.0": {"models": {"ppca": {"pymc-c": CELL_OF_A_TABLE}}}},
    },
    "a cell of nothing": {"schema": 1, "releases": {"v6.4.0": {"models": {"ppca (n=500)": {"pymc-c": None}}}}},
    "an outcome of its own": {
        "schema": 1,
        "releases": {"v6.4.0": {"models": {"ppca (n=500)": {"pymc-c": {"outcome": "fine", "reason": None}}}}},
    },
}


@pytest.mark.parametrize("broken", BROKEN_TABLES)
def test_what_is_no_table_is_refused_with_the_next_step(elsewhere, broken):
    compatibility.TABLE.write_text(json.dumps(BROKEN_TABLES[broken]))
    with pytest.raises(BenchError, match=r"no compatibility table \(releases.*bench sweep"):
        compatibility.read(compatibility.TABLE)


def test_every_cell_of_the_committed_table_has_an_outcome():
    table = compatibility.read(paths.ROOT / "results/compatibility.json")
    assert list(table["releases"]) == [stack.tag for stack in last_patches(load_stacks())]
    every = {(f"{c.model} (n={c.n})", c.backend) for c in cells.cells(inside(), small=True, models=inside()["models"])}
    for tag, release in table["releases"].items():
        names = {title.partition(" ")[0] for title in release["models"]}
        swept = {backend for found in release["models"].values() for backend in found}
        # A model or a backend that is new is swept with all of a release, or not yet.
        assert {"ppca", "discrete", "discrete_marginal"} <= names
        assert {"default", "pymc-c", "nutpie-numba", "numpyro-parallel", "blackjax"} <= swept
        known = {(title, b) for title, b in every if title in release["models"] and b in swept}
        assert {(m, b) for m, found in release["models"].items() for b in found} == known, tag
        assert set(release["models"]) <= {title for title, _ in every}


def test_the_committed_page_is_rendered_from_the_committed_table():
    table, document = (paths.ROOT / p for p in ("results/compatibility.json", "docs/compatibility.md"))
    answers, damaged = read_all(paths.ROOT / "results")
    assert damaged == []
    page = compatibility.page(compatibility.read(table), inside()["backends"], Blames(answers))
    assert page == document.read_text()
