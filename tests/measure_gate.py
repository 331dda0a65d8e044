"""Measures what docs/method.md says of the gate, as Markdown: `python -m tests.measure_gate`, half an hour.

Trials are those of `tests/exact_draws.py` and `tests/exact_latent.py`, at the protocol's numbers of chains and draws,
seeded.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from harness.judging.agreement import Z_LIMIT, pooled, pooled_spread
from sampling.diagnostics import diagnose
from tests import exact_latent
from tests.exact_draws import LENGTHS, POSTERIORS, pool, reference, rejected, trial

RHO = (0.0, 0.3, 0.5, 0.7)
TRIALS, FAULTY = 300, 100
TRIALS_POOLED, SWEEP = 100, 24


def share(text: int, of: int) -> str:
    return f"{100 * text / of:.1f} %"


def table(head: list[str], rows: list[list[str]]) -> None:
    for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows):
        print("|", " | ".join(row), "|", flush=True)
    print(flush=True)


def false_alarms() -> None:
    """How often the whole gate rejects a correct sampler, latent variables and log densities included."""
    for length in LENGTHS:
        rows = []
        for model in exact_latent.MODELS:
            found = []
            for rho in RHO:
                trials = (exact_latent.raw_trial(model, seed, rho, length) for seed in range(TRIALS))
                verdicts = (exact_latent.examined(model, raw, exact_latent.reported(model, raw)) for raw in trials)
                found.append(share(sum(v.reason is not None for v in verdicts), TRIALS))
            rows.append([f"`{model}`", *found])
        table([f"4 chains of {length} draws", *(f"autocorrelation {rho}" for rho in RHO)], rows)


def rejections(model: str, rho: float, length: int, change: Callable) -> int:
    """How many of a hundred trials the gate calls wrong when every estimand's draws are changed like this."""
    exact = reference(model)
    return sum(
        rejected({k: change(x, exact[k].mean, exact[k].sd) for k, x in draws.items()}, exact)
        for draws in (trial(pool(model), seed, rho, length=length) for seed in range(10_000, 10_000 + FAULTY))
    )


def single() -> None:
    """Of one trial: how often it is rejected when it is wrong, by autocorrelation."""
    faults = {}
    for name, bias in {"1/3": 1 / 3, "1/4": 1 / 4, "1/6": 1 / 6, "1/10": 1 / 10}.items():
        faults[f"bias of {name} sd"] = lambda x, mean, sd, bias=bias: x + bias * sd
    for percent in (25, 20, 15, 10, 5):
        faults[f"sd {percent} % too small"] = lambda x, mean, sd, p=percent: mean + (1 - p / 100) * (x - mean)
    for length in LENGTHS:
        rows = []
        for name, change in faults.items():
            found = [sum(rejections(model, rho, length, change) for model in POSTERIORS) for rho in RHO]
            rows.append([name, *(share(n, FAULTY * len(POSTERIORS)) for n in found)])
        table([f"4 chains of {length} draws", *(f"autocorrelation {rho}" for rho in RHO)], rows)


def all_together() -> None:
    """Of 24 trials of a backend, pooled: how often a bias or a wrong spread is seen in some estimand of a model."""
    biases, widths, groups = (0.1, 0.075, 0.05, 0.025), (0.9, 0.95, 0.975), TRIALS_POOLED // len(POSTERIORS)
    wrong = ["nothing", *(f"bias of {b:g} sd" for b in biases), *(f"sd {100 * (1 - w):g} % too small" for w in widths)]
    found = dict.fromkeys(product(wrong, RHO), 0)
    for rho, model, group in product(RHO, POSTERIORS, range(groups)):
        draws = [trial(pool(model), 50_000 + SWEEP * group + k, rho) for k in range(SWEEP)]
        diagnosed = [
            [diagnose(x[name], exact.mean, exact.sd) for x in draws] for name, exact in reference(model).items()
        ]

        def far(bias: float, width: float, diagnosed: list = diagnosed) -> bool:
            # Draws that are moved, or scaled about the exact mean, have the same effective draws and relative errors.
            z = []
            for of_estimand in diagnosed:
                off = [width * (d.mean - d.exact_mean) / d.exact_sd + bias for d in of_estimand]
                root = [d.sd / d.mcse_mean for d in of_estimand]
                z.append(pooled([(o, 0.0, 1.0, r) for o, r in zip(off, root, strict=True)]).z)
                squares = [(width * d.sd / d.exact_sd) ** 2 + o**2 for d, o in zip(of_estimand, off, strict=True)]
                errors = [d.mcse_second_moment for d in of_estimand]
                z.append(pooled_spread(list(zip(squares, errors, root, strict=True))).z)
            return max(map(abs, z)) > Z_LIMIT

        changes = [(0.0, 1.0), *((b, 1.0) for b in biases), *((0.0, w) for w in widths)]
        for name, change in zip(wrong, changes, strict=True):
            found[name, rho] += far(*change)
    rows = [[name, *(share(found[name, rho], groups * len(POSTERIORS)) for rho in RHO)] for name in wrong]
    table([f"what is wrong with {SWEEP} trials", *(f"autocorrelation {rho}" for rho in RHO)], rows)


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore", invalid="ignore", divide="ignore")
    false_alarms()
    single()
    all_together()
