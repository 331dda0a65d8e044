"""The part of a trial that runs in the fresh interpreter: import PyMC, build the model, call `pm.sample`, and say what
was seen. `python -m sampling.child SETTINGS RESULT [--outcome]` is started by `sampling.trial`, never by hand.

Worker processes of the samplers import this module again (as `__mp_main__`), so it must do nothing on import
but listen to what is done there, and must import nothing before PyMC that PyMC would import: that time is
PyMC's import time.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from sampling import clocks, phases, process, spans
from sampling.backends import Backend, load, pytensor_configuration
from sampling.linkers import pymc_version, pytensor_mode
from sampling.record import FAILED, INVALID, OK, within_reach, write_json
from sampling.settings import Settings
from sampling.window import Window, watch

phases.listen()


def _cpu_seconds() -> float:
    return process.session_cpu_seconds(os.getsid(0))


class _Clock:
    """A stretch of wall-clock time, and the CPU seconds of the whole session meanwhile."""

    def __init__(self) -> None:
        self.begun_cpu_seconds, self._start = _cpu_seconds(), time.perf_counter()

    def stop(self) -> _Clock:
        """It ends here."""
        self.interval = spans.Interval(self._start, time.perf_counter())
        self.cpu_seconds = _cpu_seconds() - self.begun_cpu_seconds
        return self


def _split(imported: _Clock, built: _Clock, called: _Clock, window: Window, counters: dict) -> clocks.Split:
    stretches = clocks.Stretches(os.getpid(), imported.interval, built.interval, called.interval, window.interval)
    noted = spans.read_spans(Path(os.environ[spans.EVENTS_VARIABLE]))
    return clocks.split(stretches, noted, (counters["gradients_tuning"], counters["gradients_drawing"]))


def _clocks(split: clocks.Split, imported: _Clock, built: _Clock, called: _Clock, window: Window) -> dict:
    """Clocks and phases of the record, and why what is unknown is: see docs/method.md."""
    setup, finish = sum(split.setup.values()), sum(split.finish.values())
    seconds = {
        "setup_wall_seconds": setup,
        "sampling_wall_seconds": split.sampling,
        "tuning_wall_seconds": split.tuning,
        "drawing_wall_seconds": split.drawing,
        "finish_wall_seconds": finish,
        "total_wall_seconds": setup + split.sampling + finish,
        "before_window_cpu_seconds": imported.cpu_seconds
        + built.cpu_seconds
        + (window.begun_cpu_seconds - called.begun_cpu_seconds),
        "window_cpu_seconds": window.cpu_seconds,
    }
    for name, clock in (("import", imported), ("build", built), ("call", called)):
        seconds |= {f"{name}_wall_seconds": clock.interval.seconds, f"{name}_cpu_seconds": clock.cpu_seconds}
    untold = dict.fromkeys(sorted(phases.untold()), "this release has none of the functions that do it")
    return {
        "clocks": seconds,
        "phases": {
            part: {phase: None if phase in untold else s for phase, s in getattr(split, part).items()}
            for part in ("setup", "finish")
        },
        "unknown": {**split.unknown, **untold},
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
    """What is missing from draws of shape (chain, draw, ...), or None; of a number that was not stated, nothing is."""
    got = first.shape[:2]
    asked = (settings.chains, settings.draws or got[1])
    if got == asked:
        return None
    return f"it returned {got[0]} chains of {got[1]} draws, and was asked for {asked[0]} of {asked[1]}"


def _warnings(idata) -> list[str]:
    """What does not make an answer wrong, and is said nevertheless."""
    diverging = _statistic(idata, "diverging")
    if diverging is None or not diverging.sum():
        return []
    return [f"{int(diverging.sum())} of {diverging.size} draws diverged"]


def _unchecked(judged: dict) -> list[str]:
    if judged.get("diagnostics") and judged["log_density_error"] is None:
        return ["no log density came with each draw: draws of another time or chain may pass"]
    return []


def _judge(settings: Settings, model_module, draws: dict, reported=None, home: Path | None = None) -> dict:
    """Outcome, reason and diagnostics of the draws, by the exact posterior and the log densities that came with them.

    Draws that are too few to be judged are not: those of one chain, or fewer than four for each effective one that the
    gate asks for. The log densities are PyMC's `lp` and nutpie's `logp`, the density of
    the returned draw in all releases from 5.10 to 6.4; so it is of a compound step, whose NUTS moves last.
    """
    from sampling.diagnostics import effective_draws
    from sampling.gate import EFFECTIVE_DRAWS_LIMIT, examine

    n, first = settings.n, next(iter(draws.values()))
    fewer = _fewer_than_asked(settings, first)
    if fewer:
        return {"outcome": INVALID, "reason": fewer}
    if first.shape[0] < 2 or first.shape[0] * first.shape[1] < 4 * EFFECTIVE_DRAWS_LIMIT:
        return {"outcome": OK}
    try:
        verdict = examine(model_module, n, draws, reported, home)
    except ValueError as error:
        return {"outcome": INVALID, "reason": str(error)}
    error = verdict.log_density_error
    every = {name: asdict(d) for name, d in verdict.diagnostics.items()}
    # Of a chain that has run away so far that its squares overflow, there is nothing to tell.
    told = {name: numbers for name, numbers in every.items() if all(map(math.isfinite, numbers.values()))}
    return {
        "outcome": INVALID if verdict.reason else OK,
        "reason": verdict.reason,
        "effective_draws": effective_draws(verdict.diagnostics) if told == every else None,
        "diagnostics": {name: {of: within_reach(x) for of, x in numbers.items()} for name, numbers in told.items()},
        "log_density_error": None if error is None else within_reach(error),
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


def _sample(settings: Settings, backend: Backend, measured: Path, compared: bool) -> dict:
    """Everything the child knows of the trial; `measured` is made when all clocks have stopped."""
    window = Window()
    clock = _Clock()
    import pymc as pm

    imported = clock.stop()
    import models

    module = models.load(settings.model)
    module.data(settings.n)
    watch(window, _cpu_seconds)
    version = pymc_version()
    keywords = backend.keywords(settings, version)
    configuration = pytensor_configuration(backend, version)
    # Also while the model is built: PyTensor keeps the mode in which a loop was made, whatever is configured later.
    with _configured(configuration):
        clock = _Clock()
        model = module.build(settings.n)
        built = clock.stop()
        with model:
            clock = _Clock()
            idata = pm.sample(**keywords)
            called = clock.stop()
    measured.touch()

    if window.interval is None:
        raise RuntimeError("no drawing function of this release is known to sampling/window.py")
    if backend.linker and window.linker not in (None, backend.linker):
        raise RuntimeError(f"it was asked for {backend.linker}, and its log density was compiled by {window.linker}")
    draws = _named_draws(idata)
    first = next(iter(draws.values()))
    from sampling.provenance import provenance

    counters = _counters(idata, window)
    judged = _judge(settings, module, draws, _statistic(idata, "lp", "logp"), Path.home())
    split = _split(imported, built, called, window, counters)
    result = {
        **_clocks(split, imported, built, called, window),
        "counters": counters,
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
        "warnings": [*_warnings(idata), *_unchecked(judged)],
        **judged,
    }
    result["time_to_answer_seconds"] = clocks.time_to_answer(split, result.get("effective_draws"))
    if compared:
        result["graph"] = _graph(model, backend, window)
    return result


def _graph(model, backend: Backend, window: Window) -> dict:
    """What is counted of the model's graph, rewritten once more for it."""
    from sampling.counters import count_graph

    try:
        mode = backend.linker and pytensor_mode(backend.linker, pymc_version())
        return asdict(count_graph(model, mode, window.jax_gradient))
    except Exception as error:  # a counter that cannot be taken is no reason to lose the trial
        return {"error": _one_line(error)}


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _reason(error: BaseException, backend: Backend) -> str:
    """The error in one line, with the versions of what was involved."""
    from sampling.provenance import versions

    return f"{_one_line(error)} ({versions(('pymc', *backend.distributions, *_involved(error)))})"


def _traceback(error: BaseException) -> str:
    """As Python shows it, without the frames that only noted the time: each import would have one."""
    told = traceback.TracebackException.from_exception(error)
    chain = [told]
    for one in chain:
        one.stack = traceback.StackSummary.from_list([f for f in one.stack if f.filename != spans.__file__])
        chain += [other for other in (one.__cause__, one.__context__) if other]
    return "".join(told.format())


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


def main(settings_json: str, result_path: Path, compared: bool) -> None:
    """Run, and write the result, whatever happened, to the file; the graph is counted where trials are `compared`."""
    process.die_with_parent()
    settings = Settings(**json.loads(settings_json))
    backend = load(settings.backend)
    try:
        result = _sample(settings, backend, result_path.with_name("measured"), compared)
    except Exception as error:
        from sampling.provenance import provenance

        result = {
            "outcome": FAILED,
            "reason": _reason(error, backend),
            "traceback": _traceback(error),
            "provenance": provenance(),
        }
    write_json(result_path, _finite(result))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), "--outcome" not in sys.argv[3:])
