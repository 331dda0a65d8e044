"""Locks that were resolved elsewhere are taken when they are what this code would have written, and not otherwise."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from requests import ConnectionError as NoConnection

from harness.errors import BenchError, MachineError
from harness.stacks import proposals
from harness.stacks.locks import STACKS, WAIT, get_stack, load_stacks, parse, recorded_hashes, recorded_imports, stamp
from harness.stacks.resolving import NO_NUMBA, lock_text
from harness.stacks.updating import verify_history

NEW = "v6.4.0"


def propose(to: Path, *tags: str, imports: dict | None = None) -> None:
    """A proposal of stacks that there are."""
    to.mkdir(exist_ok=True)
    for tag in tags:
        (to / f"{tag}.txt").write_text(get_stack(tag).text)
    (to / "imports.json").write_text(json.dumps({tag: {} for tag in tags} if imports is None else imports))


@pytest.fixture
def folder(tmp_path, index_of_locks) -> Path:
    """The locks as they were before PyMC 6.4.0."""
    to = tmp_path / "stacks"
    to.mkdir()
    before = [stack for stack in load_stacks() if stack.date < get_stack(NEW).date]
    for stack in before:
        shutil.copy(stack.path, to)
    for name in ("imports.json", "timeline.json"):
        whole = json.loads((STACKS / name).read_text())
        (to / name).write_text(json.dumps({stack.tag: whole[stack.tag] for stack in before}))
    return to


@pytest.fixture
def proposal(tmp_path) -> Path:
    propose(tmp_path / "proposal", NEW)
    return tmp_path / "proposal"


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(proposal: Path, folder: Path) -> str:
    before = state(folder)
    with pytest.raises(BenchError, match=r"is refused: .* Nothing of the proposal was taken") as caught:
        proposals.accept(proposal, folder)
    assert state(folder) == before
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_all_locks_are_as_they_would_be_written():
    for stack in load_stacks():
        pins = [f"{name}=={version}" for name, version in stack.packages.items()]
        without = "" if "numba" in stack.packages else NO_NUMBA
        assert stack.text == lock_text(
            stack.version, None if stack.is_snapshot else stack.date, stack.resolved_as_of, pins, without
        )


def test_a_new_release_is_added_with_its_hash_and_what_cannot_be_imported(proposal, folder):
    propose(proposal, NEW, imports={NEW: {"blackjax": "ImportError: no (blackjax 1.7.1)"}})
    added, skipped = proposals.accept(proposal, folder)
    assert ([stack.tag for stack in added], skipped) == ([NEW], [])
    assert (folder / f"{NEW}.txt").read_text() == get_stack(NEW).text
    assert recorded_hashes(folder)[NEW] == recorded_hashes()[NEW]
    assert recorded_imports(folder)[NEW] == {"blackjax": "ImportError: no (blackjax 1.7.1)"}
    verify_history(folder)


def test_what_is_there_already_is_passed_over(proposal, folder):
    proposals.accept(proposal, folder)
    before = state(folder)
    assert proposals.accept(proposal, folder) == ([], [])
    assert state(folder) == before


def test_no_proposal_is_nothing_new(tmp_path, folder):
    assert proposals.accept(tmp_path / "nothing", folder) == ([], [])


def snapshot(to: Path, day: datetime, **changes: str) -> str:
    """A proposal of PyMC 6.4.0 with other packages on a later day; gives its tag."""
    packages = {**get_stack(NEW).packages, "jax": "0.99", **changes}
    text = lock_text(packages["pymc"], None, day, [f"{name}=={version}" for name, version in packages.items()])
    tag = parse(text).tag
    to.mkdir()
    (to / f"{tag}.txt").write_text(text)
    (to / "imports.json").write_text(json.dumps({tag: {}}))
    return tag


DUE = get_stack(NEW).resolved_as_of.replace(hour=0, minute=0, second=0) + timedelta(days=8)


def test_a_snapshot_is_added_when_it_is_due_and_not_before(tmp_path, folder, index_of_locks, proposal):
    index_of_locks["jax"] |= {"0.99": DUE - timedelta(days=1), "0.100": DUE}
    proposals.accept(proposal, folder)
    tag = snapshot(tmp_path / "due", DUE)
    assert [stack.tag for stack in proposals.accept(tmp_path / "due", folder)[0]] == [tag]
    snapshot(tmp_path / "early", DUE + timedelta(days=6), jax="0.100")
    assert "not of a midnight when" in refused(tmp_path / "early", folder)


@pytest.mark.parametrize(
    ("day", "changes", "why"),
    [
        (DUE + timedelta(hours=13), {}, "not of a midnight when v6.4.0 was a week old"),
        (DUE, {"jax": get_stack(NEW).packages["jax"]}, "tells nothing new after v6.4.0"),
        (DUE, {"pymc": "6.3.2"}, "PyMC 6.3.2 is not the newest release"),
        (DUE, {"pymc": "6.4"}, "PyMC 6.4 is not the newest release"),
        (DUE, {"pymc": "0!6.4.0"}, "not what a stack is called"),
        (DUE, {"pymc": "v6.4.0"}, "not what a stack is called"),
        (DUE, {"jax": "0.99.0"}, "the index had no jax 0.99.0"),
    ],
)
def test_a_snapshot_is_what_would_have_been_taken(tmp_path, folder, index_of_locks, proposal, day, changes, why):
    index_of_locks["jax"]["0.99"] = DUE - timedelta(days=1)
    proposals.accept(proposal, folder)
    snapshot(tmp_path / "next", day, **changes)
    assert why in refused(tmp_path / "next", folder)


def test_a_snapshot_waits_for_a_release_that_has_no_lock(tmp_path, folder, index_of_locks):
    index_of_locks["jax"]["0.99"] = DUE - timedelta(days=1)
    snapshot(tmp_path / "next", DUE)
    assert "PyMC 6.4.0 has no lock, and a snapshot waits for it" in refused(tmp_path / "next", folder)


def test_a_release_that_is_passed_over_is_told(proposal, folder):
    """It has no solution, or so it is said: it will not be locked any more."""
    for name in ("imports.json", "timeline.json"):
        whole = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({tag: value for tag, value in whole.items() if tag != "v6.3.2"}))
    (folder / "v6.3.2.txt").unlink()
    added, skipped = proposals.accept(proposal, folder)
    assert ([stack.tag for stack in added], skipped) == ([NEW], ["6.3.2"])


def test_a_stack_has_what_every_stack_has(proposal, folder):
    (proposal / f"{NEW}.txt").write_text(
        "".join(line for line in TEXT.splitlines(True) if not line.startswith("jax=="))
    )
    assert "it has no jax, which every stack has" in refused(proposal, folder)


TEXT = get_stack(NEW).text
LATER = get_stack(NEW).date + timedelta(days=3000)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        (f"{NEW}.txt", TEXT.replace("numpy==", "numpy @ https://example.org/#"), "is not a pin"),
        (f"{NEW}.txt", TEXT + "--index-url https://example.org\n", "is not a pin"),
        (f"{NEW}.txt", TEXT + "zzz==1.0\n", "the index had no zzz 1.0 on its day"),
        (f"{NEW}.txt", TEXT.replace("\nnumpy==", "\nnumpy==1!"), "the index had no numpy"),
        (f"{NEW}.txt", "# note: hello\n" + TEXT, "not written as locks are"),
        (f"{NEW}.txt", TEXT.replace("# python: 3.12", "# python: 3.13"), "not written as locks are"),
        (f"{NEW}.txt", TEXT.replace("\n", "\r\n"), "not written as locks are"),
        (f"{NEW}.txt", TEXT[:-1], "cut short"),
        (f"{NEW}.txt", TEXT.replace("pymc", "evil"), "is no lock"),
        (f"{NEW}.txt", "", "is no lock"),
        ("v6.4.1.txt", TEXT, "it is the lock of v6.4.0"),
        ("v6.4.0.sh", TEXT, "it is the lock of v6.4.0"),
        ("timeline.json", "{}", "is no lock"),
        ("x\u202e\n.txt", TEXT, "it is the lock of v6.4.0"),
        (
            "v6.4.1.txt", TEXT.replace("pymc 6.4.0", "pymc 6.4.1").replace("pymc==6.4.0", "pymc==6.4.1"),
            "the index has no PyMC 6.4.1 that was uploaded then",
        ),
        (
            f"{NEW}.txt",
            TEXT.replace(stamp(get_stack(NEW).date), stamp(LATER)).replace(
                stamp(get_stack(NEW).date + WAIT), stamp(LATER + WAIT)
            ),
            "its day is not over",
        ),
    ],
)  # fmt: skip
def test_what_is_no_lock_of_a_release_that_the_index_has_is_refused(proposal, folder, name, text, why):
    (proposal / f"{NEW}.txt").unlink()
    propose(proposal, imports={name.removesuffix(".txt"): {}})
    with (proposal / name).open("w", newline="") as file:
        file.write(text)
    assert why in refused(proposal, folder)


def test_a_version_that_was_uploaded_later_is_refused(proposal, folder, index_of_locks):
    index_of_locks["jax"][get_stack(NEW).packages["jax"]] = get_stack(NEW).resolved_as_of + timedelta(seconds=1)
    assert "the index had no jax" in refused(proposal, folder)


def test_history_is_only_appended_to(proposal, folder, tmp_path):
    proposals.accept(proposal, folder)
    old = "v6.3.2"
    for name in ("imports.json", "timeline.json"):
        whole = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({tag: value for tag, value in whole.items() if tag != old}))
    (folder / f"{old}.txt").unlink()
    propose(tmp_path / "old", old)
    assert "is not newer than v6.4.0, and history is only appended to" in refused(tmp_path / "old", folder)


def test_what_is_kept_is_not_changed(proposal, folder):
    changed = get_stack("v6.3.2").text.replace("jax==", "jax==0.")
    (proposal / "v6.3.2.txt").write_text(changed)
    (proposal / "imports.json").write_text(json.dumps({NEW: {}, "v6.3.2": {}}))
    assert "v6.3.2.txt is refused" in refused(proposal, folder)


@pytest.mark.parametrize(
    "imports",
    [
        {}, {NEW: {}, "v6.3.2": {}}, {"v6.3.2": {}}, [], {NEW: []}, {NEW: {"os": "x"}}, {NEW: {"jax": 1}},
        {NEW: {"jax": "a\n::error::b"}}, {NEW: {"jax": "x" * 3000}}, {NEW: {"jax": "a\u202eb"}},
        {NEW: {"jax": ""}}, {NEW: {"jax": "no", "install": "no"}},
    ],
)  # fmt: skip
def test_reasons_are_of_the_proposed_stacks_and_one_line_of_text(proposal, folder, imports):
    propose(proposal, NEW, imports=imports)
    if not isinstance(imports, dict):
        (proposal / "imports.json").write_text(json.dumps(imports))
    assert "imports.json is refused" in refused(proposal, folder)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "large", "bytes", "many"])
def test_only_small_plain_files_of_text_are_read(proposal, folder, kind):
    path = proposal / "v6.5.0.txt"
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        path.write_text("#" * 200_000)
    elif kind == "bytes":
        path.write_bytes(b"\xff\xfe")
    else:
        for i in range(60):
            (proposal / f"v7.{i}.txt").write_text("x")
    refused(proposal, folder)


def test_without_the_index_nothing_is_taken_and_nobody_is_blamed(proposal, folder, monkeypatch):
    def unreachable(_name):
        raise NoConnection

    monkeypatch.setattr(proposals, "_uploads", unreachable)
    before = state(folder)
    with pytest.raises(MachineError, match="check the network and try again"):
        proposals.accept(proposal, folder)
    assert state(folder) == before
