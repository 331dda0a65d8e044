"""Whether the packages of a stack can be imported, and why not: each in a process of its own, in a fresh environment.

It must not know where a stack comes from.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.errors import BenchError, MachineError
from harness.stacks import environments
from harness.stacks.locks import Stack

MODULES = ("pymc", "numba", "nutpie", "numpyro", "blackjax", "jax", "arviz", "pymc.sampling.jax")
IMPORT_TIMEOUT = 300.0  # seconds


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
        # Else each module would be compiled by the first that imports it, and by nobody ever after.
        environments.place_bytecode(path, stack, Path(scratch) / "pycache")
        failures = {}
        for module in MODULES:
            if module.partition(".")[0] in stack.packages:
                reason = _import_failure(path, stack, module, Path(scratch))
                if reason:
                    failures[module] = reason
        return failures


# Prints nothing when the import works, else the error's one line and the files of the traceback. What a package prints
# itself is none of it.
_IMPORT = """
import importlib, json, os, sys, traceback
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
try:
    importlib.import_module(sys.argv[1])
except BaseException as error:
    lines = traceback.format_exception_only(error)
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    print(json.dumps([" ".join(" ".join(lines).split()), files]), file=out, flush=True)
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
