"""How observations and actions of Gymnasium spaces become the float vectors that numeric models and agents read.

Observations: a `Box` is flattened, a `Discrete` becomes one-hot. Actions: a bounded `Box` is scaled to [-1, 1],
a `Discrete` becomes one-hot. Everything else is refused here, by name, and served by other model families.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from gedanken.errors import ConfigError, UnsupportedSpace


@dataclass(frozen=True)
class Codec:
    """The two-way map between a world's spaces and vectors of float32.

    `observation_size` is D and `action_size` is A in every shape of the numeric code. `choices` is the number of
    actions of a discrete space, and 0 where actions are continuous.
    """

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]

    def __post_init__(self) -> None:
        if not isinstance(self.observation_space, gym.spaces.Box | gym.spaces.Discrete):
            raise UnsupportedSpace(
                "The numeric model families read vectors of numbers as observations.",
                given=self.observation_space,
                expected="a Box or a Discrete observation space",
                do="wrap the env (gymnasium.wrappers.FlattenObservation), or choose a text family.",
            )
        space = self.action_space
        if isinstance(space, gym.spaces.Box):
            if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
                raise UnsupportedSpace(
                    "A continuous action must be bounded.",
                    given=space,
                    expected="a Box with finite low and high",
                    do="wrap the env (gymnasium.wrappers.RescaleAction).",
                )
        elif not isinstance(space, gym.spaces.Discrete):
            raise UnsupportedSpace(
                "The numeric agents act with one vector or one choice.",
                given=space,
                expected="a bounded Box or a Discrete action space",
                do="wrap the env so that its action is one of these.",
            )

    @property
    def observation_size(self) -> int:
        return _size(self.observation_space)

    @property
    def action_size(self) -> int:
        return _size(self.action_space)

    @property
    def choices(self) -> int:
        return int(self.action_space.n) if isinstance(self.action_space, gym.spaces.Discrete) else 0

    def encode_observations(self, observations: Any) -> np.ndarray:
        """[..., *space.shape] -> [..., D] float32.

        Raises:
            ConfigError: they are of another shape, or no choices of the space.
        """
        return _to_vectors(self.observation_space, observations, "observation")

    def encode_actions(self, actions: Any) -> np.ndarray:
        """[..., *space.shape] -> [..., A] float32, continuous ones scaled from [low, high] to [-1, 1].

        Raises:
            ConfigError: they are of another shape, or no choices of the space.
        """
        vectors = _to_vectors(self.action_space, actions, "action")
        if isinstance(self.action_space, gym.spaces.Box):
            low, high = self._bounds()
            span = np.where(high > low, high - low, 1.0)  # a dimension may have one value only
            vectors = (2.0 * (vectors - low) / span - 1.0).astype(np.float32)
        return vectors

    def decode_action(self, vector: Any) -> Any:
        """[A] in [-1, 1] (or one-hot, or scores: the largest wins) -> one action of the space."""
        vector = np.asarray(vector, np.float32)
        if isinstance(self.action_space, gym.spaces.Discrete):
            return np.int64(self.action_space.start + int(vector.argmax()))
        assert isinstance(self.action_space, gym.spaces.Box)
        low, high = self._bounds()
        unscaled = low + (np.clip(vector, -1.0, 1.0) + 1.0) * 0.5 * (high - low)
        return np.clip(unscaled, low, high).reshape(self.action_space.shape).astype(self.action_space.dtype)

    def decode_observation(self, vector: Any) -> Any:
        """[D] -> one observation of the space (clipped into it, since a model may stray outside)."""
        vector = np.asarray(vector, np.float32)
        space = self.observation_space
        if isinstance(space, gym.spaces.Discrete):
            return np.int64(space.start + int(vector.argmax()))
        assert isinstance(space, gym.spaces.Box)
        shaped = vector.reshape(space.shape).astype(space.dtype)
        return np.clip(shaped, space.low, space.high)

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        space = self.action_space
        assert isinstance(space, gym.spaces.Box)
        return space.low.reshape(-1).astype(np.float32), space.high.reshape(-1).astype(np.float32)


def _size(space: gym.Space[Any]) -> int:
    if isinstance(space, gym.spaces.Discrete):
        return int(space.n)
    assert isinstance(space, gym.spaces.Box)
    return int(np.prod(space.shape, dtype=np.int64))


def _to_vectors(space: gym.Space[Any], values: Any, what: str) -> np.ndarray:
    values = np.asarray(values)
    if isinstance(space, gym.spaces.Discrete):
        with np.errstate(invalid="ignore"):  # NaN is refused below
            choices = values.astype(np.int64) - int(space.start)
        if not ((choices >= 0) & (choices < space.n) & (choices + space.start == values)).all():
            raise ConfigError(f"This is no {what} of the space.", given=repr(values)[:200], expected=space)
        one_hot: np.ndarray = np.eye(int(space.n), dtype=np.float32)[choices]
        return one_hot
    assert isinstance(space, gym.spaces.Box)
    lead = values.shape[: max(0, values.ndim - len(space.shape))]
    if values.shape != (*lead, *space.shape):
        raise ConfigError(f"This {what} has another shape.", given=values.shape, expected=(..., *space.shape))
    vectors: np.ndarray = values.reshape(*lead, _size(space)).astype(np.float32)
    return vectors
