"""The ten backends: what a user types to sample with each, in each release, and what it needs to be installed.

One entry of BACKENDS per backend. A difference between releases stands in that backend's function, next to
the release that made it necessary. It must not know the models, the clocks or the gate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata

from sampling.linkers import Version, numbers, pytensor_mode
from sampling.settings import Settings


def _host_devices(count: int) -> dict[str, str]:
    """The environment in which XLA takes the processor for so many devices, not PyMC's hundred.

    With fewer than chains, NumPyro's "parallel" chains silently run one after another, and BlackJAX's, which PyMC
    always runs in parallel, do not run at all. "Vectorized" chains are on one; with more, threads may come to pass
    that one's work around, as it happens, and it takes twice as long (docs/method.md).
    """
    return {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}


class UnknownBackend(ValueError):
    """A backend's name that is not in the table."""


@dataclass(frozen=True)
class Backend:
    """One way of calling `pm.sample`.

    `call(settings, pymc_version)` gives the keyword arguments. `packages` are the distributions it needs beside
    PyMC, each by its name, or with the first version that will do, as in "nutpie>=0.14".
    `linker` is the one that its graph is rewritten for ("c", "numba" or "jax"), None for the release's own.
    `compound_step` says that it can sample discrete variables too. `since` is the first PyMC whose `pm.sample` can be
    asked for it. `environment` is what must be set before the interpreter starts.
    """

    name: str
    call: Callable[[Settings, Version], dict]
    packages: tuple[str, ...] = ()
    linker: str | None = None
    compound_step: bool = False
    since: Version = (5, 10)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.packages, str):
            raise TypeError(f"The packages of {self.name} are {self.packages!r}: write ({self.packages!r},), a tuple.")

    def keywords(self, settings: Settings, version: Version) -> dict:
        """What `pm.sample` is called with. Raises TypeError where the backend's function gives something else."""
        found = self.call(settings, version)
        if not isinstance(found, dict):
            raise TypeError(
                f"the function of {self.name} in sampling/backends.py gives {found!r}, no keyword arguments"
            )
        return found

    @property
    def distributions(self) -> tuple[str, ...]:
        """The names of `packages`."""
        return tuple(package.partition(">=")[0] for package in self.packages)


def _stated(settings: Settings) -> dict:
    # What is not stated is the release's own choice.
    chosen = {name: getattr(settings, name) for name in ("draws", "tune", "target_accept")}
    return {
        **{name: value for name, value in chosen.items() if value is not None},
        "chains": settings.chains,
        "cores": settings.cores,
        # A progress bar's cost depends on where it is drawn; the seed makes two trials the same work.
        "random_seed": settings.seed,
        "progressbar": False,
    }


def _default(settings: Settings, version: Version) -> dict:
    return _stated(settings)


def pytensor_configuration(backend: Backend, version: Version) -> dict[str, str]:
    """The PyTensor configuration that must be in force during the `pm.sample` call."""
    # Before 5.19 `pm.sample` has no `compile_kwargs`: the configuration is the only way to choose a mode.
    if version < (5, 19) and backend.compound_step and backend.linker:
        return {"mode": pytensor_mode(backend.linker, version)}
    return {}


def _pymc(linker: str) -> Callable[[Settings, Version], dict]:
    def call(settings: Settings, version: Version) -> dict:
        keywords = {**_stated(settings), "nuts_sampler": "pymc"}
        if version >= (5, 19):  # before: see pytensor_configuration
            keywords["compile_kwargs"] = {"mode": pytensor_mode(linker, version)}
        return keywords

    return call


def _nutpie(**options: str) -> Callable[[Settings, Version], dict]:
    def call(settings: Settings, version: Version) -> dict:
        keywords = {**_stated(settings), "nuts_sampler": "nutpie", "nuts_sampler_kwargs": dict(options)}
        if version < (5, 18):
            # `pm.sample` passes all of these to `nutpie.sample`, which knows no backend: Numba is the only one.
            del keywords["nuts_sampler_kwargs"]["backend"]
        if version < (6, 0):
            # `cores` does not reach nutpie by itself, which would take as many as the machine has.
            keywords["nuts_sampler_kwargs"]["cores"] = settings.cores
        return keywords

    return call


def _numpyro(chain_method: str) -> Callable[[Settings, Version], dict]:
    def call(settings: Settings, version: Version) -> dict:
        keywords = {**_stated(settings), "nuts_sampler": "numpyro"}
        # From 6.0 to 6.2 `pm.sample` hands `chain_method` to NumPyro's kernel, which refuses it: what is the default
        # anyway need not be stated; what is not cannot be had.
        if chain_method != "parallel" or not (6, 0) <= version < (6, 3):
            keywords["nuts_sampler_kwargs"] = {"chain_method": chain_method}
        return keywords

    return call


def _blackjax(settings: Settings, version: Version) -> dict:
    return {**_stated(settings), "nuts_sampler": "blackjax"}


def _by_name(*backends: Backend) -> dict[str, Backend]:
    found = {backend.name: backend for backend in backends}
    if len(found) < len(backends):
        names = [backend.name for backend in backends]
        raise ValueError(f"Two backends are called {next(n for n in names if names.count(n) > 1)}: rename one.")
    return found


BACKENDS = _by_name(
    Backend("default", _default, compound_step=True),
    Backend("pymc-c", _pymc("c"), linker="c", compound_step=True),
    Backend("pymc-numba", _pymc("numba"), ("numba",), linker="numba", compound_step=True),
    Backend("pymc-jax", _pymc("jax"), ("jax",), linker="jax", compound_step=True),
    Backend("nutpie-numba", _nutpie(backend="numba"), ("nutpie", "numba"), linker="numba"),
    Backend("nutpie-jax", _nutpie(backend="jax"), ("nutpie", "jax"), linker="jax", since=(5, 18)),
    Backend(
        "nutpie-jax-pytensor",
        _nutpie(backend="jax", gradient_backend="pytensor"),
        ("nutpie", "jax"),
        linker="jax",
        since=(5, 18),
    ),
    Backend("numpyro-parallel", _numpyro("parallel"), ("numpyro", "jax"), linker="jax", environment=_host_devices(4)),
    Backend(
        "numpyro-vectorized", _numpyro("vectorized"), ("numpyro", "jax"), linker="jax", environment=_host_devices(1)
    ),
    Backend("blackjax", _blackjax, ("blackjax", "jax"), linker="jax", environment=_host_devices(4)),
)


def load(name: str) -> Backend:
    """The backend of that name. Raises UnknownBackend, in one sentence that lists the known ones."""
    if name not in BACKENDS:
        raise UnknownBackend(f"There is no backend {name!r}; the backends are {', '.join(BACKENDS)}.")
    return BACKENDS[name]


def why_unsupported(backend: Backend, discrete_model: bool, version: Version) -> str | None:
    """Why this backend cannot sample here (a discrete model, no such call or package in the stack), or None."""
    if discrete_model and not backend.compound_step:
        return f"{backend.name} samples continuous variables only; the model has discrete ones"
    if version < backend.since:
        first, this = (".".join(map(str, v)) for v in (backend.since, version))
        return f"pm.sample of PyMC {this} cannot be asked for {backend.name}; that of {first} is the first that can"
    for package in backend.packages:
        name, _, first = package.partition(">=")
        try:
            version_here = metadata.version(name)
        except metadata.PackageNotFoundError:
            return f"this stack has no {name}"
        if first and numbers(version_here) < numbers(first):
            return f"{backend.name} needs {name} {first} or newer; this stack has {version_here}"
    return None
