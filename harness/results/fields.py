"""What a field of a record may hold: bounded, strict, and fit to be shown. It must not know which fields there are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from harness.output import printable

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
Name = Annotated[str, StringConstraints(pattern=rf"^{NAME}$", max_length=60)]
"""Of a model or a backend: it becomes part of file names and addresses."""
_LONGEST_REASON = 2000


def _shown(text: object) -> object:
    """Text that a page, a feed and a terminal can show: without control characters, and not endless."""
    if not isinstance(text, str):
        return text
    text = printable(text)
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + " …"


Text = Annotated[str, BeforeValidator(_shown)]
# Bounds that no measurement comes near: beyond them a file is damaged, and would damage what is computed from it.
Seconds = Annotated[float, Field(gt=1e-9, lt=1e9)]
NotNegative = Annotated[float, Field(ge=0, lt=1e15)]
Number = Annotated[float, Field(gt=-1e15, lt=1e15)]
Positive = Annotated[float, Field(gt=1e-50, lt=1e15)]
Count = Annotated[int, Field(ge=0, lt=10**15)]
Outcome = Literal["ok", "unsupported", "failed", "invalid"]


def same(one: float, other: float) -> bool:
    """Within a hundredth: what is added up is what was measured."""
    return abs(one - other) <= 0.01 * max(abs(one), abs(other)) + 1e-6
