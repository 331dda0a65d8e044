"""A measurement is one cold and some warm trials; what has been recorded is not run again."""

import json
import os

import pytest

from harness.results import records as records_module
from sampling import measurement
from sampling.settings import Settings
from tests.made_records import document, read

SETTINGS = Settings("ppca", 500, "nutpie-numba")


class Recorder:
    """Stands for the running of a trial; keeps what was asked for, and can be told how the next one ends."""

    def __init__(self, *outcomes):
        self.outcomes, self.calls = list(outcomes), []

    def __call__(self, settings, home, kind):
        self.settings = [*getattr(self, "settings", []), settings]
        self.calls.append((kind, sorted(p.name for p in home.iterdir())))
        (home / "cache").touch()
        outcome = self.outcomes.pop(0) if self.outcomes else "ok"
        if outcome is KeyboardInterrupt:
            raise KeyboardInterrupt
        return {"schema": 2, "kind": kind, "outcome": outcome, "reason": None}


def measure(folder, run, warm=2, settings=SETTINGS):
    return measurement.measure(settings, folder, warm, run)


def test_one_cold_trial_in_an_empty_home_then_warm_ones_in_the_same_home(tmp_path):
    run = Recorder()
    records = measure(tmp_path, run)
    assert [r["kind"] for r in records] == ["cold", "warm", "warm"]
    assert run.calls == [("cold", []), ("warm", ["cache"]), ("warm", ["cache"])]


def test_each_trial_has_a_seed_of_its_own_the_same_for_every_backend(tmp_path):
    seeds = []
    for backend in ("nutpie-numba", "pymc-c"):
        measure(tmp_path / backend, run := Recorder(), settings=Settings("ppca", 500, backend))
        seeds.append([s.seed for s in run.settings])
    assert seeds[0] == seeds[1] == [20261101, 20261102, 20261103]


def test_a_cold_trial_draws_little_and_a_warm_one_what_the_release_draws(tmp_path):
    measure(tmp_path, run := Recorder())
    assert [(s.tune, s.draws) for s in run.settings] == [(10, 10), (None, None), (None, None)]


def test_a_second_reader_gets_the_records_and_runs_nothing(tmp_path):
    first = measure(tmp_path, Recorder())
    run = Recorder()
    assert measure(tmp_path, run) == first
    assert run.calls == []


def test_an_interrupt_loses_only_the_trial_in_flight(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, Recorder("ok", KeyboardInterrupt))
    run = Recorder()
    assert len(measure(tmp_path, run)) == 3
    assert [kind for kind, _ in run.calls] == ["warm", "warm"]


def test_an_interrupted_cold_trial_starts_again_from_an_empty_home(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, Recorder(KeyboardInterrupt))
    run = Recorder()
    measure(tmp_path, run)
    assert run.calls[0] == ("cold", [])


@pytest.mark.parametrize("outcome", ["failed", "unsupported"])
def test_a_trial_that_fails_or_cannot_be_ends_the_measurement(tmp_path, outcome):
    run = Recorder(outcome)
    assert [r["outcome"] for r in measure(tmp_path, run)] == [outcome]
    assert len(run.calls) == 1


@pytest.mark.parametrize(
    ("outcomes", "measured", "right"),
    [
        (["ok", "invalid"], ["ok", "invalid", "ok", "ok"], True),
        (["ok", "ok", "invalid"], ["ok", "ok", "invalid", "ok"], True),
        (["ok", "invalid", "invalid"], ["ok", "invalid", "invalid"], False),
        (["ok", "invalid", "ok", "invalid"], ["ok", "invalid", "ok", "invalid"], False),
        (["ok", "invalid", "failed"], ["ok", "invalid", "failed"], False),
    ],
)
def test_a_wrong_answer_is_confirmed_or_not_by_another_seed(tmp_path, outcomes, measured, right):
    run = Recorder(*outcomes)
    records = measure(tmp_path, run)
    assert [r["outcome"] for r in records] == measured
    assert len({s.seed for s in run.settings}) == len(measured)
    assert (measurement.why_not(records) is None) == right
    made = [read(document("warm" if i else "cold", seed=i, outcome=o, reason="why")) for i, o in enumerate(measured)]
    assert (records_module.why_not(made) is None) == right, "both sides read a measurement alike"
    run = Recorder()
    assert measure(tmp_path, run) == records
    assert run.calls == []


@pytest.mark.parametrize("damage", ["", "{", '{"schema": 2', "[]", "null", '{"schema": 99}', "\x00"])
def test_a_damaged_record_is_measured_again(tmp_path, damage):
    measure(tmp_path, Recorder())
    (tmp_path / "warm-2.json").write_text(damage)
    run = Recorder()
    measure(tmp_path, run)
    assert [kind for kind, _ in run.calls] == ["warm"]


def test_records_of_other_settings_another_stack_or_other_code_do_not_count(tmp_path, monkeypatch):
    measure(tmp_path, Recorder())
    for settings in (Settings("ppca", 500, "nutpie-numba", seed=1), SETTINGS):
        run = Recorder()
        measure(tmp_path, run, settings=settings)
        assert len(run.calls) == 3
    monkeypatch.setenv("BENCH_LOCK_SHA256", "another")
    run = Recorder()
    measure(tmp_path, run)
    assert len(run.calls) == 3
    monkeypatch.setattr(measurement, "code_sha256", lambda: "changed")
    run = Recorder()
    measure(tmp_path, run)
    assert len(run.calls) == 3


def test_a_record_is_written_whole_or_not_at_all(tmp_path):
    measure(tmp_path, Recorder())
    assert not list(tmp_path.glob("*.part"))
    for path in tmp_path.glob("*.json"):
        json.loads(path.read_text())


def test_more_warm_trials_are_added_to_those_there_are(tmp_path):
    measure(tmp_path, Recorder(), warm=1)
    run = Recorder()
    assert len(measure(tmp_path, run, warm=3)) == 4
    assert len(run.calls) == 2


@pytest.mark.parametrize(("text", "trials"), [("0", 0), ("5", 5)])
def test_the_number_of_warm_trials_can_be_asked_for(monkeypatch, text, trials):
    monkeypatch.setitem(os.environ, "BENCH_WARM_TRIALS", text)
    assert measurement.warm_trials() == trials


@pytest.mark.parametrize("text", ["-1", "two", "1.5", ""])
def test_a_senseless_number_of_warm_trials_is_refused_in_a_sentence(monkeypatch, text):
    monkeypatch.setenv("BENCH_WARM_TRIALS", text)
    with pytest.raises(ValueError, match="BENCH_WARM_TRIALS is"):
        measurement.warm_trials()
