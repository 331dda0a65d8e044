"""The part of a trial that runs in the fresh interpreter: import PyMC, build the model, call `pm.sample`, and say what
was seen. `python -m sampling.child SETTINGS RESULT` is started by `sampling.trial`, never by hand.

Worker processes of the samplers import this module again (as `__mp_main__`), so it must do nothing on import
but listen to compilations, and must import nothing before PyMC that PyMC would import: that time is
PyMC's import time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from sampling import jit, process
from sampling.backends import Backend, load, pytensor_configuration
from sampling.linkers import pymc_version, pytensor_mode
from sampling.record import FAILED, INVALID, OK, write_json
from sampling.settings import Settings
from sampling.window import Window, watch

jit.listen()


def _cpu_seconds() -> float:
    return process.session_cpu_seconds(os.getsid(0))


class _Clock:
    """Wall and CPU seconds (of the whole session) since it was made."""

    def __init__(self) -> None:
        self._cpu, self.start = _cpu_seconds(), time.perf_counter()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self.start, _cpu_seconds() - self._cpu


def _clocks(imported, built, called, call: jit.Interval, window: Window, compilations) -> dict[str, float]:
    """The parts of the trial, which sum to the whole: see docs/method.md."""
    drawing = window.interval
    intervals = [c.interval for c in compilations]
    compile_seconds = jit.covered_seconds(intervals, within=drawing)
    prepare = drawing.start - call.start
    return {
        "import_wall_seconds": imported[0],
        "import_cpu_seconds": imported[1],
        "build_wall_seconds": built[0],
        "build_cpu_seconds": built[1],
        "call_wall_seconds": called[0],
        "call_cpu_seconds": called[1],
        "prepare_wall_seconds": prepare,
        "compile_while_drawing_wall_seconds": compile_seconds,
        "sampling_wall_seconds": drawing.end - drawing.start - compile_seconds,
        "finish_wall_seconds": call.end - drawing.end,
        "drawing_cpu_seconds": window.cpu_seconds,
        "jit_wall_seconds": jit.covered_seconds(intervals, within=call),
        "setup_wall_seconds": imported[0] + built[0] + prepare + compile_seconds,
        "total_wall_seconds": imported[0] + built[0] + called[0],
    }


def _named_draws(idata) -> dict:
    """Posterior draws by variable, each an array of shape (chain, draw, *shape); ArviZ 0.x and 1.x alike."""
    import numpy as np

    posterior = idata.posterior
    return {
        str(name): np.asarray(posterior[name].transpose("chain", "draw", ...)) for name in sorted(posterior.data_vars)
    }


def _digest(draws: dict) -> str:
    import numpy as np

    digest = hashlib.sha256()
    for name, values in draws.items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()


def _statistic(idata, *names: str):
    """The first of the sampler statistics that this sampler reports, as an array, or None."""
    import numpy as np

    # A sampler that reports no statistics has no counters; its draws can be judged nevertheless.
    stats = getattr(idata, "sample_stats", {})
    name = next((n for n in names if n in stats), None)
    return None if name is None else np.asarray(stats[name])


def _counters(idata, window: Window) -> dict[str, int | None]:
    steps = _statistic(idata, "n_steps", "tree_size")
    diverging = _statistic(idata, "diverging")
    drawing = None if steps is None else int(steps.sum())
    tuning = window.tuning_gradients
    if tuning is None and window.total_gradients is not None and drawing is not None:
        tuning = window.total_gradients - drawing
    return {
        "gradients_tuning": tuning,
        "gradients_drawing": drawing,
        "divergences": None if diverging is None else int(diverging.sum()),
        "compilations": None,
    }


def _linkers(configured: bool) -> dict[str, str | None]:
    """Which linker this release takes when the user names none, and when the user types "fast_run".

    Where the mode had to be configured, PyTensor has forgotten what it would have taken.
    """
    from pytensor.compile.mode import get_default_mode, get_mode

    return {
        "default_linker": None if configured else type(get_default_mode().linker).__name__,
        "fast_run_linker": type(get_mode("FAST_RUN").linker).__name__,
    }


def _fewer_than_asked(settings: Settings, first) -> str | None:
    """What is missing from draws of shape (chain, draw, ...), or None; `default` asks for no number of either."""
    asked, got = (settings.chains, settings.draws), first.shape[:2]
    if settings.backend == "default" or got == asked:
        return None
    return f"it returned {got[0]} chains of {got[1]} draws, and was asked for {asked[0]} of {asked[1]}"


def _judge(settings: Settings, model_module, draws: dict) -> dict:
    """Outcome, reason and diagnostics of the draws, by the exact posterior."""
    from sampling.diagnostics import effective_draws, judge

    n = settings.n
    fewer = _fewer_than_asked(settings, next(iter(draws.values())))
    if fewer:
        return {"outcome": INVALID, "reason": fewer}
    try:
        diagnostics, reason = judge(model_module.estimands(draws, n), model_module.reference(n))
    except ValueError as error:
        return {"outcome": INVALID, "reason": str(error)}
    return {
        "outcome": INVALID if reason else OK,
        "reason": reason,
        "effective_draws": effective_draws(diagnostics),
        "diagnostics": {name: asdict(d) for name, d in diagnostics.items()},
    }


def _configured(configuration: dict):
    """PyTensor's configuration for as long as this context lasts."""
    from pytensor import config

    return config.change_flags(**configuration)


def _finite(document):
    """JSON has no infinity and no NaN: what is not finite becomes null."""
    if isinstance(document, dict):
        return {k: _finite(v) for k, v in document.items()}
    if isinstance(document, list):
        return [_finite(v) for v in document]
    if isinstance(document, float) and not (float("-inf") < document < float("inf")):
        return None
    return document


def _sample(settings: Settings, backend: Backend, measured: Path) -> dict:
    """Everything the child knows of the trial; `measured` is made when all clocks have stopped."""
    window = Window()
    clock = _Clock()
    import pymc as pm

    imported = clock.read()
    import models

    module = models.load(settings.model)
    module.data(settings.n)
    watch(window, _cpu_seconds)
    version = pymc_version()
    keywords = backend.call(settings, version)
    configuration = pytensor_configuration(backend, version)
    clock = _Clock()
    model = module.build(settings.n)
    built = clock.read()
    with model, _configured(configuration):
        clock = _Clock()
        idata = pm.sample(**keywords)
        call = jit.Interval(clock.start, time.perf_counter())
        called = (call.end - call.start, clock.read()[1])
    measured.touch()

    if window.interval is None:
        raise RuntimeError("no drawing function of this release is known to sampling/window.py")
    compilations = jit.read_compilations(Path(os.environ[jit.EVENTS_VARIABLE]))
    draws = _named_draws(idata)
    first = next(iter(draws.values()))
    from sampling.provenance import provenance

    result = {
        "clocks": _clocks(imported, built, called, call, window, compilations),
        "counters": {**_counters(idata, window), "compilations": len(compilations)},
        "resolved": {
            "sampler": window.sampler,
            "linker": window.linker,
            "gradient_backend": window.gradient_backend,
            "step_methods": window.step_methods,
            "chains": int(first.shape[0]),
            "draws": int(first.shape[1]),
            "tune": window.tune,
            **_linkers(configured=bool(configuration)),
        },
        "draws_sha256": _digest(draws),
        "provenance": provenance(),
        **_judge(settings, module, draws),
    }
    from sampling.counters import count_graph

    try:
        mode = backend.linker and pytensor_mode(backend.linker, version)
        result["graph"] = asdict(count_graph(model, mode, window.jax_gradient))
    except Exception as error:  # a counter that cannot be taken is no reason to lose the trial
        result["graph"] = {"error": _one_line(error)}
    return result


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _reason(error: BaseException, backend: Backend) -> str:
    """The error in one line, with the versions of what was involved."""
    from sampling.provenance import versions

    return f"{_one_line(error)} ({versions(('pymc', *backend.packages, *_involved(error)))})"


def _involved(error: BaseException) -> list[str]:
    """The distributions whose code raised the error, and those whose classes its text names."""
    from importlib import metadata

    *_, (raised_in, _line) = traceback.walk_tb(error.__traceback__)
    modules = [raised_in.f_globals["__name__"]]
    for word in re.findall(r"\b[A-Z]\w{5,}", str(error)):
        named = (vars(module).get(word) for module in list(sys.modules.values()) if hasattr(module, "__dict__"))
        modules += {value.__module__ for value in named if isinstance(value, type)}
    owners = metadata.packages_distributions()
    found = {name for module in modules for name in owners.get(module.partition(".")[0], ())}
    return sorted(found)


def main(settings_json: str, result_path: Path) -> None:
    """Run, and write the result, whatever happened, to the file."""
    process.die_with_parent()
    settings = Settings(**json.loads(settings_json))
    backend = load(settings.backend)
    try:
        result = _sample(settings, backend, measured=result_path.with_name("measured"))
    except Exception as error:
        from sampling.provenance import provenance

        result = {
            "outcome": FAILED,
            "reason": _reason(error, backend),
            "traceback": traceback.format_exc(),
            "provenance": provenance(),
        }
    write_json(result_path, _finite(result))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
