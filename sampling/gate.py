"""The gate that decides whether an answer is right: diagnostics of the estimands, latent variables, and draws against
each other and against the log density that the sampler reports. tests/test_gate*.py measure its error rates, and
docs/method.md states them. It must not know PyMC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from sampling.diagnostics import EstimandDiagnostics, Exact, diagnose
from sampling.exact import exact_posterior
from sampling.latent import why_latent
from sampling.repeats import combined, why_repeated, why_stuck

RHAT_LIMIT = 1.10
Z_LIMIT = 4.5
EFFECTIVE_DRAWS_LIMIT = 50.0
LOG_DENSITY_LIMIT = 1e-5
"""Of the largest log density: rounding of double precision makes a millionth of it at most."""


@dataclass(frozen=True)
class Verdict:
    """`reason` says why the answer is wrong; None: it is right. `log_density_error` is the largest distance of a
    reported log density from that of the returned draw; None where nothing was reported."""

    diagnostics: dict[str, EstimandDiagnostics]
    reason: str | None
    log_density_error: float | None


def examine(
    model: ModuleType, n: int, raw: Mapping[str, np.ndarray], reported: np.ndarray | None, home: Path | None = None
) -> Verdict:
    """All that the gate has to say of the draws of a model.

    `raw` are the draws as they were returned, (chain, draw, *shape), and `reported` the log densities that came with
    them, (chain, draw), or None; in `home` the exact posterior is kept. Raises ValueError when draws cannot be judged.
    """
    stuck = why_stuck(raw)
    estimands = model.estimands(raw, n)
    exact = exact_posterior(model, n, home)
    diagnostics, reason = judge(estimands, exact.estimands)
    error, tolerance = density_error(model.log_density(raw, n), reported)
    reason = reason or stuck or why_repeated(combined(raw))
    if not reason and exact.latent:
        reason = why_latent(lambda elements: model.latent(raw, n, elements), *exact.latent)
    if not reason and error is not None and not error <= tolerance:
        reason = (
            f"draws and reported log densities do not belong together: they are up to {error:.3g} apart, "
            f"the limit is {tolerance:.1g}"
        )
    return Verdict(diagnostics, reason, error)


def density_error(recomputed: np.ndarray, reported: np.ndarray | None) -> tuple[float | None, float]:
    """How far reported log densities are from recomputed ones, both (chain, draw), and how far they may be.

    Up to a constant, which a sampler may leave out, and the sign: what NumPyro's `potential_energy` becomes in PyMC is
    called `lp`, and is its negative, in all releases from 5.10 to 6.4. Raises ValueError where a recomputed one is
    not finite: no sampler may return such a draw.
    """
    if not np.isfinite(recomputed).all():
        raise ValueError(f"{int((~np.isfinite(recomputed)).sum())} of {recomputed.size} draws have no density.")
    tolerance = LOG_DENSITY_LIMIT * max(1.0, float(np.abs(recomputed).max()))
    # A compound step of several samplers that report has several in one.
    if reported is None or reported.shape != recomputed.shape:
        return None, tolerance
    apart = (sign * reported - recomputed for sign in (1, -1))
    return min(float(np.abs(d - np.median(d)).max()) for d in apart), tolerance


def judge(
    draws: Mapping[str, np.ndarray], exact: Mapping[str, Exact]
) -> tuple[dict[str, EstimandDiagnostics], str | None]:
    """The gate: diagnostics of every estimand, and the reason why the answer is wrong, or None when it is right.

    `draws` are the estimands' draws, each of shape (chains, draws). Raises ValueError as `diagnose` does, and when the
    estimands are not those that have exact moments.
    """
    if not exact or set(draws) != set(exact):
        raise ValueError(f"The estimands are {sorted(draws)}, and those with exact moments {sorted(exact)}.")
    diagnostics = {
        name: diagnose(values, exact[name].mean, exact[name].sd, exact[name].error) for name, values in draws.items()
    }
    return diagnostics, why_repeated(draws) or why_invalid(diagnostics)


def why_invalid(diagnostics: Mapping[str, EstimandDiagnostics]) -> str | None:
    """The reason why estimates are wrong or say nothing, or None when they agree with the exact posterior."""
    for name, d in diagnostics.items():
        if not d.rhat <= RHAT_LIMIT:
            return f"the chains disagree on {name}: R-hat {d.rhat:.2f}, the limit is {RHAT_LIMIT:.2f}"
        if not min(d.ess_bulk, d.ess_tail) >= EFFECTIVE_DRAWS_LIMIT:
            return (
                f"{name} has {min(d.ess_bulk, d.ess_tail):.0f} effective draws; fewer than "
                f"{EFFECTIVE_DRAWS_LIMIT:.0f} say nothing about the answer"
            )
        for moment, z in (("mean", d.z_mean), ("spread", d.z_second_moment)):
            if not abs(z) <= Z_LIMIT:
                return (
                    f"the {moment} of {name} is {abs(z):.1f} standard errors from the exact value "
                    f"(mean {d.mean:.4g}, exact {d.exact_mean:.4g}; sd {d.sd:.4g}, exact {d.exact_sd:.4g})"
                )
    return None
