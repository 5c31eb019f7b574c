"""Where forecasts start: recorded states, the actions that were then taken, and what really came of it.

A start counts at horizon k only if the recording goes on for k steps, so nothing past a termination or a cut counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gedanken.errors import ConfigError
from gedanken.evidence.recorded import Floats, choose
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode


class Windows(NamedTuple):
    """N starts, each with K recorded steps, looked at H horizons.

    observation: [N, D]; action: [N, K, A], where the recording ended its last action; reward: [N, K], 0 after the end;
    target: [N, H, D], what was observed at each horizon, 0 where nothing was; recorded: [N, H] bool;
    episode: [N] int64, the position of the start's episode in the sequence that was given.
    """

    observation: Floats
    action: Floats
    reward: Floats
    target: Floats
    recorded: NDArray[np.bool_]
    episode: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.episode)


def ascending(horizons: Sequence[int]) -> tuple[int, ...]:
    """Horizons, checked.

    Raises:
        ConfigError: there is none, one is below 1, or they do not ascend.
    """
    steps = tuple(int(horizon) for horizon in horizons)
    if not steps or steps[0] < 1 or any(a >= b for a, b in pairwise(steps)):
        raise ConfigError("Horizons must ascend.", given=list(horizons), expected="such as (1, 2, 5, 10)")
    return steps


def random_windows(
    episodes: Sequence[Episode], codec: Codec, *, horizons: tuple[int, ...], starts: int, seed: int
) -> Windows:
    """Windows from at most `starts` random steps of every episode.

    Raises:
        ConfigError: `starts` is below 1.
    """
    if starts < 1:
        raise ConfigError("At least one start an episode is needed.", given=starts, expected="starts >= 1")
    rng = np.random.default_rng(seed)
    chosen = [choose(len(episode), starts, rng) if len(episode) else np.zeros(0, np.int64) for episode in episodes]
    return windows_at(episodes, codec, horizons=horizons, starts=chosen)


def windows_at(
    episodes: Sequence[Episode], codec: Codec, *, horizons: tuple[int, ...], starts: Sequence[NDArray[np.int64]]
) -> Windows:
    """Windows from the given steps of every episode, one array of positions an episode."""
    longest, at = horizons[-1], np.asarray(horizons)
    parts: list[Windows] = []
    for position, (episode, chosen) in enumerate(zip(episodes, starts, strict=True)):
        if len(chosen) == 0:
            continue
        length = len(episode)
        observations = codec.encode_observations(episode.observations)
        ends = chosen[:, None] + at
        steps = chosen[:, None] + np.arange(longest)
        # Repeating the last action and observation only fills the arrays: `recorded` says what counts.
        within = np.minimum(steps, length - 1)
        recorded = ends <= length
        parts.append(
            Windows(
                observation=observations[chosen],
                action=codec.encode_actions(episode.actions)[within],
                reward=np.where(steps < length, episode.rewards[within], 0.0).astype(np.float32),
                target=np.where(recorded[..., None], observations[np.minimum(ends, length)], np.float32(0.0)),
                recorded=recorded,
                episode=np.full(len(chosen), position, np.int64),
            )
        )
    if not parts:
        none = np.zeros(0, np.float32)
        return Windows(
            observation=none.reshape(0, codec.observation_size),
            action=np.zeros((0, longest, codec.action_size), np.float32),
            reward=np.zeros((0, longest), np.float32),
            target=np.zeros((0, len(horizons), codec.observation_size), np.float32),
            recorded=np.zeros((0, len(horizons)), bool),
            episode=np.zeros(0, np.int64),
        )
    return Windows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
