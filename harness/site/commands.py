"""`bench pictures`: what the README opens with."""

from __future__ import annotations

from harness import paths
from harness.output import console
from harness.paths import ROOT
from harness.results import store
from harness.suite import inside


def pictures_command() -> None:
    """Draw the README's pictures from what has been measured, and write their sentences beside them."""
    # Charts take most of a second to import.
    from harness.site import pictures

    content, *_ = store.load(store.Results(paths.RESULTS, inside()))
    for path in pictures.write(content, ROOT):
        console.print(f"Wrote {path.relative_to(ROOT)}.", highlight=False)
    console.print("README.md says what they show: read it, and commit all of it.", highlight=False)
