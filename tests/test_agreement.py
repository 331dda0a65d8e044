"""Many trials see together what one cannot, and a trial that was repeated is counted once."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from harness import paths
from harness.cli import app
from harness.errors import BenchError
from harness.judging import agreement
from sampling.settings import PROTOCOL_VERSION, SAME_DRAWS_SINCE


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setenv("BENCH_MACHINE", "box")
    return tmp_path


def write(folder, bias: float, trials: int, same: bool = False, protocol: int = PROTOCOL_VERSION) -> None:
    rng = np.random.default_rng(5)
    for k in range(trials):
        error = bias + (0 if same else rng.normal() / 20)
        diagnostics = {"x": {"mean": 3 + 2 * error, "sd": 2, "exact_mean": 3, "exact_sd": 2, "mcse_mean": 0.1}}
        record = {
            "schema": 1, "kind": "cold", "started": "now", "outcome": "ok", "effective_draws": 400,
            "protocol": protocol,
            "diagnostics": diagnostics,
            "settings": {"model": "ppca", "n": 500, "backend": "pymc-c"},
            "clocks": {"setup_wall_seconds": 1, "sampling_wall_seconds": 1, "call_wall_seconds": 1},
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


def test_the_same_draws_are_one_trial_however_often_they_are_recorded(results):
    # Were these 30 trials, their common error of a tenth would be a bias.
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
