"""How well does the model foresee reward k steps ahead? Step by step, and summed up to there.

From recorded states the model is run open loop with the recorded actions, along the mean of its members; its rewards
are compared with those that were recorded. The error of a single step is told beside that of always forecasting the
mean reward. The error of the sum is told with its sign: above 0 the model promises more than the world gave, which is
what an optimiser would live off.

A start counts at horizon k only if the recording goes on for k steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np

from gedanken.evidence.interval import Interval
from gedanken.evidence.judge import Judge
from gedanken.evidence.open_loop import open_loop
from gedanken.evidence.windows import ascending, random_windows
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode
from gedanken.models.contract import VectorModel

_UNKNOWN = "the model's reward is not finite"


@dataclass(frozen=True)
class RewardError:
    """The answer, one entry a horizon, in the reward's units; intervals over episodes.

    Attributes:
        horizons: steps ahead.
        rmse: of the reward of the k-th step.
        rmse_of_mean: the same of always forecasting the mean of these rewards.
        ratio: rmse over rmse_of_mean; under 1 the model is the better forecast. Missing where the reward is constant.
        promised: mean of the imagined minus the real sum of rewards over the k steps.
        sum_rmse: root mean square of the same.
        starts: how many forecasts each horizon stands on.
    """

    horizons: tuple[int, ...]
    rmse: tuple[Interval, ...]
    rmse_of_mean: tuple[float | None, ...]
    ratio: tuple[Interval, ...]
    promised: tuple[Interval, ...]
    sum_rmse: tuple[Interval, ...]
    starts: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def reward_by_horizon(
    model: VectorModel,
    episodes: Sequence[Episode],
    codec: Codec,
    *,
    horizons: Sequence[int] = (1, 2, 5, 10, 20, 50),
    key: jax.Array,
    seed: int,
    starts: int = 32,
    confidence: float = 0.95,
) -> RewardError:
    """Measures the reward's error k steps ahead on recorded (best: held-out) episodes.

    Args:
        model, episodes, codec, horizons, key, seed, starts, confidence: as in `fidelity.error_by_horizon`.

    Raises:
        ConfigError: `horizons` do not ascend from 1, or `starts` is below 1.
    """
    steps = ascending(horizons)
    windows = random_windows(episodes, codec, horizons=steps, starts=starts, seed=seed)
    if len(windows) == 0:
        none = tuple(Interval.missing("there are no recorded steps") for _ in steps)
        return RewardError(steps, none, tuple(None for _ in steps), none, none, none, tuple(0 for _ in steps))
    path = open_loop(model, windows.observation, windows.action, horizons=steps, key=key)
    imagined, real = path.reward.astype(np.float64), windows.reward.astype(np.float64)
    rmse: list[Interval] = []
    baseline: list[float | None] = []
    ratio: list[Interval] = []
    promised: list[Interval] = []
    sum_rmse: list[Interval] = []
    for h, horizon in enumerate(steps):
        valid = windows.recorded[:, h]
        if not valid.any():
            for column in (rmse, ratio, promised, sum_rmse):
                column.append(Interval.missing(f"no recorded episode is {horizon} steps long"))
            baseline.append(None)
            continue
        judge = Judge.of(windows.episode[valid], confidence=confidence, seed=seed)
        came = real[valid, horizon - 1]
        square, about_mean = np.square(imagined[valid, horizon - 1] - came), np.square(came - came.mean())
        gap = (imagined - real)[valid, :horizon].sum(-1)
        rmse.append(judge.mean(square, _UNKNOWN, root=True))
        baseline.append(math.sqrt(float(about_mean.mean())))
        ratio.append(judge.ratio(square, about_mean, _UNKNOWN, root=True))
        promised.append(judge.mean(gap, _UNKNOWN, bounds=(-math.inf, math.inf)))
        sum_rmse.append(judge.mean(np.square(gap), _UNKNOWN, root=True))
    return RewardError(
        horizons=steps,
        rmse=tuple(rmse),
        rmse_of_mean=tuple(baseline),
        ratio=tuple(ratio),
        promised=tuple(promised),
        sum_rmse=tuple(sum_rmse),
        starts=tuple(int(windows.recorded[:, h].sum()) for h in range(len(steps))),
    )
