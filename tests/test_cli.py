"""`bench` answers bad input with one sentence and a next step, and shows what it will do before it does it."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness import run
from harness.run import Cell

ROOT = Path(__file__).resolve().parent.parent
BENCH = Path(sys.executable).with_name("bench")


def bench(*arguments: str, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([BENCH, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, **kwargs)


@pytest.mark.parametrize(
    "arguments",
    [("trial", "v9.9.9", "ppca"), ("run", "v9.9.9"), ("summary", "v9.9.9"), ("stacks", "diff", "v9.9.9", "v6.4.0")],
)
def test_an_unknown_release_is_one_sentence_that_names_the_newest_and_the_next_step(arguments):
    answer = bench(*arguments)
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1
    assert "v9.9.9" in answer.stderr
    assert "bench stacks update" in answer.stderr


def test_a_stack_that_has_not_been_measured_is_said_to_be_so():
    answer = bench("summary", "v5.10.0", env={"PATH": "/usr/bin:/bin", "BENCH_MACHINE": "no-such-machine"})
    assert answer.returncode == 1
    assert "bench run" in answer.stderr


def test_the_stacks_are_listed_oldest_first_with_what_samples():
    lines = bench("stacks", "list").stdout.splitlines()
    assert lines[0].startswith("v5.10.0")
    assert "pytensor" in lines[-1]
    assert len(lines) >= 50


def test_what_changed_between_two_stacks_is_one_command_away():
    assert "pymc 6.3.2 → 6.4.0" in bench("stacks", "diff", "v6.3.2", "v6.4.0").stdout.replace("->", "→")


@pytest.fixture(scope="module")
def description():
    return run.inside()


def test_the_small_sizes_are_the_smallest_of_each_model(description):
    small = run.cells(description, small=True)
    assert {(c.model, c.n) for c in small} >= {("ppca", 500), ("discrete", 100)}
    assert Cell("ppca", 5000, "default") not in small
    assert Cell("ppca", 5000, "default") in run.cells(description, small=False)
    assert len({c.backend for c in small}) == 10


def test_asv_is_asked_for_the_planned_cells_and_no_others(description):
    import re

    patterns = run.asv_selection([Cell("ppca", 500, "nutpie-jax"), Cell("discrete", 100, "default")], description)[1::2]

    def selected(name: str) -> bool:
        return any(re.search(pattern, name) for pattern in patterns)

    assert selected("ppca.Sampling.track_wall('nutpie-jax', 500)")
    assert selected("discrete.CompileSetup.track_cold_setup('default', 100)")
    assert selected("imports.Import.timeraw_pymc")
    assert selected("gradient.LogpGradient.time_logp_dlogp('jax', 'ppca-500')")
    assert not selected("gradient.LogpGradient.time_logp_dlogp('jax', 'ppca-5000')")
    assert not selected("ppca.Sampling.track_wall('nutpie-jax', 5000)")
    assert not selected("ppca.Sampling.track_wall('nutpie-jax-pytensor', 500)")
    assert not selected("ppca.Sampling.track_gradients_per_effective_draw('default', 500)")
