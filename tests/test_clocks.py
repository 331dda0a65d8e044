"""The clocks of a trial add up, mean the same for all backends, and do not depend on who of the workers was first."""

import random

import pytest

from harness.results import records
from sampling import clocks, phases
from sampling.clocks import Stretches, split
from sampling.spans import Interval, Span

MAIN = 100
#  import 0-10, model 10-11, call 11-61; draws from 21 to 51
TRIAL = Stretches(MAIN, Interval(0, 10), Interval(10, 11), Interval(11, 61), Interval(21, 51))


def span(name: str, start: float, end: float, pid: int = MAIN, cpu: float = 0.0) -> Span:
    return Span(name, pid, Interval(start, end), cpu)


def whole(found: clocks.Split) -> float:
    return sum(found.setup.values()) + found.sampling + sum(found.finish.values())


def only(seconds: dict) -> dict:
    return {name: s for name, s in seconds.items() if s}


def test_without_a_word_from_anybody_what_is_left_is_other():
    found = split(TRIAL, [], (100, 300))
    assert only(found.setup) == {"import": 10, "model": 1, "other": 10}
    assert only(found.finish) == {"other": 10}
    assert (found.sampling, found.tuning, found.drawing) == (30, 7.5, 22.5)
    assert whole(found) == 61


def test_each_phase_has_its_seconds():
    noted = [
        span("rewriting", 12, 14), span("compiling_numba", 14, 19), span("loading", 15, 16), span("import", 19, 20),
        span("collecting", 52, 58), span("checking", 54, 57),
    ]  # fmt: skip
    found = split(TRIAL, noted, (1, 1))
    assert only(found.setup) == {
        "import": 11, "model": 1, "rewriting": 2, "compiling_numba": 4, "loading": 1, "other": 2,
    }  # fmt: skip
    assert only(found.finish) == {"collecting": 3, "checking": 3, "other": 4}
    assert whole(found) == 61


def test_what_compiles_between_the_first_draw_and_the_last_is_setup():
    found = split(TRIAL, [span("compiling_xla", 21, 29), span("tracing_jax", 20, 21.5)], (1, 1))
    assert found.setup["compiling_xla"] == 8
    assert found.sampling == 22
    assert whole(found) == 61


def test_what_is_collected_before_the_drawing_function_returns_is_finish():
    noted = [span("collecting", 45, 50), span("compiling_xla", 46, 47)]
    found = split(TRIAL, noted, (1, 1))
    assert only(found.finish) == {"collecting": 4, "compiling_xla": 1, "other": 11}
    assert found.sampling == 24
    assert whole(found) == 61


def test_what_compiles_after_the_last_draw_is_finish():
    found = split(TRIAL, [span("transforming", 52, 60), span("compiling_xla", 53, 58)], (1, 1))
    assert only(found.finish) == {"transforming": 3, "compiling_xla": 5, "other": 2}
    assert "compiling_xla" not in only(found.setup)


@pytest.mark.parametrize("gradients", [(None, 300), (100, None), (None, None), (0, 0)])
def test_a_sampler_that_tells_nothing_of_tuning_has_no_tuning_time_and_a_reason(gradients):
    found = split(TRIAL, [], gradients)
    assert (found.tuning, found.drawing) == (None, None)
    assert found.sampling == 30
    assert "does not tell how much of its work was tuning" in found.unknown["tuning"]
    assert clocks.time_to_answer(found, 500.0) is None


def test_the_time_to_an_answer_counts_tuning_once_and_has_the_finish():
    found = split(TRIAL, [], (100, 300))
    assert clocks.time_to_answer(found, 500.0) == 21 + 7.5 + 22.5 * 2 + 10
    assert clocks.time_to_answer(found, 1000.0) == whole(found)
    assert clocks.time_to_answer(found, None) is None
    assert clocks.time_to_answer(found, 0.0) is None


def test_who_writes_a_record_and_who_reads_it_mean_the_same_effective_draws():
    assert clocks.EFFECTIVE_DRAWS == records.EFFECTIVE_DRAWS


def worker(pid: int, at: float, slow: float) -> list[Span]:
    """A worker that uses 1 s to start, 2 s to compile, 3 s to tune and 4 s to draw, beginning `at`; the clock of the
    wall runs `slow` times as long, since others use the processor meanwhile."""
    ends = [at + slow * cpu for cpu in (0, 1, 3.2, 6, 10)]
    marks = zip(
        (phases.WORKER_STARTS, phases.WORKER_FIRST_STEP, phases.WORKER_TUNES, phases.WORKER_DRAWS),
        ends[:-1], ends[1:], (1, 2.2, 2.8, 4), strict=True,
    )  # fmt: skip
    compiling = span("compiling_numba", ends[1], ends[1] + slow * 2, pid)
    return [*(span(name, start, end, pid, cpu) for name, start, end, cpu in marks), compiling]


def test_the_seconds_of_workers_are_shared_out_as_their_work_was():
    found = split(TRIAL, [s for pid in range(4) for s in worker(pid, 21, 3)], (None, None))
    assert found.setup["starting_workers"] == pytest.approx(3)
    assert found.setup["compiling_numba"] == pytest.approx(6)
    assert (found.tuning, found.drawing) == (pytest.approx(9), pytest.approx(12))
    assert whole(found) == pytest.approx(61)


def test_the_shares_do_not_depend_on_which_worker_was_first():
    """The same work, begun at other times and at other speeds, as two trials of one seed see it."""
    rng = random.Random(1)
    splits = [
        split(TRIAL, [s for pid in range(4) for s in worker(pid, 21 + 9 * rng.random(), 1 + 2 * rng.random())], (1, 1))
        for _ in range(20)
    ]
    for found in splits:
        assert found.tuning == pytest.approx(splits[0].tuning)
        assert sum(found.setup.values()) == pytest.approx(sum(splits[0].setup.values()))


def test_what_the_main_process_compiles_while_workers_run_is_no_workers_share():
    noted = [span("compiling_c", 21, 31), *worker(7, 31, 2)]
    found = split(TRIAL, noted, (None, None))
    assert found.setup["compiling_c"] == 10
    assert found.setup["starting_workers"] == pytest.approx(2)
    assert whole(found) == pytest.approx(61)


def test_a_worker_that_imports_is_starting():
    noted = [*worker(7, 21, 3), span("import", 21.5, 23.5, 7)]
    found = split(TRIAL, noted, (None, None))
    assert found.setup["starting_workers"] == pytest.approx(3)
    assert found.setup["import"] == 10


def test_whatever_is_noted_the_parts_are_the_whole():
    rng = random.Random(2)
    names = [*phases.COMPILING, *phases.AFTER_DRAWING, phases.IMPORT]
    for _ in range(300):
        noted = []
        for _ in range(rng.randrange(30)):
            start = rng.uniform(-5, 65)
            noted.append(span(rng.choice(names), start, start + rng.expovariate(0.2), rng.choice([MAIN, 7, 8])))
        noted += [s for pid in (7, 8)[: rng.randrange(3)] for s in worker(pid, rng.uniform(15, 40), rng.random() + 0.1)]
        found = split(TRIAL, noted, (rng.choice([None, 5]), 9))
        assert whole(found) == pytest.approx(61)
        assert set(found.setup) == set(phases.SETUP)
        assert set(found.finish) == set(phases.FINISH)
        assert all(s >= 0 for s in (*found.setup.values(), *found.finish.values(), found.sampling))
        if found.tuning is not None:
            assert found.tuning + found.drawing == pytest.approx(found.sampling)
