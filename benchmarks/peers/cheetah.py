"""HalfCheetah-v5's spaces without its physics, and a replay buffer full of noise in these spaces."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

OBSERVATION_SIZE, ACTION_SIZE = 17, 6


class CheetahSizes(gym.Env):
    """An env that only has spaces: timings of updates never step it."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (OBSERVATION_SIZE,), np.float64)
    action_space = gym.spaces.Box(-1.0, 1.0, (ACTION_SIZE,), np.float32)


def fill(buffer: Any, size: int) -> None:
    """Fills a replay buffer of Stable-Baselines3's interface with `size` random transitions."""
    rng = np.random.default_rng(0)
    for _ in range(size):
        observation, following = rng.normal(size=(2, 1, OBSERVATION_SIZE))
        action = rng.uniform(-1.0, 1.0, (1, ACTION_SIZE))
        buffer.add(observation, following, action, rng.normal(size=1), np.zeros(1), [{}])
