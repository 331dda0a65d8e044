"""What `measure_blame` plants is where it says, and nowhere else."""

from __future__ import annotations

import zipfile

import pytest
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version
from pypi_simple import PyPISimple

from harness.stacks.locks import diff, get_stack
from tests.measure_blame import CASES, NEW, OLD
from tests.planted_packages import Plant, PlantedIndex

pytestmark = pytest.mark.network


def version(filename: str) -> Version:
    try:
        return parse_wheel_filename(filename)[1]
    except InvalidWheelFilename:
        return parse_sdist_filename(filename)[1]


@pytest.fixture
def planted(tmp_path):
    index = PlantedIndex(tmp_path, {"filelock": Plant("filelock", "3.30", "filelock/__init__.py", "planted = True\n")})
    yield index
    index.shutdown()


def test_a_package_is_planted_from_a_version_on_and_says_when_it_was_really_uploaded(planted):
    with PyPISimple(planted.url) as index, PyPISimple() as real:
        ours, theirs = ({p.filename: p for p in i.get_project_page("filelock").packages} for i in (index, real))
    for name, file in ours.items():
        try:
            is_planted = version(name) >= Version("3.30")
        except InvalidSdistFilename:
            continue
        assert file.url.startswith(planted.url.removesuffix("/simple")) is is_planted
        assert file.upload_time == theirs[name].upload_time
    assert {n for n, f in theirs.items() if f.version == "3.29.0"} <= set(ours)


def test_a_planted_wheel_ends_its_module_with_the_planted_lines_and_is_else_the_same(planted, tmp_path):
    name = next(name for name in planted.files if name.startswith("filelock-3.32.0-"))
    (tmp_path / "planted.whl").write_bytes(planted.content(name))
    with zipfile.ZipFile(tmp_path / "planted.whl") as ours, zipfile.ZipFile(tmp_path / f"{name}.real") as real:
        assert ours.namelist() == real.namelist()
        other = {n for n in real.namelist() if ours.read(n) != real.read(n)}
        assert other == {"filelock/__init__.py", "filelock-3.32.0.dist-info/RECORD"}
        assert ours.read("filelock/__init__.py").endswith(b"planted = True\n")


@pytest.mark.parametrize("case", CASES)
def test_what_is_planted_changed_between_the_two_releases(case):
    changed = diff(get_stack(OLD), get_stack(NEW)).changed
    for plant in CASES[case].plants:
        old, new = changed[plant.package]
        assert Version(old) < Version(plant.since) <= Version(new)
