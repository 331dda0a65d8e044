"""What measures does not change without a decision about its version: the code of models and trials, comments and
docstrings aside; a new file needs none."""

import json

import pytest

from harness.asv_plugins import measured_code
from harness.errors import BenchError
from harness.suite import inside


def test_a_change_of_what_measures_comes_with_a_decision_about_its_version():
    measured_code.check()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with one model and one module, on record."""
    for folder in ("models", "sampling"):
        (tmp_path / folder).mkdir()
    (tmp_path / "models/coin.py").write_text('"""A coin."""\nSIDES = 2\n')
    (tmp_path / "models/_coin.csv").write_text("heads,tails\n")
    (tmp_path / "sampling/toss.py").write_text("def toss():\n    return 4\n")
    monkeypatch.setattr(measured_code, "PATH", tmp_path / "sampling/protocol.json")
    monkeypatch.setattr(measured_code, "digests", lambda root=tmp_path, now=measured_code.digests: now(root))
    kept = {"version": inside()["protocol"], "files": measured_code.digests()}
    (tmp_path / "sampling/protocol.json").write_text(json.dumps(kept))
    return tmp_path


def test_comments_and_docstrings_are_no_code(project):
    (project / "models/coin.py").write_text('"""Two sides."""\n# Heads and tails.\nSIDES = 2\n')
    assert measured_code.check() == "The list of measured code is current: 3 files."


@pytest.mark.parametrize(("file", "text"), [("models/coin.py", "SIDES = 3\n"), ("models/_coin.csv", "heads\n")])
def test_changed_code_needs_another_version_or_a_word(project, file, text):
    (project / file).write_text(text)
    for asked in (measured_code.check, measured_code.update):
        with pytest.raises(BenchError, match=rf"{file} changed and the protocol did not: .*raise PROTOCOL_VERSION"):
            asked()
    assert measured_code.update(same_numbers=True) == f"Wrote sampling/protocol.json ({file} changed)."
    measured_code.check()


def test_what_is_no_python_is_named(project):
    (project / "models/coin.py").write_text("<<<<<<< HEAD\nSIDES = 3\n")
    with pytest.raises(BenchError, match=r"models/coin\.py is no Python \(.*line 1\): mend it"):
        measured_code.check()


def test_changed_code_with_another_version_is_written(project):
    kept = json.loads((project / "sampling/protocol.json").read_text())
    (project / "sampling/protocol.json").write_text(json.dumps(kept | {"version": kept["version"] - 1}))
    (project / "models/coin.py").write_text("SIDES = 3\n")
    with pytest.raises(BenchError, match="the protocol has version"):
        measured_code.check()
    measured_code.update()
    measured_code.check()


def test_a_new_file_needs_no_other_version(project):
    (project / "models/die.py").write_text("SIDES = 6\n")
    (project / "models/_coin.csv").unlink()
    with pytest.raises(BenchError, match=r"models/die.py is new, models/_coin.csv is gone\): `bench check --update`"):
        measured_code.check()
    measured_code.update()
    measured_code.check()


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"version": 5, "files": []}', '{"version": "5", "files": {}}'])
def test_damaged_digests_are_one_sentence(project, damage):
    (project / "sampling/protocol.json").write_text(damage)
    with pytest.raises(BenchError, match="missing or damaged: restore it with `git checkout"):
        measured_code.check()
