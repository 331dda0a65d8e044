"""Stacks of commits: what a commit of PyMC (or of PyTensor) is measured with, in the stack of a given release.

The commit is built into a wheel with the tools of its day. Around it stands the given stack, its *base*: a package
moves only where the commit's requirements demand it, and then never to a version newer than the commit. The lock says
what moved; it is kept, so that a commit is always measured with the same packages. This module must not know asv, nor
how a stack is measured.
"""

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from harness.errors import BenchError, MachineError
from harness.paths import CACHE
from harness.stacks import environments, resolving
from harness.stacks.locks import Stack, diff, stamp

COMMITS = CACHE / "commits"
RECORDED = "stack.txt"  # beside the records of a commit

_HEADER = re.compile(r"^# ([a-z ]+): (.*)$", re.MULTILINE)
_PIN = re.compile(r"^([a-z0-9-]+)==(\S+)$", re.MULTILINE)
_COMPLETE = "# complete"
# Solves for a set of packages that may move and a set that must not; returns the versions of all.
Solve = Callable[[frozenset[str], frozenset[str]], Mapping[str, str]]


@dataclass(frozen=True)
class CommitStack(Stack):
    """The stack of one commit: `tag` names it and its base, `date` is when it was committed (UTC).

    `packages` and `sha256` count the project, but its wheel is not a pin of the lock: no index has it.
    """

    commit: str = ""
    moved: tuple[str, ...] = ()


def tag_of(commit: str, base: str) -> str:
    """Return the name of a commit's stack, such as 1a2b3c4d5e-v6.4.0."""
    return f"{commit[:10]}-{base}"


def kept(commit: str, base: str) -> CommitStack | None:
    """Return the stack of a commit in a base if it was made before, else None.

    Raises:
        BenchError: its lock is damaged.
    """
    return _read(_lock(tag_of(commit, base)))


def prepare(commit: str, base: Stack, repository: Path, records: Path) -> CommitStack:
    """Return the stack of a commit, and make what is missing of it: its wheel, its lock.

    Args:
        commit: all 40 digits.
        base: the stack that it is put into.
        repository: where the commit is.
        records: folders of records, one for each machine: a stack that was measured is not solved again.

    Raises:
        BenchError: the commit cannot be built, or nothing satisfies its requirements.
    """
    tag = tag_of(commit, base.tag)
    path = _lock(tag)
    try:
        wheel = build(commit, repository)
        for recorded in () if path.exists() else sorted(records.glob(f"*/{tag}/{RECORDED}")):
            _write(path, recorded.read_text(encoding="utf-8"))
            break
        if not path.exists():
            _write(path, resolve(commit, committed(commit, repository), wheel, base))
    except OSError as error:
        raise MachineError(
            f"{error.filename or COMMITS} cannot be written ({error.strerror}): free some space or fix its permissions."
        ) from error
    stack = _read(path)
    assert stack is not None
    return stack


def install(path: Path, stack: CommitStack) -> None:
    """Make the environment at `path` hold a commit's stack, and nothing else.

    Raises:
        BenchError: as `environments.install`.
    """
    wheel = _built(stack.commit)
    if wheel is None:
        raise BenchError(f"The wheel of {stack.tag} is gone: run the same command again to build it.")
    with tempfile.TemporaryDirectory(prefix="bench-wheel-") as scratch:
        requirement = Path(scratch) / "wheel.txt"
        requirement.write_text(_requirement(wheel) + "\n")
        environments.install(path, stack, requirement)


def build(commit: str, repository: Path) -> Path:
    """Return the wheel of a commit, built with tools of the commit's day unless it is there.

    Raises:
        BenchError: it does not build.
    """
    wheel = _built(commit)
    if wheel is not None:
        return wheel
    doing = f"Commit {commit[:10]} cannot be built"
    date = committed(commit, repository)
    COMMITS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=COMMITS) as scratch:
        # A clone of its own: the maintainer's working tree stays as it is, and versions that are made from tags work.
        source, wheels = Path(scratch) / "source", Path(scratch) / "wheels"
        source.mkdir()
        # A partial clone fetches here what it lacks of the commit, as a clone of it could not.
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        _git(repository, doing, f"--work-tree={source}", "read-tree", "--reset", "-u", commit, variables=index)
        shutil.rmtree(source)
        _git(repository, doing, "clone", "--quiet", "--shared", "--no-checkout", str(repository), str(source))
        _git(source, doing, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--force", commit)
        interpreter = str(environments.base_python())
        arguments = ["build", "--wheel", "--out-dir", str(wheels), "--python", interpreter]
        environments.run_uv([*arguments, "--exclude-newer", stamp(date), str(source)], doing)
        target = COMMITS / "wheels" / commit
        target.parent.mkdir(exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        wheels.rename(target)
    wheel = _built(commit)
    if wheel is None:
        raise BenchError(f"{doing}: its build made no wheel.")
    return wheel


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


def committed(commit: str, repository: Path) -> datetime:
    """Return when a commit came to be as it is, which is not when its author began."""
    seconds = _git(repository, f"Commit {commit[:10]} cannot be read", "show", "--no-patch", "--format=%ct", commit)
    return datetime.fromtimestamp(int(seconds), UTC)


def resolve(commit: str, date: datetime, wheel: Path, base: Stack) -> str:
    """Return the lock of a commit in a base.

    Raises:
        BenchError: no network, or nothing that is as old as the commit satisfies its requirements.
    """
    project, version = _project(wheel)
    # A package that keeps its version may be of the base's day.
    as_of = max(date, base.resolved_as_of)
    pins = {name: pinned for name, pinned in base.packages.items() if name != project}
    requested = resolving.REQUESTED if "numba" in base.packages else resolving.WITHOUT_NUMBA

    def solve(moving: frozenset[str], staying: frozenset[str]) -> dict[str, str]:
        with tempfile.TemporaryDirectory(prefix="bench-lock-") as scratch:
            # uv prefers the versions in the output file that it finds. The override says that this wheel is the
            # project, whatever bounds others have: a development version may look older than it is.
            output, override = Path(scratch) / "lock.txt", Path(scratch) / "override.txt"
            output.write_text("".join(f"{name}=={pinned}\n" for name, pinned in pins.items()))
            override.write_text(_requirement(wheel) + "\n")
            more = ["--overrides", str(override), "--output-file", str(output)]
            for name in pins.keys() - moving:
                more += ["--exclude-newer-package", f"{name}={stamp(as_of)}"]
            fixed = [f"{name}=={pins[name]}" for name in sorted(staying)]
            doing = f"Commit {commit[:10]} has no stack around {base.tag}"
            compiled = resolving.compile_pins([project, "pymc", *requested, *fixed], date, doing, *more)
        return dict(_PIN.findall("\n".join(compiled)))

    try:
        solved = move(pins, solve)
    except MachineError:
        raise
    except BenchError as error:
        raise BenchError(
            f"{str(error).rstrip('.')}; another stack, in the configuration's `matrix`, may do."
        ) from error
    whole = Stack("", date, {**solved, project: version}, "")
    before = Stack("", base.date, {**pins, project: version}, "")
    header = [
        f"# commit: {commit}",
        f"# committed: {stamp(date)}",
        f"# project: {project} {version}",
        f"# stack: {base.tag}",
        f"# resolved as of: {stamp(as_of)}",
        f"# python: {environments.PYTHON}",
        f"# platform: {resolving.PLATFORM}",
        *(f"# moved: {line}" for line in str(diff(before, whole)).splitlines()),
    ]
    return "\n".join([*header, *(f"{name}=={pinned}" for name, pinned in sorted(solved.items())), _COMPLETE]) + "\n"


def move(pins: Mapping[str, str], solve: Solve) -> Mapping[str, str]:
    """Return the versions of all packages, such that no more of `pins` change than must.

    A package that keeps its version may be newer than the commit, one that moves may not: so what moves is asked for
    again as of the commit's day, until nothing else moves. Then each is put back that only followed others.
    """
    moving: frozenset[str] = frozenset()
    while True:
        solved = solve(moving, frozenset())
        now = moving | {name for name in solved if name in pins and solved[name] != pins[name]}
        if now == moving:
            break
        moving = now
    staying: frozenset[str] = frozenset()
    for name in sorted(moving):
        if solved.get(name, pins[name]) == pins[name]:
            continue
        try:
            other = solve(moving - staying - {name}, staying | {name})
        except MachineError:
            raise
        except BenchError:
            continue
        # Keeping one package is not worth moving another.
        if all(other[package] in (solved.get(package), pins.get(package)) for package in other):
            solved, staying = other, staying | {name}
    return solved


def _project(wheel: Path) -> tuple[str, str]:
    """Return the name and the version of a wheel."""
    name, version, _, _ = parse_wheel_filename(wheel.name)
    return str(name), str(version)


def _requirement(wheel: Path) -> str:
    """Return what asks for this wheel and no other."""
    return f"{_project(wheel)[0]} @ {wheel.as_uri()}"


def _built(commit: str) -> Path | None:
    """Return the wheel of a commit, if it was built."""
    for wheel in sorted((COMMITS / "wheels" / commit).glob("*.whl")):
        try:
            parse_wheel_filename(wheel.name)
        except InvalidWheelFilename:
            continue
        return wheel
    return None


def _lock(tag: str) -> Path:
    """Return where the lock of a commit's stack is kept."""
    return COMMITS / "stacks" / f"{tag}.txt"


def _read(path: Path) -> CommitStack | None:
    """Read the lock of a commit's stack; None if there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    header = dict(_HEADER.findall(text))
    try:
        if not text.endswith(f"{_COMPLETE}\n"):
            raise ValueError
        project, version = header["project"].split()
        packages = dict(_PIN.findall(text)) | {project: version}
        moved = tuple(line for key, line in _HEADER.findall(text) if key == "moved")
        date = datetime.fromisoformat(header["committed"])
        return CommitStack(path.stem, date, dict(sorted(packages.items())), text, path, header["commit"], moved)
    except (KeyError, ValueError) as error:
        raise BenchError(f"{path} is damaged: delete it, and it is solved again.") from error


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _git(path: Path, doing: str, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """Run Git in `path` and return what it prints."""
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(["git", *arguments], cwd=path, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["git gave no reason"])[-1]
        if "No space left on device" in done.stderr:
            raise MachineError(f"{doing}: the disk is full; free some space and try again.")
        if environments.NO_NETWORK.search(done.stderr):
            raise MachineError(f"{doing}: {reason}; check the network connection and try again.")
        raise BenchError(f"{doing}: {reason}")
    return done.stdout.strip()
