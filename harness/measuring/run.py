"""The main job: measure releases by way of `asv run`, then compare, publish and summarise.

It plans what is left to measure, says what that will cost, lets asv do it one release at a time, and shows each
trial as it ends. Measuring, saving and resuming are asv's and the plugin's; this module only drives them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from harness import paths
from harness.errors import BenchError
from harness.measuring import parent
from harness.measuring.unfinished import scratch, trials
from harness.output import printable
from harness.paths import CACHE, ROOT
from harness.results.asv_numbers import asv_numbers
from harness.results.records import Measurement, read_measurements
from harness.stacks.locks import Stack, recorded_hashes

LOG = CACHE / "run.log"
# Those of the "Faster Sampling with JAX and Numba" notebook; the others are measured when they are asked for.
MODELS = ("ppca", "discrete")
# A trial of a small size on two cores, counting the unsupported ones, which take no time, and how it grows with n; for
# a machine that has no records yet to tell better.
_TYPICAL_TRIAL_SECONDS, _SMALL, _GROWTH = 11.0, 500, 0.5
_OVERHEAD = 1.1


@dataclass(frozen=True)
class Cell:
    """One parameter set: what a measurement is of."""

    model: str
    n: int
    backend: str


def cells(
    description: Mapping, small: bool, models: Iterable[str] = MODELS, backends: Iterable[str] | None = None
) -> list[Cell]:
    """The parameter sets of these models, at every size or the smallest only, and of these backends or all.

    Raises BenchError for a model or a backend that does not exist.
    """
    known = description["models"]
    models, backends = list(models), list(backends or description["backends"])
    for what, names, existing in (("model", models, known), ("backend", backends, description["backends"])):
        for name in names:
            if name not in existing:
                raise BenchError(f"There is no {what} {name!r}: choose one of {', '.join(existing)}.")
    return [
        Cell(model, n, backend)
        for model in models
        for n, backend in product(known[model]["sizes"][: 1 if small else None], description["backends"])
        if backend in backends
    ]


def asv_selection(wanted: list[Cell], description: Mapping, gradients: bool = False) -> list[str]:
    """Arguments that make asv run these cells of every per-model benchmark, and, if asked to, the gradients of their
    models and the import.

    Gradients are left out for discrete models: compiling them takes longer than what it tells about a compound step.
    And a backend that cannot sample them says so to one benchmark: asv starts a process for each that it asks.
    """
    groups: dict[tuple[str, int, str], list[str]] = {}
    for cell in wanted:
        cannot = description["models"][cell.model]["discrete"] and cell.backend not in description["compound_step"]
        metrics = r"Sampling\.track_sampling" if cannot else ".*"
        groups.setdefault((cell.model, cell.n, metrics), []).append(re.escape(cell.backend))
    patterns = [rf"^{model}\.{metrics}\('({'|'.join(names)})', {n}\)$" for (model, n, metrics), names in groups.items()]
    if gradients:
        continuous = {(model, n): None for model, n, _ in groups if not description["models"][model]["discrete"]}
        patterns += [rf"^gradient\..*'{model}-{n}'\)$" for model, n in continuous]
        patterns.append(r"^imports\.")
    return [argument for pattern in patterns for argument in ("--bench", pattern)]


def measured(machine: str, stack: Stack, description: Mapping, warm: int) -> dict[Cell, Measurement]:
    """The complete measurements of a stack by this protocol, by cell, whose numbers asv has as well."""
    found, _ = read_measurements(paths.RESULTS / "records", machine, stack.tag)
    saved = asv_numbers(paths.RESULTS / "asv" / machine, recorded_hashes()[stack.tag])
    return {
        Cell(m.model, m.n, m.backend): m
        for m in found
        if m.complete(warm)
        and all(r.lock_sha256 == stack.sha256 and r.protocol == description["protocol"] for r in m.records)
        and (m.outcome != "ok" or (m.model, m.n, m.backend) in saved)
    }


def estimate_seconds(machine: str, plan: Mapping[str, list[Cell]], warm: int) -> float:
    """What the plan will take: what each cell took before on this machine, in any release, else a typical trial.

    A cell that failed in one release may work in the next.
    """
    took: dict[Cell, list[float]] = {}
    failed: dict[Cell, list[float]] = {}
    for folder in (paths.RESULTS / "records" / machine).glob("*/"):
        for m in read_measurements(paths.RESULTS / "records", machine, folder.name)[0]:
            seconds = sum(r.trial_wall_seconds for r in m.records) / len(m.records)
            known, trials = (took, 1 + warm) if m.outcome == "ok" else (failed, 1)
            known.setdefault(Cell(m.model, m.n, m.backend), []).append(seconds * trials)

    def seconds_of(cell: Cell) -> float:
        before = took.get(cell) or failed.get(cell)
        typical = _TYPICAL_TRIAL_SECONDS * max(1.0, cell.n / _SMALL) ** _GROWTH
        return median(before) if before else typical * (1 + warm)

    return _OVERHEAD * sum(seconds_of(cell) for wanted in plan.values() for cell in wanted)


def _asv(*arguments: str, **kwargs) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "asv", *arguments], cwd=ROOT, **kwargs)


def _ended_trials(tag: str, since: float, seen: set[Path]) -> Iterator[dict]:
    for path in (p for folder in sorted(scratch(tag).glob("*/")) for p in trials(folder)):
        if path in seen:
            continue
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        seen.add(path)
        if not isinstance(record, dict) or not {"outcome", "settings", "kind"} <= set(record):
            continue
        record["kept"] = path.stat().st_mtime < since
        yield record


def _describe(tag: str, record: Mapping) -> str:
    settings = record["settings"]
    name = f"{tag} {settings['model']} n={settings['n']} {settings['backend']} {record['kind']}"
    if record["outcome"] != "ok":
        return printable(f"{name}: {record['outcome']}: {record['reason']}")
    clocks = record["clocks"]
    kept = " (kept from the interrupted run)" if record["kept"] else ""
    return f"{name}: setup {clocks['setup_wall_seconds']:.1f} s, sampling {clocks['sampling_wall_seconds']:.2f} s{kept}"


def run_stack(
    console: Console, stack: Stack, wanted: list[Cell], description: Mapping, warm: int, gradients: bool = False
) -> float:
    """Let asv measure the cells of one stack, and gradients if asked to; returns the seconds spent inside its trials.

    Raises BenchError when asv stops before it has measured; a benchmark that fails is a result. KeyboardInterrupt
    ends asv and its trial first; when this process is killed, they end by themselves. To be called by the main thread.
    """
    began, seen, inside_trials, ended = time.time(), set(), 0.0, 0
    LOG.parent.mkdir(parents=True, exist_ok=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with LOG.open("wb") as log, Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(stack.tag, total=len(wanted) * (1 + warm))
        child = _asv(
            "run", "--record-samples", f"{stack.tag}^!", *asv_selection(wanted, description, gradients),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **parent.told(), "BENCH_WARM_TRIALS": str(warm)}, start_new_session=True,
        )  # fmt: skip
        try:
            running = True
            while running:
                try:
                    child.wait(0.5)
                    running = False
                except subprocess.TimeoutExpired:
                    pass
                for record in _ended_trials(stack.tag, began, seen):
                    if record["outcome"] != "unsupported":
                        progress.console.print(_describe(stack.tag, record), highlight=False, soft_wrap=True)
                    if not record["kept"]:
                        inside_trials += record.get("trial_wall_seconds", 0.0)
                    # A measurement that ends early leaves its other trials out; after a wrong answer one more comes.
                    ended += {"ok": 1, "invalid": 0}.get(record["outcome"], 1 + warm)
                    progress.update(task, completed=ended)
        except BaseException:
            _end(child)
            raise
    if child.returncode not in (0, 2):
        raise BenchError(
            f"asv stopped before {stack.tag} was measured: {why_it_stopped(LOG.read_text(errors='replace'))} "
            f"(All it said is in {LOG.relative_to(ROOT)}.)"
        )
    return inside_trials


def why_it_stopped(log: str) -> str:
    """Return what asv called its last error, or else the last line that it wrote."""
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line.partition("Last error: ")[2] for line in lines if "Last error: " in line]
    return (errors or lines or ["it said nothing"])[-1]


def _end(child: subprocess.Popen) -> None:
    """Interrupt asv as Ctrl-C would, so that it ends its benchmark, which ends its trial."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, signum)
            child.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        if child.poll() is not None:
            return


def show_asv(*arguments: str) -> int:
    """Run an asv command with its output on the terminal; returns its exit status."""
    return _asv(*arguments).wait()
