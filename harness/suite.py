"""What the suite says of itself: which commit it is, and what the measured code contains.

The measured code (`sampling`, `models`) is known here as a command line that answers in JSON, and never imported.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache

from harness.errors import BenchError
from harness.paths import ROOT


def suite_commit() -> str | None:
    """Return the suite's own commit, with "-dirty" when its files differ from it, or None outside a Git checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


@cache
def inside() -> Mapping:
    """What the measured code says of itself: models with their sizes, backends, and the protocol. It is asked once."""
    answer = subprocess.run(
        [sys.executable, "-m", "sampling", "--describe"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        said = answer.stderr.strip().splitlines()[-1]
        sentence = said.removeprefix("python -m sampling: ")
        raise BenchError(sentence if sentence != said else f"The measured code cannot say what it contains: {said}")
    return json.loads(answer.stdout)


@cache
def model_data(model: str, n: int) -> Mapping | None:
    """The data of a model, as the measured code prints them, once; None where it has no such model or size."""
    answer = subprocess.run(
        [sys.executable, "-m", "sampling", model, "--n", str(n), "--data"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return json.loads(answer.stdout) if answer.returncode == 0 else None
