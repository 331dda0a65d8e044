"""Plain asv, in a copy of the suite with an empty HOME, on real stacks: run, interrupt, go on, compare, publish."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import copy_suite, share_bytecode
from tests.trials import agrees_with_the_exact_posterior, parts_sum_to_the_whole

pytestmark = pytest.mark.sampling

ASV = Path(sys.executable).with_name("asv")
# The two cheapest measurements there are: one backend that cannot sample the model, one that fails within seconds.
UNSUPPORTED = ("--bench", r"^discrete\.Sampling\.track_total\('blackjax', 100\)")
FAILING = ("--bench", r"^ppca\.Sampling\.track_total\('blackjax', 500\)")


class Suite:
    """A copy of the suite with a HOME of its own."""

    def __init__(self, folder: Path) -> None:
        self.path, self.home = folder / "suite", folder / "home"
        copy_suite(self.path)
        self.home.mkdir()
        share_bytecode(self.path)
        self.machine = "test-machine"

    def environment(self, **changes: str) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.home), "BENCH_MACHINE": self.machine, **self.cache(), **changes}

    @staticmethod
    def cache() -> dict[str, str]:
        """uv's cache is the caller's: what is tested is not the network."""
        uv = Path(sys.executable).with_name("uv")
        return {
            "UV_CACHE_DIR": subprocess.run(
                [uv, "cache", "dir"], capture_output=True, text=True, check=True
            ).stdout.strip()
        }

    def start(self, *arguments: str, **changes: str) -> subprocess.Popen:
        return subprocess.Popen(
            [ASV, *arguments], cwd=self.path, env=self.environment(**changes), text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def asv(self, *arguments: str, **changes: str) -> tuple[int, str]:
        process = self.start(*arguments, **changes)
        output, _ = process.communicate(timeout=600)
        return process.returncode, output

    def records(self, tag: str, name: str) -> list[dict]:
        """Of the newest measurement."""
        path = sorted((self.path / "results/records" / self.machine / tag).glob(f"{name}.*.json"))[-1]
        return json.loads(path.read_text())


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return Suite(tmp_path_factory.mktemp("asv"))


def test_asv_check_finds_no_problem_on_a_fresh_copy(suite):
    status, output = suite.asv("check")
    assert status == 0, output
    assert "No problems found" in output


def test_a_range_is_measured_and_what_fails_is_recorded_with_its_reason(suite):
    status, output = suite.asv("run", "v6.3.1..v6.4.0", *UNSUPPORTED, *FAILING)
    assert status == 2, output
    (record,) = suite.records("v6.4.0", "ppca-500-blackjax")
    assert record["outcome"] == "failed"
    # The true reason, with the versions that it was seen with.
    assert "unexpected keyword argument 'progress_bar'" in record["reason"]
    assert "blackjax 1.7.1" in record["reason"]
    assert "pymc 6.4.0" in record["reason"]
    assert "Traceback" in record["traceback"]
    assert record["provenance"]["machine"] == "test-machine"
    assert suite.records("v6.4.0", "discrete-100-blackjax")[0]["outcome"] == "unsupported"
    assert not any((suite.path / ".asv/unfinished/v6.4.0").iterdir())


def test_compare_shows_failures_as_failed_and_unsupported_as_not_available(suite):
    status, output = suite.asv("compare", "--machine", suite.machine, "v6.3.2", "v6.4.0")
    assert status == 0, output
    wall = next(line for line in output.splitlines() if "ppca.Sampling.track_total('blackjax', 500)" in line)
    assert "failed" in wall
    unsupported = next(line for line in output.splitlines() if "discrete.Sampling.track_total('blackjax', 100)" in line)
    assert "n/a" in unsupported
    assert "failed" not in unsupported


def test_publish_makes_a_site_with_both_releases(suite):
    status, output = suite.asv("publish")
    assert status == 0, output
    index = json.loads((suite.path / "html/index.json").read_text())
    assert {"v6.3.2", "v6.4.0"} <= set(index["tags"])
    assert (suite.path / "html/index.html").exists()


def test_an_interrupted_run_leaves_its_trials_and_the_next_one_goes_on_from_them(suite):
    bench = (
        "run",
        "v6.4.0^!",
        "--bench",
        r"^coal_mining_marginal\.Sampling\.track_(total|sampling)\('nutpie-jax', 111\)",
    )
    folder = suite.path / ".asv/unfinished/v6.4.0/coal_mining_marginal-111-nutpie-jax"
    process = suite.start(*bench)
    while not (folder / "cold-0.json").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    kept = json.loads((folder / "cold-0.json").read_text())
    status, output = suite.asv(*bench, BENCH_WARM_TRIALS="1")
    assert status == 0, output
    records = suite.records("v6.4.0", "coal_mining_marginal-111-nutpie-jax")
    assert [r["kind"] for r in records] == ["cold", "warm"]
    assert records[0] == kept


def test_what_was_measured_after_what_was_kept_agrees_with_the_exact_posterior(suite):
    agrees_with_the_exact_posterior(suite.records("v6.4.0", "coal_mining_marginal-111-nutpie-jax")[1])


def test_the_kept_trial_was_a_short_one_and_the_one_after_it_has_another_seed(suite):
    cold, warm = suite.records("v6.4.0", "coal_mining_marginal-111-nutpie-jax")
    assert (cold["resolved"]["draws"], warm["resolved"]["draws"]) == (10, 1000)
    assert warm["settings"]["seed"] == cold["settings"]["seed"] + 1
    assert cold["graph"] == warm["graph"]
    parts_sum_to_the_whole(cold)
    parts_sum_to_the_whole(warm)


def test_a_run_after_a_finished_one_measures_anew(suite):
    before = suite.records("v6.4.0", "discrete-100-blackjax")[0]["started"]
    suite.asv("run", "v6.4.0^!", *UNSUPPORTED)
    assert suite.records("v6.4.0", "discrete-100-blackjax")[0]["started"] > before


def test_a_dry_run_keeps_nothing(suite):
    before = suite.records("v6.4.0", "discrete-100-blackjax")
    status, output = suite.asv("run", "--dry-run", "v6.4.0^!", *UNSUPPORTED)
    assert status == 0, output
    assert suite.records("v6.4.0", "discrete-100-blackjax") == before
    assert not any((suite.path / ".asv/unfinished/v6.4.0").iterdir())


def test_results_that_cannot_be_written_are_refused_before_anything_is_measured(suite):
    results = suite.path / "results"
    moved = results.rename(suite.path / "elsewhere")
    results.write_text("a file where a folder should be")
    try:
        status, output = suite.asv("run", "v6.4.0^!", *UNSUPPORTED)
    finally:
        results.unlink()
        moved.rename(results)
    assert status == 1
    assert "cannot be written" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("damage", ["{", "", "[1, 2]", '{"version": 2}'])
def test_a_damaged_result_of_asv_is_named_with_the_next_step(suite, damage):
    from harness.stacks.locks import load_stacks
    from harness.stacks.timeline import hashes

    commit = hashes(load_stacks())["v6.3.2"][:8]
    (result,) = (suite.path / "results/asv" / suite.machine).glob(f"{commit}-*.json")
    whole = result.read_text()
    result.write_text(damage)
    try:
        answers = [suite.asv(*c) for c in (("publish",), ("show", "v6.3.2"), ("compare", "v6.3.2", "v6.4.0"))]
    finally:
        result.write_text(whole)
    for status, output in answers:
        assert status == 1
        assert len(output.strip().splitlines()) == 1
        assert f"{result.name} is damaged: restore it with `git checkout" in output


def test_two_runs_at_once_do_not_share_an_environment(suite):
    first = suite.start("run", "v6.4.0^!", "--bench", r"ppca.*\('numpyro-parallel', 500\)", BENCH_WARM_TRIALS="0")
    while not (suite.path / ".asv/unfinished/v6.4.0/ppca-500-numpyro-parallel/home").exists():
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.1)
    status, output = suite.asv("run", "v6.3.2^!", *UNSUPPORTED)
    assert status == 1
    assert f"Another measurement (process {first.pid})" in output
    first.send_signal(signal.SIGTERM)  # a way to end that asv cannot pass on
    first.communicate(timeout=60)
    time.sleep(2)
    alive = subprocess.run(["pgrep", "-f", str(suite.path / ".asv/env")], capture_output=True, text=True, check=False)
    assert alive.stdout == ""


@pytest.mark.parametrize(
    "variable", ["BENCH_WARM_TRIALS", "BENCH_TIME_LIMIT", "BENCH_MEMORY_LIMIT", "BENCH_MACHINE", "BENCH_JAX"]
)
def test_a_typo_in_a_variable_is_one_sentence_and_costs_no_result(suite, variable):
    before = suite.records("v6.4.0", "discrete-100-blackjax")
    status, output = suite.asv("run", "v6.4.0^!", *UNSUPPORTED, **{variable: "../x"})
    assert status == 1
    assert f"{variable} is '../x'" in output
    assert "Traceback" not in output
    assert suite.records("v6.4.0", "discrete-100-blackjax") == before


def processes_of(suite: Suite) -> list[str]:
    """The command lines of what works in the suite's folder or for it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place, command = (process / "cwd").readlink(), (process / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if place.is_relative_to(suite.path) or str(suite.path) in command:
            found.append(command)
    return found


def start_main_job(suite: Suite) -> subprocess.Popen:
    """Start `bench run`, and return when a trial of it runs."""
    # What an ended run leaves must not be taken for a trial of this one.
    shutil.rmtree(suite.path / ".asv/unfinished/v6.3.2", ignore_errors=True)
    job = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "run", "v6.3.2", "--model", "coal_mining", "--warm", "0"],
        cwd=suite.path, text=True, env=suite.environment(), start_new_session=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    while not any((suite.path / ".asv/unfinished/v6.3.2").glob("*/home/.trial")):
        assert job.poll() is None, job.communicate()[0]
        time.sleep(0.1)
    return job


def all_ended(suite: Suite) -> bool:
    """Whether nothing of the suite runs any more, within what the kernel takes to end it on a busy machine."""
    for _ in range(100):
        if not processes_of(suite):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("request_to_end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_main_job_can_be_ended_in_any_way_and_leaves_no_process(suite, request_to_end):
    job = start_main_job(suite)
    job.send_signal(request_to_end)
    output, _ = job.communicate(timeout=60)
    assert job.returncode == 130
    assert "This will take about" in output
    assert "interrupted; what was measured is kept" in output
    assert "Traceback" not in output
    assert all_ended(suite)


def test_the_main_job_that_is_killed_leaves_no_process_and_keeps_what_was_measured(suite):
    job = start_main_job(suite)
    unfinished = suite.path / ".asv/unfinished/v6.3.2"
    # A trial that has ended, and one that runs.
    while not (kept := {p: p.read_bytes() for p in unfinished.glob("*/cold-0.json")}) or not any(
        unfinished.glob("*/home/.trial")
    ):
        assert job.poll() is None, job.communicate()[0]
        time.sleep(0.1)
    job.kill()
    job.wait()
    assert all_ended(suite)
    assert {path: path.read_bytes() for path in kept} == kept
    status, output = suite.asv("run", "v6.4.0^!", *UNSUPPORTED)
    assert status == 0, output
    assert "Another measurement" not in output


def test_no_git_is_one_sentence(suite, tmp_path):
    status, output = suite.asv("check", PATH=str(tmp_path))
    assert status == 1
    assert "git" in output
    assert "Traceback" not in output
