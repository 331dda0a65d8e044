"""What all trials of a backend say together: a bias too small for one trial to show adds up over many.

It knows records, and nothing of how they came about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.results.records import Diagnostics, Record

# Over ten backends, five models and four estimands each, chance exceeds this in about one case of a thousand.
Z_LIMIT = 4.5


@dataclass(frozen=True)
class Pooled:
    """`bias` of the posterior mean, in posterior standard deviations, its `error`, and how many trials said so."""

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


def different(records: Iterable[Record]) -> list[Record]:
    """Records with draws, less those whose draws another one has already: rounding apart, one seed gives one answer."""
    seen, kept = set(), []
    for record in records:
        # Draws that never move have no standard error; the gate has called them invalid by then.
        if not record.diagnostics or not all(d.mcse_mean and d.sd for d in record.diagnostics.values()):
            continue
        s = record.settings
        key = (s.model, s.n, s.backend, *(round(d.mean / d.exact_sd, 4) for d in record.diagnostics.values()))
        if key not in seen:
            seen.add(key)
            kept.append(record)
    return kept


def agreement(records: Iterable[Record]) -> dict[tuple[str, str], dict[str, Pooled]]:
    """By (model with its size, backend): the pooled bias of each estimand that all of its trials have."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in different(records):
        s = record.settings
        groups.setdefault((f"{s.model} (n={s.n})", s.backend), []).append(record)
    found = {}
    for key, group in groups.items():
        shared = set.intersection(*(set(record.diagnostics) for record in group))
        names = [name for name in group[0].diagnostics if name in shared]
        if names:
            found[key] = {name: pooled([_estimate(record.diagnostics[name]) for record in group]) for name in names}
    return found


def _estimate(d: Diagnostics) -> tuple[float, float, float, float]:
    return d.mean, d.exact_mean, d.exact_sd, d.sd / d.mcse_mean
