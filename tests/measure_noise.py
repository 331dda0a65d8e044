"""Measures what docs/method.md says of noise, as Markdown: what makes the ratio of two equal trials vary less?

`python -m tests.measure_noise v6.4.0 --to noise.json`, about half an hour, with nothing else running. For each way to
run trials there are two homes; in each round every way, in random order, runs one trial in each of its homes, right
after one another and with one seed. What is in the file is not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
from scipy import stats

from harness.judging.comparison import QUANTITIES
from harness.results.records import Record
from harness.stacks.environments import PYTHON, compile_bytecode, process_environment, python, stack_environment
from harness.stacks.locks import Stack, get_stack
from sampling.settings import COLD_ITERATIONS

ROOT = Path(__file__).resolve().parent.parent
SEED = 20290000
SHOWN = ("total", "total_cpu", "warm_setup", "warm_setup_cpu", "gradient", "gradient_cpu", "finish")
# A trial starts its own processes with `sys.executable`, and hands on only some variables.
_WRAPPED = "import sys; sys.executable = sys.executable.replace('python-plain', 'python')\n"


@dataclass(frozen=True)
class Way:
    """A way to run a trial: what is before its interpreter's command, what its processes see, what is asked for."""

    name: str
    before: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    startup: str = ""
    arguments: tuple[str, ...] = ()


WAYS = (
    Way("as the protocol has it"),
    Way("`PYTHONHASHSEED` fixed", ("env", "PYTHONHASHSEED=0")),
    Way("addresses not random", ("setarch", "-R")),
    Way("on one processor", ("taskset", "-c", "1")),
    Way("one chain at a time", arguments=("--cores", "1")),
    Way("no garbage collection", startup="import gc; gc.disable()\n"),
    Way("one thread for linear algebra", variables={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}),
    Way("a quarter of the draws", arguments=("--tune", "250", "--draws", "250")),
)


def environment(stack: Stack, way: Way, index: int) -> Path:
    """A copy of the stack whose interpreter, and so every process of a trial, is started in that way."""
    if not (way.before or way.startup):
        path = stack_environment(stack)
    else:
        startup = (_WRAPPED if way.before else "") + way.startup
        path = stack_environment(stack, f"noise{index:03}", {"bench_noise.pth": startup})
    if way.before:
        plain = path / "bin/python-plain"
        if not plain.exists():
            plain.symlink_to((path / f"bin/python{PYTHON}").resolve())
            command = " ".join(way.before)
            python(path).unlink()
            python(path).write_text(f'#!/bin/sh\nexec {command} {plain} "$@"\n')
            python(path).chmod(0o755)
    compile_bytecode(path, stack)
    return path


def trial(
    stack: Stack, place: Path, way: Way, model: str, n: int, backend: str, home: Path, seed: int, *more: str
) -> dict:
    """The record of one trial in that home."""
    command = [
        python(place), "-m", "sampling", model, "--n", str(n), "--backend", backend, "--home", str(home), "--seed",
        str(seed), *more,
    ]  # fmt: skip
    variables = process_environment(stack, {**os.environ, **way.variables})
    answer = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    return json.loads(answer.stdout)


def measure(stack: Stack, model: str, n: int, backend: str, rounds: int, ways: Sequence[Way], to: Path) -> dict:
    """The records of all ways, `{way: [[one, other], …]}`; they are kept in the file `to`."""
    found: dict[str, list] = json.loads(to.read_text()) if to.exists() else {}
    with tempfile.TemporaryDirectory(prefix="noise-") as temporary:
        places = {way.name: environment(stack, way, i) for i, way in enumerate(ways)}
        homes = {(way.name, side): Path(temporary) / f"{i}-{side}" for i, way in enumerate(ways) for side in (0, 1)}
        little = ("--tune", str(COLD_ITERATIONS), "--draws", str(COLD_ITERATIONS))
        for way in ways:
            for side in (0, 1):
                trial(stack, places[way.name], way, model, n, backend, homes[way.name, side], SEED, *little)
        while due := [way for way in ways if len(found.setdefault(way.name, [])) < rounds]:
            random.shuffle(due)
            for way in due:
                number, both = len(found[way.name]), {}
                for side in (0, 1) if number % 2 else (1, 0):
                    both[side] = trial(
                        stack, places[way.name], way, model, n, backend, homes[way.name, side], SEED + 1 + number,
                        *way.arguments,
                    )  # fmt: skip
                    print(number, way.name, both[side]["outcome"], both[side]["reason"] or "", file=sys.stderr)
                found[way.name].append([both[0], both[1]])
                to.write_text(json.dumps(found))
    return found


def differences(pairs: Sequence[Sequence[dict]], quantity: str) -> list[float]:
    """Logarithms of the ratios of a quantity."""
    (its,) = [q for q in QUANTITIES if q.name == quantity]
    read = [
        [
            Record.model_validate({"schema_version": r["schema"], **{k: v for k, v in r.items() if k != "schema"}})
            for r in p
        ]
        for p in pairs
        if all(r["outcome"] == "ok" for r in p)
    ]
    both = [[its.of(r) for r in pair] for pair in read]
    return [math.log(b / a) for a, b in both if a and b]


def spread(values: Sequence[float]) -> float:
    """Their standard deviation, without what drifts slowly or differs between the two homes for good."""
    return float(np.std(values, ddof=1))


def estimators(values: Sequence[float]) -> dict[str, float]:
    """Standard errors of a mean of eight rounds, by ways to estimate it, from the rounds' own distribution."""
    rng = np.random.default_rng(1)
    centered = np.asarray(values) - np.mean(values)
    samples = rng.choice(centered, size=(20_000, 8))
    of = {
        "mean": samples.mean(axis=1),
        "median": np.median(samples, axis=1),
        "trimmed mean": stats.trim_mean(samples, 0.125, axis=1),
        "Hodges and Lehmann": np.median(
            np.stack([(samples[:, i] + samples[:, j]) / 2 for i in range(8) for j in range(i, 8)]), axis=0
        ),
    }
    return {name: float(np.std(found)) for name, found in of.items()}


def table(found: Mapping[str, list]) -> list[str]:
    """Rows of Markdown: the spread of one round's ratio, in percent, for each way and quantity."""
    rows = ["| way | rounds | trial, s | " + " | ".join(SHOWN) + " |", "| --- |" + " ---: |" * (2 + len(SHOWN))]
    for name, pairs in found.items():
        seconds = median(r["trial_wall_seconds"] for p in pairs for r in p)
        cells = [f"{100 * spread(d):.1f}" if len(d := differences(pairs, q)) > 2 else "–" for q in SHOWN]
        rows.append(f"| {name} | {len(pairs)} | {seconds:.1f} | " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    """Print the tables of docs/method.md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("release")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--model", default="ppca")
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--backend", default="nutpie-numba")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--way", type=int, action="append", help="its number, from 0; all if none")
    asked = parser.parse_args()
    ways = [WAYS[i] for i in asked.way] if asked.way else WAYS
    found = measure(get_stack(asked.release), asked.model, asked.n, asked.backend, asked.rounds, ways, asked.to)
    print("\n".join(table(found)))
    print("\n| estimator of eight rounds | total | warm setup | gradient |\n| --- | ---: | ---: | ---: |")
    plain = found[WAYS[0].name] if WAYS[0].name in found else next(iter(found.values()))
    of = {q: estimators(differences(plain, q)) for q in ("total", "warm_setup", "gradient")}
    for name in of["total"]:
        print(f"| {name} | " + " | ".join(f"{100 * errors[name]:.2f} %" for errors in of.values()) + " |")
    moved = [b - a for a, b in pairwise(differences(plain, "total"))]
    print(f"\nFrom round to round the ratio of the total moves by {100 * spread(moved) / math.sqrt(2):.1f} %.")


if __name__ == "__main__":
    main()
