"""The closing table: for each release, backend by model, what a newcomer wants to know, and why what failed failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import paths
from harness.judging import answers, phases
from harness.judging.efficiency import pooled
from harness.judging.noise import noise
from harness.output import console, job_page, quoted
from harness.results import store
from harness.results.metrics import COLD_SETUP, FINISH, MEMORY, WARM_SETUP
from harness.results.records import Measurement, Record
from harness.suite import inside

_STYLE = {"ok": "green", "unsupported": "dim", "failed": "red", "invalid": "bold red"}
_NOTHING = "–"


def _number(value: float | None) -> str:
    if value is None:
        return _NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _median(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return median(known) if known else None


_HEADINGS = (
    "backend", "setup cold, s", "setup warm, s", "sampling, s", "finish, s", "time to an answer, s",
    "effective draws, ± %", "gradients per effective draw", "peak MiB", "outcome",
)  # fmt: skip


class _Known:
    """What all the trials that are looked at say together: their noise, and how efficiently each sampler draws."""

    def __init__(self, measurements: Sequence[Measurement], drawn: Sequence[Record]) -> None:
        drawn = drawn or [r for m in measurements for r in m.records]
        self._noise, self._efficiencies = noise(measurements, drawn), pooled(drawn)

    def numbers(self, m: Measurement) -> list[str]:
        """Those of one measurement, as the headings have them."""
        time = answers.time(m, self._noise, self._efficiencies)
        *setups, finish, memory = (_median(metric.samples(m)) for metric in (COLD_SETUP, WARM_SETUP, FINISH, MEMORY))
        if time is None:
            return [_number(v) for v in (*setups, None, finish, None, None, None, memory)]
        of_answer = [_number(v) for v in (*setups, time.sampling_seconds, time.finish_seconds, time.seconds)]
        deviation = time.efficiency.deviation
        spread = _NOTHING if deviation is None else f"{100 * deviation:.0f}"
        return [*of_answer, spread, _number(time.efficiency.gradients), _number(memory)]


def _contaminated(measurement: Measurement) -> str:
    return " ~" if any(r.control and r.control.contaminated for r in measurement.records if r.outcome == "ok") else ""


def _cells(measurement: Measurement, known: _Known) -> list[str | Text]:
    outcome = Text(measurement.outcome, _STYLE[measurement.outcome])
    return [*known.numbers(measurement), Text.assemble(outcome, _contaminated(measurement))]


def _groups(measurements: Iterable[Measurement], backends: Sequence[str]) -> dict[tuple, list[Measurement]]:
    """By release, model and size; backends in the order in which they are always named."""
    order = {name: position for position, name in enumerate(backends)}
    groups: dict[tuple[str, str, int], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.tag, m.model, m.n), []).append(m)
    return {key: sorted(g, key=lambda m: order.get(m.backend, len(order))) for key, g in groups.items()}


def markdown(
    measurements: Sequence[Measurement],
    backends: Sequence[str],
    damaged: Iterable[str] = (),
    drawn: Sequence[Record] = (),
) -> str:
    """The same tables and reasons as Markdown, for the page of a job and a pull request: foreign text is quoted."""
    parts, known = [], _Known(measurements, drawn)
    for (tag, model, n), members in _groups(measurements, backends).items():
        rows = [f"**PyMC {tag[1:]}, {quoted(model)}, n={n}**", "", "| " + " | ".join(_HEADINGS) + " |"]
        rows.append("| --- |" + " ---: |" * (len(_HEADINGS) - 2) + " --- |")
        for m in members:
            cells = [quoted(m.backend), *known.numbers(m), f"{m.outcome}{_contaminated(m)}"]
            rows.append("| " + " | ".join(cells) + " |")
        parts.append("\n".join(rows))
    reasons = [
        f"- {m.tag} {quoted(m.model)} n={m.n} {quoted(m.backend)}: {m.outcome}: {quoted(m.reason or 'no reason')}"
        for m in measurements
        if m.outcome in ("failed", "invalid")
    ]
    reasons += [f"- {quoted(sentence)}" for sentence in damaged]
    return "\n\n".join([*parts, "\n".join(reasons)] if reasons else parts)


def print_summary(
    console: Console,
    measurements: Sequence[Measurement],
    backends: Sequence[str],
    damaged: Iterable[str],
    drawn: Sequence[Record] = (),
) -> None:
    """Print a table for each release and model, then each reason, then each file that could not be read.

    `drawn` are all trials that tell how efficiently the samplers draw; those of the measurements if none.
    """
    known = _Known(measurements, drawn)
    for title, members in _titled(measurements, backends):
        table = _table(title)
        table.add_column("backend", no_wrap=True)
        # Eight columns of numbers fit a terminal of 80 with headings of this shape.
        for heading in (
            "cold\nsetup\ns", "warm\nsetup\ns", "samp-\nling\ns", "fin-\nish\ns", "ans-\nwer\ns", "eff.\ndraws\n± %",
            "grads\nper\neff.", "peak\n\nMiB",
        ):  # fmt: skip
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("outcome", no_wrap=True)
        for m in members:
            # Those that cannot sample it are listed below, with why.
            if m.outcome != "unsupported":
                table.add_row(m.backend, *_cells(m, known))
        console.print(table)
    _print_remarks(console, measurements)
    for sentence in damaged:
        console.print(Text(sentence, "red"))


def _print_remarks(console: Console, measurements: Sequence[Measurement]) -> None:
    """What the headings mean, and what of the measurements is to be known besides."""
    console.print(
        "answer: from import until pm.sample returns with 1000 effective draws (eff.) of the hardest estimand, with "
        "warm caches: setup, sampling (tuning once, then drawing) and finish.  ±: from seed to seed.  grads: gradient "
        "evaluations, tuning included."
    )
    untold = {(m.backend, m.untold) for m in measurements if m.untold}
    for backend, what in sorted(untold):
        console.print(f"– {backend}: {what}")
    for m in measurements:
        for warning in m.warnings:
            console.print(f"! {m.tag} {m.model} n={m.n} {m.backend}: {warning}")
    failures = [m for m in measurements if m.outcome in ("failed", "invalid")]
    if failures:
        console.print(Text("\nWhat failed, and why", "bold"))
        for m in failures:
            console.print(f"  {m.tag} {m.model} n={m.n} {m.backend}: {m.outcome}: {m.reason or 'no reason'}")
    unsupported = {}
    for m in measurements:
        if m.outcome == "unsupported":
            unsupported.setdefault((m.tag, m.model, m.reason.partition(" ")[2]), []).append(m.backend)
    if unsupported:
        console.print(Text("\nWhat cannot be", "bold"))
        for (tag, model, reason), names in unsupported.items():
            console.print(f"  {tag} {model}: {', '.join(names)}: {reason}")
    if any(r.control and r.control.contaminated for m in measurements for r in m.records):
        console.print("\n~ the machine changed speed during a trial: read its seconds with care.")


def print_phases(
    console: Console, measurements: Sequence[Measurement], backends: Sequence[str], damaged: Iterable[str] = ()
) -> None:
    """Print, for each release and model, where setup and finish of each backend go, largest first; then what was left
    out."""
    for title, members in _titled(measurements, backends):
        table = _table(title)
        table.add_column("backend", no_wrap=True)
        table.add_column("", no_wrap=True)
        table.add_column("s", justify="right", no_wrap=True)
        table.add_column("of which, s")
        for m in members:
            for i, part in enumerate(phases.parts(m)):
                name = f"{part.kind} {part.name}" if part.name == "setup" else part.name
                table.add_row(m.backend if i == 0 else "", name, _number(part.seconds), part.sentence)
        if table.row_count:
            console.print(table)
    console.print("Means over trials, of the wall clock; what makes up less than a hundredth is left out.")
    for sentence in damaged:
        console.print(Text(sentence, "red"))


def _titled(measurements: Iterable[Measurement], backends: Sequence[str]) -> list[tuple[str, list[Measurement]]]:
    groups = _groups(measurements, backends)
    return [(f"PyMC {tag.removeprefix('v')} · {model}, n={n}", members) for (tag, model, n), members in groups.items()]


def _table(title: str) -> Table:
    return Table(
        box=box.SIMPLE_HEAD, padding=0, pad_edge=False, title=title, title_justify="left",
        title_style="bold",
    )  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """Whether any measurement that was shown is valid, and whether results of this machine are damaged."""

    valid: bool
    damaged: bool = False


def summarise(machine: str, tags: Iterable[str], show_phases: bool = False) -> Shown:
    """Print the summary of these stacks, here and on the page of a running job, and what was left out, with why."""
    description = inside()
    backends = description["backends"]
    contents = store.load(store.Results(paths.RESULTS, description))
    content = next((c for c in contents if c.machine == machine), None)
    if content is None:
        return Shown(valid=False)
    measurements = [
        m
        for tag in sorted(set(tags) & set(content.tags), key=content.tags.index)
        for model, n in content.sizes
        for m in answers.measurements_of(content, tag, model, n)
    ]
    if show_phases:
        print_phases(console, measurements, backends, content.left_out)
    else:
        print_summary(console, measurements, backends, content.left_out, content.drawn)
        job_page(markdown(measurements, backends, content.left_out, content.drawn))
    return Shown(any(m.outcome == "ok" for m in measurements), bool(content.damaged))
