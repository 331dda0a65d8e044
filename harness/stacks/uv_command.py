"""uv, which picks packages by what it is told and by nothing else; what went wrong is one sentence."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

import uv

from harness.errors import BenchError, MachineError, UnresolvableError

# Of the user's uv settings, those that say how packages travel; never those that say which packages.
_TRANSPORT = re.compile(
    r"UV_(DEFAULT_INDEX|INDEX|INDEX_.*|CACHE_DIR|LINK_MODE|OFFLINE|HTTP_.*|.*NATIVE_TLS|SYSTEM_CERTS"
    r"|INSECURE_HOST|KEYRING_PROVIDER|CONCURRENT_.*|REQUEST_TIMEOUT|NO_PROGRESS)"
)
NO_NETWORK = re.compile(
    r"error sending request|dns error|failed to lookup|tcp connect|connection (refused|reset)|timed out"
    r"|network (is )?unreachable|network (was|connectivity is) disabled|could not connect|client error \(connect\)"
    r"|http status server error|http status client error \((401|403|407|408|425|429)\b"
    r"|could not resolve host|failed to connect to",
    re.IGNORECASE,
)
_NO_SOLUTION = re.compile(r"no solution found", re.IGNORECASE)
# An index that has lost a whole package says nothing of versions.
_LOST = re.compile(r"not found in the package registry", re.IGNORECASE)
_FULL_DISK = re.compile(r"no space left on device|disk quota exceeded|os error 28\b", re.IGNORECASE)
_CAUSE = re.compile(r"^\s*(?:cause:|Caused by:|error:|├─▶|╰─▶|×)\s*", re.MULTILINE)
# What a compiler says of a line, or setuptools of the whole.
_OF_BUILD = re.compile(r"^\s*(\S+:\d+:(?:\d+:)? (?:fatal )?error: .+|error: (?!Failed to build).+)$", re.MULTILINE)
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt): \S")


def run_uv(arguments: Sequence[str], doing: str, stdin: str | None = None) -> str:
    """Run uv and return what it prints.

    Args:
        arguments: uv's command line.
        doing: the beginning of the error's sentence, such as "Stack v6.4.0 cannot be installed".
        stdin: what uv reads.

    Raises:
        MachineError: no network, an index that refuses, or a full disk.
        UnresolvableError: there is no solution.
        BenchError: uv failed otherwise; its own last line.
    """
    done = subprocess.run(
        [uv.find_uv_bin(), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=uv_environment(),
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    if _FULL_DISK.search(done.stderr):
        raise MachineError(f"{doing}: the disk is full; free some space and try again.")
    if NO_NETWORK.search(done.stderr):
        which = "the Git repository of a package" if "Git operation failed" in done.stderr else "the package index"
        raise MachineError(f"{doing}: {which} cannot be reached; check the network connection and try again.")
    does_not_go = _NO_SOLUTION.search(done.stderr) and not _LOST.search(done.stderr)
    raise (UnresolvableError if does_not_go else BenchError)(f"{doing}: {_reason(done.stderr)}")


def _reason(stderr: str) -> str:
    """Return the innermost cause that uv gives, on one line; of a build its package and what ended it."""
    told = [part.split("\n\n")[0] for part in _CAUSE.split(stderr)]
    exceptions = [line.strip() for line in stderr.splitlines() if _EXCEPTION.match(line.strip())]
    exceptions = exceptions or _OF_BUILD.findall(stderr)[:1]
    if "build backend returned an error" in stderr and exceptions:
        # The package, where uv names one and not a folder.
        built = re.search(r"Failed to build (`?\w[^/\s]*)", stderr)
        return f"Failed to build {built[1]}: {exceptions[-1]}" if built else exceptions[-1]
    return " ".join(told[-1].split()) or "uv gave no reason."


def uv_environment() -> dict[str, str]:
    """Return the environment for uv: the caller's, less what would change which packages it picks."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("UV_") or _TRANSPORT.fullmatch(name)
    }
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX"):
        kept.pop(name, None)
    # Whole lines: what uv says is looked into, and quoted.
    return kept | {"UV_NO_CONFIG": "1", "UV_NO_WRAP": "1", "UV_PYTHON_DOWNLOADS": "never"}
