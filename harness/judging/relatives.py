"""How the rounds of two releases vary, by more than these rounds, which are often three and hardly tell.

Either by the history of the same parameter set, whose other releases tell it that lie as far apart: a machine changes
its mood from trial to trial, and what is far apart in the timeline ran at other times. Or by what else was measured of
the same two releases. It knows records, on whatever machines, and nothing of how they are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from harness.judging.comparison import QUANTITIES, Both, is_negligible, pairs, values
from harness.judging.paired import Prior, varying
from harness.results.records import Measurement
from harness.results.store import Key, MachineResults

_QUANTITIES = {quantity.name: quantity for quantity in QUANTITIES}


@cache
def how_rounds_vary(content: MachineResults, key: Key, quantity: str, old: str, new: str) -> Prior:
    """By all pairs of releases of this parameter set that lie as far apart as these two, or by all parameter sets of
    these two: whichever says more."""
    answered = [stack.tag for stack in content.stacks if _has_answer(content, stack.tag, key)]
    history = ((a, b, key) for a, b in as_far_apart(answered, old, new))
    beside = ((old, new, k) for tag, k in anywhere(content) if tag == new)
    known = (varying([b.round for b in both(content, *of, quantity)] for of in its) for its in (history, beside))
    return max(known, key=lambda prior: prior.freedom)


def as_far_apart[T](series: Sequence[T], old: T, new: T) -> Iterator[tuple[T, T]]:
    """All pairs of a series that are half to twice as far apart in it as these two."""
    apart = series.index(new) - series.index(old)
    for distance in range((apart + 1) // 2, 2 * apart + 1):
        yield from zip(series, series[distance:], strict=False)


def _has_answer(content: MachineResults, tag: str, key: Key) -> bool:
    return any(r.outcome == "ok" for m in anywhere(content).get((tag, key), ()) for r in m.records)


@cache
def both(content: MachineResults, old: str, new: str, key: Key, quantity: str) -> list[Both]:
    """A quantity of a parameter set in each round of two releases, on whatever machine."""
    if quantity not in _QUANTITIES:
        return []
    found = pairs(*(anywhere(content).get((tag, key), ()) for tag in (old, new))).get(key, [])
    its = values(_QUANTITIES[quantity], found)
    return its if its and not is_negligible(_QUANTITIES[quantity], its, found) else []


@cache
def anywhere(content: MachineResults) -> Mapping[tuple[str, Key], Sequence[Measurement]]:
    """The measurements of a release's parameter set on all machines."""
    found: dict[tuple[str, Key], list[Measurement]] = {}
    for m in (*content.all_measurements, *content.elsewhere):
        found.setdefault((m.tag, (m.model, m.n, m.backend)), []).append(m)
    return found
