"""Comparing two stacks: rounds until all is decided, the time is up, or as many as were asked for.

After so many rounds as `paired.LOOKS` says, it looks: what is decided gets no more rounds, cold and warm ones apart.
What was archived of earlier sittings counts, and their rounds are gone on from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from harness.judging import paired
from harness.judging.comparison import CANNOT_TELL, Compared
from harness.measuring import rounds, run
from harness.measuring.cells import Cell
from harness.measuring.rounds import COLD, WARM, Arm, Rounds
from harness.output import counted, percent
from harness.results.records import Measurement, to_be_confirmed

KINDS = (COLD, WARM)


class Comparing:
    """A comparison of two arms on this machine, while it is made. `archived` is what results have of each arm."""

    def __init__(
        self,
        arms: tuple[Arm, Arm],
        machine: str,
        description: Mapping,
        wanted: Sequence[Cell],
        archived: tuple[Sequence[Measurement], Sequence[Measurement]] = ((), ()),
        kinds: Sequence[str] = KINDS,
    ) -> None:
        self.wanted, self._archived, self._kinds = wanted, archived, kinds
        before = [pair.old for found in Compared(*archived).pairs.values() for pair in found]
        first = {
            kind: 1 + max((r.round.number for r in before if r.kind == kind), default=n - 1)
            for kind, n in rounds.FIRST.items()
        }
        self.sitting = Rounds(arms, machine, description, first)
        self.inside_trials = 0.0
        # With what an earlier call has left here: of variants nothing is archived.
        self._before = self.compared()

    def compared(self) -> Compared:
        """What all rounds until now say."""
        sides = []
        for arm, before in zip(self.sitting.arms, self._archived, strict=True):
            here = (self.sitting.measurement(arm, cell) for cell in self.wanted)
            of_wanted = (m for m in before if Cell(m.model, m.n, m.backend) in self.wanted)
            sides.append([*of_wanted, *(m for m in here if m.records)])
        return Compared(*sides)

    def left(self, look: int) -> dict[Cell, dict[str, int]]:
        """How many more rounds of each kind each cell needs until a look, of what is not decided.

        A round that does not count is made up for, but no machine is waited for that never keeps its speed.
        """
        compared = self.compared()
        return {
            cell: {kind: _left(compared, self._before, cell, kind, look) if kind in kinds else 0 for kind in KINDS}
            for cell in self.wanted
            for kinds in [() if self._ended(cell) else self._kinds]
        }

    def _ended(self, cell: Cell) -> bool:
        """Whether both arms were measured in earlier sittings, and one of them has no answer."""
        newest = [{Cell(m.model, m.n, m.backend): m for m in measurements}.get(cell) for measurements in self._archived]
        return None not in newest and any(m.outcome != "ok" and not to_be_confirmed(m.records) for m in newest)

    def run(self, console: Console, look: int, deadline: float | None = None) -> bool:
        """Run rounds up to a look; whether there was time enough, which ends at `deadline` of `time.monotonic`."""
        while True:
            left, trials = self.left(look), 0
            total = 2 * sum(sum(kinds.values()) for kinds in left.values())
            aim = {
                cell: {kind: len(self.sitting.rounds(cell, kind)) + n for kind, n in kinds.items()}
                for cell, kinds in left.items()
            }
            for trial in run.follow(console, self.sitting.run(aim, alone=1), total, f"until round {look}"):
                trials += 1
                self.inside_trials += trial.record.trial_wall_seconds
                if trial.closes and deadline is not None and time.monotonic() > deadline:
                    self.inside_trials += sum(t.record.trial_wall_seconds for t in self.sitting.settle(self.wanted))
                    return False
            if not trials:
                # Nothing is left, or an arm has failed.
                return True


def _left(compared: Compared, before: Compared, cell: Cell, kind: str, look: int) -> int:
    """More rounds until a look; those that earlier calls, `before`, ran in vain are not held against this one."""
    key = (cell.model, cell.n, cell.backend)
    found, earlier = ([p for p in side.pairs.get(key, ()) if p.old.kind == kind] for side in (compared, before))
    counting, in_vain = sum(pair.counts for pair in found), sum(not pair.counts for pair in earlier)
    decided = counting in paired.LOOKS and key not in compared.undecided(kind)
    return 0 if decided else max(0, min(look - counting, 2 * look + in_vain - len(found)))


def looks(most: int) -> list[int]:
    """After how many rounds one looks, when there are to be so many at most."""
    return [*(look for look in paired.LOOKS if look < most), most]


def what_more_would_show(compared: Compared, most: int) -> list[str]:
    """For each quantity that is not decided everywhere: what the next look would show that these rounds do not."""
    undecided: dict[str, list[tuple[int, float]]] = {}
    for c in compared.comparisons:
        if c.verdict == CANNOT_TELL and c.judged:
            now = c.judged.estimate.rounds
            then = next((look for look in looks(most) if look > now), 2 * now)
            undecided.setdefault(c.quantity.title, []).append((then - now, c.judged.estimate.smallest_visible(then)))
    told = []
    for title, found in undecided.items():
        percents = list(dict.fromkeys(percent(ratio(r for _, r in found)) for ratio in (min, max)))
        more = counted(max(more for more, _ in found), "more round")
        told.append(
            f"{title}, {counted(len(found), 'parameter set')}: {more} would show differences from "
            f"{' to '.join(percents)}."
        )
    return told
