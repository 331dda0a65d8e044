"""The interval that draws is found also where a release has no function of its own for it."""

import sys
import time
from collections import namedtuple
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from sampling import provenance, window


def pymc_5_10_jax() -> ModuleType:
    """A module that is laid out as `pymc.sampling.jax` of 5.10: it draws between two functions that it calls."""
    module = ModuleType("pymc.sampling.jax")
    source = """
import sys
import time
marks = []
def get_jaxified_graph(what):
    marks.append(time.perf_counter())
    return what
def get_jaxified_logp(model):
    return get_jaxified_graph("logp")
def sample_numpyro_nuts(**kwargs):
    logp = get_jaxified_logp("model")
    marks.append(time.perf_counter())
    marks.append(time.perf_counter())
    transformed = get_jaxified_graph("transformed")
    return logp, transformed
sample_blackjax_nuts = sample_numpyro_nuts
"""
    exec(source, module.__dict__)
    return module


@pytest.mark.parametrize("sampler", ["numpyro", "blackjax"])
def test_pymc_5_10_draws_between_the_log_density_and_the_transformed_draws(sampler):
    seen, module = window.Window(), pymc_5_10_jax()
    window._watch_jax(module, seen, time.process_time)
    assert getattr(module, f"sample_{sampler}_nuts")(tune=7, draws=3) == ("logp", "transformed")
    assert (seen.sampler, seen.linker, seen.gradient_backend, seen.tune) == (sampler, "jax", "jax", 7)
    logp, first_draw, last_draw, transformed = module.marks
    assert logp < seen.interval.start < first_draw < last_draw < seen.interval.end < transformed
    assert seen.cpu_seconds >= 0


def compiled_by(linker: str) -> SimpleNamespace:
    """A step method with a gradient, as PyMC's NUTS is one."""
    maker = SimpleNamespace(linker=type(linker, (), {})())
    return SimpleNamespace(_logp_dlogp_func=SimpleNamespace(_pytensor_function=SimpleNamespace(maker=maker)))


@pytest.mark.parametrize(
    ("linker", "name"),
    [("NumbaLinker", "numba"), ("JAXLinker", "jax"), ("VMLinker", "c"), ("CLinker", "c"), ("OpWiseCLinker", "c")],
)
@pytest.mark.parametrize("compound", [True, False])
def test_what_compiled_the_log_density_of_pymcs_own_sampler_is_seen(linker, name, compound):
    step = compiled_by(linker)
    module = SimpleNamespace(_mp_sample=lambda **_: None, _sample_many=lambda **_: None)
    window._watch_pymc(module, seen := window.Window(), time.process_time)
    module._mp_sample(step=SimpleNamespace(methods=[SimpleNamespace(), step]) if compound else step, tune=1, traces=[])
    assert (seen.sampler, seen.linker) == ("pymc", name)


def test_a_sampler_without_a_gradient_has_no_linker():
    module = SimpleNamespace(_mp_sample=lambda **_: None, _sample_many=lambda **_: None)
    window._watch_pymc(module, seen := window.Window(), time.process_time)
    module._sample_many(step=SimpleNamespace(), tune=1, traces=[])
    assert seen.linker is None


@pytest.mark.parametrize("kept", [True, False])
def test_nutpies_tuning_is_counted_where_its_draws_are_kept(kept):
    tuning = {"warmup_sample_stats": {"n_steps": np.array([[3, 4], [5, 6]])}} if kept else {}
    module = SimpleNamespace(
        compile_pymc_model=lambda model: model, sample=lambda model, **_: SimpleNamespace(**tuning)
    )
    seen = window.Window()
    window._watch_nutpie(module, seen, time.process_time)
    module.sample(module.compile_pymc_model("model"), tune=2)
    assert seen.tuning_gradients == (18 if kept else None)
    assert (seen.sampler, seen.tune) == ("nutpie", 2)


def test_the_tuning_steps_that_nutpie_chooses_are_told():
    def sample(model, progress_callback, **_):
        progress_callback([SimpleNamespace(total_num_steps=70, total_draws=1400)] * 4)
        return SimpleNamespace()

    module = SimpleNamespace(compile_pymc_model=lambda model: model, sample=sample)
    window._watch_nutpie(module, seen := window.Window(), time.process_time)
    module.sample("model", draws=1000, tune=None, progress_callback=lambda chains: None)
    assert (seen.tune, seen.total_gradients) == (400, 280)


@pytest.mark.parametrize("asks", [True, False])
def test_the_steps_of_blackjaxs_tuning_are_counted_chain_by_chain(monkeypatch, asks):
    """PyMC since 5.17 asks for no information of tuning; before, it was given all."""
    Algorithm = namedtuple("Algorithm", "run")
    steps = SimpleNamespace(num_integration_steps=np.array([3, 7, 15]))

    def window_adaptation(adaptation_info_fn=lambda state, info, adapted: SimpleNamespace(info=info)):
        return Algorithm(lambda key: ("adapted", adaptation_info_fn(None, steps, None)))

    monkeypatch.setitem(
        sys.modules, "jax", SimpleNamespace(debug=SimpleNamespace(callback=lambda tell, count: tell(count)))
    )
    module = SimpleNamespace(window_adaptation=window_adaptation)
    window._count_blackjax(module, seen := window.Window())
    asked = {"adaptation_info_fn": lambda *_: None} if asks else {}
    for _chain in range(4):
        result, _ = module.window_adaptation(**asked).run("key")
        assert result == "adapted"
    assert seen.tuning_gradients == 100


class Placeholder(ModuleType):
    """A JAX that is loaded when it is asked for anything, as ArviZ 1.x leaves one where nutpie draws."""

    def __getattribute__(self, name):
        raise AssertionError(f"jax.{name} was asked for: all of JAX is loaded while somebody else draws")


def test_only_the_samplers_of_jax_are_waited_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", Placeholder("jax"))
    module = SimpleNamespace(compile_pymc_model=lambda model: model, sample=lambda model, **_: SimpleNamespace())
    window._watch_nutpie(module, seen := window.Window(), time.process_time)
    module.sample("model")
    assert seen.sampler == "nutpie"


@pytest.mark.parametrize("sampler", ["numpyro", "blackjax"])
def test_what_jax_returns_early_is_waited_for(monkeypatch, sampler):
    waited = []
    jax = SimpleNamespace(block_until_ready=lambda r: waited.append(r) or r, effects_barrier=lambda: None)
    monkeypatch.setitem(sys.modules, "jax", jax)
    module = SimpleNamespace(
        _sample_numpyro_nuts=lambda **_: "draws",
        _sample_blackjax_nuts=lambda **_: "draws",
    )
    window._watch_jax(module, window.Window(), time.process_time)
    assert getattr(module, f"_sample_{sampler}_nuts")(tune=1) == "draws"
    assert waited == ["draws"]


def test_where_jax_computes_is_not_asked_of_a_jax_that_nobody_loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", Placeholder("jax"))
    monkeypatch.delitem(sys.modules, "jaxlib", raising=False)
    assert provenance.device() == "cpu"
