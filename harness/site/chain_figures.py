"""Histories by the ratios of neighbours: each release beside the one before, multiplied along the timeline.

Such an index survives a change of machine, and of a machine's mood, as absolute seconds do not. It must not know where
ratios come from, but from `harness.judging.changes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import altair as alt
from markupsafe import Markup

from harness.judging.changes import chains
from harness.judging.years import Years, interval
from harness.results.metrics import Metric
from harness.results.store import MachineResults
from harness.site.figures import GRID, SAYS, colours, log_axis, release_axis, svg

# How far apart the names at the ends of lines are, in pixels, and how high the chart is.
_NAME, _HEIGHT = 15, 280


def history(content: MachineResults, model: str, n: int, metric: Metric, name: str) -> Markup | None:
    """A panel for each backend: a metric's index over all releases that were measured beside the one before, 1 in the
    first, with its 95 % interval. None where no two were."""
    rows = []
    for key in content.order({k for cells in content.cells.values() for k in cells if k[:2] == (model, n)}):
        for number, run in enumerate(chains(content, key, metric.name)):
            for link in run:
                low, high = interval(link)
                says = f"{key[2]}, PyMC {link.tag[1:]}: {link.index:.3f} times PyMC {run[0].tag[1:]}"
                if link.error:
                    says += f", {low:.3f} to {high:.3f}"
                rows.append({"backend": key[2], "tag": link.tag[1:], "value": link.index, "low": low, "high": high,
                             "run": number, "says": says})  # fmt: skip
    if not rows:
        return None
    present = {r["backend"] for r in rows}
    order = [b for b in content.backends if b in present] + sorted(present - set(content.backends))
    ends = [r[end] for r in rows for end in ("low", "high")]
    least, most = min(0.8, *ends), max(1.25, *ends)
    y = alt.Y("value:Q", title=None, scale=alt.Scale(type="log", nice=False, domain=[least, most]),
              axis=log_axis(least, most))  # fmt: skip
    base = alt.Chart().encode(x=release_axis(content.tags))
    marks = base.encode(y=y, color=alt.Color("backend:N", scale=colours(order), legend=None))
    same = alt.Chart().mark_rule(color=GRID, strokeWidth=1.5, aria=False).encode(y=alt.datum(1))
    lines = marks.mark_line(strokeWidth=1.5, aria=False).encode(detail=alt.Detail("run:N"))
    spread = marks.mark_rule(strokeWidth=1.5, aria=False).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    points = marks.mark_point(filled=True, size=30, opacity=1).encode(description=SAYS)
    panel = alt.layer(same, lines, spread, points, data=alt.NamedData("links")).properties(width=140, height=84)
    header = alt.Header(labelAnchor="start", labelPadding=3)
    chart = panel.facet(facet=alt.Facet("backend:N", sort=order, title=None, header=header), columns=2, spacing=14)
    says = f"{metric.title} of {model}, {n} observations: each release beside the one before, multiplied, by backend"
    return svg(chart, {"links": rows}, name, says)


def years(content: MachineResults, found: Sequence[Years], name: str) -> Markup:
    """One line for each backend, named where it ends: what a whole trial takes, over what it took in the first
    release."""
    rows = []
    for y in found:
        for link in y.links:
            low, high = interval(link)
            says = (
                f"{y.backend}, PyMC {link.tag[1:]}: {link.index:.2f} times PyMC {y.first[1:]}, {low:.2f} to {high:.2f}"
            )
            rows.append({"backend": y.backend, "tag": link.tag[1:], "value": link.index, "low": low, "high": high,
                         "says": says})  # fmt: skip
    ends = [r[end] for r in rows for end in ("low", "high")]
    least, most = min(0.8, *ends), max(1.25, *ends)
    order = [y.backend for y in found]
    tags = [t for t in content.tags if any(r["tag"] == t[1:] for r in rows)]
    heights = _apart({y.backend: _HEIGHT * math.log(most / y.last.index) / math.log(most / least) for y in found})
    names = [{"backend": y.backend, "tag": y.last.tag[1:], "height": heights[y.backend]} for y in found]
    scale = alt.Scale(type="log", nice=False, domain=[least, most])
    y_axis = alt.Y("value:Q", title=None, scale=scale, axis=log_axis(least, most))
    colour = alt.Color("backend:N", scale=colours(order), legend=None)
    x = release_axis(tags)
    marks = alt.Chart(alt.NamedData("links")).encode(x=x, y=y_axis, color=colour)
    same = alt.Chart().mark_rule(color=GRID, strokeWidth=1.5, aria=False).encode(y=alt.datum(1))
    lines = marks.mark_line(strokeWidth=2, aria=False)
    spread = marks.mark_rule(strokeWidth=1, opacity=0.5, aria=False).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    points = marks.mark_point(filled=True, size=36, opacity=1).encode(description=SAYS)
    text = (
        alt.Chart(alt.NamedData("names"))
        .mark_text(align="left", dx=8, fontSize=12, aria=False)
        .encode(x=x, y=alt.Y("height:Q", scale=None), text=alt.Text("backend:N"), color=colour)
    )
    chart = alt.layer(same, spread, lines, points, text, data=alt.NamedData("links")).properties(
        width=430, height=_HEIGHT
    )
    model, n, _ = found[0].key
    says = f"What a trial of {model}, {n} observations, takes over what it took in the first release, by backend"
    return svg(chart, {"links": rows, "names": names}, name, says)


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """These places, moved down as little as names need that stand below each other."""
    placed: dict[str, float] = {}
    lowest = -math.inf
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        placed[name] = lowest = max(height, lowest + _NAME)
    return placed
