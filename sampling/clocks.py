"""The clocks of a trial: how long setup, tuning, drawing and finish took, and the phases that setup and finish are made
of, from what was noted while it ran. Whatever cannot be told is None, with a reason. It must not know the samplers.

What happens in the process that called `pm.sample` is told by the wall clock. Where workers tune and draw, some compile
while others already sample, and which ones do is chance: there, the wall-clock time of drawing is shared out as the
workers' CPU seconds are, so that the same work gives the same shares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sampling import phases
from sampling.spans import Interval, Span, exclusive_seconds

_TUNING, _DRAWING = "tuning", "drawing"
_MEANING = {
    phases.WORKER_STARTS: phases.STARTING_WORKERS,
    phases.WORKER_FIRST_STEP: _TUNING,
    phases.WORKER_TUNES: _TUNING,
    phases.WORKER_DRAWS: _DRAWING,
}


@dataclass(frozen=True)
class Stretches:
    """When the parts of a trial were under way, all in the process `pid`."""

    pid: int
    imported: Interval
    built: Interval
    called: Interval
    drawn: Interval


@dataclass(frozen=True)
class Split:
    """Wall-clock seconds. `setup + sampling + finish` are those of `import pymc`, the model and the call.

    `tuning` and `drawing` are None where nothing tells them apart; `unknown` says why.
    """

    setup: dict[str, float]
    finish: dict[str, float]
    sampling: float
    tuning: float | None
    drawing: float | None
    unknown: dict[str, str]


EFFECTIVE_DRAWS = 1000
"""Of the hardest estimand: with as many, an answer is trusted."""


def time_to_answer(split: Split, effective_draws: float | None) -> float | None:
    """Seconds from `import pymc` until `pm.sample` returns with `EFFECTIVE_DRAWS`, by a trial with `effective_draws`.

    Setup, tuning once, as many draws as that takes at the trial's rate, and finish; None where one is not known.
    """
    if split.tuning is None or split.drawing is None or not effective_draws:
        return None
    drawing = split.drawing * EFFECTIVE_DRAWS / effective_draws
    return sum(split.setup.values()) + split.tuning + drawing + sum(split.finish.values())


def split(stretches: Stretches, spans: Sequence[Span], gradients: tuple[int | None, int | None]) -> Split:
    """What the seconds of a trial went into; `gradients` are those counted in tuning and in drawing."""
    own = [s for s in spans if s.pid == stretches.pid]
    setup, finish = Counter(), Counter()
    setup.update(exclusive_seconds(own, stretches.imported, phases.IMPORT))
    setup.update(exclusive_seconds(own, stretches.built, phases.MODEL))
    called, drawn = stretches.called, stretches.drawn
    # Some functions that draw also collect the draws before they return.
    begun = (s.interval.start for s in own if s.name in phases.AFTER_DRAWING)
    last_draw = min((start for start in begun if drawn.start < start < drawn.end), default=drawn.end)
    setup.update(exclusive_seconds(own, Interval(called.start, drawn.start), phases.OTHER))
    finish.update(exclusive_seconds(own, Interval(last_draw, called.end), phases.OTHER))
    # What compiles while it draws, draws when it has compiled.
    setup.update(exclusive_seconds(own, Interval(drawn.start, last_draw), _DRAWING))
    sampling = setup.pop(_DRAWING, 0.0)
    shares = worker_shares(s for s in spans if s.pid != stretches.pid)
    if shares:
        tuning, drawing = (sampling * shares.pop(part, 0.0) for part in (_TUNING, _DRAWING))
        setup.update({phase: sampling * share for phase, share in shares.items()})
        sampling = tuning + drawing
    else:
        tuning, drawing = _by_gradients(sampling, *gradients)
    # Before the draws there is nothing to collect: what is called so there is part of something else.
    for phase in phases.AFTER_DRAWING:
        setup[phases.OTHER] += setup.pop(phase, 0.0)
    return Split(
        setup={phase: setup[phase] for phase in phases.SETUP},
        finish={phase: finish[phase] for phase in phases.FINISH},
        sampling=sampling,
        tuning=tuning,
        drawing=drawing,
        unknown={} if tuning is not None else {"tuning": "the sampler does not tell how much of its work was tuning"},
    )


def _by_gradients(sampling: float, tuning: int | None, drawing: int | None) -> tuple[float | None, float | None]:
    """A gradient costs the same in tuning and in drawing."""
    if tuning is None or drawing is None or tuning + drawing == 0:
        return None, None
    share = tuning / (tuning + drawing)
    return sampling * share, sampling * (1 - share)


def worker_shares(spans: Iterable[Span]) -> dict[str, float]:
    """Of the CPU seconds of all workers, what part went into which phase, tuning or drawing; nothing without workers.

    Within a stretch between two marks, CPU seconds are shared out as the wall clock is.
    """
    workers: dict[int, list[Span]] = {}
    for s in spans:
        workers.setdefault(s.pid, []).append(s)
    cpu: Counter[str] = Counter()
    for noted in workers.values():
        marks = [s for s in noted if s.name in _MEANING]
        for mark in marks:
            within = exclusive_seconds((s for s in noted if s not in marks), mark.interval, mark.name)
            for name, seconds in within.items():
                part = mark.cpu_seconds * seconds / mark.interval.seconds if mark.interval.seconds else 0.0
                cpu[_meaning(name, mark.name)] += part
    total = sum(cpu.values())
    return {name: part / total for name, part in cpu.items()} if total else {}


def _meaning(name: str, mark: str) -> str:
    # What a worker imports until it is ready is part of starting it.
    starts = mark == phases.WORKER_STARTS and name == phases.IMPORT
    return phases.STARTING_WORKERS if starts else _MEANING.get(name, name)
