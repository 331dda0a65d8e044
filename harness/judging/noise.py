"""How much a machine's seconds and the samplers' effective draws vary by themselves, as what was measured shows.

It is for comparisons of backends within a release, which were measured one after the other; two releases are compared
by rounds (`comparison`). It knows records, and nothing of what is compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from statistics import fmean, median, pstdev, stdev, variance

from harness.judging import efficiency
from harness.results.metrics import HISTORY, Metric
from harness.results.records import Measurement, Record
from harness.results.store import MachineResults

UNKNOWN_SPEED = 0.1
"""Standard deviation of the logarithm of times that is assumed while too few control workloads tell."""
_FEWEST = 5


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


@cache
def noise_of(machine: MachineResults) -> Noise:
    """How much a machine and the samplers vary by themselves."""
    return noise(machine.measurements, machine.drawn)
