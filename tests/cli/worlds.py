"""Small worlds that can be named on a command line: `tests.cli.worlds:Point-v0`."""

from __future__ import annotations

import os
import time
from typing import Any

import gymnasium as gym
import numpy as np

POINT, BROKEN = "tests.cli.worlds:Point-v0", "tests.cli.worlds:Broken-v0"
HORIZON = 20


class Point(gym.Env[np.ndarray, np.ndarray]):
    """A point on a line that should be kept at 0. `GEDANKEN_TEST_STEP_S` makes its steps last."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self._state = np.zeros(2, np.float32)
        self._step_s = float(os.environ.get("GEDANKEN_TEST_STEP_S", "0"))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._state = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self._state.copy(), {}

    def step(self, action: np.ndarray) -> Any:
        time.sleep(self._step_s)
        position, speed = self._state
        self._state = np.array([position + 0.1 * speed, 0.9 * speed + 0.3 * float(action[0])], np.float32)
        return self._state.copy(), -float(position**2), False, False, {}


class Broken(Point):
    """Answers with NaN from its seventh step on."""

    steps = 0

    def step(self, action: np.ndarray) -> Any:
        observation, reward, *rest = super().step(action)
        self.steps += 1
        return observation, float("nan") if self.steps > 6 else reward, *rest


class Odd(Point):
    """Has actions that nobody serves."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = gym.spaces.MultiDiscrete([2, 3])


gym.register("Odd-v0", Odd, max_episode_steps=HORIZON, disable_env_checker=True)
gym.register("Point-v0", Point, max_episode_steps=HORIZON, disable_env_checker=True)
gym.register("Broken-v0", Broken, max_episode_steps=HORIZON, disable_env_checker=True)
