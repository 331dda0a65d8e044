"""The references of radon, gp, arma and wide, each against another way of computing the same posterior: dense matrices
in place of identities, other nodes in place of the grid, draws in place of both. Nothing here needs PyMC.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from scipy import signal, stats

from models import arma, gp, radon, wide
from models._quadrature import normalised
from tests.exact_draws import exact_moments
from tests.numpy_models import LOG_DENSITIES


def agree(found: dict[str, tuple[float, float]], exact, within: float) -> None:
    """Means within so many exact sd, and sd within so large a part."""
    assert set(found) == set(exact)
    for name, (mean, sd) in found.items():
        assert mean == pytest.approx(exact[name].mean, abs=within * exact[name].sd), name
        assert sd == pytest.approx(exact[name].sd, rel=within), name


def weighted(weight: np.ndarray, given: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[float, float]]:
    """Mean and sd, from mean and variance at each of the nodes and the nodes' weights."""
    found = {}
    for name, (mean, variance) in given.items():
        overall = float((weight * mean).sum())
        found[name] = overall, float((weight * (variance + (mean - overall) ** 2)).sum()) ** 0.5
    return found


def gauss_legendre(low: float, high: float, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and the logarithms of their weights."""
    x, weight = np.polynomial.legendre.leggauss(nodes)
    return (low + high) / 2 + (high - low) / 2 * x, np.log((high - low) / 2 * weight)


@pytest.mark.parametrize(
    ("model", "n"),
    [(radon, 919), (gp, 100), (gp, 400), (wide, 200)],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_the_latent_reference_is_that_of_the_estimands_where_they_are_of_one_thing(model, n):
    exact, (mean, sd) = exact_moments(model.reference, n), model.latent_reference(n)
    same = {
        radon: {"st_louis": radon.ST_LOUIS, "cook": radon.COOK}, gp: {"first": 0, "middle": 5},
        wide: {"b_0": 0, "b_79": -1},
    }[model]  # fmt: skip
    for name, element in same.items():
        assert mean[element] == pytest.approx(exact[name].mean, abs=1e-6 * exact[name].sd)
        assert sd[element] == pytest.approx(exact[name].sd, rel=1e-6)


# Radon


def test_radon_counties_are_those_of_the_survey():
    log_radon, floor, county, log_uranium = radon.data(919)
    names = radon.county_names()
    assert len(names) == radon.COUNTIES == len(np.unique(county))
    houses = np.bincount(county.astype(int))
    assert (names[radon.ST_LOUIS], houses[radon.ST_LOUIS]) == ("STLOUIS", 116) == (names[houses.argmax()], houses.max())
    assert (names[radon.COOK], houses[radon.COOK]) == ("COOK", 2)
    # The three houses without any.
    assert (log_radon == round(np.log(0.1), 6)).sum() == 3
    assert set(floor) == {0, 1}
    assert (floor == 0).sum() == 766
    for j in range(radon.COUNTIES):
        assert len(np.unique(log_uranium[county == j])) == 1


@functools.cache
def _radon_dense(county_sd: float, floor_sd: float, house_sd: float):
    """Log likelihood with everything else integrated out, and mean and covariance of (coefficients, a, b): one normal
    distribution of 173 numbers and 919 observations, written out."""
    log_radon, floor, county, log_uranium = radon.data(919)
    member = (county[:, None] == np.arange(radon.COUNTIES)).astype(float)
    design = np.column_stack([np.ones(919), log_uranium, floor, county_sd * member, floor_sd * member * floor[:, None]])
    prior = np.concatenate([np.full(3, 4.0), np.ones(170)])
    covariance = (design * prior) @ design.T + house_sd**2 * np.eye(919)
    gain = (prior[:, None] * design.T) @ np.linalg.inv(covariance)
    posterior = np.diag(prior) - gain @ (design * prior)
    return stats.multivariate_normal(np.zeros(919), covariance).logpdf(log_radon), gain @ log_radon, posterior


def test_radon_given_the_three_sd_agrees_with_dense_matrices():
    rng = np.random.default_rng(1)
    points = [rng.uniform(0.01, 0.4, size=6), rng.uniform(0.0, 0.8, size=6), rng.uniform(0.65, 0.85, size=6)]
    log_density, mean, covariance, counties = radon.given_sds(919, *points)
    log_uranium = radon.of_counties(*radon.data(919)[[3, 2]])
    dense = []
    for i, sds in enumerate(zip(*points, strict=True)):
        likelihood, expected, spread = _radon_dense(*map(float, sds))
        dense.append(likelihood - 0.5 * sum(s**2 for s in sds))
        np.testing.assert_allclose(mean[i], expected[:3], atol=1e-9)
        np.testing.assert_allclose(covariance[i], spread[:3, :3], atol=1e-9)
        for j in (radon.ST_LOUIS, radon.COOK, 0, 84):
            of_intercept, of_slope = np.zeros(173), np.zeros(173)
            of_intercept[[0, 1, 3 + j]] = 1, log_uranium[j], sds[0]
            of_slope[[2, 88 + j]] = 1, sds[1]
            for (its_mean, its_variance), weights in zip(counties(j), (of_intercept, of_slope), strict=True):
                assert its_mean[i] == pytest.approx(weights @ expected, abs=1e-9)
                assert its_variance[i] == pytest.approx(weights @ spread @ weights, rel=1e-7)
    np.testing.assert_allclose(log_density - log_density[0], np.array(dense) - dense[0], atol=1e-7)


def test_radon_reference_agrees_with_other_nodes():
    axes = [gauss_legendre(0, 0.6, 40), gauss_legendre(0, 1.2, 40), gauss_legendre(0.6, 0.95, 30)]
    sds = np.meshgrid(*(x for x, _ in axes), indexing="ij", sparse=True)
    log_density, mean, covariance, counties = radon.given_sds(919, *sds)
    weight = normalised(log_density + sum(np.meshgrid(*(w for _, w in axes), indexing="ij", sparse=True)))
    given = {name: (mean[..., k], covariance[..., k, k]) for k, name in enumerate(("intercept", "uranium", "floor"))}
    given |= {name: (x, 0.0) for name, x in zip(("county_sd", "floor_sd", "house_sd"), sds, strict=True)}
    given |= {"st_louis": counties(radon.ST_LOUIS)[0], "cook": counties(radon.COOK)[0]}
    agree(weighted(weight, given), exact_moments(radon.reference, 919), within=1e-3)


# The Gaussian process


@pytest.mark.parametrize("n", [100, 400])
def test_gp_filter_eigenvalues_and_dense_matrices_compute_one_density(n):
    points = np.log([[0.4, 1.0, 1.7, 6.0], [0.5, 1.2, 3.0, 0.9], [0.2, 0.3, 0.5, 0.31]])
    found = gp.log_density(dict(zip(("length_scale", "amplitude", "noise"), np.exp(points), strict=True)), n)
    dense = [LOG_DENSITIES["gp"](n, *point.astype(complex)).real for point in points.T]
    np.testing.assert_allclose(found, dense, rtol=1e-9)
    axes, grid, _ = gp._on_grid(n)
    nodes = [(0, 16, 16), (16, 16, 16), (20, 9, 24), (40, 40, 0)]
    at = [np.array([axis[i] for i in indices]) for axis, indices in zip(axes, zip(*nodes, strict=True), strict=True)]
    dense = np.array([LOG_DENSITIES["gp"](n, *point.astype(complex)).real for point in np.transpose(at)])
    of_grid = np.array([grid[node] for node in nodes])
    np.testing.assert_allclose(of_grid - of_grid[1], dense - dense[1], rtol=1e-9, atol=1e-7)


def test_gp_reference_agrees_with_kalmans_filter_at_other_nodes_and_dense_regression():
    exact = exact_moments(gp.reference, 100)
    axes = [gauss_legendre(a[0], a[-1], 24) for a in gp._on_grid(100)[0]]
    points = np.exp([x.ravel() for x in np.meshgrid(*(x for x, _ in axes), indexing="ij")])
    posterior = dict(zip(("length_scale", "amplitude", "noise"), points, strict=True))
    log_weight = sum(np.meshgrid(*(w for _, w in axes), indexing="ij")).ravel()
    weight = normalised(gp.log_density(posterior, 100) + log_weight)
    x, y = gp.points(100), gp.data(100)
    kept = np.flatnonzero(weight > 1e-9)
    means, variances = np.zeros((2, len(weight))), np.zeros((2, len(weight)))
    for i in kept:
        length_scale, amplitude, noise = points[:, i]
        covariance = amplitude**2 * gp.kernel(np.abs(x[:, None] - x), length_scale)
        gain = np.linalg.solve(covariance + (noise**2 + 1e-6) * np.eye(100), covariance[:, [0, 50]]).T
        means[:, i] = gain @ y
        variances[:, i] = amplitude**2 - (gain * covariance[[0, 50]]).sum(axis=1)
    given = {name: (value, 0.0) for name, value in posterior.items()}
    given |= {"first": (means[0], variances[0]), "middle": (means[1], variances[1])}
    agree(weighted(weight, given), exact, within=1e-3)


def test_gp_functions_are_drawn_from_their_conditional_distribution():
    """Of one value of the parameters: mean and covariance, by dense regression."""
    shape = (4, 2500)
    values = {"length_scale": 0.8, "amplitude": 1.1, "noise": 0.3}
    drawn = gp.functions({name: np.full(shape, value) for name, value in values.items()}, 100)
    x = gp.points(100)
    covariance = 1.1**2 * gp.kernel(np.abs(x[:, None] - x), 0.8)
    gain = np.linalg.solve(covariance + (0.3**2 + 1e-6) * np.eye(100), covariance).T
    apart = drawn.reshape(-1, 100) - gain @ gp.data(100)
    # Made independent, of variance 1, by the exact covariance: in the directions in which it is more than rounding.
    spread, directions = np.linalg.eigh(covariance - gain @ covariance)
    certain = spread > 1e-6
    standard = apart @ directions[:, certain] / np.sqrt(spread[certain])
    assert certain.sum() > 20
    assert np.abs(standard.mean(axis=0)).max() < 4.5 / 100
    assert np.abs(np.cov(standard.T) - np.eye(certain.sum())).max() < 6 / 100


# The time series


def test_arma_residuals_are_those_of_a_filter():
    """An ARMA(1, 1) is a recursive filter: its inverse gives the residuals, after the first."""
    y, level, ar, ma = arma.data(200), 0.3, 0.55, 0.45
    found = np.array(list(arma.residuals(200, level, ar, ma)))
    after = signal.lfilter([1.0], [1.0, ma], y[1:] - level - ar * y[:-1], zi=[-ma * found[0]])[0]
    np.testing.assert_allclose(found[1:], after, rtol=1e-12)
    assert found[0] == pytest.approx(y[0] - level * (1 + ar))


def test_arma_reference_agrees_with_importance_sampling():
    """From Student's distribution with the moments of the mode, with the density written from its definition."""
    exact = exact_moments(arma.reference, 200)
    names = ("level", "ar", "ma", "noise")
    rng, draws = np.random.default_rng(3), 400_000
    y = arma.data(200)

    def log_density(level, ar, ma, log_noise):
        noise = np.exp(log_noise)
        residual = y[0] - level - ar * level
        squares, kept = residual**2, {"residual_0": residual}
        for t in range(1, 200):
            residual = y[t] - (level + ar * y[t - 1] + ma * residual)
            squares = squares + residual**2
            if t in (50, 100, 150, 199):
                kept[f"residual_{t}"] = residual
        prior = stats.norm(0, 10).logpdf(level) + stats.norm(0, 2).logpdf(ar) + stats.norm(0, 2).logpdf(ma)
        prior += stats.halfcauchy(scale=2.5).logpdf(noise) + log_noise
        return prior - squares / (2 * noise**2) - 200 * log_noise, kept

    # Twice: the second time from where the first found the posterior.
    center, root = np.array([0.4, 0.6, 0.4, -0.7]), np.diag([0.1, 0.08, 0.09, 0.05])
    for _ in range(3):
        proposal = stats.multivariate_t(center, 1.2 * root @ root.T, df=6)
        points = proposal.rvs(size=draws, random_state=rng)
        density, kept = log_density(*points.T)
        weight = normalised(np.nan_to_num(density, nan=-np.inf) - proposal.logpdf(points))
        center = weight @ points
        root = np.linalg.cholesky((points - center).T * weight @ (points - center))
    assert 1 / (weight**2).sum() > 100_000
    values = {**dict(zip(names, points.T, strict=True)), "noise": np.exp(points[:, 3]), **kept}
    agree(weighted(weight, {name: (value, 0.0) for name, value in values.items()}), exact, within=0.01)


# The wide regression


def test_wide_reference_agrees_with_dense_matrices_at_other_nodes():
    """Without the eigenvalues: y ~ Normal(0, noise² + Xᵀ X), and regression of all coefficients on it."""
    *x, y = wide.data(200)
    x, weights = np.array(x), wide._weights(200)
    log_noise, log_weight = gauss_legendre(-1.2, 0.6, 60)
    density, means, variances = [], [], []
    for noise in np.exp(log_noise):
        covariance = noise**2 * np.eye(200) + x.T @ x
        gain = np.linalg.solve(covariance, x.T).T
        density.append(stats.multivariate_normal(np.zeros(200), covariance).logpdf(y) - 0.5 * noise**2)
        means.append(weights @ gain @ y)
        variances.append(np.diag(weights @ (np.eye(80) - gain @ x.T) @ weights.T))
    weight = normalised(np.array(density) + log_noise + log_weight)
    given = {"noise": (np.exp(log_noise), 0.0)}
    for k, name in enumerate(("b_0", "b_79", "sum", "fit")):
        given[name] = np.array(means)[:, k], np.array(variances)[:, k]
    agree(weighted(weight, given), exact_moments(wide.reference, 200), within=1e-4)


# The boxes


@pytest.mark.parametrize("n", [100, 400])
def test_the_grid_of_gp_holds_the_posterior(n):
    edges_are_empty(normalised(gp._on_grid(n)[1]), 1e-7)


def test_the_grids_of_the_other_models_hold_their_posteriors():
    edges_are_empty(normalised(arma._on_grid(200, *arma._axes(200))), 1e-7)
    edges_are_empty(normalised(wide._on_grid(200, wide._weights(200))[1]), 1e-9)
    # The sd of counties begin at zero, where there may be something.
    weight = normalised(radon._on_grid(919)[1])
    assert max(weight[-1].sum(), weight[:, -1].sum(), weight[..., 0].sum(), weight[..., -1].sum()) < 1e-6


def edges_are_empty(weight: np.ndarray, most: float) -> None:
    for axis in range(weight.ndim):
        for edge in (0, -1):
            assert weight.take(edge, axis=axis).sum() < most, (axis, edge)
