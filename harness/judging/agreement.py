"""What all trials of a backend say together: a mean or a spread that is off by too little for one trial to show.

It knows records, and nothing of how they came about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.results.parts import Diagnostics
from harness.results.records import Record

# Over ten backends, six models and a mean and a spread of six estimands each, chance exceeds this in one case of 200.
Z_LIMIT = 4.5


@dataclass(frozen=True)
class Pooled:
    """`bias` of the posterior mean, or of the root mean square distance from it, in posterior standard deviations; its
    `error`, and how many trials said so."""

    bias: float
    error: float
    trials: int

    @property
    def z(self) -> float:
        """The bias in its standard errors."""
        return self.bias / self.error


def pooled(estimates: Sequence[tuple[float, float, float, float]]) -> Pooled:
    """The bias over trials, each (mean, exact mean, exact sd, square root of its effective draws).

    Trials count by their effective draws, and errors are those of the exact sd: estimated ones would favour trials
    whose draws happen to lie where the density is narrow.
    """
    effective = [root**2 for *_, root in estimates]
    total = sum(effective)
    errors = ((mean - exact) / sd for mean, exact, sd, _ in estimates)
    return Pooled(sum(w * e for w, e in zip(effective, errors, strict=True)) / total, total**-0.5, len(effective))


def pooled_spread(estimates: Sequence[tuple[float, float, float]]) -> Pooled:
    """As `pooled`, of the mean square distance from the exact mean: for each trial (it, divided by the exact variance;
    the standard error of its logarithm; the square root of its effective draws).

    Squares are pooled, and their root is taken at the end: roots, and logarithms, of estimates are too small on
    average, which adds up. Their errors have no exact value, and are those that the trials found.
    """
    effective = [root**2 for *_, root in estimates]
    total = sum(effective)
    square = sum(w * ratio for w, (ratio, *_) in zip(effective, estimates, strict=True)) / total
    variance = sum((w * ratio * error) ** 2 for w, (ratio, error, _) in zip(effective, estimates, strict=True))
    return Pooled(square**0.5 - 1, variance**0.5 / total / (2 * square**0.5), len(effective))


def different(records: Iterable[Record]) -> list[Record]:
    """Records with draws, one for each seed and settings, the first.

    A backend that has its numbers from the same seed in several releases has often made the same draws, or nearly so:
    one throw, however often it is written down. Backends are pooled apart, whatever they draw.
    """
    kept: dict[str, Record] = {}
    for record in records:
        # Draws that never move have no standard error; the gate has called them invalid by then.
        if record.diagnostics and all(d.mcse_mean and d.sd for d in record.diagnostics.values()):
            kept.setdefault(record.settings.model_dump_json(), record)
    return list(kept.values())


def agreement(records: Iterable[Record]) -> dict[tuple[str, str], dict[str, Pooled]]:
    """By (model with its size, backend): what is pooled of each estimand that all of its trials have, under its name
    that of the mean, and as "spread of …" that of the spread, of the trials whose records tell its error."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in different(records):
        s = record.settings
        groups.setdefault((f"{s.model} (n={s.n})", s.backend), []).append(record)
    found = {}
    for key, group in groups.items():
        shared = set.intersection(*(set(record.diagnostics) for record in group))
        names = [name for name in group[0].diagnostics if name in shared]
        if names:
            found[key] = _both(names, group)
    return found


def _both(names: Sequence[str], group: Sequence[Record]) -> dict[str, Pooled]:
    found = {}
    for name in names:
        of_trials = [record.diagnostics[name] for record in group]
        found[name] = pooled([_estimate(d) for d in of_trials])
        if spreads := [_spread(d) for d in of_trials if d.mcse_second_moment]:
            found[f"spread of {name}"] = pooled_spread(spreads)
    return found


def _estimate(d: Diagnostics) -> tuple[float, float, float, float]:
    return d.mean, d.exact_mean, d.exact_sd, d.sd / d.mcse_mean


def _spread(d: Diagnostics) -> tuple[float, float, float]:
    square = (d.sd**2 + (d.mean - d.exact_mean) ** 2) / d.exact_sd**2
    return square, d.mcse_second_moment, d.sd / d.mcse_mean
