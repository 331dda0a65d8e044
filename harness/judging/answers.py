"""Which backend gives an answer soonest: in numbers, with what they may be off by, and in a sentence.

The time to an answer is what somebody waits for from `import pymc` until `pm.sample` returns with `EFFECTIVE_DRAWS`
of the hardest estimand: setup with warm caches, tuning once, drawing at the measured rate, and finish. Who wants more
draws or fewer, or has cold caches, is another `Case`. It must not know how it is drawn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations, product
from statistics import median, variance

from scipy import stats

from harness.judging.efficiency import Efficiency, Work, pooled, work
from harness.judging.noise import Noise, noise_of
from harness.judging.paired import NOTHING, Estimate, Prior, Round, estimate, prior
from harness.results.metrics import COLD_SETUP, DRAWING, FINISH, GRADIENT, TUNING, WARM_SETUP, contaminated
from harness.results.records import EFFECTIVE_DRAWS, Measurement, Record
from harness.results.store import MachineResults

_BACKENDS = 10
_FREEDOM_OF_NOISE = 20
# What to begin with where rounds do not say how much they vary, and more than anybody would measure.
_SOME_ROUNDS, _MOST_ROUNDS = 5, 40


@cache
def _apart(freedom: int) -> float:
    """Of ten equal backends, the slowest is this many standard errors from the fastest in one case of twenty: Tukey's
    studentised range over √2, for errors that are themselves estimated with so many degrees of freedom. Whom that sets
    apart is slower, whoever else was looked at; and the intervals of ratios that are shown are as wide."""
    return float(stats.studentized_range.ppf(0.95, _BACKENDS, freedom)) / math.sqrt(2)


@dataclass(frozen=True)
class Case:
    """What somebody waits for: so many effective draws of the hardest estimand, with warm compile caches or cold
    ones."""

    draws: int = EFFECTIVE_DRAWS
    cold: bool = False


CASES = tuple(Case(draws, cold) for cold in (False, True) for draws in (100, EFFECTIVE_DRAWS, 10_000))
"""Among which a reader picks theirs."""


@dataclass(frozen=True)
class Time:
    """Seconds until an answer, of one measurement, part by part.

    `speed_error` and `efficiency_error` are standard deviations of the logarithm: of all seconds, which are one
    machine's, and of the effective draws, which count for drawing alone; None where no other seed tells. `rounds` are
    the seconds of each trial, by its sitting and its round: what two backends took in the same ones does not depend on
    the machine's mood. `known` is what the ratios of other backends' rounds tell of how such ratios vary.
    """

    measurement: Measurement
    setup_seconds: float
    tuning_seconds: float
    drawing_seconds: float
    finish_seconds: float
    cold_setup_seconds: float | None
    efficiency: Efficiency
    speed_error: float
    efficiency_error: float | None
    rounds: Mapping[tuple[str, int], float] = field(default_factory=dict)
    known: Prior = NOTHING

    @property
    def backend(self) -> str:
        """Whose time it is."""
        return self.measurement.backend

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.setup_seconds + self.sampling_seconds + self.finish_seconds

    @property
    def sampling_seconds(self) -> float:
        """Tuning and drawing."""
        return self.tuning_seconds + self.drawing_seconds

    @property
    def cold_seconds(self) -> float | None:
        """All of it, with cold caches."""
        return None if self.cold_setup_seconds is None else self.seconds - self.setup_seconds + self.cold_setup_seconds

    @property
    def _drawing_share(self) -> float:
        return self.drawing_seconds / self.seconds

    @property
    def error(self) -> float | None:
        """Standard deviation of the logarithm of the seconds."""
        if self.efficiency_error is None:
            return None
        return math.hypot(self.speed_error, self._drawing_share * self.efficiency_error)

    def _luck(self, other: Time) -> float | None:
        """What the effective draws of both may have made of this time over another one, as an error of its
        logarithm."""
        if self.efficiency_error is None or other.efficiency_error is None:
            return None
        ours, theirs = (t._drawing_share * t.efficiency_error for t in (self, other))
        # The same draws have the same luck.
        return ours - theirs if self._draws & other._draws else math.hypot(ours, theirs)

    def beside(self, other: Time) -> list[Round]:
        """What this one took over the other one, in each round that both were part of."""
        both = sorted(self.rounds.keys() & other.rounds.keys())
        return [Round(math.log(self.rounds[r] / other.rounds[r]), 1) for r in both]

    def _told_beside(self, other: Time) -> Estimate | None:
        """What the rounds of both say, if it is known how they vary."""
        told = estimate(self.beside(other), self.known)
        return told if told and told.freedom >= 1 else None

    @property
    def _draws(self) -> set[str]:
        return {r.draws_sha256 for r in self.measurement.of_kind("warm") if r.draws_sha256}

    def is_same_as(self, other: Time) -> bool:
        """Whether both are one sampler by two names, such as `default` and what it picks: the same draws, by the same
        means."""
        means = [
            {
                (r.sampler, r.linker, r.gradient_backend)
                for trial in t.measurement.of_kind("warm")
                if (r := trial.resolved)
            }
            for t in (self, other)
        ]
        return bool(self._draws & other._draws) and means[0] == means[1]

    def slower_than(self, other: Time) -> tuple[float, float, float] | None:
        """The ratio of this time to another one and its 95 % interval, wide enough for the slowest and the fastest of
        ten; None where noise is not known."""
        luck = self._luck(other)
        if luck is None:
            return None
        if told := self._told_beside(other):
            ratio, error, freedom = told.ratio, told.error, round(min(told.freedom, 1000))
        else:
            ratio = self.seconds / other.seconds
            error, freedom = math.hypot(self.speed_error, other.speed_error), _FREEDOM_OF_NOISE
        spread = math.exp(_apart(freedom) * math.hypot(error, luck))
        return ratio, ratio / spread, ratio * spread

    def rounds_to_tell_from(self, other: Time) -> float:
        """How many rounds would tell it from another one, if their ratio is what it seems: infinitely many where it
        would take more than anybody measures."""
        compared, told = self.slower_than(other), self._told_beside(other)
        if compared is None or told is None:
            return _SOME_ROUNDS
        ratio, low, _ = compared
        needed = math.inf if ratio == 1 else told.rounds * (math.log(ratio / low) / math.log(ratio)) ** 2
        return max(math.ceil(needed), told.rounds + 1) if needed <= _MOST_ROUNDS else math.inf

    def clearly_slower_than(self, other: Time) -> bool | None:
        """Whether noise does not explain the difference, with all ten compared; None where noise is not known."""
        compared = self.slower_than(other)
        return None if compared is None else compared[1] > 1


def time(
    measurement: Measurement, noise: Noise, efficiencies: Mapping[Work, Efficiency], case: Case = Case(),
    sittings: Iterable[Measurement] = (),
) -> Time | None:  # fmt: skip
    """The time of a measurement, or None where it has no valid draws, or does not tell tuning from drawing.

    Seconds are medians over its warm trials, but for a cold case's setup; the effective draws are those of all seeds
    that have been tried, and the rounds those of other `sittings` as well.
    """
    warm, first = measurement.of_kind("warm"), COLD_SETUP if case.cold else WARM_SETUP
    parts = [metric.samples(measurement) for metric in (first, TUNING, DRAWING, FINISH)]
    if measurement.outcome != "ok" or not all(parts) or not all(r.effective_draws for r in warm):
        return None
    cold = COLD_SETUP.samples(measurement)
    setup, tuning, drawing, finish = map(median, parts)
    efficiency = efficiencies.get(work(warm[0])) or pooled(warm)[work(warm[0])]
    deviation = noise.of_effective_draws((measurement.model, measurement.n, measurement.backend))
    needed = case.draws / efficiency.effective_draws

    def whole(record: Record) -> float:
        c = record.clocks
        if case.cold:
            # A cold trial tells of setup alone.
            return c.setup_wall_seconds + tuning + drawing * needed + finish
        return c.setup_wall_seconds + c.tuning_wall_seconds + c.drawing_wall_seconds * needed + c.finish_wall_seconds

    # Also those during which the machine changed speed: what that does to ratios is seen in how they vary.
    rounds = {
        (r.round.block, r.round.number): whole(r)
        for m in (measurement, *sittings)
        for r in m.of_kind(first.kind)
        if r.round and (case.cold or r.clocks.tuning_wall_seconds is not None)
    }
    return Time(
        measurement,
        setup,
        tuning,
        drawing * needed,
        finish,
        median(cold) if cold else None,
        efficiency,
        speed_error=max(noise.of(first), noise.of(GRADIENT)),
        efficiency_error=None if deviation is None else deviation / math.sqrt(efficiency.seeds),
        rounds=rounds,
    )


def _side_by_side(times: Sequence[Time]) -> list[Time]:
    """The times, each with what the rounds of all tell of how ratios vary."""
    several = [rounds for a, b in combinations(times, 2) if len(rounds := a.beside(b)) > 1]
    differences = [[r.difference for r in rounds] for rounds in several]
    known = prior([variance(d) for d in differences], [len(d) - 1 for d in differences])
    # Each backend is in many of the pairs: no more is independent than trials are left by a mean of each backend and of
    # each round.
    trials, means = sum(len(t.rounds) for t in times), len(times) + len({r for t in times for r in t.rounds}) - 1
    known = Prior(known.variance, min(known.freedom, float(max(0, trials - means))))
    return [replace(t, known=known) for t in times]


@dataclass(frozen=True)
class Answer:
    """For one model and size in one release: all times, the fastest first, and measurements without one."""

    model: str
    n: int
    tag: str
    times: tuple[Time, ...]
    without: tuple[Measurement, ...]
    newer: tuple[str, ...] = ()
    """Newer releases in which it was measured, and no backend gave a valid answer."""

    @property
    def winners(self) -> list[Time]:
        """The fastest and those that noise does not tell from it."""
        return [t for t in self.times if not t.clearly_slower_than(self.times[0])] if self.times else []

    @property
    def told(self) -> bool:
        """Whether it is known who wins: one sampler, be it by two names."""
        return bool(self.times) and all(t.is_same_as(self.times[0]) for t in self.winners[1:])

    @property
    def experiment(self) -> str | None:
        """What would tell the winners apart, in a sentence and a command; None where nothing is to be told."""
        if self.told or not self.times or self.times[0].error is None:
            return None
        best, *others = self._samplers
        # By those names of both that were in most rounds together.
        pairs = [max(product(best, names), key=lambda pair: len(pair[0].beside(pair[1]))) for names in others]
        needed = [slower.rounds_to_tell_from(fast) for fast, slower in pairs]
        if math.inf in needed:
            return f"They are too alike for {_MOST_ROUNDS} rounds to tell"
        # All of them in one sitting, also what was measured as often in others.
        command = f"bench run {self.tag} --model {self.model} --n {self.n} --warm {max(needed)} --again"
        return f"About {max(needed)} rounds side by side would tell: {command}"

    @property
    def contaminated(self) -> list[str]:
        """Backends during all of whose warm trials the machine changed speed."""
        return [t.backend for t in self.times if all(map(contaminated, t.measurement.of_kind("warm")))]

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """Backend and sentence of what makes no answer wrong, and should be known."""
        return [(t.backend, warning) for t in self.times for warning in t.measurement.warnings]

    @property
    def waiting(self) -> str:
        """What one waits for with the fastest, or from the fastest to the slowest of those that may be."""
        least, most = (seconds(t.seconds) for t in (self.times[0], self.winners[-1]))
        return least if least == most else f"{least} to {most}"

    @property
    def sentence(self) -> str:
        """Who wins, and by how much, or that it cannot be told."""
        if not self.times:
            return "No backend gave a valid answer."
        best, *others = self.times
        if not others:
            return f"{best.backend} is the only backend that gave a valid answer: {seconds(best.seconds)}."
        if best.error is None:
            return (
                f"{best.backend} took least, {seconds(best.seconds)}; whether that is more than chance cannot be told: "
                "no second seed says how much effective draws vary."
            )
        rest = [t for t in others if t not in self.winners]
        *names, last = map(_named, self._samplers)
        those = f"{', '.join(names)} or {last}"
        if not rest:
            return (
                f"It cannot be told which of {those} is fastest ({self.waiting})."
                if names
                else f"{last} is the only sampler that gave a valid answer: {seconds(best.seconds)}."
            )
        slower = f"{_ratio(rest[0].slower_than(best))} as long"
        return (
            f"{those} is fastest, {self.waiting}, and it cannot be told which; the others took {slower} or more."
            if names
            else f"{last} is fastest, {seconds(best.seconds)}: {rest[0].backend}, the next, took {slower}."
        )

    @property
    def _samplers(self) -> list[list[Time]]:
        """The winners, those that are one sampler together."""
        groups: list[list[Time]] = []
        for t in self.winners:
            same = next((group for group in groups if t.is_same_as(group[0])), None)
            if same:
                same.append(t)
            else:
                groups.append([t])
        return groups


def _named(sampler: Sequence[Time]) -> str:
    first, *others = (t.backend for t in sampler)
    return first + (f" (the same as {', '.join(others)})" if others else "")


def _ratio(of: tuple[float, float, float]) -> str:
    ratio, low, high = of
    return (
        f"{ratio:.2g} times ({low:.2g} to {high:.2g})" if ratio < 10 else f"{ratio:.0f} times ({low:.0f} to {high:.0f})"
    )


def seconds(value: float) -> str:
    """Seconds with as many digits as anybody wants."""
    return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"


@cache
def efficiencies_of(content: MachineResults) -> Mapping[Work, Efficiency]:
    """How many effective draws each sampler's work gives, by all trials of all machines."""
    return pooled(content.drawn)


def answer(content: MachineResults, model: str, n: int, tag: str | None = None, case: Case = Case()) -> Answer | None:
    """The answer for a model and size, in the newest release that has one or in the one asked for."""
    tag = tag or content.newest(model, n)
    if tag is None:
        return None
    measured = measurements_of(content, tag, model, n)
    known = noise_of(content), efficiencies_of(content)
    found = [time(m, *known, case, content.sittings[tag, (model, n, m.backend)]) for m in measured]
    times = sorted(_side_by_side([t for t in found if t]), key=lambda t: t.seconds)
    timed = {t.backend for t in times}
    without = tuple(m for m in measured if m.backend not in timed)
    later = content.tags[content.tags.index(tag) + 1 :] if tag in content.tags else []
    outcomes = {t: {m.outcome for key, m in content.cells[t].items() if key[:2] == (model, n)} for t in later}
    newer = tuple(t for t, found in outcomes.items() if found and "ok" not in found)
    return Answer(model, n, tag, tuple(times), without, newer)


def measurements_of(content: MachineResults, tag: str, model: str, n: int) -> list[Measurement]:
    """What is told of each backend: of its sittings the one that it shares with most others, the newest of these, since
    seconds of one sitting are of one mood of the machine. Where the newest of all has no answer, that one."""
    keys = content.order(key for key in content.cells.get(tag, ()) if key[:2] == (model, n))
    sittings = [content.sittings[tag, key] for key in keys]
    its = [[(m, {r.round.block for r in m.records if r.round}) for m in of_one] for of_one in sittings]
    others = Counter(block for of_one in its for block in set().union(*(blocks for _, blocks in of_one)))
    found = []
    for of_one in its:
        answered = [(m, blocks) for m, blocks in of_one[::-1] if m.outcome == "ok"]
        newest = of_one[-1][0]
        most = max(answered, key=lambda i: max((others[b] for b in i[1]), default=0), default=(newest, ()))
        found.append(most[0] if newest.outcome == "ok" else newest)
    return found


def answers(content: MachineResults) -> Sequence[Answer]:
    """One for each model and size that has been measured."""
    found = (answer(content, model, n) for model, n in content.sizes)
    return [a for a in found if a]
