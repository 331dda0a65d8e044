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

    `benchmark` is the one of asv that reports it, without its model; asv's numbers of sampling have cold trials in
    them, too. A number that `counts_effective_draws` has their noise as well: they differ from seed to seed. An `exact`
    one has none: same seed, same stack, same number.
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

    def samples(self, measurement: Measurement) -> list[float]:
        """The number, of each `ok` trial of its kind; of the cold ones where there are no others, if that will do.

        A trial during which the machine changed speed counts only where there is no other.
        """
        ok = [r for r in measurement.records if r.outcome == "ok"]
        trials = [r for r in ok if r.kind == self.kind] or (ok if self.or_cold else [])
        trials = [r for r in trials if not contaminated(r)] or trials
        return [value for r in trials if (value := self.of(r)) is not None]


def contaminated(record: Record) -> bool:
    """Whether the machine changed speed during the trial."""
    return record.control is not None and record.control.contaminated


def _gradients(record: Record) -> float | None:
    c = record.counters
    if c is None or c.gradients_tuning is None or c.gradients_drawing is None:
        return None
    return c.gradients_tuning + c.gradients_drawing


COLD_SETUP = Metric(
    "cold_setup", "Setup, cold caches", "s", "CompileSetup.track_cold_setup",
    lambda r: r.clocks and r.clocks.setup_wall_seconds, kind="cold",
)  # fmt: skip
WARM_SETUP = Metric(
    "warm_setup", "Setup, warm caches", "s", "CompileSetup.track_warm_setup",
    lambda r: r.clocks and r.clocks.setup_wall_seconds, kind="warm",
)  # fmt: skip
SAMPLING = Metric(
    "sampling", "Sampling", "s", "Sampling.track_sampling", lambda r: r.clocks and r.clocks.sampling_wall_seconds,
    kind="warm", or_cold=True,
)  # fmt: skip
SECONDS_PER_1000 = Metric(
    "seconds_per_1000_effective_draws", "Sampling per 1000 effective draws", "s",
    "Sampling.track_seconds_per_1000_effective_draws", lambda r: r.seconds_per_1000_effective_draws,
    kind="warm", or_cold=True, counts_effective_draws=True,
)  # fmt: skip
GRADIENTS = Metric(
    "gradients_per_effective_draw", "Gradients per effective draw", "",
    "Sampling.track_gradients_per_effective_draw", lambda r: r.gradients_per_effective_draw,
    kind="warm", or_cold=True, counts_effective_draws=True,
)  # fmt: skip
MEMORY = Metric(
    "peak_memory", "Peak memory", "MiB", "Sampling.track_peak_memory", lambda r: r.peak_memory_mib, kind="warm",
    or_cold=True,
)  # fmt: skip
NODES = Metric(
    "graph_nodes", "Nodes of the compiled graph", "nodes", "CompileSetup.track_graph_nodes",
    lambda r: r.graph and r.graph.nodes, kind="warm", or_cold=True, exact=True,
)  # fmt: skip
REWRITES = Metric(
    "rewrites", "Replacements made by rewriting", "replacements", "CompileSetup.track_rewrites",
    lambda r: r.graph and r.graph.replacements, kind="warm", or_cold=True, exact=True,
)  # fmt: skip
# Of a warm trial: in a cold one, workers that share a cache compile or load as it happens, which may round differently.
GRADIENT_COUNT = Metric("gradients", "Gradients evaluated", "gradients", None, _gradients, kind="warm", exact=True)


WALL = Metric(
    "wall", "The whole call", "s", "Sampling.track_wall", lambda r: r.clocks and r.clocks.call_wall_seconds, kind="warm"
)
HISTORY = (COLD_SETUP, WARM_SETUP, SAMPLING, SECONDS_PER_1000, GRADIENTS, MEMORY)
COUNTERS = (NODES, REWRITES, GRADIENT_COUNT)
METRICS = (*HISTORY, *COUNTERS)
# What asv's benchmarks of a model report.
OF_ASV = tuple(metric for metric in (*METRICS, WALL) if metric.benchmark)
