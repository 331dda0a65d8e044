"""What is done to the raw draws of a correct sampler to make them wrong, latent variables first of all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models import discrete, ppca
from tests.exact_latent import Raw

Fault = Callable[[Raw, np.random.Generator], Raw]


def change(name: str, how: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Fault:
    """A fault that changes the draws of one variable, given them and a source of randomness."""
    return lambda raw, rng: {**raw, name: how(raw[name].copy(), rng)}


def everything(how: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Fault:
    """A fault that changes the draws of all variables in the same way: each is given the same randomness."""

    def changed(raw: Raw, rng: np.random.Generator) -> Raw:
        seed = rng.integers(2**32)
        return {name: how(x, np.random.default_rng(seed)) for name, x in raw.items()}

    return changed


def frozen(x: np.ndarray, chains: slice = slice(None), draws: slice = slice(None)) -> np.ndarray:
    """The last element (or the scalar) stays at the first of its draws, in these chains and draws."""
    element = x.reshape(*x.shape[:2], -1)[..., -1]
    element[chains, draws] = element[chains, draws][:, :1]
    return x


def _conditional(raw: Raw) -> tuple[np.ndarray, float]:
    """Mean of z given w, and its sd."""
    w = raw["w"][..., 0]
    q = 1 + (w**2).sum(axis=-1, keepdims=True)
    return (w @ ppca.data(raw["z"].shape[2]) / q)[..., None], 1 / np.sqrt(q[..., None])


def _shifted(by: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Fault:
    """z shifted by a third of its conditional sd, in the direction that `by` gives."""
    return lambda raw, rng: {**raw, "z": raw["z"] + by(raw["w"], rng) * _conditional(raw)[1] / 3}


def _narrowed(raw: Raw, _: np.random.Generator) -> Raw:
    mean, _sd = _conditional(raw)
    return {**raw, "z": mean + 0.85 * (raw["z"] - mean)}


def _one_chain(how: Callable) -> Callable:
    def changed(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.concatenate([x[:-1], how(x[-1:], rng)])

    return changed


def _permuted(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return x[:, :, rng.permutation(x.shape[2])]


def _permuted_anew(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permuted(x, axis=2)


def _in_another_order(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return x[:, rng.permutation(x.shape[1])]


def _lagged(x: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.roll(x, 1, axis=1)


PPCA: dict[str, Fault] = {
    "from the prior": change("z", lambda z, rng: rng.normal(size=z.shape)),
    "from the prior in one chain": change("z", _one_chain(lambda z, rng: rng.normal(size=z.shape))),
    "negated": change("z", lambda z, _: -z),
    "negated in one chain": change("z", _one_chain(lambda z, _: -z)),
    "zero": change("z", lambda z, rng: 1e-9 * rng.normal(size=z.shape)),
    "at its mean": lambda raw, _: {**raw, "z": _conditional(raw)[0]},
    "permuted": change("z", _permuted),
    "permuted anew in each draw": change("z", _permuted_anew),
    "reversed": change("z", lambda z, _: z[:, :, ::-1]),
    "moved on by one": change("z", lambda z, _: np.roll(z, 1, axis=2)),
    "shifted by a third": _shifted(lambda w, _: np.sign(w[:, :, 1:])),
    "shifted by a third, whatever the mode": _shifted(lambda w, _: np.ones_like(w[:, :, 1:])),
    "shifted by a third, this way or that": _shifted(
        lambda w, rng: np.sign(w[:, :, 1:]) * rng.choice([-1.0, 1.0], size=(500, 1))
    ),
    "shifted by a third in one chain": _shifted(
        lambda w, _: np.sign(w[:, :, 1:]) * (np.arange(4) == 3)[:, None, None, None]
    ),
    "a tenth of them permuted": change(
        "z", lambda z, rng: np.concatenate([_permuted(z[:, :, :50], rng), z[:, :, 50:]], axis=2)
    ),
    "narrowed to 85 %": _narrowed,
    "one element frozen": change("z", lambda z, _: frozen(z)),
    "one element frozen in one chain": change("z", lambda z, _: frozen(z, slice(2, 3))),
    "one element frozen for a third of one chain": change(
        "z", lambda z, _: frozen(z, slice(2, 3), slice(z.shape[1] // 3, 2 * z.shape[1] // 3))
    ),
    "one element that is another": change("z", lambda z, _: np.concatenate([z[:, :, :-1], z[:, :, :1]], axis=2)),
    "w frozen": change("w", lambda w, _: frozen(w)),
}


def _stuck(probability: float, at: int, chains: slice = slice(None), draws: slice = slice(None)) -> Fault:
    """The label whose probability to be 0 is next to this one stays at a value."""
    likely, _ = discrete.latent_reference(100)
    label = int(np.abs(likely - probability).argmin())

    def stuck(raw: Raw, _: np.random.Generator) -> Raw:
        cluster = raw["cluster"].copy()
        cluster[chains, draws, label] = at
        return {**raw, "cluster": cluster}

    return stuck


def _with_the_right_number(cluster: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permuted(cluster, axis=2)


LABELS: dict[str, Fault] = {
    "from the prior": change("cluster", lambda c, rng: (rng.random(c.shape) > 0.3).astype(int)),
    "permuted": change("cluster", _permuted),
    "permuted anew in each draw": change("cluster", _permuted_anew),
    "flipped": change("cluster", lambda c, _: 1 - c),
    "the likeliest": change("cluster", lambda c, _: np.broadcast_to(c.mean(axis=(0, 1)).round().astype(int), c.shape)),
    "a likely one stuck": _stuck(0.9, at=0),
    "a likely one stuck in one chain": _stuck(0.9, at=0, chains=slice(1, 2)),
    "an even one stuck": _stuck(0.5, at=1),
    "an even one stuck in one chain": _stuck(0.5, at=0, chains=slice(1, 2)),
    "a rare one stuck where it may be": _stuck(0.1, at=1),
    "one that is never 0 stuck there": _stuck(0.0, at=0),
    "one that is never 0 stuck there for fifty draws": _stuck(0.0, 0, slice(1, 2), slice(50, 100)),
    "a label that there is not": _stuck(0.5, at=2),
}

SCHOOLS: dict[str, Fault] = {
    "a school from the prior": change("eta_0", lambda eta, rng: rng.normal(size=eta.shape)),
    "a school that is another": lambda raw, _: {**raw, "eta_0": raw["eta_1"]},
    "a school frozen": change("eta_5", lambda eta, _: frozen(eta[..., None])[..., 0]),
    "a school frozen in one chain": change("eta_5", lambda eta, _: frozen(eta[..., None], slice(1, 2))[..., 0]),
    "a constant effect": lambda raw, _: {**raw, "eta_5": (5 - raw["mu"]) / raw["tau"]},
}

RATES: dict[str, Fault] = {
    "the switchpoint frozen": change("switchpoint", lambda k, _: np.broadcast_to(k[:, :1], k.shape)),
    "the late rate frozen in one chain": change("late_rate", lambda r, _: frozen(r[..., None], slice(1, 2))[..., 0]),
}


def _county(name: str, how: Callable[[np.ndarray, np.random.Generator], np.ndarray], j: int = 40) -> Fault:
    """A fault in the effect of one county."""

    def changed(raw: Raw, rng: np.random.Generator) -> Raw:
        x = raw[name].copy()
        x[..., j] = how(x[..., j], rng)
        return {**raw, name: x}

    return changed


COUNTIES: dict[str, Fault] = {
    "effects from the prior": change("a", lambda a, rng: rng.normal(size=a.shape)),
    "slopes from the prior": change("b", lambda b, rng: rng.normal(size=b.shape)),
    "effects permuted": change("a", _permuted),
    "slopes negated": change("b", lambda b, _: -b),
    "slopes zero": change("b", lambda b, rng: 1e-9 * rng.normal(size=b.shape)),
    "one county frozen": _county("a", lambda a, _: np.broadcast_to(a[:, :1], a.shape)),
    "one county frozen in one chain": _county("a", lambda a, _: frozen(a[..., None].copy(), slice(2, 3))[..., 0]),
    # Of 116 houses that with 105.
    "one county that is another": lambda raw, _: {
        **raw, "a": np.concatenate([raw["a"][..., :72], raw["a"][..., 25:26], raw["a"][..., 73:]], axis=-1)
    },
    "one slope shifted by its sd": _county("b", lambda b, _: b + b.std()),
    "all shifted by a quarter": change("a", lambda a, _: a + a.std(axis=(0, 1)) / 4),
    "the sd of counties exchanged": lambda raw, _: {**raw, "county_sd": raw["floor_sd"], "floor_sd": raw["county_sd"]},
}  # fmt: skip

FUNCTIONS: dict[str, Fault] = {
    "a length scale a quarter too long": change("length_scale", lambda x, _: 1.25 * x),
    "noise a twentieth too small": change("noise", lambda x, _: 0.95 * x),
    "an amplitude half too large": change("amplitude", lambda x, _: 1.5 * x),
    "a length scale frozen in one chain": change(
        "length_scale", lambda x, _: frozen(x[..., None], slice(1, 2))[..., 0]
    ),
    "noise and amplitude exchanged": lambda raw, _: {**raw, "noise": raw["amplitude"], "amplitude": raw["noise"]},
}

RESIDUALS: dict[str, Fault] = {
    "coefficients exchanged": lambda raw, _: {**raw, "ar": raw["ma"], "ma": raw["ar"]},
    "ma negated": change("ma", lambda x, _: -x),
    "ma of a loop that forgets": change("ma", lambda x, rng: 0.05 * rng.normal(size=x.shape)),
    "a level shifted by half its sd": change("level", lambda x, _: x + x.std() / 2),
    "parameters that do not know of each other": lambda raw, rng: {
        **raw, **{name: _in_another_order(raw[name], rng) for name in ("level", "ar", "ma")}
    },
    "the noise frozen in one chain": change("noise", lambda x, _: frozen(x[..., None], slice(1, 2))[..., 0]),
}  # fmt: skip

COEFFICIENTS: dict[str, Fault] = {
    "one from the prior": change("b_40", lambda b, rng: rng.normal(size=b.shape)),
    "one that is another": lambda raw, _: {**raw, "b_40": raw["b_41"]},
    "two exchanged": lambda raw, _: {**raw, "b_40": raw["b_41"], "b_41": raw["b_40"]},
    "one negated": change("b_40", lambda b, _: -b),
    "one frozen": change("b_40", lambda b, _: frozen(b[..., None])[..., 0]),
    "one frozen in one chain": change("b_40", lambda b, _: frozen(b[..., None], slice(1, 2))[..., 0]),
    "one shifted by half its sd": change("b_40", lambda b, _: b + b.std() / 2),
    "all shifted by a sixth": lambda raw, _: {
        name: x + x.std() / 6 if name != "noise" else x for name, x in raw.items()
    },
    "all narrowed to 85 %": lambda raw, _: {
        name: x.mean() + 0.85 * (x - x.mean()) if name != "noise" else x for name, x in raw.items()
    },
    "the noise a tenth too large": change("noise", lambda x, _: 1.1 * x),
}


def _interleaved(x: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Each chain dealt out, one draw after the other, over all of them."""
    chains, draws = x.shape[:2]
    return np.swapaxes(x.reshape(chains * draws, *x.shape[2:]).reshape(draws, chains, *x.shape[2:]), 0, 1)


def _alternating(x: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Two pairs of chains that exchange every second draw."""
    x = x.copy()
    x[:, 1::2] = x[[1, 0, 3, 2], 1::2]
    return x


def _shuffled_across(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The draws that the chains made at the same time, dealt out anew each time."""
    order = rng.permuted(np.tile(np.arange(len(x)), (x.shape[1], 1)), axis=1)
    return np.stack([x[order[t], t] for t in range(x.shape[1])], axis=1)


MIXED: dict[str, Fault] = {
    "chains interleaved": everything(_interleaved),
    "chains that exchange every second draw": everything(_alternating),
    "draws shuffled across chains": everything(_shuffled_across),
    "a chain that is another, seven draws before": everything(
        lambda x, _: np.concatenate([x[:-1], np.roll(x[:1], 7, axis=1)])
    ),
}

EXCHANGED: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "from the draw before": _lagged,
    "in another order": _in_another_order,
    "from another chain": lambda x, _: np.roll(x, 1, axis=0),
    "the last two draws exchanged": lambda x, _: np.concatenate([x[:, :-2], x[:, -1:], x[:, -2:-1]], axis=1),
}
