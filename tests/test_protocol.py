"""What measures does not change without its version: the code of models and trials, comments and docstrings aside."""

import json
from pathlib import Path

from sampling.measurement import code_sha256
from sampling.settings import PROTOCOL_VERSION

PINNED = Path(__file__).with_name("protocol.json")


def test_a_change_of_what_measures_comes_with_a_decision_about_its_version():
    pinned = json.loads(PINNED.read_text())
    assert pinned == {"version": PROTOCOL_VERSION, "code_sha256": code_sha256()}, (
        "models/ or sampling/ changed. If any measured number can differ, raise PROTOCOL_VERSION in "
        f"sampling/settings.py; then, or else, write {code_sha256()} and {PROTOCOL_VERSION} to tests/protocol.json."
    )
