"""How sure a number is: a mean, or any statistic over episodes, with its interval and the count behind it.

Below `FEW` values the bootstrap is too narrow, so Student's t is used (for a general statistic: with the jackknife's
standard error). From there on it is the bootstrap of scipy, BCa for means. Above `MANY` values a bootstrap of the mean
agrees with Student's t in every digit that is printed and costs far more, so t it is again. `Interval.method` says
which one was used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from gedanken.errors import ConfigError

FEW = 20
MANY = 2_000


@dataclass(frozen=True)
class Interval:
    """A number, the interval around it and the count behind it.

    Attributes:
        mean: the estimate; `None` where nothing was measured (then `reason` says why).
        low, high: the ends of the interval; `None` where the count does not allow one (then `reason` says why).
        count: how many independent values (or episodes) it stands on.
        confidence: of the interval, such as 0.95.
        method: how the ends were found: `student-t`, `bca`, `jackknife-t` or `percentile` here; what another file of
            evidence calls its own, such as `ppi-t`; or `none`.
        reason: why the mean or the interval is missing; empty where nothing is missing.
    """

    mean: float | None
    low: float | None
    high: float | None
    count: int
    confidence: float = 0.95
    method: str = "none"
    reason: str = ""

    @classmethod
    def missing(cls, reason: str, *, count: int = 0) -> Self:
        """What stands in the place of a number that was not measured."""
        return cls(None, None, None, count, reason=reason)

    def __str__(self) -> str:
        if self.mean is None:
            return f"not measured ({self.reason})"
        if self.low is None or self.high is None:
            return f"{self.mean:.4g}, n={self.count}, no interval ({self.reason})"
        width = self.high - self.low
        if width <= 0.0:
            return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}], n={self.count}"
        # Two digits of the width are worth printing; more would claim a precision that is not there.
        digits = max(0, 1 - math.floor(math.log10(width)))
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}], n={self.count}"

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name, `None` where something is missing."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` gave; also a bare `{"mean", "low", "high", "episodes"}` as `run --json` prints it."""
        count = data["count"] if "count" in data else data["episodes"]
        return cls(
            mean=data["mean"],
            low=data["low"],
            high=data["high"],
            count=int(count),
            confidence=float(data.get("confidence", 0.95)),
            method=str(data.get("method", "none")),
            reason=str(data.get("reason", "")),
        )


def mean_with_interval(values: ArrayLike, *, confidence: float = 0.95, seed: int) -> Interval:
    """The mean of independent values and its interval.

    Args:
        values: [N] numbers, one an episode (or another independent unit).
        confidence: of the interval, in (0, 1).
        seed: of the bootstrap; the same seed gives the same interval.

    Returns:
        An interval with a missing mean if there is no value or one is not finite, and without ends if there is one.

    Raises:
        ConfigError: `confidence` is not between 0 and 1, or `values` is not one-dimensional.
    """
    _check_confidence(confidence)
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1:
        raise ConfigError(
            "Values for a mean must be a flat list of numbers.",
            given=f"an array of shape {sample.shape}",
            expected="[N]",
        )
    count = len(sample)
    if count == 0:
        return Interval.missing("there are no values")
    unfit = int((~np.isfinite(sample)).sum())
    if unfit:
        return Interval.missing(f"{unfit} of {count} values are not finite", count=count)
    mean = float(sample.mean())
    if count == 1:
        return Interval(mean, None, None, 1, confidence, reason="one value has no spread")
    if _all_equal(sample):
        return Interval(mean, mean, mean, count, confidence, "student-t")
    if FEW <= count <= MANY:
        ends = scipy.stats.bootstrap(
            (sample,),
            np.mean,
            confidence_level=confidence,
            n_resamples=4_999,
            batch=500,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        if np.isfinite([ends.low, ends.high]).all():
            return Interval(mean, float(ends.low), float(ends.high), count, confidence, "bca")
    half = _t_quantile(confidence, count - 1) * float(sample.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count, confidence, "student-t")


def over_episodes(
    count: int,
    statistic: Callable[[NDArray[np.int64]], float],
    *,
    confidence: float = 0.95,
    seed: int,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    resamples: int = 999,
) -> Interval:
    """Any statistic of a set of episodes, with an interval that treats the whole episode as the exchangeable unit.

    Args:
        count: how many episodes E there are.
        statistic: maps the indices of some episodes (repeats allowed) to a number; NaN where it is not defined.
        confidence: of the interval, in (0, 1).
        seed: of the bootstrap.
        bounds: what the statistic cannot leave, such as (0, 1) for a coverage; the ends are cut there.
        resamples: of the bootstrap.

    Raises:
        ConfigError: `confidence` is not between 0 and 1.
    """
    _check_confidence(confidence)
    everyone = np.arange(count, dtype=np.int64)
    if count == 0:
        return Interval.missing("there are no episodes")
    value = float(statistic(everyone))
    if not math.isfinite(value):
        return Interval.missing("it is not defined on these episodes", count=count)
    if count == 1:
        return Interval(value, None, None, 1, confidence, reason="one episode has no spread")
    if count < FEW:
        without = np.array([statistic(np.delete(everyone, i)) for i in range(count)], np.float64)
        if not np.isfinite(without).all():
            return Interval(value, None, None, count, confidence, reason="it hangs on a single episode")
        error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
        half = _t_quantile(confidence, count - 1) * error
        low, high, method = value - half, value + half, "jackknife-t"
    else:
        rng = np.random.default_rng(seed)
        drawn = np.array([statistic(rng.integers(0, count, count)) for _ in range(resamples)], np.float64)
        defined = drawn[np.isfinite(drawn)]
        # A statistic that many resamples do not define (an AUC with two positives) has no honest interval.
        if len(defined) < 0.9 * resamples:
            return Interval(value, None, None, count, confidence, reason="it hangs on too few of the episodes")
        tail = (1.0 - confidence) / 2.0
        low, high = (float(end) for end in np.quantile(defined, [tail, 1.0 - tail]))
        method = "percentile"
    return Interval(value, max(low, bounds[0]), min(high, bounds[1]), count, confidence, method)


def pooled(
    sums: ArrayLike,
    counts: ArrayLike,
    *,
    confidence: float = 0.95,
    seed: int,
    root: bool = False,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """A mean over all steps of all episodes (its square root with `root`), with an interval over episodes.

    Args:
        sums: [E] what each episode adds to the numerator.
        counts: [E] how many values that is; episodes with 0 are left out of the count.
        confidence, seed, bounds: as in `over_episodes`.
        root: take the square root of the pooled mean, for RMSE.
    """
    numerator, denominator = np.asarray(sums, np.float64), np.asarray(counts, np.float64)
    keep = denominator > 0
    numerator, denominator = numerator[keep], denominator[keep]

    def statistic(episodes: NDArray[np.int64]) -> float:
        mean = float(numerator[episodes].sum() / denominator[episodes].sum())
        return math.sqrt(mean) if root else mean

    return over_episodes(int(keep.sum()), statistic, confidence=confidence, seed=seed, bounds=bounds)


def intervals_to_json(intervals: Sequence[Interval]) -> list[dict[str, Any]]:
    """A list of intervals as plain data."""
    return [interval.to_json() for interval in intervals]


def _all_equal(sample: NDArray[np.float64]) -> bool:
    # Equal up to rounding: the bootstrap of such a sample divides 0 by 0.
    return float(np.ptp(sample)) <= 1e-12 * max(1.0, float(np.abs(sample).max()))


def _t_quantile(confidence: float, freedom: int) -> float:
    return float(scipy.stats.t.ppf(0.5 + confidence / 2.0, freedom))


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ConfigError("A confidence is a probability.", given=confidence, expected="a number between 0 and 1")
