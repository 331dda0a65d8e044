"""What a model knows exactly about one of its estimands. It knows neither models nor samplers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Moments:
    """Exact posterior moments of one scalar estimand, in the estimand's own unit.

    `error` is the numerical error of the reference: a conservative estimate that holds for `mean` and `sd`.
    """

    mean: float
    sd: float
    error: float

    @property
    def second_moment(self) -> float:
        """E[x²] = Var[x] + E[x]²."""
        return self.sd**2 + self.mean**2
