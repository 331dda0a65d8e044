"""Measures what docs/method.md says of how often a difference is found, from the rounds of equal stacks in the results.

`python -m tests.measure_found epyc-2cpu`, a few minutes. Whole rounds are drawn, with all their quantities, from those
that a stack and its copy ran; one quantity is moved, and all by what lasts; then the whole rule is asked.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from harness import paths
from harness.judging import calibration, paired
from harness.judging.calibration import Calibration
from harness.judging.comparison import LASTING, judge

ASKED = (
    ("gradient", 1.05, ("pymc-c", "pymc-numba"), (16, 32)),
    ("warm_setup", 1.03, ("default", "nutpie-numba", "pymc-c"), (16, 32)),
    ("cold_setup", 1.10, ("nutpie-numba",), (8, 16)),
)
CASES = 300
_FEWEST = 6


def equal(found: Calibration, backend: str, kind: str, model: str = "ppca") -> dict[str, list[paired.Round]]:
    """By quantity: the rounds of a backend's equal stacks, around zero."""
    rounds: dict[str, list[paired.Round]] = {}
    for sitting in found.sittings:
        for m in sitting.same:
            of_kind = m.quantity.startswith("cold") == (kind == "cold_setup") and len(m.rounds) >= _FEWEST
            if (m.model, m.backend) == (model, backend) and of_kind and any(r.difference for r in m.rounds):
                center = float(np.mean([r.difference for r in m.rounds]))
                its = (r._replace(difference=r.difference - center) for r in m.rounds)
                rounds.setdefault(m.quantity, []).extend(its)
    return rounds


def share(rounds: dict[str, list[paired.Round]], quantity: str, ratio: float, number: int) -> float:
    """How often a ratio is found in so many rounds, by the wall clock or in CPU seconds."""
    rng, hits, moved = np.random.default_rng(1), 0, (quantity, f"{quantity}_cpu")
    most = min(map(len, rounds.values()))
    for _ in range(CASES):
        drawn, lasting = rng.integers(0, most, number), rng.normal(0, LASTING)
        by = {name: lasting + (math.log(ratio) if name in moved else 0.0) for name in rounds}
        judged = judge(
            {
                (("", 0, ""), name): [its[i]._replace(difference=its[i].difference + by[name]) for i in drawn]
                for name, its in rounds.items()
            }
        )
        called = paired.discoveries({which: j.p for which, j in judged.items()})
        hits += any(name in moved for _, name in called)
    return hits / CASES


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("machine")
    found = calibration.of_machine(paths.RESULTS / "calibration", parser.parse_args().machine)
    for quantity, ratio, backends, numbers in ASKED:
        for backend in backends:
            rounds = equal(found, backend, quantity)
            for number in numbers if rounds else ():
                told = f"{quantity} ×{ratio} {backend}, {number} rounds"
                print(f"{told}: found in {share(rounds, quantity, ratio, number):.0%}", flush=True)


if __name__ == "__main__":
    main()
