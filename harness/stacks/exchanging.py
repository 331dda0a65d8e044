"""What a user wants in the place of a stack's package: a version, a wheel, a folder, or a commit of a clone.

    pytensor=3.5.0              a version that the index has
    pytensor=dist/pytensor…whl  a wheel
    pytensor=~/src/pytensor     what that folder holds now, committed or not, built
    pytensor=~/src/pytensor@my-branch      a branch, a tag or a commit of that clone

It must not know how a stack is measured.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from harness.errors import BenchError, MachineError, cannot_write
from harness.stacks import commits, environments, variants
from harness.stacks.locks import Stack, of_releases, truncated
from harness.stacks.releases import project_files
from harness.stacks.variants import INDEX, WHEEL, PutIn, Variant

REPOSITORY = "BENCH_REPOSITORY"
# What is on the index for a minute or two is uploaded whole.
_UPLOADED = timedelta(minutes=5)
_DIGITS = re.compile(r"[0-9a-f]{7,40}")


def exchanged(base: Stack, wanted: Iterable[str], records: Path | None = None) -> Stack:
    """A stack with all that is wanted, each as `NAME=WHAT`, in the place of its packages; itself when nothing is.

    `records` are folders of records: what was measured is not solved again. Raises BenchError when one is not to be
    had, or nothing satisfies its requirements.
    """
    found: dict[str, tuple[PutIn, datetime]] = {}
    for text in wanted:
        name, _, what = text.partition("=")
        if not what or what.startswith("="):
            raise BenchError(
                f"{text!r} does not say what to put in the place of which package: write NAME=WHAT, where WHAT is a "
                "version, a wheel, a folder, or FOLDER@COMMIT."
            )
        name = str(canonicalize_name(name.strip()))
        if name not in base.packages:
            raise BenchError(f"{base.tag} does not pin {name!r}: stacks/{base.tag}.txt lists what it pins.")
        if name in found:
            raise BenchError(f"{name} is wanted twice: put one of it into a stack.")
        found[name] = _find(name, what.strip())
    if not found:
        return base
    return variants.make(base, [p for p, _ in found.values()], max(date for _, date in found.values()), records)


def of_commit(revision: str, base: Stack, records: Path) -> Variant:
    """The stack of a commit, branch or tag of the clone that BENCH_REPOSITORY names.

    `records` are folders of records: what was measured is not solved again. Raises BenchError when there is no such
    clone or commit.
    """
    clone = os.environ.get(REPOSITORY)
    if not clone:
        raise BenchError(
            f"There is no stack {revision!r}, and no clone to look for such a commit: `bench stacks list` names the "
            f"stacks; for commits, let {REPOSITORY} name a clone of PyMC or PyTensor."
        )
    repository = _path(clone)
    return commits.prepare(commits.find(revision, repository), base, repository, records)


def _find(name: str, what: str) -> tuple[PutIn, datetime]:
    """What to put in, and as of when its requirements are to be satisfied."""
    path = _path(what)
    if what.endswith(".whl"):
        return _wheel(name, path)
    if path.is_dir():
        return _folder(name, path)
    # Folders and revisions may both have one in their names.
    for at in re.finditer("@", what):
        repository, revision = _path(what[: at.start()]), what[at.end() :]
        if at.start() and repository.is_dir():
            commit = commits.find(revision, repository)
            return _named(name, commits.built(commit, repository)), commits.committed(commit, repository)
    try:
        version = Version(what)
    except InvalidVersion:
        hint = f" Of a commit, say which clone it is of: {name}=FOLDER@{what}." if _DIGITS.fullmatch(what) else ""
        raise BenchError(
            f"{what!r}, wanted for {name}, is no version, and there is no such wheel or folder.{hint}"
        ) from None
    spelled, date = _uploaded(name, version)
    return PutIn(name, spelled, INDEX), date


def _path(text: str) -> Path:
    """Of a file or a folder, whatever the folder that other programs are run in."""
    try:
        return Path(text).expanduser().resolve()
    except RuntimeError as error:
        raise BenchError(f"{text!r} names a home that this machine has not: write the path in full.") from error


def _named(name: str, put_in: PutIn) -> PutIn:
    if put_in.name != name:
        raise BenchError(f"What is wanted for {name} is a build of {put_in.name}: write {put_in.name}=… instead.")
    return put_in


def _folder(name: str, folder: Path) -> tuple[PutIn, datetime]:
    with tempfile.TemporaryDirectory(prefix="bench-build-") as scratch:
        # A copy, without what earlier builds have left there: that would be taken up again.
        source, wheels = Path(scratch) / "source", Path(scratch) / "wheels"
        left_out = {"build", "dist", ".venv", *(p.name for p in folder.glob("*.egg-info"))}
        try:
            shutil.copytree(
                folder, source, symlinks=True, ignore=lambda at, _: left_out if Path(at) == folder else set()
            )
        except (OSError, shutil.Error) as error:
            raise MachineError(f"{folder} cannot be copied to be built ({error}).") from error
        commits.build_wheel(source, wheels, f"{folder} cannot be built")
        wheel = variants.wheel_in(wheels)
        if wheel is None:
            raise BenchError(f"{folder} cannot be built: its build made no wheel.")
        return _wheel(name, wheel)


def _wheel(name: str, wheel: Path) -> tuple[PutIn, datetime]:
    """A wheel, of which a copy is kept by its content: two builds of the same are the same."""
    try:
        project, version, _, tags = parse_wheel_filename(wheel.name)
        with zipfile.ZipFile(wheel) as archive:
            files = sorted((i.filename, hashlib.sha256(archive.read(i)).hexdigest()) for i in archive.infolist())
    except FileNotFoundError:
        raise BenchError(f"There is no wheel {wheel}.") from None
    except (InvalidWheelFilename, OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise BenchError(f"{wheel} is no wheel that can be read ({error}).") from error
    if tags.isdisjoint(sys_tags()):
        raise BenchError(f"{wheel} is not for Python {environments.PYTHON} on this machine: build it here.")
    digits = hashlib.sha256(repr(files).encode()).hexdigest()[:40]
    put_in = _named(name, PutIn(str(project), str(version), WHEEL, digits))
    target = variants.folder_of(digits)
    try:
        if variants.wheel_in(target) is None:
            variants.BUILT.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="copy-", dir=variants.BUILT) as scratch:
                whole = Path(scratch) / "wheel"
                whole.mkdir()
                shutil.copy(wheel, whole)
                target.parent.mkdir(exist_ok=True)
                shutil.rmtree(target, ignore_errors=True)
                whole.rename(target)
    except OSError as error:
        raise cannot_write(variants.BUILT, error) from error
    return put_in, truncated(datetime.now(UTC))


def _uploaded(name: str, version: Version) -> tuple[str, datetime]:
    """A version as the index spells it, and the moment after which users could get it; BenchError when they cannot."""
    from pypi_simple import NoSuchProjectError, UnsupportedContentTypeError, UnsupportedRepoVersionError
    from requests import RequestException

    try:
        files = project_files(name)
    except NoSuchProjectError:
        files = []
    except (RequestException, UnsupportedContentTypeError, UnsupportedRepoVersionError) as error:
        raise MachineError(
            f"The versions of {name} cannot be read from the package index ({type(error).__name__}): check the network "
            "connection and try again."
        ) from error
    moments = []
    for file in files:
        try:
            if file.upload_time is not None and Version(file.version or "") == version:
                moments.append(file.upload_time)
                version_of_index = file.version
        except InvalidVersion:
            continue
    if not moments:
        raise BenchError(f"The package index has no {name} {version}.")
    return version_of_index, truncated(max(moments) + _UPLOADED)


def newest_release(stacks: Iterable[Stack]) -> Stack:
    """The stack that commits are put into when the user names none."""
    return max(of_releases(list(stacks)), key=lambda s: s.date)
