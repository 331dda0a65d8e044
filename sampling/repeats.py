"""Whether draws are new ones: repeated, shared between chains, or stuck. R-hat and effective draws praise all three.

The module knows neither models nor samplers.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from scipy import fft, special, stats

from sampling.latent import chunks

RETURNED_LIMIT = 0.01
"""Share of a continuous estimand's draws that may be earlier draws, to the last digit: single precision makes one of a
thousand. A chain that rejects one step in a hundred, and is then dealt out, has more."""

ALIKE_LIMIT = 0.9
"""Of two chains' draws. With as few effective draws as may pass, chance correlated 200 000 pairs by 0.77 at most."""

MOVES_LIMIT = 0.9
"""Share of a chain's moves that each continuous scalar has to make: NUTS, whoever wrote it, moves all at once."""

SHORT_LAGS = 3
SHORT_LAGS_LIMIT = 4.5
"""Of the mean correlation, at one of these lags, of all pairs of chains, in its standard errors."""

PAIR_LIMIT = 7.0
"""Of the correlation of two chains at any lag up to half their length, in its standard errors."""

_SEED = 31


def combined(raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One number for each draw of each continuous array: its elements' sum with weights drawn from `RandomState(31)`.

    From raw draws (chain, draw, *shape) to shape (chain, draw). Arrays are the same when these are.
    """
    found = {}
    for name, values in raw.items():
        if values.ndim > 2 and values.dtype.kind == "f":
            flat = values.reshape(*values.shape[:2], -1)
            found[f"all of {name}"] = flat @ np.random.RandomState(_SEED).standard_normal(flat.shape[-1])
    return found


def why_stuck(raw: Mapping[str, np.ndarray]) -> str | None:
    """The reason why a continuous scalar does not move in some chain while others do, or none does; or None.

    `raw` are the draws as they were returned, (chain, draw, *shape). Raises ValueError when some are not finite.
    """
    most, fewest = 0, []
    for name, values in raw.items():
        if values.dtype.kind != "f":
            continue
        flat = values.reshape(*values.shape[:2], -1)
        for part in chunks(flat.shape[-1], flat.shape[0] * flat.shape[1]):
            x = flat[..., part]
            if not np.isfinite(x).all():
                raise ValueError(f"{int((~np.isfinite(x)).sum())} of {x.size} draws of {name} are not finite.")
            moves = (x[:, 1:] != x[:, :-1]).sum(axis=1)
            most = np.maximum(most, moves.max(axis=1))
            for chain, element in enumerate(moves.argmin(axis=1)):
                index = np.unravel_index(part.start + element, values.shape[2:])
                fewest.append((moves[chain, element], chain, f"{name}{[int(i) for i in index] or ''}"))
    for moves, chain, scalar in fewest:
        if moves == 0 or moves < MOVES_LIMIT * most[chain]:
            return f"{scalar} moves {moves} times in chain {chain}, which moves {most[chain]} times"
    return None


def why_repeated(draws: Mapping[str, np.ndarray]) -> str | None:
    """The reason why draws are not new ones, or None; `draws` are of shape (chains, draws).

    A continuous estimand never returns to an earlier draw, save by staying there; counts do, but no two chains of them
    move together.
    """
    for name, values in draws.items():
        chains = np.asarray(values, dtype=float)
        # What differs by rounding alone does not move.
        moving = np.flatnonzero(np.ptp(chains, axis=1) > 1e-12 * np.abs(chains).max())
        alike = np.atleast_2d(np.corrcoef(chains[moving]))
        for (a, i), (b, j) in combinations(enumerate(moving), 2):
            if abs(alike[a, b]) > ALIKE_LIMIT:
                return (
                    f"chains {i} and {j} move together: the correlation of their draws of {name} is {alike[a, b]:.3f}"
                )
        # A sampler that rejects a step stays where it is, for as long as it rejects.
        moved = np.concatenate([chain[np.append(True, np.diff(chain) != 0)] for chain in chains])
        returned = moved.size - np.unique(moved).size
        if returned > RETURNED_LIMIT * moved.size and not _on_a_grid(moved):
            return f"{returned} of {moved.size} draws of {name} are earlier draws again, to the last digit"
        if reason := _why_together(chains[moving], moving):
            return f"{reason} by their draws of {name}"
    return None


def _why_together(chains: np.ndarray, names: np.ndarray) -> str | None:
    """The reason why chains know of each other, by their correlations at all lags up to half their length, or None.

    Draws that were dealt out to other chains than they came from have few of their autocorrelations left in a chain,
    and the rest between chains. The square of a correlation's error at lag k is Σ ρ²/(length - k), over the
    autocorrelations ρ of all lags, for chains that are independent (Bartlett 1946).
    """
    count, length = chains.shape
    if count < 2:
        return None
    # By ranks, so that one draw far out is one draw.
    ranks = stats.rankdata(chains).reshape(chains.shape)
    normal = special.ndtri((ranks - 0.375) / (chains.size + 0.25))
    normal -= normal.mean(axis=1, keepdims=True)
    normal /= np.sqrt((normal**2).mean(axis=1, keepdims=True))
    size = fft.next_fast_len(2 * length)
    spectra = fft.rfft(normal, n=size, axis=1)

    def correlations(i: int, j: int) -> np.ndarray:
        """Of chain i with chain j, later by 0 to half the length."""
        return fft.irfft(np.conj(spectra[i]) * spectra[j], n=size)[: length // 2] / length

    own = np.mean([correlations(i, i) for i in range(count)], axis=0)[: max(2, length // 10)]
    # Σ ρ(m) ρ(m + k) over all m, of both signs, for each lag k from 0.
    both = np.concatenate([own[:0:-1], own])
    own_squares = np.correlate(both, both, "full")[len(both) - 1 :]
    error = np.sqrt(own_squares[0] / (length - np.arange(length // 2)))
    ordered = [(i, j) for i in range(count) for j in range(count) if i != j]
    # The sum over overlapping pairs of lag k: biased by nothing but the subtraction of means, which is 1/length.
    scaled = {pair: correlations(*pair) * length / (length - np.arange(length // 2)) / error for pair in ordered}
    for lag in range(SHORT_LAGS + 1):
        # Chain i with a later j and j with a later i have much in common: at lag 0 everything.
        common = own_squares[2 * lag] / own_squares[0] if 2 * lag < len(own_squares) else 0.0
        z = np.mean([z[lag] for z in scaled.values()]) * np.sqrt(len(ordered) / (1 + common))
        if abs(z) > SHORT_LAGS_LIMIT:
            return f"chains know of each other {lag} draws apart ({abs(z):.1f} standard errors)"
    for (i, j), z in scaled.items():
        lag = int(np.argmax(np.abs(z)))
        if abs(z[lag]) > PAIR_LIMIT:
            return (
                f"chain {names[j]} is chain {names[i]} {lag} draws before, in part ({abs(z[lag]):.1f} standard errors)"
            )
    return None


def _on_a_grid(values: np.ndarray) -> bool:
    """Whether all values are whole multiples of one step apart, as counts and shares are; a few at random are not."""
    different = np.unique(values)
    if different.size < 3:
        return True
    gaps = np.diff(different)
    # What differs by rounding alone is one value.
    multiples = (different - different[0]) / gaps[gaps > 1e-9 * np.ptp(different)].min()
    return bool((np.abs(multiples - np.round(multiples)) < 1e-3).all())
