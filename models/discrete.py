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
from ._quadrature import fitted_axes, moments, normalised

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
    """`component_estimands` and `label_estimands`.

    From draws of `mu` and `sigma` (chain, draw, 2) and `cluster` (chain, draw, n) to shape (chain, draw).
    """
    return {**component_estimands(posterior), **label_estimands(posterior, posterior["cluster"] == 0, n)}


def label_estimands(posterior: Mapping[str, np.ndarray], in_first: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """How many of the n observations are in cluster 0, and how far in all these are above its mean, divided by n.

    Labels that belong to other observations, or to other draws of mu, may have the right number, but are not as close
    to mu_0. `in_first` says for each label (chain, draw, n) whether it is 0.
    """
    share = in_first.sum(axis=-1) / n
    return {"share": share, "residual_0": in_first @ data(n) / n - posterior["mu"][..., 0] * share}


def latent(posterior: Mapping[str, np.ndarray], n: int, elements: slice) -> np.ndarray:
    """Whether each of these labels is 0, a boolean of shape (chain, draw, elements)."""
    return posterior["cluster"][..., elements] == 0


def log_density(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """The logarithm of the joint density of labels, mu, log(sigma) and the data, shape (chain, draw).

    Not finite where a label is neither 0 nor 1, which no sampler may return.
    """
    cluster, of_labels = posterior["cluster"], log_joint(posterior, n)
    chosen = np.where(cluster == 0, of_labels[..., 0, :], np.where(cluster == 1, of_labels[..., 1, :], -np.inf))
    return chosen.sum(axis=-1) + log_prior(posterior)


def log_joint(posterior: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """The log density of each observation together with either label, given mu and sigma: (chain, draw, 2, n)."""
    mu, sigma = posterior["mu"][..., None], posterior["sigma"][..., None]
    weights = np.array(WEIGHTS)[:, None] / np.sqrt(2 * np.pi)
    return np.log(weights / sigma) - 0.5 * ((data(n) - mu) / sigma) ** 2


def log_prior(posterior: Mapping[str, np.ndarray]) -> np.ndarray:
    """The log density of mu and log(sigma), shape (chain, draw); the logarithm's Jacobian is the last term."""
    mu, sigma = posterior["mu"], posterior["sigma"]
    return (-0.5 * (mu**2 + sigma**2) + np.log(sigma)).sum(axis=-1) - 2 * np.log(np.pi)


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

    The labels are summed out. Given mu and sigma they are independent, which gives the first two moments of sums over
    the members of cluster 0. The quadrature covers the main mode, which is all but 8e-9 of the posterior.
    """
    n, axes = len(y), _axes(y)
    log_density, sums = sum_out_labels(y, *axes)

    mu_0, log_sigma_0, mu_1, log_sigma_1 = np.meshgrid(*axes, indexing="ij", sparse=True)
    functions = component_estimands(
        {
            "mu": np.stack(np.broadcast_arrays(mu_0, mu_1), axis=-1),
            "sigma": np.exp(np.stack(np.broadcast_arrays(log_sigma_0, log_sigma_1), axis=-1)),
        }
    )
    given_node = {name: (value, value**2) for name, value in functions.items()}
    for name, (mean, variance) in zip(("share", "residual_0"), sums, strict=True):
        given_node[name] = (mean / n, (variance + mean**2) / n**2)
    return moments(log_density, given_node)


def latent_reference(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact mean and sd of each of the n elements of `latent`: the probability that the label is 0, by quadrature."""
    y = data(n)
    axes = _axes(y)
    weight = normalised(sum_out_labels(y, *axes)[0]).reshape(len(axes[0]) * len(axes[1]), -1)
    first, other = (_component(y, WEIGHTS[k], *axes[2 * k : 2 * k + 2])[0] for k in (0, 1))
    probability = np.zeros(n)
    for density, of_row in zip(first.T, weight, strict=True):
        # Far from the mode there is nothing to add.
        some = of_row > 1e-12 * weight.max()
        probability += density * (1 / (density[:, None] + other[:, some]) @ of_row[some])
    return probability, np.sqrt(probability * (1 - probability))


def _axes(y: np.ndarray) -> list[np.ndarray]:
    """Of mu_0, log(sigma_0), mu_1 and log(sigma_1), around the main mode."""
    center = [TRUE_MU[0], np.log(TRUE_SIGMA[0]), TRUE_MU[1], np.log(TRUE_SIGMA[1])]
    return fitted_axes(lambda *box: sum_out_labels(y, *box)[0], center, scale=[0.2] * 4, nodes=33)


def sum_out_labels(
    y: np.ndarray, mu_0: np.ndarray, log_sigma_0: np.ndarray, mu_1: np.ndarray, log_sigma_1: np.ndarray
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """On the product grid of four axes: the unnormalised log posterior density of (mu, log(sigma)), and the mean
    and variance, given these and y, of the number of members of cluster 0, and of the sum of their y - mu_0.

    A density of a cluster depends on two of the four coordinates only: the exponentials are computed on two
    small grids, and each pair of their nodes costs a sum, a quotient and a share of a logarithm.
    """
    first, first_prior = _component(y, WEIGHTS[0], mu_0, log_sigma_0)
    other, other_prior = _component(y, WEIGHTS[1], mu_1, log_sigma_1)
    pairs = (len(first_prior), len(other_prior))
    log_likelihood, mean, variance = np.empty(pairs), np.empty((2, *pairs)), np.empty((2, *pairs))
    mu_of_row = np.repeat(mu_0, len(log_sigma_0))
    tenths = np.arange(0, len(y), 10)
    with np.errstate(divide="ignore", invalid="ignore"):
        for row, density in enumerate(first.T):
            likelihood = density[:, None] + other
            # A logarithm per ten factors: densities are neither so large nor so small that ten overflow.
            log_likelihood[row] = np.log(np.multiply.reduceat(likelihood, tenths)).sum(axis=0)
            in_first = density[:, None] / likelihood
            summed = np.stack([np.ones_like(y), y - mu_of_row[row]])
            mean[:, row] = summed @ in_first
            variance[:, row] = summed**2 @ (in_first * (1 - in_first))
    shape = tuple(map(len, (mu_0, log_sigma_0, mu_1, log_sigma_1)))
    log_density = log_likelihood + first_prior[:, None] + other_prior
    return log_density.reshape(shape), [
        (m.reshape(shape), v.reshape(shape)) for m, v in zip(mean, variance, strict=True)
    ]


def _component(y: np.ndarray, weight: float, mu: np.ndarray, log_sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted densities (n, nodes) and the log prior (nodes,) on the grid of mu and log(sigma), flattened."""
    mu, log_sigma = (axis.ravel() for axis in np.meshgrid(mu, log_sigma, indexing="ij"))
    sigma = np.exp(log_sigma)
    density = weight / sigma * np.exp(-0.5 * ((y[:, None] - mu) / sigma) ** 2)
    # The last term is the Jacobian of the logarithm.
    return density, -0.5 * mu**2 - 0.5 * sigma**2 + log_sigma
