"""Records are read as they are; what cannot be read is named, and nothing else is lost for it."""

import json

import pytest

from harness.errors import BenchError
from harness.measuring import unfinished
from harness.results.records import Measurement, as_text, file_name, read_measurements, read_records, write_records
from tests.made_records import document, measured


def record(kind="cold", outcome="ok", **changes) -> dict:
    whole = document(kind, seed=2 if kind == "warm" else 1, **{"a field of the future": 1})
    if outcome != "ok":
        of_all = ("schema", "kind", "started", "settings", "lock_sha256", "protocol", "trial_wall_seconds")
        whole = {name: whole[name] for name in of_all} | {"outcome": outcome, "reason": "because"}
    return whole | changes


def write(results, tag, name, records):
    folder = results / "box" / tag
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(records))
    return path


def test_rates_are_per_effective_draw(tmp_path):
    (r,) = read_records(write(tmp_path, "v6.4.0", "x", [record()]))
    assert r.gradients_per_effective_draw == 10.0
    assert r.seconds_per_gradient == 0.0005
    assert r.time_to_answer_seconds == 3 + 0.5 + 1.5 * 1000 / 400 + 0.5


def test_an_unknown_count_gives_no_rate_and_not_a_wrong_one(tmp_path):
    counters = {"gradients_tuning": None, "gradients_drawing": 3000}
    (r,) = read_records(write(tmp_path, "v6.4.0", "x", [record(counters=counters)]))
    assert r.gradients_per_effective_draw is None
    assert r.seconds_per_gradient is None


def test_a_gradient_has_no_price_where_labels_are_sampled_as_well(tmp_path):
    resolved = {"step_methods": ["NUTS", "CategoricalGibbsMetropolis"]}
    (r,) = read_records(write(tmp_path, "v6.4.0", "x", [record(resolved=resolved)]))
    assert r.gradients == 4000
    assert r.seconds_per_gradient is None


def test_a_record_of_schema_1_keeps_its_answer_and_counts_and_loses_clocks_of_another_meaning(tmp_path):
    old = record(schema=1, protocol=4, counters={"gradients_tuning": 1, "gradients_drawing": 3, "compilations": 9})
    del old["phases"], old["time_to_answer_seconds"]
    old["clocks"] = {"setup_wall_seconds": 3.0, "sampling_wall_seconds": 2.0, "call_wall_seconds": 4.5}
    first, second = read_records(write(tmp_path, "v6.4.0", "x", [old, record("warm")]), measurement=False)
    assert (first.outcome, first.effective_draws, first.gradients) == ("ok", 400, 4)
    assert (first.clocks, first.phases) == (None, None)
    assert second.clocks.total_wall_seconds == 5.5


def test_a_phase_that_a_release_does_not_tell_is_no_number(tmp_path):
    told = record()
    told["phases"]["finish"] = {"transforming": None, "other": 0.5}
    told["unknown"] = {"transforming": "this release has none of the functions that do it"}
    (r,) = read_records(write(tmp_path, "v6.4.0", "x", [told]))
    assert r.phases.finish["transforming"] is None


def test_a_cold_trial_is_shorter_and_each_trial_has_its_seed(tmp_path):
    cold = record(settings=record()["settings"] | {"tune": 10, "draws": 10})
    assert len(read_records(write(tmp_path, "v6.4.0", "x", [cold, record("warm")]))) == 2


DAMAGE = {
    "truncated": json.dumps([record()])[:-40],
    "empty": "",
    "an empty list": "[]",
    "not a list": json.dumps(record()),
    "a number": "3",
    "another schema": json.dumps([record(schema=99)]),
    "an outcome edited by hand": json.dumps([record(outcome="fine")]),
    "a clock edited by hand": json.dumps([record(clocks={"setup_wall_seconds": "fast"})]),
    "parts that are not the whole": json.dumps([record(clocks=record()["clocks"] | {"finish_wall_seconds": 2.0})]),
    "tuning and drawing that are not the sampling": json.dumps(
        [record(clocks=record()["clocks"] | {"tuning_wall_seconds": 5.0})]
    ),
    "phases that are not the setup": json.dumps([record(phases={"setup": {"import": 9.0}, "finish": {"other": 0.5}})]),
    "phases that are not the finish": json.dumps([record(phases={"setup": {"import": 3.0}, "finish": {}})]),
    "an ok trial without phases": json.dumps([record(phases=None)]),
    "an answer that is known, and not told": json.dumps([record(time_to_answer_seconds=None)]),
    "schema 1 by a protocol that writes schema 2": json.dumps([{**record(), "schema": 1}]),
    "no protocol": json.dumps([record(protocol=None)]),
    "drawing without tuning": json.dumps(
        [record(time_to_answer_seconds=None, clocks={**record()["clocks"], "tuning_wall_seconds": None})]
    ),
    "drawing among the phases of finish": json.dumps(
        [record(phases={**record()["phases"], "finish": {"drawing": record()["clocks"]["finish_wall_seconds"]}})]
    ),
    "an import that is longer than the trial": json.dumps(
        [record(clocks={**record()["clocks"], "import_wall_seconds": 1e3, "build_wall_seconds": 1.0})]
    ),
    "effective draws that are not those of its estimands": json.dumps(
        [
            record(
                diagnostics={
                    "mu": {"mean": 0.0, "sd": 1.0, "exact_mean": 0.0, "exact_sd": 1.0, "ess_bulk": 7.0, "ess_tail": 9.0}
                }
            )
        ]
    ),
    "a time to an answer that its parts do not say": json.dumps([record(time_to_answer_seconds=1.0)]),
    "a time to an answer without draws": json.dumps([record(effective_draws=None)]),
    "a warm trial that nobody judged": json.dumps(
        [record(), record("warm", effective_draws=None, time_to_answer_seconds=None)]
    ),
    "two trials of one seed": json.dumps([record(), record("warm", settings=record()["settings"])]),
    "an ok trial without clocks": json.dumps([record(clocks=None)]),
    "an ok trial with impossible draws": json.dumps([record(effective_draws=-5.0)]),
    "a clock that is not a number": json.dumps(
        [record(clocks=record()["clocks"] | {"setup_wall_seconds": float("nan")})]
    ),
    "a clock that runs backwards": json.dumps([record(clocks=record()["clocks"] | {"setup_wall_seconds": -1.0})]),
    "a clock that stands still": json.dumps([record(clocks=record()["clocks"] | {"sampling_wall_seconds": 0})]),
    "a clock beyond all clocks": json.dumps([record(clocks=record()["clocks"] | {"call_wall_seconds": 1e308})]),
    "memory of nothing": json.dumps([record(peak_memory_mib=0)]),
    "a clock that is next to nothing": json.dumps(
        [record(clocks=record()["clocks"] | {"sampling_wall_seconds": 5e-324})]
    ),
    "draws that are next to none": json.dumps([record(effective_draws=1e-320)]),
    "a count beyond all counts": json.dumps([record(counters={"gradients_tuning": 10**400})]),
    "a size of nothing": json.dumps([record(settings=record()["settings"] | {"n": 0})]),
    "brackets without end": "[" * 100_000,
    "trials of different settings": json.dumps(
        [record(), record("warm"), record("warm", settings=record()["settings"] | {"draws": 9, "seed": 3})]
    ),
    "a failure without a reason": json.dumps([record(outcome="failed", reason=None)]),
    "a warm trial first": json.dumps([record("warm")]),
    "settings lost": json.dumps([{k: v for k, v in record().items() if k != "settings"}]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_with_the_next_step(tmp_path, damage):
    path = write(tmp_path, "v6.4.0", "x", [])
    path.write_text(DAMAGE[damage])
    with pytest.raises(BenchError, match="restore it with `git checkout") as caught:
        read_records(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_does_not_hide_the_others(tmp_path):
    write(tmp_path, "v6.4.0", "ppca-500-pymc-c.20261101T000000", [record()])
    write(tmp_path, "v6.4.0", "bad", []).write_text("{")
    found, damaged = read_measurements(tmp_path, "box", "v6.4.0")
    assert [m.backend for m in found] == ["pymc-c"]
    assert len(damaged) == 1


def test_a_file_that_holds_something_else_than_its_name_says_is_not_read(tmp_path):
    path = write(tmp_path, "v6.4.0", "ppca-500-blackjax", [record()])
    found, (sentence,) = read_measurements(tmp_path, "box", "v6.4.0")
    assert not found
    right = "ppca-500-pymc-c.20261101T000000.json"
    assert sentence == f"{path} is not named for what it holds: call it {right}, or delete it."


def test_of_several_measurements_the_oldest_comes_first(tmp_path):
    for day in ("02", "01", "03"):
        one = record(started=f"2026-11-{day}T00:00:00+00:00")
        write(tmp_path, "v6.4.0", file_name(one).removesuffix(".json"), [one])
    found, _ = read_measurements(tmp_path, "box", "v6.4.0")
    assert [m.records[0].started[8:10] for m in found] == ["01", "02", "03"]


@pytest.mark.parametrize(
    ("started", "stamp"),
    [
        ("2026-11-27T05:00:51+00:00", "20261127T050051"), ("2026-11-27T05:00:51.123456+00:00", "20261127T050051"),
        ("2026-11-27T05:00:51Z", "20261127T050051"), ("../x", "T"), ("", "T"),
    ],
)  # fmt: skip
def test_a_measurement_is_named_for_what_it_is_of_and_for_when_it_began(started, stamp):
    assert file_name(record(started=started)) == f"ppca-500-pymc-c.{stamp}.json"


@pytest.mark.parametrize("name", ["", "..", "../up", "a b", "a/b", "<b>", "-x", "x\n"])
def test_a_name_that_could_not_be_a_file_or_an_address_is_damage(tmp_path, name):
    path = write(tmp_path, "v6.4.0", "x", [record(settings=record()["settings"] | {"backend": name})])
    with pytest.raises(BenchError, match="should match pattern"):
        read_records(path)


def test_what_a_page_could_not_show_is_taken_out_of_a_reason(tmp_path):
    reason = "\x1b[31mred\x00\ud800" + "x" * 5000
    path = write(tmp_path, "v6.4.0", "x", [record(outcome="failed", reason=reason)])
    (found,) = read_records(path)
    assert found.reason.startswith(" [31mred  xxx")
    assert len(found.reason) < 2010


def test_text_that_cannot_be_written_is_taken_out_wherever_it_stands(tmp_path):
    provenance = {"cpu_model": "\ud800", "environment": {"\ud800": "\ud800"}}
    path = write(tmp_path, "v6.4.0", "x", [record(started="\ud800", draws_sha256="\ud800", provenance=provenance)])
    (found,) = read_records(path)
    found.model_dump_json().encode()


def came_from(*machines: str | None) -> list[dict]:
    """A cold trial and warm ones, each of which was run on such a machine."""
    trials = [record("warm" if i else "cold") for i in range(len(machines))]
    for i, (trial, machine) in enumerate(zip(trials, machines, strict=True)):
        trial["settings"] = trial["settings"] | {"seed": i}
        if machine:
            trial["provenance"] = {"machine": machine, "packages": {"numpy": "2.0.0"}}
    return trials


@pytest.mark.parametrize("machines", [("a", "a", "a"), ("a", "b", "a"), ("a", None, "a"), (None, "a", "a"), (None,)])
def test_where_trials_of_a_file_come_from_is_kept_once_and_read_for_each(tmp_path, machines):
    path = tmp_path / "x.json"
    write_records(path, came_from(*machines))
    assert path.read_text().count("numpy") == len(set(machines) - {None})
    found = [r.provenance and (r.provenance.machine, r.provenance.packages) for r in read_records(path)]
    assert found == [machine and (machine, {"numpy": "2.0.0"}) for machine in machines]


def test_what_is_written_again_as_it_was_read_is_the_same():
    text = as_text(came_from("a", "b", "a", "b"))
    assert as_text(json.loads(text)) == text


@pytest.mark.parametrize("wrong", ["00", 5, ["a"], "x" * 10_000])
def test_a_provenance_that_is_nowhere_in_the_file_is_damage(tmp_path, wrong):
    trials = json.loads(as_text(came_from("a", "a")))
    trials[1]["provenance_sha256"] = wrong
    path = write(tmp_path, "v6.4.0", "x", trials)
    with pytest.raises(BenchError, match="is not a list of records") as error:
        read_records(path)
    assert len(str(error.value)) < 500


def test_a_provenance_and_a_digest_of_another_is_damage(tmp_path):
    trials = json.loads(as_text(came_from("a", "a")))
    trials[1]["provenance"] = {"machine": "b"}
    with pytest.raises(BenchError, match="no trial before has the provenance"):
        read_records(write(tmp_path, "v6.4.0", "x", trials))


def measurement(*records) -> Measurement:
    return measured("v6.4.0", *records)


def test_a_measurement_is_complete_with_one_cold_and_all_its_warm_trials():
    assert measurement(record(), record("warm"), record("warm")).complete(2)
    assert not measurement(record(), record("warm")).complete(2)
    assert measurement(record()).complete(0)


def test_a_measurement_that_failed_is_complete_for_the_next_trial_would_fail_too():
    assert measurement(record(outcome="failed")).complete(2)


def test_the_outcome_of_a_measurement_is_that_of_its_worst_trial():
    m = measurement(record(), record("warm", outcome="invalid"))
    assert (m.outcome, m.reason) == ("invalid", "because")


def test_one_wrong_answer_that_another_seed_does_not_confirm_is_a_warning():
    m = measurement(record(), record("warm", outcome="invalid"), record("warm"), record("warm"))
    assert (m.outcome, m.reason, m.complete(2), m.complete(3)) == ("ok", None, True, False)
    assert m.warnings == ["in one of 4 trials: because"]
    twice = measurement(record(), *[record("warm", outcome="invalid")] * 2)
    assert (twice.outcome, twice.complete(2)) == ("invalid", True)
    assert not measurement(record(), record("warm", outcome="invalid")).complete(1), "another seed is to decide"


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "UNFINISHED", tmp_path / "unfinished")

    def fill(name, run, *records):
        folder = unfinished.scratch("v6.4.0") / name
        (folder / "home").mkdir(parents=True)
        for i, r in enumerate(records):
            (folder / (f"warm-{i}.json" if i else "cold-0.json")).write_text(json.dumps(r))
        if run:
            (folder / "run").write_text(run)
        return folder

    return fill


def test_saved_records_move_beside_the_results_of_asv(scratch, tmp_path):
    folder = scratch("ppca-500-pymc-c", "run-1", record(), record("warm"))
    (path,) = unfinished.archive("v6.4.0", "run-1", tmp_path / "results", "box")
    assert path == tmp_path / "results/box/v6.4.0/ppca-500-pymc-c.20261101T000000.json"
    assert [r.kind for r in read_records(path)] == ["cold", "warm"]
    assert not folder.exists()


def test_records_of_another_interrupted_run_stay(scratch, tmp_path):
    mine = scratch("ppca-500-pymc-c", "run-2", record())
    others = [scratch("ppca-500-blackjax", "run-1", record()), scratch("ppca-500-default", None, record())]
    unfinished.archive("v6.4.0", "run-2", tmp_path / "results", "box")
    assert not mine.exists()
    assert all(folder.exists() for folder in others)


def test_records_stay_when_the_results_cannot_be_written(scratch, tmp_path):
    folder = scratch("ppca-500-pymc-c", "run-1", record())
    (tmp_path / "results").write_text("a file where a folder should be")
    with pytest.raises(BenchError, match="the records stay in"):
        unfinished.archive("v6.4.0", "run-1", tmp_path / "results", "box")
    assert (folder / "cold-0.json").exists()
