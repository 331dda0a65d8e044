"""Raw draws, latent variables included, of a correct sampler, as it would return them: what the gate is asked about.

Latent variables are drawn from their exact conditional distributions given each draw of the parameters, with the same
autocorrelation. Nothing here is a sampler of the stack.
"""

from __future__ import annotations

import functools
from types import ModuleType, SimpleNamespace

import numpy as np
from scipy import signal, special

import models
from models import discrete, ppca
from sampling.gate import Verdict, examine
from tests.exact_draws import CHAINS, coefficients, counties, eta, exact_moments, parameters, trial

MODELS = ("ppca", "discrete", "discrete_marginal", "coal_mining", "eight_schools", "radon", "gp", "arma", "wide")
Raw = dict[str, np.ndarray]


def correlated(rng: np.random.Generator, rho: float, shape: tuple[int, ...]) -> np.ndarray:
    """Stationary standard normal noise with autocorrelation rho^k at lag k along the second axis (draws)."""
    noise = rng.normal(size=shape)
    noise[:, 1:] *= np.sqrt(1 - rho**2)
    return signal.lfilter([1.0], [1.0, -rho], noise, axis=1)


def raw_trial(model: str, seed: int, rho: float, length: int) -> Raw:  # noqa: PLR0911
    """The draws (chain, draw, *shape) of a correct sampler of the model's smallest size, autocorrelated by rho^k."""
    rng, shape = np.random.default_rng([seed, 7]), (CHAINS, length)
    drawn = trial(parameters(model.removesuffix("_marginal")), seed, rho, length=length)
    if model == "ppca":
        return _ppca(drawn, rng, rho, 500)
    if model == "eight_schools":
        return drawn | eta(**drawn, noise=np.stack([correlated(rng, rho, shape) for _ in range(8)]))
    if model == "radon":
        return drawn | counties(drawn, np.stack([correlated(rng, rho, (*shape, 85)) for _ in range(2)]))
    if model == "wide":
        return drawn | coefficients(drawn, correlated(rng, rho, (*shape, 80)))
    if model in ("gp", "arma"):
        return drawn
    if model == "coal_mining":
        return drawn | {"switchpoint": drawn["switchpoint"].astype(int)}
    raw = {name: np.stack([drawn[f"{name}_{k}"] for k in (0, 1)], axis=-1) for name in ("mu", "sigma")}
    if model == "discrete":
        of_labels = discrete.log_joint(raw, 100)
        in_first = special.expit(of_labels[..., 0, :] - of_labels[..., 1, :])
        raw["cluster"] = (special.ndtr(correlated(rng, rho, (*shape, 100))) >= in_first).astype(int)
    return raw


def _ppca(drawn: Raw, rng: np.random.Generator, rho: float, n: int) -> Raw:
    """Half of the chains are in either mode."""
    sign = np.resize([1.0, -1.0], (CHAINS, 1, 1))
    w = np.stack([drawn["w1"], drawn["w2"]], axis=-1)
    q = 1 + (w**2).sum(axis=-1, keepdims=True)
    z = w @ ppca.data(n) / q + correlated(rng, rho, (*w.shape[:2], n)) / np.sqrt(q)
    return {"w": (sign * w)[..., None], "z": (sign * z)[..., None]}


@functools.cache
def quick(model: str) -> ModuleType:
    """The model, with references that are computed once."""
    module = models.load(model)
    found = {name: getattr(module, name) for name in ("estimands", "log_density", "latent") if hasattr(module, name)}
    found["reference"] = functools.partial(exact_moments, module.reference)
    if hasattr(module, "latent"):
        found["latent_reference"] = functools.cache(module.latent_reference)
    return SimpleNamespace(**found, SIZES=module.SIZES)


def reported(model: str, raw: Raw) -> np.ndarray:
    """The log densities that a correct sampler would report of these draws."""
    return quick(model).log_density(raw, quick(model).SIZES[0])


def examined(model: str, raw: Raw, log_density: np.ndarray | None = None) -> Verdict:
    """What the gate says of the draws."""
    return examine(quick(model), quick(model).SIZES[0], raw, log_density)
