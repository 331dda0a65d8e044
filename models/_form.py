"""Whether a module has the form of a model: what it lacks, each in a sentence that says what to write. It knows no
model, and needs numpy only; `sampling/form.py` goes on with what needs PyMC.
"""

from __future__ import annotations

import hashlib
import re
import traceback
from pathlib import Path
from types import ModuleType

import numpy as np

FORM = {
    "SIZES": "a tuple of the numbers of observations that it has data for, the smallest first",
    "DISCRETE": "True if there are discrete free variables, which only PyMC's compound step samples, or False",
    "DATA_SHA256": "a dictionary from each size to the digest of its data",
    "data": "data(n): the frozen data, an array of float64 or int64",
    "build": "build(n): the PyMC model of data(n)",
    "estimands": "estimands(posterior, n): scalar functions of the draws, each of shape (chain, draw)",
    "reference": "reference(n): the estimands' exact posterior moments, each a `Moments`",
    "log_density": "log_density(posterior, n): of the unconstrained variables and the data, of shape (chain, draw)",
}
"""What every model has, and what each is."""

TOGETHER = {
    "latent": "latent(posterior, n, elements): these of many latent variables, of shape (chain, draw, elements)",
    "latent_reference": "latent_reference(n): exact mean and sd of each latent element, both of shape (elements,)",
}
"""What a model with many latent variables has besides: both or neither."""


def digest(x: np.ndarray) -> str:
    """SHA-256 of an array's bytes: 64 bits each, little-endian, C order."""
    return hashlib.sha256(np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("<")).tobytes()).hexdigest()


def said(error: Exception) -> str:
    """What an error of a contributor's code said, and the line of a model's file in which it came about."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    lines = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent == Path(__file__).parent]
    own = [f for f in lines if not Path(f.filename).name.startswith("_")]
    return text + (f" (models/{Path(own[-1].filename).name}, line {own[-1].lineno}, in {own[-1].name})" if own else "")


def faults(name: str, module: ModuleType) -> list[str]:
    """A sentence for each thing that keeps the module from being measured; none where nothing does."""
    where = f"models/{name}.py"
    found = [f"{where} has no {n}: {what}." for n, what in FORM.items() if not hasattr(module, n)]
    if not (module.__doc__ or "").strip():
        found.append(f"{where} has no docstring: the model, the source of its data, and how its reference is computed.")
    if hasattr(module, "latent") != hasattr(module, "latent_reference"):
        lacking = next(n for n in TOGETHER if not hasattr(module, n))
        found.append(f"{where} has no {lacking}, only its twin: {TOGETHER[lacking]}.")
    if found:
        return found
    sizes = module.SIZES
    if not (isinstance(sizes, tuple) and sizes and all(type(n) is int and n > 0 for n in sizes)):
        return [f"SIZES in {where} is {sizes!r}: it must be {FORM['SIZES']}, as in (100, 1000)."]
    if list(sizes) != sorted(set(sizes)):
        found.append(f"SIZES in {where} is {sizes!r}: the smallest comes first, and none twice.")
    if type(module.DISCRETE) is not bool:
        found.append(f"DISCRETE in {where} is {module.DISCRETE!r}: it must be {FORM['DISCRETE']}.")
    if not isinstance(module.DATA_SHA256, dict):
        return [*found, f"DATA_SHA256 in {where} must be {FORM['DATA_SHA256']}."]
    for n in sizes:
        found += _faults_of_data(where, module, n)
    found += [
        f"DATA_SHA256 in {where} has a size that SIZES has not: {n!r}." for n in module.DATA_SHA256 if n not in sizes
    ]
    return found


def _faults_of_data(where: str, module: ModuleType, n: int) -> list[str]:
    try:
        x = module.data(n)
    except Exception as error:  # a contributor's code: anything
        return [f"data({n}) in {where} does not work: {said(error)}."]
    if not isinstance(x, np.ndarray) or x.dtype not in (np.float64, np.int64):
        return [f"data({n}) in {where} gives {getattr(x, 'dtype', type(x).__name__)}: it must be {FORM['data']}."]
    kept, now = module.DATA_SHA256.get(n), digest(x)
    if kept == now:
        return []
    if kept is None:
        return [f"DATA_SHA256[{n}] in {where} is not there; the digest of data({n}) is {now!r}: write that."]
    if not re.fullmatch("[0-9a-f]{64}", str(kept)):
        return [f"DATA_SHA256[{n}] in {where} is {kept!r}; the digest of data({n}) is {now!r}: write that."]
    return [
        f"DATA_SHA256[{n}] in {where} is {kept!r}; the digest of data({n}) is {now!r}: these are other data. Put back "
        "what they were, or write that if nothing was measured with them."
    ]
