"""The value-gradient agent: its actor learns by differentiating through short imagined rollouts.

Two horizons (Kubo, Parmas & Ishii 2025, DHMBPO): a long *distribution rollout* without gradients brings the states
that the present policy visits; from them a short *training rollout* with gradients gives the critic its target and
the actor its gradient,

    J = sum_{t<H} gamma^t c_t (r_t - alpha log pi_t) + gamma^H c_H (Q(s_H, a_H) - alpha log pi_H),

where c_t is the probability that the episode has not ended before t. Unlike a sampled end, this probability is
differentiable: in worlds whose only lesson is to stay alive it carries the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from gedanken.agents.actor_critic import Actor, Critics
from gedanken.agents.learner import ActorCritic, ActorCriticConfig, ActorCriticLearner, Progress, advance, prepare
from gedanken.dreams.rollout import Buffer, empty_buffer, flatten, imagine, pack, sample_rows
from gedanken.dreams.truncation import Truncation
from gedanken.errors import ConfigError
from gedanken.models.contract import State, VectorModel
from gedanken.models.data import TransitionTable


@dataclass(frozen=True)
class ValueGradientConfig(ActorCriticConfig):
    """How the value-gradient agent learns."""

    horizon: int = 5
    """steps of the training rollout, which is differentiated"""
    distribution_horizon: int = 20
    """steps of the distribution rollout, which is not differentiated"""
    distribution_starts: int = 512
    """real states that each distribution rollout starts from"""
    pool: int = 20_000
    """imagined states kept to start training rollouts from, the latest"""
    chunk: int = 50
    """updates between two distribution rollouts"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("horizon", "distribution_horizon", "distribution_starts", "pool", "chunk"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` of the agent is too small.", given=getattr(self, name), expected=">= 1")


@dataclass(frozen=True)
class ValueGradient(ActorCriticLearner):
    """The learner. Its state is an `ActorCritic`; between two rounds nothing else is kept."""

    config: ValueGradientConfig = field(default_factory=ValueGradientConfig)
    name: ClassVar[str] = "value_gradient"

    def learn(
        self,
        state: ActorCritic,
        model: VectorModel,
        table: TransitionTable,
        *,
        truncation: Truncation,
        updates: int,
        key: Array,
        on_chunk: Callable[[int, Progress], None] | None = None,
    ) -> tuple[ActorCritic, Progress]:
        """Distribution rollouts and updates in turn, `config.chunk` updates at a time."""
        config = self.config
        state = prepare(state, table, config.discount)
        # Imagined states are kept within a round only: the next round's model may think otherwise of them.
        pool = empty_buffer(jnp.zeros((1, table.observation_size)), config.pool)
        real = jnp.asarray(table.columns.observation)
        done, imagined, metrics = 0, 0, {}
        while done < updates:
            key, rollout_key, learn_key = jax.random.split(key, 3)
            pool, steps = _distribution_rollout(
                pool, state.actor, model, real, jnp.asarray(table.size), truncation, rollout_key, config
            )
            state, means = learn(state, model, pool, learn_key, config=config)
            done += config.chunk
            imagined += int(steps) + config.chunk * config.batch * config.horizon
            metrics = {name: float(value) for name, value in means.items()}
            metrics["distribution_length"] = float(steps) / config.distribution_starts
            if on_chunk is not None:
                on_chunk(done, Progress(metrics, imagined))
        return state, Progress(metrics, imagined)

    def model_free(self) -> None:
        """Nothing: its gradients are those of a model."""
        return


@eqx.filter_jit
def _distribution_rollout(
    pool: Buffer,
    actor: Actor,
    model: VectorModel,
    real: Array,
    size: Array,
    truncation: Truncation,
    key: Array,
    config: ValueGradientConfig,
) -> tuple[Buffer, Array]:
    """Adds the states that the policy visits, from real ones on, to the pool; also says how many steps counted."""
    start_key, rollout_key = jax.random.split(key)
    start = real[jax.random.randint(start_key, (config.distribution_starts,), 0, size)]
    rollout = imagine(
        model,
        lambda observation, k: actor.sample(observation, k)[0],
        State(start),
        rollout_key,
        horizon=config.distribution_horizon,
        truncation=truncation,
    )
    transitions, valid = flatten(rollout)
    # A state from which the rule cut at once is still one the policy visits: real starts always count.
    visited = valid.at[: config.distribution_starts].set(True)
    return pack(pool, transitions.observation, visited), valid.sum()


@eqx.filter_jit
def learn(
    state: ActorCritic, model: VectorModel, pool: Buffer, key: Array, *, config: ValueGradientConfig
) -> tuple[ActorCritic, dict[str, Array]]:
    """`config.chunk` updates in one scan, each from states drawn from the pool; metrics are means over the updates."""

    def one(state: ActorCritic, key: Array) -> tuple[ActorCritic, dict[str, Array]]:
        pick_key, update_key = jax.random.split(key)
        return update(state, model, sample_rows(pool, pick_key, config.batch), update_key, config)

    state, metrics = jax.lax.scan(one, state, jax.random.split(key, config.chunk))
    return state, jax.tree.map(jnp.mean, metrics)


def update(
    state: ActorCritic, model: VectorModel, start: Array, key: Array, config: ValueGradientConfig
) -> tuple[ActorCritic, dict[str, Array]]:
    """One update from start states [B, D]: one imagined rollout serves actor, critics and temperature."""
    (actor_loss, rollout), actor_gradient = jax.value_and_grad(_actor_loss, has_aux=True)(
        eqx.filter(state.actor.network, eqx.is_array), state, model, start, key, config
    )
    critic_loss, critic_gradient = jax.value_and_grad(_critic_loss)(
        eqx.filter(state.critics.networks, eqx.is_array), state.critics, start, rollout.first_action, rollout.target
    )
    entropy = -rollout.log_probability.mean()
    after = advance(state, config, actor_gradient=actor_gradient, critic_gradient=critic_gradient, entropy=entropy)
    return after, {
        "actor_loss": actor_loss,
        "critic_loss": critic_loss,
        "value": rollout.target.mean() * state.critics.scale,
        "entropy": entropy,
        "temperature": jnp.exp(state.log_temperature),
    }


class _TrainingRollout(NamedTuple):
    """What the critics need of a training rollout.

    first_action: [B, A]; target: [B], in the critics' unit; log_probability: [H + 1, B].
    """

    first_action: Array
    target: Array
    log_probability: Array


def _actor_loss(
    network: Any, state: ActorCritic, model: VectorModel, start: Array, key: Array, config: ValueGradientConfig
) -> tuple[Array, _TrainingRollout]:
    """Minus the value J of the module's head, averaged over the batch, and the critics' part of the same rollout."""
    actor = eqx.tree_at(lambda a: a.network, state.actor, eqx.combine(network, state.actor.network))
    temperature, scale = jnp.exp(state.log_temperature), state.critics.scale

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
    weights *= config.discount ** jnp.arange(config.horizon)[:, None]
    tail = alive * config.discount**config.horizon
    bonus = -temperature * log_probabilities
    last_bonus = -temperature * last_log_probability

    last_value = state.critics(observation, last_action).mean(0)
    value = (weights * (rewards + bonus)).sum(0) + tail * (last_value + last_bonus)

    # The critics judge the first action, so its own entropy is not part of their target.
    last_target = state.target.target(observation, last_action)
    target = (weights * (rewards + bonus.at[0].set(0.0))).sum(0) + tail * (last_target + last_bonus)
    rollout = _TrainingRollout(
        first_action=actions[0],
        target=target,
        log_probability=jnp.concatenate([log_probabilities, last_log_probability[None]]),
    )
    return -value.mean(), jax.lax.stop_gradient(rollout)


def _critic_loss(networks: Any, critics: Critics, start: Array, action: Array, target: Array) -> Array:
    critics = eqx.tree_at(lambda c: c.networks, critics, eqx.combine(networks, critics.networks))
    return jnp.square(critics(start, action) - target[None]).mean(1).sum()
