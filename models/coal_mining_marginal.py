"""The change point of `coal_mining` with the switchpoint summed out: the same posterior of the two rates, without a
discrete variable, so that every NUTS backend samples it. It must not know how.

Estimands and reference are those of `coal_mining`. The switchpoint is drawn after sampling, given each draw of the
rates, which makes it a draw from the same joint posterior.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .coal_mining import DATA_SHA256, SIZES, YEARS, data, reference, sums

if TYPE_CHECKING:
    import pymc

__all__ = ["DATA_SHA256", "DISCRETE", "SIZES", "build", "data", "estimands", "log_density", "reference"]

DISCRETE = False
"""Whether there are discrete free variables, which only PyMC's compound step samples."""

_SEED = 30


def build(n: int) -> pymc.Model:
    """The PyMC model of `data(n)`. The 111 likelihoods, one for each switchpoint, are added up in a potential."""
    import pymc as pm
    import pytensor.tensor as pt

    before, years_before, after, years_after = sums(n)
    with pm.Model() as model:
        early = pm.Exponential("early_rate", 1.0)
        late = pm.Exponential("late_rate", 1.0)
        log_likelihood = before * pt.log(early) - years_before * early + after * pt.log(late) - years_after * late
        pm.Potential("disasters", pt.logsumexp(log_likelihood))
    return model


def estimands(posterior: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """Those of `coal_mining`, from draws of the two rates (chain, draw) to shape (chain, draw).

    The switchpoint is drawn from `RandomState(30)`: the same draws give the same switchpoints.
    """
    early, log_weight = posterior["early_rate"][..., None], _log_likelihood(posterior, n)
    cumulative = np.cumsum(np.exp(log_weight - log_weight.max(axis=-1, keepdims=True)), axis=-1)
    level = np.random.RandomState(_SEED).random_sample(early.shape) * cumulative[..., -1:]
    switchpoint = YEARS[(cumulative < level).sum(axis=-1)]
    return {"early_rate": posterior["early_rate"], "late_rate": posterior["late_rate"], "switchpoint": switchpoint}


def log_density(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """The logarithm of the joint density of both rates' logarithms and the data, shape (chain, draw), up to the
    constants that `build` leaves out, too."""
    from scipy.special import logsumexp

    early, late = posterior["early_rate"], posterior["late_rate"]
    # The priors with the Jacobians of the logarithms.
    return logsumexp(_log_likelihood(posterior, n), axis=-1) + np.log(early) - early + np.log(late) - late


def _log_likelihood(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """Of each switchpoint, shape (chain, draw, 111)."""
    before, years_before, after, years_after = sums(n)
    early, late = (posterior[name][..., None] for name in ("early_rate", "late_rate"))
    return before * np.log(early) - years_before * early + after * np.log(late) - years_after * late
