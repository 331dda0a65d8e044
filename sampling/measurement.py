"""A measurement of one parameter set: cold trials and warm ones, each record in a file of its own.

What has been recorded is not run again, so that an interrupted measurement goes on where it stopped, and several
readers, or rounds of several stacks, can share one measurement. It must not know asv, nor what it is compared with.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path

from sampling.record import INVALID, OK, read_record, write_json
from sampling.settings import COLD, PROTOCOL_VERSION, WARM, Settings, trial_settings

WARM_TRIALS = 2
# Beside the home, for what work it was filled, once it was.
_FILLED = "home.json"
_TRIAL = re.compile(rf"({COLD}|{WARM})-(0|[1-9]\d{{0,5}})")


def warm_trials() -> int:
    """Warm trials per measurement: BENCH_WARM_TRIALS, or 2. Raises ValueError when that is no number from 0 on."""
    text = os.environ.get("BENCH_WARM_TRIALS", str(WARM_TRIALS))
    if not text.isdecimal():
        raise ValueError(f"BENCH_WARM_TRIALS is {text!r}; it must be a whole number, 0 or more.")
    return int(text)


def code_sha256() -> str:
    """Digest of the code that measures: every module of `models` and `sampling`, and the models' files of data."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for path in sorted(
        [*(root / "models").glob("*.py"), *(root / "models").glob("*.csv"), *(root / "sampling").glob("*.py")]
    ):
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


def parse_trial(name: str) -> tuple[str, int]:
    """Kind and number of a trial, from its name such as "warm-3". Raises ValueError when it is none."""
    found = _TRIAL.fullmatch(name)
    if not found or (found[1], found[2]) == (WARM, "0"):
        raise ValueError(f"There is no trial {name!r}: cold ones are cold-0, cold-1, …, warm ones warm-1, warm-2, ….")
    return found[1], int(found[2])


def trial(
    settings: Settings,
    folder: Path,
    kind: str,
    number: int,
    run: Callable[[Settings, Path, str], dict] | None = None,
) -> dict:
    """The record of one trial of the measurement in `folder`; it is run if it is not there.

    Whoever runs the stacks of a round says which round it is, as JSON in BENCH_ROUND; it becomes part of the record.
    """
    if run is None:
        from sampling.trial import run_trial as run
    asked = trial_settings(settings, kind, number)
    identity = _identity(asked)
    path = folder / f"{kind}-{number}.json"
    record = read_record(path)
    if _fits(record, identity):
        return record
    folder.mkdir(parents=True, exist_ok=True)
    with _home(settings, folder, kind) as home:
        record = {**run(asked, home, kind), **identity, "round": json.loads(os.environ.get("BENCH_ROUND", "null"))}
        write_json(path, record)
    return record


def has_caches(settings: Settings, folder: Path) -> bool:
    """Whether a cold trial has filled the home that the warm ones of this work share."""
    try:
        return (folder / "home").is_dir() and json.loads((folder / _FILLED).read_text()) == _identity(settings)
    except (OSError, ValueError):
        return False


@contextmanager
def _home(settings: Settings, folder: Path, kind: str) -> Iterator[Path]:
    """That of a trial: the first cold one fills the home of the warm ones, any other has one that is gone with it."""
    home, filled = folder.resolve() / "home", has_caches(settings, folder)
    if kind == WARM and not filled:
        raise ValueError(f"{folder} has no caches for a warm trial: a cold one makes them.")
    if kind == COLD:
        home = home.with_name("another-home") if filled else home
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
    yield home
    if kind == COLD and filled:
        shutil.rmtree(home, ignore_errors=True)
    elif kind == COLD:
        write_json(folder / _FILLED, _identity(settings))


def _recorded(settings: Settings, folder: Path, kind: str) -> dict[int, dict]:
    """The records of a kind in the folder, by number; what does not stand for this work is removed."""
    found = {}
    for path in folder.glob(f"{kind}-*.json"):
        with suppress(ValueError):
            _, number = parse_trial(path.stem)
            record = read_record(path)
            if _fits(record, _identity(trial_settings(settings, kind, number))):
                found[number] = record
            else:
                path.unlink()
    return found


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
    """The records of the cold and the warm trials kept in `folder`, after at least one and `warm` of them have been
    run; those already there are not run again.

    Each has a seed of its own. A trial that failed, or cannot be, ends the measurement: the next would most often end
    so, too. Of a wrong answer chance may be to blame, which is that of its seed in every release: a trial more, of
    another seed, decides, and a second wrong answer ends the measurement.
    """
    recorded = {kind: _recorded(settings, folder, kind) for kind in (COLD, WARM)}
    if not recorded[COLD]:
        recorded[COLD][0] = trial(settings, folder, COLD, 0, run)
    while True:
        records = [record for kind in (COLD, WARM) for _, record in sorted(recorded[kind].items())]
        wrong = sum(r["outcome"] == INVALID for r in records)
        ended = wrong > 1 or any(r["outcome"] not in (OK, INVALID) for r in records)
        if ended or len(recorded[WARM]) - wrong >= warm:
            return records
        # Caches that are gone are made again.
        kind = WARM if has_caches(settings, folder) else COLD
        number = next(i for i in count(1) if i not in recorded[kind])
        recorded[kind][number] = trial(settings, folder, kind, number, run)
