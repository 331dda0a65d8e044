"""Locks on their way from whoever resolves them to whoever may push them: what the one writes down, the other checks.

To resolve a stack is to build, install and import packages that nobody has looked at, so it is done where nothing can
be written. What is handed on is text. It is taken when it is what this code would have written of releases and versions
that the index has, and only appends to the history. Nothing of it is installed or run here.
"""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated

from packaging.version import InvalidVersion, Version
from pydantic import Field, TypeAdapter, ValidationError
from requests import RequestException

from harness.errors import BenchError, MachineError
from harness.stacks import updating
from harness.stacks.imports import MODULES
from harness.stacks.locks import DECIDING, STACKS, TAG, Stack, load_stacks, parse, recorded_imports, truncated
from harness.stacks.releases import project_files, pymc_releases
from harness.stacks.resolving import NO_NUMBA, REQUESTED, WITHOUT_NUMBA, lock_text

_IMPORTS = "imports.json"
_LARGEST_FILE = 100_000
_MOST_FILES = 50
_Reason = Annotated[str, Field(max_length=2000)]


def propose(
    to: Path, folder: Path = STACKS, progress: Callable[[str], None] = print, as_of: datetime | None = None
) -> tuple[list[Stack], list[str]]:
    """Resolve, install and import what is new, as `updating.update` does, and write to a folder what is to be added.

    Returns:
        The stacks that were found, and a sentence for each release that has no solution.

    Raises:
        BenchError: as `updating.update`.
    """
    with tempfile.TemporaryDirectory(prefix="proposal-") as scratch:
        stacks = Path(scratch) / "stacks"
        shutil.copytree(folder, stacks)
        added, unsolved = updating.update(stacks, progress=progress, snapshot=True, as_of=as_of)
        imports = recorded_imports(stacks)
    for stack in added:
        updating.write(to / f"{stack.tag}.txt", stack.text)
    if added:
        found = {stack.tag: imports[stack.tag] for stack in added}
        updating.write(to / _IMPORTS, TypeAdapter(dict).dump_json(found, indent=2).decode() + "\n")
    return added, unsolved


def accept(proposal: Path, folder: Path) -> tuple[list[Stack], list[str]]:
    """Add the stacks of a proposal to the locks in `folder`, all or none; those that are there already are passed over.

    Returns:
        The stacks that were added, in order of date, and the releases before them that have no lock and never will.

    Raises:
        BenchError: the proposal, or something in it, is refused; the sentence says what and why.
    """
    files = _files(proposal)
    stacks = sorted((_parsed(n, t) for n, t in files.items() if n != _IMPORTS), key=lambda s: s.date)
    known = {stack.tag: stack for stack in load_stacks(folder)}
    new = [stack for stack in stacks if stack.tag not in known or known[stack.tag].text != stack.text]
    imports = _imports(files.get(_IMPORTS, "{}"), stacks)
    skipped: list[str] = []
    if new:
        newest = max(known.values(), key=lambda stack: stack.date)
        skipped = _check_history(newest, new)
        _check_index(new)
    for stack in new:
        updating.write(folder / f"{stack.tag}.txt", stack.text)
        updating.write_record(stack, imports[stack.tag], folder)
    if new:
        updating.verify_history(folder)
    return new, skipped


def _refused(name: str, why: str) -> BenchError:
    shown = name if name.isascii() and name.isprintable() else ascii(name)
    return BenchError(f"The proposed {shown[:100]} is refused: {why}. Nothing of the proposal was taken.")


def _files(proposal: Path) -> dict[str, str]:
    """The files of a proposal by their names; there are none where nothing was found."""
    files = {}
    for path in sorted(proposal.iterdir()) if proposal.is_dir() else ():
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_FILE or len(files) == _MOST_FILES:
            raise _refused(path.name, f"it is no plain file below {_LARGEST_FILE // 1000} kB, or one too many")
        try:
            files[path.name] = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise _refused(path.name, "it is no text") from error
    return files


def _parsed(name: str, text: str) -> Stack:
    try:
        stack = parse(text)
    except BenchError as error:
        raise _refused(name, f"it is no lock ({str(error).partition(';')[0][:300]!r})") from error
    if name != f"{stack.tag}.txt":
        raise _refused(name, f"it is the lock of {stack.tag}")
    if not re.fullmatch(TAG, stack.tag):
        raise _refused(name, "that is not what a stack is called")
    wanted = REQUESTED if "numba" in stack.packages else WITHOUT_NUMBA
    missing = {name.partition("[")[0] for name in wanted} - set(stack.packages)
    if missing:
        raise _refused(name, f"it has no {min(missing)}, which every stack has")
    pins = [f"{package}=={version}" for package, version in stack.packages.items()]
    uploaded = None if stack.is_snapshot else stack.date
    without = "" if "numba" in stack.packages else NO_NUMBA
    if text != lock_text(stack.version, uploaded, stack.resolved_as_of, pins, without):
        raise _refused(name, "it is not written as locks are")
    return stack


def _imports(text: str, stacks: Iterable[Stack]) -> dict[str, dict[str, str]]:
    try:
        imports = TypeAdapter(dict[str, dict[str, _Reason]]).validate_json(text, strict=True)
    except ValidationError as error:
        raise _refused(_IMPORTS, "it does not say of each stack which modules cannot be imported, and why") from error
    if set(imports) != {stack.tag for stack in stacks}:
        raise _refused(_IMPORTS, "it is not of the stacks that are proposed")
    for failures in imports.values():
        if set(failures) - {*MODULES, "install"} or ("install" in failures and len(failures) > 1):
            raise _refused(_IMPORTS, "it names a module that is not asked for")
        if not all(reason.strip() and reason.isprintable() for reason in failures.values()):
            raise _refused(_IMPORTS, "a reason is not one line of text")
    return imports


def _check_history(newest: Stack, new: Iterable[Stack]) -> list[str]:
    """Return which releases are passed over; raise a `BenchError` unless each comes after the one before it.

    Each is a release, or a snapshot that is due. One without a solution keeps none after it from being locked.
    """
    uploads = {release.version: truncated(release.uploaded) for release in pymc_releases()}
    now = datetime.now(UTC)
    since, tags = newest.date, {stack.tag for stack in new}
    skipped = [version for version, uploaded in uploads.items() if uploaded > since and f"v{version}" not in tags]
    for stack in new:
        name = f"{stack.tag}.txt"
        if stack.date <= newest.date:
            raise _refused(name, f"it is not newer than {newest.tag}, and history is only appended to")
        if stack.resolved_as_of > now:
            raise _refused(name, "its day is not over")
        if stack.is_snapshot:
            if skipped:
                raise _refused(name, f"PyMC {skipped[0]} has no lock, and a snapshot waits for it")
            if stack.version != max(uploads, key=Version):
                raise _refused(name, f"PyMC {stack.version} is not the newest release")
            if stack.date.time() != time(0) or stack.date < newest.resolved_as_of + updating.SNAPSHOT_AFTER:
                raise _refused(name, f"it is not of a midnight when {newest.tag} was a week old")
            if all(stack.packages.get(package) == newest.packages.get(package) for package in DECIDING):
                raise _refused(name, f"it tells nothing new after {newest.tag}")
        elif uploads.get(stack.version) != stack.date:
            raise _refused(name, f"the index has no PyMC {stack.version} that was uploaded then")
        newest = stack
    return [version for version in skipped if uploads[version] < newest.date]


def _check_index(new: Iterable[Stack]) -> None:
    """Raise a `BenchError` unless the index had every version on the day that a stack is of."""
    names = sorted({name for stack in new for name in stack.packages})
    try:
        with ThreadPoolExecutor(8) as pool:
            uploads = dict(zip(names, pool.map(_uploads, names), strict=True))
    except RequestException as error:
        raise MachineError(
            f"What the package index has cannot be read ({type(error).__name__}): check the network and try again."
        ) from error
    for stack in new:
        for name, version in stack.packages.items():
            uploaded = uploads[name].get(version)
            if uploaded is None or uploaded > stack.resolved_as_of:
                raise _refused(f"{stack.tag}.txt", f"the index had no {name} {version} on its day")


def _uploads(project: str) -> dict[str, datetime]:
    """When each version of a project was first uploaded; of a file whose time is not told, at any time."""
    from pypi_simple import NoSuchProjectError, UnsupportedContentTypeError, UnsupportedRepoVersionError

    try:
        files = project_files(project)
    except (NoSuchProjectError, UnsupportedContentTypeError, UnsupportedRepoVersionError):
        return {}
    found: dict[str, datetime] = {}
    for file in files:
        try:
            version = str(Version(file.version or ""))  # as uv writes it
        except InvalidVersion:
            continue
        uploaded = file.upload_time or datetime.min.replace(tzinfo=UTC)
        found[version] = min(uploaded, found.get(version, uploaded))
    return found
