"""What is sampled: one file per model, with its data, its estimands and their exact posterior moments.

A model is a module of this package whose name does not start with an underscore: adding one is adding that file.
It has `SIZES`, `DISCRETE`, `DATA_SHA256`, `data`, `build`, `estimands`, `reference` and `log_density`; `ppca` is the
example to read. One with many latent variables has `latent` and `latent_reference` as well, as `ppca` and `discrete`.
This package imports nothing of the project, knows neither samplers nor benchmarks, and imports PyMC
inside `build` only: data and references need numpy and scipy at most, and are the same under every PyMC release.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from ._moments import Moments

__all__ = ["Moments", "UnknownModel", "UnknownSize", "check_size", "load", "names"]


class UnknownModel(ValueError):
    """No model has the name that was asked for."""


class UnknownSize(ValueError):
    """The model has no data of the size that was asked for."""


def names() -> list[str]:
    """The names of all models, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(name: str) -> ModuleType:
    """The model called `name`; `UnknownModel` if there is none."""
    if name not in names():
        raise UnknownModel(f"There is no model {name!r}: choose one of {', '.join(names())}.")
    return importlib.import_module(f"{__name__}.{name}")


def check_size(module: ModuleType, n: int) -> None:
    """Raise `UnknownSize` unless `n` is one of the model's sizes."""
    if n not in module.SIZES:
        model = module.__name__.rpartition(".")[2]
        sizes = ", ".join(map(str, module.SIZES))
        raise UnknownSize(f"The model {model} has no size n={n}: choose one of {sizes}.")
