"""What is sampled: one file per model, with its data, its estimands and their exact posterior moments.

A model is a module of this package whose name does not start with an underscore: adding one is adding that file
(CONTRIBUTING.md leads through it). What it has is listed in `_form.py`, and checked before it is measured; `ppca` is
the example to read. Data that do not fit a module are a file beside it whose name starts with an underscore.
This package imports nothing of the project, knows neither samplers nor benchmarks, and imports PyMC
inside `build` only: data and references need numpy and scipy at most, and are the same under every PyMC release.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from ._form import digest, faults, said
from ._moments import Moments

__all__ = [
    "IncompleteModel",
    "Moments",
    "UnknownModel",
    "UnknownSize",
    "check_form",
    "check_size",
    "digest",
    "load",
    "names",
    "said",
]


class UnknownModel(ValueError):
    """No model has the name that was asked for."""


class IncompleteModel(ValueError):
    """A model that cannot be measured, since something of its form is missing or wrong."""


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


def check_form(name: str) -> ModuleType:
    """The model called `name`; `IncompleteModel`, with a sentence for each fault, unless it has the form of a model."""
    try:
        module = load(name)
    except UnknownModel:
        raise
    except Exception as error:  # a contributor's code: anything
        raise IncompleteModel(f"models/{name}.py cannot be imported: {said(error)}.") from error
    if found := faults(name, module):
        raise IncompleteModel(" ".join(found))
    return module


def check_size(module: ModuleType, n: int) -> None:
    """Raise `UnknownSize` unless `n` is one of the model's sizes."""
    if n not in module.SIZES:
        model = module.__name__.rpartition(".")[2]
        sizes = ", ".join(map(str, module.SIZES))
        raise UnknownSize(f"The model {model} has no size n={n}: choose one of {sizes}.")
