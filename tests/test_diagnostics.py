"""The estimators agree with ArviZ, and say what they cannot judge."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from sampling import diagnostics as d


def autoregressive(seed: int, rho: float, chains: int = 4, draws: int = 500) -> np.ndarray:
    """Stationary Gaussian AR(1) chains with mean 0 and sd 1, shape (chains, draws)."""
    rng = np.random.default_rng(seed)
    x = np.empty((chains, draws))
    x[:, 0] = rng.normal(size=chains)
    noise = rng.normal(scale=np.sqrt(1 - rho**2), size=(chains, draws))
    for t in range(1, draws):
        x[:, t] = rho * x[:, t - 1] + noise[:, t]
    return x


DRAWS = {
    "independent": autoregressive(1, 0.0),
    "correlated": autoregressive(2, 0.9),
    "antithetic": autoregressive(3, -0.7),
    "heavy tails": np.random.default_rng(4).standard_t(2, size=(4, 400)),
    "two chains of odd length": autoregressive(5, 0.5, chains=2, draws=501),
    "chains apart": autoregressive(6, 0.3) + np.arange(4)[:, None],
}


@pytest.mark.parametrize("name", DRAWS)
def test_bulk_and_tail_effective_draws_are_those_of_arviz(name):
    x = DRAWS[name]
    # Chains that never meet leave the sum of autocorrelations to where exactly it is cut off.
    tolerance = 1e-2 if name == "chains apart" else 1e-6
    assert d.ess_bulk(x) == pytest.approx(
        float(array_stats.ess(x, chain_axis=0, draw_axis=1, method="bulk")), rel=tolerance
    )
    assert d.ess_tail(x) == pytest.approx(
        float(array_stats.ess(x, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95))), rel=tolerance
    )
    assert d.ess_mean(x) == pytest.approx(
        float(array_stats.ess(x, chain_axis=0, draw_axis=1, method="mean")), rel=tolerance
    )


@pytest.mark.parametrize("name", DRAWS)
def test_rhat_is_that_of_arviz(name):
    assert d.rhat(DRAWS[name]) == pytest.approx(
        float(array_stats.rhat(DRAWS[name], chain_axis=0, draw_axis=1)), rel=1e-6
    )


def test_the_standard_error_is_that_of_independent_draws_where_draws_are_independent():
    found = d.diagnose(DRAWS["independent"], 0.0, 1.0)
    assert found.mcse_mean == pytest.approx(1 / np.sqrt(2000), rel=0.15)


def test_z_scores_of_a_correct_sampler_are_standard_normal():
    scores = [d.diagnose(autoregressive(seed, 0.5), 0.0, 1.0) for seed in range(400)]
    for z in (np.array([s.z_mean for s in scores]), np.array([s.z_second_moment for s in scores])):
        assert abs(z.mean()) < 0.2
        assert 0.85 < z.std() < 1.25


def test_a_correct_sampler_is_rejected_in_less_than_one_per_cent_of_trials():
    rejected = 0
    for seed in range(500):
        # Four estimands at a time, as a model has, with the autocorrelation of a slow sampler.
        found = {str(k): d.diagnose(autoregressive(seed * 4 + k, 0.8), 0.0, 1.0) for k in range(4)}
        rejected += d.why_invalid(found) is not None
    assert rejected <= 4, f"{rejected} of 500 valid trials were rejected"


FAULTS = {
    "biased by a third of a standard deviation": lambda x: x + 1 / 3,
    "a fifth too narrow": lambda x: 0.8 * x,
    "one chain in another mode": lambda x: x + np.array([0, 0, 0, 3.0])[:, None],
    "the prior, four times as wide": lambda x: 4 * x,
    "tails cut": lambda x: np.clip(x, -1.0, 1.0),
    "stuck": np.zeros_like,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_sampler_is_caught(fault):
    caught = sum(
        d.why_invalid({"x": d.diagnose(FAULTS[fault](autoregressive(seed, 0.3)), 0.0, 1.0)}) is not None
        for seed in range(100)
    )
    assert caught == 100


def test_the_reason_names_the_estimand_and_both_values():
    reason = d.why_invalid({"w1w2": d.diagnose(autoregressive(0, 0.3) + 1, 0.0, 1.0)})
    assert "w1w2" in reason
    assert "exact 0" in reason


@pytest.mark.parametrize("shape", [(1, 500), (4, 4), (500,), (4, 10, 2)])
def test_draws_of_the_wrong_shape_are_refused_in_a_sentence(shape):
    with pytest.raises(ValueError, match="cannot be diagnosed"):
        d.diagnose(np.zeros(shape), 0.0, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_draws_that_are_not_finite_are_refused_and_counted(bad):
    x = autoregressive(0, 0.0)
    x[2, 7] = bad
    with pytest.raises(ValueError, match="1 of 2000 draws are not finite"):
        d.diagnose(x, 0.0, 1.0)
