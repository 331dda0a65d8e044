"""How much a machine and the samplers vary by themselves is what control workloads, samples and seeds show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.judging import noise
from harness.judging.noise import Noise
from harness.results.metrics import COLD_SETUP, MEMORY, SAMPLING
from harness.results.parts import Control
from harness.results.records import Measurement
from tests.made_records import document, read
from tests.made_records import measured as made_measured


def measured(sampling, effective=(250.0,) * 3, nodes=26, draws="a", outcome="ok", setup=5.0) -> Measurement:
    """A measurement with these sampling seconds, one for each warm trial, after a cold one."""
    changes = {
        "outcome": outcome, "reason": "why", "graph": {"nodes": nodes, "replacements": 5}, "draws_sha256": draws,
        "peak_memory_mib": None, "counters": {"gradients_tuning": 10_000, "gradients_drawing": 10_000},
    }  # fmt: skip
    trials = [document("cold", seed=0, effective=None, clocks={"setup": setup}, **changes)]
    for i, (seconds, ess) in enumerate(zip(sampling, effective, strict=False), start=1):
        parts = {"setup": setup, "tuning": 0.25 * seconds, "drawing": 0.75 * seconds}
        trials.append(document(seed=i, effective=ess, clocks=parts, **changes))
    return made_measured("v6.4.0", *trials)


def test_noise_is_what_control_workloads_samples_and_seeds_show():
    rng = np.random.default_rng(2)
    run = []
    for _ in range(150):
        m = measured(rng.lognormal(0, 0.3, size=3))
        controls = [
            Control(drift=1, contaminated=False, before={"k": 0.01 * rng.lognormal(0, 0.07)}) for _ in m.records
        ]
        records = [r.model_copy(update={"control": c}) for r, c in zip(m.records, controls, strict=True)]
        run.append(replace(m, records=tuple(records)))
    # A release's sampler may draw better than another's: that is no luck.
    drawn = [
        read(document(seed=seed, effective=(1 + stack) * 200 * rng.lognormal(0, 0.2), lock_sha256=f"lock {stack}"))
        for stack in range(10)
        for seed in range(30)
    ]
    found = noise.noise(run, drawn)
    assert found.speed == pytest.approx(0.07, rel=0.15)
    assert found.effective_draws == pytest.approx(0.2, rel=0.15)
    assert found.of_sampler["ppca", 500, "pymc-c"] == found.effective_draws
    assert (found.trials, found.seeds) == (600, 300)
    # Setup was always the same: there it is the machine alone, and in memory nothing.
    assert found.of(SAMPLING) == pytest.approx(0.3, rel=0.2)
    assert found.of(COLD_SETUP) == found.speed
    assert found.of(MEMORY) == 0.0


def test_where_each_stack_has_one_seed_all_stacks_together_tell():
    rng = np.random.default_rng(5)
    drawn = [read(document(effective=200 * rng.lognormal(0, 0.2), lock_sha256=f"lock {i}")) for i in range(200)]
    found = noise.noise([], drawn)
    assert found.of_sampler["ppca", 500, "pymc-c"] == pytest.approx(0.2, rel=0.15)
    assert noise.noise([], drawn[:4]).effective_draws is None


def test_without_enough_controls_a_tenth_is_assumed():
    assert noise.noise([], []) == Noise(noise.UNKNOWN_SPEED, 0, None, 0)
