"""`<model>.CompileSetup` and `<model>.Sampling` for every model in `models/`, on every backend and size.

A measurement is one cold and two warm trials. The first metric that asks for a parameter set runs it; the others read
its records. `unsupported` is asv's n/a, `failed` and `invalid` are asv's failures, with their reason.
"""

import os
import types
from pathlib import Path

import models
from sampling.backends import BACKENDS
from sampling.measurement import measure, warm_trials
from sampling.process import die_with_parent
from sampling.record import OK, UNSUPPORTED
from sampling.settings import PROTOCOL_VERSION, Settings


def _samples(values, decimals=4):
    """The values as asv's samples, so that `asv compare` knows their spread; none at all is n/a.

    They are rounded to what they can mean at most: asv's tables show every digit that they have.
    """
    values = [round(value, decimals) for value in values]
    return {"samples": values, "number": 1} if values else float("nan")


def _scratch():
    """Where this run keeps its records: beside an interrupted run's when asv will save them, else asv's scratch."""
    unfinished, stack = os.environ.get("BENCH_UNFINISHED"), os.environ.get("BENCH_STACK")
    return Path(unfinished) / stack if unfinished and stack else Path()


class _Measured:
    """Runs or reads the measurement of one parameter set before a metric is asked for."""

    model: str
    param_names = ("backend", "n")
    version = str(PROTOCOL_VERSION)
    # A trial limits itself; asv's limit only guards against a fault of that.
    timeout = 6 * 3600

    def setup_cache(self):
        """asv runs all benchmarks that share this in one scratch folder; it holds the records."""

    def setup(self, backend, n):
        # asv may be ended in a way that it cannot pass on; nobody would read what goes on then.
        die_with_parent()
        folder = _scratch() / f"{self.model}-{n}-{backend}"
        records = measure(Settings(self.model, n, backend), folder, warm_trials())
        (folder / "run").write_text(os.environ.get("BENCH_RUN", ""))
        worst = next((r for r in records if r["outcome"] != OK), None)
        if worst is not None:
            message = f"{worst['outcome']}: {worst['reason']}"
            raise NotImplementedError(message) if worst["outcome"] == UNSUPPORTED else RuntimeError(message)
        self.records = records

    def clock(self, name, kind=None):
        """One of the records' clocks, in seconds, for all trials or for those of one kind, "cold" or "warm"."""
        return _samples(r["clocks"][name] for r in self.records if kind in (None, r["kind"]))


class _CompileSetup(_Measured):
    """Everything before the first draw: import, model, rewriting, compilation."""

    unit = "seconds"

    def track_cold_setup(self, backend, n):
        """With empty compile caches."""
        return self.clock("setup_wall_seconds", "cold")

    def track_warm_setup(self, backend, n):
        """With the compile caches that the cold trial left on disk."""
        return self.clock("setup_wall_seconds", "warm")

    def track_graph_nodes(self, backend, n):
        """Nodes of the compiled log-density graph, with its gradient unless JAX takes that: exact."""
        return self.count("nodes")

    def track_rewrites(self, backend, n):
        """Replacements that rewriting made on the way to that graph: exact."""
        return self.count("replacements")

    def count(self, name):
        """One of the graph's counters; n/a where it could not be counted."""
        return _samples((r["graph"][name] for r in self.records if name in r["graph"]), decimals=0)

    track_graph_nodes.unit = "nodes"
    track_rewrites.unit = "replacements"


class _Sampling(_Measured):
    """Tuning and drawing, net of compilation."""

    unit = "seconds"

    def track_wall(self, backend, n):
        """The whole `pm.sample` call with warm caches: what `%%time` shows."""
        return self.clock("call_wall_seconds", "warm")

    def track_sampling(self, backend, n):
        """Tuning and drawing, net of compilation."""
        return self.clock("sampling_wall_seconds")

    def track_seconds_per_1000_effective_draws(self, backend, n):
        """Sampling seconds, for each 1000 effective draws of the worst estimand."""
        return _samples(1000 * r["clocks"]["sampling_wall_seconds"] / r["effective_draws"] for r in self.records)

    def track_gradients_per_effective_draw(self, backend, n):
        """Gradient evaluations in tuning and drawing, for each effective draw; n/a where a sampler does not count."""
        counts = [(r["counters"], r["effective_draws"]) for r in self.records]
        known = (
            (c["gradients_tuning"] + c["gradients_drawing"]) / effective
            for c, effective in counts
            if c["gradients_tuning"] is not None and c["gradients_drawing"] is not None
        )
        return _samples(known, decimals=2)

    def track_peak_memory(self, backend, n):
        """Peak memory of the process tree."""
        return _samples((r["peak_memory_mib"] for r in self.records), decimals=0)

    track_gradients_per_effective_draw.unit = "gradients"
    track_peak_memory.unit = "MiB"


def _for_model(family, model):
    """`family` for one model, its metrics under the names `<model>.<Family>.<metric>`.

    asv takes a benchmark's name from its function, so that each model's class needs functions of its own.
    """
    name = family.__name__.lstrip("_")
    members = {"model": model, "params": [list(BACKENDS), list(models.load(model).SIZES)]}
    for metric, function in vars(family).items():
        if metric.startswith("track_"):
            copy = types.FunctionType(function.__code__, globals(), metric)
            copy.__doc__, copy.__qualname__ = function.__doc__, f"{name}.{metric}"
            copy.__dict__.update(function.__dict__, benchmark_name=f"{model}.{name}.{metric}")
            members[metric] = copy
    return type(f"{model}_{name}", (family,), members)


for _model in models.names():
    for _family in (_CompileSetup, _Sampling):
        _class = _for_model(_family, _model)
        globals()[_class.__name__] = _class
