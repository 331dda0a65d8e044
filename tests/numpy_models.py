"""The models' log-densities in float64 NumPy, written from their definitions, and gradients of them to rounding.

Arguments are the unconstrained values that PyMC samples (logarithms of what is positive). Every function also takes
complex arguments, which is what the gradient needs: Im f(x + ih)/h, with an h whose square is nothing, has neither
truncation nor cancellation (Squire & Trapp, SIAM Review 40, 1998).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import gammaln

from models import arma, coal_mining, discrete, eight_schools, gp, ppca, radon, wide

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


def _radon(n: int, intercept, uranium, floor, log_county_sd, log_floor_sd, log_house_sd, a, b):
    log_radon, is_upstairs, county, log_uranium = radon.data(n)
    county = county.astype(int)
    house = intercept + uranium * log_uranium + np.exp(log_county_sd) * a[county]
    house = house + (floor + np.exp(log_floor_sd) * b[county]) * is_upstairs
    prior = _normal(np.array([intercept, uranium, floor]), 0, 2).sum() + _normal(a).sum() + _normal(b).sum()
    prior += sum(map(_half_normal_of_log, (log_county_sd, log_floor_sd, log_house_sd)))
    return prior + _normal(log_radon, house, np.exp(log_house_sd)).sum()


def _gp(n: int, log_length_scale, log_amplitude, log_noise):
    x, y, length_scale = gp.points(n), gp.data(n), np.exp(log_length_scale)
    d = np.sqrt(5) * np.abs(x[:, None] - x) / length_scale
    covariance = np.exp(2 * log_amplitude) * (1 + d + d**2 / 3) * np.exp(-d)
    covariance = covariance + (np.exp(2 * log_noise) + 1e-6) * np.eye(n)
    sign, log_size = np.linalg.slogdet(covariance)
    likelihood = -0.5 * (y @ np.linalg.solve(covariance, y) + np.log(sign) + log_size) - n * _HALF_LOG_2PI
    # Gamma(2, 1), with the Jacobian.
    prior = 2 * log_length_scale - length_scale
    for log_x, sd in ((log_amplitude, 2), (log_noise, 1)):
        prior += _normal(np.exp(log_x), 0, sd) + np.log(2) + log_x
    return likelihood + prior


def _arma(n: int, level, ar, ma, log_noise):
    y, noise = arma.data(n), np.exp(log_noise)
    errors = [y[0] - level - ar * level]
    for t in range(1, n):
        errors.append(y[t] - (level + ar * y[t - 1] + ma * errors[-1]))
    half_cauchy = np.log(2 / (2.5 * np.pi)) - np.log1p((noise / 2.5) ** 2) + log_noise
    prior = _normal(level, 0, 10) + _normal(ar, 0, 2) + _normal(ma, 0, 2) + half_cauchy
    return prior + _normal(np.array(errors), 0, noise).sum()


def _wide(n: int, *parameters):
    *b, log_noise = parameters
    *x, y = wide.data(n)
    mean = sum(coefficient * predictor for coefficient, predictor in zip(b, x, strict=True))
    return _normal(np.array(b)).sum() + _half_normal_of_log(log_noise) + _normal(y, mean, np.exp(log_noise)).sum()


LOG_DENSITIES: dict[str, Callable] = {
    "ppca": _ppca,
    "discrete": _discrete,
    "discrete_marginal": _discrete_marginal,
    "coal_mining": _coal_mining,
    "coal_mining_marginal": _coal_mining_marginal,
    "eight_schools": _eight_schools,
    "radon": _radon,
    "gp": _gp,
    "arma": _arma,
    "wide": _wide,
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
