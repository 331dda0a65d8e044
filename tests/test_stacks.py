"""Promises about stacks: what a lock may look like, and that history is only ever appended to."""

import errno
import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.version import Version

from harness.errors import BenchError, MachineError
from harness.stacks import imports, locks, releases, updating
from harness.stacks.locks import STACKS, diff, get_stack, load_stacks, parse
from harness.stacks.releases import Release, pymc_releases
from harness.stacks.resolving import resolve
from harness.stacks.updating import append, update

LOCK = """\
# release: pymc 6.9.0
# uploaded: 2030-01-01T12:00:00Z
# resolved as of: 2030-01-02T12:00:00Z
# python: 3.12
# platform: x86_64-manylinux_2_28
numpy==3.0.0
pymc==6.9.0
xarray==2029.1.0
xarray-einstats==0.9.0
"""
FUTURE = Release("6.9.0", datetime(2030, 1, 1, 12, tzinfo=UTC))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the project's stacks."""
    return Path(shutil.copytree(STACKS, tmp_path / "stacks"))


@pytest.fixture
def no_import_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks are not installed to see whether they can be imported."""
    monkeypatch.setattr(updating, "check_imports", lambda stack: {"blackjax": "does not exist"})


def test_every_release_since_5_10_has_a_stack_in_order_of_date():
    found = load_stacks()
    assert found[0].tag == "v5.10.0"
    assert len(found) >= 50
    assert [stack.date for stack in found] == sorted(stack.date for stack in found)
    assert all(stack.date.tzinfo is UTC for stack in found)


def test_a_yanked_release_has_no_stack():
    assert "v5.17.1" not in {stack.tag for stack in load_stacks()}


def test_no_stack_contains_a_pre_release():
    for stack in load_stacks():
        assert not [pin for pin in stack.packages.items() if Version(pin[1]).is_prerelease], stack.tag


def test_a_stack_contains_every_backend_or_says_in_its_header_why_not():
    for stack in load_stacks():
        for name in ("numba", "nutpie", "numpyro", "blackjax", "jax", "arviz"):
            explained = [line for line in stack.text.splitlines() if line.startswith("# without:") and name in line]
            assert (name in stack.packages) != bool(explained), (stack.tag, name)


def test_every_stack_has_on_record_which_of_its_packages_cannot_be_imported():
    record = json.loads((STACKS / "imports.json").read_text())
    assert list(record) == [stack.tag for stack in load_stacks()]
    assert all(isinstance(reason, str) and reason for failures in record.values() for reason in failures.values())


def test_the_newest_stacks_import_completely():
    record = json.loads((STACKS / "imports.json").read_text())
    assert record["v6.3.2"] == {}
    assert record["v6.4.0"] == {}


def test_the_locks_give_the_hashes_that_results_are_kept_by():
    updating.verify_history()


def test_a_stack_is_found_by_its_tag_and_by_its_version():
    assert get_stack("v6.4.0") == get_stack("6.4.0")
    assert get_stack("6.4.0").packages["pymc"] == "6.4.0"


def test_an_unknown_release_is_answered_with_the_newest_ones_and_how_to_add():
    with pytest.raises(BenchError, match=r"no stack '9\.9'.*v\d.*`bench stacks update`"):
        get_stack("9.9")


def test_a_lock_is_read_completely():
    stack = parse(LOCK)
    assert stack.tag == "v6.9.0"
    assert stack.date == FUTURE.uploaded
    assert list(stack.packages) == ["numpy", "pymc", "xarray", "xarray-einstats"]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("numpy==3.0.0", "numpy>=3", 6),
        ("numpy==3.0.0", "<<<<<<< HEAD", 6),
        ("numpy==3.0.0", "numpy==three", 6),
        ("numpy==3.0.0", "zlib==1.0", 7),
        ("xarray==", "pymc==", 8),
        ("einstats==0.9.0\n", "einst", 9),
        ("einstats==0.9.0\n", "einstats==0.9.0", 9),
        ("# release: pymc 6.9.0", "# release: pymc 6.8.0", 1),
        ("pymc==6.9.0\n", "", 1),
        ("2030-01-01T12:00:00Z", "yesterday", 2),
        ("# release: pymc 6.9.0", "# snapshot: pymc 6.9.0", 1),
        (LOCK, "", 1),
    ],
)
def test_a_damaged_lock_is_named_with_its_line_and_how_to_restore_it(folder, old, new, line):
    (folder / "v6.9.0.txt").write_text(LOCK.replace(old, new, 1))
    with pytest.raises(BenchError, match=rf"stacks/v6\.9\.0\.txt, line {line}: .*git checkout -- stacks/v6"):
        load_stacks(folder)


def test_a_lock_that_is_no_text_is_named(folder):
    (folder / "v6.9.0.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BenchError, match=r"stacks/v6\.9\.0\.txt cannot be read"):
        load_stacks(folder)


def test_a_lock_under_another_name_is_refused(folder):
    (folder / "v6.8.0.txt").write_text(LOCK)
    with pytest.raises(BenchError, match=r"belongs in stacks/v6\.9\.0\.txt"):
        load_stacks(folder)


def test_a_checkout_with_windows_line_ends_gives_the_same_stacks(folder):
    path = folder / "v6.4.0.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert get_stack("6.4.0", folder).sha256 == get_stack("6.4.0").sha256
    updating.verify_history(folder)


def test_no_locks_at_all_is_an_error(tmp_path):
    with pytest.raises(BenchError, match="git checkout -- stacks"):
        load_stacks(tmp_path)


def test_a_difference_names_what_changed_what_came_and_what_went():
    old = parse(LOCK)
    new = parse(LOCK.replace("numpy==3.0.0", "jax==1.0\nnumpy==3.1.0").replace("xarray==2029.1.0\n", ""))
    change = diff(old, new)
    assert change.changed == {"numpy": ("3.0.0", "3.1.0")}
    assert change.added == {"jax": "1.0"}
    assert change.removed == {"xarray": "2029.1.0"}


@pytest.mark.parametrize("tag", ["v5.10.0", "v6.2.0", "v6.4.0"])
def test_a_changed_lock_is_reported_by_name(folder, tag):
    path = folder / f"{tag}.txt"
    path.write_text(path.read_text().replace("arviz==", "arviz==9", 1))
    with pytest.raises(BenchError, match=rf"stacks/{tag}\.txt changes history.*git checkout -- stacks"):
        updating.verify_history(folder)


def test_a_removed_lock_is_reported_by_name(folder):
    (folder / "v6.2.0.txt").unlink()
    with pytest.raises(BenchError, match=r"stacks/v6\.2\.0\.txt is missing"):
        updating.verify_history(folder)


def test_a_lock_put_between_others_is_reported_by_name(folder):
    (folder / "v6.9.0.txt").write_text(LOCK.replace("2030-01-01", "2025-01-01"))
    with pytest.raises(BenchError, match=r"stacks/v6\.9\.0\.txt changes history"):
        updating.verify_history(folder)


def test_a_release_older_than_the_newest_stack_is_never_added(folder):
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(BenchError, match=r"PyMC 5\.17\.1 is older than the newest stack"):
        append(Release("5.17.1", datetime(2024, 9, 30, tzinfo=UTC)), folder)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_an_existing_lock_is_never_resolved_again(folder):
    before = (folder / "v6.4.0.txt").read_bytes()
    with pytest.raises(BenchError, match=r"stacks/v6\.4\.0\.txt exists"):
        append(Release("6.4.0", FUTURE.uploaded), folder)
    assert (folder / "v6.4.0.txt").read_bytes() == before


def test_update_appends_a_new_release_and_leaves_the_history_as_it_was(folder, monkeypatch, no_import_checks):
    before = json.loads((folder / "timeline.json").read_text())
    newest = load_stacks(folder)[-1]
    uploaded = newest.date + timedelta(hours=1)
    lock = LOCK.replace("2030-01-01T12:00:00Z", uploaded.strftime("%Y-%m-%dT%H:%M:%SZ"))
    known = [Release(stack.version, stack.date) for stack in load_stacks(folder)]
    monkeypatch.setattr(updating, "pymc_releases", lambda: [*known, Release("6.9.0", uploaded), young])
    monkeypatch.setattr(updating, "resolve", lambda release: lock)
    young = Release("6.9.1", datetime.now(UTC) - timedelta(hours=2))
    said: list[str] = []

    assert [stack.tag for stack in update(folder, said.append)[0]] == ["v6.9.0"]

    after = json.loads((folder / "timeline.json").read_text())
    assert list(after) == [*before, "v6.9.0"]
    assert before.items() <= after.items()
    assert json.loads((folder / "imports.json").read_text())["v6.9.0"] == {"blackjax": "does not exist"}
    assert any("not a day old" in line for line in said)
    updating.verify_history(folder)


def test_an_update_that_was_interrupted_is_completed_by_the_next(folder, monkeypatch, no_import_checks):
    (folder / "v6.9.0.txt").write_text(LOCK)
    monkeypatch.setattr(updating, "pymc_releases", list)
    with pytest.raises(BenchError, match=r"v6\.9\.0 is not recorded.*`bench stacks update`"):
        updating.verify_history(folder)
    assert update(folder, lambda line: None) == ([], [])
    updating.verify_history(folder)


def test_a_full_disk_makes_no_release_one_without_a_solution(folder, monkeypatch, no_import_checks):
    """It would be older than the next, and could never be added."""
    uploaded = load_stacks(folder)[-1].date + timedelta(hours=1)
    monkeypatch.setattr(updating, "pymc_releases", lambda: [Release("6.9.0", uploaded)])
    monkeypatch.setattr(updating, "resolve", lambda release: LOCK)
    real = Path.replace

    def full(path, target):
        if Path(target).name == "v6.9.0.txt":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(MachineError, match=r"v6\.9\.0\.txt cannot be written \(No space left on device\)"):
        update(folder, lambda line: None)
    assert not (folder / "v6.9.0.txt").exists()


def test_an_index_that_does_not_tell_when_is_one_sentence(monkeypatch):
    file = SimpleNamespace(version="6.9.0", is_yanked=False, upload_time=None)
    monkeypatch.setattr(releases, "project_files", lambda name: [file])
    with pytest.raises(BenchError, match="tells of no PyMC release when it was uploaded"):
        pymc_releases()


@pytest.mark.parametrize(("module", "reason"), [("noisy", None), ("noisy_and_broken", "ImportError: no wheel")])
def test_what_a_package_prints_when_it_is_imported_is_no_error(tmp_path, monkeypatch, module, reason):
    (tmp_path / "noisy.py").write_text("import os\nprint('hello')\nos.write(1, b'from C')\n")
    (tmp_path / "noisy_and_broken.py").write_text("import noisy\nraise ImportError('no wheel')\n")
    monkeypatch.setattr(imports.environments, "python", lambda path: sys.executable)
    monkeypatch.setattr(imports.environments, "process_environment", lambda stack: {"PYTHONPATH": str(tmp_path)})
    found = imports._import_failure(tmp_path, get_stack("v6.4.0"), module, tmp_path)
    assert (found or "").partition(" (")[0] == (reason or "")


def test_a_release_without_a_solution_is_named_and_keeps_no_other_from_being_added(
    folder, monkeypatch, no_import_checks
):
    uploaded = load_stacks(folder)[-1].date + timedelta(hours=1)
    lock = LOCK.replace("2030-01-01T12:00:00Z", uploaded.strftime("%Y-%m-%dT%H:%M:%SZ"))

    def solve(release):
        if release.version == "6.8.9":
            raise BenchError("PyMC 6.8.9 cannot be resolved: it needs what does not exist")
        return lock

    found = [Release("6.8.9", uploaded), Release("6.9.0", uploaded)]
    monkeypatch.setattr(updating, "pymc_releases", lambda: found)
    monkeypatch.setattr(updating, "resolve", solve)
    added, unsolved = update(folder, lambda line: None)
    assert [stack.tag for stack in added] == ["v6.9.0"]
    assert unsolved == ["PyMC 6.8.9 cannot be resolved: it needs what does not exist"]


@pytest.fixture
def snapshots(folder, monkeypatch, no_import_checks):
    """Take a snapshot `days` after the newest stack, which holds its packages with some other versions."""
    newest = load_stacks(folder)[-1]

    def take(days: int, waiting: bool = False, **versions: str):
        moment = newest.resolved_as_of + timedelta(days=days, hours=1)

        def solve(release, snapshot=None):
            assert release.version == newest.version
            pins = newest.packages | versions
            head = f"# snapshot: pymc {release.version}\n# resolved as of: {snapshot:%Y-%m-%dT%H:%M:%SZ}\n"
            return head + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins))

        known = [Release(stack.version, stack.date) for stack in load_stacks(folder)]
        late = [Release("6.9.0", moment - timedelta(hours=3))] if waiting else []
        monkeypatch.setattr(updating, "pymc_releases", lambda: [*known, *late])
        monkeypatch.setattr(updating, "resolve", solve)
        return update(folder, lambda line: None, snapshot=True, as_of=moment)[0]

    return take


def test_a_snapshot_is_locked_a_week_after_the_newest_stack_when_a_deciding_package_is_newer(folder, snapshots):
    (stack,) = snapshots(days=8, jax="99.0.0")
    assert stack.tag == f"v6.4.0+{stack.date:%Y%m%d}"
    assert stack.is_snapshot
    assert stack.version == "6.4.0"
    assert (stack.date.hour, stack.date.minute) == (0, 0)
    assert get_stack(stack.tag, folder) == load_stacks(folder)[-1] == stack
    assert str(diff(*locks.with_previous(stack.tag, folder))).endswith("→ 99.0.0")
    updating.verify_history(folder)
    assert stack.tag not in {other.tag for other in locks.of_releases(load_stacks(folder))}
    assert snapshots(days=9, jax="99.1.0") == []


@pytest.mark.parametrize(
    ("days", "waiting", "versions"),
    [(8, False, {}), (8, False, {"fonttools": "99.0.0"}), (6, False, {"jax": "99.0.0"}), (8, True, {"jax": "99.0.0"})],
    ids=["the same", "another font", "too early", "a release waits"],
)
def test_a_snapshot_that_tells_nothing_new_or_would_come_before_a_release_is_not_locked(
    snapshots, folder, days, waiting, versions
):
    assert snapshots(days, waiting, **versions) == []
    assert not list(folder.glob("*+*"))


@pytest.mark.network
def test_a_snapshot_holds_what_existed_at_its_moment_and_nothing_newer():
    newest = locks.of_releases(load_stacks())[-1]
    text = resolve(Release(newest.version, newest.date), snapshot=newest.resolved_as_of)
    assert parse(text).packages == newest.packages
    assert parse(text).tag == f"{newest.tag}+{newest.resolved_as_of:%Y%m%d}"


def test_update_refuses_to_go_on_from_a_changed_history(folder, monkeypatch, no_import_checks):
    path = folder / "v6.2.0.txt"
    path.write_text(path.read_text().replace("arviz==", "arviz==9", 1))
    monkeypatch.setattr(updating, "pymc_releases", lambda: [FUTURE])
    with pytest.raises(BenchError, match=r"stacks/v6\.2\.0\.txt changes history"):
        update(folder)


def test_a_lock_is_written_whole_or_not_at_all(folder, monkeypatch):
    monkeypatch.setattr(updating, "resolve", lambda release: LOCK.replace("numpy==3.0.0", "numpy"))
    with pytest.raises(BenchError, match="is not a pin"):
        append(FUTURE, folder)
    assert not (folder / "v6.9.0.txt").exists()


def test_without_a_network_the_releases_are_one_clear_sentence(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(releases, "TIMEOUT", 2.0)
    with pytest.raises(BenchError, match=r"^[^\n]*cannot be read from the package index[^\n]*network[^\n]*$"):
        pymc_releases()


def test_without_a_network_resolving_is_one_clear_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(MachineError, match=r"^PyMC 6\.4\.0 cannot be resolved: the package index[^\n]*network"):
        resolve(Release("6.4.0", datetime(2026, 11, 1, 16, 52, 42, tzinfo=UTC)))


@pytest.mark.network
def test_the_package_index_has_every_release_that_has_a_stack():
    uploads = {f"v{release.version}": release.uploaded for release in pymc_releases()}
    for stack in load_stacks():
        assert uploads[stack.tag].replace(microsecond=0) == stack.date
    assert "v5.17.1" not in uploads


@pytest.mark.network
@pytest.mark.parametrize("tag", ["v5.10.0", "v6.4.0"])
def test_resolving_a_release_again_gives_its_lock(tag):
    stack = get_stack(tag)
    assert resolve(Release(stack.version, stack.date)) == stack.text


@pytest.mark.parametrize("name", ["timeline.json", "imports.json"])
@pytest.mark.parametrize("text", ["", "[]", '{"v6.4.0": null}', '{"v6.4.0": {"numba": 1}}', "[" * 100_000])
def test_a_damaged_record_beside_the_locks_is_one_sentence(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    read = {"timeline.json": locks.recorded_hashes, "imports.json": locks.recorded_imports}[name]
    with pytest.raises(BenchError, match=f"^stacks/{name} cannot be read .*git checkout -- stacks/{name}`"):
        read(tmp_path)
