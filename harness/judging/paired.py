"""What paired ratios say: a ratio with its interval, and whether it is more than chance, whenever one looks.

For each comparison there are differences of logarithms, new minus old, one for each round. Their mean, beside effects
of the order in which the two ran and of the machine's speed, is judged by Student's t, with a variance that is
moderated towards those of the comparison's relatives (Smyth 2004, "Linear models and empirical Bayes methods"). Who
looks several times, and stops when something is to be seen, sees chance more often: each look may spend a share of the
error that is allowed, and a p-value is divided by its look's share, so that all looks together keep it. Over all that
is compared, Benjamini and Hochberg (1995) keep the share of false discoveries. What lasts is no noise of rounds, and
more of them do not average it out: two equal stacks lie elsewhere on the disk and in memory, and one is a little faster
for as long as it lies there (Mytkowicz et al. 2009, "Producing wrong data without doing anything obviously wrong"). It
knows numbers, and nothing of records.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

LOOKS = {8: 0.15, 16: 0.2, 32: 0.25, 64: 0.2}
"""After how many rounds one looks, and the share of the error that each look may spend."""
LAST_LOOK = 0.2
"""The share of a look at any other number of rounds: where the time was up."""
ERROR = 0.01
"""The probability of a false alarm that each comparison is allowed, over all looks."""
DISCOVERIES = 0.05
"""The share of false ones among all differences that are called, which is kept as well."""
POWER = 0.8
_STATED = 0.965
"""The level of the intervals that are said to be of 95 %: who stops as soon as he knows is off more often.
Whatever the effect, 93 to 97 of a hundred cover then, with and without stopping (`tests/test_paired.py`)."""
# Of a variance: a clock does not tell smaller ones.
_SMALLEST = 1e-12
# Of fewer rounds, effects would leave too little; that of the order cancels where rounds are balanced.
_FITTED_FROM = 8
# What varies less beside other effects cannot be told from them.
_COLLINEAR = 1e-6
# Fewer variances tell nothing of how variances vary.
_FEWEST = 3


def ratio(logarithm: float) -> float:
    """Of a difference of logarithms; one that is too large or too small for a number stays a very large or a very small
    one."""
    return math.exp(max(-700.0, min(700.0, logarithm)))


@dataclass(frozen=True)
class Prior:
    """What relatives say of a variance: as much as `freedom` more rounds would say that it is `variance`."""

    variance: float
    freedom: float


NOTHING = Prior(1.0, 0.0)


def prior(variances: Sequence[float], freedoms: Sequence[int]) -> Prior:
    """How variances of this kind are distributed, by those that were estimated with these degrees of freedom.

    They are taken to be scaled inverse chi-square; moments of their logarithms tell its two parameters.
    """
    if len(variances) < _FEWEST:
        return NOTHING
    half = np.asarray(freedoms) / 2
    logs = np.log(np.maximum(variances, _SMALLEST)) - special.digamma(half) + np.log(half)
    excess = float(np.var(logs, ddof=1) - np.mean(special.polygamma(1, half)))
    center = float(np.mean(logs))
    # Where they differ by no more than estimates of one variance would, they say of it as much as all of them know.
    freedom = min(2 * _inverse_trigamma(excess) if excess > 0 else math.inf, float(np.sum(freedoms)))
    return Prior(math.exp(center + float(special.digamma(freedom / 2)) - math.log(freedom / 2)), freedom)


def _inverse_trigamma(value: float) -> float:
    # It lies between 1/x and 1/x + 1/x².
    low, high = 1 / value, (1 + math.sqrt(1 + 4 * value)) / (2 * value)
    return float(optimize.brentq(lambda x: special.polygamma(1, x) - value, low, high))


@dataclass(frozen=True)
class Estimate:
    """The mean of differences of logarithms, its standard error, how well that is known, and the part of it that more
    rounds do not make smaller."""

    rounds: int
    mean: float
    error: float
    freedom: float
    lasting: float = 0.0

    @property
    def ratio(self) -> float:
        """New over old."""
        return math.exp(self.mean)

    def interval(self, level: float = _STATED) -> tuple[float, float]:
        """Of the ratio: the 95 % one, wherever rounds were ended, or one of another level."""
        reach = self._t((1 + level) / 2) * self.error
        return ratio(self.mean - reach), ratio(self.mean + reach)

    @property
    def p(self) -> float:
        """Of a mean that is as far from zero, by chance."""
        if self.error == 0:
            return float(self.mean == 0)
        return float(2 * stats.t.sf(abs(self.mean) / self.error, self._finite))

    def smallest_visible(self, rounds: int | None = None) -> float:
        """The ratio above 1 that would be called a difference in four of five cases, after as many rounds."""
        rounds = rounds or self.rounds
        of_rounds = (self.error**2 - self.lasting**2) * self.rounds / rounds
        error = math.sqrt(of_rounds + self.lasting**2)
        return ratio((self._t(1 - ERROR * share(rounds) / 2) + self._t(POWER)) * error)

    def _t(self, probability: float) -> float:
        return float(stats.t.ppf(probability, self._finite))

    @property
    def _finite(self) -> float:
        return min(self.freedom, 1e6)


class Round(NamedTuple):
    """The difference of logarithms in one round; its order, 1 where the new one ran first and -1 where the old one; and
    `speed`, the same difference of a fixed piece of work that was done beside both: how much slower the machine was."""

    difference: float
    order: int
    speed: float = 0.0


@dataclass(frozen=True)
class _Fitted:
    """The mean of rounds' differences, the variance of what is left of them, and what both were made of.

    Whoever runs second may be slower for that, or meet a machine that gets slower: the effect of the order is fitted.
    So is that of the machine's speed: what follows it varies the less, and what does not is left as it is.
    """

    mean: float
    variance: float
    freedom: int
    leverage: float


@cache
def _fit(rounds: tuple[Round, ...]) -> _Fitted:
    difference, *beside = np.asarray(rounds, dtype=float).T
    columns = [np.ones_like(difference)]
    for effect in beside if len(difference) >= _FITTED_FROM else ():
        # A machine's speed may have followed the order in which the two ran: which of them it was is then not told.
        if np.linalg.matrix_rank(np.stack([*columns, effect], axis=1), rtol=_COLLINEAR) > len(columns):
            columns.append(effect)
    design = np.stack(columns, axis=1)
    inverse = np.linalg.inv(design.T @ design)
    fitted = inverse @ design.T @ difference
    left, freedom = difference - design @ fitted, len(difference) - len(columns)
    variance = float(left @ left) / freedom if freedom else 0.0
    return _Fitted(float(fitted[0]), variance, freedom, float(inverse[0, 0]))


def estimate(rounds: Sequence[Round], known: Prior = NOTHING, lasting: float = 0.0) -> Estimate | None:
    """What rounds say, moderated by what is known of their variance; None where both do not tell how they vary as one
    round more would.

    `lasting` is the standard deviation of what lasts.
    """
    if not rounds:
        return None
    own = _fit(tuple(rounds))
    if not _differ(rounds):
        known = NOTHING
    freedom = known.freedom + own.freedom
    # Of less, an interval may end beyond all numbers.
    if freedom < 1:
        return None
    if math.isinf(freedom):
        variance = known.variance
    else:
        variance = (known.freedom * known.variance + own.freedom * own.variance) / freedom
    # What lasts is known, and so the whole error is known better than its part of which that is estimated; but who
    # counted on that would believe a part that is small by chance.
    error = math.sqrt(variance * own.leverage + lasting**2)
    return Estimate(len(rounds), own.mean, error, freedom, lasting)


def _differ(rounds: Sequence[Round]) -> bool:
    """Whether any differs at all: what is counted of the same draws never does, whatever it does in other draws, and
    neither says how the other varies."""
    return any(r.difference for r in rounds)


def varying(comparisons: Iterable[Sequence[Round]]) -> Prior:
    """How relatives' rounds vary, by all of those that differ at all."""
    fitted = [fit for rounds in comparisons if _differ(rounds) and (fit := _fit(tuple(rounds))).freedom]
    return prior([f.variance for f in fitted], [f.freedom for f in fitted])


def share(rounds: int) -> float:
    """Of the error that is allowed, what a look after as many rounds may spend."""
    return LOOKS.get(rounds, LAST_LOOK)


@dataclass(frozen=True)
class Judged:
    """An estimate, and `p`: its p-value, all looks until now considered."""

    estimate: Estimate
    p: float


def judge[Key](
    comparisons: Mapping[Key, Sequence[Round]], lasting: float = 0.0, known: Mapping[Key, Prior] | None = None
) -> dict[Key, Judged]:
    """What relatives' rounds say at every look until now, and together; `lasting` as in `estimate`.

    How they vary is said by these relatives, unless more is `known` of each. Those that say nothing, of too few rounds,
    are left out.
    """
    most = max(map(len, comparisons.values()), default=0)
    found: dict[Key, Judged] = {}
    for look in sorted({look for look in LOOKS if look <= most} | set(map(len, comparisons.values())) - {0}):
        until = {key: rounds[:look] for key, rounds in comparisons.items()}
        relatives = varying(until.values())
        for key, rounds in until.items():
            prior, is_its_last = known[key] if known else relatives, len(comparisons[key]) == look
            now = estimate(rounds, prior, lasting) if is_its_last or (look in LOOKS and len(rounds) == look) else None
            if now:
                earlier = found[key].p if key in found else 1.0
                found[key] = Judged(now, min(earlier, now.p / share(look)))
    return found


def discoveries[Key](p: Mapping[Key, float]) -> set[Key]:
    """Those that are more than chance: each by itself, and so that of all that are named few are not."""
    ordered = sorted(p, key=lambda key: p[key])
    called = 0
    for rank, key in enumerate(ordered, start=1):
        if p[key] <= DISCOVERIES * rank / len(ordered):
            called = rank
    return {key for key in ordered[:called] if p[key] <= ERROR}
