"""The ten backends: what a user types to sample with each, in each release, and what it needs to be installed.

One entry of BACKENDS per backend. A difference between releases stands in that backend's function, next to
the release that made it necessary. It must not know the models, the clocks or the gate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata

from sampling.settings import Settings

Version = tuple[int, ...]

# Without as many XLA host devices as chains, NumPyro's "parallel" chains silently run one after another, and
# BlackJAX's, which PyMC always runs in parallel, do not run at all.
_FOUR_HOST_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}


class UnknownBackend(ValueError):
    """A backend's name that is not in the table."""


@dataclass(frozen=True)
class Backend:
    """One way of calling `pm.sample`.

    `call(settings, pymc_version)` gives the keyword arguments. `packages` are the distributions it needs beside
    PyMC. `mode` is the PyTensor mode in which this backend's graph is rewritten, None for the release's own.
    `compound_step` says that it can sample discrete variables too. `environment` is what must be set before the
    interpreter starts.
    """

    name: str
    call: Callable[[Settings, Version], dict]
    packages: tuple[str, ...] = ()
    mode: str | None = None
    compound_step: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def pymc_version() -> Version:
    """The installed PyMC's version as numbers, e.g. (6, 4, 0)."""
    return tuple(int(part) for part in metadata.version("pymc").split(".")[:3] if part.isdigit())


def _stated(settings: Settings) -> dict:
    return {
        "draws": settings.draws,
        "tune": settings.tune,
        "chains": settings.chains,
        "cores": settings.cores,
        "target_accept": settings.target_accept,
        **_unstated(settings),
    }


def _unstated(settings: Settings) -> dict:
    # A progress bar's cost depends on where it is drawn; the seed makes two trials the same work.
    return {"random_seed": settings.seed, "progressbar": False}


def _default(settings: Settings, version: Version) -> dict:
    return _unstated(settings)


def _pymc(mode: str) -> Callable[[Settings, Version], dict]:
    def call(settings: Settings, version: Version) -> dict:
        return {**_stated(settings), "nuts_sampler": "pymc", "compile_kwargs": {"mode": mode}}

    return call


def _nutpie(**options: str) -> Callable[[Settings, Version], dict]:
    def call(settings: Settings, version: Version) -> dict:
        return {
            **_stated(settings),
            "nuts_sampler": "nutpie",
            "nuts_sampler_kwargs": dict(options),
            # Its default differs between nutpie's own backends; unstated, they would compile different graphs.
            "compile_kwargs": {"freeze_model": True},
        }

    return call


def _numpyro(chain_method: str) -> Callable[[Settings, Version], dict]:
    def call(settings: Settings, version: Version) -> dict:
        return {
            **_stated(settings),
            "nuts_sampler": "numpyro",
            "nuts_sampler_kwargs": {"chain_method": chain_method},
        }

    return call


def _blackjax(settings: Settings, version: Version) -> dict:
    return {**_stated(settings), "nuts_sampler": "blackjax"}


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend("default", _default, compound_step=True),
        Backend("pymc-c", _pymc("CVM"), mode="CVM", compound_step=True),
        Backend("pymc-numba", _pymc("NUMBA"), ("numba",), mode="NUMBA", compound_step=True),
        Backend("pymc-jax", _pymc("JAX"), ("jax",), mode="JAX", compound_step=True),
        Backend("nutpie-numba", _nutpie(backend="numba"), ("nutpie", "numba"), mode="NUMBA"),
        Backend("nutpie-jax", _nutpie(backend="jax"), ("nutpie", "jax"), mode="JAX"),
        Backend(
            "nutpie-jax-pytensor",
            _nutpie(backend="jax", gradient_backend="pytensor"),
            ("nutpie", "jax"),
            mode="JAX",
        ),
        Backend(
            "numpyro-parallel",
            _numpyro("parallel"),
            ("numpyro", "jax"),
            mode="JAX",
            environment=_FOUR_HOST_DEVICES,
        ),
        Backend("numpyro-vectorized", _numpyro("vectorized"), ("numpyro", "jax"), mode="JAX"),
        Backend(
            "blackjax",
            _blackjax,
            ("blackjax", "jax"),
            mode="JAX",
            environment=_FOUR_HOST_DEVICES,
        ),
    )
}


def load(name: str) -> Backend:
    """The backend of that name. Raises UnknownBackend, in one sentence that lists the known ones."""
    if name not in BACKENDS:
        raise UnknownBackend(f"There is no backend {name!r}; the backends are {', '.join(BACKENDS)}.")
    return BACKENDS[name]


def why_unsupported(backend: Backend, discrete_model: bool) -> str | None:
    """Why this backend cannot sample here (no such package in the stack, or a discrete model), or None."""
    if discrete_model and not backend.compound_step:
        return f"{backend.name} samples continuous variables only; the model has discrete ones"
    for package in backend.packages:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            return f"this stack has no {package}"
    return None
