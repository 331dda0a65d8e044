"""What a sampler returns is judged, whatever it is: too little, too much alike, not finite, or without statistics."""

from types import SimpleNamespace

import numpy as np
import pydantic
import pytest

import models
from sampling import child
from sampling.backends import load
from sampling.settings import Settings
from sampling.window import Window
from tests.exact_draws import pool, trial

SETTINGS = Settings("coal_mining_marginal", 111, "numpyro-vectorized")


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


def test_the_default_may_return_what_it_likes():
    assert judged(posterior(chains=2, length=900), Settings("coal_mining_marginal", 111, "default"))["outcome"] == "ok"


def test_one_chain_cannot_be_judged():
    found = judged(posterior(chains=1, length=900), Settings("coal_mining_marginal", 111, "default"))
    assert found["outcome"] == "invalid"
    assert "at least 2 chains" in found["reason"]


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


def test_a_sampler_without_statistics_has_no_counters():
    counters = child._counters(SimpleNamespace(), Window())
    assert counters == {"gradients_tuning": None, "gradients_drawing": None, "divergences": None, "compilations": None}


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
