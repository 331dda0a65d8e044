"""asv's own files, as strictly as what comes from elsewhere has to be read, and how two results of a stack become one.

The axes, parameters and versions of a result are those of the list of benchmarks, and its columns are those of this
asv, so that a result that passes is one that asv can publish. It must not know records, nor where a file comes from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import product
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from harness.results.fields import NAME
from harness.results.records import first_problem

COLUMNS = (
    "result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b", "stats_q_25",
    "stats_q_75", "stats_number", "stats_repeat", "samples", "profile",
)  # fmt: skip
"""What a row of asv's results holds; cut where nothing follows."""
_OF_EACH_VALUE = tuple(i for i, name in enumerate(COLUMNS) if name == "result" or i >= COLUMNS.index("stats_ci_99_a"))
_STATISTICS = tuple(i for i, name in enumerate(COLUMNS) if name.startswith("stats_"))
_MOST_SAMPLES = 10_000


def _plain(text: str) -> str:
    if not text.isprintable() or set(text) & set('<>&"'):
        raise ValueError("it has characters that no such name has")
    return text


# What machines, processors and packages are called: asv's pages show it as it is.
Fact = Annotated[str, Field(max_length=200), AfterValidator(_plain)]
_LAST_DATE = 4_102_444_800_000  # milliseconds: the year 2100; asv makes dates of them
_Date = Annotated[int, Field(ge=0, lt=_LAST_DATE)]
_Nothing = Annotated[dict[str, str], Field(max_length=0)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Machine(_File):
    """`machine.json`: the facts that asv keeps of a machine."""

    machine: Annotated[str, StringConstraints(pattern=rf"^{NAME}$", max_length=60)]
    os: Fact
    arch: Fact
    cpu: Fact
    num_cpu: Fact
    ram: Fact
    version: Literal[1]


class _Facts(_File):
    machine: str
    os: Fact
    arch: Fact
    cpu: Fact
    num_cpu: Fact
    ram: Fact
    python: Literal["3.12"]


class Result(_File):
    """A result of a stack; the rows of its benchmarks are looked at one by one."""

    version: Literal[2]
    commit_hash: str
    env_name: Annotated[str, StringConstraints(pattern=r"^stack-py3\.12$")]
    date: _Date
    python: Literal["3.12"]
    params: _Facts
    requirements: _Nothing
    env_vars: _Nothing
    # What asv did around the benchmarks, under its own names, such as <build>.
    durations: Annotated[
        dict[Annotated[str, StringConstraints(pattern=r"^[\w<> .:-]{1,100}$")], Annotated[float, Field(ge=0, lt=1e9)]],
        Field(max_length=1000),
    ]
    result_columns: Annotated[list[str], AfterValidator(lambda columns: _equal(columns, list(COLUMNS)))]
    results: dict[str, list]


def _equal(value: list, expected: list) -> list:
    if value != expected:
        raise ValueError("another version of asv wrote it")
    return value


def check_machine(document: object, machine: str) -> None:
    """Raise ValueError unless it is asv's description of this machine."""
    try:
        described = Machine.model_validate(document)
    except ValidationError as error:
        raise ValueError(f"it is no description of a machine ({first_problem(error)})") from error
    if described.machine != machine:
        raise ValueError("it does not describe the machine that it is named for")


def check_result(document: object, machine: str, commit: str, date: int, benchmarks: Mapping[str, Mapping]) -> None:
    """Raise ValueError unless it is a result of asv, of a machine and a commit, of benchmarks of this list.

    `date` is the commit's, in milliseconds.
    """
    try:
        result = Result.model_validate(document)
    except ValidationError as error:
        raise ValueError(f"it is not what asv writes ({first_problem(error)})") from error
    if (result.commit_hash, result.date) != (commit, date):
        raise ValueError("its commit is none of this timeline, or not the one that it is named for")
    if result.params.machine != machine:
        raise ValueError("it is not a result of asv of this machine")
    for benchmark, row in result.results.items():
        listed = benchmarks.get(benchmark)
        if listed is None:
            raise ValueError(f"there is no benchmark {benchmark[:100]!r} in this suite; {_OTHER_SUITE}")
        _check_row(benchmark, row, listed)


_OTHER_SUITE = "another version of it measured: bring its checkout to the branch's state, and measure again"


def _check_row(benchmark: str, row: list, listed: Mapping) -> None:
    if not 3 <= len(row) <= len(COLUMNS):
        raise ValueError(f"{benchmark} has a row that asv did not write")
    if row[2] != str(listed["version"]):
        raise ValueError(
            f"{benchmark} is of version {str(row[2])[:20]!r} there, and of {listed['version']!r} in this suite; "
            f"{_OTHER_SUITE}"
        )
    if row[1] != listed["params"]:
        raise ValueError(f"the parameters of {benchmark} are not those of this suite; {_OTHER_SUITE}")
    many = math.prod(map(len, row[1]))
    samples = 0
    for i, column in enumerate(row):
        name = COLUMNS[i]
        if name in ("params", "version"):
            continue
        if name in ("started_at", "duration"):
            most = _LAST_DATE if name == "started_at" else 1e9
            good = column is None or (_is_number(column) and 0 <= column < most)
        elif column is None:
            good = True
        elif name == "profile":
            good = False  # nothing of a measurement, and no text that anybody has looked at
        elif not isinstance(column, list) or len(column) != many:
            good = False
        elif name == "samples":
            lists = [value for value in column if value is not None]
            good = all(isinstance(value, list) and all(map(_is_number, value)) for value in lists)
            samples += sum(map(len, lists)) if good else 0
        else:
            # Of one sample, the interval is infinite.
            infinite = name.startswith("stats_ci")
            good = all(v is None or _is_number(v) or (infinite and v in (-math.inf, math.inf)) for v in column)
        if not good or samples > _MOST_SAMPLES:
            raise ValueError(f"the {name} of {benchmark} is not what asv measures")
    _check_statistics(benchmark, row, many)


def _check_statistics(benchmark: str, row: list, many: int) -> None:
    """asv computes all of a value's statistics, or none, and reads them so."""
    statistics = [row[i] or [None] * many if i < len(row) else [None] * many for i in _STATISTICS]
    if any(len({value is None for value in of_one}) > 1 for of_one in zip(*statistics, strict=True)):
        raise ValueError(f"the statistics of {benchmark} are not all there")


def _is_number(value: object) -> bool:
    """Whether a measurement can be this: nothing, or neither endless nor so close to nothing that a ratio is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return not measured(value) or value == 0 or 1e-15 < abs(value) < 1e15


def measured(value: object) -> bool:
    """Whether asv has measured this value: parameters that were left out, or failed, have none."""
    return isinstance(value, int) or (isinstance(value, float) and not math.isnan(value))


def values(result: Mapping, benchmark: str) -> dict[tuple[str, ...], float]:
    """What a result says of a benchmark, by its parameters, where it has been measured."""
    row = result["results"].get(benchmark, [None, []])
    return {cell: value for cell, value in zip(product(*row[1]), row[0] or (), strict=False) if measured(value)}


def blanked(result: Mapping, blanks: Callable[[str, tuple], bool]) -> Mapping:
    """A result without the values that `blanks` says of, given a benchmark and its parameters."""
    results = {}
    for benchmark, row in result["results"].items():
        blank = {
            k for k, cell in enumerate(product(*row[1])) if measured(_at(row, k)) and blanks(benchmark, cell)
        }  # fmt: skip
        results[benchmark] = [
            [None if k in blank else value for k, value in enumerate(column)]
            if i in _OF_EACH_VALUE and column
            else column
            for i, column in enumerate(row)
        ]
    return {**result, "results": results}


def merged(
    kept: Mapping | None, new: Mapping, benchmarks: Mapping[str, Mapping], takes: Callable[[str, tuple, bool], bool]
) -> dict:
    """What is kept of a stack, with values of a new result in it.

    `takes` says whether a new value is: it is given the benchmark, its parameters and whether there is one already.
    """
    rows = dict(kept["results"]) if kept else {}
    for benchmark, given in new["results"].items():
        axes = benchmarks[benchmark]["params"]
        mine = rows.get(benchmark)
        # A bumped version starts anew; a backend that was added does not.
        same = mine is not None and mine[2] == given[2] and len(mine[1]) == len(axes)
        ours = {cell: k for k, cell in enumerate(product(*mine[1]))} if same else {}
        sources = []
        for k, cell in enumerate(product(*axes)):
            old = (mine, ours[cell]) if cell in ours else None
            sources.append((given, k) if takes(benchmark, cell, bool(old) and measured(_at(*old))) else old)
        if any(source and source[0] is given for source in sources):
            row = [
                # asv's word for what was not asked for; None is its word for what failed.
                [_at(*source, i) if source else (math.nan if i == 0 else None) for source in sources]
                if i in _OF_EACH_VALUE
                else axes if i == 1
                else (given if i < len(given) else mine)[i]
                for i in range(max(len(given), len(mine) if same else 0))
            ]  # fmt: skip
            # When it was measured is no news by itself.
            if not same or repr(row[:3] + row[5:]) != repr(mine[:3] + mine[5:]):
                rows[benchmark] = row
    return {**(kept or new), "results": rows}


def _at(row: list, k: int, column: int = 0) -> object:
    """A column's value of the k-th parameters; rows are cut where nothing follows."""
    return row[column][k] if column < len(row) and row[column] and k < len(row[column]) else None
