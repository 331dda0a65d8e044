"""`bench model` and `bench backend`: what a contributor begins with, and whether it is complete."""

from __future__ import annotations

import subprocess
from typing import Annotated

import typer

from harness.adding import skeletons
from harness.errors import BenchError
from harness.output import console
from harness.paths import CACHE, ROOT
from harness.stacks.environments import process_environment, python, stack_environment
from harness.stacks.locks import get_stack, load_stacks

model_app = typer.Typer(no_args_is_help=True, help="Add a model, and see what it lacks.")
backend_app = typer.Typer(no_args_is_help=True, help="Add a backend.")

_THEN = "Then `bench check --update{more}` brings the lists up to date, and `make test` tests it."
# An entry more changes no number of another backend.
_THEN_BACKEND = _THEN.format(more=" --same-numbers")
_THEN_MODEL = _THEN.format(more="")


@model_app.command("new")
def new_model_command(name: Annotated[str, typer.Argument(help="As in coal_mining.")]) -> None:
    """Write models/NAME.py: a small model that runs, in which TODO marks what to fill in."""
    path = skeletons.new_model(name).relative_to(ROOT)
    console.print(
        f"Wrote {path}: a model that runs. Fill in what is marked TODO; `bench model check {name}` says what is "
        f"missing, and\n`bench trial v6.4.0 {name}` samples it. CONTRIBUTING.md leads through it.",
        highlight=False,
    )


@model_app.command("check")
def check_model_command(
    name: Annotated[str, typer.Argument(help="A model's name.")],
    stack: Annotated[str, typer.Option(help="A stack in whose environment to try it; the newest when not given.")] = "",
) -> None:
    """Say what a model lacks before it can be measured: its form, the digests of its data, its reference, and whether
    estimands, log density and gradient agree with the PyMC model. Exit status 1 where something is missing."""
    chosen = get_stack(stack) if stack else load_stacks()[-1]
    console.print(f"Trying {name} with {chosen.tag} …", highlight=False)
    # Compiled code is kept from one try to the next, and away from the user's own.
    home = CACHE / "checks" / chosen.tag
    home.mkdir(parents=True, exist_ok=True)
    command = [python(stack_environment(chosen)), "-m", "sampling", name, "--check"]
    done = subprocess.run(command, cwd=ROOT, env={**process_environment(chosen), "HOME": str(home)}, check=False)
    if done.returncode:
        raise BenchError(f"{name} cannot be measured yet: see above.")
    console.print(_THEN_MODEL, highlight=False)


@backend_app.command("new")
def new_backend_command(
    name: Annotated[str, typer.Argument(help="As in nutpie-jax.")],
    sampler: Annotated[str, typer.Option(help="What `pm.sample(nuts_sampler=…)` is given.")],
    package: Annotated[
        str | None, typer.Option(help="What it needs beside PyMC, as in nutpie or 'nutpie>=0.14'.")
    ] = None,
) -> None:
    """Add an entry to sampling/backends.py, which says what a user types, and its row to the tests."""
    paths = skeletons.new_backend(name, sampler, package)
    said = " and ".join(str(path.relative_to(ROOT)) for path in paths)
    console.print(
        f"Added {name} to {said}: say there what a user types besides, in which releases.\n"
        f"`bench trial v6.4.0 eight_schools --backend {name}` samples with it. {_THEN_BACKEND}",
        highlight=False,
    )
