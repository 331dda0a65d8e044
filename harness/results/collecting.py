"""Takes in what other machines have measured: folders of results, as shards of a nightly run leave them.

What comes from elsewhere is not trusted. A shard is bound to its task: only files with the names of what was to be
measured are looked at, small ones, no links, and each is read by a strict schema before anything of it is kept. Nothing
that is already kept is overwritten, but by what goes on from it. It must not know how results come and go.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import BenchError
from harness.output import printable
from harness.results import asv_files
from harness.results.asv_numbers import asv_numbers
from harness.results.fields import NAME
from harness.results.metrics import COLD_SETUP, OF_ASV
from harness.results.records import Measurement, Record, as_text, read_records, why_not, write_records
from harness.stacks.locks import Stack, recorded_hashes

LARGEST_FILE = 5_000_000
# Of one shard, and of all together.
LARGEST_SHARD, MOST_FILES = 10_000_000, 500
LARGEST_RUN = 200_000_000

_RECORD = re.compile(rf"records/({NAME})/(v[\w.+-]+)/({NAME})-(\d{{1,12}})-({NAME})\.\d{{8}}T\d{{6}}\.json", re.ASCII)
_ASV = re.compile(rf"asv/({NAME})/([0-9a-f]{{8}})-stack-py3\.12\.json", re.ASCII)
_MACHINE = re.compile(rf"asv/({NAME})/machine\.json", re.ASCII)
_BENCHMARKS = "asv/benchmarks.json"

Cell = tuple[str, int, str]
"""A model, its size, and a backend."""


@dataclass(frozen=True)
class Task:
    """What a shard was to measure, and by which protocol: nothing else is taken of it. Without `cells` it is any cell.

    With `numbers`, a record of a good measurement is taken together with asv's numbers of it, or not at all. A
    measurement has `trials` at most.
    """

    machine: str
    stacks: Mapping[str, Stack]
    cells: frozenset[Cell] | None
    protocol: int
    numbers: bool = True
    trials: int = 100


@dataclass(frozen=True)
class Shard:
    """A folder of results from elsewhere, like `results/`, and what it was to be."""

    folder: Path
    task: Task


@dataclass
class Collected:
    """What has been taken in, what was there already, and what was refused, with the reasons."""

    new: list[str] = field(default_factory=list)
    known: int = 0
    refused: list[str] = field(default_factory=list)

    def add(self, other: Collected) -> None:
        """Add what became of another shard."""
        self.new += other.new
        self.known += other.known
        self.refused += other.refused


def collect(shards: Iterable[Shard], results: Path) -> Collected:
    """Take shards into `results`. A file, or a shard, that is refused keeps no other from being taken in."""
    collected, size = Collected(), 0
    for shard in shards:
        here = Collected()
        try:
            files = _files(shard.folder, here)
            size += sum(path.lstat().st_size for path in files.values())
            if size > LARGEST_RUN:
                raise BenchError(
                    f"{_named(shard.folder)} is left out: with it, the shards have more than {LARGEST_RUN // 10**6} MB."
                )
            _Taking(shard, files, results, here).take()
        except BenchError as error:
            here.refused.append(str(error))
        collected.add(here)
    return collected


def _named(folder: Path, name: str = "") -> str:
    """What a file of a shard is called in a sentence: a name can have line ends, and bytes that are no text."""
    path = f"{folder.name}/{name}" if name else folder.name
    return (path if path.isascii() and path.isprintable() else ascii(path))[:300]


def _files(folder: Path, collected: Collected) -> dict[str, Path]:
    """The files below a folder by their names in it, links and what is no result left out. Links are never followed."""
    if folder.is_symlink() or not folder.is_dir():
        raise BenchError(
            f"{_named(folder)} is no folder of results: give the folder that an artifact was unpacked into."
        )
    found, size, many = {}, 0, 0
    for here, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted([*names, *folders]):
            path = Path(here) / name
            status = path.lstat()
            many += 1
            size += status.st_size
            if size > LARGEST_SHARD or many > MOST_FILES:
                raise BenchError(
                    f"{_named(folder)} has more than {LARGEST_SHARD // 10**6} MB or {MOST_FILES} files: that is no "
                    "result of a run, and nothing of it was taken."
                )
            if stat.S_ISDIR(status.st_mode):
                continue
            relative = path.relative_to(folder).as_posix()
            if not stat.S_ISREG(status.st_mode):
                collected.refused.append(f"{_named(folder, relative)}: not a plain file")
            elif status.st_size > LARGEST_FILE:
                collected.refused.append(f"{_named(folder, relative)}: larger than {LARGEST_FILE // 10**6} MB")
            elif relative == _BENCHMARKS or any(p.fullmatch(relative) for p in (_RECORD, _ASV, _MACHINE)):
                found[relative] = path
            else:
                collected.refused.append(f"{_named(folder, relative)}: not the name of a result")
    return found


@dataclass
class _Taking:
    """Takes one shard."""

    shard: Shard
    files: Mapping[str, Path]
    results: Path
    collected: Collected
    fresh: set[tuple[str, Cell]] = field(default_factory=set)
    same: set[tuple[str, Cell]] = field(default_factory=set)
    bad: set[tuple[str, Cell]] = field(default_factory=set)

    def take(self) -> None:
        """Take machine, records and asv's numbers, in this order: the latter go with records that are kept."""
        task = self.shard.task
        numbers: dict[str, Mapping] = {}
        benchmarks = _kept(self.results / _BENCHMARKS, {}) if task.numbers else {}
        for name in sorted(self.files, key=lambda n: (n.startswith("records/"), not n.endswith("machine.json"), n)):
            try:
                if found := _RECORD.fullmatch(name):
                    self._take_record(name, found, numbers)
                elif name == _BENCHMARKS or not task.numbers:
                    # The list of benchmarks is made of this repository's own code.
                    self.collected.known += 1
                elif found := _MACHINE.fullmatch(name):
                    self._take_machine(name, found[1])
                else:
                    tag, document = self._read_numbers(name, benchmarks)
                    numbers[tag] = document
            except _REFUSED as error:
                self._refuse(name, error)
        for tag, document in numbers.items():
            name = f"asv/{task.machine}/{document['commit_hash'][:8]}-{document['env_name']}.json"
            try:
                self._take_numbers(name, tag, document, benchmarks)
            except _REFUSED as error:
                self._refuse(name, error)

    def _refuse(self, name: str, error: BaseException) -> None:
        """Say the problem in one line, without where the file lay or what would be done about it there."""
        text = str(error)
        if isinstance(error, BenchError):
            text = re.sub(r"^\S+ is not", "not", text.partition(": restore it")[0])
        elif not isinstance(error, ValueError):
            text = f"{type(error).__name__}: {text}"
        self.collected.refused.append(f"{_named(self.shard.folder, name)}: {printable(' '.join(text.split())[:400])}")

    def _check_planned(self, machine: str, tag: str | None, cell: Cell | None = None) -> None:
        task = self.shard.task
        if machine != task.machine:
            raise ValueError(
                f"it is of another machine than {task.machine}, which is what this run is for (BENCH_MACHINE)"
            )
        if tag is not None and tag not in task.stacks:
            raise ValueError("its stack was not to be measured by this shard")
        if None not in (cell, task.cells) and cell not in task.cells:
            raise ValueError("its model, size or backend was not to be measured by this run")

    def _take_machine(self, name: str, machine: str) -> None:
        self._check_planned(machine, None)
        document = json.loads(self.files[name].read_text())
        asv_files.check_machine(document, machine)
        if (self.results / name).exists():
            self.collected.known += 1
        else:
            self._write(name, document)

    def _read_numbers(self, name: str, benchmarks: Mapping) -> tuple[str, Mapping]:
        """The stack of a result of asv, and what it says, when it is one of this task."""
        machine, prefix = _ASV.fullmatch(name).groups()
        tag = next((tag for tag, commit in recorded_hashes().items() if commit.startswith(prefix)), "")
        self._check_planned(machine, tag)
        if not (self.results / f"asv/{machine}/machine.json").exists():
            raise ValueError("nothing that is valid describes its machine")
        document = json.loads(self.files[name].read_text())
        date = int(self.shard.task.stacks[tag].date.timestamp() * 1000)
        asv_files.check_result(document, machine, recorded_hashes()[tag], date, benchmarks)
        kept = _kept(self.results / name, None)
        if kept is not None and kept.get("result_columns") != list(asv_files.COLUMNS):
            raise ValueError("another version of asv wrote what is kept of it")
        return tag, document

    def _take_record(self, name: str, found: re.Match, numbers: Mapping[str, Mapping]) -> None:
        machine, tag, model, n, backend = found.groups()
        cell, task, source, target = (model, int(n), backend), self.shard.task, self.files[name], self.results / name
        try:
            self._check_planned(machine, tag, cell)
        except ValueError:
            # A machine hands on all that it has of a stack.
            if target.is_file() and target.read_bytes() == source.read_bytes():
                self.collected.known += 1
                return
            raise
        documents = _documents(source)
        identical = target.is_file() and target.read_bytes() == source.read_bytes()
        if isinstance(documents, list) and len(documents) > task.trials and not identical:
            raise ValueError(f"it has {len(documents)} trials, and {task.trials} at most were to be run")
        _check_suite(documents, task.protocol)
        try:
            records = read_records(source, only_known=True)
        except BenchError as error:
            raise BenchError(f"{str(error).partition(': restore it')[0]}{_by(documents)}") from error
        good = why_not(records) is None
        # asv's numbers are those of the newest measurement of a parameter set.
        has_numbers = name == _newest(self.files, name)
        if identical:
            self._know(tag, cell, records, numbers.get(tag) if has_numbers else None)
            return
        if target.name != Measurement(tag, *cell, records).file:
            raise ValueError("it holds something else than its name says")
        stack = task.stacks[tag]
        if any(r.lock_sha256 != stack.sha256 for r in records):
            raise ValueError(f"it was not measured in the stack {tag} of this timeline")
        if task.numbers and good and has_numbers:
            _check_numbers(numbers.get(tag, {"results": {}}), cell, records)
        if self._is_kept(target, task, tag, cell, documents):
            self.collected.known += 1
            return
        if len(as_text(documents)) > LARGEST_FILE:
            raise ValueError(f"it is larger than {LARGEST_FILE // 10**6} MB when it is written")
        write_records(target, documents)
        self.collected.new.append(name)
        # What another run has measured since then has its numbers already.
        if target.name == _newest((path.name for path in target.parent.iterdir()), target.name):
            self.fresh.add((tag, cell))
            if not good:
                self.bad.add((tag, cell))

    def _know(self, tag: str, cell: Cell, records: Sequence[Record], result: Mapping | None) -> None:
        """Note that a record is kept as it came; asv's numbers of it may be missing."""
        self.collected.known += 1
        if result is None:
            return
        if why_not(records):
            self.bad.add((tag, cell))
        else:
            _check_numbers(result, cell, records)
            self.same.add((tag, cell))

    def _is_kept(self, target: Path, task: Task, tag: str, cell: Cell, documents: Sequence[Mapping]) -> bool:
        """Whether what is kept of this protocol stays: it gives way only to what goes on from it, trial by trial.

        One of which asv has no number is not wholly kept: whoever plans has it measured again.
        """
        try:
            kept = read_records(target)
        except BenchError:
            return False
        if any((r.lock_sha256, r.protocol) != (task.stacks[tag].sha256, task.protocol) for r in kept):
            return False
        if task.numbers and why_not(kept) is None:
            folder = self.results / "asv" / task.machine
            if cell not in asv_numbers(folder, recorded_hashes()[tag]):
                return False
        return as_text(documents[: len(kept)]) != as_text(json.loads(target.read_text())) or len(documents) <= len(kept)

    def _take_numbers(self, name: str, tag: str, document: Mapping, benchmarks: Mapping) -> None:
        """Take asv's values of records that have just been taken, and those of kept ones of which it has none."""
        planned = {f"{model}-{n}" for model, n, _ in self.shard.task.cells or ()}
        # Of a measurement that is not good, there is no number.
        document = asv_files.blanked(document, lambda b, cell: _of_records(b) and (tag, _cell(b, cell)) in self.bad)

        def takes(benchmark: str, cell: tuple[str, ...], has_value: bool) -> bool:
            if _of_records(benchmark):
                key = tag, _cell(benchmark, cell)
                return key in self.fresh or (key in self.same and not has_value)
            return not has_value and all(part.strip("'") in planned for part in cell[1:])

        kept = _kept(self.results / name, None)
        merged = asv_files.merged(kept, document, benchmarks, takes)
        if merged == kept or not merged["results"]:
            self.collected.known += 1
        else:
            self._write(name, merged)

    def _write(self, name: str, document: Mapping) -> None:
        content = f"{json.dumps(document)}\n".encode()
        if len(content) > LARGEST_FILE:
            raise ValueError(f"with what is kept, it is larger than {LARGEST_FILE // 10**6} MB")
        target = self.results / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        part.write_bytes(content)
        part.replace(target)
        self.collected.new.append(name)


# Whatever reading a hostile file may raise.
_REFUSED = (
    BenchError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, OSError, RecursionError,
    MemoryError,
)  # fmt: skip


def _newest(names: Iterable[str], name: str) -> str:
    """Of the measurements of the same parameter set as `name`, which are named for when they began, the newest."""
    which = name.removesuffix(".json").rpartition(".")[0]
    return max(n for n in names if n.removesuffix(".json").rpartition(".")[0] == which)


def _of_records(benchmark: str) -> bool:
    """Whether a benchmark's values come from the trials that records tell of."""
    return bool(re.fullmatch(r"\w+\.(CompileSetup|Sampling)\.\w+", benchmark))


def _documents(path: Path) -> object:
    """What a file holds, or None where that is not JSON, which whoever reads it as records tells."""
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError):
        return None


def _cell(benchmark: str, parameters: tuple[str, ...]) -> Cell:
    """Of which parameter set a value of such a benchmark is."""
    return benchmark.partition(".")[0], int(parameters[1]), parameters[0].strip("'")


def _check_suite(documents: object, protocol: int) -> None:
    """Raise ValueError when another protocol measured, naming the suite's version."""
    for document in documents if isinstance(documents, list) else ():
        other = document.get("protocol") if isinstance(document, dict) else protocol
        if other != protocol:
            raise ValueError(f"it is of protocol {str(other)[:20]}, and this is {protocol}{_by(documents)}")


def _by(documents: object) -> str:
    """By which version of the suite it says that it was measured, and what to do then."""
    try:
        commit = documents[0]["provenance"]["suite_commit"][:12]
    except (LookupError, TypeError):
        commit = "another version"
    return f"; it was measured by suite {commit}: bring that checkout to the branch's state, and measure again"


def _check_numbers(result: Mapping, cell: Cell, records: Sequence[Record]) -> None:
    """Raise ValueError unless asv's numbers of a good measurement came along, and are of its trials."""
    model, n, backend = cell
    for metric in OF_ASV:
        number = asv_files.values(result, f"{model}.{metric.benchmark}").get((repr(backend), str(n)))
        if number is None:
            if metric is COLD_SETUP:
                raise ValueError("asv's number of it did not come along, or was refused")
            continue
        trials = [r for r in records if r.outcome == "ok" and (metric.or_cold or r.kind == metric.kind)]
        of = [v for r in trials if (v := metric.of(r)) is not None]
        # asv's are rounded: small ones to four digits behind the point, large ones to whole numbers.
        if not of or not min(of) * 0.99 - 0.006 <= number <= max(of) * 1.01 + 0.006:
            raise ValueError(f"asv's {metric.benchmark} of it is {number:.6g}, which none of its trials is")


def _kept(path: Path, otherwise: dict | None) -> dict | None:
    """A document that the results have. Raises BenchError when it is damaged, which no shard can mend."""
    if not path.exists():
        return otherwise
    try:
        document = json.loads(path.read_text())
        if isinstance(document, dict):
            return document
    except (ValueError, RecursionError):
        pass
    raise BenchError(f"what is kept already in {path.name} is damaged, and has to be restored or deleted on the branch")
