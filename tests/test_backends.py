"""Each backend types what its row in the README says, states all that changes the work, and `default` nothing."""

import pytest

from sampling import backends
from sampling.settings import Settings

NEWEST = (6, 4, 0)
TYPED = {
    "pymc-c": {"nuts_sampler": "pymc", "compile_kwargs": {"mode": "CVM"}},
    "pymc-numba": {"nuts_sampler": "pymc", "compile_kwargs": {"mode": "NUMBA"}},
    "pymc-jax": {"nuts_sampler": "pymc", "compile_kwargs": {"mode": "JAX"}},
    "nutpie-numba": {"nuts_sampler": "nutpie", "nuts_sampler_kwargs": {"backend": "numba"}},
    "nutpie-jax": {"nuts_sampler": "nutpie", "nuts_sampler_kwargs": {"backend": "jax"}},
    "nutpie-jax-pytensor": {
        "nuts_sampler": "nutpie",
        "nuts_sampler_kwargs": {"backend": "jax", "gradient_backend": "pytensor"},
    },
    "numpyro-parallel": {"nuts_sampler": "numpyro", "nuts_sampler_kwargs": {"chain_method": "parallel"}},
    "numpyro-vectorized": {"nuts_sampler": "numpyro", "nuts_sampler_kwargs": {"chain_method": "vectorized"}},
    "blackjax": {"nuts_sampler": "blackjax"},
}


def call(name: str) -> dict:
    return backends.load(name).call(Settings("ppca", 500, name, seed=7), NEWEST)


@pytest.mark.parametrize("name", TYPED)
def test_a_backend_types_its_row(name):
    typed = call(name)
    assert {k: typed.get(k) for k in TYPED[name]} == TYPED[name]


@pytest.mark.parametrize("name", TYPED)
def test_all_that_changes_the_work_is_stated(name):
    stated = {"tune": 250, "draws": 250, "chains": 4, "cores": 4, "target_accept": 0.8, "random_seed": 7}
    assert stated.items() <= call(name).items()


@pytest.mark.parametrize("name", ["nutpie-numba", "nutpie-jax", "nutpie-jax-pytensor"])
def test_all_of_nutpie_compiles_the_same_model(name):
    assert call(name)["compile_kwargs"] == {"freeze_model": True}


def test_the_default_chooses_nothing_but_the_seed():
    assert call("default") == {"random_seed": 7, "progressbar": False}


def test_an_unknown_backend_is_one_sentence_that_lists_the_known_ones():
    with pytest.raises(backends.UnknownBackend, match=r"no backend .stan.*nutpie-jax-pytensor"):
        backends.load("stan")


@pytest.mark.parametrize("name", [n for n in TYPED if not n.startswith("pymc")])
def test_an_external_sampler_does_not_sample_a_discrete_model(name):
    assert "discrete" in backends.why_unsupported(backends.load(name), discrete_model=True)


def test_a_backend_whose_package_is_not_in_the_stack_is_unsupported_by_name():
    # The suite's own environment has neither PyMC nor any sampler.
    assert backends.why_unsupported(backends.load("nutpie-jax"), discrete_model=False) == "this stack has no nutpie"


@pytest.mark.parametrize("name", ["numpyro-parallel", "blackjax"])
def test_four_parallel_chains_get_four_devices(name):
    assert "device_count=4" in backends.load(name).environment["XLA_FLAGS"]
