"""All that is known to have changed from one release to a later one: measured numbers, outcomes, and packages.

What is a change of a number is decided in `changes`. It must not know how any of it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from harness.judging import changes
from harness.results.blames import Blamed, Blames
from harness.results.store import MachineResults
from harness.stacks import locks


@dataclass(frozen=True)
class ReleaseChange:
    """All that is known to have changed from one release, `old`, to a later one, `new`."""

    old: str
    new: str
    date: str
    packages: locks.Difference
    step: changes.Step | None
    turns: Sequence[changes.Turn]
    blames: Blames = field(default_factory=Blames)

    def blamed(self, turns: Sequence[changes.Turn]) -> Blamed | None:
        """What made these turn, which have one reason."""
        found = (
            self.blames.of_outcome(self.old, self.new, (t.model, t.n, t.backend), (t.before, t.after), t.reason)
            for t in turns
        )
        return next(filter(None, found), None)

    @property
    def broken(self) -> list[changes.Turn]:
        """What worked before and does not now."""
        return [t for t in self.turns if t.before == "ok" and t.after in ("failed", "invalid")]

    @property
    def working(self) -> list[changes.Turn]:
        """What works now and did not before."""
        return [t for t in self.turns if t.after == "ok"]

    @property
    def otherwise(self) -> list[changes.Turn]:
        """What fails in another way, or is there no more."""
        return [t for t in self.turns if t not in self.broken and t not in self.working]

    @staticmethod
    def by_reason(turns: Sequence[changes.Turn]) -> list[tuple[str, list[changes.Turn]]]:
        """What turned for one reason together, versions aside."""
        groups: dict[str, list[changes.Turn]] = {}
        for turn in turns:
            groups.setdefault(turn.reason or "", []).append(turn)
        return sorted(groups.items())

    @property
    def headline(self) -> str:
        """What a reader of one line should know."""
        parts = []
        if self.step:
            for word, found in (("slower", self.step.slower), ("faster", self.step.faster)):
                if found:
                    parts.append(f"{len(found)} {word}")
        for word, found in (("newly broken", self.broken), ("newly working", self.working)):
            if found:
                parts.append(f"{len(found)} {word}")
        if not parts and self.step and self.step.comparisons:
            parts = [f"no change beyond noise in {len(self.step.comparisons)} comparisons"]
        if self.step and self.step.counters:
            parts.append(f"{len(self.step.counters)} counters differ")
        if not parts:
            parts = ["the same outcomes"]
        return ", ".join(parts)


def release_changes(content: MachineResults) -> list[ReleaseChange]:
    """Those between measured releases, and those between swept ones, newest first."""
    steps = {(s.old, s.new): s for s in changes.steps_of(content)}
    swept = list(content.table["releases"])
    releases = content.table["releases"]
    turns = {pair: changes.turns(releases[pair[0]], releases[pair[1]]) for pair in pairwise(swept)}
    by_tag = {stack.tag: stack for stack in content.stacks}
    found = []
    for old, new in steps.keys() | turns.keys():
        if old not in by_tag or new not in by_tag:
            continue
        step = steps.get((old, new))
        seen = {(t.model, t.n, t.backend): t for t in turns.get((old, new), ())}
        seen |= {(t.model, t.n, t.backend): t for t in (step.turns if step else ())}
        found.append(
            ReleaseChange(
                old,
                new,
                by_tag[new].date.strftime("%Y-%m-%dT%H:%M:%SZ"),
                locks.diff(by_tag[old], by_tag[new]),
                step,
                tuple(seen[key] for key in sorted(seen)),
                content.blames,
            )
        )
    order = {stack.tag: i for i, stack in enumerate(content.stacks)}
    return sorted(found, key=lambda c: (order[c.new], c.step is not None), reverse=True)
