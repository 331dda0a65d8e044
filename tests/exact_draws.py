"""Independent draws from the exact posteriors of the models' estimands, trials of a correct sampler of them, and
whether the gate rejects a trial: what the gate is measured with. Nothing here is a sampler of the stack.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy import signal, special, stats

import models
from models import Moments, coal_mining, coal_mining_marginal, discrete, discrete_marginal, eight_schools, ppca
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


POSTERIORS = {
    "ppca": _ppca, "discrete": _discrete, "coal_mining": _coal_mining, "eight_schools": _eight_schools
}  # fmt: skip


@functools.cache
def parameters(model: str) -> dict[str, np.ndarray]:
    """Joint draws of a model's parameters, its latent variables left out, each of shape (POOL,).

    They are resampled with replacement: some occur twice, which nothing sees in the few thousand that are taken.
    """
    return POSTERIORS[model](np.random.default_rng(20261122))


@functools.cache
def pool(model: str) -> Estimands:
    """Independent joint draws of a model's estimands, each of shape (POOL,)."""
    drawn, rng = parameters(model), np.random.default_rng(20261121)
    if model == "ppca":
        return _ppca_estimands(drawn["w1"], drawn["w2"], rng)
    if model == "discrete":
        mu, sigma = (np.stack([drawn[f"{name}_{k}"] for k in (0, 1)], axis=-1) for name in ("mu", "sigma"))
        return discrete_marginal.estimands({"mu": mu, "sigma": sigma}, 100)
    if model == "coal_mining":
        return coal_mining_marginal.estimands(drawn, 111)
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
def prior(model: str) -> Estimands:
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
