"""The estimators agree with ArviZ, and say what they cannot judge."""

import functools

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import signal

from sampling import diagnostics as d
from sampling.gate import why_invalid


def autoregressive(seed: int, rho: float, chains: int = 4, draws: int = 500) -> np.ndarray:
    """Stationary Gaussian AR(1) chains with mean 0 and sd 1, shape (chains, draws)."""
    rng = np.random.default_rng(seed)
    first, noise = rng.normal(size=chains), rng.normal(scale=np.sqrt(1 - rho**2), size=(chains, draws))
    noise[:, 0] = first
    return signal.lfilter([1.0], [1.0, -rho], noise)


DRAWS = {
    "independent": autoregressive(1, 0.0),
    "correlated": autoregressive(2, 0.9),
    "antithetic": autoregressive(3, -0.7),
    "heavy tails": np.random.default_rng(4).standard_t(2, size=(4, 400)),
    "two chains of odd length": autoregressive(5, 0.5, chains=2, draws=501),
    "halves whose transform has an odd size": autoregressive(7, 0.5, draws=134),
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


def test_a_bias_moves_the_estimate_and_neither_its_spread_nor_its_effective_draws():
    found, biased = (d.diagnose(DRAWS["correlated"] + bias, 0.0, 1.0) for bias in (0.0, 0.1))
    assert biased.mean == pytest.approx(found.mean + 0.1)
    for name in ("sd", "mcse_mean", "rhat", "ess_bulk", "ess_tail"):
        assert getattr(biased, name) == pytest.approx(getattr(found, name)), name


@functools.cache
def slow_trials() -> list[dict[str, d.EstimandDiagnostics]]:
    """Of a correct sampler, as slow as one is: four estimands at a time, as a model has."""
    return [{str(k): d.diagnose(autoregressive(seed * 4 + k, 0.8), 0.0, 1.0) for k in range(4)} for seed in range(300)]


def test_z_scores_of_a_correct_sampler_are_standard_normal():
    scores = [s for trial in slow_trials() for s in trial.values()]
    for z in (np.array([s.z_mean for s in scores]), np.array([s.z_second_moment for s in scores])):
        assert abs(z.mean()) < 0.1
        assert 0.9 < z.std() < 1.1


def test_a_correct_sampler_is_rejected_in_less_than_one_per_cent_of_trials():
    # None of 300: a rate of one per cent would show with a probability of 95 %.
    assert [reason for trial in slow_trials() if (reason := why_invalid(trial))] == []


def test_the_reason_names_the_estimand_and_both_values():
    reason = why_invalid({"w1w2": d.diagnose(autoregressive(0, 0.3) + 1, 0.0, 1.0)})
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
