"""Two real stacks, side by side: `bench compare` and `bench calibrate`, as a user runs them in a fresh copy."""

import json
import math
import subprocess
import sys

import pytest

from harness.judging.comparison import QUANTITIES
from harness.measuring import calibrate
from tests.test_asv_end_to_end import Suite
from tests.trials import agrees_with_the_exact_posterior, parts_sum_to_the_whole

pytestmark = pytest.mark.sampling

# What compiles and samples soonest.
MODEL, BACKEND, CELL = "eight_schools", "nutpie-jax", "eight_schools-8-nutpie-jax"
OLD, NEW = "v6.3.2", "v6.4.0"
INJECTED_SECONDS, ELEMENTS = 2.0, 100_000


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return Suite(tmp_path_factory.mktemp("side"))


def bench(suite, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments], cwd=suite.path, env=suite.environment(), timeout=600,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared(suite):
    """Two rounds of each kind."""
    return bench(
        suite, "compare", OLD, NEW, "--model", MODEL, "--backend", BACKEND, "--rounds", "2", "--json"
    )  # fmt: skip


def test_two_releases_are_compared_by_rounds_and_the_status_says_whether_one_is_slower(compared):
    if compared.returncode == 2:
        # Where something else runs, that is all that can be said; the rounds are there, as the other tests see.
        assert "the machine changed speed, or the two did not run side by side" in " ".join(compared.stderr.split())
        return
    told = json.loads(compared.stdout)
    slower = any(c["verdict"] == "slower" for c in told["comparisons"])
    broken = any(d["broken"] for d in told["differences"])
    assert compared.returncode == (1 if slower or broken else 0), compared.stderr
    by_name = {c["quantity"]: c for c in told["comparisons"]}
    # Rounds in which the machine changed speed are said, and do not count: of one kind, there may be no others.
    if not told["dropped_rounds"]:
        assert {"total", "total_cpu", "cold_setup", "warm_setup", "gradients_per_effective_draw"} <= by_name.keys()
    assert all(c["rounds"] <= 2 for c in told["comparisons"])
    for setup in by_name.keys() & {"cold_setup", "warm_setup"}:
        # JAX compiles it in seconds, in both.
        assert 0.2 < by_name[setup]["new"] / by_name[setup]["old"] < 5


def test_it_says_before_what_it_will_cost_and_after_what_it_was(compared):
    assert "this will take" in compared.stderr
    assert "of it inside trials" in compared.stderr or compared.returncode == 2
    assert "Traceback" not in compared.stderr


def test_both_releases_ran_the_same_rounds_with_the_same_seeds(compared, suite):
    old, new = (suite.records(tag, CELL) for tag in (OLD, NEW))

    def rounds(records: list[dict]) -> list[tuple]:
        return [(r["kind"], r["round"]["block"], r["round"]["number"], r["settings"]["seed"]) for r in records]

    assert rounds(old) == rounds(new)
    # Two of each, and one more for each that does not count.
    assert all(sum(r["kind"] == kind for r in old) >= 2 for kind in ("cold", "warm"))
    assert [a["round"]["position"] + b["round"]["position"] for a, b in zip(old, new, strict=True)] == [1] * len(old)
    assert len({r["round"]["position"] for r in old if r["kind"] == "warm"}) == 2, "each was the first once"


def test_each_trial_is_right_and_its_parts_sum_to_the_whole(compared, suite):
    for record in (r for tag in (OLD, NEW) for r in suite.records(tag, CELL)):
        parts_sum_to_the_whole(record)
        if record["kind"] == "warm":
            agrees_with_the_exact_posterior(record)


def test_asv_has_them_as_samples_and_compares_them(compared, suite):
    status, output = suite.asv("compare", "--machine", suite.machine, OLD, NEW)
    assert status == 0, output
    row = next(line for line in output.splitlines() if f"{MODEL}.Sampling.track_total('{BACKEND}', 8)" in line)
    assert "n/a" not in row
    assert not list((suite.path / f".asv/unfinished/{NEW}").glob("*/warm-*.json"))


@pytest.mark.thorough
def test_the_same_command_goes_on_from_the_rounds_there_are(compared, suite):
    before = [r["settings"]["seed"] for r in suite.records(NEW, CELL)]
    # One more round is enough to see it.
    what = ("--model", MODEL, "--backend", BACKEND, "--rounds", "3", "--budget", "0")
    again = bench(suite, "compare", OLD, NEW, *what)
    assert again.returncode in (0, 1, 2), again.stderr
    assert "Traceback" not in again.stderr
    seeds = [r["settings"]["seed"] for r in suite.records(NEW, CELL)]
    assert not set(before) & set(seeds), "rounds go on with other seeds"


@pytest.mark.thorough
def test_a_backend_that_works_on_one_side_only_is_a_finding(suite):
    found = bench(suite, "compare", "v6.1.0", NEW, "--model", MODEL, "--backend", "blackjax", "--markdown")
    assert found.returncode == 1, found.stderr
    assert "1 newly broken" in found.stdout
    assert "progress_bar" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((OLD, "v9.9.9"), "There is no stack 'v9.9.9'"),
        ((OLD, OLD), "bench calibrate"),
        ((OLD, NEW, "--backend", "stan"), "There is no backend 'stan'"),
        ((OLD, NEW, "--model", "coal_mining", "--backend", "blackjax"), "No parameter set was measured in both"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence_with_a_status_of_its_own(suite, arguments, said):
    answer = bench(suite, "compare", *arguments)
    assert answer.returncode == 2, answer.stderr
    assert said in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr


@pytest.mark.thorough
def test_work_that_is_put_into_a_copy_is_seen_in_its_clocks_and_not_in_its_draws(suite):
    """One round: how often it is called is for machines that nobody else uses."""
    answer = bench(
        suite, "calibrate", NEW, "--model", MODEL, "--backend", BACKEND, "--rounds", "1", "--cold", "1",
        "--inject", f"compilation={INJECTED_SECONDS}", "--inject", f"gradient={ELEMENTS}",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr + answer.stdout
    (kept,) = (suite.path / "results/calibration" / suite.machine).glob("*.json")
    injected = json.loads(kept.read_text())["injected"]
    assert [i["where"] for i in injected] == ["compilation", "gradient"]
    trials = (suite.path / f".asv/calibration/{NEW}/ended/{kept.stem}").glob(f"*/{CELL}/warm-1.json")
    arms = {path.parents[1].name: json.loads(path.read_text()) for path in trials}
    assert len(arms) == 4
    assert len({record["draws_sha256"] for record in arms.values()}) == 1
    # From the trials themselves: a round in which the machine changed speed is in no series.
    for text, seconds, low, high in (
        (f"compilation={INJECTED_SECONDS}", setup, 0.6 * INJECTED_SECONDS, 1.6 * INJECTED_SECONDS),
        (f"gradient={ELEMENTS}", log_of_gradient, math.log(1.5), math.inf),
    ):
        more = seconds(arms[calibrate.copy_name(calibrate.injection(text).modules)]) - seconds(arms["original"])
        assert low < more < high, text
    for series in injected:
        assert {s["quantity"] for s in series["series"]} <= {quantity.name for quantity in QUANTITIES}


def setup(record: dict) -> float:
    return record["clocks"]["before_window_cpu_seconds"]


def log_of_gradient(record: dict) -> float:
    gradients = record["counters"]["gradients_tuning"] + record["counters"]["gradients_drawing"]
    return math.log(record["clocks"]["window_cpu_seconds"] / gradients)
