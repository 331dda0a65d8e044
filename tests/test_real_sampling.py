"""Real trials of the newest release: every backend gives the same draws twice, and clocks that sum to the whole."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.stacks.environments import process_environment, python, stack_environment
from harness.stacks.locks import get_stack

pytestmark = pytest.mark.sampling

ROOT = Path(__file__).resolve().parent.parent
BENCH = Path(sys.executable).with_name("bench")
# The model that all backends together compile soonest.
MODEL = "coal_mining_marginal"
SHORT = ("--tune", "100", "--draws", "100", "--chains", "2", "--cores", "2")
ON_CONTINUOUS = (
    "default", "pymc-c", "pymc-numba", "pymc-jax", "nutpie-numba", "nutpie-jax", "nutpie-jax-pytensor",
    "numpyro-parallel", "numpyro-vectorized",
)  # fmt: skip
COMPILED_BY_NUMBA = ("default", "pymc-numba", "nutpie-numba")
# What 6.4.0 picks by default finds in the other's home what that has compiled: all its trials are warm.
IN_THE_HOME_OF = {"default": "nutpie-numba"}


def trial(*arguments: str, release: str = "v6.4.0") -> dict:
    """The record of `bench trial`, which prints nothing else."""
    answer = subprocess.run(
        [BENCH, "trial", release, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode in (0, 1), answer.stderr
    record = json.loads(answer.stdout)
    assert answer.returncode == (record["outcome"] != "ok")
    return record


@pytest.fixture(scope="module")
def short_trial(tmp_path_factory):
    """The n-th trial of a backend in its home: the first there is cold, those after it are warm; each runs once.

    `home` tells several homes of a backend apart.
    """
    kept: dict[tuple[str, str], list[dict]] = {}
    homes: dict[tuple[str, str], Path] = {}

    def get(backend: str, n: int, home: str = "") -> dict:
        records = kept.setdefault((backend, home), [])
        owner = IN_THE_HOME_OF.get(backend, backend)
        if owner != backend:
            get(owner, 0)
        folder = homes.setdefault((owner, home), tmp_path_factory.mktemp("home"))
        while len(records) <= n:
            records.append(trial(MODEL, "--backend", backend, "--home", str(folder), *SHORT))
        return records[n]

    return get


COLD, WARM = range(2)


def same_work(one: dict, other: dict) -> None:
    assert one["draws_sha256"] == other["draws_sha256"]
    assert one["graph"] == other["graph"]
    assert one["graph"]["nodes"] > 0
    for count in ("gradients_tuning", "gradients_drawing", "divergences"):
        assert one["counters"][count] == other["counters"][count]
    assert one["counters"]["gradients_drawing"] > 0
    assert one["counters"]["gradients_tuning"] > 0


@pytest.mark.parametrize("backend", [b for b in ON_CONTINUOUS if b not in COMPILED_BY_NUMBA])
def test_the_same_seed_gives_the_same_draws_and_the_same_counts(short_trial, backend):
    cold, warm = short_trial(backend, COLD), short_trial(backend, WARM)
    assert (cold["kind"], warm["kind"]) == ("cold", "warm")
    same_work(cold, warm)


# Code that Numba has just compiled, and code that it loads from its cache, may round differently.
@pytest.mark.parametrize("backend", COMPILED_BY_NUMBA)
def test_the_same_seed_and_the_same_caches_give_the_same_draws_and_the_same_counts(short_trial, backend):
    first = 0 if backend in IN_THE_HOME_OF else WARM
    warm, again = short_trial(backend, first), short_trial(backend, first + 1)
    assert warm["kind"] == again["kind"] == "warm"
    same_work(warm, again)


def test_the_same_seed_and_no_caches_give_the_same_draws_and_the_same_counts(short_trial):
    """Of what Numba compiles, by the backend that compiles least."""
    cold, elsewhere = short_trial("pymc-numba", COLD), short_trial("pymc-numba", COLD, home="another")
    assert cold["kind"] == elsewhere["kind"] == "cold"
    same_work(cold, elsewhere)


@pytest.mark.parametrize("backend", ON_CONTINUOUS)
def test_the_parts_of_a_trial_sum_to_the_whole(short_trial, backend):
    for record in (short_trial(backend, n) for n in range(2)):
        c = {name.removesuffix("_wall_seconds"): s for name, s in record["clocks"].items()}
        assert all(s >= 0 for s in c.values())
        call = c["prepare"] + c["compile_while_drawing"] + c["sampling"] + c["finish"]
        assert call == pytest.approx(c["call"], abs=1e-6)
        assert c["setup"] + c["sampling"] + c["finish"] == pytest.approx(c["total"], abs=1e-6)
        assert c["total"] < record["trial_wall_seconds"]


@pytest.mark.parametrize("backend", ["pymc-numba", "pymc-jax", "nutpie-numba", "numpyro-parallel"])
def test_compilation_is_seen_where_it_happens(short_trial, backend):
    cold = short_trial(backend, COLD)
    assert cold["counters"]["compilations"] > 0
    assert cold["clocks"]["jit_wall_seconds"] > 0.5
    compiles_while_drawing = backend in ("pymc-jax", "numpyro-parallel")
    assert (cold["clocks"]["compile_while_drawing_wall_seconds"] > 0.5) == compiles_while_drawing


@pytest.mark.parametrize("backend", ["pymc-c", "nutpie-numba"])
def test_a_warm_trial_finds_what_the_cold_one_compiled(short_trial, backend):
    cold, warm = short_trial(backend, COLD), short_trial(backend, WARM)
    assert warm["clocks"]["setup_wall_seconds"] < 0.7 * cold["clocks"]["setup_wall_seconds"]


def test_the_default_says_what_it_picked(short_trial):
    record = short_trial("default", 0)
    resolved = record["resolved"]
    assert (resolved["sampler"], resolved["linker"]) == ("nutpie", "numba")
    assert resolved["fast_run_linker"] == "NumbaLinker"
    assert resolved["draws"] == 1000


def test_a_record_says_where_it_comes_from(short_trial):
    where = short_trial("nutpie-numba", COLD)["provenance"]
    assert (where["stack"], where["device"]) == ("v6.4.0", "cpu")
    assert len(where["lock_sha256"]) == 64
    lock = {
        line.split("==")[0]: line.split("==")[1]
        for line in (ROOT / "stacks/v6.4.0.txt").read_text().splitlines()
        if "==" in line
    }
    assert {**where["packages"], "asv-runner": ""} == {**lock, "asv-runner": ""}
    assert str(ROOT) not in json.dumps(where)


def test_a_full_trial_agrees_with_the_exact_posterior():
    """By the backend that compiles it soonest."""
    record = trial("ppca", "--n", "500", "--backend", "numpyro-parallel")
    assert record["outcome"] == "ok"
    assert record["effective_draws"] > 200
    assert all(abs(d["z_mean"]) < 5 for d in record["diagnostics"].values())


def test_a_discrete_model_is_unsupported_by_nuts_alone():
    record = trial("discrete", "--backend", "nutpie-numba")
    assert record["outcome"] == "unsupported"
    assert "discrete" in record["reason"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ppca", "--backend", "stan"), "There is no backend 'stan'"),
        (("nothing",), "There is no model 'nothing'"),
        (("ppca", "--n", "7"), "no size n=7"),
        (("ppca", "--draws", "0"), "draws is 0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(arguments, sentence):
    answer = subprocess.run(
        [BENCH, "trial", "v6.4.0", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert sentence in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_ctrl_c_ends_a_real_trial_in_one_sentence_and_leaves_no_process(tmp_path):
    command = [BENCH, "trial", "v6.4.0", "ppca", "--n", "500", "--backend", "pymc-c", "--home", str(tmp_path)]
    outer = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not any(tmp_path.glob(".pytensor/**/*")):
        assert outer.poll() is None
        time.sleep(0.2)
    os.killpg(outer.pid, signal.SIGINT)
    _, said = outer.communicate(timeout=60)
    assert outer.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            assert str(tmp_path) not in process.read_text(errors="replace")
        except OSError:
            continue


WATCHED = """
import sys, time
from sampling.provenance import device
from sampling.window import Window, watch
import pymc as pm
watch(window := Window(), time.process_time)
with pm.Model():
    pm.Normal("x")
    pm.sample(draws=10, tune=10, chains=1, nuts_sampler="nutpie", progressbar=False)
assert device() == "cpu"
print(window.sampler, "jax" in sys.modules, "jaxlib" in sys.modules)
"""


def test_watching_a_sampler_loads_nothing_that_it_would_not_load_itself():
    stack = get_stack("v6.4.0")
    interpreter = python(stack_environment(stack))
    answer = subprocess.run(
        [interpreter, "-c", WATCHED], cwd=ROOT, capture_output=True, text=True, check=True,
        env=process_environment(stack),
    )  # fmt: skip
    # What is there is ArviZ's placeholder, which loads all of JAX when it is asked for anything.
    assert answer.stdout.split() == ["nutpie", "True", "False"]
