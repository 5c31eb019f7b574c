"""How far ahead can the model see? Its error k steps ahead, against a forecast that nothing will change.

From recorded states the model is run open loop with the *recorded* actions; its prediction is the path of the mean of
its members. The error is the root mean square over starts and dimensions, in units of each dimension's standard
deviation in the data, so that dimensions of different size weigh alike. Persistence forecasts that every observation
stays what it was at the start; it is judged on the same starts, in the same units.

A start counts at horizon k only if the recording goes on for k steps, so nothing past a termination or a cut counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from gedanken.evidence.interval import Interval
from gedanken.evidence.judge import Judge
from gedanken.evidence.open_loop import open_loop, square_error
from gedanken.evidence.recorded import scale_of
from gedanken.evidence.windows import Windows, ascending, random_windows
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode
from gedanken.models.contract import VectorModel


@dataclass(frozen=True)
class HorizonError:
    """The answer, one entry a horizon.

    Attributes:
        horizons: steps ahead.
        model, persistence: RMSE in standard deviations of the data.
        ratio: model's error over persistence's, on the same starts; under 1 the model is the better forecast.
        starts: how many forecasts each horizon stands on; an interval's `count` is of episodes.
        capped: share of forecasts that were cut at `open_loop.CAP` standard deviations, or were not finite.
        tolerance: the ratio that a safe horizon must stay under.
        safe_horizon: the largest horizon up to which the *upper* end of every ratio stays under `tolerance`; 0 where
            not even the first does; `None` where it was not measured.
        break_even_horizon: the first horizon whose ratio is 1 or more; `None` where none was, or it was not measured.
        longest: the largest horizon that was measured; 0 where none was.
        dimensions, constant_dimensions: how many were judged, and how many never moved and were left out.
        reason: why something is `None`; empty otherwise.
    """

    horizons: tuple[int, ...]
    model: tuple[Interval, ...]
    persistence: tuple[Interval, ...]
    ratio: tuple[Interval, ...]
    starts: tuple[int, ...]
    capped: tuple[float, ...]
    tolerance: float
    safe_horizon: int | None
    break_even_horizon: int | None
    longest: int
    dimensions: int
    constant_dimensions: int
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def error_by_horizon(
    model: VectorModel,
    episodes: Sequence[Episode],
    codec: Codec,
    *,
    horizons: Sequence[int] = (1, 2, 5, 10, 20, 50),
    key: jax.Array,
    seed: int,
    starts: int = 32,
    tolerance: float = 0.5,
    confidence: float = 0.95,
) -> HorizonError:
    """Measures the error k steps ahead on recorded (best: held-out) episodes.

    Args:
        model: any numeric world model. One with a memory starts from its own initial memory at every start.
        episodes: what really happened.
        codec: how observations and actions become vectors.
        horizons: steps ahead, ascending.
        key: for what the model draws while it concludes a step.
        seed: picks the starts and drives the bootstrap.
        starts: at most this many starts an episode.
        tolerance: of the safe horizon, as a share of persistence's error.
        confidence: of the intervals, which resample whole episodes.

    Raises:
        ConfigError: `horizons` is empty, not ascending, or holds a number below 1; or `starts` is below 1.
    """
    steps = ascending(horizons)
    scale = scale_of(episodes, codec)
    windows = random_windows(episodes, codec, horizons=steps, starts=starts, seed=seed)
    if not scale.moves.any():
        why = "no observation ever changed" if len(windows) else "there are no recorded steps"
        return _nothing(steps, tolerance, len(scale.moves), why)

    path = open_loop(model, windows.observation, windows.action, horizons=steps, key=key)
    model_square, capped = square_error(path.observation, windows.target, scale)
    still = np.broadcast_to(windows.observation[:, None], windows.target.shape)
    still_square, _ = square_error(still, windows.target, scale)

    found = [
        _at_horizon(windows, model_square[:, h], still_square[:, h], capped[:, h], h, horizon, confidence, seed)
        for h, horizon in enumerate(steps)
    ]
    ratios = [ratio for _, _, ratio, _ in found]
    safe, break_even, longest, reason = _horizons(steps, ratios, tolerance)
    return HorizonError(
        horizons=steps,
        model=tuple(item[0] for item in found),
        persistence=tuple(item[1] for item in found),
        ratio=tuple(ratios),
        starts=tuple(int(windows.recorded[:, h].sum()) for h in range(len(steps))),
        capped=tuple(item[3] for item in found),
        tolerance=tolerance,
        safe_horizon=safe,
        break_even_horizon=break_even,
        longest=longest,
        dimensions=int(scale.moves.sum()),
        constant_dimensions=int((~scale.moves).sum()),
        reason=reason,
    )


def _at_horizon(
    windows: Windows,
    model_square: NDArray[np.float64],
    still_square: NDArray[np.float64],
    capped: NDArray[np.bool_],
    h: int,
    horizon: int,
    confidence: float,
    seed: int,
) -> tuple[Interval, Interval, Interval, float]:
    """Error of the model and of persistence, their ratio, and the share of forecasts that were cut."""
    valid = windows.recorded[:, h]
    if not valid.any():
        none = Interval.missing(f"no recorded episode is {horizon} steps long")
        return none, none, none, 0.0
    judge = Judge.of(windows.episode[valid], confidence=confidence, seed=seed)
    ours, still = model_square[valid], still_square[valid]
    unknown = "an error is not finite"
    return (
        judge.mean(ours, unknown, root=True),
        judge.mean(still, unknown, root=True),
        judge.ratio(ours, still, unknown, root=True),
        float(capped[valid].mean()),
    )


def _horizons(
    horizons: tuple[int, ...], ratios: list[Interval], tolerance: float
) -> tuple[int | None, int | None, int, str]:
    """Safe horizon, break-even horizon, the longest that was measured, and why one of them is missing."""
    measured = [(horizon, ratio) for horizon, ratio in zip(horizons, ratios, strict=True) if ratio.mean is not None]
    if not measured:
        return None, None, 0, "no horizon was measured"
    longest = measured[-1][0]
    break_even = next((horizon for horizon, ratio in measured if ratio.mean is not None and ratio.mean >= 1.0), None)
    reasons = []
    if break_even is None:
        reasons.append(f"the model beats persistence up to {longest} steps, the longest that was measured")
    safe: int | None = 0
    for horizon, ratio in measured:
        if ratio.high is None:
            if safe == 0:
                safe = None
                reasons.append(f"the safe horizon needs an interval ({ratio.reason})")
            break
        if ratio.high >= tolerance:
            break
        safe = horizon
    return safe, break_even, longest, "; ".join(reasons)


def _nothing(horizons: tuple[int, ...], tolerance: float, size: int, why: str) -> HorizonError:
    none = tuple(Interval.missing(why) for _ in horizons)
    zero = tuple(0 for _ in horizons)
    return HorizonError(
        horizons, none, none, none, zero, tuple(0.0 for _ in horizons), tolerance, None, None, 0, 0, size, why
    )
