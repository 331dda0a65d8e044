"""Rounds of several stacks: who runs when, what is not run twice, and what becomes of the others where one fails.

Nothing is measured here (`stand_in`): that the same engine measures real stacks is tested in `test_side_by_side`.
"""

import json
import time
from collections import Counter
from itertools import pairwise

import pytest

from harness.errors import BenchError
from harness.measuring import run as measuring
from harness.measuring.cells import Cell
from harness.measuring.rounds import COLD, WARM, Arm, Rounds, of_each_kind
from tests.stand_in import DESCRIPTION, arm, ran

CELL, OTHER = Cell("ppca", 500, "pymc-c"), Cell("discrete", 100, "default")


@pytest.fixture
def arms(tmp_path):
    """Makes arms; `plan` says by an arm's name how its trials end."""

    def make(*names: str, **plan: dict) -> list[Arm]:
        return [arm(tmp_path, name, plan.get(name)) for name in names]

    return make


def sitting(arms) -> Rounds:
    return Rounds(arms, "box", DESCRIPTION)


def run(rounds: Rounds, cold: int, warm: int, *cells: Cell, alone: int = 1) -> list:
    wanted = {cell: {COLD: cold, WARM: warm} for cell in cells or (CELL,)}
    return list(rounds.run(wanted, alone))


def test_in_each_round_every_stack_runs_the_same_trial_one_right_after_the_other(arms):
    trials = run(sitting(arms("old", "new")), 2, 3)
    names = [(t.record.kind, t.record.settings.seed) for t in trials]
    assert names[::2] == names[1::2]
    assert [t.closes for t in trials] == [False, True] * 5
    assert all({a.arm.name, b.arm.name} == {"old", "new"} for a, b in zip(trials[::2], trials[1::2], strict=True))


def test_cold_and_warm_trials_alternate_likewise_and_caches_come_first(arms):
    old, new = arms("old", "new")
    run(sitting([old, new]), 2, 2)
    assert ran(old) == ran(new) == ["ppca cold-0", "ppca cold-1", "ppca warm-1", "ppca warm-2"]


def test_the_second_of_two_rounds_runs_in_the_reverse_order_of_the_first(arms):
    trials = run(sitting(arms("a", "b", "c")), 1, 8)
    orders = [[t.arm.name for t in trials[i : i + 3]] for i in range(3, len(trials), 3)]
    assert all(first == second[::-1] for first, second in zip(orders[::2], orders[1::2], strict=True))
    assert {"".join(first) for first in orders[::2]} == {"abc", "cba"}


def test_neighbours_of_the_timeline_follow_each_other_in_a_round_all_of_them(arms):
    names = [f"v{i}" for i in range(6)]
    trials = run(sitting(arms(*names)), 1, 8)
    orders = [[names.index(t.arm.name) for t in trials[i : i + 6]] for i in range(0, len(trials), 6)]
    for order in orders:
        assert {b - a for a, b in pairwise(order)} in ({1}, {-1})
    assert {order[0] for order in orders[1:]} == {0, 5}


def test_code_that_is_changed_meanwhile_ends_the_rounds_with_a_sentence(arms):
    """Its trials stand for another measurement: they would be asked for again and again."""
    sides = arms("old", "new", new={"cold-0": {"code_sha256": "changed"}})
    with pytest.raises(BenchError, match="The code that measures was changed meanwhile"):
        run(sitting(sides), 1, 2)


def test_over_many_rounds_each_stack_is_as_often_the_first(arms):
    trials = run(sitting(arms("old", "new")), 1, 16)
    assert Counter(t.arm.name for t in trials[2::2]) == {"old": 8, "new": 8}


def test_a_record_says_its_round_its_place_in_it_and_beside_whom_it_was(arms):
    rounds = sitting(arms("old", "new"))
    trials = run(rounds, 1, 2)
    assert {t.record.round.block for t in trials} == {rounds.block}
    assert [t.record.round.position for t in trials] == [0, 1] * 3
    assert [t.record.round.number for t in trials] == [0, 0, 1, 1, 2, 2]
    assert all(t.record.round.stacks == ["old", "new"] for t in trials)


def test_parameter_sets_take_turns_round_by_round(arms):
    (old,) = arms("old")
    run(sitting([old]), 1, 2, CELL, OTHER)
    assert [line.split()[0] for line in ran(old)] == ["ppca", "discrete"] * 3


def test_what_was_run_is_not_run_again(arms):
    both = arms("old", "new")
    run(sitting(both), 1, 2)
    assert run(sitting(both), 1, 2) == []
    more = run(sitting(both), 1, 3)
    assert [t.record.settings.seed for t in more] == [3, 3]


@pytest.mark.parametrize("ended_after", range(1, 6))
def test_rounds_that_were_interrupted_go_on_and_half_a_round_is_no_round(arms, ended_after):
    both = arms("old", "new")
    going = sitting(both).run({CELL: {COLD: 1, WARM: 2}}, alone=1)
    kept = [next(going) for _ in range(ended_after)]
    going.close()
    rounds = sitting(both)
    run(rounds, 1, 2)
    assert len(rounds.rounds(CELL, COLD)) == 1
    assert len(rounds.rounds(CELL, WARM)) == 2
    # Nothing was done twice: at most the other half of a round.
    assert sum(map(len, map(ran, both))) <= 6 + 2
    found = {
        (a.name, r.kind, r.settings.seed, r.round.block) for a in both for r in rounds.measurement(a, CELL).records
    }
    assert {(t.arm.name, t.record.kind, t.record.settings.seed, t.record.round.block) for t in kept} <= found


def test_trials_of_two_sittings_are_no_round(arms):
    old, new = arms("old", "new")
    run(sitting([old]), 1, 2)
    run(sitting([new]), 1, 2)
    rounds = sitting([old, new])
    assert rounds.rounds(CELL, WARM) == []
    run(rounds, 1, 2)
    assert rounds.rounds(CELL, WARM) == [3, 4]


def test_what_other_code_or_another_lock_has_left_is_run_again(arms):
    both = arms("old", "new")
    run(sitting(both), 1, 1)
    newer = Rounds(both, "box", DESCRIPTION | {"code_sha256": "newer"})
    assert all(newer.measurement(arm, CELL).records == () for arm in both)


@pytest.mark.parametrize("trial", ["cold-0", "warm-1", "warm-2"])
@pytest.mark.parametrize("outcome", ["failed", "unsupported"])
def test_where_one_stack_fails_the_other_is_measured_alone(arms, trial, outcome):
    old, new = arms("old", "new", new={trial: {"outcome": outcome}})
    rounds = sitting([old, new])
    run(rounds, 1, 8, alone=2)
    assert rounds.measurement(new, CELL).outcome == outcome
    assert rounds.measurement(old, CELL).outcome == "ok"
    assert len(rounds.measurement(old, CELL).of_kind(WARM)) == 2
    assert ran(new)[-1] == f"ppca {trial}"


@pytest.mark.parametrize("trial", ["cold-0", "cold-1", "warm-1", "warm-3"])
def test_a_stack_that_fails_leaves_and_the_others_have_all_their_rounds(arms, trial):
    a, failing, c = arms("a", "failing", "c", failing={trial: {"outcome": "failed"}})
    rounds = sitting([a, failing, c])
    run(rounds, 2, 4)
    assert ran(failing)[-1] == f"ppca {trial}"
    assert ran(a) == ran(c) == [f"ppca {kind}" for kind in ("cold-0", "cold-1", "warm-1", "warm-2", "warm-3", "warm-4")]
    assert len(rounds.rounds(CELL, WARM, [a, c])) == 4
    assert run(sitting([a, failing, c]), 2, 4) == []


def test_where_all_others_fail_the_last_is_measured_alone(arms):
    a, b, c = arms("a", "b", "c", a={"cold-0": {"outcome": "failed"}}, c={"warm-1": {"outcome": "failed"}})
    rounds = sitting([a, b, c])
    run(rounds, 1, 8, alone=2)
    assert ran(b) == ["ppca cold-0", "ppca warm-1", "ppca warm-2"]


def test_a_failure_ends_its_parameter_set_and_no_other(arms):
    old, new = arms("old", "new", new={"cold-0": {"outcome": "failed"}})
    (new.environment / "bin/plan.json").write_text("{}")
    run(sitting([old, new]), 1, 1, OTHER)
    (new.environment / "bin/plan.json").write_text(json.dumps({"cold-0": {"outcome": "failed"}}))
    rounds = sitting([old, new])
    run(rounds, 1, 3, CELL, OTHER)
    assert len(rounds.rounds(OTHER, WARM)) == 3
    assert rounds.rounds(CELL, WARM) == []


def test_a_wrong_answer_is_asked_for_once_more(arms):
    old, new = arms("old", "new", new={"warm-1": {"outcome": "invalid"}})
    rounds = sitting([old, new])
    run(rounds, 1, 1)
    assert rounds.measurement(new, CELL).outcome == "ok"
    assert rounds.rounds(CELL, WARM) == [2]


def test_the_other_seed_of_a_wrong_answer_is_asked_of_that_stack_and_its_neighbours_alone(arms):
    names = ["a", "b", "c", "d", "e"]
    rounds = sitting(arms(*names, c={"warm-2": {"outcome": "invalid"}}))
    run(rounds, 1, 2)
    assert {a.name: ran(a)[-1] for a in rounds.arms} == {
        "a": "ppca warm-2", "b": "ppca warm-3", "c": "ppca warm-3", "d": "ppca warm-3", "e": "ppca warm-2",
    }  # fmt: skip
    assert rounds.measurement(rounds.arms[2], CELL).outcome == "ok"
    assert rounds.measurement(rounds.arms[2], CELL).records[-1].round.stacks == ["b", "c", "d"]
    assert all(len(rounds.rounds(CELL, WARM, pair)) == 2 for pair in pairwise(rounds.arms))
    assert run(rounds, 1, 2) == []


def test_of_a_round_that_was_interrupted_only_what_neighbours_lack_is_run_again(arms):
    six = arms(*"abcdef")
    before = sitting(six)
    going = before.run({CELL: {COLD: 1, WARM: 2}}, alone=1)
    kept = [next(going) for _ in range(6 + 6 + 3)]
    going.close()
    had = {t.arm.name for t in kept[-3:]}
    rounds = sitting(six)
    again = run(rounds, 1, 2)
    assert all(len(rounds.rounds(CELL, WARM, pair)) == 2 for pair in pairwise(six))
    assert len(again) < 6
    lacking = {a.name for pair in pairwise(six) if not {a.name for a in pair} <= had for a in pair}
    assert {t.arm.name for t in again} == lacking


def test_a_wrong_answer_that_another_seed_confirms_is_one(arms):
    old, new = arms("old", "new", new={"warm-1": {"outcome": "invalid"}, "warm-2": {"outcome": "invalid"}})
    rounds = sitting([old, new])
    run(rounds, 1, 8, alone=2)
    assert rounds.measurement(new, CELL).outcome == "invalid"
    assert rounds.measurement(old, CELL).outcome == "ok"


def test_a_trial_that_leaves_no_record_is_one_sentence_and_nothing_is_lost(arms):
    both = arms("old", "new", new={"warm-2": {"exit": "no space left"}})
    rounds = sitting(both)
    with pytest.raises(BenchError, match=r"new ppca n=500 pymc-c .* no record: no space left .* goes on from there"):
        run(rounds, 1, 4)
    assert rounds.rounds(CELL, WARM) == [1]


@pytest.mark.parametrize("damage", ['"great"', "7", "null"])
def test_a_record_that_makes_no_sense_is_taken_away_and_its_trial_run_again(arms, damage):
    both = arms("old", "new")
    run(sitting(both), 1, 2)
    path = both[0].of(CELL) / "warm-2.json"
    written = path.read_text()
    path.write_text(written.replace('"ok"', damage))
    assert path.read_text() != written
    rounds = sitting(both)
    run(rounds, 1, 2)
    assert len(rounds.rounds(CELL, WARM)) == 2


def test_rounds_may_go_on_from_earlier_ones_with_seeds_of_their_own(arms):
    rounds = Rounds(arms("old", "new"), "box", DESCRIPTION, first={COLD: 4, WARM: 9})
    trials = run(rounds, 1, 2)
    assert [t.record.settings.seed for t in trials] == [4000, 4000, 9, 9, 10, 10]


def test_half_as_many_cold_trials_will_do_but_one_there_is():
    assert [of_each_kind(warm) for warm in (0, 1, 2, 8)] == [
        {COLD: 1, WARM: 0}, {COLD: 1, WARM: 1}, {COLD: 1, WARM: 2}, {COLD: 4, WARM: 8},
    ]  # fmt: skip


def test_the_order_of_rounds_is_the_same_for_whoever_asks_again(arms):
    orders = []
    for folder in ("first", "second"):
        both = [Arm(a.name, a.stack, a.environment, a.folder / folder) for a in arms("old", "new", "third")]
        orders.append([t.arm.name for t in run(sitting(both), 1, 6)])
    assert orders[0] == orders[1]
    assert any(a != b for a, b in pairwise(zip(*[iter(orders[0])] * 3, strict=True)))


def test_a_wrong_answer_gets_its_other_seed_when_the_time_is_up_as_well(arms):
    rounds = sitting(arms("old", "new", new={"warm-2": {"outcome": "invalid"}}))
    run(rounds, 1, 2)
    for path in (a.of(CELL) / "warm-3.json" for a in rounds.arms):
        path.unlink()
    assert rounds.measurement(rounds.arms[1], CELL).outcome == "invalid"
    list(measuring._until(time.monotonic() - 1, rounds, [CELL], {COLD: 1, WARM: 2}))
    assert rounds.measurement(rounds.arms[1], CELL).outcome == "ok"
    assert rounds.rounds(CELL, WARM) == [1, 3]


@pytest.mark.parametrize(("minutes", "warm"), [(None, 4), (-1, 1), (1, 4)])
def test_where_the_time_is_up_everything_has_had_its_first_round(arms, minutes, warm):
    rounds = sitting(arms("old", "new"))
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    list(measuring._until(deadline, rounds, [CELL, OTHER], {COLD: 2, WARM: 4}))
    assert [len(rounds.rounds(cell, WARM)) for cell in (CELL, OTHER)] == [warm, warm]
    assert [len(rounds.rounds(cell, COLD)) for cell in (CELL, OTHER)] == [1 + (warm > 1)] * 2
