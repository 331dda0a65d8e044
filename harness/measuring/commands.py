"""The commands that measure: `bench run`, `bench sweep` and `bench trial`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from harness import paths
from harness.errors import BenchError, NotMeasuredError
from harness.judging import calibration, verdicts
from harness.judging.comparison import Compared
from harness.judging.summary import summarise
from harness.measuring import alone, calibrate, cells, run, sweep
from harness.measuring.rounds import of_each_kind
from harness.output import console, counted, minutes
from harness.paths import ROOT
from harness.results import blames, compatibility
from harness.results.machines import machine_name
from harness.stacks import environments, locks
from harness.stacks.timeline import ensure_timeline
from harness.suite import inside, suite_commit


def run_command(
    releases: Annotated[
        list[str] | None, typer.Argument(help="Releases such as v6.4.0; the two newest if none.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model, also several times; ppca and discrete if none.")
    ] = None,
    n: Annotated[list[int] | None, typer.Option(help="A size, also several times; the smallest if none.")] = None,
    all_sizes: Annotated[
        bool, typer.Option("--all-sizes", help="Every size of each model, not only the smallest.")
    ] = False,
    backend: Annotated[list[str] | None, typer.Option(help="A backend, also several times; all if none.")] = None,
    warm: Annotated[
        int,
        typer.Option(
            min=0,
            envvar="BENCH_WARM_TRIALS",
            help="Rounds of warm trials; half as many cold.",
        ),
    ] = 2,
    budget: Annotated[
        float | None,
        typer.Option(min=0, help="Minutes after which no more rounds begin, once everything has had its first."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure what is complete once more.")] = False,
    gradients: Annotated[
        bool, typer.Option("--gradients", help="Also what one gradient and one import cost, outside of trials.")
    ] = False,
) -> None:
    """Measure releases on every backend, compare them, publish the site, and print a summary.

    What has been measured on this machine, by this protocol, is not measured again; an interrupted run goes on.
    """
    ensure_timeline()
    chosen = [locks.get_stack(r) for r in releases] if releases else locks.of_releases(locks.load_stacks())[-2:]
    chosen = sorted({s.tag: s for s in chosen}.values(), key=lambda s: s.date)
    machine, description = machine_name(), inside()
    wanted = cells.cells(description, not all_sizes, models=model or cells.MODELS, backends=backend, sizes=n)
    # Where the time is limited, one warm trial is enough.
    least = warm if budget is None else min(1, warm)
    done = set() if again else run.measured(machine, chosen, description, least)
    left = [cell for cell in wanted if cell not in done]
    console.print(
        f"{counted(len(chosen), 'release')} ({', '.join(s.tag for s in chosen)}) × "
        f"{counted(len(wanted), 'parameter set')} on {machine}: measured {len(wanted) - len(left)}, left {len(left)}."
    )
    each = of_each_kind(warm)
    began, inside_trials = time.monotonic(), 0.0
    if left:
        seconds = run.estimate_seconds(machine, dict.fromkeys(left, each), len(chosen))
        limit = "" if budget is None else f", and begin no second round of anything after {budget:g} min"
        console.print(
            f"This will take about {minutes(seconds)}{limit}. Ctrl-C loses at most the trial in flight; the same "
            "command goes on from there.\n"
        )
    try:
        if left:
            deadline = None if budget is None else began + 60 * budget
            inside_trials = run.measure(console, machine, chosen, left, description, each, deadline)
        if gradients:
            run.time_gradients(console, chosen, wanted, description)
    except KeyboardInterrupt:
        # Caught here, since typer would end without a word.
        print(
            "bench: interrupted; what was measured is kept, and the same command goes on from there.", file=sys.stderr
        )
        raise typer.Exit(130) from None
    elapsed = time.monotonic() - began
    tags = [stack.tag for stack in chosen]
    if len(tags) > 1:
        console.rule("asv compare")
        run.show_asv("compare", "--only-changed", "--machine", machine, tags[-2], tags[-1])
        console.rule("Side by side")
        console.print(
            "asv's table compares medians and knows of no rounds: what it marks may be the machine. Believe these:"
        )
        sides = (run.archived(machine, stack, description) for stack in chosen[-2:])
        verdicts.brief(console, Compared(*sides), tags[-2], tags[-1])
    console.rule("asv publish")
    published = run.show_asv("publish") == 0
    console.rule("Summary")
    valid = summarise(machine, tags).valid
    if left:
        console.print(
            f"\nMeasured for {minutes(elapsed)}, {100 * inside_trials / elapsed:.0f} % of it inside trials. "
            f"Records are in results/records/{machine}/."
        )
    if not valid:
        raise BenchError("Nothing was measured: no trial gave a valid answer; the reasons are above.")
    if not published:
        raise BenchError("asv could not publish the site: what it said is above; the results are kept.")
    console.print("To browse the site: `.venv/bin/asv preview`, then open the address that it prints.")


def calibrate_command(
    release: Annotated[str, typer.Argument(help="A release such as v6.4.0.")],
    model: Annotated[
        list[str] | None, typer.Option(help="A model, also several times; ppca and discrete if none.")
    ] = None,
    backend: Annotated[list[str] | None, typer.Option(help="A backend, also several times; all if none.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of warm trials.")] = 32,
    cold: Annotated[int, typer.Option(min=1, help="Rounds of cold trials.")] = 8,
    budget: Annotated[float | None, typer.Option(min=0, help="Minutes, at most; no limit if none.")] = None,
    inject: Annotated[
        list[str] | None,
        typer.Option(help="Work in the copy, also several times: gradient=ELEMENTS or compilation=SECONDS."),
    ] = None,
) -> None:
    """Measure a release beside a copy of itself: how often chance is called a difference, and how small a real one is
    seen."""
    ensure_timeline()
    stack, machine, description = locks.get_stack(release), machine_name(), inside()
    known = cells.cells(description, small=True, models=model or cells.MODELS, backends=backend)
    wanted = {cell: {"cold": cold, "warm": rounds} for cell in known}
    injections = list(dict.fromkeys(calibrate.injection(text) for text in inject or ()))
    many = 2 + len(injections)
    limit = f", and is ended after {budget:g} min" if budget is not None else ""
    console.print(
        f"{release} beside {counted(many - 1, 'copy', 'copies')} of itself × "
        f"{counted(len(known), 'parameter set')} on {machine}: this will take about "
        f"{minutes(run.estimate_seconds(machine, wanted, many))}{limit}. Ctrl-C loses at most the trial in flight; the "
        "same command goes on from there.\n"
    )
    deadline = None if budget is None else time.monotonic() + 60 * budget
    try:
        sides = calibrate.arms(stack, injections)
        same, *injected = calibrate.run(console, machine, sides, wanted, description, deadline)
    except KeyboardInterrupt:
        print("bench: interrupted; all rounds are kept, and the same command goes on from there.", file=sys.stderr)
        raise typer.Exit(130) from None
    if not same.pairs:
        raise NotMeasuredError(
            f"Nothing of {release} could be measured twice: {same.why_nothing or 'the time was up'}."
        )
    path = calibrate.keep(machine, stack, same, dict(zip(injections, injected, strict=True)), description)
    calibrate.end(sides, known, path.stem)
    calibration.show(console, calibration.Calibration((calibration.read(path),)))
    console.print(f"What was measured is in {path.relative_to(paths.RESULTS.parent)}.")


def sweep_command(
    releases: Annotated[
        list[str] | None, typer.Argument(help="Releases such as v6.4.0; the last patch of each minor if none.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model; all if none.")] = None,
    backend: Annotated[list[str] | None, typer.Option(help="A backend; all if none.")] = None,
    jobs: Annotated[
        int,
        typer.Option(min=1, help="Trials at a time; as many as processors."),
    ] = os.cpu_count() or 1,
    again: Annotated[
        bool, typer.Option("--again", help="One more trial, with another seed, of what has an outcome.")
    ] = False,
) -> None:
    """Run one trial of every cell, release × backend × model, and write the compatibility table.

    Outcomes are what it is for: trials run side by side, and their clocks are not kept with measured ones.
    """
    chosen, unknown = [], []
    for release in releases or [stack.tag for stack in locks.last_patches(locks.load_stacks())]:
        try:
            chosen.append(locks.get_stack(release))
        except BenchError as error:
            unknown.append(str(error))
    if not chosen:
        raise BenchError(" ".join(unknown))
    chosen = list({stack.tag: stack for stack in chosen}.values())
    machine, description = machine_name(), inside()
    wanted = cells.cells(description, small=True, models=model or description["models"], backends=backend)
    plan = {
        stack.tag: [c for c in wanted if again or not sweep.swept(machine, stack, c, description)] for stack in chosen
    }
    left = sum(map(len, plan.values()))
    sweep.check_records(but=(sweep.path_of(machine, tag, cell) for tag, its in plan.items() for cell in its))
    console.print(
        f"{counted(len(chosen), 'release')} × {counted(len(wanted), 'cell')} on {machine}: "
        f"with an outcome {len(chosen) * len(wanted) - left}, left {left}."
    )
    if left:
        seconds = sweep.estimate_seconds(machine, [c for its in plan.values() for c in its], jobs)
        console.print(
            f"This will take about {minutes(seconds)}, {counted(jobs, 'trial')} at a time, each ended after "
            f"{description['limits']['seconds']:g} s. Ctrl-C loses the trials in flight; the same command goes on from "
            "there.\n"
        )
    lock = alone.take()
    try:
        for stack in chosen:
            if plan[stack.tag]:
                _sweep_stack(machine, stack, sweep.longest_first(machine, plan[stack.tag]), description, jobs)
    except KeyboardInterrupt:
        print(
            "bench: interrupted; what has an outcome is kept, and the same command goes on from there.", file=sys.stderr
        )
        raise typer.Exit(130) from None
    finally:
        lock.release()
        # What was damaged and is not made anew, because this was interrupted, is named by the next sweep.
        with suppress(BenchError):
            table, (answers, _) = compatibility.table(paths.RESULTS / "sweep"), blames.read_all(paths.RESULTS)
            compatibility.write(table, description["backends"], blames.Blames(answers))
    console.print("The table is in docs/compatibility.md and results/compatibility.json.")
    if unknown:
        raise BenchError(" ".join(unknown))


def _sweep_stack(machine: str, stack: locks.Stack, wanted: list[cells.Cell], description: dict, jobs: int) -> None:
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(stack.tag, total=len(wanted))
        for *earlier, record in sweep.sweep_stack(machine, stack, wanted, description, jobs):
            s = record.settings
            words = "; then ".join(f"{r.outcome}: {r.reason}" if r.reason else r.outcome for r in (*earlier, record))
            console.print(f"{stack.tag} {s.model} n={s.n} {s.backend}: {words}", highlight=False, markup=False)
            progress.advance(task)
    console.print(
        f"{stack.tag}: {counted(len(wanted), 'cell')} in {minutes(time.monotonic() - began)}.\n", highlight=False
    )


# Its options are those of the measured code; what a trial that is interrupted needs to end what it started.
TRIAL_CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}
_GRACE_SECONDS = 5


def trial_command(
    context: typer.Context,
    release: Annotated[str, typer.Argument(help="A release such as v6.4.0.")],
    model: Annotated[str, typer.Argument(help="A model such as ppca.")],
) -> None:
    """Run one trial on any stack and print its record; options are those of `python -m sampling`.

    For example: bench trial v6.4.0 ppca --n 500 --backend nutpie-numba
    """
    ensure_timeline()
    stack = locks.get_stack(release)
    environment = environments.stack_environment(stack)
    environments.compile_bytecode(environment, stack)
    command = [environments.python(environment), "-m", "sampling", model, *context.args]
    variables = {
        **environments.process_environment(stack),
        "BENCH_STACK": stack.tag,
        "BENCH_LOCK_SHA256": stack.sha256,
        "BENCH_MACHINE": machine_name(),
        "BENCH_SUITE_COMMIT": suite_commit() or "",
    }
    child = subprocess.Popen(command, cwd=ROOT, env=variables)
    try:
        status = child.wait()
    except KeyboardInterrupt:
        try:
            # A terminal tells the child too, which ends its trial and says so; who ends this process alone does not.
            status = child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.terminate()
            child.wait()
            print("bench: interrupted; the trial was ended and nothing was recorded.", file=sys.stderr)
            status = 130
    raise typer.Exit(status)
