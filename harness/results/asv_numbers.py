"""What asv's own results say: of which parameter sets they hold a number. It must not know who measured them."""

import json
import math
from collections.abc import Mapping
from itertools import product
from pathlib import Path

from harness.results.metrics import COLD_SETUP


def sampled(results: Mapping) -> set[tuple[str, int, str]]:
    """The parameter sets (model, n, backend) for which `results` of asv, by benchmark, have a time of setup."""
    keys = set()
    for name, (values, parameters, *_) in results.items():
        model, _, metric = name.partition(".")
        if metric == COLD_SETUP.benchmark:
            for value, (backend, n) in zip(values or (), product(*parameters), strict=False):
                if isinstance(value, int | float) and not math.isnan(value):
                    keys.add((model, int(n), backend.strip("'")))
    return keys


def asv_numbers(folder: Path, commit: str) -> set[tuple[str, int, str]]:
    """The (model, n, backend) for which asv's results of a stack hold a time of setup; `folder` is of one machine."""
    numbers: set[tuple[str, int, str]] = set()
    for path in folder.glob(f"{commit[:8]}-*.json"):
        try:
            numbers |= sampled(json.loads(path.read_text())["results"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # asv, asked next, refuses it by name
    return numbers
