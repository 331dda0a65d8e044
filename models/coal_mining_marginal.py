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

__all__ = ["DATA_SHA256", "DISCRETE", "SIZES", "build", "data", "estimands", "reference"]

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
    before, years_before, after, years_after = sums(n)
    early, late = (posterior[name][..., None] for name in ("early_rate", "late_rate"))
    log_weight = before * np.log(early) - years_before * early + after * np.log(late) - years_after * late
    cumulative = np.cumsum(np.exp(log_weight - log_weight.max(axis=-1, keepdims=True)), axis=-1)
    level = np.random.RandomState(_SEED).random_sample(early.shape) * cumulative[..., -1:]
    switchpoint = YEARS[(cumulative < level).sum(axis=-1)]
    return {"early_rate": posterior["early_rate"], "late_rate": posterior["late_rate"], "switchpoint": switchpoint}
