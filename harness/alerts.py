"""Findings that somebody should know of, each one issue: opened when it appears, updated while it stays, closed when
it is gone.

What is a finding is decided here and in `harness.changes`; where issues are kept is a tracker's business: GitHub's API,
or files in a folder, for tests and for a look before anything is sent. Reasons come from records, which come from
everywhere: they are quoted so that neither Markdown nor HTML nor a mention comes of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from harness import changes, stacks
from harness.changes import Change, Noise, Step, Turn
from harness.errors import BenchError
from harness.github import Api, quoted
from harness.site.content import MachineContent
from harness.stacks import Stack

LABEL = "benchmark-alert"
RECENT = timedelta(days=182)
"""How long before the newest measured stack something must have come to be told of."""
# At the very end, where no text of a record can stand.
_MARK = re.compile(r"<!-- finding ([0-9a-f]{12}) -->\s*\Z")
_MOST_LISTED = 30


@dataclass(frozen=True)
class Finding:
    """Something to know of. `key` stays the same as long as it is the same finding, whatever its numbers."""

    key: str
    title: str
    body: str

    @property
    def identity(self) -> str:
        """What an issue's text carries to be found again."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:12]

    @property
    def text(self) -> str:
        """The issue's whole text."""
        return f"{self.body}\n\n<!-- finding {self.identity} -->\n"


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


def tell(findings: Iterable[Finding], tracker: Tracker) -> Told:
    """Bring a tracker's issues up to date with the findings; a finding has one issue, however often it is told."""
    known: dict[str, tuple[int, str]] = {}
    for number, text in sorted(tracker.open().items()):
        mark = _MARK.search(text)
        if mark and mark[1] not in known:
            known[mark[1]] = (number, text)
    opened = updated = same = 0
    for finding in {f.identity: f for f in findings}.values():
        number, text = known.pop(finding.identity, (None, None))
        if number is None:
            tracker.create(finding.title, finding.text)
            opened += 1
        elif text.strip() != finding.text.strip():
            tracker.update(number, finding.title, finding.text)
            updated += 1
        else:
            same += 1
    for number, _ in known.values():
        tracker.close(number, "The newest results no longer show this.")
    return Told(opened, updated, same, len(known))


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


def findings(content: MachineContent, site: str | None = None) -> list[Finding]:
    """What a recent release measured on this machine has that the one before it had not, and what is still so.

    Against the release before it, the newest measurement decides: a slower release stays a finding until a later one
    is as fast as before, or until it is half a year old. That a backend works again is told of the newest release only.
    `site` is the address of the published pages; without it there are no links.
    """
    if not content.steps:
        return []
    latest = {key: m for tag in content.tags for key, m in content.cells[tag].items()}
    since = content.stack(content.tags[-1]).date - RECENT
    found = []
    for step in (s for s in content.steps if content.stack(s.new).date >= since):
        now = {key: m for key, m in latest.items() if key in content.cells[step.old]}
        found += [
            _turned(content, step.old, step.new, turn, site)
            for turn in step.turns
            if _is_worse(turn) and now[turn.model, turn.n, turn.backend].outcome != "ok"
        ]
        kept = [c for c in (*step.slower, *step.counters) if _is_still_so(c, now, content.noise)]
        # One finding for what has one cause, most likely: all numbers of a backend, all counters of a model.
        slower: dict[tuple, list[Change]] = {}
        counters: dict[tuple, list[Change]] = {}
        for c in kept:
            of = (
                (counters, (c.new.model, c.new.n))
                if c.metric.exact
                else (slower, (c.new.model, c.new.n, c.new.backend))
            )
            of[0].setdefault(of[1], []).append(c)
        found += [_slower(content, step, *key, changed, site) for key, changed in slower.items()]
        found += [_counted(content, step, *key, changed, site) for key, changed in counters.items()]
    newest = content.steps[0]
    again = [turn for turn in newest.turns if turn.after == "ok"]
    return found + [_turned(content, newest.old, newest.new, turn, site) for turn in again]


def swept(content: MachineContent, site: str | None = None) -> list[Finding]:
    """What turned between the two newest releases of the compatibility table."""
    known = {stack.tag for stack in content.stacks}
    releases = {tag: cells for tag, cells in content.table["releases"].items() if tag in known}
    if len(releases) < 2:
        return []
    old, new = list(releases)[-2:]
    turns = changes.turns(releases[old], releases[new])
    return [_turned(content, old, new, turn, site) for turn in turns if _is_worse(turn) or turn.after == "ok"]


def not_installed(known: Sequence[Stack], imports: Mapping[str, Mapping[str, str]]) -> list[Finding]:
    """Recent stacks that cannot be installed: nothing of them is measured."""
    since = known[-1].date - RECENT
    return [
        Finding(
            f"install {stack.tag}",
            f"{_release(stack.tag)} cannot be installed with the newest of everything",
            f"Nothing of it can be measured: {quoted(imports[stack.tag]['install'])}",
        )
        for stack in known
        if stack.date >= since and "install" in imports.get(stack.tag, {})
    ]


def _is_worse(turn: Turn) -> bool:
    """Whether a backend broke; a wrong answer is news whatever was before."""
    return turn.after == "invalid" or (turn.before == "ok" and turn.after != "ok")


def _is_still_so(change: Change, latest: Mapping, noise: Noise) -> bool:
    """Whether the newest measurement differs from the one before the change as well."""
    now = changes.compare(change.metric, change.old, latest[change.new.model, change.new.n, change.new.backend], noise)
    return now is not None and (now.worse or change.metric.exact)


def failed_run(parts: Sequence[str], address: str | None) -> Finding:
    """The run that measures has itself failed, in these parts."""
    link = f" Its log and what it says of it: <{address}>" if address else ""
    names = ", ".join(map(quoted, parts))
    return Finding("the nightly run", "The nightly benchmark run failed", f"Not all of it succeeded: {names}.{link}")


def _release(tag: str) -> str:
    return f"PyMC {tag[1:]}"


def _about(content: MachineContent, old: str, new: str, site: str | None) -> str:
    """What every finding ends with: machine, packages, link."""
    difference = str(stacks.diff(content.stack(old), content.stack(new))).splitlines()
    # Those that decide how a model is sampled come first.
    difference.sort(key=lambda line: not set(line.split()) & set(stacks.DECIDING))
    listed = "\n".join(f"    {line}" for line in difference[:_MOST_LISTED])
    more = f"\n    … and {len(difference) - _MOST_LISTED} more" if len(difference) > _MOST_LISTED else ""
    link = f"\n\n[What changed]({site.rstrip('/')}/changes.html#{old}-{new})" if site else ""
    return (
        f"Machine: {content.machine}. From {_release(old)} to {_release(new)} these packages changed:\n\n"
        f"{listed}{more}{link}"
    )


def _turned(content: MachineContent, old: str, new: str, turn: Turn, site: str | None) -> Finding:
    where = f"{turn.backend} on {turn.model} (n={turn.n})"
    words = {"ok": "works again", "invalid": "gives a wrong answer", "unsupported": "is no longer supported"}
    reason = f"\n\n{quoted(turn.reason)}" if turn.reason else ""
    # Without the machine: what two of them find is one finding.
    return Finding(
        f"turn {turn.model} {turn.n} {turn.backend} {new}",
        f"{where} {words.get(turn.after, 'is broken')} in {_release(new)}",
        f"{where} was `{turn.before}` in {_release(old)} and is `{turn.after}` in {_release(new)}."
        f"{reason}\n\n{_about(content, old, new, site)}",
    )


def _slower(
    content: MachineContent, step: Step, model: str, n: int, backend: str, found: Sequence[Change], site: str | None
) -> Finding:
    """The numbers of a backend that grew, the largest ratio first."""
    worst, lines = found[0], []
    for c in found:
        old, new = (c.metric.samples(m) for m in (c.old, c.new))
        low, high = min(new) / max(old), max(new) / min(old)
        lines.append(
            f"- {c.metric.title}: {c.before:.3g} → {c.after:.3g} {c.metric.unit}, a ratio of {c.ratio:.2f}; from "
            f"sample to sample it is {low:.2f} to {high:.2f} ({len(old)} and {len(new)} trials)"
        )
    listed = "\n".join(lines)
    return Finding(
        f"slower {content.machine} {model} {n} {backend} {step.new}",
        f"{backend} on {model} (n={n}): {worst.metric.title.lower()} ×{worst.ratio:.2f} in {_release(step.new)}",
        f"It takes more, beyond what noise explains:\n\n{listed}\n\n{_about(content, step.old, step.new, site)}",
    )


def _counted(
    content: MachineContent, step: Step, model: str, n: int, found: Sequence[Change], site: str | None
) -> Finding:
    """The counters of a model that are other numbers; on another machine they are the same finding."""
    lines = "\n".join(
        f"- {c.new.backend}, {c.metric.title.lower()}: {c.before:,.0f} → {c.after:,.0f}" for c in found[:_MOST_LISTED]
    )
    more = f"\n- … and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
    return Finding(
        f"counters {model} {n} {step.new}",
        f"Exact counters of {model} (n={n}) differ in {_release(step.new)}",
        f"Another graph, another algorithm, or other rounding on the way:\n\n{lines}{more}\n\n"
        f"{_about(content, step.old, step.new, site)}",
    )


@dataclass(frozen=True)
class GitHub:
    """Issues of a repository. Needs the right to write issues, and nothing else."""

    api: Api

    def open(self) -> Mapping[int, str]:
        """The texts of the open ones that have the suite's label and were made by a workflow or an app."""
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
    """Anybody may write a mark into an issue: only a bot's counts."""
    return (issue.get("user") or {}).get("type") == "Bot"
