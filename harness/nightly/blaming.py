"""Which packages made what the nightly run alerts of: asked by `bench blame` until the time is up, and taken in.

Whoever asks runs packages that nobody has looked at, and has no right; its answers are taken for bytes from anybody, as
shards are (`harness.results.collecting`): only answers to what is asked here, too, and of packages that did change.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import BenchError
from harness.measuring import parent
from harness.nightly import alerts
from harness.output import minutes, printable
from harness.paths import ROOT
from harness.results import blames, compatibility, store
from harness.results.blames import OUTCOME, Question
from harness.results.collecting import Collected
from harness.results.metrics import COUNTERS
from harness.results.records import write_document
from harness.stacks import locks

LONGEST_ANSWER = 100_000
"""Of a file, in bytes."""
_FEWEST_SECONDS = 120.0
# It ends its trials, and says that they are kept.
_GRACE_SECONDS = 30.0


def questions(machine: str, results: store.Results) -> list[Question]:
    """What would say which packages made what is alerted of on a machine, and has not been answered, what takes least
    first: outcomes, counts, times."""
    own = [content for content in store.load(results) if content.machine == machine]
    asked = dict.fromkeys(finding.asks for finding in (alerts.findings(own) if own else []) if finding.asks)
    return sorted((question for question in asked if not _is_answered(question.path(results.folder))), key=_cost)


def _is_answered(path: Path) -> bool:
    """Whether there is an answer that can be read."""
    with suppress(BenchError):
        return bool(blames.read(path))
    return False


def answer(machine: str, results: store.Results, to: Path, seconds: float, say: Callable[[str], None]) -> None:
    """Answer what is asked until the time is up, and copy the answers to a folder.

    What one answer explains is not asked again: most often a package breaks several models. Of what costs the same,
    another question comes first each day, so that one that takes too long keeps none from being answered for ever.
    """
    until, tried = time.monotonic() + seconds, set()
    while left := [question for question in questions(machine, results) if question not in tried]:
        if (remaining := until - time.monotonic()) < _FEWEST_SECONDS:
            say(f"The time is up: left to the next run are {', '.join(f'`{q.command}`' for q in left)}.")
            return
        as_cheap = [question for question in left if _cost(question) == _cost(left[0])]
        question = random.Random(f"{datetime.now(UTC):%Y-%m-%d}").choice(as_cheap)
        tried.add(question)
        say(f"{minutes(remaining)} left: {question.command}")
        ended = _ask(question, remaining)
        path = question.path(results.folder)
        if not path.exists():
            say(f"There is no answer to it: {ended}.")
            continue
        to.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to / f"{len(tried)}.json")
        found = blames.read(path)
        if found.packages:
            say(f"{'It was' if found.certain else 'Not for certain:'} {found.says}.")
        else:
            say(f"No package: {' '.join(found.untold)}")


def _cost(question: Question) -> int:
    """How much it takes to answer, by what decides it: an outcome, a count, or clocks."""
    return 0 if question.metric == OUTCOME else 1 if question.metric in {m.name for m in COUNTERS} else 2


def _ask(question: Question, seconds: float) -> str:
    """Run `bench blame` for so long at most. Returns how it ended."""
    command = [sys.executable, "-m", "harness.cli", "blame", *question.arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, env={**os.environ, **parent.told()}, start_new_session=True
    )
    try:
        return f"it ended with status {process.wait(seconds)}"
    except subprocess.TimeoutExpired:
        return f"it took more than {minutes(seconds)}"
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        process.kill()
        process.wait()


def take(folder: Path, checkout: Path, machine: str, description: Mapping) -> Collected:
    """Take answers from a folder into the results of a fresh checkout: those to questions that are asked there, by the
    machine that was to answer, of packages that differ between the two stacks. The compatibility table tells them.

    What is refused keeps no other from being taken.
    """
    results, taken = checkout / "results", Collected()
    asked = questions(machine, store.Results(results, description))
    paths = sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
    if len(paths) > len(asked):
        taken.refused.append(f"{len(paths)} files, and {len(asked)} questions: the others are left out")
    for path in paths[: len(asked)]:
        try:
            found = _answer_in(path)
            if found.machine != machine or found.question not in asked:
                raise BenchError("nobody has asked this")
            named = {*(p.name for p in found.packages), *found.beside, *found.beside_out}
            if strange := named - _changed(found.question):
                raise BenchError(f"{', '.join(sorted(strange))} did not change between the two stacks")
        except BenchError as error:
            why = " ".join(str(error).replace(str(path), "it").split())
            taken.refused.append(f"{ascii(path.name)[1:-1][:100]}: {printable(why[:400])}")
            continue
        target = found.question.path(results)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_document(target, found.model_dump(mode="json", by_alias=True))
        taken.new.append(target.relative_to(results).as_posix())
    if taken.new:
        compatibility.tell(results, checkout / "docs/compatibility.md", description["backends"])
    return taken


def _answer_in(path: Path) -> blames.Blamed:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > LONGEST_ANSWER:
        raise BenchError(f"no plain file of at most {LONGEST_ANSWER // 1000} kB")
    return blames.read(path)


def _changed(question: Question) -> set[str]:
    difference = locks.diff(locks.get_stack(question.old), locks.get_stack(question.new))
    return {*difference.changed, *difference.added, *difference.removed}
