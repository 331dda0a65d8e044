"""The gate lets a correct sampler pass and catches a broken one: its two error rates, at the protocol's numbers of
chains and draws, with exact draws from the models' posteriors whose autocorrelation is that of real samplers.
"""

from __future__ import annotations

import functools
from itertools import product

import numpy as np
import pytest

from harness.judging.agreement import Z_LIMIT, pooled
from models import Moments
from sampling.gate import EFFECTIVE_DRAWS_LIMIT, judge
from sampling.settings import Settings
from tests.exact_draws import CHAINS, DRAWS, LENGTHS, POSTERIORS, pool, prior, reference, rejected, trial

MODELS = list(POSTERIORS)
# Of 1000 draws 538, 333 and 176 are effective ones. NUTS has 300 to 900 for the worst estimand of these models.
RHO = (0.3, 0.5, 0.7)
# No seed is used twice. What is rejected of one model at one autocorrelation often is, with the same seed, of others,
# too: the same 150 seeds for each of the twelve say no more than 600 independent trials do, and these are 720.
SEEDS = {given: range(60 * k, 60 * (k + 1)) for k, given in enumerate(product(MODELS, RHO))}


@functools.cache
def judged(model, rho, seed, length=DRAWS):
    """What the gate says of a trial of a correct sampler."""
    return judge(trial(pool(model), seed, rho, length=length), reference(model))


@functools.cache
def moderate(model, seed):
    """A trial of a correct sampler, to be spoilt, in which 430 of 1000 draws are effective ones."""
    return trial(pool(model), seed, 0.4)


def test_the_gate_is_measured_with_the_protocols_numbers_of_chains_and_draws():
    assert Settings("ppca", 500, "pymc-c").chains == CHAINS
    # Every release and backend draws 1000 of its own choice; tests of real trials see it.
    assert 1000 in LENGTHS


@pytest.mark.slow
@pytest.mark.thorough
def test_a_change_point_that_moves_slowly_is_rejected_in_under_one_per_cent_of_trials():
    # Of 4000 draws 444 are effective; real trials of the compound step have 490 to 690. Were twice as many rejected
    # as may be, this would show with a probability of 96 %.
    reasons = [reason for seed in range(400) if (reason := judged("coal_mining", 0.8, seed, length=1000)[1])]
    assert len(reasons) < 4, reasons


@pytest.mark.slow
@pytest.mark.thorough
def test_a_correct_sampler_is_rejected_in_under_one_per_cent_of_trials():
    # Were twice as many rejected as may be, this would show with a probability of 97 %.
    reasons = [
        f"{model}, autocorrelation {rho}, seed {seed}: {reason}"
        for (model, rho), seeds in SEEDS.items()
        for seed in seeds
        if (reason := judged(model, rho, seed)[1])
    ]
    trials = sum(map(len, SEEDS.values()))
    assert trials >= 720
    assert len(reasons) < 0.01 * trials, "\n".join(reasons)


@pytest.mark.parametrize("model", MODELS)
def test_a_trial_is_rejected_when_one_of_its_estimands_is_and_only_then(model):
    right, exact = moderate(model, 0), reference(model)
    assert judge(right, exact)[1] is None
    assert not rejected(right, exact)
    for k, x in right.items():
        for wrong, why in ((x + exact[k].sd / 2, f"of {k} is"), (x[[0, 0, 2, 3]], f"draws of {k} is")):
            draws = right | {k: wrong}
            assert why in judge(draws, exact)[1]
            assert rejected(draws, exact)


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
    "all that is ever drawn a zero": _everywhere(lambda x, mean, sd: np.zeros_like(x)),
    "one chain stuck": _everywhere(lambda x, mean, sd: np.where(np.arange(len(x))[:, None] == 3, x[3, 0], x)),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_broken_sampler_is_caught(fault, model):
    exact, spoilt = reference(model), FAULTS[fault]
    missed = [seed for seed in range(60) if not rejected(spoilt(moderate(model, seed), exact, model), exact)]
    assert not missed


@pytest.mark.parametrize("model", MODELS)
def test_a_sampler_that_drops_its_tails_is_caught(model):
    draws, exact = pool(model), reference(model)
    kept = np.all([np.abs(x - exact[k].mean) < 2 * exact[k].sd for k, x in draws.items()], axis=0)
    inner = {k: x[kept] for k, x in draws.items()}
    assert all(rejected(trial(inner, seed, 0.4), exact) for seed in range(60))


@pytest.mark.parametrize("model", MODELS)
def test_a_sampler_that_returns_the_prior_is_caught(model):
    assert all(rejected(trial(prior(model), seed, 0.4), reference(model)) for seed in range(60))


@pytest.mark.parametrize("share", [0.5, 0.2, 0.1])
def test_a_sampler_that_sees_one_mode_of_an_estimand_is_caught(share):
    rng = np.random.default_rng(1)
    far = rng.random(100_000) < share
    x = rng.normal(size=100_000) + 6 * far
    exact = {"x": Moments(mean=6 * share, sd=(1 + 36 * share * (1 - share)) ** 0.5, error=0.0)}
    near, both = {"x": x[~far]}, {"x": x}
    assert all(judge(trial(near, seed, 0.4), exact)[1] for seed in range(60))
    # A sampler that jumps between the modes as it should is let pass.
    passed = sum(judge(trial(both, seed, 0.4), exact)[1] is None for seed in range(60))
    assert passed >= 59


@pytest.mark.parametrize("model", MODELS)
def test_over_all_trials_of_a_backend_a_bias_of_a_tenth_is_caught(model):
    # As many as a sweep of the minor releases has.
    found = [judged(model, 0.5, seed)[0] for seed in SEEDS[model, 0.5][:24]]
    for bias, is_caught in ((0.1, True), (0.0, False)):
        # A bias moves the estimate, and neither its sd nor its effective draws.
        estimates = {
            name: [
                (d.mean + bias * d.exact_sd, d.exact_mean, d.exact_sd, d.sd / d.mcse_mean)
                for d in (diagnostics[name] for diagnostics in found)
            ]
            for name in reference(model)
        }
        assert (max(abs(pooled(e).z) for e in estimates.values()) > Z_LIMIT) == is_caught


def test_a_sampler_whose_draws_say_nothing_is_not_called_right():
    _, reason = judge(trial(pool("ppca"), 1, 0.97), reference("ppca"))
    assert f"fewer than {EFFECTIVE_DRAWS_LIMIT:.0f}" in reason or "R-hat" in reason


def test_a_count_whose_largest_value_is_common_is_not_held_to_have_no_tail():
    draws = {"count": np.random.default_rng(3).integers(0, 3, size=(4, 300)).astype(float)}
    exact = {"count": Moments(mean=1.0, sd=(2 / 3) ** 0.5, error=0.0)}
    assert judge(draws, exact)[1] is None


def _counts(draws, mean, sd):
    return judge({"count": draws}, {"count": Moments(mean, sd, error=0.0)})[1]


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
