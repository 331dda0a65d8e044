"""Real trials of the newest release: a backend gives the same draws twice, and clocks that sum to the whole."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness.stacks.environments import process_environment, python, stack_environment
from harness.stacks.locks import get_stack
from tests.trials import BENCH, COLD, ROOT, SHORT, WARM, parts_sum_to_the_whole, same_work, trial

pytestmark = pytest.mark.sampling

# Of the others, those that Numba compiles are sampled in test_sampling_by_numba, and nutpie-jax in test_asv_end_to_end;
# BlackJAX samples in no release of today.
BACKENDS = ["pymc-c", "nutpie-jax-pytensor"]
BACKENDS += [
    pytest.param(b, marks=pytest.mark.thorough) for b in ("pymc-jax", "numpyro-parallel", "numpyro-vectorized")
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_seed_gives_the_same_draws_and_the_same_counts(short_trial, backend):
    cold, warm = short_trial(backend, COLD), short_trial(backend, WARM)
    assert (cold["kind"], warm["kind"]) == ("cold", "warm")
    same_work(cold, warm)


@pytest.mark.thorough
@pytest.mark.parametrize("linker", ["c", "numba"])
def test_a_loop_is_compiled_by_what_was_asked_for_also_where_only_a_configuration_can_ask(tmp_path, linker):
    record = trial("arma", "--backend", f"pymc-{linker}", "--home", str(tmp_path), *SHORT, release="v5.18.2")
    assert (record["outcome"], record["resolved"]["linker"]) == ("ok", linker), record["reason"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_parts_of_a_trial_sum_to_the_whole(short_trial, backend):
    for n in range(2):
        parts_sum_to_the_whole(short_trial(backend, n))


@pytest.mark.parametrize("backend", ["pymc-jax", "numpyro-parallel"])
def test_what_jax_compiles_is_setup_wherever_and_whenever_it_happens(short_trial, backend):
    setup = short_trial(backend, COLD)["phases"]["setup"]
    assert all(setup[step] > 0 for step in ("tracing_jax", "lowering_jax", "compiling_xla"))
    assert (setup["starting_workers"] > 0) == (backend == "pymc-jax")


def test_what_the_c_compiler_does_is_setup_and_what_it_did_is_loaded(short_trial):
    cold, warm = (short_trial("pymc-c", n)["phases"]["setup"] for n in (COLD, WARM))
    assert cold["compiling_c"] > warm["compiling_c"] == 0
    assert warm["loading"] > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_tuning_is_told_from_drawing_and_what_is_left_has_a_name(short_trial, backend):
    record = short_trial(backend, WARM)
    assert record["unknown"] == {}
    assert min(record["clocks"]["tuning_wall_seconds"], record["clocks"]["drawing_wall_seconds"]) > 0
    assert record["phases"]["setup"]["other"] < 0.3 * record["clocks"]["setup_wall_seconds"]


def test_a_warm_trial_finds_what_the_cold_one_compiled(short_trial):
    cold, warm = short_trial("pymc-c", COLD), short_trial("pymc-c", WARM)
    assert warm["clocks"]["setup_wall_seconds"] < 0.7 * cold["clocks"]["setup_wall_seconds"]


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


def ended_by_ctrl_c(outer):
    os.killpg(outer.pid, signal.SIGINT)


def ended_alone(outer):
    outer.terminate()


@pytest.mark.parametrize("end", [ended_by_ctrl_c, ended_alone])
def test_who_ends_a_real_trial_gets_one_sentence_and_no_process_is_left(tmp_path, end):
    command = [BENCH, "trial", "v6.4.0", "ppca", "--n", "500", "--backend", "pymc-c", "--home", str(tmp_path)]
    outer = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not any(tmp_path.glob(".pytensor/**/*")):
        assert outer.poll() is None
        time.sleep(0.2)
    end(outer)
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
