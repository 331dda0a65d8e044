"""Two stacks that were measured in the same rounds: what differs, by how much, how sure that is, and which part of it.

What needs no clock comes first: outcomes, and exact counts of the same work. Then every number of every parameter set
is compared by the ratios of its rounds (`paired`), never across sittings, and what changed is taken apart. It knows
records, and nothing of how they came about or are shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median

from scipy import stats

from harness.judging import paired
from harness.judging.paired import Judged, Prior, Round
from harness.judging.phases import TITLES
from harness.results.metrics import (
    COLD_SETUP,
    COUNTERS,
    FINISH,
    GRADIENT,
    GRADIENTS,
    MEMORY,
    SAMPLING,
    TOTAL,
    WARM_SETUP,
    Metric,
    contaminated,
)  # fmt: skip
from harness.results.records import Measurement, Record
from harness.results.store import Key

MARGIN = 0.03
"""What differs by less, as far as is known, is the same."""
_SAME_LEVEL = 0.99
LASTING = 0.005
"""How much equal stacks differ for good in what is measured, as a part of it (docs/method.md)."""
_KERNEL = "numpy_seconds"
# What is less of the whole trial is nothing that anybody waits for.
_NEGLIGIBLE = 0.02

WORSE, BETTER, SAME, CANNOT_TELL = "slower", "faster", "same", "cannot tell"


@dataclass(frozen=True)
class Quantity:
    """A number that is compared: a metric by the wall clock, or by none, or what it takes of the CPU."""

    metric: Metric
    cpu: bool
    of: Callable[[Record], float | None]

    @property
    def name(self) -> str:
        """What it is called in a document."""
        return f"{self.metric.name}_cpu" if self.cpu else self.metric.name

    @property
    def title(self) -> str:
        """What it is called in a table."""
        return f"{self.metric.title}, CPU" if self.cpu else self.metric.title

    @property
    def phrase(self) -> str:
        """What it is called within a sentence."""
        return f"{self.metric.title.lower()}, CPU" if self.cpu else self.metric.title.lower()

    @property
    def lasting(self) -> float:
        """The standard deviation of the difference that equal stacks have for good, as a difference of logarithms: none
        in what is counted."""
        return 0.0 if self.metric is GRADIENTS else LASTING


def _cpu(*names: str) -> Callable[[Record], float | None]:
    def seconds(record: Record) -> float | None:
        found = [record.clocks and getattr(record.clocks, f"{name}_cpu_seconds") for name in names]
        return None if None in found else sum(found)

    return seconds


def _cpu_per_gradient(record: Record) -> float | None:
    used = _cpu("window")(record)
    return 1e6 * used / record.gradients if GRADIENT.of(record) is not None and used is not None else None


def _sampling(record: Record) -> float | None:
    """Where no seconds of one gradient tell."""
    return None if GRADIENT.of(record) is not None else SAMPLING.of(record)


QUANTITIES = (
    Quantity(TOTAL, False, TOTAL.of),
    Quantity(TOTAL, True, _cpu("import", "build", "call")),
    Quantity(COLD_SETUP, False, COLD_SETUP.of),
    Quantity(COLD_SETUP, True, _cpu("before_window")),
    Quantity(WARM_SETUP, False, WARM_SETUP.of),
    Quantity(WARM_SETUP, True, _cpu("before_window")),
    Quantity(GRADIENT, False, GRADIENT.of),
    Quantity(GRADIENT, True, _cpu_per_gradient),
    Quantity(SAMPLING, False, _sampling),
    Quantity(FINISH, False, FINISH.of),
    Quantity(GRADIENTS, False, GRADIENTS.of),
    Quantity(MEMORY, False, MEMORY.of),
)


@dataclass(frozen=True)
class Pair:
    """Two trials of one round."""

    old: Record
    new: Record
    beside: bool = True
    """Whether they ran about as near each other as their stacks stand in the timeline."""

    @property
    def new_first(self) -> bool:
        """Whether the new one was run first."""
        return self.new.round.position < self.old.round.position

    @property
    def speed(self) -> float:
        """How much slower the machine was while the new one ran, by the control workload: a difference of logarithms.

        0 where one does not tell. Of its kernels the one in NumPy is taken, which uses the memory as samplers do: with
        the one in pure Python, times hardly go along (docs/method.md).
        """
        seconds = [
            [after.get(_KERNEL) for after in (r.control.before, r.control.after)] if r.control else [None]
            for r in (self.old, self.new)
        ]
        if not all(s for side in seconds for s in side):
            return 0.0
        return fmean(map(math.log, seconds[1])) - fmean(map(math.log, seconds[0]))

    @property
    def counts(self) -> bool:
        """Whether the machine kept its speed during both, and they were side by side."""
        return self.beside and not (contaminated(self.old) or contaminated(self.new))


def pairs(old: Iterable[Measurement], new: Iterable[Measurement]) -> dict[Key, list[Pair]]:
    """The trials of the same rounds of two stacks, by parameter set, in the order of the rounds."""
    sides = [
        {
            ((m.model, m.n, m.backend), r.round.block, r.kind, r.round.number): (m.tag, r)
            for m in measurements
            for r in m.records
            if r.round and r.outcome == "ok"
        }
        for measurements in (old, new)
    ]
    found: dict[Key, list[Pair]] = {}
    for which in sorted(sides[0].keys() & sides[1].keys()):
        (tag, a), (its_tag, b) = sides[0][which], sides[1][which]
        found.setdefault(which[0], []).append(Pair(a, b, a.round.is_beside(tag, b.round, its_tag)))
    return found


@dataclass(frozen=True)
class Comparison:
    """A quantity of a parameter set, new over old. `judged` is None where there are too few rounds to say anything."""

    key: Key
    quantity: Quantity
    rounds: int
    judged: Judged | None
    called: bool
    old: float
    new: float
    sittings: tuple[float, ...] = ()
    """The ratio in each sitting, oldest first, where these disagree by more than chance; else none."""

    @cached_property
    def verdict(self) -> str:
        """`slower`, `faster`, `same` or `cannot tell`; of what is no time, `slower` is more of it. Nothing is said of
        what is slower in one sitting and faster in another, by more than is the same."""
        opposed = self.sittings and min(self.sittings) < 1 < max(self.sittings)
        if self.judged is None or (opposed and max(map(abs, map(math.log, self.sittings))) > math.log(1 + MARGIN)):
            return CANNOT_TELL
        if self.called:
            return WORSE if self.judged.estimate.mean > 0 else BETTER
        low, high = self.judged.estimate.interval(_SAME_LEVEL)
        return SAME if low > 1 / (1 + MARGIN) and high < 1 + MARGIN else CANNOT_TELL

    @property
    def word(self) -> str:
        """The verdict as a reader would say it."""
        words = {WORSE: "more", BETTER: "less"} if not self.quantity.metric.of_a_clock else {}
        return words.get(self.verdict, self.verdict)


@dataclass(frozen=True)
class Difference:
    """An outcome or a count that differs, which no clock was needed for."""

    key: Key
    what: str
    old: str
    new: str
    reason: str | None = None
    broken: bool = False


class Compared:
    """All that rounds say of two stacks, `old` and `new`, given by their measurements.

    How the rounds of a parameter set's quantity vary is said by these two, unless more is `known` of it.
    """

    def __init__(
        self, old: Sequence[Measurement], new: Sequence[Measurement], known: Callable[[Key, str], Prior] | None = None
    ) -> None:
        self._old, self._new = ({(m.model, m.n, m.backend): m for m in side} for side in (old, new))
        self.pairs, self._known = pairs(old, new), known

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Of every quantity of every parameter set that has rounds, those of the clock and of the CPU."""
        sides: dict[tuple[Key, str], tuple[Quantity, list[Both]]] = {}
        for key, found in self.pairs.items():
            for quantity in QUANTITIES:
                both = values(quantity, found)
                if both and not is_negligible(quantity, both, found):
                    sides[key, quantity.name] = quantity, both
        known = self._known and {which: self._known(*which) for which in sides}
        judged = judge({which: [b.round for b in both] for which, (_, both) in sides.items()}, known)
        called = paired.discoveries({which: j.p for which, j in judged.items()})
        found = {which: p for which, (_, both) in sides.items() if (p := _disagree(both)) is not None}
        disagree = paired.discoveries(found)
        return [
            Comparison(
                which[0], quantity, len(both), judged.get(which), which in called,
                median(b.old for b in both), median(b.new for b in both),
                tuple(math.exp(fmean(d)) for d in _by_sitting(both)) if which in disagree else (),
            )
            for which, (quantity, both) in sides.items()
        ]  # fmt: skip

    @property
    def dropped(self) -> int:
        """Rounds that do not count: the machine changed speed during a trial, or they were far from each other."""
        return sum(not pair.counts for found in self.pairs.values() for pair in found)

    @cached_property
    def differences(self) -> list[Difference]:
        """Outcomes that differ, and exact counts of trials with the same seed that do."""
        found = []
        for key in sorted(self._old.keys() & self._new.keys()):
            a, b = self._old[key], self._new[key]
            if a.outcome != b.outcome:
                broken = a.outcome == "ok"
                found.append(Difference(key, "outcome", a.outcome, b.outcome, b.reason or a.reason, broken))
            found += self._counts_that_differ(key)
        return found

    def _counts_that_differ(self, key: Key) -> list[Difference]:
        found = []
        pairs = self.pairs.get(key, [])
        for metric in COUNTERS:
            both = [
                (a, b)
                for pair in [p for p in pairs if p.old.kind == metric.kind] or (pairs if metric.or_cold else [])
                if (a := metric.of(pair.old)) is not None and (b := metric.of(pair.new)) is not None
            ]
            if any(a != b for a, b in both):
                olds, news = ([side[i] for side in both] for i in range(2))
                found.append(Difference(key, metric.title.lower(), _range(olds), _range(news)))
        return found

    @property
    def why_nothing(self) -> str | None:
        """Why there is nothing to compare: what keeps the newer stack from being measured, or the older one."""
        return next((m.reason for side in (self._new, self._old) for m in side.values() if m.reason), None)

    @property
    def worse(self) -> bool:
        """Whether anything is slower, or newly broken."""
        return any(d.broken for d in self.differences) or any(c.verdict == WORSE for c in self.comparisons)

    def undecided(self, kind: str) -> set[Key]:
        """Parameter sets of which something that trials of a kind tell cannot be told yet."""
        return {
            c.key for c in self.comparisons if c.verdict == CANNOT_TELL and c.quantity.metric.kind == kind
        }  # fmt: skip

    def parts(self, comparison: Comparison) -> list[tuple[str, float, float]]:
        """What a quantity is made of, with its old and its new mean, the part that differs most first."""
        metric, found = comparison.quantity.metric, self.pairs[comparison.key]
        taken = _counting(found, metric.kind)
        if metric in (COLD_SETUP, WARM_SETUP, FINISH):
            name = "finish" if metric is FINISH else "setup"
            phases = [
                tuple(getattr(r.phases, name) for r in (p.old, p.new)) for p in taken if p.old.phases and p.new.phases
            ]
            names = dict.fromkeys(phase for both in phases for side in both for phase in side)
            means = [
                (TITLES.get(phase, phase), *(fmean(both[i].get(phase) or 0.0 for both in phases) for i in range(2)))
                for phase in names
            ]
        elif metric is TOTAL:
            means = [
                (
                    m.title.lower(),
                    *(fmean(m.of(r) for r in side) for side in zip(*((p.old, p.new) for p in taken), strict=True)),
                )
                for m in (WARM_SETUP, SAMPLING, FINISH)
            ]
        else:
            means = []
        return sorted(means, key=lambda part: -abs(part[2] - part[1]))


def _counting(found: Sequence[Pair], kind: str) -> list[Pair]:
    return [pair for pair in found if pair.old.kind == kind and pair.counts]


@dataclass(frozen=True)
class Both:
    """A quantity in one round of a sitting: old and new, whether the new one was measured first, and how much slower
    the machine was then, as a difference of logarithms."""

    old: float
    new: float
    new_first: bool
    speed: float
    sitting: str = ""

    @property
    def round(self) -> Round:
        """Their difference."""
        return Round(math.log(self.new / self.old), 1 if self.new_first else -1, self.speed)


def values(quantity: Quantity, found: Sequence[Pair], every: bool = False) -> list[Both]:
    """A quantity in each round that counts (or in every one), and tells both; of counts, once for each seed."""
    kind = quantity.metric.kind
    of_kind = [pair for pair in found if pair.old.kind == kind] if every else _counting(found, kind)
    if quantity.metric is GRADIENTS:
        of_kind = list({pair.old.settings.seed: pair for pair in of_kind}.values())
    both = [
        Both(quantity.of(pair.old), quantity.of(pair.new), pair.new_first, pair.speed, pair.old.round.block)
        for pair in of_kind
    ]
    return [b for b in both if b.old and b.new]


def is_negligible(quantity: Quantity, both: Sequence[Both], found: Sequence[Pair]) -> bool:
    """Whether it is so little of the whole trial that nobody waits for it."""
    if quantity.metric is not FINISH:
        return False
    whole = [r.clocks.total_wall_seconds for pair in found for r in (pair.old, pair.new) if r.kind == "warm"]
    return max(max(b.old, b.new) for b in both) < _NEGLIGIBLE * median(whole)


def sittings_of(both: Sequence[Both]) -> tuple[float, ...]:
    """The ratio in each sitting, oldest first, where these disagree by more than chance; else none."""
    p = _disagree(both)
    return () if p is None or p > paired.ERROR else tuple(math.exp(fmean(d)) for d in _by_sitting(both))


def _by_sitting(both: Sequence[Both]) -> list[list[float]]:
    """The differences of logarithms of each sitting that has several, oldest first."""
    found: dict[str, list[float]] = {}
    for b in both:
        found.setdefault(b.sitting, []).append(b.round.difference)
    return [found[sitting] for sitting in sorted(found) if len(found[sitting]) > 1]


def _disagree(both: Sequence[Both]) -> float | None:
    """How likely sittings differ as much by chance, by analysis of variance; None where there are not two, or nothing
    varies within them."""
    several = _by_sitting(both)
    if len(several) < 2 or all(min(d) == max(d) for d in several):
        return None
    return float(stats.f_oneway(*several).pvalue)


def judge(
    comparisons: Mapping[tuple[Key, str], Sequence[Round]], known: Mapping[tuple[Key, str], Prior] | None = None
) -> dict[tuple[Key, str], Judged]:
    """What rounds say of parameter sets' quantities, by name; relatives are those of one quantity, unless more is
    `known` of how rounds vary."""
    found: dict[tuple[Key, str], Judged] = {}
    lasting = {quantity.name: quantity.lasting for quantity in QUANTITIES}
    for name in {name for _, name in comparisons}:
        of_name = {which: rounds for which, rounds in comparisons.items() if which[1] == name}
        found |= paired.judge(of_name, lasting.get(name, 0.0), known)
    return found


def _range(values: Iterable[float]) -> str:
    values = sorted(values)
    return f"{values[0]:,.0f}" if values[0] == values[-1] else f"{values[0]:,.0f} to {values[-1]:,.0f}"
