"""`bench check`: whether asv finds fault with the benchmarks, and whether their list is the one of this code."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.asv_plugins import benchmark_list
from harness.output import console


def check_command(
    update: Annotated[bool, typer.Option("--update", help="Write the list anew.")] = False,
    same_numbers: Annotated[
        bool, typer.Option("--same-numbers", help="With --update: changed code measures what it did before.")
    ] = False,
) -> None:
    """Check the benchmarks as asv does, and that their list in results/asv/benchmarks.json is the one of this code."""
    said = benchmark_list.update(same_numbers) if update else benchmark_list.check()
    console.print(said, highlight=False)
