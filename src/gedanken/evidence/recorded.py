"""Recorded steps as vectors, and the unit in which errors are told: what every question of fidelity starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode

Floats = NDArray[np.float32]


class Steps(NamedTuple):
    """N recorded steps, in the order of their episodes.

    observation, next_observation: [N, D] float32; action: [N, A] float32, encoded; reward: [N] float32;
    terminated: [N] bool; episode: [N] int64, the position of the step's episode in the sequence that was given.
    """

    observation: Floats
    action: Floats
    reward: Floats
    terminated: NDArray[np.bool_]
    next_observation: Floats
    episode: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.reward)


class Scale(NamedTuple):
    """The unit of errors: the standard deviation of each dimension of the observations, over all given episodes.

    std: [D] float32, 1 where a dimension never moved; moves: [D] bool, False where it never moved, and is left out.
    """

    std: Floats
    moves: NDArray[np.bool_]


def recorded_steps(episodes: Sequence[Episode], codec: Codec, *, at_most: int, seed: int) -> Steps:
    """The steps of all episodes; of each episode at most `at_most`, drawn by `seed`, in the order they happened."""
    rng = np.random.default_rng(seed)
    parts: list[Steps] = []
    for position, episode in enumerate(episodes):
        if len(episode) == 0:
            continue
        chosen = choose(len(episode), at_most, rng)
        observations = codec.encode_observations(episode.observations)
        parts.append(
            Steps(
                observation=observations[chosen],
                action=codec.encode_actions(episode.actions)[chosen],
                reward=episode.rewards[chosen].astype(np.float32),
                terminated=episode.terminated[chosen].astype(bool),
                next_observation=observations[chosen + 1],
                episode=np.full(len(chosen), position, np.int64),
            )
        )
    if not parts:
        none, size = np.zeros(0, np.float32), codec.observation_size
        empty = np.zeros((0, size), np.float32)
        actions = np.zeros((0, codec.action_size), np.float32)
        return Steps(empty, actions, none, none.astype(bool), empty, none.astype(np.int64))
    return Steps(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def scale_of(episodes: Sequence[Episode], codec: Codec) -> Scale:
    """The unit of errors on these episodes."""
    seen = [codec.encode_observations(episode.observations) for episode in episodes if len(episode)]
    if not seen:
        return Scale(np.ones(codec.observation_size, np.float32), np.zeros(codec.observation_size, bool))
    together = np.concatenate(seen).astype(np.float64)
    std = together.std(0)
    # Below float32's resolution of the values themselves a dimension did not move, it was rounded.
    moves = std > 1e-6 * np.maximum(1.0, np.abs(together).max(0))
    return Scale(np.where(moves, std, 1.0).astype(np.float32), moves)


def choose(length: int, at_most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most `at_most` of the positions 0..length-1 without repeats, ascending."""
    if length <= at_most:
        return np.arange(length, dtype=np.int64)
    return np.sort(rng.choice(length, at_most, replace=False)).astype(np.int64)
