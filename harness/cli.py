"""`bench`, the project's own command line. asv does the measuring day to day; these are the jobs around it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from harness import agreement, benchmark_list, compatibility, environments, github, nightly, report, run, stacks, sweep
from harness.errors import BenchError
from harness.machine import machine_name
from harness.records import read_measurements, read_records
from harness.summary import markdown, print_summary
from harness.timeline import ensure_timeline

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
stacks_app = typer.Typer(no_args_is_help=True, help="The pinned stacks, one for each PyMC release.")
app.add_typer(stacks_app, name="stacks")
app.add_typer(nightly.app, name="nightly")
console = Console(soft_wrap=True)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


@app.command("run")
def run_command(
    releases: Annotated[
        list[str] | None, typer.Argument(help="Releases such as v6.4.0; the two newest if none.")
    ] = None,
    all_sizes: Annotated[
        bool, typer.Option("--all-sizes", help="Every size of each model, not only the smallest.")
    ] = False,
    model: Annotated[
        list[str] | None, typer.Option(help="A model, also several times; ppca and discrete if none.")
    ] = None,
    backend: Annotated[list[str] | None, typer.Option(help="A backend, also several times; all if none.")] = None,
    warm: Annotated[int, typer.Option(min=0, help="Warm trials after each cold one.")] = 2,
    again: Annotated[bool, typer.Option("--again", help="Measure what is complete once more.")] = False,
) -> None:
    """Measure releases on every backend, compare them, publish the site, and print a summary.

    What has been measured on this machine, by this protocol, is not measured again; an interrupted run goes on.
    """
    ensure_timeline()
    chosen = [stacks.get_stack(r) for r in releases] if releases else stacks.of_releases(stacks.load_stacks())[-2:]
    chosen.sort(key=lambda s: s.date)
    machine, description = machine_name(), run.inside()
    cells = run.cells(description, small=not all_sizes, models=model or run.MODELS, backends=backend)
    plan = {}
    for stack in chosen:
        done = {} if again else run.measured(machine, stack, description, warm)
        plan[stack.tag] = [cell for cell in cells if cell not in done]
    left = sum(map(len, plan.values()))
    console.print(
        f"{_count(len(chosen), 'release')} ({', '.join(plan)}) × {_count(len(cells), 'parameter set')} on {machine}: "
        f"measured {len(chosen) * len(cells) - left}, left {left}."
    )
    began, inside = time.monotonic(), 0.0
    if left:
        console.print(
            f"This will take about {_minutes(run.estimate_seconds(machine, plan, warm))}. Ctrl-C loses at most the "
            "trial in flight; the same command goes on from there.\n"
        )
    try:
        for stack in chosen:
            if plan[stack.tag]:
                inside += run.run_stack(console, stack, plan[stack.tag], description, warm)
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
        run.show_asv("compare", "--machine", machine, tags[-2], tags[-1])
    console.rule("asv publish")
    published = run.show_asv("publish") == 0
    console.rule("Summary")
    valid = _summarise(machine, tags)
    if left:
        console.print(
            f"\nMeasured for {_minutes(elapsed)}, {100 * inside / elapsed:.0f} % of it inside trials. "
            f"Records are in results/records/{machine}/."
        )
    if not valid:
        raise BenchError("Nothing was measured: no trial gave a valid answer; the reasons are above.")
    if not published:
        raise BenchError("asv could not publish the site: what it said is above; the results are kept.")
    console.print("To browse the site: `.venv/bin/asv preview`, then open the address that it prints.")


def _summarise(machine: str, tags: list[str]) -> bool:
    """Print the summary of these stacks; whether any measurement is valid."""
    measurements, damaged = [], []
    for tag in tags:
        found, unreadable = read_measurements(run.RECORDS, machine, tag)
        measurements += found
        damaged += unreadable
    backends = run.inside()["backends"]
    print_summary(console, measurements, backends, damaged)
    github.summarise(markdown(measurements, backends, damaged))
    return any(m.outcome == "ok" for m in measurements)


@app.command()
def summary(
    releases: Annotated[
        list[str] | None, typer.Argument(help="Releases such as v6.4.0; the two newest if none.")
    ] = None,
) -> None:
    """Print the summary of what has been measured on this machine."""
    chosen = [stacks.get_stack(r) for r in releases] if releases else stacks.of_releases(stacks.load_stacks())[-2:]
    if not _summarise(machine_name(), [s.tag for s in chosen]):
        raise BenchError(
            f"Nothing valid has been measured for {', '.join(s.tag for s in chosen)} on {machine_name()}: "
            "measure it with `bench run`."
        )


@app.command("report")
def report_command(
    event: Annotated[
        Path, typer.Option(envvar="GITHUB_EVENT_PATH", help="What GitHub tells of the finished run, as JSON.")
    ],
    repository: Annotated[str, typer.Option(envvar="GITHUB_REPOSITORY", help="owner/name; needs GITHUB_TOKEN.")],
) -> None:
    """Comment on a pull request with what its `make bench` has measured, for a workflow that runs after it."""
    said = report.report(event, github.Api(repository, github.token()))
    console.print(said, highlight=False)
    github.summarise(github.quoted(said))


@app.command("check")
def check_command(
    update: Annotated[bool, typer.Option("--update", help="Write the list anew.")] = False,
    same_numbers: Annotated[
        bool, typer.Option("--same-numbers", help="With --update: changed code measures what it did before.")
    ] = False,
) -> None:
    """Check the benchmarks as asv does, and that their list in results/asv/benchmarks.json is the one of this code."""
    said = benchmark_list.update(same_numbers) if update else benchmark_list.check()
    console.print(said, highlight=False)


@app.command("sweep")
def sweep_command(
    releases: Annotated[
        list[str] | None, typer.Argument(help="Releases such as v6.4.0; the last patch of each minor if none.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model; ppca, discrete and discrete_marginal if none.")
    ] = None,
    backend: Annotated[list[str] | None, typer.Option(help="A backend; all if none.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trials at a time.")] = os.cpu_count() or 1,
    again: Annotated[
        bool, typer.Option("--again", help="One more trial, with another seed, of what has an outcome.")
    ] = False,
) -> None:
    """Run one short trial of every cell, release × backend × model, and write the compatibility table.

    Outcomes are what it is for: trials run side by side, and their clocks are not kept with measured ones.
    """
    chosen, unknown = [], []
    for release in releases or [stack.tag for stack in sweep.last_patches(stacks.load_stacks())]:
        try:
            chosen.append(stacks.get_stack(release))
        except BenchError as error:
            unknown.append(str(error))
    if not chosen:
        raise BenchError(" ".join(unknown))
    machine, description = machine_name(), run.inside()
    cells = run.cells(description, small=True, models=model or sweep.MODELS, backends=backend)
    since = description["same_draws_since"]
    plan = {stack.tag: [c for c in cells if again or not sweep.swept(machine, stack, c, since)] for stack in chosen}
    left = sum(map(len, plan.values()))
    sweep.check_records(but=(sweep.path_of(machine, tag, cell) for tag, wanted in plan.items() for cell in wanted))
    console.print(
        f"{_count(len(chosen), 'release')} × {_count(len(cells), 'cell')} on {machine}: "
        f"with an outcome {len(chosen) * len(cells) - left}, left {left}."
    )
    if left:
        seconds = sweep.estimate_seconds(machine, [c for wanted in plan.values() for c in wanted], jobs)
        console.print(
            f"This will take about {_minutes(seconds)}, {_count(jobs, 'trial')} at a time. Ctrl-C loses the trials in "
            "flight; the same command goes on from there.\n"
        )
    try:
        for stack in chosen:
            if plan[stack.tag]:
                _sweep_stack(machine, stack, plan[stack.tag], description, jobs)
    except KeyboardInterrupt:
        print(
            "bench: interrupted; what has an outcome is kept, and the same command goes on from there.", file=sys.stderr
        )
        raise typer.Exit(130) from None
    finally:
        # What was damaged and is not made anew, because this was interrupted, is named by the next sweep.
        with suppress(BenchError):
            compatibility.write(compatibility.table(sweep.RECORDS), description["backends"])
    console.print("The table is in docs/compatibility.md and results/compatibility.json.")
    if unknown:
        raise BenchError(" ".join(unknown))


def _sweep_stack(machine: str, stack: stacks.Stack, wanted: list[run.Cell], description: dict, jobs: int) -> None:
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
        f"{stack.tag}: {_count(len(wanted), 'cell')} in {_minutes(time.monotonic() - began)}.\n", highlight=False
    )


@app.command("agreement")
def agreement_command() -> None:
    """Pool all trials of this machine, backend by backend: a bias too small for one trial shows in many."""
    machine, since = machine_name(), run.inside()["same_draws_since"]
    records = [
        record
        for folder in (run.RECORDS, sweep.RECORDS)
        for path in sorted((folder / machine).glob("*/*.json"))
        for record in read_records(path, measurement=False)
        if record.protocol >= since
    ]
    found = agreement.agreement(records)
    if not found:
        raise BenchError(f"No trial on {machine} has draws: measure some with `bench sweep` or `bench run`.")
    wrong = []
    for model in sorted({model for model, _ in found}):
        table = Table(Column(model, no_wrap=True), "trials", "worst estimand", "bias in sds", "z", box=None)
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


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def trial(
    context: typer.Context,
    release: Annotated[str, typer.Argument(help="A release such as v6.4.0.")],
    model: Annotated[str, typer.Argument(help="A model such as ppca.")],
) -> None:
    """Run one trial on any stack and print its record; options are those of `python -m sampling`.

    For example: bench trial v6.4.0 ppca --n 500 --backend nutpie-numba
    """
    ensure_timeline()
    stack = stacks.get_stack(release)
    environment = environments.stack_environment(stack)
    environments.compile_bytecode(environment, stack)
    command = [environments.python(environment), "-m", "sampling", model, *context.args]
    variables = {
        **environments.process_environment(stack),
        "BENCH_STACK": stack.tag,
        "BENCH_LOCK_SHA256": stack.sha256,
        "BENCH_MACHINE": machine_name(),
        "BENCH_SUITE_COMMIT": environments.suite_commit() or "",
    }
    child = subprocess.Popen(command, cwd=environments.ROOT, env=variables)
    while True:
        try:
            raise typer.Exit(child.wait())
        except KeyboardInterrupt:
            # The child got it too, ends its trial and says so.
            continue


@stacks_app.command("list")
def list_stacks() -> None:
    """The stacks, oldest first, with the packages that decide how a model is sampled."""
    ensure_timeline()
    names = ("pymc", "pytensor", "numba", "nutpie", "numpyro", "blackjax", "jax")
    for stack in stacks.load_stacks():
        versions = "  ".join(f"{name} {stack.packages.get(name, '–')}" for name in names)
        console.print(f"{stack.tag:8} {stack.date:%Y-%m-%d}  {versions}", highlight=False, soft_wrap=True)


@stacks_app.command("diff")
def diff_stacks(
    release: Annotated[str, typer.Argument(help="A release such as v6.4.0.")],
    other: Annotated[str | None, typer.Argument(help="A later one; without it, RELEASE and the one before it.")] = None,
) -> None:
    """What changed in a stack against the release before it, or from one stack to another."""
    old, new = (stacks.get_stack(release), stacks.get_stack(other)) if other else stacks.with_previous(release)
    console.print(f"{old.tag} → {new.tag}", highlight=False)
    console.print(str(stacks.diff(old, new)) or "no package differs", highlight=False)


@stacks_app.command("update")
def update_stacks(
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="Also the newest of everything, if a week and other packages have come.")
    ] = False,
) -> None:
    """Add a lock for each PyMC release that has appeared since the newest one."""
    added, unsolved = stacks.update(
        progress=lambda sentence: console.print(sentence, highlight=False), snapshot=snapshot
    )
    tags = ", ".join(s.tag for s in added)
    console.print(f"Added {tags}: commit stacks/." if added else "The stacks are up to date: no newer PyMC release.")
    if unsolved:
        raise BenchError(" ".join(unsolved))


# What a command ends with that was given a word where a number belongs, or the like.
_USAGE = 2


def main() -> None:
    """Run the command line; a `BenchError` is one sentence on standard error and exit status 1."""
    # A closed terminal or a cancelled job ends what it started, as Ctrl-C does.
    for request in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(request, signal.default_int_handler)
    try:
        app()
    except BenchError as error:
        # What a workflow's log would take for a command is not at the start of a line.
        print(re.sub(r"(?m)^::", " ::", f"bench: {error}"), file=sys.stderr)
        github.summarise(f"**Failed:** {github.quoted(str(error))}")
        sys.exit(1)
    except SystemExit as error:
        if error.code == _USAGE:
            github.summarise("**Failed:** the command does not take what it was given; the log says what.")
        raise
    except BrokenPipeError:
        os._exit(141)
    except OSError as error:
        # A disk that is full does not say where.
        place = (
            f"{error.filename} cannot be used" if error.filename else "a file could not be written, the others are kept"
        )
        print(f"bench: {place}: {error.strerror}.", file=sys.stderr)
        github.summarise(f"**Failed:** {github.quoted(f'{place}: {error.strerror}.')}")
        sys.exit(1)


if __name__ == "__main__":
    main()
