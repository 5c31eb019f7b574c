"""Agents that need no learning: any function of the user's own, and one that acts at random."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from gedanken.agents.contract import Agent
from gedanken.errors import ConfigError
from gedanken.experience.codec import Codec


def from_callable(
    function: Callable[..., Any],
    codec: Codec | None = None,
    id: str | None = None,  # noqa: A002
) -> Agent:
    """Makes an agent of `function`.

    Args:
        function: observation -> action. If it has a parameter named `seed`, it is given `seed=`.
        codec: with it, `function` reads the encoded observation [D] float32 and answers with an encoded action [A]
            (scores, for discrete actions). Without it, it reads and answers what the world's spaces hold.
        id: names this version of the policy in the experience; the function's own name where it is not given.

    Raises:
        ConfigError: `function` cannot be called.
    """
    if not callable(function):
        raise ConfigError(
            "An agent is made of something that can be called.",
            given=type(function).__name__,
            expected="a function observation -> action",
        )
    return _Callable(function, codec, id if id is not None else _name(function))


class RandomAgent:
    """Draws every action evenly from a bounded action space, from streams of its own.

    Args:
        action_space: of the world; its own random state is not touched.
        seed: of the actions that are asked for without a seed.
        id: names this policy.
    """

    def __init__(self, action_space: gym.Space[Any], *, seed: int = 0, id: str = "random") -> None:  # noqa: A002
        self._stream, self._seeded = copy.deepcopy(action_space), copy.deepcopy(action_space)
        self._stream.seed(seed)
        self._id = id

    @property
    def id(self) -> str:
        return self._id

    def act(self, observation: Any, *, seed: int | None = None) -> Any:  # noqa: ARG002
        """One random action; by `seed` with one, else the next of the agent's own stream."""
        if seed is None:
            return self._stream.sample()
        self._seeded.seed(seed)
        return self._seeded.sample()


class _Callable:
    def __init__(self, function: Callable[..., Any], codec: Codec | None, name: str) -> None:
        self._function, self._codec, self._id = function, codec, name
        self._takes_seed = _takes_seed(function)

    @property
    def id(self) -> str:
        return self._id

    def act(self, observation: Any, *, seed: int | None = None) -> Any:
        seeded = {"seed": seed} if self._takes_seed else {}
        if self._codec is None:
            return self._function(observation, **seeded)
        action = np.asarray(self._function(self._codec.encode_observations(observation), **seeded), np.float32)
        if action.shape != (self._codec.action_size,) or not np.isfinite(action).all():
            raise ConfigError(
                f"The policy {self._id} did not answer with an encoded action.",
                given=repr(action)[:200],
                expected=f"{self._codec.action_size} finite numbers",
                do="return the action in encoded units, or make the agent without a codec.",
            )
        return self._codec.decode_action(action)


def _takes_seed(function: Callable[..., Any]) -> bool:
    try:
        return "seed" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return False


def _name(function: Callable[..., Any]) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
