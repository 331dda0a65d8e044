"""A measurement of one parameter set: a cold trial and warm ones in the same home, each record in a file of its own.

What has been recorded is not run again, so that an interrupted measurement goes on where it stopped and several readers
can share one measurement. It must not know asv.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path

from sampling.record import INVALID, OK, read_record, write_json
from sampling.settings import PROTOCOL_VERSION, Settings, trial_settings

WARM_TRIALS = 2


def warm_trials() -> int:
    """Warm trials per measurement: BENCH_WARM_TRIALS, or 2. Raises ValueError when that is no number from 0 on."""
    text = os.environ.get("BENCH_WARM_TRIALS", str(WARM_TRIALS))
    if not text.isdecimal():
        raise ValueError(f"BENCH_WARM_TRIALS is {text!r}; it must be a whole number, 0 or more.")
    return int(text)


def code_sha256() -> str:
    """Digest of the code that measures: every module of `models` and `sampling`."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for path in sorted([*(root / "models").glob("*.py"), *(root / "sampling").glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _identity(settings: Settings) -> dict:
    """What a record must share with the work asked for to stand for it: settings, protocol, code and stack."""
    return {
        "settings": asdict(settings),
        "protocol": PROTOCOL_VERSION,
        "code_sha256": code_sha256(),
        "lock_sha256": os.environ.get("BENCH_LOCK_SHA256"),
    }


def _fits(record: dict | None, identity: dict) -> bool:
    return record is not None and all(record.get(key) == value for key, value in identity.items())


def why_not(records: list[dict]) -> dict | None:
    """The record that says why a measurement has no numbers, or None: it is not `ok`, and no later one was right."""
    for index, record in enumerate(records):
        later = records[index + 1 :]
        if record["outcome"] == INVALID and later and all(r["outcome"] == OK for r in later):
            continue
        if record["outcome"] != OK:
            return record
    return None


def measure(
    settings: Settings, folder: Path, warm: int, run: Callable[[Settings, Path, str], dict] | None = None
) -> list[dict]:
    """The records of one cold and `warm` warm trials, kept in `folder`; those already there are not run again.

    Each has a seed of its own. A trial that failed, or cannot be, ends the measurement: the next would most often end
    so, too. Of a wrong answer chance may be to blame, which is that of its seed in every release: a trial more, of
    another seed, decides, and a second wrong answer ends the measurement.
    """
    if run is None:
        from sampling.trial import run_trial as run
    folder.mkdir(parents=True, exist_ok=True)
    home = folder.resolve() / "home"
    records: list[dict] = []
    wrong = 0
    for index in count():
        if index - wrong > warm or wrong > 1:
            break
        asked = trial_settings(settings, index)
        identity = _identity(asked)
        kind = "warm" if index else "cold"
        path = folder / (f"warm-{index}.json" if index else "cold.json")
        record = read_record(path)
        if not _fits(record, identity):
            if kind == "cold":
                shutil.rmtree(home, ignore_errors=True)
            home.mkdir(exist_ok=True)
            record = {**run(asked, home, kind), **identity}
            write_json(path, record)
        records.append(record)
        wrong += record["outcome"] == INVALID
        if record["outcome"] not in (OK, INVALID):
            break
    shutil.rmtree(home, ignore_errors=True)
    return records
