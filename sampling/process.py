"""The processes of a trial, seen from outside: their memory, their CPU time, and how they are ended.

A trial's first process starts a session of its own; every process it starts, directly or through a fork server,
stays in that session even when its parent is gone. So "the process tree" is "all processes of that session",
read from Linux's /proc. It must not know what the processes do.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ProcessTimes:
    """CPU seconds (user and system) of one process and of those of its children that have ended."""

    pid: int
    cpu_seconds: float


def session_processes(session: int) -> list[ProcessTimes]:
    """Every live process of the session. Processes that vanish while they are read are left out."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or os.getsid(int(entry.name)) != session:
                continue
            # The command name is in parentheses and may itself contain blanks and parentheses.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            ticks = sum(int(f) for f in fields[11:15])
            found.append(ProcessTimes(int(entry.name), ticks / _TICKS))
    return found


def session_cpu_seconds(session: int) -> float:
    """CPU seconds used so far by the session's live processes and by their children that have been waited for."""
    return sum(p.cpu_seconds for p in session_processes(session))


def session_memory_mib(session: int) -> float:
    """MiB of memory in use by the session: proportional set size, so that pages shared by forked workers count once."""
    kib = 0
    for process in session_processes(session):
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except OSError:
            continue
        kib += next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
    return kib / 1024


def end_session(session: int) -> None:
    """Kill every process of the session, and wait until none is left. The caller reaps its own child."""
    for _ in range(100):
        members = session_processes(session)
        if not members:
            return
        for process in members:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, however the parent dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
