"""Dynamics: the probabilistic ensemble that says which observation comes next (Chua et al. 2018, PETS)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from gedanken.models.networks import MLP, Standardiser
from gedanken.models.stack import Stack

# Standardised log-variances stay in here: a member may be neither surer than 1e-4 of a standard deviation nor less
# sure than three of them, which keeps the likelihood from running away on noiseless simulators.
LOG_VARIANCE_RANGE = (-18.0, 2.0)


Rows = TypeVar("Rows")
Answer = TypeVar("Answer")


class Dynamics(eqx.Module):
    """M networks, each a Gaussian over the next observation given observation and action.

    Inputs, and targets (the change of the observation, or the next observation itself when `direct`), are
    standardised.
    """

    members: Stack
    inputs: Standardiser
    targets: Standardiser
    direct: bool = eqx.field(static=True)

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        *,
        members: int,
        width: int,
        depth: int,
        layer_norm: bool,
        direct: bool,
        key: Array,
    ) -> None:

        def network(key: Array) -> MLP:
            return MLP(
                observation_size + action_size,
                2 * observation_size,
                width=width,
                depth=depth,
                layer_norm=layer_norm,
                final_scale=0.1,
                key=key,
            )

        self.members = Stack.of(network, members, key=key)
        self.inputs = Standardiser.identity(observation_size + action_size)
        self.targets = Standardiser.identity(observation_size)
        self.direct = direct

    def standard_inputs(self, observation: Array, action: Array) -> Array:
        """[B, D], [B, A] -> [B, D + A], standardised; far outliers are clipped so that no member is asked nonsense."""
        return jnp.clip(self.inputs.into(jnp.concatenate([observation, action], -1)), -10.0, 10.0)

    def standard_answers(self, x: Array) -> tuple[Array, Array]:
        """Mean and log-variance of the standardised target, each [M, B, D], of the same rows [B, D + A]."""
        mean, raw = jnp.split(self.members(x), 2, axis=-1)
        return mean, log_variance(raw)

    def standard_apart(self, x: Array) -> tuple[Array, Array]:
        """Mean and log-variance of the standardised target, each [M, B, D], of rows [M, B, D + A], one set a member."""
        mean, raw = jnp.split(self.members.apart(x), 2, axis=-1)
        return mean, log_variance(raw)

    def standard_target(self, observation: Array, next_observation: Array) -> Array:
        """What a member is trained to predict, [B, D]."""
        return self.targets.into(next_observation if self.direct else next_observation - observation)

    def all_members(self, observation: Array, action: Array) -> tuple[Array, Array]:
        """Every member's mean and standard deviation, each [M, B, D]."""
        x = self.standard_inputs(observation, action)
        return self._to_observation(observation, self.members(x))

    def one_each(self, observation: Array, action: Array, key: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, each [B, D], every row from one member: see `Stack.one_each`."""
        answer = self.members.one_each(self.standard_inputs(observation, action), key)
        return self._to_observation(observation, answer)

    def _to_observation(self, observation: Array, answer: Array) -> tuple[Array, Array]:
        """Networks' raw answers [..., B, 2D] as mean and standard deviation in the observation's units."""
        mean, raw = jnp.split(answer, 2, axis=-1)
        change = self.targets.back(mean)
        std = self.targets.std * jnp.sqrt(variance(raw))
        return (change if self.direct else observation + change), std


def log_variance(raw: Array) -> Array:
    """What a network says of the log-variance, clamped smoothly: gradients survive at both ends."""
    low, high = LOG_VARIANCE_RANGE
    below = high - jax.nn.softplus(high - raw)
    return low + jax.nn.softplus(below - low)


def variance(raw: Array) -> Array:
    """exp(log_variance(raw)), which needs one exponential and no logarithm."""
    low, high = LOG_VARIANCE_RANGE
    return math.exp(low) + math.exp(high) * jax.nn.sigmoid(raw - high)


def uncertainty(mean: Array, std: Array) -> tuple[Array, Array]:
    """Epistemic and aleatoric standard deviations, each [B, D], of members' means and deviations, each [M, B, D].

    The epistemic part is the spread of the means, the aleatoric part the mean variance (Lakshminarayanan et al. 2017).
    """
    return _root(mean.var(0)), _root(jnp.square(std).mean(0))


def _root(squares: Array) -> Array:
    """The square root, with gradient 0 instead of infinity at 0."""
    some = squares > 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, squares, 1.0)), 0.0)


def in_blocks(step: Callable[[Rows, Array], Answer], rows: Rows, key: Array, *, block: int) -> Answer:
    """`step(rows, key)`, run on at most `block` rows at a time, so that what it computes stays in the cache.

    The blocks are equally long; the last is filled up with repeated rows whose answers are dropped.
    """
    batch = jax.tree.leaves(rows)[0].shape[0]
    count = -(-batch // block)
    if count == 1:
        return step(rows, key)
    length = -(-batch // count)
    spare = count * length - batch
    whole = jax.tree.map(lambda x: jnp.concatenate([x, x[:spare]]) if spare else x, rows)
    blocks = jax.tree.map(lambda x: x.reshape(count, length, *x.shape[1:]), whole)
    answers = jax.lax.map(lambda each: step(*each), (blocks, jax.random.split(key, count)))
    joined: Answer = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:batch], answers)
    return joined
