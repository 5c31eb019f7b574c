"""The World contract: prices before, costs after, every answer checked, and a Gymnasium env all the while."""

from __future__ import annotations

import math
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gedanken.errors import ConfigError, WorldError, WorldHung
from gedanken.experience.cost import Cost
from gedanken.worlds.world import World
from tests.worlds.envs import Scripted, informing, raising, replaced, sleeping

ACTION = np.zeros(1, np.float32)


def started(*args: Any, prices: Any = None, **options: Any) -> World:
    world = World(Scripted(*args), prices or {"steps": 1}, **options)
    world.reset(seed=0)
    return world


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "CartPole-v1", "Hopper-v5"])
def test_it_is_a_gymnasium_env(env_id: str) -> None:
    world = World(env_id, {"steps": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # check_env warns that a wrapped env is wrapped, and of infinite bounds
        check_env(world, skip_render_check=True)
    assert world.name == env_id
    world.close()


def test_it_gives_what_the_env_gives() -> None:
    world, env = World("Pendulum-v1", {"steps": 1}), gym.make("Pendulum-v1")
    assert np.array_equal(world.reset(seed=3)[0], env.reset(seed=3)[0])
    for number in range(200):
        action = np.array([math.sin(number)], np.float32)
        ours, theirs = world.step(action), env.step(action)
        assert np.array_equal(ours[0], theirs[0])
        assert ours[1:4] == theirs[1:4]
    assert ours[3], "the env's own TimeLimit is kept"


def test_prices_before_and_costs_after() -> None:
    world = started(prices={"steps": 1, "micro_usd": 40})
    assert world.price(ACTION) == Cost(steps=1, micro_usd=40)
    assert world.reset()[1]["cost"] == {}, "a reset that costs nothing says so"
    assert world.step(ACTION)[4]["cost"] == {"steps": 1, "micro_usd": 40}
    assert world.duration_ms is not None and 0 < world.duration_ms < 1000


def test_prices_can_depend_on_the_action() -> None:
    def prices(action: Any) -> Cost:
        return Cost(micro_usd=1000) if action is None else Cost(micro_usd=int(100 * abs(action[0])))

    with pytest.raises(ConfigError, match="one step at a time"):
        World(Scripted(), prices)
    world = World(Scripted(), prices, unit="step", free_reset=False)
    assert world.reset()[1]["cost"] == {"micro_usd": 1000}
    assert world.reset_price == Cost(micro_usd=1000)
    assert world.step(np.array([-0.5], np.float32))[4]["cost"] == {"micro_usd": 50}


def test_milliseconds_are_settled_by_the_clock() -> None:
    world = started(5, {2: sleeping(0.03)}, prices={"milliseconds": 1000, "steps": 1})
    quick, slow = world.step(ACTION)[4]["cost"], world.step(ACTION)[4]["cost"]
    assert world.price(ACTION) == Cost(milliseconds=1000, steps=1)
    assert 1 <= quick["milliseconds"] < 30 <= slow["milliseconds"] < 1000
    assert quick["steps"] == slow["steps"] == 1


def test_a_cost_that_the_env_reports_is_believed_and_any_other_is_kept_apart() -> None:
    world = started(5, {1: informing(cost={"micro_usd": np.int64(7)}), 2: informing(cost=0.5)})
    assert world.step(ACTION)[4]["cost"] == {"micro_usd": 7}
    info = world.step(ACTION)[4]
    assert (info["cost"], info["env_cost"]) == ({"steps": 1}, 0.5)


def test_success_is_written_under_both_names_where_it_is_known() -> None:
    world = started(5, {2: informing(is_success=np.True_), 3: informing(success=0.0)})
    written = [{k: v for k, v in world.step(ACTION)[4].items() if "success" in k} for _ in range(3)]
    yes, no = ({"success": known, "is_success": known} for known in (True, False))
    assert written == [{}, yes, no]

    def success(observation: Any, reward: float, terminated: bool, truncated: bool, info: Any) -> bool | None:
        return bool(observation[0] > 4) if terminated else None

    world = World(Scripted(), {"steps": 1}, success=success)
    world.reset()
    infos = [world.step(ACTION)[4] for _ in range(5)]
    assert ["success" in info for info in infos] == [False] * 4 + [True]
    assert infos[-1]["success"] is infos[-1]["is_success"] is True


def test_tasks_are_passed_on_and_strange_ones_refused() -> None:
    tasks = [{"goal": 1}, {"goal": 2}]
    world = World(Scripted(), {"steps": 1}, tasks=tasks)
    assert world.reset(options={"task": tasks[1]})[1]["options"] == {"task": {"goal": 2}}
    assert world.reset()[1]["options"] is None
    with pytest.raises(ConfigError, match="does not have this task"):
        world.reset(options={"task": {"goal": 3}})
    space = gym.spaces.Dict({"goal": gym.spaces.Discrete(3)})
    world = World(Scripted(), {"steps": 1}, tasks=space)
    world.reset(options={"task": {"goal": np.int64(2)}})
    with pytest.raises(ConfigError, match="does not have this task"):
        world.reset(options={"task": {"goal": np.int64(3)}})
    with pytest.raises(ConfigError, match="it has none"):
        started().reset(options={"task": {"goal": 1}})


BAD_STEPS = {
    "NaN in the observation": (replaced(0, np.array([np.nan, 1])), "holds NaN or infinity"),
    "infinity in the observation": (replaced(0, np.array([np.inf, 1])), "holds NaN or infinity"),
    "an observation too large for its float": (replaced(0, np.array([1e300, 1])), "holds NaN or infinity"),
    "an observation out of bounds": (replaced(0, np.array([101.0, 1])), "is not between"),
    "an observation of another shape": (replaced(0, np.zeros(3)), "has the shape"),
    "an observation of another kind": (replaced(0, "text"), "cannot be read as float32"),
    "no observation": (replaced(0, None), "cannot be read as float32"),
    "a ragged observation": (replaced(0, [[1], [1, 2]]), "cannot be read as float32"),
    "a NaN reward": (replaced(1, float("nan")), "reward is not finite"),
    "an infinite reward": (replaced(1, np.float64("inf")), "reward is not finite"),
    "a reward that is no number": (replaced(1, "much"), "reward is not a number"),
    "four answers": (lambda answer: answer[:4], "did not answer with"),
    "no info": (replaced(4, None), "did not answer with"),
    "nothing": (lambda answer: None, "did not answer with"),
    "a cost in fractions": (informing(cost={"usd": 0.25}), "not in whole minor units"),
    "a negative cost": (informing(cost={"steps": -1}), "not in whole minor units"),
    "an exception": (raising(ZeroDivisionError("by zero")), "step raised ZeroDivisionError"),
    "a timeout of its own": (raising(TimeoutError("socket")), "step raised TimeoutError"),
}


@pytest.mark.parametrize("timeout", [None, 30.0])
@pytest.mark.parametrize("case", BAD_STEPS)
def test_an_answer_that_breaks_the_contract_is_refused(case: str, timeout: float | None) -> None:
    fault, says = BAD_STEPS[case]
    world = started(5, {2: fault}, name="the arm", step_timeout_s=timeout)
    world.step(ACTION)
    with pytest.raises(WorldError, match=says) as caught:
        world.step(ACTION)
    assert "the arm" in str(caught.value) and "step 2" in str(caught.value) and "Do: " in str(caught.value)
    with pytest.raises(ConfigError, match="outside an episode"):
        world.step(ACTION)
    world.reset()
    world.step(ACTION)


@pytest.mark.parametrize(
    "fault", [lambda answer: answer[0], replaced(0, np.zeros(3)), raising(OSError("unplugged")), replaced(1, None)]
)
def test_a_bad_reset_is_refused(fault: Any) -> None:
    world = World(Scripted(5, {0: fault}), {"steps": 1})
    with pytest.raises(WorldError):
        world.reset()
    with pytest.raises(ConfigError, match="outside an episode"):
        world.step(ACTION)


def test_a_step_that_hangs_is_given_up() -> None:
    world = started(5, {2: sleeping(5.0)}, step_timeout_s=0.1)
    world.step(ACTION)
    with pytest.raises(WorldHung, match="no answer for 0.1 s"):
        world.step(ACTION)
    with pytest.raises(WorldHung):
        world.reset()


def test_ctrl_c_in_the_env_is_not_an_error_of_the_env() -> None:
    for timeout in (None, 30.0):
        world = started(5, {1: raising(KeyboardInterrupt())}, step_timeout_s=timeout)
        with pytest.raises(KeyboardInterrupt):
            world.step(ACTION)


@pytest.mark.parametrize("action", [np.zeros(2), np.array([1.5]), np.array([np.nan]), "left", None, 0.0])
def test_an_action_out_of_its_space_never_reaches_the_env(action: Any) -> None:
    world = started()
    with pytest.raises(ConfigError, match="nothing was done"):
        world.step(action)
    assert world.unwrapped.actions == []
    world.step(np.array([1.0]))
    assert world.unwrapped.actions[0].dtype == np.float32, "floats of another width are converted"


def test_observations_are_copies_of_the_spaces_dtype() -> None:
    buffer = np.zeros(2, np.float64)
    world = started(5, {1: replaced(0, buffer), 2: replaced(0, buffer)})
    first = world.step(ACTION)[0]
    buffer += 1
    assert first.dtype == np.float32 and first.tolist() == [0, 0]


def test_one_shot_experiments() -> None:
    world = started(1, prices={"experiments": 1, "micro_usd": 250_000})
    _, _, terminated, _, info = world.step(ACTION)
    assert terminated and info["cost"] == {"experiments": 1, "micro_usd": 250_000}


def test_horizons() -> None:
    world = started(5)
    assert world.max_episode_steps is None
    with pytest.raises(ConfigError, match="no limit"):
        _ = world.unit_steps
    short = world.with_horizon(3)
    short.reset()
    assert [short.step(ACTION)[3] for _ in range(3)] == [False, False, True]
    with pytest.raises(ConfigError, match="outside an episode"):
        short.step(ACTION)
    assert (short.max_episode_steps, short.unit_steps) == (3, 3)

    limited = World(gym.wrappers.TimeLimit(Scripted(5), 4), {"steps": 1})
    assert limited.max_episode_steps == 4
    assert limited.with_horizon(2).max_episode_steps == 2
    for steps in (0, 5):
        with pytest.raises(ConfigError, match="1 to 4"):
            limited.with_horizon(steps)
    assert World("Hopper-v5", {"steps": 1}).unit_steps == 1000


@pytest.mark.parametrize(("unit", "steps"), [("step", 1), (7, 7), ("episode", 3)])
def test_billing_units(unit: Any, steps: int) -> None:
    assert World(Scripted(), {"steps": 1}, unit=unit).with_horizon(3).unit_steps == steps


@pytest.mark.parametrize(
    "options",
    [{"unit": "week"}, {"unit": 0}, {"unit": True}, {"step_timeout_s": 0.0}, {"step_timeout_s": math.nan}],
)
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        World(Scripted(), {"steps": 1}, **options)


def test_prices_that_make_no_sense() -> None:
    for price in (0.5, -1):
        with pytest.raises(ConfigError, match="whole number"):
            World(Scripted(), {"steps": price})  # type: ignore[dict-item]


def test_an_unknown_id() -> None:
    with pytest.raises(ConfigError, match="cannot make the world 'Hoper-v5'"):
        World("Hoper-v5", {"steps": 1})


def test_a_vector_of_envs_is_no_world() -> None:
    with pytest.raises(ConfigError, match="A world is one environment") as caught:
        World(gym.make_vec("CartPole-v1", num_envs=2), {"steps": 1})  # type: ignore[arg-type]
    assert caught.value.given == "CartPoleVectorEnv"
