"""The gate sees what is sampled: whatever is done to latent variables, to chains or to the order of draws is caught, at
the protocol's number of draws and at the fewest that a trial has, and a correct sampler of all of them is let pass.
"""

from __future__ import annotations

import dataclasses
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

import models
from models import discrete, ppca
from sampling import gate, latent, repeats
from tests import planted_faults as faults
from tests.exact_draws import LENGTHS
from tests.exact_latent import MODELS, correlated, examined, raw_trial, reported

# Of 1000 draws 430 are effective ones.
RHO = 0.4
SEEDS = pytest.mark.parametrize(
    "seeds", [range(1), pytest.param(range(1, 5), marks=[pytest.mark.slow, pytest.mark.thorough])], ids=["", "more"]
)
OF_MODELS = {
    "ppca": faults.PPCA, "discrete": faults.LABELS, "eight_schools": faults.SCHOOLS, "coal_mining": faults.RATES,
    "radon": faults.COUNTIES, "gp": faults.FUNCTIONS, "arma": faults.RESIDUALS, "wide": faults.COEFFICIENTS,
}  # fmt: skip
PLANTED = [(model, fault) for model, found in OF_MODELS.items() for fault in found]
ONE_VARIABLE = {
    "ppca": "z", "discrete": "mu", "discrete_marginal": "sigma", "eight_schools": "eta_0", "coal_mining": "late_rate",
    "radon": "a", "gp": "noise", "arma": "ar", "wide": "b_40",
}  # fmt: skip
BOTH_LENGTHS = pytest.mark.parametrize("length", [1000, pytest.param(250, marks=pytest.mark.thorough)])
BARELY = {"a likely one stuck in one chain"}
"""What 250 draws of a chain are too few to tell in two trials of five."""


def why(model, raw, log_density=None):
    """The reason why the gate rejects the draws, as a trial's own process has it, or None."""
    try:
        return examined(model, raw, log_density).reason
    except ValueError as error:
        return str(error)


@SEEDS
@BOTH_LENGTHS
@pytest.mark.parametrize("model", MODELS)
def test_a_correct_sampler_passes(model, length, seeds):
    for seed in seeds:
        raw = raw_trial(model, seed, RHO, length)
        verdict = examined(model, raw, reported(model, raw))
        assert (verdict.reason, verdict.log_density_error) == (None, 0.0)


@SEEDS
@BOTH_LENGTHS
@pytest.mark.parametrize(("model", "fault"), PLANTED)
def test_what_is_wrong_with_a_variable_is_caught(model, fault, length, seeds):
    if length == 250 and fault in BARELY:
        pytest.skip("too few draws to tell")
    # No log density is reported: nothing but the draws tells.
    missed = [
        seed
        for seed in seeds
        if not why(model, OF_MODELS[model][fault](raw_trial(model, seed, RHO, length), np.random.default_rng(seed)))
    ]
    assert not missed


@pytest.mark.parametrize("fault", ["one element frozen", "one element that is another"])
def test_what_the_estimands_pass_the_elements_show(fault):
    raw = faults.PPCA[fault](raw_trial("ppca", 1, RHO, 1000), np.random.default_rng(1))
    reference = {name: moments for name, moments in ppca.reference(500).items() if name != "fit"}
    estimands = {name: x for name, x in ppca.estimands(raw, 500).items() if name != "fit"}
    assert gate.judge(estimands, reference)[1] is None
    assert why("ppca", raw)


# Draws that were dealt out: to other chains, other times, other variables.


@SEEDS
@pytest.mark.parametrize(("length", "rho"), [(250, 0.5), (1000, 0.3), (1000, 0.7)])
@pytest.mark.parametrize("fault", faults.MIXED)
@pytest.mark.parametrize("model", MODELS)
def test_chains_that_know_of_each_other_are_caught(model, fault, length, rho, seeds):
    for seed in seeds:
        raw = raw_trial(model, seed, rho, length)
        density = reported(model, raw)
        # Everything moves together, and the log densities with it.
        mixed = faults.MIXED[fault](raw | {"density": density}, np.random.default_rng(seed))
        density = mixed.pop("density")
        assert why(model, mixed, density)


@BOTH_LENGTHS
@pytest.mark.parametrize("exchange", faults.EXCHANGED)
@pytest.mark.parametrize("model", MODELS)
def test_draws_of_one_variable_that_were_exchanged_do_not_have_the_reported_density(model, exchange, length):
    raw, name = raw_trial(model, 1, RHO, length), ONE_VARIABLE[model]
    exchanged = raw | {name: faults.EXCHANGED[exchange](raw[name], np.random.default_rng(1))}
    assert why(model, exchanged, reported(model, raw))


def shuffled(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws dealt out to any chain and any time."""
    return x.reshape(-1, *x.shape[2:])[rng.permutation(x.shape[0] * x.shape[1])].reshape(x.shape)


@pytest.mark.parametrize("model", MODELS)
def test_draws_that_were_all_shuffled_do_not_have_the_reported_density(model):
    raw = raw_trial(model, 1, RHO, 1000)
    mixed = faults.everything(shuffled)(raw, np.random.default_rng(1))
    assert why(model, mixed, reported(model, raw))
    if model == "ppca":
        # Of hundreds of elements, the errors tell that fewer draws are effective than there seem to be.
        assert "elements is off" in why(model, mixed)


@BOTH_LENGTHS
@pytest.mark.parametrize("model", ["discrete_marginal", "eight_schools", "coal_mining"])
def test_a_shuffle_of_draws_with_their_densities_shows_by_the_steps_that_were_rejected(model, length):
    # NUTS stays where it is in 3 % of its steps, of real runs of these models; these stays are then apart.
    stays = np.random.default_rng(2).random(length) < 0.03
    stays[0] = False
    at = np.maximum.accumulate(np.where(stays, 0, np.arange(length)))
    raw = {name: x[:, at] for name, x in raw_trial(model, 1, RHO, length).items()}
    assert why(model, raw, reported(model, raw)) is None
    mixed = faults.everything(shuffled)(raw, np.random.default_rng(1))
    assert "earlier draws again" in why(model, mixed, reported(model, mixed))


def test_a_log_density_may_lack_a_constant_or_be_the_potential_energy():
    raw = raw_trial("eight_schools", 1, RHO, 250)
    density = reported("eight_schools", raw)
    for right in (density, density + 7, -density, 3 - density):
        assert why("eight_schools", raw, right) is None
    for wrong in (2 * density, density[:, ::-1], np.where(np.arange(250) == 9, np.nan, density)):
        assert "do not belong together" in why("eight_schools", raw, wrong)


@pytest.mark.parametrize("several", [None, np.zeros((4, 250, 2)), np.zeros((4, 249))])
def test_what_is_not_one_number_for_each_draw_is_not_compared(several):
    verdict = examined("eight_schools", raw_trial("eight_schools", 1, RHO, 250), several)
    assert (verdict.reason, verdict.log_density_error) == (None, None)


# Labels: statistics that hold of rare ones


def labels(probability: np.ndarray, seed: int, rho: float = 0.0, length: int = 1000) -> np.ndarray:
    """Independent labels with these probabilities, shape (4, length, elements)."""
    from scipy.special import ndtr

    return ndtr(correlated(np.random.default_rng(seed), rho, (4, length, len(probability)))) < probability


def why_labels(x: np.ndarray, probability: np.ndarray) -> str | None:
    sd = np.sqrt(probability * (1 - probability))
    return latent.why_latent(lambda part: x[..., part], probability, sd)


@pytest.mark.parametrize("rho", [0.0, 0.5])
@BOTH_LENGTHS
def test_labels_of_any_probability_pass(length, rho):
    # Of 20 sets of 400 labels none is rejected: the limit is for one of a thousand.
    probability = np.concatenate([np.geomspace(1e-9, 0.5, 200), 1 - np.geomspace(1e-9, 0.5, 200)])
    assert [r for seed in range(20) if (r := why_labels(labels(probability, seed, rho, length), probability))] == []


def test_a_label_that_is_certain_may_stay_and_no_other_may():
    probability = np.array([1e-12, 1e-6, 0.999999, 0.3])
    x = labels(probability, 1)
    assert why_labels(x, probability) is None
    for element in range(4):
        for value in (False, True):
            stuck = x.copy()
            stuck[..., element] = value
            is_right = abs(value - probability[element]) < 1e-5
            assert (why_labels(stuck, probability) is None) == is_right


# Many elements


def why_standard(x: np.ndarray) -> str | None:
    return latent.why_latent(lambda part: x[..., part], np.zeros(x.shape[2]), np.ones(x.shape[2]))


@pytest.mark.parametrize("elements", [1, 10, 500])
def test_elements_of_a_correct_sampler_pass(elements):
    for seed in range(20):
        x = correlated(np.random.default_rng(seed), 0.5, (4, 250, elements))
        assert why_standard(x) is None


def with_a_slow_chain(seed: int) -> np.ndarray:
    """Standard normal draws (4, 1000, 170) of a chain that needs six times the draws of the three others."""
    return np.concatenate(
        [correlated(np.random.default_rng([seed, chain]), 0.6 if chain else 0.92, (1, 1000, 170)) for chain in range(4)]
    )


def test_a_chain_that_is_less_effective_than_the_others_passes():
    # As NUTS has it, whose chains each find a step size of their own.
    assert [reason for seed in range(40) if (reason := why_standard(with_a_slow_chain(seed)))] == []


def test_a_chain_that_is_less_effective_than_the_others_is_not_excused_for_being_elsewhere():
    for seed in range(10):
        x = with_a_slow_chain(seed)
        x[0] += 0.4
        assert why_standard(x).startswith("the mean in chain 0 of")


def test_an_element_that_is_stuck_for_half_of_a_chain_shows():
    for seed in range(10):
        x = correlated(np.random.default_rng(seed), 0.0, (4, 1000, 170))
        x[0, 500:, 3] = x[0, 500, 3] = 2.0
        assert "latent element 3" in why_standard(x)


def test_a_common_shift_shows_before_a_single_element_does():
    x = correlated(np.random.default_rng(1), 0.0, (4, 1000, 500)) + 0.04
    assert "of the 500 latent elements is off" in why_standard(x)


def test_the_reason_names_the_element_wherever_the_chunks_end(monkeypatch):
    monkeypatch.setattr(latent, "CHUNK", 70 * 4 * 250)
    x = correlated(np.random.default_rng(1), 0.3, (4, 250, 500))
    x[..., 432] += 1
    assert "latent element 432" in why_standard(x)


def test_latent_draws_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="have the shape"):
        latent.why_latent(lambda _: np.zeros((4, 250, 3)), np.zeros(500), np.ones(500))


def test_a_large_model_needs_little_memory_beside_its_draws():
    n = 5000
    rng = np.random.default_rng(1)
    raw = {"w": rng.normal(size=(4, 250, 2, 1)), "z": rng.normal(size=(4, 250, n, 1))}
    mean, sd = ppca.latent_reference(n)
    tracemalloc.start()
    latent.why_latent(lambda part: ppca.latent(raw, n, part), mean, 1e9 * sd)
    repeats.why_stuck(raw)
    repeats.combined(raw)
    ppca.log_density(raw, n)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Of chunks, whatever n is: at n = 50 000, draws take 1600 MB.
    assert peak < 150e6


# What does not move


def test_every_continuous_scalar_moves_in_every_chain():
    rng = np.random.default_rng(1)
    raw = {"a": rng.normal(size=(2, 50)), "b": rng.normal(size=(2, 50, 3, 2)), "k": np.zeros((2, 50, 4), dtype=int)}
    assert repeats.why_stuck(raw) is None
    raw["b"][1, :, 2, 0] = 1.0
    assert repeats.why_stuck(raw) == "b[2, 0] moves 0 times in chain 1, which moves 49 times"
    raw["b"][1, :, 2, 0] = rng.normal(size=50)
    raw["a"][0] = 3.0
    assert repeats.why_stuck(raw) == "a moves 0 times in chain 0, which moves 49 times"


def test_a_chain_that_rejects_half_of_its_steps_stays_with_all_of_its_scalars():
    rng = np.random.default_rng(1)
    at = np.sort(rng.integers(50, size=(2, 50)), axis=1)
    raw = {name: np.stack([rng.normal(size=50)[a] for a in at]) for name in ("a", "b")}
    assert repeats.why_stuck(raw) is None


def test_a_latent_variable_that_is_not_finite_is_refused_and_named():
    raw = raw_trial("ppca", 1, RHO, 250)
    raw["z"][1, 2, 3] = np.inf
    with pytest.raises(ValueError, match="of z are not finite"):
        examined("ppca", raw)


# The models' side


@pytest.mark.parametrize("name", ["ppca", "discrete", "radon", "gp", "wide"])
def test_the_latent_reference_agrees_with_exact_draws(name):
    model = models.load(name)
    n = model.SIZES[0]
    trials = [raw_trial(name, seed, 0.0, 1000) for seed in range(4)]
    # Together, for what is drawn after sampling is drawn from the same stream each time.
    raw = {variable: np.concatenate([trial[variable] for trial in trials]) for variable in trials[0]}
    mean, sd = model.latent_reference(n)
    assert mean.shape == sd.shape
    x = model.latent(raw, n, slice(None)).reshape(16_000, *mean.shape)
    # Of labels that are all but certain a draw or none is found.
    z = ((x.mean(axis=0) - mean) / sd * np.sqrt(len(x)))[sd > 0.02]
    assert np.abs(z).max() < 5
    # The mean of a few, which know of each other, varies more.
    assert (z**2).mean() < (1.3 if len(z) > 50 else 3)
    if name == "ppca":
        assert x.std(axis=0) == pytest.approx(sd, rel=0.05)


def test_latent_elements_can_be_had_in_parts():
    for name in ("ppca", "discrete", "discrete_marginal", "radon", "gp", "wide"):
        model, raw = models.load(name), raw_trial(name, 1, RHO, 50)
        n = model.SIZES[0]
        whole = model.latent(raw, n, slice(0, n))
        for part in (slice(3, 7), slice(30, 47)):
            np.testing.assert_array_equal(model.latent(raw, n, part), whole[..., part])


def test_latent_elements_do_not_change_when_signs_flip():
    raw = raw_trial("ppca", 1, RHO, 50)
    flipped = {name: -x for name, x in raw.items()}
    np.testing.assert_array_equal(*(ppca.latent(x, 500, slice(None)) for x in (raw, flipped)))
    np.testing.assert_allclose(*(ppca.log_density(x, 500) for x in (raw, flipped)))


def test_labels_of_both_models_have_the_same_probabilities():
    # Of the joint model's labels given mu and sigma; the marginal one draws its own.
    raw = raw_trial("discrete_marginal", 1, 0.0, 1000)
    probability, _ = discrete.latent_reference(100)
    found = models.load("discrete_marginal").latent(raw, 100, slice(None)).mean(axis=(0, 1))
    assert found == pytest.approx(probability, abs=0.04)


def test_a_model_without_latent_elements_needs_none():
    @dataclasses.dataclass
    class Exact:
        mean: float = 0.0
        sd: float = 1.0
        error: float = 0.0

    model = SimpleNamespace(
        estimands=lambda raw, n: {"x": raw["x"]},
        reference=lambda n: {"x": Exact()},
        log_density=lambda raw, n: -0.5 * raw["x"] ** 2,
    )
    raw = {"x": np.random.default_rng(1).normal(size=(4, 250))}
    verdict = gate.examine(model, 1, raw, -0.5 * raw["x"] ** 2 + 3)
    assert verdict.reason is None
    assert verdict.log_density_error == pytest.approx(0, abs=1e-12)


# The whole gate


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("length", LENGTHS)
def test_the_whole_gate_rejects_a_correct_sampler_in_under_one_per_cent_of_trials(length):
    # Were twice as many rejected as may be, this would show with a probability of 94 %.
    reasons = [
        f"{model}, seed {seed}: {verdict.reason}"
        for model in MODELS
        for seed in range(1000, 1060)
        if (verdict := examined(model, raw := raw_trial(model, seed, 0.5, length), reported(model, raw))).reason
    ]
    assert len(reasons) < 0.01 * 60 * len(MODELS), "\n".join(reasons)
