"""Thousands of hostile shards, each made of an honest one, do nothing but be refused by name, or be published.

With BENCH_FUZZ_SHARDS=100000 in the environment, so many are made at random, and others each time.
"""

from __future__ import annotations

import copy
import json
import math
import os
import resource
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Verbosity, given, settings
from hypothesis import strategies as st

from harness.nightly import candidate
from harness.results import asv_files, collecting
from harness.results.collecting import Shard, Task, collect
from harness.results.records import read_records
from harness.stacks.locks import Stack, load_stacks, recorded_hashes
from harness.suite import inside
from tests import site_results as make
from tests.conftest import copy_suite
from tests.site_results import STAMP

MANY = int(os.environ.get("BENCH_FUZZ_SHARDS", "1100"))
STACKS = load_stacks()
CELLS = [("ppca", 500, "pymc-c"), ("ppca", 500, "blackjax")]
TASK = Task(make.MACHINE, {}, frozenset(CELLS), inside()["protocol"])

Files = dict[str, Any]
"""A shard: its documents by their names, or bytes, or what else a file can be."""


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Files:
    """An honest shard of the first stack."""
    folder = tmp_path_factory.mktemp("honest")
    make.build(folder, STACKS[:1], CELLS[:1])
    # A cold trial and a warm one, which is less to read and to write two thousand times.
    (path,) = folder.rglob("ppca-500-pymc-c.*.json")
    trials = json.loads(path.read_text())[:2]
    make.write_records(folder, STACKS[0].tag, trials)
    make.write_asv(folder, {STACKS[0].tag: {CELLS[0]: trials}})
    make.write_records(folder, STACKS[0].tag, make.failed(STACKS[0], *CELLS[1], "TypeError: no", TASK.protocol))
    paths = (p for p in folder.rglob("*.json") if p.name != "benchmarks.json")
    return {p.relative_to(folder).as_posix(): json.loads(p.read_text()) for p in paths}


def of_stack(text: str, stack: Stack) -> str:
    """What is said of the first stack, said of another one."""
    for mine, its in zip(marks(STACKS[0]), marks(stack), strict=True):
        text = text.replace(mine, its)
    return text


def marks(stack: Stack) -> list[str]:
    """By what a shard is known to be of a stack."""
    commit = recorded_hashes()[stack.tag]
    return [stack.tag, stack.sha256, commit, commit[:8], f"{int(stack.date.timestamp())}000"]


# What somebody may put in the place of anything.
TEXTS = st.one_of(
    st.sampled_from(
        [
            "", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "::error::x", "##[error]x", "\x1b[31m", "\u202egnp",
            "a\u200bb", "\ufeff", "\ud800", "../../x", "/etc/passwd", "v6.4.0", "other", "x" * 5000, "\x00",
            "`x` @all",             "'default'", "NaN", "1" * 4000, "%s%n", "{{7*7}}",
        ]
    ),
    st.text(max_size=20),
)  # fmt: skip
EXTREMES = [10**400, 5e-324, -1e300, math.inf, 0, "<b>\u202e=1+1"]
EXTREME = st.sampled_from([*EXTREMES[:-1], 1e308, -1, 10**4000, 1e-40, 1e14, 1e-8, 3, 0.9, 10**9])
NUMBERS = st.one_of(EXTREME, st.floats(), st.integers())
ATOMS = st.one_of(NUMBERS, TEXTS, st.booleans(), st.none())
VALUES = st.one_of(
    ATOMS,
    st.lists(ATOMS, max_size=5),
    st.dictionaries(TEXTS, ATOMS, max_size=3),
    st.recursive(ATOMS, lambda i: st.lists(i, max_size=3) | st.dictionaries(TEXTS, i, max_size=3), max_leaves=9),
    st.sampled_from([[[[[]]]], [0.1] * 20_000, [[1.0] * 2000] * 5]),
)  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(
        [
            f"records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json", f"records/other/v6.4.0/ppca-500-pymc-c.{STAMP}.json",
            f"records/box/v9.9.9/ppca-500-pymc-c.{STAMP}.json", f"records/box/v6.4.0/ppca-5000-pymc-c.{STAMP}.json",
            "asv/benchmarks.json", "asv/box/machine.json", "asv/other/machine.json", "stacks/v9.txt",
            ".git/config", "records/box/v6.4.0/x y.json", "x\n::error::y",
            f"records/box/v6.4.0/ppca-0500-pymc-c.{STAMP}.json", "a" * 200,
            f"records/box/v6.4.0/ppca-500-\u202epymc-c.{STAMP}.json",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\x00"), min_size=1, max_size=20),
)  # fmt: skip


def places(document: object, path: tuple = ()) -> Iterator[tuple]:
    """All places in a document, the whole first."""
    yield path
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield from places(value, (*path, key))


def changed(document: Any, path: tuple, change: Any) -> Any:
    """A document with something else at a place."""
    if not path:
        return change(document)
    document = copy.copy(document)
    document[path[0]] = changed(document[path[0]], path[1:], change)
    return document


def without(document: Any, key: Any) -> Any:
    """A document, or a list, without one of its parts."""
    if isinstance(document, list):
        return document[:key] + document[key + 1 :]
    return {k: v for k, v in document.items() if k != key}


# Whose parts are all of one kind.
ALIKE = {"packages", "diagnostics", "durations", "results"}


def kinds_of_places(document: object) -> dict[tuple, list[tuple]]:
    """All places in a document, by what they hold: those of a list, or of what is alike, are of one kind."""
    kinds: dict[tuple, list[tuple]] = {}
    for path in places(document):
        kind = tuple("*" if isinstance(key, int) or (i and path[i - 1] in ALIKE) else key for i, key in enumerate(path))
        kinds.setdefault(kind, []).append(path)
    return kinds


def at(document: Any, path: tuple) -> Any:
    """What is at a place."""
    for key in path:
        document = document[key]
    return document


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def in_a_document(draw: Any, document: Any) -> Any:
    """Put, add, remove or rename something at any place; each kind of place is as likely as any other."""
    kinds = kinds_of_places(document)
    numbers = {kind: paths for kind, paths in kinds.items() if is_number(at(document, paths[0]))}
    # Numbers are what is computed with.
    kinds = numbers if numbers and draw(st.booleans()) else kinds
    path = draw(st.sampled_from(kinds[draw(st.sampled_from(list(kinds)))]))
    kind = draw(st.sampled_from(["put"] * 7 + ["remove", "add", "twice"]))
    if kind == "remove" and path:
        return changed(document, path[:-1], lambda outer: without(outer, path[-1]))
    if kind == "twice":
        return changed(document, path, lambda d: d + d[-1:] if isinstance(d, list) else [d, d])
    if kind == "add":
        key, value = draw(TEXTS), draw(VALUES)
        return changed(document, path, lambda d: d | {key: value} if isinstance(d, dict) else [d, value])

    def put(old: Any) -> Any:
        # In the place of a number mostly another one: all else is refused for what it is.
        return draw(EXTREME if is_number(old) and draw(st.integers(0, 3)) else VALUES)

    return changed(document, path, put)


KINDS = ["document"] * 12 + ["bytes", "cut", "name", "gone", "link", "pipe", "folder", "deep", "large"]


@st.composite
def hostile(draw: Any, honest: Files) -> tuple[Files, bool]:
    """A shard, and whether an honest one of the same stack is kept already."""
    files = dict(honest)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        name = draw(st.sampled_from(sorted(files)))
        kind = draw(
            st.sampled_from(
                ["document"] * 8 + ["bytes", "cut", "name", "gone", "link", "pipe", "folder", "deep", "large"]
            )
        )
        if kind == "document" and not isinstance(files[name], bytes | str):
            files[name] = in_a_document(draw, files[name])
        elif kind == "bytes":
            files[name] = draw(st.binary(max_size=50))
        elif kind == "cut":
            files[name] = json.dumps(files[name], default=str).encode()[: draw(st.integers(0, 3000))]
        elif kind == "name":
            files[draw(NAMES)] = files[name]
        elif kind == "gone" and len(files) > 1:
            del files[name]
        elif kind == "deep":
            files[name] = b"[" * 100_000
        elif kind in ("link", "pipe", "folder", "large"):
            files[name] = kind
    return files, draw(st.booleans())


def write(files: Files, folder: Path, stack: Stack) -> None:
    """Make a shard of its files, of another stack."""
    for name, content in files.items():
        path = folder / of_stack(name, stack)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if content == "link":
                path.symlink_to("/etc/passwd")
            elif content == "pipe":
                os.mkfifo(path)
            elif content == "folder":
                path.mkdir()
            elif content == "large":
                with path.open("wb") as file:
                    file.truncate(collecting.LARGEST_FILE + 1)
            else:
                path.write_bytes(
                    content if isinstance(content, bytes) else of_stack(json.dumps(content), stack).encode()
                )
        except (OSError, ValueError):
            continue  # no such name can be in a folder


def has_nothing_new(path: Path, stack: Stack) -> bool:
    """Whether it is a good result of asv: of it nothing is taken where no record is."""
    if not path.is_file() or path.is_symlink():
        return False
    try:
        commit, date = recorded_hashes()[stack.tag], int(stack.date.timestamp() * 1000)
        asv_files.check_result(
            json.loads(path.read_text()), "box", commit, date, json.loads(make.BENCHMARKS.read_text())
        )
    except (ValueError, OSError, TypeError, LookupError, RecursionError):
        return False
    return path.name == f"{commit[:8]}-stack-py3.12.json"


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Collector:
    """Collects shards, each of a stack of its own, holds what is promised of each, and publishes what was taken."""

    def __init__(self, folder: Path, honest: Files) -> None:
        self.place, self.suite, self.honest = folder / "one", folder / "suite", honest
        self.taken: list[dict[str, bytes]] = []
        self.collected = self.accepted = 0
        copy_suite(self.suite)

    def collect(self, files: Files, is_kept: bool) -> None:
        """Collect a shard, where an honest one may be kept already."""
        stack, place, results = STACKS[len(self.taken)], self.place, self.place / "results"
        shutil.rmtree(place, ignore_errors=True)
        (results / "asv").mkdir(parents=True)
        shutil.copy(make.BENCHMARKS, results / "asv")
        shard = place / stack.tag
        write(files, shard, stack)
        task = replace(TASK, stacks={stack.tag: stack})
        if is_kept:
            write(self.honest, place / "kept", stack)
            assert collect([Shard(place / "kept", task)], results).refused == []
        kept, around = contents(results), {path.name for path in place.iterdir()}
        refused = collect([Shard(shard, task)], results).refused
        now = contents(results)
        self.collected += 1

        # Nothing is written but results that were planned, none of them large.
        assert {path.name for path in place.iterdir()} == around
        commit = recorded_hashes()[stack.tag]
        planned = {f"records/box/{stack.tag}/{model}-{n}-{backend}.{STAMP}.json" for model, n, backend in CELLS}
        planned |= {f"asv/box/{commit[:8]}-stack-py3.12.json", "asv/box/machine.json", "asv/benchmarks.json"}
        assert now.keys() <= planned
        assert all(len(content) <= collecting.LARGEST_FILE for content in now.values())
        # What is kept stays, but for what goes on from it.
        for name, content in kept.items():
            if now[name] != content and name.startswith("records"):
                assert json.loads(now[name])[: len(json.loads(content))] == json.loads(content)
        # What was refused is named, in one line.
        assert all(reason.isprintable() and len(reason) < 1000 for reason in refused)
        for path in shard.rglob("*"):
            name = path.relative_to(shard).as_posix()
            if (path.is_symlink() or not path.is_dir()) and name not in now and not has_nothing_new(path, stack):
                told = collecting._named(shard, name), f"{stack.tag} has more than"
                assert any(start in reason for reason in refused for start in told), name
        # What was taken can be read, and what is hostile of it is published with that of others.
        for name in now.keys() - {"asv/benchmarks.json"}:
            assert not name.startswith("records") or read_records(results / name, only_known=True)
        del now["asv/benchmarks.json"]
        hostile = [name for name, content in files.items() if content != self.honest.get(name)]
        if any(now.get(name) != kept.get(name) for name in (of_stack(name, stack) for name in hostile)):
            self.accepted += 1
            self.taken.append(now)
            if len(self.taken) == len(STACKS):
                self.publish()

    def publish(self) -> None:
        """Publish all that was taken since the last time; what cannot be is shown."""
        shards, self.taken = self.taken, []
        if shards and self.problem(shards):
            culprits = [(problem, files) for files in shards if (problem := self.problem([files]))]
            pytest.fail(f"{len(culprits)} of {len(shards)} cannot be published, such as {str(culprits[:1])[:3000]}")

    def problem(self, shards: list[dict[str, bytes]]) -> str | None:
        """Why the site of these results cannot be built."""
        shutil.rmtree(self.suite / "results", ignore_errors=True)
        (self.suite / "results/asv").mkdir(parents=True)
        shutil.copy(make.BENCHMARKS, self.suite / "results/asv")
        for name, content in (item for files in shards for item in files.items()):
            (self.suite / "results" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.suite / "results" / name).write_bytes(content)
        return candidate.unpublishable(self.suite)


@pytest.fixture(scope="module")
def collector(tmp_path_factory, honest) -> Iterator[Collector]:
    """Used by all tests, so that what is left of one is published with that of the next."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    collector = Collector(tmp_path_factory.mktemp("collector"), honest)
    yield collector
    collector.publish()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB
    print(f"{collector.collected} shards, of which something hostile was taken and published: {collector.accepted}")


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("value", EXTREMES, ids=[repr(value)[:9] for value in EXTREMES])
def test_whatever_is_put_into_any_field_is_refused_or_published(honest, collector, value):
    """Each kind of place in each kind of file, one by one."""
    for name, document in honest.items():
        for paths in kinds_of_places(document).values():
            collector.collect({**honest, name: changed(document, paths[-1], lambda _: value)}, is_kept=False)


@pytest.mark.slow
@pytest.mark.parametrize("many", [MANY // 10, pytest.param(MANY, marks=pytest.mark.thorough)])
def test_a_hostile_shard_is_refused_by_name_or_published_and_does_nothing_else(honest, collector, many):
    @settings(
        max_examples=many, deadline=None, database=None, derandomize="BENCH_FUZZ_SHARDS" not in os.environ,
        suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet, report_multiple_bugs=False,
    )  # fmt: skip
    @given(hostile(honest))
    def holds(shard: tuple[Files, bool]) -> None:
        collector.collect(*shard)

    before = collector.accepted
    holds()
    assert collector.accepted - before > many / 100, "too few are honest enough to tell anything"
