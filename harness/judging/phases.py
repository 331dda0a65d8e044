"""Where the time of a measurement goes: the phases of its setup and finish, and what they are called.

A phase is a mean over the trials of a kind, so that phases add up to the mean of the whole. It knows records, and
nothing of how it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from harness.judging.answers import Time
from harness.results.metrics import contaminated
from harness.results.records import Measurement

TITLES: Mapping[str, str] = {
    "import": "importing",
    "model": "building the model",
    "rewriting": "rewriting graphs",
    "compiling_c": "compiling (C)",
    "compiling_numba": "compiling (Numba)",
    "tracing_jax": "tracing (JAX)",
    "lowering_jax": "lowering (JAX)",
    "compiling_xla": "compiling (XLA)",
    "loading": "loading compiled code",
    "starting_workers": "starting workers",
    "other": "other",
    "tuning": "tuning",
    "drawing": "drawing",
    "transforming": "transforming draws",
    "collecting": "collecting draws",
    "checking": "convergence checks",
}
"""Of every phase, in the order in which they are shown."""


def in_order(lengths: Mapping[str, float | None]) -> list[tuple[str, float | None]]:
    """Phases in the order in which they are shown; what has no title yet, last."""
    order = list(TITLES)
    return sorted(lengths.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order))


@dataclass(frozen=True)
class Part:
    """Setup or finish, of cold or of warm trials: mean seconds, by phase, largest first; None is what is not told."""

    name: str
    kind: str
    phases: Mapping[str, float | None]

    @property
    def seconds(self) -> float:
        """The whole of it."""
        return sum(v for v in self.phases.values() if v is not None)

    @property
    def sentence(self) -> str:
        """The phases that make up all but a hundredth of it, largest first."""
        told = [
            f"{TITLES.get(n, n)} {v:.2f}" for n, v in self.phases.items() if v and v >= max(0.01 * self.seconds, 0.005)
        ]
        return " · ".join(told)


def part(measurement: Measurement, name: str, kind: str) -> Part | None:
    """`name` is "setup" or "finish", `kind` "cold" or "warm"; None where no valid trial of that kind tells."""
    trials = [r for r in measurement.of_kind(kind) if r.phases]
    trials = [r for r in trials if not contaminated(r)] or trials
    if not trials:
        return None
    of_each = [getattr(r.phases, name) for r in trials]
    means = {
        phase: fmean(phases.get(phase) or 0.0 for phases in of_each)
        if any(phases.get(phase) is not None for phases in of_each)
        else None
        for phase in dict.fromkeys(phase for phases in of_each for phase in phases)
    }
    return Part(name, kind, dict(sorted(means.items(), key=lambda item: -(item[1] or 0.0))))


def parts(measurement: Measurement) -> list[Part]:
    """Setup with cold and with warm caches, and the finish of warm trials: a cold one has few draws to finish with."""
    asked = (("setup", "cold"), ("setup", "warm"), ("finish", "warm"))
    return [found for name, kind in asked if (found := part(measurement, name, kind))]


def whole(time: Time, kind: str) -> list[tuple[str, str, float]]:
    """The time to an answer with caches of a kind, as (part, phase, seconds) in order: setup, sampling, finish.

    Setup and finish are given the lengths that the time to an answer has, which are medians, and their phases' shares.
    """
    lengths = {
        "setup": time.cold_setup_seconds if kind == "cold" else time.setup_seconds,
        "finish": time.finish_seconds,
    }
    setup, finish = part(time.measurement, "setup", kind), part(time.measurement, "finish", "warm")
    if setup is None or finish is None or lengths["setup"] is None:
        return []
    shares = {
        found.name: [
            (found.name, phase, seconds / found.seconds * lengths[found.name])
            for phase, seconds in in_order(found.phases)
            if seconds and found.seconds
        ]
        for found in (setup, finish)
    }
    sampling = [("sampling", "tuning", time.tuning_seconds), ("sampling", "drawing", time.drawing_seconds)]
    return [*shares["setup"], *sampling, *shares["finish"]]
