"""What a comparison says, on a terminal, in Markdown and as data: findings, verdicts, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.judging import calibration
from harness.judging.calibration import Calibration
from harness.judging.comparison import BETTER, CANNOT_TELL, MARGIN, SAME, WORSE, Compared, Comparison, Difference
from harness.judging.paired import LOOKS
from harness.output import counted, percent, quoted

_STYLE = {WORSE: "bold red", BETTER: "green", SAME: "", CANNOT_TELL: "dim"}
_MOST_PARTS = 3
_WIDE, _LONGEST_HEADING = 100, 25
KINDS = ("cold", "warm")


def _interval(c: Comparison) -> str:
    if c.judged is None:
        return "–"
    low, high = c.judged.estimate.interval()
    return f"{c.judged.estimate.ratio:.3f} ({low:.3f}–{high:.3f})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _visible(c: Comparison) -> str:
    return "–" if c.judged is None else percent(c.judged.estimate.smallest_visible())


def _change(c: Comparison) -> str:
    return f"{_number(c.old)} → {_number(c.new)} {c.quantity.metric.unit or ''}".rstrip()


def _rounds(members: Sequence[Comparison]) -> str:
    most = {kind: max((c.rounds for c in members if c.quantity.metric.kind == kind), default=0) for kind in KINDS}
    return " and ".join(f"{counted(n, f'{kind} round')}" for kind, n in most.items() if n)


def _title(c: Comparison) -> str:
    unit = c.quantity.metric.unit
    return f"{c.quantity.title}, {unit}" if unit else c.quantity.title


def difference(d: Difference) -> str:
    """In one line."""
    reason = f": {d.reason}" if d.reason else ""
    return f"{_cell(d.key)}: {d.what} {d.old} → {d.new}{reason}"


def _cell(key: tuple[str, int, str]) -> str:
    return f"{key[0]} n={key[1]} {key[2]}"


def made_of(compared: Compared, c: Comparison) -> str:
    """Of what changed, the parts that changed most; nothing for what is the same, or has no parts."""
    if c.verdict not in (WORSE, BETTER):
        return ""
    told = [f"{name} {a:.3g} → {b:.3g} s" for name, a, b in compared.parts(c) if a != b]
    return " · ".join(told[:_MOST_PARTS])


class _Seen:
    """The smallest differences that this machine was seen to find, by quantity and number of rounds."""

    def __init__(self, calibrated: Calibration | None) -> None:
        self._calibrated, self._found = calibrated, {}

    def __call__(self, c: Comparison) -> str:
        """As text."""
        if self._calibrated is None:
            return "–"
        if c.rounds not in self._found:
            self._found[c.rounds] = self._calibrated.smallest_found(c.rounds)
        ratio = self._found[c.rounds].get(c.quantity.name)
        return percent(ratio) if ratio else "–"


def show(console: Console, compared: Compared, old: str, new: str, calibrated: Calibration | None = None) -> None:
    """Print findings, then a table for each parameter set, then what is to be known of them."""
    seen = _Seen(calibrated)
    for d in compared.differences:
        console.print(Text(difference(d), "bold red" if d.broken else ""))
    for key, members in _groups(compared):
        table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
        table.add_column("", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        # What a narrow terminal has no room for comes last.
        heading = f"{old} → {new}"
        wide = (heading if len(heading) <= _LONGEST_HEADING else "A → B",) if console.width >= _WIDE else ()
        for heading in ("ratio (95 %)", "visible", "calibrated", *wide):
            table.add_column(heading, justify="right", no_wrap=True)
        for c in members:
            values = (_change(c),) if wide else ()
            table.add_row(
                c.quantity.title, Text(c.word, _STYLE[c.verdict]), _interval(c), _visible(c), seen(c), *values
            )
        console.print(Text(f"\n{_cell(key)}, {_rounds(members)}", "bold"), table, sep="")
        for c in members:
            if told := made_of(compared, c):
                console.print(Text(f"{c.quantity.title}: {told}", "dim"))
    console.print()
    for sentence in remarks(compared, calibrated):
        console.print(sentence)


def brief(console: Console, compared: Compared, old: str, new: str) -> None:
    """Print what differs, and how small a difference so few rounds can show."""
    for d in compared.differences:
        if d.broken:
            console.print(Text(difference(d), "bold red"))
    for c in (c for c in compared.comparisons if c.verdict in (WORSE, BETTER)):
        told = made_of(compared, c)
        console.print(
            Text.assemble(
                f"{_cell(c.key)}, {c.quantity.phrase}: ", (c.word, _STYLE[c.verdict]), f", {_interval(c)}",
                (f"\n  {told}" if told else "", "dim"),
            )
        )  # fmt: skip
    console.print(headline(compared, old, new))
    seen = {}
    for c in compared.comparisons:
        if c.judged and c.quantity.metric.of_a_clock:
            seen.setdefault(c.quantity.phrase, []).append(c.judged.estimate.smallest_visible())
    if seen:
        told = ", ".join(f"{name} {percent(median(ratios))}" for name, ratios in seen.items())
        console.print(f"So many rounds show differences from about: {told}.")
    console.print(f"`bench compare {old} {new}` goes on from these rounds, until it can be told.")


def remarks(compared: Compared, calibrated: Calibration | None) -> Iterator[str]:
    """What is to be known of all verdicts."""
    yield (
        "ratio: new over old, by the rounds in which both were measured side by side. same: within "
        f"{percent(1 + MARGIN)}, with 99 % confidence. visible: the smallest difference that so many rounds would "
        "show in four of five cases. Of a hundred comparisons of equal stacks, one at most is called a difference, "
        "however often one looks."
    )
    if calibrated:
        look = next(iter(LOOKS))
        alarms = calibrated.false_alarms(look)
        yield (
            f"calibrated: the same, as {calibrated.stacks} beside a copy of itself showed it on {calibrated.machine} "
            f"on {calibrated.made}. {calibration.sentence(alarms, look) if alarms.comparisons else ''}".rstrip()
        )
    else:
        yield "This machine is not calibrated: `bench calibrate` tells what it can see."
    if compared.dropped:
        rounds = counted(compared.dropped, "round")
        yield f"Left out: {rounds} in which the machine changed speed, or the two did not run side by side."


def headline(compared: Compared, old: str, new: str) -> str:
    """The whole comparison in a sentence."""
    counts = {v: sum(c.verdict == v for c in compared.comparisons) for v in (WORSE, BETTER, SAME, CANNOT_TELL)}
    told = [f"{n} {verdict}" for verdict, n in counts.items() if n]
    broken = sum(d.broken for d in compared.differences)
    working = sum(d.what == "outcome" and d.new == "ok" for d in compared.differences)
    told = [*(f"{n} newly {word}" for n, word in ((broken, "broken"), (working, "working")) if n), *told]
    return f"{new} beside {old}: {', '.join(told) or 'nothing to compare'}."


def markdown(compared: Compared, old: str, new: str, calibrated: Calibration | None = None) -> str:
    """The same as Markdown: foreign text is quoted."""
    seen = _Seen(calibrated)
    parts = [f"**{headline(compared, old, new)}**"]
    if compared.differences:
        parts.append("\n".join(f"- {quoted(difference(d))}" for d in compared.differences))
    for key, members in _groups(compared):
        rows = [f"**{quoted(_cell(key))}**", ""]
        rows.append(f"| | rounds | {old} | {new} | ratio (95 %) | visible | calibrated | verdict |")
        rows.append("| --- |" + " ---: |" * 6 + " --- |")
        for c in members:
            told = made_of(compared, c)
            rows.append(
                f"| {_title(c)} | {c.rounds} | {_number(c.old)} | {_number(c.new)} | {_interval(c)} | {_visible(c)} | "
                f"{seen(c)} | {c.word}{f': {told}' if told else ''} |"
            )
        parts.append("\n".join(rows))
    return "\n\n".join([*parts, *remarks(compared, calibrated)])


def document(compared: Compared, old: str, new: str) -> dict:
    """The same as data, with every number in full."""
    return {
        "old": old,
        "new": new,
        "margin": MARGIN,
        "dropped_rounds": compared.dropped,
        "differences": [
            {**_key(d.key), "what": d.what, "old": d.old, "new": d.new, "reason": d.reason, "broken": d.broken}
            for d in compared.differences
        ],
        "comparisons": [_document(compared, c) for c in compared.comparisons],
    }


def _document(compared: Compared, c: Comparison) -> dict:
    told = {
        **_key(c.key), "quantity": c.quantity.name, "unit": c.quantity.metric.unit, "rounds": c.rounds,
        "old": c.old, "new": c.new, "verdict": c.verdict,
        "parts": [{"name": name, "old": a, "new": b} for name, a, b in compared.parts(c)],
    }  # fmt: skip
    if c.judged:
        e = c.judged.estimate
        told |= {
            "ratio": e.ratio, "interval_95": e.interval(), "interval_99": e.interval(0.99), "p": c.judged.p,
            "smallest_visible": e.smallest_visible(),
        }  # fmt: skip
    return told


def _key(key: tuple[str, int, str]) -> dict:
    return dict(zip(("model", "n", "backend"), key, strict=True))


def _groups(compared: Compared) -> list[tuple[tuple[str, int, str], list[Comparison]]]:
    groups: dict[tuple[str, int, str], list[Comparison]] = {}
    for c in compared.comparisons:
        groups.setdefault(c.key, []).append(c)
    return sorted(groups.items())
