"""Many trials see together what one cannot, of means and of spreads; a seed counts once, however often it is used."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from harness import paths
from harness.cli import app
from harness.errors import BenchError
from harness.judging import agreement
from harness.results.parts import Diagnostics, Settings
from harness.results.records import Record
from sampling.diagnostics import diagnose
from sampling.settings import PROTOCOL_VERSION, SAME_DRAWS_SINCE
from tests.made_records import document
from tests.test_diagnostics import autoregressive


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setenv("BENCH_MACHINE", "box")
    return tmp_path


def write(
    folder, bias: float, trials: int, same: bool = False, protocol: int = PROTOCOL_VERSION, spread: float = 1.0
) -> None:
    """Records of as many releases, of a seed each or of the `same`, whose draws differ in the last digits."""
    rng = np.random.default_rng(5)
    for k in range(trials):
        error = bias + rng.normal() / (1000 if same else 20)
        wide = spread * np.exp(rng.normal() * 0.07 / 2)
        diagnostics = {
            "x": {
                "mean": 3 + 2 * error, "sd": 2 * wide, "exact_mean": 3, "exact_sd": 2, "mcse_mean": 0.1 * wide,
                "mcse_second_moment": 0.07,
            }
        }  # fmt: skip
        record = {
            **document("cold", effective=400.0), "started": "now",
            "protocol": protocol,
            "diagnostics": diagnostics,
            "settings": {"model": "ppca", "n": 500, "backend": "pymc-c", "seed": 7 if same else k},
        }  # fmt: skip
        path = folder / "sweep" / "box" / f"v{k}" / "ppca-500-pymc-c.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps([record]))


def test_a_bias_of_a_tenth_shows_over_many_trials(results):
    write(results, bias=0.1, trials=30)
    result = CliRunner().invoke(app, ["agreement"])
    assert isinstance(result.exception, BenchError)
    assert "x of ppca (n=500) by pymc-c" in str(result.exception)


def test_trials_that_agree_are_said_to(results):
    write(results, bias=0.0, trials=30)
    result = CliRunner().invoke(app, ["agreement"])
    assert result.exit_code == 0, result.exception
    assert "30" in result.output
    assert "agree with the exact posterior" in result.output


def test_a_spread_that_is_slightly_too_narrow_shows_over_many_trials(results):
    write(results, bias=0.0, trials=30, spread=0.93)
    result = CliRunner().invoke(app, ["agreement"])
    assert isinstance(result.exception, BenchError)
    assert "spread of x of ppca (n=500) by pymc-c" in str(result.exception)


def test_a_seed_is_one_trial_however_many_releases_were_asked_with_it(results):
    # Were these 30 trials, their common error of a tenth would be a bias. Their draws are not quite the same.
    write(results, bias=0.1, trials=30, same=True)
    assert CliRunner().invoke(app, ["agreement"]).exit_code == 0


def test_trials_of_a_protocol_that_drew_otherwise_do_not_count(results):
    write(results, bias=0.1, trials=30, protocol=SAME_DRAWS_SINCE - 1)
    result = CliRunner().invoke(app, ["agreement"])
    assert "No trial on box has draws" in str(result.exception)


def test_trials_of_a_protocol_that_drew_the_same_count(results):
    write(results, bias=0.1, trials=30, protocol=SAME_DRAWS_SINCE)
    assert CliRunner().invoke(app, ["agreement"]).exit_code == 1


def test_no_trials_are_one_sentence_with_the_next_step(results):
    result = CliRunner().invoke(app, ["agreement"])
    assert isinstance(result.exception, BenchError)
    assert "bench sweep" in str(result.exception)


def test_trials_count_by_their_effective_draws():
    many, few = (1.1, 1.0, 1.0, 30.0), (0.0, 1.0, 1.0, 10.0)
    found = agreement.pooled([many, few])
    assert found.bias == pytest.approx((900 * 0.1 - 100) / 1000)
    assert found.error == pytest.approx(1000**-0.5)
    assert found.trials == 2


def test_a_seed_counts_again_under_other_settings_and_by_another_backend():
    def record(**settings):
        diagnostics = {"x": Diagnostics(mean=3, sd=2, exact_mean=3, exact_sd=2, mcse_mean=0.1)}
        settings = Settings(**{"model": "ppca", "n": 500, "backend": "pymc-c", "seed": 7, "draws": 250} | settings)
        return Record.model_construct(settings=settings, diagnostics=diagnostics)

    records = [record(), record(), record(seed=8), record(draws=1000), record(backend="pymc-jax"), record(n=5000)]
    assert len(agreement.different(records)) == 5


def test_records_that_do_not_tell_the_error_of_the_spread_are_pooled_by_their_means():
    diagnostics = {"x": Diagnostics(mean=3, sd=2, exact_mean=3, exact_sd=2, mcse_mean=0.1)}
    settings = Settings(model="ppca", n=500, backend="pymc-c")
    found = agreement.agreement([Record.model_construct(settings=settings, diagnostics=diagnostics)])
    assert [*found["ppca (n=500)", "pymc-c"]] == ["x"]


@functools.cache
def simulated(group: int, trials: int = 24) -> tuple[Diagnostics, ...]:
    """A set of trials, a sweep's, of a correct sampler: of a thousand draws 333 are effective ones."""
    found = [diagnose(autoregressive(trials * group + k, 0.5, draws=250), 0.0, 1.0) for k in range(trials)]
    return tuple(Diagnostics(**dataclasses.asdict(d)) for d in found)


def of_set(group: int, change) -> dict[str, agreement.Pooled]:
    settings = (Settings(model="ppca", n=500, backend="pymc-c", seed=k) for k in range(24))
    records = [
        Record.model_construct(settings=s, diagnostics={"x": change(d)})
        for s, d in zip(settings, simulated(group), strict=True)
    ]
    return agreement.agreement(records)["ppca (n=500)", "pymc-c"]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda d: d, set()),
        (lambda d: d.model_copy(update={"mean": d.mean + 0.1}), {"x"}),
        (
            lambda d: d.model_copy(update={"sd": 0.9 * d.sd, "mcse_mean": 0.9 * d.mcse_mean, "mean": 0.9 * d.mean}),
            {"spread of x"},
        ),
        (
            lambda d: d.model_copy(update={"sd": 1.1 * d.sd, "mcse_mean": 1.1 * d.mcse_mean, "mean": 1.1 * d.mean}),
            {"spread of x"},
        ),
    ],
)
def test_over_a_sweep_a_tenth_is_seen_in_a_mean_and_in_a_spread_and_nothing_in_a_correct_sampler(change, wrong):
    for group in range(20):
        found = of_set(group, change)
        assert {name for name, p in found.items() if abs(p.z) > agreement.Z_LIMIT} == wrong


def test_pooled_distances_of_a_correct_sampler_are_standard_normal():
    for name in ("x", "spread of x"):
        z = np.array([of_set(group, lambda d: d)[name].z for group in range(40)])
        assert abs(z.mean()) < 0.6, name
        assert 0.7 < z.std() < 1.4, name
