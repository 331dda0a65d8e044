"""Exact posterior moments by quadrature in a few dimensions, for any model that can integrate the others out
in closed form. It knows densities and grids, and nothing about models or samplers.

On the whole line, the trapezoidal rule with equal steps converges geometrically for smooth, decaying
integrands (Trefethen & Weideman, SIAM Review 56, 2014, section 5), so that a plain product grid is enough
once its box fits the posterior.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ._moments import Moments

HALF_WIDTH = 8.0
"""Half the edge of a box, in posterior standard deviations."""


def fitted_axes(
    log_density: Callable[..., np.ndarray], center: Sequence[float], scale: Sequence[float], nodes: int
) -> list[np.ndarray]:
    """Axes of `nodes` coordinates each, whose box is centred on a mode and 8 posterior sd wide on either side.

    `log_density` takes one axis (1-D) per dimension and returns the unnormalised log density on their product
    grid. `center` and `scale` are a guess of the mode's mean and sd, good to a few sd: the box is moved and
    resized to the moments that it finds, until it fits. The guess decides which mode that is.
    """
    center, scale = np.array(center, dtype=float), np.array(scale, dtype=float)
    for _ in range(6):
        axes = box(center, scale, nodes=17)
        weights = normalised(log_density(*axes))
        for i, axis in enumerate(axes):
            marginal = weights.sum(axis=tuple(j for j in range(weights.ndim) if j != i))
            center[i] = marginal @ axis
            sd = np.sqrt(marginal @ (axis - center[i]) ** 2)
            # A grid that is far too coarse sees one node only, and would shrink its box to a point.
            scale[i] = max(sd, 0.25 * (axis[1] - axis[0]))
    return box(center, scale, nodes)


def box(center: np.ndarray, scale: np.ndarray, nodes: int) -> list[np.ndarray]:
    """Axes of `nodes` coordinates each, 8 times `scale` wide on either side of `center`."""
    steps = np.linspace(-HALF_WIDTH, HALF_WIDTH, nodes)
    return [c + s * steps for c, s in zip(center, scale, strict=True)]


def moments(log_density: np.ndarray, estimands: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Moments]:
    """Posterior moments of estimands from the unnormalised log density on an equally spaced product grid.

    `estimands` gives, for each name, E[x | node] and E[x² | node], in any shape that broadcasts to the grid's.
    The error is the change when every second node of every axis is left out: the step is then twice as long, so
    the error of the full grid is far smaller.
    """
    every, second = (), (slice(None, None, 2),) * log_density.ndim
    weights = {part: normalised(log_density[part]) for part in (every, second)}
    found = {}
    for name, given_node in estimands.items():
        first, square = (np.broadcast_to(values, log_density.shape) for values in given_node)
        (mean, sd), (coarse_mean, coarse_sd) = (
            _mean_and_sd(w, first[part], square[part]) for part, w in weights.items()
        )
        found[name] = Moments(mean, sd, error=max(abs(mean - coarse_mean), abs(sd - coarse_sd)))
    return found


def normalised(log_density: np.ndarray) -> np.ndarray:
    """The probability of each node of an equally spaced grid."""
    weights = np.exp(log_density - log_density.max())
    return weights / weights.sum()


def _mean_and_sd(weights: np.ndarray, first: np.ndarray, square: np.ndarray) -> tuple[float, float]:
    mean = float((weights * first).sum())
    # Var[x] = E[Var[x | node]] + Var[E[x | node]]: nothing cancels when the sd is a small part of the mean.
    variance = float((weights * (square - first**2)).sum() + (weights * (first - mean) ** 2).sum())
    return mean, variance**0.5
