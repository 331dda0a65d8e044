"""Stacks: the pinned packages of each PyMC release, as a user got them on the day after its upload, and snapshots.

A snapshot is the newest PyMC with the newest of everything on a later day, so that a slower JAX is seen before the
next PyMC. A lock in `stacks/` is data: a few header lines and sorted pins. History is append-only, because every lock
is a commit of the timeline and commit hashes chain: results are kept by these hashes. Beside the locks,
`timeline.json` holds each stack's hash and `imports.json` which packages cannot be imported in it, and why.
This module must not know what asv is, nor how a stack is measured.
"""

import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from packaging.version import InvalidVersion, Version
from pydantic import TypeAdapter

from harness import environments
from harness.errors import BenchError, MachineError
from harness.releases import Release, pymc_releases

STACKS = Path(__file__).resolve().parents[1] / "stacks"
PLATFORM = "x86_64-manylinux_2_28"
WAIT = timedelta(days=1)
# A snapshot is locked when no stack has been for so long, and one of these packages has another version since.
SNAPSHOT_AFTER = timedelta(days=7)
DECIDING = (
    "pymc", "pytensor", "numba", "llvmlite", "nutpie", "numpyro", "blackjax", "jax", "jaxlib", "arviz", "numpy",
    "scipy",
)  # fmt: skip
# What a stack contains besides PyMC, as its users would ask for it.
REQUESTED = ("numba", "nutpie[pymc,pymc-jax]", "numpyro", "blackjax", "jax", "arviz")
# For days without a Numba that runs on Python 3.12: nutpie cannot do without Numba, the others can.
WITHOUT_NUMBA = ("numpyro", "blackjax", "jax", "arviz")
NO_NUMBA = "numba (no wheel for Python 3.12 yet), nutpie (needs numba)"
# Numba's source distributions get into a lock and then cannot be built.
ONLY_WHEELS = ("numba", "llvmlite")
MODULES = ("pymc", "numba", "nutpie", "numpyro", "blackjax", "jax", "arviz", "pymc.sampling.jax")
IMPORT_TIMEOUT = 300.0  # seconds

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


def resolve(release: Release, snapshot: datetime | None = None) -> str:
    """Return the lock of a release: what an installer gave its users on the day after its upload, or at `snapshot`.

    Pre-releases are not allowed: uv would pick them to satisfy the others. Building from source is, since
    that is what users had to do, save for Numba. Where nothing satisfies Numba, it is left out with nutpie.

    Raises:
        BenchError: no network, or there is no solution without Numba either.
    """
    as_of = snapshot or release.uploaded + WAIT
    without = ""
    try:
        pins = _compile(release, as_of, REQUESTED)
    except MachineError:
        raise
    except BenchError as error:
        if "numba" not in str(error):
            raise
        pins = _compile(release, as_of, WITHOUT_NUMBA)
        without = NO_NUMBA
    header = [f"# {'snapshot' if snapshot else 'release'}: pymc {release.version}"]
    if not snapshot:
        header.append(f"# uploaded: {stamp(release.uploaded)}")
    header += [f"# resolved as of: {stamp(as_of)}", f"# python: {environments.PYTHON}", f"# platform: {PLATFORM}"]
    if without:
        header.append(f"# without: {without}")
    return "\n".join([*header, *pins]) + "\n"


def check_imports(stack: Stack) -> dict[str, str]:
    """Install a stack in a throw-away environment and import its packages, each in its own process.

    Returns:
        For each module that cannot be imported one line with the error and the versions involved; the key
        `install` alone when the stack cannot be installed. Empty when all is well.

    Raises:
        MachineError: it cannot be told, for want of a network or of space on the disk.
    """
    with tempfile.TemporaryDirectory(prefix="bench-imports-") as scratch:
        path = Path(scratch) / "environment"
        try:
            environments.install(path, stack)
        except MachineError:
            raise
        except BenchError as error:
            return {"install": str(error)}
        failures = {}
        for module in MODULES:
            if module.partition(".")[0] in stack.packages:
                reason = _import_failure(path, stack, module, Path(scratch))
                if reason:
                    failures[module] = reason
        return failures


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
        if _truncated(release.uploaded) <= newest:
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
    _write(path, text)
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
    if stacks and _truncated(release.uploaded) <= stacks[-1].date:
        raise BenchError(
            f"PyMC {release.version} is older than the newest stack, {stacks[-1].tag}: history can only be "
            "appended to, since a lock in between would change every later hash and orphan its results."
        )
    stack = parse(resolve(release), path)
    _write(path, stack.text)
    return stack


def record(stack: Stack, folder: Path = STACKS) -> dict[str, str]:
    """Put the newest stack on record: which of its modules cannot be imported, and its commit hash.

    Returns:
        What `check_imports` found.
    """
    # The timeline is built from stacks; only here and in verification do stacks look at the timeline.
    from harness import timeline

    failures = check_imports(stack)
    _write_json(folder / "imports.json", recorded_imports(folder) | {stack.tag: failures})
    upto = [other for other in load_stacks(folder) if other.date <= stack.date]
    hashes = timeline.hashes(upto)
    _write_json(folder / "timeline.json", recorded_hashes(folder) | {stack.tag: hashes[stack.tag]})
    return failures


def recorded_hashes(folder: Path = STACKS) -> dict[str, str]:
    """Return the commit hash on record for each tag, in order of date."""
    return _read_json(folder / "timeline.json", str)


def recorded_imports(folder: Path = STACKS) -> dict[str, dict[str, str]]:
    """Return what `check_imports` found for each tag when it was locked, in order of date."""
    return _read_json(folder / "imports.json", dict[str, str])


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


def _verify_recorded(stacks: Sequence[Stack], folder: Path) -> None:
    """Raise a `BenchError` unless the locks give the hashes on record."""
    from harness import timeline

    check_recorded(timeline.hashes(stacks) if stacks else {}, folder)


def _compile(release: Release, as_of: datetime, requested: Sequence[str]) -> list[str]:
    """Return the pins that uv resolves for a release, of what was uploaded until a moment."""
    return compile_pins(
        [f"pymc=={release.version}", *requested],
        as_of,
        doing=f"PyMC {release.version} cannot be resolved",
    )


def compile_pins(requested: Sequence[str], as_of: datetime, doing: str, *more: str) -> list[str]:
    """Return the pins that uv resolves for a stack's Python and platform, sorted by name.

    Args:
        requested: requirements.
        as_of: nothing that was uploaded later is considered.
        doing: the beginning of the error's sentence.
        more: further arguments of `uv pip compile`.

    Raises:
        BenchError: no network, or there is no solution.
    """
    arguments = ["pip", "compile", "-", "--no-annotate", "--no-header"]
    arguments += ["--python", str(environments.base_python()), "--python-version", environments.PYTHON]
    arguments += ["--python-platform", PLATFORM, "--prerelease", "disallow"]
    arguments += ["--exclude-newer", stamp(as_of)]
    for package in ONLY_WHEELS:
        arguments += ["--only-binary", package]
    output = environments.run_uv([*arguments, *more], doing=doing, stdin="\n".join(requested))
    return sorted(output.splitlines(), key=lambda pin: pin.partition("==")[0])


# Prints nothing when the import works, else the error's one line and the files of the traceback.
_IMPORT = """
import importlib, json, sys, traceback
try:
    importlib.import_module(sys.argv[1])
except BaseException as error:
    lines = traceback.format_exception_only(error)
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    print(json.dumps([" ".join(" ".join(lines).split()), files]))
"""


def _import_failure(path: Path, stack: Stack, module: str, scratch: Path) -> str | None:
    """Return why a module cannot be imported, with the versions involved, or None if it can."""
    with tempfile.TemporaryDirectory(prefix="home-", dir=scratch) as home:
        variables = environments.process_environment(stack) | {
            "HOME": home,
            "PYTHONPYCACHEPREFIX": str(scratch / "pycache"),
        }
        try:
            done = subprocess.run(
                [environments.python(path), "-c", _IMPORT, module],
                capture_output=True,
                text=True,
                env=variables,
                cwd=home,
                timeout=IMPORT_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"import did not end within {IMPORT_TIMEOUT:.0f} s"
    if done.returncode:
        return f"the process ended with status {done.returncode}"
    if not done.stdout.strip():
        return None
    error, files = json.loads(done.stdout.strip().splitlines()[-1])
    versions = ", ".join(f"{name} {stack.packages[name]}" for name in _involved(stack, module, error, files))
    return re.sub(r" \(/\S+\)$", "", error) + f" ({versions})"


def _involved(stack: Stack, module: str, error: str, files: Sequence[str]) -> list[str]:
    """Return the packages of a failed import: its own, the last of the traceback, those the error names."""
    parts = [file.partition("/site-packages/")[2].partition("/")[0] for file in files]
    last = [part.replace("_", "-").lower() for part in parts if part][-1:]
    named = [word.replace("_", "-").lower() for word in re.findall(r"\w+", error)]
    return [name for name in dict.fromkeys([module.partition(".")[0], *last, *named]) if name in stack.packages]


def _truncated(moment: datetime) -> datetime:
    """Return a moment in whole seconds, as locks and commits have it."""
    return moment.astimezone(UTC).replace(microsecond=0)


def stamp(moment: datetime) -> str:
    """Return a moment as 2026-01-31T12:00:00Z."""
    return _truncated(moment).strftime("%Y-%m-%dT%H:%M:%SZ")


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


def _write_json(path: Path, data: Mapping) -> None:
    """Write one of the records beside the locks."""
    _write(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(text, encoding="utf-8", newline="\n")
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise BenchError(
            f"{path} cannot be written ({error.strerror}): free some space or fix its permissions."
        ) from error
