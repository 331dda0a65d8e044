"""The commands that say what was measured: `bench summary`, `bench steps` and `bench agreement`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Column, Table

from harness import paths
from harness.errors import BenchError
from harness.judging import agreement, changes
from harness.judging.summary import summarise
from harness.output import console
from harness.results import store
from harness.results.blames import Question
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


def steps_command(
    model: Annotated[list[str] | None, typer.Option(help="A model, also several times; all if none.")] = None,
    most: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
) -> None:
    """Print the steps of this machine's history that rounds call, the largest first, and what made them or the command
    that asks."""
    machine, description = machine_name(), inside()
    unknown = [name for name in model or () if name not in description["models"]]
    if unknown:
        raise BenchError(f"There is no model {unknown[0]!r}: choose one of {', '.join(description['models'])}.")
    contents = store.load(store.Results(paths.RESULTS, description))
    content = next((c for c in contents if c.machine == machine), None)
    steps = changes.steps_of(content) if content else []
    found = [
        (step, called)
        for step in steps
        for called in step.called
        if called.key[0] in (model or content.models)
    ]  # fmt: skip
    if not found:
        raise BenchError(
            f"No step is known on {machine}: releases are compared where they were measured side by side, as by "
            "`bench history`."
        )
    found.sort(key=lambda item: -abs(item[1].judged.estimate.mean))
    for number, (step, c) in enumerate(found[:most], start=1):
        estimate, (name, n, backend) = c.judged.estimate, c.key
        low, high = estimate.interval()
        turn = (step.old, step.new, c.key, c.quantity.name, estimate.ratio > 1)
        blamed = content.blames.of_number(*turn)
        question = Question(step.old, step.new, name, n, backend, c.quantity.name)
        console.print(
            f"{number}. PyMC {step.old[1:]} → {step.new[1:]}, {name} n={n} {backend}, {c.quantity.phrase}: "
            f"×{estimate.ratio:.2f} ({low:.2f} to {high:.2f})",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        if blamed:
            told = [f"It was {blamed.says}."]
        elif b := content.blames.of_another(*turn):
            told = [f"Of {b.model} n={b.n} {b.backend} it was {b.says}; to ask it of this one:", question.command]
        else:
            told = [question.command]
        for line in told:
            console.print(f"   {line}", highlight=False, soft_wrap=True)
    if len(found) > most:
        console.print(f"{len(found) - most} smaller ones: --most {len(found)}")


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
