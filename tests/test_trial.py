"""A trial ends with a record and leaves no process, whatever its process does."""

import json
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from sampling import control, process, trial
from sampling.settings import Settings

SETTINGS = Settings("ppca", 500, "default")
RUN_CONTROL = control.run_control


@pytest.fixture
def child_runs(monkeypatch):
    """Make the trial's process run other code; it gets the result's path as its only argument."""
    # The tests' own environment has no PyMC.
    monkeypatch.setattr(trial, "pymc_version", lambda: (6, 4, 0))
    # Most of the processor time of a trial that does nothing; a test of its own has the real one.
    monkeypatch.setattr(control, "run_control", lambda: {"seconds": 1.0})

    def use(code: str) -> None:
        command = [sys.executable, "-c", textwrap.dedent(code)]
        monkeypatch.setattr(trial, "_command", lambda _settings, result, *_: [*command, str(result)])

    return use


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie that waits for its parent to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def run(tmp_path) -> dict:
    return trial.run_trial(SETTINGS, tmp_path, "cold")


def test_a_process_that_is_killed_is_failed_and_says_by_what(child_runs, tmp_path):
    child_runs("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    record = run(tmp_path)
    assert record["outcome"] == "failed"
    assert "SIGKILL" in record["reason"]
    assert "memory" in record["reason"]


def test_a_process_that_crashes_is_failed_and_its_last_words_are_kept(child_runs, tmp_path):
    child_runs("import os, sys; print('last words', flush=True); os.abort()")
    record = run(tmp_path)
    assert "SIGABRT" in record["reason"]
    assert "last words" in record["output_tail"]


def test_a_failure_names_no_path_of_this_machine(child_runs, tmp_path):
    child_runs(
        "import os, sys; print(os.environ['HOME'], sys.prefix, os.environ['PYTHONPATH'], flush=True); os.abort()"
    )
    said = run(tmp_path)["output_tail"].split()[:3]
    assert said == ["<home>", "<environment>", "<suite>"]


def test_the_same_failure_is_told_in_the_same_words(child_runs, tmp_path):
    # Not by the address at which an object was this time.
    child_runs("import os; print(run := lambda: 0, flush=True); os.abort()")
    assert run(tmp_path)["output_tail"].splitlines()[0] == "<function <lambda>>"


def test_a_process_that_writes_garbage_in_place_of_a_result_is_failed(child_runs, tmp_path):
    child_runs("import sys; open(sys.argv[1], 'wb').write(b'\\x00\\xff{not json'); print('\\x00\\x1b[2Jgarbage')")
    record = run(tmp_path)
    assert record["outcome"] == "failed"
    assert "left no result" in record["reason"]
    json.dumps(record, allow_nan=False)


def test_garbage_on_its_output_does_not_spoil_a_result(child_runs, tmp_path):
    child_runs("import sys, os; os.write(1, bytes(range(256))); open(sys.argv[1], 'w').write('{\"outcome\": \"ok\"}')")
    assert run(tmp_path)["outcome"] == "ok"


def test_a_hung_trial_ends_at_the_limit_with_all_its_descendants(child_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_TIME_LIMIT", "1.5")
    pids = tmp_path / "pids"
    child_runs(f"""
        import os, subprocess, sys, time
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        if os.fork() == 0:
            if os.fork() == 0:  # an orphan, as a fork server's worker is
                open({str(pids)!r}, "a").write(f"{{os.getpid()}} ")
                time.sleep(600)
            os._exit(0)
        open({str(pids)!r}, "a").write(f"{{os.getpid()}} {{grandchild.pid}} ")
        time.sleep(600)
    """)
    record = run(tmp_path)
    assert record["outcome"] == "failed"
    assert "time limit of 1.5 s" in record["reason"]
    started = pids.read_text().split()
    assert len(started) == 3
    for pid in started:
        assert not is_running(int(pid))


def test_a_trial_that_does_nothing_any_more_is_ended_long_before_the_limit(child_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "_IDLE_LIMIT_SECONDS", 1.0)
    child_runs("import time; print('x.py:3: RuntimeWarning: fork() may deadlock', flush=True); time.sleep(600)")
    reason = run(tmp_path)["reason"]
    assert reason.startswith("it hung: none of its processes did anything for 1 s; it had warned: fork() may deadlock")


def test_a_lost_worker_is_called_that_with_what_it_had_warned(child_runs, tmp_path):
    child_runs("""
        import json, sys
        print("x.py:3: RuntimeWarning: fork() may deadlock", flush=True)
        reason = "ConnectionResetError: [Errno 104] Connection reset by peer (pymc 5.26.1)"
        json.dump({"outcome": "failed", "reason": reason}, open(sys.argv[1], "w"))
    """)
    assert run(tmp_path)["reason"] == (
        "a process that sampled died; it had warned: fork() may deadlock "
        "(ConnectionResetError: [Errno 104] Connection reset by peer (pymc 5.26.1))"
    )


def test_a_trial_that_works_is_not_held_to_hang(child_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "_IDLE_LIMIT_SECONDS", 1.0)
    child_runs("""
        import sys, time
        end = time.monotonic() + 2.5
        while time.monotonic() < end:  # a small part of the time is enough
            sum(range(500_000))
            time.sleep(0.05)
        open(sys.argv[1], "w").write('{"outcome": "ok"}')
    """)
    assert run(tmp_path)["outcome"] == "ok"


def test_the_control_workload_runs_before_and_after_the_child(child_runs, tmp_path, monkeypatch):
    ended = tmp_path / "ended"
    runs = []

    def and_note() -> dict[str, float]:
        runs.append((ended.exists(), RUN_CONTROL()))
        return runs[-1][1]

    monkeypatch.setattr(control, "run_control", and_note)
    child_runs(f"""
        import sys
        open({str(ended)!r}, "w").close()
        open(sys.argv[1], "w").write('{{"outcome": "ok"}}')
    """)
    found = run(tmp_path)["control"]
    assert runs == [(False, found["before"]), (True, found["after"])]
    assert found["before"].keys() == {"numpy_seconds", "python_seconds"}
    assert min(found["before"].values()) > 0
    assert found["drift"] == control.drift(found["before"], found["after"]) >= 1


def test_a_trial_during_which_the_machine_slowed_down_is_contaminated(child_runs, tmp_path, monkeypatch):
    child_runs("import sys; open(sys.argv[1], 'w').write('{\"outcome\": \"ok\"}')")
    for slower, contaminated in ((1.2, False), (1.3, True)):
        seconds = iter([1.0, slower])
        monkeypatch.setattr(control, "run_control", lambda seconds=seconds: {"seconds": next(seconds)})
        assert run(tmp_path)["control"]["contaminated"] == contaminated


@pytest.mark.parametrize("request_to_end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupt_ends_the_trial_and_leaves_no_process(tmp_path, request_to_end):
    pid_file = tmp_path / "pid"
    code = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from sampling import trial
        from sampling.settings import Settings
        child = (
            "from sampling.process import die_with_parent; die_with_parent()\\n"
            "import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
        )
        trial.pymc_version = lambda: (6, 4, 0)
        trial.control.run_control = dict
        trial._command = lambda s, r, *_: [sys.executable, "-c", child]
        trial.run_trial(Settings("ppca", 500, "default"), Path({str(tmp_path)!r}), "cold")
    """)
    outer = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    while not (pid_file.exists() and pid_file.read_text()):
        assert outer.poll() is None
        time.sleep(0.05)
    outer.send_signal(request_to_end)
    outer.wait(30)
    deadline = time.monotonic() + 10
    while process.session_processes(int(pid_file.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # What nothing can catch leaves its scratch folder to the next trial in that home, which removes it.
    assert (tmp_path / ".trial").exists() == (request_to_end == signal.SIGKILL)


def test_peak_memory_counts_forked_processes_once_for_what_they_share(child_runs, tmp_path):
    child_runs("""
        import os, sys, time
        block = bytearray(os.urandom(1)) * (200 * 2**20)
        for _ in range(3):
            if os.fork() == 0:
                time.sleep(1.0)
                os._exit(0)
        time.sleep(1.2)
        open(sys.argv[1], "w").write('{"outcome": "ok"}')
    """)
    assert 190 < run(tmp_path)["peak_memory_mib"] < 300


def test_peak_memory_counts_what_children_use_themselves(child_runs, tmp_path):
    child_runs("""
        import os, sys, time
        for _ in range(2):
            if os.fork() == 0:
                block = bytearray(os.urandom(1)) * (150 * 2**20)
                time.sleep(1.0)
                os._exit(0)
        time.sleep(1.2)
        open(sys.argv[1], "w").write('{"outcome": "ok"}')
    """)
    assert 290 < run(tmp_path)["peak_memory_mib"] < 400


def test_memory_used_after_the_clocks_have_stopped_does_not_count(child_runs, tmp_path):
    child_runs("""
        import os, pathlib, sys, time
        time.sleep(0.3)
        pathlib.Path(sys.argv[1]).with_name("measured").touch()
        block = bytearray(os.urandom(1)) * (300 * 2**20)
        time.sleep(0.5)
        open(sys.argv[1], "w").write('{"outcome": "ok"}')
    """)
    assert run(tmp_path)["peak_memory_mib"] < 100


def test_cpu_seconds_include_those_of_children_that_have_ended():
    # Twice what is waited for: the kernel counts the seconds of a process by ticks, and may count some too few.
    busy = "import time\nwhile time.process_time() < 1: pass"
    code = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {busy!r}])\ntime.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while process.session_cpu_seconds(child.pid) < 0.5:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.3)
        assert process.session_cpu_seconds(child.pid) >= 0.5
    finally:
        process.end_session(child.pid)
        child.wait()


def test_the_trial_sees_a_home_of_its_own_and_nothing_else_of_the_caller(child_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTENSOR_FLAGS", "mode=FAST_COMPILE")
    monkeypatch.setenv("SOME_SECRET", "x")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    child_runs("import json, os, sys; json.dump({'outcome': 'ok', 'env': dict(os.environ)}, open(sys.argv[1], 'w'))")
    seen = run(tmp_path)["env"]
    assert seen["HOME"] == str(tmp_path)
    assert seen["OMP_NUM_THREADS"] == "1"
    assert not {"PYTENSOR_FLAGS", "SOME_SECRET", "PYTHONDONTWRITEBYTECODE"} & set(seen)


def test_the_temporary_files_of_a_trial_end_with_it(child_runs, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    child_runs(
        """
        import json, sys, tempfile
        left = tempfile.NamedTemporaryFile(delete=False).name
        json.dump({"outcome": "ok", "left": left}, open(sys.argv[1], "w"))
        """
    )
    assert Path(run(tmp_path)["left"]).is_relative_to(temporary)
    assert not list(temporary.iterdir())


def test_a_trial_that_takes_more_memory_than_it_may_is_ended(child_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_MEMORY_LIMIT", "200")
    child_runs("import time; much = bytearray(300 * 2**20); time.sleep(600)")
    record = run(tmp_path)
    assert record["outcome"] == "failed"
    assert "more than the memory limit of 200 MiB" in record["reason"]


def test_what_the_gate_needs_after_the_last_clock_is_not_the_samplers_memory(child_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_MEMORY_LIMIT", "200")
    child_runs(
        """
        import json, pathlib, sys, time
        pathlib.Path(sys.argv[1]).with_name("measured").touch()
        time.sleep(0.3)
        much = bytearray(300 * 2**20)
        time.sleep(0.5)
        json.dump({"outcome": "ok"}, open(sys.argv[1], "w"))
        """
    )
    assert run(tmp_path)["outcome"] == "ok"


@pytest.mark.parametrize("name", ["BENCH_TIME_LIMIT", "BENCH_MEMORY_LIMIT"])
@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf"])
def test_a_senseless_limit_is_refused_in_a_sentence(name, text, monkeypatch, tmp_path):
    monkeypatch.setenv(name, text)
    with pytest.raises(ValueError, match=f"{name} is"):
        run(tmp_path)


@pytest.mark.parametrize("change", [{"tune": 0}, {"draws": -1}, {"chains": 0}, {"cores": 0}, {"target_accept": 1.0}])
def test_senseless_settings_are_refused_in_a_sentence(change):
    with pytest.raises(ValueError, match="it must"):
        Settings("ppca", 500, "default", **change)
