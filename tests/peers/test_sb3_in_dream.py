"""Stable-Baselines3 trains in a dream: in one dream unchanged, in a vector of dreams behind a thin adapter."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from gedanken.dreams import DreamEnv, DreamVectorEnv
from gedanken.experience.codec import Codec
from gedanken.models.contract import VectorModel
from tests.fakes import AnalyticEnv, double_integrator, falling_pole

pytestmark = pytest.mark.peers

HORIZON = 30


def codec(*, discrete: bool) -> Codec:
    return AnalyticEnv(discrete=discrete).codec


def model(*, discrete: bool) -> VectorModel:
    return falling_pole() if discrete else double_integrator(noise=0.01)


def dream(*, discrete: bool = False) -> DreamEnv:
    return DreamEnv(model(discrete=discrete), codec(discrete=discrete), horizon=HORIZON)


def dreams(count: int, *, discrete: bool = False) -> Any:
    """A vector of dreams as the vector env of Stable-Baselines3, which has its own interface for these."""
    from stable_baselines3.common.vec_env import VecEnv

    class Dreams(VecEnv):
        def __init__(self, inner: DreamVectorEnv) -> None:
            self.inner, self.actions = inner, np.empty(0)
            super().__init__(inner.num_envs, inner.single_observation_space, inner.single_action_space)

        def reset(self) -> np.ndarray:
            observation, _ = self.inner.reset(seed=self._seeds[0])
            return np.asarray(observation)

        def step_async(self, actions: np.ndarray) -> None:
            self.actions = actions

        def step_wait(self) -> Any:
            observation, reward, terminated, truncated, info = self.inner.step(self.actions)
            over = terminated | truncated
            infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
            for number in np.flatnonzero(over):
                infos[number] = {
                    "terminal_observation": info["final_obs"][number],
                    "TimeLimit.truncated": bool(truncated[number] and not terminated[number]),
                }
            return observation, reward, over, infos

        def close(self) -> None:
            self.inner.close()

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [getattr(self.inner, attr_name)] * len(list(self._get_indices(indices)))

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            setattr(self.inner, attr_name, value)

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
            return [getattr(self.inner, method_name)(*args, **kwargs)]

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * len(list(self._get_indices(indices)))

    return Dreams(DreamVectorEnv(model(discrete=discrete), codec(discrete=discrete), count, horizon=HORIZON))


def real_return(policy: Any, *, discrete: bool, episodes: int = 10) -> float:
    """The mean return in the world that the model is a model of."""
    total, world = 0.0, AnalyticEnv(model(discrete=discrete), discrete=discrete, horizon=HORIZON)
    for seed in range(episodes):
        observation, _ = world.reset(seed=seed)
        over = False
        while not over:
            action, _ = policy.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, _ = world.step(action)
            total, over = total + reward, terminated or truncated
    return total / episodes


@pytest.mark.filterwarnings("ignore")
def test_its_own_check_finds_nothing_wrong() -> None:
    from stable_baselines3.common.env_checker import check_env

    for discrete in (False, True):
        check_env(dream(discrete=discrete), warn=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("vector", [False, True])
def test_sac_learns_in_it_what_holds_in_the_world(vector: bool) -> None:
    import torch
    from stable_baselines3 import SAC

    torch.set_num_threads(1)
    env = dreams(4) if vector else dream()
    settings: dict[str, Any] = {"policy_kwargs": {"net_arch": [32, 32]}, "batch_size": 64, "learning_rate": 3e-3}
    agent = SAC("MlpPolicy", env, learning_starts=200, seed=0, gradient_steps=-1, **settings)
    before = real_return(agent, discrete=False)
    agent.learn(2_000)
    assert agent.num_timesteps >= 2_000
    assert real_return(agent, discrete=False) > 0.5 * before, "returns are negative: half the cost"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("vector", [False, True])
def test_ppo_learns_in_it_what_holds_in_the_world(vector: bool) -> None:
    import torch
    from stable_baselines3 import PPO

    torch.set_num_threads(1)
    env = dreams(8, discrete=True) if vector else dream(discrete=True)
    settings: dict[str, Any] = {"batch_size": 64, "learning_rate": 3e-3, "policy_kwargs": {"net_arch": [32]}}
    agent = PPO("MlpPolicy", env, n_steps=32 if vector else 256, seed=0, **settings)
    before = real_return(agent, discrete=True)
    agent.learn(5_000)
    after = real_return(agent, discrete=True)
    assert after > 0.8 * HORIZON and after > before


@pytest.mark.filterwarnings("ignore")
def test_a_vector_made_by_it_of_single_dreams_works_too() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    envs = make_vec_env(lambda: gym.wrappers.RecordEpisodeStatistics(dream(discrete=True)), n_envs=2)
    agent = PPO("MlpPolicy", envs, n_steps=32, batch_size=32, seed=0).learn(128)
    assert agent.num_timesteps == 128
