"""Stretches of work that are noted where they happen, in every process of a trial: who did what, from when to when.

Functions are wrapped, and libraries listened to, the moment whoever needs them has imported them; each stretch becomes
one line of a file that all processes of the trial share. All times are CLOCK_MONOTONIC seconds (`time.perf_counter` on
Linux), which is one clock for all processes. It must not know what the stretches mean: `sampling.phases` does.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

EVENTS_VARIABLE = "BENCH_EVENTS"


@dataclass(frozen=True)
class Interval:
    """A stretch of wall-clock time, CLOCK_MONOTONIC seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True)
class Span:
    """A stretch of work called `name` in process `pid`; `cpu_seconds` is what the whole process used meanwhile."""

    name: str
    pid: int
    interval: Interval
    cpu_seconds: float


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


def note(name: str, start: float, end: float, cpu_seconds: float = 0.0) -> None:
    """Append a stretch of this process to the trial's file."""
    # One short write to a file in append mode cannot be torn by another process's.
    descriptor = os.open(os.environ[EVENTS_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{name} {os.getpid()} {start!r} {end!r} {cpu_seconds!r}\n".encode())
    finally:
        os.close(descriptor)


class Outermost:
    """Notes stretches of one name; of those that one thread begins inside each other, the outermost only."""

    def __init__(self, name: str) -> None:
        self._name, self._state = name, threading.local()

    def begin(self) -> None:
        """One begins in this thread."""
        self._state.depth = getattr(self._state, "depth", 0) + 1
        if self._state.depth == 1:
            self._state.start = time.perf_counter()

    def end(self) -> None:
        """The last that began in this thread has ended."""
        # One under way while the listener was put in place has an end without a beginning.
        self._state.depth = getattr(self._state, "depth", 0) - 1
        if self._state.depth == 0:
            note(self._name, self._state.start, time.perf_counter())
        self._state.depth = max(self._state.depth, 0)

    def wrap(self, function: Callable, wait: Callable | None = None) -> Callable:
        """`function`, noted; `wait`, where given, is called with its result before the stretch ends."""

        @functools.wraps(function)
        def noted(*args, **kwargs):
            self.begin()
            try:
                result = function(*args, **kwargs)
                return wait(result) if wait else result
            finally:
                self.end()

        return noted


def read_spans(path: Path) -> list[Span]:
    """All stretches noted in the file; none when the file does not exist."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text().splitlines():
        name, pid, start, end, cpu = line.split()
        found.append(Span(name, int(pid), Interval(float(start), float(end)), float(cpu)))
    return found


def exclusive_seconds(spans: Iterable[Span], within: Interval, rest: str) -> dict[str, float]:
    """Seconds of `within` by name: each moment counts for the innermost stretch, the one begun last, else for `rest`.

    They add up to `within`, whatever overlaps.
    """
    inside = sorted((s for s in spans if s.interval.end > within.start and s.interval.start < within.end),
                    key=lambda s: s.interval.start)  # fmt: skip
    moments = {within.start, within.end}
    for s in inside:
        moments |= {max(s.interval.start, within.start), min(s.interval.end, within.end)}
    edges = sorted(moments)
    found: dict[str, float] = {}
    under_way: list[Span] = []
    waiting = 0
    for start, end in itertools.pairwise(edges):
        while waiting < len(inside) and inside[waiting].interval.start <= start:
            under_way.append(inside[waiting])
            waiting += 1
        under_way = [s for s in under_way if s.interval.end > start]
        # The shorter of two that began together is inside the other.
        innermost = max(under_way, key=lambda s: (s.interval.start, -s.interval.end), default=None)
        name = innermost.name if innermost else rest
        found[name] = found.get(name, 0.0) + end - start
    return found
