"""Real trials as `bench trial` makes them, and what is promised of each, whoever has sampled it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sampling.backends import BACKENDS

ROOT = Path(__file__).resolve().parent.parent
BENCH = Path(sys.executable).with_name("bench")
COLD, WARM = range(2)
# What a backend compiles and samples soonest.
_MODEL, _MODELS = "coal_mining_marginal", {"nutpie-numba": "eight_schools", "default": "eight_schools"}
# As few draws as are still judged, and so come with their log density.
SHORT = ("--tune", "50", "--draws", "100", "--chains", "2", "--cores", "2")


def trial(*arguments: str, release: str = "v6.4.0") -> dict:
    """The record of `bench trial`, which prints nothing else."""
    answer = subprocess.run(
        [BENCH, "trial", release, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode in (0, 1), answer.stderr
    record = json.loads(answer.stdout)
    assert answer.returncode == (record["outcome"] != "ok")
    return record


def short_trial(backend: str, home: Path) -> dict:
    """A trial of the backend that takes about ten seconds, most of them to compile."""
    return trial(_MODELS.get(backend, _MODEL), "--backend", backend, "--home", str(home), *SHORT)


def same_work(one: dict, other: dict) -> None:
    """Two records of one seed: the same draws to the last digit, by the same graph, with the same counts; and with the
    log density that is the model's own, compiled by what the backend is called for."""
    linker = BACKENDS[one["settings"]["backend"]].linker
    assert one["resolved"]["linker"] == other["resolved"]["linker"]
    assert linker in (None, one["resolved"]["linker"])
    assert other["log_density_error"] < 1e-6
    assert one["draws_sha256"] == other["draws_sha256"]
    assert one["graph"] == other["graph"]
    assert one["graph"]["nodes"] > 0
    for count in ("gradients_tuning", "gradients_drawing", "divergences"):
        assert one["counters"][count] == other["counters"][count]
    assert one["counters"]["gradients_drawing"] > 0
    assert one["counters"]["gradients_tuning"] > 0


def parts_sum_to_the_whole(record: dict) -> None:
    """The clocks of a record: none runs backward, none counts twice, and nothing is between them."""
    c = {name.removesuffix("_wall_seconds"): s for name, s in record["clocks"].items()}
    assert all(s >= 0 for s in c.values() if s is not None)
    assert c["import"] + c["build"] + c["call"] == pytest.approx(c["total"], abs=1e-6)
    assert c["setup"] + c["sampling"] + c["finish"] == pytest.approx(c["total"], abs=1e-6)
    if c["tuning"] is not None:
        assert c["tuning"] + c["drawing"] == pytest.approx(c["sampling"], abs=1e-6)
    for part in ("setup", "finish"):
        assert sum(s or 0.0 for s in record["phases"][part].values()) == pytest.approx(c[part], abs=1e-6)
    assert c["total"] < record["trial_wall_seconds"]


def agrees_with_the_exact_posterior(record: dict) -> None:
    """A full trial: its draws are those of the model."""
    assert record["outcome"] == "ok"
    assert record["effective_draws"] > 200
    assert all(abs(d["z_mean"]) < 5 for d in record["diagnostics"].values())
