"""Real trials of what Numba compiles: the same draws from the same caches, and what the caches save.

Code that Numba has just compiled, and code that it loads from its cache, may round differently.
"""

import json
from datetime import datetime

import pytest

from tests.trials import COLD, ROOT, WARM, agrees_with_the_exact_posterior, parts_sum_to_the_whole, same_work, trial

pytestmark = pytest.mark.sampling


def test_the_same_seed_and_the_same_caches_give_the_same_draws_and_the_same_counts(short_trial):
    warm, again = short_trial("nutpie-numba", WARM), short_trial("nutpie-numba", WARM + 1)
    assert warm["kind"] == again["kind"] == "warm"
    same_work(warm, again)


@pytest.mark.thorough
def test_the_same_seed_and_no_caches_give_the_same_draws_and_the_same_counts(short_trial):
    cold, elsewhere = short_trial("pymc-numba", COLD), short_trial("pymc-numba", COLD, home="another")
    assert cold["kind"] == elsewhere["kind"] == "cold"
    same_work(cold, elsewhere)


@pytest.fixture(scope="module")
def default(short_trial):
    """A trial of the default where what it picks has been compiled already."""
    assert short_trial("nutpie-numba", COLD)["kind"] == "cold"
    return short_trial("default", 0, home="nutpie-numba")


def test_the_default_says_what_it_picked(default):
    """That it gives the same draws twice is promised by the compound step in test_week, and here by what it picked."""
    resolved = default["resolved"]
    assert (resolved["sampler"], resolved["linker"]) == ("nutpie", "numba")
    assert resolved["fast_run_linker"] == "NumbaLinker"


def test_what_nobody_states_is_the_releases_own_choice(short_trial):
    short_trial("nutpie-numba", COLD)
    record = trial("eight_schools", "--backend", "nutpie-numba", "--home", str(short_trial.homes["nutpie-numba"]))
    assert record["settings"]["tune"] is record["settings"]["draws"] is record["settings"]["target_accept"] is None
    resolved = record["resolved"]
    assert (resolved["chains"], resolved["tune"], resolved["draws"]) == (4, 400, 1000)
    assert record["outcome"] == "ok"
    c = record["clocks"]
    drawing = c["drawing_wall_seconds"] * 1000 / record["effective_draws"]
    parts = c["setup_wall_seconds"] + c["tuning_wall_seconds"] + drawing + c["finish_wall_seconds"]
    assert record["time_to_answer_seconds"] == pytest.approx(parts)


@pytest.mark.parametrize(("backend", "trials"), [("pymc-numba", [COLD]), ("nutpie-numba", [COLD, WARM])])
def test_the_parts_of_a_trial_sum_to_the_whole(short_trial, backend, trials):
    for n in trials:
        parts_sum_to_the_whole(short_trial(backend, n))


def test_the_parts_of_the_defaults_trial_sum_to_the_whole(default):
    parts_sum_to_the_whole(default)


def test_the_compound_step_agrees_with_the_exact_posterior(short_trial):
    short_trial("pymc-numba", COLD)
    record = trial("coal_mining", "--backend", "default", "--home", str(short_trial.homes["pymc-numba"]))
    assert record["resolved"]["step_methods"] == ["Metropolis", "NUTS"]
    agrees_with_the_exact_posterior(record)
    parts_sum_to_the_whole(record)


@pytest.mark.parametrize("backend", ["pymc-numba", "nutpie-numba"])
def test_what_numba_compiles_is_the_largest_part_of_a_cold_setup(short_trial, backend):
    setup = short_trial(backend, COLD)["phases"]["setup"]
    assert max(setup, key=setup.get) == "compiling_numba"


def test_what_numba_keeps_is_loaded(short_trial):
    assert short_trial("nutpie-numba", WARM)["phases"]["setup"]["loading"] > 0


def test_a_warm_trial_finds_what_the_cold_one_compiled(short_trial):
    """It writes none of Numba's files: a promise of what is done, and not of how long it takes on a busy machine."""
    cold, warm = short_trial("nutpie-numba", COLD), short_trial("nutpie-numba", WARM)
    written = [path.stat().st_mtime for path in short_trial.homes["nutpie-numba"].rglob("*.nb[ic]")]
    assert any(during(cold, moment) for moment in written)
    assert not any(during(warm, moment) for moment in written)


def during(record: dict, moment: float) -> bool:
    began = datetime.fromisoformat(record["started"]).timestamp()
    return began <= moment <= began + record["trial_wall_seconds"]


def test_a_record_says_where_it_comes_from(short_trial):
    where = short_trial("nutpie-numba", COLD)["provenance"]
    assert (where["stack"], where["device"]) == ("v6.4.0", "cpu")
    assert len(where["lock_sha256"]) == 64
    lock = {
        line.split("==")[0]: line.split("==")[1]
        for line in (ROOT / "stacks/v6.4.0.txt").read_text().splitlines()
        if "==" in line
    }
    assert {**where["packages"], "asv-runner": ""} == {**lock, "asv-runner": ""}
    assert str(ROOT) not in json.dumps(where)
