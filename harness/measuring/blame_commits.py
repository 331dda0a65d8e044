"""From a package to its commits: bisects the history of PyMC or PyTensor between two of its releases.

Each commit is built and put into the newer of the two stacks that differ, so that nothing but the package changes. What
does not build, or fails otherwise, is stepped around: beside it the honest answer is a range.
"""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from harness import paths
from harness.errors import BenchError
from harness.judging import blame
from harness.judging.blame import Commit, CommitStep
from harness.measuring.blame import Blame, Search
from harness.stacks import commits
from harness.stacks.exchanging import REPOSITORY

TAGS = {"pymc": "v", "pytensor": "rel-"}
"""The packages whose commits can be put into a stack, and what their releases' tags begin with."""


def find(search: Search, found: Blame, console: Console) -> CommitStep | str | None:
    """The commit, or the range of commits, that made the difference, or a sentence why it is not known.

    None where there is nothing to look for: several packages, one that is not built here, or no clone of it at hand.
    """
    clone = os.environ.get(REPOSITORY)
    if not found.culprits.certain or len(found.culprits.names) != 1 or not clone:
        return None
    (name,) = found.culprits.names
    repository = Path(clone).expanduser().resolve()
    if not repository.is_dir():
        return f"{REPOSITORY} is {clone}, which is no folder: let it name a clone."
    if name not in TAGS or commits.project_name(repository, clone, (), "pymc") != name:
        return None
    versions = [side.packages.get(name) for side in found.sides]
    if None in versions:
        return None
    base = found.ends[1]
    try:
        line = [Commit(*told) for told in commits.line(*(f"{TAGS[name]}{v}" for v in versions), repository)]
    except BenchError as error:
        return str(error)
    console.print(
        f"Which of {len(line) - 1} commits of {name}? Each in {base.tag}, by bisection, at most "
        f"{(len(line) - 1).bit_length() + 2} of them:",
        highlight=False,
    )
    records = paths.RESULTS / "commits" / "records"
    return blame.commit_step(
        line, lambda c: search.answer(c, lambda: commits.prepare(c.digits, base, repository, records))
    )
