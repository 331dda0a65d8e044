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
from pathlib import Path

from sampling.record import OK, read_record, write_json
from sampling.settings import PROTOCOL_VERSION, Settings

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


def measure(
    settings: Settings, folder: Path, warm: int, run: Callable[[Settings, Path, str], dict] | None = None
) -> list[dict]:
    """The records of one cold and `warm` warm trials, kept in `folder`; those already there are not run again.

    A trial that is not `ok` ends the measurement: with the same seed and stack, the next would end the same way.
    """
    if run is None:
        from sampling.trial import run_trial as run
    folder.mkdir(parents=True, exist_ok=True)
    home = folder.resolve() / "home"
    identity = _identity(settings)
    records = []
    for index in range(1 + warm):
        kind = "warm" if index else "cold"
        path = folder / (f"warm-{index}.json" if index else "cold.json")
        record = read_record(path)
        if not _fits(record, identity):
            if kind == "cold":
                shutil.rmtree(home, ignore_errors=True)
            home.mkdir(exist_ok=True)
            record = {**run(settings, home, kind), **identity}
            write_json(path, record)
        records.append(record)
        if record["outcome"] != OK:
            break
    shutil.rmtree(home, ignore_errors=True)
    return records
