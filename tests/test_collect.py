"""What comes from elsewhere is taken in once, whole and checked, and does nothing but be a result."""

from __future__ import annotations

import json
import os
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from harness.results import collecting
from harness.stacks.locks import get_stack, recorded_hashes
from harness.suite import inside
from tests import site_results as make

CELLS = [("ppca", 500, "pymc-c"), ("ppca", 500, "nutpie-numba")]
RECORD = "records/box/v6.4.0/ppca-500-pymc-c.json"


@pytest.fixture(scope="module")
def protocol() -> int:
    return inside()["protocol"]


@pytest.fixture
def shard(tmp_path) -> Path:
    """What one runner left."""
    make.build(tmp_path / "shard", [get_stack("v6.4.0")], CELLS)
    return tmp_path / "shard"


@pytest.fixture
def results(tmp_path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def asv_file(folder: Path) -> Path:
    return folder / "asv/box" / f"{recorded_hashes()['v6.4.0'][:8]}-stack-py3.12.json"


def test_a_shard_is_taken_in_once(shard, results, protocol):
    first = collecting.collect([shard], results, protocol)
    assert (len(first.new), first.refused) == (4, [])  # two records, asv's result, the machine
    assert (results / "records/box/v6.4.0/ppca-500-pymc-c.json").exists()
    assert json.loads(asv_file(results).read_text()) == json.loads(asv_file(shard).read_text())
    again = collecting.collect([shard, shard], results, protocol)
    assert (again.new, again.refused) == ([], [])


def test_nothing_that_asv_really_wrote_is_refused(tmp_path, results, protocol):
    measured = Path(__file__).resolve().parents[1] / "results/asv"
    shutil.copytree(measured, tmp_path / "shard/asv")
    taken = collecting.collect([tmp_path / "shard"], results, protocol)
    assert taken.refused == []
    assert {p.name for p in results.rglob("*.json")} >= {p.name for p in measured.rglob("*-py3*.json")}


def test_what_is_kept_is_not_overwritten_by_a_second_run(shard, results, protocol):
    collecting.collect([shard], results, protocol)
    kept = {p: p.read_bytes() for p in results.rglob("*.json")}
    rng = np.random.default_rng(9)
    other = make.measurement(get_stack("v6.4.0"), *CELLS[0], rng, protocol)
    make.write_records(shard, "v6.4.0", other)
    make.write_asv(shard, {"v6.4.0": {CELLS[0]: other}})
    assert collecting.collect([shard], results, protocol).new == []
    assert {p: p.read_bytes() for p in results.rglob("*.json")} == kept


def test_two_shards_that_measured_different_cells_of_a_stack_add_up(tmp_path, results, protocol):
    for i, cell in enumerate(CELLS):
        make.build(tmp_path / str(i), [get_stack("v6.4.0")], [cell])
    collecting.collect([tmp_path / "0", tmp_path / "1"], results, protocol)
    table = json.loads(asv_file(results).read_text())["results"]["ppca.Sampling.track_sampling"][0]
    assert sum(value is not None for value in table) == 2
    assert len(list((results / "records").rglob("*.json"))) == 2


def numbers(folder: Path, benchmark: str = "ppca.Sampling.track_sampling") -> dict[tuple, float]:
    """asv's numbers by parameters."""
    row = json.loads(asv_file(folder).read_text())["results"][benchmark]
    return {cell: value for cell, value in zip(product(*row[1]), row[0], strict=True) if value is not None}


def test_asvs_number_is_taken_with_the_record_of_the_same_trials_or_not_at_all(tmp_path, results, protocol):
    cell, name = ("'pymc-c'", "500"), "records/box/v6.4.0/ppca-500-pymc-c.json"
    for i, seed in enumerate((1, 2)):
        rng = np.random.default_rng(seed)
        cells = {c: make.measurement(get_stack("v6.4.0"), *c, rng, protocol) for c in CELLS}
        for documents in cells.values():
            make.write_records(tmp_path / str(i), "v6.4.0", documents)
        make.write_asv(tmp_path / str(i), {"v6.4.0": cells})
    kept = numbers(tmp_path / "0")
    (tmp_path / "0" / name).write_text("[{")
    assert len(collecting.collect([tmp_path / "0"], results, protocol).refused) == 1
    assert numbers(results) == {c: v for c, v in kept.items() if c != cell}
    collecting.collect([tmp_path / "1"], results, protocol)
    assert numbers(results) == kept | {cell: numbers(tmp_path / "1")[cell]}


def test_a_backend_that_was_added_keeps_the_numbers_of_the_others(shard, results, protocol):
    collecting.collect([shard], results, protocol)
    before = numbers(results)
    cells = [*CELLS, ("ppca", 500, "blackjax")]
    make.build(shard, [get_stack("v6.4.0")], cells)
    collecting.collect([shard], results, protocol)
    after = numbers(results)
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {("'blackjax'", "500")}


def test_a_number_of_another_version_of_a_benchmark_is_not_taken(shard, results, protocol):
    benchmarks = json.loads((shard / "asv/benchmarks.json").read_text())
    benchmarks["ppca.Sampling.track_sampling"]["version"] = "other"
    (results / "asv").mkdir()
    (results / "asv/benchmarks.json").write_text(json.dumps(benchmarks))
    collecting.collect([shard], results, protocol)
    assert "ppca.Sampling.track_sampling" not in json.loads(asv_file(results).read_text())["results"]
    assert numbers(results, "ppca.Sampling.track_wall")


def test_a_record_with_more_trials_takes_the_place_of_one_with_fewer(shard, results, protocol):
    path = "records/box/v6.4.0/ppca-500-pymc-c.json"
    (results / path).parent.mkdir(parents=True)
    (results / path).write_text(json.dumps(json.loads((shard / path).read_text())[:1]))
    collecting.collect([shard], results, protocol)
    assert len(json.loads((results / path).read_text())) == 3


def refused(shard: Path, results: Path, protocol: int) -> str:
    """The reason of the only file that is refused; all others are taken."""
    collected = collecting.collect([shard], results, protocol)
    assert len(collected.refused) == 1, collected.refused
    return collected.refused[0]


@pytest.mark.parametrize(
    "name",
    [
        "records/box/v6.4.0/run.sh", ".github/workflows/x.yml", "records/box/v6.4.0/ppca-500-pymc-c.json.part",
        "records/../../x.json", "stacks/v9.9.9.txt", "records/b x/v6.4.0/ppca-500-pymc-c.json", "asv/box/x.json",
        "records/box/v6.4.0/deeper/ppca-500-pymc-c.json", "-rf",
    ],
)  # fmt: skip
def test_a_file_with_another_name_than_a_result_is_refused(shard, results, protocol, name):
    path = Path(os.path.normpath(shard / name))
    if shard not in path.parents:
        pytest.skip("no such name can be in a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[]")
    assert "not the name of a result" in refused(shard, results, protocol)
    assert not (results / path.relative_to(shard)).exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "records/box/v6.4.0/ppca-500-pymc-c.json", "."])
def test_a_link_is_refused_wherever_it_leads(shard, results, protocol, target):
    (shard / "records/box/v6.4.0/ppca-500-blackjax.json").symlink_to(target)
    assert "not a plain file" in refused(shard, results, protocol)
    assert not (results / "records/box/v6.4.0/ppca-500-blackjax.json").exists()


def test_a_pipe_is_refused_and_not_read(shard, results, protocol):
    os.mkfifo(shard / "records/box/v6.4.0/ppca-500-blackjax.json")
    assert "not a plain file" in refused(shard, results, protocol)


def test_a_large_file_is_refused_without_being_read(shard, results, protocol):
    with (shard / "records/box/v6.4.0/ppca-500-blackjax.json").open("wb") as file:
        file.truncate(collecting.LARGEST_FILE + 1)
    assert "larger than 5 MB" in refused(shard, results, protocol)


def test_a_folder_of_a_gigabyte_is_refused_as_a_whole(shard, results, protocol):
    with (shard / "rest").open("wb") as file:
        file.truncate(10**9)
    assert "more than 200 MB" in refused(shard, results, protocol)
    assert not list(results.rglob("*.json"))


def test_a_folder_that_is_a_link_or_no_folder_is_refused(shard, results, protocol, tmp_path):
    (tmp_path / "link").symlink_to(shard)
    for source in (tmp_path / "link", tmp_path / "nothing"):
        assert "no folder of results" in refused(source, results, protocol)
    assert not list(results.rglob("*.json"))


def test_a_source_that_is_refused_as_a_whole_keeps_no_other_away(shard, results, protocol, tmp_path):
    collected = collecting.collect([tmp_path / "nothing", shard], results, protocol)
    assert (len(collected.refused), len(collected.new)) == (1, 4)


@pytest.mark.skipif(os.name != "posix", reason="no such name can be in a folder")
@pytest.mark.parametrize("name", [b"x\n::error::injected", b"x\xff", b"\x1b[31m", b"x\xe2\x80\xaey"])
def test_a_name_is_told_so_that_it_does_nothing(shard, results, protocol, name):
    (Path(os.fsdecode(bytes(shard) + b"/" + name))).write_text("x")
    reason = refused(shard, results, protocol)
    assert reason.isprintable()
    assert reason.isascii()


def test_a_record_is_kept_as_it_came_and_never_larger(shard, results, protocol):
    documents = json.loads((shard / RECORD).read_text())
    for document in documents:
        document["more"] = [[[1] * 1000] * 10] * 10
    (shard / RECORD).write_text(json.dumps(documents, separators=(",", ":")))
    collecting.collect([shard], results, protocol)
    assert (results / RECORD).read_bytes() == (shard / RECORD).read_bytes()


def test_a_good_measurement_is_not_overwritten_by_one_that_failed(shard, results, protocol):
    collecting.collect([shard], results, protocol)
    kept = (results / RECORD).read_bytes()
    other = make.measurement(get_stack("v6.4.0"), *CELLS[0], np.random.default_rng(9), protocol)
    failed = make.failed(get_stack("v6.4.0"), *CELLS[0], "why", protocol)[0] | {"settings": other[0]["settings"]}
    make.write_records(shard, "v6.4.0", [*other, failed | {"kind": "warm"}])
    assert collecting.collect([shard], results, protocol).new == []
    assert (results / RECORD).read_bytes() == kept
    documents = json.loads(kept)
    make.write_records(shard, "v6.4.0", [*documents, failed | {"kind": "warm"}])
    assert RECORD in collecting.collect([shard], results, protocol).new, "a trial more of the same measurement is news"


def test_a_number_that_was_refused_comes_with_the_record_of_its_own_trials(tmp_path, results, protocol):
    for i, seed in enumerate((1, 2)):
        rng = np.random.default_rng(seed)
        cells = {c: make.measurement(get_stack("v6.4.0"), *c, rng, protocol) for c in CELLS}
        for documents in cells.values():
            make.write_records(tmp_path / str(i), "v6.4.0", documents)
        make.write_asv(tmp_path / str(i), {"v6.4.0": cells})
    asv_file(tmp_path / "0").write_text("{")
    refused(tmp_path / "0", results, protocol)
    collecting.collect([tmp_path / "1"], results, protocol)
    assert numbers(results) == numbers(tmp_path / "1")
    assert (results / RECORD).read_bytes() == (tmp_path / "1" / RECORD).read_bytes()


@pytest.mark.parametrize("name", ["asv/box/{}-stack-py3.12.json", "asv/benchmarks.json"])
def test_what_is_kept_and_damaged_is_not_blamed_on_the_shard(shard, results, protocol, name):
    path = results / name.format(recorded_hashes()["v6.4.0"][:8])
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert f"what is kept already in {path.name} is damaged, and has to be restored" in refused(
        shard, results, protocol
    )


def test_a_table_that_would_grow_is_refused(shard, results, protocol):
    path = asv_file(shard)
    document = json.loads(path.read_text())
    names = [str(i) for i in range(10)]
    rows = {f"ppca.Sampling.track_{i}": [None, [names] * 3, "3"] for i in range(1000)}
    path.write_text(json.dumps(document | {"results": rows}))
    assert "more values than there are parameters" in refused(shard, results, protocol)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text[:100], "pymc-c.json: not a list of records ("),
        (lambda text: "[" * 100_000, "pymc-c.json: not a list of records ("),
        (lambda text: text.replace('"pymc-c"', '"blackjax"'), "something else than its name says"),
        (lambda text: text.replace('"protocol": 4', '"protocol": 2'), "not measured by protocol"),
        (lambda text: text.replace(get_stack("v6.4.0").sha256, "0" * 64), "not measured in the stack"),
    ],
)
def test_a_damaged_or_forged_record_is_refused_and_the_rest_taken(shard, results, protocol, change, why):
    path = shard / RECORD
    path.write_text(change(path.read_text()))
    reason = refused(shard, results, protocol)
    assert why in reason
    assert str(shard.parent) not in reason
    assert (results / "records/box/v6.4.0/ppca-500-nutpie-numba.json").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"commit_hash": "0" * 40},
        {"params": {"machine": "other"}},
        {"results": {"ppca.Sampling.track_wall": [["<script>"], [], "3"]}},
        {"results": {"ppca.Sampling.track_wall": [[1e999], [], "3"]}},
        {"results": {"ppca.Sampling.track_wall": [[10**400], [], "3"]}},
        {"results": {"ppca.Sampling.track_wall": []}},
        {"results": {"../../x": [[1.0], [], "3"]}},
        {"results": []},
        {"result_columns": ["result"]},
        {"version": 1},
        {"results": {"ppca.Sampling.track_wall": [[1.0], [["<b>"]], "3"]}},
        {"results": {"ppca.Sampling.track_wall": [[1.0], [["1"] * 1000] * 30, "3"]}},
        {"results": {"ppca.Sampling.track_wall": [[1.0, 2.0], [["1", "1"]], "3"]}},
        {"results": {"ppca.Sampling.track_wall": [[1.0], [[""]], "3"]}},
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
        {"results": {"ppca.Sampling.track_wall": [[1.0], [], "3", "<img>"]}},
        {"results": {"ppca.Sampling.track_wall": [[1.0], [], "3", None, None, [["<img>"]]]}},
    ],
)
def test_a_forged_result_of_asv_is_refused(shard, results, protocol, change):
    path = asv_file(shard)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    refused(shard, results, protocol)
    assert not asv_file(results).exists()


def test_a_reason_with_line_ends_is_told_in_one_line(shard, results, protocol):
    (shard / "records/box/v6.4.0/ppca-500-blackjax.json").write_text('{"a": "\\n::error::x"}')
    assert "\n" not in refused(shard, results, protocol)
