"""Nothing is pushed that the site cannot be built with: it is left out by name, and the rest is kept."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from harness.errors import BenchError
from harness.nightly import candidate
from harness.results.collecting import Shard, Task
from harness.stacks.locks import load_stacks
from harness.suite import inside
from tests import site_results as make
from tests.conftest import copy_suite
from tests.site_results import STAMP
from tests.test_parent import ends

pytestmark = pytest.mark.slow

CELLS = list(product(["ppca"], [500], inside()["backends"]))
FEW = CELLS[::9]
STACKS = {stack.tag: stack for stack in load_stacks()[-20:]}
TASK = Task(make.MACHINE, STACKS, frozenset(CELLS), inside()["protocol"])


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Path:
    """The suite as it was before anything was measured, in a repository of its own."""
    folder = tmp_path_factory.mktemp("candidate") / "suite"
    copy_suite(folder)
    (folder / "results/asv").mkdir(parents=True)
    shutil.copy(make.BENCHMARKS, folder / "results/asv")
    (folder / "results/README.md").write_text("Results.\n")
    for arguments in (
        ["init", "--quiet"], ["add", "--all"],
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "The suite"],
    ):  # fmt: skip
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)
    return folder


@pytest.fixture
def checkout(suite, tmp_path) -> Path:
    subprocess.run(["git", "clone", "--quiet", str(suite), str(tmp_path / "checkout")], check=True)
    return tmp_path / "checkout"


@pytest.fixture
def shards(tmp_path) -> list[Shard]:
    """What two runners left."""
    return honest(tmp_path, list(STACKS)[-2:], FEW)


def honest(folder: Path, tags: list[str], cells: list[tuple[str, int, str]]) -> list[Shard]:
    for tag in tags:
        make.build(folder / tag, [STACKS[tag]], cells)
    return [Shard(folder / tag, replace(TASK, stacks={tag: STACKS[tag]})) for tag in tags]


def kept(checkout: Path) -> set[str]:
    """The records in a checkout, as stack/parameter set."""
    return {f"{p.parent.name}/{p.name.partition('.')[0]}" for p in (checkout / "results/records").rglob("*.json")}


ALL = {f"{tag}/ppca-500-{backend}" for tag in list(STACKS)[-2:] for *_, backend in FEW}


def break_the_site(checkout: Path, condition: str) -> None:
    """Let the checkout's site fail on some results, as if nobody had thought of them."""
    path = checkout / "harness/site/publisher.py"
    fault = f"        from harness.paths import RESULTS\n        if {condition}: raise ZeroDivisionError('who knows')\n"
    head, found, tail = path.read_text().partition("        began = time.perf_counter()\n")
    assert found
    path.write_text(head + fault + found + tail)


def test_twenty_honest_shards_are_taken(checkout, tmp_path):
    shards = honest(tmp_path, list(STACKS), CELLS)
    collected = candidate.take(shards, checkout)
    assert collected.refused == []
    assert len(kept(checkout)) == 20 * len(CELLS)


@pytest.mark.thorough
def test_what_the_site_cannot_be_built_with_is_left_out_by_name_and_the_rest_is_kept(checkout, shards):
    tag = shards[1].folder.name
    break_the_site(checkout, f"list(RESULTS.glob('records/*/{tag}/ppca-500-blackjax.{STAMP}.json'))")
    collected = candidate.take(shards, checkout)
    (refusal,) = collected.refused
    assert refusal.startswith(f"{tag}, ppca-500-blackjax: the site cannot be built with it (")
    assert "who knows" in refusal
    assert kept(checkout) == ALL - {f"{tag}/ppca-500-blackjax"}
    assert candidate.unpublishable(checkout) is None


def test_what_is_kept_and_cannot_be_published_is_said_and_nothing_is_taken(checkout, shards):
    break_the_site(checkout, "True")
    with pytest.raises(BenchError, match=r"^The site cannot be built from what is kept already \(.*who knows.*\)"):
        candidate.take(shards, checkout)
    assert kept(checkout) == set()


def test_a_site_that_takes_for_ever_is_ended_with_all_that_it_started(checkout, monkeypatch):
    monkeypatch.setattr(candidate, "TIMEOUT", 3.0)
    sleeper = "import time; time.sleep(600)"
    break_the_site(checkout, f"__import__('subprocess').run([__import__('sys').executable, '-c', {sleeper!r}])")
    assert candidate.unpublishable(checkout) == "it takes more than 3 s"
    assert ends(checkout)
