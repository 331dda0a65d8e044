"""The closing table: for each release, backend by model, what a newcomer wants to know, and why what failed failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import paths
from harness.output import console, job_page, quoted
from harness.results.records import Measurement, Record, read_measurements
from harness.suite import inside

_STYLE = {"ok": "green", "unsupported": "dim", "failed": "red", "invalid": "bold red"}
_NOTHING = "–"


def _number(value: float | None) -> str:
    if value is None:
        return _NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _median(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return median(known) if known else None


_HEADINGS = (
    "backend", "setup cold, s", "setup warm, s", "sampling, s", "s per 1000 effective draws",
    "gradients per effective draw", "peak MiB", "outcome",
)  # fmt: skip


def _numbers(measurement: Measurement) -> list[str]:
    ok: list[Record] = [r for r in measurement.records if r.outcome == "ok"]
    numbers = [
        _median(r.clocks.setup_wall_seconds for r in measurement.of_kind("cold")),
        _median(r.clocks.setup_wall_seconds for r in measurement.of_kind("warm")),
        _median(r.clocks.sampling_wall_seconds for r in ok),
        _median(r.seconds_per_1000_effective_draws for r in ok),
        _median(r.gradients_per_effective_draw for r in ok),
        _median(r.peak_memory_mib for r in ok),
    ]
    return [_number(value) for value in numbers]


def _contaminated(measurement: Measurement) -> str:
    return " ~" if any(r.control and r.control.contaminated for r in measurement.records if r.outcome == "ok") else ""


def _cells(measurement: Measurement) -> list[str | Text]:
    outcome = Text(measurement.outcome, _STYLE[measurement.outcome])
    return [*_numbers(measurement), Text.assemble(outcome, _contaminated(measurement))]


def _groups(measurements: Iterable[Measurement], backends: Sequence[str]) -> dict[tuple, list[Measurement]]:
    """By release, model and size; backends in the order in which they are always named."""
    order = {name: position for position, name in enumerate(backends)}
    groups: dict[tuple[str, str, int], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.tag, m.model, m.n), []).append(m)
    return {key: sorted(g, key=lambda m: order.get(m.backend, len(order))) for key, g in groups.items()}


def markdown(measurements: Sequence[Measurement], backends: Sequence[str], damaged: Iterable[str] = ()) -> str:
    """The same tables and reasons as Markdown, for the page of a job and a pull request: foreign text is quoted."""
    parts = []
    for (tag, model, n), members in _groups(measurements, backends).items():
        rows = [f"**PyMC {tag[1:]}, {quoted(model)}, n={n}**", "", "| " + " | ".join(_HEADINGS) + " |"]
        rows.append("| --- |" + " ---: |" * (len(_HEADINGS) - 2) + " --- |")
        for m in members:
            cells = [quoted(m.backend), *_numbers(m), f"{m.outcome}{_contaminated(m)}"]
            rows.append("| " + " | ".join(cells) + " |")
        parts.append("\n".join(rows))
    reasons = [
        f"- {m.tag} {quoted(m.model)} n={m.n} {quoted(m.backend)}: {m.outcome}: {quoted(m.reason or 'no reason')}"
        for m in measurements
        if m.outcome in ("failed", "invalid")
    ]
    reasons += [f"- {quoted(sentence)}" for sentence in damaged]
    return "\n\n".join([*parts, "\n".join(reasons)] if reasons else parts)


def print_summary(
    console: Console, measurements: list[Measurement], backends: list[str], damaged: Iterable[str]
) -> None:
    """Print a table for each release and model, then each reason, then each file that could not be read."""
    for (tag, model, n), members in _groups(measurements, backends).items():
        table = Table(
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
            title=f"PyMC {tag.removeprefix('v')} · {model}, n={n}",
            title_justify="left",
            title_style="bold",
        )
        table.add_column("backend", no_wrap=True)
        # Seven columns of numbers fit a terminal of 80 with headings of this shape.
        for heading in ("cold\nsetup\ns", "warm\nsetup\ns", "samp-\nling\ns", "s per\n1000\neff.", "grads\nper\neff."):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("peak\n\nMiB", justify="right", no_wrap=True)
        table.add_column("outcome", no_wrap=True)
        for m in members:
            table.add_row(m.backend, *_cells(m))
        console.print(table)
    console.print("eff.: effective draws, of the worst estimand.  grads: gradient evaluations, tuning included.")
    failures = [m for m in measurements if m.outcome in ("failed", "invalid")]
    if failures:
        console.print(Text("\nWhat failed, and why", "bold"))
        for m in failures:
            console.print(f"  {m.tag} {m.model} n={m.n} {m.backend}: {m.outcome}: {m.reason or 'no reason'}")
    unsupported = {}
    for m in measurements:
        if m.outcome == "unsupported":
            unsupported.setdefault((m.tag, m.model, m.reason.partition(" ")[2]), []).append(m.backend)
    if unsupported:
        console.print(Text("\nWhat cannot be", "bold"))
        for (tag, model, reason), names in unsupported.items():
            console.print(f"  {tag} {model}: {', '.join(names)}: {reason}")
    if any(r.control and r.control.contaminated for m in measurements for r in m.records):
        console.print("\n~ the machine changed speed during a trial: read its seconds with care.")
    for sentence in damaged:
        console.print(Text(sentence, "red"))


def summarise(machine: str, tags: Iterable[str]) -> bool:
    """Print the summary of these stacks, here and on the page of a running job; whether any measurement is valid."""
    measurements, damaged = [], []
    for tag in tags:
        found, unreadable = read_measurements(paths.RESULTS / "records", machine, tag)
        measurements += found
        damaged += unreadable
    backends = inside()["backends"]
    print_summary(console, measurements, backends, damaged)
    job_page(markdown(measurements, backends, damaged))
    return any(m.outcome == "ok" for m in measurements)
