"""Anchors: how many real rewards to pay for, and of which steps. Pure functions of what is known.

For worlds whose rewards are sold apart from their steps: a person's judgement, a test that takes an hour, a run of the
whole pipeline. The step is cheap and on record; what it was worth is asked of a few steps only.

- How many: a share of the new steps, between a floor and a ceiling. It rises when the model's error drifts or the model
  disagrees with the latest anchors, and falls while they agree.
- Which: at random, but not evenly. A step's probability grows with what is not known of its reward and falls with its
  price (Neyman's allocation). It is known, and its inverse is the anchor's weight, so that what is learned from anchors
  is what would have been learned from all steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gedanken.errors import ConfigError
from gedanken.models.recalibration import RecalibrationConfig

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AnchorsConfig:
    """How real rewards anchor imagined ones."""

    on: bool = False
    """recalibrate the model's rewards, at every fit, by the held-out transitions of the run"""
    floor: float = 0.05
    """share of the new steps whose real reward is always asked for"""
    ceiling: float = 0.3
    """share that is never exceeded"""
    start: float = 0.2
    """share while nothing is known yet"""
    agree: float = 0.95
    """explained share of the real rewards' variance from which on fewer anchors do"""
    disagree: float = 0.8
    """explained share under which more are needed"""
    rise: float = 2.0
    """factor of the share where the model disagrees; with a drift it goes to the ceiling at once"""
    fall: float = 0.7
    """factor of the share where it agrees"""
    even: float = 0.2
    """share of the anchors that is chosen evenly, whatever is known: it bounds the weights"""
    shift: float = 1.0
    """smallest drift worth finding, in standard deviations of an episode's mean error"""
    false_alarms_every: float = 500.0
    """episodes between false alarms of drift, on average"""
    recalibration: RecalibrationConfig = field(default_factory=RecalibrationConfig)

    def __post_init__(self) -> None:
        if not 0.0 < self.floor <= self.start <= self.ceiling <= 1.0:
            raise ConfigError(
                "The shares of anchors are out of order.",
                given=f"floor={self.floor}, start={self.start}, ceiling={self.ceiling}",
                expected="0 < floor <= start <= ceiling <= 1",
            )
        if not self.disagree < self.agree <= 1.0 or not self.fall <= 1.0 <= self.rise or not self.fall > 0.0:
            raise ConfigError(
                "The share of anchors could not rise and fall like this.",
                given=f"disagree={self.disagree}, agree={self.agree}, fall={self.fall}, rise={self.rise}",
                expected="disagree < agree <= 1 and 0 < fall <= 1 <= rise",
            )
        if not 0.0 < self.even <= 1.0:
            raise ConfigError("`anchors.even` is no share.", given=self.even, expected="above 0, at most 1")


# --- How many -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """The share of the next steps to anchor, and why."""

    share: float
    reason: str


def next_share(before: float, *, agreement: float | None, drifted: bool | None, config: AnchorsConfig) -> Share:
    """The share that follows from what the latest anchors said.

    Args:
        before: the share so far.
        agreement: share of the real rewards' variance that the recalibrated model explains on anchors it had not seen;
            None where it is not known.
        drifted: whether its error has changed; None where it is not known.
        config: thresholds.
    """
    if drifted:
        return Share(config.ceiling, f"the model's error has drifted: up to the ceiling of {config.ceiling:.0%}")
    if agreement is None:
        return Share(before, f"the model's agreement is not known yet: {before:.0%} as before")
    if agreement < config.disagree:
        after, why = before * config.rise, f"less than {config.disagree:.0%}: more anchors"
    elif agreement >= config.agree:
        after, why = before * config.fall, f"{config.agree:.0%} or more: fewer anchors"
    else:
        after, why = before, "neither little nor much: as many anchors"
    after = min(max(after, config.floor), config.ceiling)
    return Share(after, f"the model explains {agreement:.1%} of the variance of unseen anchors, {why}, {after:.1%}")


# --- Which ----------------------------------------------------------------------------------------------------------


def inclusion(spread: ArrayLike, price: ArrayLike, *, amount: float, even: float) -> Floats:
    """[N] the probability with which each step becomes an anchor, so that the expected cost is `amount`.

    Neyman's allocation: proportional to spread / sqrt(price), which at this cost makes the weighted mean of the errors
    of the anchors as certain as can be. A share `even` of the cost is spread evenly.

    Args:
        spread: [N] standard deviation of what is not known of each reward. Unknown counts as the largest that is known.
        price: [N] of asking, above 0.
        amount: to be spent.
        even: share in (0, 1].

    Raises:
        ConfigError: a price is not above 0, or the two differ in length.
    """
    doubt, cost = np.array(spread, np.float64), np.asarray(price, np.float64)
    if doubt.ndim != 1 or doubt.shape != cost.shape:
        raise ConfigError("Every step needs its spread and its price.", given=f"{doubt.shape}, {cost.shape}")
    if not (cost > 0.0).all():
        raise ConfigError("To ask for a reward must cost something.", given=cost.min(), expected="above 0")
    if amount >= cost.sum():
        return np.ones(len(cost))
    known = np.isfinite(doubt) & (doubt >= 0.0)
    largest = float(doubt[known].max()) if known.any() else 0.0
    doubt = np.where(known, doubt, largest)
    wanted = doubt / np.sqrt(cost)
    wanted = wanted if wanted.any() else np.ones(len(cost))
    score = (1.0 - even) * wanted / (wanted @ cost) + even / cost.sum()
    # No probability is above 1: what those that reach it cannot take, the others share.
    sure = np.zeros(len(cost), bool)
    while True:
        left = max(amount, 0.0) - cost[sure].sum()
        probability = np.where(sure, 1.0, score * left / (score * cost)[~sure].sum())
        beyond = ~sure & (probability > 1.0)
        if not beyond.any():
            return probability
        sure |= beyond


def draw(probability: ArrayLike, rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions, ascending: each with exactly its probability, and as many as these sum up to, give or take one.

    Systematic sampling (Madow 1949) in random order.
    """
    chance = np.asarray(probability, np.float64)
    order = rng.permutation(len(chance))
    ends = np.cumsum(chance[order]) + rng.random()
    before = np.concatenate([[ends[0] - chance[order[0]]], ends[:-1]]) if len(chance) else ends
    return np.sort(order[np.floor(ends + 1e-12) > np.floor(before + 1e-12)]).astype(np.int64)


def novelty(features: Floats, known: Floats) -> Floats:
    """[N, F], [A, F] -> [N] in [0, 1]: 1 far from every anchor, 0 on top of one (a Gaussian process's deviation)."""
    if len(known) == 0:
        return np.ones(len(features))
    scale = np.where(known.std(0) > 1e-9, known.std(0), 1.0)
    a, b = features / scale, known / scale
    length = np.sqrt(features.shape[1])

    def kernel(x: Floats, y: Floats) -> Floats:
        squares = np.square(x).sum(1)[:, None] - 2.0 * x @ y.T + np.square(y).sum(1)
        near: Floats = np.exp(-0.5 * np.maximum(squares, 0.0) / length**2)
        return near

    near = kernel(a, b)
    explained = (near * np.linalg.solve(kernel(b, b) + 0.1 * np.eye(len(b)), near.T).T).sum(1)
    left: Floats = np.sqrt(np.clip(1.0 - explained, 0.0, 1.0))
    return left
