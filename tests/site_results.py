"""Results to make sites from: as many releases, backends and models as wanted, in the shape of the example records.

The numbers are drawn, seeded, and nobody's measurement: they exist to be many, and to be changed by a test.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from asv import util

from harness.results.asv_files import COLUMNS, measured
from harness.results.records import file_name
from harness.stacks.locks import Stack, get_stack, recorded_hashes
from harness.suite import inside

EXAMPLES = Path(__file__).with_name("records") / "v6.4.0"
MACHINE = "box"
STAMP = "20261127T044050"
"""When all measurements began, as the names of their files say it: that is when the example's did."""
BENCHMARKS = Path(__file__).parents[1] / "results/asv/benchmarks.json"
ASV_PAGES = Path(util.__file__).with_name("www")


def example(backend: str = "nutpie-numba") -> list[dict]:
    """The example records of a measurement."""
    (path,) = EXAMPLES.glob(f"ppca-500-{backend}.*.json")
    return json.loads(path.read_text())


@cache
def _pickled(i: int) -> bytes:
    pattern = example()
    return pickle.dumps(pattern[min(i, len(pattern) - 1)])


def _example_trial(i: int) -> dict:
    """A copy of the example's trial: unpickling is how a document is copied in a tenth of `deepcopy`'s time."""
    return pickle.loads(_pickled(i))


def measurement(
    stack: Stack, model: str, n: int, backend: str, rng: np.random.Generator, protocol: int, warm: int = 2,
    times: float = 1.0,
) -> list[dict]:  # fmt: skip
    """A cold trial and warm ones, whose seconds and counts are drawn around `times` as many as the example's."""
    trials = []
    for i in range(1 + warm):
        trial = _example_trial(i)
        trial |= {"kind": "warm" if i else "cold", "lock_sha256": stack.sha256, "protocol": protocol}
        trial["settings"] |= {"model": model, "n": n, "backend": backend, "seed": 20261101 + i}
        # All of a trial's seconds by the same factor: they still add up.
        factor = times * float(rng.lognormal(0, 0.02))
        for seconds in (trial["clocks"], *trial["phases"].values(), trial):
            names = ("time_to_answer_seconds",) if seconds is trial else tuple(seconds)
            seconds |= {name: seconds[name] * factor for name in names if seconds.get(name) is not None}
        trials.append(trial)
    return trials


def failed(stack: Stack, model: str, n: int, backend: str, reason: str, protocol: int) -> list[dict]:
    """A trial that failed for this reason."""
    trial = {k: v for k, v in example()[0].items() if k in ("schema", "kind", "started", "settings")}
    trial["settings"] = {**trial["settings"], "model": model, "n": n, "backend": backend}
    return [{**trial, "outcome": "failed", "reason": reason, "lock_sha256": stack.sha256, "protocol": protocol}]


def write_records(folder: Path, tag: str, documents: list[dict], machine: str = MACHINE) -> Path:
    """Keep the records of a measurement where the results keep them."""
    path = folder / "records" / machine / tag / file_name(documents[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(documents))
    return path


def build(
    folder: Path, stacks: Iterable[Stack], cells: Iterable[tuple[str, int, str]], machine: str = MACHINE, warm: int = 2,
    times: Mapping[str, float] = {},
) -> None:  # fmt: skip
    """Records and asv's results of these parameter sets in all of these stacks, with asv's list of benchmarks."""
    protocol, stacks = inside()["protocol"], list(stacks)
    rng = np.random.default_rng(4)
    kept: dict[str, dict] = {}
    for position, stack in enumerate(stacks):
        told = {"block": "sitting", "position": position, "stacks": [s.tag for s in stacks]}
        slower = times.get(stack.tag, 1.0)
        kept[stack.tag] = {cell: measurement(stack, *cell, rng, protocol, warm, slower) for cell in cells}
        for documents in kept[stack.tag].values():
            for number, document in enumerate(documents):
                document["round"] = told | {"number": number}
        for documents in kept[stack.tag].values():
            write_records(folder, stack.tag, documents, machine)
    write_asv(folder, kept, machine)


def write_asv(folder: Path, kept: Mapping[str, Mapping], machine: str = MACHINE) -> None:
    """asv's results of what is kept: the list of benchmarks, the machine, and a file for each stack."""
    description = inside()
    asv = folder / "asv" / machine
    asv.mkdir(parents=True, exist_ok=True)
    facts = {"machine": machine, "os": "Linux", "arch": "x86_64", "cpu": "a processor", "num_cpu": "2", "ram": "24 GiB"}
    (asv / "machine.json").write_text(json.dumps({**facts, "version": 1}))
    gradients = ("gradients_tuning", "gradients_drawing")
    metrics = {
        "CompileSetup.track_cold_setup": lambda t: t["clocks"]["setup_wall_seconds"],
        "CompileSetup.track_warm_setup": lambda t: t["clocks"]["setup_wall_seconds"],
        "CompileSetup.track_graph_nodes": lambda t: t["graph"]["nodes"],
        "CompileSetup.track_rewrites": lambda t: t["graph"]["replacements"],
        "Sampling.track_time_to_answer": lambda t: t["time_to_answer_seconds"],
        "Sampling.track_total": lambda t: t["clocks"]["total_wall_seconds"],
        "Sampling.track_sampling": lambda t: t["clocks"]["sampling_wall_seconds"],
        "Sampling.track_finish": lambda t: t["clocks"]["finish_wall_seconds"],
        "Sampling.track_gradient": lambda t: (
            1e6 * t["clocks"]["sampling_wall_seconds"] / sum(t["counters"][name] for name in gradients)
        ),
        "Sampling.track_gradients_per_effective_draw": lambda t: (
            sum(t["counters"][name] for name in gradients) / t["effective_draws"]
        ),
        "Sampling.track_peak_memory": lambda t: t["peak_memory_mib"],
    }
    kinds = {name: "warm" for name in metrics if name.startswith("Sampling")}
    kinds |= {"CompileSetup.track_cold_setup": "cold", "CompileSetup.track_warm_setup": "warm"}
    shutil.copy(BENCHMARKS, folder / "asv" / "benchmarks.json")
    listed = json.loads(BENCHMARKS.read_text())
    benchmarks = {
        f"{model}.{metric}": listed[f"{model}.{metric}"] for model in description["models"] for metric in metrics
    }
    for tag, cells in kept.items():
        commit, results = recorded_hashes()[tag], {}
        for name, benchmark in benchmarks.items():
            model, _, metric = name.partition(".")
            values = []
            for backend in description["backends"]:
                for n in description["models"][model]["sizes"]:
                    trials = cells.get((model, n, backend))
                    ok = trials and trials[0]["outcome"] == "ok"
                    of_kind = [t for t in trials or () if kinds.get(metric) in (None, t["kind"])]
                    number = float(np.median([metrics[metric](t) for t in of_kind])) if ok else None
                    # As asv has it: null is what failed, and NaN what was not asked for.
                    values.append(number if trials else float("nan"))
            if any(map(measured, values)):
                results[name] = [values, benchmark["params"], benchmark["version"], 1795404363894, 1.0]
        document = {
            "commit_hash": commit, "env_name": "stack-py3.12", "date": int(get_stack(tag).date.timestamp() * 1000),
            "params": {**facts, "python": "3.12"}, "python": "3.12", "requirements": {}, "env_vars": {},
            "result_columns": list(COLUMNS), "results": results, "durations": {}, "version": 2,
        }  # fmt: skip
        (asv / f"{commit[:8]}-stack-py3.12.json").write_text(json.dumps(document))


def example_for(stack: Stack, backend: str, protocol: int) -> list[dict]:
    """Valid records of `ppca`, n=500, of a backend in a stack."""
    return measurement(stack, "ppca", 500, backend, np.random.default_rng(7), protocol)


def publish(folder: Path) -> Path:
    """Publish the results in `folder/results` as asv would have it done, without asv's graphs; gives the site."""
    from harness.site import publisher  # it loads what draws, which not everybody who makes results needs

    site = folder / "html"
    shutil.copytree(ASV_PAGES, site)
    conf = SimpleNamespace(results_dir=str(folder / "results" / "asv"), html_dir=str(site))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(util, "write_json", util.write_json)  # afterwards it is asv's own again
        publisher.Overview.publish(conf, None, {}, None, None)
    return site
