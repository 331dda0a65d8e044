"""Commits of PyMC, of PyTensor, or of another package of a stack: what each is built into, and which there are.

A commit is built into a wheel with the tools of its day, and put into the stack of a given release (`variants`). This
module must not know asv, nor how a stack is measured.
"""

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename

from harness.errors import BenchError, MachineError, cannot_write
from harness.stacks import environments, variants
from harness.stacks.locks import Stack, stamp
from harness.stacks.uv_command import NO_NETWORK, run_uv
from harness.stacks.variants import COMMIT, PutIn, Variant


def kept(commit: str, base: str) -> Variant | None:
    """Return the stack of a commit in a base if it was made before, else None.

    Raises:
        BenchError: its lock is damaged.
    """
    return variants.kept(tag_of(commit, base))


def tag_of(commit: str, base: str) -> str:
    """Return the name of a commit's stack, such as 1a2b3c4d5e-v6.4.0."""
    return variants.tag_of([PutIn("", "", COMMIT, commit)], base)


def prepare(commit: str, base: Stack, repository: Path, records: Path) -> Variant:
    """Return the stack of a commit, and make what is missing of it: its wheel, its lock.

    Args:
        commit: all 40 digits.
        base: the stack that it is put into.
        repository: where the commit is.
        records: folders of records, one for each machine: a stack that was measured is not solved again.

    Raises:
        BenchError: the commit cannot be built, or nothing satisfies its requirements.
    """
    try:
        put_in = built(commit, repository)
    except OSError as error:
        raise cannot_write(variants.BUILT, error) from error
    return variants.make(base, [put_in], committed(commit, repository), records)


def built(commit: str, repository: Path) -> PutIn:
    """Return what a commit is built into. Raises BenchError when it does not build."""
    name, version, *_ = parse_wheel_filename(build(commit, repository).name)
    return PutIn(str(name), str(version), COMMIT, commit)


def build(commit: str, repository: Path) -> Path:
    """Return the wheel of a commit, built with tools of the commit's day unless it is there.

    Raises:
        BenchError: it does not build.
    """
    target = variants.folder_of(commit)
    wheel = variants.wheel_in(target)
    if wheel is not None:
        return wheel
    doing = f"Commit {commit[:10]} cannot be built"
    date = committed(commit, repository)
    variants.BUILT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=variants.BUILT) as scratch:
        # A clone of its own: the maintainer's working tree stays as it is, and versions that are made from tags work.
        source, wheels = Path(scratch) / "source", Path(scratch) / "wheels"
        source.mkdir()
        # A partial clone fetches here what it lacks of the commit, as a clone of it could not.
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        _git(repository, doing, f"--work-tree={source}", "read-tree", "--reset", "-u", commit, variables=index)
        shutil.rmtree(source)
        _git(repository, doing, "clone", "--quiet", "--shared", "--no-checkout", str(repository), str(source))
        _git(source, doing, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--force", commit)
        build_wheel(source, wheels, doing, "--exclude-newer", stamp(date))
        target.parent.mkdir(exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        wheels.rename(target)
    wheel = variants.wheel_in(target)
    if wheel is None:
        raise BenchError(f"{doing}: its build made no wheel.")
    return wheel


def build_wheel(source: Path, into: Path, doing: str, *more: str) -> None:
    """Build what is in a folder into a wheel in another. Raises BenchError, which begins with `doing`."""
    interpreter = str(environments.base_python())
    run_uv(["build", "--wheel", "--out-dir", str(into), "--python", interpreter, *more, str(source)], doing)


@cache
def project_name(repository: Path | None, address: str, branches: tuple[str, ...], usual: str) -> str:
    """Return what a repository is the project of, before any of its commits is built.

    Args:
        repository: where it is, if it is there yet.
        address: where it comes from, whose last part is the name of a project that does not say it.
        branches: the head of the first that there is says it, else that of the repository.
        usual: the name if there is a package of that name: PyMC says its own in code, in `setup.py`.
    """
    for revision in (*branches, "HEAD") if repository else ():
        try:
            folders = _git(repository, "No branch", "ls-tree", "-d", "--name-only", revision).splitlines()
        except BenchError:
            continue
        try:
            told = tomllib.loads(_git(repository, "No pyproject.toml", "show", f"{revision}:pyproject.toml"))
            return canonicalize_name(told["project"]["name"], validate=True)
        except (BenchError, ValueError, LookupError, TypeError):
            if usual in folders:
                return usual
            break
    if repository:
        with suppress(BenchError):
            # The folder of a clone has any name.
            address = _git(repository, "No origin", "remote", "get-url", "origin")
    return re.split(r"[/:]", address.rstrip("/").removesuffix(".git").rstrip("/"))[-1] or usual


def find(revision: str, repository: Path) -> str:
    """Return all 40 digits of a commit, a branch or a tag. Raises BenchError when the repository has none."""
    if not repository.is_dir():
        raise BenchError(f"There is no Git repository at {repository}: name a clone.")
    _git(repository, f"{repository} is no clone of which Git can read commits; name another", "rev-parse", "--git-dir")
    if revision.startswith("-"):
        raise BenchError(f"{revision!r} is no commit, branch or tag.")
    try:
        return _git(repository, "No commit", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except BenchError as error:
        raise BenchError(
            f"{repository} has no commit, branch or tag {revision!r}: name one, and fetch what is not there yet."
        ) from error


def line(old: str, new: str, repository: Path) -> list[tuple[str, str]]:
    """Return the commits from `old` to `new`, both included, by their digits and subjects, along first parents.

    Raises:
        BenchError: there is no such commit.
    """
    first, last = find(old, repository), find(new, repository)
    told = _git(
        repository, f"The commits from {old} to {new} cannot be read", "log", "--first-parent", "--reverse",
        "--format=%H %s", f"{first}..{last}",
    )  # fmt: skip
    subject = _git(repository, f"Commit {old} cannot be read", "log", "-1", "--format=%s", first)
    found = [(digits, text) for digits, _, text in (entry.partition(" ") for entry in told.splitlines())]
    return [(first, subject), *found]


def committed(commit: str, repository: Path) -> datetime:
    """Return when a commit came to be as it is, which is not when its author began."""
    seconds = _git(repository, f"Commit {commit[:10]} cannot be read", "show", "--no-patch", "--format=%ct", commit)
    return datetime.fromtimestamp(int(seconds), UTC)


def _git(path: Path, doing: str, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """Run Git in `path` and return what it prints."""
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(["git", *arguments], cwd=path, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["git gave no reason"])[-1]
        if "No space left on device" in done.stderr:
            raise MachineError(f"{doing}: the disk is full; free some space and try again.")
        if NO_NETWORK.search(done.stderr):
            raise MachineError(f"{doing}: {reason}; check the network connection and try again.")
        raise BenchError(f"{doing}: {reason}")
    return done.stdout.strip()
