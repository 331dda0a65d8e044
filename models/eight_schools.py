"""The effect of coaching in eight schools: the best-known hierarchical model, with one scalar variable for each school,
as beginners write it. Scalars are hard on a compiler, not on a sampler. It must not know how it is sampled.

    mu ~ Normal(0, 5)      tau ~ HalfCauchy(5)      eta_j ~ Normal(0, 1), j = 0 … 7
    effect_j ~ Normal(mu + tau eta_j, s_j), with the known standard errors s_j

Data: D. B. Rubin, "Estimation in parallel randomized experiments", Journal of Educational Statistics 6(4), 1981,
377-401, table 1. Priors: those of posteriordb's `eight_schools_noncentered`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ._moments import Moments
from ._quadrature import moments

if TYPE_CHECKING:
    import pymc

SIZES: tuple[int, ...] = (8,)
"""Numbers of observations: schools."""

DISCRETE = False
"""Whether there are discrete free variables, which only PyMC's compound step samples."""

DATA_SHA256: dict[int, str] = {
    8: "920d547c8740ba6f375f0228eff98657be9b3f976bc9c974097baeb46a89db1e",
}
"""Of the bytes of `data(n)`: float64, little-endian, C order."""

_EFFECTS = (28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0)
_ERRORS = (15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0)
_MU_SD = _TAU_SCALE = 5.0


def data(n: int) -> np.ndarray:
    """Estimated effects, in points of the test, and their standard errors, shape (2, 8)."""
    return np.array([_EFFECTS, _ERRORS])


def build(n: int) -> pymc.Model:
    """The PyMC model of `data(n)`, non-centred."""
    import pymc as pm
    import pytensor.tensor as pt

    effects, errors = data(n)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, _MU_SD)
        tau = pm.HalfCauchy("tau", _TAU_SCALE)
        schools = [mu + tau * pm.Normal(f"eta_{j}", 0, 1) for j in range(n)]
        pm.Normal("effect", pt.stack(schools), errors, observed=effects)
    return model


def estimands(posterior: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """`mu`, `tau`, and the effect of every school, which is what the model is for.

    From draws of `mu`, `tau` and `eta_j`, each of shape (chain, draw), to the same shape.
    """
    mu, tau = posterior["mu"], posterior["tau"]
    return {"mu": mu, "tau": tau, **{f"school_{j}": mu + tau * posterior[f"eta_{j}"] for j in range(n)}}


def log_density(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """The logarithm of the joint density of mu, log(tau), all eta and the data, shape (chain, draw)."""
    effects, errors = data(n)
    mu, tau = posterior["mu"], posterior["tau"]
    eta = np.stack([posterior[f"eta_{j}"] for j in range(n)], axis=-1)
    residual = (effects - mu[..., None] - tau[..., None] * eta) / errors
    squares = (mu / _MU_SD) ** 2 + (eta**2).sum(axis=-1) + (residual**2).sum(axis=-1)
    # The last term is the Jacobian of the logarithm.
    half_cauchy = np.log(2 / (np.pi * _TAU_SCALE)) - np.log1p((tau / _TAU_SCALE) ** 2) + np.log(tau)
    scales = np.log(_MU_SD) + np.log(errors).sum() + (2 * n + 1) / 2 * np.log(2 * np.pi)
    return half_cauchy - 0.5 * squares - scales


def given_tau(tau: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unnormalised log density of tau given the data, and mean and variance of mu given tau and the data."""
    effects, errors = data(8)
    variance = errors**2 + tau[..., None] ** 2
    precision = _MU_SD**-2 + (1 / variance).sum(axis=-1)
    mean = (effects / variance).sum(axis=-1) / precision
    log_likelihood = -0.5 * (np.log(variance) + effects**2 / variance).sum(axis=-1)
    log_likelihood += 0.5 * (mean**2 * precision - np.log(precision))
    return log_likelihood - np.log1p((tau / _TAU_SCALE) ** 2), mean, 1 / precision


def reference(n: int) -> dict[str, Moments]:
    """Exact moments of the estimands for `data(n)`: given tau all else is normal; quadrature over log(tau)."""
    log_tau = np.linspace(-30.0, 12.0, 4001)
    tau = np.exp(log_tau)
    log_density, mean, variance = given_tau(tau)
    given_node = {"mu": (mean, variance + mean**2), "tau": (tau, tau**2)}
    effects, errors = data(n)
    for j in range(n):
        # What the school's own estimate weighs against mu.
        weight = tau**2 / (errors[j] ** 2 + tau**2)
        expected = weight * effects[j] + (1 - weight) * mean
        given_node[f"school_{j}"] = (expected, errors[j] ** 2 * weight + (1 - weight) ** 2 * variance + expected**2)
    # The last term is the Jacobian of the logarithm.
    return moments(log_density + log_tau, given_node)
