"""One trial of every cell, release × backend × model: does it sample, and is the answer right?

Outcomes and draws are what a sweep is for. Its trials do what a measurement's do, but side by side, so that their
clocks are nobody's benchmark: their records are kept in `results/sweep/`, apart from measured ones. What the records
say is rendered by `harness.results.compatibility`. It must not know asv.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from pydantic import ValidationError

from harness import paths
from harness.errors import BenchError, MachineError
from harness.measuring.cells import Cell
from harness.paths import ROOT
from harness.results.records import Record, first_problem, read_records, to_be_confirmed, write_records
from harness.stacks.environments import process_environment, python, stack_environment
from harness.stacks.locks import Stack
from harness.suite import suite_commit

_TYPICAL_TRIAL_SECONDS = 18.0
# PyTensor and Numba keep what they compile for these, and several compile the same; JAX keeps nothing.
_KEEP_WHAT_THEY_COMPILE = frozenset({"default", "pymc-c", "pymc-numba", "nutpie-numba"})


def seed(stack: Stack, trial: int) -> int:
    """Another one for each release and trial, so that the trials of a backend add up to more than one of them says."""
    major, minor, patch = map(int, stack.version.split("."))
    return 1_000_000 * trial + 10_000 * major + 100 * minor + patch


def path_of(machine: str, tag: str, cell: Cell) -> Path:
    """Where the record of a cell is kept."""
    return paths.RESULTS / "sweep" / machine / tag / f"{cell.model}-{cell.n}-{cell.backend}.json"


def swept(machine: str, stack: Stack, cell: Cell, description: Mapping) -> tuple[Record, ...]:
    """The records of a cell, if they are all there, can be read, are of this lock and of the draws that are made now,
    and the last was not ended by less than what a trial may take now."""
    records = _kept(machine, stack, cell, description["same_draws_since"])
    if not records or to_be_confirmed(records):
        return ()
    limits, ended = description["limits"], records[-1].ended_by_limit
    return () if ended and ended[1] < limits[ended[0]] else records


def _kept(machine: str, stack: Stack, cell: Cell, since: int) -> tuple[Record, ...]:
    try:
        records = read_records(path_of(machine, stack.tag, cell), measurement=False)
    except BenchError:
        return ()
    return records if all(r.lock_sha256 == stack.sha256 and r.protocol >= since for r in records) else ()


def check_records(but: Iterable[Path]) -> None:
    """Raise BenchError if a sweep's record cannot be read: the table is made of all, `but` those to be made anew."""
    for path in sorted(set((paths.RESULTS / "sweep").glob("*/v*/*.json")) - set(but)):
        read_records(path, measurement=False)


@cache
def _took(sweeps: Path, machine: str) -> dict[Cell, float]:
    """What cells took in sweeps of any release, on this machine, else on all others: seconds, medians."""
    here: dict[Cell, list[float]] = {}
    elsewhere: dict[Cell, list[float]] = {}
    for path in sweeps.glob("*/*/*.json"):
        try:
            records = read_records(path, measurement=False)
        except BenchError:
            continue
        s, took = records[0].settings, here if path.parts[-3] == machine else elsewhere
        took.setdefault(Cell(s.model, s.n, s.backend), []).append(sum(r.trial_wall_seconds for r in records))
    return {cell: median(seconds) for cell, seconds in (elsewhere | here).items()}


def estimate_seconds(machine: str, wanted: Iterable[Cell], jobs: int) -> float:
    """What these cells will take: what they took before, in any release, else a typical trial. More trials at a time
    than there are processors are no faster."""
    took = _took(paths.RESULTS / "sweep", machine)
    return sum(took.get(cell, _TYPICAL_TRIAL_SECONDS) for cell in wanted) / min(jobs, os.cpu_count() or 1)


def longest_first(machine: str, wanted: Iterable[Cell]) -> list[Cell]:
    """In the order in which they are begun, so that no long trial is left alone at the end."""
    took = _took(paths.RESULTS / "sweep", machine)
    return sorted(wanted, key=lambda cell: took.get(cell, _TYPICAL_TRIAL_SECONDS), reverse=True)


@dataclass
class _Trial:
    """A trial under way, in a folder that no other has at the same time: its home is there, for the next to use.

    `earlier` are the records of the cell's trials before it.
    """

    cell: Cell
    process: subprocess.Popen
    folder: Path
    earlier: list[dict]

    def record(self) -> dict:
        """The record that the trial printed, or one that says why there is none."""
        try:
            return dict(json.loads((self.folder / "record").read_text()))
        except (ValueError, TypeError):
            lines = (self.folder / "errors").read_text(errors="replace").strip().splitlines()
            said = lines[-1] if lines else "it said nothing"
            status = self.process.returncode
            return _no_record(self.cell, f"the trial ended with status {status} and no record: {said}")


def _no_record(cell: Cell, reason: str) -> dict:
    return {
        "schema": 2,
        "kind": "cold",
        "started": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "settings": {"model": cell.model, "n": cell.n, "backend": cell.backend},
        "outcome": "failed",
        "reason": reason,
    }


def _variables(stack: Stack, machine: str, jobs: int) -> dict[str, str]:
    """The environment of a trial. Of the processors, each trial's linear algebra and each of its JAX clients has its
    share, where the caller says nothing: trials that all take all of them wait for each other, ten times as long in
    `gp`.
    """
    share = str(max(1, (os.cpu_count() or 1) // jobs))
    return {
        **process_environment(stack),
        **{threads: os.environ.get(threads, share) for threads in ("OPENBLAS_NUM_THREADS", "PJRT_NPROC")},
        "BENCH_STACK": stack.tag,
        "BENCH_LOCK_SHA256": stack.sha256,
        "BENCH_MACHINE": machine,
        "BENCH_SUITE_COMMIT": suite_commit() or "",
    }


def _next(waiting: Iterable[Cell], before: Cell | None, running: Iterable[Cell]) -> Cell:
    """Which of the waiting cells is run in a home: one of which much has been compiled there, for the cell `before`,
    else one of which nothing is being compiled in another home."""

    def compiles(cell: Cell | None) -> tuple | Cell | None:
        return (cell.model, cell.n) if cell and cell.backend in _KEEP_WHAT_THEY_COMPILE else cell

    elsewhere = {compiles(cell) for cell in running}
    return min(waiting, key=lambda cell: 0 if compiles(cell) == compiles(before) else 1 + (compiles(cell) in elsewhere))


def _start(
    stack: Stack, environment: Path, variables: Mapping[str, str], cell: Cell, folder: Path, earlier: list[dict]
) -> _Trial:
    command = [
        python(environment), "-m", "sampling", cell.model, "--n", str(cell.n), "--backend", cell.backend,
        "--seed", str(seed(stack, len(earlier))), "--home", str(folder / "home"), "--outcome",
    ]  # fmt: skip
    with (folder / "record").open("wb") as out, (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=errors,
            start_new_session=True,
        )  # fmt: skip
    return _Trial(cell, process, folder, earlier)


@contextmanager
def _ended(running: list[_Trial]) -> Iterator[None]:
    """Whatever ends this, no trial is left."""
    try:
        yield
    finally:
        for trial in running:
            if trial.process.poll() is None:
                # Not SIGINT: who was started in the background of a shell ignores that, and so do all that it starts.
                trial.process.send_signal(signal.SIGTERM)
        for trial in running:
            try:
                trial.process.wait(15)
            except subprocess.TimeoutExpired:
                trial.process.kill()
                trial.process.wait()


def sweep_stack(
    machine: str, stack: Stack, wanted: Iterable[Cell], description: Mapping, jobs: int
) -> Iterator[tuple[Record, ...]]:
    """Run one trial of each cell, `jobs` at a time, another one where the answer is wrong, and yield each cell's
    records once they are on disk: those of the cell's earlier trials that had an answer, then the new ones.

    Trials that follow each other share their compile caches, as a user's would: most of a short cold trial is
    compiling what the trial before has compiled.

    A stack that cannot be installed fails all its cells, with the reason, beside what they had answered. Raises
    MachineError when it is the machine or its network that prevents it, and nothing is recorded then.
    """
    waiting, running, protocol = list(wanted), [], description["protocol"]
    try:
        environment = stack_environment(stack)
    except MachineError:
        raise
    except BenchError as error:
        for cell in waiting:
            answers = _answers(machine, stack, cell, description)
            yield _keep(machine, stack, cell, [*answers, _no_record(cell, str(error))], protocol)
        return
    variables = _variables(stack, machine, jobs)
    with tempfile.TemporaryDirectory(prefix="sweep-") as temporary, _ended(running):
        idle: dict[Path, Cell | None] = {Path(temporary) / str(job): None for job in range(jobs)}
        for folder in idle:
            folder.mkdir()
        while waiting or running:
            while waiting and idle:
                folder, before = idle.popitem()
                cell = _next(waiting, before, (trial.cell for trial in running))
                waiting.remove(cell)
                earlier = _answers(machine, stack, cell, description)
                running.append(_start(stack, environment, variables, cell, folder, earlier))
            time.sleep(0.1)
            for trial in [t for t in running if t.process.poll() is not None]:
                trials = [*trial.earlier, trial.record()]
                records = _keep(machine, stack, trial.cell, trials, protocol)
                running.remove(trial)
                if to_be_confirmed(records):
                    running.append(_start(stack, environment, variables, trial.cell, trial.folder, trials))
                else:
                    idle[trial.folder] = trial.cell
                    yield records


def _answers(machine: str, stack: Stack, cell: Cell, description: Mapping) -> list[dict]:
    """A cell's trials until now that had an answer: evidence stays, and no seed is asked twice for what it answered."""
    kept = _kept(machine, stack, cell, description["same_draws_since"])
    if not any(r.outcome in ("ok", "invalid") for r in kept):
        return []
    documents = json.loads(path_of(machine, stack.tag, cell).read_text())
    return [d for d in documents if d["outcome"] in ("ok", "invalid")]


def _keep(machine: str, stack: Stack, cell: Cell, trials: Sequence[Mapping], protocol: int) -> tuple[Record, ...]:
    path = path_of(machine, stack.tag, cell)
    where_from = {"protocol": protocol, "lock_sha256": stack.sha256}
    # What earlier trials were made by stays what it was.
    write_records(path, [{**where_from, **trial} for trial in trials])
    try:
        return read_records(path, measurement=False)
    except BenchError as error:
        cause = error.__cause__
        problem = first_problem(cause) if isinstance(cause, ValidationError) else cause
        nothing = _no_record(cell, f"the trial's record is not complete: {problem}")
        return _keep(machine, stack, cell, [*trials[:-1], nothing], protocol)
