"""Byte code is compiled once for all that share a store, is what Python would have written, and survives a kill."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.stacks.environments import BYTECODE


class Place:
    """A folder of modules, a store, and where this folder's byte code is to be."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.lib, self.prefix, self.store = folder / "lib", folder / "pycache", store
        self.lib.mkdir(parents=True)

    def module(self, name: str, text: str) -> Path:
        path = self.lib / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-P", BYTECODE, self.lib, self.store], text=True, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPYCACHEPREFIX": str(self.prefix)}, start_new_session=True,
        )  # fmt: skip

    def fill(self) -> None:
        process = self.start()
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, "")

    def compiled(self, name: str) -> Path:
        return Path(f"{self.prefix}{self.lib / name}.{sys.implementation.cache_tag}.pyc")

    def kept(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.store.rglob("*") if path.is_file()}

    def imported(self, module: str) -> str:
        """What Python says of where it takes a module from."""
        return subprocess.run(
            [sys.executable, "-v", "-c", f"import {module}"], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPYCACHEPREFIX": str(self.prefix), "PYTHONPATH": str(self.lib)},
        ).stderr  # fmt: skip


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "one", tmp_path / "store")


def test_python_takes_what_was_placed_for_its_own(place):
    place.module("alone", "x = 1\n")
    place.fill()
    said = place.imported("alone")
    assert f"{place.compiled('alone')} matches" in said
    assert "code object from" in said
    assert f"# wrote '{place.compiled('alone')}'" not in said


def test_a_source_that_changes_is_compiled_anew(place):
    path = place.module("alone", "x = 1\n")
    place.fill()
    path.write_text("x = 2222\n")
    place.fill()
    assert f"{place.compiled('alone')} matches" in place.imported("alone")


def test_what_another_folder_has_had_is_not_compiled_again(place, tmp_path):
    place.module("alone", "x = 1\n")
    place.fill()
    before = place.kept()
    other = Place(tmp_path / "two", place.store)
    other.module("renamed", "x = 1\n")
    other.fill()
    assert place.kept() == before
    assert f"{other.compiled('renamed')} matches" in other.imported("renamed")


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_a_damaged_store_is_mended(place, tmp_path, damage):
    place.module("alone", "x = 1\n")
    place.fill()
    ((path, whole),) = place.kept().items()
    damaged = whole[:-1] if damage is None else damage
    path.write_bytes(damaged)
    other = Place(tmp_path / "two", place.store)
    other.module("alone", "x = 1\n")
    other.fill()
    assert place.kept().keys() == {path}
    assert path.read_bytes() != damaged
    assert f"{other.compiled('alone')} matches" in other.imported("alone")


def test_what_does_not_compile_is_left_out_and_keeps_nothing_else_away(place):
    place.module("template", "{{ no python }}\n")
    place.module("binary", "\0")
    place.module("careless", 'pattern = "\\d"\n')
    place.module("alone", "x = 1\n")
    place.fill()
    assert place.compiled("alone").exists()
    assert place.compiled("careless").exists()
    assert not place.compiled("template").exists()


def test_packages_tests_are_left_out_wherever_the_environment_lies(tmp_path):
    place = Place(tmp_path / "tests" / "one", tmp_path / "store")
    place.module("package/__init__", "")
    place.module("package/tests/test_x", "")
    place.fill()
    assert place.compiled("package/__init__").exists()
    assert not place.compiled("package/tests/test_x").exists()


@pytest.mark.slow
def test_many_at_once_and_one_that_is_killed_leave_a_whole_store(place, tmp_path):
    for i in range(400):
        place.module(f"m{i}", "\n".join(f"def f{j}(x): return [x + {i}, {j}]" for j in range(100)))
    first, killed = place.start(), place.start()
    while not any(place.store.rglob("*")):
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert first.communicate(timeout=60)[1] == ""
    assert first.returncode == 0
    other = Place(tmp_path / "two", place.store)
    shutil.copytree(place.lib, other.lib, dirs_exist_ok=True)
    other.fill()
    placed = list(other.compiled("m399").parent.glob("*.pyc"))
    assert len(placed) == 400
    assert all(path.read_bytes().startswith(importlib.util.MAGIC_NUMBER) for path in placed)
    assert f"{other.compiled('m399')} matches" in other.imported("m399")


def test_a_store_that_cannot_be_written_is_an_error(place):
    place.module("alone", "x = 1\n")
    place.store.write_text("a file where a folder should be")
    process = place.start()
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Error" in said.strip().splitlines()[-1]
