"""What is called a change: not noise, whatever the seed, and always what is large; counters to the last digit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.judging import changes
from harness.judging.changes import Noise
from harness.results.metrics import (
    COLD_SETUP,
    GRADIENT_COUNT,
    GRADIENTS,
    MEMORY,
    METRICS,
    NODES,
    SAMPLING,
    TIME_TO_ANSWER,
)  # fmt: skip
from harness.results.parts import Control, Provenance
from harness.results.records import Measurement
from tests.made_records import document, read
from tests.made_records import measured as made_measured

QUIET = Noise(speed=0.05, trials=50, effective_draws=0.17, seeds=400)


def measured(sampling, effective=(250.0,) * 3, nodes=26, draws="a", outcome="ok", setup=5.0) -> Measurement:
    """A measurement with these sampling seconds, one for each warm trial, after a cold one."""
    changes = {
        "outcome": outcome, "reason": "why", "graph": {"nodes": nodes, "replacements": 5}, "draws_sha256": draws,
        "peak_memory_mib": None, "counters": {"gradients_tuning": 10_000, "gradients_drawing": 10_000},
    }  # fmt: skip
    trials = [document("cold", seed=0, effective=None, clocks={"setup": setup}, **changes)]
    for i, (seconds, ess) in enumerate(zip(sampling, effective, strict=False), start=1):
        parts = {"setup": setup, "tuning": 0.25 * seconds, "drawing": 0.75 * seconds}
        trials.append(document(seed=i, effective=ess, clocks=parts, **changes))
    return made_measured("v6.4.0", *trials)


def test_a_release_that_takes_twice_as_long_is_slower():
    change = changes.compare(SAMPLING, measured([1.0, 1.02, 0.98]), measured([2.0, 2.1, 1.9]), QUIET)
    assert change.worse
    assert change.ratio == pytest.approx(2.0)


def test_a_release_that_takes_half_as_long_is_faster():
    change = changes.compare(SAMPLING, measured([2.0, 2.1, 1.9]), measured([1.0, 1.02, 0.98]), QUIET)
    assert not change.worse
    assert change.ratio == pytest.approx(0.5)


def test_samples_that_overlap_are_no_change_however_far_the_medians_are_apart():
    assert changes.compare(SAMPLING, measured([1.0, 1.0, 3.0]), measured([2.0, 2.0, 2.0]), QUIET) is None


def test_a_noisier_machine_needs_a_larger_difference():
    old, new = measured([1.0] * 3), measured([1.5] * 3)
    assert changes.compare(SAMPLING, old, new, QUIET)
    assert changes.compare(SAMPLING, old, new, Noise(0.15, 50, 0.17, 400)) is None


def test_no_difference_below_a_fifth_is_called_one_on_the_quietest_machine():
    assert changes.compare(SAMPLING, measured([1.0] * 3), measured([1.19] * 3), Noise(0.0, 50, 0.0, 400)) is None


def test_what_a_single_sample_says_must_be_larger():
    old, new = measured([1.0] * 3), measured([1.5] * 3)
    assert changes.compare(SAMPLING, old, new, QUIET)
    assert changes.compare(SAMPLING, measured([1.0]), new, QUIET) is None
    assert changes.compare(SAMPLING, measured([1.0]), measured([2.0]), QUIET)


def test_sampling_is_that_of_warm_trials_and_cold_setup_that_of_the_cold_one():
    assert SAMPLING.samples(measured([1.0, 1.1])) == [1.0, 1.1]
    assert SAMPLING.samples(measured([])) == []
    assert COLD_SETUP.samples(measured([1.0, 1.1], setup=7.0)) == [7.0]


def with_control(measurement, drifts, cpu="a"):
    """The measurement, with a control workload that drifted like this around each trial, on this processor."""
    records = [
        r.model_copy(
            update={
                "control": Control(drift=d, contaminated=d > 1.25),
                "provenance": Provenance(cpu_model=cpu, cpu_count=2),
            }
        )
        for r, d in zip(measurement.records, drifts, strict=True)
    ]
    return replace(measurement, records=tuple(records))


def test_a_trial_during_which_the_machine_changed_speed_counts_only_where_there_is_no_other():
    drifted = with_control(measured([1.0, 5.0]), [1.0, 1.0, 3.0])
    assert SAMPLING.samples(drifted) == [1.0]
    old, new = with_control(measured([1.0] * 2), [1.0] * 3), with_control(measured([5.0] * 2), [3.0] * 3)
    assert SAMPLING.samples(new) == [5.0, 5.0]
    assert changes.compare(SAMPLING, old, new, QUIET) is None


def test_seconds_of_two_processors_are_not_compared_under_whatever_name():
    old, new = (with_control(measured([s] * 2), [1.0] * 3, cpu) for s, cpu in ((1.0, "a"), (5.0, "b")))
    assert changes.compare(SAMPLING, old, new, QUIET) is None


def test_nothing_becomes_of_zero_but_a_factor_without_end():
    change = changes.Change(SAMPLING, measured([1.0]), measured([1.0]), 1.0, 0.0)
    assert change.factor == np.inf
    assert changes.limit(SAMPLING, Noise(1e9, 50, 0.1, 400)) < np.inf
    assert changes.compare(COLD_SETUP, measured([1.0] * 3, setup=5.0), measured([1.0] * 3, setup=7.5), QUIET) is None


def test_effective_draws_count_as_noise_unless_the_draws_are_the_same():
    old, new = measured([10.0] * 3, setup=0.1), measured([16.0] * 3, draws="b", setup=0.1)
    assert changes.compare(TIME_TO_ANSWER, old, new, QUIET) is None
    assert changes.compare(TIME_TO_ANSWER, old, measured([16.0] * 3, setup=0.1), QUIET)


def test_without_a_second_seed_effective_draws_that_differ_tell_nothing():
    unknown = Noise(0.05, 50, None, 0)
    old, new = measured([1.0] * 3), measured([9.0] * 3, draws="b")
    assert changes.compare(GRADIENTS, old, new, unknown) is None
    assert changes.compare(SAMPLING, old, new, unknown)


def test_one_node_more_is_another_algorithm():
    change = changes.compare(NODES, measured([1.0] * 3), measured([1.0] * 3, nodes=27), QUIET)
    assert (change.before, change.after) == (26, 27)
    assert changes.compare(NODES, measured([1.0] * 3), measured([9.0] * 3), QUIET) is None


def test_a_count_is_compared_seed_by_seed_however_many_were_tried():
    old, new = measured([1.0] * 3), measured([1.0])
    other = replace(old, records=(*old.records[:2], read(document(seed=2)), read(document(seed=3))))
    assert changes.compare(GRADIENT_COUNT, other, new, QUIET) is None
    assert changes.compare(GRADIENT_COUNT, new, replace(new, records=other.records[:1] + other.records[2:]), QUIET)


@pytest.mark.parametrize("trials", [1, 2, 3])
def test_identical_code_is_called_changed_in_less_than_one_comparison_of_a_thousand(trials):
    # Between runs, all of a run's times move together; within a run, each by itself: 5 % in all.
    rng = np.random.default_rng(0)
    called = 0
    for _ in range(4000):
        runs = [rng.lognormal(rng.normal(0, 0.04), 0.03, size=trials) for _ in range(2)]
        called += changes.compare(SAMPLING, measured(runs[0]), measured(runs[1]), QUIET) is not None
    assert called < 4


def test_a_factor_of_one_and_a_half_is_nearly_always_seen():
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(400):
        old, new = (factor * rng.lognormal(rng.normal(0, QUIET.speed), 0.02, size=3) for factor in (1.0, 1.6))
        seen += changes.compare(SAMPLING, measured(old), measured(new), QUIET) is not None
    assert seen > 380


def test_noise_is_what_control_workloads_samples_and_seeds_show():
    rng = np.random.default_rng(2)
    run = []
    for _ in range(150):
        m = measured(rng.lognormal(0, 0.3, size=3))
        controls = [
            Control(drift=1, contaminated=False, before={"k": 0.01 * rng.lognormal(0, 0.07)}) for _ in m.records
        ]
        records = [r.model_copy(update={"control": c}) for r, c in zip(m.records, controls, strict=True)]
        run.append(replace(m, records=tuple(records)))
    # A release's sampler may draw better than another's: that is no luck.
    drawn = [
        read(document(seed=seed, effective=(1 + stack) * 200 * rng.lognormal(0, 0.2), lock_sha256=f"lock {stack}"))
        for stack in range(10)
        for seed in range(30)
    ]
    noise = changes.noise(run, drawn)
    assert noise.speed == pytest.approx(0.07, rel=0.15)
    assert noise.effective_draws == pytest.approx(0.2, rel=0.15)
    assert noise.of_sampler["ppca", 500, "pymc-c"] == noise.effective_draws
    assert (noise.trials, noise.seeds) == (600, 300)
    # Setup was always the same: there it is the machine alone, and in memory nothing.
    assert noise.of(SAMPLING) == pytest.approx(0.3, rel=0.2)
    assert noise.of(COLD_SETUP) == noise.speed
    assert noise.of(MEMORY) == 0.0


def test_where_each_stack_has_one_seed_all_stacks_together_tell():
    rng = np.random.default_rng(5)
    drawn = [read(document(effective=200 * rng.lognormal(0, 0.2), lock_sha256=f"lock {i}")) for i in range(200)]
    noise = changes.noise([], drawn)
    assert noise.of_sampler["ppca", 500, "pymc-c"] == pytest.approx(0.2, rel=0.15)
    assert changes.noise([], drawn[:4]).effective_draws is None


def test_without_enough_controls_a_tenth_is_assumed():
    assert changes.noise([], []) == Noise(changes.UNKNOWN_SPEED, 0, None, 0)


def test_a_step_has_what_turned_what_changed_and_how_much_was_compared():
    key, other = ("ppca", 500, "pymc-c"), ("ppca", 500, "blackjax")
    before = {key: measured([1.0] * 3), other: measured([1.0] * 3)}
    after = {key: measured([2.0] * 3, nodes=30), other: measured([1.0], outcome="failed")}
    step = changes.step("v6.3.2", "v6.4.0", before, after, QUIET)
    assert [c.metric.name for c in step.slower] == ["sampling", "gradient", "time_to_answer"]
    assert [c.metric.name for c in step.counters] == ["graph_nodes"]
    assert [(t.backend, t.before, t.after, t.reason) for t in step.turns] == [("blackjax", "ok", "failed", "why")]
    assert step.compared == len(METRICS) - 1  # no memory in these records
    assert changes.limit(COLD_SETUP, QUIET) == pytest.approx(np.exp(4 * 2**0.5 * 0.05))


def test_steps_go_from_each_measured_release_to_the_next_one_measured():
    key = ("ppca", 500, "pymc-c")
    cells = {tag: {key: measured([1.0] * 3)} for tag in ("v6.1.0", "v6.4.0", "v6.3.2")}
    found = changes.steps(["v6.0.1", "v6.1.0", "v6.2.0", "v6.3.2", "v6.4.0"], cells, QUIET)
    assert [(s.old, s.new) for s in found] == [("v6.3.2", "v6.4.0"), ("v6.1.0", "v6.3.2")]


def test_turns_of_a_table_name_model_size_and_reason():
    def release(outcome, reason=None):
        return {"models": {"ppca (n=500)": {"blackjax": {"outcome": outcome, "reason": reason}}}}

    (turn,) = changes.turns(release("ok"), release("failed", "IPython"))
    assert (turn.model, turn.n, turn.backend, turn.before, turn.after, turn.reason) == (
        "ppca", 500, "blackjax", "ok", "failed", "IPython",
    )  # fmt: skip
    assert changes.turns(release("ok"), release("ok")) == []
