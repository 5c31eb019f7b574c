"""Has the model's error changed? A control chart over a series of errors, one value a batch or an episode.

The chart is Hawkins's self-starting CUSUM (1987): each value is judged by the mean and spread of those before it, so
that no past without change must be known, and where nothing changes the judged values of normal errors are exactly
independent standard normals. Three sums watch them: errors that rise, errors that fall, and errors that spread. How
often they cry wolf is stated and not tuned: the threshold follows from the mean run length between false alarms
(Siegmund 1985).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special
from numpy.typing import ArrayLike, NDArray

from gedanken.errors import ConfigError

CHARTS = ("higher", "lower", "more spread")
FEWEST = 4
"""Values before which nothing is judged: a spread of two or three values is none."""
_CLIP = 3.0
"""A single judged value counts as this many standard deviations at most: one outlier is no drift."""


@dataclass(frozen=True)
class DriftCheck:
    """The answer.

    Attributes:
        drifted: whether a sum crossed the threshold; `None` where there are too few values.
        at: position of the value that crossed it; `None` where none did.
        how: which of `CHARTS` crossed it; empty where none did.
        statistic: the largest sum, at the alarm or at the end. threshold: what it must stay under.
        count: how many values there are. false_alarms_every: values between false alarms, on average.
        reason: why `drifted` is `None`; empty otherwise.
    """

    drifted: bool | None
    at: int | None
    how: str
    statistic: float | None
    threshold: float
    count: int
    false_alarms_every: float
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def check_drift(errors: ArrayLike, *, shift: float = 1.0, false_alarms_every: float = 500.0) -> DriftCheck:
    """Looks for the first change of a series of errors. Begin a new series after an alarm.

    Args:
        errors: [N] in the order in which they happened. What is not finite is unknown, and left out.
        shift: the smallest change worth finding, in standard deviations of an error.
        false_alarms_every: values between false alarms, on average, where nothing changes.

    Raises:
        ConfigError: `errors` is not flat, or one of the settings is too small.
    """
    series = np.asarray(errors, np.float64)
    if series.ndim != 1:
        raise ConfigError("Errors must be a flat list of numbers.", given=f"an array of shape {series.shape}")
    threshold = threshold_of(shift=shift, false_alarms_every=false_alarms_every)
    position = np.flatnonzero(np.isfinite(series))
    if len(position) < FEWEST:
        why = f"{len(position)} known errors are too few, {FEWEST} are needed"
        return DriftCheck(None, None, "", None, threshold, len(position), false_alarms_every, why)
    judged = standardised(series[position])
    # The square root of the magnitude is nearly normal with this mean and spread (Hawkins 1981).
    spread = (np.sqrt(np.abs(judged)) - 0.822) / 0.349
    sums = np.stack([_sums(each, shift / 2.0) for each in (judged, -judged, spread)])
    crossed = np.flatnonzero((sums > threshold).any(0))
    last = int(crossed[0]) if len(crossed) else len(judged) - 1
    worst = int(sums[:, last].argmax())
    return DriftCheck(
        drifted=len(crossed) > 0,
        at=int(position[last]) if len(crossed) else None,
        how=CHARTS[worst] if len(crossed) else "",
        statistic=float(sums[worst, last]),
        threshold=threshold,
        count=len(position),
        false_alarms_every=false_alarms_every,
    )


def threshold_of(*, shift: float, false_alarms_every: float) -> float:
    """Where a sum must cross so that all of `CHARTS` together cry wolf once in so many values, on average.

    Siegmund's approximation of one sum's mean run length with allowance k = shift / 2 and threshold h:
    (exp(2kb) - 2kb - 1) / (2k^2), b = h + 1.166.

    Raises:
        ConfigError: `shift` is not positive, or the run length is below what any threshold allows.
    """
    allowance, each = shift / 2.0, false_alarms_every * len(CHARTS)

    def length(height: float) -> float:
        b = 2.0 * allowance * (height + 1.166)
        return (math.exp(b) - b - 1.0) / (2.0 * allowance**2)

    if not shift > 0.0 or not length(0.0) < each < math.inf:
        raise ConfigError(
            "A chart cannot be set like this.",
            given=f"shift={shift}, false_alarms_every={false_alarms_every}",
            expected="a positive shift, and false alarms that are rare",
            do="such as shift=1.0 and false_alarms_every=500.",
        )
    high = 1.0
    while length(high) < each:
        high *= 2.0
    return float(scipy.optimize.brentq(lambda height: length(height) - each, 0.0, high))


def standardised(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] each value, judged by the mean and spread of those before it, as a standard normal; 0 for the first ones."""
    before = np.arange(len(errors), dtype=np.float64)  # how many
    moved = errors - errors[:1]  # sums of squares of small numbers keep their digits
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (np.cumsum(moved) - moved) / before
        squares = np.cumsum(moved**2) - moved**2 - before * mean**2
        spread = np.sqrt(np.maximum(squares, 0.0) / (before - 1.0))
        away = moved - mean
        student = np.sqrt(before / (before + 1.0)) * away / spread
        judged = scipy.special.ndtri(scipy.special.stdtr(before - 1.0, student))
    # Errors that never varied: any other value is as surprising as can be.
    same = spread <= 1e-7 * np.maximum(1.0, np.abs(errors))
    surprise = np.where(np.abs(away) > 1e-6 * np.maximum(1.0, np.abs(errors)), np.sign(away) * _CLIP, 0.0)
    judged = np.where(same, surprise, judged)
    judged[: FEWEST - 1] = 0.0
    clipped: NDArray[np.float64] = np.clip(judged, -_CLIP, _CLIP)
    return clipped


def _sums(judged: NDArray[np.float64], allowance: float) -> NDArray[np.float64]:
    """The one-sided cumulative sum, which never falls below 0."""
    sums, now = np.zeros(len(judged)), 0.0
    for index in range(FEWEST - 1, len(judged)):
        now = max(0.0, now + judged[index] - allowance)
        sums[index] = now
    return sums
