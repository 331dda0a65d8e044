"""Takes shards into a checkout as far as the site can be built with them: before anything is pushed, and not after it.

The schemas of `results` refuse what is known to be wrong. Whatever they let through, and asv or the pages do not, is
found here by building the site, and is left out by name. It must not know how a checkout comes and goes.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from harness.errors import BenchError
from harness.measuring import parent
from harness.measuring.run import why_it_stopped
from harness.results.collecting import Collected, Shard, collect

TIMEOUT = 120.0  # seconds that the site may take, which is ten times what it does; some values keep asv busy for ever
LONGEST_SEARCH = 1200.0
_MEMORY = 4 * 2**30  # bytes that it may have written to


def take(shards: Sequence[Shard], checkout: Path) -> Collected:
    """Take shards into the results of a fresh checkout, but for what the site cannot be built with.

    Raises BenchError when it cannot be built from what is there already.
    """
    collected = collect(shards, checkout / "results")
    if not collected.new or unpublishable(checkout) is None:
        return collected
    _undo(checkout)
    if problem := unpublishable(checkout):
        raise BenchError(
            f"The site cannot be built from what is kept already ({problem}): `asv publish` in a checkout says more. "
            "Nothing was taken."
        )
    parts, until = Collected(), time.monotonic() + LONGEST_SEARCH
    for half in _halves(shards):
        parts.add(_narrowed(half, checkout, until))
    return Collected(parts.new, collected.known, collected.refused + parts.refused)


def _narrowed(shards: Sequence[Shard], checkout: Path, until: float) -> Collected:
    """Take what the site can be built with: shards by halves, and of one shard, its parameter sets by halves.

    What has not been looked at `until` then, of `time.monotonic`, is left out: a run has an end.
    """
    if time.monotonic() > until:
        names = ", ".join(shard.folder.name for shard in shards)
        return Collected(refused=[f"{names}: left out, since looking for what breaks the site took too long"])
    found = Collected(new=collect(shards, checkout / "results").new)
    problem = unpublishable(checkout) if found.new else None
    if problem is None:
        _keep(checkout)
        return found
    _undo(checkout)
    halves, together = _halves(shards), Collected()
    if len(halves) == 1:
        (shard,) = shards
        what = "-".join(map(str, next(iter(shard.task.cells))))
        return Collected(refused=[f"{shard.folder.name}, {what}: the site cannot be built with it ({problem})"])
    for half in halves:
        together.add(_narrowed(half, checkout, until))
    return together


def _halves(shards: Sequence[Shard]) -> list[Sequence[Shard]]:
    """Half of the shards and the other half; of one, half of its parameter sets and the other; of one set, itself."""
    if len(shards) > 1:
        return [shards[: len(shards) // 2], shards[len(shards) // 2 :]]
    (shard,) = shards
    cells = sorted(shard.task.cells)
    if len(cells) < 2:
        return [shards]
    parts = cells[: len(cells) // 2], cells[len(cells) // 2 :]
    return [[replace(shard, task=replace(shard.task, cells=frozenset(part)))] for part in parts]


def unpublishable(checkout: Path) -> str | None:
    """Why `asv publish` fails in a checkout, by its own word, or None when it does not."""
    with tempfile.TemporaryDirectory(prefix="candidate-") as site:
        asv = subprocess.Popen(
            [sys.executable, "-m", "asv", "publish", "--html-dir", site],
            cwd=checkout, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True, env={**os.environ, **parent.told()},
        )  # fmt: skip
        resource.prlimit(asv.pid, resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        try:
            said, _ = asv.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return f"it takes more than {TIMEOUT:.0f} s"
        finally:
            # asv has processes of its own, and it is one of these that takes so long.
            with suppress(ProcessLookupError):
                os.killpg(asv.pid, signal.SIGKILL)
            asv.wait()
    return why_it_stopped(said)[:300] if asv.returncode else None


def _keep(checkout: Path) -> None:
    """Let `_undo` come back to the results as they are now."""
    _git(checkout, "add", "--all", "--", "results")


def _undo(checkout: Path) -> None:
    """Bring the results back to where they were kept, or to where they were."""
    if _git(checkout, "ls-files", "--", "results"):
        _git(checkout, "checkout", "--quiet", "--", "results")
    _git(checkout, "clean", "-ffdq", "--", "results")


def _git(checkout: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(checkout), *arguments], check=True, capture_output=True).stdout
