"""Histories as lines over releases, one for each backend, named where it ends; drawn as `harness.site.figures` draws.

A line is drawn by ratios of releases measured in the same rounds (`harness.judging.chains`): it survives a
change of machine, and of a machine's mood, as seconds of different days do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from statistics import median

import altair as alt
from markupsafe import Markup

from harness.judging.chains import chains
from harness.judging.years import Years, interval
from harness.results.metrics import Metric
from harness.results.records import Measurement
from harness.results.store import Key, MachineResults
from harness.site.figures import ELSEWHERE, GRID, HREF, SAYS, colours, log_axis, release_axis, shapes, svg

# In pixels: how far apart the names at the ends of lines are, and how large the chart is below those that failed.
_NAME, _WIDTH, _HEIGHT = 15, 430, 280
_CROSS = "M-1,-1L1,1M1,-1L-1,1"


def history(
    content: MachineResults, model: str, n: int, metric: Metric, name: str, root: str, failures: bool = False
) -> Markup | None:
    """One metric over all measured releases: the newest release of each unbroken line as it was measured, and the
    others by their ratios to it, with 95 % intervals of their ratios to the line's first. What rounds do not compare is
    drawn as it was measured, from the least to the most. With `failures`, a cross for each release in which a backend
    failed. None where there is no number at all.
    """
    keys = content.order({k for cells in content.cells.values() for k in cells if k[:2] == (model, n)})
    rows, crosses = [], []
    for key in keys:
        found = {tag: content.cells[tag][key] for tag in content.tags if key in content.cells[tag]}
        for row in _linked(content, key, metric) or _measured(content, key, metric):
            link = ELSEWHERE + root + content.path(_telling(content, row["tag"], key, metric))
            says = f"{key[2]}, PyMC {row['tag'][1:]}: {metric.title.lower()} {row['value']:,.3g} {metric.unit}".rstrip()
            rows.append({**row, "backend": key[2], "says": says + row["more"], "href": link})
        for tag, m in found.items():
            if failures and m.outcome in ("failed", "invalid"):
                says = f"{m.backend}, PyMC {tag[1:]}: {m.outcome}: {m.reason}"
                link = ELSEWHERE + root + content.path(m)
                crosses.append({"backend": m.backend, "tag": tag, "says": says, "href": link})
    if not any(row["value"] > 0 for row in rows):
        return None
    says = f"{metric.title} of {model}, {n} observations, by release, a line for each backend"
    return _draw([row for row in rows if row["value"] > 0], content.tags, [k[2] for k in keys], name, says, crosses)


def _linked(content: MachineResults, key: Key, metric: Metric) -> list[dict]:
    """A row for each release with a number: of a chain where it is in one, else what was measured, alone. None where
    there is no chain."""
    rows, alone = [], {row["tag"]: {**row, "run": f"{key[2]} {row['tag']}"} for row in _measured(content, key, metric)}
    for run in chains(content, key, metric.name):
        # What only other machines have measured has no seconds here.
        here = [link for link in run if link.tag in alone]
        if not here:
            continue
        first, last = run[0].tag[1:], here[-1]
        level = alone[last.tag]["value"] / last.index
        for link in here:
            low, high = interval(link)
            more = "" if link is last else f" by its ratio to PyMC {last.tag[1:]}"
            more += f", {link.index:.3g} times PyMC {first}, {low:.3g} to {high:.3g}" if link.error else ""
            more += ", by sittings that disagree" if link.sittings else ""
            rows.append({"tag": link.tag, "value": level * link.index, "low": level * low, "high": level * high,
                         "run": f"{key[2]} {first}", "more": more})  # fmt: skip
            alone.pop(link.tag)
    return [*rows, *alone.values()] if rows else []


def _measured(content: MachineResults, key: Key, metric: Metric) -> Iterator[dict]:
    """A row for each release with a number: the median of its trials, the least and the most. A gap ends a line."""
    tags = [tag for tag in content.tags if key in content.cells[tag]]
    samples = {tag: metric.samples(_telling(content, tag, key, metric)) for tag in tags}
    for some, tags in groupby(content.tags, key=lambda tag: bool(samples.get(tag))):
        run = None
        for tag in tags if some else ():
            run, values = run or tag, samples[tag]
            low, high = min(values), max(values)
            more = f", from {low:,.3g} to {high:,.3g} over {len(values)} trials" if len(values) > 1 else ""
            yield {"tag": tag, "value": median(values), "low": low, "high": high, "run": f"{key[2]} {run}",
                   "more": more}  # fmt: skip


def _telling(content: MachineResults, tag: str, key: Key, metric: Metric) -> Measurement:
    """The newest measurement that has a number; the newest of all where that has no answer, or none has any."""
    newest = content.cells[tag][key]
    before = content.sittings.get((tag, key), ())[::-1] if newest.outcome == "ok" else ()
    return next((m for m in (newest, *before) if metric.samples(m)), newest)


def years(content: MachineResults, found: Sequence[Years], name: str) -> Markup:
    """What a whole trial takes, over what it took in the first release of its backend."""
    rows = []
    for y in found:
        for link in y.links:
            low, high = interval(link)
            says = (
                f"{y.backend}, PyMC {link.tag[1:]}: {link.index:.2f} times PyMC {y.first[1:]}, {low:.2f} to {high:.2f}"
            )
            rows.append({"backend": y.backend, "tag": link.tag, "value": link.index, "low": low, "high": high,
                         "run": y.backend, "says": says})  # fmt: skip
    told = {row["tag"] for row in rows}
    model, n, _ = found[0].key
    says = f"What a trial of {model}, {n} observations, takes over what it took in the first release, by backend"
    return _draw(rows, [s.tag for s in content.stacks if s.tag in told], [y.backend for y in found], name, says, same=1)


def _draw(
    rows: Sequence[Mapping],
    tags: Sequence[str],
    order: Sequence[str],
    name: str,
    says: str,
    crosses: Sequence[Mapping] = (),
    same: float | None = None,
) -> Markup:
    """The chart: logarithmic, with a line behind the others at `same`, and `crosses` above them, a row for each
    backend."""
    failing = [b for b in order if any(c["backend"] == b for c in crosses)]
    top = _NAME * len(failing)
    height = top + _HEIGHT
    values = [r["value"] for r in rows]
    # A factor of four at least, lest noise look like history.
    middle = math.sqrt(min(values) * max(values))
    least, most = min(middle / 2, min(values) / 1.3), max(middle * 2, max(values) * 1.3)
    scale = alt.Scale(type="log", nice=False, domain=[least, most], range=[height, top])
    lasts = {r["backend"]: r for r in sorted(rows, key=lambda r: tags.index(r["tag"]))}
    places = {b: top + _HEIGHT * math.log(most / r["value"]) / math.log(most / least) for b, r in lasts.items()}
    names = [{**_shown(lasts[b]), "height": at} for b, at in _apart(places, height).items()]
    y_axis = alt.Y("value:Q", title=None, scale=scale, axis=log_axis(least, most))
    colour = alt.Color("backend:N", scale=colours(order), legend=None)
    x = release_axis(tags, _WIDTH)
    base = alt.Chart(alt.NamedData("links")).encode(x=x, y=y_axis, color=colour)
    lines = base.mark_line(strokeWidth=2, aria=False).encode(detail=alt.Detail("run:N"))
    spread = base.mark_rule(strokeWidth=1, opacity=0.5, aria=False, clip=True).encode(
        y=alt.Y("low:Q"), y2=alt.Y2("high:Q")
    )
    points = base.mark_point(filled=True, size=36, opacity=1).encode(
        shape=alt.Shape("backend:N", scale=shapes(order), legend=None), description=SAYS
    )
    text = (
        alt.Chart(alt.NamedData("names"))
        .mark_text(align="left", dx=8, fontSize=12, aria=False)
        .encode(x=x, y=alt.Y("height:Q", scale=None), text=alt.Text("backend:N"), color=colour)
    )
    layers = [spread, lines, points.encode(href=HREF) if "href" in rows[0] else points, text]
    datasets = {"links": [_shown(r) for r in rows], "names": names}
    if same is not None:
        layers.insert(0, alt.Chart().mark_rule(color=GRID, strokeWidth=1.5, aria=False).encode(y=alt.datum(same)))
    if crosses:
        heights = {b: _NAME * (i + 0.5) for i, b in enumerate(failing)}
        datasets["crosses"] = [{**_shown(c), "height": heights[c["backend"]]} for c in crosses]
        failed = alt.Chart(alt.NamedData("crosses")).encode(x=x, y=alt.Y("height:Q", scale=None), color=colour)
        layers.append(
            failed.mark_point(shape=_CROSS, size=40, strokeWidth=1.5, opacity=1).encode(description=SAYS, href=HREF)
        )
        datasets["failing"] = [
            {"backend": b, "tag": tags[-1][1:], "height": heights[b], "text": f"{b} failed"} for b in failing
        ]
        layers.append(text.encode(text=alt.Text("text:N")).properties(data=alt.NamedData("failing")))
    chart = alt.layer(*layers, data=alt.NamedData("links")).properties(width=_WIDTH, height=height)
    return svg(chart, datasets, name, says)


def _shown(row: Mapping) -> dict:
    """As the axis names releases."""
    return {**row, "tag": row["tag"][1:]}


def _apart(heights: Mapping[str, float], bottom: float = math.inf) -> dict[str, float]:
    """These places, moved as little down as names need that stand below each other, and up again where the lowest
    would be below the `bottom`."""
    placed: dict[str, float] = {}
    lowest = -math.inf
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        placed[name] = lowest = max(height, lowest + _NAME)
    for name, height in reversed(placed.items()):
        placed[name] = min(height, bottom)
        bottom = placed[name] - _NAME
    return placed
