"""The command `bench history`."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer
from rich.table import Table

from harness.measuring import cells, history
from harness.measuring.rounds import of_each_kind
from harness.output import console, counted, minutes
from harness.results.machines import machine_name
from harness.stacks import locks, room
from harness.stacks.timeline import ensure_timeline
from harness.suite import inside


def history_command(
    releases: Annotated[
        list[str] | None, typer.Argument(help="Releases such as v6.4.0; the last patch of each minor if none.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model, also several times; ppca and discrete if none.")
    ] = None,
    n: Annotated[list[int] | None, typer.Option(help="A size, also several times; the smallest if none.")] = None,
    backend: Annotated[list[str] | None, typer.Option(help="A backend, also several times; all if none.")] = None,
    warm: Annotated[
        int, typer.Option(min=1, envvar="BENCH_WARM", help="Rounds of warm trials; half as many cold ones.")
    ] = 5,
    budget: Annotated[float | None, typer.Option(min=0, help="Minutes after which no more blocks begin.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure what is complete once more.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what is missing, and what it will cost.")] = False,
) -> None:
    """Measure the history: each parameter set in many releases side by side, and say what is missing of it.

    What neighbouring releases have of it together is not measured again; an interrupted block goes on.
    """
    ensure_timeline()
    known = locks.load_stacks()
    chosen = [locks.get_stack(r) for r in releases] if releases else filter(locks.installs, locks.last_patches(known))
    chosen = sorted({s.tag: s for s in chosen}.values(), key=lambda s: s.date)
    machine, description = machine_name(), inside()
    wanted = cells.cells(description, small=True, models=model or cells.MODELS, backends=backend, sizes=n)
    each = of_each_kind(warm)
    blocks = history.missing(machine, chosen, wanted, each, description, again)
    console.print(
        f"{counted(len(chosen), 'release')} ({chosen[0].tag} to {chosen[-1].tag}) × "
        f"{counted(len(wanted), 'parameter set')} on {machine}: "
        + (f"{counted(len(blocks), 'block')} missing." if blocks else "nothing is missing.")
    )
    if not blocks:
        return
    _show(machine, blocks)
    parts = history.in_parts(blocks, known)
    if len(parts) > len(blocks):
        console.print(
            f"The disk has room for {counted(room.capacity(known), 'stack')} side by side: it will be done in "
            f"{counted(len(parts), 'part')}, each of which shares a release with the next."
        )
    seconds = history.estimate_seconds(machine, parts)
    limit = "" if budget is None else f", and no block begins after {budget:g} min"
    console.print(
        f"This will take about {minutes(seconds)}, besides what stacks take to install and trials that are "
        f"repeated{limit}. Ctrl-C loses at most the trial in flight; the same command goes on from there.\n"
    )
    if plan:
        return
    deadline = None if budget is None else time.monotonic() + 60 * budget
    try:
        for _ in history.measure(console, machine, chosen, wanted, description, warm, again, deadline):
            pass
    except KeyboardInterrupt:
        print(
            "bench: interrupted; what was measured is kept, and the same command goes on from there.", file=sys.stderr
        )
        raise typer.Exit(130) from None


def _show(machine: str, blocks: list[history.Block]) -> None:
    table = Table("parameter set", "releases", "", "rounds", "about", box=None, pad_edge=False)
    for block in blocks:
        tags = [s.tag for s in block.stacks]
        rounds = " + ".join(f"{many} {kind}" for kind, many in block.rounds.items())
        cost = minutes(history.estimate_seconds(machine, [block]))
        table.add_row(str(block.cell), " to ".join(dict.fromkeys((tags[0], tags[-1]))), str(len(tags)), rounds, cost)
    console.print(table)
