"""What one trial is asked to do. Everything that changes the work is stated here, so that two records with
equal settings and equal stacks describe the same work. It must not know how a backend is called."""

from __future__ import annotations

from dataclasses import dataclass, replace

# A change of anything that a measured number depends on (these settings, the clocks, the estimators, a model)
# must raise this version: asv keeps results of different versions apart.
PROTOCOL_VERSION = 6
SAME_DRAWS_SINCE = 5
"""The first protocol whose draws and outcomes are those of this one: later ones measure other clocks or memory."""

SEED = 20261101
"""Of a measurement's first trial; each warm one has the next number, in all releases and for all backends alike."""

COLD, WARM = "cold", "warm"
"""Kinds of trials: with empty compile caches, and with those that a cold one left."""
COLD_ITERATIONS = 10
"""Tuning steps, and draws, of each chain of a cold trial, which is for setup: nobody judges these draws."""
# More than anybody's warm trials.
_BETWEEN_COLD_SEEDS = 1_000_000


@dataclass(frozen=True)
class Settings:
    """One trial's work.

    What is None is the release's own choice for who names the backend and nothing else: `tune` and `draws` (iterations
    of each chain) and `target_accept`. `chains`, and `cores`, the number of them that run at once, are those that
    `pm.sample` picks on a machine with eight logical processors or more, so that the work is the same everywhere.
    """

    model: str
    n: int
    backend: str
    tune: int | None = None
    draws: int | None = None
    chains: int = 4
    cores: int = 4
    target_accept: float | None = None
    seed: int = SEED

    def __post_init__(self) -> None:
        for name in ("tune", "draws", "chains", "cores"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1.")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must be 0 or more.")
        if self.target_accept is not None and not 0 < self.target_accept < 1:
            raise ValueError(f"target_accept is {self.target_accept}; it must lie between 0 and 1.")


def trial_settings(settings: Settings, kind: str, number: int) -> Settings:
    """The work of one trial of a measurement: cold ones are numbered from 0, warm ones from 1.

    All trials of one kind and number have one seed, whatever the backend and the release, and no two of a measurement
    share one.
    """
    if kind == COLD:
        seed = settings.seed + number * _BETWEEN_COLD_SEEDS
        return replace(settings, seed=seed, tune=COLD_ITERATIONS, draws=COLD_ITERATIONS)
    return replace(settings, seed=settings.seed + number)
