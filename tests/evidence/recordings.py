"""Episodes of the linear system, recorded step by step from the real (analytic) environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gedanken.experience.transition import Episode, EpisodeHeader
from tests.fakes import AnalyticEnv


def record(env: AnalyticEnv, count: int, *, policy: Callable[[Any], Any] | None = None, seed: int = 0) -> list[Episode]:
    """`count` whole episodes of `policy` (None: uniformly random actions)."""
    env.action_space.seed(seed)
    episodes = []
    for number in range(count):
        observation, _ = env.reset(seed=seed * 1_000 + number)
        observations, actions, rewards, ends = [observation], [], [], []
        over = False
        while not over:
            action = env.action_space.sample() if policy is None else policy(observation)
            observation, reward, terminated, truncated, _ = env.step(action)
            observations.append(observation)
            actions.append(action)
            rewards.append(reward)
            ends.append((terminated, truncated))
            over = terminated or truncated
        length = len(rewards)
        episodes.append(
            Episode(
                header=EpisodeHeader(f"e{number}", "analytic", "random"),
                observations=np.asarray(observations),
                actions=np.asarray(actions),
                rewards=np.asarray(rewards, np.float64),
                terminated=np.asarray([end[0] for end in ends], bool),
                truncated=np.asarray([end[1] for end in ends], bool),
                costs={"steps": np.ones(length, np.int64)},
                durations_ms=np.full(length, np.nan),
                log_probabilities=np.full(length, np.nan),
            )
        )
    return episodes
