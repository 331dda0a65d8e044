"""The records of a real measurement of two releases, kept in tests/records: still readable, documented, and whole."""

import json
import re
from pathlib import Path

import pytest

from harness.results.records import read_records
from sampling.record import SCHEMA_VERSION
from tests.trials import parts_sum_to_the_whole

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "tests/records").glob("*/*.json"))
FOLDERS = [folder for kind in ("records", "sweep") for folder in sorted((ROOT / "results" / kind).glob("*/"))]
KEPT = [sorted(folder.glob("v*/*.json"))[-1] for folder in FOLDERS]
KEPT = [path for path in KEPT if json.loads(path.read_text())[0]["schema"] == SCHEMA_VERSION]
"""Of each machine one that was measured, and one that was swept."""
DOCUMENTED = set(re.findall(r"`(\w+)`", (ROOT / "docs/record.md").read_text()))


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def test_both_releases_have_every_backend_of_both_models():
    assert len(FILES) == 2 * 2 * 10


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_record_of_this_schema_can_be_read(path):
    records = read_records(path)
    assert records[0].kind == "cold"
    assert records[0].settings.backend in path.stem
    assert all(r.reason for r in records if r.outcome != "ok")


@pytest.mark.parametrize("path", [*FILES, *KEPT], ids=name)
def test_every_field_of_a_record_is_documented(path):
    for record in json.loads(path.read_text()):
        parts = ("settings", "clocks", "phases", "counters", "resolved", "graph", "control", "provenance", "round")
        nested = [record[part] for part in parts if record.get(part)]
        nested += list(record.get("phases", {}).values())
        nested += list(record.get("diagnostics", {}).values())
        fields = set(record).union(*nested)
        assert fields <= DOCUMENTED, f"docs/record.md does not name {sorted(fields - DOCUMENTED)}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_parts_of_a_trial_sum_to_the_whole(path):
    for record in json.loads(path.read_text()):
        if record["outcome"] != "ok":
            continue
        parts_sum_to_the_whole(record)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_valid_rows_agree_with_the_exact_posterior(path):
    for record in json.loads(path.read_text()):
        if record["outcome"] == "ok":
            assert "diagnostics" in record or record["kind"] == "cold"
            for d in record.get("diagnostics", {}).values():
                assert max(abs(d["z_mean"]), abs(d["z_second_moment"])) < 5
                assert d["rhat"] < 1.1


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_record_names_no_path_and_no_user(path):
    assert "/home/" not in path.read_text()
    assert "/root" not in path.read_text()
