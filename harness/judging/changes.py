"""What changed from one release to the next, and how large a change must be to be called one.

The rule, for the site and for alerts alike, is in `limit` and `compare`: a time is slower or faster when every new
sample lies on one side of every old one, and the medians differ by more than the limit, which is four standard errors
of what this machine's speed and the effective draws vary by, and never less than a fifth; by the square of it where a
release has one sample only, which nothing confirms. An exact counter has changed when it is another number. It knows
records and stacks, and nothing of pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from statistics import fmean, median, pstdev, stdev, variance

from harness.judging import efficiency
from harness.results.metrics import COUNTERS, HISTORY, SAMPLING, Metric, contaminated
from harness.results.records import Measurement, Record
from harness.results.store import MachineResults

SMALLEST = 1.2
"""The smallest ratio that is called a change, however quiet the machine."""
ERRORS = 4.0
"""Standard errors of the logarithm of a ratio that a change must exceed."""
UNKNOWN_SPEED = 0.1
"""Standard deviation of the logarithm of times that is assumed while too few control workloads tell."""
_FEWEST = 5
# Of the logarithm of a limit; beyond it, it is a number that nothing exceeds.
_LARGEST = 20.0


@dataclass(frozen=True)
class Noise:
    """Standard deviations of logarithms, of what should be the same.

    `speed` is of this machine's times from trial to trial, seen in the control workloads of `trials` trials. `within`
    is of each metric's samples within one measurement, over all that have several. `effective_draws` is of those of
    one trial from seed to seed, seen over `seeds` seeds, on all machines: of one parameter set in `of_sampler`, where
    it has been tried often enough, else the median of all, or None where no seed has been tried beside another.
    """

    speed: float
    trials: int
    effective_draws: float | None
    seeds: int
    within: Mapping[str, float] = field(default_factory=dict)
    of_sampler: Mapping[tuple[str, int, str], float] = field(default_factory=dict)

    def of(self, metric: Metric, key: tuple[str, int, str] | None = None) -> float | None:
        """That of one measurement of this metric, of this parameter set; None where it is not known."""
        if metric.exact:
            return 0.0
        # Memory has no clock, and gradients have neither.
        speed = self.speed if metric.of_a_clock else 0.0
        deviation = max(speed, self.within.get(metric.name, 0.0))
        if not metric.counts_effective_draws:
            return deviation
        effective = self.of_effective_draws(key)
        return None if effective is None else math.hypot(deviation, effective)

    def of_effective_draws(self, key: tuple[str, int, str] | None) -> float | None:
        """That of a parameter set's effective draws."""
        return self.of_sampler.get(key, self.effective_draws) if key else self.effective_draws


def noise(measurements: Iterable[Measurement], drawn: Iterable[Record]) -> Noise:
    """The noise that measurements show, in their control workloads and samples, and that the effective draws of all
    machines' trials, `drawn`, show."""
    measurements = list(measurements)
    records = [r for m in measurements for r in m.records]
    controls = [r.control.before for r in records if r.control and r.control.before]
    kernels = sorted({name for control in controls for name in control})
    by_kernel = [[math.log(c[name]) for c in controls if c.get(name, 0) > 0] for name in kernels]
    enough = [times for times in by_kernel if len(times) >= _FEWEST]
    speed = max(map(pstdev, enough)) if enough else UNKNOWN_SPEED
    within = {}
    for metric in (m for m in HISTORY if not m.counts_effective_draws):
        samples = [[math.log(v) for v in metric.samples(m) if v > 0] for m in measurements]
        spreads = [variance(values) for values in samples if len(values) > 1]
        if len(spreads) >= _FEWEST:
            within[metric.name] = math.sqrt(fmean(spreads))
    of_sampler = _deviations(drawn)
    effective = median(deviation for deviation, _ in of_sampler.values()) if of_sampler else None
    seeds = sum(seeds for _, seeds in of_sampler.values())
    return Noise(speed, len(controls), effective, seeds, within, {key: d for key, (d, _) in of_sampler.items()})


def _deviations(drawn: Iterable[Record]) -> dict[tuple[str, int, str], tuple[float, int]]:
    """By parameter set: the standard deviation of the logarithm of its effective draws, and over how many seeds.

    Seeds are compared within each stack, where enough have been tried; else over all stacks, whose samplers may differ:
    that errs to the careful side.
    """
    groups: dict[tuple, list[efficiency.Efficiency]] = {}
    for (_, model, n, backend, *settings), found in efficiency.pooled(drawn).items():
        groups.setdefault(((model, n, backend), *settings), []).append(found)
    deviations: dict[tuple[str, int, str], tuple[float, int]] = {}
    for (key, *_), found in groups.items():
        several = [f for f in found if f.deviation is not None]
        free = sum(f.seeds - 1 for f in several)
        if free >= _FEWEST - 1:
            within = math.sqrt(sum(f.deviation**2 * (f.seeds - 1) for f in several) / free)
            candidate = within, free + len(several)
        elif len(found) >= _FEWEST:
            candidate = stdev(math.log(f.effective_draws) for f in found), len(found)
        else:
            continue
        if candidate[1] > deviations.get(key, (0.0, 0))[1]:
            deviations[key] = candidate
    return deviations


def limit(
    metric: Metric,
    noise: Noise,
    samples: int = 2,
    key: tuple[str, int, str] | None = None,
    same_draws: bool = False,
) -> float | None:
    """The ratio beyond which this metric has changed, when the release with fewer has this many samples of it; None
    while nothing can be said.

    When draws are the same to the last digit, so are their effective ones: what is left is the machine's noise.
    """
    deviation = noise.of(SAMPLING) if same_draws and metric.of_a_clock else noise.of(metric, key)
    if deviation is None:
        return None
    several = max(SMALLEST, math.exp(min(ERRORS * math.sqrt(2) * deviation, _LARGEST)))
    return several if samples > 1 else several**2


@dataclass(frozen=True)
class Change:
    """A metric of a parameter set that differs from one release to the next: `ratio` is new / old."""

    metric: Metric
    old: Measurement
    new: Measurement
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """Above 1 is slower, or more."""
        return self.after / self.before if self.before else math.inf

    @property
    def factor(self) -> float:
        """By how much they differ, at least 1, in whichever direction."""
        return max(self.ratio, 1 / self.ratio) if self.ratio else math.inf

    @property
    def worse(self) -> bool:
        """Whether there is more of it now."""
        return self.after > self.before


def compare(metric: Metric, old: Measurement, new: Measurement, noise: Noise) -> Change | None:
    """The change of a metric between two measurements of a parameter set, or None where there is none to be called."""
    a, b = metric.samples(old), metric.samples(new)
    if not a or not b:
        return None
    if metric.exact:
        # Each trial has its seed, the same in all releases: what is compared is the same work.
        a, b = (samples[: min(len(a), len(b))] for samples in (a, b))
    change = Change(metric, old, new, median(a), median(b))
    if metric.exact:
        return change if change.before != change.after else None
    key = (new.model, new.n, new.backend)
    same = bool(_draws(old) & _draws(new))
    bound = limit(metric, noise, min(len(a), len(b)), key, same_draws=same)
    apart = min(b) > max(a) or max(b) < min(a)
    if bound is None or not apart or change.factor < bound or not comparable(metric, old, new):
        return None
    return change


def comparable(metric: Metric, old: Measurement, new: Measurement) -> bool:
    """Whether two measurements can say anything of a metric together."""
    if not (metric.samples(old) and metric.samples(new)):
        return False
    if metric.exact:
        return True
    # What was measured only while the machine changed speed tells nothing of seconds.
    quiet = not metric.of_a_clock or not any(all(map(contaminated, m.records)) for m in (old, new))
    return quiet and _same_machine(old, new)


def _same_machine(old: Measurement, new: Measurement) -> bool:
    """Whether both were measured by the same processor, as far as their records know."""
    cpus = {(r.provenance.cpu_model, r.provenance.cpu_count) for m in (old, new) for r in m.records if r.provenance}
    return len(cpus) < 2


def _draws(measurement: Measurement) -> set[str]:
    return {r.draws_sha256 for r in measurement.records if r.draws_sha256}


@dataclass(frozen=True)
class Turn:
    """A parameter set that has another outcome than in the release before."""

    model: str
    n: int
    backend: str
    before: str
    after: str
    reason: str | None


@dataclass(frozen=True)
class Step:
    """All that changed from the release measured before, `old`, to `new` (tags)."""

    old: str
    new: str
    changes: tuple[Change, ...]
    counters: tuple[Change, ...]
    turns: tuple[Turn, ...]
    compared: int
    """Pairs of a parameter set and a metric that both releases have."""

    @property
    def slower(self) -> list[Change]:
        """Changes for the worse, largest first."""
        return sorted((c for c in self.changes if c.worse), key=lambda c: -c.ratio)

    @property
    def faster(self) -> list[Change]:
        """Changes for the better, largest first."""
        return sorted((c for c in self.changes if not c.worse), key=lambda c: c.ratio)


Cells = Mapping[tuple[str, int, str], Measurement]


def step(old: str, new: str, before: Cells, after: Cells, noise: Noise) -> Step:
    """What changed between two releases, whose measurements are given by (model, n, backend)."""
    changes, counters, turns, compared = [], [], [], 0
    for key in sorted(before.keys() & after.keys()):
        a, b = before[key], after[key]
        if a.outcome != b.outcome:
            turns.append(Turn(*key, a.outcome, b.outcome, b.reason or a.reason))
        for metric in (*HISTORY, *COUNTERS):
            if not (metric.samples(a) and metric.samples(b)):
                continue
            compared += 1
            change = compare(metric, a, b, noise)
            if change:
                (counters if metric.exact else changes).append(change)
    return Step(old, new, tuple(changes), tuple(counters), tuple(turns), compared)


def turns(before: Mapping, after: Mapping) -> list[Turn]:
    """What turned between two releases of a compatibility table (`harness.results.compatibility.table`)."""
    found = []
    for model in sorted(before["models"].keys() & after["models"].keys()):
        name, _, size = model.partition(" (n=")
        old, new = before["models"][model], after["models"][model]
        for backend in sorted(old.keys() & new.keys()):
            if old[backend]["outcome"] != new[backend]["outcome"]:
                reason = new[backend]["reason"] or old[backend]["reason"]
                n = int(size.rstrip(")"))
                found.append(Turn(name, n, backend, old[backend]["outcome"], new[backend]["outcome"], reason))
    return found


def steps(tags: Sequence[str], cells: Mapping[str, Cells], noise: Noise) -> list[Step]:
    """What changed from each measured release to the next, newest first; `tags` are in the order of the timeline."""
    measured = [tag for tag in tags if cells.get(tag)]
    return [step(old, new, cells[old], cells[new], noise) for old, new in pairwise(measured)][::-1]


@cache
def noise_of(machine: MachineResults) -> Noise:
    """How much a machine and the samplers vary by themselves."""
    return noise(machine.measurements, machine.drawn)


@cache
def steps_of(machine: MachineResults) -> list[Step]:
    """What changed on a machine from each measured release to the next, newest first."""
    return steps(machine.tags, machine.cells, noise_of(machine))
