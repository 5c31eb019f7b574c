"""Actor and critics shared by the learning agents, for continuous and for discrete actions."""

from __future__ import annotations

import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from gedanken.models.networks import MLP, Standardiser
from gedanken.models.stack import stacked

LOG_STD_RANGE = (-5.0, 2.0)

Activation = Literal["silu", "relu"]
ACTIVATIONS = {"silu": jax.nn.silu, "relu": jax.nn.relu}
"""silu is smooth, which gradients through a model want; relu is cheaper."""


class Actor(eqx.Module):
    """A stochastic policy over encoded actions, differentiable in its parameters and in its input.

    Continuous actions: a Gaussian squashed by tanh into [-1, 1] (Haarnoja et al. 2018). Discrete ones: a one-hot
    vector drawn by the Gumbel trick, with the straight-through gradient of the softmax (Jang et al. 2017), so that
    both kinds are learned by the same losses.
    """

    network: MLP
    inputs: Standardiser
    action_size: int = eqx.field(static=True)
    discrete: bool = eqx.field(static=True)

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        *,
        discrete: bool,
        width: int,
        depth: int,
        layer_norm: bool,
        activation: Activation = "silu",
        key: Array,
    ) -> None:
        self.network = MLP(
            observation_size,
            action_size if discrete else 2 * action_size,
            width=width,
            depth=depth,
            layer_norm=layer_norm,
            activation=ACTIVATIONS[activation],
            final_scale=0.1,
            key=key,
        )
        self.inputs = Standardiser.identity(observation_size)
        self.action_size = action_size
        self.discrete = discrete

    @property
    def target_entropy(self) -> float:
        """The entropy the temperature is tuned to: -A for continuous actions, a fifth of the most for discrete ones."""
        return 0.2 * math.log(self.action_size) if self.discrete else -float(self.action_size)

    def sample(self, observation: Array, key: Array) -> tuple[Array, Array]:
        """[B, D] -> action [B, A] and its log-probability [B]."""
        return self.act(observation, self.noise(key, observation.shape[:-1]))

    def noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        """What `act` needs to draw actions of `shape`: [*shape, A]. For many updates it is cheaper drawn at once."""
        draw = jax.random.gumbel if self.discrete else jax.random.normal
        return draw(key, (*shape, self.action_size))

    def act(self, observation: Array, noise: Array) -> tuple[Array, Array]:
        """[B, D] and noise [B, A] -> the action that the noise decides, [B, A], and its log-probability [B]."""
        answer = self.network(self.inputs.into(observation))
        if self.discrete:
            log_probabilities = jax.nn.log_softmax(answer)
            noisy = answer + noise
            soft = jax.nn.softmax(noisy)
            hard = jax.nn.one_hot(noisy.argmax(-1), self.action_size)
            action = soft + jax.lax.stop_gradient(hard - soft)
            # The value is that of the drawn action; the gradient is that of its expectation, minus the entropy. The
            # drawn action's own gradient would be zero on average, and the entropy would not be regulated at all.
            drawn = (hard * log_probabilities).sum(-1)
            expected = (jnp.exp(log_probabilities) * log_probabilities).sum(-1)
            return action, expected + jax.lax.stop_gradient(drawn - expected)
        mean, log_std = self._gaussian(answer)
        before = mean + jnp.exp(log_std) * noise
        return jnp.tanh(before), _squashed_log_density(noise, log_std, before)

    def log_probability(self, observation: Array, action: Array) -> Array:
        """[B, D], [B, A] -> [B]: how likely `sample` is to draw this action, in encoded units."""
        answer = self.network(self.inputs.into(observation))
        if self.discrete:
            return (action * jax.nn.log_softmax(answer)).sum(-1)
        mean, log_std = self._gaussian(answer)
        # An action at the edge, rounded to 1, stands for one just inside; its density is finite.
        before = jnp.arctanh(jnp.clip(action, -1.0 + 1e-6, 1.0 - 1e-6))
        return _squashed_log_density((before - mean) * jnp.exp(-log_std), log_std, before)

    def mode(self, observation: Array) -> Array:
        """[B, D] -> the most likely action [B, A] (of the Gaussian before squashing)."""
        answer = self.network(self.inputs.into(observation))
        if self.discrete:
            return jax.nn.one_hot(answer.argmax(-1), self.action_size)
        return jnp.tanh(self._gaussian(answer)[0])

    def _gaussian(self, answer: Array) -> tuple[Array, Array]:
        mean, raw = jnp.split(answer, 2, axis=-1)
        low, high = LOG_STD_RANGE
        return mean, low + 0.5 * (high - low) * (jnp.tanh(raw) + 1.0)


def _squashed_log_density(noise: Array, log_std: Array, before: Array) -> Array:
    """[B]: of tanh(before), where before [B, A] is a Gaussian's mean plus its deviation times `noise`."""
    gaussian = -0.5 * jnp.square(noise) - log_std - 0.5 * math.log(2 * math.pi)
    # log(1 - tanh(x)^2) in a form that does not cancel for large |x|.
    squash = 2.0 * (math.log(2.0) - before - jax.nn.softplus(-2.0 * before))
    density: Array = (gaussian - squash).sum(-1)
    return density


class Critics(eqx.Module):
    """K independent estimates of the soft return of acting so here and by the policy afterwards.

    The K networks are one, whose arrays have a leading axis K: a batched product costs as much as K products, and all
    that surrounds it is done once. They predict in units of `scale`, so that they see targets of order 1 whatever the
    world's rewards are. `bounds` [2], in the world's units, are the least and the largest return that rewards like the
    real ones can add up to; a target never lies outside, so that a model's error cannot feed on itself without limit.
    """

    networks: MLP
    inputs: Standardiser
    scale: Array
    bounds: Array

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        *,
        count: int,
        width: int,
        depth: int,
        layer_norm: bool,
        activation: Activation = "silu",
        key: Array,
    ) -> None:
        def network(key: Array) -> MLP:
            return MLP(
                observation_size + action_size,
                1,
                width=width,
                depth=depth,
                layer_norm=layer_norm,
                activation=ACTIVATIONS[activation],
                final_scale=0.1,
                key=key,
            )

        self.networks = stacked([network(each) for each in jax.random.split(key, count)])
        self.inputs = Standardiser.identity(observation_size)
        self.scale = jnp.ones(())
        self.bounds = jnp.array([-jnp.inf, jnp.inf])

    def __call__(self, observation: Array, action: Array) -> Array:
        """[B, D], [B, A] -> [K, B], in units of `scale`."""
        x = jnp.concatenate([self.inputs.into(observation), action], -1)
        answers: Array = eqx.filter_vmap(lambda network: network(x))(self.networks)
        return answers[..., 0]

    def target(self, observation: Array, action: Array) -> Array:
        """[B, D], [B, A] -> [B]: the smallest estimate, within the bounds, in units of `scale`."""
        low, high = self.bounds / self.scale
        return jnp.clip(self(observation, action).min(0), low, high)

    def rescaled(self, scale: Array) -> Critics:
        """The same estimates in new units: the last layers absorb the change (van Hasselt et al. 2016, PopArt)."""
        ratio, last = self.scale / scale, self.networks.layers[-1]
        rescaled: Critics = eqx.tree_at(
            lambda c: (c.networks.layers[-1].weight, c.networks.layers[-1].bias, c.scale),
            self,
            (last.weight * ratio, last.bias * ratio, jnp.asarray(scale)),
        )
        return rescaled


def polyak(target: Critics, source: Critics, share: float) -> Critics:
    """Moves the target's networks by `share` of the way to the source's."""
    networks = jax.tree.map(
        lambda t, s: t + share * (s - t) if eqx.is_inexact_array(t) else t, target.networks, source.networks
    )
    moved: Critics = eqx.tree_at(lambda c: c.networks, target, networks)
    return moved
