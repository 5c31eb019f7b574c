from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.experience.cost import Cost
from gedanken.worlds import registry
from gedanken.worlds.ml_engineering import world as worlds
from gedanken.worlds.ml_engineering.attempt import VALID, Verdict
from gedanken.worlds.ml_engineering.world import LONGEST, OUTPUT, VERDICTS, engineering_world, price_of
from gedanken.worlds.sandbox import Isolation, Limits
from gedanken.worlds.world import World
from tests.worlds.ml_engineering.tasks import answering, apart, small

LIMITS = Limits(seconds=20.0, memory_mb=300, output_kb=100)


def made(**limits: Any) -> World:
    return engineering_world(small("regression"), limits=Limits(**(vars(LIMITS) | limits)), isolation=apart())


@pytest.fixture
def world() -> Iterator[World]:
    world = made()
    world.reset(seed=0)
    yield world
    world.close()


def following(share: float) -> str:
    """A program that knows something: the number that the target follows, or a share of it."""
    return answering(f"{share} * float(row['number'])")


def test_before_the_first_attempt_nothing_is_known() -> None:
    observation, info = made().reset(seed=0)
    assert (observation["stage"], observation["scored"], observation["best"], observation["output"]) == (0, 0, 0, "")
    assert info["cost"] == {}


def test_rewards_add_up_to_the_best_skill(world: World) -> None:
    seen = [world.step(following(share)) for share in (0.3, -1.0, 0.8, 0.5, 1.0)]
    skills = [float(observation["skill"]) for observation, *_ in seen]
    best = np.maximum.accumulate(np.maximum(skills, 0))
    assert [float(observation["best"]) for observation, *_ in seen] == best.tolist()
    rewards = [step[1] for step in seen]
    assert np.cumsum(rewards) == pytest.approx(best) and best[-1] > 0.5
    assert rewards[1] == rewards[3] == 0 and skills[1] < 0 and min(rewards[0], rewards[2], rewards[4]) > 0
    world.reset()
    assert world.step(following(0.3))[1] == pytest.approx(skills[0]), "a new campaign begins at nothing"


def test_what_went_well_is_observed(world: World) -> None:
    observation, _, terminated, truncated, info = world.step(answering(then="print('told')"))
    assert (VERDICTS[observation["verdict"]], observation["stage"], observation["scored"]) == (Verdict.OK, VALID, 1)
    assert observation["output"] == "told" and info["success"] and not terminated and not truncated
    assert float(observation["seconds"]) == info["cost"]["milliseconds"] / 1_000 > 0


def test_the_hidden_score_is_for_the_record_alone(world: World) -> None:
    observation, *_, info = world.step(following(0.7))
    hidden = info["hidden"]
    assert hidden["skill"] != float(observation["skill"]) and 0 < hidden["skill"] <= 1
    told = json.dumps({name: np.asarray(value).tolist() for name, value in observation.items()})
    assert not any(str(value)[:8] in told for value in hidden.values())
    assert "hidden" not in world.step("1 / 0")[-1]


@pytest.mark.parametrize("program", ["x = (1,", " \n", "return"])
def test_what_is_rejected_costs_nothing_and_earns_nothing(world: World, program: str) -> None:
    assert world.price(program) == Cost()
    observation, reward, _, _, info = world.step(program)
    assert (VERDICTS[observation["verdict"]], observation["stage"], reward) == (Verdict.REJECTED, 0, 0.0)
    assert not any(info["cost"].values()) and info["success"] is False and observation["output"]


def test_what_fails_earns_nothing_but_is_paid(world: World) -> None:
    observation, reward, _, _, info = world.step("print('so far')\n1 / 0")
    assert (VERDICTS[observation["verdict"]], reward, observation["scored"]) == (Verdict.ERROR, 0.0, 0)
    assert observation["output"] == "so far\n\nZeroDivisionError: division by zero"
    assert info["cost"]["milliseconds"] > 0 and info["success"] is False


@pytest.mark.parametrize(
    "program",
    [
        "print(chr(233) * 3, chr(0x1F600), chr(0), chr(27))",
        "import sys; sys.stdout.buffer.write(bytes(range(256)))",
        "print(chr(233) * 9000)",
        "raise ValueError(chr(233))",
        "open('submission.csv', 'w').write('id,' + chr(0x1F600))",
        answering("-1e150"),
        answering("1e300"),
    ],
)
def test_whatever_it_says_is_observed_in_the_space(world: World, program: str) -> None:
    """`World` raises where it is not."""
    observation = world.step(program)[0]
    assert observation in world.observation_space
    assert len(observation["output"]) <= OUTPUT and observation["output"].isascii()


def test_the_end_of_what_it_prints_is_observed(world: World) -> None:
    observation, *_ = world.step("for i in range(5000): print(i)")
    assert len(observation["output"]) == OUTPUT
    assert "\n4999\n" in observation["output"] and "\n1000\n" not in observation["output"]


@pytest.mark.parametrize("program", ["", "x" * (LONGEST + 1), "print('é')"])
def test_what_is_no_action_is_refused(world: World, program: str) -> None:
    with pytest.raises(ConfigError, match="not one of world"):
        world.step(program)


def test_the_price_covers_every_core() -> None:
    """Of programs with several processes, the processor time is more than that by the clock."""
    world = made(seconds=1.5)
    world.reset(seed=0)
    busy = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    most = world.price(busy)
    *_, info = world.step(busy)
    assert all(amount <= most.of(name) for name, amount in info["cost"].items()) and info["cost"]["cpu_ms"] > 0
    assert price_of(Limits(seconds=1.5)).of("cpu_ms") == (os.cpu_count() or 1) * (1_500 + worlds._SLACK_MS)


def test_worlds_by_name(tmp_path: Path) -> None:
    world = registry.make("ml_engineering/wine", limits=LIMITS, isolation=apart())
    assert world.name == "ml_engineering/wine" and world.max_episode_steps == 1_000 and world.unit_steps == 1
    rows = "".join(f"{i},{i * 0.5}\n" for i in range(60))
    (tmp_path / "data.csv").write_text("x,y\n" + rows)
    (tmp_path / "task.toml").write_text('data = "data.csv"\ntarget = "y"\nname = "mine"\n')
    assert registry.make(f"ml_engineering/{tmp_path}").name == "ml_engineering/mine"
    with pytest.raises(ConfigError, match="no such task"):
        registry.make("ml_engineering/titanic")


def test_isolation_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from gedanken.worlds.sandbox import isolation

    monkeypatch.setattr(isolation, "missing", lambda level: "" if level is Isolation.LIMITS else "forbidden")
    world = engineering_world(small("regression"))
    world.reset(seed=0)
    with pytest.raises(Exception, match="so none is run"):
        world.step(answering())
