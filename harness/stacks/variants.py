"""Variants: a release's stack with something put in, be it the build of a commit, a wheel, or another version.

What is put in takes the place of the package of its name. Of the others one moves only where the requirements of what
was put in demand it, and then never to a version newer than that. The lock says what moved; it is kept, so that a
variant is always measured with the same packages. This module must not know Git, asv, nor how a stack is measured.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from harness.errors import BenchError, MachineError, cannot_write
from harness.paths import CACHE
from harness.stacks import environments, resolving
from harness.stacks.locks import Stack, diff, stamp

BUILT = CACHE / "commits"
RECORDED = "stack.txt"  # beside the records of a variant
COMMIT, WHEEL, INDEX = "commit", "wheel", "index"

_HEADER = re.compile(r"^# ([a-z ]+): (.*)$", re.MULTILINE)
_PIN = re.compile(r"^([a-z0-9-]+)==(\S+)$", re.MULTILINE)
_PUT_IN = re.compile(r"([a-z0-9-]+) (\S+) (commit|wheel|index)(?: ([0-9a-f]{40}))?")
_EXTRAS = re.compile(r"^([a-z0-9-]+)(\[[^]]+\])==", re.MULTILINE)
_COMPLETE = "# complete"
_TOO_NEW = "was published after the exclude newer time"  # in uv's words
# Solves for a set of packages that may move and a set that must not; returns the versions of all.
Solve = Callable[[frozenset[str], frozenset[str]], Mapping[str, str]]


@dataclass(frozen=True)
class PutIn:
    """A package in the place of a stack's: a version that the index has, or a wheel that it has not.

    `digits`, 40 of them, are those of the commit that the wheel was built of, or else of the wheel's content.
    """

    name: str
    version: str
    kind: str
    digits: str = ""

    def __str__(self) -> str:
        """As a reader knows it: `pytensor 3.5.0`, `pytensor 3.5.0+8.g1a2b (wheel 3c4d5e6f70)`."""
        return f"{self.name} {self.version}" + (f" ({self.kind} {self.digits[:10]})" if self.digits else "")


@dataclass(frozen=True)
class Variant(Stack):
    """A stack with something put in: `tag` names it and its base, `date` is that of what was put in (UTC).

    `packages` and `sha256` count what was put in, but a wheel is not a pin of the lock: no index has it.
    """

    base: str = ""
    put_in: tuple[PutIn, ...] = ()
    moved: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What a reader calls it: `v6.4.0 with pytensor 3.5.0`."""
        return f"{self.base} with {' and '.join(map(str, self.put_in))}"

    @property
    def content(self) -> object:
        """The packages, and which wheels."""
        return tuple(sorted(self.packages.items())), tuple(p.digits for p in self.put_in if p.digits)

    @property
    def from_files(self) -> str:
        """Requirements for the wheels. Raises BenchError when one is gone."""
        return "".join(f"{_requirement(p)}\n" for p in self.put_in if p.digits)


def tag_of(put_in: Sequence[PutIn], base: str) -> str:
    """The name of a variant, such as 1a2b3c4d5e-v6.4.0: by the digits of what was put in, or of a list of several."""
    if len(put_in) == 1 and put_in[0].digits:
        return f"{put_in[0].digits[:10]}-{base}"
    return f"{hashlib.sha256(_told(put_in).encode()).hexdigest()[:10]}-{base}"


def kept(tag: str) -> Variant | None:
    """The variant of that name if it was made before, else None. Raises BenchError when its lock is damaged."""
    return read(_lock(tag))


def make(base: Stack, put_in: Sequence[PutIn], date: datetime, records: Path | None = None) -> Variant:
    """The variant, as it was made before, or else solved.

    Args:
        base: the stack that something is put into.
        put_in: what, by name.
        date: what moves for it is no newer.
        records: folders of records, one for each machine: a variant that was measured is not solved again.

    Raises:
        BenchError: nothing satisfies the requirements of what is put in.
    """
    put_in = sorted(put_in, key=lambda p: p.name)
    tag = tag_of(put_in, base.tag)
    path = _lock(tag)
    try:
        for recorded in () if path.exists() or records is None else sorted(records.glob(f"*/{tag}/{RECORDED}")):
            read(recorded)
            _write(path, recorded.read_text(encoding="utf-8"))
            break
        if not path.exists():
            _write(path, resolve(base, put_in, date))
    except OSError as error:
        raise cannot_write(BUILT, error) from error
    variant = read(path)
    assert variant is not None
    return variant


def resolve(base: Stack, put_in: Sequence[PutIn], date: datetime) -> str:
    """The lock of a variant.

    Raises:
        BenchError: no network, or nothing of that date satisfies the requirements of what is put in.
    """
    # A package that keeps its version may be of the base's day.
    as_of = max(date, base.resolved_as_of)
    of_index = [f"{p.name}=={p.version}" for p in put_in if not p.digits]
    early = "explicit" if any(Version(p.version).is_prerelease for p in put_in if not p.digits) else "disallow"
    versions = {p.name: p.version for p in put_in}
    pins = {name: pinned for name, pinned in base.packages.items() if name not in versions}
    requested = resolving.REQUESTED if "numba" in base.packages else resolving.WITHOUT_NUMBA
    doing = f"{' and '.join(map(str, put_in))} cannot be put into {base.tag} beside packages of {date:%Y-%m-%d}"
    extras = _extras(pins, requested, base.resolved_as_of, doing) if any(p.digits for p in put_in) else {}
    of_wheels = [_requirement(p, extras.get(p.name, "")) for p in put_in if p.digits]

    def solve(moving: frozenset[str], staying: frozenset[str]) -> dict[str, str]:
        with tempfile.TemporaryDirectory(prefix="bench-lock-") as scratch:
            # uv prefers the versions in the output file that it finds. The override says that these wheels are their
            # projects, whatever bounds others have: a development version may look older than it is.
            output, override = Path(scratch) / "lock.txt", Path(scratch) / "override.txt"
            output.write_text("".join(f"{name}=={pinned}\n" for name, pinned in pins.items()))
            override.write_text("".join(f"{line}\n" for line in of_wheels))
            more = ["--overrides", str(override), "--output-file", str(output)]
            for name in pins.keys() - moving:
                more += ["--exclude-newer-package", f"{name}={stamp(as_of)}"]
            fixed = [f"{name}=={pins[name]}" for name in sorted(staying)]
            wanted = [*versions, "pymc", *requested, *of_index, *fixed]
            compiled = resolving.compile_pins(wanted, date, doing, *more, prerelease=early)
        return dict(_PIN.findall("\n".join(compiled)))

    try:
        solved = move(pins, solve)
    except MachineError:
        raise
    except BenchError as error:
        # Of what uv concludes step by step, the last.
        first, *steps = str(error).rstrip(".").replace(_TOO_NEW, "is newer").split(". And because ")
        told = "; and because ".join(
            [first, *steps] if len(steps) < 3 else [f"{doing}: because {steps[-2]}", steps[-1]]
        )
        raise BenchError(f"{told}; another stack may do.") from error
    # The lock lies between the one and the other, and moves nothing that was put in.
    whole, before = Stack("", date, {**solved, **versions}, ""), Stack("", base.date, {**pins, **versions}, "")
    header = [
        f"# stack: {base.tag}",
        *(f"# put in: {line}" for line in _told(put_in).splitlines()),
        f"# dated: {stamp(date)}",
        f"# resolved as of: {stamp(as_of)}",
        f"# python: {environments.PYTHON}",
        f"# platform: {resolving.PLATFORM}",
        *(f"# moved: {line}" for line in str(diff(before, whole)).splitlines()),
    ]
    return "\n".join([*header, *(f"{name}=={pinned}" for name, pinned in sorted(solved.items())), _COMPLETE]) + "\n"


def move(pins: Mapping[str, str], solve: Solve) -> Mapping[str, str]:
    """Return the versions of all packages, such that no more of `pins` change than must.

    A package that keeps its version may be newer than what is put in, one that moves may not: so what moves is asked
    for again as of that day, until nothing else moves. Then each is put back that only followed others.
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


def _extras(pins: Mapping[str, str], requested: Sequence[str], as_of: datetime, doing: str) -> dict[str, str]:
    """The extras that are asked for in a stack of that moment, be it by its users or by another of its packages.

    nutpie's bounds on PyMC are those of `nutpie[pymc]`; without `arviz-stats[xarray]` ArviZ lacks a package.
    """
    wanted = [*requested, *(f"{name}=={version}" for name, version in pins.items())]
    compiled = resolving.compile_pins(wanted, as_of, doing, "--no-strip-extras")
    return dict(_EXTRAS.findall("\n".join(compiled)))


def folder_of(digits: str) -> Path:
    """Where the wheel with these digits is kept."""
    return BUILT / "wheels" / digits


def wheel_in(folder: Path) -> Path | None:
    """The wheel in a folder, if there is one."""
    for wheel in sorted(folder.glob("*.whl")):
        try:
            parse_wheel_filename(wheel.name)
        except InvalidWheelFilename:
            continue
        return wheel
    return None


def _requirement(put_in: PutIn, extras: str = "") -> str:
    """What asks for this wheel and no other, with these extras. Raises BenchError when it is gone."""
    wheel = wheel_in(folder_of(put_in.digits))
    if wheel is None:
        raise BenchError(f"The wheel of {put_in} is gone: run the same command again to build it.")
    return f"{put_in.name}{extras} @ {wheel.as_uri()}"


def read(path: Path) -> Variant | None:
    """Read the lock of a variant; None if there is none. Raises BenchError when it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    header = dict(_HEADER.findall(text))
    try:
        told = [_PUT_IN.fullmatch(line) for key, line in _HEADER.findall(text) if key == "put in"]
        if not text.endswith(f"{_COMPLETE}\n") or not told or None in told:
            raise ValueError
        put_in = tuple(PutIn(*(found or "" for found in match.groups())) for match in told if match)
        packages = dict(_PIN.findall(text)) | {p.name: p.version for p in put_in}
        moved = tuple(line for key, line in _HEADER.findall(text) if key == "moved")
        date = datetime.fromisoformat(header["dated"])
        return Variant(path.stem, date, dict(sorted(packages.items())), text, path, header["stack"], put_in, moved)
    except (KeyError, ValueError) as error:
        raise BenchError(f"{path} is damaged: delete it, and it is solved again.") from error


def _told(put_in: Sequence[PutIn]) -> str:
    return "\n".join(f"{p.name} {p.version} {p.kind} {p.digits}".rstrip() for p in put_in)


def _lock(tag: str) -> Path:
    """Where the lock of a variant is kept."""
    return BUILT / "stacks" / f"{tag}.txt"


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
