"""`bench`, the project's own command line. asv does the measuring day to day; these are the jobs around it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Annotated

import typer
from rich.console import Console

from harness import environments, run, stacks
from harness.errors import BenchError
from harness.machine import machine_name
from harness.records import read_measurements
from harness.summary import print_summary
from harness.timeline import ensure_timeline

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
stacks_app = typer.Typer(no_args_is_help=True, help="The pinned stacks, one for each PyMC release.")
app.add_typer(stacks_app, name="stacks")
console = Console(soft_wrap=True)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


@app.command("run")
def run_command(
    releases: Annotated[
        list[str] | None, typer.Argument(help="Releases such as v6.4.0; the two newest if none.")
    ] = None,
    all_sizes: Annotated[
        bool, typer.Option("--all-sizes", help="Every size of each model, not only the smallest.")
    ] = False,
    warm: Annotated[int, typer.Option(min=0, help="Warm trials after each cold one.")] = 2,
    again: Annotated[bool, typer.Option("--again", help="Measure what is complete once more.")] = False,
) -> None:
    """Measure releases on every backend, compare them, publish the site, and print a summary.

    What has been measured on this machine, by this protocol, is not measured again; an interrupted run goes on.
    """
    ensure_timeline()
    chosen = [stacks.get_stack(r) for r in releases] if releases else stacks.load_stacks()[-2:]
    chosen.sort(key=lambda s: s.date)
    machine, description = machine_name(), run.inside()
    cells = run.cells(description, small=not all_sizes)
    plan = {}
    for stack in chosen:
        done = {} if again else run.measured(machine, stack, description, warm)
        plan[stack.tag] = [cell for cell in cells if cell not in done]
    left = sum(map(len, plan.values()))
    console.print(
        f"{len(chosen)} releases ({', '.join(plan)}) × {len(cells)} parameter sets on {machine}: "
        f"{len(chosen) * len(cells) - left} are measured, {left} are left."
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
    console.print("To browse the history: `.venv/bin/asv preview`, then open the address that it prints.")


def _summarise(machine: str, tags: list[str]) -> bool:
    """Print the summary of these stacks; whether any measurement is valid."""
    measurements, damaged = [], []
    for tag in tags:
        found, unreadable = read_measurements(run.RECORDS, machine, tag)
        measurements += found
        damaged += unreadable
    print_summary(console, measurements, run.inside()["backends"], damaged)
    return any(m.outcome == "ok" for m in measurements)


@app.command()
def summary(
    releases: Annotated[
        list[str] | None, typer.Argument(help="Releases such as v6.4.0; the two newest if none.")
    ] = None,
) -> None:
    """Print the summary of what has been measured on this machine."""
    chosen = [stacks.get_stack(r) for r in releases] if releases else stacks.load_stacks()[-2:]
    if not _summarise(machine_name(), [s.tag for s in chosen]):
        raise BenchError(
            f"Nothing valid has been measured for {', '.join(s.tag for s in chosen)} on {machine_name()}: "
            "measure it with `bench run`."
        )


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
def diff_stacks(old: str, new: str) -> None:
    """What changed between two stacks."""
    console.print(str(stacks.diff(stacks.get_stack(old), stacks.get_stack(new))), highlight=False)


@stacks_app.command("update")
def update_stacks() -> None:
    """Add a lock for each PyMC release that has appeared since the newest one."""
    added = stacks.update(progress=lambda sentence: console.print(sentence, highlight=False))
    tags = ", ".join(s.tag for s in added)
    console.print(f"Added {tags}: commit stacks/." if added else "The stacks are up to date: no newer PyMC release.")


def main() -> None:
    """Run the command line; a `BenchError` is one sentence on standard error and exit status 1."""
    # A closed terminal or a cancelled job ends what it started, as Ctrl-C does.
    for request in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(request, signal.default_int_handler)
    try:
        app()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os._exit(141)
    except OSError as error:
        print(f"bench: {error.filename or 'a file'} cannot be used: {error.strerror}.", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
