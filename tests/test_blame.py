"""Blame names the package that made the difference, or says that it does not know: on made-up histories of packages, in
which everything is known."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import BenchError, UnresolvableError
from harness.judging import blame, paired
from harness.judging.blame import (
    NEW,
    OLD,
    UNTOLD,
    Answer,
    Commit,
    CommitStep,
    Mixed,
    commit_step,
    culprits,
    known_of_rounds,
    narrow,
    side_of_count,
    side_of_time,
    step,
)
from harness.judging.paired import Round
from harness.measuring import blame as measuring
from harness.measuring import blame_command
from harness.measuring.cells import Cell
from harness.stacks import mixing
from harness.stacks.locks import Difference, parse
from tests import made_records

START = datetime(2026, 1, 1, tzinfo=UTC)
SEEDS = range(40)
CELL, OUTCOME = Cell("ppca", 500, "blackjax"), measuring.criteria()["outcome"]


@dataclass
class History:
    """Packages, each old before its moment and new after it. The difference is there when all guilty ones are new.

    What `unresolvable` says of a set of new packages has no stack.
    """

    uploaded: dict[str, datetime]
    guilty: frozenset[str]
    unresolvable: object = lambda new: False
    asked: list = field(default_factory=list)

    @property
    def moments(self) -> list[datetime]:
        return sorted(set(self.uploaded.values()))[:-1]

    def new_as_of(self, moment: datetime) -> frozenset[str]:
        return frozenset(name for name, uploaded in self.uploaded.items() if uploaded <= moment)

    def side(self, new: frozenset[str]) -> Answer:
        if self.unresolvable(new):
            return Answer(UNTOLD, "it cannot be resolved", exists=False)
        if new not in self.asked:
            self.asked.append(new)
        return Answer(NEW if self.guilty <= new else OLD)

    def blame(self) -> tuple[blame.Culprits, blame.Step]:
        found = step(self.moments, lambda c: self.side(self.new_as_of(c.moment)))
        before = self.new_as_of(found.before) if found.before else frozenset()
        after = self.new_as_of(found.after) if found.after else frozenset(self.uploaded)

        def ask(c: Mixed) -> Answer:
            return self.side(before | c.names if c.into == "before" else after - c.names)

        return culprits(sorted(after - before), ask), found


def history(seed: int, packages: int, days: int, guilty: int = 1) -> History:
    rng = random.Random(seed)
    names = [f"p{i:02}" for i in range(packages)]
    uploaded = {name: START + timedelta(days=rng.randrange(days)) for name in names}
    return History(uploaded, frozenset(rng.sample(names, guilty)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("packages", "days"), [(1, 1), (2, 1), (7, 30), (20, 60), (40, 8), (40, 90)])
def test_the_package_is_named_with_few_stacks(seed, packages, days):
    made = history(seed, packages, days)
    found, _ = made.blame()
    assert found.names == tuple(made.guilty)
    assert found.certain
    # Both ends are measured besides.
    assert 2 + len(made.asked) <= 2 * math.log2(packages) + 4


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("packages", "days"), [(2, 1), (12, 1), (30, 3)])
def test_two_packages_that_only_together_make_it_are_both_named(seed, packages, days):
    made = history(seed, packages, days, guilty=2)
    found, reached = made.blame()
    # Whichever came first was in the stack before the step: then the other one took it to the other side.
    before = made.new_as_of(reached.before) if reached.before else frozenset()
    assert set(found.names) == made.guilty - before
    assert found.certain


@pytest.mark.parametrize("seed", SEEDS)
def test_what_does_not_resolve_is_stepped_around_and_nobody_innocent_is_named_for_certain(seed):
    made, rng = history(seed, 24, 30), random.Random(seed)
    # PyMC and PyTensor, as it were: neither new one goes with the other's old.
    a, b = rng.sample(sorted(made.uploaded), 2)
    made.uploaded[b] = made.uploaded[a]
    made.unresolvable = lambda new: (a in new) != (b in new)
    found, _ = made.blame()
    assert found.certain
    # Nobody could have only one of these two.
    assert set(found.names) == ({a, b} if made.guilty & {a, b} else made.guilty)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_where_much_cannot_be_told_the_guilty_one_is_among_those_that_are_named(seed, share):
    made = history(seed, 20, 25)
    made.unresolvable = lambda new: random.Random(f"{seed} {sorted(new)}").random() < share
    found, reached = made.blame()
    assert made.guilty <= set(found.names)
    if found.certain:
        assert all(group in found.bound for group in found.groups if set(group) - made.guilty)
    for moment in reached.untold:
        assert (reached.before or START - timedelta(days=1)) < moment < (reached.after or START + timedelta(days=99))


def bound_to_each_other(*names: str):
    """What says that some of these are new and others are not has no stack."""
    return lambda new: 0 < len(set(names) & new) < len(names)


@pytest.mark.parametrize("names", [("p03", "p07"), ("p01", "p03", "p07"), ("p01", "p03", "p07", "p09")])
def test_packages_that_ask_for_each_others_versions_are_named_as_what_cannot_be_had_apart(names):
    h = history(1, 12, 1)
    h.guilty, h.unresolvable = frozenset({"p03"}), bound_to_each_other(*names)
    found, _ = h.blame()
    assert found.certain
    assert found.groups == (names,)
    assert len(h.asked) <= 12


def test_packages_of_which_one_could_be_had_alone_are_not_bound():
    h = history(1, 12, 1)
    # The new p07 is never without the new p03, and one cannot tell what the new p03 alone does.
    h.guilty, h.unresolvable = frozenset({"p03"}), lambda new: "p07" in new and "p03" not in new
    asked = h.side
    h.side = lambda new: Answer(UNTOLD, "it fails to import") if "p03" in new and "p07" not in new else asked(new)
    found, _ = h.blame()
    assert not found.certain
    assert set(found.names) == {"p03", "p07"}


@pytest.mark.parametrize("names", [("p03",), ("p01", "p03"), ("p03", "p05")])
def test_what_cannot_be_had_without_others_is_shown_beside_them(names):
    """As jaxlib, whose new version asks for the new JAX, while the new JAX does with the old jaxlib."""
    h = history(1, 12, 1)
    h.guilty, h.unresolvable = frozenset({"p07"}), lambda new: "p07" in new and not set(names) <= new
    found, _ = h.blame()
    assert found.certain
    assert found.names == ("p07",)
    assert found.beside == names


def test_what_cannot_be_taken_back_without_others_is_shown_with_them():
    """As JAX, whose old version asks for the old jaxlib."""
    h = history(1, 12, 1)
    h.guilty, h.unresolvable = frozenset({"p03"}), lambda new: "p07" in new and "p03" not in new
    found, _ = h.blame()
    assert found.certain
    assert (found.names, found.beside, found.beside_out) == (("p03",), (), ("p07",))


def test_company_that_makes_the_difference_itself_leaves_it_uncertain():
    """Either of the two does, and the newer one cannot be had without the other."""
    h = history(1, 12, 1)
    h.guilty, h.unresolvable = frozenset({"p03"}), lambda new: "p03" in new and "p07" not in new
    asked = h.side
    h.side = lambda new: Answer(NEW) if "p07" in new else asked(new)
    found, _ = h.blame()
    assert not (found.certain and "p03" in found.names)


@pytest.mark.parametrize(
    ("error", "exists"),
    [(UnresolvableError("they do not go together"), False), (BenchError("it does not build"), True)],
)
def test_only_what_does_not_go_together_is_no_stack(error, exists):
    search = measuring.Search(Console(quiet=True), (lock("6.1.0", 1), lock("6.2.0", 9)), CELL, "box", {})

    def make():
        raise error

    assert search.answer(Mixed("before", frozenset({"jax"})), make) == Answer(UNTOLD, str(error), exists=exists)


def test_where_nothing_can_be_told_for_another_reason_nobody_is_named_for_certain():
    """As when the index refuses to answer in the middle of a search."""
    assert not culprits(["jax", "jaxlib", "blackjax"], lambda _: Answer(UNTOLD, "429 Too Many Requests")).certain


def test_days_that_cannot_be_told_are_said():
    made = history(3, 10, 10)
    moments = made.moments
    made.unresolvable = lambda new: new in {made.new_as_of(m) for m in moments}
    _, reached = made.blame()
    assert (reached.before, reached.after) == (None, None)
    assert list(reached.untold) == moments
    assert set(reached.untold.values()) == {"it cannot be resolved"}


def test_of_two_that_each_do_it_the_other_way_is_not_shown():
    """Either new one breaks it: the older stack with one of them is broken, the newer one without it is, too."""

    def ask(c: Mixed) -> Answer:
        new = c.names if c.into == "before" else {"a", "b"} - c.names
        return Answer(NEW if new else OLD)

    found = culprits(["a", "b"], ask)
    assert found.into.side == NEW
    assert found.out_of.side == NEW
    assert not found.certain


def test_what_came_while_nothing_was_measured_between_is_bisected_by_packages_alone():
    found = culprits(["a", "b", "c", "d"], lambda c: Answer(NEW if ("c" in c.names) == (c.into == "before") else OLD))
    assert (found.names, found.certain) == (("c",), True)


def test_one_package_that_changed_alone_is_it_and_nothing_is_asked():
    found = culprits(["a"], lambda c: pytest.fail("nothing is to be asked"))
    assert (found.names, found.certain) == (("a",), True)


@pytest.mark.parametrize("new", [1, 2, 3, 17, 100])
def test_bisection_finds_every_place_in_as_few_steps_as_there_are_bits(new):
    for first in range(1, new + 1):
        asked = []
        found = narrow(new, lambda i, first=first, asked=asked: asked.append(i) or Answer(NEW if i >= first else OLD))
        assert (found.old, found.new) == (first - 1, first)
        assert len(asked) <= math.ceil(math.log2(new)) if new > 1 else not asked


# Time


@pytest.mark.parametrize(
    ("low", "high", "whole", "side"),
    [
        (-0.02, 0.03, 0.2, OLD), (0.15, 0.25, 0.2, NEW), (0.05, 0.15, 0.2, UNTOLD), (0.3, 0.4, 0.2, NEW),
        (-0.03, 0.02, -0.2, OLD), (-0.25, -0.15, -0.2, NEW), (-0.15, -0.05, -0.2, UNTOLD), (0.1, 0.2, -0.2, OLD),
    ],
)  # fmt: skip
def test_a_time_is_on_a_side_where_all_of_its_interval_is(low, high, whole, side):
    assert side_of_time(low, high, whole) == side


@pytest.mark.parametrize(("spoiled", "whole"), [(0.0, 0.3), (0.4, 0.3), (0.4, -0.7), (1.0, 0.7)])
def test_of_a_hundred_times_one_is_told_to_be_on_the_wrong_side_at_most_whatever_the_machine_does(spoiled, whole):
    """Rounds vary by 8 %, and by 30 % more where the machine changed its speed during a trial; all of them count. Each
    search asks of ten stacks, and knows of each what those before it told of rounds."""
    rng, told, rounds_asked = np.random.default_rng(20261128), [], 0
    for _ in range(60):
        before: list[list[Round]] = []
        for truth in rng.choice([OLD, NEW], 10):
            noise = rng.normal(0, 0.08, 32) + (rng.random(32) < spoiled) * rng.normal(0, 0.3, 32)
            rounds = [Round(x + whole * (truth == NEW), 1 if k % 2 else -1) for k, x in enumerate(noise)]
            known, side = known_of_rounds(before), UNTOLD
            for look in measuring.LOOKS:
                interval = paired.estimate(rounds[:look], known).interval(measuring.SIDE_LEVEL)
                if (side := side_of_time(*np.log(interval), whole)) != UNTOLD:
                    break
            before.append(rounds[:look])
            rounds_asked += look
            told.append((truth, side))
    wrong = [1 for truth, side in told if side not in (truth, UNTOLD)]
    untold = [1 for _, side in told if side == UNTOLD]
    assert len(wrong) <= 0.01 * len(told)
    assert len(untold) <= 0.1 * len(told)
    assert rounds_asked / len(told) < 16


def test_of_a_hundred_equal_ends_three_are_said_to_differ_at_most():
    rng, differ = np.random.default_rng(20261128), 0
    for _ in range(500):
        rounds = [Round(x, 1 if k % 2 else -1) for k, x in enumerate(rng.normal(0, 0.1, 32))]
        looks = (paired.estimate(rounds[:look]).interval(measuring.DIFFER_LEVEL) for look in measuring.LOOKS)
        differ += any(low > 1 or high < 1 for low, high in looks)
    assert differ <= 0.03 * 500


# What is measured


def test_the_seconds_of_sampling_can_be_asked_for_also_where_those_of_a_gradient_tell():
    record = made_records.read(made_records.document("warm", clocks={"setup": 1.0, "drawing": 7.0}))
    assert record.seconds_per_gradient, "the record tells both"
    assert measuring.criterion("sampling").quantity.of(record) == record.clocks.sampling_wall_seconds
    assert measuring.criterion("gradient").quantity.of(record)


@pytest.fixture
def search(monkeypatch):
    """A question whose stacks have been measured: `found` are the records of each."""
    ends = lock("6.1.0", 1), lock("6.2.0", 9)
    made = measuring.Search(Console(quiet=True), ends, CELL, "box", {})
    made.found = {}
    monkeypatch.setattr(made, "_arm", lambda stack: SimpleNamespace(name=f"v{stack.version}"))
    monkeypatch.setattr(measuring.Rounds, "run", lambda *_, **__: iter(()))
    monkeypatch.setattr(measuring, "follow", lambda _console, trials, *_: trials)
    of_tag = lambda _, arm, cell: made_records.measured(arm.name, *made.found[arm.name])  # noqa: E731
    monkeypatch.setattr(measuring.Rounds, "measurement", of_tag)
    return made


def counting(seed, gradients, **changes):
    counters = {"gradients_tuning": gradients, "gradients_drawing": 0, "divergences": 0}
    return made_records.document("warm", seed=seed, counters=counters, **changes)


@pytest.mark.parametrize(
    "first", [{"control": {"drift": 2.0, "contaminated": True}}, {"outcome": "invalid", "reason": "off"}]
)
def test_a_count_is_that_of_one_seed_whatever_became_of_its_trial(search, first):
    search.found["v6.1.0"] = [counting(1, 100), counting(2, 200)]
    search.found["v6.2.0"] = [counting(1, 100, **first), counting(2, 200)]
    with pytest.raises(measuring.NoStepError, match="do not differ"):
        search.differ(measuring.criterion("gradients"))


def test_where_the_newer_end_fails_with_warm_caches_stacks_are_tried_with_warm_ones(search):
    """One whose cold trial passes may still fail as the newer end does."""
    search.found["v6.1.0"] = [made_records.document("cold", outcome="failed", reason="ImportError: x (pymc 6.1.0)")]
    wrong = made_records.document("warm", outcome="failed", reason="SIGSEGV (pymc 6.2.0)")
    search.found["v6.2.0"] = [made_records.document("cold"), wrong]
    chosen, _ = search.differ(None)
    assert not chosen.cold
    search.found["v6.2.0"] = [made_records.document("cold", outcome="failed", reason="TypeError: y (pymc 6.2.0)")]
    assert search.differ(None)[0].cold


def test_a_time_that_the_trials_do_not_tell_is_said_at_once(monkeypatch):
    search = measuring.Search(Console(quiet=True), (lock("6.1.0", 1), lock("6.2.0", 9)), CELL, "box", {})
    monkeypatch.setattr(search, "_seen_of", lambda _stack, _criterion: measuring.Seen("ok"))
    looks = []
    monkeypatch.setattr(search, "_estimate", lambda _stack, look: looks.append(look) or (None, []))
    with pytest.raises(measuring.NoStepError, match=r"has no .* that both stacks tell"):
        search.differ(measuring.criterion("gradient"))
    assert looks == [measuring.LOOKS[0]]


@pytest.mark.parametrize(
    "name", ["outcome", "graph_nodes", "rewrites", "gradients", "total", "warm_setup", "cold_setup_cpu"]
)
def test_what_can_be_blamed_for_is_known_by_name(name):
    assert name in measuring.criteria(), list(measuring.criteria())


def test_an_unknown_metric_is_one_sentence_with_the_known_ones():
    with pytest.raises(BenchError, match=r"no metric 'speed' to blame something for: choose one of outcome, "):
        measuring.criterion("speed")


def test_two_failures_are_the_same_when_they_fail_alike_whatever_the_versions():
    first = measuring.Seen("failed", "TypeError: no progress_bar (pymc 6.2.0, blackjax 1.6)")
    assert first.kind == measuring.Seen("failed", "TypeError: no progress_bar (pymc 6.1.0, blackjax 1.7)").kind
    assert first.kind != measuring.Seen("failed", "ImportError: no jax (pymc 6.2.0)").kind
    # How wrong an answer is is chance.
    assert measuring.Seen("invalid", "the mean of mu is 7 off").kind == measuring.Seen("invalid", "R-hat 1.3").kind


def test_packages_that_an_error_names_are_suspected_first():
    named = measuring._named(["ok", "failed: TypeError: x (pymc 6.2.0, blackjax 1.6, jax 0.9.1)"])
    assert named == ["blackjax", "jax"]
    changed = Difference(
        {"zlib": ("1", "2"), "pymc": ("6.1", "6.2"), "jax": ("1", "2")}, {"blackjax": "1.6"}, {"abc": "1"}
    )
    assert mixing.by_suspicion(changed, named) == ["blackjax", "jax", "pymc", "abc", "zlib"]


# Counts and commits


@pytest.mark.parametrize(
    ("value", "old", "new", "side"),
    [
        (51, 51, 60, OLD), (60, 51, 60, NEW), (54, 51, 60, OLD), (57, 51, 60, NEW), (40, 51, 60, OLD),
        (90, 51, 60, NEW), (57, 60, 51, OLD), (54, 60, 51, NEW), (70, 60, 51, OLD), (10, 60, 51, NEW),
    ],
)  # fmt: skip
def test_a_count_that_came_in_steps_is_on_the_side_of_the_nearer_end(value, old, new, side):
    assert side_of_count(value, old, new) == side


def line(length: int) -> list[Commit]:
    return [Commit(f"{i:040x}", f"change {i}") for i in range(length)]


@pytest.mark.parametrize("length", [2, 3, 8, 100])
def test_the_commit_is_named_with_few_of_them_measured(length):
    commits = line(length)
    for guilty in range(1, length):
        asked = []

        def ask(commit, guilty=guilty, asked=asked):
            asked.append(commit)
            return Answer(NEW if commits.index(commit) >= guilty else OLD)

        assert commit_step(commits, ask) == CommitStep(commits[guilty - 1], commits[guilty], {})
        assert len(asked) <= 2 + (length - 1).bit_length()


def test_beside_commits_that_cannot_be_measured_the_range_is_named_and_no_innocent_one():
    commits = line(12)
    broken = {5: "it does not build", 6: "it fails"}

    def ask(commit):
        i = commits.index(commit)
        return Answer(UNTOLD, broken[i]) if i in broken else Answer(NEW if i >= 7 else OLD)

    found = commit_step(commits, ask)
    assert (found.old, found.new) == (commits[4], commits[7])
    assert found.untold == {commits[5]: "it does not build", commits[6]: "it fails"}


@pytest.mark.parametrize("sides", [(NEW, NEW), (OLD, OLD), (OLD, UNTOLD)])
def test_commits_that_do_not_show_the_difference_are_not_searched(sides):
    commits, asked = line(9), []

    def ask(commit):
        asked.append(commit)
        return Answer(dict(zip((commits[0], commits[-1]), sides, strict=True))[commit], "it fails")

    assert "do not show it" in commit_step(commits, ask)
    assert len(asked) <= 2


@pytest.mark.parametrize(("kind", "warm"), [("cold", 0), ("warm", 1)])
def test_what_fails_in_the_cold_trial_is_asked_of_by_cold_trials_alone(monkeypatch, kind, warm):
    search = measuring.Search(
        Console(quiet=True), (lock("6.1.0", 1), lock("6.2.0", 9)), Cell("ppca", 500, "x"), "box", {}
    )
    seen = {"6.1.0": measuring.Seen("ok"), "6.2.0": measuring.Seen("failed", "TypeError")}
    records = {"6.1.0": [], "6.2.0": [SimpleNamespace(kind=kind, outcome="failed")]}
    monkeypatch.setattr(search, "_arm", lambda stack: stack)
    monkeypatch.setattr(search, "_seen_of", lambda stack, _criterion: seen[stack.version])
    monkeypatch.setattr(search, "_measurement", lambda stack: SimpleNamespace(records=records[stack.version]))
    criterion, both = search.differ(None)
    assert both == ("ok", "failed: TypeError")
    assert criterion.rounds == {"cold": 1, "warm": warm}


@pytest.mark.parametrize(
    ("old", "seen", "side"),
    [
        (("failed", "ImportError"), ("ok", None), OLD),
        (("failed", "ImportError"), ("failed", "ImportError (jax 0.9)"), OLD),
        (("failed", "ImportError"), ("failed", "ValueError"), UNTOLD),
        (("ok", None), ("failed", "ValueError"), UNTOLD),
        (("ok", None), ("failed", "TypeError (jax 0.9)"), NEW),
    ],
)
def test_what_made_the_newer_failure_is_looked_for_wherever_an_older_one_ended(old, seen, side):
    search = measuring.Search(Console(quiet=True), (lock("6.1.0", 1), lock("6.2.0", 9)), CELL, "box", {})
    search._old, search._new, search.criterion = measuring.Seen(*old), measuring.Seen("failed", "TypeError"), OUTCOME
    assert search._side_of(measuring.Seen(*seen)).side == side


# What is said


def lock(pymc: str, day: int, **packages: str):
    pins = "".join(f"{name}=={version}\n" for name, version in sorted({**packages, "pymc": pymc}.items()))
    return parse(f"# snapshot: pymc {pymc}\n# resolved as of: 2026-01-{day:02}T00:00:00Z\n{pins}")


def found(groups, into, out_of, beside=()):
    before, after = lock("6.1.0", 2, blackjax="1.5"), lock("6.1.0", 3, blackjax="1.6")
    return measuring.Blame(
        OUTCOME, CELL, (lock("6.1.0", 1), lock("6.2.0", 9)),
        ("ok", "failed: TypeError"), blame.Step(None, None, {}), (before, after),
        blame.Culprits(groups, into, out_of, beside=beside), 7, ["as of 2026-01-05: it cannot be resolved"],
    )  # fmt: skip


def test_what_is_certain_is_said_with_both_ways_and_a_link_to_the_changes():
    said = "\n".join(blame_command.told(found((("blackjax",),), Answer(NEW, seen="failed"), Answer(OLD, seen="ok"))))
    assert "ppca n=500 blackjax, the outcome: ok → failed: TypeError" in said
    assert "Blame: blackjax 1.5 → 1.6." in said
    assert "as of 2026-01-02 00:00, PyMC 6.1.0 with the new blackjax makes the difference (failed)" in said
    assert "as of 2026-01-03 00:00, PyMC 6.1.0 with the old blackjax takes it back (ok)" in said
    assert "blackjax: https://github.com/blackjax-devs/blackjax/compare/1.5...1.6" in said
    assert "not told: as of 2026-01-05: it cannot be resolved" in said


def test_what_it_cannot_be_taken_back_without_is_said():
    out_of = measuring.blame.Culprits((("blackjax",),), Answer(NEW), Answer(OLD), beside_out=("numpy",))
    lines = blame_command.told(replace(found((("blackjax",),), Answer(NEW), Answer(OLD)), culprits=out_of))
    assert "Blame: blackjax 1.5 → 1.6." in lines
    assert any("with the old blackjax, numpy takes it back" in line for line in lines)


def test_what_it_cannot_be_had_without_is_said():
    lines = blame_command.told(found((("blackjax",),), Answer(NEW), Answer(OLD), beside=("jax", "numpy")))
    assert "Blame: blackjax 1.5 → 1.6, beside the new jax and numpy, without which it cannot be had." in lines
    assert any("with the new blackjax, jax, numpy makes the difference" in line for line in lines)


def test_what_is_not_certain_is_not_said_to_be():
    said = "\n".join(blame_command.told(found((("blackjax", "pymc"),), Answer(NEW), Answer(UNTOLD, "it is neither"))))
    assert "Blame: one of blackjax 1.5 → 1.6 and pymc 6.1.0 → 6.1.0, or some of them together" in said
    said = "\n".join(blame_command.told(found((("blackjax",),), Answer(NEW), Answer(UNTOLD, "it is neither"))))
    assert "Perhaps blackjax 1.5 → 1.6: it was not shown both ways." in said
    assert "with the old blackjax cannot be told (it is neither)" in said


OF_PYTENSOR = CommitStep(line(2)[0], line(2)[1], {})


def test_what_cannot_be_had_apart_is_said_to_be():
    both = found((("blackjax", "pymc"),), Answer(NEW), Answer(OLD))
    assert not both.culprits.certain
    bound = replace(both, culprits=replace(both.culprits, bound=frozenset(both.culprits.groups)))
    said = "\n".join(blame_command.told(bound))
    assert "Blame: blackjax 1.5 → 1.6 and pymc 6.1.0 → 6.1.0, which cannot be had apart." in said


def test_a_commit_is_said_with_its_subject_and_where_to_read_it():
    blamed = found((("pytensor",),), Answer(NEW), Answer(OLD))
    said = "\n".join(blame_command.told_of_commits(blamed, OF_PYTENSOR))
    assert said.startswith("Commit: 0000000000 (change 1)\n")
    assert f"https://github.com/pymc-devs/pytensor/commit/{1:040x}" in said
    told = blame_command.document_of_commits(OF_PYTENSOR)["commits"]
    assert told == {"last_old": f"{0:040x}", "first_new": f"{1:040x}", "untold": []}


def test_a_range_of_commits_is_said_with_the_reason_of_each():
    blamed = found((("pytensor",),), Answer(NEW), Answer(OLD))
    commits = line(3)
    of_range = CommitStep(commits[0], commits[2], {commits[1]: "it does not build"})
    said = "\n".join(blame_command.told_of_commits(blamed, of_range))
    assert "or one of the 1 between it and 0000000000 (change 0) that cannot be told" in said
    assert "not told: 0000000000 (change 1): it does not build" in said


def test_where_commits_were_not_searched_nothing_is_said_and_why_where_it_failed():
    blamed = found((("pytensor",),), Answer(NEW), Answer(OLD))
    assert blame_command.told_of_commits(blamed, None) == []
    assert blame_command.told_of_commits(blamed, "no tag rel-1") == ["  commits: no tag rel-1"]
    assert blame_command.document_of_commits(None) == {"commits": None}


def test_what_a_backend_cannot_sample_is_not_asked_of_any_stack(monkeypatch):
    monkeypatch.setattr(blame_command.blame, "find", lambda *_: pytest.fail("it was measured"))
    asked = ["blame", "v6.3.2", "v6.4.0", "--model", "discrete", "--backend", "nutpie-numba"]
    done = CliRunner().invoke(app, asked)
    assert str(done.exception) == (
        "nutpie-numba samples continuous variables only, and discrete has discrete ones: no stack can."
    )


def test_an_end_that_cannot_be_installed_is_not_measured_which_is_no_answer(monkeypatch):
    def lost(*_):
        raise BenchError("Stack v6.3.2 cannot be installed: no such wheel")

    monkeypatch.setattr(measuring, "find", lost)
    command = ["blame", "v6.3.2", "v6.4.0", "--model", "ppca", "--backend", "pymc-c", "--metric", "total"]
    done = CliRunner().invoke(app, command)
    assert str(done.exception) == "Stack v6.3.2 cannot be installed: no such wheel"
    assert done.exception.status == 2
