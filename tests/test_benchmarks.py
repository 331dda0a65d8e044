"""asv finds a benchmark for every metric of every model, with parameters that do not depend on what is installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sampling.backends import BACKENDS

ROOT = Path(__file__).resolve().parent.parent
METRICS = {
    "CompileSetup.track_cold_setup": "seconds",
    "CompileSetup.track_warm_setup": "seconds",
    "CompileSetup.track_graph_nodes": "nodes",
    "CompileSetup.track_rewrites": "replacements",
    "Sampling.track_time_to_answer": "seconds",
    "Sampling.track_total": "seconds",
    "Sampling.track_sampling": "seconds",
    "Sampling.track_finish": "seconds",
    "Sampling.track_gradient": "microseconds",
    "Sampling.track_gradients_per_effective_draw": "gradients",
    "Sampling.track_peak_memory": "MiB",
}


@pytest.fixture(scope="module")
def discovered(tmp_path_factory):
    """What asv's own runner finds, by name."""
    folder = tmp_path_factory.mktemp("discover")
    script = Path(subprocess.run(
        [sys.executable, "-c", "import asv.runner as r; print(r.BENCHMARK_RUN_SCRIPT)"],
        capture_output=True, text=True, check=True,
    ).stdout.strip())  # fmt: skip
    command = [sys.executable, script, "discover", ROOT / "benchmarks", folder / "found.json"]
    subprocess.run(command, check=True, cwd=folder)
    return {b["name"]: b for b in json.loads((folder / "found.json").read_text())}


@pytest.mark.parametrize(
    ("model", "sizes"), [("ppca", [500, 5000, 50_000]), ("discrete", [100]), ("eight_schools", [8])]
)
@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_of_every_model_is_there_for_every_backend(discovered, model, sizes, metric):
    benchmark = discovered[f"{model}.{metric}"]
    assert benchmark["params"] == [[repr(b) for b in BACKENDS], [repr(n) for n in sizes]]
    assert benchmark["param_names"] == ["backend", "n"]
    assert benchmark["unit"] == METRICS[metric]
    assert benchmark["version"]


def test_the_small_benchmarks_are_there(discovered):
    assert discovered["gradient.LogpGradient.time_logp_dlogp"]["param_names"] == ["linker", "model"]
    assert discovered["imports.Import.timeraw_pymc"]["code"]


def test_all_metrics_of_all_models_share_one_scratch_folder(discovered):
    keys = {b["setup_cache_key"] for name, b in discovered.items() if "track_" in name}
    assert len(keys) == 1


def test_every_benchmark_states_its_version(discovered):
    assert all(len(b["version"]) < 10 for b in discovered.values()), "a digest for a version is asv's own, not stated"


def test_the_ten_backends_of_pymc_stay_and_others_come_after_them():
    # asv numbers parameters by their place.
    assert list(BACKENDS)[:10] == [
        "default", "pymc-c", "pymc-numba", "pymc-jax", "nutpie-numba", "nutpie-jax", "nutpie-jax-pytensor",
        "numpyro-parallel", "numpyro-vectorized", "blackjax",
    ]  # fmt: skip
