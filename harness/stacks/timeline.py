"""The timeline: a generated Git repository, one commit per stack, that asv walks as if it were the project.

It is made from the locks alone, so the same locks give the same commit hashes on every machine, whatever
its Git is configured to do. Each commit holds one file, `requirements.txt`: the lock. This module must not
know how stacks are resolved or installed.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from harness.errors import BenchError
from harness.paths import CACHE
from harness.stacks.locks import STACKS, Stack, check_recorded, diff, load_stacks, parse

TIMELINE = CACHE / "timeline"
BRANCH = "main"
FILE = "requirements.txt"
AUTHOR = "PyMC sampling benchmarks <noreply@example.invalid>"
MARKER = "stacks.sha256"  # inside .git, so that the working tree holds the lock and nothing else


def ensure_timeline(folder: Path = STACKS, path: Path = TIMELINE) -> Path:
    """Generate the timeline from the locks in `folder`, unless it is current, and return its path.

    Any number of processes may do so at once; none sees half a repository.

    Raises:
        BenchError: no Git, a damaged lock, changed history, or `path` cannot be written.
    """
    _git_program()  # whoever reads the timeline needs it as well
    stacks = load_stacks(folder)
    inputs = _digest(stacks, folder)
    if _marker(path) == inputs:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock")):
            if _marker(path) == inputs:
                return path
            with tempfile.TemporaryDirectory(prefix=f"{path.name}-", dir=path.parent) as scratch:
                fresh = Path(scratch) / "fresh"
                check_recorded(build(stacks, fresh), folder)
                (fresh / ".git" / MARKER).write_text(inputs)
                if path.exists():
                    path.rename(Path(scratch) / "old")
                fresh.rename(path)
    except OSError as error:
        raise BenchError(
            f"{path} cannot be written ({error.strerror}): free some space or fix its permissions."
        ) from error
    return path


def hashes(stacks: Sequence[Stack]) -> dict[str, str]:
    """Return the commit hash of each tag, for stacks in order of date.

    Raises:
        BenchError: no Git.
    """
    with tempfile.TemporaryDirectory(prefix="bench-timeline-") as scratch:
        return build(stacks, Path(scratch) / "timeline")


def build(stacks: Sequence[Stack], path: Path) -> dict[str, str]:
    """Make the repository of some stacks, in order of date, at a path that does not exist yet.

    Returns:
        The commit hash of each tag, in the same order.

    Raises:
        BenchError: no Git, or it failed.
    """
    path.mkdir(parents=True)
    _git(path, "init", "--quiet", "--template=", "--object-format=sha1")
    _git(path, "symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
    _git(path, "fast-import", "--quiet", stdin=_stream(stacks))
    _git(path, "reset", "--quiet", "--hard")
    listed = _git(path, "for-each-ref", "--format=%(refname:strip=2) %(objectname)", "refs/tags")
    commits = dict(line.split() for line in listed.splitlines())
    return {stack.tag: commits[stack.tag] for stack in stacks}


def lock_at(commit: str, path: Path = TIMELINE) -> Stack:
    """Return the stack of a commit (or tag) of the timeline.

    Raises:
        BenchError: no Git, or the timeline has no such commit.
    """
    if not path.is_dir():
        raise BenchError(f"There is no timeline at {path}: any `asv` command generates it.")
    try:
        text = _git(path, "show", f"{commit}:{FILE}")
    except BenchError as error:
        raise BenchError(f"The timeline has no commit {commit!r}: `git -C {path} log` lists those it has.") from error
    return parse(text)


def _stream(stacks: Sequence[Stack]) -> bytes:
    """Return the history as input of `git fast-import`."""
    parts = [b"feature done\n"]
    previous: Stack | None = None
    for stack in stacks:
        who = f"{AUTHOR} {int(stack.date.timestamp())} +0000"
        parts += [
            f"commit refs/heads/{BRANCH}\nmark :1\nauthor {who}\ncommitter {who}\n".encode(),
            _data(_message(stack, previous)),
            f"M 100644 inline {FILE}\n".encode(),
            _data(stack.text),
            f"reset refs/tags/{stack.tag}\nfrom :1\n\n".encode(),
        ]
        previous = stack
    return b"".join([*parts, b"done\n"])


def _data(text: str) -> bytes:
    """Return a text as a data block of `git fast-import`."""
    content = text.encode()
    return f"data {len(content)}\n".encode() + content + b"\n"


def _message(stack: Stack, previous: Stack | None) -> str:
    """Return a commit message: the release, then what changed in the stack besides it."""
    title = f"pymc {stack.tag[1:]}\n"
    if previous is None:
        return title
    change = diff(previous, stack)
    lines = [f"{name} {old} -> {new}" for name, (old, new) in change.changed.items() if name != "pymc"]
    lines += [f"{name} {version} added" for name, version in change.added.items()]
    lines += [f"{name} {version} removed" for name, version in change.removed.items()]
    return "\n".join([title, *sorted(lines)]) + "\n" if lines else title


def _git(path: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """Run Git in `path`, deaf to the user's configuration and environment, and return its output."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(path),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_DIR": str(path / ".git"),
        "GIT_WORK_TREE": str(path),
    }
    try:
        done = subprocess.run(
            [_git_program(), *arguments], cwd=path, env=environment, input=stdin, capture_output=True, check=False
        )
    except OSError as error:
        raise BenchError(f"`git` cannot be run ({error.strerror}): reinstall Git.") from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise BenchError(f"The timeline cannot be generated, `git {arguments[0]}` failed: {lines[-1]}")
    return done.stdout.decode()


def _git_program() -> str:
    """Return where Git is."""
    program = shutil.which("git")
    if program is None:
        raise BenchError("There is no `git` on PATH, and asv needs it to walk the stacks: install Git.")
    return program


def _digest(stacks: Sequence[Stack], folder: Path) -> str:
    """Return the digest of all that the timeline depends on, this file included."""
    inputs = hashlib.sha256(Path(__file__).read_bytes())
    for stack in stacks:
        inputs.update(f"{stack.tag} {stack.sha256}\n".encode())
    recorded = folder / "timeline.json"
    if recorded.exists():
        inputs.update(recorded.read_bytes())
    return inputs.hexdigest()


def _marker(path: Path) -> str | None:
    """Return the digest that the timeline at `path` was generated from, or None."""
    try:
        return (path / ".git" / MARKER).read_text()
    except OSError:
        return None
