"""Changes a branch of a remote repository that others change, too: in a fresh checkout, and again when it has moved.

A change is a function that edits a folder; it is called anew on the newest state until its commit could be pushed, so
that nothing is merged by hand and nothing of anybody's is overwritten. It must not know what is changed.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.errors import BenchError

ATTEMPTS = 5
_AUTHOR = ("PyMC sampling benchmarks", "noreply@example.invalid")


def change_branch(
    repository: Path,
    branch: str,
    change: Callable[[Path], str | None],
    progress: Callable[[str], None] = print,
    remote: str = "origin",
    wait: float = 2.0,
) -> str | None:
    """Let `change` edit a fresh checkout of the remote's branch, commit what it did and push it.

    `change` returns the commit's message, or None when there is nothing to do. Returns the new commit, or None when
    nothing differs. `progress` is told of each further attempt; `wait` is the seconds before the second one, doubled
    each time.

    Raises BenchError when the remote cannot be reached, does not let us push, or moves each time.
    """
    said, base = "", ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(wait * 2 ** (attempt - 1))
        _git(repository, "fetch", "--quiet", remote, f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}")
        refused_on, base = base, _git(repository, "rev-parse", f"{remote}/{branch}").strip()
        # Whether it has moved is asked of the branch: git reports a lost race in many words, and a rule may use any.
        if base == refused_on:
            raise _not_pushed(
                f"{branch} did not take the commit",
                said,
                "see that a workflow may push to it (Settings → Branches and Rules), and start its last job again",
            )
        if attempt:
            progress(f"The branch {branch} has moved: the change is made again on its newest state.")
        _git(repository, "worktree", "prune")  # those of processes that were killed
        with tempfile.TemporaryDirectory(prefix="branch-") as temporary:
            folder = Path(temporary) / "checkout"
            _git(repository, "worktree", "add", "--quiet", "--detach", str(folder), base)
            try:
                message = change(folder)
                _git(folder, "add", "--all")
                if message is None or not _git(folder, "status", "--porcelain").strip():
                    return None
                name, address = _AUTHOR
                _git(
                    folder, "-c", f"user.name={name}", "-c", f"user.email={address}", "commit", "--quiet",
                    "--no-verify", "-m", message,
                )  # fmt: skip
                commit = _git(folder, "rev-parse", "HEAD").strip()
                # From the repository itself: credentials may be meant for it, and not for its worktrees.
                pushed = _run(repository, "push", "--quiet", remote, f"{commit}:refs/heads/{branch}")
                if pushed.returncode == 0:
                    return commit
                said = pushed.stderr.strip()
            finally:
                _run(repository, "worktree", "remove", "--force", str(folder))
    raise _not_pushed(f"{branch} moved each time", said, "start its last job again")


def catch_up(repository: Path, branch: str, commit: str | None = None, remote: str = "origin") -> str | None:
    """Bring a checkout of the branch to `commit`, or to where the remote's was when it was last fetched.

    Only forward, and only where nothing of anybody's is in the way. Returns why it was left as it is, or None.
    """
    here = _run(repository, "symbolic-ref", "--quiet", "--short", "HEAD").stdout.strip()
    if here != branch:
        return f"it is of {here or 'no branch'}, not of {branch}"
    there = commit or f"refs/remotes/{remote}/{branch}"
    # Git refuses to overwrite what it tracks or would track, but not what it ignores.
    added = _git(repository, "diff", "-z", "--name-only", "--no-renames", "--diff-filter=A", "HEAD", there).split("\0")
    in_the_way = [name for name in added if name and os.path.lexists(repository / name)]
    if in_the_way:
        return f"{in_the_way[0]} is there, and not committed"
    # What is stashed might not come back.
    merged = _run(repository, "-c", "merge.autoStash=false", "merge", "--quiet", "--ff-only", there)
    if merged.returncode == 0:
        return None
    return " ".join(merged.stderr.removeprefix("error: ").removeprefix("fatal: ").split()) or "git gave no reason"


def _not_pushed(what: str, said: str, step: str) -> BenchError:
    lines = said.splitlines() or ["it said nothing"]
    # Git's last line says only that it failed; what the remote says comes before.
    last = next((line for line in lines if re.search(r"remote: error|remote rejected|GH\d{3}", line)), lines[-1])
    return BenchError(
        f"The branch {what} ({' '.join(last.split())}): nothing of it is lost, since what was measured is kept by the "
        f"run; {step}."
    )


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)


def _git(folder: Path, *arguments: str) -> str:
    done = _run(folder, *arguments)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        said = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
        raise BenchError(f"git {arguments[0]} failed ({said}): see to it and run the same command again.")
    return done.stdout
