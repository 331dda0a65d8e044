"""A branch that others change, too, gets our commit once, on top of theirs, and loses nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.errors import BenchError
from harness.nightly import branch
from harness.nightly.branch import catch_up, change_branch


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


def test_a_checkout_is_brought_to_what_was_pushed_and_keeps_what_was_changed_in_it(clone, tmp_path):
    (clone / "a").write_text("edited by hand")
    (clone / "mine").write_text("untracked")
    change_branch(tmp_path / "first", "main", add("theirs"))
    commit = change_branch(clone, "main", add("b"))
    assert catch_up(clone, "main", commit) is None
    assert git(clone, "rev-parse", "main").strip() == commit
    assert {p.name: p.read_text() for p in clone.iterdir() if p.is_file()} == {
        "a": "edited by hand", "mine": "untracked", "b": "b", "theirs": "theirs"
    }  # fmt: skip


def test_a_checkout_is_brought_to_what_others_have_pushed_where_nothing_is_new(clone, tmp_path):
    change_branch(tmp_path / "first", "main", add("theirs"))
    assert change_branch(clone, "main", lambda folder: None) is None
    assert catch_up(clone, "main") is None
    assert (clone / "theirs").exists()


def test_a_checkout_of_one_commit_is_brought_forward_as_well(clone, tmp_path):
    git(tmp_path, "clone", "--quiet", "--depth=1", (tmp_path / "bare.git").as_uri(), "runner")
    runner = tmp_path / "runner"
    change_branch(tmp_path / "first", "main", add("theirs"))
    assert catch_up(runner, "main", change_branch(runner, "main", add("b"))) is None
    assert {p.name for p in runner.iterdir()} == {".git", "a", "b", "theirs"}


def edited(clone: Path) -> None:
    (clone / "a").write_text("edited by hand")


def staged(clone: Path) -> None:
    edited(clone)
    git(clone, "add", "a")


def untracked(clone: Path) -> None:
    (clone / "b").write_text("untracked")


def ignored(clone: Path) -> None:
    (clone / ".git/info/exclude").write_text("b\n")
    untracked(clone)


def committed(clone: Path) -> None:
    git(clone, "commit", "--quiet", "--allow-empty", "-m", "mine")


def on_another_branch(clone: Path) -> None:
    git(clone, "checkout", "--quiet", "-b", "feature")


def on_no_branch(clone: Path) -> None:
    git(clone, "checkout", "--quiet", "--detach")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (edited, "would be overwritten"),
        (staged, "would be overwritten"),
        (untracked, "b is there, and not committed"),
        (ignored, "b is there, and not committed"),
        (committed, "fast-forward"),
        (on_another_branch, "it is of feature, not of main"),
        (on_no_branch, "it is of no branch, not of main"),
    ],
)
def test_nothing_of_anybodys_is_lost_where_a_checkout_cannot_be_brought_forward(clone, tmp_path, state, words):
    def change(folder: Path) -> str:
        (folder / "a").write_text("another")
        return add("b")(folder)

    git(clone, "config", "merge.autoStash", "true")
    state(clone)
    before = git(clone, "rev-parse", "HEAD"), {p.name: p.read_text() for p in clone.iterdir() if p.is_file()}
    change_branch(tmp_path / "first", "main", change)
    git(clone, "fetch", "--quiet")
    assert words in catch_up(clone, "main")
    assert before == (git(clone, "rev-parse", "HEAD"), {p.name: p.read_text() for p in clone.iterdir() if p.is_file()})
    assert git(clone, "stash", "list") == ""
