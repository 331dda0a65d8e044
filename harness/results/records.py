"""Reads the records that trials left in the results, and says which parameter sets are complete.

The harness knows a record only as a JSON document (docs/record.md); what it needs of one is checked here, and a file
that cannot be read is reported by name. It must not import `sampling`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from harness.errors import BenchError
from harness.output import printable

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
Name = Annotated[str, StringConstraints(pattern=rf"^{NAME}$", max_length=60)]
"""Of a model or a backend: it becomes part of file names and addresses."""
_LONGEST_REASON = 2000


def _shown(text: object) -> object:
    """Text that a page, a feed and a terminal can show: without control characters, and not endless."""
    if not isinstance(text, str):
        return text
    text = printable(text)
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + " …"


Text = Annotated[str, BeforeValidator(_shown)]
# Bounds that no measurement comes near: beyond them a file is damaged, and would damage what is computed from it.
Seconds = Annotated[float, Field(gt=1e-9, lt=1e9)]
NotNegative = Annotated[float, Field(ge=0, lt=1e15)]
Number = Annotated[float, Field(gt=-1e15, lt=1e15)]
Positive = Annotated[float, Field(gt=1e-50, lt=1e15)]
_FEWEST_DRAWS = 1e-6
Count = Annotated[int, Field(ge=0, lt=10**15)]
Outcome = Literal["ok", "unsupported", "failed", "invalid"]


class _Document(BaseModel):
    # Fields may be added without a new schema version.
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Settings(_Document):
    """What the trial was asked to do."""

    model: Name
    n: Annotated[int, Field(gt=0, lt=10**12)]
    backend: Name
    tune: Count | None = None
    draws: Count | None = None
    chains: Count | None = None
    cores: Count | None = None
    target_accept: Number | None = None
    seed: Count | None = None


class Clocks(_Document):
    """Seconds of the parts of a trial, by the wall clock or of the CPU."""

    setup_wall_seconds: Seconds
    sampling_wall_seconds: Seconds
    call_wall_seconds: Seconds
    call_cpu_seconds: NotNegative | None = None
    import_wall_seconds: NotNegative | None = None
    import_cpu_seconds: NotNegative | None = None
    build_wall_seconds: NotNegative | None = None
    build_cpu_seconds: NotNegative | None = None
    prepare_wall_seconds: NotNegative | None = None
    compile_while_drawing_wall_seconds: NotNegative | None = None
    finish_wall_seconds: NotNegative | None = None
    drawing_cpu_seconds: NotNegative | None = None
    jit_wall_seconds: NotNegative | None = None
    total_wall_seconds: NotNegative | None = None


class Counters(_Document):
    """Exact counts; None where the sampler does not report."""

    gradients_tuning: Count | None = None
    gradients_drawing: Count | None = None
    divergences: Count | None = None
    compilations: Count | None = None


class Graph(_Document):
    """Exact counts of the rewritten log-density graph; None where it could not be counted."""

    graph: Text | None = None
    mode: Text | None = None
    nodes: Count | None = None
    replacements: Count | None = None
    error: Text | None = None


class Provenance(_Document):
    """Where the trial ran, and by which code."""

    stack: Text | None = None
    lock_sha256: Text | None = None
    suite_commit: Text | None = None
    machine: Text | None = None
    python: Text | None = None
    system: Text | None = None
    architecture: Text | None = None
    cpu_model: Text | None = None
    cpu_count: Count | None = None
    usable_cpus: Count | None = None
    memory_mib: Count | None = None
    device: Text | None = None
    environment: Annotated[dict[Text, Text], Field(max_length=100)] = {}
    blas: Annotated[
        list[Annotated[dict[Text, Text | Count | None], Field(max_length=20)]], Field(max_length=100, fail_fast=True)
    ] = []
    packages: Annotated[dict[Text, Text], Field(max_length=2000)] = {}


class Diagnostics(_Document):
    """An estimand's draws, beside the exact posterior; `mcse_mean` is None for draws that never move."""

    mean: Number
    sd: NotNegative
    exact_mean: Number
    exact_sd: Positive
    rhat: Number | None = None
    ess_bulk: Number | None = None
    ess_tail: Number | None = None
    mcse_mean: Positive | None = None
    z_mean: Number | None = None
    z_second_moment: Number | None = None


class Resolved(_Document):
    """What the release made of the call."""

    sampler: Text | None = None
    linker: Text | None = None
    gradient_backend: Text | None = None
    step_methods: Annotated[list[Text], Field(max_length=100, fail_fast=True)] = []
    chains: Count | None = None
    draws: Count | None = None
    tune: Count | None = None
    default_linker: Text | None = None
    fast_run_linker: Text | None = None


class Control(_Document):
    """Whether the machine changed speed during the trial."""

    drift: NotNegative
    contaminated: bool
    before: Annotated[dict[Text, NotNegative], Field(max_length=10)] = {}
    after: Annotated[dict[Text, NotNegative], Field(max_length=10)] = {}


class Record(_Document):
    """One trial."""

    schema_version: Literal[1]
    kind: Literal["cold", "warm"]
    started: Text
    settings: Settings
    outcome: Outcome
    reason: Text | None = None
    traceback: Text | None = None
    output_tail: Text | None = None
    code_sha256: Text | None = None
    lock_sha256: Text | None = None
    protocol: Count | None = None
    clocks: Clocks | None = None
    counters: Counters | None = None
    effective_draws: Annotated[float, Field(ge=0, lt=1e12)] | None = None
    peak_memory_mib: Annotated[float, Field(gt=1e-9, lt=1e9)] | None = None
    trial_wall_seconds: NotNegative = 0.0
    draws_sha256: Text | None = None
    resolved: Resolved | None = None
    diagnostics: Annotated[dict[Text, Diagnostics], Field(max_length=1000)] | None = None
    control: Control | None = None
    graph: Graph | None = None
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _says_what_its_outcome_needs(self) -> Self:
        if self.effective_draws and self.effective_draws < _FEWEST_DRAWS:
            raise ValueError(f"{self.effective_draws} effective draws are none")
        if self.outcome == "ok" and (self.clocks is None or not self.effective_draws):
            raise ValueError("an ok trial has clocks and effective draws")
        if self.outcome != "ok" and not self.reason:
            raise ValueError(f"a trial that is {self.outcome} has a reason")
        return self

    @property
    def gradients_per_effective_draw(self) -> float | None:
        """Gradient evaluations in tuning and drawing for each effective draw, or None where one is unknown."""
        c = self.counters
        if c is None or c.gradients_tuning is None or c.gradients_drawing is None or not self.effective_draws:
            return None
        return (c.gradients_tuning + c.gradients_drawing) / self.effective_draws

    @property
    def seconds_per_1000_effective_draws(self) -> float | None:
        """Sampling seconds for 1000 effective draws, or None when the trial has no valid draws."""
        if self.clocks is None or not self.effective_draws:
            return None
        return 1000 * self.clocks.sampling_wall_seconds / self.effective_draws


@dataclass(frozen=True)
class Measurement:
    """The records of one parameter set on one stack: the cold trial, then the warm ones."""

    tag: str
    model: str
    n: int
    backend: str
    records: tuple[Record, ...]

    @property
    def outcome(self) -> str:
        """`ok` when every trial is; else the outcome of the first that is not."""
        return next((r.outcome for r in self.records if r.outcome != "ok"), "ok")

    @property
    def reason(self) -> str | None:
        """Why the outcome is not `ok`."""
        return next((r.reason for r in self.records if r.outcome != "ok"), None)

    def of_kind(self, kind: str) -> list[Record]:
        """The `ok` records of the cold or of the warm trials."""
        return [r for r in self.records if r.kind == kind and r.outcome == "ok"]

    def complete(self, warm: int) -> bool:
        """Whether nothing is left to measure: enough trials, or one that tells that more would not help."""
        return self.outcome != "ok" or len(self.records) >= 1 + warm


# The first that is wrong tells: of a million that are wrong, all would be kept to be told.
_RECORDS = TypeAdapter(Annotated[list[Record], Field(fail_fast=True)])


def read_records(path: Path, measurement: bool = True, only_known: bool = False) -> tuple[Record, ...]:
    """The records in a file; those of a measurement are a cold one and warm ones.

    A field that is not known is left out, or, with `only_known`, damage.

    Raises BenchError, in one sentence with the next step, when the file is truncated or is not what a trial wrote.
    """
    try:
        documents = json.loads(path.read_text())
        for document in documents:
            if isinstance(document, dict) and document.get("schema", 1) != 1:
                raise ValueError(f"schema {document['schema']!r} is not known to this version")
            document["schema_version"] = document.pop("schema", None)
        records = tuple(_RECORDS.validate_python(documents, extra="forbid" if only_known else None))
        if not records:
            raise ValueError("there is none in it")
        if measurement and [r.kind for r in records] != ["cold", *["warm"] * (len(records) - 1)]:
            raise ValueError("a measurement is a cold trial and warm ones")
        if measurement and len({r.settings for r in records}) > 1:
            raise ValueError("the trials of a measurement have the same settings")
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


def write_records(path: Path, documents: Sequence[Mapping]) -> None:
    """Write records as they are, wholly or not at all. Raises OSError when the disk or the folder does not let it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(documents, indent=1) + "\n")
    part.replace(path)


def read_measurements(records: Path, machine: str, tag: str) -> tuple[list[Measurement], list[str]]:
    """All measurements of a stack on a machine, and a sentence for each file that cannot be read."""
    found, damaged = [], []
    for path in sorted((records / machine / tag).glob("*.json")):
        try:
            trials = read_records(path)
        except BenchError as error:
            damaged.append(str(error))
            continue
        settings = trials[0].settings
        if path.stem != f"{settings.model}-{settings.n}-{settings.backend}":
            damaged.append(f"{path} is not named for what it holds: rename it, or delete it.")
            continue
        found.append(Measurement(tag, settings.model, settings.n, settings.backend, trials))
    return found, damaged
