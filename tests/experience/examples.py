"""Stores and transitions for tests. Every reward is a number of its own, so a lost or doubled row shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from gedanken.experience import Cost, Episode, EpisodeHeader, Experience, Outcome, Transition

OBSERVATIONS = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
ACTIONS = gym.spaces.Box(-1, 1, (1,), np.float32)


def create(path: Path, *, seal_rows: int = 50_000, **spaces: Any) -> Experience:
    named = {"observation_space": OBSERVATIONS, "action_space": ACTIONS} | spaces
    return Experience.create(path, world="line", seal_rows=seal_rows, **named)


def header(name: str, **more: Any) -> EpisodeHeader:
    return EpisodeHeader(name, "line", "walk", **more)


def step(number: int, *, terminated: bool = False, truncated: bool = False, **more: Any) -> Transition:
    """The transition whose reward is `number`; everything else follows from it."""
    return Transition(
        observation=np.array([number, -number], np.float64),
        action=np.array([(number % 3 - 1) / 2], np.float32),
        reward=float(number),
        terminated=terminated,
        truncated=truncated,
        next_observation=np.array([number + 1, -number - 1], np.float64),
        **{"cost": Cost(steps=1), **more},
    )


def fill(experience: Experience, episodes: int, length: int, *, first: int = 0, **more: Any) -> int:
    """Appends whole episodes one step at a time; the number behind the last reward."""
    number = first
    for _ in range(episodes):
        name = f"e{len(experience.headers())}"
        experience.begin(header(name, **more))
        for at in range(length):
            experience.append(name, [step(number, truncated=at == length - 1)])
            number += 1
        experience.end(name, Outcome())
    return number


def rewards(experience: Experience) -> list[int]:
    """All rewards in the order of the rows, of whatever account and source."""
    return experience.arrays(account=None, source=None).reward.astype(int).tolist()


def check_consistent(experience: Experience, *, sql: bool = True) -> None:
    """Every way of reading tells the same, and every row is whole."""
    arrays = experience.arrays(account=None, source=None)
    assert len(experience) == len(arrays) == arrays.next_row
    numbers = arrays.reward
    np.testing.assert_array_equal(arrays.observation, np.stack([numbers, -numbers], 1))
    np.testing.assert_array_equal(arrays.next_observation, np.stack([numbers + 1, -numbers - 1], 1))
    assert len(set(numbers.tolist())) == len(numbers)
    by_episode: dict[int, list[float]] = {}
    for ordinal, at, reward in zip(arrays.episode.tolist(), arrays.step.tolist(), numbers.tolist(), strict=True):
        by_episode.setdefault(ordinal, []).append(reward)
        assert at == len(by_episode[ordinal]) - 1
    for ordinal, summary in enumerate(experience.summaries()):
        mine = by_episode.get(ordinal, [])
        assert (summary.length, summary.total_reward) == (len(mine), sum(mine))
        episode: Episode = experience.episode(summary.header.episode_id)
        assert episode.rewards.tolist() == mine and episode.complete == summary.complete
        assert len(episode.observations) == (len(mine) + 1 if mine else 0)
    if not sql:
        return
    told = experience.query("SELECT count(*) AS n, coalesce(sum(reward), 0) AS total FROM steps").to_pylist()[0]
    assert (told["n"], told["total"]) == (len(numbers), sum(numbers))
