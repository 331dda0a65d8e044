"""Compilation is counted once, where it happens, in whichever process."""

import subprocess
import sys

import pytest

from sampling import jit
from sampling.jit import Interval


@pytest.mark.parametrize(
    ("intervals", "covered"),
    [
        ([], 0.0),
        ([(1, 2)], 1.0),
        ([(1, 2), (3, 4)], 2.0),
        ([(1, 3), (2, 4)], 3.0),
        ([(1, 4), (2, 3)], 3.0),
        ([(2, 3), (1, 4)], 3.0),
        ([(-5, 1)], 1.0),
        ([(9, 20)], 1.0),
        ([(11, 20), (-3, -1)], 0.0),
        ([(-1, 11)], 10.0),
    ],
)
def test_overlapping_compilations_count_once_and_only_inside_the_window(intervals, covered):
    assert jit.covered_seconds([Interval(*i) for i in intervals], Interval(0, 10)) == covered


def test_a_listener_is_put_in_place_when_the_library_is_imported_and_not_before(tmp_path):
    (tmp_path / "somelib.py").write_text("print('somelib runs')\n")
    code = (
        "from sampling.jit import after_import\n"
        "after_import({'somelib': lambda m: print('called after', m.__name__)})\n"
        "print('armed')\nimport somelib\nimport somelib\n"
        "after_import({'somelib': lambda m: print('at once')})\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": f"{tmp_path}:."}
    ).stdout
    assert out.splitlines() == ["armed", "somelib runs", "called after somelib", "at once"]


def test_compilations_of_several_processes_are_read_from_one_file(tmp_path):
    path = tmp_path / "events"
    path.write_text("numba 10 1.5 2.5\njax 11 2.0 4.0\n")
    found = jit.read_compilations(path)
    assert [(c.library, c.pid, c.interval) for c in found] == [
        ("numba", 10, Interval(1.5, 2.5)),
        ("jax", 11, Interval(2.0, 4.0)),
    ]


def test_no_file_means_no_compilation(tmp_path):
    assert jit.read_compilations(tmp_path / "none") == []
