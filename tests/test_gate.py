"""The gate lets a correct sampler pass and catches a broken one: its two error rates, at the protocol's numbers of
chains and draws, with exact draws from the models' posteriors whose autocorrelation is that of real samplers.
"""

from __future__ import annotations

import numpy as np
import pytest

from harness.judging.agreement import Z_LIMIT, pooled
from sampling.diagnostics import EFFECTIVE_DRAWS_LIMIT, judge
from sampling.settings import Settings
from tests.exact_draws import CHAINS, DRAWS, POSTERIORS, pool, prior, reference, trial

MODELS = list(POSTERIORS)
# Of 1000 draws: 538, 333 and 176 effective ones. NUTS has 300 to 900 for the worst estimand of these models.
RHO = {0.3: 150, 0.5: 150, 0.7: 150}


def test_the_gate_is_measured_with_the_protocols_numbers_of_chains_and_draws():
    for model, draws in {**dict.fromkeys(MODELS, DRAWS), "coal_mining": 1000, "coal_mining_marginal": DRAWS}.items():
        settings = Settings(model, 500, "pymc-c")
        assert (settings.chains, settings.draws) == (CHAINS, draws)


def test_a_change_point_that_moves_slowly_is_rejected_in_under_one_per_cent_of_trials():
    # Of 4000 draws 444 are effective; real trials of the compound step have 490 to 690.
    rejected = [
        reason
        for seed in range(400)
        if (reason := judge(trial(pool("coal_mining"), seed, 0.8, length=1000), reference("coal_mining"))[1])
    ]
    assert len(rejected) < 4, rejected


def test_a_correct_sampler_is_rejected_in_under_one_per_cent_of_trials():
    rejected = []
    for model in MODELS:
        for rho, trials in RHO.items():
            for seed in range(trials):
                _, reason = judge(trial(pool(model), seed, rho), reference(model))
                rejected += [f"{model}, autocorrelation {rho}, seed {seed}: {reason}"] if reason else []
    trials = len(MODELS) * sum(RHO.values())
    assert trials >= 300
    assert len(rejected) < 0.01 * trials, "\n".join(rejected)


def _everywhere(change):
    """A fault that changes each estimand's draws, given its exact mean and sd."""
    return lambda draws, exact, _: {k: change(x, exact[k].mean, exact[k].sd) for k, x in draws.items()}


def _repeat_a_chain(draws, _exact, _model):
    return {k: x[[0, 0, 2, 3]] for k, x in draws.items()}


def _repeat_every_chain(draws, _exact, _model):
    return {k: x[[0, 0, 0, 0]] for k, x in draws.items()}


def _of_one_chain(change):
    """A fault that changes one chain, given it and another one."""
    return lambda draws, _exact, _model: {k: np.stack([x[0], change(x[1], x[0]), x[2], x[3]]) for k, x in draws.items()}


FAULTS = {
    "biased by a third of a standard deviation": _everywhere(lambda x, mean, sd: x + sd / 3),
    "a fifth too narrow": _everywhere(lambda x, mean, sd: mean + 0.8 * (x - mean)),
    "a fifth too wide": _everywhere(lambda x, mean, sd: mean + 1.25 * (x - mean)),
    "tails pulled in to 1.6 standard deviations": _everywhere(
        lambda x, mean, sd: np.clip(x, mean - 1.6 * sd, mean + 1.6 * sd)
    ),
    "one chain repeated": _repeat_a_chain,
    "one chain for all": _repeat_every_chain,
    "one chain repeated, but for rounding": _of_one_chain(lambda x, other: other * (1 + 1e-15)),
    "one chain mirrored": _of_one_chain(lambda x, other: 2 * other.mean() - other),
    "the second half of a chain like its first": _of_one_chain(lambda x, other: np.tile(x[: len(x) // 2], 2)),
    "fifty draws of a chain over and over": _of_one_chain(lambda x, other: np.tile(x[:50], len(x) // 50)),
    "one chain elsewhere": _everywhere(lambda x, mean, sd: x + 3 * sd * np.array([0, 0, 0, 1])[:, None]),
    "one chain stuck": _everywhere(lambda x, mean, sd: np.where(np.arange(len(x))[:, None] == 3, x[3, 0], x)),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_broken_sampler_is_caught(fault, model):
    missed = [
        seed
        for seed in range(60)
        if judge(FAULTS[fault](trial(pool(model), seed, 0.4), reference(model), model), reference(model))[1] is None
    ]
    assert not missed


@pytest.mark.parametrize("model", MODELS)
def test_a_sampler_that_drops_its_tails_is_caught(model):
    draws, exact = pool(model), reference(model)
    kept = np.all([np.abs(x - exact[k].mean) < 2 * exact[k].sd for k, x in draws.items()], axis=0)
    inner = {k: x[kept] for k, x in draws.items()}
    assert all(judge(trial(inner, seed, 0.4), exact)[1] for seed in range(60))


@pytest.mark.parametrize("model", MODELS)
def test_a_sampler_that_returns_the_prior_is_caught(model):
    assert all(judge(trial(prior(model), seed, 0.4), reference(model))[1] for seed in range(60))


@pytest.mark.parametrize("share", [0.5, 0.2, 0.1])
def test_a_sampler_that_sees_one_mode_of_an_estimand_is_caught(share):
    rng = np.random.default_rng(1)
    far = rng.random(100_000) < share
    x = rng.normal(size=100_000) + 6 * far
    exact = {"x": type("Exact", (), {"mean": 6 * share, "sd": (1 + 36 * share * (1 - share)) ** 0.5, "error": 0.0})}
    assert all(judge(trial({"x": x[~far]}, seed, 0.4), exact)[1] for seed in range(60))
    # A sampler that jumps between the modes as it should is let pass.
    passed = sum(judge(trial({"x": x}, seed, 0.4), exact)[1] is None for seed in range(60))
    assert passed >= 59


def _one_in_ten(model: str, bias: float, trials: int) -> float:
    """The largest pooled |z| over a model's estimands, of trials that are all biased by this share of an sd."""
    found = [
        judge(
            {k: x + bias * reference(model)[k].sd for k, x in trial(pool(model), seed, 0.5).items()}, reference(model)
        )[0]
        for seed in range(trials)
    ]
    return max(
        abs(
            pooled(
                [(d[name].mean, d[name].exact_mean, d[name].exact_sd, d[name].sd / d[name].mcse_mean) for d in found]
            ).z
        )
        for name in found[0]
    )


@pytest.mark.parametrize("model", MODELS)
def test_over_all_trials_of_a_backend_a_bias_of_a_tenth_is_caught(model):
    # As many as a sweep of the minor releases has.
    assert _one_in_ten(model, 0.1, trials=24) > Z_LIMIT
    assert _one_in_ten(model, 0.0, trials=24) < Z_LIMIT


def test_a_sampler_whose_draws_say_nothing_is_not_called_right():
    _, reason = judge(trial(pool("ppca"), 1, 0.97), reference("ppca"))
    assert f"fewer than {EFFECTIVE_DRAWS_LIMIT:.0f}" in reason or "R-hat" in reason


def test_a_count_whose_largest_value_is_common_is_not_held_to_have_no_tail():
    draws = {"count": np.random.default_rng(3).integers(0, 3, size=(4, 300)).astype(float)}
    exact = {"count": type("Exact", (), {"mean": 1.0, "sd": (2 / 3) ** 0.5, "error": 0.0})}
    assert judge(draws, exact)[1] is None


def _counts(draws, mean, sd):
    return judge({"count": draws}, {"count": type("Exact", (), {"mean": mean, "sd": sd, "error": 0.0})})[1]


@pytest.mark.parametrize("mean", [0.5, 3, 100, 10_000])
def test_counts_may_return_but_no_two_chains_of_them_may_move_together(mean):
    draws = np.random.default_rng(4).poisson(mean, size=(4, 250))
    assert _counts(draws, mean, mean**0.5) is None
    draws[1] = draws[0]
    assert "move together" in _counts(draws, mean, mean**0.5)


def test_a_fair_coin_whose_squares_are_all_the_same_is_right():
    assert _counts(np.random.default_rng(5).integers(0, 2, size=(4, 250)), 0.5, 0.5) is None


def test_shares_that_differ_by_rounding_are_counts_too():
    draws = np.random.default_rng(6).binomial(100, 0.3, size=(4, 250))
    jitter = np.where(np.arange(250) % 2, 0.1 * 3, 0.3) / 0.3
    assert _counts(draws / 100 * jitter, 0.3, 0.21**0.5 / 10) is None


@pytest.mark.parametrize("draws", [{}, {"other": np.zeros((4, 250))}])
def test_estimands_that_are_not_those_of_the_reference_cannot_be_judged(draws):
    with pytest.raises(ValueError, match="with exact moments"):
        judge(draws, reference("ppca"))
