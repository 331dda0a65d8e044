"""Whether a model can be measured, and its answers be judged: `python -m sampling MODEL --check`, in an environment
that has PyMC. What needs none is checked first, by `models/_form.py`. It must not know any model.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

import models

CHAINS, DRAWS = 2, 3
"""Of what the model's functions are tried with: unlike numbers, so that none is taken for another."""
REFERENCE_ERROR = 0.01
"""What the error of a reference must be below, in posterior standard deviations."""
REFERENCE_SECONDS = 20
"""Within which a reference of every size must be computed: each trial's answer waits for it."""
DIRECTIONS, STEP = 4, 1e-3
"""In which the log density is followed to hold it against the gradient, and how far."""


def check(name: str) -> tuple[list[str], str]:
    """A sentence for each fault of the model, and one on what it has. Raises `models.IncompleteModel` for its form."""
    module = models.check_form(name)
    found, references, seconds = _left(module), {}, 0.0
    for n in module.SIZES:
        begun = time.perf_counter()
        try:
            references[n] = module.reference(n)
        except Exception as error:  # a contributor's code: anything
            return [*found, f"reference({n}) does not work: {models.said(error)}."], ""
        seconds = max(seconds, time.perf_counter() - begun)
        found += _faults_of_reference(references[n], n)
    if seconds > REFERENCE_SECONDS:
        found.append(f"The reference takes {seconds:.1f} s: it must be there within {REFERENCE_SECONDS}.")
    n = module.SIZES[0]
    try:
        found += _faults_with_pymc(module, n, references[n])
    except Exception as error:  # PyMC's, or a contributor's
        found.append(f"The model of {n} observations cannot be tried: {models.said(error)}.")
    latent = ", and latent elements" if hasattr(module, "latent") else ""
    return found, (
        f"{name}: {len(references[n])} estimands ({', '.join(references[n])}){latent}; "
        f"its reference takes {seconds:.1f} s at most."
    )


def _left(module: ModuleType) -> list[str]:
    """What of the file that `bench model new` wrote is not yet the author's."""
    path = Path(module.__file__)
    lines = [str(k) for k, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if "TODO" in line]
    return [f"models/{path.name} says TODO in line {', '.join(lines)}: fill it in."] if lines else []


def _faults_of_reference(reference: dict, n: int) -> Iterator[str]:
    if not reference:
        yield f"reference({n}) is empty: it must have the moments of every estimand."
    for name, exact in reference.items():
        if not isinstance(exact, models.Moments):
            yield f"reference({n})[{name!r}] is {type(exact).__name__}: it must be `Moments(mean, sd, error)`."
        elif not (np.isfinite([exact.mean, exact.sd, exact.error]).all() and exact.sd > 0 and exact.error >= 0):
            yield f"reference({n})[{name!r}] is {exact}: mean, sd and error must be finite, and the sd positive."
        elif exact.error >= REFERENCE_ERROR * exact.sd:
            yield (
                f"reference({n})[{name!r}] is known to {exact.error / exact.sd:.3g} of its sd: the error must be below "
                f"{REFERENCE_ERROR:g}, for what a trial can see is not much more."
            )


def _faults_with_pymc(module: ModuleType, n: int, reference: dict) -> Iterator[str]:
    model = module.build(n)
    discrete = bool(model.discrete_value_vars)
    if discrete != module.DISCRETE:
        yield f"DISCRETE is {module.DISCRETE}, and the model has {'' if discrete else 'no '}discrete free variables."
    given = [rv.name for rv, value in model.rvs_to_initial_values.items() if value is not None]
    if given and not discrete:
        yield (
            f"{', '.join(given)} has an initial value: some releases of nutpie ignore it, and some refuse it, so that "
            "backends would not begin alike. Leave it to the sampler."
        )
    points, values = _points(model)
    shape = (CHAINS, DRAWS)
    posterior = {k: v.reshape(*shape, *v.shape[1:]) for k, v in values(points).items()}
    estimands = module.estimands(posterior, n)
    if set(estimands) != set(reference):
        yield (
            f"The estimands are {sorted(estimands)}, and those with exact moments {sorted(reference)}: they must be "
            "the same."
        )
    for name, x in estimands.items():
        if np.shape(x) != shape:
            yield (
                f"The estimand {name!r} has the shape {np.shape(x)} for draws of {CHAINS} chains of {DRAWS}: it must "
                f"be {shape}."
            )
    if hasattr(module, "latent"):
        mean, sd = module.latent_reference(n)
        x = module.latent(posterior, n, slice(0, 2))
        if np.shape(mean) != np.shape(sd) or x.shape != (*shape, min(2, len(mean))):
            yield (
                f"latent(posterior, n, slice(0, 2)) has the shape {x.shape}, of {np.shape(mean)} means and "
                f"{np.shape(sd)} sd: they must be (chain, draw, elements), (elements,) and (elements,)."
            )
    density = module.log_density(posterior, n)
    if np.shape(density) != shape:
        yield f"log_density has the shape {np.shape(density)} for {CHAINS} chains of {DRAWS} draws: it must be {shape}."
        return
    if not np.isfinite(density).all():
        yield f"log_density is {density[~np.isfinite(density)][0]} where the model can be: it must be finite there."
        return
    evaluate = model.compile_logp()
    logp = np.array([evaluate(point) for point in points]).reshape(shape)
    apart = (density - logp) - np.median(density - logp)
    if not np.abs(apart).max() <= 1e-8 * max(1.0, np.abs(logp).max()):
        yield (
            f"log_density is not that of the model: beside a constant they are up to {np.abs(apart).max():.3g} apart. "
            "It is the density of the unconstrained values, with the Jacobians of logarithms."
        )
        return
    yield from _faults_of_gradient(module, n, model, points[0], values)


def _points(model):
    """Points of unconstrained values about the model's start, and a function of points that gives the variables'
    values, by name: an array of shape (points, *shape)."""
    rng = np.random.default_rng(20261101)
    start = model.initial_point()
    moved = {v.name for v in model.continuous_value_vars}

    def shaken() -> dict:
        return {k: v + 0.3 * rng.normal(size=v.shape) if k in moved else v for k, v in start.items()}

    names = [v.name for v in model.unobserved_value_vars]
    evaluate = model.compile_fn(model.unobserved_value_vars, inputs=model.value_vars, on_unused_input="ignore")

    def values(points: list[dict]) -> dict[str, np.ndarray]:
        found = [evaluate(point) for point in points]
        return {name: np.stack([np.asarray(each[k]) for each in found]) for k, name in enumerate(names)}

    return [shaken() for _ in range(CHAINS * DRAWS)], values


def _faults_of_gradient(module: ModuleType, n: int, model, point: dict, values) -> Iterator[str]:
    """The gradient that samplers follow, against the log density that NumPy computes, along a few directions: by five
    points, whose error is of the fourth order of the step."""
    variables = model.continuous_value_vars
    gradient = model.compile_dlogp()(point)
    rng = np.random.default_rng(20261102)
    for _ in range(DIRECTIONS):
        way = {v.name: rng.normal(size=point[v.name].shape) for v in variables}
        along = np.concatenate([np.ravel(way[v.name]) for v in variables]) @ gradient
        steps = [{k: x + s * STEP * way[k] if k in way else x for k, x in point.items()} for s in (-2, -1, 1, 2)]
        posterior = {k: v[None] for k, v in values(steps).items()}
        a, b, c, d = module.log_density(posterior, n)[0]
        expected = (8 * (c - b) - (d - a)) / (12 * STEP)
        if not abs(along - expected) <= 1e-5 * max(1.0, abs(expected), np.abs(gradient).max()):
            yield f"The model's gradient along a line is {along:.8g}, and that of log_density {expected:.8g}."
            return
