"""How the rounds of two releases vary, by more than these rounds, which are often three and hardly tell.

Either by the history of the same parameter set, whose other releases tell it that lie as far apart: a machine changes
its mood from trial to trial, and what is far apart in the timeline ran at other times. Or by what else was measured of
the same two releases. It knows records, on whatever machines, and nothing of how they are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from harness.judging.comparison import QUANTITIES, Both, Pair, is_negligible, pairs, values
from harness.judging.paired import Prior, varying
from harness.results.records import Measurement
from harness.results.store import Key, MachineResults

_QUANTITIES = {quantity.name: quantity for quantity in QUANTITIES}


def how_rounds_vary(content: MachineResults, key: Key, quantity: str, old: str, new: str) -> Prior:
    """By all pairs of releases of this parameter set that lie as far apart as these two, or by all parameter sets of
    these two: whichever says more."""
    answered = _answered(content, key)
    history = _of_history(content, key, quantity, answered.index(new) - answered.index(old))
    return max(history, _of_two(content, quantity, old, new), key=lambda prior: prior.freedom)


@cache
def _of_history(content: MachineResults, key: Key, quantity: str, apart: int) -> Prior:
    found = (both(content, *two, key, quantity) for two in as_far_apart(_answered(content, key), apart))
    return varying([b.round for b in its] for its in found)


@cache
def _of_two(content: MachineResults, quantity: str, old: str, new: str) -> Prior:
    found = (both(content, old, new, key, quantity) for tag, key in anywhere(content) if tag == new)
    return varying([b.round for b in its] for its in found)


def as_far_apart[T](series: Sequence[T], apart: int) -> Iterator[tuple[T, T]]:
    """All pairs of a series that are half to twice as far apart in it."""
    for distance in range((apart + 1) // 2, 2 * apart + 1):
        yield from zip(series, series[distance:], strict=False)


@cache
def _answered(content: MachineResults, key: Key) -> list[str]:
    return [
        stack.tag
        for stack in content.stacks
        if any(r.outcome == "ok" for m in anywhere(content).get((stack.tag, key), ()) for r in m.records)
    ]


@cache
def both(content: MachineResults, old: str, new: str, key: Key, quantity: str) -> list[Both]:
    """A quantity of a parameter set in each round of two releases, on whatever machine."""
    if quantity not in _QUANTITIES:
        return []
    found = _pairs(content, old, new, key)
    its = values(_QUANTITIES[quantity], found)
    return its if its and not is_negligible(_QUANTITIES[quantity], its, found) else []


@cache
def _pairs(content: MachineResults, old: str, new: str, key: Key) -> Sequence[Pair]:
    return pairs(*(anywhere(content).get((tag, key), ()) for tag in (old, new))).get(key, [])


@cache
def anywhere(content: MachineResults) -> Mapping[tuple[str, Key], Sequence[Measurement]]:
    """The measurements of a release's parameter set on all machines."""
    found: dict[tuple[str, Key], list[Measurement]] = {}
    for m in (*content.all_measurements, *content.elsewhere):
        found.setdefault((m.tag, (m.model, m.n, m.backend)), []).append(m)
    return found
