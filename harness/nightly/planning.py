"""What is left to measure, and beside what: it follows from locks and results, and nothing remembers it.

It must not know how anything is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.measuring import run
from harness.measuring.cells import Cell
from harness.stacks import locks
from harness.stacks.locks import Stack


def left(chosen: Sequence[Stack], machine: str, wanted: Sequence[Cell], description: Mapping, warm: int) -> list[str]:
    """The tags of stacks of which some of these parameter sets are not measured on a machine, beside the stack before,
    newest first.

    One that cannot be installed has nothing left: it was tried when it was locked.
    """
    return [
        stack.tag
        for stack in sorted(chosen, key=lambda s: s.date, reverse=True)
        if installs(stack) and not set(wanted) <= run.measured(machine, side_by_side(stack), description, warm)
    ]


def side_by_side(stack: Stack) -> list[Stack]:
    """The stacks that are measured in the same rounds as this one: the one before it that can be installed, and it."""
    before = [s for s in locks.load_stacks() if s.date < stack.date and installs(s)]
    return [*sorted(before, key=lambda s: s.date)[-1:], stack]


def installs(stack: Stack) -> bool:
    return "install" not in locks.recorded_imports().get(stack.tag, {})
