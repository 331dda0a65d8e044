"""The winner is named when it is one, and not when noise may have made it; advice is judged by the same rule."""

from __future__ import annotations

import functools
import re
from dataclasses import replace

import numpy as np
import pytest

from harness.judging import answers, efficiency, guidance, summary
from harness.judging.answers import answer, seconds, time
from harness.judging.noise import Noise
from harness.judging.paired import NOTHING
from harness.results.parts import Control
from harness.results.store import MachineResults
from harness.stacks.locks import load_stacks
from tests import made_records
from tests.made_records import document, measured, read

NOISE = Noise(speed=0.05, trials=50, effective_draws=0.15, seeds=400)
# Every machine's results know all stacks: they are read once.
stacks = functools.cache(load_stacks)
BACKENDS = ("default", "pymc-c", "pymc-numba", "nutpie-numba", "nutpie-jax", "numpyro-parallel", "blackjax")


def measurement(
    tag, model, n, backend, setup=1.0, sampling=1.0, tuning=0.0, finish=0.0, effective=1000.0, draws=None, **changes
):
    """A measurement in which 1000 effective draws take `1000 * sampling / effective` seconds of drawing."""
    changes = {"reason": "why", "settings": {"model": model, "n": n, "backend": backend, "seed": 1}, **changes}
    seconds = {"tuning": tuning, "drawing": sampling, "finish": finish}
    cold = document("cold", effective=None, clocks={"setup": 3 * setup, **seconds}, **changes)
    warm = document("warm", effective=effective, clocks={"setup": setup, **seconds}, draws_sha256=draws, **changes)
    return measured(tag, cold, warm)


@pytest.fixture(autouse=True)
def given_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine varies by is what a test gives to `content`, if it does."""
    real = answers.noise_of
    monkeypatch.setattr(answers, "noise_of", lambda machine: machine.__dict__.get("noise") or real(machine))


def content(*measurements, noise=NOISE, table=None) -> MachineResults:
    cells: dict = {}
    for m in measurements:
        cells.setdefault(m.tag, {})[m.model, m.n, m.backend] = m
    found = MachineResults("box", stacks(), BACKENDS, cells, (), table or {"releases": {}}, measurements)
    found.__dict__["noise"] = noise
    return found


def ppca(backend, tag="v6.4.0", n=500, **numbers):
    return measurement(tag, "ppca", n, backend, **numbers)


def test_who_wants_many_draws_is_told_of_another_backend_than_who_wants_few():
    """One starts at once and draws slowly, the other compiles long (three times as long with cold caches)."""
    both = content(ppca("pymc-c", setup=1.0, sampling=40.0), ppca("nutpie-numba", setup=60.0, sampling=1.0))
    told = {(c.draws, c.cold): answer(both, "ppca", 500, "v6.4.0", c) for c in answers.CASES}
    assert set(told) == {(draws, cold) for draws in (100, 1000, 10_000) for cold in (False, True)}
    fastest = {key: [t.backend for t in found.winners] for key, found in told.items()}
    assert fastest[100, False] == fastest[100, True] == ["pymc-c"]
    assert fastest[10_000, False] == fastest[10_000, True] == ["nutpie-numba"]
    assert told[100, False].times[0].seconds == pytest.approx(1.0 + 4.0)
    assert told[10_000, True].times[0].seconds == pytest.approx(180.0 + 10.0)
    assert told[100, False].waiting == "5 s"


def test_the_time_is_warm_setup_tuning_once_drawing_at_its_rate_and_what_follows():
    m = ppca("pymc-c", setup=2.0, tuning=1.0, sampling=3.0, finish=0.5, effective=500.0)
    (time,) = answer(content(m), "ppca", 500).times
    parts = (time.setup_seconds, time.tuning_seconds, time.drawing_seconds, time.finish_seconds)
    assert parts == pytest.approx((2.0, 1.0, 6.0, 0.5))
    assert (time.seconds, time.cold_setup_seconds, time.cold_seconds) == pytest.approx((9.5, 6.0, 13.5))
    # Of one trial, it is what the trial itself says.
    assert time.seconds == pytest.approx(m.records[1].time_to_answer_seconds)


def trials_of(*effective, lock="lock"):
    """Trials of one work, each with a seed of its own, on whatever machine."""
    return [read(document(seed=seed, effective=e, lock_sha256=lock)) for seed, e in enumerate(effective, start=1)]


def test_effective_draws_are_those_of_all_seeds_on_all_machines():
    known = efficiency.pooled([*trials_of(250.0, 1000.0), *trials_of(250.0), *trials_of(9.0, lock="another stack")])
    found = time(ppca("pymc-c", sampling=3.0, effective=250.0, settings=made_records.SETTINGS), NOISE, known)
    assert (found.efficiency.effective_draws, found.efficiency.seeds) == (pytest.approx(500), 2)
    assert found.drawing_seconds == pytest.approx(6.0)
    assert found.efficiency.gradients == 8000 / 1250
    assert found.efficiency_error == pytest.approx(0.15 / 2**0.5)


def test_a_sampler_that_tells_nothing_of_tuning_has_no_time_and_is_listed_with_the_reason():
    told = {"tuning": "the sampler does not tell how much of its work was tuning"}
    trial = document(
        clocks={"tuning": None, "drawing": None, "sampling": 2.0},
        settings={**made_records.SETTINGS, "seed": 2},
        unknown=told,
    )
    m = measured("v6.4.0", document("cold", settings={**made_records.SETTINGS, "seed": 1}), trial)
    found = answer(content(m, ppca("nutpie-numba")), "ppca", 500)
    assert [t.backend for t in found.times] == ["nutpie-numba"]
    assert [w.backend for w in found.without] == ["pymc-c"]
    assert found.without[0].untold == f"tuning: {told['tuning']}"


def test_a_cold_trial_alone_gives_no_time():
    m = ppca("pymc-c")
    assert time(replace(m, records=m.records[:1]), NOISE, {}) is None


def test_divergences_are_told_beside_the_answer():
    m = ppca("pymc-c", warnings=["12 of 4000 draws diverged"])
    assert answer(content(m, ppca("nutpie-numba")), "ppca", 500).warnings == [("pymc-c", "12 of 4000 draws diverged")]


def test_divergences_of_a_trial_that_drew_too_little_to_be_judged_are_not_told():
    cold = document("cold", 0, effective=None, warnings=["10 of 40 draws diverged"])
    assert measured("v6.4.0", cold, document()).warnings == []


def test_the_luck_of_the_same_draws_is_the_same():
    one, other = (ppca(b, sampling=9.0, draws="a") for b in ("pymc-c", "nutpie-numba"))
    luckier = ppca("nutpie-numba", sampling=9.0, draws="b")
    same, apart = (
        time(one, NOISE, {}).slower_than(time(rival, NOISE, {}))[2] for rival in (other, luckier)
    )  # fmt: skip
    assert same == pytest.approx(np.exp(3.54 * 0.05 * 2**0.5), rel=1e-3)
    assert apart > 1.5 * same


def beside(*backends: float, rounds: int, rng, mood=0.3, own=0.05):
    """The times of backends that take so long, in rounds in which the machine is in this mood or in that."""
    moods = rng.normal(scale=mood, size=rounds)
    found = []
    for number, typical in enumerate(backends):
        taken = typical * np.exp(moods + rng.normal(scale=own, size=rounds))
        (blank,) = answer(content(ppca("pymc-c")), "ppca", 500).times
        named = replace(blank, measurement=replace(blank.measurement, backend=f"b{number}"))
        of_rounds = {("a", r): float(s) for r, s in enumerate(taken)}
        found.append(replace(named, setup_seconds=float(np.median(taken)), drawing_seconds=0.0, rounds=of_rounds))
    return answers._side_by_side(found)


def test_what_two_backends_took_in_the_same_rounds_does_not_depend_on_the_machines_mood():
    fast, slow = beside(10.0, 13.0, rounds=5, rng=np.random.default_rng(1))
    ratio, low, high = slow.slower_than(fast)
    assert 1.1 < low < ratio < high < 1.6
    apart = replace(slow, rounds={("another day", r): s for (_, r), s in slow.rounds.items()})
    assert apart.slower_than(fast)[1] < 1, "seconds of different days say less"


def lacking(times, rng):
    """The times without two of five trials."""
    left = [{r: s for r, s in t.rounds.items() if rng.random() > 0.4} for t in times]
    return answers._side_by_side([replace(t, rounds=of, speed_error=0.3) for t, of in zip(times, left, strict=True)])


def disturbed(times, rng):
    """The times with half of the trials contaminated: the machine changed speed during them."""
    also = [{r: s * np.exp(0.2 * rng.normal() * (rng.random() < 0.5)) for r, s in t.rounds.items()} for t in times]
    found = [
        replace(t, rounds=of, setup_seconds=float(np.median([*of.values()]))) for t, of in zip(times, also, strict=True)
    ]
    return answers._side_by_side(found)


@pytest.mark.parametrize("what_happens", [lambda times, rng: times, lacking, disturbed])
@pytest.mark.parametrize("rounds", [2, 3, 5, 8])
def test_of_ten_equal_backends_one_is_called_slower_in_one_of_twenty_cases_at_most(rounds, what_happens):
    rng, cases, called = np.random.default_rng(20261128), 200, 0
    for _ in range(cases):
        times = what_happens(beside(*[10.0] * 10, rounds=rounds, rng=rng), rng)
        times = sorted(times, key=lambda t: t.seconds)
        called += any(t.clearly_slower_than(times[0]) for t in times[1:])
    assert called <= 0.05 * cases + 2.6 * (0.05 * 0.95 * cases) ** 0.5


@pytest.mark.parametrize(("rounds", "slower"), [(2, 1.6), (3, 1.5), (5, 1.25), (8, 1.15)])
def test_a_backend_that_is_slower_is_called_so_in_four_of_five_cases(rounds, slower):
    rng, cases = np.random.default_rng(20261129), 100
    called = 0
    for _ in range(cases):
        *equal, last = beside(*[10.0] * 9, 10.0 * slower, rounds=rounds, rng=rng)
        called += bool(last.clearly_slower_than(min(equal, key=lambda t: t.seconds)))
    assert called >= 0.8 * cases


def test_a_single_round_tells_where_the_others_say_how_rounds_vary():
    rng = np.random.default_rng(20261130)
    *equal, slow = beside(*[10.0] * 9, 20.0, rounds=4, rng=rng)
    once = replace(slow, rounds=dict([*slow.rounds.items()][:1]), speed_error=0.3)
    times = answers._side_by_side([*equal, once])
    assert times[-1].clearly_slower_than(times[0])
    assert not replace(times[-1], known=NOTHING).clearly_slower_than(replace(times[0], known=NOTHING))


def test_one_round_of_all_says_nothing_of_how_rounds_vary():
    times = beside(*[10.0] * 9, 20.0, rounds=1, rng=np.random.default_rng(20261130))
    assert {t.known.freedom for t in times} == {0}


def test_the_interval_that_is_shown_is_the_one_that_decides():
    for slower in np.linspace(1, 4, 40):
        pair = [time(ppca(b, sampling=s), NOISE, {}) for b, s in (("pymc-c", 10 * slower), ("nutpie-numba", 10.0))]
        assert pair[0].clearly_slower_than(pair[1]) == (pair[0].slower_than(pair[1])[1] > 1)


RESOLVED = {
    "sampler": "nutpie", "linker": "numba", "gradient_backend": "pytensor", "step_methods": [], "chains": 4,
    "draws": 1000, "tune": 400, "default_linker": "NumbaLinker", "fast_run_linker": "NumbaLinker",
}  # fmt: skip


def test_a_backend_that_was_measured_again_by_itself_is_still_held_against_the_others():
    """Its history is a sitting of its own, of another day: what was known of both does not get less certain."""
    both = [side(b, setup, "a") for b, setup in (("pymc-c", 9.0), ("nutpie-numba", 3.0))]
    again = side("nutpie-numba", 12.0, "b")
    before, after = (answer(content(*ms), "ppca", 500) for ms in (both, [*both, again]))
    assert [t.backend for t in after.winners] == [t.backend for t in before.winners] == ["nutpie-numba"]
    assert after.sentence == before.sentence


def test_the_summary_tells_the_seconds_that_the_site_tells(monkeypatch):
    both = [side(b, setup, "a") for b, setup in (("pymc-c", 9.0), ("nutpie-numba", 3.0))]
    known = content(*both, side("nutpie-numba", 12.0, "b"))
    shown = []
    monkeypatch.setattr(summary.store, "load", lambda _: [known])
    monkeypatch.setattr(summary, "print_summary", lambda _, measurements, *rest: shown.extend(measurements))
    summary.summarise("box", ["v6.4.0"])
    assert {m.backend: m for m in shown} == {t.backend: t.measurement for t in answer(known, "ppca", 500).times}


def test_a_backend_that_fails_now_has_no_time_of_another_day():
    both = [side(b, 3.0, "a") for b in ("pymc-c", "nutpie-numba")]
    found = answer(content(*both, ppca("nutpie-numba", outcome="failed")), "ppca", 500)
    assert [t.backend for t in found.times] == ["pymc-c"]
    assert [m.backend for m in found.without] == ["nutpie-numba"]


def side(backend, setup, block):
    (m,) = made_records.side_by_side({"v6.4.0": {"clocks": {"setup": setup}}}, cell=("ppca", 500, backend), block=block)
    return m


def test_what_the_release_picks_and_the_same_backend_by_its_own_name_are_one_winner():
    same = {"draws": "a", "resolved": RESOLVED}
    known = content(ppca("default", **same), ppca("nutpie-numba", **same), ppca("pymc-c", sampling=30.0))
    found = answer(known, "ppca", 500)
    assert [t.backend for t in found.winners] == ["default", "nutpie-numba"]
    assert found.told
    assert found.sentence.startswith("default (the same as nutpie-numba) is fastest, 2 s: pymc-c, the next, took ")
    assert found.experiment is None


def test_the_same_draws_by_other_means_are_two_samplers():
    known = content(*(ppca(b, draws="a", resolved=RESOLVED | {"linker": b[5:]}) for b in ("pymc-c", "pymc-numba")))
    assert not answer(known, "ppca", 500).told


def test_what_cannot_be_told_says_how_many_rounds_would_tell():
    rng = np.random.default_rng(20261129)
    pair = beside(10.0, 10.5, rounds=4, rng=rng)
    found = answers.Answer("ppca", 500, "v6.4.0", tuple(sorted(pair, key=lambda t: t.seconds)), ())
    assert not found.told
    rounds = int(found.experiment.split()[-2])
    assert 4 < rounds <= 40
    assert found.experiment == (
        f"About {rounds} rounds side by side would tell: bench run v6.4.0 --model ppca --n 500 --warm {rounds} --again"
    )
    alike = replace(found, times=(pair[0], replace(pair[0], measurement=replace(pair[0].measurement, backend="b9"))))
    assert alike.experiment == "They are too alike for 40 rounds to tell"


def test_of_winners_that_cannot_be_told_apart_it_is_said_that_one_is_fastest_and_by_how_much_at_least():
    *equal, slow = sorted(
        beside(10.0, 10.1, 20.0, rounds=5, rng=np.random.default_rng(20261130)), key=lambda t: t.seconds
    )
    found = answers.Answer("ppca", 500, "v6.4.0", (*equal, slow), ())
    one, other = (t.backend for t in equal)
    assert re.fullmatch(
        rf"{one} or {other} is fastest, \S+ s to \S+ s, and it cannot be told which; "
        r"the others took \S+ times \(\S+ to \S+\) as long or more\.",
        found.sentence,
    )


def test_how_many_rounds_are_needed_is_told_by_the_names_of_a_sampler_that_were_in_most():
    """Of one round that came out alike nobody would learn how many it takes."""
    fast, slow = beside(10.0, 10.5, rounds=4, rng=np.random.default_rng(20261129))
    sampler = {"draws": "a", "resolved": RESOLVED}
    often = replace(slow, measurement=ppca("nutpie-numba", **sampler))
    at_once = {r: fast.rounds[r] for r in [*fast.rounds][:1]}
    once = replace(often, measurement=ppca("default", **sampler), rounds=at_once)
    alone, both = (answers.Answer("ppca", 500, "v6.4.0", (fast, *of), ()) for of in ([often], [once, often]))
    assert both.experiment == alone.experiment
    assert "rounds side by side would tell" in alone.experiment


def test_a_clear_winner_is_named_with_its_lead_and_an_interval():
    found = answer(content(ppca("pymc-c", sampling=30.0), ppca("nutpie-numba", sampling=4.0)), "ppca", 500)
    assert [t.backend for t in found.winners] == ["nutpie-numba"]
    assert found.sentence.startswith("nutpie-numba is fastest, 5 s: pymc-c, the next, took 6.2 times (")


def test_what_noise_explains_is_said_not_to_be_known():
    found = answer(content(ppca("pymc-c", sampling=4.2), ppca("nutpie-numba", sampling=4.0)), "ppca", 500)
    assert "It cannot be told which of nutpie-numba or pymc-c is fastest (5 s to 5.2 s)" in found.sentence


def test_of_ten_that_are_the_same_one_is_called_slower_in_about_one_case_of_twenty_and_none_the_winner():
    rng = np.random.default_rng(3)
    slower = named = 0
    for _ in range(600):
        same = [
            ppca(b, setup=0.01, sampling=10 * rng.lognormal(0, 0.05), effective=1000 * rng.lognormal(0, 0.15))
            for b in (*BACKENDS, "pymc-jax", "nutpie-jax-pytensor", "numpyro-vectorized")
        ]
        winners = len(answer(content(*same), "ppca", 500).winners)
        slower += winners < 10
        named += winners == 1
    assert slower < 0.08 * 600
    assert named == 0


def test_the_noise_of_a_samplers_own_effective_draws_is_used_where_it_is_known():
    steady = Noise(0.05, 50, 0.15, 400, of_sampler={("ppca", 500, b): 0.02 for b in ("pymc-c", "nutpie-numba")})
    pair = [ppca("pymc-c", sampling=5.6), ppca("nutpie-numba", sampling=4.0)]
    assert len(answer(content(*pair), "ppca", 500).winners) == 2
    assert len(answer(content(*pair, noise=steady), "ppca", 500).winners) == 1


def test_a_newer_release_in_which_all_failed_is_named():
    found = answer(content(ppca("pymc-c", tag="v6.3.2"), ppca("pymc-c", outcome="failed")), "ppca", 500)
    assert found.newer == ("v6.4.0",)


def test_without_a_second_seed_the_least_time_is_told_and_that_it_may_be_chance():
    unknown = Noise(0.05, 50, None, 0)
    found = answer(content(ppca("pymc-c", sampling=9.0), ppca("nutpie-numba"), noise=unknown), "ppca", 500)
    assert "cannot be told: no second seed" in found.sentence


def test_failures_are_no_winners_and_are_listed():
    found = answer(content(ppca("pymc-c"), ppca("blackjax", outcome="failed")), "ppca", 500)
    assert found.sentence.startswith("pymc-c is the only backend that gave a valid answer")
    assert [m.backend for m in found.without] == ["blackjax"]
    assert answer(content(ppca("blackjax", outcome="failed")), "ppca", 500) is None
    assert answer(content(ppca("blackjax", outcome="failed")), "ppca", 500, "v6.4.0").sentence.startswith("No backend")


def test_the_newest_release_that_has_an_answer_is_told():
    found = answer(content(ppca("pymc-c", tag="v6.3.2"), ppca("pymc-c", outcome="failed")), "ppca", 500)
    assert found.tag == "v6.3.2"


def test_a_newer_release_of_which_only_cold_trials_are_known_does_not_hide_the_answer():
    cold = ppca("pymc-c")
    both = content(ppca("pymc-c", tag="v6.3.2"), replace(cold, records=cold.of_kind("cold")))
    found = answer(both, "ppca", 500)
    assert (found.tag, found.newer) == ("v6.3.2", ())
    assert found.sentence.startswith("pymc-c is the only backend")


def test_the_machine_changed_speed_where_it_did_in_all_warm_trials():
    measured = ppca("pymc-c")
    drifted = Control(drift=2.0, contaminated=True)
    warm = [r.model_copy(update={"control": drifted}) for r in measured.of_kind("warm")]
    mixed = replace(measured, records=(*measured.of_kind("cold"), *warm))
    assert answer(content(mixed), "ppca", 500).contaminated == ["pymc-c"]
    assert answer(content(measured), "ppca", 500).contaminated == []


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234 s"), (12.345, "12.3 s"), (0.01234, "0.0123 s")])
def test_seconds_have_three_digits(value, text):
    assert seconds(value) == text


# Advice


def judged(content, name):
    return next(j for j in guidance.judge(content) if j.name == name)


def test_numpyro_for_small_models_holds_where_it_alone_is_the_fastest():
    found = judged(content(ppca("numpyro-parallel"), ppca("pymc-c", sampling=40.0)), "small")
    assert (found.verdict, found.since, found.oldest) == (guidance.HOLDS, "v6.4.0", True)
    assert "ppca n=500: numpyro-parallel is first with 2 s" in found.evidence


def test_an_advice_that_noise_may_have_made_cannot_be_told():
    found = judged(content(ppca("numpyro-parallel", sampling=4.0), ppca("pymc-c", sampling=4.2)), "small")
    assert found.verdict == guidance.CANNOT_TELL


def test_numpyro_for_small_models_fails_where_it_is_clearly_beaten():
    assert judged(content(ppca("numpyro-parallel", sampling=40.0), ppca("pymc-c")), "small").verdict == guidance.FAILS


def test_what_was_not_measured_is_said_not_to_be():
    found = content(*(ppca(b, tag) for b in ("numpyro-parallel", "pymc-c") for tag in ("v6.3.2", "v6.4.0")))
    assert (judged(found, "large").verdict, judged(found, "large").tag) == (guidance.UNMEASURED, "v6.4.0")
    very_large = judged(found, "very-large")
    assert very_large.verdict == guidance.UNMEASURED
    assert "the largest model that was has 500" in very_large.evidence


def test_a_verdict_is_told_with_the_release_since_which_it_is_so():
    def both(tag, slow):
        return [ppca("nutpie-numba", tag, n=5000, sampling=slow), ppca("pymc-c", tag, n=5000, sampling=40.0)]

    found = judged(content(*both("v6.1.0", 400.0), *both("v6.3.2", 4.0), *both("v6.4.0", 4.0)), "large")
    assert (found.verdict, found.since, found.oldest) == (guidance.HOLDS, "v6.3.2", False)


def test_a_release_of_which_little_was_measured_takes_no_verdict_back():
    old = [ppca("numpyro-parallel", "v6.3.2"), ppca("pymc-c", "v6.3.2", sampling=40.0)]
    found = judged(content(*old, measurement("v6.4.0", "eight_schools", 8, "pymc-c")), "small")
    assert (found.verdict, found.tag) == (guidance.HOLDS, "v6.3.2")


def test_a_newer_release_that_does_not_tell_is_not_passed_over():
    old = [ppca("numpyro-parallel", "v6.3.2"), ppca("pymc-c", "v6.3.2", sampling=40.0)]
    found = judged(content(*old, ppca("numpyro-parallel", sampling=4.0), ppca("pymc-c", sampling=4.2)), "small")
    assert (found.verdict, found.tag) == (guidance.CANNOT_TELL, "v6.4.0")
    assert "ppca n=500: About 5 rounds side by side would tell: bench run v6.4.0 --model ppca" in found.evidence


def test_an_advice_that_holds_for_one_model_and_not_for_another_depends_on_the_model():
    first = [ppca("nutpie-numba", n=5000), ppca("pymc-c", n=5000, sampling=40.0)]
    other = [measurement("v6.4.0", "radon", 9190, b, sampling=s) for b, s in (("nutpie-numba", 40.0), ("pymc-c", 4.0))]
    known = content(*first, *other)
    assert judged(known, "large").verdict == guidance.DEPENDS
    mixed = [ppca("pymc-c", sampling=40.0), ppca("pymc-numba")]
    mixed += [measurement("v6.4.0", "arma", 200, b, sampling=s) for b, s in (("pymc-c", 1.0), ("pymc-numba", 40.0))]
    assert judged(content(*mixed), "c").verdict == guidance.DEPENDS


def test_what_the_release_picks_does_not_spoil_the_advice_to_take_it():
    same = {"n": 5000, "draws": "a", "resolved": RESOLVED}
    known = content(ppca("default", **same), ppca("nutpie-numba", **same), ppca("pymc-c", n=5000, sampling=40.0))
    assert judged(known, "large").verdict == guidance.HOLDS


def test_numba_is_consistent_when_it_is_never_far_from_the_fastest():
    near = [ppca("nutpie-numba"), ppca("pymc-c"), ppca("nutpie-numba", n=5000), ppca("pymc-c", n=5000)]
    assert judged(content(*near), "numba").verdict == guidance.HOLDS
    assert judged(content(*near, ppca("nutpie-numba", tag="v6.3.2")), "numba").verdict == guidance.HOLDS
    unsure = [*near[:2], ppca("nutpie-numba", n=5000, sampling=2.9), near[3]]
    assert judged(content(*unsure), "numba").verdict == guidance.CANNOT_TELL
    far = [*near[:2], ppca("nutpie-numba", n=5000, sampling=50.0), near[3]]
    assert judged(content(*far), "numba").verdict == guidance.FAILS
    assert judged(content(*near[:2]), "numba").verdict == guidance.UNMEASURED


def test_where_numba_is_the_fastest_it_is_held_against_the_next_and_not_against_itself_by_another_name():
    same = {"draws": "a", "resolved": RESOLVED}
    names = [ppca(backend, n=n, **same) for n in (500, 5000) for backend in ("default", "nutpie-numba")]
    found = judged(content(*names, *(ppca("pymc-c", n=n, sampling=40.0) for n in (500, 5000))), "numba")
    assert found.verdict == guidance.HOLDS
    ratios = [float(r) for r in re.findall(r"([\d.]+) \(", found.evidence)]
    assert len(ratios) == 2
    assert all(r < 0.5 for r in ratios)
    assert judged(content(*names), "numba").verdict == guidance.UNMEASURED


@pytest.mark.parametrize(
    ("c", "numba", "verdict"),
    [(40.0, 4.0, guidance.HOLDS), (4.0, 40.0, guidance.FAILS), (4.0, 4.1, guidance.CANNOT_TELL)],
)
def test_c_is_slower_only_where_it_clearly_is(c, numba, verdict):
    found = judged(content(ppca("pymc-c", sampling=c), ppca("pymc-numba", sampling=numba)), "c")
    assert found.verdict == verdict


def release(sampler, linker, fast_run, **outcomes):
    cells = {
        name.replace("_", "-"): {"outcome": o, "reason": "the model has discrete ones"} for name, o in outcomes.items()
    }
    return {
        "default_sampler": sampler, "default_linker": linker, "fast_run_linker": fast_run,
        "models": {"discrete (n=100)": cells} if cells else {},
    }  # fmt: skip


def test_defaults_are_told_by_the_sweep_with_the_release_that_changed_them():
    table = {
        "releases": {
            "v5.28.5": release("pymc", "VMLinker", "VMLinker"),
            "v6.0.1": release("nutpie", "numba", "NumbaLinker"),
            "v6.4.0": release("nutpie", "numba", "NumbaLinker"),
        }
    }
    for name in ("fast-run", "default"):
        found = judged(content(table=table), name)
        assert (found.verdict, found.since) == (guidance.FAILS, "v6.0.1")
    assert "pm.sample() took nutpie" in judged(content(table=table), "default").evidence


def test_discrete_variables_belong_to_pymc_until_another_sampler_takes_them():
    own = release("pymc", None, None, pymc_c="ok", nutpie_numba="unsupported")
    assert judged(content(table={"releases": {"v6.4.0": own}}), "discrete").verdict == guidance.HOLDS
    other = release("pymc", None, None, pymc_c="ok", nutpie_numba="ok", blackjax="unsupported")
    assert judged(content(table={"releases": {"v6.4.0": other}}), "discrete").verdict == guidance.FAILS


def test_nothing_measured_is_nothing_told():
    assert {j.verdict for j in guidance.judge(content())} == {guidance.UNMEASURED}
