"""Reward: what a step brings - its reward, whether the episode ends, and what the step costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from gedanken.models.dynamics import log_variance
from gedanken.models.networks import MLP, Standardiser
from gedanken.models.stack import Stack

RewardFunction = Callable[[Array, Array, Array], Array]
"""(observation [B, D], encoded action [B, A], next observation [B, D]) -> reward [B]; pure JAX."""
TerminationFunction = Callable[[Array, Array, Array], Array]
"""(observation [B, D], encoded action [B, A], next observation [B, D]) -> terminated [B] bool; pure JAX."""


class Brought(NamedTuple):
    """What a step brings: reward [B], termination_probability [B] in [0, 1], cost [B, R]."""

    reward: Array
    termination_probability: Array
    cost: Array


class StandardAnswer(NamedTuple):
    """Networks' raw answers: reward mean and log-variance, [..., B], cost [..., B, R] (standardised), end's logit."""

    reward: Array
    reward_log_variance: Array
    termination_logit: Array
    cost: Array


class Reward(eqx.Module):
    """M small networks over (next observation, action, change of observation).

    They read the *next* observation, so that an imagined reward and an imagined end agree with the imagined state.
    The reward is standardised apart from the observations (arXiv 2510.01457). Terminations are rare: the loss weighs
    both classes alike, and `termination_log_odds`, added to the logit, takes that out again (after a fit, such that
    the mean probability over the training rows is the share of them that ended).

    `reward_function` and `termination_function`, where the user knows them, take the place of the learned ones; the
    learned ones are still fitted and can be read through `learned`.
    """

    members: Stack
    inputs: Standardiser
    rewards: Standardiser
    costs: Standardiser
    termination_log_odds: Array
    can_terminate: Array
    reward_function: RewardFunction | None = eqx.field(static=True)
    termination_function: TerminationFunction | None = eqx.field(static=True)

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        resources: int,
        *,
        members: int,
        width: int,
        depth: int,
        key: Array,
        reward_function: RewardFunction | None = None,
        termination_function: TerminationFunction | None = None,
    ) -> None:
        inputs = 2 * observation_size + action_size

        def network(key: Array) -> MLP:
            return MLP(inputs, 3 + resources, width=width, depth=depth, final_scale=0.1, key=key)

        self.members = Stack.of(network, members, key=key)
        self.inputs = Standardiser.identity(inputs)
        self.rewards = Standardiser.identity(1)
        self.costs = Standardiser.identity(resources)
        self.termination_log_odds = jnp.zeros(())
        self.can_terminate = jnp.zeros((), bool)
        self.reward_function = reward_function
        self.termination_function = termination_function

    def features(self, observation: Array, action: Array, next_observation: Array) -> Array:
        """What the networks read, before standardising: [B, 2D + A]."""
        return jnp.concatenate([next_observation, action, next_observation - observation], -1)

    def standard_inputs(self, observation: Array, action: Array, next_observation: Array) -> Array:
        """The same standardised, far outliers clipped."""
        return jnp.clip(self.inputs.into(self.features(observation, action, next_observation)), -10.0, 10.0)

    def standard_answers(self, x: Array) -> StandardAnswer:
        """Every network's answer, [M, B], to the same standardised features [B, 2D + A]."""
        return _split_answer(self.members(x))

    def standard_apart(self, x: Array) -> StandardAnswer:
        """Every network's answer, [M, B], to standardised features of its own [M, B, 2D + A]."""
        return _split_answer(self.members.apart(x))

    def learned(self, observation: Array, action: Array, next_observation: Array) -> Brought:
        """The learned answer, averaged over all members, whatever functions the user gave."""
        x = self.standard_inputs(observation, action, next_observation)
        return self._bring(_split_answer(self.members(x).mean(0)))

    def one_each(self, observation: Array, action: Array, next_observation: Array, key: Array) -> Brought:
        """The answer with every row asked of one member (as `Dynamics.one_each`), user functions first."""
        raw = self.members.one_each(self.standard_inputs(observation, action, next_observation), key)
        return self._override(self._bring(_split_answer(raw)), observation, action, next_observation)

    def __call__(self, observation: Array, action: Array, next_observation: Array) -> Brought:
        """The answer of all members together, user functions first."""
        return self._override(
            self.learned(observation, action, next_observation), observation, action, next_observation
        )

    def _bring(self, answer: StandardAnswer) -> Brought:
        probability = jax.nn.sigmoid(answer.termination_logit + self.termination_log_odds)
        return Brought(
            reward=self.rewards.back(answer.reward[..., None])[..., 0],
            termination_probability=jnp.where(self.can_terminate, probability, 0.0),
            cost=self.costs.back(answer.cost),
        )

    def _override(self, brought: Brought, observation: Array, action: Array, next_observation: Array) -> Brought:
        if self.reward_function is not None:
            brought = brought._replace(reward=self.reward_function(observation, action, next_observation))
        if self.termination_function is not None:
            ends = self.termination_function(observation, action, next_observation)
            brought = brought._replace(termination_probability=ends.astype(jnp.float32))
        return brought


def _split_answer(raw: Array) -> StandardAnswer:
    return StandardAnswer(
        reward=raw[..., 0],
        reward_log_variance=log_variance(raw[..., 1]),
        termination_logit=raw[..., 2],
        cost=raw[..., 3:],
    )
