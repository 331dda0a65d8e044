"""Reads the records that trials left in the results, and says which parameter sets are complete.

The harness knows a record only as a JSON document (docs/record.md); what it needs of one is checked here, and a file
that cannot be read is reported by name. It must not import `sampling`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from harness.errors import BenchError
from harness.output import printable
from harness.results.fields import Count, Name, NotNegative, Outcome, Seconds, Text, same
from harness.results.parts import (
    Clocks,
    Control,
    Counters,
    Diagnostics,
    Document,
    Graph,
    Phases,
    Provenance,
    Resolved,
    Settings,
)

_PROTOCOL_OF_SCHEMA_2 = 5
_FEWEST_DRAWS = 1e-6
_LIMIT = re.compile(
    r"it (did not end within|used \S+ MiB, more than) "
    r"the (?P<what>time|memory) limit of (?P<most>\d+(\.\d+)?(e\+\d+)?) "
)
_LIMITS = {"time": "seconds", "memory": "memory_mib"}
EFFECTIVE_DRAWS = 1000
"""Of the hardest estimand: with as many, an answer is trusted."""


class Round(Document):
    """Which round a trial was part of: trials of one number and block, of several stacks, were run side by side.

    `block` names a sitting on one machine, `position` who was first of the `stacks`.
    """

    block: Name
    number: Count
    position: Count
    stacks: Annotated[list[Text], Field(min_length=1, max_length=100, fail_fast=True)]

    def is_beside(self, tag: str, other: Round, its_tag: str) -> bool:
        """Whether the trials of two stacks in one round ran about as near each other as the stacks stand in it.

        Rounds have gone around the end of the timeline: two neighbours between which one began, and ended, ran as far
        from each other as can be.
        """
        if not {tag, its_tag} <= {*self.stacks}:
            return True
        return abs(self.position - other.position) <= 2 * abs(self.stacks.index(tag) - self.stacks.index(its_tag))


class Record(Document):
    """One trial."""

    schema_version: Literal[1, 2]
    kind: Literal["cold", "warm"]
    started: Text
    settings: Settings
    outcome: Outcome
    reason: Text | None = None
    traceback: Text | None = None
    output_tail: Text | None = None
    code_sha256: Text | None = None
    lock_sha256: Text | None = None
    protocol: Count = 0
    clocks: Clocks | None = None
    phases: Phases | None = None
    unknown: Annotated[dict[Text, Text], Field(max_length=50, default_factory=dict)]
    warnings: Annotated[list[Text], Field(max_length=100, fail_fast=True, default_factory=list)]
    time_to_answer_seconds: Seconds | None = None
    counters: Counters | None = None
    effective_draws: Annotated[float, Field(ge=0, lt=1e12)] | None = None
    peak_memory_mib: Annotated[float, Field(gt=1e-9, lt=1e9)] | None = None
    trial_wall_seconds: NotNegative = 0.0
    draws_sha256: Text | None = None
    log_density_error: NotNegative | None = None
    resolved: Resolved | None = None
    diagnostics: Annotated[dict[Text, Diagnostics], Field(max_length=1000)] | None = None
    control: Control | None = None
    round: Round | None = None
    graph: Graph | None = None
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _says_what_its_outcome_needs(self) -> Self:
        if self.effective_draws and self.effective_draws < _FEWEST_DRAWS:
            raise ValueError(f"{self.effective_draws} effective draws are none")
        if self.outcome == "ok" and self.schema_version > 1 and (self.clocks is None or self.phases is None):
            raise ValueError("an ok trial has clocks and phases")
        if self.outcome != "ok" and not self.reason:
            raise ValueError(f"a trial that is {self.outcome} has a reason")
        if self.schema_version == 1 and self.protocol >= _PROTOCOL_OF_SCHEMA_2:
            raise ValueError(f"trials by protocol {self.protocol} are written in schema 2")
        if self.clocks and self.phases:
            for name, whole in (("setup", self.clocks.setup_wall_seconds), ("finish", self.clocks.finish_wall_seconds)):
                if not same(sum(v or 0.0 for v in getattr(self.phases, name).values()), whole):
                    raise ValueError(f"the phases of {name} are not the whole of it")
        least = [d.least for d in (self.diagnostics or {}).values()]
        if least and None not in least and self.effective_draws and not same(min(least), self.effective_draws):
            raise ValueError("the effective draws are not those of the hardest estimand")
        drawing = self.clocks and self.clocks.drawing_wall_seconds
        known = drawing is not None and bool(self.effective_draws)
        if known != (self.time_to_answer_seconds is not None):
            raise ValueError("a time to an answer is made of drawing and effective draws, and known where they are")
        if known:
            rest = self.clocks.total_wall_seconds - drawing
            if not same(rest + drawing * EFFECTIVE_DRAWS / self.effective_draws, self.time_to_answer_seconds):
                raise ValueError("the time to an answer is not what its parts say")
        return self

    @property
    def gradients(self) -> int | None:
        """Gradient evaluations in tuning and drawing, or None where one is unknown."""
        c = self.counters
        if c is None or c.gradients_tuning is None or c.gradients_drawing is None:
            return None
        return c.gradients_tuning + c.gradients_drawing

    @property
    def gradients_per_effective_draw(self) -> float | None:
        """Gradient evaluations in tuning and drawing for each effective draw, or None where one is unknown."""
        return self.gradients / self.effective_draws if self.gradients is not None and self.effective_draws else None

    @property
    def seconds_per_gradient(self) -> float | None:
        """Sampling seconds for each gradient evaluation, or None where other work is done as well, or nothing tells."""
        methods = self.resolved.step_methods if self.resolved else []
        if self.clocks is None or not self.gradients or len(methods) > 1:
            return None
        return self.clocks.sampling_wall_seconds / self.gradients

    @property
    def ended_by_limit(self) -> tuple[str, float] | None:
        """Which limit ended the trial, "seconds" or "memory_mib", and how much that was; None where none did."""
        found = _LIMIT.match(self.reason or "")
        return (_LIMITS[found["what"]], float(found["most"])) if found else None


def why_not(records: Sequence[Record]) -> Record | None:
    """The record that says why these trials of a measurement have no numbers; None where all are `ok`, but for one
    wrong answer that later trials, of other seeds, did not confirm."""
    for index, r in enumerate(records):
        later = records[index + 1 :]
        unconfirmed = r.outcome == "invalid" and later and all(other.outcome == "ok" for other in later)
        if r.outcome != "ok" and not unconfirmed:
            return r
    return None


def to_be_confirmed(records: Sequence[Record]) -> bool:
    """Whether another trial must say whether an answer is wrong: over all cells, chance alone makes a few so."""
    return [r.outcome for r in records if r.outcome == "invalid" or r is records[-1]] == ["invalid"]


@dataclass(frozen=True)
class Measurement:
    """The records of one parameter set on one stack: the cold trials, then the warm ones."""

    tag: str
    model: str
    n: int
    backend: str
    records: tuple[Record, ...]

    @property
    def file(self) -> str:
        """The name of the file that it is kept in."""
        return file_name(self.records[0].model_dump(include={"settings", "started"}))

    @property
    def outcome(self) -> str:
        """`ok`, or that of the record which says why it is not."""
        bad = why_not(self.records)
        return bad.outcome if bad else "ok"

    @property
    def reason(self) -> str | None:
        """Why the outcome is not `ok`."""
        bad = why_not(self.records)
        return bad.reason if bad else None

    @property
    def warnings(self) -> list[str]:
        """What is no reason to reject it, and should be known; so a wrong answer that another seed did not confirm.

        Of what drew too little to be judged, nothing.
        """
        judged = [r for r in self.records if r.outcome == "invalid" or r.effective_draws is not None]
        wrong = [f"in one of {len(judged)} trials: {r.reason}" for r in judged if r.outcome == "invalid"]
        said = list(dict.fromkeys(warning for r in judged for warning in r.warnings))
        return said + (wrong if self.outcome == "ok" else [])

    @property
    def untold(self) -> str | None:
        """What its valid trials do not tell, and why."""
        return next((f"{name}: {why}" for r in self.records for name, why in r.unknown.items()), None)

    def of_kind(self, kind: str) -> list[Record]:
        """The `ok` records of the cold or of the warm trials."""
        return [r for r in self.records if r.kind == kind and r.outcome == "ok"]

    def complete(self, warm: int) -> bool:
        """Whether nothing is left to measure: enough trials, or one that tells that more would not help."""
        if to_be_confirmed(self.records):
            return False
        return self.outcome != "ok" or len(self.of_kind("warm")) >= warm


def _check_together(records: tuple[Record, ...]) -> None:
    """Raise ValueError unless these are trials of one measurement."""
    alike = {(r.kind, r.settings.model_copy(update={"seed": None})) for r in records}
    shorter = {"tune": None, "draws": None}
    if len(alike) > len({r.kind for r in records}) or len({s.model_copy(update=shorter) for _, s in alike}) > 1:
        raise ValueError(
            "the trials of a measurement have the same settings, but for the seed and a cold trial's length"
        )
    if any(r.schema_version > 1 and r.kind == "warm" and r.outcome == "ok" and not r.effective_draws for r in records):
        raise ValueError("a warm trial that is ok has been judged")
    if records[0].schema_version > 1 and len({r.settings.seed for r in records}) < len(records):
        raise ValueError("each trial of a measurement has a seed of its own")


def read_trial(path: Path) -> Record | None:
    """The record of one trial, as the trial itself wrote it; None where there is none that can be read."""
    try:
        return _records([json.loads(path.read_text())])[0]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


# The first that is wrong tells: of a million that are wrong, all would be kept to be told.
_RECORDS = TypeAdapter(Annotated[list[Record], Field(fail_fast=True)])


def _records(documents: list, only_known: bool = False) -> tuple[Record, ...]:
    """Trials' documents, read strictly."""
    _bring_back(documents)
    for document in documents:
        if isinstance(document, dict) and document.get("schema", 1) not in (1, 2):
            raise ValueError(f"schema {document['schema']!r} is not known to this version")
        document["schema_version"] = document.pop("schema", None)
        if document["schema_version"] == 1:
            # Its clocks have other meanings: of such a trial, the answer and the counts are what is left.
            document.pop("clocks", None)
            (document.get("counters") or {}).pop("compilations", None)
    return tuple(_RECORDS.validate_python(documents, extra="forbid" if only_known else None))


def read_records(path: Path, measurement: bool = True, only_known: bool = False) -> tuple[Record, ...]:
    """The records in a file; those of a measurement are cold ones and then warm ones.

    A field that is not known is left out, or, with `only_known`, damage.

    Raises BenchError, in one sentence with the next step, when the file is truncated or is not what a trial wrote.
    """
    try:
        records = _records(json.loads(path.read_text()), only_known)
        if not records:
            raise ValueError("there is none in it")
        kinds = [r.kind for r in records]
        if measurement and (kinds[0] != "cold" or kinds != sorted(kinds)):
            raise ValueError("a measurement is of cold trials and then warm ones")
        if measurement:
            _check_together(records)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise BenchError(
            f"{path} is not a list of records ({problem}): restore it with `git checkout -- {path}`, or delete it "
            "and measure its stack again."
        ) from error
    return records


def first_problem(error: ValidationError) -> str:
    """Where a document is not what its schema says, and how, in one line."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, problem["loc"]))
    return printable(f"{where[:100]}: {problem['msg'][:200]}" if where else problem["msg"][:200])


def write_document(path: Path, document: object) -> None:
    """Write JSON, wholly or not at all. Raises OSError when the disk or the folder does not let it."""
    _write(path, json.dumps(document, indent=1) + "\n")


def write_records(path: Path, documents: Sequence[Mapping]) -> None:
    """Write trials' documents as `read_records` reads them, wholly or not at all. Raises as `write_document`."""
    _write(path, as_text(documents))


def as_text(documents: Sequence[Mapping]) -> str:
    """A line for each trial. A provenance that an earlier one has too is left out, and named by its digest.

    A history has ten thousand trials: indented they take a quarter more, and with all packages in each a third more.
    """
    lines, told = [], set()
    for document in documents:
        provenance = document.get("provenance")
        digest = _digest(provenance)
        known = provenance is not None and digest in told
        told.add(digest)
        rest = {k: v for k, v in document.items() if k != "provenance"} | {"provenance_sha256": digest}
        lines.append(json.dumps(rest if known else document, separators=(",", ":")))
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _digest(provenance: object) -> str:
    return hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()


def _bring_back(documents: Sequence[dict]) -> None:
    """Put each provenance back where `as_text` left its digest."""
    if not any("provenance_sha256" in document for document in documents):
        return
    told: dict[str, object] = {}
    for document in documents:
        digest = document.pop("provenance_sha256", None)
        if digest is None:
            told[_digest(document.get("provenance"))] = document.get("provenance")
        elif digest in told and "provenance" not in document:
            document["provenance"] = told[digest]
        else:
            raise ValueError(f"no trial before has the provenance {str(digest)[:80]}")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def file_name(first: Mapping) -> str:
    """Of a measurement whose first record this is: what was measured, and when that began, to the second (UTC)."""
    s, began = first["settings"], re.sub(r"\.\d+|\+.*|\D", "", first["started"].replace("T", ""))
    return f"{s['model']}-{s['n']}-{s['backend']}.{began[:8]}T{began[8:]}.json"


def read_measurements(records: Path, machine: str, tag: str) -> tuple[list[Measurement], list[str]]:
    """All measurements of a stack on a machine, of each parameter set the oldest first, and a sentence for each file
    that cannot be read."""
    found, damaged = [], []
    for path in sorted((records / machine / tag).glob("*.json")):
        try:
            trials = read_records(path)
        except BenchError as error:
            damaged.append(str(error))
            continue
        s = trials[0].settings
        measurement = Measurement(tag, s.model, s.n, s.backend, trials)
        if path.name == measurement.file:
            found.append(measurement)
        else:
            damaged.append(f"{path} is not named for what it holds: call it {measurement.file}, or delete it.")
    return found, damaged
