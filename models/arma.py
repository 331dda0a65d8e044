"""A time series, ARMA(1, 1), whose residuals are computed one after the other by a loop, as users write it: the loop,
and its gradient, is what it costs. It must not know how it is sampled.

    level ~ Normal(0, 10)      ar, ma ~ Normal(0, 2)      noise ~ HalfCauchy(2.5)
    y_0 = level + ar level + e_0      y_t = level + ar y_{t-1} + ma e_{t-1} + e_t      e_t ~ Normal(0, noise)

Priors and the first step are those of posteriordb's `arma-arma11`, after the Stan user's guide, whose noise is wider.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ._moments import Moments
from ._quadrature import fitted_axes, moments

if TYPE_CHECKING:
    import pymc

SIZES: tuple[int, ...] = (200,)
"""Numbers of observations."""

DISCRETE = False
"""Whether there are discrete free variables, which only PyMC's compound step samples."""

DATA_SHA256: dict[int, str] = {
    200: "1f0fb7b9694eddeaf36a89ffcdca00622d012180046e1bba269bc1f846201876",
}
"""Of the bytes of `data(n)`: float64, little-endian, C order."""

_LEVEL_SD, _COEFFICIENT_SD, _NOISE_SCALE = 10.0, 2.0, 2.5
_CENTER, _SCALE = (0.4, 0.6, 0.4, -0.7), (0.1, 0.08, 0.09, 0.05)
"""Level, ar, ma and log(noise) in the posterior, roughly, and their sd: where the quadrature looks first."""


def data(n: int) -> np.ndarray:
    """Observations, shape (n,), of level 0.4, ar 0.6, ma 0.4 and noise 0.5, which is drawn from `RandomState(33)`.

    Six decimals are kept, so that the last bit of a C library's logarithm is not data.
    """
    errors = 0.5 * np.random.RandomState(33).normal(size=n)
    y = [0.4 + 0.6 * 0.4 + errors[0]]
    for t in range(1, n):
        y.append(0.4 + 0.6 * y[-1] + 0.4 * errors[t - 1] + errors[t])
    return np.round(y, 6)


def build(n: int) -> pymc.Model:
    """The PyMC model of `data(n)`."""
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    y = data(n)

    def residual(now, before, residual_before, level, ar, ma):
        return now - level - ar * before - ma * residual_before

    with pm.Model() as model:
        level = pm.Normal("level", 0, _LEVEL_SD)
        ar = pm.Normal("ar", 0, _COEFFICIENT_SD)
        ma = pm.Normal("ma", 0, _COEFFICIENT_SD)
        noise = pm.HalfCauchy("noise", _NOISE_SCALE)
        first = y[0] - level - ar * level
        others, _ = pytensor.scan(
            residual,
            sequences=[pt.as_tensor(y[1:]), pt.as_tensor(y[:-1])],
            outputs_info=[first],
            non_sequences=[level, ar, ma],
        )
        residuals = pt.concatenate([first[None], others])
        pm.Normal("y", y - residuals, noise, observed=y)
    return model


def estimands(posterior: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """The four parameters, and five of the residuals, from the first to the last, on which a forecast stands: all of
    them are functions of three parameters, and the others say the same again. Each of shape (chain, draw)."""
    of_parameters = {name: posterior[name] for name in ("level", "ar", "ma", "noise")}
    return of_parameters | _chosen(residuals(n, *(posterior[name] for name in ("level", "ar", "ma"))), n)


def _chosen(every: Iterable[np.ndarray], n: int) -> dict[str, np.ndarray]:
    chosen = {0, n // 4, n // 2, 3 * n // 4, n - 1}
    return {f"residual_{t}": residual for t, residual in enumerate(every) if t in chosen}


def residuals(n: int, level: np.ndarray, ar: np.ndarray, ma: np.ndarray) -> Iterator[np.ndarray]:
    """One after the other, each of the shape of the parameters."""
    y = data(n)
    residual = y[0] - level - ar * level
    yield residual
    for t in range(1, n):
        residual = y[t] - level - ar * y[t - 1] - ma * residual
        yield residual


def log_density(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """The logarithm of the joint density of level, ar, ma, log(noise) and the data, shape (chain, draw)."""
    level, ar, ma, noise = (posterior[name] for name in ("level", "ar", "ma", "noise"))
    return _log_density(n, level, ar, ma, noise, sum(e**2 for e in residuals(n, level, ar, ma)))


def _log_density(n: int, level, ar, ma, noise, squares) -> np.ndarray:
    """Given the sum of the squares of the residuals."""
    prior = -0.5 * ((level / _LEVEL_SD) ** 2 + (ar / _COEFFICIENT_SD) ** 2 + (ma / _COEFFICIENT_SD) ** 2)
    # The last term is the Jacobian of the logarithm.
    prior = prior + np.log(2 / (np.pi * _NOISE_SCALE)) - np.log1p((noise / _NOISE_SCALE) ** 2) + np.log(noise)
    constants = np.log(_LEVEL_SD * _COEFFICIENT_SD**2) + (n + 3) / 2 * np.log(2 * np.pi)
    return prior - 0.5 * squares / noise**2 - n * np.log(noise) - constants


def reference(n: int) -> dict[str, Moments]:
    """Exact moments of the estimands for `data(n)`, by quadrature over all four."""
    axes = _axes(n)
    level, ar, ma, log_noise = np.meshgrid(*axes, indexing="ij", sparse=True)
    given = {"level": level, "ar": ar, "ma": ma, "noise": np.exp(log_noise)}
    given |= _chosen(residuals(n, level, ar, ma), n)
    return moments(_on_grid(n, *axes), {name: (x, x**2) for name, x in given.items()})


def _axes(n: int) -> list[np.ndarray]:
    return fitted_axes(lambda *axes: _on_grid(n, *axes), _CENTER, _SCALE, nodes=41)


def _on_grid(n: int, *axes: np.ndarray) -> np.ndarray:
    """The unnormalised log density on the product grid of level, ar, ma and log(noise)."""
    level, ar, ma, log_noise = np.meshgrid(*axes, indexing="ij", sparse=True)
    squares = sum(e**2 for e in residuals(n, level, ar, ma))
    return _log_density(n, level, ar, ma, np.exp(log_noise), squares)
