"""`bench` answers bad input with one sentence and a next step, and shows what it will do before it does it."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import cli, paths
from harness.cli import app
from harness.errors import BenchError, NotMeasuredError
from harness.measuring import cells, run
from harness.measuring.cells import Cell
from harness.results import machines
from harness.results.records import file_name
from harness.stacks.locks import get_stack, load_stacks, recorded_hashes
from harness.suite import inside
from tests.site_results import STAMP, example

ROOT = Path(__file__).resolve().parent.parent
BENCH = Path(sys.executable).with_name("bench")


def bench(*arguments: str, **kwargs) -> subprocess.CompletedProcess:
    """Run `bench` as a user does."""
    return subprocess.run([BENCH, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, **kwargs)


@pytest.fixture
def here(monkeypatch, capsys):
    """Runs `bench` in this process, where nothing has to be imported anew; gives status, output and errors."""

    def run_here(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capsys.readouterr()

    return run_here


@pytest.mark.parametrize(
    "arguments",
    [("trial", "v9.9.9", "ppca"), ("run", "v9.9.9"), ("summary", "v9.9.9"), ("stacks", "diff", "v9.9.9", "v6.4.0")],
)
def test_an_unknown_release_is_one_sentence_that_names_the_newest_and_the_next_step(arguments, here):
    code, out, err = here(*arguments)
    assert code == 1
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "v9.9.9" in err
    assert load_stacks()[-1].tag in err
    assert "bench stacks update" in err


def test_a_stack_that_has_not_been_measured_is_said_to_be_so():
    answer = bench("summary", "v5.10.0", env={"PATH": "/usr/bin:/bin", "BENCH_MACHINE": "no-such-machine"})
    assert answer.returncode == 1
    assert len(answer.stderr.splitlines()) == 1
    assert "bench run" in answer.stderr
    assert "BENCH_MACHINE" not in answer.stderr  # nobody has


def test_what_only_another_machine_has_measured_is_said_to_be_there():
    answer = bench("summary", "v6.4.0", env={"PATH": "/usr/bin:/bin", "BENCH_MACHINE": "no-such-machine"})
    assert answer.returncode == 1
    assert "with BENCH_MACHINE=epyc-2cpu." in answer.stderr


def test_asv_is_quoted_with_its_error_and_not_with_what_it_said_after_it():
    said = "· Creating environments\n·· Last error: /x cannot be written.\n·· Failed to build the project.\n\n"
    assert run.why_it_stopped(said) == "/x cannot be written."
    assert run.why_it_stopped("· Discovering\n·· Failed to build.\n") == "·· Failed to build."
    assert run.why_it_stopped("\n") == "it said nothing"


def test_the_stacks_are_listed_oldest_first_with_what_samples():
    lines = bench("stacks", "list").stdout.splitlines()
    assert lines[0].startswith("v5.10.0")
    assert "pytensor" in lines[-1]
    assert len(lines) >= 50


def test_what_changed_between_two_stacks_is_one_command_away(here):
    assert "pymc 6.3.2 → 6.4.0" in here("stacks", "diff", "v6.3.2", "v6.4.0")[1]


def test_a_machine_that_asv_calls_what_names_no_folder_is_one_sentence(monkeypatch):
    monkeypatch.delenv("BENCH_MACHINE", raising=False)
    monkeypatch.setattr(machines, "known_machines", lambda: ["Bob's laptop"])
    with pytest.raises(BenchError, match="which cannot name a folder of results: set BENCH_MACHINE"):
        machines.machine_name()


@pytest.fixture(scope="module")
def description():
    return inside()


def test_the_small_sizes_are_the_smallest_of_each_model(description):
    small = cells.cells(description, small=True)
    assert {(c.model, c.n) for c in small} >= {("ppca", 500), ("discrete", 100)}
    assert Cell("ppca", 5000, "default") not in small
    assert Cell("ppca", 5000, "default") in cells.cells(description, small=False)
    assert {c.backend for c in small} == set(description["backends"])


@pytest.fixture
def their_protocol(description):
    """What the kept records were measured by."""
    record = example("pymc-c")[0]
    return {**description, "protocol": record["protocol"]}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results of v6.4.0 on the machine "box": the kept example records, and asv's numbers for two of its backends."""
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    shutil.copytree(ROOT / "tests/records/v6.4.0", tmp_path / "records/box/v6.4.0")
    numbers = [[1.5, 2.5], [["'pymc-c'", "'pymc-jax'"], ["500"]]]
    path = tmp_path / "asv/box" / f"{recorded_hashes()['v6.4.0'][:8]}-stack-py3.12.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"version": 2, "results": {"ppca.CompileSetup.track_cold_setup": numbers}}))
    return path


def test_what_both_asv_and_the_records_have_is_measured(results, their_protocol):
    done = run.measured("box", [get_stack("v6.4.0")], their_protocol, warm=1)
    assert {c.backend for c in done if c.model == "ppca"} == {"pymc-c", "pymc-jax", "blackjax"}, "a failure is a result"


def test_more_warm_trials_than_there_are_must_be_measured(results, their_protocol):
    done = run.measured("box", [get_stack("v6.4.0")], their_protocol, warm=3)
    assert {c.backend for c in done if c.model == "ppca"} == {"blackjax"}


@pytest.mark.parametrize("content", ["{", "[1, 2]", '{"results": {"ppca.Sampling.track_sampling": "x"}}', None])
def test_what_asv_has_lost_is_measured_again(results, their_protocol, content):
    results.unlink() if content is None else results.write_text(content)
    done = run.measured("box", [get_stack("v6.4.0")], their_protocol, warm=1)
    assert {c.backend for c in done if c.model == "ppca"} == {"blackjax"}


def test_another_protocol_must_be_measured(results, description):
    changed = {**description, "protocol": description["protocol"] + 1}
    assert run.measured("box", [get_stack("v6.4.0")], changed, warm=1) == set()


def test_releases_that_were_not_measured_side_by_side_are_measured_again(results, their_protocol):
    assert run.measured("box", [get_stack("v6.4.0")], their_protocol, warm=1)
    assert run.measured("box", [get_stack("v6.3.2"), get_stack("v6.4.0")], their_protocol, warm=1) == set()


def estimate(*wanted: Cell, machine: str = "box") -> float:
    return run.estimate_seconds(machine, {cell: {"cold": 1, "warm": 1} for cell in wanted}, arms=1)


def test_the_estimate_is_what_the_cells_took_before(results):
    known = estimate(Cell("ppca", 500, "pymc-c"))
    assert 20 < known < 60
    assert estimate(Cell("ppca", 500, "pymc-c"), Cell("ppca", 500, "never-measured")) > known


def test_the_estimate_does_not_count_on_failing_again(results):
    expected = estimate(Cell("ppca", 500, "pymc-c"))
    failure = example("blackjax")
    failure[0]["settings"]["backend"] = "pymc-c"
    copy = results.parents[2] / "records/box/v6.3.2" / file_name(failure[0])
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(failure))
    assert estimate(Cell("ppca", 500, "pymc-c")) == expected


def test_what_failed_in_one_release_is_counted_on_to_work_in_others(results):
    failure = example("blackjax")
    copy = results.parents[2] / "records/box/v6.3.2" / file_name(failure[0])
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(failure))
    cell = Cell(**{k: failure[0]["settings"][k] for k in ("model", "n", "backend")})
    one, many = (run.estimate_seconds("box", {cell: {"cold": 1, "warm": 1}}, arms) for arms in (1, 20))
    assert many > 40 * one


def test_the_estimate_of_another_backend_is_what_the_measured_ones_of_that_model_and_size_took(results):
    other, another_model = Cell("ppca", 500, "never-measured"), Cell("ppca", 501, "never-measured")
    before = estimate(other), estimate(another_model)
    for record in (results.parents[2] / "records/box").rglob("*.json"):
        trials = json.loads(record.read_text())
        for trial in trials:
            trial["trial_wall_seconds"] = 10 * trial.get("trial_wall_seconds", 0.0)
        record.write_text(json.dumps(trials))
    assert (estimate(other), estimate(another_model)) == pytest.approx((10 * before[0], before[1]))


def test_a_machine_that_has_not_measured_a_model_goes_by_what_others_took(results):
    measured, alike = Cell("ppca", 500, "pymc-c"), Cell("ppca", 500, "never-measured")
    for cell in (measured, alike):
        assert estimate(cell, machine="new") == estimate(cell)


def test_a_machine_that_has_measured_goes_by_its_own_trials(results):
    cell = Cell("ppca", 500, "pymc-c")
    elsewhere = estimate(cell)
    for path in (results.parents[2] / "records/box").glob("*/ppca-500-pymc-c.*"):
        slow = json.loads(path.read_text())
        for trial in slow:
            trial["trial_wall_seconds"] *= 10
        copy = results.parents[2] / "records/slow" / path.parent.name / path.name
        copy.parent.mkdir(parents=True)
        copy.write_text(json.dumps(slow))
    assert estimate(cell, machine="slow") == pytest.approx(10 * elsewhere)
    assert estimate(cell) == elsewhere


def test_the_estimate_of_what_was_never_measured_grows_with_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    small, large = (estimate(Cell("ppca", n, "pymc-c")) for n in (500, 50_000))
    assert 5 < large / small < 20


def test_asv_is_asked_for_the_planned_cells_and_no_others(description):
    import re

    wanted = [Cell("ppca", 500, "nutpie-jax"), Cell("discrete", 100, "default"), Cell("discrete", 100, "blackjax")]
    patterns = [*run.asv_selection(wanted, description), *run.gradient_selection(wanted, description)][1::2]

    def selected(name: str) -> bool:
        return any(re.search(pattern, name) for pattern in patterns)

    assert selected("ppca.Sampling.track_total('nutpie-jax', 500)")
    assert selected("discrete.CompileSetup.track_cold_setup('default', 100)")
    assert selected("imports.Import.timeraw_pymc")
    assert selected("gradient.LogpGradient.time_logp_dlogp('jax', 'ppca-500')")
    assert not selected("gradient.LogpGradient.time_logp_dlogp('jax', 'ppca-5000')")
    assert not selected("ppca.Sampling.track_total('nutpie-jax', 5000)")
    assert not selected("ppca.Sampling.track_total('nutpie-jax-pytensor', 500)")
    assert not selected("ppca.Sampling.track_gradients_per_effective_draw('default', 500)")
    # What cannot be sampled says so once.
    assert selected("discrete.Sampling.track_sampling('blackjax', 100)")
    assert not selected("discrete.Sampling.track_total('blackjax', 100)")


def test_a_command_that_fails_in_a_job_says_so_on_its_page(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    monkeypatch.setattr(sys, "argv", ["bench", "stacks", "diff", "v9<b>@all"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert page.read_text().startswith("**Failed:** `` There is no stack 'v9<b>@all': ")
    assert "There is no stack" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (SystemExit(2), 2, "the log says what"),
        (OSError(28, "No space left on device", "x/y"), 1, "x/y cannot be used: No space left"),
        (BenchError("A name:\n \t::error::injected ##[error]too \x1b[2J"), 1, "::error::injected"),
    ],
)
def test_whatever_ends_a_command_is_on_the_page_of_its_job(tmp_path, monkeypatch, capsys, raised, code, said):
    def app() -> None:
        raise raised

    page = tmp_path / "page.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert said in page.read_text()
    log = capsys.readouterr().err
    assert "##[" not in log
    assert not any(line.lstrip().startswith("::") for line in log.splitlines())
    assert "\x1b" not in log


def test_chosen_backends_are_measured_and_an_unknown_one_is_named(description):
    chosen = cells.cells(description, small=True, models=["discrete"], backends=["blackjax", "pymc-c"])
    assert [cell.backend for cell in chosen] == ["pymc-c", "blackjax"]
    with pytest.raises(BenchError, match=r"no backend 'stan': choose one of default, pymc-c"):
        cells.cells(description, small=True, backends=["stan"])


@pytest.mark.parametrize("arguments", [(), ("--phases",)])
def test_a_summary_of_damaged_results_names_them_and_fails(results, arguments, monkeypatch):
    monkeypatch.setenv("BENCH_MACHINE", "box")
    (results.parents[2] / f"records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json").write_text("{")
    answer = CliRunner().invoke(app, ["summary", "v6.4.0", *arguments])
    assert f"ppca-500-pymc-c.{STAMP}.json is not a list of records" in answer.output.replace("\n", " ")
    assert answer.exit_code == 1


def test_a_comparison_is_printed_in_one_way():
    answer = CliRunner().invoke(app, ["compare", "--json", "--markdown"])
    assert isinstance(answer.exception, NotMeasuredError)
    assert "take one of them" in str(answer.exception)
