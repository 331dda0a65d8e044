"""Independent draws from the exact posteriors of the models' estimands, trials of a correct sampler of them, and
whether the gate rejects a trial: what the gate is measured with. Nothing here is a sampler of the stack.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy import signal, special, stats

import models
from models import (
    Moments,
    arma,
    coal_mining,
    coal_mining_marginal,
    discrete,
    discrete_marginal,
    eight_schools,
    gp,
    ppca,
    radon,
    wide,
)
from models._quadrature import fitted_axes, normalised
from sampling.gate import judge
from sampling.repeats import why_repeated

POOL = 100_000
CHAINS, DRAWS = 4, 250
LENGTHS = (DRAWS, 1000)
"""Draws of each chain: the fewest that a trial has, and the protocol's."""
Estimands = dict[str, np.ndarray]


def _ppca(rng: np.random.Generator) -> Estimands:
    """By importance resampling from a normal distribution at the mode; then z given w, in closed form."""
    x = ppca.data(500)
    n, scatter = x.shape[1], x @ x.T
    values, vectors = np.linalg.eigh(scatter / n)
    center, scale = vectors[:, -1] * np.sqrt(values[-1] - 1), 1.3 * np.sqrt(values[-1] / n)
    w = center + scale * rng.normal(size=(8 * POOL, 2))
    q, wsw = 1 + (w**2).sum(axis=1), np.einsum("ki,ij,kj->k", w, scatter, w)
    log_weight = -n / 2 * np.log(q) + wsw / (2 * q) - (q - 1) / 8 + ((w - center) ** 2).sum(axis=1) / (2 * scale**2)
    weight = np.exp(log_weight - log_weight.max())
    chosen = rng.choice(len(w), size=POOL, p=weight / weight.sum())
    return {"w1": w[chosen, 0], "w2": w[chosen, 1]}


def _ppca_estimands(w1: np.ndarray, w2: np.ndarray, rng: np.random.Generator) -> Estimands:
    x = ppca.data(500)
    n, w = x.shape[1], np.stack([w1, w2], axis=-1)
    q, wsw = 1 + (w**2).sum(axis=1), np.einsum("ki,ij,kj->k", w, x @ x.T, w)
    # zₙ ~ Normal(wᵀxₙ/q, 1/q): along the direction of all wᵀxₙ, and in the n - 1 others, whose means are zero.
    along = np.sqrt(wsw) / q + rng.normal(size=len(q)) / np.sqrt(q)
    zz, fit = (along**2 + rng.chisquare(n - 1, size=len(q)) / q) / n, np.sqrt(wsw) * along / n
    return {"w1w1": w1**2, "w1w2": w1 * w2, "w2w2": w2**2, "zz": zz, "fit": fit}


def _discrete(rng: np.random.Generator) -> Estimands:
    """By importance resampling from the cells around the nodes of a grid; then labels given the rest."""
    y = discrete.data(100)
    center = [discrete.TRUE_MU[0], np.log(discrete.TRUE_SIGMA[0]), discrete.TRUE_MU[1], np.log(discrete.TRUE_SIGMA[1])]

    def log_density(*axes: np.ndarray) -> np.ndarray:
        return discrete.sum_out_labels(y, *axes)[0]

    axes = fitted_axes(log_density, center, scale=[0.2] * 4, nodes=33)
    grid = log_density(*axes)
    weight = normalised(grid)
    nodes = np.unravel_index(rng.choice(weight.size, size=3 * POOL, p=weight.ravel()), weight.shape)
    steps = np.array([axis[1] - axis[0] for axis in axes])
    at_node = np.stack([axis[i] for axis, i in zip(axes, nodes, strict=True)], axis=-1)
    points = at_node + steps * rng.uniform(-0.5, 0.5, size=at_node.shape)
    mu, sigma = points[:, [0, 2]], np.exp(points[:, [1, 3]])

    def log_likelihood(mu: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        of_clusters = (
            w / sigma[:, [k]] * np.exp(-0.5 * ((y - mu[:, [k]]) / sigma[:, [k]]) ** 2)
            for k, w in enumerate(discrete.WEIGHTS)
        )
        return np.log(sum(of_clusters)).sum(axis=1)

    # In parts that fit a processor's cache.
    parts = (np.array_split(values, len(points) // 500) for values in (mu, sigma))
    log_weight = np.concatenate(list(map(log_likelihood, *parts)))
    log_weight += np.log(sigma).sum(axis=1) - 0.5 * (mu**2 + sigma**2).sum(axis=1) - grid[nodes]
    weight = np.exp(log_weight - log_weight.max())
    chosen = rng.choice(len(points), size=POOL, p=weight / weight.sum())
    names = ("mu_0", "mu_1", "sigma_0", "sigma_1")
    return dict(zip(names, np.concatenate([mu[chosen], sigma[chosen]], axis=1).T, strict=True))


def _coal_mining(rng: np.random.Generator) -> Estimands:
    """The switchpoint by its weight, then each rate given it, in closed form."""
    from scipy.special import gammaln

    before, years_before, after, years_after = coal_mining.sums(111)
    log_weight = (
        gammaln(1 + before)
        - (1 + before) * np.log(1 + years_before)
        + gammaln(1 + after)
        - (1 + after) * np.log(1 + years_after)
    )
    k = rng.choice(
        111, size=POOL, p=np.exp(log_weight - log_weight.max()) / np.exp(log_weight - log_weight.max()).sum()
    )
    early = rng.gamma(1 + before[k]) / (1 + years_before[k])
    late = rng.gamma(1 + after[k]) / (1 + years_after[k])
    return {"early_rate": early, "late_rate": late, "switchpoint": coal_mining.YEARS[k]}


def _eight_schools(rng: np.random.Generator) -> Estimands:
    """Tau from a fine grid of its logarithm, then mu given tau."""
    log_tau = np.linspace(-30.0, 12.0, 4001)
    weight = normalised(eight_schools.given_tau(np.exp(log_tau))[0] + log_tau)
    step = log_tau[1] - log_tau[0]
    tau = np.exp(rng.choice(log_tau, size=POOL, p=weight) + step * rng.uniform(-0.5, 0.5, size=POOL))
    _, mean, variance = eight_schools.given_tau(tau)
    mu = mean + np.sqrt(variance) * rng.normal(size=POOL)
    return {"mu": mu, "tau": tau}


def eta(mu: np.ndarray, tau: np.ndarray, noise: np.ndarray) -> Estimands:
    """The schools' own parameters given mu and tau, in closed form, from standard normal noise (8, *shape)."""
    effects, errors = eight_schools.data(8)
    found = {}
    for j in range(8):
        precision = 1 + (tau / errors[j]) ** 2
        expected = tau * (effects[j] - mu) / errors[j] ** 2 / precision
        found[f"eta_{j}"] = expected + noise[j] / np.sqrt(precision)
    return found


def _around_nodes(
    axes: list[np.ndarray], grid: np.ndarray, log_density: Callable[..., np.ndarray], rng: np.random.Generator
) -> list[np.ndarray]:
    """POOL joint draws, by importance resampling from the cells around a grid's nodes: an array for each axis. `grid`
    and `log_density`, which takes points, are of one density that is not normalised."""
    weight = normalised(grid)
    nodes = np.unravel_index(rng.choice(weight.size, size=3 * POOL, p=weight.ravel()), weight.shape)
    points = [
        axis[at] + (axis[1] - axis[0]) * rng.uniform(-0.5, 0.5, size=len(at))
        for axis, at in zip(axes, nodes, strict=True)
    ]
    weight = normalised(log_density(*points) - grid[nodes])
    chosen = rng.choice(len(weight), size=POOL, p=weight)
    return [x[chosen] for x in points]


def _radon(rng: np.random.Generator) -> Estimands:
    """The three sd around a grid, no cell of which reaches below zero, then the coefficients given them."""
    axes = [(np.arange(32) + 0.5) * most / 32 for most in (0.5, 1.0)] + [np.linspace(0.62, 0.9, 25)]
    grid = radon.given_sds(919, *np.meshgrid(*axes, indexing="ij", sparse=True))[0]
    county_sd, floor_sd, house_sd = _around_nodes(axes, grid, lambda *x: radon.given_sds(919, *x)[0], rng)
    _, mean, covariance, _ = radon.given_sds(919, county_sd, floor_sd, house_sd)
    root = np.linalg.cholesky(covariance)
    coefficients = mean + (root @ rng.normal(size=(POOL, 3, 1)))[..., 0]
    drawn = dict(zip(("intercept", "uranium", "floor"), coefficients.T, strict=True))
    return drawn | {"county_sd": county_sd, "floor_sd": floor_sd, "house_sd": house_sd}


def counties(drawn: Estimands, noise: np.ndarray) -> Estimands:
    """a and b of radon given the rest, in closed form, from standard normal noise (2, *shape, 85)."""
    log_radon, floor, county, log_uranium = radon.data(919)
    level, uranium, slope, sd_a, sd_b, sd = (
        drawn[k][..., None] for k in ("intercept", "uranium", "floor", "county_sd", "floor_sd", "house_sd")
    )
    member = (county[:, None] == np.arange(radon.COUNTIES)).astype(float)
    n0, n1 = member.sum(axis=0), floor @ member
    expected = level + uranium * radon.of_counties(log_uranium, county)
    # What is left of the data beside what a and b are zero for, summed.
    t0 = log_radon @ member - expected * n0 - slope * n1
    t1 = (floor * log_radon) @ member - expected * n1 - slope * n1
    p00, p01, p11 = 1 + n0 * sd_a**2 / sd**2, n1 * sd_a * sd_b / sd**2, 1 + n1 * sd_b**2 / sd**2
    h0, h1 = sd_a * t0 / sd**2, sd_b * t1 / sd**2
    determinant = p00 * p11 - p01**2
    a = (p11 * h0 - p01 * h1) / determinant + noise[0] * np.sqrt(p11 / determinant)
    return {"a": a, "b": (h1 - p01 * a) / p11 + noise[1] / np.sqrt(p11)}


def _gp(rng: np.random.Generator) -> Estimands:
    """The three logarithms around a grid; the density at points is Kalman's filter."""
    axes, grid, _ = gp._on_grid(100)
    names = ("length_scale", "amplitude", "noise")

    def log_density(*points: np.ndarray) -> np.ndarray:
        parts = np.array_split(np.exp(points), 60, axis=1)
        return np.concatenate([gp.log_density(dict(zip(names, part, strict=True)), 100) for part in parts])

    # Both are of one density but for a constant.
    found = _around_nodes(axes, grid, log_density, rng)
    return dict(zip(names, np.exp(found), strict=True))


def _arma(rng: np.random.Generator) -> Estimands:
    axes = arma._axes(200)
    names = ("level", "ar", "ma", "noise")

    def log_density(level: np.ndarray, ar: np.ndarray, ma: np.ndarray, log_noise: np.ndarray) -> np.ndarray:
        posterior = {"level": level, "ar": ar, "ma": ma, "noise": np.exp(log_noise)}
        return arma.log_density(posterior, 200)

    *found, log_noise = _around_nodes(axes, arma._on_grid(200, *axes), log_density, rng)
    return dict(zip(names, [*found, np.exp(log_noise)], strict=True))


def _wide(rng: np.random.Generator) -> Estimands:
    """The noise from a fine grid of its logarithm."""
    noise, grid, *_ = wide._on_grid(200, np.eye(80))
    log_noise = np.log(noise)
    log_density = functools.partial(np.interp, xp=log_noise, fp=grid)
    return {"noise": np.exp(_around_nodes([log_noise], grid, log_density, rng)[0])}


def coefficients(drawn: Estimands, standard: np.ndarray) -> Estimands:
    """Those of wide given the noise, in closed form, from standard normal numbers (*shape, 80)."""
    *x, y = wide.data(200)
    values, vectors = np.linalg.eigh(np.array(x) @ np.transpose(x))
    precision = drawn["noise"][..., None] ** -2
    variance = 1 / (1 + values * precision)
    turned = variance * precision * (vectors.T @ np.array(x) @ y) + np.sqrt(variance) * standard
    return {f"b_{j}": b for j, b in enumerate(np.moveaxis(turned @ vectors.T, -1, 0))}


POSTERIORS = {
    "ppca": _ppca, "discrete": _discrete, "coal_mining": _coal_mining, "eight_schools": _eight_schools, "radon": _radon,
    "gp": _gp, "arma": _arma, "wide": _wide,
}  # fmt: skip


@functools.cache
def parameters(model: str) -> dict[str, np.ndarray]:
    """Joint draws of a model's parameters, its latent variables left out, each of shape (POOL,).

    They are resampled with replacement: some occur twice, which nothing sees in the few thousand that are taken.
    """
    return POSTERIORS[model](np.random.default_rng(20261122))


@functools.cache
def pool(model: str) -> Estimands:  # noqa: PLR0911
    """Independent joint draws of a model's estimands, each of shape (POOL,)."""
    drawn, rng = parameters(model), np.random.default_rng(20261121)
    if model == "ppca":
        return _ppca_estimands(drawn["w1"], drawn["w2"], rng)
    if model == "discrete":
        mu, sigma = (np.stack([drawn[f"{name}_{k}"] for k in (0, 1)], axis=-1) for name in ("mu", "sigma"))
        return discrete_marginal.estimands({"mu": mu, "sigma": sigma}, 100)
    if model == "coal_mining":
        return coal_mining_marginal.estimands(drawn, 111)
    if model == "radon":
        # In parts, for 85 counties of all are much; two are asked for.
        parts = [{k: x[i : i + 10_000] for k, x in drawn.items()} for i in range(0, POOL, 10_000)]
        found = [radon.estimands(p | counties(p, rng.normal(size=(2, 10_000, radon.COUNTIES))), 919) for p in parts]
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    if model == "gp":
        return gp.estimands(drawn, 100)
    if model == "arma":
        return arma.estimands(drawn, 200)
    if model == "wide":
        return wide.estimands(drawn | coefficients(drawn, rng.normal(size=(POOL, 80))), 200)
    return eight_schools.estimands({**drawn, **eta(**drawn, noise=rng.normal(size=(8, POOL)))}, 8)


@functools.cache
def exact_moments(compute: Callable[[int], dict[str, Moments]], n: int) -> dict[str, Moments]:
    """What a model's `reference` says, computed once, also where two models have the same."""
    return compute(n)


def reference(model: str) -> dict[str, Moments]:
    """The model's exact moments, at the size of `pool`, its smallest."""
    found = models.load(model)
    return exact_moments(found.reference, found.SIZES[0])


@functools.cache
def prior(model: str) -> Estimands:  # noqa: PLR0911
    """Independent joint draws of a model's estimands from its prior, each of shape (POOL,)."""
    rng = np.random.default_rng(20261123)
    if model == "ppca":
        w = rng.normal(0, 2, size=(POOL, 2))
        zz = rng.chisquare(500, size=POOL) / 500
        # z that know nothing of x.
        fit = rng.normal(size=POOL) * np.sqrt(np.einsum("ki,ij,kj->k", w, ppca.data(500) @ ppca.data(500).T, w)) / 500
        return {"w1w1": w[:, 0] ** 2, "w1w2": w[:, 0] * w[:, 1], "w2w2": w[:, 1] ** 2, "zz": zz, "fit": fit}
    if model == "discrete":
        mu, sigma = rng.normal(size=(POOL, 2)), np.abs(rng.normal(size=(POOL, 2)))
        labels = discrete.label_estimands({"mu": mu}, rng.random((POOL, 100)) < discrete.WEIGHTS[0], 100)
        return {**discrete.component_estimands({"mu": mu, "sigma": sigma}), **labels}
    if model == "eight_schools":
        posterior = {"mu": rng.normal(0, 5, size=POOL), "tau": 5 * np.abs(rng.standard_cauchy(size=POOL))}
        return eight_schools.estimands(posterior | {f"eta_{j}": rng.normal(size=POOL) for j in range(8)}, 8)
    if model == "radon":
        drawn = {name: rng.normal(0, 2, size=POOL) for name in ("intercept", "uranium", "floor")}
        drawn |= {name: np.abs(rng.normal(size=POOL)) for name in ("county_sd", "floor_sd", "house_sd")}
        return radon.estimands(drawn | {"a": rng.normal(size=(POOL, 85))}, 919)
    if model == "gp":
        # Of the function, from its prior, too: of amplitude 2 at any point.
        drawn = {"length_scale": rng.gamma(2, size=POOL), "noise": np.abs(rng.normal(size=POOL))}
        drawn["amplitude"] = 2 * np.abs(rng.normal(size=POOL))
        return drawn | {name: drawn["amplitude"] * rng.normal(size=POOL) for name in ("first", "middle")}
    if model == "arma":
        drawn = {"level": rng.normal(0, 10, size=POOL), "noise": 2.5 * np.abs(rng.standard_cauchy(size=POOL))}
        drawn |= {name: np.clip(rng.normal(0, 2, size=POOL), -1, 1) for name in ("ar", "ma")}
        return arma.estimands(drawn, 200)
    if model == "wide":
        drawn = {f"b_{j}": rng.normal(size=POOL) for j in range(80)}
        return wide.estimands(drawn | {"noise": np.abs(rng.normal(size=POOL))}, 200)
    return {
        "early_rate": rng.exponential(size=POOL),
        "late_rate": rng.exponential(size=POOL),
        "switchpoint": rng.choice(coal_mining.YEARS, size=POOL),
    }


_KNOWN: dict[int, tuple[Estimands, np.ndarray, np.ndarray]] = {}


def _sorted_and_correlated(draws: Estimands) -> tuple[np.ndarray, np.ndarray]:
    """Each estimand's draws in order, and a root of their rank correlations: computed once for the same `draws`."""
    if id(draws) not in _KNOWN:
        values = np.stack([np.asarray(x, dtype=float) for x in draws.values()])
        # Ties, of counts, share a rank on average.
        normal = special.ndtri(stats.rankdata(values, axis=1) / (values.shape[1] + 1))
        root = np.linalg.cholesky(np.atleast_2d(np.corrcoef(normal)) + 1e-9 * np.eye(len(values)))
        # The draws are kept, too, so that no others get their id.
        _KNOWN[id(draws)] = draws, np.sort(values, axis=1), root
    return _KNOWN[id(draws)][1:]


def trial(draws: Estimands, seed: int, rho: float, chains: int = CHAINS, length: int = DRAWS) -> Estimands:
    """A trial of a correct sampler whose draws have autocorrelation rho^k at lag k. Shape (chains, length).

    A stationary Gaussian process, with the draws' rank correlations, is mapped to each estimand's distribution by its
    quantiles: (1 - rho) / (1 + rho) of the draws are effective, and every margin is exact.
    """
    ordered, root = _sorted_and_correlated(draws)
    noise = np.random.default_rng(seed).normal(size=(length, chains, len(ordered))) @ root.T
    noise[1:] *= np.sqrt(1 - rho**2)
    latent = signal.lfilter([1.0], [1.0, -rho], noise, axis=0)
    place = special.ndtr(latent) * (ordered.shape[1] - 1)
    return {
        name: _quantiles(values, place[..., k].T) for k, (name, values) in enumerate(zip(draws, ordered, strict=True))
    }


def _quantiles(ordered: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The values at these places, and between two of them what is between, so that none comes twice; not of counts."""
    below = place.astype(int)
    if np.unique(ordered[:1000]).size < 500:
        return ordered[below]
    return ordered[below] + (place - below) * (ordered[np.minimum(below + 1, len(ordered) - 1)] - ordered[below])


def rejected(draws: Estimands, exact: dict) -> bool:
    """Whether the gate rejects a trial, that is, one of its estimands (a test holds that): it is asked one by one, the
    cheaper half of the gate first, since most of what is wrong shows in the first estimand.
    """
    return any(why_repeated({k: x}) or judge({k: x}, {k: exact[k]})[1] for k, x in draws.items())
