"""Stacks that nobody had: of what users got at a moment, and of one stack with some packages of another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from pypi_simple import NoSuchProjectError
from requests import ConnectionError as NoConnection

from harness.errors import BenchError, MachineError
from harness.stacks import mixing
from harness.stacks.locks import parse

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def stack(day: int, **packages: str):
    packages = {"pymc": "6.1.0", **packages}
    pins = "".join(f"{name}=={version}\n" for name, version in sorted(packages.items()))
    header = f"# snapshot: pymc {packages['pymc']}\n# resolved as of: {START + day * DAY:%Y-%m-%dT%H:%M:%SZ}\n"
    return parse(header + pins)


def index(monkeypatch, **uploads: list[tuple[str, float]] | Exception) -> None:
    """An index on which these versions of each project were uploaded, on which day."""

    def project_files(name: str):
        found = uploads[name]
        if isinstance(found, Exception):
            raise found
        return [
            SimpleNamespace(version=version, upload_time=START + day * DAY, is_yanked=version.endswith("99"))
            for version, day in found
        ]

    monkeypatch.setattr(mixing, "project_files", project_files)


def test_the_moments_between_are_when_something_that_changed_was_uploaded(monkeypatch):
    old, new = stack(0, jax="1.0", numba="3"), stack(10, jax="1.2", numba="3", nutpie="2")
    index(
        monkeypatch,
        jax=[("1.0", -5), ("1.1", 3), ("1.2", 7), ("1.3", 12), ("1.2.99", 5), ("1.2rc1", 6), ("later", 4)],
        nutpie=[("2", 3), ("1", -9)],
    )
    moments, untold = mixing.moments(old, new)
    # Of both days once, minutes after the upload; not of what was withdrawn, nor of what nobody gets unasked.
    assert moments == [START + day * DAY + timedelta(minutes=5) for day in (3, 7)]
    assert untold == []


def test_what_the_index_has_forgotten_is_said_and_the_rest_goes_on(monkeypatch):
    old, new = stack(0, jax="1.0", blackjax="1"), stack(10, jax="1.2", blackjax="2")
    index(monkeypatch, jax=[("1.0", -5), ("1.1", 3)], blackjax=NoSuchProjectError("blackjax", "there"))
    moments, untold = mixing.moments(old, new)
    assert moments == []
    assert len(untold) == 2
    assert any("the index does not tell of jax 1.2 (it does not have the newer version any more)" in u for u in untold)


def test_no_network_is_one_sentence_with_the_next_step(monkeypatch):
    index(monkeypatch, jax=NoConnection())
    with pytest.raises(BenchError, match=r"versions of jax cannot be read .*check the network connection and run"):
        mixing.moments(stack(0, jax="1"), stack(9, jax="2"))


@pytest.fixture
def resolved(monkeypatch):
    """What was asked of uv, which gives what it was asked for."""
    asked = []

    def compile_pins(requested, as_of, doing, *more):
        asked.append((list(requested), as_of))
        return sorted(r for r in requested if "==" in r)

    monkeypatch.setattr(mixing, "compile_pins", compile_pins)
    return asked


def test_a_mixture_has_the_packages_that_are_named_as_the_other_stack_has_them(resolved):
    before, after = stack(3, jax="1", toolz="1"), stack(5, jax="2", obstore="1")
    assert mixing.mixed(before, after, {"jax"}).packages == {"pymc": "6.1.0", "jax": "2", "toolz": "1"}
    assert mixing.mixed(before, after, {"obstore"}).packages["obstore"] == "1"
    assert "toolz" not in mixing.mixed(before, after, {"toolz"}).packages
    assert "obstore" not in mixing.mixed(after, before, {"obstore"}).packages
    assert mixing.mixed(before, after, {"jax", "toolz", "obstore"}).packages == after.packages
    # Of the later day: both have to be there.
    assert {as_of for _, as_of in resolved} == {after.resolved_as_of}


def test_where_numba_cannot_be_had_the_stack_of_a_moment_has_none(monkeypatch):
    def compile_pins(requested, as_of, doing, *more):
        if "numba" in requested:
            raise BenchError(f"{doing}: because numba has no wheels")
        return ["jax==1.0", "pymc==6.1.0"]

    monkeypatch.setattr(mixing, "compile_pins", compile_pins)
    found = mixing.as_of(START)
    assert found.packages == {"pymc": "6.1.0", "jax": "1.0"}
    assert "# without: numba" in found.text


@pytest.mark.parametrize("error", [MachineError("no network"), BenchError("there is no solution")])
def test_what_cannot_be_resolved_otherwise_is_an_error(monkeypatch, error):
    def compile_pins(*_):
        raise error

    monkeypatch.setattr(mixing, "compile_pins", compile_pins)
    with pytest.raises(type(error)):
        mixing.as_of(START)
