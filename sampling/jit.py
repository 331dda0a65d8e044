"""Times just-in-time compilation where it happens, in every process of a trial.

Numba and JAX announce their compilations (`numba.core.event`, `jax.monitoring`). Listeners are put in place the
moment either library is imported, in the main process and in workers, and append one line per
compilation to a file that all processes of the trial share. All times are CLOCK_MONOTONIC seconds
(`time.perf_counter` on Linux), which is one clock for all processes. It must not know which backend runs.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

EVENTS_VARIABLE = "BENCH_JIT_EVENTS"


@dataclass(frozen=True)
class Interval:
    """A stretch of wall-clock time, CLOCK_MONOTONIC seconds."""

    start: float
    end: float


@dataclass(frozen=True)
class Compilation:
    """One compilation announced by `library`, "numba" or "jax", in process `pid`."""

    library: str
    pid: int
    interval: Interval


class _AfterImport(importlib.abc.MetaPathFinder):
    """Calls back once, right after a named module has been imported by whoever needs it."""

    def __init__(self, callbacks: dict[str, Callable[[ModuleType], None]]) -> None:
        self._callbacks = callbacks

    def find_spec(self, fullname, path, target=None):
        if fullname not in self._callbacks:
            return None
        callback = self._callbacks.pop(fullname)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_then_call(module: ModuleType) -> None:
            execute(module)
            callback(module)

        spec.loader.exec_module = execute_then_call
        return spec


def after_import(callbacks: dict[str, Callable[[ModuleType], None]]) -> None:
    """Call `callbacks[name](module)` when module `name` is imported, or at once when it already is."""
    later = {}
    for name, callback in callbacks.items():
        if name in sys.modules:
            callback(sys.modules[name])
        else:
            later[name] = callback
    if later:
        sys.meta_path.insert(0, _AfterImport(later))


def _append(library: str, start: float, end: float) -> None:
    # One short write to a file in append mode cannot be torn by another process's.
    descriptor = os.open(os.environ[EVENTS_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{library} {os.getpid()} {start!r} {end!r}\n".encode())
    finally:
        os.close(descriptor)


def _listen_to_numba(event: ModuleType) -> None:
    class Outermost(event.Listener):
        """Numba compiles callees inside callers: only the outermost compilation of a thread is one."""

        state = threading.local()

        def on_start(self, _event) -> None:
            self.state.depth = getattr(self.state, "depth", 0) + 1
            if self.state.depth == 1:
                self.state.start = time.perf_counter()

        def on_end(self, _event) -> None:
            # A compilation under way while the listener was put in place has an end without a start.
            self.state.depth = getattr(self.state, "depth", 0) - 1
            if self.state.depth == 0:
                _append("numba", self.state.start, time.perf_counter())
            self.state.depth = max(self.state.depth, 0)

    # The compiler lock is held by every compilation: dispatchers, cfuncs and lowering alike.
    event.register("numba:compiler_lock", Outermost())


def _listen_to_jax(monitoring: ModuleType) -> None:
    def on_duration(name: str, duration: float, **_) -> None:
        if name.startswith("/jax/core/compile"):
            now = time.perf_counter()
            _append("jax", now - duration, now)

    monitoring.register_event_duration_secs_listener(on_duration)


def listen() -> None:
    """Record every compilation of this process from now on, if the trial asked for it by the environment."""
    if EVENTS_VARIABLE in os.environ:
        after_import({"numba.core.event": _listen_to_numba, "jax._src.monitoring": _listen_to_jax})


def read_compilations(path: Path) -> list[Compilation]:
    """All compilations recorded in the file; none when the file does not exist."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text().splitlines():
        library, pid, start, end = line.split()
        found.append(Compilation(library, int(pid), Interval(float(start), float(end))))
    return found


def covered_seconds(intervals: Iterable[Interval], within: Interval) -> float:
    """Seconds of `within` during which at least one of the intervals was under way."""
    total, reached = 0.0, within.start
    for interval in sorted(intervals, key=lambda i: i.start):
        start, end = max(interval.start, reached), min(interval.end, within.end)
        if end > start:
            total += end - start
            reached = end
    return total
