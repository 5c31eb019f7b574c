"""How far ahead can the model see? Its error k steps ahead, against a forecast that nothing will change.

From recorded states the model is run open loop with the *recorded* actions; its prediction is the path of the mean of
its members. The error is the root mean square over starts and dimensions, in units of each dimension's standard
deviation in the data, so that dimensions of different size weigh alike. Persistence forecasts that every observation
stays what it was at the start; it is judged on the same starts, in the same units.

A start counts at horizon k only if the recording goes on for k steps, so nothing past a termination or a cut counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from gedanken.errors import ConfigError
from gedanken.evidence.interval import Interval, over_episodes, pooled
from gedanken.evidence.recorded import Floats, Scale, choose, scale_of
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode
from gedanken.models.contract import State, VectorModel

CAP = 100.0
"""Errors are cut at this many standard deviations: a forecast that blew up is wrong, and how wrong does not matter."""

CHUNK = 256


@dataclass(frozen=True)
class HorizonError:
    """The answer, one entry a horizon.

    Attributes:
        horizons: steps ahead.
        model, persistence: RMSE in standard deviations of the data.
        ratio: model's error over persistence's, on the same starts; under 1 the model is the better forecast.
        starts: how many forecasts each horizon stands on; an interval's `count` is of episodes.
        capped: share of forecasts that were cut at `CAP`, or were not finite.
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


class _Windows(NamedTuple):
    """N starts: observation [N, D]; action [N, K, A] and target [N, H, D], 0 where not recorded; recorded [N, H];
    episode [N].
    """

    observation: Floats
    action: Floats
    target: Floats
    recorded: NDArray[np.bool_]
    episode: NDArray[np.int64]


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
    steps = tuple(int(horizon) for horizon in horizons)
    if not steps or steps[0] < 1 or any(a >= b for a, b in pairwise(steps)):
        raise ConfigError("Horizons must ascend.", given=list(horizons), expected="such as (1, 2, 5, 10)")
    if starts < 1:
        raise ConfigError("At least one start an episode is needed.", given=starts, expected="starts >= 1")
    scale = scale_of(episodes, codec)
    windows = _windows(episodes, codec, steps, starts, np.random.default_rng(seed))
    if not scale.moves.any():
        why = "no observation ever changed" if len(windows.episode) else "there are no recorded steps"
        return _nothing(steps, tolerance, len(scale.moves), why)

    predicted = _predict(model, windows, steps, key)
    model_square, capped = _square_error(predicted, windows.target, scale)
    still = np.broadcast_to(windows.observation[:, None], windows.target.shape)
    still_square, _ = _square_error(still, windows.target, scale)

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


def _windows(
    episodes: Sequence[Episode], codec: Codec, horizons: tuple[int, ...], starts: int, rng: np.random.Generator
) -> _Windows:
    longest, count = horizons[-1], len(horizons)
    size, actions_size = codec.observation_size, codec.action_size
    at = np.asarray(horizons)
    parts: list[_Windows] = []
    for position, episode in enumerate(episodes):
        if len(episode) == 0:
            continue
        length = len(episode)
        observations = codec.encode_observations(episode.observations)
        # Repeating the last action only fills the array; what comes after the recording is masked below.
        actions = codec.encode_actions(episode.actions)
        chosen = choose(length, starts, rng)
        ends = chosen[:, None] + at
        parts.append(
            _Windows(
                observation=observations[chosen],
                action=actions[np.minimum(chosen[:, None] + np.arange(longest), length - 1)],
                target=observations[np.minimum(ends, length)],
                recorded=ends <= length,
                episode=np.full(len(chosen), position, np.int64),
            )
        )
    if not parts:
        return _Windows(
            np.zeros((0, size), np.float32),
            np.zeros((0, longest, actions_size), np.float32),
            np.zeros((0, count, size), np.float32),
            np.zeros((0, count), bool),
            np.zeros(0, np.int64),
        )
    return _Windows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@eqx.filter_jit
def _open_loop(model: VectorModel, observation: Any, action: Any, key: jax.Array) -> jax.Array:
    """[B, D], [B, K, A] -> [K, B, D]: the path of the mean of the members under the given actions."""
    start_key, step_key = jax.random.split(key)
    start = model.start(None, start_key, batch=observation.shape[0])

    def step(state: State, now: tuple[Any, jax.Array]) -> tuple[State, Any]:
        act, draw = now
        mean = model.members(state, act).mean.mean(0)
        return model.conclude(state, act, mean, draw).state, mean

    keys = jax.random.split(step_key, action.shape[1])
    path: jax.Array
    _, path = jax.lax.scan(step, State(observation, start.memory), (jnp.swapaxes(action, 0, 1), keys))
    return path


def _predict(model: VectorModel, windows: _Windows, horizons: tuple[int, ...], key: jax.Array) -> Floats:
    """[N, H, D]: what the model forecast at each horizon."""
    total = len(windows.episode)
    chunk = min(CHUNK, total)
    wanted = np.asarray(horizons) - 1
    forecasts = []
    for number, first in enumerate(range(0, total, chunk)):
        # The last chunk is filled up with repeats, so that one compiled shape serves all.
        rows = np.minimum(np.arange(first, first + chunk), total - 1)
        path = _open_loop(model, windows.observation[rows], windows.action[rows], jax.random.fold_in(key, number))
        forecasts.append(np.asarray(path)[wanted].swapaxes(0, 1)[: total - first])
    return np.concatenate(forecasts)


def _square_error(predicted: Any, target: Any, scale: Scale) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """[N, H, D] twice -> [N, H] mean square over the moving dimensions in units of the scale, and where it was cut."""
    away = np.abs((predicted - target).astype(np.float64) / scale.std)[..., scale.moves]
    cut = ~(away <= CAP)
    return np.square(np.where(cut, CAP, away)).mean(-1), cut.any(-1)


def _at_horizon(
    windows: _Windows,
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
    _, group = np.unique(windows.episode[valid], return_inverse=True)
    counts = np.bincount(group).astype(np.float64)
    model_sums = np.bincount(group, model_square[valid])
    still_sums = np.bincount(group, still_square[valid])

    def ratio(chosen: NDArray[np.int64]) -> float:
        below = float(still_sums[chosen].sum())
        return math.sqrt(float(model_sums[chosen].sum()) / below) if below > 0.0 else math.nan

    floor = (0.0, math.inf)
    return (
        pooled(model_sums, counts, confidence=confidence, seed=seed, root=True, bounds=floor),
        pooled(still_sums, counts, confidence=confidence, seed=seed, root=True, bounds=floor),
        over_episodes(len(counts), ratio, confidence=confidence, seed=seed, bounds=floor),
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
