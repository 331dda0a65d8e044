"""The year in which disasters in British coal mines became rarer: counts of 111 years, two rates, and a change point,
a discrete variable that PyMC's compound step samples. It must not know how.

    switchpoint ~ DiscreteUniform(1851, 1961)      early_rate, late_rate ~ Exponential(1)
    disasters in year t ~ Poisson(early_rate if t <= switchpoint else late_rate)

From PyMC's default start, the middle year 1906, steps of a few years at a time take some chains longer than the
protocol's tuning to arrive (in 2 of 12 trials, PyMC 6.4.0). Which ones is luck, and no property of a release, so the
model states initial values.

The counts are those of PyMC's own example ever since PyMC 2 (A. Patil, D. Huard and C. J. Fonnesbeck, "PyMC: Bayesian
Stochastic Modelling in Python", Journal of Statistical Software 35(4), 2010, section 2), without gaps. They go back
to R. G. Jarrett, "A note on the intervals between coal-mining disasters", Biometrika 66(1), 1979, 191-193, who
completed and corrected B. A. Maguire, E. S. Pearson and A. H. A. Wynn, Biometrika 39, 1952, 168-180.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ._moments import Moments

if TYPE_CHECKING:
    import pymc

SIZES: tuple[int, ...] = (111,)
"""Numbers of observations: years."""

DISCRETE = True
"""Whether there are discrete free variables, which only PyMC's compound step samples."""

DATA_SHA256: dict[int, str] = {
    111: "6d7e55e5e01e3e1594bb7906fb8c89e69229f642a8415c0fcd226d3ad8ba6945",
}
"""Of the bytes of `data(n)`: int64, little-endian, C order."""

YEARS = np.arange(1851, 1962)

# fmt: off
_DISASTERS = (
    4, 5, 4, 0, 1, 4, 3, 4, 0, 6, 3, 3, 4, 0, 2, 6, 3, 3, 5, 4, 5, 3, 1, 4, 4, 1, 5, 5, 3, 4, 2, 5,
    2, 2, 3, 4, 2, 1, 3, 2, 2, 1, 1, 1, 1, 3, 0, 0, 1, 0, 1, 1, 0, 0, 3, 1, 0, 3, 2, 2, 0, 1, 1, 1,
    0, 1, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0, 1, 1, 0, 2, 3, 3, 1, 1, 2, 1, 1, 1, 1, 2, 4, 2, 0, 0, 1, 4,
    0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1,
)
# fmt: on


def data(n: int) -> np.ndarray:
    """Disasters in each of the years 1851 to 1961, shape (111,)."""
    return np.array(_DISASTERS, dtype="int64")


def build(n: int) -> pymc.Model:
    """The PyMC model of `data(n)`, with initial values where the posterior is (why: see above)."""
    import pymc as pm

    # All three: the first update, of whichever it is, would otherwise forget the others' initial values.
    with pm.Model() as model:
        switchpoint = pm.DiscreteUniform("switchpoint", lower=YEARS[0], upper=YEARS[-1], initval=1890)
        early = pm.Exponential("early_rate", 1.0, initval=3.0)
        late = pm.Exponential("late_rate", 1.0, initval=1.0)
        pm.Poisson("disasters", pm.math.switch(switchpoint >= YEARS, early, late), observed=data(n))
    return model


def estimands(posterior: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """The parameters themselves, shape (chain, draw): no symmetry exchanges an early and a late year."""
    return {name: posterior[name] for name in ("early_rate", "late_rate", "switchpoint")}


def log_density(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """The logarithm of the joint density of both rates' logarithms, the switchpoint and the data, shape (chain, draw).

    Not finite where the switchpoint is none of the years, which no sampler may return.
    """
    from scipy.special import gammaln

    early, late, position = posterior["early_rate"], posterior["late_rate"], posterior["switchpoint"] - YEARS[0]
    inside = (position >= 0) & (position < n)
    before, years_before, after, years_after = (of_year[np.where(inside, position, 0)] for of_year in sums(n))
    log_likelihood = before * np.log(early) - years_before * early + after * np.log(late) - years_after * late
    # The priors with the Jacobians of the logarithms.
    log_prior = np.log(early) - early + np.log(late) - late - np.log(n)
    return np.where(inside, log_likelihood + log_prior - gammaln(data(n) + 1).sum(), -np.inf)


def sums(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each switchpoint, shape (111,): disasters and years up to and with it, and disasters and years after it."""
    disasters, years = np.cumsum(data(n)), np.arange(1, n + 1)
    return disasters, years, disasters[-1] - disasters, n - years


def reference(n: int) -> dict[str, Moments]:
    """Exact moments of the estimands for `data(n)`.

    Given the switchpoint, each rate is Gamma(1 + disasters, 1 + years), and integrates to the switchpoint's weight:
    sums of 111 terms, whose error is rounding.
    """
    from scipy.special import gammaln

    before, years_before, after, years_after = sums(n)
    shapes = {"early_rate": 1 + before, "late_rate": 1 + after}
    rates = {"early_rate": 1 + years_before, "late_rate": 1 + years_after}
    log_weight = sum(gammaln(shapes[name]) - shapes[name] * np.log(rates[name]) for name in shapes)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    given_switchpoint = {name: (shapes[name] / rates[name], shapes[name] / rates[name] ** 2) for name in shapes}
    given_switchpoint["switchpoint"] = (YEARS, 0.0)
    found = {}
    for name, (mean, variance) in given_switchpoint.items():
        overall = float(weight @ mean)
        sd = float(np.sqrt(weight @ (variance + (mean - overall) ** 2)))
        found[name] = Moments(overall, sd, error=1e-12 * max(1.0, abs(overall)))
    return found
