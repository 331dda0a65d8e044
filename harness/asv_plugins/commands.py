"""`bench check`: whether asv finds fault with the benchmarks, and whether their list and that of the code that measures
are those of this code."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.asv_plugins import benchmark_list, measured_code
from harness.output import console


def check_command(
    update: Annotated[bool, typer.Option("--update", help="Write both lists anew.")] = False,
    same_numbers: Annotated[
        bool, typer.Option("--same-numbers", help="With --update: changed code measures what it did before.")
    ] = False,
) -> None:
    """Check the benchmarks as asv does, and that the committed lists are those of this code: of benchmarks
    (results/asv/benchmarks.json), and of what measures (sampling/protocol.json). With --update, bring both up to date:
    all that a new model or backend needs."""
    for listed in (measured_code, benchmark_list):
        said = listed.update(same_numbers) if update else listed.check()
        console.print(said, highlight=False)
