"""The value-gradient agent: its actor learns by differentiating through short imagined rollouts.

Two horizons (Kubo, Parmas & Ishii 2025, DHMBPO): a long *distribution rollout* without gradients brings the states
that the present policy visits; from them a short *training rollout* with gradients gives the critic its target and
the actor its gradient,

    J = sum_{t<H} gamma^t c_t (r_t - alpha log pi_t) + gamma^H c_H (Q(s_H, a_H) - alpha log pi_H),

where c_t is the probability that the episode has not ended before t. Unlike a sampled end, this probability is
differentiable: in worlds whose only lesson is to stay alive it carries the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from gedanken.agents.actor_critic import Actor, Critics, polyak
from gedanken.errors import ConfigError
from gedanken.models.contract import State, VectorModel
from gedanken.models.networks import Standardiser


@dataclass(frozen=True)
class ValueGradientConfig:
    """How the value-gradient agent learns."""

    width: int = 256
    """units of each hidden layer of actor and critics"""
    depth: int = 2
    """hidden layers of actor and critics"""
    critics: int = 2
    """number of critics; the target is the smallest of them"""
    horizon: int = 5
    """steps of the training rollout, which is differentiated"""
    batch: int = 256
    """start states in an update"""
    discount: float = 0.99
    """weight of the next step's value"""
    actor_learning_rate: float = 3e-4
    """Adam's step size of the actor"""
    critic_learning_rate: float = 3e-4
    """Adam's step size of the critics"""
    temperature_learning_rate: float = 3e-4
    """Adam's step size of the entropy temperature"""
    initial_temperature: float = 0.1
    """entropy temperature alpha at the start, in units of the reward scale"""
    target_rate: float = 0.005
    """share by which the target critics follow at each update"""
    gradient_clip: float = 10.0
    """largest global norm of a gradient"""
    distribution_horizon: int = 20
    """steps of the distribution rollout, which is not differentiated"""

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.distribution_horizon < 1 or not 0 < self.discount < 1:
            raise ConfigError(
                "The value-gradient agent needs horizons of at least 1 and a discount between 0 and 1.",
                given=f"horizon={self.horizon}, distribution_horizon={self.distribution_horizon}, "
                f"discount={self.discount}",
            )


class ValueGradientState(NamedTuple):
    """Everything the agent has learned and needs to go on learning."""

    actor: Actor
    critics: Critics
    target: Critics
    log_temperature: Array
    actor_moments: optax.OptState
    critic_moments: optax.OptState
    temperature_moments: optax.OptState


def init(
    observation_size: int, action_size: int, *, discrete: bool, config: ValueGradientConfig, key: Array
) -> ValueGradientState:
    """A fresh agent."""
    actor_key, critic_key = jax.random.split(key)
    actor = Actor(
        observation_size,
        action_size,
        discrete=discrete,
        width=config.width,
        depth=config.depth,
        layer_norm=True,
        key=actor_key,
    )
    critics = Critics(
        observation_size,
        action_size,
        count=config.critics,
        width=config.width,
        depth=config.depth,
        layer_norm=True,
        key=critic_key,
    )
    log_temperature = jnp.log(jnp.asarray(config.initial_temperature))
    return ValueGradientState(
        actor=actor,
        critics=critics,
        target=critics,
        log_temperature=log_temperature,
        actor_moments=_actor_optimiser(config).init(eqx.filter(actor.network, eqx.is_array)),
        critic_moments=_critic_optimiser(config).init(eqx.filter(critics.networks, eqx.is_array)),
        temperature_moments=_temperature_optimiser(config).init(log_temperature),
    )


@eqx.filter_jit
def prepare(state: ValueGradientState, inputs: Standardiser, reward_scale: Array) -> ValueGradientState:
    """Before a round of learning: the observations' standardiser and the critics' unit follow the data."""
    critics, target = state.critics.rescaled(reward_scale), state.target.rescaled(reward_scale)
    return state._replace(
        actor=eqx.tree_at(lambda a: a.inputs, state.actor, inputs),
        critics=eqx.tree_at(lambda c: c.inputs, critics, inputs),
        target=eqx.tree_at(lambda c: c.inputs, target, inputs),
    )


@eqx.filter_jit
def learn(
    state: ValueGradientState,
    model: VectorModel,
    pool: Array,
    filled: Array,
    key: Array,
    *,
    updates: int,
    config: ValueGradientConfig,
) -> tuple[ValueGradientState, dict[str, Array]]:
    """`updates` updates of critics, actor and temperature in one compiled scan.

    Args:
        pool: [P, D] states to start training rollouts from; filled: [] how many of them count.

    Returns:
        The agent afterwards and the mean of each metric over the updates.
    """

    def one(state: ValueGradientState, key: Array) -> tuple[ValueGradientState, dict[str, Array]]:
        pick_key, update_key = jax.random.split(key)
        start = pool[jax.random.randint(pick_key, (config.batch,), 0, filled)]
        return update(state, model, start, update_key, config)

    state, metrics = jax.lax.scan(one, state, jax.random.split(key, updates))
    return state, jax.tree.map(jnp.mean, metrics)


def update(
    state: ValueGradientState, model: VectorModel, start: Array, key: Array, config: ValueGradientConfig
) -> tuple[ValueGradientState, dict[str, Array]]:
    """One update from start states [B, D]: one imagined rollout serves the actor and the critics."""
    temperature = jnp.exp(state.log_temperature)
    (actor_loss, rollout), gradient = jax.value_and_grad(_actor_loss, has_aux=True)(
        eqx.filter(state.actor.network, eqx.is_array), state, model, start, key, temperature, config
    )
    steps, moments = _actor_optimiser(config).update(
        gradient, state.actor_moments, eqx.filter(state.actor.network, eqx.is_array)
    )
    actor = eqx.tree_at(lambda a: a.network, state.actor, eqx.apply_updates(state.actor.network, steps))

    critic_loss, critic_gradient = jax.value_and_grad(_critic_loss)(
        eqx.filter(state.critics.networks, eqx.is_array), state.critics, start, rollout.first_action, rollout.target
    )
    critic_steps, critic_moments = _critic_optimiser(config).update(critic_gradient, state.critic_moments)
    critics = eqx.tree_at(
        lambda c: c.networks, state.critics, eqx.apply_updates(state.critics.networks, critic_steps)
    )
    # d/d log(alpha) of alpha * (entropy - target): the temperature falls while there is more entropy than wanted.
    entropy = -rollout.log_probability.mean()
    temperature_gradient = temperature * (entropy - state.actor.target_entropy)
    temperature_step, temperature_moments = _temperature_optimiser(config).update(
        temperature_gradient, state.temperature_moments
    )
    after = ValueGradientState(
        actor=actor,
        critics=critics,
        target=polyak(state.target, critics, config.target_rate),
        log_temperature=optax.apply_updates(state.log_temperature, temperature_step),
        actor_moments=moments,
        critic_moments=critic_moments,
        temperature_moments=temperature_moments,
    )
    return after, {
        "actor_loss": actor_loss,
        "critic_loss": critic_loss,
        "value": rollout.target.mean() * state.critics.scale,
        "entropy": entropy,
        "temperature": temperature,
    }


class _TrainingRollout(NamedTuple):
    """What the critics need of a training rollout: first actions [B, A], their targets [B], log-probabilities [H+1, B]."""

    first_action: Array
    target: Array
    log_probability: Array


def _actor_loss(
    network: eqx.Module,
    state: ValueGradientState,
    model: VectorModel,
    start: Array,
    key: Array,
    temperature: Array,
    config: ValueGradientConfig,
) -> tuple[Array, _TrainingRollout]:
    """Minus the value J of the module's head, averaged over the batch, and the critics' part of the same rollout."""
    actor = eqx.tree_at(lambda a: a.network, state.actor, eqx.combine(network, state.actor.network))
    scale = state.critics.scale

    def step(carry: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        observation, alive = carry
        action_key, model_key = jax.random.split(key)
        action, log_probability = actor.sample(observation, action_key)
        imagined = model.sample(State(observation), action, model_key)
        after = alive * (1.0 - imagined.termination_probability)
        return (imagined.state.observation, after), (action, log_probability, imagined.reward / scale, alive)

    last_key, scan_key = jax.random.split(key)
    (observation, alive), (actions, log_probabilities, rewards, weights) = jax.lax.scan(
        step, (start, jnp.ones(start.shape[0])), jax.random.split(scan_key, config.horizon)
    )
    last_action, last_log_probability = actor.sample(observation, last_key)
    discounts = config.discount ** jnp.arange(config.horizon)[:, None]
    bonus = -temperature * log_probabilities
    tail = alive * config.discount**config.horizon
    last_bonus = -temperature * last_log_probability

    last_value = state.critics(observation, last_action).mean(0)
    value = (discounts * weights * (rewards + bonus)).sum(0) + tail * (last_value + last_bonus)

    # The critics judge the first action, so its own entropy is not part of their target.
    bonus = bonus.at[0].set(0.0)
    last_target = state.target(observation, last_action).min(0)
    target = (discounts * weights * (rewards + bonus)).sum(0) + tail * (last_target + last_bonus)
    rollout = _TrainingRollout(
        first_action=actions[0],
        target=target,
        log_probability=jnp.concatenate([log_probabilities, last_log_probability[None]]),
    )
    return -value.mean(), jax.lax.stop_gradient(rollout)


def _critic_loss(networks: eqx.Module, critics: Critics, start: Array, action: Array, target: Array) -> Array:
    critics = eqx.tree_at(lambda c: c.networks, critics, eqx.combine(networks, critics.networks))
    return jnp.square(critics(start, action) - target[None]).mean(1).sum()


def _actor_optimiser(config: ValueGradientConfig) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(config.gradient_clip), optax.adam(config.actor_learning_rate))


def _critic_optimiser(config: ValueGradientConfig) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(config.gradient_clip), optax.adam(config.critic_learning_rate))


def _temperature_optimiser(config: ValueGradientConfig) -> optax.GradientTransformation:
    return optax.adam(config.temperature_learning_rate)
