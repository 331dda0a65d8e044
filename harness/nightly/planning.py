"""What is left to measure, and beside what: it follows from locks and results, and nothing remembers it.

One runner measures one *work*: a stack beside the one before it, or a block of the history. It must not know how
anything is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import BenchError
from harness.measuring import history, run
from harness.measuring.cells import Cell
from harness.measuring.rounds import of_each_kind
from harness.stacks import locks
from harness.stacks.locks import Stack


@dataclass(frozen=True)
class Work:
    """What one runner is to measure: these parameter sets in these stacks, side by side. It is called as the newest
    stack is, or, where it `is_history`, as its parameter set."""

    name: str
    stacks: tuple[Stack, ...]
    cells: tuple[Cell, ...]
    is_history: bool = False


def work(name: str, wanted: Iterable[Cell]) -> Work:
    """The work of that name, of the parameter sets that are wanted.

    Raises BenchError where there is no such stack, and no such parameter set.
    """
    wanted = tuple(wanted)
    cell = next((c for c in wanted if name_of(c) == name), None)
    if cell:
        return Work(name, tuple(of_history()), (cell,), is_history=True)
    try:
        return Work(name, tuple(side_by_side(locks.get_stack(name))), wanted)
    except BenchError as error:
        raise BenchError(f"{str(error).rstrip('.')}, and no parameter set that was asked for is called so.") from error


def name_of(cell: Cell) -> str:
    """What the block of a parameter set is called."""
    return f"{cell.model}-{cell.n}-{cell.backend}"


def left(chosen: Sequence[Stack], machine: str, wanted: Sequence[Cell], description: Mapping, warm: int) -> list[str]:
    """The tags of stacks of which some of these parameter sets are not measured on a machine, beside the stack before,
    newest first.

    One that cannot be installed has nothing left: it was tried when it was locked.
    """
    return [
        stack.tag
        for stack in sorted(chosen, key=lambda s: s.date, reverse=True)
        if locks.installs(stack) and not set(wanted) <= run.measured(machine, side_by_side(stack), description, warm)
    ]


def left_of_history(machine: str, wanted: Sequence[Cell], description: Mapping, warm: int) -> dict[str, float]:
    """The names of parameter sets whose history is not wholly measured on a machine, newest need first, and what the
    trials of each will take, in seconds."""
    found: dict[str, float] = {}
    for block in history.missing(machine, of_history(), wanted, of_each_kind(warm), description):
        name = name_of(block.cell)
        found[name] = found.get(name, 0) + history.estimate_seconds(machine, [block])
    return found


def of_history() -> list[Stack]:
    """The releases that have a part in the history: the last patch of each minor release that can be installed."""
    return [stack for stack in locks.last_patches(locks.load_stacks()) if locks.installs(stack)]


def side_by_side(stack: Stack) -> list[Stack]:
    """The stacks that are measured in the same rounds as this one: the one before it that can be installed, and it."""
    before = [s for s in locks.load_stacks() if s.date < stack.date and locks.installs(s)]
    return [*sorted(before, key=lambda s: s.date)[-1:], stack]
