"""A mixture of two normal distributions with one discrete label per observation. It is the mixture of PyMC's
"Faster Sampling with JAX and Numba" notebook, which only PyMC's compound step samples. It must not know how.

    cluster ~ Categorical([0.3, 0.7]), shape [n]
    mu ~ Normal(0, 1), shape [2]      sigma ~ HalfNormal(1), shape [2]      y ~ Normal(mu[cluster], sigma[cluster])

The unequal weights tell the clusters apart, so that there is no symmetry of labels to be invariant under. What
remains is a second, local mode in which the clusters are in each other's roles. For these data its posterior mass,
P(mu_0 > mu_1), is 8e-9 (a test computes it): nothing, for any correct sampler. But a sampler that updates labels one
by one does not leave that mode in a run of ordinary length. Which chains fall into it from PyMC's default start (mu =
0, all labels 1) is luck, and no property of a release, so the model states initial values in the main mode. The
estimands see the labels: a chain that is in the wrong mode nevertheless is a wrong answer, and shows.

The seed of the data was chosen from thirty, and their means and sds from twenty-eight, for a second mode without mass
that NUTS, which has no labels to be stuck with, leaves while it tunes wherever it starts (0 of 5000 chains remained,
nutpie 0.16.11, 200 tuning steps): `discrete_marginal` needs no initial values, which some releases cannot pass on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ._moments import Moments
from ._quadrature import fitted_axes, moments

if TYPE_CHECKING:
    import pymc

SIZES: tuple[int, ...] = (100,)
"""Numbers of observations."""

DISCRETE = True
"""Whether there are discrete free variables, which only PyMC's compound step samples."""

DATA_SHA256: dict[int, str] = {
    100: "66dc3cb86d4c41294023088e65f3e8b8fd52a74d67c6930c41a02540272ef92f",
}
"""Of the bytes of `data(n)`: float64, little-endian, C order."""

SEED = 26
WEIGHTS = (0.3, 0.7)
TRUE_MU = (0.0, 2.0)
TRUE_SIGMA = (0.2, 0.8)


def data(n: int) -> np.ndarray:
    """Observations, shape (n,): labels, then noise, drawn from `RandomState(26)`.

    Six decimals are kept, so that the last bit of a C library's logarithm is not data.
    """
    rng = np.random.RandomState(SEED)
    cluster = rng.choice(2, size=n, p=WEIGHTS)
    noise = rng.normal(0.0, 1.0, size=n)
    return np.round(np.array(TRUE_MU)[cluster] + np.array(TRUE_SIGMA)[cluster] * noise, 6)


def build(n: int) -> pymc.Model:
    """The PyMC model of `data(n)`, with initial values in the main mode (why: see above)."""
    import pymc as pm

    observed = data(n)
    # Both: the first update, of whichever of the two, would otherwise forget the other's initial value.
    midpoint = sum(TRUE_MU) / 2
    with pm.Model() as model:
        cluster = pm.Categorical("cluster", p=list(WEIGHTS), shape=n, initval=(observed > midpoint).astype("int64"))
        mu = pm.Normal("mu", mu=0, sigma=1, shape=2, initval=np.array(TRUE_MU))
        sigma = pm.HalfNormal("sigma", sigma=1, shape=2)
        pm.Normal("y", mu=mu[cluster], sigma=sigma[cluster], observed=observed)
    return model


def estimands(posterior: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """`component_estimands`, and the share of the observations in cluster 0 as the check of the labels.

    From draws of `mu` and `sigma` (chain, draw, 2) and `cluster` (chain, draw, n) to shape (chain, draw).
    """
    return {**component_estimands(posterior), "share": (posterior["cluster"] == 0).sum(axis=-1) / n}


def component_estimands(posterior: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The mean of a new observation, the distance of the clusters' means, and the clusters' sds.

    They need no labels, so a model that sums these out has them too. The mean is what all observations inform
    together; the others say which cluster is which.
    """
    mu, sigma = posterior["mu"], posterior["sigma"]
    return {
        "mean": mu @ np.array(WEIGHTS),
        "gap": mu[..., 1] - mu[..., 0],
        "sigma_0": sigma[..., 0],
        "sigma_1": sigma[..., 1],
    }


def reference(n: int) -> dict[str, Moments]:
    """Exact moments of the estimands for `data(n)`."""
    return reference_for(data(n))


def reference_for(y: np.ndarray) -> dict[str, Moments]:
    """Exact moments of the estimands for observations of shape (n,), by quadrature over mu and log(sigma).

    The labels are summed out. Given mu and sigma they are independent, which gives the first two moments of the
    number of members of cluster 0. The quadrature covers the main mode, which is all but 8e-9 of the posterior.
    """
    n = len(y)
    center = [TRUE_MU[0], np.log(TRUE_SIGMA[0]), TRUE_MU[1], np.log(TRUE_SIGMA[1])]
    axes = fitted_axes(lambda *box: sum_out_labels(y, *box)[0], center, scale=[0.2] * 4, nodes=33)
    log_density, members, variance = sum_out_labels(y, *axes)

    mu_0, log_sigma_0, mu_1, log_sigma_1 = np.meshgrid(*axes, indexing="ij", sparse=True)
    functions = component_estimands(
        {
            "mu": np.stack(np.broadcast_arrays(mu_0, mu_1), axis=-1),
            "sigma": np.exp(np.stack(np.broadcast_arrays(log_sigma_0, log_sigma_1), axis=-1)),
        }
    )
    given_node = {name: (value, value**2) for name, value in functions.items()}
    given_node["share"] = (members / n, (variance + members**2) / n**2)
    return moments(log_density, given_node)


def sum_out_labels(
    y: np.ndarray, mu_0: np.ndarray, log_sigma_0: np.ndarray, mu_1: np.ndarray, log_sigma_1: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """On the product grid of four axes: the unnormalised log posterior density of (mu, log(sigma)), and the mean
    and variance, given these and y, of the number of members of cluster 0.

    A density of a cluster depends on two of the four coordinates only: the exponentials are computed on two
    small grids, and each pair of their nodes costs a sum, a quotient and a share of a logarithm.
    """
    first, first_prior = _component(y, WEIGHTS[0], mu_0, log_sigma_0)
    other, other_prior = _component(y, WEIGHTS[1], mu_1, log_sigma_1)
    pairs = (len(first_prior), len(other_prior))
    log_likelihood, members, variance = np.empty(pairs), np.empty(pairs), np.empty(pairs)
    tenths = np.arange(0, len(y), 10)
    with np.errstate(divide="ignore", invalid="ignore"):
        for row, density in enumerate(first.T):
            likelihood = density[:, None] + other
            # A logarithm per ten factors: densities are neither so large nor so small that ten overflow.
            log_likelihood[row] = np.log(np.multiply.reduceat(likelihood, tenths)).sum(axis=0)
            in_first = density[:, None] / likelihood
            members[row] = in_first.sum(axis=0)
            variance[row] = members[row] - np.einsum("ij,ij->j", in_first, in_first)
    shape = tuple(map(len, (mu_0, log_sigma_0, mu_1, log_sigma_1)))
    log_density = log_likelihood + first_prior[:, None] + other_prior
    return log_density.reshape(shape), members.reshape(shape), variance.reshape(shape)


def _component(y: np.ndarray, weight: float, mu: np.ndarray, log_sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted densities (n, nodes) and the log prior (nodes,) on the grid of mu and log(sigma), flattened."""
    mu, log_sigma = (axis.ravel() for axis in np.meshgrid(mu, log_sigma, indexing="ij"))
    sigma = np.exp(log_sigma)
    density = weight / sigma * np.exp(-0.5 * ((y[:, None] - mu) / sigma) ** 2)
    # The last term is the Jacobian of the logarithm.
    return density, -0.5 * mu**2 - 0.5 * sigma**2 + log_sigma
