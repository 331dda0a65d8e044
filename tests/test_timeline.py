"""Promises about the timeline: the same commits everywhere, forever, and within a moment."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import BenchError
from harness.stacks import timeline
from harness.stacks.locks import STACKS, load_stacks, parse
from harness.stacks.timeline import ensure_timeline, hashes, lock_at

ROOT = STACKS.parent
HOSTILE_CONFIG = """\
[core]
    autocrlf = true
    eol = crlf
    hooksPath = /nonexistent
    logAllRefUpdates = false
[commit]
    gpgsign = true
[tag]
    gpgsign = true
    sort = -version:refname
[init]
    defaultBranch = trunk
    defaultObjectFormat = sha256
    templateDir = /nonexistent
[i18n]
    commitEncoding = latin1
[user]
    name = Somebody Else
    email = else@example.invalid
"""


def git(path: Path, *arguments: str) -> str:
    """Run Git as a user would."""
    return subprocess.run(["git", "-C", path, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's timeline, generated elsewhere."""
    return ensure_timeline(path=tmp_path_factory.mktemp("timeline") / "timeline")


def test_every_stack_is_one_commit_with_its_tag_upload_time_and_lock(repository):
    found = load_stacks()
    log = git(repository, "log", "--reverse", "--format=%H %at %ct %s", "main").splitlines()
    assert len(log) == len(found)
    for line, stack in zip(log, found, strict=True):
        commit, authored, committed, subject = line.split(" ", 3)
        assert git(repository, "rev-parse", stack.tag).strip() == commit
        assert int(authored) == int(committed) == int(stack.date.timestamp())
        assert subject == f"pymc {stack.version}"
    assert git(repository, "ls-tree", "-r", "--name-only", "v5.10.0") == "requirements.txt\n"
    assert git(repository, "show", "v6.4.0:requirements.txt") == (STACKS / "v6.4.0.txt").read_text()


def test_head_is_on_the_branch_main_and_nothing_is_left_to_commit(repository):
    assert git(repository, "symbolic-ref", "HEAD") == "refs/heads/main\n"
    assert git(repository, "status", "--porcelain") == ""


def test_a_commit_message_says_which_packages_changed(repository):
    assert "\njax 0.11.1 -> 0.12.0.1\n" in git(repository, "log", "-1", "--format=%B", "v6.4.0")


def test_the_commit_hashes_are_those_on_record(repository):
    recorded = json.loads((STACKS / "timeline.json").read_text())
    assert {tag: git(repository, "rev-parse", tag).strip() for tag in recorded} == recorded
    # Two of them once more, by hand: an edit of the locks and of the record together is caught as well.
    assert recorded["v5.10.0"] == "f9e277d977baa0a6bb1ec4d353fa690e29b39089"
    assert recorded["v6.4.0"] == "2f1e34931f8cdf3efe04c7ee3e5c493196e7dbe5"


def test_the_hashes_do_not_depend_on_how_git_and_the_user_are_configured(tmp_path):
    (tmp_path / ".gitconfig").write_text(HOSTILE_CONFIG)
    hostile = os.environ | {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "GIT_CONFIG_GLOBAL": str(tmp_path / ".gitconfig"),
        "GIT_DIR": "/nonexistent",
        "GIT_INDEX_FILE": "/nonexistent",
        "GIT_AUTHOR_NAME": "Somebody Else",
        "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z",
        "GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z",
        "GIT_DEFAULT_HASH": "sha256",
        "LC_ALL": "tr_TR.UTF-8",
        "LANGUAGE": "tr",
        "TZ": "Asia/Kathmandu",
    }
    script = (
        "import json, os; os.umask(0o077)\n"
        "from harness.stacks import locks, timeline\n"
        "print(json.dumps(timeline.hashes(locks.load_stacks())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=hostile, check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == json.loads((STACKS / "timeline.json").read_text())


def test_a_stack_that_is_appended_leaves_earlier_hashes_as_they_were():
    found = load_stacks()
    newest = found[-1]
    text = newest.text.replace(newest.version, "99.0.0").replace("uploaded: 20", "uploaded: 30")
    before, after = hashes(found), hashes([*found, parse(text)])
    assert before.items() < after.items()
    assert set(after) - set(before) == {"v99.0.0"}


def test_a_timeline_that_is_current_is_left_alone(repository):
    before = (repository / ".git").stat().st_mtime_ns, repository.stat().st_ino
    ensure_timeline(path=repository)
    assert ((repository / ".git").stat().st_mtime_ns, repository.stat().st_ino) == before


def test_a_new_lock_is_in_the_timeline_at_once(tmp_path):
    folder = Path(shutil.copytree(STACKS, tmp_path / "stacks"))
    path = ensure_timeline(folder, tmp_path / "timeline")
    newest = load_stacks(folder)[-1]
    text = newest.text.replace(newest.version, "99.0.0").replace("uploaded: 20", "uploaded: 30")
    (folder / "v99.0.0.txt").write_text(text)
    ensure_timeline(folder, path)
    assert git(path, "log", "-1", "--format=%s").strip() == "pymc 99.0.0"


def test_a_timeline_that_was_damaged_in_the_making_is_made_again(tmp_path):
    path = tmp_path / "timeline"
    path.mkdir()
    (path / "half").write_text("a generation that was interrupted")
    ensure_timeline(path=path)
    assert git(path, "ls-files") == "requirements.txt\n"
    assert not (path / "half").exists()


def test_several_processes_may_ask_for_it_at_once(tmp_path):
    path = tmp_path / "timeline"
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: ensure_timeline(path=path), range(4))) == {path}
    assert len(git(path, "tag").split()) == len(load_stacks())
    assert {entry.name for entry in tmp_path.iterdir()} <= {"timeline", "timeline.lock"}


def test_a_changed_lock_stops_before_it_orphans_results(tmp_path):
    folder = Path(shutil.copytree(STACKS, tmp_path / "stacks"))
    lock = folder / "v6.3.2.txt"
    lock.write_text(lock.read_text().replace("arviz==", "arviz==9", 1))
    with pytest.raises(BenchError, match=r"stacks/v6\.3\.2\.txt changes history"):
        ensure_timeline(folder, tmp_path / "timeline")
    assert not (tmp_path / "timeline").exists()


def test_the_lock_of_a_commit_is_the_stack_it_was_made_from(repository):
    stack = lock_at("v6.4.0", repository)
    assert stack.tag == "v6.4.0"
    assert stack.text == (STACKS / "v6.4.0.txt").read_text()
    with pytest.raises(BenchError, match="no commit 'v9'"):
        lock_at("v9", repository)


def test_without_git_there_is_one_clear_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match=r"^There is no `git` on PATH[^\n]*install Git\.$"):
        ensure_timeline(path=tmp_path / "timeline")
    assert not (tmp_path / "timeline").exists()


def test_a_place_that_cannot_be_written_is_one_clear_sentence(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BenchError, match=r"cannot be written \(.*\): free some space or fix its permissions\.$"):
        ensure_timeline(path=tmp_path / "file" / "timeline")


def test_generating_it_takes_a_handful_of_git_processes(tmp_path, monkeypatch):
    calls = []
    original = timeline._git
    monkeypatch.setattr(timeline, "_git", lambda *a, **k: calls.append(a) or original(*a, **k))
    ensure_timeline(path=tmp_path / "timeline")
    assert 0 < len(calls) < 8  # one for each commit would take a second or more
