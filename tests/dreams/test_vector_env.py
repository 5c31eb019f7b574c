"""The vector dream against Gymnasium's own vector environment of the same world."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from gedanken.dreams import DreamVectorEnv, Infoprop
from gedanken.errors import ConfigError, GedankenError
from gedanken.experience.codec import Codec
from gedanken.models.contract import State
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator, falling_pole


def dreams(model: AnalyticModel | None = None, count: int = 3, **settings: Any) -> DreamVectorEnv:
    return DreamVectorEnv(model or double_integrator(noise=0.1, spread=0.05), AnalyticEnv().codec, count, **settings)


def walk(env: DreamVectorEnv, steps: int, seed: int = 0) -> list[Any]:
    draws = np.random.default_rng(seed)
    told = []
    for _ in range(steps):
        answer = env.step(draws.uniform(-2, 2, (env.num_envs, 1)).astype(np.float32))
        told.append([part.tolist() for part in answer[:4]])
    return told


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
@pytest.mark.parametrize("discrete", [False, True])
def test_it_answers_as_gymnasiums_vector_env_does(mode: AutoresetMode, discrete: bool) -> None:
    # Without noise and with one start, the model and the world must agree in every number and every mask.
    model = falling_pole(start_std=0.0) if discrete else double_integrator(start_std=0.0, limit=0.3)
    world = SyncVectorEnv(
        [lambda: AnalyticEnv(model, discrete=discrete, horizon=9) for _ in range(4)], autoreset_mode=mode
    )
    ours = DreamVectorEnv(model, AnalyticEnv(model, discrete=discrete).codec, 4, horizon=9, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] is mode
    assert ours.observation_space == world.observation_space and ours.action_space == world.action_space
    np.testing.assert_allclose(ours.reset(seed=0)[0], world.reset(seed=0)[0])
    world.action_space.seed(0)
    reasons = set()
    for _ in range(40):
        actions = world.action_space.sample()
        expected, answer = world.step(actions), ours.step(actions)
        np.testing.assert_allclose(answer[0], expected[0], atol=1e-5)
        np.testing.assert_allclose(answer[1], expected[1], atol=1e-5)
        np.testing.assert_array_equal(answer[2], expected[2])
        np.testing.assert_array_equal(answer[3], expected[3])
        assert [part.dtype for part in answer[:4]] == [part.dtype for part in expected[:4]]
        over = answer[2] | answer[3]
        reasons |= {(bool(a), bool(b)) for a, b in zip(answer[2], answer[3], strict=True)}
        if mode is AutoresetMode.DISABLED and over.any():
            world.reset(options={"reset_mask": over.copy()})
            fresh, _ = ours.reset(options={"reset_mask": over.copy()})
            assert (fresh[over] == 0.0).all()
            np.testing.assert_array_equal(fresh[~over], answer[0][~over])
            assert "final_obs" not in answer[4]
        elif over.any():
            np.testing.assert_array_equal(answer[4]["_final_obs"], expected[4]["_final_obs"])
            np.testing.assert_array_equal(answer[4]["_final_info"], over)
            for row in range(4):
                if over[row]:
                    np.testing.assert_allclose(answer[4]["final_obs"][row], expected[4]["final_obs"][row], atol=1e-5)
                else:
                    assert answer[4]["final_obs"][row] is None
        else:
            assert "final_obs" not in answer[4]
    assert reasons == {(False, False), (True, False), (False, True)}, "the test must see every ending"


def test_info_has_a_row_and_a_mask_for_every_episode() -> None:
    env = dreams(double_integrator(noise=0.1, spread=0.05, limit=1.0), ask_all=True)
    env.reset(seed=0, options={"observation": np.array([[0.0, 0.0], [0.0, 0.0], [0.99, 30.0]], np.float32)})
    answer = env.step(np.zeros((3, 1), np.float32))
    info, final = answer[4], answer[4]["final_info"]
    assert answer[2].tolist() == [False, False, True]
    assert info["_confidence"].tolist() == [True, True, False] and final["_confidence"].tolist() == [False, False, True]
    np.testing.assert_allclose(final["confidence"], 1 / 1.05, rtol=1e-5)
    np.testing.assert_allclose(final["epistemic"][2], 0.05, rtol=1e-4)
    assert final["ended_by"][2] == "terminated" and info["ended_by"][:2].tolist() == ["", ""]
    assert final["cost"]["steps"].tolist() == [1.0] * 3 and final["cost"]["_steps"].tolist() == [False, False, True]
    assert info["provenance"]["model_id"].tolist() == [env.model.id] * 3
    assert info["provenance"]["source"].tolist() == ["model"] * 3


def test_cuts_truncate_single_rows() -> None:
    model = double_integrator(noise=0.1, spread=0.01, growth=1.0)
    draws = np.random.default_rng(1)
    rule = Infoprop().fit(model, 0.5 * draws.standard_normal((300, 2)), draws.uniform(-1, 1, (300, 1)))
    env = dreams(model, truncation=rule)
    env.reset(seed=0, options={"observation": np.array([[0.0, 0.0], [90.0, 0.0], [0.0, 0.0]], np.float32)})
    _, _, terminated, truncated, info = env.step(np.zeros((3, 1), np.float32))
    assert truncated.tolist() == [False, True, False] and not terminated.any()
    assert info["final_info"]["ended_by"][1] == "Infoprop"
    memory = np.asarray(env.snapshot().memory)
    assert (memory[1] == 0).all() and (memory[0] > 0).any(), "a new episode must not inherit what was lost before"


def test_seeds_and_snapshots_decide_everything() -> None:
    env, same = dreams(horizon=4), dreams(horizon=4)
    assert env.reset(seed=5)[0].tolist() == same.reset(seed=5)[0].tolist()
    walk(env, 2)
    snapshot = env.snapshot()
    told = walk(env, 9)
    env.restore(snapshot)
    assert walk(env, 9) == told
    assert walk(same, 2) is not None
    assert walk(same, 9) == told
    assert env.reset(seed=[1, 2, 3])[0].tolist() == same.reset(seed=[1, 2, 3])[0].tolist()
    assert env.reset(seed=[1, 2, 4])[0].tolist() != same.reset(seed=[1, 2, 3])[0].tolist()
    with pytest.raises(ConfigError, match="another dream"):
        dreams(count=4).restore(snapshot)


def test_all_rows_start_and_move_differently() -> None:
    env = dreams(count=50)
    observations, _ = env.reset(seed=0)
    assert len(np.unique(observations[:, 0])) == 50
    env.reset(seed=0, options={"observation": np.zeros(2, np.float32)})
    assert len(np.unique(env.step(np.zeros((50, 1), np.float32))[0][:, 0])) == 50


def test_discrete_observations_are_decoded() -> None:
    model = AnalyticModel.create(np.roll(np.eye(3), 1, axis=1), np.zeros((2, 3)), start_std=0.0)
    env = DreamVectorEnv(model, Codec(gym.spaces.Discrete(3, start=5), gym.spaces.Discrete(2)), 2)
    observations, _ = env.reset(seed=0, options={"observation": np.array([6, 7])})
    assert observations.tolist() == [6, 7]
    observations = env.step(np.array([0, 1]))[0]
    assert observations.tolist() == [7, 5] and observations in env.observation_space


def test_what_cannot_be_is_refused() -> None:
    env = dreams()
    with pytest.raises(ConfigError, match="not begun"):
        env.step(np.zeros((3, 1), np.float32))
    with pytest.raises(ConfigError, match="not begun"):
        env.reset(options={"reset_mask": np.array([True, False, False])})
    env.reset(seed=0)
    for actions in (np.full((3, 1), np.nan), np.zeros((2, 1)), np.array([[0.0], [3.0], [0.0]])):
        with pytest.raises(ConfigError, match="no action of the world"):
            env.step(actions)
    for mask in (np.zeros(3, bool), np.ones(2, bool), [True, True, True]):
        with pytest.raises(ConfigError, match="reset mask"):
            env.reset(options={"reset_mask": mask})
    with pytest.raises(ConfigError, match="cannot start"):
        env.reset(options={"state": State(np.zeros((2, 2)))})
    with pytest.raises(ConfigError, match="not served"):
        dreams(autoreset_mode=AutoresetMode.NEXT_STEP)
    with pytest.raises(ConfigError):
        dreams(count=0)


def test_ended_episodes_wait_for_their_reset() -> None:
    env = dreams(horizon=1, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    walk(env, 1)
    with pytest.raises(ConfigError, match="are over"):
        walk(env, 1)


def test_a_model_that_overflows_is_reported() -> None:
    env = dreams(double_integrator(state_weight=1e38))
    env.reset(options={"observation": np.full(2, 100.0, np.float32)})
    with pytest.raises(GedankenError, match="3 of 3 episodes"):
        walk(env, 1)
