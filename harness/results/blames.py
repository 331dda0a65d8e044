"""Which package made a difference, as `bench blame` has found it: a file in `results/blame/` for each question.

Read by one strict schema, since pages and issues tell of it. It must not know how a package is found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from harness import paths
from harness.errors import BenchError
from harness.results.fields import Count, Name, Text
from harness.results.records import write_document
from harness.stacks.locks import TAG

OUTCOME = "outcome"
_VERSIONS = re.compile(r" \([^()]*\)$")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_Tag = Annotated[str, StringConstraints(pattern=f"^{TAG}$")]
_Digits = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


@dataclass(frozen=True)
class Question:
    """Which package made a metric of a parameter set another one, between two stacks?"""

    old: str
    new: str
    model: str
    n: int
    backend: str
    metric: str

    @property
    def arguments(self) -> list[str]:
        """What `bench blame` is told."""
        named = ["--model", self.model, "--n", str(self.n), "--backend", self.backend, "--metric", self.metric]
        return [self.old, self.new, *named]

    @property
    def command(self) -> str:
        """What finds the answer."""
        return " ".join(["bench blame", *self.arguments])

    def path(self, results: Path) -> Path:
        """Where the answer is kept, in a folder of results."""
        return (
            results / "blame" / f"{self.old}..{self.new}" / f"{self.model}-{self.n}-{self.backend}.{self.metric}.json"
        )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class End(_Strict):
    """One of the two stacks that differ, and what was seen of it."""

    stack: _Tag
    seen: Text


class Side(_Strict):
    """A stack beside the step: a release, or what users got at a moment."""

    stack: Text
    as_of: Text


class Package(_Strict):
    """A package that made the difference; None for a version that a stack does not have."""

    name: Name
    old: Text | None
    new: Text | None
    changes: Annotated[str, StringConstraints(pattern=r"^https://github\.com/[\w./-]{1,200}$")] | None

    def __str__(self) -> str:
        """`blackjax 1.5 → 1.6`."""
        return f"{self.name} {self.old or '(none)'} → {self.new or '(none)'}"


class Given(_Strict):
    """On which side one of the two stacks is with the packages exchanged."""

    side: Literal["old", "new", "untold"]
    reason: Text
    seen: Text


class Untold(_Strict):
    """A commit of which it could not be told."""

    commit: _Digits
    reason: Text


class Commits(_Strict):
    """The last commit on the old side, the first on the new one, and what could not be told between them."""

    last_old: _Digits
    first_new: _Digits
    untold: list[Untold]


class Blamed(_Strict):
    """An answer of `bench blame`."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    machine: Name
    made: Text
    model: Name
    n: Count
    backend: Name
    metric: Name
    ends: tuple[End, End]
    step: tuple[Side, Side]
    certain: bool
    packages: list[Package]
    groups: list[list[Name]]
    beside: list[Name] = []
    beside_out: list[Name] = []
    new_into_old: Given
    old_into_new: Given
    effects: dict[Text, Text]
    untold: list[Text]
    measured_stacks: Count
    commits: Commits | Text | None

    @property
    def key(self) -> tuple[str, int, str]:
        """The parameter set."""
        return self.model, self.n, self.backend

    @property
    def grew(self) -> bool | None:
        """Whether the number that was seen is larger in the newer stack; None where it is no number."""
        try:
            before, after = (float(end.seen.split()[0].replace(",", "")) for end in self.ends)
        except (ValueError, IndexError):
            return None
        return after > before

    @property
    def says(self) -> str:
        """What made the difference: `blackjax 1.5 → 1.6`, or several together."""
        return listed([str(package) for package in self.packages]) + self.how_many

    @property
    def how_many(self) -> str:
        """What is said after their names."""
        return how_many(self.groups, self.beside) if self.certain else ""

    @property
    def question(self) -> Question:
        """What it answers."""
        old, new = (end.stack for end in self.ends)
        return Question(old, new, *self.key, self.metric)

    def explains(self, reason: str) -> bool:
        """Whether it is about a failure for this reason, whatever the versions."""
        return without_versions(f"failed: {reason}") in {without_versions(end.seen) for end in self.ends}


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def how_many(groups: Sequence[Sequence[str]], beside: Sequence[str] = ()) -> str:
    """What is said after the names of culprits that are certain."""
    if beside:
        return f", beside the new {listed(beside)}, without which it cannot be had"
    if any(len(group) > 1 for group in groups):
        return ", which cannot be had apart"
    return ", together" if len(groups) > 1 else ""


def without_versions(reason: str) -> str:
    """A reason without the versions that were involved, which stand in parentheses at its end, and without addresses in
    memory, which are others each time."""
    return _ADDRESS.sub("", _VERSIONS.sub("", reason))


def keep(document: Mapping) -> Path:
    """Write an answer in the place of an earlier one to the same question, unless that was certain and this is not.

    Raises BenchError when it is none.
    """
    try:
        path = Blamed.model_validate(document).question.path(paths.RESULTS)
    except ValidationError as error:
        raise BenchError(f"The answer cannot be kept: {_problem(error)}.") from error
    try:
        was_certain = read(path).certain
    except BenchError:
        was_certain = False
    if document["certain"] or not was_certain:
        write_document(path, document)
    return path


def read(path: Path) -> Blamed:
    """An answer. Raises BenchError where a file holds none."""
    try:
        return Blamed.model_validate_json(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BenchError(f"{path} is no answer of `bench blame` ({_problem(error)}): run the command again.") from error


def read_all(folder: Path) -> tuple[list[Blamed], list[str]]:
    """All answers in a folder of results, and a sentence for each file that holds none."""
    found, damaged = [], []
    for path in sorted((folder / "blame").glob("*/*.json")):
        try:
            found.append(read(path))
        except BenchError as error:
            damaged.append(str(error))
    return found, damaged


def _problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error) or type(error).__name__


@dataclass(frozen=True)
class Blames:
    """What is known for certain of all `answers`; `order` is that of the stacks in the timeline."""

    answers: Sequence[Blamed] = ()
    order: Mapping[str, int] = field(default_factory=dict)

    def of_outcome(
        self, old: str | None, new: str, key: tuple[str, int, str], turn: tuple[str, str], reason: str | None
    ) -> Blamed | None:
        """What made a parameter set turn from one outcome to another, between a stack and a later one: what did so with
        it, or with the same failure of the same backend with another model."""
        for b in self._between(old, new, OUTCOME):
            if tuple(end.seen.partition(":")[0] for end in b.ends) != turn:
                continue
            if b.key == key or (reason and b.backend == key[2] and b.explains(reason)):
                return b
        return None

    def of_number(self, old: str, new: str, key: tuple[str, int, str], metric: str, grew: bool) -> Blamed | None:
        """What made a counter or a time of a parameter set grow, or become less."""
        return next((b for b in self._between(old, new, metric) if b.key == key and b.grew is grew), None)

    def of_another(self, old: str, new: str, key: tuple[str, int, str], metric: str, grew: bool) -> Blamed | None:
        """What made the same number of the same backend grow, or become less, with another model or size: what to
        expect, and no answer. None where several were asked about and do not agree. What another backend spends has
        other reasons: a gradient by Numba is PyTensor's, and one by JAX jaxlib's."""
        others = [b for b in self._between(old, new, metric) if b.key != key and b.backend == key[2] and b.grew is grew]
        return others[0] if len({b.says for b in others}) == 1 else None

    def of_reason(self, reason: str) -> Blamed | None:
        """What a failure for this reason began with, in whatever release."""
        began = (b for b in self.answers if b.certain and b.metric == OUTCOME and b.ends[0].seen == "ok")
        return next((b for b in began if b.explains(reason)), None)

    def _between(self, old: str | None, new: str, metric: str) -> list[Blamed]:
        if old not in self.order or new not in self.order:
            return []

        def within(b: Blamed) -> bool:
            first, last = (self.order.get(end.stack) for end in b.ends)
            return None not in (first, last) and self.order[old] <= first and last <= self.order[new]

        return [b for b in self.answers if b.certain and b.metric == metric and within(b)]
