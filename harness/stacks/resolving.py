"""Resolves what a stack contains: what uv, as of a day, would have given a user who asked for these packages.

It must not know which stacks there are, nor how one is installed.
"""

from collections.abc import Sequence
from datetime import datetime

from harness.errors import BenchError, MachineError
from harness.stacks import environments
from harness.stacks.locks import WAIT, stamp
from harness.stacks.releases import Release
from harness.stacks.uv_command import run_uv

PLATFORM = "x86_64-manylinux_2_28"
# What a stack contains besides PyMC, as its users would ask for it.
REQUESTED = ("numba", "nutpie[pymc,pymc-jax]", "numpyro", "blackjax", "jax", "arviz")
# For days without a Numba that runs on Python 3.12: nutpie cannot do without Numba, the others can.
WITHOUT_NUMBA = ("numpyro", "blackjax", "jax", "arviz")
NO_NUMBA = "numba (no wheel for Python 3.12 yet), nutpie (needs numba)"
# Numba's source distributions get into a lock and then cannot be built.
ONLY_WHEELS = ("numba", "llvmlite")


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
    return lock_text(release.version, None if snapshot else release.uploaded, as_of, pins, without)


def lock_text(version: str, uploaded: datetime | None, as_of: datetime, pins: Sequence[str], without: str = "") -> str:
    """Return the text of a lock; of a snapshot when nothing is `uploaded`."""
    header = [f"# {'release' if uploaded else 'snapshot'}: pymc {version}"]
    if uploaded:
        header.append(f"# uploaded: {stamp(uploaded)}")
    header += [f"# resolved as of: {stamp(as_of)}", f"# python: {environments.PYTHON}", f"# platform: {PLATFORM}"]
    if without:
        header.append(f"# without: {without}")
    return "\n".join([*header, *pins]) + "\n"


def _compile(release: Release, as_of: datetime, requested: Sequence[str]) -> list[str]:
    """Return the pins that uv resolves for a release, of what was uploaded until a moment."""
    return compile_pins(
        [f"pymc=={release.version}", *requested],
        as_of,
        doing=f"PyMC {release.version} cannot be resolved",
    )


def compile_pins(
    requested: Sequence[str], as_of: datetime, doing: str, *more: str, prerelease: str = "disallow"
) -> list[str]:
    """Return the pins that uv resolves for a stack's Python and platform, sorted by name.

    Args:
        requested: requirements.
        as_of: nothing that was uploaded later is considered.
        doing: the beginning of the error's sentence.
        more: further arguments of `uv pip compile`.
        prerelease: which pre-releases are allowed, as uv calls it.

    Raises:
        BenchError: no network, or there is no solution.
    """
    arguments = ["pip", "compile", "-", "--no-annotate", "--no-header"]
    arguments += ["--python", str(environments.base_python()), "--python-version", environments.PYTHON]
    arguments += ["--python-platform", PLATFORM, "--prerelease", prerelease]
    arguments += ["--exclude-newer", stamp(as_of)]
    for package in ONLY_WHEELS:
        arguments += ["--only-binary", package]
    output = run_uv([*arguments, *more], doing=doing, stdin="\n".join(requested))
    return sorted(output.splitlines(), key=lambda pin: pin.partition("==")[0])
