"""What people are shown: on the terminal, in Markdown, and on the page of a running job.

Much of it is text from elsewhere (reasons in records, names of branches, what a tool said). It is shown as it is, so
that no markup of the terminal's library, no Markdown, no HTML, no mention and no command of a workflow comes of it.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console


def plain_console(**options: object) -> Console:
    """A console that takes no text for markup or an emoji: styles are given as `rich.text.Text`."""
    return Console(soft_wrap=True, markup=False, emoji=False, **options)


console = plain_console()
errors = plain_console(stderr=True)
"""For what is said beside a result that a program reads."""


# What GitHub's runner takes for a command in a log: `::name::` after any white space of a line, `##[name]` anywhere.
_COMMAND = re.compile(r"^\s*:(?=:)|##(?=\[)")


def printable(text: str) -> str:
    """One line of text that steers neither a terminal nor a workflow.

    Control characters become spaces, and a space stands inside what a workflow would take for a command.
    """
    if not text.isprintable():  # which is seldom, and asked of a hundred thousand texts for a site
        text = "".join(c if c.isprintable() else " " for c in text)
    return _COMMAND.sub(r"\g<0> ", text)


def minutes(seconds: float) -> str:
    """A duration, in minutes where that is more telling."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 release`, `2 releases`; `2 copies`, where `many` is not made by an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def few(names: Sequence[str]) -> str:
    """The first three, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def percent(ratio: float) -> str:
    """By how much more a ratio is: `2.5 %`, `150 %`; what is more than tenfold is only said to be."""
    more = 100 * (ratio - 1)
    return f"{more:.2g} %" if more < 100 else f"{more:.0f} %" if more < 900 else "> 900 %"


def quoted(text: str) -> str:
    """Foreign text as Markdown that shows it and does nothing else."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    flat = " ".join(text.split())
    return f"{fence} {flat} {fence}"


def job_page(markdown: str) -> None:
    """Add to the page of the running job; nothing outside a job of GitHub Actions."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as page:
            page.write(f"{markdown}\n\n")
