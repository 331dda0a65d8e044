"""Probabilistic principal component analysis: two dimensions, one latent one. It is the model of PyMC's "Faster
Sampling with JAX and Numba" notebook. It must not know how it is sampled.

    w ~ Normal(0, 2), shape [2, 1]      z ~ Normal(0, 1), shape [n, 1]      x ~ Normal(w zᵀ, 1), shape [2, n]

The `Ordered` transform acts on an axis of length one and does nothing, so that (w, z) and (-w, -z) are equally
likely and half of the chains sit in either mode. Every estimand is unchanged by that flip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ._moments import Moments
from ._quadrature import fitted_axes, moments

if TYPE_CHECKING:
    import pymc

SIZES: tuple[int, ...] = (500, 5000)
"""Numbers of observations."""

DISCRETE = False
"""Whether there are discrete free variables, which only PyMC's compound step samples."""

DATA_SHA256: dict[int, str] = {
    500: "592d45f16cfb1cd511ead4b72ad9800a7f4aaab4cfa0858fbed1b2ccd66a1c81",
    5000: "d8a3f66ea5a7274e73ca9af5f8d904f6da688446e34b14069bf1571f82958fbe",
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
    """The entries of w wᵀ, and the mean square of z as the check of the latent variables.

    From draws of `w` (chain, draw, 2, 1) and `z` (chain, draw, n, 1) to arrays of shape (chain, draw).
    """
    w1, w2 = posterior["w"][..., 0, 0], posterior["w"][..., 1, 0]
    z = posterior["z"][..., 0]
    return {"w1w1": w1 * w1, "w1w2": w1 * w2, "w2w2": w2 * w2, "zz": np.einsum("cdn,cdn->cd", z, z) / n}


def reference(n: int) -> dict[str, Moments]:
    """Exact moments of the estimands for `data(n)`."""
    return reference_for(data(n))


def reference_for(x: np.ndarray) -> dict[str, Moments]:
    """Exact moments of the estimands for observations of shape (2, n), by quadrature over w.

    With z integrated out, xₙ ~ Normal(0, I + w wᵀ). By Sherman-Morrison, the log likelihood is, up to a constant,
    -n/2 log q + wᵀSw / 2q with q = 1 + |w|² and S = x xᵀ. Given w and x, zₙ ~ Normal(wᵀxₙ/q, 1/q) independently,
    whence the first two moments of Σ zₙ². The quadrature covers one of the two modes, since the other is its
    mirror image; the data must be clear enough that they do not touch (|w| far above 1/√n).
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

    w1, w2 = axes[0][:, None], axes[1][None, :]
    q, wsw = q_and_wsw(*axes)
    zz_mean = n / q + wsw / q**2
    zz_variance = 2 * n / q**2 + 4 * wsw / q**3
    return moments(
        log_density(*axes),
        {
            "w1w1": (w1**2, w1**4),
            "w1w2": (w1 * w2, (w1 * w2) ** 2),
            "w2w2": (w2**2, w2**4),
            "zz": (zz_mean / n, (zz_variance + zz_mean**2) / n**2),
        },
    )
