import pytest

from gedanken.errors import ConfigError
from gedanken.worlds.science import make
from gedanken.worlds.science.measured import measured_world
from gedanken.worlds.science.table import shipped


def test_it_answers_what_was_measured_there() -> None:
    table = shipped("reizman_suzuki_1")
    world = measured_world(table)
    for place, design in enumerate(table.pool[:10]):
        world.reset(seed=0)
        answer, reward, terminated, truncated, info = world.step(world.space.to_action(design))
        rows = list(table.replicates.values())[place]
        assert answer["values"].tolist() in table.results[rows].tolist()
        assert answer["measured"].all() and reward == answer["values"][0]
        assert terminated and not truncated and info["success"] and info["cost"] == {"experiments": 1}


def test_less_is_more_reward_where_the_goal_is_less() -> None:
    world = make("snar")
    world.reset(seed=0)
    answer, reward, *_ = world.step(world.space.to_action(world.pool[0]))
    assert reward == -answer["values"][0]


def test_replicates_are_drawn_by_the_seed() -> None:
    table = shipped("fullerenes")
    rows = next(rows for rows in table.replicates.values() if len(set(table.results[rows, 0])) > 1)
    world = measured_world(table)
    action = world.space.to_action(table.designs[rows[0]])

    def answer(seed: int) -> float:
        world.reset(seed=seed)
        return float(world.step(action)[1])

    answers = [answer(seed) for seed in range(20)]
    assert answers == [answer(seed) for seed in range(20)]
    assert len(set(answers)) > 1 and set(answers) <= set(table.results[rows, 0])


def test_what_was_never_measured_is_refused_before_it_is_paid() -> None:
    world = make("suzuki")
    design = {**world.pool[0], "temperature": 76.5}
    with pytest.raises(ConfigError, match="no such experiment"):
        world.price(world.space.to_action(design))


def test_prices_may_depend_on_the_design() -> None:
    table = shipped("suzuki")
    world = measured_world(table, prices=lambda design: {"micro_usd": round(1e6 * design["palladium"])})
    assert dict(world.price(world.space.to_action(table.pool[0]))) == {"micro_usd": 500_000}


def test_samples_are_what_was_measured() -> None:
    world = make("suzuki")
    world.action_space.seed(1)
    drawn = [world.space.from_action(world.action_space.sample()) for _ in range(20)]
    assert all(design in world.pool for design in drawn) and len({str(design) for design in drawn}) > 10
    with pytest.raises(ConfigError, match="equal chances"):
        world.action_space.sample(mask={})


def test_nothing_was_measured_before_the_first_step() -> None:
    observation, _ = make("suzuki").reset(seed=0)
    assert not observation["measured"].any()
