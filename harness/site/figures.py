"""The charts, drawn by Vega-Altair to SVG when the site is made.

A drawn chart needs no script and no network in the browser: it is there with the page, prints, and is read by screen
readers mark by mark, since each mark carries a sentence. A backend has one colour and one shape in all charts; colours
differ for colour-blind people, too, and have darker and lighter twins in `static/style.css`, chosen by the
attribute. It must not know where numbers come from, but from measurements.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import vl_convert
from markupsafe import Markup, escape

from harness.judging.agreement import Pooled
from harness.judging.answers import Answer, seconds
from harness.results.store import MachineResults


@dataclass(frozen=True)
class Look:
    """How a backend looks in every chart: its colour on light and on dark ground, and its shape (Vega's names)."""

    light: str
    dark: str
    shape: str


_STAR = "M0,-1L0.25,-0.3L1,-0.3L0.4,0.15L0.6,0.9L0,0.45L-0.6,0.9L-0.4,0.15L-1,-0.3L-0.25,-0.3Z"
_BAR = "M-0.9,-0.35L0.9,-0.35L0.9,0.35L-0.9,0.35Z"
LOOKS: Mapping[str, Look] = {
    "default": Look("#7d7d7d", "#a8a8a8", "circle"),
    "pymc-c": Look("#1b1f8a", "#7e95ff", "square"),
    "pymc-numba": Look("#005feb", "#485dff", "triangle-up"),
    "pymc-jax": Look("#418dd2", "#4ce4ff", "diamond"),
    "nutpie-numba": Look("#04423e", "#03831b", "triangle-down"),
    "nutpie-jax": Look("#19a05f", "#ace5cc", "triangle-right"),
    "nutpie-jax-pytensor": Look("#d2710c", "#d3eb53", "triangle-left"),
    "numpyro-parallel": Look("#9c0018", "#ff162d", "cross"),
    "numpyro-vectorized": Look("#f03a4a", "#eec08b", _STAR),
    "blackjax": Look("#a22789", "#c35eb2", _BAR),
}
SPARE = (
    Look("#6b4a00", "#c99a2e", "square"),
    Look("#00667a", "#35b8cf", "diamond"),
    Look("#5b2d8c", "#b28be6", "triangle-up"),
)
"""For backends that came after this module: the colours that are left, one by the name of each."""
INK, MUTED, GRID = "#1f2328", "#59636e", "#d8dee4"
"""Text, marks of no backend, and lines behind them, on light ground."""

_CONFIG = {
    "background": None,
    "font": "sans-serif",
    # At the right, room for a browser whose font is wider than the one that the chart is laid out with.
    "padding": {"left": 5, "top": 5, "right": 24, "bottom": 5},
    "axis": {
        "labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
        "gridColor": GRID, "domainColor": MUTED, "tickColor": MUTED, "labelLimit": 200,
    },
    "legend": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "labelLimit": 200, "symbolSize": 80},
    "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12},
    "view": {"stroke": None},
}  # fmt: skip


# Vega puts an address of its own before one that is relative, and leaves the others as they are.
ELSEWHERE = "https://site.invalid/"
# Where nothing is to be seen, nothing is to be read.
_EMPTY = re.compile(r'<g class="[^"]*" role="[^"]*" aria-roledescription="[^"]* mark container"(?:/>|></g>)')
_ID = re.compile(r'(id="|url\(#|href="#)((?:clip|gradient)[\w-]*)')


DARK = {INK: "#e6e8eb", MUTED: "#a3adb8", GRID: "#343a43"} | {
    each.light: each.dark for each in (*LOOKS.values(), *SPARE)
}
"""What stands on dark ground for each colour that is not read there."""
_PAINT = re.compile(r'(fill|stroke)="(#[0-9a-f]{6})"')


def on_dark(picture: str) -> str:
    """A chart for dark ground."""
    return _PAINT.sub(lambda match: f'{match[1]}="{DARK.get(match[2], match[2])}"', picture)


# What a mark says, and where it leads.
SAYS, HREF = alt.Description("says:N"), alt.Href("href:N")


def look(backend: str) -> Look:
    """The look of a backend. One that came after this module has one of those that are left, by its name: the same in
    every chart, until it gets a line of its own."""
    return LOOKS.get(backend) or SPARE[zlib.crc32(backend.encode()) % len(SPARE)]


def backend_axis(order: Sequence[str]) -> alt.Y:
    # Room for the longest name also in a browser whose font is wider than the one that the chart is laid out with.
    room = 8 * max(map(len, order))
    return alt.Y("backend:N", sort=order, title=None, axis=alt.Axis(domain=False, ticks=False, minExtent=room))


def colours(backends: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(backends), range=[look(b).light for b in backends])


def shapes(backends: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(backends), range=[look(b).shape for b in backends])


def svg(chart: alt.TopLevelMixin, datasets: Mapping[str, Sequence[Mapping]], name: str, says: str) -> Markup:
    """The chart as SVG to stand in a page, where ids are to be `name`'s; a screen reader begins with what it `says`.

    Charts name their data and `datasets` has them, since Altair copies what is inside a chart at every step of making
    it. In this module channels are objects, not names: for each name, Altair would go through its whole schema.
    """
    specification = chart.to_dict(validate=False)
    specification |= {"config": _CONFIG, "datasets": datasets}
    text = vl_convert.vegalite_to_svg(specification)
    # Vega counts its ids on from chart to chart.
    ids = {found: i for i, found in enumerate(dict.fromkeys(found for _, found in _ID.findall(text)))}
    text = _ID.sub(lambda match: f"{match[1]}{name}-{ids[match[2]]}", text)
    text = _EMPTY.sub("", text)
    text = text.replace(f'xlink:href="{ELSEWHERE}', 'xlink:href="')
    role = f'role="graphics-document document" aria-roledescription="chart" aria-label="{escape(says)}"'
    return Markup(text.replace("<svg ", f"<svg {role} ", 1))


def sizes(answers: Sequence[Answer], name: str, root: str, paths: Mapping[tuple[int, str], str]) -> Markup:
    """The time to an answer, and of it sampling, against the model's size: a line for each backend, both axes
    logarithmic, side by side with one scale. Points link to `paths`, by size and backend."""
    rows = [
        {
            "backend": t.backend, "n": a.n, "part": part, "s": value, "href": ELSEWHERE + root + paths[a.n, t.backend],
            "says": f"{t.backend}, {a.n} observations: {part} {seconds(value)}",
        }
        for a in answers
        for t in a.times
        for part, value in (("time to an answer", t.seconds), ("of it, sampling", t.sampling_seconds))
        if value > 0
    ]  # fmt: skip
    order = [b for b in LOOKS if any(r["backend"] == b for r in rows)]
    order += sorted({r["backend"] for r in rows} - set(order))
    all_sizes = sorted({r["n"] for r in rows})
    padding = 1.6
    x = alt.X(
        "n:Q",
        title="observations",
        scale=alt.Scale(type="log", nice=False, domain=[all_sizes[0] / padding, all_sizes[-1] * padding]),
        axis=alt.Axis(values=all_sizes, grid=False, format=",d"),
    )
    # One scale for both panels, and for a screen that shows one at a time.
    least, most = min(r["s"] for r in rows), max(r["s"] for r in rows)
    scale = alt.Scale(type="log", nice=False, domain=[least / 1.3, most * 1.3])
    y = alt.Y("s:Q", title="seconds", scale=scale, axis=log_axis(least / 1.3, most * 1.3))
    panels, datasets = [], {}
    for part in dict.fromkeys(r["part"] for r in rows):
        datasets[part] = [r for r in rows if r["part"] == part]
        base = alt.Chart(alt.NamedData(part)).encode(
            x=x, y=y, color=alt.Color("backend:N", scale=colours(order), title=None)
        )
        lines = base.mark_line(strokeWidth=1.5, aria=False)
        points = base.mark_point(filled=True, size=70, opacity=1).encode(
            shape=alt.Shape("backend:N", scale=shapes(order), title=None), description=SAYS, href=HREF
        )
        panels.append(
            (lines + points).properties(
                width=135, height=200, title=alt.TitleParams(part, fontSize=12, color=INK, fontWeight="normal")
            )
        )
    legend = alt.Legend(orient="bottom", columns=2, columnPadding=28)
    chart = alt.hconcat(*panels).resolve_scale(color="shared", shape="shared")
    for panel in chart.hconcat:
        for layer in panel.layer:
            for channel in ("color", "shape"):
                if layer.encoding[channel] is not alt.Undefined:
                    layer.encoding[channel].legend = legend
    says = f"Time to an answer and sampling seconds of {answers[0].model} against its number of observations"
    return svg(chart, datasets, name, says)


# What the name of a release takes of an axis, in pixels.
_RELEASE = 17


def log_axis(low: float, high: float) -> alt.Axis:
    """Ticks at 1, 2 and 5 times powers of ten, more where there would be few, and fewer where they would crowd."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.1, 1.2, 1.4, 1.6, 2, 3, 5, 6, 7, 8, 9), (1, 1.2, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        values = [s * 10.0**p for p in powers for s in steps if low <= s * 10.0**p <= high]
        if len(values) <= 7:
            break
    return alt.Axis(values=values, format="~g")


def release_axis(tags: Sequence[str], width: float) -> alt.X:
    """Releases in order, of which as many are named as there is room for."""
    names = [tag[1:] for tag in tags]
    every = max(1, math.ceil(len(names) * _RELEASE / width))
    axis = alt.Axis(values=names[::-every][::-1], labelAngle=-45, labelFontSize=11)
    return alt.X("tag:O", sort=names, scale=alt.Scale(domain=names), title=None, axis=axis)


def data(points: Sequence[tuple[float, float]], axis: tuple[float, float], name: str) -> Markup:
    """The two-dimensional PPCA data, and the line along which they were made to vary (`axis` is a direction)."""
    reach = max(abs(v) for p in points for v in p) * 1.05
    length = math.hypot(*axis)
    ends = [{"x": s * reach * axis[0] / length, "y": s * reach * axis[1] / length, "k": 0} for s in (-1, 1)]
    scale = alt.Scale(domain=[-reach, reach])
    cloud = (
        alt.Chart(alt.NamedData("cloud"))
        .mark_point(filled=True, size=12, opacity=0.6, color=MUTED, aria=False)
        .encode(x=alt.X("x:Q", scale=scale, title="x₁"), y=alt.Y("y:Q", scale=scale, title="x₂"))
    )
    line = (
        alt.Chart(alt.NamedData("ends"))
        .mark_line(color="#9c0018", strokeWidth=2, clip=True, aria=False)
        .encode(x=alt.X("x:Q", scale=scale), y=alt.Y("y:Q", scale=scale), order=alt.Order("k:Q"))
    )
    return svg(
        (cloud + line).properties(width=280, height=280),
        {"cloud": [{"x": x, "y": y} for x, y in points], "ends": ends},
        name,
        f"{len(points)} simulated observations of the PPCA model and the axis along which they were made to vary",
    )


def agreement(found: Mapping[tuple[str, str], Mapping[str, Pooled]], name: str) -> Markup:
    """What each backend's worst estimand is off by, model by model, with four and a half standard errors."""
    rows = []
    for (model, backend), estimands in found.items():
        estimand, pooled = max(estimands.items(), key=lambda item: abs(item[1].z))
        rows.append(
            {
                "model": model, "backend": backend, "bias": pooled.bias, "low": pooled.bias - 4.5 * pooled.error,
                "high": pooled.bias + 4.5 * pooled.error,
                "says": f"{model}, {backend}: {estimand} is off by {pooled.bias:+.3f} posterior standard deviations, "
                f"{pooled.z:+.1f} standard errors, over {pooled.trials} trials",
            }
        )  # fmt: skip
    order = [b for b in LOOKS if any(r["backend"] == b for r in rows)]
    order += sorted({r["backend"] for r in rows} - set(order))
    panels, datasets = [], {"zero": [{"at": 0}]}
    for model in sorted({r["model"] for r in rows}):
        datasets[f"of {model}"] = [r for r in rows if r["model"] == model]
        base = alt.Chart(alt.NamedData(f"of {model}")).encode(y=backend_axis(order))
        zero = alt.Chart(alt.NamedData("zero")).mark_rule(color=MUTED, aria=False).encode(x=alt.X("at:Q"))
        bars = base.mark_rule(strokeWidth=2, aria=False).encode(
            x=alt.X("low:Q", title="off by, posterior standard deviations", axis=alt.Axis(tickCount=4)),
            x2=alt.X2("high:Q"),
            color=alt.Color("backend:N", scale=colours(order), legend=None),
        )
        points = base.mark_point(filled=True, size=60, opacity=1).encode(
            x=alt.X("bias:Q"),
            color=alt.Color("backend:N", scale=colours(order), legend=None),
            shape=alt.Shape("backend:N", scale=shapes(order), legend=None),
            description=SAYS,
        )
        title = alt.TitleParams(model, fontSize=12, color=INK, fontWeight="normal", anchor="start")
        panels.append((zero + bars + points).properties(width=230, height=alt.Step(18), title=title))
    says = "Bias of all trials together against the exact posterior, with 4.5 errors"
    return svg(alt.vconcat(*panels), datasets, name, says)


def control(content: MachineResults, name: str, root: str) -> Markup:
    """How much the control workload's time changed during each trial, release by release."""
    rows = []
    for m in content.all_measurements:
        for r in m.records:
            if r.control:
                says = f"PyMC {m.tag[1:]}, {m.model} n={m.n} {m.backend}, {r.kind}: ratio {r.control.drift:.2f}"
                rows.append(
                    {
                        "tag": m.tag[1:], "drift": r.control.drift, "says": says, "bad": r.control.contaminated,
                        "href": ELSEWHERE + root + content.path(m),
                    }
                )  # fmt: skip
    names = [tag[1:] for tag in content.tags]
    chart = (
        alt.Chart(alt.NamedData("trials"))
        .mark_tick(thickness=1.5, size=14, opacity=0.7)
        .encode(
            x=alt.X(
                "drift:Q", title="control workload: slower / faster of before and after", scale=alt.Scale(zero=False)
            ),
            y=alt.Y("tag:O", sort=names[::-1], title="PyMC"),
            color=alt.Color("bad:N", scale=alt.Scale(domain=[False, True], range=[MUTED, "#9c0018"]), legend=None),
            description=SAYS,
            href=HREF,
        )
        .properties(width=320, height=alt.Step(20))
    )
    return svg(chart, {"trials": rows}, name, "Change of the control workload's time during each trial, by release")
