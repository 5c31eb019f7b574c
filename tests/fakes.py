"""A world and a model of it whose every answer is known in closed form, for tests of what is built on models.

The system is linear: next = observation @ transition + action @ control + noise * N(0, 1). Its reward is
`alive` minus a quadratic penalty; an episode terminates where the first coordinate leaves [-limit, limit].
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Self

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from gedanken.experience.codec import Codec
from gedanken.models.contract import Imagined, Members, State
from gedanken.models.data import Columns, TransitionTable


class AnalyticModel(eqx.Module):
    """A `VectorModel` of the linear system. M members disagree by a chosen amount; their mean is the truth.

    Member m says truth + offsets[m] * spread * (1 + growth * |observation|) in every dimension. `offsets` has mean 0
    and standard deviation 1, so the epistemic standard deviation is exactly spread * (1 + growth * |observation|).
    """

    transition: jax.Array  # [D, D]
    control: jax.Array  # [A, D]
    noise: jax.Array  # [D]
    state_weight: jax.Array  # [D]
    action_weight: jax.Array  # [A]
    alive: jax.Array  # []
    limit: jax.Array  # []
    start_std: jax.Array  # [D]
    offsets: jax.Array  # [M]
    spread: jax.Array  # []
    growth: jax.Array  # []
    observation_size: int = eqx.field(static=True)
    action_size: int = eqx.field(static=True)

    @classmethod
    def create(
        cls,
        transition: Any,
        control: Any,
        *,
        noise: float = 0.0,
        state_weight: Any = 1.0,
        action_weight: float = 0.1,
        alive: float = 0.0,
        limit: float = 1e6,
        start_std: float = 1.0,
        members: int = 5,
        spread: float = 0.0,
        growth: float = 0.0,
    ) -> Self:
        transition, control = jnp.asarray(transition, jnp.float32), jnp.asarray(control, jnp.float32)
        observation_size, action_size = transition.shape[0], control.shape[0]
        offsets = np.linspace(-1.0, 1.0, members) if members > 1 else np.zeros(1)
        offsets = offsets / max(float(offsets.std()), 1e-12)

        def fill(value: Any, size: int) -> jax.Array:
            return jnp.broadcast_to(jnp.asarray(value, jnp.float32), (size,))

        return cls(
            transition=transition,
            control=control,
            noise=fill(noise, observation_size),
            state_weight=fill(state_weight, observation_size),
            action_weight=fill(action_weight, action_size),
            alive=jnp.float32(alive),
            limit=jnp.float32(limit),
            start_std=fill(start_std, observation_size),
            offsets=jnp.asarray(offsets, jnp.float32),
            spread=jnp.float32(spread),
            growth=jnp.float32(growth),
            observation_size=observation_size,
            action_size=action_size,
        )

    @property
    def id(self) -> str:
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves(self):
            digest.update(np.asarray(leaf).tobytes())
        return f"analytic-{digest.hexdigest()[:12]}"

    def start(self, tasks: Any, key: jax.Array, *, batch: int) -> State:
        """`tasks` may be None or {"scale": factor of the spread of initial states}."""
        scale = 1.0 if tasks is None else tasks["scale"]
        return State(scale * self.start_std * jax.random.normal(key, (batch, self.observation_size)))

    def members(self, state: State, action: Any) -> Members:
        mean = self.truth(state.observation, action)
        away = self.offsets[:, None, None] * self.epistemic(state.observation)[None, :, None]
        mean = mean[None] + away
        return Members(mean, jnp.broadcast_to(self.noise, mean.shape))

    def step(self, state: State, action: Any, key: jax.Array) -> Imagined:
        noise_key, rest_key = jax.random.split(key)
        mean = self.truth(state.observation, action)
        following = mean + self.noise * jax.random.normal(noise_key, mean.shape)
        epistemic = jnp.broadcast_to(self.epistemic(state.observation)[:, None], mean.shape)
        aleatoric = jnp.broadcast_to(self.noise, mean.shape)
        return self.conclude(state, action, following, rest_key)._replace(
            epistemic=epistemic, aleatoric=aleatoric, confidence=1.0 / (1.0 + self.epistemic(state.observation))
        )

    def sample(self, state: State, action: Any, key: jax.Array) -> Imagined:
        member_key, noise_key, rest_key = jax.random.split(key, 3)
        said = self.members(state, action)
        batch = said.mean.shape[1]
        chosen = jax.random.randint(member_key, (batch,), 0, said.mean.shape[0])
        mean = said.mean[chosen, jnp.arange(batch)]
        following = mean + self.noise * jax.random.normal(noise_key, mean.shape)
        return self.conclude(state, action, following, rest_key)

    def conclude(self, state: State, action: Any, next_observation: Any, key: jax.Array) -> Imagined:
        terminated = jnp.abs(next_observation[:, 0]) > self.limit
        batch = next_observation.shape[0]
        return Imagined(
            state=State(next_observation, state.memory),
            reward=self.reward(state.observation, action),
            terminated=terminated,
            termination_probability=terminated.astype(jnp.float32),
            cost={"steps": jnp.ones(batch)},
            epistemic=jnp.full_like(next_observation, jnp.nan),
            aleatoric=jnp.full_like(next_observation, jnp.nan),
            confidence=jnp.full(batch, jnp.nan),
        )

    def truth(self, observation: jax.Array, action: jax.Array) -> jax.Array:
        """[B, D], [B, A] -> [B, D]: the expected next observation of the real system."""
        return observation @ self.transition + action @ self.control

    def reward(self, observation: jax.Array, action: jax.Array) -> jax.Array:
        """[B, D], [B, A] -> [B]."""
        penalty = (self.state_weight * observation**2).sum(-1) + (self.action_weight * action**2).sum(-1)
        return self.alive - penalty

    def epistemic(self, observation: jax.Array) -> jax.Array:
        """[B, D] -> [B]: the standard deviation of the members' means, the same in every dimension."""
        epistemic: jax.Array = self.spread * (1.0 + self.growth * jnp.linalg.norm(observation, axis=-1))
        return epistemic

    def save(self, folder: Path) -> None:
        from gedanken.models.files import write_tree

        sizes = {
            "members": int(self.offsets.shape[0]),
            "observation": self.observation_size,
            "action": self.action_size,
        }
        write_tree(folder, self, kind="analytic", meta=sizes)

    @classmethod
    def load(cls, folder: Path) -> Self:
        from gedanken.models.files import read_meta, read_tree

        sizes = read_meta(folder, kind="analytic")
        template = cls.create(
            jnp.zeros((sizes["observation"], sizes["observation"])),
            jnp.zeros((sizes["action"], sizes["observation"])),
            members=sizes["members"],
        )
        return read_tree(folder, template, kind="analytic")


def double_integrator(**changes: Any) -> AnalyticModel:
    """Position and velocity pushed by one action in [-1, 1] (D = 2, A = 1), time step 0.1, slightly damped."""
    return AnalyticModel.create([[1.0, 0.0], [0.1, 0.98]], [[0.0, 0.5]], **changes)


def falling_pole(**changes: Any) -> AnalyticModel:
    """An unstable pole pushed left or right by two choices (D = 2, A = 2), +1 a step until it falls."""
    settings = {"alive": 1.0, "limit": 0.5, "state_weight": 0.0, "action_weight": 0.0, "start_std": 0.05, **changes}
    return AnalyticModel.create([[1.0, 0.3], [0.1, 1.0]], [[0.0, -0.2], [0.0, 0.2]], **settings)


def paid_steps(model: AnalyticModel, *, reach: float = 1.0, count: int = 500) -> TransitionTable:
    """Transitions of the model's own world, from states all over [-reach, reach], by random actions of its kind."""
    draws = np.random.default_rng(0)
    observation = draws.uniform(-reach, reach, (count, model.observation_size)).astype(np.float32)
    action = draws.uniform(-1, 1, (count, model.action_size)).astype(np.float32)
    if model.action_size > 1:
        action = np.eye(model.action_size, dtype=np.float32)[action.argmax(-1)]
    imagined = model.sample(State(jnp.asarray(observation)), jnp.asarray(action), jax.random.key(0))
    table = TransitionTable(512, model.observation_size, model.action_size, ())
    table.add(
        Columns(
            observation=observation,
            action=action,
            reward=np.asarray(imagined.reward),
            terminated=np.asarray(imagined.terminated),
            next_observation=np.asarray(imagined.state.observation),
            cost=np.zeros((count, 0), np.float32),
            episode=np.arange(count, dtype=np.int32),
            held_out=np.zeros(count, bool),
        )
    )
    return table


class AnalyticEnv(gym.Env[np.ndarray, Any]):
    """The linear system as a real environment, computed in NumPy. `discrete` picks the kind of its actions.

    Continuous actions are raw in [-action_limit, action_limit] and reach the system scaled to [-1, 1].
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        model: AnalyticModel | None = None,
        *,
        discrete: bool = False,
        horizon: int = 200,
        action_limit: float = 2.0,
    ) -> None:
        model = model if model is not None else (falling_pole() if discrete else double_integrator())
        self.system = model
        self.horizon = horizon
        self._transition, self._control = np.asarray(model.transition), np.asarray(model.control)
        self._noise, self._limit, self._alive = np.asarray(model.noise), float(model.limit), float(model.alive)
        self._state_weight, self._action_weight = np.asarray(model.state_weight), np.asarray(model.action_weight)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (model.observation_size,), np.float32)
        self.action_space = (
            gym.spaces.Discrete(model.action_size)
            if discrete
            else gym.spaces.Box(-action_limit, action_limit, (model.action_size,), np.float32)
        )
        self.codec = Codec(self.observation_space, self.action_space)
        self._observation = np.zeros(model.observation_size, np.float32)
        self._age = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        scale = float((options or {}).get("task", {}).get("scale", 1.0))
        start_std = np.asarray(self.system.start_std)
        self._observation = (scale * start_std * self.np_random.standard_normal(len(start_std))).astype(np.float32)
        self._age = 0
        return self._observation.copy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        encoded = self.codec.encode_actions(action)
        penalty = (self._state_weight * self._observation**2).sum() + (self._action_weight * encoded**2).sum()
        reward = float(self._alive - penalty)
        mean = self._observation @ self._transition + encoded @ self._control
        self._observation = (mean + self._noise * self.np_random.standard_normal(len(mean))).astype(np.float32)
        self._age += 1
        terminated = bool(abs(self._observation[0]) > self._limit)
        return self._observation.copy(), reward, terminated, self._age >= self.horizon, {}
