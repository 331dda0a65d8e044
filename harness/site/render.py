"""Writes the pages, the feed and the data: what `content`, `answers`, `guidance` and `changes` say, by Jinja2.

The same results give the same bytes: nothing here reads a clock. All text from records is escaped by the templates.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path, PurePosixPath
from statistics import median
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness import agreement, changes, stacks
from harness.compatibility import LINKERS
from harness.metrics import HISTORY, METRICS, Metric
from harness.records import Measurement
from harness.site import answers, figures, guidance
from harness.site.content import MachineContent

STATIC = Path(__file__).with_name("static")
FEED_ENTRIES = 30


@dataclass(frozen=True)
class ReleaseChange:
    """All that is known to have changed from one release, `old`, to a later one, `new`."""

    old: str
    new: str
    date: str
    packages: stacks.Difference
    step: changes.Step | None
    turns: Sequence[changes.Turn]

    @property
    def broken(self) -> list[changes.Turn]:
        """What worked before and does not now."""
        return [t for t in self.turns if t.before == "ok" and t.after in ("failed", "invalid")]

    @property
    def working(self) -> list[changes.Turn]:
        """What works now and did not before."""
        return [t for t in self.turns if t.after == "ok"]

    @property
    def otherwise(self) -> list[changes.Turn]:
        """What fails in another way, or is there no more."""
        return [t for t in self.turns if t not in self.broken and t not in self.working]

    @staticmethod
    def by_reason(turns: Sequence[changes.Turn]) -> list[tuple[str, list[changes.Turn]]]:
        """What turned for one reason together, versions aside."""
        groups: dict[str, list[changes.Turn]] = {}
        for turn in turns:
            groups.setdefault(turn.reason or "", []).append(turn)
        return sorted(groups.items())

    @property
    def headline(self) -> str:
        """What a reader of one line should know."""
        parts = []
        if self.step:
            for word, found in (("slower", self.step.slower), ("faster", self.step.faster)):
                if found:
                    parts.append(f"{len(found)} {word}")
        for word, found in (("newly broken", self.broken), ("newly working", self.working)):
            if found:
                parts.append(f"{len(found)} {word}")
        if not parts and self.step and self.step.compared:
            parts = [f"no change beyond noise in {self.step.compared} comparisons"]
        if self.step and self.step.counters:
            parts.append(f"{len(self.step.counters)} counters differ")
        if not parts:
            parts = ["the same outcomes"]
        return ", ".join(parts)


def release_changes(content: MachineContent) -> list[ReleaseChange]:
    """Those between measured releases, and those between swept ones, newest first."""
    steps = {(s.old, s.new): s for s in content.steps}
    swept = list(content.table["releases"])
    releases = content.table["releases"]
    turns = {pair: changes.turns(releases[pair[0]], releases[pair[1]]) for pair in pairwise(swept)}
    by_tag = {stack.tag: stack for stack in content.stacks}
    found = []
    for old, new in steps.keys() | turns.keys():
        if old not in by_tag or new not in by_tag:
            continue
        step = steps.get((old, new))
        seen = {(t.model, t.n, t.backend): t for t in turns.get((old, new), ())}
        seen |= {(t.model, t.n, t.backend): t for t in (step.turns if step else ())}
        found.append(
            ReleaseChange(
                old,
                new,
                by_tag[new].date.strftime("%Y-%m-%dT%H:%M:%SZ"),
                stacks.diff(by_tag[old], by_tag[new]),
                step,
                tuple(seen[key] for key in sorted(seen)),
            )
        )
    order = {stack.tag: i for i, stack in enumerate(content.stacks)}
    return sorted(found, key=lambda c: (order[c.new], c.step is not None), reverse=True)


def asv_link(content: MachineContent, benchmark: str | None, key: tuple[str, int, str] | None = None) -> str:
    """asv's graph of a series, as its pages understand it; its overview where asv has no such benchmark."""
    if benchmark is None or key is None:
        return "history.html"
    model, n, backend = key
    parameters = {"machine": content.machine, "p-backend": f"'{backend}'", "p-n": n}
    query = "&".join(f"{name}={quote(str(value))}" for name, value in parameters.items())
    return f"history.html#{model}.{benchmark}?{query}"


_COLUMNS = (
    "machine", "release", "model", "n", "backend", "trial", "kind", "outcome", "reason", "protocol", "seed", "tune",
    "draws", "chains", "started", "setup_seconds", "sampling_seconds", "call_seconds", "effective_draws",
    "gradients_tuning", "gradients_drawing", "divergences", "graph_nodes", "replacements", "peak_memory_mib",
    "control_drift", "contaminated", "lock_sha256", "suite_commit", "cpu_model", "record",
)  # fmt: skip


def rows(content: MachineContent) -> Iterable[dict]:
    """One row for each trial, by the names of `_COLUMNS`."""
    for m in content.measurements:
        for i, r in enumerate(m.records):
            clocks, counters, graph, control, provenance = r.clocks, r.counters, r.graph, r.control, r.provenance
            values = (
                content.machine, m.tag, m.model, m.n, m.backend, i, r.kind, r.outcome, r.reason, r.protocol,
                r.settings.seed, r.settings.tune, r.settings.draws, r.settings.chains, r.started,
                clocks and clocks.setup_wall_seconds, clocks and clocks.sampling_wall_seconds,
                clocks and clocks.call_wall_seconds, r.effective_draws, counters and counters.gradients_tuning,
                counters and counters.gradients_drawing, counters and counters.divergences, graph and graph.nodes,
                graph and graph.replacements, r.peak_memory_mib, control and control.drift,
                control and control.contaminated, r.lock_sha256, provenance and provenance.suite_commit,
                provenance and provenance.cpu_model, content.path(m),
            )  # fmt: skip
            yield dict(zip(_COLUMNS, values, strict=True))


class Site:
    """The pages of one machine's content, to be written below `folder` at `base`, a path such as `machines/box/`."""

    def __init__(self, content: MachineContent, folder: Path, base: str, machines: Mapping[str, str]) -> None:
        self.content, self.folder, self.base, self.machines = content, folder, base, machines
        self.environment = Environment(
            loader=PackageLoader("harness.site"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.globals |= {
            "content": content,
            "look": figures.look,
            "metrics": {m.name: m for m in METRICS},
            "seconds": answers.seconds,
            "median": median,
            "machines": machines,
            "base": base,
        }
        self.environment.filters |= {"number": _number, "linker": lambda name: LINKERS.get(name, name or "?")}

    @cached_property
    def changes(self) -> list[ReleaseChange]:
        """What changed, newest first."""
        return release_changes(self.content)

    def write(self) -> None:
        """Write all pages of this machine."""
        self._overview()
        self._page("changes.html", "What changed", changes=self.changes)
        self._feed()
        for model in self.content.models:
            self._model(model)
        self._compatibility()
        self._trust()
        self._data()

    def _page(self, path: str, title: str, template: str | None = None, **values) -> None:
        target = self.base + path
        root = "../" * (len(PurePosixPath(target).parts) - 1)
        name = template or path.replace("/", "-")
        text = self.environment.get_template(f"{name}.j2").render(
            root=root, here=root + self.base, path=path, title=title, **values
        )
        file = self.folder / target
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def _overview(self) -> None:
        root = "../" * (len(PurePosixPath(self.base).parts))
        shown = []
        for model in self.content.models:
            found = [a for a in answers.answers(self.content) if a.model == model]
            told = []
            for a in found:
                paths = {t.backend: self.content.path(t.measurement) for t in a.times}
                picture = figures.times(a, f"times-{model}-{a.n}", root, paths) if a.times else None
                told.append((a, picture))
            timed = [a for a in found if a.times]
            last = max((a.tag for a in timed), key=self.content.tags.index, default=None)
            newest = [a for a in timed if a.tag == last]
            links = {(a.n, t.backend): self.content.path(t.measurement) for a in newest for t in a.times}
            by_size = figures.sizes(newest, f"sizes-{model}", root, links) if newest else None
            shown.append((model, told, by_size, last, [a for a in timed if a.tag != last]))
        self._page(
            "index.html",
            "Which PyMC sampler should I use?",
            models=shown,
            claims=guidance.judge(self.content),
            newest=self.changes[:3],
        )

    def _model(self, model: str) -> None:
        sections = []
        for n in (n for name, n in self.content.sizes if name == model):
            keys = self.content.order(
                {k for cells in self.content.cells.values() for k in cells if k[:2] == (model, n)}
            )
            metrics = []
            for metric in HISTORY:
                picture = figures.history(self.content, model, n, metric, f"{metric.name}-{n}", "../" * self._depth(1))
                table = self._table(metric, keys)
                metrics.append((metric, picture, _finding(metric, table), table))
            sections.append((n, metrics, keys))
        self._page(
            f"models/{model}.html", f"{model}: history", template="model.html", model=model, sections=sections,
            asv_link=lambda metric, key: asv_link(self.content, metric.benchmark, key),
        )  # fmt: skip

    def _compatibility(self) -> None:
        releases = dict(reversed(self.content.table["releases"].items()))
        tables = {}
        for tag, release in releases.items():
            for title, cells in release["models"].items():
                tables.setdefault(title, {})[tag] = cells
        known = list(self.content.backends)
        columns = {
            title: [b for b in known if any(b in cells for cells in table.values())]
            + sorted({b for cells in table.values() for b in cells} - set(known))
            for title, table in tables.items()
        }
        self._page(
            "compatibility.html", "Compatibility", releases=releases, tables=sorted(tables.items()), columns=columns,
            record=self._swept,
        )  # fmt: skip

    def _swept(self, tag: str, title: str, backend: str) -> str | None:
        """Where the site keeps the sweep's records of a cell of the table."""
        model, _, size = title.partition(" (n=")
        return self.content.sweep_paths.get((tag, model, int(size.rstrip(")")), backend))

    def _depth(self, more: int) -> int:
        return len(PurePosixPath(self.base).parts) + more

    def _table(self, metric: Metric, keys: Sequence) -> list[tuple[str, list[tuple[Measurement | None, float | None]]]]:
        """By release, newest first: each backend's measurement, and its median."""
        lines = []
        for tag in reversed(self.content.tags):
            found = [self.content.cells[tag].get(key) for key in keys]
            numbers = [median(values) if m and (values := metric.samples(m)) else None for m in found]
            lines.append((tag, list(zip(found, numbers, strict=True))))
        return lines

    def _trust(self) -> None:
        records = [*self.content.records, *self.content.swept]
        found = agreement.agreement(records)
        worst = max((abs(p.z) for estimands in found.values() for p in estimands.values()), default=None)
        first = next((r for r in self.content.records if r.provenance), None)
        drifted = [r for r in self.content.records if r.control]
        self._page(
            "trust.html",
            "Can I trust this?",
            provenance=first.provenance if first else None,
            settings=first.settings if first else None,
            protocol=first.protocol if first else None,
            agreement=figures.agreement(found, "agreement") if found else None,
            pooled_limit=agreement.Z_LIMIT,
            worst=worst,
            trials=sum(max(p.trials for p in estimands.values()) for estimands in found.values()),
            control=figures.control(self.content, "control", "../" * self._depth(0)) if drifted else None,
            drifted=drifted,
            limits=[(m, *(changes.limit(m, self.content.noise, samples) for samples in (2, 1))) for m in HISTORY],
            data=self._ppca(),
        )

    def _ppca(self):
        """The simulated data as the notebook shows them; None where the measured code has no such model."""
        from harness.run import model_data

        document = model_data("ppca", 500)
        if document is None:
            return None
        points = list(zip(*document["data"], strict=True))
        return figures.data(points, tuple(document["true_axis"]), "data")

    def _feed(self) -> None:
        entries = []
        for change in self.changes[:FEED_ENTRIES]:
            identity = uuid5(
                NAMESPACE_URL, f"pymc-sampling-benchmarks/{self.content.machine}/{change.old}/{change.new}"
            )
            entries.append((change, identity))
        updated = max((c.date for c in self.changes), default="1970-01-01T00:00:00Z")
        text = self.environment.get_template("feed.xml.j2").render(
            entries=entries,
            updated=updated,
            identity=uuid5(NAMESPACE_URL, f"pymc-sampling-benchmarks/{self.content.machine}"),
        )
        (self.folder / self.base / "feed.xml").write_text(text, encoding="utf-8")

    def _data(self) -> None:
        lines = list(rows(self.content))
        # A spreadsheet would take some texts for formulas.
        shown = [{**line, "reason": _no_formula(line["reason"])} for line in lines]
        table = io.StringIO()
        writer = csv.DictWriter(table, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(shown)
        folder = self.folder / self.base / "data"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "measurements.csv").write_text(table.getvalue(), encoding="utf-8")
        (folder / "measurements.json").write_text(json.dumps(lines, indent=0) + "\n", encoding="utf-8")


def _finding(metric: Metric, table: Sequence) -> str:
    """What a chart of a metric's history shows in the newest release that has numbers."""
    for tag, cells in table:
        found = sorted((value, m.backend) for m, value in cells if value is not None)
        if found:
            (low, least), (high, most) = found[0], found[-1]
            unit = f" {metric.unit}" if metric.unit else ""
            if least == most:
                return f"PyMC {tag[1:]}: {least} {_number(low)}{unit}."
            return f"PyMC {tag[1:]}: from {_number(low)}{unit} ({least}) to {_number(high)}{unit} ({most})."
    return ""


def _number(value: float | None) -> str:
    """A number with three digits, or a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _no_formula(text: str | None) -> str | None:
    return f"'{text}" if text and text[0] in "=+-@" else text


def copy_sweeps(contents: Sequence[MachineContent], sweeps: Path, folder: Path) -> None:
    """Put the raw records of the latest sweep of each cell beside the pages that link to them."""
    for place in sorted({place for content in contents for place in content.sweep_paths.values()}):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sweeps / place.removeprefix("data/sweep/"), folder / place)


def copy_records(content: MachineContent, records: Path, folder: Path) -> None:
    """Put the raw records of all measurements beside the pages that link to them."""
    for m in content.measurements:
        target = folder / content.path(m)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(records / content.machine / m.tag / target.name, target)


def copy_static(folder: Path) -> None:
    """Put the style sheet and the script beside the pages, with every backend's colour for dark ground."""
    target = folder / "static"
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(STATIC.glob("*")):
        shutil.copyfile(path, target / path.name)
    dark = [
        f'  svg [{paint}="{look.light}"] {{ {paint}: {look.dark}; }}'
        for look in figures.LOOKS.values()
        for paint in ("fill", "stroke")
    ]
    swatches = [
        f".b-{re.sub('[^a-z0-9-]', '', name)} {{ color: light-dark({look.light}, {look.dark}); }}"
        for name, look in figures.LOOKS.items()
    ]
    style = target / "style.css"
    style.write_text(
        style.read_text()
        + "\n/* The backends' colours, from harness/site/figures.py. */\n"
        + "\n".join(swatches)
        + "\n@media screen and (prefers-color-scheme: dark) {\n"
        + "\n".join(dark)
        + "\n}\n"
    )


def machines_as_dictionary(contents: Sequence[MachineContent]) -> dict[str, str]:
    """Where each machine's pages are: the first one's at the root."""
    return {c.machine: "" if i == 0 else f"machines/{c.machine}/" for i, c in enumerate(contents)}
