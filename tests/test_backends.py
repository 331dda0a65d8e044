"""Each backend types what its row in the README says, and leaves the rest to the release, as its users do."""

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


def call(name: str, version: tuple[int, ...] = NEWEST) -> dict:
    return backends.load(name).call(Settings("ppca", 500, name, seed=7), version)


def test_every_backend_has_its_row():
    assert {*TYPED, "default"} == set(backends.BACKENDS), (
        "TYPED in tests/test_backends.py says for each backend what a user types in the newest release: add the new one"
    )


@pytest.mark.parametrize("name", TYPED)
def test_a_backend_types_its_row(name):
    typed = call(name)
    assert {k: typed.get(k) for k in TYPED[name]} == TYPED[name]


@pytest.mark.parametrize("name", TYPED)
def test_what_the_machine_would_choose_is_stated_and_the_rest_is_the_releases(name):
    typed = call(name)
    assert {"chains": 4, "cores": 4, "random_seed": 7, "progressbar": False}.items() <= typed.items()
    assert not {"tune", "draws", "target_accept"} & set(typed)
    assert "freeze_model" not in str(typed)


@pytest.mark.parametrize("name", [*TYPED, "default"])
def test_what_a_trial_states_is_passed_on(name):
    stated = {"tune": 10, "draws": 20, "target_accept": 0.9, "chains": 2}
    settings = Settings("ppca", 500, name, seed=7, **stated)
    assert stated.items() <= backends.load(name).call(settings, NEWEST).items()


def test_the_default_states_nothing_else():
    assert call("default") == {"chains": 4, "cores": 4, "random_seed": 7, "progressbar": False}


def test_an_unknown_backend_is_one_sentence_that_lists_the_known_ones():
    with pytest.raises(backends.UnknownBackend, match=r"no backend .stan.*nutpie-jax-pytensor"):
        backends.load("stan")


@pytest.mark.parametrize("name", [n for n in TYPED if not n.startswith("pymc")])
def test_an_external_sampler_does_not_sample_a_discrete_model(name):
    assert "discrete" in backends.why_unsupported(backends.load(name), discrete_model=True, version=NEWEST)


def test_a_backend_whose_package_is_not_in_the_stack_is_unsupported_by_name():
    # The suite's own environment has neither PyMC nor any sampler.
    reason = backends.why_unsupported(backends.load("nutpie-jax"), discrete_model=False, version=NEWEST)
    assert reason == "this stack has no nutpie"


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("0.13.4", "mine needs nutpie 0.14 or newer; this stack has 0.13.4"),
        ("0.9", "mine needs nutpie 0.14 or newer; this stack has 0.9"),
        ("0.14", None),
        ("0.14.0.post1", None),
        ("0.16.10", None),
        ("1.0rc1", None),
    ],
)
def test_a_backend_may_need_a_package_from_a_version_on(monkeypatch, version, reason):
    monkeypatch.setattr(backends.metadata, "version", {"nutpie": version}.__getitem__)
    backend = backends.Backend("mine", backends._default, ("nutpie>=0.14",))
    assert backends.why_unsupported(backend, discrete_model=False, version=NEWEST) == reason
    assert backend.distributions == ("nutpie",)


@pytest.mark.parametrize(("name", "devices"), [("numpyro-parallel", 4), ("numpyro-vectorized", 1), ("blackjax", 4)])
def test_chains_get_as_many_devices_as_they_run_on(name, devices):
    assert f"device_count={devices}" in backends.load(name).environment["XLA_FLAGS"]


@pytest.mark.parametrize("name", ["pymc-c", "pymc-numba", "pymc-jax"])
def test_before_5_19_the_mode_is_configured_and_not_passed(name):
    backend, mode = backends.load(name), call(name)["compile_kwargs"]["mode"]
    before = {"mode": "FAST_RUN" if mode == "CVM" else mode}
    assert "compile_kwargs" not in call(name, (5, 18, 2))
    assert backends.pytensor_configuration(backend, (5, 18, 2)) == before
    assert call(name, (5, 19, 0))["compile_kwargs"] == before
    assert backends.pytensor_configuration(backend, (5, 19, 0)) == {}


@pytest.mark.parametrize("name", ["default", "nutpie-numba", "numpyro-parallel"])
def test_nothing_is_configured_for_a_backend_that_chooses_no_linker_of_pymcs_own(name):
    assert backends.pytensor_configuration(backends.load(name), (5, 10, 0)) == {}


def test_the_c_linker_has_a_mode_of_its_own_since_5_27():
    assert call("pymc-c", (5, 26, 1))["compile_kwargs"] == {"mode": "FAST_RUN"}
    assert call("pymc-c", (5, 27, 0))["compile_kwargs"] == {"mode": "CVM"}


@pytest.mark.parametrize("name", ["nutpie-jax", "nutpie-jax-pytensor"])
def test_before_5_18_nutpie_has_one_backend(name):
    backend = backends.load(name)
    reason = backends.why_unsupported(backend, discrete_model=False, version=(5, 17, 0))
    assert reason == f"pm.sample of PyMC 5.17.0 cannot be asked for {name}; that of 5.18 is the first that can"
    assert call("nutpie-numba", (5, 17, 0))["nuts_sampler_kwargs"] == {"cores": 4}
    assert call("nutpie-numba", (5, 18, 0))["nuts_sampler_kwargs"] == {"backend": "numba", "cores": 4}


@pytest.mark.parametrize("name", ["nutpie-numba", "nutpie-jax", "nutpie-jax-pytensor"])
def test_before_6_0_nutpie_is_told_the_cores_apart(name):
    typed = call(name, (5, 28, 5))
    assert typed["nuts_sampler_kwargs"]["cores"] == 4
    assert "compile_kwargs" not in typed


@pytest.mark.parametrize(
    ("version", "passed"), [((5, 28, 5), True), ((6, 0, 0), False), ((6, 2, 0), False), ((6, 3, 0), True)]
)
def test_numpyros_default_way_of_running_chains_is_left_to_it_where_it_cannot_be_stated(version, passed):
    assert ("nuts_sampler_kwargs" in call("numpyro-parallel", version)) == passed
    assert call("numpyro-vectorized", version)["nuts_sampler_kwargs"] == {"chain_method": "vectorized"}


def test_packages_that_are_no_tuple_are_refused_with_what_to_write():
    with pytest.raises(TypeError, match=r"The packages of mine are 'nutpie': write \('nutpie',\), a tuple"):
        backends.Backend("mine", dict, "nutpie")


def test_no_two_backends_have_one_name():
    mine = backends.Backend("mine", dict)
    with pytest.raises(ValueError, match="Two backends are called mine: rename one"):
        backends._by_name(mine, backends.Backend("yours", dict), mine)


def test_a_function_that_gives_no_keyword_arguments_is_named():
    mine = backends.Backend("mine", lambda settings, version: None)
    with pytest.raises(TypeError, match=r"the function of mine in sampling/backends.py gives None, no keyword"):
        mine.keywords(Settings("ppca", 500, "mine"), NEWEST)
