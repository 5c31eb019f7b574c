"""What the learning agents share: their parameters, how these advance by gradients, and the contract of a learner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from gedanken.agents.actor_critic import Activation, Actor, Critics, polyak
from gedanken.agents.contract import Agent
from gedanken.agents.policy import PolicyAgent
from gedanken.dreams.truncation import Truncation
from gedanken.errors import ConfigError
from gedanken.experience.codec import Codec
from gedanken.models.contract import VectorModel
from gedanken.models.data import TransitionTable
from gedanken.models.networks import Standardiser


@dataclass(frozen=True)
class ActorCriticConfig:
    """Networks and step sizes of a soft actor-critic agent."""

    width: int = 256
    """units of each hidden layer of actor and critics"""
    depth: int = 2
    """hidden layers of actor and critics"""
    critics: int = 2
    """number of critics; the target is the smallest of them"""
    layer_norm: bool = True
    """normalise hidden layers"""
    activation: Activation = "silu"
    """of hidden layers"""
    batch: int = 256
    """states in an update"""
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
    gradient_clip: float | None = 10.0
    """largest global norm of a gradient; None does not clip"""

    def __post_init__(self) -> None:
        for name in ("width", "depth", "critics", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` of the agent is too small.", given=getattr(self, name), expected=">= 1")
        if not 0 < self.discount < 1:
            raise ConfigError("The discount lies outside (0, 1).", given=self.discount, do="use 0.99, for example.")

    def actor_optimiser(self) -> optax.GradientTransformation:
        return self._adam(self.actor_learning_rate)

    def critic_optimiser(self) -> optax.GradientTransformation:
        return self._adam(self.critic_learning_rate)

    def temperature_optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.temperature_learning_rate)

    def _adam(self, rate: float) -> optax.GradientTransformation:
        adam = optax.adam(rate)
        return adam if self.gradient_clip is None else optax.chain(optax.clip_by_global_norm(self.gradient_clip), adam)


class ActorCritic(NamedTuple):
    """Everything a soft actor-critic agent has learned and needs to go on learning."""

    actor: Actor
    critics: Critics
    target: Critics
    log_temperature: Array
    actor_moments: optax.OptState
    critic_moments: optax.OptState
    temperature_moments: optax.OptState


def init(
    observation_size: int,
    action_size: int,
    *,
    discrete: bool,
    config: ActorCriticConfig,
    actor_key: Array,
    critic_key: Array,
) -> ActorCritic:
    """A fresh agent for [D] observations and [A] encoded actions."""
    shape: dict[str, Any] = {
        "width": config.width,
        "depth": config.depth,
        "layer_norm": config.layer_norm,
        "activation": config.activation,
    }
    actor = Actor(observation_size, action_size, discrete=discrete, key=actor_key, **shape)
    critics = Critics(observation_size, action_size, count=config.critics, key=critic_key, **shape)
    # Types as after an update (no weak ones), so that the first round's programs serve all later ones.
    log_temperature = jnp.log(jnp.asarray(config.initial_temperature, jnp.float32))
    return ActorCritic(
        actor=actor,
        critics=critics,
        target=critics,
        log_temperature=log_temperature,
        actor_moments=config.actor_optimiser().init(eqx.filter(actor.network, eqx.is_array)),
        critic_moments=config.critic_optimiser().init(eqx.filter(critics.networks, eqx.is_array)),
        temperature_moments=config.temperature_optimiser().init(log_temperature),
    )


def prepare(state: ActorCritic, table: TransitionTable, discount: float) -> ActorCritic:
    """Before a round of learning: what the networks read and predict is brought to the scale of the paid data.

    Observations are standardised by their mean and deviation, returns are measured in root-mean-square rewards, and
    targets are bounded by the 1 % and 99 % quantiles of the reward, for ever (and by 0, where an episode may end).
    """
    rows = table.filled()
    deviation = rows.observation.std(0)
    inputs = Standardiser(
        jnp.asarray(rows.observation.mean(0)), jnp.asarray(np.where(deviation > 1e-6, deviation, 1.0), jnp.float32)
    )
    rms = float(np.sqrt(np.square(rows.reward).mean()))
    low, high = np.quantile(rows.reward, [0.01, 0.99])
    bounds = jnp.asarray([min(low, 0.0), max(high, 0.0)], jnp.float32) / (1.0 - discount)
    return _rescale(state, inputs, jnp.asarray(rms if rms > 1e-6 else 1.0, jnp.float32), bounds)


@eqx.filter_jit
def _rescale(state: ActorCritic, inputs: Standardiser, scale: Array, bounds: Array) -> ActorCritic:
    critics, target = (
        eqx.tree_at(lambda c: (c.inputs, c.bounds), each.rescaled(scale), (inputs, bounds))
        for each in (state.critics, state.target)
    )
    return state._replace(actor=eqx.tree_at(lambda a: a.inputs, state.actor, inputs), critics=critics, target=target)


def advance(
    state: ActorCritic,
    config: ActorCriticConfig,
    *,
    actor_gradient: Any,
    critic_gradient: Any,
    entropy: Array,
) -> ActorCritic:
    """One step of every optimiser, and the target critics follow.

    Args:
        actor_gradient, critic_gradient: of `actor.network` and of `critics.networks`.
        entropy: [] the policy's entropy over the batch; the temperature falls while there is more than wanted.
    """
    actor_step, actor_moments = config.actor_optimiser().update(actor_gradient, state.actor_moments)
    critic_step, critic_moments = config.critic_optimiser().update(critic_gradient, state.critic_moments)
    # The gradient of alpha * (entropy - target entropy) in log(alpha).
    slope = jnp.exp(state.log_temperature) * (entropy - state.actor.target_entropy)
    temperature_step, temperature_moments = config.temperature_optimiser().update(slope, state.temperature_moments)
    actor = eqx.tree_at(lambda a: a.network, state.actor, eqx.apply_updates(state.actor.network, actor_step))
    critics = eqx.tree_at(lambda c: c.networks, state.critics, eqx.apply_updates(state.critics.networks, critic_step))
    return ActorCritic(
        actor=actor,
        critics=critics,
        target=polyak(state.target, critics, config.target_rate),
        log_temperature=state.log_temperature + temperature_step,
        actor_moments=actor_moments,
        critic_moments=critic_moments,
        temperature_moments=temperature_moments,
    )


class Progress(NamedTuple):
    """What a round of learning did: metrics by name, and how many steps it imagined."""

    metrics: dict[str, float]
    imagined_steps: int


@dataclass(frozen=True)
class ActorCriticLearner:
    """What the learners of an `ActorCritic` share: how it begins, and who acts by it."""

    config: ActorCriticConfig

    def init(self, observation_size: int, action_size: int, *, discrete: bool, key: Array) -> ActorCritic:
        actor_key, critic_key = jax.random.split(key)
        return init(
            observation_size,
            action_size,
            discrete=discrete,
            config=self.config,
            actor_key=actor_key,
            critic_key=critic_key,
        )

    def agent(self, state: ActorCritic, model: VectorModel | None, codec: Codec) -> PolicyAgent:  # noqa: ARG002
        """The actor; it does not ask the model any more."""
        return PolicyAgent(state.actor, codec)


@runtime_checkable
class Learner(Protocol):
    """How an agent comes to be, with its settings: a frozen dataclass behind an entry point of `gedanken.agents`.

    What it has learned, its *state*, is a pytree whose arrays keep their number and shapes: a run's checkpoint holds
    them. `ActorCritic` is an example. Where it has no arrays there is nothing to learn, and `learn` is not called.
    """

    @property
    def name(self) -> str:
        """As the configuration calls it."""

    def init(self, observation_size: int, action_size: int, *, discrete: bool, key: Array) -> Any:
        """The state of one that has learned nothing yet."""

    def learn(
        self,
        state: Any,
        model: VectorModel,
        table: TransitionTable,
        *,
        truncation: Truncation,
        updates: int,
        key: Array,
        on_chunk: Callable[[int, Progress], None] | None = None,
    ) -> tuple[Any, Progress]:
        """Learns for `updates` updates from where the real world has been.

        `on_chunk(updates so far, progress so far)` may raise to stop in between.
        """

    def agent(self, state: Any, model: VectorModel, codec: Codec) -> Agent:
        """The agent that acts by this state."""

    def model_free(self) -> Learner | None:
        """The same on paid steps alone, for modes in which nothing may be imagined; None where it needs a model."""
