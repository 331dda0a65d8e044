"""What comes from elsewhere is taken in once, whole and checked, and does nothing but be a result."""

from __future__ import annotations

import json
import os
import resource
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from harness.results import asv_files, collecting
from harness.results.collecting import Collected, Shard, Task
from harness.results.records import as_text
from harness.stacks.locks import get_stack, recorded_hashes
from harness.suite import inside
from tests import site_results as make
from tests.site_results import STAMP

CELLS = [("ppca", 500, "pymc-c"), ("ppca", 500, "nutpie-numba")]
RECORD = f"records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json"


TAG = "v6.4.0"
ALL = frozenset(
    (name, n, backend)
    for name, model in inside()["models"].items()
    for n, backend in product(model["sizes"], inside()["backends"])
)
TASK = Task("box", {TAG: get_stack(TAG)}, ALL, inside()["protocol"])


def collect(folders: list[Path], results: Path, task: Task = TASK) -> Collected:
    return collecting.collect([Shard(folder, task) for folder in folders], results)


@pytest.fixture
def shard(tmp_path) -> Path:
    """What one runner left."""
    make.build(tmp_path / "shard", [get_stack("v6.4.0")], CELLS)
    return tmp_path / "shard"


@pytest.fixture
def results(tmp_path) -> Path:
    (tmp_path / "results/asv").mkdir(parents=True)
    shutil.copy(make.BENCHMARKS, tmp_path / "results/asv")
    return tmp_path / "results"


def written(results: Path) -> set[str]:
    """What has been taken into the results."""
    return {p.relative_to(results).as_posix() for p in results.rglob("*") if p.is_file()} - {"asv/benchmarks.json"}


def asv_file(folder: Path) -> Path:
    return folder / "asv/box" / f"{recorded_hashes()['v6.4.0'][:8]}-stack-py3.12.json"


def test_a_shard_is_taken_in_once(shard, results):
    first = collect([shard], results)
    assert (len(first.new), first.refused) == (4, [])  # two records, asv's result, the machine
    assert (results / f"records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json").exists()
    assert repr(json.loads(asv_file(results).read_text())) == repr(json.loads(asv_file(shard).read_text()))
    again = collect([shard, shard], results)
    assert (again.new, again.refused) == ([], [])


def test_nothing_that_was_really_measured_is_refused_or_changed(tmp_path, results):
    measured = Path(__file__).resolve().parents[1] / "results"
    for folder in sorted((measured / "records").glob("*/*/")):
        records = folder.parent
        tag, commit, shard = (
            folder.name,
            recorded_hashes()[folder.name],
            tmp_path / "shards" / records.name / folder.name,
        )
        shutil.copytree(folder, shard / "records" / records.name / tag)
        (shard / "asv" / records.name).mkdir(parents=True)
        for path in (measured / "asv" / records.name).glob(f"{commit[:8]}-*"):
            shutil.copy(path, shard / "asv" / records.name)
        shutil.copy(measured / "asv" / records.name / "machine.json", shard / "asv" / records.name)
        # What an earlier protocol has measured was taken in by the suite of its day.
        protocol = json.loads(next(folder.glob("*.json")).read_text())[0]["protocol"]
        benchmarks = json.loads(make.BENCHMARKS.read_text())
        of_its_day = {k: b | {"version": str(protocol)} if k != "version" else b for k, b in benchmarks.items()}
        (results / "asv/benchmarks.json").write_text(json.dumps(of_its_day))
        task = replace(TASK, machine=records.name, stacks={tag: get_stack(tag)}, protocol=protocol)
        taken = collect([shard], results, task)
        assert taken.refused == []
        assert taken.new
    for kind in ("records", "asv"):
        for path in (measured / kind).glob("*/**/*.json"):
            if not (measured / "records" / path.relative_to(measured).parts[1]).is_dir():
                continue  # a machine that has measured nothing by this protocol
            copy = results / path.relative_to(measured)
            same = path.read_bytes() == copy.read_bytes()
            assert same or repr(json.loads(path.read_text())) == repr(json.loads(copy.read_text())), path


def test_what_is_kept_is_not_overwritten_by_a_second_run(shard, results):
    collect([shard], results)
    kept = {p: p.read_bytes() for p in results.rglob("*.json")}
    rng = np.random.default_rng(9)
    other = make.measurement(get_stack("v6.4.0"), *CELLS[0], rng, TASK.protocol)
    make.write_records(shard, "v6.4.0", other)
    make.write_asv(shard, {"v6.4.0": {CELLS[0]: other}})
    assert collect([shard], results).new == []
    assert {p: p.read_bytes() for p in results.rglob("*.json")} == kept


def test_two_shards_that_measured_different_cells_of_a_stack_add_up(tmp_path, results):
    for i, cell in enumerate(CELLS):
        make.build(tmp_path / str(i), [get_stack("v6.4.0")], [cell])
    collect([tmp_path / "0", tmp_path / "1"], results)
    table = json.loads(asv_file(results).read_text())["results"]["ppca.Sampling.track_sampling"][0]
    assert sum(asv_files.measured(value) for value in table) == 2, (
        "what was not measured is not a number, and no failure"
    )
    assert len(list((results / "records").rglob("*.json"))) == 2


def numbers(folder: Path, benchmark: str = "ppca.Sampling.track_sampling") -> dict[tuple, float]:
    """asv's numbers by parameters."""
    row = json.loads(asv_file(folder).read_text())["results"][benchmark]
    return {cell: value for cell, value in zip(product(*row[1]), row[0], strict=True) if asv_files.measured(value)}


def on_day(shard: Path, day: str, seed: int) -> None:
    """A shard of one parameter set that was measured then."""
    documents = make.measurement(get_stack(TAG), *CELLS[0], np.random.default_rng(seed), TASK.protocol)
    documents = [d | {"started": f"{day}{d['started'][10:]}"} for d in documents]
    make.write_records(shard, TAG, documents)
    make.write_asv(shard, {TAG: {CELLS[0]: documents}})


def test_asvs_numbers_are_those_of_the_newest_measurement_whatever_else_comes_along(tmp_path, results):
    on_day(tmp_path / "one", "2026-11-02", 1)
    collect([tmp_path / "one"], results)
    shutil.copytree(tmp_path / "one", tmp_path / "both")
    on_day(tmp_path / "both", "2026-11-03", 2)
    taken = collect([tmp_path / "both"], results)
    assert taken.refused == []
    assert len(written(results)) == len(taken.new) + 2 == 4
    assert numbers(results) == numbers(tmp_path / "both") != numbers(tmp_path / "one")


def test_what_comes_late_is_kept_and_the_newer_numbers_stay(tmp_path, results):
    for day, seed in (("2026-11-03", 2), ("2026-11-02", 1)):
        on_day(tmp_path / day, day, seed)
        taken = collect([tmp_path / day], results)
        assert taken.refused == []
        assert any(name.startswith("records/") for name in taken.new)
    assert numbers(results) == numbers(tmp_path / "2026-11-03")


def test_asvs_number_is_taken_with_the_record_of_the_same_trials_or_not_at_all(tmp_path, results):
    cell, name = ("'pymc-c'", "500"), f"records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json"
    for i, seed in enumerate((1, 2)):
        rng = np.random.default_rng(seed)
        cells = {c: make.measurement(get_stack("v6.4.0"), *c, rng, TASK.protocol) for c in CELLS}
        for documents in cells.values():
            make.write_records(tmp_path / str(i), "v6.4.0", documents)
        make.write_asv(tmp_path / str(i), {"v6.4.0": cells})
    kept = numbers(tmp_path / "0")
    (tmp_path / "0" / name).write_text("[{")
    assert len(collect([tmp_path / "0"], results).refused) == 1
    assert numbers(results) == {c: v for c, v in kept.items() if c != cell}
    collect([tmp_path / "1"], results)
    assert numbers(results) == kept | {cell: numbers(tmp_path / "1")[cell]}


def test_a_backend_that_was_added_keeps_the_numbers_of_the_others(shard, results):
    collect([shard], results)
    before = numbers(results)
    cells = [*CELLS, ("ppca", 500, "blackjax")]
    make.build(shard, [get_stack("v6.4.0")], cells)
    collect([shard], results)
    after = numbers(results)
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {("'blackjax'", "500")}


def test_what_another_version_of_the_suite_measured_is_refused_with_what_to_do(shard, results):
    benchmarks = json.loads((results / "asv/benchmarks.json").read_text())
    benchmarks["ppca.Sampling.track_sampling"]["version"] = "other"
    (results / "asv/benchmarks.json").write_text(json.dumps(benchmarks))
    taken = collect([shard], results)
    assert [name for name in taken.new if name.startswith("records")] == []
    (why,) = [reason for reason in taken.refused if "/asv/" in reason]
    assert f"track_sampling is of version '{TASK.protocol}' there, and of 'other' in this suite" in why
    assert "bring its checkout to the branch's state, and measure again" in why


def test_a_record_of_an_older_suite_is_refused_with_which_and_what_to_do(shard, results):
    documents = json.loads((shard / RECORD).read_text())
    for document in documents:
        document["protocol"] = 3
        document["provenance"]["suite_commit"] = "fc6da3b72be1074e58d381049cc97ee5ba3a47b4"
    make.write_records(shard, TAG, documents)
    why = refused(shard, results)
    assert f"it is of protocol 3, and this is {TASK.protocol}; it was measured by suite fc6da3b72be1: bring that" in why


def test_a_record_with_a_field_of_another_suite_is_refused_with_which_and_what_to_do(shard, results):
    documents = json.loads((shard / RECORD).read_text())
    documents[0]["clocks"]["new_clock"] = 1.0
    make.write_records(shard, TAG, documents)
    why = refused(shard, results)
    assert "0.clocks.new_clock: Extra inputs are not permitted" in why
    assert f"measured by suite {documents[0]['provenance']['suite_commit'][:12]}: bring that checkout" in why


def test_a_number_of_a_backend_that_a_record_lacks_is_not_taken(shard, results):
    (shard / RECORD).unlink()
    collect([shard], results)
    assert numbers(results).keys() == {("'nutpie-numba'", "500")}


def test_a_record_with_more_trials_takes_the_place_of_one_with_fewer(shard, results):
    path = f"records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json"
    (results / path).parent.mkdir(parents=True)
    (results / path).write_text(json.dumps(json.loads((shard / path).read_text())[:1]))
    collect([shard], results)
    assert len(json.loads((results / path).read_text())) == 3


def refused(shard: Path, results: Path, task: Task = TASK) -> str:
    """The reason of the only file that is refused for its own sake; the others are taken."""
    collected = collect([shard], results, task)
    own = [reason for reason in collected.refused if "asv's number of it did not come along" not in reason]
    assert len(own) == 1, collected.refused
    return own[0]


@pytest.mark.parametrize(
    "name",
    [
        "records/box/v6.4.0/run.sh", ".github/workflows/x.yml", f"records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json.part",
        "records/../../x.json", "stacks/v9.9.9.txt", "records/b x/v6.4.0/ppca-500-pymc-c.json", "asv/box/x.json",
        "records/box/v6.4.0/deeper/ppca-500-pymc-c.json", "-rf",
    ],
)  # fmt: skip
def test_a_file_with_another_name_than_a_result_is_refused(shard, results, name):
    path = Path(os.path.normpath(shard / name))
    if shard not in path.parents:
        pytest.skip("no such name can be in a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[]")
    assert "not the name of a result" in refused(shard, results)
    assert not (results / path.relative_to(shard)).exists()


@pytest.mark.parametrize("target", ["/etc/passwd", f"records/box/v6.4.0/ppca-500-pymc-c.{STAMP}.json", "."])
def test_a_link_is_refused_wherever_it_leads(shard, results, target):
    (shard / f"records/box/v6.4.0/ppca-500-blackjax.{STAMP}.json").symlink_to(target)
    assert "not a plain file" in refused(shard, results)
    assert not (results / f"records/box/v6.4.0/ppca-500-blackjax.{STAMP}.json").exists()


def test_a_pipe_is_refused_and_not_read(shard, results):
    os.mkfifo(shard / f"records/box/v6.4.0/ppca-500-blackjax.{STAMP}.json")
    assert "not a plain file" in refused(shard, results)


def test_a_large_file_is_refused_without_being_read(shard, results):
    with (shard / f"records/box/v6.4.0/ppca-500-blackjax.{STAMP}.json").open("wb") as file:
        file.truncate(collecting.LARGEST_FILE + 1)
    assert "larger than 5 MB" in refused(shard, results)


def test_a_folder_of_a_gigabyte_is_refused_as_a_whole(shard, results):
    with (shard / "rest").open("wb") as file:
        file.truncate(10**9)
    assert "more than 10 MB" in refused(shard, results)
    assert written(results) == set()


def test_a_folder_that_is_a_link_or_no_folder_is_refused(shard, results, tmp_path):
    (tmp_path / "link").symlink_to(shard)
    for source in (tmp_path / "link", tmp_path / "nothing"):
        assert "no folder of results" in refused(source, results)
    assert written(results) == set()


def test_a_source_that_is_refused_as_a_whole_keeps_no_other_away(shard, results, tmp_path):
    collected = collect([tmp_path / "nothing", shard], results)
    assert (len(collected.refused), len(collected.new)) == (1, 4)


@pytest.mark.skipif(os.name != "posix", reason="no such name can be in a folder")
@pytest.mark.parametrize("name", [b"x\n::error::injected", b"x\xff", b"\x1b[31m", b"x\xe2\x80\xaey"])
def test_a_name_is_told_so_that_it_does_nothing(shard, results, name):
    (Path(os.fsdecode(bytes(shard) + b"/" + name))).write_text("x")
    reason = refused(shard, results)
    assert reason.isprintable()
    assert reason.isascii()


def test_a_field_that_no_trial_writes_is_refused(shard, results):
    documents = json.loads((shard / RECORD).read_text())
    documents[1]["clocks"]["more"] = [[1] * 1000] * 10
    make.write_records(shard, TAG, documents)
    assert "1.clocks.more: Extra inputs are not permitted" in refused(shard, results)


def test_a_record_is_written_as_records_are_whatever_it_was(shard, results):
    documents = json.loads((shard / RECORD).read_text())
    (shard / RECORD).write_text('[{"kind": "x", ' + json.dumps(documents, separators=(",", ":"))[2:])
    collect([shard], results)
    kept = (results / RECORD).read_text()
    assert json.loads(kept) == json.loads(as_text(documents))
    assert kept == as_text(json.loads(kept))


def test_a_good_measurement_is_not_overwritten_by_one_that_failed(shard, results):
    collect([shard], results)
    kept = (results / RECORD).read_bytes()
    other = make.measurement(get_stack("v6.4.0"), *CELLS[0], np.random.default_rng(9), TASK.protocol)
    failed = make.failed(get_stack("v6.4.0"), *CELLS[0], "why", TASK.protocol)[0]
    failed |= {"settings": other[1]["settings"] | {"seed": 99}}
    make.write_records(shard, "v6.4.0", [*other, failed | {"kind": "warm"}])
    assert collect([shard], results).new == []
    assert (results / RECORD).read_bytes() == kept
    documents = json.loads(kept)
    make.write_records(shard, "v6.4.0", [*documents, failed | {"kind": "warm"}])
    assert RECORD in collect([shard], results).new, "a trial more of the same measurement is news"


def test_a_good_record_without_asvs_number_is_not_taken_and_both_are_when_they_come(shard, results):
    whole = asv_file(shard).read_text()
    asv_file(shard).write_text("{")
    assert "JSONDecodeError" not in refused(shard, results)
    assert written(results) == {"asv/box/machine.json"}
    asv_file(shard).write_text(whole)
    collect([shard], results)
    assert numbers(results) == numbers(shard)
    assert (results / RECORD).read_text() == as_text(json.loads((shard / RECORD).read_text()))


def test_a_record_of_a_backend_that_cannot_sample_needs_no_number(shard, results):
    make.write_records(shard, TAG, make.failed(get_stack(TAG), "ppca", 500, "blackjax", "why", TASK.protocol))
    assert collect([shard], results).refused == []
    assert (results / f"records/box/v6.4.0/ppca-500-blackjax.{STAMP}.json").exists()


@pytest.mark.parametrize("name", ["asv/box/{}-stack-py3.12.json", "asv/benchmarks.json"])
def test_what_is_kept_and_damaged_is_not_blamed_on_the_shard(shard, results, name):
    path = results / name.format(recorded_hashes()["v6.4.0"][:8])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{")
    reasons = collect([shard], results).refused
    assert any(f"what is kept already in {path.name} is damaged, and has to be restored" in r for r in reasons)
    assert path.read_text() == "{"


def test_a_table_that_would_grow_is_refused(shard, results):
    """Merged with what is kept, four files of 478 bytes became one of 403 MB."""
    path = asv_file(shard)
    document = json.loads(path.read_text())
    names = [str(i) for i in range(10)]
    row = [None, [names] * 3, str(TASK.protocol)]
    path.write_text(json.dumps(document | {"results": {"ppca.Sampling.track_total": row}}))
    assert "parameters of ppca.Sampling.track_total are not those of this suite" in refused(shard, results)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text[:100], f"pymc-c.{STAMP}.json: not a list of records ("),
        (lambda text: "[" * 100_000, f"pymc-c.{STAMP}.json: not a list of records ("),
        (lambda text: text.replace('"pymc-c"', '"blackjax"'), "something else than its name says"),
        (
            lambda text: text.replace(f'"protocol": {TASK.protocol}', '"protocol": 2'),
            f"it is of protocol 2, and this is {TASK.protocol}",
        ),
        (lambda text: text.replace(get_stack("v6.4.0").sha256, "0" * 64), "not measured in the stack"),
    ],
)
def test_a_damaged_or_forged_record_is_refused_and_the_rest_taken(shard, results, change, why):
    path = shard / RECORD
    path.write_text(change(path.read_text()))
    reason = refused(shard, results)
    assert why in reason
    assert str(shard.parent) not in reason
    assert (results / f"records/box/v6.4.0/ppca-500-nutpie-numba.{STAMP}.json").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"commit_hash": "0" * 40},
        {"params": {"machine": "other"}},
        {"results": {"ppca.Sampling.track_total": [["<script>"], [], "3"]}},
        {"results": {"ppca.Sampling.track_total": [[1e999], [], "3"]}},
        {"results": {"ppca.Sampling.track_total": [[10**400], [], "3"]}},
        {"results": {"ppca.Sampling.track_total": []}},
        {"results": {"../../x": [[1.0], [], "3"]}},
        {"results": []},
        {"result_columns": ["result"]},
        {"version": 1},
        {"results": {"ppca.Sampling.track_total": [[1.0], [["<b>"]], "3"]}},
        {"results": {"ppca.Sampling.track_total": [[1.0], [["1"] * 1000] * 30, "3"]}},
        {"results": {"ppca.Sampling.track_total": [[1.0, 2.0], [["1", "1"]], "3"]}},
        {"results": {"ppca.Sampling.track_total": [[1.0], [[""]], "3"]}},
        {"more": "<script>"},
        {"date": "x"},
        {"date": 10**20},
        {"params": {"machine": "box", "cpu": {"a": 1}}},
        {"params": {"machine": "box", "cpu": "<img src=x onerror=alert(1)>"}},
        {"env_vars": 5},
        {"durations": 7},
        {"python": [1]},
        {"python": "3.12\nx"},
        {"requirements": ["a"]},
        {"env_name": None},
        {"results": {"ppca.Sampling.track_total": [[1.0], [], "3", "<img>"]}},
        {"results": {"ppca.Sampling.track_total": [[1.0], [], "3", None, None, [["<img>"]]]}},
        *(
            {"results": {"imports.Import.timeraw_pymc": [[1.0], [], "1", *rest]}}
            for rest in (
                [10**400],
                [5e-324],
                [1, [1]],
                [1, 1.0, 1.0],
                [1, 1.0, [10**400]],
                [1, 1.0, ["<img>"]],
                [1, 1.0, [[1.0]]],
                [1, 1.0, [1.0, 2.0]],
                [1, 1.0, *[[1.0]] * 6, [1.0]],
                [1, 1.0, *[[1.0]] * 6, [[1e300]]],
                [1, 1.0, *[[1.0]] * 6, [[0.1] * 10_001]],
                [1, 1.0, *[[1.0]] * 6, None, ["profile"]],
                [True],
                ["x"],
                [1] * 11,
            )
        ),
        {"results": {"imports.Import.timeraw_pymc": [[True], [], "1"]}},
        {"results": {"imports.Import.timeraw_pymc": [[10**4000], [], "1"]}},
        {"results": {"imports.Import.timeraw_pymc": [[[[1.0]]], [], "1"]}},
        {"results": {"imports.Import.timeraw_pymc": ["1", [], "1"]}},
        {"results": {"imports.Import.timeraw_pymc": [[1.0], [["x" * 200]], "1"]}},
        {"results": {"imports.Import.timeraw_pymc": {"0": [1.0], "1": [], "2": "1"}}},
        {"result_columns": ["result", "params", "params", "version"]},
        {"durations": {"<build>": 10**400}},
        {"durations": {"x\u202e": 1.0}},
        {"requirements": {"numpy": "2"}},
        {"env_name": "stack-py3.13"},
        {"date": 1793551962001},
        {"python": "3.13"},
    ],
)
def test_a_forged_result_of_asv_is_refused(shard, results, change):
    path = asv_file(shard)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    refused(shard, results)
    assert written(results) <= {"asv/box/machine.json"}


def test_a_reason_with_line_ends_is_told_in_one_line(shard, results):
    (shard / f"records/box/v6.4.0/ppca-500-blackjax.{STAMP}.json").write_text('{"a": "\\n::error::x"}')
    assert "\n" not in refused(shard, results)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: {"machine": d["machine"]},
        lambda d: d | {"more": "x"},
        lambda d: d | {"num_cpu": 10**400},
        lambda d: d | {"num_cpu": 2},
        lambda d: d | {"cpu": "x" * 201},
        lambda d: d | {"cpu": "a\u200bb"},
        lambda d: d | {"cpu": "<img src=x>"},
        lambda d: d | {"version": 2},
        lambda d: d | {"machine": "other"},
        lambda d: [d],
        lambda d: {k: v for k, v in d.items() if k != "ram"},
    ],
)
def test_a_forged_machine_is_refused_and_nothing_is_taken_of_a_machine_that_nobody_describes(shard, results, change):
    path = shard / "asv/box/machine.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    collected = collect([shard], results)
    assert any("asv/box/machine.json" in reason for reason in collected.refused)
    assert written(results) == set()


NEVER_DIVIDED_BY = ("trial_wall_seconds", "drift", "numpy_seconds", "window_cpu_seconds", "rhat")
HUGE = [10**400, 10**4000, -(10**30), 1e300, float("inf"), float("nan"), 5e-324, -1e300, True, "1", [1], {"a": 1}]


@pytest.mark.parametrize("value", HUGE, ids=[repr(value)[:12] for value in HUGE])
@pytest.mark.parametrize(
    "where",
    [
        ("provenance", "memory_mib"), ("provenance", "cpu_count"), ("settings", "n"), ("settings", "seed"),
        ("clocks", "setup_wall_seconds"), ("clocks", "window_cpu_seconds"), ("phases", "setup", "import"),
        ("counters", "gradients_tuning"),
        ("diagnostics", "w1w1", "mcse_mean"), ("diagnostics", "w1w1", "exact_sd"), ("diagnostics", "w1w1", "rhat"),
        ("effective_draws",), ("peak_memory_mib",), ("control", "drift"), ("control", "before", "numpy_seconds"),
        ("graph", "nodes"), ("protocol",), ("trial_wall_seconds",),
    ],
)  # fmt: skip
def test_no_number_of_a_record_is_beyond_all_measure(shard, results, where, value):
    documents = json.loads((shard / RECORD).read_text())
    *outer, last = where
    place = documents[1]
    for name in outer:
        place = place[name]
    if value == 5e-324 and last in NEVER_DIVIDED_BY:
        pytest.skip("nothing is divided by it")
    place[last] = value
    (shard / RECORD).write_text(json.dumps(documents))
    refused(shard, results)
    assert not (results / RECORD).exists()


def test_a_standard_deviation_is_not_negative(shard, results):
    documents = json.loads((shard / RECORD).read_text())
    documents[1]["diagnostics"]["w1w1"]["sd"] = -1e300
    make.write_records(shard, TAG, documents)
    assert "diagnostics.w1w1.sd" in refused(shard, results)


# A shard is bound to its task.


def test_a_shard_of_another_machine_is_refused_as_a_whole(tmp_path, results):
    make.build(tmp_path / "shard", [get_stack(TAG)], CELLS, machine="invented")
    collected = collect([tmp_path / "shard"], results)
    assert written(results) == set()
    assert all("it is of another machine than box" in r for r in collected.refused if "benchmarks" not in r)


def test_what_was_not_to_be_measured_is_refused(tmp_path, results):
    make.build(tmp_path / "shard", [get_stack("v6.3.2"), get_stack(TAG)], [*CELLS, ("ppca", 5000, "pymc-c")])
    task = replace(TASK, cells=frozenset(CELLS))
    collected = collect([tmp_path / "shard"], results, task)
    assert {name for name in written(results) if name.startswith("records")} == {
        f"records/box/{TAG}/ppca-500-{backend}.{STAMP}.json" for backend in ("pymc-c", "nutpie-numba")
    }
    assert sum("its stack was not to be measured" in reason for reason in collected.refused) == 4
    assert sum("its model, size or backend was not to be" in reason for reason in collected.refused) == 1
    assert numbers(results).keys() == {("'pymc-c'", "500"), ("'nutpie-numba'", "500")}


def test_what_is_kept_of_another_stack_does_not_change_for_a_trial_that_somebody_adds(tmp_path, results):
    make.build(tmp_path / "0", [get_stack("v6.3.2")], CELLS)
    both = replace(TASK, stacks={t: get_stack(t) for t in ("v6.3.2", TAG)})
    collect([tmp_path / "0"], results, both)
    before = {name: (results / name).read_bytes() for name in written(results)}
    make.build(tmp_path / "1", [get_stack("v6.3.2"), get_stack(TAG)], CELLS)
    path = tmp_path / f"1/records/box/v6.3.2/ppca-500-pymc-c.{STAMP}.json"
    documents = json.loads(path.read_text())
    path.write_text(json.dumps([*documents, documents[-1]]))
    collect([tmp_path / "1"], results)
    assert {name: (results / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("outcome", ["ok", "failed"])
def test_what_is_kept_gives_way_only_to_what_goes_on_from_it(shard, results, outcome):
    stack = get_stack(TAG)
    if outcome == "failed":
        make.write_records(shard, TAG, make.failed(stack, *CELLS[0], "why", TASK.protocol))
    collect([shard], results)
    kept = (results / RECORD).read_bytes()
    again = [*make.measurement(stack, *CELLS[0], np.random.default_rng(9), TASK.protocol)]
    again.append(again[-1])
    make.write_records(shard, TAG, again)
    make.write_asv(shard, {TAG: {CELLS[0]: again}})
    taken = collect([shard], results)
    assert RECORD not in taken.new
    assert (results / RECORD).read_bytes() == kept


def test_what_is_kept_of_an_older_protocol_gives_way(shard, results):
    documents = json.loads((shard / RECORD).read_text())
    make.write_records(results, TAG, [d | {"protocol": TASK.protocol - 1} for d in documents])
    assert RECORD in collect([shard], results).new
    assert (results / RECORD).read_text() == as_text(documents)


def test_shards_have_a_limit_all_together(tmp_path, results, monkeypatch):
    for i in range(3):
        make.build(tmp_path / str(i), [get_stack(TAG)], [CELLS[0]])
    size = sum(path.stat().st_size for path in (tmp_path / "0").rglob("*") if path.is_file())
    monkeypatch.setattr(collecting, "LARGEST_RUN", int(2.5 * size))
    refusals = collect([tmp_path / str(i) for i in range(3)], results).refused
    assert refusals == [f"2 is left out: with it, the shards have more than {int(2.5 * size) // 1_000_000} MB."]


def with_numbers(shard: Path, benchmark: str, change) -> None:
    """Change asv's values of a benchmark in a shard."""
    document = json.loads(asv_file(shard).read_text())
    document["results"][benchmark][0] = [change(value) for value in document["results"][benchmark][0]]
    asv_file(shard).write_text(json.dumps(document))


@pytest.mark.parametrize("factor", [1e-6, 2, -1, 1e12])
@pytest.mark.parametrize(
    "metric",
    ["Sampling.track_sampling", "Sampling.track_total", "CompileSetup.track_warm_setup", "Sampling.track_peak_memory"],
)
def test_asvs_number_is_one_of_its_trials(shard, results, factor, metric):
    with_numbers(shard, f"ppca.{metric}", lambda value: value and value * factor)
    collected = collect([shard], results)
    assert sum(f"asv's {metric} of it is" in reason for reason in collected.refused) == 2
    assert not (results / "records").exists()


def test_a_number_that_was_lost_is_taken_only_if_it_is_of_the_record_that_is_kept(shard, results):
    collect([shard], results)
    whole = numbers(results)
    asv_file(results).unlink()
    honest = asv_file(shard).read_text()
    with_numbers(shard, "ppca.Sampling.track_sampling", lambda value: value and value / 1000)
    assert sum("which none of its trials is" in reason for reason in collect([shard], results).refused) == 2
    assert not asv_file(results).exists()
    asv_file(shard).write_text(honest)
    collect([shard], results)
    assert numbers(results) == whole


def test_of_a_measurement_that_failed_there_is_no_number(shard, results):
    collect([shard], results)
    before = numbers(results)
    documents = json.loads((shard / RECORD).read_text())
    failed = make.failed(get_stack(TAG), *CELLS[0], "why", TASK.protocol)[0]
    failed |= {"settings": documents[1]["settings"] | {"seed": 99}}
    make.write_records(shard, TAG, [*documents, failed | {"kind": "warm"}])
    with_numbers(shard, "ppca.Sampling.track_sampling", lambda value: value and value / 1000)
    collect([shard], results)
    assert numbers(results) == {c: v for c, v in before.items() if c != ("'pymc-c'", "500")}


def test_no_number_is_taken_of_what_was_not_planned_however_known_its_record_is(shard, results):
    make.write_records(shard, TAG, make.failed(get_stack(TAG), "ppca", 500, "blackjax", "why", TASK.protocol))
    collect([shard], results)
    before = {name: (results / name).read_bytes() for name in written(results)}
    document = json.loads(asv_file(shard).read_text())
    for row in document["results"].values():
        row[0] = [1e-5] * len(row[0])
    asv_file(shard).write_text(json.dumps(document))
    for cells in (frozenset({("discrete", 100, "pymc-c")}), ALL):
        collect([shard], results, replace(TASK, cells=cells))
        assert {name: (results / name).read_bytes() for name in written(results)} == before


def test_no_number_is_taken_of_another_machine(shard, results):
    collect([shard], results)
    make.build(shard, [get_stack(TAG)], CELLS, machine="other")
    make.write_records(shard, TAG, json.loads((results / RECORD).read_text()))
    (shard / f"records/other/v6.4.0/ppca-500-pymc-c.{STAMP}.json").unlink()
    (shard / f"records/other/v6.4.0/ppca-500-nutpie-numba.{STAMP}.json").unlink()
    collect([shard], results, replace(TASK, machine="other"))
    rows = [json.loads(p.read_text())["results"] for p in (results / "asv/other").glob("*-stack-*.json")]
    assert rows in ([], [{}])


def test_a_measurement_has_no_more_trials_than_were_planned(shard, results):
    documents = json.loads((shard / RECORD).read_text())
    make.write_records(shard, TAG, [*documents, documents[-1]])
    assert "it has 4 trials, and 3 at most were to be run" in refused(shard, results, replace(TASK, trials=3))


@pytest.mark.parametrize(
    "row",
    [
        [[1.0], [], "1", 10**15, 1.0], [[1.0], [], "1", -1, 1.0], [[1.0], [], "1", float("nan"), 1.0],
        [[1.0], [], "1", 1, -1.0], [[1.0], [], "1", 1, 1.0, [1.0], [1.0], [1.0], [None], [1], [1]],
        [[1.0], [], "1", 1, 1.0, [1.0], [1.0]],
    ],
)  # fmt: skip
def test_what_asv_could_not_show_is_refused(shard, results, row):
    document = json.loads(asv_file(shard).read_text())
    document["results"]["imports.Import.timeraw_pymc"] = row
    asv_file(shard).write_text(json.dumps(document))
    assert "of imports.Import.timeraw_pymc " in refused(shard, results)


def test_a_file_of_a_million_mistakes_is_refused_for_the_first(shard, results):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for content in (
        "[" + "{}," * 1_600_000 + "{}]",
        json.dumps([{"diagnostics": {str(i): {} for i in range(300_000)}}]),
    ):
        (shard / RECORD).write_text(content)
        assert RECORD in refused(shard, results)
    documents = json.loads((shard / RECORD.replace("pymc-c", "nutpie-numba")).read_text())
    documents[0]["provenance"]["blas"] = [{}] * 1_000_000
    (shard / RECORD).write_text(json.dumps(documents))
    refused(shard, results)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KiB
