"""The ensemble world model for vectors: probabilistic Dynamics, Reward with learned termination, Tasks."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gedanken.errors import ConfigError, FileError
from gedanken.models.calibration import Calibration
from gedanken.models.contract import Imagined, Members, State
from gedanken.models.dynamics import Dynamics, in_blocks, uncertainty
from gedanken.models.files import read_meta, read_tree, write_tree
from gedanken.models.reward import Brought, Reward, RewardFunction, TerminationFunction
from gedanken.models.tasks import Tasks

KIND = "ensemble"
BLOCK = 5_000
"""Rows that `sample` imagines at a time: with five members, the activations of their 1,000 rows stay in the cache."""


@dataclass(frozen=True)
class EnsembleConfig:
    """The architecture of an `Ensemble`."""

    members: int = 5
    """networks in the dynamics, and in the reward"""
    width: int = 200
    """units of each hidden layer of the dynamics"""
    depth: int = 3
    """hidden layers of the dynamics"""
    layer_norm: bool = True
    """normalise hidden layers of the dynamics"""
    predict: Literal["delta", "direct"] = "delta"
    """whether members predict the change of the observation or the next observation itself"""
    reward_width: int = 128
    """units of each hidden layer of the reward"""
    reward_depth: int = 2
    """hidden layers of the reward"""

    def __post_init__(self) -> None:
        for name in ("members", "width", "depth", "reward_width", "reward_depth"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` of the ensemble is too small.", given=getattr(self, name), expected=">= 1")
        if self.predict not in ("delta", "direct"):
            raise ConfigError("The ensemble cannot predict this.", given=self.predict, expected="delta or direct")


class Ensemble(eqx.Module):
    """A `VectorModel` made of M Gaussian members. All methods are pure, batched and free of recompilation."""

    dynamics: Dynamics
    reward: Reward
    tasks: Tasks
    calibration: Calibration
    config: EnsembleConfig = eqx.field(static=True)
    observation_size: int = eqx.field(static=True)
    action_size: int = eqx.field(static=True)
    resources: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        resources: tuple[str, ...] = (),
        config: EnsembleConfig | None = None,
        *,
        key: Array,
        reward_function: RewardFunction | None = None,
        termination_function: TerminationFunction | None = None,
    ) -> None:
        config = config or EnsembleConfig()
        dynamics_key, reward_key = jax.random.split(key)
        self.dynamics = Dynamics(
            observation_size,
            action_size,
            members=config.members,
            width=config.width,
            depth=config.depth,
            layer_norm=config.layer_norm,
            direct=config.predict == "direct",
            key=dynamics_key,
        )
        self.reward = Reward(
            observation_size,
            action_size,
            len(resources),
            members=config.members,
            width=config.reward_width,
            depth=config.reward_depth,
            key=reward_key,
            reward_function=reward_function,
            termination_function=termination_function,
        )
        self.tasks = Tasks.unknown(observation_size)
        self.calibration = Calibration.none(observation_size)
        self.config = config
        self.observation_size = observation_size
        self.action_size = action_size
        self.resources = resources

    @property
    def id(self) -> str:
        """`ensemble-` and the first 12 hex digits of a hash over every parameter."""
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves(eqx.filter(self, eqx.is_array)):
            digest.update(np.asarray(leaf).tobytes())
        return f"{KIND}-{digest.hexdigest()[:12]}"

    def start(self, tasks: Any, key: Array, *, batch: int) -> State:
        """Draws initial observations [batch, D] from the learned density; `tasks` is a task's mapping, or None."""
        task = None if tasks is None else self.tasks.index(tasks)
        return State(self.tasks.sample(key, batch, task=task))

    def members(self, state: State, action: Array) -> Members:
        """Every member's Gaussian over the next observation."""
        return Members(*self.dynamics.all_members(state.observation, action))

    def sample(self, state: State, action: Array, key: Array) -> Imagined:
        """One step with one member a row, noise drawn from its Gaussian (PETS' TS1)."""
        noise_key, draw_key, end_key = jax.random.split(key, 3)
        # Before the blocks, and as the operand of a product: so XLA computes the noise by itself, and not again, more
        # slowly, within everything that uses it. That is worth 10 to 20 % of the whole step.
        noise = jax.random.normal(noise_key, state.observation.shape) @ jnp.eye(self.observation_size)
        rows = (state.observation, action, noise)
        next_observation, brought = in_blocks(self._draw, rows, draw_key, block=BLOCK)
        return self._imagined(next_observation, brought, end_key)

    def _draw(self, rows: tuple[Array, Array, Array], key: Array) -> tuple[Array, Brought]:
        """Next observation and what the step brings, every row from one member: by the same key, the same in both."""
        observation, action, noise = rows
        mean, std = self.dynamics.one_each(observation, action, key)
        next_observation = mean + std * noise
        return next_observation, self.reward.one_each(observation, action, next_observation, key)

    def step(self, state: State, action: Array, key: Array) -> Imagined:
        """One step with every member asked: drawn from one of them, with calibrated uncertainty beside it."""
        member_key, noise_key, rest_key = jax.random.split(key, 3)
        mean, std = self.members(state, action)
        pick = jax.random.randint(member_key, (1, mean.shape[1], 1), 0, self.config.members)
        noise = jax.random.normal(noise_key, mean.shape[1:])
        chosen = jnp.take_along_axis(mean, pick, 0)[0] + jnp.take_along_axis(std, pick, 0)[0] * noise
        epistemic, aleatoric = uncertainty(mean, std)
        imagined = self.conclude(state, action, chosen, rest_key)
        return imagined._replace(
            epistemic=epistemic,
            aleatoric=aleatoric,
            confidence=self.calibration.confidence(epistemic, aleatoric),
        )

    def conclude(self, state: State, action: Array, next_observation: Array, key: Array) -> Imagined:
        """Reward, termination and cost of a step whose next observation is given."""
        reward_key, end_key = jax.random.split(key)
        brought = self.reward.one_each(state.observation, action, next_observation, reward_key)
        return self._imagined(next_observation, brought, end_key)

    def _imagined(self, next_observation: Array, brought: Brought, end_key: Array) -> Imagined:
        """The step as the contract wants it, with the end drawn and uncertainties not known."""
        unknown = jnp.full_like(next_observation, jnp.nan)
        return Imagined(
            state=State(next_observation),
            reward=brought.reward,
            terminated=jax.random.uniform(end_key, brought.reward.shape) < brought.termination_probability,
            termination_probability=brought.termination_probability,
            cost={name: brought.cost[:, index] for index, name in enumerate(self.resources)},
            epistemic=unknown,
            aleatoric=unknown,
            confidence=unknown[:, 0],
        )

    def interval(self, state: State, action: Array, level: float) -> tuple[Array, Array]:
        """Conformal interval [B, D] of the next observation at one of `LEVELS`; infinite where not known."""
        mean, std = self.members(state, action)
        half = self.calibration.half_width(*uncertainty(mean, std), level)
        return mean.mean(0) - half, mean.mean(0) + half

    def save(self, folder: Path) -> None:
        """Writes the parameters and what is needed to rebuild the model. Functions given by the user are not saved."""
        meta = {
            "config": asdict(self.config),
            "observation_size": self.observation_size,
            "action_size": self.action_size,
            "resources": list(self.resources),
            "tasks": list(self.tasks.names),
            "id": self.id,
            "user_reward": self.reward.reward_function is not None,
            "user_termination": self.reward.termination_function is not None,
        }
        write_tree(folder, eqx.filter(self, eqx.is_array), kind=KIND, meta=meta)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        reward_function: RewardFunction | None = None,
        termination_function: TerminationFunction | None = None,
    ) -> Self:
        """Reads a saved ensemble; functions the user gave at the time must be given again.

        Raises:
            FileError: a file is missing, damaged, tampered with or of another version.
            ConfigError: the model was fitted with a user's function that is not given now.
        """
        meta = read_meta(folder, kind=KIND)
        for asked, given, name in (
            (meta["user_reward"], reward_function, "reward_function"),
            (meta["user_termination"], termination_function, "termination_function"),
        ):
            if asked and given is None:
                raise ConfigError(
                    f"This model was fitted with a {name} of the user's.", given="none", do=f"pass {name}= to load."
                )
        try:
            config = EnsembleConfig(**meta["config"])
        except (TypeError, ConfigError) as error:
            raise FileError(
                f"The model in {folder} was written by another version.",
                given=error,
                do="read it with the release of gedanken that wrote it.",
            ) from error
        model = cls(
            meta["observation_size"],
            meta["action_size"],
            tuple(meta["resources"]),
            config,
            key=jax.random.key(0),
            reward_function=reward_function,
            termination_function=termination_function,
        )
        tasks = Tasks.unknown(model.observation_size, tuple(meta["tasks"]))
        model = eqx.tree_at(lambda m: m.tasks, model, tasks)
        arrays, rest = eqx.partition(model, eqx.is_array)
        loaded: Self = eqx.combine(read_tree(folder, arrays, kind=KIND), rest)
        return loaded
