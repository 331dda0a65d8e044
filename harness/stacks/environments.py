"""Measured environments: a Python 3.12 with exactly one stack's packages, made by uv in about a second.

An environment holds the pins of a lock and what asv itself needs in it (`asv_requirements.txt`), and no pip.
It is always made anew: emptying a directory and linking the files of uv's cache into it is faster than
uninstalling, and leaves nothing of the stack before. This module must not know releases, benchmarks or asv.
"""

import base64
import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import uv
from filelock import FileLock

from harness.errors import BenchError, MachineError, cannot_write
from harness.paths import CACHE
from harness.stacks.locks import Stack
from harness.stacks.uv_command import run_uv, uv_environment

ASV_REQUIREMENTS = Path(__file__).with_name("asv_requirements.txt")
BYTECODE = Path(__file__).with_name("bytecode.py")
PYTHON = "3.12"
ACCELERATORS = ("cuda12", "cuda13")
MARKER = "stack.sha256"

_AS_OF = re.compile(r"^# resolved as of: (\S+)$", re.MULTILINE)
_ASV_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==", re.MULTILINE)


def python(path: Path) -> Path:
    """Return the interpreter of the environment at `path`."""
    return path / "bin" / "python"


def base_python() -> Path:
    """Return a Python 3.12 outside any environment.

    Raises:
        BenchError: there is none.
    """
    if sys.version_info[:2] == (3, 12):
        own = Path(sys.base_prefix) / "bin" / "python3.12"
        if own.is_file():
            return own
    found = subprocess.run(
        [uv.find_uv_bin(), "python", "find", "--system", PYTHON],
        capture_output=True,
        text=True,
        env=uv_environment(),
        check=False,
    )
    if found.returncode == 0:
        return Path(found.stdout.strip())
    raise BenchError("There is no Python 3.12 to build environments with: install one and put it on PATH.")


def create(path: Path) -> None:
    """Make an environment without any package at `path`, in place of whatever is there.

    Raises:
        BenchError: there is no Python 3.12, or it cannot be written.
    """
    try:
        remove(path)
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    run_uv(
        ["venv", "--quiet", "--no-project", "--python", str(base_python()), str(path)],
        doing=f"The environment {path.name} cannot be created",
    )


def sync(path: Path, lock: str | Path, *extra: Path, label: str | None = None) -> None:
    """Make the environment at `path` hold exactly the packages of `lock` and of the `extra` files.

    What has to be built from source is built with the tools of the lock's day, as users did then.

    Args:
        path: an environment made by `create`.
        lock: a lock, as its text or its file.
        extra: requirement files with exact pins, for instance `ASV_REQUIREMENTS`; any date will do.
        label: what error messages call this stack; by default the name of the lock or of the folder.

    Raises:
        BenchError: a package cannot be fetched, built or written.
    """
    text = lock.read_text() if isinstance(lock, Path) else lock
    label = label or (lock.stem if isinstance(lock, Path) else path.name)
    arguments = ["pip", "sync", "--quiet", "--python", str(python(path))]
    as_of = _AS_OF.search(text)
    if as_of:
        arguments += ["--exclude-newer", as_of.group(1)]
        for name in (name for file in extra for name in _ASV_PIN.findall(file.read_text())):
            arguments += ["--exclude-newer-package", f"{name}=false"]
    with tempfile.TemporaryDirectory(prefix="bench-lock-") as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(text)
        arguments += [str(requirements), *(str(file) for file in extra)]
        doing = f"Stack {label} cannot be installed"
        if "UV_INDEX" not in os.environ:
            # A cached stack needs no network, nor the time to ask an index what it already told. Without a network, an
            # index of the user's own would be left out, and its packages taken from where else they were cached from.
            with suppress(BenchError):
                run_uv([*arguments, "--offline"], doing)
                return
        run_uv(arguments, doing)


def install(path: Path, stack: Stack) -> None:
    """Make `path` a complete environment of `stack` and of what asv needs, or leave nothing there that passes for one.

    Raises:
        BenchError: as `create` and `sync`.
    """
    was_this_one = _noted(path)[:1] == [digest(stack)]
    create(path)
    sync(path, stack.text + stack.from_files, ASV_REQUIREMENTS, label=stack.tag)
    if was_this_one:
        # So that the next run checks it as well, if this one finds that it is damaged.
        (path / MARKER).write_text(f"{digest(stack)} unchecked\n")
        _check_files(path, stack)
    if accelerator() and "jax" in stack.packages:
        run_uv(
            ["pip", "install", "--quiet", "--python", str(python(path)), *accelerated_jax(stack)],
            doing=f"The {accelerator()} plugin of JAX for stack {stack.tag} cannot be installed",
            stdin=stack.text,
        )
    _mark(path, stack)


def _mark(path: Path, stack: Stack) -> None:
    """Note that the environment is complete as it is."""
    try:
        (path / MARKER).write_text(f"{digest(stack)} {_inventory(path / 'lib')}\n")
    except OSError as error:
        raise cannot_write(path, error) from error


def accelerator() -> str:
    """Return which accelerator JAX shall have beside the CPU: BENCH_JAX, one of `ACCELERATORS`, or "" for none.

    Raises:
        BenchError: BENCH_JAX names another.
    """
    name = os.environ.get("BENCH_JAX", "")
    if name and name not in ACCELERATORS:
        raise BenchError(f"BENCH_JAX is {name!r}: set it to {' or '.join(ACCELERATORS)}, or unset it for the CPU.")
    return name


def accelerated_jax(stack: Stack) -> list[str]:
    """Return what uv is asked for so that the stack's own JAX gets a GPU; the lock, on stdin, holds all else fixed."""
    return [f"jax[{accelerator()}]=={stack.packages['jax']}", "--constraints", "-"]


def holds(path: Path, stack: Stack) -> bool:
    """Return whether the environment at `path` is the one of `stack`, with every file as it was installed."""
    try:
        whole = python(path).exists() and (path / "pyvenv.cfg").is_file()
        return whole and _noted(path) == [digest(stack), _inventory(path / "lib")]
    except OSError:
        return False


def _noted(path: Path) -> list[str]:
    """Return what the marker of an environment says: the digest of its stack, and its inventory."""
    try:
        return (path / MARKER).read_text().split()
    except OSError:
        return []


def _check_files(path: Path, stack: Stack) -> None:
    """Check each file of an environment against its package's own list; takes a second or two.

    uv links files from its cache: what was written into one of an environment is damaged in all, and in the next.

    Raises:
        MachineError: a file is another than its package has.
    """
    for listed in path.glob("lib/python*/site-packages/*.dist-info/RECORD"):
        for name, digest_of, _ in csv.reader(listed.read_text().splitlines()):
            kind, _, wanted = digest_of.partition("=")
            file = listed.parent.parent / name
            if kind == "sha256" and not name.startswith(".."):
                found = hashlib.sha256(file.read_bytes()).digest() if file.is_file() else b""
                if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != wanted:
                    package = listed.parent.name.partition("-")[0]
                    raise MachineError(
                        f"{name} of stack {stack.tag} is damaged, in uv's cache as well: run `uv cache clean {package}`"
                        " and the same command again."
                    )


def _inventory(folder: Path, ending: str = "") -> str:
    """Return a digest of which files are below a folder, how long, and of which second: 0.04 s for a stack.

    Packages' tests are left out, and the byte code of whoever used an environment without `process_environment`.
    """
    files = hashlib.sha256()
    for here, below, names in os.walk(folder):
        below[:] = sorted(set(below) - {"test", "tests", "__pycache__"})
        for name in sorted(name for name in names if name.endswith(ending)):
            path = os.path.join(here, name)  # noqa: PTH118 (half the time, for ten thousand files)
            status = os.lstat(path)
            files.update(f"{path[len(str(folder)) :]}\0{status.st_size}\0{int(status.st_mtime)}\0".encode())
    return files.hexdigest()


def path_of(stack: Stack, copy: str = "") -> Path:
    """Return where the environment of `stack` is: `.asv/stacks/<tag>---<digest>/`.

    Such paths have one length: what is longer lies elsewhere in memory, and may be faster or slower (docs/method.md).
    """
    return CACHE / "stacks" / f"{stack.tag[:15]:-<15}-{copy or digest(stack)[:8]}"


def stack_environment(stack: Stack, copy: str = "", modules: Mapping[str, str] = {}) -> Path:
    """Return the environment of `stack`, built when needed.

    A `copy`, by a name in place of the digest, is built by itself, with `modules` in its `site-packages` besides. Any
    number of processes may ask at once: one builds and the others wait for it.

    Raises BenchError as `install`.
    """
    path = path_of(stack, copy)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock")):
            if not holds(path, stack):
                install(path, stack)
                (path / MARKER).unlink()
                for name, text in modules.items():
                    (path / f"lib/python{PYTHON}/site-packages" / name).write_text(text)
                _mark(path, stack)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def process_environment(stack: Stack, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment variables for whatever runs in an environment of `stack`.

    They are those of `base`, without the ones that would let other packages in, and with byte code kept in a
    folder that survives a switch to another stack and back: uv does not compile, and no import should have to
    do it twice (see also `compile_bytecode`).
    """
    variables = {
        name: value
        for name, value in base.items()
        if name not in {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    }
    return variables | {"PYTHONPYCACHEPREFIX": str(bytecode_of(stack))}


def bytecode_of(stack: Stack) -> Path:
    """Return where the byte code of a stack's packages is kept."""
    return CACHE / "pycache" / stack.sha256[:8]


def compile_bytecode(path: Path, stack: Stack) -> None:
    """Put the byte code of the environment's modules, but for packages' tests, where the stack's is kept.

    Without it the first process that imports a module compiles it, which is a part of what that process measures. So it
    is done again when a file is not as it was left. Any number of processes may ask at once: one compiles and the
    others wait for it.

    Raises:
        MachineError: it cannot be written.
    """
    kept, modules = bytecode_of(stack), path.resolve() / "lib"
    marker = kept / f"{hashlib.sha256(bytes(path.resolve())).hexdigest()[:8]}.complete"

    def state() -> str:
        return f"{_inventory(modules, '.py')} {_inventory(kept / modules.relative_to('/'))}\n"

    try:
        if not marker.is_file() or marker.read_text() != state():
            place_bytecode(path, stack, kept)
            marker.write_text(state())
    except OSError as error:
        raise cannot_write(marker, error) from error


def place_bytecode(path: Path, stack: Stack, prefix: Path) -> None:
    """Put the byte code of the environment's modules below `prefix`, where a Python that is told so looks for it.

    Takes ten to twenty seconds for the first stack, and a second or two for what another one has had (`bytecode.py`).

    Raises:
        MachineError: it cannot be written.
    """
    store = CACHE / "bytecode"
    try:
        store.mkdir(parents=True, exist_ok=True)
        with FileLock(store / "lock"):
            for half_written in store.glob("*/*/*.*"):
                half_written.unlink()
            done = subprocess.run(
                [python(path), "-P", BYTECODE, path / "lib", store],
                env=process_environment(stack) | {"PYTHONPYCACHEPREFIX": str(prefix)},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        prefix.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(store, error) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise MachineError(
            f"The byte code of {stack.tag} cannot be written ({said}): free some space or fix the permissions of "
            f"{CACHE}, and try again."
        )


def digest(stack: Stack) -> str:
    """Return the digest of all that an environment of `stack` holds: its lock, asv's own needs, an accelerator."""
    parts = (stack.text.encode(), ASV_REQUIREMENTS.read_bytes(), accelerator().encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def remove(path: Path) -> None:
    """Delete an environment; its marker goes first, so that half of one is never taken for a whole."""
    (path / MARKER).unlink(missing_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
