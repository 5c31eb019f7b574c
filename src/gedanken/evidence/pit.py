"""Are the forecasts' shapes right? The probability integral transform: where in its forecast did the truth fall?

If the forecasts are right, what comes falls anywhere in its forecast distribution with the same probability, and the
histogram of its place (0: below everything, 1: above) is flat. Too sure a model has a histogram like a U, too timid a
one a hump, and one that is off to a side a slope. Places are pooled over steps and dimensions.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gedanken.evidence.interval import Interval, over_episodes
from gedanken.evidence.judge import Floats, Judge

BINS = 10
_FINE = 200
_BOUNDS = (0.0, 1.0)


@dataclass(frozen=True)
class Pit:
    """The answer, with intervals over episodes.

    Attributes:
        histogram: the density of each tenth of [0, 1]; 1 is flat.
        distance: Kolmogorov's: the largest difference between the places' distribution and a flat one. 0 is flat; it
            is never below 0, so its interval lies above 0 even for perfect forecasts.
        centre: mean place; 0.5 is right, below it the forecasts are too high.
        width: 12 times the mean square distance from the middle; 1 is right, above it the model is too sure, below it
            too timid.
        flat: whether the intervals of `centre` and `width` both hold what is right; `None` without intervals.
    """

    histogram: tuple[Interval, ...]
    distance: Interval
    centre: Interval
    width: Interval
    flat: bool | None

    @classmethod
    def missing(cls, why: str, *, count: int = 0) -> Pit:
        """Where nothing was measured."""
        none = Interval.missing(why, count=count)
        return cls((), none, none, none, None)

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def check_pit(place: Floats, episode: NDArray[np.int64], *, confidence: float = 0.95, seed: int) -> Pit:
    """Judges places [N, D] in [0, 1] of steps whose episodes are [N].

    Returns:
        `missing` where there is no place, or one is not finite.
    """
    judge = Judge.of(episode, confidence=confidence, seed=seed)
    if place.size == 0:
        return Pit.missing("there is no observation that changed", count=judge.episodes)
    if not np.isfinite(place).all():
        return Pit.missing("the model's forecast is not finite", count=judge.episodes)
    counts = _counts(place, judge)
    edges = np.arange(1, _FINE) / _FINE

    def distance(chosen: NDArray[np.int64]) -> float:
        filled = counts[chosen].sum(0)
        reached = np.cumsum(filled)[:-1] / filled.sum()
        return float(np.abs(reached - edges).max())

    def density(chosen: NDArray[np.int64], one: int) -> float:
        filled = counts[chosen].sum(0)
        return float(filled.reshape(BINS, -1)[one].sum() / filled.sum()) * BINS

    centre = judge.mean(place.mean(-1), "", bounds=_BOUNDS)
    width = judge.mean(12.0 * np.square(place - 0.5).mean(-1), "", bounds=(0.0, 3.0))
    return Pit(
        histogram=tuple(
            over_episodes(
                judge.episodes,
                lambda chosen, one=one: density(chosen, one),  # type: ignore[misc]
                confidence=confidence,
                seed=seed,
                bounds=(0.0, BINS),
            )
            for one in range(BINS)
        ),
        distance=over_episodes(judge.episodes, distance, confidence=confidence, seed=seed, bounds=_BOUNDS),
        centre=centre,
        width=width,
        flat=None if None in (centre.low, width.low) else _holds(centre, 0.5) and _holds(width, 1.0),
    )


def _counts(place: Floats, judge: Judge) -> Floats:
    """[E, fine bins]: what each episode adds."""
    fine = np.minimum((place * _FINE).astype(np.int64), _FINE - 1)
    cell = judge.group[:, None] * _FINE + fine
    counts: Floats = np.bincount(cell.reshape(-1), minlength=judge.episodes * _FINE).astype(np.float64)
    return counts.reshape(judge.episodes, _FINE)


def _holds(interval: Interval, value: float) -> bool:
    low = -math.inf if interval.low is None else interval.low
    high = math.inf if interval.high is None else interval.high
    return low <= value <= high
