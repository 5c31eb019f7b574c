"""The planner against the optimum that control theory knows, and its parts against their definitions."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from gedanken.agents.contract import Agent
from gedanken.agents.icem import ICEMConfig, Planner, coloured_noise, fresh_memory, plan
from gedanken.errors import ConfigError
from gedanken.models.contract import Imagined, State
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator, falling_pole

KEY = jax.random.PRNGKey(0)
START = np.array([0.6, -0.4], np.float32)


def riccati(model: AnalyticModel) -> tuple[np.ndarray, np.ndarray]:
    """The cost matrix P and the gain K of the optimal linear regulator: action = -K x, cost to go = x' P x."""
    a, b = np.asarray(model.transition, np.float64).T, np.asarray(model.control, np.float64).T
    q, r = np.diag(np.asarray(model.state_weight, np.float64)), np.diag(np.asarray(model.action_weight, np.float64))
    p = scipy.linalg.solve_discrete_are(a, b, q, r)
    return p, np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)


def episode_return(agent: Agent, world: AnalyticEnv, steps: int, start: np.ndarray | None = None) -> float:
    observation, _ = world.reset(seed=0)
    if start is not None:
        observation = world._observation = start.copy()
    total = 0.0
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = world.step(agent.act(observation))
        total += reward
        if terminated or truncated:
            break
    return total


@pytest.mark.parametrize("changes", [{}, {"weighting": "mppi", "temperature": 0.1}, {"particles": 2}])
def test_it_comes_near_the_optimal_regulator(changes: dict[str, Any]) -> None:
    model = double_integrator()
    cost, _ = riccati(model)
    planner = Planner(model, AnalyticEnv(model).codec, ICEMConfig(horizon=25, **changes))
    reached = episode_return(planner, AnalyticEnv(model), 60, START)
    optimum = -START @ cost @ START
    assert optimum * 1.05 <= reached <= optimum * 0.999


def test_doing_nothing_would_not_have_done() -> None:
    model = double_integrator()
    planner = Planner(model, AnalyticEnv(model).codec, ICEMConfig(horizon=1, iterations=1, candidates=2, elites=1))
    assert episode_return(planner, AnalyticEnv(model), 60, START) < -2.0 * START @ riccati(model)[0] @ START


def test_one_step_with_the_right_value_is_the_optimal_action() -> None:
    model = double_integrator()
    cost, gain = riccati(model)
    p = jnp.asarray(cost, jnp.float32)
    config = ICEMConfig(horizon=1, candidates=256, iterations=8)
    action, _ = plan(
        model,
        jnp.asarray(START),
        fresh_memory(1, config, discrete=False),
        KEY,
        config,
        value=lambda o: -jnp.einsum("bi,ij,bj->b", o, p, o),
    )
    np.testing.assert_allclose(action, -gain @ START, atol=0.01)


@pytest.mark.parametrize("weighting", ["elites", "mppi"])
def test_it_balances_a_pole_with_two_choices(weighting: Any) -> None:
    world = AnalyticEnv(falling_pole(), discrete=True)
    config = ICEMConfig(horizon=15, candidates=64, elites=8, iterations=3, weighting=weighting)
    assert episode_return(Planner(falling_pole(), world.codec, config), world, 200) == 200.0
    draws = np.random.default_rng(0)

    class Blind:
        id = "blind"

        def act(self, observation: Any, *, seed: int | None = None) -> int:
            return int(draws.integers(2))

    assert episode_return(Blind(), world, 200) < 60


def test_actions_are_of_the_worlds_space() -> None:
    for discrete in (False, True):
        world = AnalyticEnv(discrete=discrete)
        planner = Planner(world.system, world.codec, ICEMConfig(horizon=3, candidates=16, elites=4, iterations=1))
        observation, _ = world.reset(seed=0)
        for seed in (None, 1):
            assert planner.act(observation, seed=seed) in world.action_space
    # Far away the optimum lies on the edge: 2 in the world's units, though 1 in the model's.
    far = Planner(double_integrator(), AnalyticEnv().codec, ICEMConfig(horizon=10))
    assert far.act(np.array([50.0, 0.0], np.float32))[0] == pytest.approx(-2.0, abs=0.1)


def test_the_key_decides() -> None:
    model, config = double_integrator(noise=0.1), ICEMConfig(horizon=8, iterations=2)
    memory = fresh_memory(1, config, discrete=False)
    one, same, other = (plan(model, jnp.asarray(START), memory, jax.random.PRNGKey(k), config) for k in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert not np.allclose(one[1].mean, other[1].mean)


def test_a_planner_repeats_itself_after_a_reset_and_explores_by_seed() -> None:
    config = ICEMConfig(horizon=8, iterations=2)
    planner = Planner(double_integrator(), AnalyticEnv().codec, config)

    def two_acts(*seeds: int | None) -> list[float]:
        planner.reset()
        return [float(planner.act(START, seed=seed)[0]) for seed in seeds]

    assert two_acts(None, None) == two_acts(None, None)
    assert two_acts(7, 7) == two_acts(7, 7)
    explored = {two_acts(seed)[0] for seed in range(5)}
    assert len(explored) == 5


def test_what_was_planned_is_kept_and_shifted() -> None:
    config = ICEMConfig(horizon=6, iterations=4, momentum=0.0)
    model = double_integrator()
    _, memory = plan(model, jnp.asarray(START), fresh_memory(1, config, discrete=False), KEY, config)
    assert memory.elites.shape == (config.retried, 6, 1)
    np.testing.assert_array_equal(memory.elites[:, -1], memory.elites[:, -2])
    # With no time to improve, the plan of the step before is what remains.
    short = dataclasses.replace(config, iterations=1, candidates=10, elites=4, initial_std=1e-6, kept=1.0)
    _, after = model_step(model)
    kept, _ = plan(model, after, memory._replace(elites=memory.elites[: short.retried]), KEY, short)
    best = [float(e[0, 0]) for e in memory.elites[: short.retried]] + [float(memory.mean[0, 0])]
    assert min(abs(float(kept[0]) - b) for b in best) < 1e-3


def model_step(model: AnalyticModel) -> tuple[Imagined, jax.Array]:
    imagined = model.step(State(jnp.asarray(START)[None]), jnp.zeros((1, 1)), KEY)
    return imagined, imagined.state.observation[0]


def test_risk_keeps_away_from_where_members_disagree() -> None:
    # Reward calls to the far right, and disagreement grows with the distance.
    model = AnalyticModel.create([[1.0]], [[0.5]], state_weight=0.0, action_weight=0.0, spread=0.1, growth=1.0)

    class Greedy(AnalyticModel):
        def reward(self, observation: jax.Array, action: jax.Array) -> jax.Array:
            return observation[:, 0]

    greedy = Greedy(**{field.name: getattr(model, field.name) for field in dataclasses.fields(model)})
    action_at = {}
    for risk in (0.0, 100.0):
        config = ICEMConfig(horizon=5, risk=risk)
        memory = fresh_memory(1, config, discrete=False)
        action_at[risk], _ = plan(greedy, jnp.array([0.5]), memory, KEY, config)
    assert action_at[0.0] > 0.5 and action_at[100.0] < -0.5


def test_it_does_not_plan_beyond_a_termination() -> None:
    # Far from the origin it pays best, but beyond 1.5 the episode is over.
    model = AnalyticModel.create([[1.0]], [[1.0]], state_weight=-1.0, action_weight=0.0, limit=1.5)
    config = ICEMConfig(horizon=20, iterations=6)
    action, _ = plan(model, jnp.array([1.0]), fresh_memory(1, config, discrete=False), KEY, config)
    assert 0.0 < float(action[0]) <= 0.5 + 1e-6


def test_sequences_that_overflow_are_never_chosen() -> None:
    model = AnalyticModel.create([[1.0]], [[3e19]], limit=np.inf, action_weight=0.0)
    config = ICEMConfig(horizon=3, iterations=3)
    for weighting in ("elites", "mppi"):
        config = dataclasses.replace(config, weighting=weighting)
        action, memory = plan(model, jnp.zeros(1), fresh_memory(1, config, discrete=False), KEY, config)
        assert np.isfinite(action).all() and np.isfinite(memory.mean).all()


def test_a_plan_is_compiled_once() -> None:
    class Traced(AnalyticModel):
        def conclude(self, state: State, action: Any, next_observation: Any, key: jax.Array) -> Imagined:
            traces.append(1)
            return super().conclude(state, action, next_observation, key)

    traces: list[int] = []
    for decay in (0.5, 0.9):
        model = Traced.create([[decay, 0.0], [0.1, 0.98]], [[0.0, 0.5]])
        planner = Planner(model, AnalyticEnv().codec, ICEMConfig(horizon=4))
        for _ in range(2):
            planner.act(START)
            planner.act(START)
            planner.reset()
    assert len(traces) == 1


@pytest.mark.parametrize("length", [1, 2, 9, 64])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_coloured_noise_has_variance_one_and_its_colour(length: int, exponent: float) -> None:
    noise = np.asarray(coloured_noise(KEY, (4000, length), exponent))
    np.testing.assert_allclose(noise.var(0), 1.0, atol=0.15)
    np.testing.assert_allclose(noise.var(), 1.0, atol=0.06)
    if length == 64:
        power = (np.abs(np.fft.rfft(noise)) ** 2).mean(0)[1:-1]
        slope = np.polyfit(np.log(np.arange(1, 32)), np.log(power), 1)[0]
        assert slope == pytest.approx(-exponent, abs=0.05)


def test_ids_tell_versions_apart() -> None:
    codec = AnalyticEnv().codec
    ids = {
        Planner(double_integrator(), codec).id,
        Planner(double_integrator(noise=0.1), codec).id,
        Planner(double_integrator(), codec, ICEMConfig(horizon=7)).id,
    }
    assert len(ids) == 3
    assert isinstance(Planner(double_integrator(), codec), Agent)
    with pytest.raises(ConfigError, match="needs an id"):
        Planner(double_integrator(), codec, value=lambda o: o[:, 0])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="different worlds"):
        Planner(falling_pole(), AnalyticEnv().codec)
    planner = Planner(double_integrator(), AnalyticEnv().codec)
    for observation in (np.array([np.nan, 0.0]), np.zeros(3), np.zeros((2, 2))):
        with pytest.raises(ConfigError, match="cannot plan"):
            planner.act(observation)


@pytest.mark.parametrize(
    "wrong",
    [
        {"horizon": 0},
        {"elites": 0},
        {"elites": 200},
        {"momentum": 1.0},
        {"kept": 1.5},
        {"temperature": 0.0},
        {"risk": -1.0},
        {"weighting": "cem"},
        {"candidates": 4, "elites": 4, "kept": 1.0},
    ],
)
def test_impossible_configs_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        ICEMConfig(**wrong)
