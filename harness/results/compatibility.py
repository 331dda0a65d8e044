"""The compatibility table, release × backend × model: outcomes and reasons, and what each release picks by itself.

It is made from the records of a sweep, kept as `results/compatibility.json`, and rendered as `docs/compatibility.md`.
It knows records, and nothing of how they came about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from harness.errors import BenchError
from harness.paths import ROOT
from harness.results.blames import Blames, read_all
from harness.results.fields import Name, Outcome, Text
from harness.results.records import Record, read_records
from harness.stacks.locks import TAG

TABLE = ROOT / "results" / "compatibility.json"
DOCUMENT = ROOT / "docs" / "compatibility.md"

# What PyTensor calls them, and what they are.
LINKERS = {
    "VMLinker": "C", "CLinker": "C", "c": "C",
    "NumbaLinker": "Numba", "numba": "Numba",
    "JAXLinker": "JAX", "jax": "JAX",
}  # fmt: skip

_HEAD = """# Compatibility

Each release of PyMC with the newest of everything else that existed a day after it (`stacks/`), on each backend: one
trial, judged by the exact posterior. Where it is wrong, another one with another seed decides: over so many
cells, chance alone makes a few wrong. `bench sweep` measures it and writes this page from
`results/compatibility.json`; `bench stacks diff v6.4.0` says what a release's stack changed.

| | |
| --- | --- |
| **ok** | it samples, and agrees with the exact posterior |
| – | unsupported: a discrete model, or a package or a call that this stack does not have |
| **failed**, **invalid** | it raises, crashes or hangs; it samples, and the answer is wrong, twice: the note says why |
"""


def table(folder: Path) -> dict:
    """The table of all sweeps' records in `folder`, one folder for each machine: releases in the order of their tags.

    Where several machines have swept a cell, the latest says what becomes of it, of those whose limits of time and
    memory have let it end. Raises BenchError when a record cannot be read.
    """
    releases = {}
    tags = {path.name for path in folder.glob("*/v*/") if re.fullmatch(TAG, path.name)}
    for tag in sorted(tags, key=_version):
        latest: dict[str, tuple[Record, ...]] = {}
        for path in sorted(folder.glob(f"*/{tag}/*.json")):
            records = read_records(path, measurement=False)
            latest[path.name] = max(latest.get(path.name, records), records, key=how_telling)
        if latest:
            trials = [latest[name] for name in sorted(latest)]
            releases[tag] = {**_resolved([t[-1] for t in trials]), "models": _cells(trials)}
    return {"schema": 1, "releases": releases}


def how_telling(records: Sequence[Record]) -> tuple[bool, str]:
    """Of two machines' trials of a cell the greater ones are told."""
    return records[-1].ended_by_limit is None, records[-1].started


def _version(tag: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.split(r"[.+]", tag[1:]))


def _resolved(records: Sequence[Record]) -> dict[str, str | None]:
    """Sampler and linkers that this release picks when the user names none, and when the user types "fast_run"."""
    seen = [r for r in records if r.resolved]
    # Discrete variables leave it no choice but PyMC's own sampler.
    seen.sort(key=lambda r: (r.settings.backend != "default", r.resolved.sampler == "pymc"))
    default = seen[0].resolved if seen and seen[0].settings.backend == "default" else None
    return {
        "default_sampler": default and default.sampler,
        "default_linker": default and (default.linker or default.default_linker),
        "fast_run_linker": seen[0].resolved.fast_run_linker if seen else None,
    }


def _cells(trials: Iterable[Sequence[Record]]) -> dict:
    found: dict[str, dict] = {}
    for records in trials:
        s = records[-1].settings
        outcome, reason = records[-1].outcome, records[-1].reason
        wrong = [r for r in records if r.outcome == "invalid"]
        if len(wrong) > 1:
            outcome, reason = "invalid", wrong[-1].reason
        elif wrong and outcome == "ok":
            reason = f"in another trial: {wrong[0].reason}"
        found.setdefault(f"{s.model} (n={s.n})", {})[s.backend] = {"outcome": outcome, "reason": reason}
    return found


def write(document: Mapping, backends: Sequence[str], blames: Blames) -> None:
    """Write the table and its page, columns in the order of `backends`; nothing when nothing is in it."""
    if not document["releases"]:
        return
    _write(TABLE, json.dumps(document, indent=1) + "\n")
    _write(DOCUMENT, page(document, backends, blames))


def tell(results: Path, document: Path, backends: Sequence[str]) -> None:
    """Write the page of the table in a folder of results anew, with what is known there of which package it was.

    Nothing where there is no table.
    """
    kept = results / TABLE.name
    if kept.exists():
        _write(document, page(read(kept), backends, Blames(read_all(results)[0])))


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


class _Cell(BaseModel):
    outcome: Outcome
    reason: Text | None = None


class _Release(BaseModel):
    default_sampler: Text | None = None
    default_linker: Text | None = None
    fast_run_linker: Text | None = None
    models: dict[Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,60} \(n=\d{1,12}\)$")], dict[Name, _Cell]]


class _Table(BaseModel):
    schema_version: Annotated[Literal[1], Field(alias="schema")]
    releases: dict[Annotated[str, StringConstraints(pattern=f"^{TAG}$")], _Release]


def read(path: Path = TABLE) -> dict:
    """The kept table. Raises BenchError when it is not one."""
    try:
        return _Table.model_validate_json(path.read_bytes()).model_dump(by_alias=True)
    except (OSError, ValueError, RecursionError) as error:
        problem = (
            "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:1])
            if isinstance(error, ValidationError)
            else str(error)
        )
        raise BenchError(f"{path} is no compatibility table ({problem}): make it again with `bench sweep`.") from error


def page(document: Mapping, backends: Sequence[str], blames: Blames) -> str:
    """The table as Markdown, newest release first; reasons are notes, each once, with the versions it was seen with.

    A note says with which package it began, where that is known. A backend that no release was swept with has no
    column.
    """
    swept = {b for release in document["releases"].values() for found in release["models"].values() for b in found}
    backends = [backend for backend in backends if backend in swept]
    releases = dict(reversed(document["releases"].items()))
    parts = [_HEAD, _defaults(releases)]
    notes = _Notes(blames)
    titles = sorted({model for release in releases.values() for model in release["models"]})
    for model in titles:
        rows = [
            [tag, *(_cell(release["models"][model].get(backend), notes) for backend in backends)]
            for tag, release in releases.items()
            if model in release["models"]
        ]
        parts.append(f"## {model}\n\n{_rows(['release', *backends], rows)}")
    if notes.seen_with:
        parts.append("## Notes\n\n" + str(notes))
    return "\n".join(parts)


class _Notes:
    """The reasons that have been given, numbered, each with the lists of versions it was given with."""

    def __init__(self, blames: Blames) -> None:
        self.seen_with: dict[str, list[str]] = {}
        self._blames, self._blamed = blames, {}

    def number(self, reason: str) -> int:
        """The number of the note that gives this reason."""
        match = re.search(r" \((pymc [^()]+)\)(?=\)?$)", reason)
        what = reason.replace(match[0], "") if match else reason
        versions = match[1] if match else ""
        seen = self.seen_with.setdefault(what, [])
        self._blamed.setdefault(what, self._blames.of_reason(reason))
        if versions and versions not in seen:
            seen.append(versions)
        return list(self.seen_with).index(what) + 1

    def __str__(self) -> str:
        lines = []
        for number, (what, versions) in enumerate(self.seen_with.items(), 1):
            lines.append(f"{number}. {_escaped(what)}" + "".join(f"<br>with {_escaped(v)}" for v in versions))
            if blamed := self._blamed[what]:
                lines[-1] += f"<br>It began with {_escaped(blamed.says)}: `{blamed.question.command}`"
        return "\n".join(lines) + "\n"


def _defaults(releases: Mapping) -> str:
    keys = ("default_sampler", "default_linker", "fast_run_linker")
    rows = [
        [tag, *(LINKERS.get(release[key], release[key] or "?") for key in keys)] for tag, release in releases.items()
    ]
    title = "## What `pm.sample()` picks, and what `fast_run` means\n"
    return f"{title}\n{_rows(['release', 'default sampler', 'its linker', 'linker of fast_run'], rows)}"


def _cell(cell: Mapping | None, notes: _Notes) -> str:
    if cell is None:
        return " "
    word = {"ok": "ok", "unsupported": "–"}.get(cell["outcome"], f"**{cell['outcome']}**")
    if word == "–" or not cell["reason"]:
        return word
    return f"{word} ({notes.number(cell['reason'])})"


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|" else c for c in text)
