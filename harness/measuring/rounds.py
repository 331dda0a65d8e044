"""Rounds: trials of several stacks side by side, so that what is compared was measured by one machine in one mood.

In a round every stack runs each parameter set once, one stack right after the other, all with one seed: in the order in
which they are given or the other way, which is random, and in the next round the reverse. A round that was interrupted,
or in which one had no right answer, is made up for by those neighbours that lack it. Environments stand
side by side, and so do homes with warm caches. Every trial leaves its record where asv's benchmarks look for it
(`unfinished`), and the record says which round it was part of. What is there is not run again: rounds that were
interrupted go on. It must not know what the numbers mean, nor asv.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from harness.errors import MachineError
from harness.measuring.cells import Cell
from harness.measuring.unfinished import of_cell, scratch, trials
from harness.paths import CACHE, ROOT
from harness.results.metrics import contaminated
from harness.results.records import Measurement, Record, read_trial, to_be_confirmed
from harness.stacks.environments import compile_bytecode, process_environment, python, stack_environment
from harness.stacks.locks import Stack
from harness.suite import suite_commit

COLD, WARM = "cold", "warm"
FIRST = {COLD: 0, WARM: 1}
# What a trial that is asked to end needs to end all that it has started.
_GRACE_SECONDS = 15


@dataclass(frozen=True)
class Arm:
    """One of the stacks that are measured side by side, installed in `environment`; its records lie below `folder`."""

    name: str
    stack: Stack
    environment: Path
    folder: Path

    def of(self, cell: Cell) -> Path:
        """The folder of a parameter set's records and of its home."""
        return of_cell(self.folder, cell)


def of_each_kind(warm: int) -> dict[str, int]:
    """Rounds of cold trials and of warm ones: those are what most is told by, and half as many cold ones will do."""
    return {COLD: max(1, warm // 2), WARM: warm}


def arm(stack: Stack) -> Arm:
    """A stack, installed beside others, whose records asv's benchmarks find. Raises as `stack_environment`."""
    environment = stack_environment(stack)
    compile_bytecode(environment, stack)
    return Arm(stack.tag, stack, environment, scratch(stack.tag))


def apart(stack: Stack) -> Arm:
    """A stack, installed beside others, whose records are nobody's results: of the same packages, the same ones.

    Raises as `stack_environment`.
    """
    environment = stack_environment(stack)
    compile_bytecode(environment, stack)
    return Arm(stack.tag, stack, environment, CACHE / "apart" / stack.sha256[:16])


@dataclass(frozen=True)
class Trial:
    """A trial that has ended; `closes` when it was the last of its round of its cell, and does not `stand` when the
    machine changed speed during it, and it is run once more."""

    arm: Arm
    cell: Cell
    record: Record
    closes: bool
    stands: bool = True


class Rounds:
    """Rounds of some arms on this machine: one sitting, a *block*, in which all that is compared was measured.

    `first` are the numbers of the first cold and the first warm round, and with them the seeds. A trial during which
    the machine changed speed is run `repeats` times more at once, at most, and the last one stands.
    """

    def __init__(
        self, arms: Sequence[Arm], machine: str, description: Mapping, first: Mapping[str, int] = FIRST,
        repeats: int = 0,
    ) -> None:  # fmt: skip
        self.arms, self.machine, self.description, self.first = arms, machine, description, first
        self.repeats = repeats
        self.block = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        self._read: dict[tuple[Path, int], Record | None] = {}

    def measurement(self, arm: Arm, cell: Cell) -> Measurement:
        """What an arm has of a cell, in this sitting and in what was left of an interrupted one."""
        found = self._recorded(arm, cell)
        return Measurement(arm.name, cell.model, cell.n, cell.backend, tuple(found[key] for key in sorted(found)))

    def rounds(self, cell: Cell, kind: str, arms: Sequence[Arm] | None = None) -> list[int]:
        """The numbers of the rounds that all arms (or these) have run in one sitting, and in which all gave an
        answer."""
        of_arms = [
            {(r.round.block, number) for (k, number), r in self._recorded(a, cell).items() if k == kind and _counts(r)}
            for a in arms or self.arms
        ]
        return sorted(number for _, number in set.intersection(*of_arms))

    def run(self, wanted: Mapping[Cell, Mapping[str, int]], alone: int) -> Iterator[Trial]:
        """Run rounds until each cell has as many of each kind as are wanted, and yield each trial as it ends.

        An arm that fails leaves the rounds of the cell; where only one is left of several, that one gets `alone` warm
        trials. Of a wrong answer chance may be to blame: one more round of that arm and its neighbours decides.
        """
        while due := [(cell, *d) for cell in wanted if (d := self._due(cell, wanted[cell], alone))]:
            for cell, kind, number, arms in due:
                for position, each in enumerate(arms):
                    for left in range(self.repeats, -1, -1):
                        record = self._trial(cell, kind, number, arms, position)
                        stands = not (left and record.outcome == "ok" and contaminated(record))
                        yield Trial(each, cell, record, stands and position == len(arms) - 1, stands)
                        if stands:
                            break
                        # What is there is not run again.
                        (each.of(cell) / f"{kind}-{number}.json").unlink()

    def settle(self, cells: Iterable[Cell]) -> Iterator[Trial]:
        """Run only what decides whether chance is to blame for a wrong answer: time that is up does not."""
        return self.run({cell: {COLD: 0, WARM: 0} for cell in cells}, alone=0)

    def _due(self, cell: Cell, wanted: Mapping[str, int], alone: int) -> tuple[str, int, list[Arm]] | None:
        """What a cell needs next: the kind and the number of a round, and the arms that run it, in order."""
        measured = {a.name: self.measurement(a, cell) for a in self.arms}
        going = [a for a in self.arms if not _has_failed(measured[a.name])]
        left_behind = len(going) == 1 < len(self.arms)
        if not going or (left_behind and measured[going[0].name].complete(alone)):
            return None
        # Neighbours are what is compared: a round that two of many lack is theirs alone.
        pairs = list(pairwise(going)) or [tuple(going)]
        lacking = {k: [pair for pair in pairs if len(self.rounds(cell, k, pair)) < wanted[k]] for k in (COLD, WARM)}
        open_question = [
            pair for pair in pairs if left_behind or any(to_be_confirmed(measured[a.name].records) for a in pair)
        ]
        kind = WARM if open_question or not lacking[COLD] else COLD
        arms = [a for a in going if any(a in pair for pair in lacking[kind] + open_question)]
        if not arms:
            return None
        if any(not (a.of(cell) / "home.json").is_file() or not self._numbers(a, cell, COLD) for a in arms):
            kind = COLD
        number = max((1 + n for a in going for n in self._numbers(a, cell, kind)), default=self.first[kind])
        return kind, number, self._order(cell, kind, number, arms)

    def _order(self, cell: Cell, kind: str, number: int, arms: Sequence[Arm]) -> list[Arm]:
        """From one end of the timeline to the other, so that neighbours follow each other, all of them; the second of
        two rounds runs in the reverse order of the first."""
        turn = number - (kind == WARM)
        from_the_end = random.Random(f"{cell} {kind} {turn // 2}").randrange(2)
        return [*arms[::-1]] if (turn + from_the_end) % 2 else [*arms]

    def _numbers(self, arm: Arm, cell: Cell, kind: str) -> list[int]:
        return [number for k, number in self._recorded(arm, cell) if k == kind]

    def _recorded(self, arm: Arm, cell: Cell) -> dict[tuple[str, int], Record]:
        """The records of an arm's cell that stand for this work, by kind and number."""
        found = {}
        for path in trials(arm.of(cell)):
            version = path, path.stat().st_mtime_ns
            if version not in self._read:
                self._read[version] = read_trial(path)
            record = self._read[version]
            if record and self._stands(arm, record):
                kind, _, number = path.stem.partition("-")
                found[kind, int(number)] = record
        return found

    def _stands(self, arm: Arm, record: Record) -> bool:
        of_this = (self.description["protocol"], self.description["code_sha256"], arm.stack.sha256)
        return (record.protocol, record.code_sha256, record.lock_sha256) == of_this

    def _trial(self, cell: Cell, kind: str, number: int, arms: Sequence[Arm], position: int) -> Record:
        """Run the one at a place of a round, and read what it has left. Raises MachineError when that is nothing."""
        arm, side_by_side = arms[position], [a.name for a in self.arms if a in arms]
        told = {"block": self.block, "number": number, "position": position, "stacks": side_by_side}
        variables = {
            **process_environment(arm.stack),
            "BENCH_STACK": arm.stack.tag,
            "BENCH_LOCK_SHA256": arm.stack.sha256,
            "BENCH_MACHINE": self.machine,
            "BENCH_SUITE_COMMIT": suite_commit() or "",
            "BENCH_ROUND": json.dumps(told),
        }
        command = [
            python(arm.environment), "-m", "sampling", cell.model, "--n", str(cell.n), "--backend", cell.backend,
            "--measurement", str(arm.of(cell)), "--trial", f"{kind}-{number}",
        ]  # fmt: skip
        path = arm.of(cell) / f"{kind}-{number}.json"
        if path.is_file() and read_trial(path) is None:
            # The trial would take it for its own record, and not run.
            path.unlink()
        process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            _, said = process.communicate()
        finally:
            _end(process)
        record = read_trial(path)
        if record is None:
            lines = said.strip().splitlines() or ["it said nothing"]
            raise MachineError(
                f"The trial of {arm.name} {cell} ended with status {process.returncode} and no record: {lines[-1]} "
                "What was measured is kept, and the same command goes on from there."
            )
        if not self._stands(arm, record):
            raise MachineError(
                "The code that measures was changed meanwhile: what was measured by it before stands no more. Run the "
                "same command again."
            )
        return record


def _counts(record: Record) -> bool:
    """Whether a trial can be one side of a ratio."""
    return record.round is not None and record.outcome == "ok"


def _has_failed(measurement: Measurement) -> bool:
    """Whether more trials would not help."""
    return bool(measurement.records) and measurement.outcome != "ok" and not to_be_confirmed(measurement.records)


def _end(process: subprocess.Popen) -> None:
    """Whatever ends the rounds, no trial is left."""
    if process.poll() is None:
        # Not SIGINT: who was started in the background of a shell ignores that, and so do all that it starts.
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
