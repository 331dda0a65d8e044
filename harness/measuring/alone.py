"""One measurement, or sweep, at a time: others, of this folder, would switch its environments and make its clocks
slower. A single `bench trial`, which nobody keeps, is not held back."""

from __future__ import annotations

import os

from filelock import FileLock, Timeout

from harness.errors import MachineError
from harness.paths import CACHE


def take() -> FileLock:
    """The lock of whoever measures here, taken; it goes with the process, however that ends, or is released.

    Raises:
        MachineError: another process has it.
    """
    path = CACHE / "measuring.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    # The same one for who asks twice: asv, asked for by `bench check`, takes it as well.
    lock = FileLock(path, is_singleton=True)
    owner = path.with_suffix(".pid")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        who = owner.read_text() if owner.exists() else "unknown"
        raise MachineError(
            f"Another measurement (process {who}) is under way in this folder: wait for it or end it, and run the same "
            "command again."
        ) from error
    owner.write_text(str(os.getpid()))
    return lock
