"""The numbers that a measurement yields: their names, units, asv benchmarks, and how they are read from records.

All are better when lower. It knows records, and nothing of who shows or compares the numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.results.records import Measurement, Record


@dataclass(frozen=True)
class Metric:
    """One number. `samples` gives those of a measurement, one for each trial that has it, none where none has.

    `benchmark` is the one of asv that reports it, without its model. A number that `counts_effective_draws` has their
    noise as well: they differ from seed to seed. An `exact` one has none: same seed, same stack, same number.
    """

    name: str
    title: str
    unit: str
    benchmark: str | None
    of: Callable[[Record], float | None]
    kind: str
    or_cold: bool = False
    exact: bool = False
    counts_effective_draws: bool = False

    @property
    def of_a_clock(self) -> bool:
        """Whether it is time: it differs from machine to machine, and with what else a machine does."""
        return self.unit in ("s", "µs")

    def trials(self, measurement: Measurement) -> list[Record]:
        """The `ok` trials that tell it: those of its kind; cold ones where there are no others, if that will do.

        A trial during which the machine changed speed counts only where there is no other.
        """
        ok = [r for r in measurement.records if r.outcome == "ok"]
        trials = [r for r in ok if r.kind == self.kind] or (ok if self.or_cold else [])
        return [r for r in trials if not contaminated(r)] or trials

    def samples(self, measurement: Measurement) -> list[float]:
        """The number, of each trial that tells it."""
        return [value for r in self.trials(measurement) if (value := self.of(r)) is not None]


def contaminated(record: Record) -> bool:
    """Whether the machine changed speed during the trial."""
    return record.control is not None and record.control.contaminated


def _clock(name: str) -> Callable[[Record], float | None]:
    return lambda record: record.clocks and getattr(record.clocks, f"{name}_wall_seconds")


def _microseconds_per_gradient(record: Record) -> float | None:
    return 1e6 * record.seconds_per_gradient if record.seconds_per_gradient is not None else None


TIME_TO_ANSWER = Metric(
    "time_to_answer", "Time to an answer", "s", "Sampling.track_time_to_answer",
    lambda r: r.time_to_answer_seconds, kind="warm", counts_effective_draws=True,
)  # fmt: skip
COLD_SETUP = Metric(
    "cold_setup", "Setup, cold caches", "s", "CompileSetup.track_cold_setup", _clock("setup"), kind="cold"
)
WARM_SETUP = Metric(
    "warm_setup", "Setup, warm caches", "s", "CompileSetup.track_warm_setup", _clock("setup"), kind="warm"
)
SAMPLING = Metric("sampling", "Sampling", "s", "Sampling.track_sampling", _clock("sampling"), kind="warm")
TUNING = Metric("tuning", "Tuning", "s", None, _clock("tuning"), kind="warm")
DRAWING = Metric("drawing", "Drawing", "s", None, _clock("drawing"), kind="warm")
FINISH = Metric("finish", "After the last draw", "s", "Sampling.track_finish", _clock("finish"), kind="warm")
GRADIENT = Metric(
    "gradient", "Sampling per gradient", "µs", "Sampling.track_gradient", _microseconds_per_gradient, kind="warm"
)
GRADIENTS = Metric(
    "gradients_per_effective_draw", "Gradients per effective draw", "",
    "Sampling.track_gradients_per_effective_draw", lambda r: r.gradients_per_effective_draw,
    kind="warm", counts_effective_draws=True,
)  # fmt: skip
MEMORY = Metric(
    "peak_memory", "Peak memory", "MiB", "Sampling.track_peak_memory", lambda r: r.peak_memory_mib, kind="warm"
)
NODES = Metric(
    "graph_nodes", "Nodes of the compiled graph", "nodes", "CompileSetup.track_graph_nodes",
    lambda r: r.graph and r.graph.nodes, kind="warm", or_cold=True, exact=True,
)  # fmt: skip
REWRITES = Metric(
    "rewrites", "Replacements made by rewriting", "replacements", "CompileSetup.track_rewrites",
    lambda r: r.graph and r.graph.replacements, kind="warm", or_cold=True, exact=True,
)  # fmt: skip
# Of a warm trial: in a cold one, workers that share a cache compile or load as it happens, which may round differently.
GRADIENT_COUNT = Metric(
    "gradients", "Gradients evaluated", "gradients", None, lambda r: r.gradients, kind="warm", exact=True
)
TOTAL = Metric("total", "The whole trial", "s", "Sampling.track_total", _clock("total"), kind="warm")

HISTORY = (TIME_TO_ANSWER, TOTAL, COLD_SETUP, WARM_SETUP, SAMPLING, GRADIENT, GRADIENTS, FINISH, MEMORY)
COUNTERS = (NODES, REWRITES, GRADIENT_COUNT)
METRICS = (*HISTORY, *COUNTERS)
# What asv's benchmarks of a model report.
OF_ASV = tuple(metric for metric in METRICS if metric.benchmark)
