"""The records of an `asv run`, from the moment a trial ends until asv has saved its results.

asv keeps results in memory until a commit is done, and an interrupt loses them. So the records of a run are
kept in `.asv/unfinished/<stack>/`, one folder per parameter set; an interrupted run leaves them there, and the next one
goes on from them. When asv saves a commit, the records that this run used move to
`results/records/<machine>/<stack>/`. This module must not know asv.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from harness.errors import BenchError
from harness.measuring.cells import Cell
from harness.paths import CACHE
from harness.results.records import file_name, write_records

UNFINISHED = CACHE / "unfinished"


def scratch(tag: str) -> Path:
    """The folder in which the benchmarks of a stack keep their records while they run."""
    return UNFINISHED / tag


def of_cell(folder: Path, cell: Cell) -> Path:
    """Where in such a folder those of one parameter set are."""
    return folder / f"{cell.model}-{cell.n}-{cell.backend}"


def trials(folder: Path) -> list[Path]:
    """The record files of one parameter set, cold before warm."""
    kinds = ("cold", "warm")
    found = [
        (kind, path.stem.removeprefix(f"{kind}-"), path) for kind in kinds for path in folder.glob(f"{kind}-*.json")
    ]
    return [path for *_, path in sorted((kind, int(n), path) for kind, n, path in found if n.isdecimal())]


def archive(tag: str, run: str, records: Path, machine: str) -> list[Path]:
    """Move the records of `tag` that run `run` used to `records`; returns the files written.

    Records of an earlier, interrupted run that this one did not ask for stay where they are.
    """
    written = []
    for folder in sorted(scratch(tag).glob("*/")):
        mark = folder / "run"
        if not mark.is_file() or mark.read_text() != run:
            continue
        measured = [json.loads(path.read_text()) for path in trials(folder)]
        target = records / machine / tag / file_name(measured[0])
        try:
            write_records(target, measured)
        except OSError as error:
            raise BenchError(
                f"{target} cannot be written ({error.strerror}): the records stay in {folder}; "
                "make room or make the folder writable, and run the same command again."
            ) from error
        # At once, whatever interrupts this: half of it would count again.
        aside = scratch(tag).parent.with_name("archived")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
        written.append(target)
    return written
