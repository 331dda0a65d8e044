"""A model's exact posterior is computed once in a home, and what is kept there is what would be computed."""

import numpy as np
import pytest

import models
from sampling import exact
from sampling.exact import exact_posterior


@pytest.fixture
def computed(monkeypatch):
    """Of which models and sizes the exact posterior was computed, in order."""
    asked = []

    def compute(model, n, really=exact._computed):
        asked.append((model.__name__, n))
        return really(model, n)

    monkeypatch.setattr(exact, "_computed", compute)
    return asked


@pytest.mark.parametrize("name", ["discrete_marginal", "radon"])
def test_what_is_kept_is_to_the_last_digit_what_the_model_says(tmp_path, computed, name):
    model = models.load(name)
    n = model.SIZES[0]
    first, second = (exact_posterior(model, n, tmp_path) for _ in range(2))
    assert computed == [(model.__name__, n)]
    assert first.estimands == second.estimands == model.reference(n)
    for kept, said in zip(second.latent, model.latent_reference(n), strict=True):
        np.testing.assert_array_equal(kept, said)


def test_a_model_without_latent_variables_has_none(tmp_path):
    model = next(m for m in map(models.load, models.names()) if not hasattr(m, "latent"))
    for _ in range(2):
        assert exact_posterior(model, model.SIZES[0], tmp_path).latent is None


def test_another_model_and_another_size_have_their_own(tmp_path, computed):
    marginal, ppca = models.load("coal_mining_marginal"), models.load("ppca")
    for model, n in [(marginal, 111), (ppca, 500), (ppca, 5000), (ppca, 500)]:
        assert exact_posterior(model, n, tmp_path).estimands == model.reference(n)
    assert [n for _, n in computed] == [111, 500, 5000]


def test_changed_code_computes_it_anew(tmp_path, computed, monkeypatch):
    for digest in ("before", "after", "after"):
        monkeypatch.setattr(exact, "code_sha256", lambda digest=digest: digest)
        exact_posterior(models.load("eight_schools"), 8, tmp_path)
    assert len(computed) == 2


@pytest.mark.parametrize("left", [b"", b'{"estimands": {"mu"', b"\xff"])
def test_what_an_ended_trial_left_unfinished_is_computed_anew(tmp_path, computed, left):
    model = models.load("eight_schools")
    exact_posterior(model, 8, tmp_path)
    (file,) = (tmp_path / ".exact").iterdir()
    file.write_bytes(left)
    for _ in range(2):
        assert exact_posterior(model, 8, tmp_path).estimands == model.reference(8)
    assert len(computed) == 2


def test_without_a_home_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    exact_posterior(models.load("eight_schools"), 8)
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_kept_it_is_computed_all_the_same(tmp_path):
    home = tmp_path / "file"
    home.write_text("no folder")
    model = models.load("eight_schools")
    assert exact_posterior(model, 8, home).estimands == model.reference(8)
