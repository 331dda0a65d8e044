"""What changed from one release to the next: outcomes and exact counters, and what rounds of both say of all else.

A time has changed when it was measured in both releases in the same rounds, and they call it a difference
(`comparison`); of releases that were measured apart, outcomes and counters are all that is compared. It knows records
and stacks, and nothing of pages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from statistics import median

from harness.judging.comparison import BETTER, WORSE, Compared, Comparison
from harness.results.metrics import COUNTERS, GRADIENT_COUNT, Metric
from harness.results.records import Measurement
from harness.results.store import Key, MachineResults

REACH = 1.96
MATTERS = 1.1
"""The factor by which a graph must have grown for somebody to be told: nearly every release adds a node or two."""


@dataclass(frozen=True)
class Change:
    """An exact counter of a parameter set that is another number in the next release."""

    metric: Metric
    old: Measurement
    new: Measurement
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """New over old."""
        return self.after / self.before if self.before else math.inf

    @property
    def matters(self) -> bool:
        """Whether somebody would act on it. How many gradients there are matters for each effective draw only."""
        return self.metric is not GRADIENT_COUNT and self.ratio >= MATTERS


def compare(metric: Metric, old: Measurement, new: Measurement) -> Change | None:
    """The change of an exact counter between two measurements of a parameter set, or None where there is none.

    Each trial has its seed, the same in all releases: what is compared is the same work.
    """
    of_seeds = [{r.settings.seed: v for r in metric.trials(m) if (v := metric.of(r)) is not None} for m in (old, new)]
    both = of_seeds[0].keys() & of_seeds[1].keys()
    if not both:
        return None
    change = Change(metric, old, new, *(median(of[seed] for seed in both) for of in of_seeds))
    return change if any(of_seeds[0][seed] != of_seeds[1][seed] for seed in both) else None


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
    compared: Compared
    counters: tuple[Change, ...]
    turns: tuple[Turn, ...]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """All numbers that rounds of both releases tell, the largest ratio first."""
        told = [c for c in self.compared.comparisons if c.judged]
        return sorted(told, key=lambda c: -c.judged.estimate.mean)

    @property
    def slower(self) -> list[Comparison]:
        """What rounds call slower, or more, the largest ratio first."""
        return [c for c in self.comparisons if c.verdict == WORSE]

    @property
    def faster(self) -> list[Comparison]:
        """What they call faster, or less, the smallest ratio first."""
        return [c for c in self.comparisons if c.verdict == BETTER][::-1]


def step(content: MachineResults, old: str, new: str) -> Step:
    """What changed between two releases on a machine."""
    before, after = content.cells[old], content.cells[new]
    counters, turned = [], []
    for key in sorted(before.keys() & after.keys()):
        a, b = before[key], after[key]
        if a.outcome != b.outcome:
            turned.append(Turn(*key, a.outcome, b.outcome, b.reason or a.reason))
        counters += [change for metric in COUNTERS if (change := compare(metric, a, b))]
    return Step(old, new, _beside(content, old, new), tuple(counters), tuple(turned))


@cache
def _beside(content: MachineResults, old: str, new: str) -> Compared:
    return Compared(*([m for m in content.all_measurements if m.tag == tag] for tag in (old, new)))


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


@cache
def steps_of(content: MachineResults) -> list[Step]:
    """What changed on a machine from each measured release to the next, newest first."""
    return [step(content, old, new) for old, new in pairwise(content.tags)][::-1]


@dataclass(frozen=True)
class Link:
    """A release in a chain: `index` is what it takes over what the first takes, 1 there, and `error` that of its
    logarithm, of which `REACH` make the 95 % interval."""

    tag: str
    index: float
    error: float


@cache
def chains(content: MachineResults, key: Key, quantity: str) -> list[list[Link]]:
    """A quantity's history by ratios of releases measured in the same rounds, which survives a change of machine:
    unbroken runs of releases, each measured beside the one before that has an answer, oldest first.

    A release is held against the oldest one with which it has as many rounds as with the one before: where a whole
    history was measured side by side that is the first, and errors add up over blocks, not over releases.
    """
    runs: list[list[Link]] = []
    answered = [tag for tag in content.tags if key in content.cells[tag] and content.cells[tag][key].outcome == "ok"]
    for old, new in pairwise(answered):
        found = _ratio(content, old, new, key, quantity)
        if found is None:
            continue
        if not runs or runs[-1][-1].tag != old:
            runs.append([Link(old, 1.0, 0.0)])
        run = runs[-1]
        older = ((link, _ratio(content, link.tag, new, key, quantity)) for link in run[:-1])
        base, ratio = next(((link, r) for link, r in older if r and r.rounds >= found.rounds), (run[-1], found))
        # As wide as what few rounds say is uncertain, and as sittings that disagree.
        estimate = ratio.judged.estimate
        low, high = (end(*estimate.interval(), *ratio.sittings) for end in (min, max))
        error = math.log(high / low) / (2 * REACH)
        run.append(Link(new, base.index * estimate.ratio, math.hypot(base.error, error)))
    return runs


def _ratio(content: MachineResults, old: str, new: str, key: Key, quantity: str) -> Comparison | None:
    comparisons = _beside(content, old, new).comparisons
    return next((c for c in comparisons if c.judged and c.key == key and c.quantity.name == quantity), None)
