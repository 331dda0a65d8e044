"""Two stacks by the rounds of both: what differs without any clock, verdicts, and which part it is."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from harness.judging.comparison import BETTER, CANNOT_TELL, SAME, WORSE, Both, Compared, Comparison, _disagree
from harness.judging.paired import ERROR
from harness.results.parts import Control
from tests.made_records import document, measured, side_by_side

OLD, NEW = "v6.3.2", "v6.4.0"


def compared(new: dict | None = None, old: dict | None = None, **how) -> Compared:
    """Rounds of two stacks; the new one differs by `new`."""
    a, b = side_by_side({OLD: old or {}, NEW: new or {}}, **how)
    return Compared([a], [b])


def of(found: Compared, quantity: str) -> Comparison:
    (one,) = [c for c in found.comparisons if c.quantity.name == quantity]
    return one


def verdicts(found: Compared) -> dict[str, str]:
    return {c.quantity.name: c.verdict for c in found.comparisons}


def test_equal_stacks_are_the_same_where_rounds_are_many_and_nothing_is_called():
    found = compared(rounds=16)
    assert verdicts(found)["warm_setup"] == SAME
    assert set(verdicts(found).values()) <= {SAME, CANNOT_TELL}
    assert not found.worse
    assert found.differences == []


def test_what_takes_a_tenth_longer_is_slower_and_the_other_way_round_faster():
    slower = compared({"clocks": {"setup": 3.3}})
    assert verdicts(slower)["warm_setup"] == verdicts(slower)["cold_setup"] == WORSE
    assert of(slower, "warm_setup").judged.estimate.ratio == pytest.approx(1.1, rel=0.02)
    assert slower.worse
    faster = compared(old={"clocks": {"setup": 3.3}})
    assert verdicts(faster)["warm_setup"] == BETTER
    assert not faster.worse


def test_two_rounds_cannot_tell_what_noise_of_ten_percent_hides():
    found = verdicts(compared({"clocks": {"setup": 3.1}}, rounds=2, noise=0.1))
    assert {found[name] for name in ("total", "cold_setup", "warm_setup", "finish")} == {CANNOT_TELL}


def test_more_gradients_are_not_told_as_slower_code():
    twice = {"counters": {"gradients_tuning": 2000, "gradients_drawing": 6000, "divergences": 0}}
    found = compared(twice | {"clocks": {"tuning": 1.0, "drawing": 3.0}})
    assert verdicts(found)["gradients_per_effective_draw"] == WORSE
    assert of(found, "gradients_per_effective_draw").word == "more"
    assert verdicts(found)["gradient"] != WORSE
    assert verdicts(found)["total"] == WORSE


def test_a_seed_that_several_sittings_repeat_is_one_throw_of_what_the_draws_decide():
    arms = {
        "v6.3.2": {},
        "v6.4.0": {"counters": {"gradients_tuning": 1034, "gradients_drawing": 3000, "divergences": 0}},
    }
    one, other = (side_by_side(arms, rounds=3, block=block) for block in ("a", "b"))
    old, new = zip(one, other, strict=True)
    found = Compared(old, new)
    assert of(found, "gradients_per_effective_draw").rounds == 3
    assert of(found, "total").rounds == 6


def test_a_count_that_differs_is_a_finding_of_its_own_without_a_clock():
    nodes = [{"graph": {"nodes": n, "replacements": 5}} for n in (26, 27)]
    (found,) = compared(nodes[1], nodes[0]).differences
    assert (found.what, found.old, found.new, found.broken) == ("nodes of the compiled graph", "26", "27", False)


def test_a_count_of_the_graph_is_told_by_cold_rounds_alone():
    """Where time was up, or asked for, before the first warm one."""
    nodes = [{"graph": {"nodes": n, "replacements": 5}} for n in (26, 27)]
    old, new = side_by_side({OLD: nodes[0], NEW: nodes[1]})
    cold = [replace(m, records=tuple(m.of_kind("cold"))) for m in (old, new)]
    (found,) = Compared([cold[0]], [cold[1]]).differences
    assert (found.what, found.old, found.new) == ("nodes of the compiled graph", "26", "27")


@pytest.mark.parametrize("outcome", ["failed", "invalid"])
def test_what_no_longer_answers_is_newly_broken_and_what_answers_again_is_not(outcome):
    bad = {"outcome": outcome, "reason": "why"}
    one, other = measured(OLD, document("cold", effective=None)), measured(NEW, document("cold", **bad))
    broken = Compared([one], [other])
    assert [(d.what, d.old, d.new, d.reason, d.broken) for d in broken.differences] == [
        ("outcome", "ok", outcome, "why", True)
    ]
    assert broken.worse
    assert broken.comparisons == []
    mended = Compared([other], [one])
    assert [d.broken for d in mended.differences] == [False]
    assert not mended.worse


def test_what_fails_in_both_is_no_difference_and_says_why_there_is_nothing():
    bad = [measured(tag, document("cold", outcome="failed", reason="why")) for tag in (OLD, NEW)]
    found = Compared([bad[0]], [bad[1]])
    assert found.differences == []
    assert found.pairs == {}
    assert found.why_nothing == "why"


def test_rounds_during_which_the_machine_changed_speed_are_left_out_on_both_sides_and_counted():
    a, b = side_by_side({OLD: {}, NEW: {}})
    drifted = Control(drift=3.0, contaminated=True)
    records = [r.model_copy(update={"control": drifted}) if r.round.number == 3 else r for r in b.records]
    found = Compared([a], [replace(b, records=tuple(records))])
    assert found.dropped == 2  # a cold one and a warm one
    assert of(found, "warm_setup").rounds == 7


@pytest.mark.parametrize(
    ("begins", "rounds"), [(0, [8, 8, 8]), (1, [None, 8, 8]), (2, [8, None, 8]), (3, [8, 8, None])]
)
def test_neighbours_that_ran_at_opposite_ends_of_a_round_are_not_side_by_side(begins, rounds):
    found = side_by_side({tag: {} for tag in (*"abc", NEW)}, begins=begins)
    compared = [Compared([old], [new]) for old, new in pairwise(found)]
    assert [of(c, "warm_setup").rounds if c.comparisons else None for c in compared] == rounds
    assert [c.dropped for c in compared] == [0 if many else 16 for many in rounds]
    # Those that are further apart in the timeline than in the round may be compared.
    assert of(Compared([found[0]], [found[-1]]), "warm_setup").rounds == 8


def test_where_the_machine_changed_speed_in_all_rounds_nothing_is_compared():
    a, b = side_by_side({OLD: {}, NEW: {}})
    records = [r.model_copy(update={"control": Control(drift=3.0, contaminated=True)}) for r in b.records]
    found = Compared([a], [replace(b, records=tuple(records))])
    assert found.comparisons == []
    assert found.dropped == len(records)


def test_trials_of_different_sittings_are_never_paired():
    (a, _), (_, b) = (side_by_side({OLD: {}, NEW: {}}, block=block) for block in ("one", "two"))
    assert Compared([a], [b]).pairs == {}


def test_rounds_of_several_sittings_are_put_together():
    sides = [side_by_side({OLD: {}, NEW: {"clocks": {"setup": 3.3}}}, block=block) for block in ("one", "two")]
    found = Compared([a for a, _ in sides], [b for _, b in sides])
    assert of(found, "warm_setup").rounds == 16


def test_what_changed_is_taken_apart_and_the_part_that_changed_comes_first():
    found = compared({"clocks": {"setup": 3.0, "finish": 1.5}})
    parts = found.parts(of(found, "total"))
    assert parts[0][0] == "after the last draw"
    found = compared({"clocks": {"setup": 4.0}})
    setup = found.parts(of(found, "warm_setup"))
    assert sum(new - old for _, old, new in setup) == pytest.approx(1.0, rel=0.05)


def test_a_finish_that_nobody_waits_for_is_not_compared():
    assert "finish" in verdicts(compared())
    assert "finish" not in verdicts(compared({"clocks": {"finish": 0.02}}, {"clocks": {"finish": 0.01}}))


def test_a_quantity_that_one_side_does_not_tell_is_left_out():
    silent = {"counters": {"gradients_tuning": None, "gradients_drawing": None, "divergences": 0}}
    found = verdicts(compared(silent))
    assert "gradient" not in found
    assert "sampling" not in found, "which one side only tells by itself"
    assert "total" in found


def test_where_no_gradients_are_counted_sampling_is_compared_as_a_whole():
    silent = {"counters": {"gradients_tuning": None, "gradients_drawing": None, "divergences": 0}}
    assert "sampling" in verdicts(compared(silent, silent))


def test_what_is_undecided_is_told_by_the_trials_that_would_decide_it():
    found = compared({"clocks": {"setup": 3.06}}, rounds=3, noise=0.04)
    assert found.undecided("cold") == found.undecided("warm") == {("ppca", 500, "pymc-c")}
    assert compared({"clocks": {"setup": 9.0}}, rounds=16).undecided("cold") == set()


def of_two_sittings(first: dict, second: dict) -> Compared:
    """Rounds of two stacks in two sittings, in which the new one differs otherwise."""
    sittings = [side_by_side({OLD: {}, NEW: new}, block=block) for new, block in ((first, "a"), (second, "b"))]
    old, new = (replace(a, records=(*a.records, *b.records)) for a, b in zip(*sittings, strict=True))
    return Compared([old], [new])


def test_sittings_that_disagree_are_told_with_the_ratio_of_each():
    found = of_two_sittings({"clocks": {"setup": 3.6}}, {})
    assert of(found, "warm_setup").sittings == pytest.approx((1.2, 1.0), rel=0.03)
    assert of(found, "finish").sittings == ()


def test_what_is_slower_in_one_sitting_and_faster_in_another_is_called_neither():
    found = of(of_two_sittings({"clocks": {"setup": 2.0}}, {"clocks": {"setup": 4.5}}), "warm_setup")
    assert found.sittings == pytest.approx((0.67, 1.5), rel=0.03)
    assert found.verdict == CANNOT_TELL
    assert of(of_two_sittings({"clocks": {"setup": 4.5}}, {"clocks": {"setup": 6.0}}), "warm_setup").verdict == WORSE


def test_one_sitting_and_sittings_that_agree_do_not_disagree():
    for found in (compared({"clocks": {"setup": 3.6}}), of_two_sittings(*[{"clocks": {"setup": 3.6}}] * 2)):
        assert {c.sittings for c in found.comparisons} == {()}


@pytest.mark.parametrize(("apart", "least", "most"), [(0.0, 0, 6), (0.1, 290, 300)])
def test_sittings_disagree_by_chance_in_one_of_a_hundred_comparisons_at_most(apart, least, most):
    rng, called = np.random.default_rng(20261128), 0
    for _ in range(300):
        both = [
            Both(1.0, float(np.exp(apart * (sitting == "b") + 0.03 * rng.normal())), False, 0.0, sitting)
            for sitting in "ab"
            for _ in range(6)
        ]
        called += _disagree(both) <= ERROR
    assert least <= called <= most
