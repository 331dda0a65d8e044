"""A quantity's history by ratios of releases measured in the same rounds: a chain-linked index, as of prices.

It survives a change of machine, and of a machine's mood, as seconds of different days do not. It must not know how it
is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from harness.judging import paired
from harness.judging.changes import answered
from harness.judging.comparison import QUANTITIES, Both, is_negligible, pairs, sittings_of, values
from harness.judging.paired import Estimate, Prior
from harness.results.metrics import contaminated
from harness.results.records import Measurement
from harness.results.store import Key, MachineResults

REACH = 1.96
_QUANTITIES = {quantity.name: quantity for quantity in QUANTITIES}


@dataclass(frozen=True)
class Link:
    """A release in a chain: `index` is what it takes over what the first takes, 1 there, and `error` that of its
    logarithm, of which `REACH` make the 95 % interval. `sittings` are as of its comparison: they disagree."""

    tag: str
    index: float
    error: float
    sittings: tuple[float, ...] = ()


@cache
def chains(content: MachineResults, key: Key, quantity: str) -> list[list[Link]]:
    """A quantity's history by ratios of releases measured in the same rounds, on whatever machines: unbroken runs of
    releases, oldest first, each measured beside one of those before it.

    A release is held against the oldest one with which it has half as many rounds as with the nearest: where a whole
    history was measured side by side that is the first, and errors add up over blocks, not over releases. One that was
    measured beside none of the others, as by a later job, breaks no run.
    """
    runs: list[list[Link]] = []
    here, anywhere = set(answered(content, key)), _anywhere(content)
    for tag in (stack.tag for stack in content.stacks):
        measured_here = key in content.cells.get(tag, {})
        if tag not in here and (measured_here or not any(m.outcome == "ok" for m in anywhere.get((tag, key), ()))):
            continue
        joined = ((run, link) for run in runs[::-1] if (link := _joined(content, run, tag, key, quantity)))
        run, link = next(joined, ([], Link(tag, 1.0, 0.0)))
        if not run:
            runs.append(run)
        run.append(link)
    return [run for run in runs if len(run) > 1]


def _joined(content: MachineResults, run: Sequence[Link], tag: str, key: Key, quantity: str) -> Link | None:
    """A release as a link of a run, if it was measured beside one that is."""
    own = _rounds(content, tag, key, quantity)
    shared = [(link, len(own & _rounds(content, link.tag, key, quantity))) for link in run]
    of_nearest = next((rounds for _, rounds in shared[::-1] if rounds), 0)
    # With half as many rounds, its error is that of the nearest's and its own together.
    bases = [link for link, rounds in shared if rounds and 2 * rounds >= of_nearest]
    found = ((link, r) for link in bases if (r := _ratio(content, link.tag, tag, key, quantity)))
    base, ratio = next(found, (None, None))
    if base is None:
        return None
    # As wide as what few rounds say is uncertain, and as sittings that disagree.
    estimate, sittings = ratio
    low, high = (end(*estimate.interval(), *sittings) for end in (min, max))
    error = math.log(high / low) / (2 * REACH)
    return Link(tag, base.index * estimate.ratio, math.hypot(base.error, error), sittings)


def _ratio(
    content: MachineResults, old: str, new: str, key: Key, quantity: str
) -> tuple[Estimate, tuple[float, ...]] | None:
    """New over old, and the sittings' if they disagree; how rounds vary is known by all releases' neighbours."""
    both = _both(content, old, new, key, quantity)
    lasting = _QUANTITIES[quantity].lasting if both else 0.0
    estimate = paired.estimate([b.round for b in both], _varying(content, quantity), lasting) if both else None
    return (estimate, sittings_of(both)) if estimate else None


@cache
def _varying(content: MachineResults, quantity: str) -> Prior:
    """How the rounds of neighbours vary, of all parameter sets."""
    measured = {tag for tag, _ in _anywhere(content)}
    tags = [stack.tag for stack in content.stacks if stack.tag in measured]
    keys = {key for _, key in _anywhere(content)}
    compared = (_both(content, old, new, key, quantity) for old, new in pairwise(tags) for key in sorted(keys))
    return paired.varying([b.round for b in both] for both in compared)


def _both(content: MachineResults, old: str, new: str, key: Key, quantity: str) -> list[Both]:
    if quantity not in _QUANTITIES:
        return []
    found = pairs(*(_anywhere(content).get((tag, key), ()) for tag in (old, new))).get(key, [])
    both = values(_QUANTITIES[quantity], found)
    return both if both and not is_negligible(_QUANTITIES[quantity], both, found) else []


@cache
def _anywhere(content: MachineResults) -> Mapping[tuple[str, Key], Sequence[Measurement]]:
    found: dict[tuple[str, Key], list[Measurement]] = {}
    for m in (*content.all_measurements, *content.elsewhere):
        found.setdefault((m.tag, (m.model, m.n, m.backend)), []).append(m)
    return found


@cache
def _rounds(content: MachineResults, tag: str, key: Key, quantity: str) -> set[tuple[str, int]]:
    """Those that count."""
    kind = _QUANTITIES[quantity].metric.kind if quantity in _QUANTITIES else ""
    return {
        (r.round.block, r.round.number)
        for m in _anywhere(content).get((tag, key), ())
        for r in m.of_kind(kind)
        if r.round and not contaminated(r)
    }
