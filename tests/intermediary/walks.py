"""A world of one number that the action moves by itself, its model, and a gate before it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from gedanken.experience.codec import Codec
from gedanken.intermediary.gate import Gate, Limits
from tests.fakes import AnalyticModel

LINE = Codec(gym.spaces.Box(-np.inf, np.inf, (1,), np.float32), gym.spaces.Box(-1.0, 1.0, (1,), np.float32))
KEY = jax.random.key(0)


def stay(observation: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.zeros((observation.shape[0], 1))


def walk(**changes: Any) -> AnalyticModel:
    """One number that the action moves by itself: next = now + action; a reward of 1 less the action's square."""
    defaults = {"alive": 1.0, "state_weight": 0.0, "action_weight": 1.0}
    return AnalyticModel.create([[1.0]], [[1.0]], **{**defaults, **changes})


def gate(mode: Any = "gate", limits: Limits | None = None, model: Any = None, **changes: Any) -> Gate:
    model = walk() if model is None else model
    limits = Limits(observation_high={0: 1.0}) if limits is None else limits
    return Gate(mode, limits, model, LINE, **{"policy": stay, "horizon": 4, "samples": 65, **changes})


def at(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


class Corridor(gym.Env[np.ndarray, Any]):
    """The real world that `walk` models: next = now + action, from 0."""

    observation_space = LINE.observation_space
    action_space = LINE.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.now = at(0.0)
        return self.now, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.now = (self.now + action).astype(np.float32)
        return self.now, float(1.0 - action[0] ** 2), False, False, {}
