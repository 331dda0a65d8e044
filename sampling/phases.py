"""What of a trial is noted as a phase: the functions and announcements of PyMC, PyTensor, Numba, JAX and nutpie that
say what setup and finish are made of, and the marks that PyMC's workers pass. It must not know which backend runs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from sampling.spans import EVENTS_VARIABLE, Outermost, after_import, note

IMPORT, MODEL, OTHER = "import", "model", "other"
COMPILING = ("rewriting", "compiling_c", "compiling_numba", "tracing_jax", "lowering_jax", "compiling_xla", "loading")
STARTING_WORKERS = "starting_workers"
AFTER_DRAWING = ("transforming", "collecting", "checking")
SETUP = (IMPORT, MODEL, *COMPILING, STARTING_WORKERS, OTHER)
"""The phases of setup: importing PyMC and whatever the call imports; building the model; rewriting graphs; compiling,
by compiler, and with JAX in its three steps; loading compiled code from a cache on disk; starting workers."""
FINISH = (*AFTER_DRAWING, IMPORT, *COMPILING, OTHER)
"""The phases after the last draw: transforming draws to the model's variables, collecting them into one object,
checking their convergence; and what of setup's kinds happens there."""

# Where a worker of PyMC's own samplers is: each stretch ends where the next one begins.
WORKER_STARTS, WORKER_FIRST_STEP, WORKER_TUNES, WORKER_DRAWS = (
    "worker_starts", "worker_first_step", "worker_tunes", "worker_draws",
)  # fmt: skip

# Wherever PyMC looks them up: a module that imports a function by name has a name of its own for it.
_FUNCTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "pytensor.graph.rewriting.basic": (("GraphRewriter.rewrite", "rewriting"),),
    "pytensor.link.c.cmodule": (
        ("GCC_compiler.compile_str", "compiling_c"),
        ("ModuleCache.module_from_key", "loading"),
    ),
    "numba.core.caching": (("Cache.load_overload", "loading"),),
    "pymc.sampling.mcmc": (
        ("_sample_return", "collecting"),
        ("patch_nutpie_idata", "collecting"),
        ("run_convergence_checks", "checking"),
    ),
    "pymc.sampling.jax": (
        ("_numpyro_stats_to_dict", "collecting"),
        ("_postprocess_samples", "transforming"),
        ("from_dict", "collecting"),
        ("to_inference_data", "collecting"),
        ("run_convergence_checks", "checking"),
    ),
    "nutpie.sample": (("_arrow_to_arviz", "collecting"), ("_trace_to_arviz", "collecting")),
    # Up to ArviZ 0.x; later ones are known to PyMC by the name above.
    "arviz": (("from_dict", "collecting"),),
}

_JAX_EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "tracing_jax",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowering_jax",
    "/jax/core/compile/backend_compile_duration": "compiling_xla",
}


def listen() -> None:
    """Note the phases of this process from now on, if the trial asked for it by the environment."""
    if EVENTS_VARIABLE not in os.environ:
        return
    _listen_to_imports()
    after_import(
        {
            **{module: _wrapper(functions) for module, functions in _FUNCTIONS.items()},
            "numba.core.event": _listen_to_numba,
            "jax._src.monitoring": _listen_to_jax,
            "pymc.sampling.parallel": _watch_workers,
        }
    )


_asked: set[str] = set()
_found: set[str] = set()


def untold() -> set[str]:
    """Phases of which this release has none of the functions: what they took is part of `other`."""
    return _asked - _found


def _wrapper(functions: tuple[tuple[str, str], ...]) -> Callable[[ModuleType], None]:
    def wrap(module: ModuleType) -> None:
        for path, phase in functions:
            _asked.add(phase)
            *owners, name = path.split(".")
            owner = getattr(module, owners[0], None) if owners else module
            plain = vars(owner).get(name) if owner is not None else None
            if plain is not None:
                _found.add(phase)
            if isinstance(plain, staticmethod):
                setattr(owner, name, staticmethod(Outermost(phase).wrap(plain.__func__)))
            elif callable(plain):
                # JAX returns what it has not computed yet: else whoever uses it first would wait for it.
                wait = _jax_has_finished if phase == "transforming" else None
                setattr(owner, name, Outermost(phase).wrap(plain, wait))

    return wrap


def _jax_has_finished(result: object) -> object:
    return sys.modules["jax"].block_until_ready(result)


def _listen_to_imports() -> None:
    # The interpreter looks this one up for whatever is not imported yet, by an `import` as well as by a call.
    machinery = sys.modules["_frozen_importlib"]
    machinery._find_and_load = Outermost(IMPORT).wrap(machinery._find_and_load)  # type: ignore[attr-defined]


def _listen_to_numba(event: ModuleType) -> None:
    compiling = Outermost("compiling_numba")

    class Listener(event.Listener):
        """Numba compiles callees inside callers."""

        def on_start(self, _event) -> None:
            compiling.begin()

        def on_end(self, _event) -> None:
            compiling.end()

    # The compiler lock is held by every compilation: dispatchers, cfuncs and lowering alike.
    event.register("numba:compiler_lock", Listener())


def _listen_to_jax(monitoring: ModuleType) -> None:
    def on_duration(name: str, duration: float, **_) -> None:
        if name in _JAX_EVENTS:
            now = time.perf_counter()
            note(_JAX_EVENTS[name], now - duration, now)

    monitoring.register_event_duration_secs_listener(on_duration)


def _age_seconds() -> float:
    """Since when this process exists."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


class _Marks:
    """Notes the stretch between each mark that this worker passes and the one before, with its CPU seconds."""

    def __init__(self) -> None:
        self._time, self._cpu = time.perf_counter() - _age_seconds(), 0.0

    def passed(self, stretch: str) -> None:
        """`stretch` ends here."""
        now, cpu = time.perf_counter(), time.process_time()
        note(stretch, self._time, now, cpu - self._cpu)
        self._time, self._cpu = now, cpu


def _watch_workers(parallel: ModuleType) -> None:
    """PyMC's workers compile, tune and draw side by side: each says how much of its work was which."""
    plain_loop = parallel._Process._start_loop

    def start_loop(self) -> None:
        marks, step = _Marks(), self._step_method
        marks.passed(WORKER_STARTS)
        plain_step, plain_stop = step.step, step.stop_tuning

        def first_step(point):
            result = plain_step(point)
            marks.passed(WORKER_FIRST_STEP)
            del step.step  # the class's own again: no other step is watched
            return result

        def stop_tuning():
            marks.passed(WORKER_TUNES)
            return plain_stop()

        step.step, step.stop_tuning = first_step, stop_tuning
        try:
            plain_loop(self)
        finally:
            marks.passed(WORKER_DRAWS)

    parallel._Process._start_loop = start_loop
