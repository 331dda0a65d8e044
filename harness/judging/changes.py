"""What changed from one release to the next: outcomes and exact counters, and what rounds of both say of all else.

A time has changed when it was measured in both releases in the same rounds, and they call it a difference
(`comparison`); of releases that were measured apart, outcomes and counters are all that is compared. It knows records
and stacks, and nothing of pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise
from statistics import median

from harness.judging.comparison import BETTER, WORSE, Compared, Comparison
from harness.judging.relatives import how_rounds_vary
from harness.results.metrics import COUNTERS, GRADIENT_COUNT, TOTAL, Metric
from harness.results.records import Measurement
from harness.results.store import Key, MachineResults

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

    @property
    def called(self) -> list[Comparison]:
        """Of each parameter set that differs the one number that says most: the whole trial, where that differs, else
        the one that differs most, by the wall clock where one does."""
        found: dict[Key, Comparison] = {}
        for c in (*self.slower, *self.faster):
            found[c.key] = max(found.get(c.key, c), c, key=_says)
        return list(found.values())

    @property
    def disagreeing(self) -> list[Comparison]:
        """What sittings do not agree about, and nothing is said of."""
        return [c for c in self.comparisons if c.sittings and c.verdict not in (WORSE, BETTER)]


def _says(c: Comparison) -> tuple:
    return (c.quantity.metric is TOTAL and not c.quantity.cpu, not c.quantity.cpu, abs(c.judged.estimate.mean))


def step(content: MachineResults, old: str, new: str) -> Step:
    """What changed between two releases on a machine."""
    both = sorted(content.cells[old].keys() & content.cells[new].keys())
    turned = _turned(content, old, new, both)
    return Step(old, new, _beside(content, old, new), _counters(content, old, new, both), turned)


def _turned(content: MachineResults, old: str, new: str, keys: Iterable[Key]) -> tuple[Turn, ...]:
    before, after = content.cells[old], content.cells[new]
    return tuple(
        Turn(*key, before[key].outcome, after[key].outcome, after[key].reason or before[key].reason)
        for key in keys
        if before[key].outcome != after[key].outcome
    )


def _counters(content: MachineResults, old: str, new: str, keys: Iterable[Key]) -> tuple[Change, ...]:
    pairs = [(metric, content.cells[old][key], content.cells[new][key]) for key in keys for metric in COUNTERS]
    return tuple(change for pair in pairs if (change := compare(*pair)))


@cache
def _beside(content: MachineResults, old: str, new: str) -> Compared:
    return _compared(content, old, new, *([m for m in content.all_measurements if m.tag == tag] for tag in (old, new)))


def _compared(content: MachineResults, old: str, new: str, *sides: list[Measurement]) -> Compared:
    here = _here(content)
    return Compared(*sides, known=lambda key, quantity: how_rounds_vary(here, key, quantity, old, new))


@cache
def _here(content: MachineResults) -> MachineResults:
    """What this machine has measured: a step is one machine's, and so is the noise that it is held against."""
    return replace(content, elsewhere=())


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
    """What changed on a machine from each measured release to the next, newest first; and of what had no answer, or was
    not measured, in between, from the release that had one to the next that has."""
    found = [step(content, old, new) for old, new in pairwise(content.tags)]
    across: dict[tuple[str, str], list[Key]] = {}
    turned: dict[tuple[str, str], list[Turn]] = {}
    for key in content.order({key for cells in content.cells.values() for key in cells}):
        for pair in pairwise(answered(content, key)):
            across.setdefault(pair, []).append(key)
        for old, new in pairwise(tag for tag in content.tags if key in content.cells[tag]):
            turned.setdefault((old, new), []).extend(_turned(content, old, new, [key]))
    for old, new in (across.keys() | turned.keys()) - {(s.old, s.new) for s in found}:
        keys = across.get((old, new), [])
        sides = ([m for key in keys for m in content.sittings[tag, key]] for tag in (old, new))
        compared = _compared(content, old, new, *sides)
        wide = Step(old, new, compared, _counters(content, old, new, keys), tuple(turned.get((old, new), ())))
        if wide.comparisons or wide.counters or wide.turns:
            found.append(wide)
    order = content.tags.index
    return sorted(found, key=lambda s: (order(s.new), order(s.old)), reverse=True)


def answered(content: MachineResults, key: Key) -> list[str]:
    """The releases with an answer of a parameter set, oldest first."""
    return [tag for tag in content.tags if key in content.cells[tag] and content.cells[tag][key].outcome == "ok"]
