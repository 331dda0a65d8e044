"""What PyTensor calls the modes that compile with its linkers, in the stack of each PyMC release."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec

Version = tuple[int, ...]

LINKERS = ("c", "numba", "jax")


def pymc_version() -> Version:
    """The installed PyMC's version as numbers, e.g. (6, 4, 0)."""
    return numbers(metadata.version("pymc"))


def numbers(version: str) -> Version:
    """The first three parts of a version as numbers, as far as they are: (0, 16, 10) of "0.16.10.post1"."""
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def installed(linker: str) -> bool:
    """Whether the stack has what this linker of LINKERS compiles with."""
    return linker == "c" or find_spec(linker) is not None


def pytensor_mode(linker: str, version: Version) -> str:
    """The name of the mode that compiles with a linker of LINKERS, in the stack of this PyMC release."""
    # The C linker's mode has a name of its own since PyTensor 2.36; before, FAST_RUN is that mode.
    c_mode = "CVM" if version >= (5, 27) else "FAST_RUN"
    return {"c": c_mode, "numba": "NUMBA", "jax": "JAX"}[linker]
