"""Findings that somebody should know of, each one issue: opened when it appears, updated while it stays, closed when
it is gone.

What is a finding is decided here and in `harness.judging.changes`; where issues are kept is a tracker's business:
GitHub's API, or files in a folder, for tests and for a look before anything is sent. Reasons come from records, which
come from everywhere: they are quoted so that neither Markdown nor HTML nor a mention comes of them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Protocol

from harness.errors import BenchError
from harness.judging import changes, verdicts
from harness.judging.changes import Change, Step, Turn
from harness.judging.comparison import MARGIN, Comparison
from harness.nightly.github import Api
from harness.output import quoted
from harness.results.blames import OUTCOME, Blamed, Question
from harness.results.store import Key, MachineResults
from harness.stacks import locks
from harness.stacks.locks import Stack

LABEL = "benchmark-alert"
RECENT = timedelta(days=182)
"""How long before the newest stack something must have come to be told of."""
# A line of its own, which no text of a record can be.
_MARK = re.compile(r"^<!-- finding ([0-9a-f]{12}) -->\s*$", re.MULTILINE)
FAILED_RUN = "the nightly run"
"""The key of the finding that the run that measures has itself failed."""
_MOST_LISTED = 30
# GitHub takes 256 and 65,536 characters.
_LONGEST_TITLE, _LONGEST_REASON, _LONGEST_PART = 250, 10_000, 500


@dataclass(frozen=True)
class Finding:
    """Something to know of. `key` stays the same as long as it is the same finding, whatever its numbers.

    `asks` is what would say which package it was; None where that is known, or cannot be asked.
    """

    key: str
    title: str
    body: str
    asks: Question | None = None

    @property
    def identity(self) -> str:
        """What an issue's text carries to be found again."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:12]

    @property
    def text(self) -> str:
        """The issue's whole text."""
        return f"{self.body}\n\n<!-- finding {self.identity} -->\n"

    @property
    def heading(self) -> str:
        """The issue's title, of a length that GitHub takes."""
        return self.title if len(self.title) <= _LONGEST_TITLE else f"{self.title[:_LONGEST_TITLE]}…"


class Tracker(Protocol):
    """Where issues are kept; an issue is known by its number."""

    def open(self) -> Mapping[int, str]:
        """The texts of the open issues that this suite has made."""

    def create(self, title: str, text: str) -> None:
        """Open an issue."""

    def update(self, number: int, title: str, text: str) -> None:
        """Give an issue another title and text."""

    def close(self, number: int, why: str) -> None:
        """Close an issue, with a last word."""


@dataclass(frozen=True)
class Told:
    """How many issues were opened, updated, left as they are, and closed."""

    opened: int
    updated: int
    same: int
    closed: int


def tell(findings: Iterable[Finding], tracker: Tracker, close: bool = True, keep: Collection[str] = ()) -> Told:
    """Bring a tracker's issues up to date with the findings; a finding has one issue, however often it is told.

    Those that are gone are closed, unless it is not known whether they are: none without `close`, and none of the keys
    in `keep`.
    """
    known: dict[str, tuple[int, str]] = {}
    for number, text in sorted(tracker.open().items()):
        # Whatever somebody has written around it.
        for mark in _MARK.findall(text)[-1:]:
            known.setdefault(mark, (number, text))
    opened = updated = same = 0
    for finding in {f.identity: f for f in findings}.values():
        number, text = known.pop(finding.identity, (None, None))
        if number is None:
            tracker.create(finding.heading, finding.text)
            opened += 1
        elif text.strip() != finding.text.strip():
            tracker.update(number, finding.heading, finding.text)
            updated += 1
        else:
            same += 1
    kept = {Finding(key, "", "").identity for key in keep}
    gone = [number for mark, (number, _) in known.items() if close and mark not in kept]
    for number in gone:
        tracker.close(number, "The newest results no longer show this.")
    return Told(opened, updated, same, len(gone))


@dataclass(frozen=True)
class Files:
    """Issues as JSON files in a folder: `1.json` has the number, whether it is open, title, text and last word."""

    folder: Path

    def open(self) -> Mapping[int, str]:
        """The texts of the open ones."""
        return {n: document["text"] for n, document in self._all().items() if document["open"]}

    def create(self, title: str, text: str) -> None:
        """Write the next one."""
        self._write(max(self._all(), default=0) + 1, {"open": True, "title": title, "text": text, "why": None})

    def update(self, number: int, title: str, text: str) -> None:
        """Write it anew."""
        self._write(number, {**self._all()[number], "title": title, "text": text})

    def close(self, number: int, why: str) -> None:
        """Mark it closed."""
        self._write(number, {**self._all()[number], "open": False, "why": why})

    def _all(self) -> dict[int, dict]:
        found = {}
        for path in sorted(self.folder.glob("[0-9]*.json")):
            try:
                document = json.loads(path.read_text())
                found[int(path.stem)] = {key: document[key] for key in ("open", "title", "text", "why")}
            except (ValueError, KeyError, TypeError) as error:
                raise BenchError(f"{path} is no issue that was written here: delete it and try again.") from error
        return found

    def _write(self, number: int, document: Mapping) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{number}.json").write_text(json.dumps(document, indent=1) + "\n")


def findings(machines: Sequence[MachineResults], site: str | None = None) -> list[Finding]:
    """What recent releases have that the ones before had not, and what is still so.

    The newest release in which a parameter set was measured decides whether its backend is still broken, whichever
    machine measured it; that it works again is told until a later one was measured. Of numbers the rounds of later
    releases decide: a slower release stays a finding until they have made up for it. What is older than half a year is
    told no longer. `site` is the address of the published pages; without it there are no links.
    """
    since = machines[0].stacks[-1].date - RECENT
    found = []
    for content, old, new, turn in _turns(machines):
        if content.stack(new).date >= since and _is_news(turn) and _is_still_turned(machines, new, turn):
            found.append(_turned(content, old, new, turn, site))
    for content in machines:
        for step in (s for s in changes.steps_of(content) if content.stack(s.new).date >= since):
            found += _grown(content, step, site)
    return found


def _turns(machines: Sequence[MachineResults]) -> Iterator[tuple[MachineResults, str | None, str, Turn]]:
    """What turned from one release to another: in the newest two of the compatibility table, and on each machine."""
    content = machines[0]
    known = {stack.tag for stack in content.stacks}
    releases = {tag: cells for tag, cells in content.table["releases"].items() if tag in known}
    for old, new in pairwise(list(releases)[-2:]):
        for turn in changes.turns(releases[old], releases[new]):
            yield content, old, new, turn
    for content in machines:
        for step in changes.steps_of(content):
            for turn in step.turns:
                yield content, step.old, step.new, turn
        # A wrong answer is news even where there is nothing before it.
        for before, tag in pairwise([None, *content.tags]):
            for key, m in content.cells[tag].items():
                if m.outcome == "invalid" and key not in content.cells.get(before, {}):
                    yield content, before, tag, Turn(*key, "not measured", m.outcome, m.reason)


def _is_news(turn: Turn) -> bool:
    """Whether a backend works again or broke; a wrong answer is news whatever was before."""
    return turn.after in ("ok", "invalid") or turn.before == "ok"


def _is_still_turned(machines: Sequence[MachineResults], new: str, turn: Turn) -> bool:
    """Whether no later release says otherwise; where machines disagree about one, the backend is still broken."""
    key = (turn.model, turn.n, turn.backend)
    later = [s.tag for s in machines[0].stacks if s.date > machines[0].stack(new).date]
    for tag in reversed(later):
        outcomes = {m.cells[tag][key].outcome for m in machines if key in m.cells.get(tag, {})}
        if outcomes:
            return turn.after != "ok" and outcomes != {"ok"}
    return True


def _grown(content: MachineResults, step: Step, site: str | None) -> list[Finding]:
    """The numbers that a release made larger, and the graphs that it made much larger."""
    slower: dict[Key, list[Comparison]] = {}
    counters: dict[tuple[str, int], list[Change]] = {}
    # One finding for what has one cause, most likely: all numbers of a backend, all counters of a model.
    for comparison in step.slower:
        if _is_still_slower(content, step, comparison):
            slower.setdefault(comparison.key, []).append(comparison)
    for c in step.counters:
        if c.matters and _is_still_larger(content, c):
            counters.setdefault((c.new.model, c.new.n), []).append(c)
    return [_slower(content, step, key, found, site) for key, found in slower.items()] + [
        _counted(content, step, *key, found, site) for key, found in counters.items()
    ]


def _is_still_slower(content: MachineResults, step: Step, comparison: Comparison) -> bool:
    """Whether it is by more than anybody would overlook, after what the rounds of later releases say.

    Of a release that was not measured beside the one before, nothing is known: an issue that it closed would be opened
    again by the next.
    """
    steps = changes.steps_of(content)
    since = [step, *steps[: steps.index(step)]]
    same = [
        c
        for s in since
        for c in s.comparisons
        if (c.key, c.quantity.name) == (comparison.key, comparison.quantity.name)
    ]
    return sum(c.judged.estimate.mean for c in same) > math.log(1 + MARGIN)


def _is_still_larger(content: MachineResults, change: Change) -> bool:
    """Whether the newest measurement has not a graph as small as before."""
    key = (change.new.model, change.new.n, change.new.backend)
    newest = next(content.cells[tag][key] for tag in reversed(content.tags) if key in content.cells[tag])
    values = change.metric.samples(newest)
    return not values or median(values) >= changes.MATTERS * change.before


def not_installed(known: Sequence[Stack], imports: Mapping[str, Mapping[str, str]]) -> list[Finding]:
    """Recent stacks that cannot be installed: nothing of them is measured."""
    since = known[-1].date - RECENT
    return [
        Finding(
            f"install {stack.tag}",
            f"{_release(stack.tag)} cannot be installed with the newest of everything",
            f"Nothing of it can be measured: {quoted(imports[stack.tag]['install'][:_LONGEST_REASON])}",
        )
        for stack in known
        if stack.date >= since and "install" in imports.get(stack.tag, {})
    ]


def failed_run(parts: Sequence[str], address: str | None) -> Finding:
    """The run that measures has itself failed, in these parts."""
    link = f" Its log and what it says of it: <{address}>" if address else ""
    names = ", ".join(quoted(part[:_LONGEST_PART]) for part in parts[:_MOST_LISTED])
    return Finding(FAILED_RUN, "The nightly benchmark run failed", f"Not all of it succeeded: {names}.{link}")


def _blame(found: Iterable[Blamed | None]) -> str:
    """The first of these that is known to have made it, as a paragraph."""
    blamed = next(filter(None, found), None)
    if blamed is None:
        return ""
    links = "".join(f" <{p.changes}>" for p in blamed.packages if p.changes)
    return f"\n\n**It was {quoted(blamed.says)}**, as `{blamed.question.command}` found.{links}"


def _release(tag: str) -> str:
    return f"PyMC {tag[1:]}"


def _about(content: MachineResults, old: str | None, new: str, site: str | None) -> str:
    """What every finding ends with: machine, packages, link; no packages where nothing was measured before."""
    if old is None:
        return f"Machine: {content.machine}."
    difference = str(locks.diff(content.stack(old), content.stack(new))).splitlines()
    # Those that decide how a model is sampled come first.
    difference.sort(key=lambda line: not set(line.split()) & set(locks.DECIDING))
    listed = "\n".join(f"    {line}" for line in difference[:_MOST_LISTED])
    more = f"\n    … and {len(difference) - _MOST_LISTED} more" if len(difference) > _MOST_LISTED else ""
    link = f"\n\n[What changed]({site.rstrip('/')}/changes.html#{old}-{new})" if site else ""
    return (
        f"Machine: {content.machine}. From {_release(old)} to {_release(new)} these packages changed:\n\n"
        f"{listed}{more}{link}"
    )


def _turned(content: MachineResults, old: str | None, new: str, turn: Turn, site: str | None) -> Finding:
    where = f"{turn.backend} on {turn.model} (n={turn.n})"
    words = {"ok": "works again", "invalid": "gives a wrong answer", "unsupported": "is no longer supported"}
    reason = f"\n\n{quoted(turn.reason[:_LONGEST_REASON])}" if turn.reason else ""
    before = f"was `{turn.before}` in {_release(old)}" if old else "was measured for the first time"
    # Without the machine, and without the kind of failure: what two of them find is one finding.
    kind = turn.after if turn.after in ("ok", "invalid") else "broken"
    key = (turn.model, turn.n, turn.backend)
    blamed = _blame([content.blames.of_outcome(old, new, key, (turn.before, turn.after), turn.reason)])
    asks = Question(old, new, *key, OUTCOME) if old and not blamed else None
    return Finding(
        f"turn {turn.model} {turn.n} {turn.backend} {new} {kind}",
        f"{where} {words.get(turn.after, 'is broken')} in {_release(new)}",
        f"{where} {before} and is `{turn.after}` in {_release(new)}.{reason}{blamed}\n\n"
        f"{_about(content, old, new, site)}",
        asks,
    )


def _slower(content: MachineResults, step: Step, key: Key, found: Sequence[Comparison], site: str | None) -> Finding:
    """The numbers of a backend that grew, the largest ratio first."""
    (model, n, backend), worst, lines = key, found[0], []
    for c in found:
        low, high = c.judged.estimate.interval()
        told = verdicts.made_of(step.compared, c)
        lines.append(
            f"- {c.quantity.title}: a ratio of {c.judged.estimate.ratio:.3f}, {low:.3f} to {high:.3f} (95 %), in "
            f"{c.rounds} rounds{f': {told}' if told else ''}"
        )
    blamed = _blame(content.blames.of_number(step.old, step.new, key, c.quantity.name, grew=True) for c in found)
    listed = "\n".join(lines)
    return Finding(
        f"slower {content.machine} {model} {n} {backend} {step.new}",
        f"{backend} on {model} (n={n}): {worst.quantity.phrase} ×{worst.judged.estimate.ratio:.2f} in "
        f"{_release(step.new)}",
        f"Measured side by side with {_release(step.old)}, it takes more:\n\n{listed}{blamed}\n\n"
        f"{_about(content, step.old, step.new, site)}",
        None if blamed else Question(step.old, step.new, *key, worst.quantity.name),
    )


def _counted(
    content: MachineResults, step: Step, model: str, n: int, found: Sequence[Change], site: str | None
) -> Finding:
    """The graphs of a model that are much larger; on another machine they are the same finding."""
    lines = "\n".join(
        f"- {c.new.backend}, {c.metric.title.lower()}: {c.before:,.0f} → {c.after:,.0f}" for c in found[:_MOST_LISTED]
    )
    more = f"\n- … and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
    blamed = _blame(
        content.blames.of_number(step.old, step.new, (model, n, c.new.backend), c.metric.name, grew=c.ratio > 1)
        for c in found
    )
    return Finding(
        f"counters {model} {n} {step.new}",
        f"The graph of {model} (n={n}) is larger in {_release(step.new)}",
        f"By a tenth or more:\n\n{lines}{more}{blamed}\n\n{_about(content, step.old, step.new, site)}",
        None if blamed else Question(step.old, step.new, model, n, found[0].new.backend, found[0].metric.name),
    )


@dataclass(frozen=True)
class GitHub:
    """Issues of a repository. Needs the right to write issues, and nothing else."""

    api: Api

    def open(self) -> Mapping[int, str]:
        """The texts of the open ones that have the suite's label and were made by an app or by somebody trusted."""
        found = self.api.pages("/issues", state="open", labels=LABEL)
        return {i["number"]: i.get("body") or "" for i in found if "pull_request" not in i and _is_ours(i)}

    def create(self, title: str, text: str) -> None:
        """Open one, with the label."""
        self.api.send("POST", "/issues", {"title": title, "body": text, "labels": [LABEL]})

    def update(self, number: int, title: str, text: str) -> None:
        """Change its title and text."""
        self.api.send("PATCH", f"/issues/{number}", {"title": title, "body": text})

    def close(self, number: int, why: str) -> None:
        """Say why, and close it."""
        self.api.send("POST", f"/issues/{number}/comments", {"body": why})
        self.api.send("PATCH", f"/issues/{number}", {"state": "closed", "state_reason": "completed"})


def _is_ours(issue: Mapping) -> bool:
    """Anybody may write a mark into an issue: a bot's counts, and that of those who may change the results as well."""
    trusted = issue.get("author_association") in ("OWNER", "MEMBER", "COLLABORATOR")
    return trusted or (issue.get("user") or {}).get("type") == "Bot"
