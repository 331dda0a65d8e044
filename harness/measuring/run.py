"""Measuring for the results: rounds of trials, which asv then takes in.

It plans what is left to measure, says what that will cost, and shows each trial as it ends. `rounds` runs them; asv
reads what they have left, by its benchmarks, saves its numbers, and its plugin keeps the records.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from statistics import median

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from harness import paths
from harness.errors import BenchError, LostStackError, MachineError
from harness.measuring import alone, parent, rounds, unfinished
from harness.measuring.cells import Cell, can_be_sampled
from harness.measuring.rounds import COLD, WARM, Trial
from harness.output import printable
from harness.paths import CACHE, ROOT
from harness.results.asv_numbers import asv_numbers
from harness.results.records import Measurement, read_measurements
from harness.stacks.locks import Stack, recorded_hashes

LOG = CACHE / "run.log"
# A trial of a small size on two cores, counting the unsupported ones, which take no time, and how it grows with n; for
# what no machine has records of.
_TYPICAL_TRIAL_SECONDS, _SMALL, _GROWTH = 11.0, 500, 0.5
_OVERHEAD = 1.1


def asv_selection(wanted: Iterable[Cell], description: Mapping) -> list[str]:
    """Arguments that make asv run these cells of every per-model benchmark.

    A backend that cannot sample a model says so to one benchmark: asv starts a process for each that it asks.
    """
    groups: dict[tuple[str, int, str], list[str]] = {}
    for cell in wanted:
        metrics = ".*" if can_be_sampled(cell, description) else r"Sampling\.track_sampling"
        groups.setdefault((cell.model, cell.n, metrics), []).append(re.escape(cell.backend))
    return _patterns(
        rf"^{model}\.{metrics}\('({'|'.join(names)})', {n}\)$" for (model, n, metrics), names in groups.items()
    )


def gradient_selection(wanted: Iterable[Cell], description: Mapping) -> list[str]:
    """Arguments that make asv time the gradients of these cells' models, and the import.

    Discrete models are left out: compiling their gradients takes longer than what it tells about a compound step.
    """
    continuous = {(c.model, c.n): None for c in wanted if not description["models"][c.model]["discrete"]}
    return _patterns([*(rf"^gradient\..*'{model}-{n}'\)$" for model, n in continuous), r"^imports\."])


def _patterns(patterns: Iterable[str]) -> list[str]:
    return [argument for pattern in patterns for argument in ("--bench", pattern)]


def archived(machine: str, stack: Stack, description: Mapping) -> list[Measurement]:
    """The measurements of a stack by this protocol that are in the results, of each parameter set the oldest first."""
    found, _ = read_measurements(paths.RESULTS / "records", machine, stack.tag)
    return [
        m
        for m in found
        if all(r.lock_sha256 == stack.sha256 and r.protocol == description["protocol"] for r in m.records)
    ]


def measured(machine: str, stacks: Sequence[Stack], description: Mapping, warm: int) -> set[Cell]:
    """The cells that are wholly measured and whose numbers asv has as well: in one sitting of all these stacks, or, of
    what one of them has no answer to, in any."""
    sittings: list[dict[Cell, set[str]]] = []
    without_answer: set[Cell] = set()
    for stack in stacks:
        saved = asv_numbers(paths.RESULTS / "asv" / machine, recorded_hashes()[stack.tag])
        its: dict[Cell, set[str]] = {}
        newest: dict[Cell, bool] = {}
        for m in archived(machine, stack, description):
            cell, answered = Cell(m.model, m.n, m.backend), m.outcome == "ok"
            if m.complete(warm) and (not answered or (m.model, m.n, m.backend) in saved):
                its.setdefault(cell, set()).update(r.round.block for r in m.records if r.round)
                newest[cell] = answered
        sittings.append(its)
        without_answer |= {cell for cell, answered in newest.items() if not answered}
    in_all = set.intersection(*(set(its) for its in sittings))
    return {
        cell
        for cell in in_all
        if len(stacks) == 1 or cell in without_answer or set.intersection(*(its[cell] for its in sittings))
    }


def seconds_of_trials(machine: str, cells: Iterable[Cell], arms: int) -> dict[tuple[Cell, str], float]:
    """What a cold and a warm trial of each cell took before on this machine, in any release; else what other backends'
    of this model and size took; else the same of all other machines; else a typical trial.

    A cell that failed in one release may work in the next: what failed in as many as there are arms has one trial each,
    which tells so.
    """
    machines = [folder.name for folder in (paths.RESULTS / "records").glob("*/")]
    here = _took([machine])
    elsewhere = cache(lambda: _took(name for name in machines if name != machine))

    def seconds(cell: Cell, kind: str) -> float:
        if (known := here(cell, kind, arms)) is None and (known := elsewhere()(cell, kind, arms)) is None:
            return _TYPICAL_TRIAL_SECONDS * max(1.0, cell.n / _SMALL) ** _GROWTH
        return known

    return {(cell, kind): seconds(cell, kind) for cell in cells for kind in (COLD, WARM)}


def _took(machines: Iterable[str]) -> Callable[[Cell, str, int], float | None]:
    """What says how long a trial of a cell took on these machines, by kind and the number of arms that are to run."""
    took: dict[tuple[Cell, str, bool], list[float]] = {}
    others: dict[tuple[str, int, str], list[float]] = {}
    for folder in (f for machine in machines for f in (paths.RESULTS / "records" / machine).glob("*/")):
        for m in read_measurements(paths.RESULTS / "records", folder.parent.name, folder.name)[0]:
            for r in m.records:
                key = (Cell(m.model, m.n, m.backend), r.kind, r.outcome == "ok")
                took.setdefault(key, []).append(r.trial_wall_seconds)
                if r.outcome == "ok":
                    others.setdefault((m.model, m.n, r.kind), []).append(r.trial_wall_seconds)

    def seconds(cell: Cell, kind: str, arms: int) -> float | None:
        if answered := took.get((cell, kind, True)):
            return median(answered)
        failed = took.get((cell, COLD, False), ())
        if len(failed) >= arms:
            return median(failed) if kind == COLD else 0.0
        alike = others.get((cell.model, cell.n, kind))
        return median(alike) if alike else None

    return seconds


def estimate_seconds(machine: str, wanted: Mapping[Cell, Mapping[str, int]], arms: int) -> float:
    """What these trials of each cell, by kind, will take, in as many arms."""
    seconds = seconds_of_trials(machine, wanted, arms)
    one = sum(many * seconds[cell, kind] for cell, kinds in wanted.items() for kind, many in kinds.items())
    return _OVERHEAD * arms * one


def _describe(trial: Trial) -> str:
    record = trial.record
    name = f"{trial.arm.name} {trial.cell} {record.kind}"
    if record.outcome != "ok":
        return printable(f"{name}: {record.outcome}: {record.reason}")
    clocks = record.clocks
    told = f"{name}: setup {clocks.setup_wall_seconds:.1f} s, sampling {clocks.sampling_wall_seconds:.2f} s"
    return told if trial.stands else f"{told}; the machine changed speed: once more"


def follow(console: Console, trials: Iterator[Trial], total: int, title: str) -> Iterator[Trial]:
    """The trials, each shown as it ends, above a bar. Others are kept from measuring meanwhile."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    lock = alone.take()
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(title, total=total)
            for trial in trials:
                if trial.record.outcome != "unsupported":
                    progress.console.print(_describe(trial), highlight=False, soft_wrap=True)
                progress.advance(task, trial.stands)
                yield trial
    finally:
        lock.release()


def measure(
    console: Console, machine: str, stacks: Sequence[Stack], wanted: Sequence[Cell], description: Mapping,
    each: Mapping[str, int], deadline: float | None = None, repeats: int = 0,
) -> float:  # fmt: skip
    """Rounds of these stacks, `each` so many of its kind, and what asv makes of them; returns the seconds spent inside
    trials.

    From `deadline` on, of `time.monotonic`, no rounds begin but the first of each parameter set. `repeats` is as of
    `Rounds`. KeyboardInterrupt ends the trial first; what was measured is there for the next call.
    """
    arms = []
    with console.status("installing") as status:
        for number, stack in enumerate(stacks, start=1):
            status.update(f"installing {stack.tag} ({number} of {len(stacks)})")
            try:
                arms.append(rounds.arm(stack))
            except MachineError:
                raise
            except BenchError as error:
                raise LostStackError(stack.tag, str(error)) from error
    side_by_side = rounds.Rounds(arms, machine, description, repeats=repeats)
    title = " | ".join(stack.tag for stack in stacks)
    total = len(wanted) * len(stacks) * sum(each.values())
    trials = _until(deadline, side_by_side, wanted, each)
    inside = sum(trial.record.trial_wall_seconds for trial in follow(console, trials, total, title))
    let_asv_read(console, stacks, wanted, description)
    return inside


def let_asv_read(console: Console, stacks: Sequence[Stack], cells: Sequence[Cell], description: Mapping) -> None:
    """What was measured of these cells. Its processes are forks of one: they have nothing to time.

    Of what was not measured it is not told: asv would measure it, alone, in place of what it has.
    """
    for stack in stacks:
        its = [cell for cell in cells if unfinished.trials(unfinished.of_cell(unfinished.scratch(stack.tag), cell))]
        if its:
            take_in(
                console, f"asv reads {stack.tag}", f"{stack.tag}^!", "--launch-method", "forkserver",
                *asv_selection(its, description),
            )  # fmt: skip


def _until(
    deadline: float | None, side_by_side: rounds.Rounds, wanted: Iterable[Cell], each: Mapping[str, int]
) -> Iterator[Trial]:
    """A first round of each kind, and then as many as are wanted while there is time."""

    def time_is_up() -> bool:
        return deadline is not None and time.monotonic() > deadline

    first = {kind: min(1, many) for kind, many in each.items()}
    yield from side_by_side.run(dict.fromkeys(wanted, first), alone=first[WARM])
    if not time_is_up():
        for trial in side_by_side.run(dict.fromkeys(wanted, each), alone=each[WARM]):
            yield trial
            if trial.closes and time_is_up():
                break
    yield from side_by_side.settle(wanted)


def time_gradients(console: Console, stacks: Sequence[Stack], wanted: Iterable[Cell], description: Mapping) -> None:
    """Let asv time one gradient of each model, and the import; where there are several stacks, in turns."""
    hashes = CACHE / "in-turns"
    hashes.write_text("".join(f"{recorded_hashes()[stack.tag]}\n" for stack in stacks))
    selection = gradient_selection(wanted, description)
    take_in(console, "asv times gradients and imports", f"HASHFILE:{hashes}", "--interleave-rounds", *selection)


def take_in(console: Console, doing: str, *arguments: str) -> None:
    """Let asv run benchmarks: those of trials read what was measured, and measure nothing themselves.

    Raises BenchError when asv stops before it has ended; a benchmark that fails is a result. KeyboardInterrupt ends asv
    first; when this process is killed, it ends by itself. To be called by the main thread.
    """
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("wb") as log, console.status(doing):
        child = _asv(
            "run", "--record-samples", *arguments,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            # As many warm trials as there are.
            env={**os.environ, **parent.told(), "BENCH_WARM_TRIALS": "0"}, start_new_session=True,
        )  # fmt: skip
        try:
            child.wait()
        except BaseException:
            _end(child)
            raise
    if child.returncode not in (0, 2):
        raise BenchError(
            f"asv stopped before it had taken in what was measured: {why_it_stopped(LOG.read_text(errors='replace'))} "
            f"(All it said is in {LOG.relative_to(ROOT)}.)"
        )


def why_it_stopped(log: str) -> str:
    """Return what asv called its last error, or else the last line that it wrote."""
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line.partition("Last error: ")[2] for line in lines if "Last error: " in line]
    return (errors or lines or ["it said nothing"])[-1]


def _asv(*arguments: str, **kwargs) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "asv", *arguments], cwd=ROOT, **kwargs)


def _end(child: subprocess.Popen) -> None:
    """Interrupt asv as Ctrl-C would, so that it ends its benchmark."""
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
