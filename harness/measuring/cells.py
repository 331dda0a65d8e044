"""Parameter sets: which there are, and which were asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from harness.errors import BenchError

# Those of the "Faster Sampling with JAX and Numba" notebook; the others are measured when they are asked for.
MODELS = ("ppca", "discrete")


@dataclass(frozen=True)
class Cell:
    """One parameter set: what a measurement is of."""

    model: str
    n: int
    backend: str

    def __str__(self) -> str:
        return f"{self.model} n={self.n} {self.backend}"


def can_be_sampled(cell: Cell, description: Mapping) -> bool:
    """Whether a backend takes what its model has: discrete variables are for a compound step."""
    return not description["models"][cell.model]["discrete"] or cell.backend in description["compound_step"]


def cells(
    description: Mapping, small: bool, models: Iterable[str] = MODELS, backends: Iterable[str] | None = None,
    sizes: Collection[int] | None = None,
) -> list[Cell]:  # fmt: skip
    """The parameter sets of these models, at every size or the smallest only, or at these `sizes`, and of these
    backends or all.

    Raises BenchError for a model or a backend that does not exist, and for a size that none of the models has.
    """
    known = description["models"]
    models, backends = list(models), list(backends or description["backends"])
    for what, names, existing in (("model", models, known), ("backend", backends, description["backends"])):
        for name in names:
            if name not in existing:
                raise BenchError(f"There is no {what} {name!r}: choose one of {', '.join(existing)}.")
    for size in sizes or ():
        if not any(size in known[model]["sizes"] for model in models):
            has = (f"{model} has {', '.join(map(str, known[model]['sizes']))}" for model in sorted(models))
            raise BenchError(f"There is no size {size}: {'; '.join(has)}.")
    return [
        Cell(model, n, backend)
        for model in models
        for n, backend in product(known[model]["sizes"][: 1 if small and not sizes else None], description["backends"])
        if backend in backends and (not sizes or n in sizes)
    ]
