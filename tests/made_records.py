"""Records whose numbers a test chooses, whole and valid: nobody's measurement."""

from __future__ import annotations

from harness.results.records import Measurement, Record

SETTINGS = {"model": "ppca", "n": 500, "backend": "pymc-c", "chains": 4, "cores": 4}


def clocks(
    setup: float = 3.0, tuning: float | None = 0.5, drawing: float | None = 1.5, finish: float = 0.5,
    sampling: float | None = None,
) -> dict:  # fmt: skip
    """Clocks that add up; `sampling` is to be given where tuning and drawing are not told apart."""
    sampling = tuning + drawing if sampling is None else sampling
    return {
        "clocks": {
            "setup_wall_seconds": setup, "sampling_wall_seconds": sampling, "tuning_wall_seconds": tuning,
            "drawing_wall_seconds": drawing, "finish_wall_seconds": finish,
            "total_wall_seconds": setup + sampling + finish, "call_wall_seconds": 0.9 * setup + sampling + finish,
        },
        "phases": {
            "setup": {"import": 0.75 * setup, "compiling_c": 0.25 * setup}, "finish": {"checking": finish, "other": 0.0}
        },
    }  # fmt: skip


def document(kind: str = "warm", seed: int = 1, effective: float | None = 400.0, **changes) -> dict:
    """A valid trial, with the clocks of `clocks()` unless others are given; one without effective draws was not judged.

    `clocks` may be a dictionary of arguments for `clocks()`.
    """
    timed = clocks(**changes.pop("clocks", {}))
    c = timed["clocks"]
    told = effective and c["tuning_wall_seconds"] is not None
    answer = (
        c["setup_wall_seconds"] + c["tuning_wall_seconds"] + c["drawing_wall_seconds"] * 1000 / effective
        + c["finish_wall_seconds"]
    ) if told else None  # fmt: skip
    return {
        "schema": 2, "kind": kind, "started": "2026-11-01T00:00:00+00:00", "protocol": 5, "lock_sha256": "lock",
        "settings": {**SETTINGS, "seed": seed}, "outcome": "ok", "reason": None, **timed, "effective_draws": effective,
        "time_to_answer_seconds": answer, "peak_memory_mib": 512.0, "trial_wall_seconds": 10.0,
        "counters": {"gradients_tuning": 1000, "gradients_drawing": 3000, "divergences": 0},
        "control": {"drift": 1.02, "contaminated": False}, **changes,
    }  # fmt: skip


def read(trial: dict) -> Record:
    """The trial as it is read from a file."""
    return Record.model_validate(
        {"schema_version": trial["schema"], **{k: v for k, v in trial.items() if k != "schema"}}
    )


def measured(tag: str, *trials: dict) -> Measurement:
    """The trials as a measurement."""
    s = trials[0]["settings"]
    return Measurement(tag, s["model"], s["n"], s["backend"], tuple(map(read, trials)))
