"""`<model>.CompileSetup` and `<model>.Sampling` for every model in `models/`, on every backend and size.

A measurement is one cold and two warm trials. The first metric that asks for a parameter set runs it; the others read
its records. `unsupported` is asv's n/a, `failed` and `invalid` are asv's failures, with their reason.
"""

import os
import types
from pathlib import Path

import models
from sampling.backends import BACKENDS
from sampling.measurement import measure, warm_trials, why_not
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
        worst = why_not(records)
        if worst is not None:
            message = f"{worst['outcome']}: {worst['reason']}"
            raise NotImplementedError(message) if worst["outcome"] == UNSUPPORTED else RuntimeError(message)
        self.records = [r for r in records if r["outcome"] == OK]

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
    """Tuning, drawing and what follows, in warm trials: each has a seed of its own, so that samples show the spread."""

    unit = "seconds"

    def track_time_to_answer(self, backend, n):
        """From `import pymc` until `pm.sample` returns with 1000 effective draws of the hardest estimand."""
        return self.of_warm(lambda r: r["time_to_answer_seconds"])

    def track_total(self, backend, n):
        """From `import pymc` until `pm.sample` returns."""
        return self.clock("total_wall_seconds", "warm")

    def track_sampling(self, backend, n):
        """Tuning and drawing, net of compilation."""
        return self.clock("sampling_wall_seconds", "warm")

    def track_finish(self, backend, n):
        """After the last draw: transforming, collecting, convergence checks."""
        return self.clock("finish_wall_seconds", "warm")

    def track_gradient(self, backend, n):
        """Sampling, for each gradient evaluation; n/a where a sampler does not count them, or does other work, too."""
        return self.of_warm(self._microseconds_per_gradient, decimals=3)

    def track_gradients_per_effective_draw(self, backend, n):
        """Gradient evaluations in tuning and drawing, for each effective draw; n/a where a sampler does not count."""
        return self.of_warm(lambda r: self._gradients(r) and self._gradients(r) / r["effective_draws"], decimals=2)

    def track_peak_memory(self, backend, n):
        """Peak memory of the process tree."""
        return self.of_warm(lambda r: r["peak_memory_mib"], decimals=0)

    def of_warm(self, number, decimals=4):
        """A number of each warm trial that has it."""
        found = (number(r) for r in self.records if r["kind"] == "warm")
        return _samples((value for value in found if value is not None), decimals)

    @staticmethod
    def _gradients(record):
        counts = record["counters"]["gradients_tuning"], record["counters"]["gradients_drawing"]
        return None if None in counts else sum(counts)

    def _microseconds_per_gradient(self, record):
        gradients, methods = self._gradients(record), record["resolved"]["step_methods"]
        return 1e6 * record["clocks"]["sampling_wall_seconds"] / gradients if gradients and len(methods) < 2 else None

    track_gradient.unit = "microseconds"
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
