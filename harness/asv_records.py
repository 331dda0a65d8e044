"""Keeps what asv's benchmarks have measured: an asv plugin, loaded by asv.conf.json.

It tells the benchmarks where to keep their records while they run, and moves them to the results when asv saves the
commit (`harness/unfinished.py`). asv saves nothing when it is interrupted; the records are then still there, and the
next `asv run` of that stack goes on from them. A run that saves nothing by intention (`--dry-run`, `asv profile`) keeps
nothing either: its records live in asv's own scratch folder.
"""

import functools
import os
import subprocess
import sys
import uuid
from pathlib import Path

from asv import util
from asv.results import Results

from harness import unfinished
from harness.environments import ROOT
from harness.errors import BenchError
from harness.timeline import lock_at

_MEASURING = {"run", "continuous", "find"}
_SAVES_NOTHING = {"--dry-run", "-n"}


def _suite_commit() -> str | None:
    """The suite's own commit, with "-dirty" when the code differs from it; None outside a Git checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def _writable(results: Path) -> None:
    """Raise the one sentence now that would otherwise come after an hour of measuring."""
    probe = results / f".probe-{uuid.uuid4().hex}"
    try:
        results.mkdir(parents=True, exist_ok=True)
        probe.write_text("x" * 4096)
        probe.unlink()
    except OSError as error:
        raise util.UserError(
            f"The results folder {results} cannot be written ({error.strerror}): make it writable or make room, "
            "and run the same command again; nothing was measured."
        ) from error


def _archive_after(save):
    @functools.wraps(save)
    def save_then_archive(self, result_dir):
        try:
            save(self, result_dir)
        except OSError as error:
            raise util.UserError(
                f"asv could not save its results in {result_dir} ({error.strerror}): the records stay in "
                f"{unfinished.UNFINISHED}; make room, and the same command goes on from them."
            ) from error
        try:
            stack = lock_at(self.commit_hash)
            unfinished.archive(
                stack.tag, os.environ["BENCH_RUN"], Path(result_dir).parent / "records", self.params["machine"]
            )
        except BenchError as error:
            raise util.UserError(str(error)) from error

    return save_then_archive


def _keep_records(arguments: list[str]) -> None:
    if not arguments or arguments[0] not in _MEASURING:
        return
    commit = _suite_commit()
    if commit:
        os.environ["BENCH_SUITE_COMMIT"] = commit
    if _SAVES_NOTHING & set(arguments):
        return
    os.environ["BENCH_RUN"] = uuid.uuid4().hex
    os.environ["BENCH_UNFINISHED"] = str(unfinished.UNFINISHED)
    _writable(ROOT / "results")
    Results.save = _archive_after(Results.save)


_keep_records(sys.argv[1:])
