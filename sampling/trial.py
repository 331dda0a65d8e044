"""One trial, from outside: a fresh interpreter with its own home and caches, a control workload before and after, peak
memory and a time limit; the result is one record. It must not import PyMC: the control workload and the
watching happen in this process, and must cost the measured one nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import models
from sampling import backends, control, process
from sampling.linkers import pymc_version
from sampling.provenance import provenance, versions
from sampling.record import FAILED, SCHEMA_VERSION, UNSUPPORTED
from sampling.settings import PROTOCOL_VERSION, Settings
from sampling.spans import EVENTS_VARIABLE

TIME_LIMIT_SECONDS = 600.0
MEMORY_LIMIT_MIB = 8192.0
_POLL_SECONDS = 0.1
# A look at all processes' memory walks their page tables. The next one waits this many times as long as the last took,
# so that looking takes no more than a twentieth of one processor, however many processes there are, and a hundredth
# where trials share the processors and nobody compares their peaks.
_REST_AFTER_LOOK = 20
_REST_IN_SWEEPS = 100
# Nothing that works leaves the processor alone for so long; what has been forked into a deadlock does for ever.
_IDLE_LIMIT_SECONDS = 60.0
# What PyMC's main process sees of it, which tells a reader nothing.
_LOST_PROCESS = ("ConnectionResetError", "EOFError", "BrokenPipeError")
_ROOT = Path(__file__).resolve().parent.parent

# What a trial may see of the caller's environment. All else could change the work without a trace in the record.
_PASSED_ON = (
    "PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "CUDA_VISIBLE_DEVICES", "PYTHONPYCACHEPREFIX",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "PJRT_NPROC", "JAX_PLATFORMS",
    "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "BENCH_STACK", "BENCH_LOCK_SHA256", "BENCH_SUITE_COMMIT", "BENCH_MACHINE",
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What a trial may use: wall-clock seconds in all, and MiB of memory until `pm.sample` returns."""

    seconds: float
    memory_mib: float


def limits() -> Limits:
    """Those of one trial: BENCH_TIME_LIMIT, in seconds, or 600, and BENCH_MEMORY_LIMIT, in MiB, or 8192.

    Raises ValueError when one is no positive number.
    """
    return Limits(
        _positive("BENCH_TIME_LIMIT", TIME_LIMIT_SECONDS, "seconds"),
        _positive("BENCH_MEMORY_LIMIT", MEMORY_LIMIT_MIB, "MiB"),
    )


def _positive(name: str, default: float, unit: str) -> float:
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise ValueError(f"{name} is {text!r}; it must be a number of {unit} above 0.")
    return limit


def _environment(backend: backends.Backend, home: Path, scratch: Path, temporary: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        # By itself Numba would write beside the sources, into the environment; JAX keeps nothing unless told to.
        "NUMBA_CACHE_DIR": str(home / ".numba"),
        "MPLCONFIGDIR": str(home / ".matplotlib"),
        # PyTensor writes the sources that Numba compiles to temporary files, and leaves them.
        "TMPDIR": temporary,
        "PYTHONPATH": str(_ROOT),
        EVENTS_VARIABLE: str(scratch / "events"),
        **backend.environment,
    }


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """While a trial runs, a request to terminate unwinds the stack: asv's way to interrupt is SIGTERM."""
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _command(settings: Settings, result: Path, compared: bool) -> list[str]:
    options = [] if compared else ["--outcome"]
    return [sys.executable, "-m", "sampling.child", json.dumps(asdict(settings)), str(result), *options]


def _watch(child: subprocess.Popen, measured: Path, limit: Limits, rest: float) -> tuple[float, str | None]:
    """Wait for the child, and between two looks at its memory `rest` times as long as one takes.

    Returns the peak memory (MiB) up to the end of `pm.sample`, and why it is ended, if so.
    """
    began = busy_at = time.monotonic()
    peak, cpu_seconds = 0.0, 0.0
    while True:
        looked = time.monotonic()
        if not measured.exists():
            peak = max(peak, process.session_memory_mib(child.pid))
        try:
            child.wait(max(_POLL_SECONDS, rest * (time.monotonic() - looked)))
            return peak, None
        except subprocess.TimeoutExpired:
            now = time.monotonic()
        if now - began > limit.seconds:
            return peak, f"it did not end within the time limit of {limit.seconds:g} s"
        if peak > limit.memory_mib:
            return peak, f"it used {peak:.0f} MiB, more than the memory limit of {limit.memory_mib:g} MiB"
        if now - busy_at > _IDLE_LIMIT_SECONDS / 4:
            used = process.session_cpu_seconds(child.pid)
            # What polls now and then is idle, too.
            if used - cpu_seconds > 0.01 * (now - busy_at):
                cpu_seconds, busy_at = used, now
            elif now - busy_at > _IDLE_LIMIT_SECONDS:
                return peak, f"it hung: none of its processes did anything for {_IDLE_LIMIT_SECONDS:g} s"


def _what_it_warned(output: str) -> str:
    warnings = [line.partition("Warning: ")[2] for line in output.splitlines() if "Warning: " in line]
    return f"; it had warned: {warnings[-1][:200]}" if warnings else ""


def _why_no_result(child: subprocess.Popen, ended: str | None, output: str) -> str:
    if ended:
        return ended + _what_it_warned(output)
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        hint = " (as the kernel does when memory runs out)" if name == "SIGKILL" else ""
        return f"the process was ended by {name}{hint}"
    return f"the process ended with exit status {child.returncode} and left no result"


def _without_places(text: str, home: Path) -> str:
    """The text without this machine's paths and this process's addresses: records are public, and say the same wherever
    and whenever they were made."""
    places = {"<home>": str(home), "<environment>": sys.prefix, "<python>": sys.base_prefix, "<suite>": str(_ROOT)}
    for name, place in sorted(places.items(), key=lambda item: -len(item[1])):
        text = text.replace(place, name)
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _result(path: Path) -> dict | None:
    try:
        result = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and "outcome" in result else None


def run_trial(settings: Settings, home: Path, kind: str, compared: bool = True) -> dict:
    """Run one trial in `home` (an existing folder) and return its record. `kind` is "cold" or "warm".

    One that is not to be `compared` with others has an outcome and its clocks; the fixed work beside it and the counts
    of the graph are left out, and its memory is looked at less often: a sweep would take longer by them.

    Unknown names raise (models.UnknownModel, models.UnknownSize, backends.UnknownBackend); what goes wrong in the
    trial itself is the record's outcome. Interrupting it leaves no process behind.
    """
    model = models.load(settings.model)
    models.check_size(model, settings.n)
    backend = backends.load(settings.backend)
    limit = limits()
    head = {
        "schema": SCHEMA_VERSION,
        "protocol": PROTOCOL_VERSION,
        "kind": kind,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": asdict(settings),
    }
    unsupported = backends.why_unsupported(backend, model.DISCRETE, pymc_version())
    if unsupported:
        return {**head, "outcome": UNSUPPORTED, "reason": unsupported, "provenance": provenance()}
    # Inside the home, so that whoever made the home also removes what a killed trial leaves.
    scratch = home / ".trial"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    begun = time.perf_counter()
    try:
        before = control.run_control() if compared else None
        # Not inside the home: a socket's path holds no more than 107 characters.
        temporary_directory = tempfile.TemporaryDirectory(prefix="trial-", ignore_cleanup_errors=True)
        with _ended_in_order(), temporary_directory as temporary, (scratch / "output").open("wb") as output:
            child = subprocess.Popen(
                _command(settings, scratch / "result.json", compared),
                cwd=scratch,
                env=_environment(backend, home, scratch, temporary),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                rest = _REST_AFTER_LOOK if compared else _REST_IN_SWEEPS
                peak, ended = _watch(child, scratch / "measured", limit, rest)
            finally:
                process.end_session(child.pid)
                child.wait()
        beside = _beside(before) if before else None
        result = _result(scratch / "result.json")
        output = (scratch / "output").read_bytes().decode(errors="replace")[-4000:]
        if result is None or ended:
            involved = versions(("pymc", *backend.distributions))
            reason = f"{_why_no_result(child, ended, output)} ({involved})"
            result = {"outcome": FAILED, "reason": reason, "provenance": provenance()}
        if result["outcome"] == FAILED:
            # The last words of a process are often the only trace of why.
            result["output_tail"] = output
            if result["reason"].startswith(_LOST_PROCESS):
                result["reason"] = f"a process that sampled died{_what_it_warned(output)} ({result['reason']})"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for name in ("reason", "traceback", "output_tail"):
        if result.get(name):
            result[name] = _without_places(result[name], home)
    return {
        **head,
        "outcome": result.pop("outcome"),
        "reason": result.pop("reason", None),
        **result,
        "peak_memory_mib": peak,
        "trial_wall_seconds": time.perf_counter() - begun,
        "control": beside,
    }


def _beside(before: dict[str, float]) -> dict:
    """The fixed work before and after the trial, and whether the machine changed meanwhile."""
    after = control.run_control()
    change = control.drift(before, after)
    return {"before": before, "after": after, "drift": change, "contaminated": change > control.DRIFT_LIMIT}
