"""Which backend gives a trustworthy answer soonest: in numbers, with what they may be off by, and in a sentence.

An answer is trusted at `EFFECTIVE_DRAWS` effective draws. The time until then is setup with warm caches and as much
sampling, tuning included, as that takes at the measured rate. It must not know how it is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from harness.judging import changes
from harness.judging.changes import Noise
from harness.results.metrics import COLD_SETUP, SAMPLING, SECONDS_PER_1000, WARM_SETUP, contaminated
from harness.results.records import Measurement
from harness.results.store import MachineResults

EFFECTIVE_DRAWS = 1000
# Of ten equal backends, the slowest is this many standard errors from the fastest in one case of twenty (Tukey's
# studentised range, over √2): whom that sets apart is slower, whoever else was looked at.
_APART = 3.16
_NORMAL = 1.96


@dataclass(frozen=True)
class Time:
    """Seconds until a trustworthy answer, of one measurement. `error` is the standard deviation of their logarithm."""

    measurement: Measurement
    setup_seconds: float
    sampling_seconds: float
    cold_setup_seconds: float | None
    error: float | None
    warm: bool = True
    """Whether setup and sampling are those of warm trials."""

    @property
    def backend(self) -> str:
        """Whose time it is."""
        return self.measurement.backend

    @property
    def seconds(self) -> float:
        """Setup and sampling."""
        return self.setup_seconds + self.sampling_seconds

    def slower_than(self, other: Time) -> tuple[float, float, float] | None:
        """The ratio of this time to another one and its 95 % interval; None where noise is not known."""
        if self.error is None or other.error is None:
            return None
        ratio, error = self.seconds / other.seconds, math.hypot(self.error, other.error)
        return ratio, ratio * math.exp(-_NORMAL * error), ratio * math.exp(_NORMAL * error)

    def clearly_slower_than(self, other: Time) -> bool | None:
        """Whether noise does not explain the difference, with all ten compared; None where noise is not known."""
        if self.error is None or other.error is None:
            return None
        return math.log(self.seconds / other.seconds) > _APART * math.hypot(self.error, other.error)


def time(measurement: Measurement, noise: Noise) -> Time | None:
    """The time of a measurement, or None where it has no valid draws."""
    if measurement.outcome != "ok":
        return None
    cold, warm = COLD_SETUP.samples(measurement), WARM_SETUP.samples(measurement)
    sampling = SECONDS_PER_1000.samples(measurement)
    if not sampling or not (warm or cold):
        return None
    setup, drawing = median(warm or cold), median(sampling) * EFFECTIVE_DRAWS / 1000
    share = drawing / (setup + drawing)
    key = (measurement.model, measurement.n, measurement.backend)
    effective = noise.of_effective_draws(key)
    error = None
    if effective is not None:
        # Both parts are seconds of one machine; the effective draws are noise of the second alone.
        speed = max(noise.of(WARM_SETUP), noise.of(SAMPLING))
        error = math.hypot(speed, share * effective)
    return Time(measurement, setup, drawing, median(cold) if cold else None, error, warm=bool(warm))


@dataclass(frozen=True)
class Answer:
    """For one model and size in one release: all times, the fastest first, and what failed."""

    model: str
    n: int
    tag: str
    times: tuple[Time, ...]
    without: tuple[Measurement, ...]
    newer: tuple[str, ...] = ()
    """Newer releases in which it was measured, and no backend gave a valid answer."""

    @property
    def winners(self) -> list[Time]:
        """The fastest and those that noise does not tell from it."""
        return [t for t in self.times if not t.clearly_slower_than(self.times[0])] if self.times else []

    @property
    def contaminated(self) -> list[str]:
        """Backends during all of whose trials the machine changed speed."""
        return [t.backend for t in self.times if all(map(contaminated, t.measurement.records))]

    @property
    def sentence(self) -> str:
        """Who wins, and by how much, or that it cannot be told."""
        if not self.times:
            return "No backend gave a valid answer."
        best, *others = self.times
        if not others:
            return f"{best.backend} is the only backend that gave a valid answer: {seconds(best.seconds)}."
        if best.error is None:
            return (
                f"{best.backend} took least, {seconds(best.seconds)}; whether that is more than chance cannot be told: "
                "no sweep says how much effective draws vary."
            )
        if len(self.winners) > 1:
            names = [t.backend for t in self.winners]
            which = f"{', '.join(names[:-1])} or {names[-1]}"
            least, most = seconds(best.seconds), seconds(self.winners[-1].seconds)
            rest = [t for t in others if t not in self.winners]
            more = f"; the others took {_ratio(rest[0].slower_than(best))} as long or more" if rest else ""
            return f"It cannot be told which of {which} is fastest ({least} to {most}){more}."
        return (
            f"{best.backend} is fastest, {seconds(best.seconds)}: {others[0].backend}, the next, took "
            f"{_ratio(others[0].slower_than(best))} as long."
        )


def _ratio(of: tuple[float, float, float]) -> str:
    ratio, low, high = of
    return (
        f"{ratio:.2g} times ({low:.2g} to {high:.2g})" if ratio < 10 else f"{ratio:.0f} times ({low:.0f} to {high:.0f})"
    )


def seconds(value: float) -> str:
    """Seconds with as many digits as anybody wants."""
    return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"


def answer(content: MachineResults, model: str, n: int, tag: str | None = None) -> Answer | None:
    """The answer for a model and size, in the newest release that has one or in the one asked for."""
    tag = tag or content.newest(model, n)
    if tag is None:
        return None
    cells = content.cells.get(tag, {})
    measured = [cells[key] for key in content.order(cells) if key[:2] == (model, n)]
    times = sorted((t for m in measured if (t := time(m, changes.noise_of(content)))), key=lambda t: t.seconds)
    without = tuple(m for m in measured if m.outcome != "ok")
    later = content.tags[content.tags.index(tag) + 1 :] if tag in content.tags else []
    newer = tuple(t for t in later if any(key[:2] == (model, n) for key in content.cells[t]))
    return Answer(model, n, tag, tuple(times), without, newer)


def answers(content: MachineResults) -> Sequence[Answer]:
    """One for each model and size that has been measured."""
    found = (answer(content, model, n) for model, n in content.sizes)
    return [a for a in found if a]
