"""May I stop paying for real episodes? After each of them: the interval so far, whether it is narrow enough, and how
many more are to be expected.

An interval for a number of episodes fixed beforehand is wrong if one looks after every episode and stops when one likes
what one sees. These are confidence sequences: with their confidence, they hold at all times at once, so that stopping
at any time, for any reason, is fine. Both are prediction-powered; each real episode comes with an imagined partner and
with its own share of other imaginations, so that the luck X = F - mean(share) has mean 0 by the model's own word.

- `ppi-anytime-t`, without bounds: regression of the real returns on X, whose intercept is the value; the ends are where
  a t statistic's Bayes factor passes 1/alpha (Lindon, Ham, Tingley & Bojinov 2022, arXiv 2210.08589). Exact for normal
  residuals. It is about 1.8 times as wide as an interval for a fixed number of episodes, and a useless model costs
  (n - 2)/(n - 3) times the episodes: here the weight is fitted and not shrunk.
- `ppi-anytime-betting`, with bounds: the bets of `gedanken.evidence.betting`, which are valid at any time as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gedanken.errors import ConfigError
from gedanken.evidence.betting import Bets, betting
from gedanken.evidence.interval import Interval
from gedanken.evidence.prediction_powered import Bounds, check_bounds, check_confidence, check_pairs, flat

PRIOR = 3.0
"""Episodes' worth of prior precision in the Bayes factor; 3 makes it tightest at some 20 real episodes."""

FEWEST = 4
MOST = 10_000_000


@dataclass(frozen=True)
class Progress:
    """Where a sequence of real episodes stands.

    Attributes:
        interval: so far; it holds at all times at once.
        width, wanted: of it, and the widest that will do; `width` is `None` while there is no interval.
        stop: whether it is narrow enough.
        more: how many more real episodes are to be expected if they go on like those so far; 0 once `stop`, `None`
            where it cannot be told.
    """

    interval: Interval
    width: float | None
    wanted: float
    stop: bool
    more: int | None

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def narrow_enough(
    *,
    real: ArrayLike,
    imagined: ArrayLike,
    more_imagined: ArrayLike,
    width: float,
    confidence: float = 0.95,
    bounds: Bounds | None = None,
) -> Progress:
    """Tells whether to stop after these n real episodes. Call it after each, with all so far.

    Args:
        real: [n] returns of the real episodes, in the order they were run.
        imagined: [n] returns of their imagined partners.
        more_imagined: [n, k] returns of k other imagined episodes for each real one, drawn anew for each.
        width: the widest interval that will do.
        confidence: of the interval, at all times at once.
        bounds: what a real return cannot leave; without them, residuals are assumed to be roughly normal.

    Raises:
        ConfigError: counts that do not pair up, a width that is not positive, or bounds that are none.
    """
    check_confidence(confidence)
    world, partner = flat(real, "real"), flat(imagined, "imagined")
    shares = np.asarray(more_imagined, np.float64)
    check_pairs(world, partner)
    if shares.ndim != 2 or len(shares) != len(world) or shares.shape[1] < 1:
        raise ConfigError(
            "Each real episode needs its own share of other imaginations.",
            given=f"shape {shares.shape} for {len(world)} real episodes",
            expected="[n, k], k of them for each real episode",
        )
    if not width > 0.0:
        raise ConfigError("A width must be positive.", given=width)
    if bounds is not None:
        check_bounds(world, bounds)
    count = len(world)
    unfit = int((~np.isfinite(world)).sum() + (~np.isfinite(partner)).sum() + (~np.isfinite(shares)).sum())
    if unfit:
        why = f"{unfit} of the real and imagined returns are not finite"
        return Progress(Interval.missing(why, count=count), None, width, False, None)
    if bounds is not None:
        return _by_betting(world, partner, shares, width, confidence, bounds)
    return _by_regression(world, partner - shares.mean(1), width, confidence)


# --- Without bounds -------------------------------------------------------------------------------------------------


class _Line(NamedTuple):
    """Regression of real returns on the luck: intercept at luck 0, variance of residuals, degrees of freedom, and the
    information on the intercept in episodes.
    """

    intercept: float
    variance: float
    freedom: int
    information: float


def _line(real: NDArray[np.float64], luck: NDArray[np.float64]) -> _Line:
    count, away = len(real), float(luck.mean())
    x, y = luck - away, real - real.mean()
    spread = float(x @ x)
    if spread <= count * np.square(1e-12 * max(1.0, float(np.abs(luck).max()))):
        # A model that says the same of every episode has nothing to fit a weight to.
        return _Line(float(real.mean()), float(y @ y) / (count - 1), count - 1, float(count))
    slope = float(x @ y) / spread
    residual = y - slope * x
    information = 1.0 / (1.0 / count + away**2 / spread)
    return _Line(float(real.mean()) - slope * away, float(residual @ residual) / (count - 2), count - 2, information)


def _half_width(information: float, variance: float, freedom: int, confidence: float) -> float:
    """Where the Bayes factor of a shift with a normal prior, in units of the residuals, against none passes 1/alpha."""
    ratio = PRIOR / (PRIOR + information)
    bar = ((1.0 - confidence) ** 2 * ratio) ** (-1.0 / (freedom + 1))
    if bar * ratio >= 1.0:
        return math.inf  # no evidence whatever could pass it yet
    return math.sqrt(freedom * (bar - 1.0) / (1.0 - bar * ratio) * variance / information)


def _by_regression(real: NDArray[np.float64], luck: NDArray[np.float64], width: float, confidence: float) -> Progress:
    count = len(real)
    if count == 0:
        return Progress(Interval.missing("there are no real episodes"), None, width, False, None)
    if count < FEWEST:
        mean = float(real.mean())
        early = Interval(mean, None, None, count, confidence, reason=f"{FEWEST} or more real episodes are needed")
        return Progress(early, None, width, False, None)
    line = _line(real, luck)
    if line.variance <= np.square(1e-12 * max(1.0, float(np.abs(real).max()))):
        why = "no spread is left, which says nothing about rarer returns; give bounds"
        return Progress(Interval(line.intercept, None, None, count, confidence, reason=why), None, width, False, None)
    half = _half_width(line.information, line.variance, line.freedom, confidence)
    lost = count - line.freedom
    share = line.information / count

    def expected(total: int) -> float:
        return 2.0 * _half_width(share * total, line.variance, total - lost, confidence)

    if math.isinf(half):
        why = "so few real episodes exclude no value yet"
        interval = Interval(line.intercept, None, None, count, confidence, reason=why)
        return Progress(interval, None, width, False, _more(expected, count, width))
    ends = (line.intercept - half, line.intercept + half)
    interval = Interval(line.intercept, *ends, count, confidence, "ppi-anytime-t")
    return _progress(interval, width, expected)


# --- With bounds ----------------------------------------------------------------------------------------------------


def _by_betting(
    real: NDArray[np.float64],
    imagined: NDArray[np.float64],
    shares: NDArray[np.float64],
    width: float,
    confidence: float,
    bounds: Bounds,
) -> Progress:
    count, (least, most) = len(real), bounds
    if count == 0:
        return Progress(Interval.missing("there are no real episodes"), None, width, False, None)
    scaled = [np.clip((returns - least) / (most - least), 0.0, 1.0) for returns in (real, imagined, shares)]
    bets = Bets(scaled[0][None], scaled[1][None], scaled[2].mean(1)[None])

    def ends(repeats: float) -> Bounds:
        low, high = betting(bets, confidence=confidence, repeats=repeats)
        return least + float(low[0]) * (most - least), least + float(high[0]) * (most - least)

    def expected(total: int) -> float:
        low, high = ends(total / count)
        return high - low

    low, high = ends(1.0)
    mean = min(max(float(real.mean()), low), high)
    return _progress(Interval(mean, low, high, count, confidence, "ppi-anytime-betting"), width, expected)


# --- How many more --------------------------------------------------------------------------------------------------


def _progress(interval: Interval, wanted: float, expected: Callable[[int], float]) -> Progress:
    assert interval.low is not None and interval.high is not None
    width = interval.high - interval.low
    stop = width <= wanted
    return Progress(interval, width, wanted, stop, 0 if stop else _more(expected, interval.count, wanted))


def _more(expected: Callable[[int], float], count: int, wanted: float) -> int | None:
    """The fewest more episodes after which the width to be expected will do; `None` above `MOST`."""
    low, high = count, 2 * count
    while expected(high) > wanted:
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if expected(middle) > wanted else (low, middle)
    return max(1, high - count)
