"""What one trial is asked to do. Everything that changes the work is stated here, so that two records with
equal settings and equal stacks describe the same work. It must not know how a backend is called."""

from __future__ import annotations

from dataclasses import dataclass

# A change of anything that a measured number depends on (these settings, the clocks, the estimators, a model)
# must raise this version: asv keeps results of different versions apart.
PROTOCOL_VERSION = 4
SAME_DRAWS_SINCE = 3
"""The first protocol whose draws and outcomes are those of this one: later ones measure other clocks or memory."""

SEED = 20261101

ITERATIONS = 250
"""Tuning steps, and draws, of each chain, for models that have no `ITERATIONS` of their own."""


def iterations(model: str) -> int:
    """The number of tuning steps, and of draws, of each chain for this model. Raises models.UnknownModel."""
    # Here, since a trial's own process imports this module: PyMC is the first there to import what models import.
    import models

    return getattr(models.load(model), "ITERATIONS", ITERATIONS)


@dataclass(frozen=True)
class Settings:
    """One trial's work.

    `tune` and `draws` are iterations per chain, those of `iterations(model)` when not given. `cores` is the number of
    chains that run at once; it is fixed, and not the machine's number of cores, so that the work is the same
    everywhere. The `default` backend ignores everything but the seed: its point is to choose nothing.
    """

    model: str
    n: int
    backend: str
    tune: int | None = None
    draws: int | None = None
    chains: int = 4
    cores: int = 4
    target_accept: float = 0.8
    seed: int = SEED

    def __post_init__(self) -> None:
        for name in ("tune", "draws"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, iterations(self.model))
        for name in ("tune", "draws", "chains", "cores"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if not 0 < self.target_accept < 1:
            raise ValueError(f"target_accept is {self.target_accept}; it must lie between 0 and 1.")
