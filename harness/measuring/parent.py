"""A process that ends with the one that started it, however that ended: SIGKILL, or the kernel when memory runs out.

Trials of rounds and of sweeps do so by themselves; asv and `bench` do when they are told by whom they are started. It
must not know what any of them does.
"""

from __future__ import annotations

import ctypes
import os
import signal

_VARIABLE = "BENCH_PARENT"
_PR_SET_PDEATHSIG = 1
# What does not end when it is interrupted is ended.
_GRACE_SECONDS = 10


def told() -> dict[str, str]:
    """What a process that is started needs in its environment to end with this one; it is to lead a session."""
    return {_VARIABLE: str(os.getpid())}


def end_with_parent() -> None:
    """Interrupt this process and its group, as Ctrl-C does, when the process that told it to has gone.

    Nothing is done where none did, as where a shell started it. To be called by the main thread. The other one must
    have started it by a thread that lives as long as it does: that is what Linux watches.
    """
    parent = os.environ.pop(_VARIABLE, None)
    if parent is None:
        return
    # What a shell starts in the background ignores this, and so does all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, _interrupt)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP)
    if os.getppid() != int(parent):
        _interrupt()


def _interrupt(*_: object) -> None:
    signal.alarm(_GRACE_SECONDS)
    os.killpg(os.getpgid(0), signal.SIGINT)
