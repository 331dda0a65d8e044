"""How much faster PyMC has become is told by chains of neighbours, with their intervals, and drawn with a name at each
line's end."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from statistics import median

import pytest

from harness.judging.chains import chains
from harness.judging.years import interval, sentence, years
from harness.results.metrics import TOTAL
from harness.site import release_lines
from harness.stacks.locks import last_patches, load_stacks
from tests.made_records import side_by_side
from tests.test_changes import content

TAGS = ("v6.2.0", "v6.3.2", "v6.4.0")


def measured(backend: str, *setups: float, tags=TAGS):
    arms = {tag: {"clocks": {"setup": setup}} for tag, setup in zip(tags, setups, strict=True)}
    return side_by_side(arms, cell=("ppca", 500, backend))


def test_each_backend_is_held_against_its_oldest_release():
    # A trial is 2.5 seconds beside its setup.
    found = years(content(*measured("pymc-c", 7.5, 7.5, 2.5), *measured("blackjax", 2.5, 2.5, 2.5)))
    c, blackjax = (next(y for y in found if y.backend == b) for b in ("pymc-c", "blackjax"))
    assert (c.first, c.last.tag) == ("v6.2.0", "v6.4.0")
    assert c.last.index == pytest.approx(0.5, rel=0.05)
    low, high = interval(blackjax.last)
    assert low < 1 < high
    assert c.sentence.startswith("pymc-c takes 0.5")
    assert c.sentence.endswith("as long in PyMC 6.4.0 as in 6.2.0")


def test_a_history_of_one_block_is_as_certain_at_its_end_as_at_its_beginning():
    tags = [stack.tag for stack in last_patches(load_stacks())]
    measured_all = side_by_side({tag: {} for tag in tags}, noise=0.1)
    (run,) = chains(content(*measured_all), ("ppca", 500, "pymc-c"), "total")
    assert [link.tag for link in run] == tags
    errors = [link.error for link in run[1:]]
    assert median(errors[-5:]) < 1.5 * median(errors[:5])
    assert all(abs(math.log(link.index)) < 4 * link.error for link in run[1:])


def test_blocks_of_different_days_join_and_their_errors_add_up():
    # The second day's machine is twice as slow, which is no step.
    one = side_by_side({tag: {} for tag in TAGS[:2]}, noise=0.1, block="a")
    slow = {"clocks": {"setup": 6.0, "tuning": 1.0, "drawing": 3.0, "finish": 1.0}}
    other = side_by_side(dict.fromkeys(TAGS[1:], slow), noise=0.1, block="b")
    both = replace(one[1], records=(*one[1].records, *other[0].records))
    first, second, third = chains(content(one[0], both, other[1]), ("ppca", 500, "pymc-c"), "total")[0]
    assert third.index == pytest.approx(1, rel=0.2)
    assert third.error > second.error > first.error == 0


def test_the_history_that_reaches_the_newest_release_is_told_and_not_a_longer_one_that_ended():
    long_ago = side_by_side({tag: {} for tag in ("v5.25.1", "v5.26.1", "v5.27.1", "v5.28.5")}, block="old")
    (now,) = years(content(*long_ago, *measured("pymc-c", 2.5, 2.5, 2.5)))
    assert (now.first, now.last.tag) == ("v6.2.0", "v6.4.0")


def test_a_release_whose_newest_measurement_has_no_warm_trial_keeps_its_place_in_the_line():
    its = measured("pymc-c", 2.5, 2.5, 2.5)
    (cold,) = side_by_side({"v6.4.0": {}}, rounds=1, block="b")
    known = content(*its, replace(cold, records=cold.of_kind("cold")))
    svg = release_lines.history(known, "ppca", 500, TOTAL, "total", "")
    assert "PyMC 6.4.0: the whole trial" in svg


def test_all_are_told_in_one_sentence_that_begins_with_what_the_release_picks():
    default, c = measured("default", 7.5, 7.5, 2.5), measured("pymc-c", 2.5, 2.5, 2.5)
    slower = measured("blackjax", 2.5, 2.5, 7.5)
    said = sentence(years(content(*default, *c, *slower)))
    assert said.startswith("default takes 0.5")
    others = r"; the others from (1|0\.99|1\.0\d)\S* times \(pymc-c\) to (1\.9|2\.0)\d times \(blackjax\)\.$"
    assert re.search(others, said)
    assert sentence(years(content(*default))).endswith("as long in PyMC 6.4.0 as in 6.2.0.")
    assert sentence(years(content(*default, *c))).count("takes") == 2


def test_only_histories_of_the_same_years_are_told_in_one_sentence():
    default, c = measured("default", 7.5, 7.5, 2.5), measured("pymc-c", 2.5, 2.5, 2.5)
    told = years(content(*default, *c))
    others = [replace(y, links=y.links[1:]) if y.backend == "pymc-c" else y for y in told]
    assert sentence(others).endswith("as long in PyMC 6.4.0 as in 6.2.0.")


def test_two_releases_are_no_history():
    assert years(content(*measured("pymc-c", 2.5, 2.5, tags=TAGS[1:]))) == []


def test_the_model_of_which_most_is_known_is_told():
    one = side_by_side({tag: {} for tag in TAGS}, cell=("discrete", 100, "pymc-c"))
    found = years(content(*one, *measured("pymc-c", 1.0, 1.0, 1.0), *measured("blackjax", 1.0, 1.0, 1.0)))
    assert {y.key[0] for y in found} == {"ppca"}


def test_every_line_is_named_where_it_ends_and_every_point_says_its_number():
    known = content(*measured("pymc-c", 7.5, 7.5, 2.5), *measured("blackjax", 7.5, 7.5, 2.5))
    svg = release_lines.years(known, years(known), "years")
    for backend in ("pymc-c", "blackjax"):
        assert f">{backend}</text>" in svg
        assert f"{backend}, PyMC 6.4.0: 0.5" in svg


def test_names_at_the_ends_do_not_stand_on_each_other():
    placed = release_lines._apart({"a": 10.0, "b": 11.0, "c": 90.0, "d": 10.5})
    heights = sorted(placed.values())
    assert all(b - a >= 15 for a, b in pairwise(heights))
    assert placed["a"] == 10.0
    assert placed["c"] == 90.0
