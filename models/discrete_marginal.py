"""The mixture of `discrete` with its labels summed out: the same posterior of mu and sigma, without a discrete
variable, so that every NUTS backend samples it and the price of sampling labels is a number. It must not know how.

    mu ~ Normal(0, 1), shape [2]      sigma ~ HalfNormal(1), shape [2]
    y ~ 0.3 Normal(mu_0, sigma_0) + 0.7 Normal(mu_1, sigma_1)

Estimands and reference are those of `discrete`. `share`, which is about labels, needs some: they are drawn, after
sampling, given each draw of mu and sigma, which is what makes it a draw from the same joint posterior.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from . import discrete
from .discrete import DATA_SHA256, SIZES, data, reference

if TYPE_CHECKING:
    import pymc

__all__ = ["DATA_SHA256", "DISCRETE", "SIZES", "build", "data", "estimands", "reference"]

DISCRETE = False
"""Whether there are discrete free variables, which only PyMC's compound step samples."""

_SEED = 29


def build(n: int) -> pymc.Model:
    """The PyMC model of `data(n)`, without initial values (why it needs none: models/discrete.py)."""
    import pymc as pm

    with pm.Model() as model:
        mu = pm.Normal("mu", mu=0, sigma=1, shape=2)
        sigma = pm.HalfNormal("sigma", sigma=1, shape=2)
        pm.NormalMixture("y", w=np.array(discrete.WEIGHTS), mu=mu, sigma=sigma, observed=data(n))
    return model


def estimands(posterior: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """Those of `discrete`, from draws of `mu` and `sigma` (chain, draw, 2) to shape (chain, draw).

    The labels that `share` counts are drawn from `RandomState(29)`: the same draws give the same share.
    """
    mu, sigma = posterior["mu"][..., None], posterior["sigma"][..., None]
    weights = np.array(discrete.WEIGHTS)[:, None]
    density = weights / sigma * np.exp(-0.5 * ((data(n) - mu) / sigma) ** 2)
    in_first = density[..., 0, :] / density.sum(axis=-2)
    members = np.random.RandomState(_SEED).random_sample(in_first.shape) < in_first
    return {**discrete.component_estimands(posterior), "share": members.sum(axis=-1) / n}
