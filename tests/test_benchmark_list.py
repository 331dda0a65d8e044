"""The kept list of benchmarks is the one of this code; a benchmark that changed has another version."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest

from harness.asv_plugins import benchmark_list
from harness.asv_plugins.benchmark_list import differences
from harness.errors import BenchError
from harness.measuring import alone

KEPT = json.loads(benchmark_list.PATH.read_text())
KEPT.pop("version")
NAME = "ppca.Sampling.track_total"


def changed(**fields):
    now = copy.deepcopy(KEPT)
    now[NAME] |= fields
    return differences(KEPT, now)


def test_the_same_code_is_the_same_list():
    assert differences(KEPT, copy.deepcopy(KEPT)) == ([], [])
    assert changed(setup_cache_key="per_model:99") == ([], []), "a line that moved measures nothing else"


def test_code_that_changed_under_the_same_version_is_named():
    assert changed(code="return 1") == ([NAME], [])


def test_a_version_that_was_raised_or_anything_else_that_changed_is_to_be_written():
    assert changed(code="return 1", version="99") == ([], [f"{NAME} has version 99, not {KEPT[NAME]['version']}"])
    assert changed(unit="minutes") == ([], [f"{NAME} has another unit"])
    assert changed(params=[["'one'"], ["500"]]) == ([], [f"{NAME} has another params"])
    less = {name: entry for name, entry in KEPT.items() if name != NAME}
    assert differences(KEPT, less) == ([], [f"{NAME} is gone"])
    assert differences(less, KEPT) == ([], [f"{NAME} is new"])


@pytest.mark.parametrize(
    "text", ["{", "[]", "[" * 100_000, '{"a": {}}', '{"a": {"code": "x"}}', '{"a": {"version": 1}}']
)
def test_a_damaged_list_is_one_sentence(monkeypatch, tmp_path, text):
    path = tmp_path / "benchmarks.json"
    path.write_text(text)
    monkeypatch.setattr(benchmark_list, "PATH", path)
    monkeypatch.setattr(benchmark_list, "ROOT", tmp_path)
    with pytest.raises(BenchError, match=r"benchmarks\.json is damaged: restore it"):
        benchmark_list._kept()


@pytest.mark.slow
@pytest.mark.sampling
def test_the_kept_list_is_the_one_that_asv_finds():
    assert differences(KEPT, benchmark_list._entries(benchmark_list.discover())) == ([], [])


def test_who_has_the_folder_may_take_it_again_and_nobody_else(tmp_path, monkeypatch):
    # `bench check` has it when it asks asv, whose plugin takes it for `asv check`.
    monkeypatch.setattr(alone, "CACHE", tmp_path)
    held = [alone.take(), alone.take()]
    code = (
        "import pathlib, sys; from harness.errors import BenchError; from harness.measuring import alone\n"
        "alone.CACHE = pathlib.Path(sys.argv[1])\n"
        "try: alone.take()\n"
        "except BenchError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    for lock in held:
        assert "Another measurement" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
        lock.release()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""
