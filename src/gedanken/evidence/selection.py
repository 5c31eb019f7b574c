"""Which of K candidate policies to deploy, with R real episodes to spend? The model proposes, the world decides.

`racing` says who has the next episode. Here the episodes are paid for, every decision is kept with its reason, and in
the end stands whom to deploy, how probable it is that nobody is better, and the regret to expect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gedanken.errors import ConfigError, WorldError
from gedanken.evidence.belief import Belief, Floats
from gedanken.evidence.interval import Interval, mean_with_interval
from gedanken.evidence.racing import Race

DRAWS = 4_000
_METHOD = "posterior"


@dataclass(frozen=True)
class Decision:
    """Whom one real episode was paid for, and why.

    Attributes:
        number: 1 for the first. policy: who had the episode. reason: in a sentence. result: the real return.
        leader: who would have been deployed before this episode; None where nothing was known.
        gain: how much the choice was expected to gain by it, in units of the return; None where that is not known.
    """

    number: int
    policy: str
    reason: str
    result: float
    leader: str | None
    gain: float | None


@dataclass(frozen=True)
class Candidate:
    """One policy at the end.

    Attributes:
        imagined: the model's value of it; None where it has none.
        real: the mean of its real returns; missing where it had none.
        believed: its value by all that is known, with the range that holds it with the stated probability.
        probability_best: that no other policy is better.
    """

    policy: str
    imagined: float | None
    real: Interval
    believed: Interval
    probability_best: float


@dataclass(frozen=True)
class Selection:
    """The answer.

    Attributes:
        chosen: whom to deploy.
        candidates: every policy, the best first.
        regret: what the best policy is expected to earn more than the chosen one, and the range of it.
        agreement: the correlation of the model's values with the real ones, as the real returns bear it out.
        paid: real episodes behind it. decisions: one for each that was paid for in this race.
        next: who should have one more real episode, and why.
    """

    chosen: str
    candidates: tuple[Candidate, ...]
    regret: Interval
    agreement: Interval
    paid: int
    decisions: tuple[Decision, ...]
    next: str
    next_reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def select(
    pay: Callable[[int], float],
    *,
    episodes: int,
    imagined: ArrayLike,
    policies: Sequence[str] | None = None,
    known: Sequence[ArrayLike] | None = None,
    tell: Callable[[Decision], object] | None = None,
    confidence: float = 0.95,
    seed: int,
) -> Selection:
    """Spends real episodes on K policies and chooses one.

    Args:
        pay: pays for one real episode of policy k, from 0, and returns its return. Recorded returns serve as well.
        episodes: how many to spend; 0 to choose by what is known.
        imagined: [K] the model's values of the policies, in any unit; NaN where it has none.
        policies: their names; by default "0", "1", ...
        known: K lists of real returns that are on record already.
        tell: is told each decision when its episode is over, so that a log survives whatever comes next.
        confidence: of the intervals.
        seed: of the order of policies between which nothing else decides, and of the draws that sum up the belief.

    Raises:
        ConfigError: an argument is out of its range, or the lengths differ.
        WorldError: a real return is not finite.
    """
    values = np.asarray(imagined, np.float64)
    names = tuple(policies) if policies is not None else tuple(str(number) for number in range(values.size))
    on_record = (
        [np.asarray(returns, np.float64) for returns in known] if known is not None else [np.zeros(0)] * len(names)
    )
    _check(values, names, on_record, episodes, confidence)
    race = Race(values, np.random.default_rng([seed, 0]))
    for policy, returns in enumerate(on_record):
        for value in returns:
            race.recall(policy, float(value))
    paid = [list(returns) for returns in on_record]
    decisions: list[Decision] = []
    for number in range(1, episodes + 1):
        belief, chosen = race.believe(), race.propose(left=episodes - number + 1)
        value = float(pay(chosen.policy))
        if not math.isfinite(value):
            raise WorldError(
                "A real episode has a return that is not finite.",
                given=f"{value} of policy {names[chosen.policy]!r}",
                do="mend the world or its reward; the episodes before it were told one by one.",
            )
        race.add(chosen.policy, value)
        paid[chosen.policy].append(value)
        leader = names[belief.best] if belief is not None else None
        decision = Decision(number, names[chosen.policy], chosen.reason, value, leader, chosen.gain)
        decisions.append(decision)
        if tell is not None:
            tell(decision)
    return _summary(race, values, names, paid, tuple(decisions), confidence, seed)


def _summary(
    race: Race,
    imagined: Floats,
    names: tuple[str, ...],
    paid: Sequence[Sequence[float]],
    decisions: tuple[Decision, ...],
    confidence: float,
    seed: int,
) -> Selection:
    belief, tally, hint = race.believe(), race.tally, race.hint
    chosen, following = race.choose(belief), race.propose(left=1)
    tails = [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0]
    if belief is None:
        why = (
            "fewer than two policies have real returns" if (tally.count > 0).sum() < 2 else "all real returns are equal"
        )
        none = Interval.missing(why, count=tally.total)
        believed, best = [none] * len(names), np.full(len(names), 1.0 / len(names))
        regret, agreement = none, none
    else:
        drawn = belief.draw(DRAWS, np.random.default_rng([seed, 1]))
        ends = np.quantile(drawn, tails, axis=0)
        count = [int(each) for each in tally.count]
        believed = [
            Interval(float(belief.mean[k]), float(ends[0, k]), float(ends[1, k]), count[k], confidence, _METHOD)
            for k in range(len(names))
        ]
        best = np.bincount(drawn.argmax(1), minlength=len(names)) / DRAWS
        lost = drawn.max(1) - drawn[:, chosen]
        regret = Interval(float(lost.mean()), *_floats(np.quantile(lost, tails)), tally.total, confidence, _METHOD)
        agreement = _agreement(belief, hint, tally.total, tails, confidence)
    candidates = [
        Candidate(
            policy=name,
            imagined=float(imagined[k]) if np.isfinite(imagined[k]) else None,
            real=mean_with_interval(paid[k], confidence=confidence, seed=seed),
            believed=believed[k],
            probability_best=float(best[k]),
        )
        for k, name in enumerate(names)
    ]
    order = np.argsort(-belief.mean, kind="stable") if belief is not None else race.by_hint()
    return Selection(
        chosen=names[chosen],
        candidates=tuple(candidates[k] for k in order),
        regret=regret,
        agreement=agreement,
        paid=tally.total,
        decisions=decisions,
        next=names[following.policy],
        next_reason=following.reason,
    )


def _agreement(belief: Belief, hint: Floats, paid: int, tails: Sequence[float], confidence: float) -> Interval:
    """The correlation of z and v in each case, where the model's value may be worth nothing, over all cases."""
    if not np.any(np.nan_to_num(hint)):
        return Interval.missing("the model tells the policies not apart", count=paid)
    of = belief.mixture
    correlation = of.correlation * (1.0 - of.broken)
    order = np.argsort(correlation)
    passed = np.cumsum(of.weight[order])
    ends = correlation[order][np.minimum(np.searchsorted(passed, tails), len(order) - 1)]
    return Interval(float(of.weight @ correlation), *_floats(ends), paid, confidence, _METHOD)


def _floats(values: Floats) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _check(imagined: Floats, names: tuple[str, ...], known: Sequence[Floats], episodes: int, confidence: float) -> None:
    if imagined.ndim != 1 or len(imagined) == 0:
        raise ConfigError(
            "The model's values must be a flat list, one a policy.", given=f"shape {imagined.shape}", expected="[K]"
        )
    if not len(imagined) == len(names) == len(known):
        raise ConfigError(
            "Each policy needs a name, a value of the model, and its known returns.",
            given=f"{len(names)} names, {len(imagined)} values, {len(known)} lists of returns",
            expected="as many of each, in the same order",
            do="give NaN where the model has no value, and an empty list where no return is known.",
        )
    if len(set(names)) < len(names):
        raise ConfigError("A policy is named twice.", given=", ".join(names))
    for name, returns in zip(names, known, strict=True):
        if returns.ndim != 1 or not np.isfinite(returns).all():
            raise ConfigError("Known returns must be a flat list of finite numbers.", given=f"{returns} of {name!r}")
    if episodes < 0:
        raise ConfigError("Real episodes cannot be fewer than none.", given=episodes, expected="0 or more")
    if not 0.0 < confidence < 1.0:
        raise ConfigError("A confidence is a probability.", given=confidence, expected="a number between 0 and 1")
