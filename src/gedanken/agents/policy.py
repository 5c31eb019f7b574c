"""A learned actor as an agent of a world: raw observations in, raw actions out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import equinox as eqx
import jax
import numpy as np
from jax import Array

from gedanken.agents.actor_critic import ACTIVATIONS, Actor
from gedanken.errors import ConfigError
from gedanken.experience.codec import Codec
from gedanken.experience.spaces import space_from_json, space_to_json
from gedanken.models.files import read_meta, read_tree, write_tree

KIND = "policy"


class Greedy(eqx.Module):
    """An actor's most likely action as a pure policy (observation [B, D], key) -> encoded action [B, A].

    A module, so that a program compiled for one set of weights serves the next.
    """

    actor: Actor

    def __call__(self, observation: Array, _: Array) -> Array:
        return self.actor.mode(observation)


class Drawn(eqx.Module):
    """An actor's own draws as a pure policy, with the log-probability of any action: it explores like the agent."""

    actor: Actor

    def __call__(self, observation: Array, key: Array) -> Array:
        return self.actor.sample(observation, key)[0]

    def log_probability(self, observation: Array, action: Array) -> Array:
        """[B, D], [B, A] -> [B]."""
        return self.actor.log_probability(observation, action)


@dataclass(frozen=True)
class PolicyAgent:
    """An `Agent` made of an `Actor` and the codec of its world."""

    actor: Actor
    codec: Codec

    @cached_property
    def id(self) -> str:
        """`policy-` and the first 12 hex digits of a hash over every parameter."""
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves(eqx.filter(self.actor, eqx.is_array)):
            digest.update(np.asarray(leaf).tobytes())
        return f"{KIND}-{digest.hexdigest()[:12]}"

    @property
    def greedy(self) -> Greedy:
        """How it acts without a seed, as a pure policy for imagined rollouts."""
        return Greedy(self.actor)

    @property
    def drawn(self) -> Drawn:
        """How it acts with a seed, as a pure policy with log-probabilities."""
        return Drawn(self.actor)

    def act(self, observation: Any, *, seed: int | None = None) -> Any:
        """The most likely action, or with a seed one drawn from the policy.

        Raises:
            ConfigError: the observation is not finite or of another shape.
        """
        if seed is None:
            return self.codec.decode_action(_mode(self.actor, self.read(observation)))
        return self.explore(observation, jax.random.key(seed))[0]

    def explore(self, observation: Any, key: Array, step: int = 0) -> tuple[Any, float]:
        """An action drawn from the policy with `key` folded with `step`, and its log-probability."""
        action, log_probability = _sample(self.actor, self.read(observation), key, np.int32(step))
        return self.codec.decode_action(action), float(log_probability)

    def read(self, observation: Any) -> np.ndarray:
        """An observation as the actor sees it, [D].

        Raises:
            ConfigError: it is not finite or of another shape.
        """
        encoded = self.codec.encode_observations(observation)
        if encoded.ndim != 1 or not np.isfinite(encoded).all():
            raise ConfigError(
                "The policy cannot act on this.",
                given=repr(observation)[:200],
                expected=f"one finite observation of {self.codec.observation_space}",
            )
        return encoded

    def save(self, folder: Path) -> None:
        """Writes the parameters and the world's spaces."""
        network = self.actor.network
        meta = {
            "observation_space": space_to_json(self.codec.observation_space),
            "action_space": space_to_json(self.codec.action_space),
            "width": int(network.layers[0].weight.shape[1]),
            "depth": len(network.layers) - 1,
            "layer_norm": bool(network.norms),
            "activation": next(name for name, function in ACTIVATIONS.items() if function is network.activation),
            "id": self.id,
        }
        write_tree(folder, eqx.filter(self.actor, eqx.is_array), kind=KIND, meta=meta)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            FileError: a file is missing, damaged, tampered with or of another version.
        """
        meta = read_meta(folder, kind=KIND)
        codec = Codec(space_from_json(meta["observation_space"]), space_from_json(meta["action_space"]))
        actor = Actor(
            codec.observation_size,
            codec.action_size,
            discrete=codec.choices > 0,
            width=meta["width"],
            depth=meta["depth"],
            layer_norm=meta["layer_norm"],
            activation=meta["activation"],
            key=jax.random.key(0),
        )
        arrays, rest = eqx.partition(actor, eqx.is_array)
        return cls(eqx.combine(read_tree(folder, arrays, kind=KIND), rest), codec)


@eqx.filter_jit
def _mode(actor: Actor, observation: Any) -> Array:
    return actor.mode(observation[None])[0]


@eqx.filter_jit
def _sample(actor: Actor, observation: Any, key: Array, step: Any) -> tuple[Array, Array]:
    action, log_probability = actor.sample(observation[None], jax.random.fold_in(key, step))
    return action[0], log_probability[0]
