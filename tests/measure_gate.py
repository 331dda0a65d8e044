"""Measures what docs/method.md says of the gate, as Markdown: `python -m tests.measure_gate`, about five minutes.

Trials are those of `tests/exact_draws.py`, at the protocol's numbers of chains and draws, seeded.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from harness.judging.agreement import Z_LIMIT, pooled
from sampling.diagnostics import diagnose
from tests.exact_draws import POSTERIORS, pool, reference, rejected, trial

RHO = (0.0, 0.3, 0.5, 0.7)
TRIALS = 500
TRIALS_POOLED, SWEEP = 100, 24


def share(text: int, of: int) -> str:
    return f"{100 * text / of:.1f} %"


def rejections(model: str, rho: float, trials: int, change: Callable = lambda x, mean, sd: x) -> int:
    """How many trials the gate calls wrong when every estimand's draws are changed like this."""
    exact = reference(model)
    return sum(
        rejected({k: change(x, exact[k].mean, exact[k].sd) for k, x in trial(pool(model), seed, rho).items()}, exact)
        for seed in range(10_000, 10_000 + trials)
    )


def table(head: list[str], rows: list[list[str]]) -> None:
    for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows):
        print("|", " | ".join(row), "|", flush=True)
    print(flush=True)


def single() -> None:
    """Of one trial: how often it is rejected by autocorrelation, when it is right and when it is wrong."""
    faults = {"nothing": lambda x, mean, sd: x}
    for name, bias in {"1/3": 1 / 3, "1/4": 1 / 4, "1/6": 1 / 6, "1/10": 1 / 10}.items():
        faults[f"bias of {name} sd"] = lambda x, mean, sd, bias=bias: x + bias * sd
    for percent in (25, 20, 15, 10, 5):
        faults[f"sd {percent} % too small"] = lambda x, mean, sd, p=percent: mean + (1 - p / 100) * (x - mean)
    rows = []
    for name, change in faults.items():
        trials = TRIALS if name == "nothing" else TRIALS // 5
        found = [sum(rejections(model, rho, trials, change) for model in POSTERIORS) for rho in RHO]
        rows.append([name, *(share(n, trials * len(POSTERIORS)) for n in found)])
    table(["what is wrong", *(f"autocorrelation {rho}" for rho in RHO)], rows)


def all_together() -> None:
    """Of 24 trials of a backend, pooled: how often a bias is seen in some estimand of a model."""
    biases, groups = (0.0, 0.1, 0.075, 0.05, 0.025), TRIALS_POOLED // len(POSTERIORS)
    found = dict.fromkeys(product(biases, RHO), 0)
    for rho, model, group in product(RHO, POSTERIORS, range(groups)):
        draws = [trial(pool(model), 50_000 + SWEEP * group + k, rho) for k in range(SWEEP)]
        diagnosed = [
            [diagnose(x[name], exact.mean, exact.sd) for x in draws] for name, exact in reference(model).items()
        ]
        for bias in biases:
            # A bias moves the estimate, and neither its sd nor its effective draws.
            estimates = [
                [(d.mean + bias * d.exact_sd, d.exact_mean, d.exact_sd, d.sd / d.mcse_mean) for d in of_estimand]
                for of_estimand in diagnosed
            ]
            found[bias, rho] += max(abs(pooled(e).z) for e in estimates) > Z_LIMIT
    rows = [
        [
            f"bias of {bias:g} sd" if bias else "nothing",
            *(share(found[bias, rho], groups * len(POSTERIORS)) for rho in RHO),
        ]
        for bias in biases
    ]
    table([f"what is wrong with {SWEEP} trials", *(f"autocorrelation {rho}" for rho in RHO)], rows)


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    single()
    all_together()
