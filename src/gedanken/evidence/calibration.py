"""Does the model know what it does not know? One step ahead, on episodes it never saw.

Coverage: of the intervals a model states at 50 %, how many hold? Three kinds are asked, where a model has them:
`mixture` (the even mixture of its members' Gaussians), `gaussian` (one Gaussian of the members' mean and total
variance) and `conformal` (what its own `interval` states). CRPS scores the whole forecast at once; the forecast to beat
is a Gaussian around the present observation, as wide as these very episodes' changes are, which flatters it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
import scipy.special

from gedanken.errors import ConfigError
from gedanken.evidence.interval import Interval
from gedanken.evidence.judge import Floats, Judge
from gedanken.evidence.one_step import LEVELS, Forecast, StatesIntervals, forecast_steps
from gedanken.evidence.pit import Pit, check_pit
from gedanken.evidence.recorded import recorded_steps, scale_of
from gedanken.evidence.scores import TerminationCheck, check_termination, gaussian_crps, rank_correlation
from gedanken.evidence.selective import RiskCoverage, risk_coverage
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode
from gedanken.models.contract import VectorModel


@dataclass(frozen=True)
class Coverage:
    """How many intervals of one kind and level held, over steps and dimensions, and how wide they were.

    `width` is in standard deviations of the data; narrower is better among those that cover what they say.
    """

    kind: str
    level: float
    covered: Interval
    width: Interval


@dataclass(frozen=True)
class SpreadBin:
    """A tenth of the steps, by what the model said it did not know: RMS of its epistemic deviation and of its error."""

    predicted: float
    actual: float
    count: int


@dataclass(frozen=True)
class CalibrationCheck:
    """The answer. Intervals resample whole episodes; deviations are told in standard deviations of the data.

    Attributes:
        episodes, steps, dimensions: what it stands on; dimensions that never moved are left out.
        coverage: one entry a kind and level.
        crps, crps_persistence: mean score of the model, and of the Gaussian around the present.
        crps_skill: 1 - crps / crps_persistence; above 0 the model is the better forecast.
        reward_rmse: error of an imagined step's reward, in the reward's units.
        reward_std: of the rewards of these steps: the RMSE of always predicting their mean.
        uncertainty_rank: Spearman's correlation of epistemic deviation and actual error, over steps.
        spread: the same as a curve.
        termination: how well the probability of an ending holds.
        pit: whether the forecasts have the right shape.
        selective: whether the error falls when the least certain forecasts are not believed.
    """

    episodes: int
    steps: int
    dimensions: int
    coverage: tuple[Coverage, ...]
    crps: Interval
    crps_persistence: Interval
    crps_skill: Interval
    reward_rmse: Interval
    reward_std: float | None
    uncertainty_rank: Interval
    spread: tuple[SpreadBin, ...]
    termination: TerminationCheck
    pit: Pit
    selective: RiskCoverage

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def check_calibration(
    model: VectorModel,
    episodes: Sequence[Episode],
    codec: Codec,
    *,
    key: jax.Array,
    seed: int,
    steps_per_episode: int = 1_000,
    confidence: float = 0.95,
) -> CalibrationCheck:
    """Judges a model's one-step forecasts on held-out episodes.

    Args:
        model: any numeric world model. One with a memory answers every step from its initial memory.
        episodes: what really happened, and what the model was not fitted to.
        codec: how observations and actions become vectors.
        key: for what the model draws.
        seed: picks steps of episodes longer than `steps_per_episode`, and drives the bootstrap.
        steps_per_episode: at most this many steps an episode.
        confidence: of the intervals.

    Raises:
        ConfigError: `steps_per_episode` is below 1.
    """
    if steps_per_episode < 1:
        raise ConfigError("At least one step an episode is needed.", given=steps_per_episode, expected=">= 1")
    recorded = recorded_steps(episodes, codec, at_most=steps_per_episode, seed=seed)
    scale = scale_of(episodes, codec)
    if len(recorded) == 0:
        return _nothing("there are no recorded steps", model)
    forecast = forecast_steps(model, recorded, key)
    judge = Judge.of(recorded.episode, confidence=confidence, seed=seed)
    moves, std = scale.moves, scale.std[scale.moves].astype(np.float64)

    def units(values: Any) -> Floats:
        scaled: Floats = np.asarray(values, np.float64)[..., moves] / std
        return scaled

    now, following = units(recorded.observation), units(recorded.next_observation)
    mean, total, epistemic = units(forecast.mean), units(forecast.std), units(forecast.epistemic)
    error = np.sqrt(np.square(following - mean).mean(-1)) if moves.any() else np.zeros(len(recorded))
    crps, still, skill = _crps(judge, mean, total, now, following)
    rank, spread, selective = _uncertainty(judge, epistemic, error)
    place = np.asarray(forecast.place, np.float64)[:, moves]
    reward = np.asarray(forecast.reward, np.float64)
    return CalibrationCheck(
        episodes=judge.episodes,
        steps=len(recorded),
        dimensions=int(moves.sum()),
        coverage=_coverage(judge, units, forecast, mean, total, following, isinstance(model, StatesIntervals)),
        crps=crps,
        crps_persistence=still,
        crps_skill=skill,
        reward_rmse=judge.mean(np.square(reward - recorded.reward), "the model knows no reward", root=True),
        reward_std=float(recorded.reward.astype(np.float64).std()),
        uncertainty_rank=rank,
        spread=spread,
        termination=check_termination(
            np.asarray(forecast.ending, np.float64), recorded.terminated, judge.group, confidence=confidence, seed=seed
        ),
        pit=check_pit(place, judge.group, confidence=confidence, seed=seed),
        selective=selective,
    )


def _coverage(
    judge: Judge, units: Any, forecast: Forecast, mean: Floats, total: Floats, following: Floats, stated: bool
) -> tuple[Coverage, ...]:
    found = []
    for index, level in enumerate(LEVELS):
        half = float(scipy.special.ndtri(0.5 + level / 2.0)) * total
        ends = {"mixture": (units(forecast.mixture[:, index, 0]), units(forecast.mixture[:, index, 1]))}
        ends["gaussian"] = (mean - half, mean + half)
        if stated:
            ends["conformal"] = (units(forecast.stated[:, index, 0]), units(forecast.stated[:, index, 1]))
        for kind, (low, high) in ends.items():
            if mean.shape[1] == 0:
                none = Interval.missing("no observation ever changed", count=judge.episodes)
                found.append(Coverage(kind, level, none, none))
                continue
            width = (high - low).mean(-1)
            why = "the model was calibrated on too few episodes to state this level"
            # An infinite interval covers everything and says nothing.
            inside = np.where(np.isfinite(width), ((low <= following) & (following <= high)).mean(-1), np.nan)
            found.append(Coverage(kind, level, judge.mean(inside, why, bounds=(0.0, 1.0)), judge.mean(width, why)))
    return tuple(found)


def _crps(
    judge: Judge, mean: Floats, total: Floats, now: Floats, following: Floats
) -> tuple[Interval, Interval, Interval]:
    if mean.shape[1] == 0:
        none = Interval.missing("no observation ever changed", count=judge.episodes)
        return none, none, none
    change = np.sqrt(np.square(following - now).mean(0))
    ours = gaussian_crps(mean, total, following).mean(-1)
    still = gaussian_crps(now, np.broadcast_to(change, now.shape), following).mean(-1)
    unknown = "the model's forecast is not finite"
    if not np.isfinite(ours).all():
        none = Interval.missing(unknown, count=judge.episodes)
        return none, judge.mean(still, unknown), none
    return judge.mean(ours, unknown), judge.mean(still, unknown), judge.skill(ours, still, unknown)


def _uncertainty(
    judge: Judge, epistemic: Floats, error: Floats
) -> tuple[Interval, tuple[SpreadBin, ...], RiskCoverage]:
    if epistemic.shape[1] == 0 or not (np.isfinite(epistemic).all() and np.isfinite(error).all()):
        why = "the model states no epistemic uncertainty"
        nothing = RiskCoverage.missing(why, steps=len(error), count=judge.episodes)
        return Interval.missing(why, count=judge.episodes), (), nothing
    said = np.sqrt(np.square(epistemic).mean(-1))
    bins = [
        SpreadBin(
            predicted=float(np.sqrt(np.square(said[part]).mean())),
            actual=float(np.sqrt(np.square(error[part]).mean())),
            count=len(part),
        )
        for part in np.array_split(np.argsort(said, kind="stable"), 10)
        if len(part)
    ]
    rank = rank_correlation(said, error, judge.group, confidence=judge.confidence, seed=judge.seed)
    selective = risk_coverage(
        uncertainty=said, error=error, episode=judge.group, confidence=judge.confidence, seed=judge.seed
    )
    return rank, tuple(bins), selective


def _nothing(why: str, model: VectorModel) -> CalibrationCheck:
    none = Interval.missing(why)
    kinds = ("mixture", "gaussian", "conformal") if isinstance(model, StatesIntervals) else ("mixture", "gaussian")
    coverage = tuple(Coverage(kind, level, none, none) for level in LEVELS for kind in kinds)
    empty = TerminationCheck(0, 0, none, None, none, none, ())
    return CalibrationCheck(
        0, 0, 0, coverage, none, none, none, none, None, none, (), empty, Pit.missing(why), RiskCoverage.missing(why)
    )
