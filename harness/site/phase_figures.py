"""The charts of where time goes: bars of phases, stacked, drawn as `harness.site.figures` draws.

A phase has one colour in all of them, that is read on light and on dark ground.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
from markupsafe import Markup

from harness.judging import phases
from harness.judging.answers import Answer, Time, seconds
from harness.results.store import MachineResults
from harness.site.figures import ELSEWHERE, HREF, INK, MUTED, SAYS, backend_axis, release_axis, svg

COLOURS: Mapping[str, str] = {
    "import": "#8c96a3",
    "model": "#b07d2b",
    "rewriting": "#d9a521",
    "compiling_c": "#5468d4",
    "compiling_numba": "#2f9bd8",
    "tracing_jax": "#e58ab4",
    "lowering_jax": "#cf5aa0",
    "compiling_xla": "#a8327f",
    "loading": "#4bb3a5",
    "starting_workers": "#8a6fc9",
    "other": "#c2c8cf",
    "tuning": "#6fbf73",
    "drawing": "#2e8b3d",
    "transforming": "#f08a4b",
    "collecting": "#d9622b",
    "checking": "#b23a1e",
}
_SMALLEST = 0.002
"""Of the longest bar: what is thinner cannot be seen."""
# Of a panel, in pixels.
_WIDTH = 250


def _legend(shown: Sequence[str], columns: int) -> alt.Color:
    titles = [phases.TITLES[phase] for phase in shown]
    scale = alt.Scale(domain=titles, range=[COLOURS[phase] for phase in shown])
    legend = alt.Legend(orient="bottom", columns=columns, title=None, symbolType="square", columnPadding=24)
    return alt.Color("phase:N", scale=scale, legend=legend)


def _pieces(parts: Sequence[tuple[str, str, float]], longest: float) -> list[dict]:
    """Each piece of a bar, from where to where."""
    rows, at = [], 0.0
    for part, phase, length in parts:
        if phase in phases.TITLES and length > _SMALLEST * longest:
            rows.append({"part": part, "key": phase, "phase": phases.TITLES[phase], "from": at, "to": at + length})
        at += length
    return rows


def _says(where: str, piece: Mapping) -> str:
    of = "" if piece["part"] == "sampling" else f" ({piece['part']})"
    return f"{where}: {piece['phase']}{of} {seconds(piece['to'] - piece['from'])}"


def _shown(rows: Sequence[Mapping]) -> list[str]:
    present = {r["key"] for r in rows}
    return [phase for phase in phases.TITLES if phase in present]


def times(answer: Answer, name: str, root: str, paths: Mapping[str, str]) -> Markup | None:
    """A bar for each backend with warm caches, with the 95 % interval of its ratio to the fastest, and one with cold
    ones, the fastest first: what the time to an answer is made of, in the order in which it happens. Marks link to
    `paths`, by backend. None where nothing tells."""
    bars: list[tuple[Time, str, list]] = [
        (t, kind, parts) for t in answer.times for kind in ("warm", "cold") if (parts := phases.whole(t, kind))
    ]
    longest = max((sum(length for *_, length in parts) for *_, parts in bars), default=0.0)
    rows = [
        {
            **piece, "backend": t.backend, "kind": kind, "says": _says(f"{t.backend}, {kind} caches", piece),
            "href": ELSEWHERE + root + paths[t.backend],
        }
        for t, kind, parts in bars
        for piece in _pieces(parts, longest)
    ]  # fmt: skip
    if not rows:
        return None
    totals = []
    for t, kind, parts in bars:
        total = sum(length for *_, length in parts)
        compared = t.slower_than(answer.times[0]) if kind == "warm" and t is not answer.times[0] else None
        ratio, low, high = compared or (1.0, 1.0, 1.0)
        words = seconds(total) if kind == "warm" else f"{seconds(total)}, cold"
        low, high = total * low / ratio, total * high / ratio
        totals.append({"backend": t.backend, "kind": kind, "low": low, "high": high, "total": words})
    order = [t.backend for t in answer.times]
    offset = alt.YOffset("kind:N", sort=["warm", "cold"])
    marks = (
        alt.Chart(alt.NamedData("pieces"))
        .mark_bar(height=10)
        .encode(
            y=backend_axis(order),
            yOffset=offset,
            x=alt.X("from:Q", title="seconds until 1000 effective draws", axis=alt.Axis(tickCount=5)),
            x2=alt.X2("to:Q"),
            color=_legend(_shown(rows), columns=3),
            description=SAYS,
            href=HREF,
        )
    )
    base = alt.Chart(alt.NamedData("totals")).encode(y=backend_axis(order), yOffset=offset)
    interval = base.mark_rule(color=INK, strokeWidth=1.5, aria=False).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"))
    text = base.mark_text(align="left", dx=5, color=INK, fontSize=11, aria=False).encode(
        x=alt.X("high:Q"), text=alt.Text("total:N")
    )
    chart = (marks + interval + text).properties(width=250, height=alt.Step(15))
    says = f"Bar chart of {answer.model} with {answer.n} observations. {answer.sentence}"
    return svg(chart, {"pieces": rows, "totals": totals}, name, says)


def history(content: MachineResults, model: str, n: int, name: str, root: str) -> Markup | None:
    """A panel for each backend: the phases of setup with warm caches, and of finish, release by release. None where no
    release tells."""
    found = []
    for tag in content.tags:
        for key in content.order(content.cells[tag]):
            m = content.cells[tag][key]
            told = [p for p in phases.parts(m) if p.kind == "warm"] if key[:2] == (model, n) else []
            parts = [(p.name, phase, length) for p in told for phase, length in phases.in_order(p.phases) if length]
            if parts:
                found.append((tag, m, parts))
    longest = max((sum(length for *_, length in parts) for *_, parts in found), default=0.0)
    rows = [
        {
            **piece, "backend": m.backend, "tag": tag[1:], "says": _says(f"{m.backend}, PyMC {tag[1:]}", piece),
            "href": ELSEWHERE + root + content.path(m),
        }
        for tag, m, parts in found
        for piece in _pieces(parts, longest)
    ]  # fmt: skip
    if not rows:
        return None
    present = {r["backend"] for r in rows}
    order = [b for b in content.backends if b in present] + sorted(present - set(content.backends))
    panel = (
        alt.Chart()
        .mark_bar(stroke=MUTED, strokeWidth=0)
        .encode(
            x=release_axis(content.tags, _WIDTH),
            y=alt.Y("from:Q", title=None, axis=alt.Axis(tickCount=4)),
            y2=alt.Y2("to:Q"),
            color=_legend(_shown(rows), columns=4),
            description=SAYS,
            href=HREF,
        )
    )
    layered = alt.layer(panel, data=alt.NamedData("pieces")).properties(width=_WIDTH, height=90)
    header = alt.Header(labelAnchor="start", labelPadding=3)
    chart = layered.facet(facet=alt.Facet("backend:N", sort=order, title=None, header=header), columns=2, spacing=14)
    says = f"Phases of setup with warm caches and of finish, {model}, {n} observations, by release and backend"
    return svg(chart, {"pieces": rows}, name, says)
