"""What `gradient.LogpGradient` times is the model's log-density and gradient, by every linker, to rounding."""

import json
import subprocess
import sys

import numpy as np
import pytest

import models
from harness.paths import ROOT
from harness.stacks.environments import process_environment, python, stack_environment
from harness.stacks.locks import get_stack
from tests.numpy_models import LOG_DENSITIES, logp_dlogp

pytestmark = [pytest.mark.sampling, pytest.mark.network]

SIZES = {name: models.load(name).SIZES[0] for name in models.names()}
# PyTensor keeps a Python number that float32 represents as one, and takes its logarithm in float32: the constants of
# HalfCauchy(5) are off by 6e-8 (PyMC 5.10.4: 2e-9). Gradients, which are what a sampler sees, have no constants.
CONSTANTS_OFF_BY = {"eight_schools": 1e-7}
EVALUATE = """
import json, sys
import models
from sampling.form import check
from sampling.gradient import fixed_point, logp_dlogp
from sampling.linkers import LINKERS
found, known = {}, json.loads(sys.argv[2])
for name, n in json.loads(sys.argv[1]).items():
    model = models.load(name).build(n)
    answers = {linker: logp_dlogp(model, linker)() for linker in LINKERS}
    found[name] = {
        "names": [v.name for v in model.value_vars],
        "point": [[v.tolist(), str(v.dtype)] for v in fixed_point(model)],
        "faults": [] if name in known else check(name)[0],
        "answers": {linker: [float(logp), gradient.tolist()] for linker, (logp, gradient) in answers.items()},
    }
print(json.dumps(found))
"""


def test_a_gradient_is_timed_on_one_processor():
    code = "import os; from sampling.gradient import one_thread; one_thread(); print(len(os.sched_getaffinity(0)))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "1\n"


# What takes up to two minutes to compile by all linkers, where others take seconds.
LONG = ("arma", "discrete_marginal", "gp", "ppca", "wide")
NAMES = [pytest.param(n, marks=pytest.mark.thorough) if n in LONG else n for n in models.names()]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """What the measured code says of a model; of those that take as long, all in one process."""
    told: dict[bool, dict] = {}

    def of(name: str) -> dict:
        long = name in LONG
        if long not in told:
            sizes = {n: size for n, size in SIZES.items() if (n in LONG) == long}
            told[long] = evaluate(tmp_path_factory.mktemp("home"), sizes)
        return told[long][name]

    return of


def evaluate(home, sizes: dict[str, int]) -> dict:
    stack = get_stack("v6.4.0")
    # What is promised is what the code says, whatever the C compiler makes of it: a third of the time it takes.
    variables = {
        **process_environment(stack), "HOME": str(home), "PYTHONPATH": str(ROOT),
        "PYTENSOR_FLAGS": "gcc__cxxflags=-O0",
    }  # fmt: skip
    command = [python(stack_environment(stack)), "-c", EVALUATE, json.dumps(sizes), json.dumps(list(LOG_DENSITIES))]
    answer = subprocess.run(command, cwd=variables["HOME"], env=variables, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_has_no_other_implementation_has_the_gradient_of_its_log_density(evaluated, name):
    assert evaluated(name)["faults"] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_linker_computes_the_log_density_and_its_gradient(evaluated, name):
    point = [np.array(value, dtype=dtype) for value, dtype in evaluated(name)["point"]]
    if name in LOG_DENSITIES:
        logp, gradient = logp_dlogp(name, SIZES[name], point)
    else:
        # What `sampling.form` holds against the model's own log density: here, by every linker.
        logp, gradient = (np.array(value) for value in evaluated(name)["answers"]["c"])
    assert np.abs(gradient).min() > 1e-6, "a gradient of zero would hide what is not computed"
    for linker, (its_logp, its_gradient) in evaluated(name)["answers"].items():
        assert its_logp == pytest.approx(logp, rel=1e-11, abs=CONSTANTS_OFF_BY.get(name, 0)), linker
        np.testing.assert_allclose(
            its_gradient, gradient, rtol=1e-9, atol=1e-11 * np.abs(gradient).max(), err_msg=linker
        )
