"""Averages what was found at each step, with intervals that treat the whole episode as the exchangeable unit."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gedanken.evidence.interval import Interval, over_episodes, pooled

Floats = NDArray[np.float64]
NOT_NEGATIVE = (0.0, math.inf)


class Judge(NamedTuple):
    """`group` [N] is the episode of each of N values, in 0..E-1; `confidence` and `seed` are those of the intervals."""

    group: NDArray[np.int64]
    confidence: float
    seed: int

    @classmethod
    def of(cls, episode: NDArray[np.int64], *, confidence: float, seed: int) -> Judge:
        """Of values whose episodes [N] are numbered in any way, with gaps or without."""
        _, group = np.unique(episode, return_inverse=True)
        return cls(group.astype(np.int64), confidence, seed)

    @property
    def episodes(self) -> int:
        """E, how many episodes there are."""
        return int(self.group.max()) + 1 if len(self.group) else 0

    def sums(self, values: Floats | NDArray[np.float32] | NDArray[np.bool_]) -> Floats:
        """[N] -> [E], the sum of each episode."""
        return np.bincount(self.group, np.asarray(values, np.float64), self.episodes).astype(np.float64)

    def mean(
        self, values: Floats, unknown: str, *, root: bool = False, bounds: tuple[float, float] = NOT_NEGATIVE
    ) -> Interval:
        """[N] -> its mean (with `root` its square root); missing, with the reason `unknown`, if one is not finite."""
        if not np.isfinite(values).all():
            return Interval.missing(unknown, count=self.episodes)
        counts = self.sums(np.ones(len(values)))
        return pooled(self.sums(values), counts, confidence=self.confidence, seed=self.seed, root=root, bounds=bounds)

    def ratio(self, above: Floats, below: Floats, unknown: str, *, root: bool = False) -> Interval:
        """[N] twice -> sum over sum (with `root` the square root of it); missing if a value is not finite."""
        if not (np.isfinite(above).all() and np.isfinite(below).all()):
            return Interval.missing(unknown, count=self.episodes)
        upper, lower = self.sums(above), self.sums(below)

        def statistic(chosen: NDArray[np.int64]) -> float:
            divisor = float(lower[chosen].sum())
            quotient = float(upper[chosen].sum()) / divisor if divisor > 0.0 else math.nan
            return math.sqrt(quotient) if root else quotient

        return over_episodes(self.episodes, statistic, confidence=self.confidence, seed=self.seed, bounds=NOT_NEGATIVE)

    def skill(self, ours: Floats, theirs: Floats, unknown: str) -> Interval:
        """[N] scores twice -> 1 - ours / theirs; above 0 ours is the better one (1 is perfect)."""
        return complement(self.ratio(ours, theirs, unknown))


def complement(interval: Interval) -> Interval:
    """1 minus a number, with its interval."""
    mean, low, high = (None if end is None else 1.0 - end for end in (interval.mean, interval.high, interval.low))
    return Interval(mean, low, high, interval.count, interval.confidence, interval.method, interval.reason)
