"""Stacks whose interpreter leaves a planned record at once, to test who runs when. Nothing is measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness.measuring.rounds import Arm
from harness.stacks.locks import get_stack
from tests.made_records import document

DESCRIPTION = {"protocol": 5, "code_sha256": "code"}
"""What the measured code would say of itself, where `python -m sampling` is asked for a trial."""
_FAILED = ["schema", "kind", "started", "settings", "round", "code_sha256", "lock_sha256", "protocol", "control",
           "trial_wall_seconds"]  # fmt: skip
# Leaves the record of the trial that it is asked for, as `plan.json` beside it says by the trial's name, or for all.
_PROGRAM = f"""#!{sys.executable} -SE
import json, os, pathlib, random, sys
model, _, n, _, backend, _, folder, _, trial = sys.argv[3:]
here, folder = pathlib.Path(__file__).parent, pathlib.Path(folder)
if (folder / f"{{trial}}.json").exists():
    sys.exit()
with (here / "ran").open("a") as log:
    log.write(f"{{model}} {{trial}}\\n")
plan = json.loads((here / "plan.json").read_text())
planned = plan.get("all", {{}}) | plan.get(trial, {{}})
if "exit" in planned:
    sys.exit(planned["exit"])
kind, _, number = trial.partition("-")
record = json.loads((here / "record.json").read_text())
record |= {{"kind": kind, "round": json.loads(os.environ["BENCH_ROUND"]), "code_sha256": "code"}}
record |= {{"lock_sha256": os.environ["BENCH_LOCK_SHA256"]}}
seed = int(number) if kind == "warm" else 1000 * int(number)
record["settings"] |= {{"model": model, "n": int(n), "backend": backend, "seed": seed}}
if kind == "cold":
    record |= {{"effective_draws": None, "time_to_answer_seconds": None}}
factor = random.Random(f"{{here}} {{trial}}").lognormvariate(0, planned.pop("noise", 0))
for times in (record["clocks"], *record["phases"].values(), record):
    for name in [name for name in times if name.endswith("_seconds") or times is not record] if times else ():
        if isinstance(times[name], float):
            times[name] *= factor
if "outcome" in planned:
    record = {{k: v for k, v in record.items() if k in {_FAILED!r}}} | {{"reason": "why"}}
record |= planned
folder.mkdir(parents=True, exist_ok=True)
(folder / "home").mkdir(exist_ok=True)
(folder / "home.json").write_text("{{}}")
(folder / f"{{trial}}.json").write_text(json.dumps(record))
"""


def arm(folder: Path, name: str, plan: dict | None = None, **record) -> Arm:
    """An arm whose trials leave `document(**record)`, changed as `plan` says by a trial's name, or by "all"."""
    place = folder / name / "bin"
    place.mkdir(parents=True, exist_ok=True)
    (place / "record.json").write_text(json.dumps(document(**record)))
    (place / "plan.json").write_text(json.dumps(plan or {}))
    (place / "python").write_text(_PROGRAM)
    (place / "python").chmod(0o755)
    return Arm(name, get_stack("v6.4.0"), folder / name, folder / "records" / name)


def ran(one: Arm) -> list[str]:
    """The trials that were run in an arm's environment, in order."""
    log = one.environment / "bin/ran"
    return log.read_text().splitlines() if log.exists() else []
