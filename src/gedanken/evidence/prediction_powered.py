"""What is the policy worth in the world, given many imagined and few real episodes?

Each real episode has an imagined partner that starts from the same state or seed; many more imagined episodes have
none. The mean of the many says what the model promises, the pairs say how far it is off, and together they give an
interval for the real value that is valid without trusting the model and narrow where the model deserves it
(prediction-powered inference; Angelopoulos et al. 2023). Two intervals are offered:

- `ppi-t`, without `bounds`: small-sample Student's t with a tuned weight; see `gedanken.evidence.tuned` for what it
  assumes (roughly normal residuals) and what it costs.
- `ppi-betting`, with `bounds`: for returns that cannot leave them (success rates, returns up to 1000), without any
  assumption on their shape; see `gedanken.evidence.betting`.

The number of real episodes must be fixed beforehand; to stop when the interval is narrow enough, use
`gedanken.evidence.sequential`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from gedanken.errors import ConfigError
from gedanken.evidence.betting import Bets, betting
from gedanken.evidence.interval import Interval, mean_with_interval
from gedanken.evidence.tuned import tuned_t, worth_in_real_episodes

Bounds = tuple[float, float]

ALIKE = 1e-4
"""Below this p-value, paired and other imagined returns are not taken to be of one distribution."""


@dataclass(frozen=True)
class PolicyValue:
    """The real value of a policy, by three ways of looking at it.

    Attributes:
        real_only: from the real episodes alone: Student's t, or by betting where bounds are given.
        model_only: from the unpaired imagined episodes alone: sure of itself, and right only if the model is.
        prediction_powered: from both.
        weight: how much of the model's word was taken; 0 leaves it out, 1 is prediction-powered inference untuned.
        correlation: of real and imagined returns over the pairs.
        pairs, imagined: how many real episodes with their partners, and how many imagined episodes besides.
        worth: how many real episodes the real ones alone would have needed, spread as they are, for an interval as
            narrow as `prediction_powered`.
        saved: `worth` minus `pairs`; below 0 where the model cost more than it brought.
    """

    real_only: Interval
    model_only: Interval
    prediction_powered: Interval
    weight: float | None
    correlation: float | None
    pairs: int
    imagined: int
    worth: float | None
    saved: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def prediction_powered(
    *,
    real: ArrayLike,
    imagined: ArrayLike,
    more_imagined: ArrayLike,
    seed: int,
    confidence: float = 0.95,
    bounds: Bounds | None = None,
) -> PolicyValue:
    """Estimates the real value of a policy.

    Args:
        real: [n] returns of real episodes.
        imagined: [n] returns of imagined episodes that started as these did, in the same order.
        more_imagined: [N] returns of other imagined episodes, whose starts are drawn as the real ones are.
        seed: of the bootstrap of `model_only`, and which imagined episodes `ppi-betting` puts beside which real one.
        confidence: of the intervals, in (0, 1).
        bounds: what a real return cannot leave, such as (0, 1) for success; imagined ones are clipped there.

    Raises:
        ConfigError: pairs of different counts, arrays that are not flat, a confidence that is none, bounds that are
            none, or a real return outside of them.
    """
    check_confidence(confidence)
    world, partner, others = flat(real, "real"), flat(imagined, "imagined"), flat(more_imagined, "more imagined")
    check_pairs(world, partner)
    real_only = real_alone(world, confidence=confidence, bounds=bounds)
    model_only = mean_with_interval(others, confidence=confidence, seed=seed)
    why = _unusable(world, partner, others, bounds)
    counts = {"pairs": len(world), "imagined": len(others)}
    if why or real_only.low is None:
        powered = Interval.missing(why, count=len(world)) if why else real_only
        return PolicyValue(real_only, model_only, powered, None, None, **counts, worth=None, saved=None)

    mean, weight, correlation, ends = _tuned(world, partner, others, confidence)
    if bounds is None:
        method, worth = "ppi-t", worth_in_real_episodes((ends[1] - ends[0]) / 2.0, float(world.std(ddof=1)), confidence)
    else:
        ends = _bet(world, partner, others, confidence, bounds, seed)
        mean = min(max(mean, ends[0]), ends[1])
        method, worth = "ppi-betting", _worth_by_betting(world, ends[1] - ends[0], confidence, bounds)
    powered = Interval(mean, *ends, len(world), confidence, method)
    return PolicyValue(
        real_only,
        model_only,
        powered,
        weight,
        correlation if math.isfinite(correlation) else None,
        **counts,
        worth=worth if math.isfinite(worth) else None,
        saved=worth - len(world) if math.isfinite(worth) else None,
    )


def real_alone(real: ArrayLike, *, confidence: float = 0.95, bounds: Bounds | None = None) -> Interval:
    """What [n] real returns say without any model: Student's t, or by betting where bounds are given.

    Unlike `mean_with_interval` it states no interval for equal returns, and no bootstrap, whose interval is too narrow
    for the few episodes it is asked for here.

    Raises:
        ConfigError: as in `prediction_powered`.
    """
    check_confidence(confidence)
    world = flat(real, "real")
    if bounds is not None:
        check_bounds(world, bounds)
    count = len(world)
    if count == 0:
        return Interval.missing("there are no real episodes")
    unfit = int((~np.isfinite(world)).sum())
    if unfit:
        return Interval.missing(f"{unfit} of {count} real returns are not finite", count=count)
    mean = float(world.mean())
    if bounds is not None:
        low, high = betting(Bets(_scaled(world, bounds)[None]), confidence=confidence)
        return Interval(mean, _back(low, bounds), _back(high, bounds), count, confidence, "betting")
    if count == 1:
        return Interval(mean, None, None, 1, confidence, reason="one value has no spread")
    if float(np.ptp(world)) <= 1e-12 * max(1.0, float(np.abs(world).max())):
        why = f"all {count} real returns are equal, which says nothing about rarer ones; give bounds"
        return Interval(mean, None, None, count, confidence, reason=why)
    quantile = float(scipy.stats.t.ppf(0.5 + confidence / 2.0, count - 1))
    half = quantile * float(world.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count, confidence, "student-t")


# --- What is refused, or not measured -------------------------------------------------------------------------------


def flat(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """[N] float64.

    Raises:
        ConfigError: it has another shape.
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1:
        raise ConfigError(f"The {name} returns must be a flat list.", given=f"shape {sample.shape}", expected="[N]")
    return sample


def check_confidence(confidence: float) -> None:
    """Raises ConfigError where it is no probability between 0 and 1."""
    if not 0.0 < confidence < 1.0:
        raise ConfigError("A confidence is a probability.", given=confidence, expected="a number between 0 and 1")


def check_pairs(real: NDArray[np.float64], imagined: NDArray[np.float64]) -> None:
    """Raises ConfigError where real and imagined returns do not come in pairs."""
    if len(real) != len(imagined):
        raise ConfigError(
            "Each real episode needs its imagined partner.",
            given=f"{len(real)} real and {len(imagined)} imagined returns",
            expected="as many of the one as of the other, in the order of their starts",
            do="pass imagined episodes without a real partner as `more_imagined`.",
        )


def check_bounds(real: NDArray[np.float64], bounds: Bounds) -> None:
    """Raises ConfigError where bounds are none, or a real return lies outside of them."""
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError("Bounds of returns must be two ascending numbers.", given=bounds, expected="such as (0, 1)")
    outside = real[np.isfinite(real) & ((real < low) | (real > high))]
    if len(outside):
        raise ConfigError(
            "A real return lies outside of the bounds, so they are none.",
            given=f"{outside[0]:g} and bounds {bounds}",
            do="give bounds that no return can leave, or none.",
        )


def _unusable(
    real: NDArray[np.float64], imagined: NDArray[np.float64], more: NDArray[np.float64], bounds: Bounds | None
) -> str:
    """Why there is no prediction-powered estimate; empty where there is one."""
    if len(real) == 0:
        return "there are no real episodes"
    for name, sample in (("real", real), ("imagined", imagined), ("more imagined", more)):
        unfit = int((~np.isfinite(sample)).sum())
        if unfit:
            return f"{unfit} of {len(sample)} {name} returns are not finite"
    fewest = 2 if bounds is None else max(2, len(real))
    if len(more) < fewest:
        return f"{len(more)} imagined episodes besides the pairs are too few; {fewest} or more are needed"
    # Both samples are the model's own. If they differ, they do not start alike, and the difference is taken for skill.
    alike = float(scipy.stats.ks_2samp(imagined, more).pvalue) if np.ptp(more) > 0 else 1.0
    if alike < ALIKE:
        return (
            f"the paired imagined returns do not look like the others (Kolmogorov-Smirnov p={alike:.1g}): "
            "they must start from the same distribution"
        )
    return ""


# --- The parts ------------------------------------------------------------------------------------------------------


def _tuned(
    real: NDArray[np.float64], imagined: NDArray[np.float64], more: NDArray[np.float64], confidence: float
) -> tuple[float, float, float, Bounds]:
    """Estimate, weight, correlation and ends of `ppi-t`; a single pair cannot tune anything."""
    if len(real) == 1:
        return float(real[0]), 0.0, math.nan, (math.nan, math.nan)
    found = tuned_t(real=real[None], imagined=imagined[None], more_imagined=more[None], confidence=confidence)
    ends = (float(found.low[0]), float(found.high[0]))
    return float(found.mean[0]), float(found.weight[0]), float(found.correlation[0]), ends


def _bet(
    real: NDArray[np.float64],
    imagined: NDArray[np.float64],
    more: NDArray[np.float64],
    confidence: float,
    bounds: Bounds,
    seed: int,
) -> Bounds:
    """Ends of `ppi-betting`: the other imagined returns are dealt out to the real episodes at random."""
    dealt = np.array_split(np.random.default_rng(seed).permutation(more), len(real))
    shares = np.array([_scaled(share, bounds).mean() for share in dealt])
    bets = Bets(_scaled(real, bounds)[None], _scaled(imagined, bounds)[None], shares[None])
    low, high = betting(bets, confidence=confidence)
    return _back(low, bounds), _back(high, bounds)


def _worth_by_betting(real: NDArray[np.float64], width: float, confidence: float, bounds: Bounds) -> float:
    """How many real returns like these need bets without a model for an interval this wide."""
    scaled, wanted = Bets(_scaled(real, bounds)[None]), width / (bounds[1] - bounds[0])

    def too_wide(times: float) -> bool:
        low, high = betting(scaled, confidence=confidence, repeats=times)
        return float(high[0] - low[0]) > wanted

    least, most = 1e-3, 1e3
    for _ in range(40):
        times = math.sqrt(least * most)
        least, most = (times, most) if too_wide(times) else (least, times)
    return most * len(real)


def _scaled(returns: NDArray[np.float64], bounds: Bounds) -> NDArray[np.float64]:
    """Into [0, 1]; clipping is the same function for paired and other imagined returns, so nothing is biased by it."""
    scaled: NDArray[np.float64] = np.clip((returns - bounds[0]) / (bounds[1] - bounds[0]), 0.0, 1.0)
    return scaled


def _back(end: NDArray[np.float64], bounds: Bounds) -> float:
    return bounds[0] + float(end[0]) * (bounds[1] - bounds[0])
