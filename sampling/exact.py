"""The exact posterior of a model, kept in a trial's home: it takes some models longer to compute than to sample, and
each trial is an interpreter of its own. It must not know PyMC.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from models._moments import Moments
from sampling.measurement import code_sha256


@dataclass(frozen=True)
class ExactPosterior:
    """Moments by estimand; and mean and sd of the latent elements, each of shape (elements,), where a model has any."""

    estimands: dict[str, Moments]
    latent: tuple[np.ndarray, np.ndarray] | None


def exact_posterior(model: ModuleType, n: int, home: Path | None = None) -> ExactPosterior:
    """That of a model for `data(n)`: as an earlier trial of the same code has left it in `home`, or computed.

    What was kept is equal to the last digit to what is computed.
    """
    if home is None:
        return _posterior(_computed(model, n))
    path = home / ".exact" / f"{model.__name__}-{n}-{code_sha256()}.json"
    try:
        return _posterior(json.loads(path.read_text()))
    except (OSError, ValueError):  # none is there, or a part of one, of a trial that was ended meanwhile
        computed = _computed(model, n)
    with suppress(OSError):  # a trial is not lost for want of room
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(computed))
    return _posterior(computed)


def _computed(model: ModuleType, n: int) -> dict:
    reference = model.reference(n)
    estimands = {name: [float(number) for number in (m.mean, m.sd, m.error)] for name, m in reference.items()}
    latent = [np.asarray(x).tolist() for x in model.latent_reference(n)] if hasattr(model, "latent") else None
    return {"estimands": estimands, "latent": latent}


def _posterior(kept: dict) -> ExactPosterior:
    latent = kept["latent"] and tuple(np.array(x) for x in kept["latent"])
    return ExactPosterior({name: Moments(*m) for name, m in kept["estimands"].items()}, latent)
