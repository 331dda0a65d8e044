"""A quantity's history by ratios of releases measured in the same rounds: a chain-linked index, as of prices.

It survives a change of machine, and of a machine's mood, as seconds of different days do not. It must not know how it
is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from harness.judging import paired
from harness.judging.changes import answered
from harness.judging.comparison import QUANTITIES, sittings_of
from harness.judging.paired import Estimate
from harness.judging.relatives import anywhere, both, how_rounds_vary
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
    releases, oldest first, each measured beside one of the others.

    A release is held against the oldest one with which it has half as many rounds as with the nearest: where a whole
    history was measured side by side that is the first, and errors add up over blocks, not over releases. One that was
    measured beside none of the others, as by a later job, breaks no run.
    """
    runs: list[list[Link]] = []
    order = [stack.tag for stack in content.stacks]
    here, everywhere = set(answered(content, key)), anywhere(content)
    for tag in order:
        measured_here = key in content.cells.get(tag, {})
        if tag not in here and (measured_here or not any(m.outcome == "ok" for m in everywhere.get((tag, key), ()))):
            continue
        joined = [(run, link) for run in runs if (link := _joined(content, run, tag, key, quantity))]
        if not joined:
            runs.append([Link(tag, 1.0, 0.0)])
            continue
        # Of several runs that had nothing together until now it makes one, which begins as the oldest does.
        (run, link), *others = joined
        for other, its in others:
            run += _moved(other, its, link)
            runs = [r for r in runs if r is not other]
        run.append(link)
        run.sort(key=lambda link: order.index(link.tag))
    return [run for run in runs if len(run) > 1]


def _moved(run: Sequence[Link], its: Link, link: Link) -> list[Link]:
    """The links of a run as those of another, of a release that is `its` in the one and `link` in the other."""
    return [
        Link(of.tag, of.index * link.index / its.index, math.hypot(of.error, its.error, link.error), of.sittings)
        for of in run
    ]


def _joined(content: MachineResults, run: Sequence[Link], tag: str, key: Key, quantity: str) -> Link | None:
    """A release as a link of a run, if it was measured beside one that is."""
    shared = [(link, len(both(content, link.tag, tag, key, quantity))) for link in run]
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
    error = (math.log(high) - math.log(low)) / (2 * REACH)
    return Link(tag, base.index * estimate.ratio, math.hypot(base.error, error), sittings)


def _ratio(
    content: MachineResults, old: str, new: str, key: Key, quantity: str
) -> tuple[Estimate, tuple[float, ...]] | None:
    """New over old, and the sittings' if they disagree."""
    found = both(content, old, new, key, quantity)
    if not found:
        return None
    known = how_rounds_vary(content, key, quantity, old, new)
    estimate = paired.estimate([b.round for b in found], known, _QUANTITIES[quantity].lasting)
    return (estimate, sittings_of(found)) if estimate else None
