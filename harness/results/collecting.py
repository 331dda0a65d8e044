"""Takes in what other machines have measured: folders of results, as shards of a nightly run leave them.

What comes from elsewhere is not trusted: only files with the names of results are looked at, small ones, no links, and
each is read and checked before it is copied. Nothing that is already kept is overwritten: where two runs have
measured the same, the first one's results stay. It must not know how results come and go.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from harness.errors import BenchError
from harness.results.asv_numbers import asv_numbers
from harness.results.records import NAME, Record, read_records
from harness.stacks.locks import Stack, load_stacks, recorded_hashes

LARGEST_FILE = 5_000_000
LARGEST_FOLDER = 200_000_000
MOST_FILES = 20_000

_RECORD = re.compile(rf"records/({NAME})/(v[\w.+-]+)/({NAME})-(\d+)-({NAME})\.json", re.ASCII)
_ASV = re.compile(rf"asv/({NAME})/([0-9a-f]{{8}})-[\w.-]+\.json", re.ASCII)
_MACHINE = re.compile(rf"asv/({NAME})/machine\.json", re.ASCII)
_BENCHMARKS = "asv/benchmarks.json"
_SAMPLES = ("samples", "profile")
_MOST_VALUES = 10_000
# What machines, processors and packages are called: pages show it.
_Plain = Annotated[str, StringConstraints(pattern=r"^[^<>&\"\x00-\x1f\x7f]*$", max_length=200)]


class _AsvResult(BaseModel):
    """A result of asv, as far as `asv publish` reads it; its tables are looked at one by one."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    version: Literal[2]
    commit_hash: str
    env_name: _Plain
    date: Annotated[int, Field(ge=0, lt=10**14)]  # milliseconds, from which asv makes a date
    python: _Plain
    params: dict[_Plain, _Plain | int | None]
    requirements: dict[_Plain, _Plain | None]
    env_vars: dict[_Plain, _Plain]
    # What asv measured by itself is keyed by its own names, such as <build>.
    durations: dict[str, float]
    result_columns: list[str]
    results: dict[Annotated[str, StringConstraints(pattern=r"^[\w.]+$")], list]


@dataclass
class Collected:
    """What has been taken in, what was there already, and what was refused, with the reasons."""

    new: list[str] = field(default_factory=list)
    known: int = 0
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Expected:
    """What records have to be of: the protocol, and the stacks, which are read once for all records."""

    protocol: int

    @cached_property
    def stacks(self) -> Mapping[str, Stack]:
        return {stack.tag: stack for stack in load_stacks()}


def collect(sources: Iterable[Path], results: Path, protocol: int) -> Collected:
    """Take the results in `sources` into `results`, both folders like `results/`.

    A file, or a source, that is refused keeps no other from being taken in.
    """
    collected, expected = Collected(), _Expected(protocol)
    for source in sources:
        here = Collected()
        try:
            files = _files(source, here)
        except BenchError as error:
            collected.refused.append(str(error))
            continue
        # Records first: whether a number of asv is taken depends on them.
        for name in sorted(files, key=lambda n: (not n.startswith("records/"), n)):
            try:
                _take(name, files[name], results, expected, here)
            except (
                BenchError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, OSError, RecursionError
            ) as error:  # fmt: skip
                here.refused.append(f"{source.name}/{name}: {_plain(error)}")
        collected.new += here.new
        collected.known += here.known
        collected.refused += here.refused
    return collected


def _plain(error: BaseException) -> str:
    """The problem in one line, without where the file lay or what would be done about it there."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, BenchError):
        return re.sub(r"^\S+ is not", "not", text.partition(": restore it")[0])
    return f"{type(error).__name__}: {text}"


def _files(source: Path, collected: Collected) -> dict[str, Path]:
    """The files below a folder by their names in it, links and what is no result left out. Links are never followed."""
    if source.is_symlink() or not source.is_dir():
        raise BenchError(f"{source.name} is no folder of results: give the folder that an artifact was unpacked into.")
    found, size = {}, 0
    for folder, folders, names in os.walk(source, followlinks=False):
        folders.sort()
        for name in sorted([*names, *folders]):
            path = Path(folder) / name
            status = path.lstat()
            relative = path.relative_to(source).as_posix()
            if stat.S_ISDIR(status.st_mode):
                continue
            # As it is told: a name can have line ends, and bytes that are no text.
            named = f"{source.name}/{relative if relative.isprintable() else ascii(relative)}"[:300]
            size += status.st_size
            if size > LARGEST_FOLDER or len(found) >= MOST_FILES:
                raise BenchError(
                    f"{source.name} has more than {LARGEST_FOLDER // 10**6} MB or {MOST_FILES} files: that is no "
                    "result of a run, and nothing of it was taken."
                )
            if not stat.S_ISREG(status.st_mode):
                collected.refused.append(f"{named}: not a plain file")
            elif status.st_size > LARGEST_FILE:
                collected.refused.append(f"{named}: larger than {LARGEST_FILE // 10**6} MB")
            elif _kind(relative):
                found[relative] = path
            else:
                collected.refused.append(f"{named}: not the name of a result")
    return found


def _kind(name: str) -> str | None:
    if _RECORD.fullmatch(name):
        return "record"
    if _ASV.fullmatch(name):
        return "asv"
    if _MACHINE.fullmatch(name):
        return "machine"
    return "benchmarks" if name == _BENCHMARKS else None


def _take(name: str, path: Path, results: Path, expected: _Expected, collected: Collected) -> None:
    {"record": _take_record, "asv": _take_asv, "machine": _take_machine, "benchmarks": _take_benchmarks}[_kind(name)](
        name, path, results, expected, collected
    )


def _take_record(name: str, path: Path, results: Path, expected: _Expected, collected: Collected) -> None:
    _, tag, model, n, backend = _RECORD.fullmatch(name).groups()
    content = path.read_bytes()
    records = read_records(path)
    settings = records[0].settings
    if (settings.model, str(settings.n), settings.backend) != (model, n, backend):
        raise ValueError("it holds something else than its name says")
    stack, protocol = expected.stacks.get(tag), expected.protocol
    if stack is None or any(r.lock_sha256 != stack.sha256 for r in records):
        raise ValueError(f"it was not measured in the stack {tag} of this timeline")
    if any(r.protocol != protocol for r in records):
        raise ValueError(f"it was not measured by protocol {protocol}")
    target = results / name
    machine = name.split("/")[1]
    numbers = asv_numbers(results / "asv" / machine, recorded_hashes()[tag])
    if _is_kept(target, stack.sha256, protocol, records, (model, int(n), backend) in numbers):
        collected.known += 1
        return
    # As it came: written anew, it might be many times as large.
    _write(target, content)
    collected.new.append(name)


def _is_kept(path: Path, lock: str, protocol: int, records: Sequence[Record], has_number: bool) -> bool:
    """Whether as much is kept already, of this lock and protocol; a good measurement gives way to a good one only.

    One of which asv has no number was measured again for that, and is not wholly kept.
    """
    try:
        kept = read_records(path)
    except BenchError:
        return False
    if not all((r.lock_sha256, r.protocol) == (lock, protocol) for r in kept):
        return False
    goes_on = tuple(records[: len(kept)]) == kept
    good, better = (all(r.outcome == "ok" for r in trials) for trials in (kept, records))
    if good and not better and not goes_on:
        return True
    return len(kept) >= len(records) and (has_number or not better or tuple(records) == kept)


def _take_asv(name: str, path: Path, results: Path, _expected: _Expected, collected: Collected) -> None:
    machine, prefix = _ASV.fullmatch(name).groups()
    document = json.loads(path.read_text())
    tag = {commit: tag for tag, commit in recorded_hashes().items()}.get(document["commit_hash"])
    if tag is None or not document["commit_hash"].startswith(prefix):
        raise ValueError("its commit is none of this timeline")
    try:
        _AsvResult.model_validate(document)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise ValueError(f"its {where} is not what asv writes") from error
    if document["params"]["machine"] != machine:
        raise ValueError("it is not a result of asv of this machine")
    _check_tables(document)
    folder = f"records/{machine}/{tag}/"
    # Of the shard's records, those that are kept, and those that have just been.
    source = path.parents[len(Path(name).parts) - 1]
    recorded = {p.stem for p in (source / folder).glob("*.json") if _same(p, results / folder / p.name)}
    fresh = {Path(name).stem for name in collected.new if name.startswith(folder)}
    target, versions = results / name, _versions(results)
    kept = _kept(target) if target.exists() else {**document, "results": {}}
    if kept["result_columns"] != document["result_columns"]:
        raise ValueError("another version of asv wrote it")
    changed = False
    for benchmark, row in document["results"].items():
        if versions and row[2] != versions.get(benchmark):
            continue  # measured by an older or newer suite: what is kept is of this one
        merged = _merged(benchmark, kept["results"].get(benchmark), row, kept["result_columns"], recorded, fresh)
        if merged:
            kept["results"][benchmark] = merged
            changed = True
    if changed:
        _write(target, _dumped(kept))
        collected.new.append(name)
    else:
        collected.known += 1


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()


def _versions(results: Path) -> dict[str, str]:
    """The version of each benchmark of this suite, or nothing where that is not on record."""
    path = results / _BENCHMARKS
    listed = _kept(path) if path.exists() else {}
    return {name: str(entry["version"]) for name, entry in listed.items() if isinstance(entry, dict)}


def _kept(path: Path) -> dict:
    """A document that the results have already. Raises BenchError when it is damaged, which no shard can mend."""
    try:
        document = json.loads(path.read_text())
        if isinstance(document, dict):
            return document
    except (ValueError, RecursionError):
        pass
    raise BenchError(f"what is kept already in {path.name} is damaged, and has to be restored or deleted on the branch")


def _check_tables(document: Mapping) -> None:
    columns = document["result_columns"]
    if columns[:3] != ["result", "params", "version"]:
        raise ValueError("its columns are not those of asv")
    values = 0
    for benchmark, row in document["results"].items():
        if not 3 <= len(row) <= len(columns):
            raise ValueError("it has a row that asv did not write")
        if not all(isinstance(name, str) and re.fullmatch(r"'?[\w.-]+'?", name) for axis in row[1] for name in axis):
            raise ValueError(f"a parameter of {benchmark} is no name or number")
        if any(len(set(axis)) < len(axis) for axis in row[1]):
            raise ValueError(f"a parameter of {benchmark} is there twice")
        values += math.prod(map(len, row[1])) + len(row[0] or ())
        if values > _MOST_VALUES:
            raise ValueError(f"{benchmark} has more values than there are parameters")
        for value in row[0] or ():
            if isinstance(value, list) or not _is_plain_number(value):
                raise ValueError(f"a value of {benchmark} is no number")
            if value is not None and math.isinf(value):
                raise ValueError(f"a value of {benchmark} is infinite")
        if not all(map(_is_plain_number, row[3:])):
            raise ValueError(f"what {benchmark} has beside its values is no number")


def _is_plain_number(value: object) -> bool:
    """Whether it is a number, nothing, or a list of such, as statistics (infinite for one sample) and samples are."""
    if isinstance(value, list):
        return all(map(_is_plain_number, value))
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _merged(
    benchmark: str, mine: list | None, new: list, columns: list[str], recorded: set[str], fresh: set[str]
) -> list | None:
    """A row with what is kept and what is new, or None when nothing is.

    Of a model's benchmarks, asv's number and the record come from the same trials: it is taken where the record that
    came with it is kept, and where it is not, neither is the number. A number that was there before gives way only to
    one of a record that has just been taken.
    """
    per_value = [i for i, c in enumerate(columns) if c == "result" or c.startswith("stats_") or c in _SAMPLES]
    model = re.match(r"(\w+)\.(CompileSetup|Sampling)\.", benchmark)
    # A bumped version starts anew; a backend that was added does not.
    same = mine is not None and mine[2] == new[2] and len(mine[1]) == len(new[1])
    axes = [list(dict.fromkeys(pair[0] + pair[1])) for pair in zip(mine[1], new[1], strict=True)] if same else new[1]
    ours = {cell: k for k, cell in enumerate(product(*mine[1]))} if same else {}
    theirs = {cell: k for k, cell in enumerate(product(*new[1]))}
    sources: list[tuple[list, int] | None] = []
    taken = False
    for cell in product(*axes):
        stem = f"{model[1]}-{cell[1]}-{cell[0].strip(chr(39))}" if model else None
        old = (mine, ours[cell]) if cell in ours else None
        offered = (new, theirs[cell]) if cell in theirs and (stem is None or stem in recorded) else None
        if offered and (not old or stem in fresh or (_is_number(_at(*offered)) and not _is_number(_at(*old)))):
            sources.append(offered)
            taken = True
        else:
            sources.append(old)
    if not taken:
        return None
    merged = [*new[:1], axes, *new[2:]]
    for i in (i for i in per_value if i < len(merged)):
        merged[i] = [_at(*source, i) if source else None for source in sources]
    return merged


def _at(row: list, k: int, column: int = 0) -> object:
    """A column's value of the k-th parameters; rows are cut where nothing follows."""
    return row[column][k] if column < len(row) and row[column] and k < len(row[column]) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not math.isnan(value)


def _take_machine(name: str, path: Path, results: Path, _expected: _Expected, collected: Collected) -> None:
    document = json.loads(path.read_text())
    machine = _MACHINE.fullmatch(name)[1]
    described = TypeAdapter(dict[_Plain, _Plain | int], config=ConfigDict(strict=True))
    try:
        described.validate_python(document)
    except ValidationError as error:
        raise ValueError("it is no description of a machine") from error
    if document["machine"] != machine:
        raise ValueError("it does not describe the machine that it is named for")
    target = results / name
    if target.exists():
        collected.known += 1
        return
    _write(target, _dumped(document))
    collected.new.append(name)


def _take_benchmarks(_name: str, _path: Path, _results: Path, _expected: _Expected, collected: Collected) -> None:
    """The list of benchmarks is made of this repository's code, and not taken from elsewhere."""
    collected.known += 1


def _dumped(document: Mapping) -> bytes:
    return f"{json.dumps(document)}\n".encode()


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
