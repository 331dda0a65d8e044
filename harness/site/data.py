"""Numbers to take away: all trials as one table, and the raw records beside the pages that lead to them."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.results.store import MachineResults

_COLUMNS = (
    "machine", "release", "model", "n", "backend", "trial", "kind", "outcome", "reason", "protocol", "seed", "tune",
    "draws", "chains", "started", "setup_seconds", "tuning_seconds", "drawing_seconds", "finish_seconds",
    "total_seconds", "call_seconds", "time_to_answer_seconds", "effective_draws",
    "gradients_tuning", "gradients_drawing", "divergences", "graph_nodes", "replacements", "peak_memory_mib",
    "control_drift", "contaminated", "lock_sha256", "suite_commit", "cpu_model", "record",
)  # fmt: skip


def rows(content: MachineResults) -> Iterable[dict]:
    """One row for each trial, by the names of `_COLUMNS`."""
    known = {stack.tag: i for i, stack in enumerate(content.stacks)}
    for m in sorted(content.all_measurements, key=lambda m: (known[m.tag], m.model, m.n, m.backend, m.file)):
        for i, r in enumerate(m.records):
            clocks, counters, graph, control, provenance = r.clocks, r.counters, r.graph, r.control, r.provenance
            values = (
                content.machine, m.tag, m.model, m.n, m.backend, i, r.kind, r.outcome, r.reason, r.protocol,
                r.settings.seed, r.settings.tune, r.settings.draws, r.settings.chains, r.started,
                clocks and clocks.setup_wall_seconds, clocks and clocks.tuning_wall_seconds,
                clocks and clocks.drawing_wall_seconds, clocks and clocks.finish_wall_seconds,
                clocks and clocks.total_wall_seconds, clocks and clocks.call_wall_seconds, r.time_to_answer_seconds,
                r.effective_draws, counters and counters.gradients_tuning,
                counters and counters.gradients_drawing, counters and counters.divergences, graph and graph.nodes,
                graph and graph.replacements, r.peak_memory_mib, control and control.drift,
                control and control.contaminated, r.lock_sha256, provenance and provenance.suite_commit,
                provenance and provenance.cpu_model, content.path(m),
            )  # fmt: skip
            yield dict(zip(_COLUMNS, values, strict=True))


def write(content: MachineResults, folder: Path) -> None:
    """Write all trials of a machine into `folder`, as one table and as JSON."""
    lines = list(rows(content))
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _no_formula(value) for name, value in line.items()} for line in lines)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "measurements.csv").write_text(table.getvalue(), encoding="utf-8")
    (folder / "measurements.json").write_text(json.dumps(lines, indent=0) + "\n", encoding="utf-8")


# What OWASP's "CSV Injection" names, after any white space.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")


def _no_formula(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula; what is a number stays one."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def copy_sweeps(contents: Sequence[MachineResults], sweeps: Path, folder: Path) -> None:
    """Put the raw records of the latest sweep of each cell beside the pages that link to them."""
    for place in sorted({place for content in contents for place in content.sweep_paths.values()}):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sweeps / place.removeprefix("data/sweep/"), folder / place)


def copy_records(content: MachineResults, records: Path, folder: Path) -> None:
    """Put the raw records of all sittings beside the pages that link to them."""
    for m in content.all_measurements:
        target = folder / content.path(m)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(records / content.machine / m.tag / target.name, target)
