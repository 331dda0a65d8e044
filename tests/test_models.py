"""The models' data never change, and their references are the exact posterior: each is checked against a sampler
or a quadrature that shares nothing with it. Nothing here needs PyMC.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import models
from models import coal_mining, discrete, eight_schools, ppca
from models._quadrature import fitted_axes, moments, normalised
from sampling.form import REFERENCE_ERROR
from tests.exact_draws import exact_moments, pool, reference
from tests.numpy_models import LOG_DENSITIES

ROOT = Path(__file__).parents[1]
SUITES_OWN = {
    "arma", "coal_mining", "coal_mining_marginal", "discrete", "discrete_marginal", "eight_schools", "gp", "ppca",
    "radon", "wide",
}  # fmt: skip
EVERY_SIZE = [(name, n) for name in models.names() for n in models.load(name).SIZES]


# The package


def test_the_models_are_found_and_nothing_else():
    assert {"ppca", "discrete"} <= set(models.names())
    assert not [name for name in models.names() if name.startswith("_")]


def test_adding_a_model_is_adding_one_file(tmp_path, monkeypatch):
    (tmp_path / "added_model.py").write_text("SIZES = (7,)\n")
    (tmp_path / "_helper.py").write_text("")
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "models.added_model", raising=False)
    assert "added_model" in models.names()
    assert "_helper" not in models.names()
    assert models.load("added_model").SIZES == (7,)
    monkeypatch.delitem(sys.modules, "models.added_model")


@pytest.mark.parametrize("name", ["pcca", "_moments", "", "ppca.data"])
def test_an_unknown_model_gets_a_sentence_with_the_known_ones(name):
    with pytest.raises(models.UnknownModel) as error:
        models.load(name)
    assert str(error.value) == f"There is no model {name!r}: choose one of {', '.join(models.names())}."


def test_an_unknown_size_gets_a_sentence_with_the_known_ones():
    models.check_size(ppca, 500)
    with pytest.raises(models.UnknownSize) as error:
        models.check_size(ppca, 501)
    assert str(error.value) == "The model ppca has no size n=501: choose one of 500, 5000, 50000."


def test_data_and_references_need_neither_pymc_nor_the_rest_of_the_project():
    blocked = ["pymc", "pytensor", "arviz", "sampling", "benchmarks", "harness"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked}))\n"
        "import models\n"
        "loaded = [models.load(name) for name in models.names()]\n"
        # A set, since what two models have in common need not be computed twice.
        "for compute, n in {(f, n) for m in loaded for n in m.SIZES for f in (m.data, m.reference)}: compute(n)\n"
        "print(*models.names())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == models.names()


# Every model


@pytest.mark.parametrize(("name", "n"), EVERY_SIZE)
def test_data_never_change(name, n):
    model = models.load(name)
    x = model.data(n)
    little_endian = np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("<"))
    assert x.dtype in (np.float64, np.int64)
    assert hashlib.sha256(little_endian.tobytes()).hexdigest() == model.DATA_SHA256[n]
    assert set(model.DATA_SHA256) == set(model.SIZES)


@pytest.mark.parametrize(("name", "n"), EVERY_SIZE)
def test_the_error_of_a_reference_is_far_below_what_a_trial_can_see(name, n):
    """A tenth of what any model's may be, in those that the suite has."""
    most = 1e-3 if name in SUITES_OWN else REFERENCE_ERROR
    for estimand, exact in exact_moments(models.load(name).reference, n).items():
        assert 0 <= exact.error < most * exact.sd, estimand


def test_the_second_moment_is_that_of_the_mean_and_sd():
    assert models.Moments(mean=3.0, sd=4.0, error=0.0).second_moment == 25.0


# Quadrature


def test_quadrature_finds_and_integrates_a_correlated_normal_from_a_poor_guess():
    mean, covariance = np.array([3.0, -20.0]), np.array([[4.0, 1.2], [1.2, 1.0]])
    precision = np.linalg.inv(covariance)

    def log_density(a, b):
        d = np.stack(np.meshgrid(a - mean[0], b - mean[1], indexing="ij"), axis=-1)
        return -0.5 * np.einsum("abi,ij,abj->ab", d, precision, d)

    axes = fitted_axes(log_density, center=[0.0, -15.0], scale=[8.0, 0.9], nodes=65)
    a, b = axes[0][:, None], axes[1][None, :]
    found = moments(log_density(*axes), {"b": (b, b**2), "sum": (a + b, (a + b) ** 2)})
    assert found["b"].mean == pytest.approx(-20.0, abs=1e-9)
    assert found["b"].sd == pytest.approx(1.0, abs=1e-9)
    assert found["sum"].sd == pytest.approx((4 + 1 + 2.4) ** 0.5, abs=1e-9)


def test_quadrature_reports_a_grid_that_is_too_coarse():
    def log_density(a):
        return -0.5 * a**2

    errors = []
    for nodes in (9, 33):
        (a,) = fitted_axes(log_density, center=[0.3], scale=[1.0], nodes=nodes)
        errors.append(moments(log_density(a), {"a": (a, a**2)})["a"].error)
    assert errors[0] > 0.01
    assert errors[1] < 1e-6


# PPCA


def test_ppca_estimands_do_not_change_when_signs_flip():
    rng = np.random.default_rng(0)
    draws = {"w": rng.normal(size=(2, 3, 2, 1)), "z": rng.normal(size=(2, 3, 500, 1))}
    flipped = {name: -values for name, values in draws.items()}
    here, there = ppca.estimands(draws, 500), ppca.estimands(flipped, 500)
    assert set(here) == set(exact_moments(ppca.reference, 500))
    for name, values in here.items():
        assert values.shape == (2, 3)
        np.testing.assert_array_equal(values, there[name])
    np.testing.assert_allclose(here["w1w2"], (draws["w"][..., 0, 0] * draws["w"][..., 1, 0]))
    np.testing.assert_allclose(here["zz"], (draws["z"][..., 0] ** 2).mean(axis=-1))
    fitted = draws["w"] @ np.swapaxes(draws["z"], 2, 3)
    np.testing.assert_allclose(here["fit"], (fitted * ppca.data(500)).sum(axis=(2, 3)) / 500)


def test_ppca_reference_reproduces_the_numbers_of_the_design():
    rng = np.random.default_rng(42)
    w = rng.normal(0, 2, size=(2, 1))
    z = rng.normal(0, 1, size=(1, 500))
    exact = ppca.reference_for(w @ z + rng.normal(0, 1, size=(2, 500)))["w1w2"]
    assert round(exact.mean, 4) == -1.1695
    assert round(exact.sd, 4) == 0.1255


@pytest.mark.parametrize("n", ppca.SIZES[:2])
def test_ppca_reference_agrees_with_polar_quadrature_over_the_whole_plane(n):
    """In polar coordinates, over both modes, with the marginal normal density of each observation written out. With
    more observations the posterior falls between the grid's points."""
    x = ppca.data(n)
    radius = np.linspace(0.01, 4.0, 800)
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    r, a = np.meshgrid(radius, angle, indexing="ij")
    w = np.stack([r * np.cos(a), r * np.sin(a)], axis=-1)
    covariance = np.eye(2) + w[..., :, None] * w[..., None, :]
    trace = np.einsum("raij,ji->ra", np.linalg.inv(covariance), x @ x.T)
    log_density = -n / 2 * np.linalg.slogdet(covariance)[1] - trace / 2 - (w**2).sum(-1) / (2 * 2.0**2)
    weights = normalised(log_density + np.log(r))
    exact = exact_moments(ppca.reference, n)
    for name, values in {"w1w1": w[..., 0] ** 2, "w1w2": w[..., 0] * w[..., 1], "w2w2": w[..., 1] ** 2}.items():
        assert (weights * values).sum() == pytest.approx(exact[name].mean, abs=1e-6 * exact[name].sd)
        assert (weights * values**2).sum() == pytest.approx(exact[name].second_moment, rel=1e-7)

    # Given w, each zₙ has variance 1/q, so that q Σ zₙ² has a noncentral chi-squared distribution.
    q = 1 + r**2
    mean, variance = stats.ncx2.stats(n, np.einsum("rai,ij,raj->ra", w, x @ x.T, w) / q)
    zz_mean, zz_variance = mean / q / n, variance / q**2 / n**2
    overall = (weights * zz_mean).sum()
    assert overall == pytest.approx(exact["zz"].mean, abs=1e-6 * exact["zz"].sd)
    assert (weights * (zz_variance + (zz_mean - overall) ** 2)).sum() ** 0.5 == pytest.approx(exact["zz"].sd, rel=1e-6)


@pytest.mark.parametrize(("n", "draws"), [(500, 400), (5000, 300)])
def test_ppca_reference_agrees_with_a_gibbs_sampler(n, draws):
    """Both conditionals are normal: w given z by linear regression, z given w by shrinkage.

    Of the n of z only x zᵀ and |z|² matter, and are drawn: z is two normal numbers in the plane of the two rows of x,
    and the square of its length beside that plane is a chi-squared one.
    """
    rng, x, chains, warmup = np.random.default_rng(1), ppca.data(n), 60, 40
    scatter = x @ x.T
    root = np.linalg.cholesky(scatter)
    w = rng.choice([-1.0, 1.0], size=(chains, 1)) * np.array([-0.6, 1.4])
    kept = []
    for step in range(warmup + draws):
        q = 1 + (w**2).sum(axis=1, keepdims=True)
        in_plane = w @ root / q + rng.normal(size=(chains, 2)) / np.sqrt(q)
        zz = (in_plane**2).sum(axis=1, keepdims=True) + rng.chisquare(n - 2, size=(chains, 1)) / q
        precision = zz + 1 / 2.0**2
        w = in_plane @ root.T / precision + rng.normal(size=(chains, 2)) / np.sqrt(precision)
        if step >= warmup:
            products = w[:, 0] ** 2, w[:, 0] * w[:, 1], w[:, 1] ** 2
            kept.append(np.stack([*products, zz[:, 0] / n, (w * (in_plane @ root.T)).sum(axis=1) / n]))
    found = dict(zip(("w1w1", "w1w2", "w2w2", "zz", "fit"), np.stack(kept, axis=2), strict=True))
    assert_agrees(found, exact_moments(ppca.reference, n))


# The discrete mixture


def test_discrete_estimands_tell_which_observation_has_which_label():
    rng = np.random.default_rng(0)
    draws = {
        "mu": rng.normal(size=(2, 3, 2)),
        "sigma": rng.uniform(0.5, 1, size=(2, 3, 2)),
        "cluster": rng.choice(2, size=(2, 3, 100)),
    }
    here = discrete.estimands(draws, 100)
    there = discrete.estimands({**draws, "cluster": draws["cluster"][..., rng.permutation(100)]}, 100)
    assert set(here) == set(exact_moments(discrete.reference, 100))
    for name, values in here.items():
        assert values.shape == (2, 3)
        assert np.array_equal(values, there[name]) == (name != "residual_0")
    for at in np.ndindex(2, 3):
        members = draws["cluster"][at] == 0
        residual = (discrete.data(100)[members] - draws["mu"][at][0]).sum() / 100
        assert here["residual_0"][at] == pytest.approx(residual)
    np.testing.assert_allclose(here["mean"], 0.3 * draws["mu"][..., 0] + 0.7 * draws["mu"][..., 1])


def test_discrete_estimands_show_a_chain_with_the_clusters_in_each_others_roles():
    """There is no symmetry of labels: a chain that has swapped them is wrong, and must not pass."""
    right = {"mu": np.array([[[0.0, 1.9]]]), "sigma": np.array([[[0.2, 0.8]]])}
    swapped = {name: values[..., ::-1] for name, values in right.items()}
    exact = exact_moments(discrete.reference, 100)
    for name in ("mean", "gap"):
        distance = discrete.component_estimands(swapped)[name] - exact[name].mean
        assert abs(distance.item()) > 9 * exact[name].sd


def test_discrete_second_mode_has_no_mass_and_the_reference_misses_no_other():
    """A grid over everywhere that prior and data allow, where the reference covers the main mode only."""
    mu, log_sigma = np.arange(-2.0, 4.0, 0.0625), np.arange(-3.5, 1.2, 0.125)
    # From the definition, on the nodes of one cluster times those of the other.
    m, log_s = (axis.ravel() for axis in np.meshgrid(mu, log_sigma, indexing="ij"))
    density = np.exp(-0.5 * ((discrete.data(100)[:, None] - m) / np.exp(log_s)) ** 2 - log_s)
    first, other = (weight * density for weight in discrete.WEIGHTS)
    prior = -0.5 * m**2 - 0.5 * np.exp(2 * log_s) + log_s
    log_density = prior[:, None] + prior
    # Few rows at a time, which a processor's cache holds, and one logarithm for the product of ten observations.
    for rows in (slice(i, i + 4) for i in range(0, len(m), 4)):
        for ten in range(0, 100, 10):
            product = np.ones((4, len(m)))
            for i in range(ten, ten + 10):
                product *= first[i, rows, None] + other[i]
            with np.errstate(divide="ignore"):
                log_density[rows] += np.log(product)
    weights = normalised(log_density).reshape(2 * (len(mu), len(log_sigma)))
    of_means = weights.sum(axis=(1, 3))
    second_mode = of_means[mu[:, None] > mu[None, :]].sum()
    assert second_mode == pytest.approx(8.5e-9, rel=0.1)

    exact = exact_moments(discrete.reference, 100)
    gap = (of_means * (mu[None, :] - mu[:, None])).sum()
    assert gap == pytest.approx(exact["gap"].mean, abs=2e-3 * exact["gap"].sd)
    for name, others in {"sigma_0": (0, 2, 3), "sigma_1": (0, 1, 2)}.items():
        mean = weights.sum(axis=others) @ np.exp(log_sigma)
        assert mean == pytest.approx(exact[name].mean, abs=2e-3 * exact[name].sd)


def test_discrete_reference_agrees_with_a_gibbs_sampler():
    """Labels and means from their conditionals, log(sigma) by Metropolis: the joint posterior, nothing summed out."""
    rng, y, chains, warmup, draws = np.random.default_rng(2), discrete.data(100), 300, 60, 250
    mu, sigma = np.tile(discrete.TRUE_MU, (chains, 1)), np.tile(discrete.TRUE_SIGMA, (chains, 1))
    # In which a cluster's log-density of an observation is linear.
    terms = np.stack([np.ones(100), y, y**2])
    kept = {"mu": [], "sigma": [], "cluster": []}
    for step in range(warmup + draws):
        inverse = 1 / sigma**2
        of_terms = np.stack([np.log([0.3, 0.7] / sigma) - 0.5 * mu**2 * inverse, mu * inverse, -0.5 * inverse], axis=-1)
        log_odds = (of_terms[:, 1] - of_terms[:, 0]) @ terms
        cluster = (rng.logistic(size=log_odds.shape) < log_odds).astype(int)
        for k in (0, 1):
            count, total, square = terms @ (cluster == k).T.astype(float)
            precision = 1 + count / sigma[:, k] ** 2
            mu[:, k] = total / sigma[:, k] ** 2 / precision + rng.normal(size=chains) / np.sqrt(precision)
            squares = square - 2 * mu[:, k] * total + count * mu[:, k] ** 2

            def log_density(s, count=count, squares=squares):
                return (1 - count) * np.log(s) - squares / (2 * s**2) - s**2 / 2

            for _ in range(6):
                proposed = sigma[:, k] * np.exp(0.25 * rng.normal(size=chains))
                log_ratio = log_density(proposed) - log_density(sigma[:, k])
                sigma[:, k] = np.where(-rng.exponential(size=chains) < log_ratio, proposed, sigma[:, k])
        if step >= warmup:
            for name, value in (("mu", mu), ("sigma", sigma), ("cluster", cluster)):
                kept[name].append(value.copy())
    posterior = {name: np.stack(values, axis=1) for name, values in kept.items()}
    assert_agrees(discrete.estimands(posterior, 100), exact_moments(discrete.reference, 100))


def assert_agrees(found: dict[str, np.ndarray], exact: dict[str, models.Moments]) -> None:
    """Mean, second moment and variance agree within 4 standard errors, which are small enough to see a shift of
    6 % of an sd. The variance is tested by itself since a mean far from zero hides it in the second moment.

    Chains are independent, so the spread of their means gives the standard error: no autocorrelation to guess.
    """
    assert set(found) == set(exact)
    for name, x in found.items():
        moment = exact[name]
        for draws, truth in (
            (x, moment.mean),
            (x**2, moment.second_moment),
            ((x - moment.mean) ** 2, moment.sd**2),
        ):
            of_chains = draws.mean(axis=1)
            error = of_chains.std(ddof=1) / len(of_chains) ** 0.5
            assert abs(of_chains.mean() - truth) < 4 * error, name
            assert error < 0.015 * draws.std(), name


# The coal-mining disasters


def test_coal_mining_counts_are_those_of_111_years_with_the_drop_that_everybody_knows():
    counts = coal_mining.data(111)
    assert counts.shape == (111,) == coal_mining.YEARS.shape
    assert (coal_mining.YEARS[0], coal_mining.YEARS[-1]) == (1851, 1961)
    # The well-known drop: about three a year until around 1890, about one a year after.
    assert counts[:40].mean() == pytest.approx(3.1, abs=0.1)
    assert counts[40:].mean() == pytest.approx(0.92, abs=0.1)


def test_coal_mining_reference_agrees_with_quadrature_over_the_rates():
    before, years_before, after, years_after = coal_mining.sums(111)
    early, late = np.linspace(1e-4, 8, 1601), np.linspace(1e-4, 4, 801)
    # Given the switchpoint, the density is a product of one of each rate, and so is a sum over the grid of both.
    of_early = np.exp(np.outer(before, np.log(early)) - np.outer(1 + years_before, early))
    of_late = np.exp(np.outer(after, np.log(late)) - np.outer(1 + years_after, late))
    mass = of_early.sum(axis=1) * of_late.sum(axis=1)
    mass /= mass.sum()
    given = {
        "early_rate": [of_early @ early**power / of_early.sum(axis=1) for power in (1, 2)],
        "late_rate": [of_late @ late**power / of_late.sum(axis=1) for power in (1, 2)],
        "switchpoint": [coal_mining.YEARS.astype(float) ** power for power in (1, 2)],
    }
    for name, exact in coal_mining.reference(111).items():
        mean, square = (mass @ values for values in given[name])
        assert exact.mean == pytest.approx(mean, rel=1e-6)
        assert exact.sd == pytest.approx(np.sqrt(square - mean**2), rel=1e-3)


def test_coal_mining_reference_agrees_with_a_gibbs_sampler():
    rng, counts = np.random.default_rng(11), coal_mining.data(111)
    before, years_before, after, years_after = coal_mining.sums(111)
    k, draws = 40, {"early_rate": [], "late_rate": [], "switchpoint": []}
    for _ in range(20_000):
        early = rng.gamma(1 + counts[: k + 1].sum()) / (1 + k + 1)
        late = rng.gamma(1 + counts[k + 1 :].sum()) / (1 + 110 - k)
        log_weight = before * np.log(early) - years_before * early + after * np.log(late) - years_after * late
        weight = np.exp(log_weight - log_weight.max())
        k = int(np.searchsorted(np.cumsum(weight), rng.random() * weight.sum()))
        for name, value in (("early_rate", early), ("late_rate", late), ("switchpoint", 1851 + k)):
            draws[name].append(value)
    for name, exact in coal_mining.reference(111).items():
        batches = np.array(draws[name], dtype=float).reshape(50, -1).mean(axis=1)
        assert abs(batches.mean() - exact.mean) < 4 * batches.std(ddof=1) / np.sqrt(50), name
        assert np.std(draws[name]) == pytest.approx(exact.sd, rel=0.06), name


# The eight schools


def test_eight_schools_reference_agrees_with_what_is_published():
    """posteriordb's reference draws of eight_schools_noncentered: mu 4.4 (3.3), tau 3.6 (3.2), school A 6.2 (5.6)."""
    exact = eight_schools.reference(8)
    for name, mean, sd in (("mu", 4.4, 3.3), ("tau", 3.6, 3.2), ("school_0", 6.2, 5.6)):
        assert (exact[name].mean, exact[name].sd) == pytest.approx((mean, sd), abs=0.05), name


def test_eight_schools_reference_agrees_with_quadrature_over_mu_and_tau():
    """From the definition: each school summed over its own effect, mu and tau over a grid, nothing in closed form."""
    effects, errors = eight_schools.data(8)
    mu, log_tau, z = np.linspace(-25, 35, 121)[:, None], np.linspace(-9, 6, 151)[None, :], np.linspace(-7, 7, 57)
    tau, log_weight, schools = np.exp(log_tau), 0.0, {}
    for j, (effect, error) in enumerate(zip(effects, errors, strict=True)):
        own = mu[..., None] + tau[..., None] * z
        joint = np.exp(-0.5 * ((effect - own) / error) ** 2 - 0.5 * z**2)
        each = joint.sum(axis=-1)
        log_weight = log_weight + np.log(each)
        schools[f"school_{j}"] = [(joint * own**k).sum(axis=-1) / each for k in (1, 2)]
    weight = np.exp(log_weight - 0.5 * (mu / 5) ** 2 - np.log1p((tau / 5) ** 2) + log_tau + 40)
    given = {"mu": (mu, mu**2), "tau": (tau, tau**2), **schools}
    for name, exact in eight_schools.reference(8).items():
        mean, square = (float((weight * g).sum() / weight.sum()) for g in given[name])
        assert (exact.mean, exact.sd) == pytest.approx((mean, np.sqrt(square - mean**2)), rel=1e-3), name


# The marginal twins


@pytest.mark.parametrize(
    ("marginal", "model"), [("discrete_marginal", "discrete"), ("coal_mining_marginal", "coal_mining")]
)
def test_a_marginal_model_has_the_data_the_estimands_and_the_reference_of_its_twin(marginal, model):
    marginal, model = models.load(marginal), models.load(model)
    assert marginal.SIZES == model.SIZES
    assert model.DISCRETE
    assert not marginal.DISCRETE
    n = model.SIZES[0]
    assert exact_moments(marginal.reference, n) == exact_moments(model.reference, n)
    assert np.array_equal(marginal.data(n), model.data(n))


@pytest.mark.parametrize("model", ["discrete", "coal_mining"])
def test_what_is_drawn_after_sampling_a_marginal_model_is_a_draw_from_the_joint_posterior(model):
    # From exact draws of the continuous parameters, the drawn labels and switchpoints have the exact moments.
    for name, exact in reference(model).items():
        values = np.asarray(pool(model)[name], dtype=float)
        assert abs(values.mean() - exact.mean) < 4.5 * exact.sd / np.sqrt(len(values)), name
        assert values.std() == pytest.approx(exact.sd, rel=0.02), name


@pytest.mark.parametrize("name", ["discrete_marginal", "coal_mining_marginal"])
def test_what_is_drawn_after_sampling_is_the_same_for_the_same_draws(name):
    model, rng = models.load(name), np.random.default_rng(3)
    posterior = {
        "mu": rng.normal(size=(2, 5, 2)), "sigma": rng.gamma(2, size=(2, 5, 2)),
        "early_rate": rng.gamma(3, size=(2, 5)), "late_rate": rng.gamma(1, size=(2, 5)),
    }  # fmt: skip
    first, second = (model.estimands(posterior, model.SIZES[0]) for _ in range(2))
    assert all(np.array_equal(first[k], second[k]) and first[k].shape == (2, 5) for k in first)


# Log densities


# Of other models, tests/test_gradient.py holds the log density of single points against PyMC's own.
WITH_DRAWS = {"ppca", "discrete", "discrete_marginal", "coal_mining", "coal_mining_marginal", "eight_schools", "radon",
              "gp", "arma", "wide"}  # fmt: skip


@pytest.mark.parametrize("name", sorted(WITH_DRAWS & LOG_DENSITIES.keys()))
def test_the_log_density_of_draws_is_that_of_each_point(name):
    rng = np.random.default_rng(4)
    model, n = models.load(name), models.load(name).SIZES[0]
    draws = {
        "ppca": {"w": rng.normal(size=(2, 3, 2, 1)), "z": rng.normal(size=(2, 3, n, 1))},
        "discrete": {
            "cluster": rng.integers(2, size=(2, 3, n)),
            "mu": rng.normal(size=(2, 3, 2)),
            "sigma": rng.gamma(2, size=(2, 3, 2)),
        },
        "coal_mining": {
            "switchpoint": rng.integers(1851, 1962, size=(2, 3)),
            "early_rate": rng.gamma(3, size=(2, 3)),
            "late_rate": rng.gamma(1, size=(2, 3)),
        },
        "eight_schools": {
            "mu": rng.normal(size=(2, 3)),
            "tau": rng.gamma(2, size=(2, 3)),
            **{f"eta_{j}": rng.normal(size=(2, 3)) for j in range(8)},
        },
        "radon": {
            **{name: rng.normal(size=(2, 3)) for name in ("intercept", "uranium", "floor")},
            **{name: rng.gamma(2, size=(2, 3)) for name in ("county_sd", "floor_sd", "house_sd")},
            **{name: rng.normal(size=(2, 3, 85)) for name in ("a", "b")},
        },
        "gp": {name: rng.gamma(5, 0.2, size=(2, 3)) for name in ("length_scale", "amplitude", "noise")},
        "arma": {
            **{name: rng.normal(0, 0.3, size=(2, 3)) for name in ("level", "ar", "ma")},
            "noise": rng.gamma(2, size=(2, 3)),
        },
        "wide": {
            **{f"b_{j}": rng.normal(size=(2, 3)) for j in range(80)},
            "noise": rng.gamma(2, size=(2, 3)),
        },
    }[name.removesuffix("_marginal")]
    if name.endswith("_marginal"):
        draws = {key: x for key, x in draws.items() if x.dtype.kind == "f"}
    positive = {"sigma", "tau", "early_rate", "late_rate", "county_sd", "floor_sd", "house_sd", "noise"}
    positive |= {"length_scale", "amplitude"}
    unconstrained = {key: np.log(x) if key in positive else x for key, x in draws.items()}
    found = model.log_density(draws, n)
    assert found.shape == (2, 3)
    for at in np.ndindex(2, 3):
        point = LOG_DENSITIES[name](n, *(x[at] for x in unconstrained.values()))
        assert found[at] == pytest.approx(float(np.real(point)), rel=1e-10 if name == "gp" else 1e-12)


@pytest.mark.parametrize(
    ("name", "impossible"),
    [
        ("coal_mining", {"switchpoint": np.array([[1850, 1900, 1962]])}),
        ("discrete", {"cluster": np.array([[[2] * 100, [0] * 100, [-1] * 100]])}),
    ],
)
def test_what_no_sampler_may_return_has_no_density(name, impossible):
    rates = {"early_rate": np.full((1, 3), 3.0), "late_rate": np.ones((1, 3))}
    components = {"mu": np.zeros((1, 3, 2)), "sigma": np.ones((1, 3, 2))}
    found = models.load(name).log_density(impossible | rates | components, models.load(name).SIZES[0])
    assert np.isfinite(found).tolist() == [[False, True, False]]
