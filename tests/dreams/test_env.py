"""The dream as a Gymnasium environment: conventions, refusals, forks."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gedanken.dreams import DreamEnv, Infoprop, MORelHalt
from gedanken.errors import ConfigError, GedankenError
from gedanken.experience.codec import Codec
from gedanken.models.contract import Imagined, State
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator, falling_pole


def dream(model: AnalyticModel | None = None, **settings: Any) -> DreamEnv:
    return DreamEnv(model or double_integrator(noise=0.1, spread=0.05), AnalyticEnv().codec, **settings)


def data() -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(1)
    return 0.5 * draws.standard_normal((300, 2)), draws.uniform(-1, 1, (300, 1))


def walk(env: gym.Env[Any, Any], steps: int, seed: int = 0) -> list[tuple[Any, ...]]:
    """What the env answers to fixed random actions."""
    draws = np.random.default_rng(seed)
    answers = []
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(draws.uniform(-2, 2, 1).astype(np.float32))
        answers.append((observation.tolist(), reward, terminated, truncated))
    return answers


@pytest.mark.filterwarnings("ignore::UserWarning")  # the checker's advice on unbounded spaces
@pytest.mark.parametrize("discrete", [False, True])
def test_gymnasiums_own_checker_passes(discrete: bool) -> None:
    model = falling_pole(noise=0.01) if discrete else double_integrator(noise=0.1)
    check_env(DreamEnv(model, AnalyticEnv(discrete=discrete).codec))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_discrete_observations_are_served() -> None:
    model = AnalyticModel.create(jnp.roll(jnp.eye(3), 1, axis=1), jnp.zeros((2, 3)), start_std=0.0)
    codec = Codec(gym.spaces.Discrete(3, start=5), gym.spaces.Discrete(2))
    env = DreamEnv(model, codec)
    check_env(env)
    assert env.reset(options={"observation": 6})[0] == 6
    assert [env.step(0)[0] for _ in range(3)] == [7, 5, 6]
    with pytest.raises(ConfigError):
        env.reset(options={"observation": 4})


def test_a_perfect_model_dreams_what_the_world_does() -> None:
    world, env = AnalyticEnv(double_integrator(limit=1.5)), dream(double_integrator(limit=1.5), horizon=200)
    observation, _ = world.reset(seed=4)
    env.reset(options={"observation": observation})
    for _ in range(200):
        action = world.action_space.sample()
        expected, answer = world.step(action), env.step(action)
        np.testing.assert_allclose(answer[0], expected[0], atol=1e-5)
        np.testing.assert_allclose(answer[1], expected[1], rtol=1e-4, atol=1e-5)
        assert answer[2:4] == expected[2:4]
        if expected[2] or expected[3]:
            break
    else:
        pytest.fail("the episode should have ended")


def test_info_says_what_the_model_knows_and_who_answered() -> None:
    env = dream()
    env.reset(seed=0)
    info = env.step(np.zeros(1, np.float32))[4]
    assert info["cost"] == {"steps": 1.0}
    assert info["provenance"] == {"source": "model", "model_id": env.model.id}
    assert info["confidence"] == pytest.approx(1 / 1.05)
    np.testing.assert_allclose(info["epistemic"], 0.05, rtol=1e-5)
    np.testing.assert_allclose(info["aleatoric"], 0.1, rtol=1e-5)
    assert info["ended_by"] == ""


def test_uncertainties_are_nan_and_not_zero_where_nobody_asked() -> None:
    env = dream(ask_all=False)
    env.reset(seed=0)
    info = env.step(np.zeros(1, np.float32))[4]
    assert np.isnan(info["confidence"]) and np.isnan(info["epistemic"]).all() and np.isnan(info["aleatoric"]).all()


def test_the_horizon_truncates() -> None:
    env = dream(horizon=3)
    env.reset(seed=0)
    assert [answer[2:] for answer in walk(env, 3)] == [(False, False), (False, False), (False, True)]
    with pytest.raises(ConfigError, match="is over"):
        env.step(np.zeros(1, np.float32))
    env.reset()
    assert walk(env, 1)[0][3] is False


def test_a_cut_truncates_and_says_so() -> None:
    model = double_integrator(noise=0.1, spread=0.01, growth=1.0)
    env = dream(model, truncation=Infoprop().fit(model, *data()))
    env.reset(options={"observation": np.array([90.0, 0.0], np.float32)})
    _, _, terminated, truncated, info = env.step(np.zeros(1, np.float32))
    assert (terminated, truncated, info["ended_by"]) == (False, True, "Infoprop")


def test_a_termination_that_the_rule_does_not_trust_is_a_cut() -> None:
    model = double_integrator(noise=0.1, spread=0.01, growth=1.0, limit=1.0)
    env = dream(model, truncation=Infoprop().fit(model, *data()))
    env.reset(options={"observation": np.array([90.0, 0.0], np.float32)})
    assert env.step(np.zeros(1, np.float32))[2:4] == (False, True)


def test_a_halt_terminates_and_says_so() -> None:
    model = double_integrator(noise=0.1, spread=0.01, growth=1.0)
    env = dream(model, truncation=MORelHalt(penalty=9.0).fit(model, *data()))
    env.reset(options={"observation": np.array([90.0, 0.0], np.float32)})
    _, reward, terminated, truncated, info = env.step(np.zeros(1, np.float32))
    assert (reward, terminated, truncated, info["ended_by"]) == (-9.0, True, False, "MORelHalt")


def test_a_seed_decides_all_episodes_that_follow() -> None:
    def two_episodes(seed: int) -> list[Any]:
        env = dream()
        told: list[Any] = []
        for given in (seed, None):
            told.append(env.reset(seed=given)[0].tolist())
            told.append(walk(env, 4))
        return told

    assert two_episodes(3) == two_episodes(3)
    assert two_episodes(3) != two_episodes(4)
    first, _, second, _ = two_episodes(3)
    assert first != second


def test_forks_go_on_identically_and_leave_the_original_alone() -> None:
    env = dream()
    env.reset(seed=0)
    walk(env, 3)
    fork, other = env.fork(), env.fork(seed=99)
    assert fork.model is env.model
    elsewhere = walk(other, 5)
    there = walk(fork, 5)
    assert walk(env, 5) == there
    assert elsewhere != there
    assert fork.reset()[0].tolist() == env.reset()[0].tolist()


def test_restore_rewinds_even_a_finished_episode() -> None:
    env = dream(horizon=6)
    env.reset(seed=0)
    walk(env, 2)
    snapshot = env.snapshot()
    told = walk(env, 4)
    env.restore(snapshot)
    assert walk(env, 4) == told
    fresh = dream(horizon=6)
    fresh.restore(snapshot)
    assert walk(fresh, 4) == told


def test_a_snapshot_of_another_model_is_refused() -> None:
    env, other = dream(), dream(double_integrator(noise=0.2))
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="another dream"):
        other.restore(env.snapshot())


def test_episodes_start_where_they_are_told() -> None:
    env = dream()
    observation = np.array([0.3, -0.7], np.float32)
    assert env.reset(options={"observation": observation})[0].tolist() == observation.tolist()
    env.step(np.ones(1, np.float32))
    state = env.state
    assert env.reset(options={"state": state})[0].tolist() == np.asarray(state.observation)[0].tolist()
    assert np.abs(env.reset(seed=0, options={"task": {"scale": 0.0}})[0]).max() == 0.0
    assert np.abs(dream(tasks={"scale": 0.0}).reset(seed=0)[0]).max() == 0.0


@pytest.mark.parametrize(
    "options",
    [
        {"observaton": np.zeros(2)},
        {"observation": np.zeros(3)},
        {"observation": np.array([0.0, np.nan])},
        {"state": State(np.full((1, 2), np.inf))},
        {"state": State(np.zeros((2, 2)))},
        {"state": State(np.zeros((1, 2))), "observation": np.zeros(2)},
    ],
)
def test_impossible_starts_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        dream().reset(options=options)


@pytest.mark.parametrize(
    "action",
    [np.array([np.nan]), np.array([np.inf]), np.array([2.1]), np.zeros(2), 0.0, "left", None, [[1.0], [1.0, 2.0]]],
)
def test_impossible_actions_are_refused_and_change_nothing(action: Any) -> None:
    env = dream()
    env.reset(seed=0)
    before = env.snapshot()
    with pytest.raises(ConfigError, match="no action of the world"):
        env.step(action)
    assert env.snapshot() is before


@pytest.mark.parametrize("action", [2, -1, 0.5, np.zeros(1, int), None])
def test_impossible_choices_are_refused(action: Any) -> None:
    env = DreamEnv(falling_pole(), AnalyticEnv(discrete=True).codec)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="no action of the world"):
        env.step(action)


def test_a_step_needs_a_reset() -> None:
    with pytest.raises(ConfigError, match="not begun"):
        dream().step(np.zeros(1, np.float32))


def test_a_model_that_overflows_is_reported_and_not_passed_on() -> None:
    env = dream(double_integrator(state_weight=1e38))
    env.reset(options={"observation": np.full(2, 100.0, np.float32)})
    with pytest.raises(GedankenError, match="not finite"):
        env.step(np.zeros(1, np.float32))


def test_a_model_of_another_world_is_refused() -> None:
    with pytest.raises(ConfigError, match="different worlds"):
        DreamEnv(falling_pole(), AnalyticEnv().codec)
    with pytest.raises(ConfigError, match="horizon=0"):
        dream(horizon=0)


class Traced(AnalyticModel):
    """Counts how often it is compiled."""

    def conclude(self, state: State, action: Any, next_observation: Any, key: jax.Array) -> Imagined:
        TRACES.append(1)
        return super().conclude(state, action, next_observation, key)


TRACES: list[int] = []


def test_a_step_is_compiled_once_for_all_episodes_dreams_and_fits() -> None:
    TRACES.clear()
    for decay in (0.5, 0.9):
        env = dream(Traced.create([[decay, 0.0], [0.1, 0.98]], [[0.0, 0.5]], noise=0.1), horizon=2)
        for episode in range(3):
            env.reset(seed=episode, options={"task": {"scale": float(episode)}})
            walk(env, 2)
        env.reset()
        walk(env.fork(), 1)
    # `step` traces `conclude` once for the truncation rule and once for the uncertainties.
    assert len(TRACES) == 2
