"""Everything that has been measured, read from the results once: measurements by machine, sweeps, stacks, and what
cannot be read or does not fit together, in sentences. It must not know what any of it means, nor how it is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from harness.errors import BenchError
from harness.output import counted
from harness.results.asv_numbers import sampled
from harness.results.blames import Blames
from harness.results.blames import read_all as read_blames
from harness.results.compatibility import how_telling
from harness.results.compatibility import read as read_table
from harness.results.machines import NAME
from harness.results.metrics import COLD_SETUP
from harness.results.records import Measurement, Record, read_measurements, read_records
from harness.stacks import locks
from harness.stacks.locks import Stack

Key = tuple[str, int, str]
"""A parameter set: model, n, backend."""


@dataclass(frozen=True)
class Results:
    """Where results lie, and what the measured code says of itself (`harness.suite.inside`)."""

    folder: Path
    description: Mapping

    @property
    def records(self) -> Path:
        """Measured records: a folder for each machine and, in it, for each stack."""
        return self.folder / "records"

    @property
    def sweeps(self) -> Path:
        """Records of sweeps, in the same order."""
        return self.folder / "sweep"

    @property
    def asv(self) -> Path:
        """asv's own results."""
        return self.folder / "asv"


@dataclass(frozen=True, eq=False)
class MachineResults:
    """What one machine has measured by the newest protocol, and what was left out, with the reasons."""

    machine: str
    stacks: Sequence[Stack]
    backends: Sequence[str]
    cells: Mapping[str, Mapping[Key, Measurement]]
    """The newest measurement of each parameter set, by release."""
    swept: Sequence[Record]
    table: Mapping
    all_measurements: Sequence[Measurement] = ()
    """Also those that a newer one has taken the place of."""
    elsewhere: Sequence[Measurement] = ()
    """What other machines have measured: their seconds say nothing here, and the ratios of their rounds do."""
    drawn: Sequence[Record] = ()
    """All trials of all machines, measured or swept, whose draws are those of the newest protocol."""
    sweep_paths: Mapping[tuple[str, str, int, str], str] = field(default_factory=dict)
    """By release, model, size and backend: where the site keeps the latest sweep's records."""
    left_out: Sequence[str] = field(default_factory=tuple)
    blames: Blames = field(default_factory=Blames)
    """Which packages made differences, as far as it is known for certain."""
    damaged: Sequence[str] = field(default_factory=tuple)
    """Those of `left_out` that are of files that cannot be read: what they held is not known."""

    @property
    def tags(self) -> list[str]:
        """The measured releases, oldest first."""
        return [stack.tag for stack in self.stacks if self.cells.get(stack.tag)]

    @property
    def measurements(self) -> list[Measurement]:
        """The newest of each parameter set, by release, model, size and backend."""
        return [self.cells[tag][key] for tag in self.tags for key in self.order(self.cells[tag])]

    @property
    def records(self) -> list[Record]:
        """All trials of all sittings."""
        return [record for m in self.all_measurements for record in m.records]

    @cached_property
    def sittings(self) -> Mapping[tuple[str, Key], Sequence[Measurement]]:
        """All measurements of a release's parameter set, oldest first."""
        found: dict[tuple[str, Key], list[Measurement]] = {}
        for m in self.all_measurements:
            found.setdefault((m.tag, (m.model, m.n, m.backend)), []).append(m)
        return found

    def stack(self, tag: str) -> Stack:
        """The stack of a release."""
        return next(stack for stack in self.stacks if stack.tag == tag)

    def order(self, keys) -> list[Key]:
        """Parameter sets by model, size, and backend in the order in which backends are always named."""
        known = {name: i for i, name in enumerate(self.backends)}
        return sorted(keys, key=lambda k: (k[0], k[1], known.get(k[2], len(known)), k[2]))

    def path(self, m: Measurement) -> str:
        """Where the site keeps a measurement's records."""
        return f"data/records/{self.machine}/{m.tag}/{m.file}"

    def newest(self, model: str, n: int) -> str | None:
        """The newest release in which a backend samples this model at this size; of those with warm trials, if there
        are any: cold ones alone do not say what an answer takes."""

        def sampled(tag: str, warm: bool) -> bool:
            of_this = [(k, m) for k, m in self.cells[tag].items() if k[:2] == (model, n) and m.outcome == "ok"]
            return any(
                not warm or any(s.of_kind("warm") for s in self.sittings.get((tag, k), (m,))) for k, m in of_this
            )

        return next((tag for warm in (True, False) for tag in reversed(self.tags) if sampled(tag, warm)), None)

    @property
    def sizes(self) -> list[tuple[str, int]]:
        """The models and sizes that have been measured."""
        return sorted({key[:2] for cells in self.cells.values() for key in cells})

    @property
    def models(self) -> list[str]:
        """The models that have been measured."""
        return sorted({model for model, _ in self.sizes})


def load(results: Results) -> list[MachineResults]:
    """One content for each machine that has results, the one that knows most of the newest release first."""
    known = {stack.tag: stack for stack in locks.load_stacks()}
    measured = sorted({p.name for f in (results.records, results.asv) for p in f.glob("*/") if p.is_dir()})
    machines = [name for name in measured if NAME.fullmatch(name)]
    complaints = [
        f"{name!r} is no name of a machine: its results are left out." for name in measured if name not in machines
    ]
    swept = sorted({p.name for p in results.sweeps.glob("*/") if p.is_dir() and NAME.fullmatch(p.name)})
    table, damaged = _table(results.folder)
    found = [
        _machine(results, machine, known, table, list(complaints), list(damaged))
        for machine in machines or swept or ["none"]
    ]
    answers, unreadable = read_blames(results.folder)
    unreadable = [_without_folder(sentence, results.folder) for sentence in unreadable]
    order = {stack.tag: i for i, stack in enumerate(known.values())}
    blames = Blames(answers, order)
    found = [replace(c, blames=blames, left_out=(*c.left_out, *unreadable)) for c in found]
    # What was swept is known to all, whoever swept it.
    drawn = (*found[0].swept, *(r for content in found for m in content.all_measurements for r in m.records))
    found = [
        replace(c, drawn=drawn, elsewhere=[m for other in found if other is not c for m in other.all_measurements])
        for c in found
    ]

    def knows(content: MachineResults) -> tuple:
        newest = content.tags[-1] if content.tags else None
        cells = content.cells.get(newest, {})
        # A single warm trial does not say how times vary.
        told = sum(len(m.of_kind("warm")) > 1 for m in cells.values())
        return (order.get(newest, -1), told, len(cells), len(content.tags))

    return sorted(found, key=knows, reverse=True)


def _table(folder: Path) -> tuple[Mapping, list[str]]:
    """The compatibility table, or none and a sentence when it is damaged."""
    path = folder / "compatibility.json"
    if not path.exists():
        return {"schema": 1, "releases": {}}, []
    try:
        return read_table(path), []
    except BenchError as error:
        return {"schema": 1, "releases": {}}, [_without_folder(str(error), folder)]


def _machine(
    results: Results,
    machine: str,
    known: Mapping[str, Stack],
    table: Mapping,
    complaints: list[str],
    damaged: list[str],
) -> MachineResults:
    protocol = results.description["protocol"]
    cells: dict[str, dict[Key, Measurement]] = {}
    every: list[Measurement] = []
    left_out: dict[str, int] = {}
    for folder in sorted((results.records / machine).glob("*/")):
        tag = folder.name
        if tag not in known:
            complaints.append(f"{tag} is no stack of this timeline: its records are left out.")
            continue
        measurements, unreadable = read_measurements(results.records, machine, tag)
        damaged += [_without_folder(sentence, results.folder) for sentence in unreadable]
        for m in measurements:
            other = {r.protocol for r in m.records} - {protocol}
            if other:
                why = f"by protocol {', '.join(map(str, sorted(other, key=str)))}, not {protocol}"
            elif any(r.lock_sha256 != known[tag].sha256 for r in m.records):
                why = "in an environment that is not the one of the lock"
            else:
                cells.setdefault(tag, {})[m.model, m.n, m.backend] = m
                every.append(m)
                continue
            left_out[why] = left_out.get(why, 0) + 1
    complaints += [f"{counted(n, 'measurement')} made {why}, left out." for why, n in sorted(left_out.items())]
    complaints += _not_together(results, machine, known, cells)
    complaints += _several_machines(machine, cells)
    swept: list[Record] = []
    latest: dict[tuple[str, str, int, str], tuple] = {}
    for path in sorted(results.sweeps.glob("*/v*/*.json")):
        try:
            records = read_records(path, measurement=False)
        except BenchError as error:
            damaged.append(_without_folder(str(error), results.folder))
            continue
        swept += [r for r in records if r.protocol >= results.description["same_draws_since"]]
        s, place = records[-1].settings, path.relative_to(results.sweeps)
        named = NAME.fullmatch(place.parts[0]) and re.fullmatch(locks.TAG, place.parts[1])
        if named and path.stem == f"{s.model}-{s.n}-{s.backend}":
            key = (path.parent.name, s.model, s.n, s.backend)
            latest[key] = max(latest.get(key, ()), (*how_telling(records), f"data/sweep/{place}"))
    return MachineResults(
        machine=machine,
        stacks=sorted(known.values(), key=lambda s: s.date),
        backends=results.description["backends"],
        cells=cells,
        all_measurements=every,
        swept=swept,
        table=table,
        sweep_paths={key: place for key, (*_, place) in latest.items()},
        left_out=tuple(dict.fromkeys([*damaged, *complaints])),
        damaged=tuple(dict.fromkeys(damaged)),
    )


def _several_machines(machine: str, cells: Mapping[str, Mapping[Key, Measurement]]) -> list[str]:
    """A sentence when one name stands for more than one machine."""
    seen: dict[str, str] = {}
    for tag, found in cells.items():
        for m in found.values():
            for r in m.records:
                if r.provenance and r.provenance.cpu_model:
                    seen.setdefault(f"{r.provenance.cpu_model}, {r.provenance.cpu_count} processors", tag)
    if len(seen) < 2:
        return []
    names = "; ".join(f"{what} (first in {tag})" for what, tag in seen.items())
    return [
        f"{machine} is the name of several machines ({names}): what was not measured in the same rounds may be "
        "compared by seconds of different ones. Give each a BENCH_MACHINE of its own."
    ]


def _not_together(
    results: Results, machine: str, known: Mapping[str, Stack], cells: Mapping[str, Mapping[Key, Measurement]]
) -> list[str]:
    """What asv has a number of and records have not, and the other way round."""
    tags = {commit: tag for tag, commit in locks.recorded_hashes().items()}
    sentences: list[str] = []
    numbers: dict[str, set[Key]] = {}
    for path in sorted((results.asv / machine).glob("*-*.json")):
        try:
            document = json.loads(path.read_text())
            tag = tags.get(document["commit_hash"])
            if tag:
                numbers.setdefault(tag, set()).update(sampled(document["results"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            sentences.append(f"{path.relative_to(results.folder)} is no result of asv ({type(error).__name__}).")
    for tag in known:
        # asv has no number of what failed, also where a part of it did not.
        measured = {key for key, m in cells.get(tag, {}).items() if m.outcome == "ok" and COLD_SETUP.samples(m)}
        asv = numbers.get(tag, set())
        if asv - measured:
            sentences.append(
                f"{tag}: asv has numbers of {counted(len(asv - measured), 'parameter set')} without a valid record; "
                "they are in asv's graphs only."
            )
        if measured - asv:
            sentences.append(
                f"{tag}: {counted(len(measured - asv), 'measurement')} without a number of asv; its graphs lack them."
            )
    return sentences


def _without_folder(sentence: str, folder: Path) -> str:
    """The site is public: it says where in the results something is, and not where they are."""
    return sentence.replace(f"{folder}/", f"{folder.name}/")
