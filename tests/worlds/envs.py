"""Gymnasium envs of which a test decides every answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np


class Scripted(gym.Env[np.ndarray, np.ndarray]):
    """Observes how many steps were done; ends after `length`. `faults` maps a step (0 is the reset) to what happens.

    A fault is called with the answer that would be given, and what it returns is given instead.
    """

    def __init__(self, length: int = 5, faults: dict[int, Callable[[tuple[Any, ...]], Any]] | None = None) -> None:
        self.observation_space = gym.spaces.Box(0.0, 100.0, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.length, self.faults = length, faults or {}
        self.steps, self.actions, self.seeds = 0, [], []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        self.seeds.append(seed)
        return self._answer((self._observation(), {"options": options}))

    def step(self, action: np.ndarray) -> Any:
        self.actions.append(action)
        self.steps += 1
        return self._answer((self._observation(), float(action[0]), self.steps == self.length, False, {}))

    def _observation(self) -> np.ndarray:
        return np.full(2, self.steps, np.float32)

    def _answer(self, answer: tuple[Any, ...]) -> Any:
        return self.faults.get(self.steps, lambda same: same)(answer)


def replaced(position: int, value: Any) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    return lambda answer: (*answer[:position], value, *answer[position + 1 :])


def raising(error: BaseException) -> Callable[[tuple[Any, ...]], Any]:
    def fault(answer: tuple[Any, ...]) -> Any:
        raise error

    return fault


def sleeping(seconds: float) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    def fault(answer: tuple[Any, ...]) -> tuple[Any, ...]:
        time.sleep(seconds)
        return answer

    return fault


def informing(**info: Any) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    return lambda answer: (*answer[:-1], {**answer[-1], **info})
