"""Keeps what asv's benchmarks have measured: an asv plugin, loaded by asv.conf.json and asv.commits.conf.json.

It tells the benchmarks where to keep their records while they run, and moves them to the results when asv saves the
commit (`harness/measuring/unfinished.py`). asv saves nothing when it is interrupted; the records are then still there,
and the next `asv run` of that stack goes on from them. A run that saves nothing by intention (`--dry-run`,
`asv profile`) keeps nothing either: its records live in asv's own scratch folder.
"""

import argparse
import contextlib
import functools
import json
import os
import sys
import uuid
from pathlib import Path

from asv import util
from asv.config import Config
from asv.environment import get_environment_class_by_name
from asv.results import Results

from harness.asv_plugins import finding
from harness.asv_plugins.environment import StackEnvironment
from harness.errors import BenchError
from harness.measuring import alone, parent, unfinished
from harness.paths import ROOT
from harness.suite import inside, suite_commit

_MEASURING = {"run", "continuous", "find"}
# Commands that switch the environment to another stack.
_INSTALLING = _MEASURING | {"check", "profile", "setup"}
_READING = {"run", "continuous", "find", "compare", "show", "publish"}
_SAVES_NOTHING = {"--dry-run", "-n"}


def _write_json(path, data, api_version=None, compact=False):
    """asv's own, but whole or not at all: a full disk must not truncate what was there."""
    if api_version is not None:
        data = {**data, "version": api_version}
    path = Path(path)
    part = path.with_name(path.name + ".part")
    layout = {} if compact else {"indent": 4, "sort_keys": True}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(data, **layout) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise util.UserError(
            f"{path} cannot be written ({error.strerror}): make room or make it writable, and run the same command "
            f"again; what was measured is kept in {unfinished.UNFINISHED}."
        ) from error


def _check_results(results: Path) -> None:
    """Refuse damaged results by name, where asv would leave a release out and say little."""
    for path in sorted(results.glob("*/*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            whole = isinstance(content["version"], int)
            if path.name == "machine.json":
                whole = whole and isinstance(content["machine"], str)
            else:
                tables = content["results"].values()
                whole = whole and isinstance(content["commit_hash"], str) and all(isinstance(t, list) for t in tables)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise util.UserError(
                f"{path.relative_to(ROOT)} is damaged: restore it with `git checkout -- {path.relative_to(ROOT)}`, or "
                "delete it and measure its release again."
            )


def _alone() -> None:
    """Keep other measurements away from the environment while this process lives; they would switch it under us."""
    try:
        _alone.lock = alone.take()
    except BenchError as error:
        raise util.UserError(str(error)) from error


def _say_interrupted(kind, error, trace) -> None:
    """One line in place of a traceback when Ctrl-C comes where asv does not expect it."""
    if issubclass(kind, KeyboardInterrupt):
        print("\nInterrupted: what was measured is kept, and the same command goes on from there.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _archive_after(save):
    @functools.wraps(save)
    def save_then_archive(self, result_dir):
        save(self, result_dir)
        # The class is the first part of an environment's name.
        environment = get_environment_class_by_name(self.env_name.partition("-")[0])
        try:
            stack = environment.stack_at(self.commit_hash, self.params)
            if stack is None:
                return
            records = Path(result_dir).parent / "records"
            unfinished.archive(stack.tag, os.environ["BENCH_RUN"], records, self.params["machine"])
            environment.keep(stack, records / self.params["machine"] / stack.tag)
        except BenchError as error:
            raise util.UserError(str(error)) from error

    return save_then_archive


def _command_line(arguments: list[str]) -> tuple[str, str]:
    """The command and the configuration that asv was given; `--config` may stand before or after the command."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config", default="asv.conf.json")
    parser.add_argument("--verbose", "-v", action="store_true")
    parser.add_argument("command")
    known, _ = parser.parse_known_args([*arguments, ""])
    return known.command, known.config


def _prepare(arguments: list[str]) -> None:
    command, configuration = _command_line(arguments)
    sys.excepthook = _say_interrupted
    util.write_json = _write_json
    parent.end_with_parent()
    if command in _READING:
        # asv has made the configuration's folder its working directory.
        _check_results(ROOT / Config.load(Path(configuration).name).results_dir)
    if command in _INSTALLING:
        _alone()
    if command not in _MEASURING:
        return
    if command == "find":
        StackEnvironment.ends_when_not_installed = False
        finding.install()
    try:
        # Asking the measured code what it contains also asks it about its settings: a typo must not cost results.
        inside()
    except BenchError as error:
        raise util.UserError(str(error)) from error
    commit = suite_commit()
    if commit:
        os.environ["BENCH_SUITE_COMMIT"] = commit
    if _SAVES_NOTHING & set(arguments):
        return
    os.environ["BENCH_RUN"] = uuid.uuid4().hex
    os.environ["BENCH_UNFINISHED"] = str(unfinished.UNFINISHED)
    Results.save = _archive_after(Results.save)


_prepare(sys.argv[1:])
