"""Records whose numbers a test chooses, whole and valid: nobody's measurement."""

from __future__ import annotations

import numpy as np

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


def side_by_side(
    arms: dict[str, dict],
    rounds: int = 8,
    cell: tuple[str, int, str] = ("ppca", 500, "pymc-c"),
    noise: float = 0.01,
    block: str = "a",
    begins: int = 0,
) -> list[Measurement]:
    """Measurements of these stacks in the same rounds, cold and warm, by tag: `rounds` of each kind.

    Rounds go along the timeline, and back; those that begin with another arm than the first go around its end.

    Each stack has the clocks that are given for it, all times a little off in each trial, and may have `changes` of its
    own.
    """
    rng = np.random.default_rng(20261127)
    found = []
    for arm, (tag, given) in enumerate(arms.items()):
        changes = dict(given)
        seconds = {"setup": 3.0, "tuning": 0.5, "drawing": 1.5, "finish": 0.5} | changes.pop("clocks", {})
        trials = []
        for kind, numbers in (("cold", range(rounds)), ("warm", range(1, rounds + 1))):
            for number in numbers:
                factor = float(np.exp(noise * rng.normal()))
                along = (arm - begins) % len(arms)
                position = along if number % 2 == 0 else len(arms) - 1 - along
                told = {"block": block, "number": number, "position": position, "stacks": list(arms)}
                seed = number if kind == "warm" else 10**6 * number
                trials.append(
                    document(
                        kind, seed=seed, effective=400.0 if kind == "warm" else None, round=told,
                        clocks={name: s * factor for name, s in seconds.items()},
                        settings=dict(zip(("model", "n", "backend"), cell, strict=True)) | {"seed": seed},
                        **changes,
                    )
                )  # fmt: skip
        found.append(measured(tag, *trials))
    return found
