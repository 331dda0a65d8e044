"""The parts of a record: what each holds, and what must add up in it. It must not know trials or measurements."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from harness.results.fields import Count, Name, NotNegative, Number, Positive, Seconds, Text, same


class Document(BaseModel):
    """What is read strictly, and not changed."""

    # Fields may be added without a new schema version.
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Settings(Document):
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


class Clocks(Document):
    """Seconds of the parts of a trial, by the wall clock or of the CPU; None where nothing tells."""

    setup_wall_seconds: Seconds
    sampling_wall_seconds: Seconds
    tuning_wall_seconds: NotNegative | None = None
    drawing_wall_seconds: NotNegative | None = None
    finish_wall_seconds: NotNegative
    total_wall_seconds: Seconds
    call_wall_seconds: Seconds
    call_cpu_seconds: NotNegative | None = None
    import_wall_seconds: NotNegative | None = None
    import_cpu_seconds: NotNegative | None = None
    build_wall_seconds: NotNegative | None = None
    build_cpu_seconds: NotNegative | None = None
    before_window_cpu_seconds: NotNegative | None = None
    window_cpu_seconds: NotNegative | None = None

    @model_validator(mode="after")
    def _sum_to_the_whole(self) -> Self:
        wholes = {
            "tuning and drawing are not the sampling": (
                (self.tuning_wall_seconds, self.drawing_wall_seconds), self.sampling_wall_seconds
            ),
            "setup, sampling and finish are not the whole trial": (
                (self.setup_wall_seconds, self.sampling_wall_seconds, self.finish_wall_seconds), self.total_wall_seconds
            ),
            "importing, building and the call are not the whole trial": (
                (self.import_wall_seconds, self.build_wall_seconds, self.call_wall_seconds), self.total_wall_seconds
            ),
        }  # fmt: skip
        for otherwise, (parts, whole) in wholes.items():
            if None not in parts and not same(sum(parts), whole):
                raise ValueError(otherwise)
        if (self.tuning_wall_seconds is None) != (self.drawing_wall_seconds is None):
            raise ValueError("who knows one of tuning and drawing knows both")
        return self


PhaseName = Annotated[str, StringConstraints(pattern=r"^[a-z_]+$", max_length=40)]
PhaseSeconds = Annotated[dict[PhaseName, NotNegative | None], Field(max_length=50)]


class Phases(Document):
    """Wall-clock seconds of setup and of finish, by what was done in them; None where the release does not tell."""

    setup: PhaseSeconds
    finish: PhaseSeconds

    @model_validator(mode="after")
    def _are_not_of_sampling(self) -> Self:
        if {"tuning", "drawing"} & {*self.setup, *self.finish}:
            raise ValueError("tuning and drawing are no phases of setup or finish")
        return self


class Counters(Document):
    """Exact counts; None where the sampler does not report."""

    gradients_tuning: Count | None = None
    gradients_drawing: Count | None = None
    divergences: Count | None = None


class Graph(Document):
    """Exact counts of the rewritten log-density graph; None where it could not be counted."""

    graph: Text | None = None
    mode: Text | None = None
    nodes: Count | None = None
    replacements: Count | None = None
    error: Text | None = None


class Provenance(Document):
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


class Diagnostics(Document):
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
    mcse_second_moment: NotNegative | None = None

    @property
    def least(self) -> float | None:
        """The smaller of the effective draws in bulk and tail, or None where one is unknown."""
        return None if None in (self.ess_bulk, self.ess_tail) else min(self.ess_bulk, self.ess_tail)


class Resolved(Document):
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


class Control(Document):
    """Whether the machine changed speed during the trial."""

    drift: NotNegative
    contaminated: bool
    before: Annotated[dict[Text, NotNegative], Field(max_length=10)] = {}
    after: Annotated[dict[Text, NotNegative], Field(max_length=10)] = {}
