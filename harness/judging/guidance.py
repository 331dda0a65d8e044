"""The advice of PyMC's "Faster Sampling with JAX and Numba" notebook, claim by claim, held against what was measured.

Each claim is judged in every release: `HOLDS`, `FAILS`, `DEPENDS`, `CANNOT_TELL` or `UNMEASURED`. What is told of it
is the verdict in the newest release in which it was measured, and since which release without a break. It must not know
how it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.judging.answers import Answer, Time, answer, seconds
from harness.results.store import MachineResults

HOLDS, FAILS, DEPENDS, CANNOT_TELL = "holds", "does not hold", "depends on the model", "cannot tell"
UNMEASURED = "not measured"
# Where the notebook draws no line between small and large models, this does: observations.
SMALL = 1000
VERY_LARGE = 50_000
CONSISTENT = 2.0

Verdict = tuple[str, str]
"""A verdict and the measurement that supports it, in a sentence."""


@dataclass(frozen=True)
class Judged:
    """A claim, the verdict in the newest release in which it was measured, `tag`, why, and `since` when it is so."""

    name: str
    claim: str
    verdict: str
    evidence: str
    tag: str | None
    since: str | None
    oldest: bool = False
    """Whether `since` is the first release that was looked at: it may have been so before."""


def _answers(content: MachineResults, tag: str) -> list[Answer]:
    found = (answer(content, model, n, tag) for model, n in content.sizes)
    return [a for a in found if a and len(a.times) > 1]


def _of(a: Answer, prefix: str) -> Time | None:
    return next((t for t in a.times if t.backend.startswith(prefix)), None)


def _fastest_among(prefix: str, answers: Sequence[Answer], what: str) -> Verdict:
    """Whether a family of backends is the fastest: it holds where no other may be, and not where most beat it."""
    told = [(a, t) for a in answers if (t := _of(a, prefix))]
    if not told:
        return UNMEASURED, f"There is no valid measurement of a {what} with it."
    if any(t.error is None for _, t in told):
        return CANNOT_TELL, "How much effective draws vary is not known: no second seed tells."
    alone = [a for a, _ in told if all(_is_of(t, prefix, a) for t in a.winners)]
    beaten = [a for a, t in told if t.clearly_slower_than(a.times[0])]
    words = "; ".join(
        f"{a.model} n={a.n}: {t.backend} {seconds(t.seconds)}, {a.times[0].backend} {seconds(a.times[0].seconds)}"
        if t is not a.times[0]
        else f"{a.model} n={a.n}: {t.backend} is first with {seconds(t.seconds)}"
        for a, t in told
    )
    counted = f"Of {len(told)}, alone the fastest in {len(alone)}, clearly slower than the fastest in {len(beaten)}."
    evidence = f"{counted} {words}."
    if len(alone) == len(told):
        return HOLDS, evidence
    if 2 * len(beaten) > len(told):
        return FAILS, evidence
    if alone and beaten:
        return DEPENDS, evidence
    return CANNOT_TELL, _with_experiments(evidence, [a for a, _ in told if a not in alone and a not in beaten])


def _is_of(time: Time, prefix: str, a: Answer) -> bool:
    """Whether it is a backend of the family, be it by another name: `default` is what it picks."""
    return any(t.backend.startswith(prefix) and (t is time or t.is_same_as(time)) for t in a.times)


def _with_experiments(evidence: str, answers: Sequence[Answer]) -> str:
    """The evidence, and what would tell more."""
    return " ".join([evidence, *(f"{a.model} n={a.n}: {a.experiment}." for a in answers if a.experiment)])


def _continuous(answers: Sequence[Answer]) -> list[Answer]:
    return [a for a in answers if _of(a, "numpyro") or _of(a, "nutpie")]


def _small(content: MachineResults, tag: str) -> Verdict:
    small = [a for a in _continuous(_answers(content, tag)) if a.n < SMALL]
    return _fastest_among("numpyro", small, f"model of fewer than {SMALL} observations")


def _large(content: MachineResults, tag: str) -> Verdict:
    large = [a for a in _continuous(_answers(content, tag)) if a.n >= SMALL]
    return _fastest_among("nutpie-numba", large, f"model of {SMALL} observations or more")


def _very_large(content: MachineResults, tag: str) -> Verdict:
    very_large = [a for a in _continuous(_answers(content, tag)) if a.n >= VERY_LARGE]
    if very_large:
        return _fastest_among("nutpie-jax", very_large, "very large model")
    largest = max((a.n for a in _continuous(_answers(content, tag))), default=None)
    size = f"the largest model that was has {largest:,}" if largest else "none was"
    return UNMEASURED, f"No model of {VERY_LARGE:,} observations or more has been measured; {size}."


def _numba(content: MachineResults, tag: str) -> Verdict:
    measured = [(a, t) for a in _continuous(_answers(content, tag)) if (t := _of(a, "nutpie-numba"))]
    # Where it is the fastest, by this name or another one, what is next says how sure that is.
    others = [(a, t, next((o for o in a.times if o is not t and not o.is_same_as(t)), None)) for a, t in measured]
    told = [(a, t, other) for a, t, other in others if other]
    if len(told) < 2:
        return UNMEASURED, "Fewer than two models have been measured with nutpie-numba and another sampler."
    ratios = {f"{a.model} n={a.n}": t.slower_than(other) for a, t, other in told}
    if None in ratios.values():
        return CANNOT_TELL, "How much effective draws vary is not known: no second seed tells."
    words = ", ".join(f"{ratio:.2g} ({low:.2g} to {high:.2g}; {name})" for name, (ratio, low, high) in ratios.items())
    evidence = f"nutpie-numba's time is this multiple of the fastest other one's: {words}."
    if all(high <= CONSISTENT for _, _, high in ratios.values()):
        return HOLDS, evidence
    return FAILS if any(low > CONSISTENT for _, low, _ in ratios.values()) else CANNOT_TELL, evidence


def _c(content: MachineResults, tag: str) -> Verdict:
    told = [(a, c, n) for a in _answers(content, tag) if (c := _of(a, "pymc-c")) and (n := _of(a, "pymc-numba"))]
    if not told:
        return UNMEASURED, "No model has been measured with both pymc-c and pymc-numba."
    words = "; ".join(
        f"{a.model} n={a.n}: C {seconds(c.seconds)}, of which sampling {seconds(c.sampling_seconds)}; Numba "
        f"{seconds(n.seconds)}, of which sampling {seconds(n.sampling_seconds)}"
        for a, c, n in told
    )
    slower = [c.clearly_slower_than(n) for _, c, n in told]
    faster = [n.clearly_slower_than(c) for _, c, n in told]
    if any(slower) and any(faster):
        return DEPENDS, f"{words}."
    if None in slower or not (any(slower) or any(faster)):
        return CANNOT_TELL, f"{words}."
    return (HOLDS if any(slower) else FAILS), f"{words}."


_EXTERNAL = ("nutpie", "numpyro", "blackjax")


def _discrete(content: MachineResults, release: Mapping) -> Verdict:
    found = {}
    for model, cells in release["models"].items():
        if any(c["outcome"] == "unsupported" and "discrete" in (c["reason"] or "") for c in cells.values()):
            found[model] = {b: c["outcome"] for b, c in cells.items()}
    if not found:
        return UNMEASURED, "No model with discrete variables has been swept."
    other = [b for cells in found.values() for b, o in cells.items() if o == "ok" and b.startswith(_EXTERNAL)]
    own = sorted({b for cells in found.values() for b, o in cells.items() if o == "ok" and not b.startswith(_EXTERNAL)})
    names = ", ".join(found)
    if other:
        return FAILS, f"{', '.join(other)} sampled {names}."
    return HOLDS, (
        f"{', '.join(own) or 'None'} sampled {names}; nutpie, NumPyro and BlackJAX take continuous variables only, and "
        "were not asked."
    )


_C = ("VMLinker", "CLinker", "CVMLinker")


def _fast_run(content: MachineResults, release: Mapping) -> Verdict:
    linker = release["fast_run_linker"]
    if linker is None:
        return UNMEASURED, "The sweep did not see what it resolved to."
    return HOLDS if linker in _C else FAILS, f"It resolved to PyTensor's {linker}."


def _default(content: MachineResults, release: Mapping) -> Verdict:
    sampler, linker = release["default_sampler"], release["default_linker"]
    if sampler is None:
        return UNMEASURED, "The sweep did not see which sampler it was."
    return HOLDS if sampler == "pymc" else FAILS, f"pm.sample() took {sampler} with {linker}."


_MEASURED: tuple[tuple[str, str, Callable[[MachineResults, str], Verdict]], ...] = (
    ("small", "For small models, use NumPyro.", _small),
    ("large", "For large models, use nutpie with Numba.", _large),
    ("very-large", "For very large models, use JAX.", _very_large),
    ("numba", "Numba performs consistently on CPUs.", _numba),
    ("c", "C is the fallback, and slower.", _c),
)
_SWEPT: tuple[tuple[str, str, Callable[[MachineResults, Mapping], Verdict]], ...] = (
    ("discrete", "Discrete variables are sampled by PyMC's own sampler only.", _discrete),
    ("fast-run", "The mode fast_run is C.", _fast_run),
    ("default", "pm.sample() is PyMC's own NUTS, written in Python.", _default),
)


def judge(content: MachineResults) -> list[Judged]:
    """All claims, in the order in which the notebook makes them."""
    measured = [
        _judged(name, claim, {tag: verdict(content, tag) for tag in content.tags}) for name, claim, verdict in _MEASURED
    ]
    releases = content.table["releases"]
    swept = [
        _judged(name, claim, {tag: verdict(content, release) for tag, release in releases.items()})
        for name, claim, verdict in _SWEPT
    ]
    return [*measured, *swept]


def _judged(name: str, claim: str, verdicts: Mapping[str, Verdict]) -> Judged:
    """The newest verdict, and the oldest release since which it has been reached without a break."""
    if not verdicts:
        return Judged(name, claim, UNMEASURED, "Nothing has been measured yet.", None, None)
    newest_first = list(verdicts.items())[::-1]
    # A release of which little was measured takes nothing back.
    measured = next((i for i, (_, (verdict, _)) in enumerate(newest_first) if verdict != UNMEASURED), 0)
    newest_first = newest_first[measured:]
    tag, (verdict, evidence) = newest_first[0]
    since = tag
    for older, (word, _) in newest_first[1:]:
        if word != verdict:
            break
        since = older
    told = since if verdict not in (CANNOT_TELL, UNMEASURED) else None
    return Judged(name, claim, verdict, evidence, tag, told, oldest=since == next(iter(verdicts)))
