"""Where drawing starts and ends inside `pm.sample`, and what the sampler did there, for each sampler.

`pm.sample` prepares (rewrites, compiles, finds starting points), draws (tuning and kept draws) and finishes (collects,
checks convergence). The functions that draw are wrapped as soon as the library that has them is imported.
It must not know the models or the backends.
"""

from __future__ import annotations

import functools
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

from sampling.spans import Interval, after_import


@dataclass
class Window:
    """What was seen of one `pm.sample` call. `tuning_gradients` stays None where the sampler does not tell.

    `begun_cpu_seconds` is what the CPU clock said when drawing began, `cpu_seconds` what was used until it ended.
    """

    interval: Interval | None = None
    begun_cpu_seconds: float = 0.0
    cpu_seconds: float | None = None
    sampler: str | None = None
    linker: str | None = None
    gradient_backend: str | None = None
    step_methods: list[str] = field(default_factory=list)
    total_gradients: int | None = None
    tuning_gradients: int | None = None
    tune: int | None = None

    @property
    def jax_gradient(self) -> bool:
        """Whether JAX, and not PyTensor, differentiated the log-density."""
        return self.gradient_backend == "jax"


def watch(window: Window, cpu_seconds: Callable[[], float]) -> None:
    """Fill `window` during the `pm.sample` call to come; `cpu_seconds()` reads the process tree's CPU clock."""
    after_import(
        {
            "pymc.sampling.mcmc": lambda m: _watch_pymc(m, window, cpu_seconds),
            "nutpie": lambda m: _watch_nutpie(m, window, cpu_seconds),
            "pymc.sampling.jax": lambda m: _watch_jax(m, window, cpu_seconds),
            "numpyro.infer.mcmc": lambda m: _count_numpyro(m, window),
            "blackjax": lambda m: _count_blackjax(m, window),
        }
    )


def _timed(
    function: Callable,
    window: Window,
    cpu_seconds: Callable[[], float],
    sampler: str,
    after: Callable[..., None],
) -> Callable:
    """`function`, with its interval and CPU seconds added to the window, and `after(result, kwargs)` called."""

    @functools.wraps(function)
    def timed(*args, **kwargs):
        cpu, start = cpu_seconds(), time.perf_counter()
        result = function(*args, **kwargs)
        end = time.perf_counter()
        if window.interval is None:  # else: PyMC fell back from one way of drawing to another, inside the first
            window.interval = Interval(start, end)
            window.begun_cpu_seconds, window.cpu_seconds = cpu, cpu_seconds() - cpu
            window.sampler = sampler
        after(result, kwargs)
        return result

    return timed


def _finished(function: Callable) -> Callable:
    """`function`, which JAX lets return before it has finished, waited for: else drawing is taken for what follows."""

    @functools.wraps(function)
    def finished(*args, **kwargs):
        # Not where others draw: ArviZ 1.x leaves a placeholder for JAX, and to ask it loads JAX inside their window.
        jax = sys.modules["jax"]
        result = jax.block_until_ready(function(*args, **kwargs))
        jax.effects_barrier()  # what BlackJAX tells of its tuning
        return result

    return finished


def _watch_pymc(module: ModuleType, window: Window, cpu_seconds: Callable[[], float]) -> None:
    def after(_result, kwargs: dict) -> None:
        step = kwargs["step"]
        window.step_methods = [type(s).__name__ for s in getattr(step, "methods", [step])]
        window.tune = kwargs["tune"]
        window.linker = next(filter(None, map(_linker, getattr(step, "methods", [step]))), None)
        per_chain = []
        for trace in kwargs["traces"]:
            names = {name for sampler in trace.sampler_vars or [] for name in sampler}
            name = next((n for n in ("n_steps", "tree_size") if n in names), None)
            if name is None:
                return  # no gradient-based step method in this compound step
            per_chain.append(trace.get_sampler_stats(name).reshape(-1))
        window.total_gradients = int(sum(steps.sum() for steps in per_chain))
        window.tuning_gradients = int(sum(steps[: window.tune].sum() for steps in per_chain))

    for name in ("_mp_sample", "_sample_many"):
        setattr(module, name, _timed(getattr(module, name), window, cpu_seconds, "pymc", after))


def _linker(step) -> str | None:
    """The linker that compiled a step method's log-density and gradient, None of a method that has no gradient."""
    function = getattr(getattr(step, "_logp_dlogp_func", None), "_pytensor_function", None)
    if function is None:
        return None
    name = type(function.maker.linker).__name__
    return {"NumbaLinker": "numba", "JAXLinker": "jax"}.get(name, "c")


def _watch_nutpie(module: ModuleType, window: Window, cpu_seconds: Callable[[], float]) -> None:
    def after(result, kwargs: dict) -> None:
        window.tune = kwargs.get("tune") or window.tune
        # Until PyMC 6.0 the draws of tuning were kept, with their statistics.
        tuning = getattr(result, "warmup_sample_stats", {})
        if "n_steps" in tuning:
            window.tuning_gradients = int(tuning["n_steps"].sum())

    compile_model, sample = module.compile_pymc_model, module.sample

    @functools.wraps(compile_model)
    def compile_and_note(*args, **kwargs):
        window.linker = kwargs.get("backend", "numba")
        window.gradient_backend = kwargs.get("gradient_backend") or (
            (getattr(compile_model, "__kwdefaults__", None) or {}).get("gradient_backend")
        )
        return compile_model(*args, **kwargs)

    @functools.wraps(sample)
    def sample_and_count(*args, **kwargs):
        # nutpie reports its running totals to a progress callback, called from its own thread; PyMC passes one
        # since 6.0.
        report = kwargs.get("progress_callback")
        if report is not None:

            def count_and_report(chains):
                window.total_gradients = sum(chain.total_num_steps for chain in chains)
                # The sampler's own choice, where none was stated.
                window.tune = chains[0].total_draws - kwargs["draws"]
                return report(chains)

            kwargs["progress_callback"] = count_and_report
        return sample(*args, **kwargs)

    module.compile_pymc_model = compile_and_note
    module.sample = _timed(sample_and_count, window, cpu_seconds, "nutpie", after)


def _watch_jax(module: ModuleType, window: Window, cpu_seconds: Callable[[], float]) -> None:
    def after(_result, kwargs: dict) -> None:
        window.tune = kwargs.get("tune")
        window.linker = window.gradient_backend = "jax"

    for sampler in ("numpyro", "blackjax"):
        name = f"_sample_{sampler}_nuts"
        if hasattr(module, name):
            setattr(module, name, _timed(_finished(getattr(module, name)), window, cpu_seconds, sampler, after))
        else:
            _watch_inline_jax(module, window, cpu_seconds, sampler)


def _watch_inline_jax(module: ModuleType, window: Window, cpu_seconds: Callable[[], float], sampler: str) -> None:
    """PyMC 5.10 draws in the middle of `sample_numpyro_nuts` and `sample_blackjax_nuts`, in no function of its own.

    Drawing lies between the end of `get_jaxified_logp` and the next call of `get_jaxified_graph`, which makes the
    function that transforms the draws.
    """
    name = f"sample_{sampler}_nuts"
    plain_sample, plain_logp, plain_graph = (
        getattr(module, n) for n in (name, "get_jaxified_logp", "get_jaxified_graph")
    )
    begun: list[tuple[float, float]] = []

    @functools.wraps(plain_sample)
    def sample(*args, **kwargs):
        window.sampler, window.tune = sampler, kwargs.get("tune")
        window.linker = window.gradient_backend = "jax"
        return plain_sample(*args, **kwargs)

    @functools.wraps(plain_logp)
    def logp_then_begin(*args, **kwargs):
        logp = plain_logp(*args, **kwargs)
        begun.append((cpu_seconds(), time.perf_counter()))
        return logp

    @functools.wraps(plain_graph)
    def end_then_graph(*args, **kwargs):
        if begun and window.interval is None:
            cpu, start = begun[0]
            window.interval = Interval(start, time.perf_counter())
            window.begun_cpu_seconds, window.cpu_seconds = cpu, cpu_seconds() - cpu
        return plain_graph(*args, **kwargs)

    setattr(module, name, sample)
    module.get_jaxified_logp, module.get_jaxified_graph = logp_then_begin, end_then_graph


def _count_numpyro(module: ModuleType, window: Window) -> None:
    """Carry the number of leapfrog steps since the start in NumPyro's state: it collects nothing while it tunes.

    This adds one integer addition to a transition, and changes no draw.
    """
    from numpyro.infer import hmc

    state_type, plain_init, plain_sample = hmc.HMCState, hmc.HMC.init, hmc.HMC.sample
    counted_type = namedtuple("HMCState", (*state_type._fields, "total_steps"))

    def init(self, *args, **kwargs):
        state = plain_init(self, *args, **kwargs)
        return counted_type(*state, state.num_steps * 0)

    def sample(self, state, *args, **kwargs):
        new = plain_sample(self, state_type(*state[:-1]), *args, **kwargs)
        return counted_type(*new, state.total_steps + new.num_steps)

    plain_run = module.MCMC.run

    @functools.wraps(plain_run)
    def run(self, *args, **kwargs):
        plain_run(self, *args, **kwargs)
        window.total_gradients = int(self.last_state.total_steps.sum())

    hmc.HMC.init, hmc.HMC.sample, module.MCMC.run = init, sample, run


def _count_blackjax(module: ModuleType, window: Window) -> None:
    """Have BlackJAX tell the leapfrog steps of its tuning, which it knows and PyMC does not ask for: once a chain, when
    tuning has ended. This changes no draw."""
    plain = module.window_adaptation

    def tuned(steps) -> None:
        window.tuning_gradients = (window.tuning_gradients or 0) + int(steps)

    @functools.wraps(plain)
    def adaptation(*args, **kwargs):
        asked_for_nothing = "adaptation_info_fn" in kwargs
        if asked_for_nothing:
            kwargs["adaptation_info_fn"] = lambda _state, info, _adaptation: info
        algorithm = plain(*args, **kwargs)

        def run(*positional, **named):
            result, told = algorithm.run(*positional, **named)
            steps = (told if asked_for_nothing else told.info).num_integration_steps
            sys.modules["jax"].debug.callback(tuned, steps.sum())
            return result, told

        return algorithm._replace(run=run)

    module.window_adaptation = adaptation
