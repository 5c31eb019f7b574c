"""Does another action lead elsewhere in the model as it does in the world?

A model can forecast well and be useless for choosing, if it knows what usually comes next and not what the action does
to it. So the *effects* of actions are compared: how far apart two actions lead from one and the same state, in which
direction, in the world and in the model.

`effects_of_branches` has the real answer from a world that can be put back (`branching`): from each state several
actions were acted out, and the effect of one is where it led less the mean of where all did. `effects_of_pairs` makes
do with a log: pairs of recorded steps whose states are so near that what differs is due to the action. It sees one step
ahead only, and what is left of the difference between the states, and the world's noise, lower its correlation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import scipy.spatial
from numpy.typing import NDArray

from gedanken.errors import ConfigError
from gedanken.evidence.branching import Branches
from gedanken.evidence.interval import Interval, over_episodes
from gedanken.evidence.judge import NOT_NEGATIVE, Floats
from gedanken.evidence.open_loop import open_loop
from gedanken.evidence.recorded import Steps, recorded_steps, scale_of
from gedanken.evidence.windows import ascending, windows_at
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode
from gedanken.models.contract import VectorModel

FEWEST_PAIRS = 20
_NEIGHBOURS = 8
_NOTHING = 1e-12


@dataclass(frozen=True)
class ActionEffects:
    """The answer, one entry a horizon; effects are told in standard deviations of the data.

    Attributes:
        how: where the real effects come from: `branches` or `recorded pairs`.
        horizons: steps for which the actions were taken.
        correlation: of real and imagined effects, over states, actions and dimensions; 1 is right.
        explained: 1 - mean square of (imagined - real) / mean square of real effects. 1 is right; 0 is what a model
            gets that ignores actions; below it is worse than that.
        real, imagined: root mean square effect.
        effects: how many effects each horizon stands on; an interval's `count` is of episodes.
        reason: why there are fewer than were asked for; empty otherwise.
    """

    how: Literal["branches", "recorded pairs"]
    horizons: tuple[int, ...]
    correlation: tuple[Interval, ...]
    explained: tuple[Interval, ...]
    real: tuple[Interval, ...]
    imagined: tuple[Interval, ...]
    effects: tuple[int, ...]
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def effects_of_branches(
    model: VectorModel,
    branches: Branches,
    codec: Codec,
    *,
    horizons: Sequence[int] = (1, 2, 5, 10),
    key: jax.Array,
    seed: int,
    confidence: float = 0.95,
) -> ActionEffects:
    """Compares the effects of actions that were really tried from the same states.

    Args:
        model: any numeric world model, run open loop along the mean of its members.
        branches: what `branching.branch` paid for.
        codec: how observations and actions become vectors.
        horizons: steps ahead, ascending; at each, the branches that had not ended before count.
        key: for what the model draws.
        seed: of the bootstrap.
        confidence: of the intervals, over the episodes that the states were met in.

    Raises:
        ConfigError: `horizons` do not ascend from 1.
    """
    steps = ascending(horizons)
    episodes = [episode for fork in branches.forks for episode in fork.episodes]
    fork_of = np.repeat(np.arange(len(branches.forks)), [len(fork.episodes) for fork in branches.forks])
    group_of_fork = np.array([fork.group for fork in branches.forks], np.int64)
    scale = scale_of(episodes, codec)
    if not scale.moves.any():
        why = branches.reason or "no state was branched from"
        return _nothing("branches", steps, "no observation ever changed" if episodes else why)
    first = [np.zeros(1, np.int64)] * len(episodes)
    windows = windows_at(episodes, codec, horizons=steps, starts=first)
    path = open_loop(model, windows.observation, windows.action, horizons=steps, key=key)
    std = scale.std[scale.moves].astype(np.float64)
    columns = []
    for h, horizon in enumerate(steps):
        valid = windows.recorded[:, h]
        # A branch that is alone with its state at this horizon has nothing to differ from.
        valid &= np.bincount(fork_of, valid, len(branches.forks))[fork_of] > 1
        here = fork_of[valid]
        real, imagined = (
            _about_mean(side[valid, h][:, scale.moves] / std, here) for side in (windows.target, path.observation)
        )
        why = f"no two branches of a state are {horizon} steps long"
        columns.append(_compare(real, imagined, group_of_fork[here], why, confidence=confidence, seed=seed))
    return _answer("branches", steps, columns, branches.reason)


def effects_of_pairs(
    model: VectorModel,
    episodes: Sequence[Episode],
    codec: Codec,
    *,
    key: jax.Array,
    seed: int,
    within: float = 0.25,
    steps_per_episode: int = 200,
    confidence: float = 0.95,
) -> ActionEffects:
    """Compares the effects of actions between recorded steps whose states nearly coincide, one step ahead.

    Args:
        model: any numeric world model; it is asked from the one state of a pair with the actions of both.
        episodes: what really happened.
        codec: how observations and actions become vectors.
        key: for what the model draws.
        seed: picks steps of long episodes and drives the bootstrap.
        within: how far the states of a pair may be apart: root mean square over dimensions, as a share of what one
            step typically changes. Below `FEWEST_PAIRS` pairs nothing is measured.
        steps_per_episode: at most this many steps an episode.
        confidence: of the intervals, over episodes.

    Raises:
        ConfigError: `within` is not above 0, or `steps_per_episode` is below 1.
    """
    if within <= 0.0 or steps_per_episode < 1:
        raise ConfigError(
            "There are no such pairs.",
            given=f"within={within}, steps_per_episode={steps_per_episode}",
            expected="a distance above 0, and a step or more an episode",
        )
    scale = scale_of(episodes, codec)
    steps = recorded_steps(episodes, codec, at_most=steps_per_episode, seed=seed)
    if len(steps) < 2 or not scale.moves.any():
        return _nothing("recorded pairs", (1,), "there are no recorded steps that changed anything")
    std = scale.std[scale.moves].astype(np.float64)
    one, other = _pairs(steps, scale.moves, within)
    if len(one) < FEWEST_PAIRS:
        why = (
            f"{len(one)} of {len(steps)} recorded steps have a near neighbour with another action, and "
            f"{FEWEST_PAIRS} are needed; branch from states of a world that can be put back"
        )
        return _nothing("recorded pairs", (1,), why)
    change = (steps.next_observation - steps.observation).astype(np.float64)[:, scale.moves] / std
    predicted = [
        open_loop(model, steps.observation[one], steps.action[act][:, None], horizons=(1,), key=key).observation[:, 0]
        for act in (one, other)
    ]
    imagined = (predicted[0] - predicted[1]).astype(np.float64)[:, scale.moves] / std
    found = _compare(change[one] - change[other], imagined, steps.episode[one], "", confidence=confidence, seed=seed)
    return _answer("recorded pairs", (1,), [found], "")


def _pairs(steps: Steps, moves: NDArray[np.bool_], within: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each step that has one, the near neighbour whose action differs most; positions of both."""
    change = (steps.next_observation - steps.observation).astype(np.float64)[:, moves]
    typical = np.sqrt(np.square(change).mean(0))
    moving = typical > 0.0
    place = (
        steps.observation.astype(np.float64)[:, moves][:, moving] / typical[moving] / math.sqrt(max(1, moving.sum()))
    )
    tree = scipy.spatial.cKDTree(place)
    # The nearest is the step itself; places that are not filled are at an infinite distance.
    distance, near = tree.query(place, k=min(_NEIGHBOURS, len(place) - 1) + 1, distance_upper_bound=within)
    near = np.minimum(near, len(place) - 1)
    apart = np.sqrt(np.square(steps.action[near] - steps.action[:, None]).mean(-1))
    apart = np.where(np.isfinite(distance) & (near != np.arange(len(place))[:, None]), apart, 0.0)
    best = apart.argmax(1)
    one = np.flatnonzero(apart.max(1) > 0.05)  # less than that is hardly another action: components go from -1 to 1
    return one, near[one, best[one]].astype(np.int64)


def _about_mean(values: Floats, fork: NDArray[np.int64]) -> Floats:
    """[N, D] less the mean of its fork."""
    _, at = np.unique(fork, return_inverse=True)
    count = np.bincount(at)
    means = np.stack([np.bincount(at, column) / count for column in values.T], axis=1)
    about: Floats = values - means[at]
    return about


_Column = tuple[Interval, Interval, Interval, Interval, int]


def _compare(
    real: Floats, imagined: Floats, group: NDArray[np.int64], why: str, *, confidence: float, seed: int
) -> _Column:
    """Effects [N, D] twice -> correlation, explained, real and imagined size, and N."""
    if len(real) == 0:
        none = Interval.missing(why)
        return none, none, none, none, 0
    _, at = np.unique(group, return_inverse=True)
    count = int(at.max()) + 1
    if not np.isfinite(imagined).all():
        none = Interval.missing("the model's forecast is not finite", count=count)
        return none, none, none, none, len(real)
    dimensions = real.shape[1]
    each = np.ones(len(real)), (real**2).sum(1), (imagined**2).sum(1), (real * imagined).sum(1)
    sums = np.stack([np.bincount(at, column, count) for column in each], axis=1)
    whole = _Sums(*sums.sum(0))

    def interval(statistic: Callable[[_Sums], float], bounds: tuple[float, float]) -> Interval:
        return over_episodes(
            count,
            lambda chosen: statistic(_Sums(*sums[chosen].sum(0).tolist())),
            confidence=confidence,
            seed=seed,
            bounds=bounds,
        )

    sizes = (
        interval(lambda some: math.sqrt(some.real / some.number / dimensions), NOT_NEGATIVE),
        interval(lambda some: math.sqrt(some.imagined / some.number / dimensions), NOT_NEGATIVE),
    )
    if whole.real <= _NOTHING * len(real):
        none = Interval.missing("in the world no action leads elsewhere", count=count)
        return none, none, *sizes, len(real)
    explained = interval(_Sums.explained, (-math.inf, 1.0))
    if whole.imagined <= _NOTHING * whole.real:
        none = Interval.missing("in the model no action leads elsewhere", count=count)
        return none, explained, *sizes, len(real)
    return interval(_Sums.correlation, (-1.0, 1.0)), explained, *sizes, len(real)


class _Sums(NamedTuple):
    """Over some effects: how many; sums of squares of the real and the imagined ones; sum of their products."""

    number: float
    real: float
    imagined: float
    product: float

    def correlation(self) -> float:
        both = self.real * self.imagined
        return self.product / math.sqrt(both) if both > 0.0 else math.nan

    def explained(self) -> float:
        # 1 - sum of (imagined - real)^2 / sum of real^2
        return (2.0 * self.product - self.imagined) / self.real if self.real > 0.0 else math.nan


def _answer(
    how: Literal["branches", "recorded pairs"], horizons: tuple[int, ...], columns: list[_Column], reason: str
) -> ActionEffects:
    correlation, explained, real, imagined, effects = zip(*columns, strict=True)
    return ActionEffects(how, horizons, correlation, explained, real, imagined, effects, reason)


def _nothing(how: Literal["branches", "recorded pairs"], horizons: tuple[int, ...], why: str) -> ActionEffects:
    none = tuple(Interval.missing(why) for _ in horizons)
    return ActionEffects(how, horizons, none, none, none, none, tuple(0 for _ in horizons), why)
