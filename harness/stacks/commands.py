"""`bench stacks`: which stacks there are, how they differ, and adding to them."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.errors import BenchError
from harness.output import console, printable
from harness.stacks import locks, updating
from harness.stacks.timeline import ensure_timeline

app = typer.Typer(no_args_is_help=True, help="The pinned stacks, one for each PyMC release.")


@app.command("list")
def list_stacks() -> None:
    """The stacks, oldest first, with the packages that decide how a model is sampled."""
    ensure_timeline()
    names = ("pymc", "pytensor", "numba", "nutpie", "numpyro", "blackjax", "jax")
    for stack in locks.load_stacks():
        versions = "  ".join(f"{name} {stack.packages.get(name, '–')}" for name in names)
        console.print(f"{stack.tag:8} {stack.date:%Y-%m-%d}  {versions}", highlight=False, soft_wrap=True)


@app.command("diff")
def diff_stacks(
    release: Annotated[str, typer.Argument(help="A release such as v6.4.0.")],
    other: Annotated[str | None, typer.Argument(help="A later one; without it, RELEASE and the one before it.")] = None,
) -> None:
    """What changed in a stack against the release before it, or from one stack to another."""
    old, new = (locks.get_stack(release), locks.get_stack(other)) if other else locks.with_previous(release)
    console.print(f"{old.tag} → {new.tag}", highlight=False)
    console.print(str(locks.diff(old, new)) or "no package differs", highlight=False)


@app.command("update")
def update_stacks(
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="Also the newest of everything, if a week and other packages have come.")
    ] = False,
) -> None:
    """Add a lock for each PyMC release that has appeared since the newest one."""
    added, unsolved = updating.update(
        progress=lambda sentence: console.print(printable(sentence), highlight=False), snapshot=snapshot
    )
    if added:
        console.print(f"Added {', '.join(s.tag for s in added)}: commit stacks/.")
    elif not unsolved:
        console.print("No newer PyMC release is a day old: none was added.")
    if unsolved:
        raise BenchError(" ".join(unsolved))
