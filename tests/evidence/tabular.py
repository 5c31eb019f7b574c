"""A small world of states and choices whose value is known exactly, and logs of it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode, EpisodeHeader

STATES, CHOICES, HORIZON = 4, 2, 8
CODEC = Codec(gym.spaces.Discrete(STATES), gym.spaces.Discrete(CHOICES))

_RNG = np.random.default_rng(3)
NEXT = _RNG.dirichlet(np.ones(STATES), (STATES, CHOICES))
REWARD = _RNG.normal(size=(STATES, CHOICES))
ENDS = np.array([0.0, 0.0, 0.1, 0.3])
"""With which probability an episode ends on entering a state; it starts in state 0 or 1."""


class Soft:
    """Draws a choice with the softmax of a state's scores [STATES, CHOICES]."""

    def __init__(self, scores: Any) -> None:
        self.scores = jnp.asarray(scores, jnp.float32)

    def log_probability(self, observation: jax.Array, action: jax.Array) -> jax.Array:
        return (jax.nn.log_softmax(observation @ self.scores) * action).sum(-1)

    def __call__(self, observation: jax.Array, key: jax.Array) -> jax.Array:
        return jax.nn.one_hot(jax.random.categorical(key, observation @ self.scores), CHOICES)

    @property
    def probabilities(self) -> np.ndarray:
        scores = np.exp(np.asarray(self.scores, np.float64))
        return scores / scores.sum(-1, keepdims=True)

    def value(self, *, horizon: int = HORIZON, discount: float = 1.0) -> float:
        """The exact expected return over `horizon` steps."""
        value = np.zeros(STATES)
        for _ in range(horizon):
            onward = np.einsum("sat,t->sa", NEXT, (1.0 - ENDS) * value)
            value = (self.probabilities * (REWARD + discount * onward)).sum(1)
        return float(value[:2].mean())


BEHAVIOUR = Soft(_RNG.normal(size=(STATES, CHOICES)) * 0.5)
TARGET = Soft(np.asarray(BEHAVIOUR.scores) + 0.5 * REWARD)
"""Likes what is rewarded: worth 1.8, where the behaviour is worth -0.5."""


def run(policy: Soft, count: int, *, seed: int = 0, steps: int = HORIZON, known: bool = True) -> list[Episode]:
    """`count` episodes, cut after `steps`; without `known`, nobody wrote the log-probabilities down."""
    rng, probabilities, episodes = np.random.default_rng(seed), policy.probabilities, []
    for number in range(count):
        state, over = int(rng.integers(2)), False
        states, actions, rewards, logs, ends = [state], [], [], [], []
        while not over and len(actions) < steps:
            action = int(rng.choice(CHOICES, p=probabilities[state]))
            rewards.append(REWARD[state, action])
            logs.append(np.log(probabilities[state, action]) if known else np.nan)
            state = int(rng.choice(STATES, p=NEXT[state, action]))
            over = bool(rng.random() < ENDS[state])
            states.append(state)
            actions.append(action)
            ends.append(over)
        length = len(actions)
        cut = np.zeros(length, bool)
        cut[-1] = not over
        episodes.append(
            Episode(
                header=EpisodeHeader(f"e{number}", "tabular", "behaviour"),
                observations=np.array(states),
                actions=np.array(actions),
                rewards=np.array(rewards),
                terminated=np.array(ends),
                truncated=cut,
                costs={"steps": np.ones(length, np.int64)},
                durations_ms=np.full(length, np.nan),
                log_probabilities=np.array(logs),
            )
        )
    return episodes
