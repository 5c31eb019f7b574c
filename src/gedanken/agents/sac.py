"""Soft actor-critic (Haarnoja et al. 2018), learning from imagined transitions in the Dyna style (Janner et al. 2019).

Short rollouts branch from real states; the agent learns from batches of which most rows are imagined and a few real.
With `imagined_share` 0 it is plain SAC on paid transitions: the model-free baseline, and mode `off`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from gedanken.agents.actor_critic import Actor, Critics
from gedanken.agents.learner import ActorCritic, ActorCriticConfig, ActorCriticLearner, Progress, advance, prepare
from gedanken.dreams.rollout import Buffer, Transitions, empty_buffer, flatten, imagine, pack, sample_rows
from gedanken.dreams.truncation import Truncation
from gedanken.errors import ConfigError
from gedanken.models.contract import State, VectorModel
from gedanken.models.data import TransitionTable


@dataclass(frozen=True)
class SACConfig(ActorCriticConfig):
    """How SAC learns."""

    imagined_share: float = 0.95
    """share of each batch that is imagined; 0 is model-free SAC"""
    horizon: int = 5
    """steps of an imagined rollout"""
    starts: int = 400
    """real states that each imagined rollout starts from"""
    buffer: int = 100_000
    """imagined transitions kept, the latest"""
    chunk: int = 50
    """updates between two imagined rollouts"""
    gradient_clip: float | None = None
    """largest global norm of a gradient; SAC does not clip"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.imagined_share <= 1:
            raise ConfigError("The imagined share is no share.", given=self.imagined_share, expected="0 to 1")
        for name in ("horizon", "starts", "buffer", "chunk"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` of the agent is too small.", given=getattr(self, name), expected=">= 1")

    @property
    def imagined_rows(self) -> int:
        """Rows of a batch that are imagined."""
        return round(self.imagined_share * self.batch)


@dataclass(frozen=True)
class SAC(ActorCriticLearner):
    """The learner. Its state is an `ActorCritic`; between two rounds nothing else is kept."""

    config: SACConfig = field(default_factory=SACConfig)
    name: ClassVar[str] = "sac"

    def learn(
        self,
        state: ActorCritic,
        model: VectorModel | None,
        table: TransitionTable,
        *,
        truncation: Truncation,
        updates: int,
        key: Array,
        on_chunk: Callable[[int, Progress], None] | None = None,
    ) -> tuple[ActorCritic, Progress]:
        """Imagined rollouts and updates in turn, `config.chunk` updates at a time; no model is asked at share 0."""
        config = self.config
        if model is None and config.imagined_rows:
            raise ConfigError("Imagined rows need a model.", given="none", do="give one, or set imagined_share=0.")
        state = prepare(state, table, config.discount)
        paid = paid_transitions(table)
        dreamt = empty_buffer(jax.tree.map(lambda x: x[:1], paid.items), config.buffer)
        done, imagined, metrics = 0, 0, {}
        while done < updates:
            key, rollout_key, learn_key = jax.random.split(key, 3)
            if config.imagined_rows and model is not None:
                dreamt, steps = _rollout(dreamt, state.actor, model, paid, truncation, rollout_key, config)
                imagined += int(steps)
            state, means = learn(state, paid, dreamt, learn_key, config=config)
            done += config.chunk
            metrics = {name: float(value) for name, value in means.items()}
            if on_chunk is not None:
                on_chunk(done, Progress(metrics, imagined))
        return state, Progress(metrics, imagined)

    def model_free(self) -> SAC:
        """Plain SAC."""
        return SAC(dataclasses.replace(self.config, imagined_share=0.0))


def paid_transitions(table: TransitionTable) -> Buffer:
    """All paid transitions as a buffer on the device."""
    c = table.columns
    columns = (c.observation, c.action, c.reward, c.terminated, c.next_observation)
    items = Transitions(*(jnp.asarray(column) for column in columns))
    size = jnp.asarray(table.size, jnp.int32)
    return Buffer(items, cursor=size % table.capacity, size=size)


@eqx.filter_jit
def _rollout(
    dreamt: Buffer,
    actor: Actor,
    model: VectorModel,
    paid: Buffer,
    truncation: Truncation,
    key: Array,
    config: SACConfig,
) -> tuple[Buffer, Array]:
    """Adds imagined transitions of the present policy, from real states on; also says how many."""
    start_key, rollout_key = jax.random.split(key)
    start = sample_rows(paid, start_key, config.starts).observation
    rollout = imagine(
        model,
        lambda observation, k: actor.sample(observation, k)[0],
        State(start),
        rollout_key,
        horizon=config.horizon,
        truncation=truncation,
    )
    transitions, valid = flatten(rollout)
    return pack(dreamt, transitions, valid), valid.sum()


@eqx.filter_jit
def learn(
    state: ActorCritic, paid: Buffer, dreamt: Buffer, key: Array, *, config: SACConfig
) -> tuple[ActorCritic, dict[str, Array]]:
    """`config.chunk` updates in one scan; metrics are means over the updates."""
    # Drawn for all updates at once: random numbers are cheaper by the thousand than one small batch at a time.
    rows_key, noise_key = jax.random.split(key)
    rows = _batches(paid, dreamt, rows_key, config)
    noise = state.actor.noise(noise_key, (config.chunk, 2, config.batch))

    def one(state: ActorCritic, drawn: tuple[Transitions, Array]) -> tuple[ActorCritic, dict[str, Array]]:
        return update(state, *drawn, config)

    state, metrics = jax.lax.scan(one, state, (rows, noise))
    return state, jax.tree.map(jnp.mean, metrics)


def _batches(paid: Buffer, dreamt: Buffer, key: Array, config: SACConfig) -> Transitions:
    """The rows of `config.chunk` updates, leaves [chunk, batch, ...]; the first ones of each batch are imagined."""
    paid_key, dreamt_key, instead_key = jax.random.split(key, 3)

    def draw(buffer: Buffer, key: Array, count: int) -> Transitions:
        rows = sample_rows(buffer, key, config.chunk * count)
        shaped: Transitions = jax.tree.map(lambda x: x.reshape(config.chunk, count, *x.shape[1:]), rows)
        return shaped

    imagined = config.imagined_rows
    if imagined == 0:
        return draw(paid, paid_key, config.batch)
    # While nothing valid was imagined, the imagined rows are paid ones: an empty buffer holds only padding.
    dream = jax.tree.map(
        partial(jnp.where, dreamt.size > 0), draw(dreamt, dreamt_key, imagined), draw(paid, instead_key, imagined)
    )
    if imagined == config.batch:
        return cast(Transitions, dream)
    real = draw(paid, paid_key, config.batch - imagined)
    mixed: Transitions = jax.tree.map(lambda d, r: jnp.concatenate([d, r], axis=1), dream, real)
    return mixed


def update(
    state: ActorCritic, rows: Transitions, noise: Array, config: SACConfig
) -> tuple[ActorCritic, dict[str, Array]]:
    """One SAC update of critics, actor and temperature from B transitions and the noise of two actions, [2, B, A]."""
    temperature = jnp.exp(state.log_temperature)
    next_action, next_log_probability = state.actor.act(rows.next_observation, noise[0])
    next_value = state.target.target(rows.next_observation, next_action) - temperature * next_log_probability
    target = rows.reward / state.critics.scale + config.discount * (1.0 - rows.terminated) * next_value
    critic_loss, critic_gradient = jax.value_and_grad(_critic_loss)(
        eqx.filter(state.critics.networks, eqx.is_array), state.critics, rows, target
    )
    (actor_loss, entropy), actor_gradient = jax.value_and_grad(_actor_loss, has_aux=True)(
        eqx.filter(state.actor.network, eqx.is_array), state, rows.observation, noise[1]
    )
    after = advance(state, config, actor_gradient=actor_gradient, critic_gradient=critic_gradient, entropy=entropy)
    return after, {
        "actor_loss": actor_loss,
        "critic_loss": critic_loss,
        "value": target.mean() * state.critics.scale,
        "entropy": entropy,
        "temperature": temperature,
    }


def _critic_loss(networks: Any, critics: Critics, rows: Transitions, target: Array) -> Array:
    critics = eqx.tree_at(lambda c: c.networks, critics, eqx.combine(networks, critics.networks))
    return jnp.square(critics(rows.observation, rows.action) - target[None]).mean(1).sum()


def _actor_loss(network: Any, state: ActorCritic, observation: Array, noise: Array) -> tuple[Array, Array]:
    """Minus the soft value of the policy's actions; also its entropy over the batch."""
    actor = eqx.tree_at(lambda a: a.network, state.actor, eqx.combine(network, state.actor.network))
    action, log_probability = actor.act(observation, noise)
    value = state.critics(observation, action).min(0)
    loss = (jnp.exp(state.log_temperature) * log_probability - value).mean()
    return loss, -jax.lax.stop_gradient(log_probability.mean())
