"""Latent variables against the exact posterior: hundreds of elements, each too many to be an estimand, all together.

An element counts no effective draws and has no line in the record. It is held to its exact mean, in all chains together
and in each by itself, and to its exact spread; and so is the mean square of these distances over all elements, which
sees an error that all have in common long before a single one shows it. The module knows neither models nor samplers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import special, stats

BATCHES = 10
"""Of each chain, for the standard error of its mean: at the protocol's numbers, of 25 draws or of 100."""

FALSE_ALARMS = 1e-3
"""The probability with which chance takes any element of a correct sampler beyond its limit."""

CHUNK = 2_000_000
"""Draws that are looked at together: 16 MB, of which a few copies are made."""


def why_latent(latent: Callable[[slice], np.ndarray], mean: np.ndarray, sd: np.ndarray) -> str | None:
    """The reason why draws of latent elements are not from their exact posterior, or None.

    `latent` gives the draws of a slice of the elements, of shape (chains, draws, elements): booleans, or numbers.
    `mean` and `sd` are exact, of shape (elements,).
    """
    first = latent(slice(0, 1))
    (chains, draws), binary = first.shape[:2], first.dtype == bool
    # All chains and each of them are compared with the mean; the spread of a boolean follows from its mean.
    looks = chains + 1 if binary else chains + 2
    names = ["the mean", *(f"the mean in chain {i}" for i in range(chains)), "the spread"]
    freedom = chains * (_batches(draws) - 1)
    limit = stats.t.isf(FALSE_ALARMS / (2 * looks * len(mean)), freedom)
    squares = np.zeros(looks)
    for part in chunks(len(mean), chains * draws):
        x = latent(part)
        if x.shape != (chains, draws, len(mean[part])):
            raise ValueError(f"Draws of {len(mean[part])} latent elements have the shape {x.shape}.")
        z = _distances(x, mean[part], sd[part])
        squares += np.minimum(z**2, 1e12).sum(axis=1)
        look, element = np.unravel_index(np.argmax(np.abs(z)), z.shape)
        if not np.abs(z[look, element]) <= limit:
            return (
                f"{names[look]} of latent element {part.start + element} is {np.abs(z[look, element]):.1f} standard "
                f"errors from the exact value (mean {x[..., element].mean():.4g}, exact {mean[part][element]:.4g}; "
                f"sd {x[..., element].std():.4g}, exact {sd[part][element]:.4g}); the limit is {limit:.1f}"
            )
    largest, limit = squares.max() / len(mean), mean_square_limit(len(mean))
    if not largest <= limit:
        return (
            f"{names[np.argmax(squares)]} of the {len(mean)} latent elements is off: the mean square distance from the "
            f"exact values is {largest:.1f} squared standard errors, the limit is {limit:.1f}"
        )
    return None


def mean_square_limit(elements: int) -> float:
    """Of the mean of that many squared distances. They are 1 on average, when standard errors are known and elements
    independent; neither is quite so (tests/measure_gate.py measures what is left)."""
    return 1.3 * (1 + 7 * np.sqrt(2 / elements))


def chunks(elements: int, draws: int) -> Iterator[slice]:
    """Slices that cover so many elements of so many draws each, few enough at a time for any memory."""
    size = max(1, CHUNK // draws)
    return (slice(i, min(i + size, elements)) for i in range(0, elements, size))


def _batches(draws: int) -> int:
    return max(2, min(BATCHES, draws // 4))


def _distances(x: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """In standard errors, shape (looks, elements): from the mean, of all chains and of each; and from the spread.

    They are signed square roots of deviances, with as many draws as are effective: for a normal distribution that is
    the usual (estimate - exact) / error. For a label it holds of rare ones, too: of independent draws, whatever the
    label's probability, a distance beyond z has a probability below exp(-z²/2) on either side.
    """
    chains, draws = x.shape[:2]
    centred = x - mean
    of_all, of_each = _per_effective_draw(centred), _per_effective_draw(centred, by_chain=True)
    effective = [chains * draws / of_all, *(draws / (of_each * slow) for slow in _slowness(centred))]
    estimates = np.concatenate([centred.mean(axis=(0, 1))[None], centred.mean(axis=1)])
    if x.dtype == bool:
        found = np.clip(estimates + mean, 0.0, 1.0)
        deviance = special.rel_entr(found, mean) + special.rel_entr(1 - found, 1 - mean)
        return np.sign(estimates) * np.sqrt(2 * np.array(effective) * np.maximum(deviance, 0.0))
    return np.concatenate([estimates / sd * np.sqrt(effective), _spread(centred**2, sd)[None]])


def _per_effective_draw(x: np.ndarray, by_chain: bool = False) -> np.ndarray:
    """How many draws are worth one that is independent, at least 1: from the variance of the means of batches, about
    the mean of all or, not to mistake a chain elsewhere for a slow one, of each chain."""
    error, variance = _variance_of_mean(x, by_chain), x.var(axis=1).mean(axis=0) if by_chain else x.var(axis=(0, 1))
    draws = x.shape[1] if by_chain else x.shape[0] * x.shape[1]
    # An element that never moves, as a label that is all but certain, has draws that count in full.
    return np.maximum(1.0, np.divide(error * draws, variance, out=np.ones_like(error), where=variance > 0))


def _slowness(x: np.ndarray) -> np.ndarray:
    """How many times the draws that chains need on average each chain needs for as good a mean, at least 1: of all its
    elements, the median. A chain whose step size came out small is less effective than the others, and not wrong."""
    of_each = _means_of_batches(x).var(axis=1, ddof=1)
    mean = of_each.mean(axis=0)
    moving = mean > 0
    if not moving.any():
        return np.ones(len(x))
    return np.maximum(1.0, np.median(of_each[:, moving] / mean[moving], axis=1))


def _variance_of_mean(x: np.ndarray, by_chain: bool = False) -> np.ndarray:
    means = _means_of_batches(x)
    chains, batches, elements = means.shape
    if by_chain:
        return means.var(axis=1, ddof=1).mean(axis=0) / batches
    return means.reshape(chains * batches, elements).var(axis=0, ddof=1) / (chains * batches)


def _means_of_batches(x: np.ndarray) -> np.ndarray:
    chains, draws, elements = x.shape
    batches = _batches(draws)
    size = draws // batches
    return x[:, : batches * size].reshape(chains, batches, size, elements).mean(axis=2)


def _spread(squares: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """From the exact variance, for squared distances from the exact mean; the logarithm makes up for their skewness."""
    found = squares.mean(axis=(0, 1))
    ratio = np.maximum(found / sd**2, 1e-300)
    # n normal draws give the variance a relative error of √(2/n).
    effective = np.minimum(2 * found**2 / np.maximum(_variance_of_mean(squares), 1e-300), squares[..., 0].size)
    return np.sign(ratio - 1) * np.sqrt(effective * np.maximum(ratio - 1 - np.log(ratio), 0.0))
