"""Measures what docs/method.md says of repeats, as Markdown: how far apart are the clocks of one and the same trial?

`python -m tests.measure_repeats v6.4.0`, about ten minutes, with nothing else running. In each round every backend's
trial runs once more, with one seed and warm caches.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import models
from harness.stacks.environments import compile_bytecode, stack_environment
from harness.stacks.locks import get_stack
from sampling.backends import BACKENDS
from sampling.settings import COLD_ITERATIONS
from tests.measure_prediction import SEED, trial

CLOCKS = ("total", "setup", "tuning", "drawing", "sampling", "finish")


def spread(values: Sequence[float]) -> str:
    """How far positive numbers are from their median, as a part of it: the median of that, and the furthest."""
    middle = median(values)
    distances = [abs(v / middle - 1) for v in values]
    return f"{100 * median(distances):.1f}, {100 * max(distances):.1f} %"


def rows(release: str, model: str, n: int, backends: Sequence[str], rounds: int, temporary: Path) -> list[str]:
    """For each backend, how far its repeats are from their median, by clock."""
    found: dict[str, list[dict[str, float]]] = {}
    for backend in backends:
        little = ("--tune", str(COLD_ITERATIONS), "--draws", str(COLD_ITERATIONS))
        cold = trial(release, model, n, backend, temporary / f"{release}-{model}-{backend}", SEED, *little)
        if cold["outcome"] == "ok":
            found[backend] = []
        else:
            print(f"{backend}: {cold['outcome']}: {cold['reason']}", file=sys.stderr)
    for r in range(rounds):
        for backend, repeats in found.items():
            record = trial(release, model, n, backend, temporary / f"{release}-{model}-{backend}", SEED + 1)
            clocks = {c: (record.get("clocks") or {}).get(f"{c}_wall_seconds") for c in CLOCKS}
            if record["outcome"] == "ok" and None not in clocks.values():
                repeats.append(clocks)
            print(f"{release} {model} {backend} {r}: {record['outcome']} {clocks}", file=sys.stderr, flush=True)
    told = []
    for backend, repeats in found.items():
        if len(repeats) > 1:
            spreads = (spread([c[clock] for c in repeats]) for clock in CLOCKS)
            total = f"{median(c['total'] for c in repeats):.1f}"
            told.append(f"| {release[1:]} | `{model}` | `{backend}` | {total} | " + " | ".join(spreads) + " |")
    return told


def main() -> None:
    """Print the table of docs/method.md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("releases", nargs="+")
    parser.add_argument("--model", action="append")
    parser.add_argument("--backend", action="append")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print("| PyMC | model | backend | total, s | " + " | ".join(CLOCKS) + " |")
    print("| --- | --- | --- |" + " ---: |" * (len(CLOCKS) + 1), flush=True)
    with tempfile.TemporaryDirectory(prefix="repeats-") as temporary:
        for release in asked.releases:
            stack = get_stack(release)
            compile_bytecode(stack_environment(stack), stack)
            for model in asked.model or ["ppca", "discrete"]:
                n = models.load(model).SIZES[0]
                for row in rows(release, model, n, asked.backend or list(BACKENDS), asked.rounds, Path(temporary)):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
