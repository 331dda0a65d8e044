"""Where a record comes from: packages, machine, threads, device. Nothing here names a person, a host or a path."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "PJRT_NPROC")
_BLAS_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "XLA_FLAGS", "PYTENSOR_FLAGS")


def cpu_model() -> str:
    """The processor's name as the kernel gives it, or the architecture where it gives none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def packages() -> dict[str, str]:
    """Every distribution installed in this environment, name (lower case, hyphens) to version."""
    # setuptools, once imported, puts packages of its own on the path: only what is installed counts.
    installed = metadata.distributions(path=[sysconfig.get_path("purelib")])
    found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in installed}
    return dict(sorted(found.items()))


def versions(names: Iterable[str]) -> str:
    """The installed ones of these distributions, each once: "pymc 6.4.0, jax 0.12.0"."""
    found = []
    for name in dict.fromkeys(names):
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found)


def blas() -> list[dict[str, str]]:
    """The BLAS and OpenMP libraries loaded right now, as threadpoolctl (in every stack since PyMC 5.12) sees them."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    keys = ("user_api", "internal_api", "version", "num_threads", "architecture")
    return [{k: str(pool[k]) for k in keys if pool.get(k) is not None} for pool in threadpool_info()]


def device() -> str:
    """Where JAX computes: "cpu", or "gpu (its name)"; "cpu" when this process never loaded JAX."""
    # ArviZ 1.x puts a placeholder for JAX into sys.modules, which would load all of it to answer.
    if "jaxlib" not in sys.modules:
        return "cpu"
    first = sys.modules["jax"].devices()[0]
    return first.platform if first.platform == "cpu" else f"{first.platform} ({first.device_kind})"


def provenance() -> dict:
    """The facts about this process's environment and machine that a number may depend on."""
    return {
        "stack": os.environ.get("BENCH_STACK"),
        "lock_sha256": os.environ.get("BENCH_LOCK_SHA256"),
        "suite_commit": os.environ.get("BENCH_SUITE_COMMIT"),
        "machine": os.environ.get("BENCH_MACHINE"),
        "python": platform.python_version(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu_model": cpu_model(),
        "cpu_count": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "environment": {k: os.environ[k] for k in _THREAD_VARIABLES + _BLAS_VARIABLES if k in os.environ},
        "blas": blas(),
        "device": device(),
        "packages": packages(),
    }
