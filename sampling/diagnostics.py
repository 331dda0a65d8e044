"""Convergence and correctness of the draws of estimands: effective sample sizes, R-hat, Monte Carlo standard
errors, and the distance from the exact posterior in them. What to conclude is the gate's business (sampling/gate.py).

The estimators are those of Vehtari, Gelman, Simpson, Carpenter and Bürkner, "Rank-normalization, folding, and
localization: an improved R-hat" (Bayesian Analysis 16, 2021). They are implemented here, and not taken
from each stack's ArviZ, so that one estimator measures every release. The module must not know PyMC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import fft, stats


class Exact(Protocol):
    """The exact posterior moments of an estimand; `error` is their numerical error."""

    mean: float
    sd: float
    error: float


@dataclass(frozen=True)
class EstimandDiagnostics:
    """One estimand's draws against its exact posterior moments.

    `z_mean` is (estimate - exact) / MCSE for E[x]; `z_second_moment` is the logarithm of estimate / exact in its
    standard errors, `mcse_second_moment`, for E[(x - exact mean)²].
    """

    mean: float
    sd: float
    exact_mean: float
    exact_sd: float
    rhat: float
    ess_bulk: float
    ess_tail: float
    mcse_mean: float
    z_mean: float
    z_second_moment: float
    mcse_second_moment: float


def _split(draws: np.ndarray) -> np.ndarray:
    """Each chain's two halves as chains of their own: (chains, draws) to (2·chains, draws // 2)."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]])


def _rank_normalised(draws: np.ndarray) -> np.ndarray:
    ranks = stats.rankdata(draws, method="average").reshape(draws.shape)
    return stats.norm.ppf((ranks - 0.375) / (draws.size + 0.25))


def _autocovariances(draws: np.ndarray) -> np.ndarray:
    """Biased autocovariances of each chain at all lags, by FFT: (chains, draws)."""
    length = draws.shape[1]
    centred = draws - draws.mean(axis=1, keepdims=True)
    # The size may be odd, which its spectrum does not tell.
    size = fft.next_fast_len(2 * length)
    return fft.irfft(np.abs(fft.rfft(centred, n=size, axis=1)) ** 2, n=size, axis=1)[:, :length] / length


def _effective_draws(draws: np.ndarray) -> float:
    """Effective sample size of the mean, with Geyer's initial monotone sequence, over (already split) chains."""
    chains, length = draws.shape
    if np.ptp(draws) == 0:
        return 0.0
    autocovariance = _autocovariances(draws)
    within = autocovariance[:, 0].mean() * length / (length - 1)
    pooled = within * (length - 1) / length
    if chains > 1:
        pooled += draws.mean(axis=1).var(ddof=1)
    if within == 0 or pooled == 0:
        return 0.0
    rho = 1 - (within - autocovariance.mean(axis=0)) / pooled
    rho[0] = 1.0
    pairs = rho[: length // 2 * 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs < 0)
    kept = negative[0] if negative.size else len(pairs) - 1
    # The first lag left out still counts once: it halves the bias for antithetic chains.
    tau = -1 + 2 * np.minimum.accumulate(pairs[:kept]).sum() + max(rho[2 * kept], 0.0)
    # Antithetic chains may beat independent draws, but not without bound.
    tau = max(tau, 1 / np.log10(chains * length))
    return float(chains * length / tau)


def ess_mean(draws: np.ndarray) -> float:
    """Effective draws for the mean of `draws`, shape (chains, draws)."""
    return _effective_draws(_split(draws))


def ess_bulk(draws: np.ndarray) -> float:
    """Effective draws in the bulk: of the rank-normalised draws, shape (chains, draws)."""
    return _effective_draws(_rank_normalised(_split(draws)))


def ess_tail(draws: np.ndarray) -> float:
    """Effective draws in the tails: the smaller of those for the 5 % and the 95 % quantile.

    Where a quantile is the largest value there is, as it may be for counts, there is nothing beyond it to sample:
    every draw counts, as in ArviZ.
    """
    below = (draws <= np.quantile(draws, q) for q in (0.05, 0.95))
    return min(draws.size if b.all() else _effective_draws(_split(b.astype(float))) for b in below)


def _plain_rhat(draws: np.ndarray) -> float:
    length = draws.shape[1]
    within = draws.var(axis=1, ddof=1).mean()
    between = draws.mean(axis=1).var(ddof=1)
    if within == 0:
        return float("inf") if between > 0 else 1.0
    return float(np.sqrt((length - 1) / length + between / within))


def rhat(draws: np.ndarray) -> float:
    """Rank-normalised split R-hat of `draws`, shape (chains, draws): the larger of bulk and folded."""
    split = _split(draws)
    folded = np.abs(split - np.median(split))
    return max(_plain_rhat(_rank_normalised(split)), _plain_rhat(_rank_normalised(folded)))


def _z(draws: np.ndarray, exact: float, numerical_error: float) -> float:
    """(mean of draws - exact) / standard error, the reference's own numerical error included."""
    effective = ess_mean(draws)
    if effective == 0:
        return float("inf")
    error = np.hypot(draws.std(ddof=1) / np.sqrt(effective), numerical_error)
    return float((draws.mean() - exact) / error)


def _z_of_logarithm(squares: np.ndarray, exact: float, numerical_error: float) -> tuple[float, float]:
    """As `_z`, of the logarithms of a positive mean and its exact value, by the delta method; and the standard error.

    A mean of squares is skewed: by itself, a correct sampler's z would fall below -4 in one trial of a hundred.
    """
    effective, mean = ess_mean(squares), squares.mean()
    if np.ptp(squares) <= 1e-12 * mean and np.isclose(mean, exact, rtol=1e-12, atol=numerical_error):
        return 0.0, 0.0  # as those of a fair coin, which are all the same and right
    if effective == 0 or mean == 0:
        return float("inf"), float("inf")
    error = np.hypot(squares.std(ddof=1) / np.sqrt(effective) / mean, numerical_error / exact)
    return float(np.log(mean / exact) / error), float(error)


def diagnose(
    draws: np.ndarray, exact_mean: float, exact_sd: float, numerical_error: float = 0.0
) -> EstimandDiagnostics:
    """Diagnostics of one estimand's draws, shape (chains, draws), against its exact mean and standard deviation.

    Raises ValueError when draws are not finite, or fewer than 2 chains or 8 draws: nothing can be said then.
    """
    draws = np.asarray(draws, dtype=float)
    if draws.ndim != 2 or draws.shape[0] < 2 or draws.shape[1] < 8:
        raise ValueError(f"Draws of shape {draws.shape} cannot be diagnosed; at least 2 chains of 8 draws are needed.")
    if not np.isfinite(draws).all():
        raise ValueError(f"{int((~np.isfinite(draws)).sum())} of {draws.size} draws are not finite.")
    sd = float(draws.std(ddof=1))
    effective = ess_mean(draws)
    # Squares are taken about the exact mean: the second moment then speaks of spread, not of location twice.
    squares = (draws - exact_mean) ** 2
    z_second_moment, mcse_second_moment = _z_of_logarithm(squares, exact_sd**2, 2 * exact_sd * numerical_error)
    return EstimandDiagnostics(
        mean=float(draws.mean()),
        sd=sd,
        exact_mean=exact_mean,
        exact_sd=exact_sd,
        rhat=rhat(draws),
        ess_bulk=ess_bulk(draws),
        ess_tail=ess_tail(draws),
        mcse_mean=sd / float(np.sqrt(effective)) if effective else float("inf"),
        z_mean=_z(draws, exact_mean, numerical_error),
        z_second_moment=z_second_moment,
        mcse_second_moment=mcse_second_moment,
    )


def effective_draws(diagnostics: dict[str, EstimandDiagnostics]) -> float:
    """The effective draws of a trial: the smallest bulk or tail effective sample size over its estimands."""
    return min(min(d.ess_bulk, d.ess_tail) for d in diagnostics.values())
