"""What a sampler returns is judged, whatever it is: too little, too much alike, not finite, or without statistics."""

from types import SimpleNamespace

import numpy as np
import pydantic
import pytest

import models
from harness.results.parts import Diagnostics
from sampling import child, spans
from sampling.backends import load
from sampling.settings import Settings
from sampling.window import Window
from tests.exact_draws import pool, trial

SETTINGS = Settings("coal_mining_marginal", 111, "numpyro-vectorized", draws=250)


def posterior(**settings) -> dict:
    """Draws of the two rates, as an exact sampler would return them."""
    draws = trial(pool("coal_mining"), 1, 0.4, **settings)
    return {name: draws[name] for name in ("early_rate", "late_rate")}


def judged(draws: dict, settings: Settings = SETTINGS) -> dict:
    return child._judge(settings, models.load("coal_mining_marginal"), draws)


def test_a_right_answer_is_ok():
    found = judged(posterior())
    assert (found["outcome"], found["reason"]) == ("ok", None)
    assert found["effective_draws"] > 100


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        ({"chains": 2}, "it returned 2 chains of 250 draws, and was asked for 4 of 250"),
        ({"length": 249}, "it returned 4 chains of 249 draws, and was asked for 4 of 250"),
    ],
)
def test_fewer_chains_or_draws_than_asked_are_invalid(returned, sentence):
    found = judged(posterior(**returned))
    assert (found["outcome"], found["reason"]) == ("invalid", sentence)


def test_where_no_number_of_draws_was_stated_any_is_right():
    assert judged(posterior(length=900), Settings("coal_mining_marginal", 111, "default"))["outcome"] == "ok"


@pytest.mark.parametrize(("chains", "draws"), [(4, 10), (4, 49), (1, 900)])
def test_draws_that_are_too_few_to_be_judged_and_one_chain_are_none_of_the_gates(chains, draws):
    asked = Settings("coal_mining_marginal", 111, "default", chains=chains, draws=draws)
    found = judged(posterior(chains=chains, length=draws), asked)
    assert found == {"outcome": "ok"}
    assert child._unchecked(found) == []


def test_draws_that_are_not_finite_are_invalid():
    draws = posterior()
    draws["late_rate"] = np.where(np.arange(250) == 7, np.nan, draws["late_rate"])
    found = judged(draws)
    assert found["outcome"] == "invalid"
    assert "not finite" in found["reason"]


def test_a_chain_that_is_returned_twice_is_invalid():
    found = judged({name: values[[0, 0, 2, 3]] for name, values in posterior().items()})
    assert found["outcome"] == "invalid"
    assert found["reason"].startswith("chains 0 and 1 move together")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # squares of such numbers
@pytest.mark.parametrize("far", [1e20, 1e38, 1e150])
def test_a_chain_that_has_run_away_is_invalid_and_its_record_can_be_read(far):
    draws = posterior()
    draws["early_rate"] = draws["early_rate"] * np.array([1, 1, far, 1])[:, None]
    found = child._judge(SETTINGS, models.load("coal_mining_marginal"), draws, np.full((4, 250), far))
    assert found["outcome"] == "invalid"
    assert found["reason"]
    for diagnostics in found.get("diagnostics", {}).values():
        Diagnostics.model_validate(diagnostics)
    assert abs(found.get("log_density_error", 0)) < 1e15


def test_a_sampler_without_statistics_has_no_counters():
    counters = child._counters(SimpleNamespace(), Window())
    assert counters == {"gradients_tuning": None, "gradients_drawing": None, "divergences": None}


def test_log_densities_that_are_not_those_of_the_draws_are_invalid():
    draws, model = posterior(), models.load("coal_mining_marginal")
    reported = model.log_density(draws, 111)
    right, wrong = (child._judge(SETTINGS, model, draws, x) for x in (reported, reported[:, ::-1]))
    assert (right["outcome"], right["log_density_error"]) == ("ok", 0)
    assert wrong["outcome"] == "invalid"
    assert "do not belong together" in wrong["reason"]
    assert child._judge(SETTINGS, model, draws)["log_density_error"] is None


@pytest.mark.parametrize("reported", [None, np.zeros((4, 250, 1))])
def test_draws_without_log_densities_warn(reported):
    judged = child._judge(SETTINGS, models.load("coal_mining_marginal"), posterior(), reported)
    assert len(child._unchecked(judged)) == 1


@pytest.mark.parametrize(
    ("diverging", "warnings"),
    [
        ({}, []),
        ({"diverging": np.zeros((4, 250), dtype=bool)}, []),
        ({"diverging": np.arange(1000).reshape(4, 250) < 12}, ["12 of 1000 draws diverged"]),
    ],
)
def test_divergences_warn(diverging, warnings):
    assert child._warnings(SimpleNamespace(sample_stats=diverging)) == warnings


@pytest.mark.parametrize(
    "fail",
    [
        lambda: pydantic.TypeAdapter(int).validate_python("one"),
        lambda: (_ for _ in ()).throw(TypeError("Unsupported type: FieldValidationInfoOfTests or TypeAdapter")),
    ],
)
def test_the_reason_of_a_failure_names_who_raised_it_and_whose_class_it_names(fail):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        fail()
    reason = child._reason(caught.value, load("default"))
    assert reason.endswith(f"(pydantic {pydantic.VERSION})")
    assert "\n" not in reason


def test_a_traceback_does_not_show_what_noted_the_time(tmp_path, monkeypatch):
    monkeypatch.setenv(spans.EVENTS_VARIABLE, str(tmp_path / "events"))

    def fail() -> None:
        raise KeyError("gone")

    with pytest.raises(KeyError) as caught:
        spans.Outermost("import").wrap(fail)()
    told = child._traceback(caught.value)
    assert "spans.py" not in told
    assert "in fail" in told
    assert told.endswith("KeyError: 'gone'\n")
