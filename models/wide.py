"""A regression on 80 predictors as it is written one by one: 80 scalar coefficients, each a random variable of its own,
and the sum of 80 products. What is easy on a sampler is hard on a compiler. It must not know how it is sampled.

    b_0, …, b_79 ~ Normal(0, 1)      noise ~ HalfNormal(1)      y ~ Normal(b_0 x_0 + … + b_79 x_79, noise)
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ._moments import Moments
from ._quadrature import moments, normalised

if TYPE_CHECKING:
    import pymc

SIZES: tuple[int, ...] = (200,)
"""Numbers of observations."""

DISCRETE = False
"""Whether there are discrete free variables, which only PyMC's compound step samples."""

DATA_SHA256: dict[int, str] = {
    200: "169cc25cfa76bd061c234ecd724c8476c52b7fc2ebd8b02689ce8d5ad781b7bf",
}
"""Of the bytes of `data(n)`: float64, little-endian, C order."""

COEFFICIENTS = 80


def data(n: int) -> np.ndarray:
    """80 predictors, standard normal, and observations, shape (81, n), drawn in this order from `RandomState(34)`:
    predictors, coefficients of sd 0.5, noise of sd 0.7.

    Six decimals are kept, so that the last bit of a C library's logarithm is not data.
    """
    rng = np.random.RandomState(34)
    x = np.round(rng.normal(size=(COEFFICIENTS, n)), 6)
    y = (0.5 * rng.normal(size=(COEFFICIENTS, 1)) * x).sum(axis=0) + 0.7 * rng.normal(size=n)
    return np.vstack([x, np.round(y, 6)])


def build(n: int) -> pymc.Model:
    """The PyMC model of `data(n)`."""
    import pymc as pm

    *x, y = data(n)
    with pm.Model() as model:
        coefficients = [pm.Normal(f"b_{j}", 0, 1) for j in range(COEFFICIENTS)]
        noise = pm.HalfNormal("noise", 1)
        mean = sum(b * of_predictor for b, of_predictor in zip(coefficients, x, strict=True))
        pm.Normal("y", mean, noise, observed=y)
    return model


def latent(posterior: Mapping[str, np.ndarray], n: int, elements: slice) -> np.ndarray:
    """These of the 80 coefficients, shape (chain, draw, elements)."""
    return np.stack([posterior[f"b_{j}"] for j in range(COEFFICIENTS)[elements]], axis=-1)


def estimands(posterior: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """The noise, the first and the last coefficient, the sum of all, and `fit`, the mean of y times what is fitted.

    From draws of `b_j` and `noise`, each of shape (chain, draw), to the same shape.
    """
    drawn = latent(posterior, n, slice(None)) @ _weights(n).T
    return {"noise": posterior["noise"], **{name: drawn[..., k] for k, name in enumerate(_OF_COEFFICIENTS)}}


_OF_COEFFICIENTS = ("b_0", "b_79", "sum", "fit")


def _weights(n: int) -> np.ndarray:
    """The estimands that are sums of coefficients, by what each counts: shape (4, 80)."""
    *x, y = data(n)
    one = np.eye(COEFFICIENTS)
    return np.stack([one[0], one[-1], np.ones(COEFFICIENTS), np.array(x) @ y / n])


def log_density(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """The logarithm of the joint density of all b, log(noise) and the data, shape (chain, draw)."""
    *x, y = data(n)
    b, noise = latent(posterior, n, slice(None)), posterior["noise"]
    squares = ((y - b @ np.array(x)) ** 2).sum(axis=-1)
    # The last term but the constants is the Jacobian of the logarithm.
    log_prior = -0.5 * (b**2).sum(axis=-1) + np.log(2) - 0.5 * noise**2 + np.log(noise)
    return log_prior - 0.5 * squares / noise**2 - n * np.log(noise) - (COEFFICIENTS + 1 + n) / 2 * np.log(2 * np.pi)


def reference(n: int) -> dict[str, Moments]:
    """Exact moments of the estimands for `data(n)`: given the noise all else is normal; quadrature over log(noise)."""
    noise, log_density, means, variances = _on_grid(n, _weights(n))
    given = {"noise": (noise, noise**2)}
    for name, mean, variance in zip(_OF_COEFFICIENTS, means, variances, strict=True):
        given[name] = mean, variance + mean**2
    return moments(log_density, given)


def latent_reference(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact mean and sd of each of the 80 coefficients, by the same quadrature."""
    _, log_density, means, variances = _on_grid(n, np.eye(COEFFICIENTS))
    weight = normalised(log_density)
    mean = means @ weight
    return mean, np.sqrt((variances + (means - mean[:, None]) ** 2) @ weight)


@functools.cache
def _decomposed(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Eigenvalues and eigenvectors of X Xᵀ, X y in their terms, and yᵀ y."""
    *x, y = data(n)
    values, vectors = np.linalg.eigh(np.array(x) @ np.transpose(x))
    return values, vectors, vectors.T @ np.array(x) @ y, float(y @ y)


def _on_grid(n: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values of the noise, equal steps of its logarithm; their unnormalised log density given the data; and given
    them, means and variances of sums of coefficients by these weights, shape (sums, values)."""
    log_noise = np.linspace(-2.0, 1.0, 257)
    precision = np.exp(-2 * log_noise)
    values, vectors, xy, yy = _decomposed(n)
    variance = 1 / (1 + values * precision[:, None])
    squares = precision * (yy - precision * (variance * xy**2).sum(axis=-1))
    # The last term is the Jacobian of the logarithm.
    log_density = -n * log_noise + 0.5 * np.log(variance).sum(axis=-1) - 0.5 * squares
    log_density += -0.5 * np.exp(2 * log_noise) + log_noise
    turned = weights @ vectors
    return np.exp(log_noise), log_density, turned @ (variance * xy).T * precision, turned**2 @ variance.T
