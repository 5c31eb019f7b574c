"""A learned actor that acts at random a share of the time: a policy of lower quality, by as much as one wants.

A panel of policies needs bad ones too. Unlike wider noise, which a robot may not feel and a choice does not have, a
share of random actions spoils any policy in any world by degrees, and the probability of every action stays known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gedanken.agents.actor_critic import Actor
from gedanken.agents.policy import PolicyAgent
from gedanken.errors import ConfigError


class Mixed(eqx.Module):
    """The actor's own draws, and with probability `share` [] a uniformly random action instead: a pure policy.

    A module whose share is an array, so that a program compiled for one policy of a panel serves the others.
    """

    actor: Actor
    share: Array

    def __call__(self, observation: Array, key: Array) -> Array:
        """[B, D] -> encoded action [B, A]."""
        which_key, actor_key, random_key = jax.random.split(key, 3)
        batch, size = observation.shape[0], self.actor.action_size
        if self.actor.discrete:
            random = jax.nn.one_hot(jax.random.randint(random_key, (batch,), 0, size), size)
        else:
            random = jax.random.uniform(random_key, (batch, size), minval=-1.0, maxval=1.0)
        instead = jax.random.uniform(which_key, (batch, 1)) < self.share
        return jnp.where(instead, random, self.actor.sample(observation, actor_key)[0])

    def log_probability(self, observation: Array, action: Array) -> Array:
        """[B, D], [B, A] -> [B]: how likely it is to draw this action, in encoded units."""
        size = self.actor.action_size
        # A continuous action spans 2 in each dimension, a choice is one of n.
        uniform = -math.log(size) if self.actor.discrete else -size * math.log(2.0)
        own = jnp.log1p(-self.share) + self.actor.log_probability(observation, action)
        mixed: Array = jnp.logaddexp(own, jnp.log(self.share) + uniform)
        return mixed


@dataclass(frozen=True)
class MixedAgent:
    """An `Agent` that acts as a learned one does when it explores, and at random a share of the time.

    It always draws; without a seed it draws the same again.
    """

    of: PolicyAgent
    share: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ConfigError("The share of random actions is no share.", given=self.share, expected="0 to 1")

    @cached_property
    def drawn(self) -> Mixed:
        """How it acts, as a pure policy with log-probabilities."""
        return Mixed(self.of.actor, jnp.asarray(self.share, jnp.float32))

    @property
    def id(self) -> str:
        """The learned agent's, and the share."""
        return f"{self.of.id}-random-{self.share:g}"

    def act(self, observation: Any, *, seed: int | None = None) -> Any:
        """One draw."""
        return self.explore(observation, jax.random.key(0 if seed is None else seed))[0]

    def explore(self, observation: Any, key: Array, step: int = 0) -> tuple[Any, float]:
        """An action drawn with `key` folded with `step`, and its log-probability."""
        action, log_probability = _draw(self.drawn, self.of.read(observation), key, np.int32(step))
        return self.of.codec.decode_action(action), float(log_probability)


@eqx.filter_jit
def _draw(policy: Mixed, observation: Any, key: Array, step: Any) -> tuple[Array, Array]:
    action = policy(observation[None], jax.random.fold_in(key, step))
    return action[0], policy.log_probability(observation[None], action)[0]
