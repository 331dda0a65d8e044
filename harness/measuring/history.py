"""The measured history: of each parameter set all releases side by side, in one sitting, joined with what was before.

A *block* is the rounds of one parameter set in neighbouring releases. What is missing follows from the results: a pair
of neighbours that have too few rounds together. A new release is so joined to the one before it, and a history that was
never measured is one block. Ratios of neighbours are what is kept of it (`harness.judging.chains`), so blocks
of different days and machines continue each other. It must not know how rounds are run, nor what their numbers say.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from rich.console import Console

from harness.errors import LostStackError, MachineError
from harness.judging.comparison import pairs
from harness.measuring import run
from harness.measuring.cells import Cell, can_be_sampled
from harness.measuring.rounds import WARM, of_each_kind
from harness.output import counted, minutes
from harness.results.records import Measurement
from harness.stacks import locks, room
from harness.stacks.locks import Stack

# Of fewer rounds, nothing tells how they vary.
_TELLING = 2
REPEATS = 1
"""How often a trial is run again at once during which the machine changed speed, at most."""


@dataclass(frozen=True)
class Block:
    """Neighbouring releases, oldest first, that one parameter set is to be measured in, side by side, and the rounds of
    each kind that they lack."""

    cell: Cell
    stacks: tuple[Stack, ...]
    rounds: Mapping[str, int]

    def __str__(self) -> str:
        tags = [stack.tag for stack in self.stacks]
        return f"{self.cell}: {' to '.join(dict.fromkeys((tags[0], tags[-1])))} ({len(tags)})"


def missing(
    machine: str, stacks: Sequence[Stack], cells: Iterable[Cell], each: Mapping[str, int], description: Mapping,
    again: bool = False,
) -> list[Block]:  # fmt: skip
    """The blocks that lack rounds on a machine, those of the newest releases first; `again`, all of them.

    `each` are the rounds of each kind that neighbours are to have together, of which two are to count, as they do for
    whoever compares them. A release without an answer has no part in it, once that is known: its neighbours are each
    other's; and what no release can sample has none at all.
    """
    cells = [cell for cell in cells if can_be_sampled(cell, description)]
    known = {stack.tag: run.archived(machine, stack, description) for stack in stacks}
    if again:
        # What was measured longest ago first: who was interrupted goes on.
        blocks = [Block(cell, tuple(stacks), each) for cell in cells if stacks]
        return sorted(blocks, key=lambda block: _newest(block.cell, known))
    found = [block for cell in cells for block in _of_cell(cell, stacks, known, each)]
    return sorted(found, key=lambda block: block.stacks[-1].date, reverse=True)


def _newest(cell: Cell, known: Mapping[str, Sequence[Measurement]]) -> str:
    """When the newest trial of a parameter set began; nothing where there is none."""
    of_cell = (m for ms in known.values() for m in ms if Cell(m.model, m.n, m.backend) == cell)
    return max((r.started for m in of_cell for r in m.records), default="")


def _of_cell(
    cell: Cell, stacks: Sequence[Stack], known: Mapping[str, Sequence[Measurement]], each: Mapping[str, int]
) -> list[Block]:
    its = {tag: [m for m in ms if Cell(m.model, m.n, m.backend) == cell] for tag, ms in known.items()}
    going = [s for s in stacks if not any(m.outcome != "ok" and m.complete(0) for m in its[s.tag][-1:])]
    if len(going) == 1 and not any(m.complete(each[WARM]) for m in its[going[0].tag]):
        return [Block(cell, tuple(going), each)]
    blocks: list[Block] = []
    for old, new in pairwise(going):
        lacking = _lacking(its[old.tag], its[new.tag], each)
        if not any(lacking.values()):
            continue
        # Whatever they lack: a cold trial fills the caches, and asv takes in no sitting without a warm one.
        rounds = {kind: max(1, many) for kind, many in lacking.items()}
        if blocks and blocks[-1].stacks[-1] is old:
            before = blocks.pop()
            rounds = {kind: max(many, before.rounds[kind]) for kind, many in rounds.items()}
            blocks.append(Block(cell, (*before.stacks, new), rounds))
        else:
            blocks.append(Block(cell, (old, new), rounds))
    return blocks


def _lacking(old: Iterable[Measurement], new: Iterable[Measurement], each: Mapping[str, int]) -> dict[str, int]:
    """How many more rounds of each kind two neighbours are to have together."""
    both = [pair for found in pairs(old, new).values() for pair in found]
    lacking = {}
    for kind, many in each.items():
        counting = [pair.counts for pair in both if pair.old.kind == kind]
        lacking[kind] = max(0, many - len(counting), min(_TELLING, many) - sum(counting))
    return lacking


def estimate_seconds(machine: str, blocks: Iterable[Block]) -> float:
    """What these blocks will take, if every release has an answer and no trial is repeated."""
    return sum(run.estimate_seconds(machine, {block.cell: block.rounds}, len(block.stacks)) for block in blocks)


def in_parts(blocks: Iterable[Block], known: Sequence[Stack]) -> list[Block]:
    """The blocks, and in the place of one that the disk has no room for, several that share a release with the next.

    Of the `known` stacks, those that are installed may go. Raises MachineError when there is no room for two.
    """
    most = room.capacity(known)
    return [part for block in blocks for part in _parts(block, most)]


def _parts(block: Block, most: int) -> list[Block]:
    if len(block.stacks) <= max(1, most):
        return [block]
    if most < 2:
        raise MachineError(
            f"There is no room for two stacks side by side, which take up to {2 * room.STACK_BYTES / 1e9:.1f} GB: free "
            "some space on the disk, and try again."
        )
    return [replace(block, stacks=block.stacks[i : i + most]) for i in range(0, len(block.stacks) - 1, most - 1)]


def measure(
    console: Console, machine: str, stacks: Sequence[Stack], cells: Sequence[Cell], description: Mapping, warm: int,
    again: bool = False, deadline: float | None = None,
) -> Iterator[Block]:  # fmt: skip
    """Measure what is missing, part by part as the disk has room; gives each when it is done.

    From `deadline` on, of `time.monotonic`, no part begins. A release that can be installed no more, since a version
    was withdrawn, is left out by name.
    """
    known, each = locks.load_stacks(), of_each_kind(warm)
    left = in_parts(missing(machine, stacks, cells, each, description, again), known)
    while left:
        if deadline is not None and time.monotonic() > deadline:
            console.print(f"The time is up: {counted(len(left), 'block')} left.")
            return
        part, *later = left
        console.rule(f"{part}, about {minutes(estimate_seconds(machine, [part]))}")
        room.make_room(part.stacks, known)
        try:
            run.measure(console, machine, part.stacks, [part.cell], description, part.rounds, repeats=REPEATS)
        except LostStackError as error:
            console.print(f"{error.tag} is left out. {error}")
            stacks = [s for s in stacks if s.tag != error.tag]
            cells = list(dict.fromkeys(block.cell for block in left))
            left = in_parts(missing(machine, stacks, cells, each, description, again), known)
            continue
        yield part
        left = later
