"""Radon in the houses of Minnesota: the hierarchical regression that every PyMC user knows, whose intercepts and slopes
vary by county, in 85 counties of one to 116 houses. Indexing into groups is what it costs. It must not know how it is
sampled.

    log radon_i ~ Normal(intercept_j + slope_j floor_i, house_sd), house i in county j
    intercept_j = intercept + uranium log(uranium_j) + county_sd a_j        a_j ~ Normal(0, 1)
    slope_j = floor + floor_sd b_j                                          b_j ~ Normal(0, 1)
    intercept, uranium, floor ~ Normal(0, 2)      county_sd, floor_sd, house_sd ~ HalfNormal(1)

The model is that of A. Gelman and J. Hill, "Data Analysis Using Regression and Multilevel/Hierarchical Models",
Cambridge 2007, chapters 12 and 13, non-centred. The data, `_radon.csv`, are those of the book: the survey of the United
States Environmental Protection Agency (S. F. Price, A. V. Nero and A. Gelman, Health Physics 71, 1996, 922-936):
activity in pCi/L, 1 for a measurement on the first floor and 0 in the basement, and the county's uranium in ppm.
Three houses have an activity of zero, which stands as 0.1, as in the book.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ._moments import Moments
from ._quadrature import moments, normalised

if TYPE_CHECKING:
    import pymc

SIZES: tuple[int, ...] = (919,)
"""Numbers of observations: houses."""

DISCRETE = False
"""Whether there are discrete free variables, which only PyMC's compound step samples."""

DATA_SHA256: dict[int, str] = {
    919: "bd8cf5be60a24122c764a06c9a5cbec9671f96d775cae6130ce4258e017d06aa",
}
"""Of the bytes of `data(n)`: float64, little-endian, C order."""

COUNTIES = 85
ST_LOUIS, COOK = 72, 15
"""The county with most houses, and one with two."""

_COEFFICIENT_SD = 2.0


@functools.cache
def _houses() -> tuple[dict[str, str], ...]:
    with Path(__file__).with_name("_radon.csv").open(encoding="ascii", newline="") as file:
        return tuple(csv.DictReader(file))


def county_names() -> list[str]:
    """In the order of their indices, which is that of the alphabet."""
    return sorted({house["county"] for house in _houses()})


def data(n: int) -> np.ndarray:
    """Of each house: log radon, floor, index of the county, log uranium of the county. Shape (4, 919).

    Six decimals are kept, so that the last bit of a C library's logarithm is not data.
    """
    index = {name: float(j) for j, name in enumerate(county_names())}
    rows = [
        (max(float(h["radon_pci_per_l"]), 0.1), float(h["floor"]), index[h["county"]], float(h["uranium_ppm"]))
        for h in _houses()
    ]
    radon, floor, county, uranium = np.array(rows).T
    return np.stack([np.round(np.log(radon), 6), floor, county, np.round(np.log(uranium), 6)])


def build(n: int) -> pymc.Model:
    """The PyMC model of `data(n)`, non-centred."""
    import pymc as pm

    log_radon, floor, county, log_uranium = data(n)
    county = county.astype("int64")
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, _COEFFICIENT_SD)
        uranium = pm.Normal("uranium", 0, _COEFFICIENT_SD)
        slope = pm.Normal("floor", 0, _COEFFICIENT_SD)
        county_sd = pm.HalfNormal("county_sd", 1)
        floor_sd = pm.HalfNormal("floor_sd", 1)
        house_sd = pm.HalfNormal("house_sd", 1)
        a = pm.Normal("a", 0, 1, shape=COUNTIES)
        b = pm.Normal("b", 0, 1, shape=COUNTIES)
        intercepts = intercept + uranium * of_counties(log_uranium, county) + county_sd * a
        slopes = slope + floor_sd * b
        pm.Normal("log_radon", intercepts[county] + slopes[county] * floor, house_sd, observed=log_radon)
    return model


def of_counties(of_houses: np.ndarray, county: np.ndarray) -> np.ndarray:
    """What all houses of a county have in common, shape (85,)."""
    return of_houses[np.unique(county, return_index=True)[1]]


def estimands(posterior: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """The six hyperparameters, and the intercepts of a county with many houses and of one with two.

    From draws of the hyperparameters (chain, draw) and of `a` (chain, draw, 85) to shape (chain, draw).
    """
    found = {name: posterior[name] for name in _HYPERPARAMETERS}
    counties = _intercepts(posterior, n, np.array([ST_LOUIS, COOK]))
    return {**found, "st_louis": counties[..., 0], "cook": counties[..., 1]}


_HYPERPARAMETERS = ("intercept", "uranium", "floor", "county_sd", "floor_sd", "house_sd")


def _intercepts(posterior: Mapping[str, np.ndarray], n: int, counties: np.ndarray) -> np.ndarray:
    _, _, county, log_uranium = data(n)
    level, uranium, sd = (posterior[name][..., None] for name in ("intercept", "uranium", "county_sd"))
    return level + uranium * of_counties(log_uranium, county)[counties] + sd * posterior["a"][..., counties]


def latent(posterior: Mapping[str, np.ndarray], n: int, elements: slice) -> np.ndarray:
    """The counties' intercepts, then their slopes, for these of the 170: shape (chain, draw, elements)."""
    chosen = np.arange(2 * COUNTIES)[elements]
    slopes = posterior["b"][..., chosen[chosen >= COUNTIES] - COUNTIES]
    floor, sd = (posterior[name][..., None] for name in ("floor", "floor_sd"))
    return np.concatenate([_intercepts(posterior, n, chosen[chosen < COUNTIES]), floor + sd * slopes], axis=-1)


def log_density(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """The logarithm of the joint density of the three coefficients, the logarithms of the three sd, a, b and the data,
    shape (chain, draw)."""
    coefficients = np.stack([posterior[name] for name in ("intercept", "uranium", "floor")], axis=-1)
    sds = np.stack([posterior[name] for name in ("county_sd", "floor_sd", "house_sd")], axis=-1)
    counties, z = latent(posterior, n, slice(None)), np.concatenate([posterior["a"], posterior["b"]], axis=-1)
    _, _, (n00, n01, n11), (t0, t1), yy = _sums(n)
    a, b = counties[..., :COUNTIES], counties[..., COUNTIES:]
    squares = yy + (a * a * n00 + 2 * a * b * n01 + b * b * n11 - 2 * a * t0 - 2 * b * t1).sum(axis=-1)
    log_prior = -0.5 * ((coefficients / _COEFFICIENT_SD) ** 2).sum(axis=-1) - 3 * np.log(_COEFFICIENT_SD)
    # Half normal distributions, with the Jacobians of the logarithms.
    log_prior += (np.log(2) - 0.5 * sds**2 + np.log(sds)).sum(axis=-1) - 0.5 * (z**2).sum(axis=-1)
    constants = (3 + 3 + 2 * COUNTIES + n) / 2 * np.log(2 * np.pi)
    return log_prior - 0.5 * squares / sds[..., 2] ** 2 - n * np.log(sds[..., 2]) - constants


@functools.cache
def _sums(n: int) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...], tuple[np.ndarray, ...], float]:
    """Per county: houses, log uranium, the sums of (1, floor)(1, floor)ᵀ and of (1, floor) y; and Σ y² of all."""
    y, floor, county, log_uranium = data(n)
    of_county = county == np.arange(COUNTIES)[:, None]
    houses, upstairs = of_county.sum(axis=1).astype(float), of_county @ floor
    return (
        houses, of_counties(log_uranium, county), (houses, upstairs, upstairs),
        (of_county @ y, of_county @ (floor * y)), float(y @ y),
    )  # fmt: skip


def reference(n: int) -> dict[str, Moments]:
    """Exact moments of the estimands for `data(n)`: given the three sd all else is normal; quadrature over them."""
    sds, log_density, mean, covariance, counties = _on_grid(n)
    given = {}
    for k, name in enumerate(("intercept", "uranium", "floor")):
        given[name] = mean[..., k], covariance[..., k, k] + mean[..., k] ** 2
    for name, sd in zip(("county_sd", "floor_sd", "house_sd"), sds, strict=True):
        given[name] = sd, sd**2
    for name, j in (("st_louis", ST_LOUIS), ("cook", COOK)):
        expected, variance = counties(j)[0]
        given[name] = expected, variance + expected**2
    return moments(log_density, given)


def latent_reference(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact mean and sd of each of the 170 elements of `latent`, by the same quadrature."""
    _, log_density, _, _, counties = _on_grid(n)
    weight = normalised(log_density)
    means, sds = np.empty((2, COUNTIES)), np.empty((2, COUNTIES))
    for j in range(COUNTIES):
        for k, (expected, variance) in enumerate(counties(j)):
            means[k, j] = (weight * expected).sum()
            sds[k, j] = np.sqrt((weight * (variance + (expected - means[k, j]) ** 2)).sum())
    return means.ravel(), sds.ravel()


@functools.cache
def _on_grid(n: int):
    """A grid of the three sd, and what `given_sds` says of it.

    Every density is even in the sd of counties, so that the trapezoidal rule over all numbers, of which both halves are
    equal, is as good at zero as elsewhere; there, it counts half.
    """
    sds = np.meshgrid(
        np.linspace(0.0, 0.5, 65), np.linspace(0.0, 1.0, 65), np.linspace(0.62, 0.9, 25), indexing="ij", sparse=True
    )
    log_density, *given = given_sds(n, *sds)
    log_density[0] -= np.log(2)
    log_density[:, 0] -= np.log(2)
    return sds, log_density, *given


def given_sds(n: int, county_sd: np.ndarray, floor_sd: np.ndarray, house_sd: np.ndarray):
    """Of arrays that broadcast: the unnormalised log density of the three sd given the data; mean (…, 3) and covariance
    (…, 3, 3) of the coefficients given them; and a function that gives mean and variance of a county's intercept, and
    of its slope.

    With S = diag(county_sd, floor_sd), W = Zᵀ Z and t = Zᵀ y of a county, where the columns of Z are one and floor, and
    its coefficients C β + S z, where β are the three: y ~ Normal(Z C β, house_sd² + Z S² Zᵀ). By Woodbury's identity
    all goes through K = S A⁻¹ S, A = 1 + S W S / house_sd², of two rows.
    """
    _, log_uranium, *_ = sums = _sums(n)
    precision, shape = 1 / house_sd**2, np.broadcast_shapes(*(x.shape for x in (county_sd, floor_sd, house_sd)))

    def county(j: int) -> tuple[tuple, tuple, tuple, np.ndarray]:
        """W, t, K (by their entries) and log det A."""
        w, t = tuple(x[j] for x in sums[2]), tuple(x[j] for x in sums[3])
        a00, a11 = 1 + county_sd**2 * w[0] * precision, 1 + floor_sd**2 * w[2] * precision
        a01 = county_sd * floor_sd * w[1] * precision
        determinant = a00 * a11 - a01**2
        k = county_sd**2 * a11, -county_sd * floor_sd * a01, floor_sd**2 * a00
        return w, t, tuple(x / determinant for x in k), np.log(determinant)

    p, h = np.zeros((*shape, 3, 3)) + np.eye(3) / _COEFFICIENT_SD**2, np.zeros((*shape, 3))
    log_density = -n * np.log(house_sd) - 0.5 * sums[4] * precision + np.zeros(shape)
    for j, u in enumerate(log_uranium):
        (w0, w01, w1), (t0, t1), (k0, k01, k1), log_determinant = county(j)
        log_density += 0.5 * precision**2 * (k0 * t0**2 + 2 * k01 * t0 * t1 + k1 * t1**2) - 0.5 * log_determinant
        # W K / house_sd², and what is left of W and of t without it.
        g00, g01 = (w0 * k0 + w01 * k01) * precision, (w0 * k01 + w01 * k1) * precision
        g10, g11 = (w01 * k0 + w1 * k01) * precision, (w01 * k01 + w1 * k1) * precision
        m0, m01, m1 = w0 - g00 * w0 - g01 * w01, w01 - g00 * w01 - g01 * w1, w1 - g10 * w01 - g11 * w1
        left0, left1 = t0 - g00 * t0 - g01 * t1, t1 - g10 * t0 - g11 * t1
        for row, column, value in (
            (0, 0, m0),
            (0, 1, u * m0),
            (1, 1, u * u * m0),
            (0, 2, m01),
            (1, 2, u * m01),
            (2, 2, m1),
        ):
            p[..., row, column] += precision * value
            if row != column:
                p[..., column, row] += precision * value
        for row, value in enumerate((left0, u * left0, left1)):
            h[..., row] += precision * value
    covariance = np.linalg.inv(p)
    mean = (covariance @ h[..., None])[..., 0]
    log_density += 0.5 * (h * mean).sum(axis=-1) - 0.5 * np.linalg.slogdet(p)[1]
    log_density -= 0.5 * (county_sd**2 + floor_sd**2 + house_sd**2)

    def of_county(j: int) -> list[tuple[np.ndarray, np.ndarray]]:
        (w0, w01, w1), (t0, t1), (k0, k01, k1), _ = county(j)
        c = np.array([[1.0, log_uranium[j], 0.0], [0.0, 0.0, 1.0]])
        found = []
        for own, ka, kb in ((0, k0, k01), (1, k01, k1)):
            # What is left of C β beside the county's own data.
            pull0, pull1 = precision * (ka * w0 + kb * w01), precision * (ka * w01 + kb * w1)
            left = c[own] - pull0[..., None] * c[0] - pull1[..., None] * c[1]
            expected = (left * mean).sum(axis=-1) + precision * (ka * t0 + kb * t1)
            variance = (left[..., None, :] @ covariance @ left[..., :, None])[..., 0, 0]
            found.append((expected, variance + (ka, kb)[own]))
        return found

    return log_density, mean, covariance, of_county
