"""Probabilistic principal component analysis: two dimensions, one latent one. It is the model of PyMC's "Faster
Sampling with JAX and Numba" notebook. It must not know how it is sampled.

    w ~ Normal(0, 2), shape [2, 1]      z ~ Normal(0, 1), shape [n, 1]      x ~ Normal(w zᵀ, 1), shape [2, n]

The `Ordered` transform acts on an axis of length one and does nothing, so that (w, z) and (-w, -z) are equally
likely and half of the chains sit in either mode. Every estimand, and every latent element, is unchanged by that flip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ._moments import Moments
from ._quadrature import fitted_axes, moments, normalised

if TYPE_CHECKING:
    import pymc

SIZES: tuple[int, ...] = (500, 5000, 50_000)
"""Numbers of observations."""

DISCRETE = False
"""Whether there are discrete free variables, which only PyMC's compound step samples."""

DATA_SHA256: dict[int, str] = {
    500: "592d45f16cfb1cd511ead4b72ad9800a7f4aaab4cfa0858fbed1b2ccd66a1c81",
    5000: "d8a3f66ea5a7274e73ca9af5f8d904f6da688446e34b14069bf1571f82958fbe",
    50_000: "514305609cf025f89bb7cab261d40cc02373d46ddf43caf0a7dd940cb08d871e",
}
"""Of the bytes of `data(n)`: float64, little-endian, C order."""

SEED = 6


def data(n: int) -> np.ndarray:
    """Observations, shape (2, n): w, z and the noise drawn in that order from `RandomState(6)`.

    That w is (-0.62, 1.46). Six decimals are kept, so that the last bit of a C library's logarithm is not data.
    """
    rng = np.random.RandomState(SEED)
    w = _true_w(rng)
    z = rng.normal(0.0, 1.0, size=(1, n))
    return np.round(w * z + rng.normal(0.0, 1.0, size=(2, n)), 6)


def _true_w(rng: np.random.RandomState) -> np.ndarray:
    return rng.normal(0.0, 2.0, size=(2, 1))


def true_axis(n: int) -> list[float]:
    """The direction, shape (2,), along which `data(n)` was made to vary: the w that it was drawn with."""
    return _true_w(np.random.RandomState(SEED))[:, 0].tolist()


def build(n: int) -> pymc.Model:
    """The PyMC model of `data(n)`."""
    import pymc as pm

    observed = data(n)
    with pm.Model() as model:
        w = pm.Normal("w", mu=0, sigma=2, shape=[2, 1], transform=pm.distributions.transforms.Ordered())
        z = pm.Normal("z", mu=0, sigma=1, shape=[n, 1])
        pm.Normal("x", mu=w.dot(z.T), sigma=1, shape=[2, n], observed=observed)
    return model


def estimands(posterior: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """The entries of w wᵀ, the mean square of z, and `fit`, the mean of xₙᵀ w zₙ: what w and z explain of the data
    together. z that belong to other observations, to another w or to none have another `fit`.

    From draws of `w` (chain, draw, 2, 1) and `z` (chain, draw, n, 1) to arrays of shape (chain, draw).
    """
    w1, w2 = posterior["w"][..., 0, 0], posterior["w"][..., 1, 0]
    zz, xz = _sums(posterior["z"][..., 0], n)
    fit = w1 * xz[..., 0] + w2 * xz[..., 1]
    return {"w1w1": w1 * w1, "w1w2": w1 * w2, "w2w2": w2 * w2, "zz": zz / n, "fit": fit / n}


def _sums(z: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Σ zₙ², of shape (chain, draw), and Σ zₙ xₙ, of shape (chain, draw, 2), for z of shape (chain, draw, n)."""
    return np.einsum("cdn,cdn->cd", z, z), z @ data(n).T


def latent(posterior: Mapping[str, np.ndarray], n: int, elements: slice) -> np.ndarray:
    """w₂ zₙ, what is fitted to each x₂ₙ, for these of the n observations: shape (chain, draw, elements)."""
    return posterior["w"][..., 1, :] * posterior["z"][..., elements, 0]


def log_density(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """The logarithm of the joint density of w, z and the data, shape (chain, draw)."""
    w, x = posterior["w"][..., 0], data(n)
    ww = (w**2).sum(axis=-1)
    zz, xz = _sums(posterior["z"][..., 0], n)
    squares = zz + (x**2).sum() - 2 * (w * xz).sum(axis=-1) + ww * zz + ww / 4
    return -0.5 * squares - 2 * np.log(2) - (3 * n + 2) / 2 * np.log(2 * np.pi)


def reference(n: int) -> dict[str, Moments]:
    """Exact moments of the estimands for `data(n)`."""
    return reference_for(data(n))


def reference_for(x: np.ndarray) -> dict[str, Moments]:
    """Exact moments of the estimands for observations of shape (2, n), by quadrature over w (`on_grid`).

    Given w and x, zₙ ~ Normal(wᵀxₙ/q, 1/q) independently, whence the first two moments of sums over n.
    """
    n = x.shape[1]
    w1, w2, q, wsw, log_density = on_grid(x)
    zz_mean = n / q + wsw / q**2
    zz_variance = 2 * n / q**2 + 4 * wsw / q**3
    fit_mean, fit_variance = wsw / q, wsw / q
    return moments(
        log_density,
        {
            "w1w1": (w1**2, w1**4),
            "w1w2": (w1 * w2, (w1 * w2) ** 2),
            "w2w2": (w2**2, w2**4),
            "zz": (zz_mean / n, (zz_variance + zz_mean**2) / n**2),
            "fit": (fit_mean / n, (fit_variance + fit_mean**2) / n**2),
        },
    )


def latent_reference(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact mean and sd of each of the n elements of `latent`, by the same quadrature.

    The mean of w₂ zₙ given w is w₂ wᵀxₙ/q, and its variance w₂²/q: both moments are quadratic in xₙ.
    """
    x = data(n)
    w1, w2, q, _, log_density = on_grid(x)
    weight = normalised(log_density)
    slope = np.stack(np.broadcast_arrays(w2 * w1 / q, w2 * w2 / q))
    mean_slope = np.einsum("ab,iab->i", weight, slope)
    apart = slope - mean_slope[:, None, None]
    covariance = np.einsum("ab,iab,jab->ij", weight, apart, apart)
    variance = (weight * w2**2 / q).sum() + np.einsum("in,ij,jn->n", x, covariance, x)
    return mean_slope @ x, np.sqrt(variance)


def on_grid(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """w₁, w₂, q, wᵀSw and the unnormalised log density of w given x, on a grid of w that fits the posterior.

    With z integrated out, xₙ ~ Normal(0, I + w wᵀ). By Sherman-Morrison, the log likelihood is, up to a constant,
    -n/2 log q + wᵀSw / 2q with q = 1 + |w|² and S = x xᵀ. The grid covers one of the two modes, since the other is
    its mirror image; the data must be clear enough that they do not touch (|w| far above 1/√n).
    """
    n = x.shape[1]
    scatter = x @ x.T

    def q_and_wsw(w1: np.ndarray, w2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w1, w2 = w1[:, None], w2[None, :]
        wsw = scatter[0, 0] * w1**2 + 2 * scatter[0, 1] * w1 * w2 + scatter[1, 1] * w2**2
        return 1 + w1**2 + w2**2, wsw

    def log_density(w1: np.ndarray, w2: np.ndarray) -> np.ndarray:
        q, wsw = q_and_wsw(w1, w2)
        return -n / 2 * np.log(q) + wsw / (2 * q) - (q - 1) / 8

    # The maximum of the likelihood: Tipping & Bishop, JRSS B 61 (1999), equation 7.
    values, vectors = np.linalg.eigh(scatter / n)
    center = vectors[:, -1] * np.sqrt(values[-1] - 1)
    axes = fitted_axes(log_density, center, scale=np.full(2, np.sqrt(values[-1] / n)), nodes=129)

    return axes[0][:, None], axes[1][None, :], *q_and_wsw(*axes), log_density(*axes)
