"""A comparison runs as many rounds as it needs, stops when all is decided, and goes on from what there is."""

import io
import re
import time

import pytest
from rich.console import Console

from harness.judging.comparison import SAME, WORSE
from harness.measuring import compare
from harness.measuring.cells import Cell
from harness.measuring.compare import Comparing, looks
from harness.measuring.rounds import COLD, WARM
from tests.stand_in import DESCRIPTION, arm, ran

CELL, OTHER = Cell("ppca", 500, "pymc-c"), Cell("discrete", 100, "default")


@pytest.fixture
def comparing(tmp_path, monkeypatch):
    """Makes a comparison of two stacks: `new` are the newer one's clocks, and `plan` says how its trials end."""
    monkeypatch.setattr("harness.measuring.alone.CACHE", tmp_path)

    def make(new=None, noise=0.0, plan=None, archived=((), ()), cells=(CELL,), folder="one") -> Comparing:
        sides = (
            arm(tmp_path / folder, "old", {"all": {"noise": noise}}),
            arm(tmp_path / folder, "new", {"all": {"noise": noise}} | (plan or {}), clocks=new or {}),
        )
        return Comparing(sides, "box", DESCRIPTION, cells, archived)

    return make


def to_the_end(comparison: Comparing, most: int) -> Comparing:
    for look in looks(most):
        comparison.run(Console(file=io.StringIO()), look)
    return comparison


def rounds(comparison: Comparing, cell=CELL) -> dict[str, int]:
    return {kind: len(comparison.sitting.rounds(cell, kind)) for kind in (COLD, WARM)}


def test_one_looks_after_eight_rounds_and_twice_as_many_each_time_and_at_the_end():
    assert looks(32) == [8, 16, 32]
    assert looks(12) == [8, 12]
    assert looks(2) == [2]


def test_a_large_difference_is_called_after_eight_rounds_and_no_more_are_run(comparing):
    done = to_the_end(comparing({"setup": 6.0, "tuning": 1.0, "drawing": 3.0, "finish": 1.0}, noise=0.01), 32)
    assert rounds(done) == {COLD: 8, WARM: 8}
    assert {c.verdict for c in done.compared().comparisons if c.quantity.metric.of_a_clock} == {WORSE}


def test_what_is_plainly_the_same_needs_no_more_than_eight_rounds(comparing):
    done = to_the_end(comparing(noise=0.001), 32)
    assert rounds(done) == {COLD: 8, WARM: 8}
    assert {c.verdict for c in done.compared().comparisons} == {SAME}


def test_what_cannot_be_told_gets_all_rounds_there_are_and_what_more_would_show_is_said(comparing):
    done = to_the_end(comparing(noise=0.3), 16)
    assert rounds(done) == {COLD: 16, WARM: 16}
    told = compare.what_more_would_show(done.compared(), 16)
    (setup,) = [s for s in told if s.startswith("Setup, warm caches, 1 parameter set: ")]
    assert re.search(r": 16 more rounds would show differences from \d+ %\.", setup)


def test_cold_and_warm_rounds_are_decided_apart(comparing):
    plan = {f"cold-{i}": {"noise": 0.3} for i in range(32)}
    done = to_the_end(comparing(noise=0.001, plan=plan), 16)
    assert rounds(done) == {COLD: 16, WARM: 8}


def test_each_parameter_set_gets_as_many_rounds_as_it_needs(comparing):
    done = to_the_end(comparing({"setup": 6.0}, noise=0.02, cells=(CELL, OTHER)), 8)
    assert rounds(done) == rounds(done, OTHER) == {COLD: 8, WARM: 8}


def test_the_time_that_is_given_ends_it_at_the_end_of_a_round(comparing):
    going = comparing(noise=0.3)
    assert going.run(Console(file=io.StringIO()), 8, deadline=time.monotonic()) is False
    assert rounds(going) == {COLD: 1, WARM: 0}
    assert going.run(Console(file=io.StringIO()), 8, deadline=time.monotonic() + 60) is True
    assert rounds(going) == {COLD: 8, WARM: 8}


def test_a_round_during_which_the_machine_changed_speed_is_made_up_for(comparing):
    drifted = {"control": {"drift": 3.0, "contaminated": True}}
    done = to_the_end(comparing(noise=0.001, plan={"warm-2": drifted, "warm-5": drifted}), 8)
    assert rounds(done)[WARM] == 10
    assert done.compared().dropped == 2


def test_a_machine_that_never_keeps_its_speed_is_not_waited_for_forever(comparing):
    plan = {"all": {"control": {"drift": 3.0, "contaminated": True}}}
    done = to_the_end(comparing(plan=plan), 8)
    assert rounds(done) == {COLD: 16, WARM: 16}
    assert done.compared().comparisons == []


def test_rounds_in_vain_are_not_held_against_a_later_sitting(comparing):
    drifted = {"all": {"control": {"drift": 3.0, "contaminated": True}}}
    first = to_the_end(comparing(plan=drifted), 8)
    archived = tuple([first.sitting.measurement(side, CELL)] for side in first.sitting.arms)
    again = to_the_end(comparing(noise=0.001, archived=archived, folder="two"), 8)
    assert rounds(again) == {COLD: 8, WARM: 8}


def test_rounds_in_vain_of_variants_are_not_held_against_the_next_call_either(comparing):
    """Of these nothing is archived: what an earlier call has run is still where it was."""
    to_the_end(comparing(plan={"all": {"control": {"drift": 3.0, "contaminated": True}}}), 8)
    again = to_the_end(comparing(noise=0.001), 8)
    assert {c.rounds for c in again.compared().comparisons if c.judged} == {8}


def test_what_has_no_answer_on_one_side_is_not_run_again(comparing):
    first = to_the_end(comparing(plan={"cold-0": {"outcome": "failed"}}), 8)
    archived = tuple([first.sitting.measurement(side, CELL)] for side in first.sitting.arms)
    again = to_the_end(comparing(archived=archived, folder="two"), 8)
    assert ran(again.sitting.arms[0]) == ran(again.sitting.arms[1]) == []
    assert again.compared().worse


def test_a_backend_that_works_on_one_side_only_ends_at_once_and_is_a_finding(comparing):
    done = to_the_end(comparing(plan={"cold-0": {"outcome": "failed"}}), 32)
    (difference,) = done.compared().differences
    assert difference.broken
    assert ran(done.sitting.arms[0]) == ["ppca cold-0", "ppca warm-1"]
    assert done.compared().worse


def test_it_goes_on_from_the_rounds_of_earlier_sittings(comparing):
    first = to_the_end(comparing(noise=0.3), 8)
    archived = tuple([first.sitting.measurement(side, CELL)] for side in first.sitting.arms)
    more = to_the_end(comparing(noise=0.3, archived=archived, folder="two"), 16)
    assert rounds(more) == {COLD: 8, WARM: 8}
    assert {c.rounds for c in more.compared().comparisons} == {16}
    # Other seeds than before.
    assert ran(more.sitting.arms[0])[:2] == ["ppca cold-8", "ppca warm-9"] or "ppca warm-9" in ran(more.sitting.arms[0])


def test_what_earlier_sittings_have_decided_is_not_run_again(comparing):
    first = to_the_end(comparing(noise=0.001), 8)
    archived = tuple([first.sitting.measurement(side, CELL)] for side in first.sitting.arms)
    again = to_the_end(comparing(noise=0.001, archived=archived, folder="two"), 32)
    assert ran(again.sitting.arms[0]) == []
    assert again.inside_trials == 0


def test_an_interrupted_comparison_goes_on_where_it_was(comparing):
    going = comparing(noise=0.3)
    going.run(Console(file=io.StringIO()), 8, deadline=time.monotonic())
    before = ran(going.sitting.arms[0])
    to_the_end(comparing(noise=0.3), 8)
    after = ran(going.sitting.arms[0])
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) == 16
