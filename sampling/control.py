"""A fixed piece of work that has nothing to do with PyMC, run before and after each trial: when it takes longer
after than before (or the reverse), the machine changed speed during the trial, and the trial is marked
contaminated. It must stay the same for ever: its times are comparable across all records of a machine."""

from __future__ import annotations

import time

import numpy as np

# docs/method.md has the measurement behind this limit.
DRIFT_LIMIT = 1.25

_REPEATS = 3


def _numpy_kernel(values: np.ndarray) -> float:
    return float(np.sort(np.exp(-values * values)).cumsum()[-1])


def _python_kernel() -> int:
    total = 0
    for i in range(600_000):
        total = (total * 31 + i) % 1_000_003
    return total


def run_control() -> dict[str, float]:
    """Seconds (best of three) of a NumPy kernel and of a pure-Python kernel, about 0.2 s in all.

    The NumPy kernel is element-wise and a sort, no BLAS, so that thread settings do not change it.
    """
    values = np.random.RandomState(0).normal(size=500_000)
    best = {"numpy_seconds": float("inf"), "python_seconds": float("inf")}
    for _ in range(_REPEATS):
        for name, kernel in (
            ("numpy_seconds", lambda: _numpy_kernel(values)),
            ("python_seconds", _python_kernel),
        ):
            start = time.perf_counter()
            kernel()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def drift(before: dict[str, float], after: dict[str, float]) -> float:
    """Largest ratio, at least 1, by which a kernel's time changed between the two runs."""
    return max(max(after[k] / before[k], before[k] / after[k]) for k in before)
