"""Which package made a difference between two stacks: what to measure next, and what is known then.

First the day: stacks as of the days between the two are asked on which side they are, by bisection. Then the packages
that changed on that day: as many of them as are needed are moved into the stack before it, until it is on the other
side, and out of the one after it. What cannot be told (it does not resolve, does not install, fails in another way) is
stepped around, and said. It knows names and sides, and nothing of how a stack is made or measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import combinations
from statistics import variance

from harness.judging.paired import Prior, Round, prior

OLD, NEW, UNTOLD = "old", "new", "untold"
"""On which side of the difference a stack is; untold, with a reason, when that is not known."""
MOST_CULPRITS = 3
"""More packages than these that only together make a difference are not looked for."""
MOST_BOUND = 4
"""ArviZ is four packages, each of which asks for the others' version. Of more it is not asked whether they can be had
apart."""


@dataclass(frozen=True)
class AsOf:
    """The stack that users got at a moment."""

    moment: datetime

    def __str__(self) -> str:
        return f"as of {self.moment:%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Mixed:
    """One of the two stacks on either side of a step, with some packages of the other: `into` is "before", the older
    one, or "after"."""

    into: str
    names: frozenset[str]

    def __str__(self) -> str:
        its = "new" if self.into == "before" else "old"
        return f"{self.into} the step, with the {its} {', '.join(sorted(self.names))}"


@dataclass(frozen=True)
class Commit:
    """The newer of the two stacks, with a commit of the package that made the difference."""

    digits: str
    subject: str

    def __str__(self) -> str:
        return f"{self.digits[:10]} ({self.subject})"


Candidate = AsOf | Mixed | Commit


@dataclass(frozen=True)
class Answer:
    """On which side a candidate is, why that cannot be told, and what was seen of it; `exists` is whether there is such
    a stack, by what packages say of each other."""

    side: str
    reason: str = ""
    seen: str = ""
    exists: bool = True


Ask = Callable[[Candidate], Answer]


@dataclass(frozen=True)
class Narrowed:
    """The last position that is old, the first that is new, and what could not be told between them, with reasons."""

    old: int
    new: int
    untold: dict[int, str] = field(default_factory=dict)


def narrow(new: int, ask: Callable[[int], Answer]) -> Narrowed:
    """Bisect between position 0, which is old, and `new`, which is new; around what cannot be told."""
    old, untold = 0, {}
    while between := [i for i in range(old + 1, new) if i not in untold]:
        middle = (old + new) / 2
        position = min(between, key=lambda i: (abs(i - middle), i))
        answer = ask(position)
        if answer.side == OLD:
            old = position
        elif answer.side == NEW:
            new = position
        else:
            untold[position] = answer.reason
    return Narrowed(old, new, {i: reason for i, reason in untold.items() if old < i < new})


@dataclass(frozen=True)
class Culprits:
    """The packages that make a difference, all together: each group is one package, several that cannot be had apart
    (those of `bound`), or several of which it could not be told which. `into` is what the older stack does with their
    new versions, `out_of` the newer one with their old ones. `beside` are packages without whose new versions there is
    no older stack with the new culprit: they were moved into it as well, and do not make the difference without it.
    `beside_out` are those without whose old versions there is no newer stack with the old culprit.
    """

    groups: tuple[tuple[str, ...], ...]
    into: Answer
    out_of: Answer
    bound: frozenset[tuple[str, ...]] = frozenset()
    beside: tuple[str, ...] = ()
    beside_out: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(name for group in self.groups for name in group)

    @property
    def certain(self) -> bool:
        """Whether each is one package, or cannot be had apart, and together they make the difference both ways."""
        known = all(len(g) == 1 or g in self.bound for g in self.groups)
        return known and (self.into.side, self.out_of.side) == (NEW, OLD)


def culprits(names: Sequence[str], ask: Ask) -> Culprits:
    """The fewest packages whose new versions take the older stack to the other side, the likeliest given first.

    The smallest number of the first ones that do are found by bisection; the last of them is needed. If it does not do
    by itself, so is one of those before it, and so on (as in U. Junker, "QuickXplain", AAAI 2004).
    """
    pool, groups = list(names), []
    answer = Answer(NEW)
    for _ in range(MOST_CULPRITS):
        known = frozenset(name for group in groups for name in group)
        first = narrow(len(pool), lambda k, known=known, pool=pool: ask(Mixed("before", known | set(pool[:k]))))
        groups.append(tuple(pool[first.old : first.new]))
        pool = pool[: first.old]
        moved = frozenset(name for group in groups for name in group)
        answer = Answer(NEW) if moved == set(names) else ask(Mixed("before", moved))
        if answer.side != OLD or not pool:
            break
    if answer.side == NEW:
        groups = [_fewest(group, moved - set(group), ask) for group in groups]
        moved = frozenset(name for group in groups for name in group)
        answer = Answer(NEW) if moved == set(names) else ask(Mixed("before", moved))
    out_of = Answer(OLD) if moved == set(names) else ask(Mixed("after", moved))
    beside: tuple[str, ...] = ()
    beside_out: tuple[str, ...] = ()
    if len(moved) == 1:
        if not answer.exists:
            # What was new as well when it was found to be needed.
            answer, beside = _in_company(moved, pool, ask, set(names))
        if not out_of.exists:
            others = [name for name in names if name not in moved]
            out_of, beside_out = _in_company(moved, others, _mirrored(ask), set(names))
            out_of = _other_side(out_of)
    bound = frozenset(g for g in groups if 1 < len(g) <= MOST_BOUND and _are_bound(g, moved - set(g), ask))
    return Culprits(tuple(sorted(groups)), answer, out_of, bound, beside, beside_out)


def _in_company(
    culprit: frozenset[str], company: Sequence[str], ask: Ask, whole: set[str]
) -> tuple[Answer, tuple[str, ...]]:
    """What the older stack does with a culprit that it cannot have alone, and the fewest others that must be new, too:
    none where they make the difference without it, or it cannot be told."""
    beside = _fewest(company, culprit, ask)
    with_it = Answer(NEW) if culprit | set(beside) == whole else ask(Mixed("before", culprit | set(beside)))
    if with_it.side == NEW and ask(Mixed("before", frozenset(beside))).side == OLD:
        return with_it, beside
    return Answer(UNTOLD, with_it.reason, exists=False), ()


def _other_side(answer: Answer) -> Answer:
    return replace(answer, side={OLD: NEW, NEW: OLD}.get(answer.side, answer.side))


def _mirrored(ask: Ask) -> Ask:
    """What asks of the newer stack with old versions, as one asks of the older one with new versions."""
    return lambda candidate: _other_side(ask(Mixed("after", candidate.names)))


def _fewest(group: Sequence[str], others: frozenset[str], ask: Ask) -> tuple[str, ...]:
    """The fewest packages of a group of which it could not be told which that make the difference as all of them do,
    beside the other culprits; what cannot be told is taken for what does not make it."""

    def needed(beside: frozenset[str], is_more: bool, among: Sequence[str]) -> list[str]:
        if is_more and ask(Mixed("before", beside)).side == NEW:
            return []
        if len(among) == 1:
            return list(among)
        first, second = among[: len(among) // 2], among[len(among) // 2 :]
        of_second = needed(beside | set(first), True, second)
        return [*needed(beside | set(of_second), bool(of_second), first), *of_second]

    return tuple(needed(others, False, group))


def _are_bound(group: Sequence[str], others: frozenset[str], ask: Ask) -> bool:
    """Whether no part of a group can be moved without the rest, beside the other culprits, either way."""
    parts = [set(part) for many in range(1, len(group)) for part in combinations(group, many)]
    return not any(ask(Mixed(into, others | part)).exists for into in ("before", "after") for part in parts)


@dataclass(frozen=True)
class Step:
    """Where on the way a difference came: between the moments of two stacks, an end where there is none. What lies
    between and could not be told is said with its reason."""

    before: datetime | None
    after: datetime | None
    untold: dict[datetime, str]


def step(moments: Sequence[datetime], ask: Ask) -> Step:
    """The step between two ends, of the stacks as of these moments between them, in order."""
    found = narrow(len(moments) + 1, lambda i: ask(AsOf(moments[i - 1])))
    return Step(
        before=moments[found.old - 1] if found.old else None,
        after=moments[found.new - 1] if found.new <= len(moments) else None,
        untold={moments[i - 1]: reason for i, reason in sorted(found.untold.items())},
    )


@dataclass(frozen=True)
class CommitStep:
    """Where among commits, in order, a difference came: after `old`, at the latest with `new`. What lies between and
    could not be told is said with its reason."""

    old: Commit
    new: Commit
    untold: dict[Commit, str]


def commit_step(line: Sequence[Commit], ask: Ask) -> CommitStep | str:
    """The step between the first and the last of these commits; a sentence where they do not show it."""
    for commit, side in ((line[0], OLD), (line[-1], NEW)):
        answer = ask(commit)
        if answer.side != side:
            words = {OLD: "as before", NEW: "as after"}.get(answer.side, answer.reason)
            return f"its commits do not show it: {commit} is {words}"
    found = narrow(len(line) - 1, lambda i: ask(line[i]))
    return CommitStep(line[found.old], line[found.new], {line[i]: why for i, why in sorted(found.untold.items())})


def side_of_count(value: float, old: float, new: float) -> str:
    """On which side a stack is by a count: of the half between those of the ends, where it came in several steps."""
    return OLD if (value - old) / (new - old) < 0.5 else NEW


def most_stacks(moments: int, changed: int) -> int:
    """How many stacks are measured at most, both ends included, where all can be told and one package does it."""
    return 2 + moments.bit_length() + changed.bit_length() + 2


def known_of_rounds(others: Iterable[Sequence[Round]]) -> Prior:
    """How rounds vary, by those of other stacks beside the same old end: who knows that needs fewer of them."""
    differences = [[r.difference for r in rounds] for rounds in others if len(rounds) > 1]
    return prior([variance(d) for d in differences], [len(d) - 1 for d in differences])


def side_of_time(low: float, high: float, whole: float) -> str:
    """On which side a stack is by its time: its difference to the old end, a logarithm, lies between `low` and `high`,
    and that of the new end is `whole`. It is old or new where all of that lies on one side of the half."""
    half = whole / 2
    low, high = (low, high) if whole > 0 else (-high, -low)
    if high < abs(half):
        return OLD
    return NEW if low > abs(half) else UNTOLD
