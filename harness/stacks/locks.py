"""Stacks: the pinned packages of each PyMC release, as a user got them on the day after its upload, and snapshots.

A snapshot is the newest PyMC with the newest of everything on a later day, so that a slower JAX is seen before the
next PyMC. A lock in `stacks/` is data: a few header lines and sorted pins. History is append-only, because every lock
is a commit of the timeline and commit hashes chain: results are kept by these hashes. Beside the locks,
`timeline.json` holds each stack's hash and `imports.json` which packages cannot be imported in it, and why.
This module must not know how a stack is resolved, what asv is, nor how a stack is measured.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from packaging.version import InvalidVersion, Version
from pydantic import TypeAdapter

from harness.errors import BenchError
from harness.paths import ROOT

STACKS = ROOT / "stacks"
WAIT = timedelta(days=1)
"""How long after its upload a release is resolved: for what it needs to have appeared, too."""
DECIDING = (
    "pymc", "pytensor", "numba", "llvmlite", "nutpie", "numpyro", "blackjax", "jax", "jaxlib", "arviz", "numpy",
    "scipy",
)  # fmt: skip
"""The packages that decide how a model is sampled."""
TAG = r"v\d+(\.\d+)*(\+\d{8})?"
"""What a stack may be called."""
_PIN = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)==(\S+)")


@dataclass(frozen=True)
class Stack:
    """The pinned packages of one measured environment.

    `tag` is its name in the timeline (v6.4.0; v6.4.0+20261123 for a snapshot of that day), `date` the upload of its
    PyMC, of a snapshot the moment that it was resolved as of (UTC), `packages` maps names to versions, `text` is the
    lock and `sha256` its digest; `path` is None for a lock that is not a file.
    """

    tag: str
    date: datetime
    packages: Mapping[str, str]
    text: str
    path: Path | None = None

    @property
    def sha256(self) -> str:
        """Return the digest of the lock's text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def version(self) -> str:
        """Return the version of PyMC."""
        return self.packages["pymc"]

    @property
    def is_snapshot(self) -> bool:
        """Return whether it is newer than its PyMC's own stack."""
        return "+" in self.tag

    @property
    def title(self) -> str:
        """Return what a reader calls it."""
        return self.tag

    @property
    def content(self) -> object:
        """Return what is the same in two stacks that need not both be measured."""
        return tuple(sorted(self.packages.items())), ()

    @property
    def from_files(self) -> str:
        """Return requirements for what is in it and on no index: nothing."""
        return ""

    @property
    def resolved_as_of(self) -> datetime:
        """Return the moment after which nothing in it was uploaded (UTC)."""
        return self.date if self.is_snapshot else self.date + WAIT


@dataclass(frozen=True)
class Difference:
    """What changed from one stack to another: names with the old and the new version."""

    changed: dict[str, tuple[str, str]]
    added: dict[str, str]
    removed: dict[str, str]

    def __str__(self) -> str:
        """One line per package: `jax 0.10.0 → 0.12.0`, `+ obstore 0.12.1`, `- toolz 1.0`."""
        lines = [f"{name} {old} → {new}" for name, (old, new) in self.changed.items()]
        lines += [f"+ {name} {version}" for name, version in self.added.items()]
        lines += [f"- {name} {version}" for name, version in self.removed.items()]
        return "\n".join(lines)


def parse(text: str, path: Path | None = None) -> Stack:
    """Read a lock.

    Raises:
        BenchError: it is damaged; the sentence names the file, the line and how to restore it.
    """
    name = f"stacks/{path.name}" if path else "the lock"
    repair = f"restore it with `git checkout -- {name}`." if path else "regenerate the timeline."

    def damaged(number: int, problem: str) -> BenchError:
        return BenchError(f"{name}, line {number}: {problem}; {repair}")

    header: dict[str, str] = {}
    packages: dict[str, str] = {}
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if line.startswith("#") and not packages:
            key, _, value = line.removeprefix("#").partition(":")
            header[key.strip()] = value.strip()
            continue
        pin = _PIN.fullmatch(line)
        if pin is None:
            raise damaged(number, f"{line!r} is not a pin like numpy==2.0.0")
        package, version = pin.groups()
        try:
            Version(version)
        except InvalidVersion:
            raise damaged(number, f"{version!r} is not a version") from None
        if packages and package <= next(reversed(packages)):
            raise damaged(number, f"{package} is repeated or out of order")
        packages[package] = version
    if not text.endswith("\n"):
        raise damaged(max(len(lines), 1), "the file is cut short")
    snapshot = header.get("snapshot")
    release = snapshot or header.get("release", "")
    if not packages.get("pymc") or release != f"pymc {packages['pymc']}":
        raise damaged(1, f"the release {release!r} in its header is not the PyMC that it pins")
    key = "resolved as of" if snapshot else "uploaded"
    try:
        date = datetime.strptime(header.get(key, ""), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise damaged(2, f"the time after {key!r} is missing or not like 2026-01-31T12:00:00Z") from None
    tag = f"v{packages['pymc']}" + (f"+{date:%Y%m%d}" if snapshot else "")
    if path is not None and path.name != f"{tag}.txt":
        raise damaged(1, f"it belongs in stacks/{tag}.txt")
    return Stack(tag, date, packages, text, path)


def load_stacks(folder: Path = STACKS) -> list[Stack]:
    """Return all stacks in order of date.

    Raises:
        BenchError: a lock is damaged, unreadable, or there is none.
    """
    found = []
    for path in folder.glob("v*.txt"):
        try:
            found.append(parse(path.read_text(encoding="utf-8"), path))
        except (OSError, UnicodeDecodeError) as error:
            raise BenchError(
                f"stacks/{path.name} cannot be read ({type(error).__name__}): "
                f"restore it with `git checkout -- stacks/{path.name}`."
            ) from error
    if not found:
        raise BenchError("There is no lock in stacks/: restore them with `git checkout -- stacks`.")
    return sorted(found, key=lambda stack: (stack.date, Version(stack.version)))


def of_releases(stacks: Sequence[Stack]) -> list[Stack]:
    """Return those that are no snapshots, in the same order."""
    return [stack for stack in stacks if not stack.is_snapshot]


def last_patches(stacks: Iterable[Stack]) -> list[Stack]:
    """The last patch release of each minor release, oldest first; no snapshots."""
    releases = of_releases(sorted(stacks, key=lambda s: s.date))
    newest = {tuple(stack.version.split(".")[:2]): stack for stack in releases}
    return sorted(newest.values(), key=lambda s: s.date)


def get_stack(name: str, folder: Path = STACKS) -> Stack:
    """Return the stack of a release, named `v6.4.0` or `6.4.0`.

    Raises:
        BenchError: there is none of that name.
    """
    stacks = load_stacks(folder)
    tag = name if name.startswith("v") else f"v{name}"
    for stack in stacks:
        if stack.tag == tag:
            return stack
    newest = ", ".join(stack.tag for stack in stacks[:-6:-1])
    raise BenchError(f"There is no stack {name!r}: the newest are {newest}; `bench stacks update` adds newer releases.")


def with_previous(name: str, folder: Path = STACKS) -> tuple[Stack, Stack]:
    """Return the stack before this one in the timeline, and this one.

    Raises:
        BenchError: there is no such stack, or none before it.
    """
    stack, every = get_stack(name, folder), load_stacks(folder)
    position = [s.tag for s in every].index(stack.tag)
    if position == 0:
        raise BenchError(f"{stack.tag} is the first stack: there is none before it to compare it with.")
    return every[position - 1], stack


def diff(old: Stack, new: Stack) -> Difference:
    """Return which packages changed from `old` to `new`, by name."""
    was, now = old.packages, new.packages
    return Difference(
        changed={name: (was[name], now[name]) for name in now if name in was and was[name] != now[name]},
        added={name: now[name] for name in now if name not in was},
        removed={name: was[name] for name in was if name not in now},
    )


def recorded_hashes(folder: Path = STACKS) -> dict[str, str]:
    """Return the commit hash on record for each tag, in order of date."""
    return _read_json(folder / "timeline.json", str)


def recorded_imports(folder: Path = STACKS) -> dict[str, dict[str, str]]:
    """Return what `imports.check_imports` found for each tag when it was locked, in order of date."""
    return _read_json(folder / "imports.json", dict[str, str])


def installs(stack: Stack) -> bool:
    """Whether it could be installed when it was locked."""
    return "install" not in recorded_imports().get(stack.tag, {})


def check_recorded(hashes: Mapping[str, str], folder: Path = STACKS) -> None:
    """Compare generated commit hashes, in order of date, with those on record.

    Raises:
        BenchError: a lock was changed, removed, or inserted before others.
    """
    recorded = recorded_hashes(folder)
    for tag in recorded:
        if tag not in hashes:
            raise BenchError(f"stacks/{tag}.txt is missing: restore it with `git checkout -- stacks/{tag}.txt`.")
    late = False
    for tag, commit in hashes.items():
        if tag not in recorded:
            late = True
        elif late or commit != recorded[tag]:
            culprit = tag if not late else next(tag for tag in hashes if tag not in recorded)
            raise BenchError(
                f"stacks/{culprit}.txt changes history, and results are kept by its commit hashes: "
                "undo the change with `git checkout -- stacks` and remove locks that do not belong there."
            )


def truncated(moment: datetime) -> datetime:
    """Return a moment in whole seconds, as locks and commits have it."""
    return moment.astimezone(UTC).replace(microsecond=0)


def stamp(moment: datetime) -> str:
    """Return a moment as 2026-01-31T12:00:00Z."""
    return truncated(moment).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read_json(path: Path, kind: type) -> dict:
    """Read one of the records beside the locks, a dictionary of such values; one that does not exist yet is empty."""
    try:
        return TypeAdapter(dict[str, kind]).validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BenchError(
            f"stacks/{path.name} cannot be read ({type(error).__name__}): "
            f"restore it with `git checkout -- stacks/{path.name}`."
        ) from error
