"""Adds locks for releases that have appeared, and snapshots, at the end of the history; and checks that it is whole.

A snapshot is the newest PyMC with the newest of everything on a later day. Nothing that is on record is ever changed:
commit hashes chain, and results are kept by them. It must not know what is measured in a stack.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from packaging.version import Version

from harness.errors import BenchError, MachineError, cannot_write
from harness.stacks import timeline
from harness.stacks.imports import check_imports
from harness.stacks.locks import (
    DECIDING,
    STACKS,
    WAIT,
    Stack,
    check_recorded,
    load_stacks,
    parse,
    recorded_hashes,
    recorded_imports,
    truncated,
)
from harness.stacks.releases import Release, pymc_releases
from harness.stacks.resolving import resolve

# A snapshot is locked when no stack has been for so long, and one of the deciding packages has another version since.
SNAPSHOT_AFTER = timedelta(days=7)


def update(
    folder: Path = STACKS,
    progress: Callable[[str], None] = print,
    snapshot: bool = False,
    as_of: datetime | None = None,
) -> tuple[list[Stack], list[str]]:
    """Add a lock for each release that is newer than the newest stack and at least a day old.

    Args:
        folder: where the locks are.
        progress: is given one line for each step.
        snapshot: also add a snapshot when the newest stack is a week old and no longer what users get.
        as_of: the moment that it is, for a day that was missed; now by default.

    Returns:
        The stacks that were added, in order of date, and a sentence for each release that has no solution; it
        keeps no other from being added.

    Raises:
        BenchError: no network, or history was changed.
    """
    stacks = load_stacks(folder) if any(folder.glob("v*.txt")) else []
    _verify_recorded(stacks, folder)
    for stack in stacks:
        # An update that was interrupted may have left a lock that is not on record.
        if stack.tag not in recorded_hashes(folder) or stack.tag not in recorded_imports(folder):
            record(stack, folder)
    newest = stacks[-1].date if stacks else datetime.min.replace(tzinfo=UTC)
    added, unsolved = [], []
    now = as_of or datetime.now(UTC)
    releases = [release for release in pymc_releases() if release.uploaded <= now]
    waiting = False
    for release in releases:
        if truncated(release.uploaded) <= newest:
            continue
        if now < release.uploaded + WAIT:
            waiting = True
            progress(f"PyMC {release.version} is not a day old: its stack can be resolved tomorrow.")
            continue
        progress(f"PyMC {release.version}: resolving")
        try:
            stack = append(release, folder)
        except MachineError:
            raise
        except BenchError as error:
            unsolved.append(str(error))
            continue
        _put_on_record(stack, folder, progress)
        added.append(stack)
    # A release that waits is uploaded before the snapshot would be: its lock would then change history.
    if snapshot and not waiting and not unsolved:
        try:
            taken = _append_snapshot(releases, now, folder)
        except MachineError:
            raise
        except BenchError as error:
            unsolved.append(str(error))
        else:
            for stack in taken:
                _put_on_record(stack, folder, progress)
            added += taken
    return added, unsolved


def _put_on_record(stack: Stack, folder: Path, progress: Callable[[str], None]) -> None:
    """Put a stack on record, and say what cannot be imported."""
    progress(f"{stack.tag}: installing and importing")
    for module, reason in record(stack, folder).items():
        progress(f"{stack.tag}: {module}: {reason}")


def _append_snapshot(releases: Sequence[Release], now: datetime, folder: Path) -> list[Stack]:
    """Lock the newest PyMC with the newest of everything as of midnight, unless that tells nothing new.

    Of midnight, so that whatever was uploaded before it has long been on the index.
    """
    newest = load_stacks(folder)[-1]
    as_of = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if as_of < newest.resolved_as_of + SNAPSHOT_AFTER:
        return []
    text = resolve(max(releases, key=lambda release: Version(release.version)), snapshot=as_of)
    stack = parse(text)
    if all(stack.packages.get(name) == newest.packages.get(name) for name in DECIDING):
        return []
    path = folder / f"{stack.tag}.txt"
    write(path, text)
    return [parse(text, path)]


def append(release: Release, folder: Path = STACKS) -> Stack:
    """Resolve a release and write its lock at the end of the history.

    Raises:
        BenchError: it has a lock, or is older than the newest; both would change history.
    """
    stacks = load_stacks(folder) if any(folder.glob("v*.txt")) else []
    path = folder / f"v{release.version}.txt"
    if path.exists():
        raise BenchError(
            f"stacks/{path.name} exists and results depend on it: a lock is never changed; "
            "to measure other packages, wait for a newer release."
        )
    if stacks and truncated(release.uploaded) <= stacks[-1].date:
        raise BenchError(
            f"PyMC {release.version} is older than the newest stack, {stacks[-1].tag}: history can only be "
            "appended to, since a lock in between would change every later hash and orphan its results."
        )
    stack = parse(resolve(release), path)
    write(path, stack.text)
    return stack


def record(stack: Stack, folder: Path = STACKS) -> dict[str, str]:
    """Put the newest stack on record: which of its modules cannot be imported, and its commit hash.

    Returns:
        What `check_imports` found.
    """
    failures = check_imports(stack)
    write_record(stack, failures, folder)
    return failures


def write_record(stack: Stack, failures: Mapping[str, str], folder: Path) -> None:
    """Write down of the newest stack what `check_imports` found, and its commit hash."""
    _write_json(folder / "imports.json", recorded_imports(folder) | {stack.tag: failures})
    upto = [other for other in load_stacks(folder) if other.date <= stack.date]
    hashes = timeline.hashes(upto)
    _write_json(folder / "timeline.json", recorded_hashes(folder) | {stack.tag: hashes[stack.tag]})


def verify_history(folder: Path = STACKS) -> None:
    """Check that the locks still give the commit hashes that results are kept by.

    Raises:
        BenchError: a lock was changed, removed, or added without being recorded.
    """
    stacks = load_stacks(folder)
    _verify_recorded(stacks, folder)
    recorded = recorded_hashes(folder)
    missing = [stack.tag for stack in stacks if stack.tag not in recorded]
    if missing:
        raise BenchError(f"{missing[0]} is not recorded in stacks/timeline.json: `bench stacks update` records it.")


def _verify_recorded(stacks: Sequence[Stack], folder: Path) -> None:
    """Raise a `BenchError` unless the locks give the hashes on record."""
    check_recorded(timeline.hashes(stacks) if stacks else {}, folder)


def _write_json(path: Path, data: Mapping) -> None:
    """Write one of the records beside the locks."""
    write(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(text, encoding="utf-8", newline="\n")
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise cannot_write(path, error) from error
