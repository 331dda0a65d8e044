"""Finding which package made a difference: measures the stacks that `harness.judging.blame` asks for.

Outcomes and exact counts of one seed decide without a clock; times by rounds beside the older end, until it is known on
which side of the half a stack lies. Every trial is kept by its stack's packages, so that what was interrupted, or asked
for with another backend, goes on from there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from rich.console import Console

from harness.errors import BenchError, MachineError, UnresolvableError
from harness.judging import blame, comparison, paired
from harness.judging.blame import NEW, OLD, UNTOLD, Answer, Candidate, Culprits, Mixed, Step
from harness.judging.comparison import QUANTITIES, Quantity
from harness.measuring.cells import Cell
from harness.measuring.rounds import COLD, WARM, Arm, Rounds, apart
from harness.measuring.run import follow
from harness.results.blames import without_versions
from harness.results.metrics import COUNTERS, GRADIENT_COUNT, SAMPLING, Metric
from harness.results.records import Measurement, why_not
from harness.stacks import mixing
from harness.stacks.locks import Stack, diff

OUTCOME = "outcome"
LOOKS = (3, 4, 5, 6, 8, 10, 12, 16, 24, 32)
"""After how many rounds one asks on which side a stack is."""
DIFFER_LEVEL = 0.998
"""Of the interval without 1 that says that the ends differ, at any look."""
SIDE_LEVEL = 0.98
"""Of the interval that must lie on one side of the half, at any look: nearly none do on the wrong one, from which they
are half of the difference away."""
_VERSIONS = re.compile(r" \([^()]*\)$")


@dataclass(frozen=True)
class Criterion:
    """What tells the two ends apart: an outcome, a count, or a time; `cold` is whether cold trials show it."""

    name: str
    counter: Metric | None = None
    quantity: Quantity | None = None
    cold: bool = False

    @property
    def title(self) -> str:
        """What it is called within a sentence."""
        return self.counter.title.lower() if self.counter else self.quantity.phrase if self.quantity else "the outcome"

    @property
    def rounds(self) -> dict[str, int]:
        """What one stack is measured by where no clock is needed."""
        return {COLD: 1, WARM: 0 if self.cold else 1}


def criteria() -> dict[str, Criterion]:
    """All that can be asked for, by name."""
    found = {OUTCOME: Criterion(OUTCOME)}
    found |= {metric.name: Criterion(metric.name, counter=metric, cold=metric.or_cold) for metric in COUNTERS}
    found |= {q.name: Criterion(q.name, quantity=q) for q in QUANTITIES}
    # Who asks for the seconds of sampling means them, also where those of one gradient tell more.
    of_sampling = Quantity(SAMPLING, cpu=False, of=SAMPLING.of)
    return found | {of_sampling.name: Criterion(of_sampling.name, quantity=of_sampling)}


def criterion(name: str) -> Criterion:
    """Raises BenchError for a name that there is not."""
    known = criteria()
    if name not in known:
        raise BenchError(f"There is no metric {name!r} to blame something for: choose one of {', '.join(known)}.")
    return known[name]


@dataclass(frozen=True)
class Seen:
    """What was seen of a stack: an outcome with its reason, a count, or both ends' medians of a time."""

    value: object
    reason: str | None = None

    def __str__(self) -> str:
        if self.is_count:
            return f"{self.value:,.0f}"
        return f"{self.value}: {self.reason}" if self.reason else str(self.value)

    @property
    def is_count(self) -> bool:
        """Whether it is a number, and not what became of a trial that has none."""
        return isinstance(self.value, float)

    @property
    def kind(self) -> object:
        """What must be the same for two stacks to be on the same side: of a failure also how it failed, without the
        versions that were involved."""
        return (self.value, without_versions(self.reason or "")) if self.value == "failed" else self.value


class NoStepError(BenchError):
    """No package can be named, for both ends are alike or what differs comes and goes: `seen` of both, by a metric."""

    def __init__(self, said: str, metric: str, seen: tuple[str, str]) -> None:
        super().__init__(said)
        self.metric, self.seen = metric, seen


@dataclass(frozen=True)
class Blame:
    """What was found: both ends, the stacks on either side of the step, and the culprits among what changed there.

    `effects` are the ratio and its 95 % interval of a time, where a clock decides.
    """

    criterion: Criterion
    cell: Cell
    ends: tuple[Stack, Stack]
    seen: tuple[str, str]
    step: Step
    sides: tuple[Stack, Stack]
    culprits: Culprits
    measured: int
    untold: list[str]
    effects: dict[str, str] = field(default_factory=dict)


class Search:
    """One question, on this machine."""

    def __init__(
        self, console: Console, ends: tuple[Stack, Stack], cell: Cell, machine: str, description: Mapping
    ) -> None:
        self._console, self.ends, self.cell = console, ends, cell
        self._machine, self._description = machine, description
        self.measured: dict[str, Stack] = {}
        self._asked: dict[str, Answer] = {}
        self._rounds: dict[str, list[paired.Round]] = {}
        self._said: dict[Candidate, Answer] = {}

    # Both ends

    def differ(self, wanted: Criterion | None) -> tuple[Criterion, tuple[str, str]]:
        """Measure both ends: what tells them apart, and what it is of each. Raises NoStepError when nothing does."""
        old, new = self.ends
        self._old, self._new = (self._seen_of(stack, criteria()[OUTCOME]) for stack in self.ends)
        if wanted is None or wanted.name == OUTCOME:
            if self._old.kind != self._new.kind:
                # A stack is to be tried for as long as the newer one takes to fail, else it passes for the older one.
                old_why, new_why = (why_not(self._measurement(self._arm(stack)).records) for stack in self.ends)
                return self._chosen(Criterion(OUTCOME, cold=(new_why or old_why).kind == COLD))
            if wanted or self._old.value != "ok":
                raise self._nothing(
                    OUTCOME, f"{old.tag} and {new.tag} do not differ: {self.cell} is {self._old} in both."
                )
        if self._old.value != "ok" or self._new.value != "ok":
            raise self._nothing(
                wanted.name,
                f"{self.cell} has no {wanted.title} in both: {old.tag} is {self._old}, {new.tag} is {self._new}. "
                "Ask for its outcome: `--metric outcome`.",
            )
        counters = [c for c in criteria().values() if c.counter and wanted in (None, c)]
        for each in counters:
            self._old, self._new = (self._seen_of(stack, each) for stack in self.ends)
            if self._old.is_count and self._new.is_count and self._old.value != self._new.value:
                return self._chosen(each)
            if wanted and self._old.is_count != self._new.is_count:
                raise self._nothing(each.name, f"{self.cell} has no {each.title} that both stacks tell.")
            if wanted:
                raise self._nothing(
                    each.name,
                    f"{old.tag} and {new.tag} do not differ: {each.title} of {self.cell} is {self._old} in both.",
                )
        return self._differ_in_time(wanted or criteria()["total"])

    def _chosen(self, chosen: Criterion) -> tuple[Criterion, tuple[str, str]]:
        self.criterion = chosen
        return chosen, (str(self._old), str(self._new))

    def _nothing(self, metric: str, said: str) -> NoStepError:
        return NoStepError(said, metric, (str(self._old), str(self._new)))

    def _differ_in_time(self, wanted: Criterion) -> tuple[Criterion, tuple[str, str]]:
        self.criterion = wanted
        old, new = self.ends
        for look in LOOKS:
            estimate, both = self._estimate(new, look)
            if not both:
                raise NoStepError(f"{self.cell} has no {wanted.title} that both stacks tell.", wanted.name, ("", ""))
            if estimate:
                low, high = estimate.interval(DIFFER_LEVEL)
                if low > 1 or high < 1:
                    self.whole = estimate.mean
                    self.effect = _ratio(estimate)
                    return wanted, self._medians(wanted.quantity, both)
        told = f": {_ratio(estimate)}" if estimate else ""
        raise NoStepError(
            f"{old.tag} and {new.tag} do not differ in {wanted.title} of {self.cell}, as far as {LOOKS[-1]} rounds "
            f"tell{told}.",
            wanted.name,
            self._medians(wanted.quantity, both),
        )

    def _medians(self, quantity: Quantity, both: Sequence[tuple[float, float]]) -> tuple[str, str]:
        unit = quantity.metric.unit or ""
        return tuple(f"{median(side):.3g} {unit}".rstrip() for side in zip(*both, strict=True))

    # In between

    def answer(self, candidate: Candidate, make: Callable[[], Stack]) -> Answer:
        """On which side a stack is, which is made when it is asked for; the same packages are measured once."""
        if candidate not in self._said:
            self._said[candidate] = answer = self._answer(make)
            self._say(candidate, answer)
        return self._said[candidate]

    def _answer(self, make: Callable[[], Stack]) -> Answer:
        try:
            stack = make()
        except MachineError:
            raise
        except BenchError as error:
            return Answer(UNTOLD, _shortened(str(error)), exists=not isinstance(error, UnresolvableError))
        key = repr(stack.content)
        if key not in self._asked:
            same = {repr(end.content): side for end, side in zip(self.ends, (OLD, NEW), strict=True)}
            self._asked[key] = Answer(same[key], "") if key in same else self._measure(stack)
        return self._asked[key]

    def _say(self, candidate: Candidate, answer: Answer) -> None:
        words = {OLD: "as before", NEW: "as after", UNTOLD: "cannot be told"}[answer.side]
        because = answer.seen or answer.reason
        self._console.print(f"  {candidate}: {words}{f' ({because})' if because else ''}", highlight=False)

    def _measure(self, stack: Stack) -> Answer:
        try:
            if self.criterion.quantity:
                return self._measure_time(stack)
            seen = self._seen_of(stack, self.criterion)
        except MachineError:
            raise
        except BenchError as error:
            return Answer(UNTOLD, _shortened(str(error)))
        return self._side_of(seen)

    def _side_of(self, seen: Seen) -> Answer:
        counter, kinds = self.criterion.counter, {self._old.kind: OLD, self._new.kind: NEW}
        if seen.kind in kinds:
            return Answer(kinds[seen.kind], seen=str(seen))
        if seen.value == "ok" and counter is None:
            # Both ends fail, each in its way: what made the newer failure is looked for, wherever the older one ended.
            return Answer(OLD, seen=str(seen))
        if counter is None or not seen.is_count:
            return Answer(UNTOLD, f"it is neither: {seen}")
        # Of a seed, gradients are the same or they are not: by how much says nothing.
        side = NEW if counter is GRADIENT_COUNT else blame.side_of_count(seen.value, self._old.value, self._new.value)
        return Answer(side, seen=str(seen))

    def _measure_time(self, stack: Stack) -> Answer:
        told = "not measured"
        for look in LOOKS:
            estimate, _ = self._estimate(stack, look)
            if estimate:
                told = _ratio(estimate)
                side = blame.side_of_time(*map(math.log, estimate.interval(SIDE_LEVEL)), self.whole)
                if side != UNTOLD:
                    return Answer(side, seen=told)
            outcome = self._measurement(self._arm(stack)).outcome
            if outcome != "ok":
                return Answer(UNTOLD, f"it is {outcome}")
        return Answer(UNTOLD, f"after {LOOKS[-1]} rounds it is {told}, which is on neither side of the half")

    # Measuring

    def _arm(self, stack: Stack) -> Arm:
        arm = apart(stack)
        self.measured[stack.sha256] = stack
        # Two mixtures of one day have one tag.
        return arm if stack in self.ends else replace(arm, name=f"{stack.tag}-{stack.sha256[:6]}")

    def _seen_of(self, stack: Stack, asked: Criterion) -> Seen:
        arm = self._arm(stack)
        sitting = Rounds([arm], self._machine, self._description)
        wanted = {self.cell: asked.rounds}
        for _ in follow(
            self._console, sitting.run(wanted, alone=asked.rounds[WARM]), sum(asked.rounds.values()), arm.name
        ):
            pass
        measurement = sitting.measurement(arm, self.cell)
        if asked.counter is None:
            return Seen(measurement.outcome, measurement.reason)
        # Of the first trial, so of one seed, and also where the machine changed speed: a count does not.
        counter, records = asked.counter, measurement.records
        told = [r for r in records if r.kind == counter.kind] or (records if counter.or_cold else [])
        values = [value for r in told if (value := counter.of(r)) is not None]
        return Seen(float(values[0])) if values else Seen(measurement.outcome, measurement.reason)

    def _estimate(self, stack: Stack, look: int) -> tuple[paired.Estimate | None, Sequence[tuple[float, float]]]:
        """The time of a stack over that of the older end, by as many rounds; None where they say nothing."""
        quantity, sides = self.criterion.quantity, [self._arm(self.ends[0]), self._arm(stack)]
        kind = quantity.metric.kind
        sitting = Rounds(sides, self._machine, self._description)
        wanted = {self.cell: {COLD: look if kind == COLD else 1, WARM: look if kind == WARM else 0}}
        for _ in follow(self._console, sitting.run(wanted, alone=1), 2 * look, f"beside {sides[0].name}"):
            pass
        compared = comparison.Compared(*([sitting.measurement(arm, self.cell)] for arm in sides))
        found = next(iter(compared.pairs.values()), [])
        # A machine that changes its speed during a trial does so on either side alike, and what is asked is coarse.
        both = comparison.values(quantity, found, every=True)
        self._rounds[stack.sha256] = rounds = [b.round for b in both]
        others = [rounds for sha256, rounds in self._rounds.items() if sha256 != stack.sha256]
        known = blame.known_of_rounds(others)
        return paired.estimate(rounds, known, quantity.lasting), [(b.old, b.new) for b in both]

    def _measurement(self, arm: Arm) -> Measurement:
        return Rounds([arm], self._machine, self._description).measurement(arm, self.cell)


def find(search: Search, wanted: Criterion | None, console: Console) -> Blame:
    """The whole way, from both ends to the package. Raises NoStepError when the ends do not differ."""
    old, new = search.ends
    console.print(f"Measuring both ends: {old.tag} and {new.tag}.", highlight=False)
    chosen, seen = search.differ(wanted)
    console.print(f"They differ in {chosen.title}: {seen[0]} → {seen[1]}.", highlight=False)
    moments, untold = mixing.moments(old, new)
    stacks: dict = {}

    def at(moment) -> Stack:
        if moment not in stacks:
            stacks[moment] = mixing.as_of(moment)
        return stacks[moment]

    console.print(
        f"When did it come? The stacks as of {len(moments)} moments in between, by bisection:", highlight=False
    )
    step = blame.step(moments, lambda c: search.answer(c, lambda: at(c.moment)))
    sides = (at(step.before) if step.before else old), (at(step.after) if step.after else new)
    changed = mixing.by_suspicion(diff(*sides), _named(seen))
    if not changed:
        raise NoStepError(
            f"Between {step.before or old.tag} and {step.after or new.tag} no package changed, and the answer did: the "
            "difference comes and goes. Repeat with another seed: `bench sweep --again`.",
            chosen.name,
            seen,
        )
    console.print(f"In that step changed: {', '.join(changed)}.", highlight=False)

    def ask(candidate: Mixed) -> Answer:
        base, other = sides if candidate.into == "before" else sides[::-1]
        return search.answer(candidate, lambda: mixing.mixed(base, other, candidate.names))

    culprits = blame.culprits(changed, ask)
    untold += [f"as of {moment:%Y-%m-%d %H:%M}: {reason}" for moment, reason in step.untold.items()]
    return Blame(
        chosen, search.cell, (old, new), seen, step, sides, culprits, len(search.measured), untold,
        {"both ends": search.effect} if chosen.quantity else {},
    )  # fmt: skip


def _named(seen: Sequence[str]) -> list[str]:
    """Packages that the reasons of failures name, with their versions in parentheses at the end."""
    found = [name for text in seen for name in re.findall(r"([a-z][\w-]*) \d[\w.]*", _tail(text))]
    return [name for name in dict.fromkeys(found) if name != "pymc"]


def _tail(text: str) -> str:
    match = _VERSIONS.search(text)
    return match[0] if match else ""


def _ratio(estimate: paired.Estimate) -> str:
    low, high = estimate.interval()
    return f"{estimate.ratio:.3f} times ({low:.3f}–{high:.3f})"


def _shortened(text: str) -> str:
    return text if len(text) < 300 else text[:300] + " …"
