"""The commands that say what was measured: `bench summary` and `bench agreement`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Column, Table

from harness import paths
from harness.errors import BenchError
from harness.judging import agreement
from harness.judging.summary import summarise
from harness.output import console
from harness.results.machines import machine_name
from harness.results.records import read_records
from harness.stacks import locks
from harness.suite import inside


def summary_command(
    releases: Annotated[
        list[str] | None, typer.Argument(help="Releases such as v6.4.0; the two newest if none.")
    ] = None,
    phases: Annotated[bool, typer.Option("--phases", help="Where setup and finish go, instead.")] = False,
) -> None:
    """Print the summary of what has been measured on this machine."""
    chosen = [locks.get_stack(r) for r in releases] if releases else locks.of_releases(locks.load_stacks())[-2:]
    shown = summarise(machine_name(), [s.tag for s in chosen], show_phases=phases)
    if shown.damaged:
        raise BenchError("Not all that this machine measured can be read: what is damaged is named above.")
    if not shown.valid:
        machine = machine_name()
        have = {path.parent.name for s in chosen for path in (paths.RESULTS / "records").glob(f"*/{s.tag}")} - {machine}
        others = f", or see what another machine measured with BENCH_MACHINE={min(have)}" if have else ""
        raise BenchError(
            f"Nothing valid has been measured for {', '.join(s.tag for s in chosen)} on {machine}: "
            f"measure it with `bench run`{others}."
        )


def agreement_command() -> None:
    """Pool all trials of this machine, backend by backend: what is off by too little for one trial to show."""
    machine, since = machine_name(), inside()["same_draws_since"]
    records = [
        record
        for folder in ("records", "sweep")
        for path in sorted((paths.RESULTS / folder / machine).glob("*/*.json"))
        for record in read_records(path, measurement=False)
        if record.protocol >= since
    ]
    found = agreement.agreement(records)
    if not found:
        raise BenchError(f"No trial on {machine} has draws: measure some with `bench sweep` or `bench run`.")
    wrong = []
    for model in sorted({model for model, _ in found}):
        table = Table(Column(model, no_wrap=True), "trials", "worst estimand", "off by, in sds", "z", box=None)
        for backend in (b for m, b in found if m == model):
            name, worst = max(found[model, backend].items(), key=lambda item: abs(item[1].z))
            bias = f"{worst.bias:+.3f} ± {worst.error:.3f}"
            table.add_row(backend, str(worst.trials), name, bias, f"{worst.z:+.1f}")
            if abs(worst.z) > agreement.Z_LIMIT:
                wrong.append(f"{name} of {model} by {backend}")
        console.print(table, "")
    if wrong:
        raise BenchError(
            f"Over all trials, these are off by more than {agreement.Z_LIMIT} standard errors: {', '.join(wrong)}."
        )
    console.print(f"All trials together agree with the exact posterior: no |z| above {agreement.Z_LIMIT}.")
