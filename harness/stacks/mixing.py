"""Stacks that nobody had: as of a moment between two, and one of two with some packages of the other.

Each is resolved by uv, as a user's would be: what does not go together by what packages say of each other has no such
stack. It must not know what is measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from packaging.version import InvalidVersion, Version

from harness.errors import BenchError, MachineError
from harness.stacks.locks import DECIDING, Difference, Stack, diff, parse, truncated
from harness.stacks.releases import project_files
from harness.stacks.resolving import NO_NUMBA, REQUESTED, WITHOUT_NUMBA, compile_pins, lock_text

_REQUESTS_AT_ONCE = 8
# What is on the index for a minute or two is uploaded whole.
_UPLOADED = timedelta(minutes=5)


def moments(old: Stack, new: Stack) -> tuple[list[datetime], list[str]]:
    """The moments, in order, after which users could get another version of a package that changed between two stacks;
    and a sentence for each package of which the index does not tell.

    Raises MachineError when the index cannot be asked at all.
    """
    from pypi_simple import NoSuchProjectError, UnsupportedContentTypeError, UnsupportedRepoVersionError
    from requests import RequestException

    difference = diff(old, new)
    names = sorted({*difference.changed, *difference.added})

    def uploads(name: str) -> list[datetime]:
        first: dict[Version, datetime] = {}
        for file in project_files(name):
            try:
                version = Version(file.version or "")
            except InvalidVersion:
                continue
            if not version.is_prerelease and not file.is_yanked and file.upload_time is not None:
                first[version] = min(first.get(version, file.upload_time), file.upload_time)
        if Version(new.packages[name]) not in first:
            raise ValueError("it does not have the newer version any more")
        return list(first.values())

    found, untold = set(), []
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
        for name, asked in [(name, pool.submit(uploads, name)) for name in names]:
            try:
                found |= {truncated(moment + _UPLOADED) for moment in asked.result()}
            except RequestException as error:
                raise MachineError(
                    f"The versions of {name} cannot be read from the package index ({type(error).__name__}): check the "
                    "network connection and run the same command again, which goes on from there."
                ) from error
            except (NoSuchProjectError, UnsupportedContentTypeError, UnsupportedRepoVersionError, ValueError) as error:
                untold.append(
                    f"the index does not tell of {name} {new.packages[name]} ({error or type(error).__name__})"
                )
    return sorted(m for m in found if old.resolved_as_of < m < new.resolved_as_of), untold


def as_of(moment: datetime) -> Stack:
    """The stack that users got at a moment. Raises BenchError when nothing resolves, MachineError for no network."""
    doing, without = f"What users got on {moment:%Y-%m-%d at %H:%M} cannot be resolved", ""
    try:
        pins = compile_pins(["pymc", *REQUESTED], moment, doing)
    except MachineError:
        raise
    except BenchError as error:
        if "numba" not in str(error):
            raise
        pins, without = compile_pins(["pymc", *WITHOUT_NUMBA], moment, doing), NO_NUMBA
    return _snapshot(pins, moment, without)


def mixed(base: Stack, other: Stack, names: Iterable[str]) -> Stack:
    """`base` with these packages as `other` has them: its version, or none. What the version needs besides is added.

    Raises BenchError when they do not go together, MachineError for no network.
    """
    names = set(names)
    packages = {name: (other if name in names else base).packages.get(name) for name in base.packages.keys() | names}
    moment = max(base.resolved_as_of, other.resolved_as_of)
    wanted = [f"{name}=={version}" for name, version in sorted(packages.items()) if version]
    told = ", ".join(sorted(names))
    return _snapshot(compile_pins(wanted, moment, f"A stack with the other {told} cannot be resolved"), moment)


def by_suspicion(difference: Difference, suspects: Iterable[str] = ()) -> list[str]:
    """What changed, the likeliest first: what errors name, then what decides how a model is sampled, PyMC beside
    PyTensor since each asks for the other; then the rest by name."""
    names = {*difference.changed, *difference.added, *difference.removed}
    order = [*suspects, "pytensor", "pymc", *DECIDING]
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def _snapshot(pins: list[str], moment: datetime, without: str = "") -> Stack:
    versions = dict(pin.split("==", 1) for pin in pins)
    if "pymc" not in versions:
        raise BenchError("A stack without PyMC measures nothing.")
    return parse(lock_text(versions["pymc"], None, moment, pins, without))
