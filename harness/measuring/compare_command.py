"""`bench compare`: two stacks side by side, be they releases, commits, or a release with something put in."""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from harness import paths
from harness.errors import BenchError, NotMeasuredError
from harness.judging import calibration, verdicts
from harness.judging.comparison import Compared
from harness.measuring import cells, compare, run
from harness.measuring.rounds import apart, arm
from harness.output import console, counted, errors, job_page, minutes
from harness.results.machines import machine_name
from harness.stacks import exchanging, locks
from harness.stacks.locks import Stack, of_releases
from harness.stacks.timeline import ensure_timeline
from harness.stacks.variants import Variant
from harness.suite import inside


class Kind(StrEnum):
    """Of trials: with empty compile caches, or with those that a cold one left."""

    COLD = "cold"
    WARM = "warm"


def compare_command(
    old: Annotated[
        str | None,
        typer.Argument(
            metavar="A",
            envvar="BENCH_A",
            help="A stack such as v6.3.2, or a commit. Without A and B: the two newest releases; the newest on both "
            "sides where something is put in.",
        ),
    ] = None,
    new: Annotated[str | None, typer.Argument(metavar="B", envvar="BENCH_B", help="What is judged against it.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(envvar="BENCH_MODELS", help="A model, also several times; ppca and discrete if none."),
    ] = None,
    backend: Annotated[
        list[str] | None, typer.Option(envvar="BENCH_BACKENDS", help="A backend, also several times; all if none.")
    ] = None,
    all_sizes: Annotated[
        bool, typer.Option("--all-sizes", help="Every size of each model, not only the smallest.")
    ] = False,
    with_a: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=WHAT",
            help="In A, a package in the place of what it pins, also several times: a version, a wheel, a folder, or "
            "FOLDER@COMMIT.",
        ),
    ] = None,
    with_b: Annotated[list[str] | None, typer.Option(metavar="NAME=WHAT", help="The same in B.")] = None,
    stack: Annotated[
        str | None, typer.Option(help="The stack that commits are put into; that of the newest release if none.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds of each kind, at most.")] = 32,
    budget: Annotated[
        float | None, typer.Option(envvar="BENCH_BUDGET", min=0, help="Minutes, at most; no limit if none.")
    ] = None,
    only: Annotated[
        Kind | None, typer.Option(help="Rounds of this kind only; a cold one that fills the caches there is always.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, and all else to stderr.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print it as Markdown, and all else to stderr.")
    ] = False,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit status 0 whatever is slower; 2 if it could not be measured.")
    ] = False,
) -> None:
    """Measure two stacks side by side until it is clear what is slower, faster or the same.

    A and B are stacks, or commits, branches or tags of the clone that BENCH_REPOSITORY names. What is no release keeps
    its records to itself, and goes on from them as well.

    Exit status 0: nothing is slower or needs more; 1: something does, or is newly broken; 2: it could not be measured.
    """
    progress = errors if as_json or as_markdown else console
    try:
        if as_json and as_markdown:
            raise BenchError("--json and --markdown print two things in one place: take one of them.")
        calibrated = calibration.of_machine(paths.RESULTS / "calibration", machine_name())
        ensure_timeline()
        names = (old, new) if old and new else _newest(old or new, bool(with_a or with_b))
        tags = {s.tag.removeprefix("v") for s in locks.load_stacks()}
        if stack and all(name.removeprefix("v") in tags for name in names):
            raise BenchError(f"--stack {stack} says what commits are put into, and {' and '.join(names)} are stacks.")
        sides = _side(names[0], with_a or [], stack), _side(names[1], with_b or [], stack)
        also = also_differ(*sides)
        if also:
            progress.print(also, highlight=False)
        compared = _compare(progress, sides, model, backend, all_sizes, rounds, budget, only)
    except BenchError as error:
        raise NotMeasuredError(str(error)) from error
    except OSError as error:
        raise NotMeasuredError(f"{error.filename or 'A file'} cannot be used: {error.strerror}.") from error
    except KeyboardInterrupt:
        print("bench: interrupted; all rounds are kept, and the same command goes on from there.", file=sys.stderr)
        raise typer.Exit(130) from None
    old, new = (side.title for side in sides)
    markdown = "\n\n".join(filter(None, (also, verdicts.markdown(compared, old, new, calibrated))))
    if as_json:
        print(json.dumps(verdicts.document(compared, old, new) | {"also_differ": also}, indent=1))
    elif as_markdown:
        print(markdown)
    else:
        verdicts.show(console, compared, old, new, calibrated)
        console.print(verdicts.headline(compared, old, new))
    job_page(markdown)
    raise typer.Exit(0 if exit_zero else compared.worse)


def _newest(named: str | None, something_is_put_in: bool) -> tuple[str, str]:
    if named:
        raise BenchError(
            f"{named} is to be compared with nothing: name two stacks, or none for the two newest releases."
        )
    *_, before, newest = (stack.tag for stack in of_releases(locks.load_stacks()))
    return (newest, newest) if something_is_put_in else (before, newest)


def _side(name: str, wanted: list[str], into: str | None) -> Stack:
    """What is compared: a stack with what is wanted in it, or a commit in a stack."""
    stacks, records = locks.load_stacks(), paths.RESULTS / "commits" / "records"
    if name.removeprefix("v") in {stack.tag.removeprefix("v") for stack in stacks}:
        return exchanging.exchanged(locks.get_stack(name), wanted, records)
    base = locks.get_stack(into) if into else exchanging.newest_release(stacks)
    if wanted:
        raise BenchError(
            f"{name} is no stack, and --with-a and --with-b are for stacks: name one, with all that is to be in it, as "
            f"in {base.tag} --with-a NAME=FOLDER@{name}."
        )
    return exchanging.of_commit(name, base, records)


def _compare(
    progress: Console, sides: tuple[Stack, Stack], models: list[str] | None, backends: list[str] | None,
    all_sizes: bool, most: int, budget: float | None, only: Kind | None,
) -> Compared:  # fmt: skip
    """Run rounds until all is decided or the limits are reached, let asv have them, and return what they say."""
    old, new = (side.title for side in sides)
    if sides[0].content == sides[1].content:
        raise BenchError(f"{old} is one stack, not two: `bench calibrate` measures a release beside a copy of itself.")
    of_releases = not any(isinstance(side, Variant) for side in sides)
    machine, description = machine_name(), inside()
    wanted = cells.cells(description, small=not all_sizes, models=models or cells.MODELS, backends=backends)
    for side in sides:
        for sentence in moved(side):
            progress.print(sentence, highlight=False)
    began = time.monotonic()
    comparing = compare.Comparing(
        tuple(map(arm if of_releases else apart, sides)), machine, description, wanted,
        tuple(run.archived(machine, side, description) if of_releases else () for side in sides),
        compare.KINDS if only is None else (only.value,),
    )  # fmt: skip
    looks = compare.looks(most)
    least, longest = (run.estimate_seconds(machine, comparing.left(look), 2) for look in (looks[0], most))
    limit = f", and is ended after {budget:g} min" if budget is not None else ""
    progress.print(
        f"{old} and {new} × {counted(len(wanted), 'parameter set')} on {machine}: this will take {minutes(least)} if "
        f"{looks[0]} rounds decide all, {minutes(longest)} at most{limit}. Ctrl-C loses at most the trial in flight; "
        "the same command goes on from there.\n"
    )
    deadline = None if budget is None else began + 60 * budget
    for look in looks:
        if not comparing.run(progress, look, deadline):
            break
    elapsed = time.monotonic() - began
    compared = comparing.compared()
    if not compared.pairs and not compared.differences:
        raise BenchError(f"No parameter set was measured in both: {compared.why_nothing or 'the time was up'}.")
    if of_releases:
        run.let_asv_read(progress, sides, wanted, description)
    if compared.pairs and not compared.comparisons and not compared.differences:
        raise BenchError(
            f"Nothing can be said: in all {counted(compared.dropped, 'round')} the machine changed speed, or the two "
            "did not run side by side. They are kept; let nothing else run here, and run the same command again."
        )
    share = f", {100 * comparing.inside_trials / elapsed:.0f} % of it inside trials" if elapsed > 1 else ""
    progress.print(f"\nMeasured for {minutes(elapsed)}{share}.")
    for sentence in compare.what_more_would_show(compared, most):
        progress.print(sentence)
    return compared


def also_differ(old: Stack, new: Stack) -> str:
    """What is not the same in two variants of a stack besides what was put in, in a sentence; nothing of releases."""
    bases = [side.base if isinstance(side, Variant) else side.tag for side in (old, new)]
    if bases[0] != bases[1]:
        return ""
    put_in = {p.name for side in (old, new) if isinstance(side, Variant) for p in side.put_in}
    difference = locks.diff(old, new)
    names = {*difference.changed, *difference.added, *difference.removed} - put_in
    told = [f"{name} {old.packages.get(name, '(none)')} → {new.packages.get(name, '(none)')}" for name in sorted(names)]
    return f"Besides what was put in, the two differ in {', '.join(told)}: what is found may be theirs." if told else ""


def moved(side: Stack) -> list[str]:
    """What had to move in a stack for what was put in, in a sentence."""
    if not isinstance(side, Variant):
        return []
    return [f"{side.title}: {', '.join(side.moved) or 'no other package moved'}."]
