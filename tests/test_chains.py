"""A history by ratios of releases measured side by side survives what seconds do not: another day, another machine, and
releases without an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.judging import changes
from harness.judging.chains import chains
from harness.results.parts import Control
from tests.made_records import side_by_side
from tests.test_changes import KEY, content, measured


def test_a_chain_multiplies_the_ratios_of_neighbours_whatever_each_machine_took():
    first = side_by_side({"v6.3.1": {"clocks": {"setup": 2.0}}, "v6.3.2": {"clocks": {"setup": 4.0}}}, block="a")
    # Another day, on a machine that takes ten times as long.
    second = side_by_side({"v6.3.2": {"clocks": {"setup": 40.0}}, "v6.4.0": {"clocks": {"setup": 20.0}}}, block="b")
    ((one, two, three),) = chains(content(*first, *second), KEY, "warm_setup")
    assert [link.tag for link in (one, two, three)] == ["v6.3.1", "v6.3.2", "v6.4.0"]
    assert one.index == 1.0
    assert two.index == pytest.approx(2.0, rel=0.03)
    assert three.index == pytest.approx(1.0, rel=0.04)
    assert 0 == one.error < two.error < three.error


def test_a_chain_is_broken_where_a_release_was_not_measured_beside_the_one_before():
    first = side_by_side({"v6.3.0": {}, "v6.3.1": {}}, block="a")
    second = side_by_side({"v6.3.2": {}, "v6.4.0": {}}, block="b")
    found = chains(content(*first, *second), KEY, "total")
    assert [[link.tag for link in run] for run in found] == [["v6.3.0", "v6.3.1"], ["v6.3.2", "v6.4.0"]]
    assert chains(content(*first), ("ppca", 500, "blackjax"), "total") == []


def test_a_chain_goes_on_across_a_release_without_an_answer():
    arms = {"v6.3.1": {}, "v6.3.2": {"outcome": "failed", "reason": "why"}, "v6.4.0": {"clocks": {"setup": 6.0}}}
    old, _, new = side_by_side(arms, block="a")
    broken = replace(measured([1.0], outcome="failed"), tag="v6.3.2")
    ((one, two),) = chains(content(old, broken, new), KEY, "warm_setup")
    assert (one.tag, two.tag) == ("v6.3.1", "v6.4.0")
    assert two.index == pytest.approx(2.0, rel=0.03)


def test_a_release_measured_by_itself_breaks_no_chain():
    first = side_by_side({"v6.2.0": {}, "v6.3.2": {}, "v6.4.0": {}}, block="a")
    alone = side_by_side({"v6.3.1": {}}, block="b")
    (run,) = chains(content(*first, *alone), KEY, "total")
    assert [link.tag for link in run] == ["v6.2.0", "v6.3.2", "v6.4.0"]


def test_a_release_that_was_measured_again_beside_the_next_one_alone_breaks_no_chain():
    """In the rounds of all, the machine changed speed in both of its trials."""
    slower = {"clocks": {"setup": 6.0}}
    arms = {"v6.2.0": {}, "v6.3.1": {}, "v6.3.2": slower, "v6.4.0": slower}
    first, noisy, *others = side_by_side(arms, block="a")
    drifted = Control(drift=2.0, contaminated=True)
    noisy = replace(noisy, records=tuple(r.model_copy(update={"control": drifted}) for r in noisy.records))
    again = side_by_side({"v6.3.1": {}, "v6.3.2": {"clocks": {"setup": 12.0}}}, block="b")
    (run,) = chains(content(first, noisy, *others, *again), KEY, "warm_setup")
    assert [link.tag for link in run] == ["v6.2.0", "v6.3.1", "v6.3.2", "v6.4.0"]
    assert [link.index for link in run] == pytest.approx([1.0, 0.5, 2.0, 2.0], rel=0.05)
    assert run[1].error > run[2].error


def test_chains_join_what_different_machines_have_measured():
    here = side_by_side({"v6.3.2": {"clocks": {"setup": 40.0}}, "v6.4.0": {"clocks": {"setup": 20.0}}}, block="a")
    there = side_by_side({"v6.3.1": {"clocks": {"setup": 2.0}}, "v6.3.2": {"clocks": {"setup": 4.0}}}, block="b")
    both = replace(content(*here), elsewhere=there)
    ((one, two, three),) = chains(both, KEY, "warm_setup")
    assert [link.tag for link in (one, two, three)] == ["v6.3.1", "v6.3.2", "v6.4.0"]
    assert [link.index for link in (two, three)] == pytest.approx([2.0, 1.0], rel=0.04)
    assert [(s.old, s.new) for s in changes.steps_of(both)] == [("v6.3.2", "v6.4.0")], "a step is one machine's"
