"""Writes the pages and the feed: what the results hold and `harness.judging` says of them, by Jinja2.

The same results give the same bytes: nothing here reads a clock. All text from records is escaped by the templates.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from statistics import median
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.judging import agreement, answers, calibration, guidance, verdicts, years
from harness.judging.chains import chains
from harness.judging.comparison import QUANTITIES
from harness.judging.noise import noise_of
from harness.judging.paired import LOOKS
from harness.judging.release_changes import ReleaseChange, release_changes
from harness.results.compatibility import LINKERS
from harness.results.metrics import HISTORY, METRICS, Metric
from harness.results.records import Measurement
from harness.results.store import MachineResults
from harness.site import data, figures, phase_figures, release_lines
from harness.suite import inside, model_data

STATIC = Path(__file__).with_name("static")
FEED_ENTRIES = 30


def asv_link(content: MachineResults, benchmark: str | None, key: tuple[str, int, str] | None = None) -> str:
    """asv's graph of a series, as its pages understand it; its overview where asv has no such benchmark."""
    if benchmark is None or key is None:
        return "history.html"
    model, n, backend = key
    parameters = {"machine": content.machine, "p-backend": f"'{backend}'", "p-n": n}
    query = "&".join(f"{name}={quote(str(value))}" for name, value in parameters.items())
    return f"history.html#{model}.{benchmark}?{query}"


@dataclass(frozen=True, eq=False)
class Site:
    """The pages of one machine's content, to be written below `folder` at `base`, a path such as `machines/box/`."""

    content: MachineResults
    folder: Path
    base: str
    machines: Mapping[str, str]
    calibration: calibration.Calibration | None = None

    @cached_property
    def environment(self) -> Environment:
        """The templates, and what all of them know."""
        environment = Environment(
            loader=PackageLoader("harness.site"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {
            "content": self.content,
            "noise": noise_of(self.content),
            "made_of": verdicts.made_of,
            "look": figures.look,
            "metrics": {m.name: m for m in METRICS},
            "seconds": answers.seconds,
            "median": median,
            "machines": self.machines,
            "base": self.base,
        }
        environment.filters |= {"number": _number, "linker": lambda name: LINKERS.get(name, name or "?")}
        return environment

    @cached_property
    def changes(self) -> list[ReleaseChange]:
        """What changed, newest first."""
        return release_changes(self.content)

    @property
    def parts(self) -> dict[str, Callable[[], None]]:
        """By name, what writes each part of the site; none needs another to have been written. What takes longest
        comes first."""
        return {
            "overview": self._overview,
            **{f"model {model}": partial(self._model, model) for model in self.content.models},
            "trust": self._trust,
            "changes": self._changes,
            "which": self._which,
            "compatibility": self._compatibility,
            "data": lambda: data.write(self.content, self.folder / self.base / "data"),
        }

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
                picture = phase_figures.times(a, f"times-{model}-{a.n}", root, paths) if a.times else None
                told.append((a, picture))
            timed = [a for a in found if a.times]
            last = max((a.tag for a in timed), key=self.content.tags.index, default=None)
            newest = [a for a in timed if a.tag == last]
            links = {(a.n, t.backend): self.content.path(t.measurement) for a in newest for t in a.times}
            by_size = figures.sizes(newest, f"sizes-{model}", root, links) if len(timed) > 1 else None
            shown.append((model, told, by_size, last, [a for a in timed if a.tag != last]))
        self._page(
            "index.html",
            "Which PyMC sampler should I use?",
            models=shown,
            claims=guidance.judge(self.content),
            years=(found := years.years(self.content)),
            years_chart=release_lines.years(self.content, found, "years") if found else None,
            newest=self.changes[:3],
            picks=list(self.picks),
        )

    @cached_property
    def picks(self) -> dict[str, list[tuple[str, int, list[answers.Answer]]]]:
        """Of each release in which backends can be compared, newest first: model, size, and the answer in each case."""
        found = {}
        for tag in reversed(self.content.tags):
            several = [
                (model, n) for model, n in self.content.sizes
                if len(self.content.cells[tag].keys() & {(model, n, b) for b in self.content.backends}) > 1
            ]  # fmt: skip
            rows = [
                (m, n, [answers.answer(self.content, m, n, tag, case) for case in answers.CASES]) for m, n in several
            ]
            if rows := [row for row in rows if any(a.times for a in row[2])]:
                found[tag] = rows
        return found

    def _which(self) -> None:
        for tag, rows in self.picks.items():
            self._page(
                f"which/{tag}.html", f"Which backend, with PyMC {tag[1:]}?", template="which.html", rows=rows,
                cases=answers.CASES, picks=list(self.picks), tag=tag, discrete=_discrete(),
            )  # fmt: skip

    def _model(self, model: str) -> None:
        sections = []
        for n in (n for name, n in self.content.sizes if name == model):
            keys = self.content.order(
                {k for cells in self.content.cells.values() for k in cells if k[:2] == (model, n)}
            )
            metrics = []
            for metric in HISTORY:
                chart = release_lines.history(
                    self.content, model, n, metric, f"{metric.name}-{n}", "../" * self._depth(1),
                    failures=metric is HISTORY[0],
                )  # fmt: skip
                table = self._table(metric, keys)
                linked = any(chains(self.content, key, metric.name) for key in keys)
                metrics.append((metric, chart, _finding(metric, table), table, linked))
            where = phase_figures.history(self.content, model, n, f"phases-{n}", "../" * self._depth(1))
            sections.append((n, where, metrics, keys))
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
            calibration=self.calibration,
            alarms=[
                (look, alarms)
                for look in (LOOKS if self.calibration else ())
                if (alarms := self.calibration.false_alarms(look)).comparisons
            ],
            sentence=calibration.sentence,
            what_lasts=calibration.what_lasts,
            added=calibration.ADDED,
            titles={quantity.name: quantity.title for quantity in QUANTITIES},
            looks=list(LOOKS),
            data=self._ppca(),
        )

    def _ppca(self):
        """The simulated data as the notebook shows them; None where the measured code has no such model."""
        document = model_data("ppca", 500)
        if document is None:
            return None
        points = list(zip(*document["data"], strict=True))
        return figures.data(points, tuple(document["true_axis"]), "data")

    def _changes(self) -> None:
        self._page("changes.html", "What changed", changes=self.changes)
        self._feed()

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


def _discrete() -> set[str]:
    """Models that PyMC's compound step alone samples."""
    return {name for name, model in inside()["models"].items() if model["discrete"]}


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


def copy_static(folder: Path) -> None:
    """Put the style sheet and the script beside the pages, with every backend's colour for dark ground."""
    target = folder / "static"
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(STATIC.glob("*")):
        shutil.copyfile(path, target / path.name)
    dark = [
        f'  svg [{paint}="{light}"] {{ {paint}: {dark}; }}'
        for light, dark in figures.DARK.items()
        for paint in ("fill", "stroke")
    ]
    swatches = [
        f".b-{re.sub('[^a-z0-9-]', '', name)} {{ color: light-dark({look.light}, {look.dark}); }}"
        for name, look in ((name, figures.look(name)) for name in inside()["backends"])
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


def machines_as_dictionary(contents: Sequence[MachineResults]) -> dict[str, str]:
    """Where each machine's pages are: the first one's at the root."""
    return {c.machine: "" if i == 0 else f"machines/{c.machine}/" for i, c in enumerate(contents)}
