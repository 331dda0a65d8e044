"""The mixture of `discrete` with its labels summed out: the same posterior of mu and sigma, without a discrete
variable, so that every NUTS backend samples it and the price of sampling labels is a number. It must not know how.

    mu ~ Normal(0, 1), shape [2]      sigma ~ HalfNormal(1), shape [2]
    y ~ 0.3 Normal(mu_0, sigma_0) + 0.7 Normal(mu_1, sigma_1)

Estimands, latent elements and references are those of `discrete`. What is about labels needs some: they are drawn,
after sampling, given each draw of mu and sigma, which makes them draws from the same joint posterior.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from . import discrete
from .discrete import DATA_SHA256, SIZES, data, latent_reference, reference

if TYPE_CHECKING:
    import pymc

__all__ = [
    "DATA_SHA256",
    "DISCRETE",
    "SIZES",
    "build",
    "data",
    "estimands",
    "latent",
    "latent_reference",
    "log_density",
    "reference",
]

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
    """Those of `discrete`, from draws of `mu` and `sigma` (chain, draw, 2) to shape (chain, draw)."""
    in_first = latent(posterior, n, slice(None))
    return {**discrete.component_estimands(posterior), **discrete.label_estimands(posterior, in_first, n)}


def latent(posterior: Mapping[str, np.ndarray], n: int, elements: slice) -> np.ndarray:
    """As that of `discrete`; the labels are drawn from `RandomState(29)`: the same draws give the same labels."""
    of_labels = discrete.log_joint(posterior, n)
    log_odds = of_labels[..., 0, :] - of_labels[..., 1, :]
    in_first = np.random.RandomState(_SEED).logistic(size=log_odds.shape) < log_odds
    return in_first[..., elements]


def log_density(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """The logarithm of the joint density of mu, log(sigma) and the data, shape (chain, draw)."""
    return np.logaddexp.reduce(discrete.log_joint(posterior, n), axis=-2).sum(axis=-1) + discrete.log_prior(posterior)
