"""A Gaussian process in one dimension, its function integrated out: a Matérn 5/2 kernel and noise, as in PyMC's
notebook on marginal likelihoods, with narrower priors of amplitude and noise. A factorisation of an n by n matrix in
each leapfrog step is what it costs. It must not know how it is sampled.

    length_scale ~ Gamma(2, 1)      amplitude ~ HalfNormal(2)      noise ~ HalfNormal(1)
    y ~ Normal(0, amplitude² K(length_scale) + (noise² + 10⁻⁶) I), K the kernel at n points

The millionth is the jitter that `pm.gp.Marginal` adds. What is about the function itself is drawn after sampling, given
each draw of the three, which makes it a draw from the joint posterior.

At equal distances, the kernel is that of a Markov process of three components, the function and its first two
derivatives (J. Hartikainen and S. Särkkä, "Kalman filtering and smoothing solutions to temporal Gaussian process
regression models", MLSP 2010), so that densities and functions of thousands of draws are recursions of n steps.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ._moments import Moments
from ._quadrature import box, moments, normalised

if TYPE_CHECKING:
    import pymc

SIZES: tuple[int, ...] = (100, 400)
"""Numbers of observations."""

DISCRETE = False
"""Whether there are discrete free variables, which only PyMC's compound step samples."""

DATA_SHA256: dict[int, str] = {
    100: "4bc28175b9998d7ae1d05737e20787406a1c311e83a49bc46ccddf7957711250",
    400: "b53e5c5234774d80268b9837c769f185e517fbbfd444a193394db4278c46c6a9",
}
"""Of the bytes of `data(n)`: float64, little-endian, C order."""

JITTER = 1e-6
"""What `pm.gp.Marginal` adds to the diagonal."""

_AMPLITUDE_SD, _NOISE_SD = 2.0, 1.0
_SEED = 31


def points(n: int) -> np.ndarray:
    """Where the function is observed: n equal steps from 0 to 10, shape (n,)."""
    return np.linspace(0.0, 10.0, n)


def data(n: int) -> np.ndarray:
    """Observations at `points(n)`, shape (n,): two sines, and noise of 0.3 from `RandomState(32)`.

    Six decimals are kept, so that the last bit of a C library's sine is not data.
    """
    x = points(n)
    return np.round(np.sin(x) + 0.6 * np.sin(2.3 * x + 1) + 0.3 * np.random.RandomState(32).normal(size=n), 6)


def build(n: int) -> pymc.Model:
    """The PyMC model of `data(n)`."""
    import pymc as pm

    with pm.Model() as model:
        length_scale = pm.Gamma("length_scale", alpha=2, beta=1)
        amplitude = pm.HalfNormal("amplitude", sigma=_AMPLITUDE_SD)
        noise = pm.HalfNormal("noise", sigma=_NOISE_SD)
        process = pm.gp.Marginal(cov_func=amplitude**2 * pm.gp.cov.Matern52(1, ls=length_scale))
        process.marginal_likelihood("y", X=points(n)[:, None], y=data(n), sigma=noise)
    return model


def estimands(posterior: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """The three hyperparameters, and the function at the first point and at that in the middle.

    From draws of the hyperparameters (chain, draw) to the same shape.
    """
    function = functions(posterior, n)
    return {
        **{name: posterior[name] for name in ("length_scale", "amplitude", "noise")},
        "first": function[..., 0],
        "middle": function[..., n // 2],
    }


def latent(posterior: Mapping[str, np.ndarray], n: int, elements: slice) -> np.ndarray:
    """The function at these of ten points, shape (chain, draw, elements): others between them say the same again."""
    return functions(posterior, n)[..., :: n // 10][..., elements]


def functions(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """The function at the n points, shape (chain, draw, n).

    It is drawn from `RandomState(31)`: the same draws give the same functions. What the data say of it is added to a
    function and data that are drawn from the model: the simulation smoother of J. Durbin and S. J. Koopman, Biometrika
    89, 2002, 603-616.
    """
    shape = posterior["length_scale"].shape
    rng = np.random.RandomState(_SEED)
    matrix, noise, state_covariance, variance = _steps(posterior, n)
    state = _product(_root(state_covariance), rng.normal(size=(3, 1, *shape)))
    root, function = _root(noise), np.empty((n, *shape))
    for i in range(n):
        function[i] = state[0, 0]
        state = _product(matrix, state) + _product(root, rng.normal(size=(3, 1, *shape)))
    simulated = function + np.sqrt(variance) * rng.normal(size=(n, *shape))
    apart = data(n).reshape(n, *(1,) * len(shape)) - simulated
    innovations, variances, columns, expected = _filtered(posterior, n, apart)
    # What later data say of each state, backwards.
    later = np.zeros((3, *shape))
    for i in reversed(range(n)):
        gain = (_product(matrix, columns[i][:, None])[:, 0] * later).sum(axis=0) / variances[i]
        later = _product(np.swapaxes(matrix, 0, 1), later[:, None])[:, 0]
        later[0] += innovations[i] / variances[i] - gain
        function[i] += expected[i] + (columns[i] * later).sum(axis=0)
    return np.moveaxis(function, 0, -1)


def log_density(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """The logarithm of the joint density of the three logarithms and the data, shape (chain, draw)."""
    innovations, variances, *_ = _filtered(posterior, n, data(n).reshape(n, *(1,) * posterior["noise"].ndim))
    log_likelihood = -0.5 * (innovations**2 / variances + np.log(2 * np.pi * variances)).sum(axis=0)
    return log_likelihood + _log_prior(*(posterior[name] for name in ("length_scale", "amplitude", "noise")))


def _log_prior(length_scale: np.ndarray, amplitude: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Of the logarithms: with their Jacobians."""
    log_prior = 2 * np.log(length_scale) - length_scale
    for x, sd in ((amplitude, _AMPLITUDE_SD), (noise, _NOISE_SD)):
        log_prior = log_prior + np.log(2 / sd) - 0.5 * np.log(2 * np.pi) - 0.5 * (x / sd) ** 2 + np.log(x)
    return log_prior


def _steps(posterior: Mapping[str, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The Markov process of (f, f'/r, f''/r²), with the rate r = √5 / length_scale: the matrix that takes its mean from
    a point to the next, the covariance of what comes to it, and its own, each (3, 3, *shape); the variance of noise.
    """
    a = np.sqrt(5) / posterior["length_scale"] * (points(n)[1] - points(n)[0])
    matrix = np.exp(-a) * np.array(
        [
            [1 + a + a**2 / 2, a * (1 + a), a**2 / 2],
            [-(a**2) / 2, 1 + a - a**2, a * (1 - a / 2)],
            [a * (a - 2) / 2, a * (a - 3), 1 - 2 * a + a**2 / 2],
        ]
    )
    third = 1 / 3
    own = np.array([[1, 0, -third], [0, third, 0], [-third, 0, 1]]).reshape(3, 3, *(1,) * a.ndim)
    own = own * posterior["amplitude"] ** 2
    noise = own - _product(_product(matrix, own), np.swapaxes(matrix, 0, 1))
    return matrix, noise, own, posterior["noise"] ** 2 + JITTER


def _filtered(posterior: Mapping[str, np.ndarray], n: int, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Kalman's filter over data of shape (n, *shape): innovations with their variances, and what is said of each state
    by the data before it, the function's column of the covariance (n, 3, *shape) and its mean."""
    matrix, noise, covariance, variance = _steps(posterior, n)
    shape, transposed = variance.shape, np.swapaxes(matrix, 0, 1)
    mean = np.zeros((3, 1, *shape))
    innovations, variances, expected, columns = *np.empty((3, n, *shape)), np.empty((n, 3, *shape))
    for i in range(n):
        columns[i], expected[i] = covariance[:, 0], mean[0, 0]
        variances[i] = covariance[0, 0] + variance
        innovations[i] = y[i] - mean[0, 0]
        gain = columns[i] / variances[i]
        mean = _product(matrix, mean + gain[:, None] * innovations[i])
        covariance = _product(_product(matrix, covariance - gain[:, None] * columns[i]), transposed) + noise
    return innovations, variances, columns, expected


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of matrices whose rows and columns are the first two axes."""
    return (a[:, :, None] * b[None]).sum(axis=1)


def _root(covariance: np.ndarray) -> np.ndarray:
    """R with R Rᵀ = covariance, which may be singular, and by rounding a little less."""
    values, vectors = np.linalg.eigh(np.moveaxis(covariance, (0, 1), (-2, -1)))
    return np.moveaxis(vectors * np.sqrt(np.maximum(values, 0))[..., None, :], (-2, -1), (0, 1))


def kernel(distance: np.ndarray, length_scale: float) -> np.ndarray:
    """Matérn 5/2, of variance 1."""
    a = np.sqrt(5) * distance / length_scale
    return (1 + a + a**2 / 3) * np.exp(-a)


def reference(n: int) -> dict[str, Moments]:
    """Exact moments of the estimands for `data(n)`: quadrature over the logarithms of the three."""
    axes, log_density, of_length_scales = _on_grid(n)
    length_scale, amplitude, noise = np.meshgrid(*map(np.exp, axes), indexing="ij", sparse=True)
    given = {"length_scale": length_scale, "amplitude": amplitude, "noise": noise}
    given = {name: (x, x**2) for name, x in given.items()}
    wanted = {"first": 0, "middle": n // 2}
    found = [_function_given(axes, decomposition, list(wanted.values())) for decomposition in of_length_scales]
    for k, name in enumerate(wanted):
        mean, variance = (np.stack([moment[..., k] for moment in moments_]) for moments_ in zip(*found, strict=True))
        given[name] = mean, variance + mean**2
    return moments(log_density, given)


def latent_reference(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact mean and sd of the function at each of ten points, by the same quadrature."""
    axes, log_density, of_length_scales = _on_grid(n)
    first, square = np.zeros(10), np.zeros(10)
    for weight, decomposition in zip(normalised(log_density), of_length_scales, strict=True):
        mean, variance = _function_given(axes, decomposition, slice(None, None, n // 10))
        first += np.einsum("ab,abn->n", weight, mean)
        square += np.einsum("ab,abn->n", weight, variance + mean**2)
    return first, np.sqrt(square - first**2)


_BOX = {
    100: ((0.15, 0.5, -1.2), (0.28, 0.3, 0.09)),
    400: ((0.45, 0.5, -1.2), (0.24, 0.3, 0.04)),
}
"""Mean and sd of the three logarithms in the posterior, roughly: the grid is 8 sd wide on either side."""

_Decomposition = tuple[np.ndarray, np.ndarray, np.ndarray]


@functools.cache
def _on_grid(n: int) -> tuple[list[np.ndarray], np.ndarray, list[_Decomposition]]:
    """Axes of the three logarithms, the unnormalised log density on their grid given the data, and for each length
    scale the eigenvalues and eigenvectors of the kernel, with the data in their terms."""
    axes = box(*map(np.array, _BOX[n]), nodes=41)
    x, y = points(n), data(n)
    log_density, decompositions = [], []
    for length_scale in np.exp(axes[0]):
        values, vectors = np.linalg.eigh(kernel(np.abs(x[:, None] - x), length_scale))
        decompositions.append((np.maximum(values, 0), vectors, vectors.T @ y))
        _, variance = _variances(axes, decompositions[-1])
        squares = decompositions[-1][2] ** 2 / variance
        prior = _log_prior(length_scale, np.exp(axes[1])[:, None], np.exp(axes[2])[None, :])
        log_density.append(prior - 0.5 * (np.log(variance) + squares).sum(axis=-1))
    return axes, np.stack(log_density), decompositions


def _variances(axes: list[np.ndarray], decomposition: _Decomposition) -> tuple[np.ndarray, np.ndarray]:
    """Along the eigenvectors, of the function and of the data, shape (amplitudes, noises, n)."""
    of_function = np.exp(2 * axes[1])[:, None, None] * decomposition[0]
    return of_function, of_function + np.exp(2 * axes[2])[:, None] + JITTER


def _function_given(axes: list[np.ndarray], decomposition: _Decomposition, at: slice | list[int]) -> tuple:
    """Mean and variance of the function at these points, given a length scale: (amplitudes, noises, points)."""
    _, vectors, y = decomposition
    of_function, of_data = _variances(axes, decomposition)
    weight = of_function / of_data
    return (weight * y) @ vectors[at].T, (of_function * (1 - weight)) @ (vectors[at] ** 2).T
