"""How far verdicts can be trusted, by a stack that was measured beside a copy of itself.

Every disjoint stretch of rounds is judged by itself, as a comparison of two stacks would be: what is then called a
difference is a false alarm. And how much would have had to be added to what was measured there, to be called? It knows
numbers that were measured, and nothing of how.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator
from rich.console import Console
from rich.table import Table
from scipy import optimize, stats

from harness.errors import BenchError
from harness.judging import paired
from harness.judging.comparison import LASTING, QUANTITIES, Both, judge
from harness.output import counted
from harness.results.fields import Name, Number, Positive, Text
from harness.results.parts import Document
from harness.results.records import first_problem

ADDED = (0.01, 0.02, 0.05, 0.1, 0.2)
"""As parts: how much more is asked about."""
Series = Annotated[list[Positive], Field(max_length=10_000)]


class Measured(Document):
    """A quantity of a parameter set in the stack, `old`, and in its copy, `new`, round by round."""

    model: Name
    n: int
    backend: Name
    quantity: Name
    old: Series
    new: Series
    new_first: Annotated[list[bool], Field(max_length=10_000)]
    speed: Annotated[list[Number], Field(max_length=10_000)]

    @model_validator(mode="after")
    def _of_the_same_rounds(self) -> Self:
        if len({len(side) for side in (self.old, self.new, self.new_first, self.speed)}) > 1:
            raise ValueError("the stack and its copy have the same rounds")
        return self

    @property
    def rounds(self) -> list[paired.Round]:
        """The differences, as a comparison has them."""
        return [Both(*b).round for b in zip(self.old, self.new, self.new_first, self.speed, strict=True)]

    @property
    def key(self) -> tuple[str, int, str]:
        """Its parameter set."""
        return self.model, self.n, self.backend


@dataclass(frozen=True)
class Found:
    """A quantity that an injection changed: by how much, and `called`, in how many of how many stretches of so many
    rounds it was called a difference."""

    key: tuple[str, int, str]
    quantity: str
    estimate: paired.Estimate
    called: Mapping[int, tuple[int, int]]


class Injected(Document):
    """What was measured of a copy that does more work."""

    where: Name
    amount: Positive
    series: list[Measured]

    def found(self) -> list[Found]:
        """Each quantity that is another one for it, as all rounds tell, and how often fewer would have called it."""
        judged = judge({(m.key, m.quantity): m.rounds for m in self.series})
        called: dict[int, list[set]] = {}
        for look in paired.LOOKS:
            for stretch in _stretches(self.series, look):
                p = {which: found.p for which, found in judge(stretch).items()}
                called.setdefault(look, []).append(paired.discoveries(p))
        return [
            Found(
                *which, one.estimate, {n: (sum(which in names for names in c), len(c)) for n, c in called.items()}
            )
            for which, one in judged.items()
            if one.estimate.p <= paired.ERROR
        ]  # fmt: skip


class Sitting(Document):
    """What a machine measured in one sitting of a stack and its copies, and when."""

    machine: Text
    stack: Text
    made: Text
    protocol: int
    cpu_model: Text | None = None
    same: list[Measured]
    injected: Annotated[list[Injected], Field(default_factory=list)]


@dataclass(frozen=True)
class Calibration:
    """All that a machine measured of stacks and their copies; the sittings, of which there is one at least, the oldest
    first."""

    sittings: tuple[Sitting, ...]

    @property
    def machine(self) -> str:
        """Its name."""
        return self.sittings[0].machine

    @property
    def stacks(self) -> str:
        """Of which stacks, as text."""
        return ", ".join(sorted({s.stack for s in self.sittings}))

    @property
    def made(self) -> str:
        """The day, or the first and the last."""
        return " to ".join(dict.fromkeys((self.sittings[0].made[:10], self.sittings[-1].made[:10])))

    @property
    def injected(self) -> list[Injected]:
        """The copies that do more work."""
        return [injected for sitting in self.sittings for injected in sitting.injected]

    def false_alarms(self, rounds: int) -> FalseAlarms:
        """Of all comparisons of disjoint stretches of so many rounds."""
        comparisons = called = 0
        keys = set()
        for stretch in self._stretches(rounds):
            p = {which: found.p for which, found in judge(stretch).items()}
            comparisons += len(p)
            called += len(paired.discoveries(p))
            keys |= {key for key, _ in p}
        return FalseAlarms(comparisons, called, len(keys))

    def smallest_found(self, rounds: int) -> dict[str, float]:
        """By quantity: the ratio above 1 that would have been called in four of five stretches of so many rounds, as
        the only difference of all that were compared."""
        needed = self._needed(rounds)
        return {name: paired.ratio(max(0.0, float(np.quantile(n, paired.POWER)))) for name, n in needed.items()}

    def share_found(self, rounds: int, ratio: float) -> dict[str, float]:
        """By quantity: in what share of the stretches of so many rounds this ratio would have been called, as the only
        difference."""
        return {name: float(np.mean(np.array(n) <= math.log(ratio))) for name, n in self._needed(rounds).items()}

    def limits(self) -> list[tuple[str, list[float | None]]]:
        """By quantity, as its title: the smallest differences that are found in as many rounds as one looks after."""
        found = [self.smallest_found(look) for look in paired.LOOKS]
        of = [(q.title, [seen.get(q.name) for seen in found]) for q in QUANTITIES]
        return [(title, ratios) for title, ratios in of if any(ratios)]

    def shares(self) -> tuple[int, list[tuple[str, list[float]]]]:
        """After how many rounds, the most that were measured, and by quantity: how often what `ADDED` has is found."""
        look = max((look for look in paired.LOOKS if self.smallest_found(look)), default=0)
        found = [self.share_found(look, 1 + part) for part in ADDED] if look else []
        return look, [(q.title, [of[q.name] for of in found]) for q in QUANTITIES if found and q.name in found[0]]

    def _needed(self, rounds: int) -> dict[str, list[float]]:
        """By quantity: what each parameter set's stretches would have needed to be called, in logarithms."""
        needed: dict[str, list[float]] = {}
        for stretch in self._stretches(rounds):
            judged = judge(stretch)
            level = min(paired.ERROR, paired.DISCOVERIES / len(judged)) if judged else 0.0
            for (_, quantity), found in judged.items():
                e = found.estimate
                reach = float(stats.t.ppf(1 - level * paired.share(rounds) / 2, min(e.freedom, 1e6))) * e.error
                needed.setdefault(quantity, []).append(reach - e.mean)
        return needed

    def lasting(self) -> float | None:
        """By how much the times of equal stacks differ for good: the standard deviation, as a difference of logarithms,
        with which all series together are as far from none as their errors say (Paule and Mandel 1982).

        None where too few rounds were measured to tell.
        """
        clocks = {quantity.name for quantity in QUANTITIES if quantity.metric.of_a_clock}
        found = [
            (estimate.mean, estimate.error)
            for sitting in self.sittings
            for its in sitting.same
            if its.quantity in clocks
            and len(its.old) >= min(paired.LOOKS)
            and (estimate := paired.estimate(its.rounds))
            and estimate.error > 0
        ]
        if not found:
            return None
        means, errors = np.array(found).T

        def excess(lasting: float) -> float:
            return float(np.mean(means**2 / (errors**2 + lasting**2))) - 1

        return float(optimize.brentq(excess, 0.0, 1e3)) if excess(0.0) > 0 else 0.0

    def _stretches(self, rounds: int) -> Iterator[Mapping[tuple, Sequence[paired.Round]]]:
        """What can differ: with the same seed draws are the same, and so is all that is counted of them."""
        for sitting in self.sittings:
            for stretch in _stretches(sitting.same, rounds):
                yield {which: its for which, its in stretch.items() if any(r.difference for r in its)}


def _stretches(series: Sequence[Measured], rounds: int) -> Iterator[Mapping[tuple, Sequence[paired.Round]]]:
    """Disjoint stretches of all that has as many rounds."""
    most = max((len(m.old) for m in series), default=0)
    for start in range(0, most - rounds + 1, rounds):
        yield {(m.key, m.quantity): m.rounds[start : start + rounds] for m in series if len(m.old) >= start + rounds}


@dataclass(frozen=True)
class FalseAlarms:
    """How many comparisons of equal stacks there were, over how many parameter sets, and how many were called."""

    comparisons: int
    called: int
    parameter_sets: int

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of their share."""
        found = stats.binomtest(self.called, self.comparisons).proportion_ci(0.95)
        return float(found.low), float(found.high)


def read(path: Path) -> Sitting:
    """What was kept of a sitting. Raises BenchError, in one sentence, when the file is damaged."""
    try:
        return Sitting.model_validate(json.loads(path.read_text()))
    except (OSError, ValueError, RecursionError) as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise BenchError(
            f"{path} is no calibration ({problem}): restore it, or delete it and calibrate again."
        ) from error


def of_machine(folder: Path, machine: str) -> Calibration | None:
    """What there is of a machine in the results' folder of calibrations; None where there is nothing."""
    found = [read(path) for path in (folder / machine).glob("*.json")]
    if foreign := next((s.machine for s in found if s.machine != machine), None):
        raise BenchError(f"{folder / machine} has a calibration of {foreign!r}: move it to the folder of that machine.")
    # Of several protocols the newest that was calibrated: how rounds vary is the machine's, more than the trial's.
    found = [s for s in found if s.protocol == max(s.protocol for s in found)]
    return Calibration(tuple(sorted(found, key=lambda s: s.made))) if found else None


def show(console: Console, calibration: Calibration) -> None:
    """Print false alarms, and by quantity the smallest differences that are found."""
    table = Table("", *(f"{look} rounds" for look in paired.LOOKS), box=None)
    for title, ratios in calibration.limits():
        table.add_row(title, *(f"{100 * (r - 1):.1f} %" if r else "–" for r in ratios))
    console.print("The smallest difference that is found in four of five cases:", table, "", sep="\n")
    look, shares = calibration.shares()
    if shares:
        table = Table("", *(f"{part:.0%}" for part in ADDED), box=None)
        for title, of in shares:
            table.add_row(title, *(f"{share:.0%}" for share in of))
        console.print(f"How often so much more is found in {look} rounds:", table, "", sep="\n")
    for look in paired.LOOKS:
        alarms = calibration.false_alarms(look)
        if alarms.comparisons:
            console.print(sentence(alarms, look))
    if told := what_lasts(calibration):
        console.print(told)
    for injected in calibration.injected:
        _show_injected(console, injected)


def _show_injected(console: Console, injected: Injected) -> None:
    table = Table("", "ratio (95 %)", *(f"in {look}" for look in paired.LOOKS), box=None)
    titles = {quantity.name: quantity.title for quantity in QUANTITIES}
    found = injected.found()
    for key in dict.fromkeys(one.key for one in found):
        model, n, backend = key
        table.add_row(f"{model} n={n} {backend}")
        for one in (one for one in found if one.key == key):
            low, high = one.estimate.interval()
            shares = [one.called.get(look, (0, 0)) for look in paired.LOOKS]
            table.add_row(
                f"  {titles.get(one.quantity, one.quantity)}", f"{one.estimate.ratio:.3f} ({low:.3f}–{high:.3f})",
                *(f"{k} of {of}" if of else "–" for k, of in shares),
            )  # fmt: skip
    console.print(
        f"\nWhat differs in the copy with {injected.where}={injected.amount:g}, and how many stretches of so many "
        "rounds called it:", table if found else "nothing", sep="\n",
    )  # fmt: skip


def sentence(alarms: FalseAlarms, rounds: int) -> str:
    """How often chance was called a difference."""
    low, high = alarms.interval
    return (
        f"Of {alarms.comparisons} comparisons of equal stacks by {rounds} rounds, over "
        f"{counted(alarms.parameter_sets, 'parameter set')}, {alarms.called} were called a difference: "
        f"{100 * alarms.called / alarms.comparisons:.1f} % (95 %: {100 * low:.1f} to {100 * high:.1f} %)."
    )


def what_lasts(calibration: Calibration) -> str | None:
    """How much equal stacks differed that more rounds do not average out, and what the rule allows for it."""
    lasting = calibration.lasting()
    if lasting is None:
        return None
    return (
        f"Beyond what varies from round to round, the times of equal stacks differed by {100 * lasting:.1f} % "
        f"(standard deviation), however many rounds were run; the rule allows for {100 * LASTING:g} %."
    )
