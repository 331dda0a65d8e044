"""How many effective draws a sampler gets, and for how many gradients, over all seeds that have been tried.

Neither depends on the machine: trials and sweeps of one stack with equal settings are pooled, wherever they were made.
It knows records, and nothing of clocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from harness.results.records import Record

Work = tuple
"""What must be equal for two trials to be the same work but for the seed."""


@dataclass(frozen=True)
class Efficiency:
    """Of one sampler's work, over `seeds` seeds.

    `effective_draws` are those of one trial (their geometric mean); `deviation` is the standard deviation of their
    logarithm from seed to seed, None where one seed tells; `gradients` are those for each effective draw, tuning
    included, all seeds together, None where the sampler does not count them.
    """

    effective_draws: float
    deviation: float | None
    gradients: float | None
    seeds: int


def work(record: Record) -> Work:
    """The stack and the settings of a trial, but for its seed."""
    s = record.settings
    return record.lock_sha256, s.model, s.n, s.backend, s.chains, s.tune, s.draws, s.target_accept


def pooled(records: Iterable[Record]) -> Mapping[Work, Efficiency]:
    """Of each work that has valid draws. A seed gives the same draws wherever it is tried: each counts once."""
    of_seeds: dict[Work, dict[int | None, Record]] = {}
    for record in records:
        if record.outcome == "ok" and record.effective_draws and record.lock_sha256:
            of_seeds.setdefault(work(record), {}).setdefault(record.settings.seed, record)
    return {key: _efficiency(list(found.values())) for key, found in of_seeds.items()}


def _efficiency(records: list[Record]) -> Efficiency:
    logarithms = [math.log(r.effective_draws) for r in records]
    counted = [r for r in records if r.gradients is not None]
    gradients = sum(r.gradients for r in counted) / sum(r.effective_draws for r in counted) if counted else None
    return Efficiency(
        effective_draws=math.exp(fmean(logarithms)),
        deviation=stdev(logarithms) if len(logarithms) > 1 else None,
        gradients=gradients,
        seeds=len(records),
    )
