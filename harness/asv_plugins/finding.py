"""What `asv find` may say that it found: a commit that differs from its parent, both measured; else it cannot tell.

asv's bisection steps over commits at which the benchmark fails, and ends at some commit whatever it saw: where those
that fail are at an end of the range, or no two of the others differ, it names an innocent one. The search is left as it
is; what it measured is looked at again before it speaks. It must not know what a commit is made into.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, wraps
from itertools import pairwise
from typing import Any

from asv import util
from asv.commands import find
from asv.console import log

Values = Sequence[float | None]
# What `asv compare` and `asv continuous` call a change by default.
_CHANGE = 1.1
_GIVEN_UP = "Too many commits failed"
_ANSWER = "Greatest "
_MOST_NAMED = 5


def install() -> None:
    """Let `asv find` say no more than it knows."""
    find.Find.run = staticmethod(_honest(find.Find.run))


def judge(measured: Sequence[Values | None], answer: int | None, invert: bool = False) -> tuple[int, int] | None:
    """Return the last commit that is known to be good and the first that is known to be bad, or None if all are alike.

    Args:
        measured: of each commit, the oldest first, the values of all parameter sets; None if it was not looked at.
        answer: the commit that asv names, which stands if the one before it is known to be good.
        invert: it is an improvement that is looked for.
    """
    known = [commit for commit, values in enumerate(measured) if _known(values)]
    steps = {(old, new): _step(measured[old], measured[new], invert) for old, new in pairwise(known)}
    # A step that noise may have made is no answer where the real one may be at an end that could not be measured.
    whole = bool(known) and (known[0], known[-1]) == (0, len(measured) - 1)
    least = 0 if whole else (_CHANGE - 1) / (_CHANGE + 1)
    steps = {pair: step for pair, step in steps.items() if step > least}
    if answer is not None and (answer - 1, answer) in steps:
        return answer - 1, answer
    return max(steps, key=steps.__getitem__, default=None)


def _known(values: Values | None) -> bool:
    """Return whether there is a number among them."""
    return any(value is not None and math.isfinite(value) for value in values or ())


def _step(old: Values, new: Values, invert: bool) -> float:
    """Return by how much it became worse, as a share of both: of all parameter sets that both have, the most."""
    pairs = [(a, b) for a, b in zip(old, new, strict=False) if _known([a]) and _known([b])]
    steps = [(b - a) / ((abs(a) + abs(b)) or 1) for a, b in pairs]
    return max((-step if invert else step for step in steps), default=0)


class _Witness:
    """Stands where `asv find` calls for asv's own: takes down what is measured, and withholds what it would name."""

    def __init__(self) -> None:
        self.repo: Any = None
        self.measured: dict[str, Values] = {}
        self.answer: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(log, name)

    def info(self, message: str, *arguments: Any, **options: Any) -> None:
        """Say what asv says while it searches."""
        if message.startswith(_ANSWER):
            self.answer = message.partition(": ")[2].split()[0]
        else:
            log.info(message, *arguments, **options)

    def get_repo(self, conf: Any) -> Any:
        """Return the repository, whose ranges stay what they are, also if somebody commits meanwhile."""
        self.repo = _get_repo(conf)
        self.repo.get_hashes_from_range = cache(self.repo.get_hashes_from_range)
        return self.repo

    def run_benchmarks(self, benchmarks: Any, environment: Any, results: Any, **options: Any) -> Any:
        """Measure a commit, and take down the values of the parameter sets that are asked for."""
        done = _run_benchmarks(benchmarks, environment, results=results, **options)
        (name,) = benchmarks
        benchmark, selected = benchmarks[name], benchmarks.benchmark_selection.get(name)
        values = done.get_result_value(name, benchmark["params"]) or []
        if benchmark["type"] == "time" and done.errcode[name] == util.TIMEOUT_RETCODE:
            values = [benchmark["timeout"] if value is None else value for value in values]  # as asv's search does
        self.measured[results.commit_hash] = [v for i, v in enumerate(values) if selected is None or i in selected]
        return done


_get_repo, _run_benchmarks = find.get_repo, find.run_benchmarks


def _honest(run: Callable[..., int]) -> Callable[..., int]:
    @wraps(run)
    def run_and_judge(conf: Any, range_spec: str, bench: str, invert: bool = False, **options: Any) -> int:
        witness = _Witness()
        find.get_repo, find.run_benchmarks, find.log = witness.get_repo, witness.run_benchmarks, witness
        try:
            status = run(conf, range_spec, bench, invert=invert, **options)
        except util.UserError as error:
            if str(error) != _GIVEN_UP:
                raise
            status = 0
        return status or _say(witness, witness.repo.get_hashes_from_range(range_spec)[::-1], invert)

    return run_and_judge


def _say(witness: _Witness, commits: list[str], invert: bool) -> int:
    """Say what was found; returns the exit status.

    Raises:
        UserError: it cannot be told.
    """
    measured = [witness.measured.get(commit) for commit in commits]
    answer = next((i for i, commit in enumerate(commits) if witness.answer and commit.startswith(witness.answer)), None)
    failed = [i for i, values in enumerate(measured) if values is not None and not _known(values)]

    def names(wanted: Sequence[int]) -> str:
        more = f" and {len(wanted) - _MOST_NAMED} more" if len(wanted) > _MOST_NAMED else ""
        return ", ".join(witness.repo.get_decorated_hash(commits[i], 8) for i in wanted[:_MOST_NAMED]) + more

    if not witness.measured:
        raise util.UserError(
            f"Nothing was measured: a range of {len(commits)} leaves nothing to search; name one that begins with a "
            "commit known to be good. (A..B leaves out A itself.)"
        )
    found = judge(measured, answer, invert)
    what, good, bad = ("improvement", "as before", "better") if invert else ("regression", "good", "bad")
    if found is None:
        raise util.UserError(
            f"Cannot tell which commit is the {what}: those that were measured do not clearly differ"
            + (f", and there is no number of {names(failed)}." if failed else ". (A range A..B leaves out A itself.)")
        )
    old, new = found
    if new - old > 1:
        between = range(old + 1, new)
        parts = [
            f"{how} {names(wanted)}"
            for how, wanted in (
                ("there is no number of", [i for i in between if i in failed]),
                ("not looked at were", [i for i in between if measured[i] is None]),
            )
            if wanted
        ]
        raise util.UserError(
            f"Cannot tell which commit is the {what}: the last known to be {good} is {names([old])}, the first known "
            f"to be {bad} is {names([new])}; between them {' and '.join(parts)}."
        )
    beyond = [i for i in failed if not any(_known(v) for v in measured[:i]) or not any(map(_known, measured[i:]))]
    if beyond:
        log.warning(f"What {names(beyond)} changed is not known: there is no number.")
    log.info(f"{_ANSWER}{what} found: {names([new])}")
    return 0
