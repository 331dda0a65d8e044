"""A branch that others change, too, gets our commit once, on top of theirs, and loses nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.errors import BenchError
from harness.nightly import branch
from harness.nightly.branch import change_branch


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.invalid", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def clone(tmp_path) -> Path:
    """A clone of a bare repository, whose branch `main` has one file."""
    bare, first = tmp_path / "bare.git", tmp_path / "first"
    git(tmp_path, "init", "--quiet", "--bare", "-b", "main", str(bare))
    git(tmp_path, "clone", "--quiet", str(bare), str(first))
    (first / "a").write_text("a")
    git(first, "add", "a")
    git(first, "commit", "--quiet", "-m", "first")
    git(first, "push", "--quiet", "origin", "HEAD:main")
    git(tmp_path, "clone", "--quiet", "-b", "main", str(bare), str(tmp_path / "clone"))
    return tmp_path / "clone"


def pushed(clone: Path) -> list[str]:
    git(clone, "fetch", "--quiet")
    return git(clone, "ls-tree", "--name-only", "-r", "origin/main").split()


def add(name: str):
    def change(folder: Path) -> str:
        (folder / name).write_text(name)
        return f"Add {name}"

    return change


def test_a_change_is_pushed_and_the_working_tree_is_left_alone(clone):
    (clone / "a").write_text("edited by hand")
    commit = change_branch(clone, "main", add("b"))
    assert pushed(clone) == ["a", "b"]
    assert git(clone, "rev-parse", "origin/main").strip() == commit
    assert (clone / "a").read_text() == "edited by hand"
    assert not (clone / "b").exists()
    assert git(clone, "worktree", "list").count("\n") == 1


def test_nothing_new_is_no_commit(clone):
    before = git(clone, "rev-parse", "origin/main")
    assert change_branch(clone, "main", lambda folder: None) is None
    assert change_branch(clone, "main", lambda folder: "nothing") is None
    git(clone, "fetch", "--quiet")
    assert git(clone, "rev-parse", "origin/main") == before


def test_a_branch_that_moves_meanwhile_gets_both_changes(clone, tmp_path):
    seen = []

    def change(folder: Path) -> str:
        seen.append(sorted(p.name for p in folder.iterdir() if p.name != ".git"))
        if len(seen) == 1:
            change_branch(tmp_path / "first", "main", add("theirs"))
        return add("ours")(folder)

    change_branch(clone, "main", change, wait=0)
    assert seen == [["a"], ["a", "theirs"]]
    assert pushed(clone) == ["a", "ours", "theirs"]


def test_a_branch_that_moves_each_time_is_one_sentence(clone, tmp_path):
    count = iter(range(100))

    def change(folder: Path) -> str:
        change_branch(tmp_path / "first", "main", add(f"theirs{next(count)}"))
        return add("ours")(folder)

    with pytest.raises(BenchError, match="main moved each time"):
        change_branch(clone, "main", change, wait=0)
    assert len(pushed(clone)) == 1 + branch.ATTEMPTS


def test_a_race_lost_while_the_remote_takes_the_commit_is_a_branch_that_moved(clone, tmp_path):
    git(tmp_path / "first", "commit", "--quiet", "--allow-empty", "-m", "theirs")
    git(tmp_path / "first", "push", "--quiet", "origin", "HEAD:theirs")
    hook = tmp_path / "bare.git/hooks/pre-receive"
    # The other push has been taken after ours was seen to be a fast-forward: the remote itself refuses ours, then.
    hook.write_text("#!/bin/sh\nexec env -u GIT_QUARANTINE_PATH git update-ref refs/heads/main refs/heads/theirs\n")
    hook.chmod(0o755)
    said = []

    def change(folder: Path) -> str:
        if said:
            hook.unlink()
        return add("ours")(folder)

    commit = change_branch(clone, "main", change, said.append, wait=0)
    assert said == ["The branch main has moved: the change is made again on its newest state."]
    assert git(clone, "log", "--format=%s", str(commit)).split("\n")[:3] == ["Add ours", "theirs", "first"]


def test_a_remote_that_refuses_is_asked_once(clone, tmp_path):
    hook = tmp_path / "bare.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'no right to write: fetch first, and ask' >&2\nexit 1\n")
    hook.chmod(0o755)
    calls = []

    def change(folder: Path) -> str:
        calls.append(1)
        return add("ours")(folder)

    with pytest.raises(BenchError, match=r"did not take the commit .*remote rejected.*Settings → Branches and Rules"):
        change_branch(clone, "main", change, wait=0)
    assert len(calls) == 1
    assert git(clone, "worktree", "list").count("\n") == 1


def test_a_branch_that_is_protected_says_so(clone, tmp_path):
    hook = tmp_path / "bare.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'error: GH006: Protected branch update failed' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(BenchError, match="GH006: Protected branch update failed"):
        change_branch(clone, "main", add("ours"), wait=0)


def test_a_branch_that_is_not_there_is_one_sentence(clone):
    with pytest.raises(BenchError, match="git fetch failed"):
        change_branch(clone, "nowhere", add("b"))


def test_a_change_that_fails_leaves_no_checkout(clone):
    def change(folder: Path) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        change_branch(clone, "main", change)
    assert git(clone, "worktree", "list").count("\n") == 1
