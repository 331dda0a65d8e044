"""The closing table: for each release, backend by model, what a newcomer wants to know, and why what failed failed."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.records import Measurement, Record

_STYLE = {"ok": "green", "unsupported": "dim", "failed": "red", "invalid": "bold red"}
_NOTHING = "–"


def _number(value: float | None) -> str:
    if value is None:
        return _NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _median(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return median(known) if known else None


def _cells(measurement: Measurement) -> list[str]:
    ok: list[Record] = [r for r in measurement.records if r.outcome == "ok"]
    numbers = [
        _median(r.clocks.setup_wall_seconds for r in measurement.of_kind("cold")),
        _median(r.clocks.setup_wall_seconds for r in measurement.of_kind("warm")),
        _median(r.clocks.sampling_wall_seconds for r in ok),
        _median(r.seconds_per_1000_effective_draws for r in ok),
        _median(r.gradients_per_effective_draw for r in ok),
        _median(r.peak_memory_mib for r in ok),
    ]
    contaminated = " ~" if any(r.control and r.control.contaminated for r in ok) else ""
    style = _STYLE[measurement.outcome]
    return [*map(_number, numbers), f"[{style}]{measurement.outcome}[/]{contaminated}"]


def print_summary(
    console: Console, measurements: list[Measurement], backends: list[str], damaged: Iterable[str]
) -> None:
    """Print a table for each release and model, then each reason, then each file that could not be read."""
    order = {name: position for position, name in enumerate(backends)}
    groups: dict[tuple[str, str, int], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.tag, m.model, m.n), []).append(m)
    for (tag, model, n), members in groups.items():
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
        for m in sorted(members, key=lambda m: order.get(m.backend, len(order))):
            table.add_row(escape(m.backend), *_cells(m))
        console.print(table)
    console.print("eff.: effective draws, of the worst estimand.  grads: gradient evaluations, tuning included.")
    failures = [m for m in measurements if m.outcome in ("failed", "invalid")]
    if failures:
        console.print("\n[bold]What failed, and why[/]")
        for m in failures:
            console.print(f"  {m.tag} {m.model} n={m.n} {m.backend}: {m.outcome}: {escape(m.reason or 'no reason')}")
    unsupported = {}
    for m in measurements:
        if m.outcome == "unsupported":
            unsupported.setdefault((m.tag, m.model, m.reason.partition(" ")[2]), []).append(m.backend)
    if unsupported:
        console.print("\n[bold]What cannot be[/]")
        for (tag, model, reason), names in unsupported.items():
            console.print(f"  {tag} {model}: {', '.join(names)}: {escape(reason)}")
    if any(r.control and r.control.contaminated for m in measurements for r in m.records):
        console.print("\n~ the machine changed speed during a trial: read its seconds with care.")
    for sentence in damaged:
        console.print(f"[red]{escape(sentence)}[/]")
