"""The gate inside a run: where the mode says so, every action that is paid for passes it first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import gymnasium as gym
import jax
import numpy as np
from jax import Array

from gedanken.agents.contract import Agent
from gedanken.agents.policy import PolicyAgent
from gedanken.errors import ConfigError
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Transition
from gedanken.intermediary.decisions import DecisionLog
from gedanken.intermediary.gate import Gate, gated_policy
from gedanken.intermediary.limits import Limits
from gedanken.models.contract import VectorModel
from gedanken.worlds.act import Policy


@dataclass(frozen=True)
class GateConfig:
    """What the gate asks of an action before it is paid for (modes shadow, advise and gate)."""

    limits: Limits = field(default_factory=Limits)
    horizon: int = 20
    """steps rehearsed after the action"""
    samples: int = 64
    """imagined episodes for each candidate"""
    alternatives: int = 3
    """further actions drawn at random that may take the place of a blocked or a worse one"""
    fallback: Literal["ask", "rest"] = "ask"
    """where no candidate is admissible: ask stops the run, rest takes the middle of the action space"""

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.samples < 1 or self.alternatives < 0:
            raise ConfigError("`gate` needs horizon >= 1, samples >= 1 and alternatives >= 0.", given=self)


@dataclass(frozen=True)
class Behaviour:
    """How an episode is acted out: `policy` for `act`, its id, and `on_step`, which settles the gate's decisions."""

    policy: Policy
    policy_id: str
    on_step: Callable[[Transition], object] | None = None


def gated(
    behaviour: Behaviour,
    *,
    agent: Agent,
    model: VectorModel,
    codec: Codec,
    mode: Literal["shadow", "advise", "gate"],
    config: GateConfig,
    key: Array,
    log: DecisionLog,
) -> Behaviour:
    """The same behaviour behind a gate; decisions and what came of them go to `log`."""
    gate = Gate(
        mode=mode,
        limits=config.limits,
        model=model,
        codec=codec,
        policy=agent.greedy if isinstance(agent, PolicyAgent) else None,
        on_refusal="ask" if config.fallback == "ask" else rest(codec),
        horizon=config.horizon,
        samples=config.samples,
    )
    draws = np.random.default_rng(np.asarray(jax.random.key_data(key)))

    def others(_: Any) -> Sequence[Any]:
        return [draw(codec.action_space, draws) for _ in range(config.alternatives)]

    policy = gated_policy(gate, behaviour.policy, key, log, alternatives=others)
    return Behaviour(policy, behaviour.policy_id, on_step=policy.settle)


def draw(space: gym.Space[Any], rng: np.random.Generator) -> Any:
    """A uniformly random action of a bounded Box or a Discrete space."""
    if isinstance(space, gym.spaces.Discrete):
        return np.int64(space.start + rng.integers(space.n))
    if not isinstance(space, gym.spaces.Box):
        raise ConfigError("Only vectors and choices can be drawn.", given=space)
    return rng.uniform(space.low, space.high).astype(space.dtype)


def rest(codec: Codec) -> Any:
    """The middle of the action space; of choices, the first."""
    return codec.decode_action(np.zeros(codec.action_size, np.float32))
