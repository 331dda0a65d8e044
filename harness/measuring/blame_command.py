"""`bench blame`: which package made the difference between two stacks, and how it was found."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness import paths
from harness.errors import BenchError, NotMeasuredError
from harness.judging.blame import NEW, OLD, UNTOLD, Answer, CommitStep, most_stacks
from harness.measuring import blame, blame_commits, cells, run
from harness.output import console, counted, errors, minutes
from harness.paths import ROOT
from harness.results import blames, compatibility
from harness.results.machines import machine_name
from harness.stacks import locks, room
from harness.stacks.locks import Stack, diff
from harness.stacks.timeline import ensure_timeline
from harness.suite import inside

_PROJECTS = {
    "pymc": ("pymc-devs/pymc", "v"),
    "pytensor": ("pymc-devs/pytensor", "rel-"),
    "nutpie": ("pymc-devs/nutpie", "v"),
    "numpyro": ("pyro-ppl/numpyro", ""),
    "blackjax": ("blackjax-devs/blackjax", ""),
    "jax": ("jax-ml/jax", "jax-v"),
    "numba": ("numba/numba", ""),
    "arviz": ("arviz-devs/arviz", "v"),
}
"""Where the changes of a package are to be read, and how its versions are tagged."""
_TYPICAL_ROUNDS = 6
"""By which it is told on which side a stack is."""
_DISK_OF_A_STACK = 600e6
"""An environment, its byte code and its caches, in bytes."""
_INTO = {NEW: "makes the difference", OLD: "does not make it", UNTOLD: "cannot be told"}
_OUT_OF = {OLD: "takes it back", NEW: "does not take it back", UNTOLD: "cannot be told"}


def blame_command(
    old: Annotated[str, typer.Argument(help="The older stack, such as v6.1.0.")],
    new: Annotated[str, typer.Argument(help="The newer one, such as v6.2.0.")],
    model: Annotated[str, typer.Option(help="A model.")],
    backend: Annotated[str, typer.Option(help="A backend.")],
    n: Annotated[int | None, typer.Option(help="A size of the model; the smallest if none.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="An outcome, a count or a time; the first that differs, in this order, if none.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Find the package, or the packages together, whose new version made the difference between two stacks.

    Both ends are measured first. Then stacks as of the days between, and then mixtures of the two on either side of
    the step; of PyMC or PyTensor its commits, where BENCH_REPOSITORY names a clone of it. What was measured is kept,
    and the same command goes on from there.

    Exit status 0 when one package is named for certain, 1 when none is, 2 when it could not be measured.
    """
    progress = errors if as_json else console
    try:
        search, wanted = _search(progress, old, new, model, n, backend, metric)
    except BenchError as error:
        raise NotMeasuredError(str(error)) from error
    began = time.monotonic()
    try:
        found = blame.find(search, wanted, progress)
        # It is known, whatever becomes of its commits.
        _keep(document(found) | document_of_commits(None))
        commits = blame_commits.find(search, found, progress)
    except blame.NoStepError as error:
        # It is an answer, too: nobody needs to ask again every night.
        _keep(document_of_nothing(search, error))
        raise
    except BenchError as error:
        raise NotMeasuredError(str(error)) from error
    except KeyboardInterrupt:
        print("bench: interrupted; all trials are kept, and the same command goes on from there.", file=sys.stderr)
        raise typer.Exit(130) from None
    answer = document(found) | document_of_commits(commits)
    if as_json:
        print(json.dumps(answer, indent=1))
    else:
        for line in [*told(found), *told_of_commits(found, commits)]:
            console.print(line, highlight=False)
        console.print(
            f"\n{counted(len(search.measured), 'stack')} measured in {minutes(time.monotonic() - began)}.",
            highlight=False,
        )
    kept, problem = _keep(answer)
    if problem:
        raise NotMeasuredError(f"The answer above is not kept: {problem}")
    compatibility.tell(paths.RESULTS, compatibility.DOCUMENT, inside()["backends"])
    progress.print(f"The answer is in {kept.relative_to(ROOT)}, and from there on the site.", highlight=False)
    raise typer.Exit(0 if found.culprits.certain else 1)


def _keep(answer: dict) -> tuple[Path | None, str]:
    """Keep an answer: where it is then, or why it cannot be kept."""
    try:
        return blames.keep(answer), ""
    except OSError as error:
        return None, f"{paths.RESULTS / 'blame'} cannot be written ({error.strerror}); the same command tells it again."


def _search(
    progress: Console, old: str, new: str, model: str, n: int | None, backend: str, metric: str | None
) -> tuple[blame.Search, blame.Criterion | None]:
    """What was asked for, and what it will cost."""
    ensure_timeline()
    ends = locks.get_stack(old), locks.get_stack(new)
    if ends[0].tag == ends[1].tag:
        raise BenchError(f"{old} is {new}: name two stacks that differ.")
    if ends[0].date >= ends[1].date:
        raise BenchError(f"{old} is not before {new} in the timeline: name the older one first.")
    description = inside()
    cell = _cell(description, model, n, backend)
    if not cells.can_be_sampled(cell, description):
        raise BenchError(f"{backend} samples continuous variables only, and {model} has discrete ones: no stack can.")
    wanted = blame.criterion(metric) if metric else None
    machine, changed = machine_name(), diff(*ends)
    many = len(changed.changed) + len(changed.added) + len(changed.removed)
    days = (ends[1].resolved_as_of - ends[0].resolved_as_of).days
    most = most_stacks(min(days, 3 * many), many)
    rounds = {cell: (wanted or blame.criteria()[blame.OUTCOME]).rounds}
    if wanted is None or wanted.quantity:
        kind = wanted.quantity.metric.kind if wanted else "warm"
        rounds = {cell: {"cold": 1, "warm": 0} | {kind: 2 * _TYPICAL_ROUNDS}}
    seconds, disk = run.estimate_seconds(machine, rounds, most), most * _DISK_OF_A_STACK
    progress.print(
        f"{old} and {new} differ in {counted(many, 'package')}. Finding which of them it was will take "
        f"{counted(most, 'stack')} at most, {minutes(seconds)} and {disk / 1e9:.0f} GB of disk. Ctrl-C loses at most "
        "the trial in flight; the same command goes on from there.\n",
        highlight=False,
    )
    # What an earlier call has installed stays, and takes nothing more.
    there = room.installed_besides(stack for stack in locks.load_stacks() if stack not in ends)
    free = room.free_bytes() + _DISK_OF_A_STACK * there
    if free < disk:
        raise BenchError(f"The disk has {free / 1e9:.0f} GB for it: free some space, {disk / 1e9:.0f} GB in all.")
    return blame.Search(progress, ends, cell, machine, description), wanted


def _cell(description: dict, model: str, n: int | None, backend: str) -> cells.Cell:
    every = cells.cells(description, small=n is None, models=[model], backends=[backend])
    chosen = [cell for cell in every if n in (None, cell.n)]
    if not chosen:
        sizes = ", ".join(str(cell.n) for cell in every)
        raise BenchError(f"The model {model} has no size n={n}: choose one of {sizes}.")
    return chosen[0]


def told(found: blame.Blame) -> list[str]:
    """What was found, in sentences."""
    before, after = found.sides
    versions = [_versions(name, before, after) for name in found.culprits.names]
    together = blames.listed(versions)
    lines = ["", f"{found.cell}, {found.criterion.title}: {found.seen[0]} → {found.seen[1]}"]
    if found.culprits.certain:
        lines.append(f"Blame: {together}{blames.how_many(found.culprits.groups, found.culprits.beside)}.")
    elif any(len(group) > 1 for group in found.culprits.groups):
        lines.append(f"Blame: one of {together}, or some of them together; it could not be told which.")
    else:
        lines.append(f"Perhaps {together}: it was not shown both ways.")
    names = found.culprits.names
    new, old = (", ".join((*names, *more)) for more in (found.culprits.beside, found.culprits.beside_out))
    into, out_of = found.culprits.into, found.culprits.out_of
    lines += [
        f"  {_name(before)} with the new {new} {_INTO[into.side]}{_because(into)}",
        f"  {_name(after)} with the old {old} {_OUT_OF[out_of.side]}{_because(out_of)}",
    ]
    lines += [f"  {what}: {effect}" for what, effect in found.effects.items()]
    lines += [f"  {name}: {link}" for name in names if (link := _link(name, before, after))]
    lines += [f"  not told: {reason}" for reason in found.untold]
    return lines


def told_of_commits(found: blame.Blame, step: CommitStep | str | None) -> list[str]:
    """Which commit it was, or which are left."""
    if step is None:
        return []
    (name,) = found.culprits.names
    if isinstance(step, str):
        return [f"  commits: {step}"]
    repository = f"https://github.com/{_PROJECTS[name][0]}"
    if not step.untold:
        return [f"Commit: {step.new}", f"  {repository}/commit/{step.new.digits}"]
    return [
        f"Commit: {step.new}, or one of the {len(step.untold)} between it and {step.old} that cannot be told.",
        f"  {repository}/compare/{step.old.digits[:10]}...{step.new.digits[:10]}",
        *(f"  not told: {commit}: {reason}" for commit, reason in step.untold.items()),
    ]


def document_of_commits(step: CommitStep | str | None) -> dict:
    """The same as data."""
    if not isinstance(step, CommitStep):
        return {"commits": step}
    told = {"last_old": step.old.digits, "first_new": step.new.digits}
    return {"commits": told | {"untold": [{"commit": c.digits, "reason": why} for c, why in step.untold.items()]}}


def _because(answer: Answer) -> str:
    said = answer.seen or answer.reason
    return f" ({said})" if said else ""


def _name(stack: Stack) -> str:
    return f"as of {stack.resolved_as_of:%Y-%m-%d %H:%M}, PyMC {stack.version}" if stack.is_snapshot else stack.tag


def _versions(name: str, before: Stack, after: Stack) -> str:
    return f"{name} {before.packages.get(name, '(none)')} → {after.packages.get(name, '(none)')}"


def _link(name: str, before: Stack, after: Stack) -> str | None:
    project, versions = _PROJECTS.get(name), [stack.packages.get(name) for stack in (before, after)]
    if project is None or None in versions:
        return None
    repository, prefix = project
    return f"https://github.com/{repository}/compare/{prefix}{versions[0]}...{prefix}{versions[1]}"


def _given(answer: Answer) -> dict:
    return {"side": answer.side, "reason": answer.reason, "seen": answer.seen}


def _asked(cell: cells.Cell, metric: str, ends: Sequence[Stack], seen: Sequence[str], sides: Sequence[Stack]) -> dict:
    return {
        "schema": 1, "machine": machine_name(), "made": locks.stamp(datetime.now(UTC)),
        "model": cell.model, "n": cell.n, "backend": cell.backend, "metric": metric,
        "ends": [{"stack": stack.tag, "seen": what} for stack, what in zip(ends, seen, strict=True)],
        "step": [{"stack": stack.tag, "as_of": locks.stamp(stack.resolved_as_of)} for stack in sides],
    }  # fmt: skip


def document_of_nothing(search: blame.Search, error: blame.NoStepError) -> dict:
    """That there is no step to find, as data."""
    return {
        **_asked(search.cell, error.metric, search.ends, error.seen, search.ends),
        "certain": False, "packages": [], "groups": [], "new_into_old": _given(Answer(UNTOLD)),
        "old_into_new": _given(Answer(UNTOLD)), "effects": {}, "untold": [str(error)],
        "measured_stacks": len(search.measured), "commits": None,
    }  # fmt: skip


def document(found: blame.Blame) -> dict:
    """What was found, as data."""
    before, after = found.sides
    return {
        **_asked(found.cell, found.criterion.name, found.ends, found.seen, found.sides),
        "certain": found.culprits.certain,
        "packages": [
            {
                "name": name, "old": before.packages.get(name), "new": after.packages.get(name),
                "changes": _link(name, before, after),
            }
            for name in found.culprits.names
        ],
        "groups": [list(group) for group in found.culprits.groups], "beside": list(found.culprits.beside),
        "beside_out": list(found.culprits.beside_out),
        "new_into_old": _given(found.culprits.into), "old_into_new": _given(found.culprits.out_of),
        "effects": found.effects, "untold": found.untold, "measured_stacks": found.measured,
    }  # fmt: skip
