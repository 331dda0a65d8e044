"""How much sooner PyMC gives its answers than it did: what each backend takes now over what it took some releases ago,
by the ratios of neighbours (`chains`), so on whatever machines. It must not know how it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.judging.chains import REACH, Link, chains
from harness.judging.paired import ratio
from harness.results.metrics import TOTAL
from harness.results.store import Key, MachineResults

_FEWEST_RELEASES = 3


@dataclass(frozen=True)
class Years:
    """One backend's newest unbroken history of what a trial takes as a whole, with warm caches, oldest first."""

    key: Key
    links: Sequence[Link]

    @property
    def backend(self) -> str:
        """Whose history it is."""
        return self.key[2]

    @property
    def first(self) -> str:
        """The release that all others are compared with, which takes 1."""
        return self.links[0].tag

    @property
    def last(self) -> Link:
        """The newest release."""
        return self.links[-1]

    @property
    def sentence(self) -> str:
        """What it takes in the newest release, with its 95 % interval."""
        low, high = interval(self.last)
        ratio = f"{self.last.index:.2f} times ({low:.2f} to {high:.2f})"
        return f"{self.backend} takes {ratio} as long in PyMC {self.last.tag[1:]} as in {self.first[1:]}"


def interval(link: Link) -> tuple[float, float]:
    """The 95 % interval of a release's index."""
    spread = ratio(REACH * link.error)
    return link.index / spread, link.index * spread


def years(content: MachineResults) -> list[Years]:
    """Of the model and size of which most is known: each backend that was measured in three releases or more side by
    side. Empty where there is no such history."""
    found: dict[tuple[str, int], list[Years]] = {}
    order = [stack.tag for stack in content.stacks]
    for key in content.order({key for cells in content.cells.values() for key in cells}):
        runs = [run for run in chains(content, key, TOTAL.name) if len(run) >= _FEWEST_RELEASES]
        if runs:
            newest = max(runs, key=lambda run: order.index(run[-1].tag))
            found.setdefault(key[:2], []).append(Years(key, newest))
    return max(found.values(), key=lambda its: sum(len(y.links) for y in its), default=[])


def sentence(found: Sequence[Years]) -> str:
    """What is to be known of all of them: what `default` takes, or the first, and between what the others of the same
    years are."""
    first = next((y for y in found if y.backend == "default"), found[0])
    others = [y for y in found if y is not first and (y.first, y.last.tag) == (first.first, first.last.tag)]
    others.sort(key=lambda y: y.last.index)
    if not others:
        return f"{first.sentence}."
    least, most = others[0], others[-1]
    if least is most:
        return f"{first.sentence}, and {least.sentence}."
    return (
        f"{first.sentence}; the others from {least.last.index:.2f} times ({least.backend}) to {most.last.index:.2f} "
        f"times ({most.backend})."
    )
