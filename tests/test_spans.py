"""What is done is noted once, where it is done, in whichever process; and every moment counts for one thing."""

import os
import subprocess
import sys
import threading

import pytest

from sampling import spans
from sampling.spans import Interval, Outermost, Span, exclusive_seconds


def span(name: str, start: float, end: float, pid: int = 1) -> Span:
    return Span(name, pid, Interval(start, end), 0.0)


@pytest.mark.parametrize(
    ("noted", "expected"),
    [
        ([], {"rest": 10.0}),
        ([span("a", 1, 2)], {"rest": 9.0, "a": 1.0}),
        ([span("a", 1, 2), span("a", 3, 4)], {"rest": 8.0, "a": 2.0}),
        ([span("a", 1, 3), span("a", 2, 4)], {"rest": 7.0, "a": 3.0}),
        ([span("a", 1, 4), span("b", 2, 3)], {"rest": 7.0, "a": 2.0, "b": 1.0}),
        ([span("b", 2, 3), span("a", 1, 4)], {"rest": 7.0, "a": 2.0, "b": 1.0}),
        ([span("a", 1, 4), span("b", 1, 2)], {"rest": 7.0, "a": 2.0, "b": 1.0}),
        ([span("a", 0, 4), span("b", 1, 3), span("c", 2, 6)], {"a": 1.0, "b": 1.0, "c": 4.0, "rest": 4.0}),
        ([span("a", -5, 1), span("b", 9, 20)], {"a": 1.0, "b": 1.0, "rest": 8.0}),
        ([span("a", 11, 20), span("b", -3, -1)], {"rest": 10.0}),
        ([span("a", -1, 11)], {"a": 10.0}),
    ],
)
def test_a_moment_counts_for_what_began_last_and_all_moments_for_the_whole(noted, expected):
    found = exclusive_seconds(noted, Interval(0, 10), "rest")
    assert found == pytest.approx(expected)
    assert sum(found.values()) == pytest.approx(10)


def test_a_listener_is_put_in_place_when_the_library_is_imported_and_not_before(tmp_path):
    (tmp_path / "somelib.py").write_text("print('somelib runs')\n")
    code = (
        "from sampling.spans import after_import\n"
        "after_import({'somelib': lambda m: print('called after', m.__name__)})\n"
        "print('armed')\nimport somelib\nimport somelib\n"
        "after_import({'somelib': lambda m: print('at once')})\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": f"{tmp_path}:."}
    ).stdout
    assert out.splitlines() == ["armed", "somelib runs", "called after somelib", "at once"]


@pytest.fixture
def events(tmp_path, monkeypatch):
    """The file of this process's trial."""
    path = tmp_path / "events"
    monkeypatch.setenv(spans.EVENTS_VARIABLE, str(path))
    return path


def test_stretches_of_several_processes_are_read_from_one_file(events):
    spans.note("rewriting", 1.5, 2.5)
    subprocess.run(
        [sys.executable, "-c", "from sampling import spans; spans.note('tuning', 2.0, 4.0, 1.25)"],
        check=True, env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    mine, other = spans.read_spans(events)
    assert mine == Span("rewriting", os.getpid(), Interval(1.5, 2.5), 0.0)
    assert (other.name, other.interval, other.cpu_seconds) == ("tuning", Interval(2.0, 4.0), 1.25)
    assert other.pid != os.getpid()


def test_no_file_means_that_nothing_was_noted(tmp_path):
    assert spans.read_spans(tmp_path / "none") == []


def test_of_calls_inside_each_other_the_outermost_is_noted(events):
    noted = Outermost("rewriting")

    def down(n: int) -> int:
        return wrapped(n - 1) if n else 7

    wrapped = noted.wrap(down)
    assert wrapped(5) == 7
    assert [s.name for s in spans.read_spans(events)] == ["rewriting"]


def test_threads_do_not_stand_inside_each_other(events):
    noted, both = Outermost("compiling_numba"), threading.Barrier(2)

    def work() -> None:
        both.wait()
        both.wait()

    threads = [threading.Thread(target=noted.wrap(work)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spans.read_spans(events)) == 2


def test_what_raises_is_noted_and_raised(events):
    def fail() -> None:
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        Outermost("import").wrap(fail)()
    assert [s.name for s in spans.read_spans(events)] == ["import"]


def test_the_end_of_what_began_before_the_listener_is_no_stretch(events):
    noted = Outermost("compiling_numba")
    noted.end()
    noted.begin()
    noted.end()
    assert len(spans.read_spans(events)) == 1


def test_a_result_that_is_not_there_yet_is_waited_for_inside_the_stretch(events):
    order = []
    wrapped = Outermost("transforming").wrap(lambda: order.append("called") or "result", wait=order.append)
    wrapped()
    order.append("noted" if spans.read_spans(events) else "not noted")
    assert order == ["called", "result", "noted"]
