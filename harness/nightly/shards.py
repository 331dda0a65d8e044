"""What a runner hands on, a *shard*: the files of its work, in a folder, and as an artifact among others."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from harness import paths
from harness.errors import BenchError
from harness.measuring.cells import Cell
from harness.nightly.planning import Work, name_of, work
from harness.results.collecting import Shard, Task
from harness.stacks import locks

_ARTIFACT = "results-"
PLAN = "results-plan"


def export(work: Work, machine: str, to: Path) -> int:
    """Copy what this machine has measured of a work to a folder, as it lies in the results; returns how many files."""
    results = paths.RESULTS
    which = [f"{name_of(cell)}.*.json" for cell in work.cells] if work.is_history else ["*.json"]
    files = [results / "asv" / machine / "machine.json"]
    for stack in work.stacks:
        commit = locks.recorded_hashes()[stack.tag]
        for pattern in which:
            files += sorted((results / "records" / machine / stack.tag).glob(pattern))
        files += sorted((results / "asv" / machine).glob(f"{commit[:8]}-*.json"))
    files = [path for path in files if path.is_file()]
    for path in files:
        target = to / path.relative_to(results)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return len(files)


def artifacts(
    below: Path, task: Task, wanted: Collection[Cell], planned: Collection[str] | None
) -> tuple[list[Shard], list[str]]:
    """The shards below a folder, each bound to the work that it was planned for, and what else is there.

    Of the works in `planned`, or of any, and of no parameter sets but those that were wanted.

    An artifact `results-<work>` has one folder, `<work>`, and is unpacked into a folder of its own name: as long as
    there are several, which the artifact of the plan sees to. It is the only one where nothing was measured.
    """
    entries = sorted(below.iterdir()) if below.is_dir() else []
    if not any(path.name == PLAN and path.is_dir() for path in entries):
        return [], [f"{_shown(path)} is no artifact beside {PLAN}" for path in entries if path.name != "plan.json"]
    shards, strange = [], []
    for place in (path for path in entries if path.name != PLAN):
        name = place.name.removeprefix(_ARTIFACT)
        of = _planned(name, wanted, planned) if place.name != name else None
        if of is None or place.is_symlink() or not place.is_dir():
            strange.append(f"{_shown(place)} is no artifact of this run")
            continue
        for path in sorted(place.iterdir()):
            if path.name == name:
                shards.append(Shard(path, of_work(task, of)))
            else:
                strange.append(f"{_shown(path)} in {place.name} is not its work")
    return shards, strange


def _planned(name: str, wanted: Collection[Cell], planned: Collection[str] | None) -> Work | None:
    if planned is not None and name not in planned:
        return None
    try:
        return work(name, wanted)
    except BenchError:
        return None


def of_work(task: Task, work: Work) -> Task:
    """The task, of this work alone."""
    cells = frozenset((c.model, c.n, c.backend) for c in work.cells)
    return replace(task, stacks={stack.tag: stack for stack in work.stacks}, cells=cells)


def _shown(path: Path) -> str:
    """A name that may be anything."""
    return ascii(path.name)[1:-1][:100]
