"""The room that installed stacks take on a disk: how many can stand side by side, and which go when it gets narrow."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable

from harness.paths import CACHE
from harness.stacks import environments
from harness.stacks.locks import Stack
from harness.stacks.uv_command import run_uv

STACK_BYTES = 1_400_000_000
"""What a stack takes at most, with its byte code: uv links what several have in common."""


def free_bytes() -> int:
    """What is free on the disk on which stacks are installed."""
    return shutil.disk_usage(CACHE if CACHE.exists() else CACHE.parent).free


def lacking_bytes(stacks: Iterable[Stack]) -> int:
    """What those of these stacks will take that are not installed."""
    return STACK_BYTES * sum(not _is_there(stack) for stack in stacks)


def capacity(known: Iterable[Stack]) -> int:
    """How many stacks have room side by side, when of these all that are installed may go."""
    return free_bytes() // STACK_BYTES + sum(map(_is_there, known))


def installed_besides(stacks: Iterable[Stack]) -> int:
    """How many stacks are installed that are none of these, as mixtures are."""
    names = {environments.path_of(stack).name for stack in stacks}
    return sum(
        (path / environments.MARKER).is_file() for path in (CACHE / "stacks").glob("*/") if path.name not in names
    )


def _is_there(stack: Stack) -> bool:
    """Whether it is installed; whether every file is as it was does not matter for the room that it takes."""
    return (environments.path_of(stack) / environments.MARKER).is_file()


def make_room(stacks: Collection[Stack], known: Iterable[Stack]) -> None:
    """Delete what is installed of `known`, the oldest first, until `stacks` have room; of these, nothing. Where that is
    not enough, uv gives up the packages that it keeps for later, which are most of what a deleted stack took."""
    for stack in known:
        if lacking_bytes(stacks) <= free_bytes():
            return
        if stack not in stacks:
            environments.remove(environments.path_of(stack))
            shutil.rmtree(environments.bytecode_of(stack), ignore_errors=True)
    if lacking_bytes(stacks) > free_bytes():
        run_uv(["cache", "prune", "--ci", "--quiet"], "The packages that uv keeps cannot be given up")
