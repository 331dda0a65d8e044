"""What is called a change: what rounds of both releases say, counters to the last digit, and outcomes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.judging import changes, commands
from harness.judging.comparison import QUANTITIES
from harness.measuring.blame import criteria
from harness.results.blames import Blamed, Blames
from harness.results.metrics import COLD_SETUP, GRADIENT_COUNT, NODES, SAMPLING
from harness.results.parts import Control
from harness.results.records import Measurement
from tests.made_records import document, read, side_by_side
from tests.made_records import measured as made_measured
from tests.test_answers import content, given_noise  # noqa: F401
from tests.test_blames import document as answer_document


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


def test_sampling_is_that_of_warm_trials_and_cold_setup_that_of_the_cold_one():
    assert SAMPLING.samples(measured([1.0, 1.1])) == [1.0, 1.1]
    assert SAMPLING.samples(measured([])) == []
    assert COLD_SETUP.samples(measured([1.0, 1.1], setup=7.0)) == [7.0]


def test_a_trial_during_which_the_machine_changed_speed_counts_only_where_there_is_no_other():
    def drifted(*drifts):
        m = measured([1.0, 5.0])
        controls = [Control(drift=d, contaminated=d > 1.25) for d in drifts]
        records = [r.model_copy(update={"control": c}) for r, c in zip(m.records, controls, strict=True)]
        return replace(m, records=tuple(records))

    assert SAMPLING.samples(drifted(1.0, 1.0, 3.0)) == [1.0]
    assert SAMPLING.samples(drifted(3.0, 3.0, 3.0)) == [1.0, 5.0]


def test_one_node_more_is_another_graph():
    change = changes.compare(NODES, measured([1.0] * 3), measured([1.0] * 3, nodes=27))
    assert (change.before, change.after) == (26, 27)
    assert changes.compare(NODES, measured([1.0] * 3), measured([9.0] * 3)) is None


def test_a_count_is_compared_seed_by_seed_whatever_else_was_tried():
    old, new = measured([1.0] * 3), measured([1.0])
    other = replace(old, records=(*old.records[:2], read(document(seed=2)), read(document(seed=3))))
    assert changes.compare(GRADIENT_COUNT, other, new) is None
    another_seed = replace(new, records=(new.records[0], read(document(seed=9))))
    assert changes.compare(GRADIENT_COUNT, new, another_seed) is None
    same_seed = replace(new, records=(new.records[0], read(document(seed=1))))
    assert changes.compare(GRADIENT_COUNT, new, same_seed)


def test_what_broke_across_a_release_in_which_it_was_not_measured_is_told():
    before, after = (
        replace(measured([1.0], outcome=o), tag=tag) for o, tag in (("ok", "v6.2.0"), ("failed", "v6.4.0"))
    )
    between = replace(measured([1.0]), tag="v6.3.2", backend="default")
    steps = {(s.old, s.new): s.turns for s in changes.steps_of(content(before, between, after))}
    assert [(t.before, t.after) for t in steps["v6.2.0", "v6.4.0"]] == [("ok", "failed")]
    assert not any(turns for pair, turns in steps.items() if pair != ("v6.2.0", "v6.4.0"))


@pytest.mark.parametrize(("nodes", "matters"), [(27, False), (28, False), (29, True), (52, True), (20, False)])
def test_somebody_is_told_of_a_graph_that_grew_by_a_tenth_or_more(nodes, matters):
    assert changes.compare(NODES, measured([1.0]), measured([1.0], nodes=nodes)).matters == matters


def test_how_many_gradients_there_are_matters_for_each_effective_draw_only():
    old = measured([1.0])
    more = replace(old, records=(old.records[0], read(document(seed=1))))
    assert not changes.compare(GRADIENT_COUNT, more, old).matters


def steps(*measurements):
    return changes.steps_of(content(*measurements))


def test_a_step_has_what_turned_what_counters_differ_and_what_rounds_say():
    fine, broken = measured([1.0] * 3), measured([1.0], outcome="failed")
    arms = {"v6.3.2": {}, "v6.4.0": {"clocks": {"setup": 6.0}, "graph": {"nodes": 30, "replacements": 5}}}
    old, new = side_by_side(arms)
    others = (replace(m, tag=t, backend="blackjax") for m, t in ((fine, "v6.3.2"), (broken, "v6.4.0")))
    (step,) = steps(old, new, *others)
    assert {c.quantity.name for c in step.slower} == {"total", "cold_setup", "warm_setup"}
    assert step.faster == []
    assert [(t.backend, t.before, t.after, t.reason) for t in step.turns] == [("blackjax", "ok", "failed", "why")]


def test_releases_that_were_not_measured_in_the_same_rounds_are_not_compared_by_the_clock():
    (old, _), (_, new) = (
        side_by_side({"v6.3.2": {}, "v6.4.0": {"clocks": {"setup": 30.0}}}, block=block) for block in ("a", "b")
    )
    (step,) = steps(old, new)
    assert step.comparisons == []


def test_steps_go_from_each_measured_release_to_the_next_one_measured():
    found = steps(*(replace(measured([1.0] * 3), tag=tag) for tag in ("v6.1.0", "v6.3.2", "v6.4.0")))
    assert [(s.old, s.new) for s in found] == [("v6.3.2", "v6.4.0"), ("v6.1.0", "v6.3.2")]


KEY = ("ppca", 500, "pymc-c")


def test_a_step_across_a_release_without_an_answer_is_told():
    arms = {"v6.3.1": {}, "v6.3.2": {"outcome": "failed", "reason": "why"}, "v6.4.0": {"clocks": {"setup": 6.0}}}
    old, _, new = side_by_side(arms, block="a")
    broken = replace(measured([1.0], outcome="failed"), tag="v6.3.2")
    other = side_by_side({tag: {} for tag in arms}, cell=("ppca", 500, "blackjax"), block="a")
    newer, across, older = steps(old, broken, new, *other)
    assert [(s.old, s.new) for s in (newer, across, older)] == [
        ("v6.3.2", "v6.4.0"), ("v6.3.1", "v6.4.0"), ("v6.3.1", "v6.3.2"),
    ]  # fmt: skip
    assert {c.key for c in across.comparisons} == {KEY}
    assert "warm_setup" in {c.quantity.name for c in across.slower}
    assert [t.after for t in (*newer.turns, *older.turns)] == ["ok", "failed"]
    assert across.turns == ()


def test_turns_of_a_table_name_model_size_and_reason():
    def release(outcome, reason=None):
        return {"models": {"ppca (n=500)": {"blackjax": {"outcome": outcome, "reason": reason}}}}

    (turn,) = changes.turns(release("ok"), release("failed", "IPython"))
    assert (turn.model, turn.n, turn.backend, turn.before, turn.after, turn.reason) == (
        "ppca", 500, "blackjax", "ok", "failed", "IPython",
    )  # fmt: skip
    assert changes.turns(release("ok"), release("ok")) == []


@pytest.fixture
def bench_steps(monkeypatch):
    """What `bench steps` says where this was measured."""

    def command(*measurements, arguments=(), blames=None):
        monkeypatch.setenv("BENCH_MACHINE", "box")
        monkeypatch.setattr(
            commands.store, "load", lambda _: [replace(content(*measurements), blames=blames or Blames())]
        )
        return CliRunner().invoke(app, ["steps", *arguments])

    return command


def test_the_steps_of_a_history_are_listed_the_largest_first_with_the_command_that_asks_why(bench_steps):
    arms = {"v6.2.0": {}, "v6.3.2": {"clocks": {"setup": 4.0}}, "v6.4.0": {"clocks": {"setup": 12.0}}}
    said = bench_steps(*side_by_side(arms, noise=0.01)).output.splitlines()
    assert said[0].startswith("1. PyMC 6.3.2 → 6.4.0, ppca n=500 pymc-c, the whole trial: ×2.23 (")
    assert said[1].strip() == "bench blame v6.3.2 v6.4.0 --model ppca --n 500 --backend pymc-c --metric total"
    assert said[2].startswith("2. PyMC 6.2.0 → 6.3.2, ppca n=500 pymc-c, the whole trial: ×1.18 (")
    assert len(said) == 4, "of one parameter set one line for each step"
    said = bench_steps(*side_by_side(arms, noise=0.01), arguments=("--most", "1")).output.splitlines()
    assert said[2:] == ["1 smaller ones: --most 2"]


@pytest.mark.parametrize(
    ("backend", "hint"),
    [("pymc-c", ["Of radon n=919 pymc-c it was blackjax 1.5 → 1.6; to ask it of this one:"]), ("numpyro-parallel", [])],
)
def test_what_was_found_of_the_backend_elsewhere_stands_beside_the_command_that_asks(
    bench_steps, monkeypatch, backend, hint
):
    monkeypatch.setenv("BENCH_MACHINE", "box")
    ends = [{"stack": "v6.3.2", "seen": "4 s"}, {"stack": "v6.4.0", "seen": "12 s"}]
    answer = Blamed.model_validate(answer_document("total", ends=ends, model="radon", n=919, backend=backend))
    known = Blames([answer], {"v6.3.2": 0, "v6.4.0": 1})
    arms = {"v6.3.2": {"clocks": {"setup": 4.0}}, "v6.4.0": {"clocks": {"setup": 12.0}}}
    said = bench_steps(*side_by_side(arms, noise=0.01), blames=known).output.splitlines()
    asks = "bench blame v6.3.2 v6.4.0 --model ppca --n 500 --backend pymc-c --metric total"
    assert [line.strip() for line in said[1:]] == [*hint, asks]


def test_a_model_that_there_is_not_is_named(bench_steps):
    error = bench_steps(*side_by_side({"v6.3.2": {}, "v6.4.0": {}}), arguments=("--model", "nope")).exception
    assert "There is no model 'nope': choose one of " in str(error)


def test_what_it_tells_to_ask_can_be_asked():
    assert {quantity.name for quantity in QUANTITIES} <= set(criteria())


def test_where_there_is_no_step_it_says_what_would_tell_of_one(bench_steps):
    error = bench_steps(*side_by_side({"v6.3.2": {}, "v6.4.0": {}})).exception
    assert "No step is known on box" in str(error)
    assert "bench history" in str(error)


def test_what_sittings_do_not_agree_about_is_told_where_nothing_is_called():
    one, other = (
        side_by_side({"v6.3.2": {}, "v6.4.0": {"clocks": {"setup": setup}}}, block=block)
        for block, setup in (("a", 2.0), ("b", 4.5))
    )
    (step,) = steps(*one, *other)
    assert {"warm_setup", "cold_setup"} <= {c.quantity.name for c in step.disagreeing}
    assert all(c not in (*step.slower, *step.faster) for c in step.disagreeing)
