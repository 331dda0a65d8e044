"""The record: the JSON document that a trial writes. docs/record.md documents every field.

A record is plain data, so that whatever reads it needs nothing of this package; `SCHEMA_VERSION` rises when a
field changes its meaning or goes away, and not when one is added. It must not know how anything is measured.
"""

from __future__ import annotations

import json
from pathlib import Path

SCHEMA_VERSION = 2

OK, UNSUPPORTED, FAILED, INVALID = "ok", "unsupported", "failed", "invalid"


FARTHEST = 1e14
"""As far off as a record says that an answer is. A chain that has run away may be anywhere, and who reads a record
takes no number that is much larger for a measurement."""


def within_reach(number: float) -> float:
    """The number, or the farthest that a record says."""
    return min(max(number, -FARTHEST), FARTHEST)


def write_json(path: Path, document: object) -> None:
    """Write the document whole or not at all: to a neighbour first, which then takes the file's name."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    temporary.replace(path)


def read_record(path: Path) -> dict | None:
    """The record in the file, or None when there is none that can be read: absent, truncated, another schema."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA_VERSION:
        return None
    return document
