import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy.integrate import solve_ivp

from gedanken.errors import ConfigError
from gedanken.worlds import registry
from gedanken.worlds.process_control import PROCESSES, Process, ProcessEnv, make, oracle


@pytest.fixture(params=PROCESSES)
def process(request: pytest.FixtureRequest) -> Process:
    return PROCESSES[request.param]()


def middle(process: Process) -> np.ndarray:
    return (np.array(process.low) + np.array(process.high)) / 2


def test_a_step_is_the_solution_of_its_equation(process: Process) -> None:
    state, inputs = process.steady(np.array(process.low) * 0.4 + np.array(process.high) * 0.6), middle(process)
    solved = solve_ivp(
        lambda _, s: process.derivative(s, inputs, np), (0, process.step), state, rtol=1e-9, atol=1e-12
    ).y[:, -1]
    np.testing.assert_allclose(process.after(state, inputs, process.step), solved, rtol=1e-5)


def test_a_steady_state_is_one(process: Process) -> None:
    state = process.steady(middle(process))
    np.testing.assert_allclose(process.after(state, middle(process), process.step), state, rtol=1e-3)


def test_every_target_can_be_held(process: Process) -> None:
    """At the target with its own inputs, nothing is lost."""
    env = ProcessEnv(process)
    env.reset(seed=3)
    env.state = process.steady(middle(process))
    env.target = env.state[list(process.controlled)]
    lost = -sum(env.step(np.zeros(len(process.low)))[1] for _ in range(10))
    assert lost < 0.01


def test_it_is_a_gymnasium_env(process: Process) -> None:
    check_env(ProcessEnv(process), skip_render_check=True)


def test_it_goes_back_to_a_snapshot(process: Process) -> None:
    world = make(process.name)
    world.reset(seed=0)
    world.step(np.full(len(process.low), 0.3, np.float32))
    snapshot = world.snapshot()
    one = world.step(np.full(len(process.low), -0.5, np.float32))[1]
    world.restore(snapshot)
    assert world.step(np.full(len(process.low), -0.5, np.float32))[1] == one


def test_the_oracle_is_better_than_any_constant_input(process: Process) -> None:
    seeds = [0, 1]
    best = oracle(process, seeds)
    env = ProcessEnv(process)
    for seed, found in zip(seeds, best, strict=True):
        returns = []
        for share in np.linspace(-1, 1, 9):
            env.reset(seed=seed)
            returns.append(sum(env.step(np.full(len(process.low), share))[1] for _ in range(process.steps)))
        assert max(returns) < found <= 0.0


def test_it_is_found_by_its_name_and_nothing_else_is() -> None:
    world = registry.make("process_control/stirred_tank")
    assert world.name == "process_control/stirred_tank" and world.max_episode_steps == 40
    with pytest.raises(ConfigError, match="no such process"):
        make("distillation")
