"""The models' log-densities in float64 NumPy, written from their definitions, and gradients of them to rounding.

Arguments are the unconstrained values that PyMC samples (logarithms of what is positive). Every function also takes
complex arguments, which is what the gradient needs: Im f(x + ih)/h, with an h whose square is nothing, has neither
truncation nor cancellation (Squire & Trapp, SIAM Review 40, 1998).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import gammaln

from models import coal_mining, discrete, eight_schools, ppca

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


def _normal(x, mean=0.0, sd=1.0):
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - _HALF_LOG_2PI


def _half_normal_of_log(log_x):
    """HalfNormal(1) of exp(log_x), with the Jacobian."""
    return _normal(np.exp(log_x)) + np.log(2) + log_x


def _exponential_of_log(log_x):
    """Exponential(1) of exp(log_x), with the Jacobian."""
    return -np.exp(log_x) + log_x


def _log_sum_exp(x):
    largest = x.real.max(axis=-1, keepdims=True)
    return np.log(np.exp(x - largest).sum(axis=-1)) + largest[..., 0]


def _ppca(n: int, w, z):
    # Over an axis of length one, Ordered leaves everything as it is.
    return _normal(w, 0, 2).sum() + _normal(z).sum() + _normal(ppca.data(n), w @ z.T).sum()


def _discrete(n: int, cluster, mu, log_sigma):
    cluster = cluster.real.astype(int)
    labels = np.log(discrete.WEIGHTS)[cluster].sum()
    likelihood = _normal(discrete.data(n), mu[cluster], np.exp(log_sigma)[cluster]).sum()
    return labels + _normal(mu).sum() + _half_normal_of_log(log_sigma).sum() + likelihood


def _discrete_marginal(n: int, mu, log_sigma):
    parts = np.log(discrete.WEIGHTS) + _normal(discrete.data(n)[:, None], mu, np.exp(log_sigma))
    return _normal(mu).sum() + _half_normal_of_log(log_sigma).sum() + _log_sum_exp(parts).sum()


def _coal_mining(n: int, switchpoint, log_early, log_late):
    counts = coal_mining.data(n)
    log_rate = np.where(switchpoint.real >= coal_mining.YEARS, log_early, log_late)
    likelihood = (counts * log_rate - np.exp(log_rate) - gammaln(counts + 1)).sum()
    return -np.log(n) + _exponential_of_log(log_early) + _exponential_of_log(log_late) + likelihood


def _coal_mining_marginal(n: int, log_early, log_late):
    before, years_before, after, years_after = coal_mining.sums(n)
    early, late = np.exp(log_early), np.exp(log_late)
    each = before * log_early - years_before * early + after * log_late - years_after * late
    return _exponential_of_log(log_early) + _exponential_of_log(log_late) + _log_sum_exp(each)


def _eight_schools(n: int, mu, log_tau, *eta):
    (effects, errors), tau, eta = eight_schools.data(n), np.exp(log_tau), np.array(eta)
    half_cauchy = np.log(2 / (5 * np.pi)) - np.log1p((tau / 5) ** 2) + log_tau
    return _normal(mu, 0, 5) + half_cauchy + _normal(eta).sum() + _normal(effects, mu + tau * eta, errors).sum()


LOG_DENSITIES: dict[str, Callable] = {
    "ppca": _ppca,
    "discrete": _discrete,
    "discrete_marginal": _discrete_marginal,
    "coal_mining": _coal_mining,
    "coal_mining_marginal": _coal_mining_marginal,
    "eight_schools": _eight_schools,
}


def logp_dlogp(model: str, n: int, point: list[np.ndarray]) -> tuple[float, np.ndarray]:
    """The log-density at `point`, and its gradient with respect to the floating-point values, raveled in order."""
    function, h = LOG_DENSITIES[model], 1e-30
    gradient = []
    for i, value in enumerate(point):
        if value.dtype.kind != "f":
            continue
        for k in range(value.size):
            moved = [v.astype(complex) for v in point]
            moved[i].flat[k] += 1j * h
            gradient.append(function(n, *moved).imag / h)
    return float(function(n, *point)), np.array(gradient)
