"""What `bench` starts ends with it, also where it cannot end it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Says that it was interrupted, with a process in its group that would not end by itself.
CHILD = """\
import subprocess, sys, time
from pathlib import Path

import pytest
LATE
from harness.measuring.parent import end_with_parent
try:
    end_with_parent()
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=PLACE)
    Path(PLACE, "ready").touch()
    WAIT
except KeyboardInterrupt:
    Path(PLACE, "interrupted").touch()
"""
PARENT = """\
import os, subprocess, sys, time
from harness.measuring.parent import told
subprocess.Popen([sys.executable, "-c", CHILD], env={**os.environ, **told()}, start_new_session=True)
time.sleep(WAIT)
"""
FOREVER = "time.sleep(600)"


def start(place: Path, late: str = "", wait: str = FOREVER, parent_waits: float = 600, **options) -> subprocess.Popen:
    child = CHILD.replace("PLACE", repr(str(place))).replace("LATE", late).replace("WAIT", wait)
    code = PARENT.replace("CHILD", repr(child)).replace("WAIT", str(parent_waits))
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **options)


def appears(path: Path, seconds: float = 30) -> bool:
    until = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    return path.exists()


def working_in(place: Path) -> bool:
    def works(process: Path) -> bool:
        try:
            return (process / "cwd").readlink() == place or str(place) in (process / "cmdline").read_text()
        except OSError:
            return False

    return any(works(process) for process in Path("/proc").glob("[0-9]*"))


def ends(place: Path, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while working_in(place) and time.monotonic() < until:
        time.sleep(0.05)
    return not working_in(place)


def test_what_was_started_is_interrupted_when_its_parent_is_killed_and_so_is_its_group(tmp_path):
    with start(tmp_path) as parent:
        assert appears(tmp_path / "ready")
        parent.kill()
    assert appears(tmp_path / "interrupted", 5)
    assert ends(tmp_path)


def test_it_ends_also_where_the_shell_had_it_ignore_interrupts(tmp_path):
    with start(tmp_path, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) as parent:
        assert appears(tmp_path / "ready")
        parent.kill()
    assert appears(tmp_path / "interrupted", 5)
    assert ends(tmp_path)


def test_a_parent_that_is_gone_before_it_could_be_watched_is_noticed(tmp_path):
    with start(tmp_path, late="time.sleep(2)", parent_waits=0) as parent:
        parent.wait()
    assert appears(tmp_path / "interrupted")
    assert not (tmp_path / "ready").exists()
    assert ends(tmp_path)


@pytest.mark.slow
def test_what_takes_no_notice_of_an_interrupt_is_ended(tmp_path):
    stubborn = "end = time.monotonic() + 600\n    while time.monotonic() < end:\n        "
    stubborn += "try: time.sleep(600)\n        except KeyboardInterrupt: pass"
    with start(tmp_path, wait=stubborn) as parent:
        assert appears(tmp_path / "ready")
        parent.kill()
    assert ends(tmp_path, 20)


def test_what_was_started_by_hand_is_left_alone():
    script = "import signal; from harness.measuring.parent import end_with_parent; "
    script += "before = signal.getsignal(signal.SIGHUP); end_with_parent(); "
    script += "print(signal.getsignal(signal.SIGHUP) is before)"
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"
