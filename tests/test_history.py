"""`bench history` measures what neighbouring releases lack side by side, nothing else, and says what it costs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import BenchError, MachineError
from harness.measuring import history, history_command, run, unfinished
from harness.measuring.cells import Cell
from harness.measuring.rounds import COLD, WARM, Rounds
from harness.output import plain_console
from harness.results.parts import Control
from harness.stacks import environments, room
from harness.stacks.locks import get_stack, last_patches, load_stacks
from harness.suite import inside
from tests.made_records import document, measured, side_by_side
from tests.stand_in import DESCRIPTION, arm, ran

TAGS = ("v6.1.0", "v6.2.0", "v6.3.2", "v6.4.0")
STACKS = [get_stack(tag) for tag in TAGS]
CELL, OTHER = Cell("ppca", 500, "pymc-c"), Cell("ppca", 500, "blackjax")
FIVE = {COLD: 2, WARM: 5}


@pytest.fixture
def missing(monkeypatch):
    """What is missing of these parameter sets where these measurements are kept, as tags by parameter set."""

    def plan(*measurements, cells=(CELL,), each=FIVE, again=False):
        monkeypatch.setattr(run, "archived", lambda _, stack, __: [m for m in measurements if m.tag == stack.tag])
        blocks = history.missing("box", STACKS, cells, each, inside() | DESCRIPTION, again)
        plan.rounds = [b.rounds for b in blocks]
        return [(b.cell, *(s.tag for s in b.stacks)) for b in blocks]

    return plan


def beside(*tags, rounds=5, block="a", cell=CELL, begins=0):
    return side_by_side({tag: {} for tag in tags}, rounds, (cell.model, cell.n, cell.backend), 0.01, block, begins)


def without_answer(tag, outcome="failed"):
    return measured(tag, document("cold", outcome=outcome, reason="why"))


def test_where_nothing_is_measured_all_releases_are_one_block(missing):
    assert missing() == [(CELL, *TAGS)]


def test_what_is_measured_side_by_side_is_not_measured_again(missing):
    assert missing(*beside(*TAGS)) == []
    assert missing(*beside(*TAGS), again=True) == [(CELL, *TAGS)]


def test_a_new_release_is_joined_to_the_one_before_it(missing):
    assert missing(*beside(*TAGS[:3])) == [(CELL, "v6.3.2", "v6.4.0")]


def test_a_hole_is_filled_with_the_neighbours_on_both_sides(missing):
    assert missing(*beside(*TAGS[:1]), *beside(*TAGS[2:])) == [(CELL, "v6.1.0", "v6.2.0", "v6.3.2")]


def test_two_holes_are_two_blocks_the_newest_first(missing):
    assert missing(*beside("v6.2.0", "v6.3.2")) == [(CELL, "v6.3.2", "v6.4.0"), (CELL, "v6.1.0", "v6.2.0")]


def test_releases_of_two_sittings_were_never_side_by_side(missing):
    assert missing(*beside(*TAGS[:2], block="a"), *beside(*TAGS[2:], block="b")) == [(CELL, "v6.2.0", "v6.3.2")]


@pytest.mark.parametrize(("rounds", "left"), [(4, 1), (5, 0), (9, 0)])
def test_fewer_rounds_than_are_wanted_are_too_few(missing, rounds, left):
    assert len(missing(*beside(*TAGS, rounds=rounds))) == left


@pytest.mark.parametrize(("noisy", "left"), [(3, []), (4, [(CELL, "v6.3.2", "v6.4.0")])])
def test_neighbours_that_no_two_rounds_tell_of_are_measured_again(missing, noisy, left):
    *others, newest = beside(*TAGS)
    control = Control(before={}, after={}, drift=1.5, contaminated=True)
    records = [
        r.model_copy(update={"control": control}) if r.kind == "warm" and r.settings.seed <= noisy else r
        for r in newest.records
    ]
    assert missing(*others, replace(newest, records=tuple(records))) == left


@pytest.mark.parametrize(
    ("rounds", "lacking"), [(1, {COLD: 1, WARM: 4}), (2, {COLD: 1, WARM: 3}), (4, {COLD: 1, WARM: 1})]
)
def test_of_a_history_that_has_some_rounds_only_those_that_it_lacks_are_run(missing, rounds, lacking):
    missing(*beside(*TAGS, rounds=rounds))
    assert missing.rounds == [lacking]


def test_rounds_of_which_none_tells_are_made_up_for_by_two_more(missing):
    missing(*beside(*TAGS, begins=2))
    assert missing.rounds == [{COLD: 2, WARM: 2}]


def test_neighbours_that_lack_least_run_as_many_rounds_as_those_beside_that_lack_most(missing):
    missing(*beside(*TAGS[:3], rounds=4), each={COLD: 1, WARM: 6})
    assert missing.rounds == [{COLD: 1, WARM: 6}]


def test_neighbours_that_ran_at_opposite_ends_of_all_rounds_are_measured_again(missing):
    assert missing(*beside(*TAGS, begins=2)) == [(CELL, "v6.2.0", "v6.3.2")]


def test_a_release_that_answered_after_it_had_failed_has_its_place_in_the_history(missing):
    *others, newest = beside(*TAGS)
    failed = replace(newest, records=(newest.records[0].model_copy(update={"outcome": "failed", "reason": "why"}),))
    assert missing(*others, failed) == []
    (later,) = beside("v6.4.0", block="b")
    assert missing(*others, failed, later) == [(CELL, "v6.3.2", "v6.4.0")]


@pytest.mark.parametrize("kind", ["cold", "warm"])
def test_neighbours_of_which_no_trial_of_a_kind_tells_are_measured_again(missing, kind):
    *others, newest = beside(*TAGS)
    control = Control(before={}, after={}, drift=1.5, contaminated=True)
    records = [r.model_copy(update={"control": control}) if r.kind == kind else r for r in newest.records]
    assert missing(*others, replace(newest, records=tuple(records))) == [(CELL, "v6.3.2", "v6.4.0")]


def test_again_begins_with_what_was_measured_longest_ago(missing):
    long_ago = [replace(m, model="discrete", n=100, backend="default") for m in beside(*TAGS)]
    older = [
        replace(m, records=tuple(r.model_copy(update={"started": "2020-01-01T00:00:00+00:00"}) for r in m.records))
        for m in long_ago
    ]
    other = Cell("discrete", 100, "default")
    assert [cell for cell, *_ in missing(*beside(*TAGS), *older, cells=[CELL, other], again=True)] == [other, CELL]


def test_again_of_no_release_is_nothing():
    assert history.missing("box", [], [CELL], {COLD: 1, WARM: 2}, inside(), again=True) == []


def test_what_a_backend_cannot_sample_has_no_history(missing):
    discrete = [Cell("discrete", 100, backend) for backend in ("pymc-c", "blackjax")]
    assert [cell for cell, *_ in missing(cells=discrete)] == discrete[:1]
    assert [cell for cell, *_ in missing(cells=discrete, again=True)] == discrete[:1]


@pytest.mark.parametrize("outcome", ["failed", "unsupported"])
def test_neighbours_of_a_release_without_an_answer_are_each_others(missing, outcome):
    failure = without_answer("v6.2.0", outcome)
    assert missing(failure, *beside("v6.1.0", "v6.3.2", "v6.4.0")) == []
    assert missing(failure, *beside("v6.3.2", "v6.4.0")) == [(CELL, "v6.1.0", "v6.3.2")]


def test_the_only_release_with_an_answer_is_measured_once(missing):
    failures = [without_answer(tag, "failed") for tag in TAGS[:3]]
    assert missing(*failures) == [(CELL, "v6.4.0")]
    assert missing(*failures, *beside("v6.4.0")) == []
    assert missing(*failures, without_answer("v6.4.0", "failed")) == []


def test_what_lacks_the_newest_release_comes_first(missing):
    kept = (*beside(*TAGS[1:]), *beside(*TAGS[:3], cell=OTHER))
    assert [cell for cell, *_ in missing(*kept, cells=(CELL, OTHER))] == [OTHER, CELL]


BLOCK = history.Block(CELL, tuple(STACKS), FIVE)


@pytest.mark.parametrize(("capacity", "parts"), [(9, [4]), (4, [4]), (3, [3, 2]), (2, [2, 2, 2])])
def test_a_block_that_has_no_room_is_done_in_parts_that_share_a_release(capacity, parts, monkeypatch):
    monkeypatch.setattr(room, "capacity", lambda known: capacity)
    found = history.in_parts([BLOCK], STACKS)
    assert [len(part.stacks) for part in found] == parts
    assert all(a.stacks[-1] == b.stacks[0] for a, b in pairwise(found))
    assert {s.tag for part in found for s in part.stacks} == set(TAGS)


@pytest.mark.parametrize("capacity", [0, 1])
def test_where_not_even_two_have_room_nothing_is_begun(capacity, monkeypatch):
    monkeypatch.setattr(room, "capacity", lambda known: capacity)
    with pytest.raises(MachineError, match=r"no room for two stacks .* free some space"):
        history.in_parts([BLOCK], STACKS)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A disk with room for so many stacks more than are installed."""
    monkeypatch.setattr(environments, "CACHE", tmp_path)
    installed = tmp_path / "stacks"

    def has(more: int, *stacks):
        for stack in stacks:
            environments.path_of(stack).mkdir(parents=True)
            (environments.path_of(stack) / environments.MARKER).touch()
        size = more + len(stacks)
        monkeypatch.setattr(room, "free_bytes", lambda: room.STACK_BYTES * (size - len(list(installed.glob("*/")))))
        return lambda: sorted(p.name.split("-")[0] for p in installed.glob("*/"))

    return has


def test_stacks_that_are_not_needed_go_only_as_far_as_room_is_needed(disk):
    left = disk(1, *STACKS[:3])
    room.make_room(STACKS[2:], STACKS)
    assert left() == ["v6.1.0", "v6.2.0", "v6.3.2"]
    assert room.capacity(STACKS) == 4


def test_the_oldest_goes_first_and_never_one_that_is_needed(disk):
    left = disk(0, *STACKS[:3])
    room.make_room([STACKS[0], STACKS[3]], STACKS)
    assert left() == ["v6.1.0", "v6.3.2"]


def test_packages_that_uv_keeps_go_only_where_deleting_stacks_is_not_enough(disk, monkeypatch):
    asked = []
    monkeypatch.setattr(room, "run_uv", lambda arguments, doing: asked.append(arguments[:2]))
    disk(1, *STACKS[:2])
    room.make_room(STACKS[:3], STACKS)
    assert asked == []
    disk(0)
    room.make_room(STACKS, STACKS)
    assert asked == [["cache", "prune"]]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """The command, with stand-ins for stacks, by tag the plans of their trials; returns what it said."""
    monkeypatch.setenv("BENCH_MACHINE", "box")
    monkeypatch.setattr(history_command, "ensure_timeline", lambda: None)
    arms = {}

    def command(*arguments, **plans):
        def stand_in(stack):
            if stack.tag in command.cannot:
                raise command.cannot[stack.tag]
            plan = plans.get(stack.tag.replace(".", "_"))
            made = arms.setdefault(stack.tag, arm(tmp_path, stack.tag, plan))
            return replace(made, stack=stack)

        monkeypatch.setattr("harness.measuring.rounds.arm", stand_in)
        monkeypatch.setattr(run, "let_asv_read", lambda *_: None)
        monkeypatch.setattr(history_command, "inside", lambda: inside() | DESCRIPTION)
        return CliRunner().invoke(app, ["history", *arguments])

    command.arms, command.cannot = arms, {}
    return command


def test_all_releases_run_one_parameter_set_after_the_other(bench):
    done = bench(*TAGS, "--backend", "pymc-c", "--model", "ppca", "--warm", "2")
    assert done.exit_code == 0, done.output
    assert "4 releases (v6.1.0 to v6.4.0) × 1 parameter set on box: 1 block missing." in done.output
    assert all(ran(one) == ["ppca cold-0", "ppca warm-1", "ppca warm-2"] for one in bench.arms.values())


def test_what_is_lacking_is_said_and_no_more_is_run(bench, monkeypatch):
    kept = beside(*TAGS, rounds=4)
    monkeypatch.setattr(run, "archived", lambda _, stack, __: [m for m in kept if m.tag == stack.tag])
    done = bench(*TAGS, "--backend", "pymc-c", "--model", "ppca", "--warm", "5")
    assert done.exit_code == 0, done.output
    assert "1 cold + 1 warm" in done.output
    assert all(ran(one) == ["ppca cold-0", "ppca warm-1"] for one in bench.arms.values())


def test_the_plan_alone_measures_nothing(bench):
    done = bench("--plan")
    assert done.exit_code == 0, done.output
    assert f"{len(last_patches(load_stacks()))} releases" in " ".join(done.output.split())
    assert "This will take about" in done.output
    assert not bench.arms


def test_a_release_that_can_be_installed_no_more_is_left_out_by_name_and_keeps_no_other(bench):
    bench.cannot["v6.2.0"] = BenchError("Stack v6.2.0 cannot be installed: there is no numpy 9.")
    done = bench(*TAGS, "--backend", "pymc-c", "--model", "ppca", "--warm", "2")
    assert done.exit_code == 0, done.output
    assert "v6.2.0 is left out. Stack v6.2.0 cannot be installed: there is no numpy 9." in done.output
    assert {tag for tag, one in bench.arms.items() if ran(one)} == {"v6.1.0", "v6.3.2", "v6.4.0"}


def test_without_a_network_no_release_is_left_out(bench):
    bench.cannot["v6.2.0"] = MachineError("The package index cannot be reached.")
    done = bench(*TAGS, "--backend", "pymc-c", "--model", "ppca")
    assert done.exception is bench.cannot["v6.2.0"]
    assert not any(ran(one) for one in bench.arms.values())


def test_when_the_time_is_up_no_block_begins(bench):
    done = bench(*TAGS, "--model", "ppca", "--budget", "0")
    assert "The time is up: 10 blocks left." in done.output
    assert not bench.arms


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["v9.9.9"], "v9.9.9"),
        (["--model", "nope"], "There is no model 'nope'"),
        (["--backend", "nope"], "There is no backend 'nope'"),
        (["--model", "ppca", "--n", "7"], "There is no size 7: ppca has 500, 5000, 50000."),
    ],
)
def test_what_is_unknown_is_one_sentence(bench, arguments, sentence):
    done = bench(*arguments)
    assert done.exit_code == 1
    assert sentence in str(done.exception)


def test_sizes_can_be_chosen(bench):
    done = bench("--plan", "--model", "ppca", "--n", "5000", "--backend", "pymc-c")
    assert "ppca n=5000 pymc-c" in done.output
    assert "n=500 " not in done.output


def test_a_trial_during_which_the_machine_changed_speed_is_run_once_more_at_once(tmp_path):
    control = {"before": {}, "after": {}, "drift": 0.5, "contaminated": True}
    quiet, noisy = arm(tmp_path, "quiet"), arm(tmp_path, "noisy", {"warm-1": {"control": control}})
    failing = arm(tmp_path, "failing", {"cold-0": {"outcome": "failed", "control": control}})
    rounds = Rounds([quiet, noisy, failing], "box", DESCRIPTION, repeats=1)
    trials = list(rounds.run({CELL: {COLD: 1, WARM: 2}}, alone=1))
    assert ran(noisy) == ["ppca cold-0", "ppca warm-1", "ppca warm-1", "ppca warm-2"]
    assert ran(quiet) == ["ppca cold-0", "ppca warm-1", "ppca warm-2"]
    assert ran(failing) == ["ppca cold-0"]
    assert sum(trial.closes for trial in trials) == 3
    assert [trial.arm for trial in trials if not trial.stands] == [noisy]


def test_asv_is_told_of_what_was_measured_and_of_nothing_else(tmp_path, monkeypatch):
    """What it is told of and does not find, it measures: alone, and in place of the numbers that it has."""
    other = Cell("discrete", 100, "default")
    monkeypatch.setattr(unfinished, "UNFINISHED", tmp_path)
    trial = unfinished.of_cell(unfinished.scratch("v6.4.0"), CELL) / "cold-0.json"
    trial.parent.mkdir(parents=True)
    trial.write_text("{}")
    told = []
    monkeypatch.setattr(run, "take_in", lambda _console, *arguments: told.append(arguments))
    stacks = [get_stack(tag) for tag in ("v6.3.2", "v6.4.0")]
    run.let_asv_read(plain_console(), stacks, [CELL, other], inside())
    (arguments,) = told
    assert "v6.4.0^!" in arguments
    assert not any("discrete" in argument for argument in arguments)
