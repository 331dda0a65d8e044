"""Measures what docs/method.md says of the time to an answer, as Markdown: does `pm.sample` return with 1000 effective
draws after as long as was predicted?

`python -m tests.measure_prediction v5.28.5 v6.4.0`, about a quarter of an hour a release, with nothing else running.

In each round, and for each backend in turn: a trial as the protocol has it, which predicts, and at once a real call
with the number of draws that is predicted to give 1000 effective ones, and another seed. The effective draws that
predict are those of all rounds so far; predicted and real seconds are of neighbours, of one mood of the machine.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean, median

import models
from harness.stacks.environments import compile_bytecode, process_environment, python, stack_environment
from harness.stacks.locks import get_stack
from sampling.backends import BACKENDS
from sampling.clocks import EFFECTIVE_DRAWS
from sampling.settings import COLD_ITERATIONS

ROOT = Path(__file__).resolve().parent.parent
SEED, ANOTHER_SEED = 20270000, 20280000


def trial(release: str, model: str, n: int, backend: str, home: Path, seed: int, *arguments: str) -> dict:
    """The record of one trial in that home."""
    stack = get_stack(release)
    command = [
        python(stack_environment(stack)), "-m", "sampling", model, "--n", str(n), "--backend", backend,
        "--home", str(home), "--seed", str(seed), *arguments,
    ]  # fmt: skip
    answer = subprocess.run(
        command, cwd=ROOT, env=process_environment(stack), capture_output=True, text=True, check=False
    )
    return json.loads(answer.stdout)


def predicted(record: dict, effective: float) -> float:
    """Seconds from `import pymc` until 1000 effective draws, by this trial's clocks."""
    c = {name.removesuffix("_wall_seconds"): s for name, s in record["clocks"].items()}
    return c["setup"] + c["tuning"] + c["drawing"] * EFFECTIVE_DRAWS / effective + c["finish"]


def compare(release: str, model: str, n: int, backends: Sequence[str], rounds: int, temporary: Path) -> None:
    """Print a row for each backend: predicted and real, in seconds and effective draws."""
    seen: dict[str, list[dict]] = {}
    pairs: dict[str, list[tuple[float, float, float]]] = {}
    for backend in backends:
        little = ("--tune", str(COLD_ITERATIONS), "--draws", str(COLD_ITERATIONS))
        cold = trial(release, model, n, backend, temporary / f"{release}-{backend}", SEED, *little)
        if cold["outcome"] == "ok":
            seen[backend], pairs[backend] = [], []
        else:
            print(f"{backend}: {cold['outcome']}: {cold['reason']}", file=sys.stderr)
    for r in range(rounds):
        for backend, trials in seen.items():
            home = temporary / f"{release}-{backend}"
            record = trial(release, model, n, backend, home, SEED + r)
            if record["outcome"] != "ok" or record["clocks"]["tuning_wall_seconds"] is None:
                print(f"{backend}: {record['outcome']}: {record['reason'] or record['unknown']}", file=sys.stderr)
                continue
            trials.append(record)
            effective = geometric_mean(t["effective_draws"] for t in trials)
            draws = math.ceil(record["resolved"]["draws"] * EFFECTIVE_DRAWS / effective)
            real = trial(release, model, n, backend, home, ANOTHER_SEED + r, "--draws", str(draws))
            total = real["clocks"]["total_wall_seconds"]
            pairs[backend].append((predicted(record, effective), total, real["effective_draws"]))
            print(
                f"{release} {backend} {r}: {draws} draws, predicted {pairs[backend][-1][0]:.2f} s, real {total:.2f} s, "
                f"{real['effective_draws']:.0f} effective, {real['outcome']}", file=sys.stderr, flush=True,
            )  # fmt: skip
    for backend, found in pairs.items():
        if found:
            ratio = median(real / told for told, real, _ in found)
            effective = geometric_mean(e for *_, e in found)
            told, real = (median(pair[i] for pair in found) for i in (0, 1))
            print(
                f"| {release[1:]} | `{backend}` | {told:.1f} | {real:.1f} | {ratio:.2f} | {effective:.0f} |", flush=True
            )


def main() -> None:
    """Print the table of docs/method.md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("releases", nargs="+")
    parser.add_argument("--model", default="ppca")
    parser.add_argument("--backend", action="append")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    n = models.load(asked.model).SIZES[0]
    for release in asked.releases:
        stack = get_stack(release)
        compile_bytecode(stack_environment(stack), stack)
    print("| PyMC | backend | predicted, s | real, s | real / predicted | effective draws |")
    print("| --- | --- | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory(prefix="prediction-") as temporary:
        for release in asked.releases:
            compare(release, asked.model, n, asked.backend or list(BACKENDS), asked.rounds, Path(temporary))


if __name__ == "__main__":
    main()
