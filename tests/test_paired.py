"""Paired ratios keep what they promise: intervals cover, chance is seldom called a difference, and real ones are found,
under independent, autocorrelated and drifting noise, with and without early stopping.

Times are simulated trial by trial, as rounds run them: two arms, one after the other, in balanced random order.
"""

import math

import numpy as np
import pytest
from scipy import special, stats

from harness.judging import paired
from harness.judging.paired import Prior, Round
from harness.judging.relatives import as_far_apart

NOISES = ("independent", "autocorrelated", "drifting", "heavy-tailed", "seen by the control workload")
SOME_NOISES = [n if n == "drifting" else pytest.param(n, marks=pytest.mark.thorough) for n in NOISES]
SPREAD = 0.02


def rounds_of(rng, rounds, effect=0.0, noise="independent", spread=SPREAD):
    """Rounds of two arms, whose second takes exp(effect) times as long."""
    trials = 2 * rounds
    shocks = rng.normal(size=trials)
    if noise == "autocorrelated":
        mood = np.zeros(trials)
        for i in range(trials):
            mood[i] = (0.8 * mood[i - 1] if i else 0.0) + 0.6 * rng.normal()
        shocks = 0.5 * shocks + 2.0 * mood
    elif noise == "drifting":
        shocks = shocks + np.cumsum(rng.normal(size=trials)) + np.linspace(0, rng.normal() * 20, trials)
    elif noise == "heavy-tailed":
        shocks = rng.standard_t(3, size=trials)
    seen = np.zeros(trials)
    if noise == "seen by the control workload":
        mood = rng.normal(size=trials)
        shocks, seen = 0.6 * shocks + 0.8 * mood, 0.5 * mood + 0.2 * rng.normal(size=trials)
    times, seen = spread * shocks.reshape(rounds, 2), spread * seen.reshape(rounds, 2)
    first = rng.integers(2, size=(rounds + 1) // 2)
    new_is_first = np.stack([first, 1 - first], axis=1).ravel()[:rounds]
    new = np.where(new_is_first, times[:, 0], times[:, 1])
    old = np.where(new_is_first, times[:, 1], times[:, 0])
    speed = np.where(new_is_first, seen[:, 0] - seen[:, 1], seen[:, 1] - seen[:, 0])
    return [Round(*r) for r in zip(effect + new - old, 2 * new_is_first - 1, speed, strict=True)]


def history_of(rng, releases, rounds, noise="independent", spread=SPREAD, step=0.0):
    """The rounds of any two releases of a block, whose second half takes exp(step) times as long: along the timeline or
    against it, and back in the next round, as `bench history` runs them."""
    shocks = spread * rng.normal(size=(rounds, releases))
    if noise in ("drifting", "drifting far"):
        # Far is what a shared machine was seen to do within a round: a third slower, or faster, at its end.
        share = 1 / 3 if noise == "drifting" else 3.0
        shocks += spread * share * np.cumsum(rng.normal(size=shocks.size)).reshape(shocks.shape)
    elif noise == "heavy-tailed":
        shocks = spread * rng.standard_t(3, size=shocks.shape)
    times, place = np.empty_like(shocks), np.empty(shocks.shape, dtype=int)
    against = rng.integers(2, size=(rounds + 1) // 2)
    for number in range(rounds):
        along = np.arange(releases)
        place[number] = along[::-1] if (number + against[number // 2]) % 2 else along
        times[number] = shocks[number, place[number]]
    times[:, releases // 2 :] += step

    def rounds_between(old, new):
        order = np.where(place[:, new] < place[:, old], 1, -1)
        return [Round(*r) for r in zip(times[:, new] - times[:, old], order, strict=True)]

    return rounds_between


def known_of(rounds_between, releases, old, new):
    """How the rounds of two releases of a history vary, by all that are as far apart."""
    return paired.varying(rounds_between(*two) for two in as_far_apart(range(releases), new - old))


def stopped(rng, effect, noise, most=32):
    """Differences of one comparison that is looked at after 8, 16 and 32 rounds, until it is decided."""
    every = rounds_of(rng, most, effect, noise)
    for look in (look for look in paired.LOOKS if look <= most):
        judged = paired.judge({"x": every[:look]})["x"]
        low, high = judged.estimate.interval(0.99)
        if judged.p <= paired.ERROR or (low > 1 / 1.03 and high < 1.03):
            break
    return judged


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("rounds", [8, 16, 32])
def test_a_95_percent_interval_covers_in_93_to_97_of_100_cases(noise, rounds):
    rng = np.random.default_rng(20261127)
    effect, covered, cases = 0.05, 0, 2000
    for _ in range(cases):
        low, high = paired.estimate(rounds_of(rng, rounds, effect, noise)).interval()
        covered += low <= math.exp(effect) <= high
    assert 0.93 <= covered / cases <= (0.97 if noise != "heavy-tailed" else 0.985)


@pytest.mark.parametrize("noise", SOME_NOISES)
@pytest.mark.parametrize("effect", [0.0, 0.02, 0.05])
def test_it_covers_as_often_when_one_stops_as_soon_as_one_knows(noise, effect):
    rng = np.random.default_rng(20261128)
    cases = 1500
    covered = 0
    for _ in range(cases):
        low, high = stopped(rng, effect, noise).estimate.interval()
        covered += low <= math.exp(effect) <= high
    assert 0.93 <= covered / cases <= (0.97 if noise != "heavy-tailed" else 0.985)


@pytest.mark.parametrize("noise", SOME_NOISES)
def test_equal_stacks_are_called_different_in_one_of_a_hundred_comparisons_at_most(noise):
    rng = np.random.default_rng(20261129)
    cases = 3000
    called = sum(stopped(rng, 0.0, noise).p <= paired.ERROR for _ in range(cases))
    assert stats.binomtest(called, cases, paired.ERROR, alternative="greater").pvalue > 0.01


@pytest.mark.parametrize("rounds", [8, 32, 64])
def test_what_lasts_is_part_of_the_interval(rounds):
    rng = np.random.default_rng(20261207)
    covered, cases, lasting = 0, 2000, 0.01
    for _ in range(cases):
        own = rounds_of(rng, rounds, 0.05 + lasting * rng.normal())
        low, high = paired.estimate(own, lasting=lasting).interval()
        covered += low <= math.exp(0.05) <= high
    # That it is known what lasts is not counted on.
    assert 0.93 <= covered / cases <= 0.99


def test_equal_stacks_of_which_one_lies_better_are_not_called_different_the_more_often_the_more_rounds_there_are():
    rng = np.random.default_rng(20261208)
    cases, lasting = 1500, 0.006
    every = [rounds_of(rng, 64, lasting * rng.normal()) for _ in range(cases)]
    called, blind = (
        sum(paired.judge({"x": rounds}, allowed)["x"].p <= paired.ERROR for rounds in every)
        for allowed in (lasting, 0.0)
    )
    assert stats.binomtest(called, cases, paired.ERROR, alternative="greater").pvalue > 0.01
    assert blind > 3 * paired.ERROR * cases


def test_more_rounds_do_not_average_out_what_lasts():
    rng = np.random.default_rng(20261209)
    few = paired.estimate(rounds_of(rng, 16), lasting=0.01)
    assert math.log(few.smallest_visible(1_000_000)) == pytest.approx(0.01 * (few._t(0.999) + few._t(0.8)), rel=0.01)
    assert few.smallest_visible(64) > paired.estimate(rounds_of(rng, 64)).smallest_visible()


@pytest.mark.parametrize("noise", ["independent", "autocorrelated", "drifting"])
def test_of_many_that_are_called_few_are_false(noise):
    rng = np.random.default_rng(20261130)
    false = called = 0
    for _ in range(60):
        found = paired.judge({i: rounds_of(rng, 16, 0.06 if i < 5 else 0.0, noise) for i in range(25)})
        names = paired.discoveries({key: j.p for key, j in found.items()})
        called += len(names)
        false += sum(key >= 5 for key in names)
    assert called > 100
    assert false <= paired.DISCOVERIES * called


def test_a_twentieth_is_found_in_four_of_five_cases_after_sixteen_rounds():
    rng = np.random.default_rng(20261201)
    found = [paired.judge({"x": rounds_of(rng, 16, math.log(1.05))})["x"].p <= paired.ERROR for _ in range(300)]
    assert np.mean(found) > 0.8


def test_the_smallest_visible_difference_is_found_in_four_of_five_cases():
    rng = np.random.default_rng(20261202)
    known = [paired.estimate(rounds_of(rng, 16)) for _ in range(200)]
    visible = float(np.median([e.smallest_visible() for e in known]))
    found = 0
    for _ in range(1000):
        e = paired.estimate(rounds_of(rng, 16, math.log(visible)))
        found += e.p <= paired.ERROR * paired.share(16)
    assert 0.75 <= found / 1000 <= 0.87


@pytest.mark.parametrize("freedom", [2.0, 6.0, 30.0])
def test_how_variances_vary_is_learnt_from_those_of_relatives(freedom):
    rng = np.random.default_rng(20261203)
    true = 4e-4 * freedom / rng.chisquare(freedom, size=4000)
    seen = true * rng.chisquare(7, size=4000) / 7
    known = paired.prior(list(seen), [7] * 4000)
    assert known.freedom == pytest.approx(freedom, rel=0.25)
    assert known.variance == pytest.approx(4e-4, rel=0.15)


def test_equal_variances_say_as_much_of_one_as_all_of_them_know():
    known = paired.prior([4e-4] * 10, [7] * 10)
    assert known.freedom == 70
    two = [Round(0.01, 1), Round(-0.01, -1)]
    variance = (70 * known.variance + 2e-4) / 71
    assert paired.estimate(two, known).error == pytest.approx(math.sqrt(variance / 2))


@pytest.mark.parametrize("rounds", [2, 3, 4])
def test_few_rounds_make_no_more_false_alarms(rounds):
    rng = np.random.default_rng(20261210)
    p = []
    for _ in range(200):
        spreads = 0.02 * np.exp(0.5 * rng.normal(size=14))
        found = paired.judge({i: rounds_of(rng, rounds, spread=s) for i, s in enumerate(spreads)})
        called = paired.discoveries({key: j.p for key, j in found.items()})
        p += [key in called for key in range(14)]
    assert stats.binomtest(sum(p), len(p), paired.ERROR, alternative="greater").pvalue > 0.01


@pytest.mark.parametrize("noise", ["independent", "drifting", "drifting far", "heavy-tailed"])
@pytest.mark.parametrize(("releases", "rounds"), [(24, 2), (24, 3), (24, 5), (4, 2), (4, 3)])
def test_a_history_of_equal_releases_has_a_step_in_one_of_a_hundred_at_most(releases, rounds, noise):
    rng = np.random.default_rng(20261211)
    p = []
    for _ in range(2400 // releases):
        rounds_between = history_of(rng, releases, rounds, noise)
        known = known_of(rounds_between, releases, 0, 1)
        steps = {i: rounds_between(i, i + 1) for i in range(releases - 1)}
        p += [j.p for j in paired.judge(steps, known=dict.fromkeys(steps, known)).values()]
    called = sum(value <= paired.ERROR for value in p)
    # For neighbours a machine that drifts far is nearly the same, if they all run one after the other. (Four releases
    # do not tell how rounds vary well enough.)
    most = paired.ERROR / 10 if (releases, noise) == (24, "drifting far") else paired.ERROR
    assert stats.binomtest(called, len(p), most, alternative="greater").pvalue > 0.01


@pytest.mark.parametrize("noise", ["independent", "drifting", "heavy-tailed"])
@pytest.mark.parametrize("old", [0, 12, 20])
def test_three_rounds_of_a_history_cover_what_the_newest_release_takes_over_an_older_one(old, noise):
    rng = np.random.default_rng(20261213)
    covered, cases = 0, 500
    for _ in range(cases):
        rounds_between = history_of(rng, 24, 3, noise)
        low, high = paired.estimate(rounds_between(old, 23), known_of(rounds_between, 24, old, 23)).interval()
        covered += low <= 1 <= high
    assert 0.93 <= covered / cases <= 0.99


def test_three_rounds_of_a_history_show_a_step_that_those_of_two_releases_do_not():
    rng = np.random.default_rng(20261212)
    found = alone = 0
    for _ in range(100):
        rounds_between = history_of(rng, 24, 3, spread=0.05, step=math.log(1.3))
        step, known = {"x": rounds_between(11, 12)}, known_of(rounds_between, 24, 11, 12)
        found += paired.judge(step, known={"x": known})["x"].p <= paired.ERROR
        alone += paired.judge(step)["x"].p <= paired.ERROR
    assert found >= 90
    assert alone <= 50


def test_releases_as_far_apart_are_half_to_twice_as_far():
    assert list(as_far_apart("abcd", 1)) == [("a", "b"), ("b", "c"), ("c", "d"), ("a", "c"), ("b", "d")]
    assert list(as_far_apart("abcd", 3)) == [("a", "c"), ("b", "d"), ("a", "d")]


def test_the_widest_difference_of_two_rounds_is_a_number():
    assert math.isfinite(paired.estimate([Round(0.0, 1), Round(4.6, -1)]).smallest_visible())


def test_a_speed_that_cannot_be_told_from_the_order_does_not_move_the_mean():
    for off in (0.0, 1e-9):
        rounds = [Round(0.1, order, 0.5 + 0.5 * order + off * i) for i, order in enumerate([1, -1] * 4)]
        assert paired.estimate(rounds).mean == pytest.approx(0.1)


def test_few_relatives_say_nothing():
    assert paired.prior([1e-4, 2e-4], [7, 7]).freedom == 0
    assert paired.estimate([Round(0.1, 1)]) is None
    assert paired.estimate([]) is None


def test_what_never_differs_says_nothing_of_how_others_vary_and_they_nothing_of_it():
    differ = [[Round(d, 1), Round(-d, -1)] for d in (0.01, 0.02, 0.03, 0.04)]
    same = [Round(0.0, 1), Round(0.0, -1)]
    assert paired.varying([*differ, *[same] * 20]) == paired.varying(differ)
    assert paired.estimate(same, paired.varying(differ)).interval() == (1, 1)
    assert paired.estimate(same[:1], paired.varying(differ)) is None


def test_that_two_seeds_agree_is_not_called_because_all_other_releases_draw_the_same():
    rng = np.random.default_rng(20261130)
    cases = 1500
    called = 0
    for _ in range(cases):
        same = {f"same {i}": [Round(0.0, 1), Round(0.0, -1)] for i in range(17)}
        judged = paired.judge({**same, "other": rounds_of(rng, 2, 0.0)})
        called += bool(paired.discoveries({which: j.p for which, j in judged.items()}))
    assert called / cases <= 0.005


def test_one_round_says_something_where_relatives_do():
    e = paired.estimate([Round(0.2, 1)], Prior(4e-4, 20.0))
    assert (e.rounds, e.mean, e.freedom) == (1, 0.2, 20.0)
    assert e.p < 1e-6


@pytest.mark.parametrize("freedom", [0.01, 0.16, 0.99])
def test_of_less_than_one_round_more_nothing_is_said(freedom):
    assert paired.estimate([Round(-0.2, 1)], Prior(4.6e-10, freedom)) is None


@pytest.mark.parametrize("freedom", [1.0, 1.2, 3.0])
@pytest.mark.parametrize("variance", [1e-12, 1.0, 1e6])
def test_what_is_said_ends_at_numbers(freedom, variance):
    low, high = paired.estimate([Round(-0.2, 1)], Prior(variance, freedom)).interval()
    assert 0 < low <= high < math.inf


def test_the_shares_of_all_looks_are_the_whole_error():
    assert sum(paired.LOOKS.values()) + paired.LAST_LOOK == pytest.approx(1.0)


def test_what_was_called_at_an_early_look_stays_called():
    rng = np.random.default_rng(20261204)
    early = [*rounds_of(rng, 8, 0.2), *rounds_of(rng, 24, -0.2)]
    assert paired.judge({"x": early})["x"].p <= paired.judge({"x": early[:8]})["x"].p


def test_looking_between_the_looks_does_not_count_the_looks_that_are_to_come():
    rng = np.random.default_rng(20261205)
    d = rounds_of(rng, 12, 0.05)
    now, at_8 = (paired.estimate(part).p / paired.share(len(part)) for part in (d, d[:8]))
    assert paired.judge({"x": d})["x"].p == pytest.approx(min(1.0, now, at_8))


def test_the_trigamma_function_is_inverted():
    for value in (1e-3, 0.1, 1.0, 20.0, 1e4):
        assert float(special.polygamma(1, paired._inverse_trigamma(value))) == pytest.approx(value)


def test_discoveries_need_more_the_more_is_compared():
    assert paired.discoveries({"a": 0.009}) == {"a"}
    assert paired.discoveries({"a": 0.02}) == set()
    assert paired.discoveries({"a": 0.009, **dict.fromkeys(range(20), 0.9)}) == set()
    assert paired.discoveries({}) == set()


def test_draws_that_never_differ_say_that_nothing_does():
    e = paired.estimate([Round(0.0, 1), Round(0.0, -1)] * 4)
    assert (e.ratio, e.p, e.interval()) == (1.0, 1.0, (1.0, 1.0))


def test_who_runs_first_makes_no_difference():
    slot = [Round(0.03 + 0.2 * order, order) for order in (1, -1, -1, 1, -1, 1, 1, -1)]
    e = paired.estimate(slot)
    assert e.mean == pytest.approx(0.03)
    assert e.error == pytest.approx(0.0, abs=1e-12)
    assert e.freedom == 6


def test_what_the_control_workload_has_seen_is_no_noise():
    speeds = [0.05, -0.02, 0.01, -0.04, 0.03, 0.0, -0.01, 0.02]
    e = paired.estimate([Round(0.03 + 0.8 * s, (-1) ** i, s) for i, s in enumerate(speeds)])
    assert e.mean == pytest.approx(0.03)
    assert e.error == pytest.approx(0.0, abs=1e-12)
    assert e.freedom == 5


def test_a_machine_whose_speed_followed_the_order_is_no_riddle():
    rounds = [
        Round(0.03 + 0.01 * order + noise, order, 0.02 * order)
        for order, noise in zip([1, -1] * 4, [1e-3, -1e-3, -1e-3, 1e-3] * 2, strict=True)
    ]
    e = paired.estimate(rounds)
    assert e.mean == pytest.approx(0.03)
    assert e.freedom == 6
    assert 0 < e.error < 1e-3


def test_a_control_workload_that_sees_most_of_the_noise_makes_intervals_shorter():
    rng = np.random.default_rng(20261206)
    every = [rounds_of(rng, 16, noise="seen by the control workload") for _ in range(200)]
    blind = [[r._replace(speed=0.0) for r in rounds] for rounds in every]
    ratio = np.mean([paired.estimate(r).error for r in every]) / np.mean([paired.estimate(r).error for r in blind])
    assert ratio < 0.75


def test_rounds_of_one_order_only_are_taken_as_they_are():
    e = paired.estimate([Round(0.1, 1), Round(0.3, 1), Round(0.2, 1)])
    assert (e.mean, e.freedom) == (pytest.approx(0.2), 2)
