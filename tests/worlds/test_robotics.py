"""The vector robots: their defaults, and a MuJoCo that neither litters nor hides that it gave up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gedanken.errors import ConfigError, WorldError
from gedanken.worlds import robotics


def test_defaults() -> None:
    world = robotics.make("Hopper-v5")
    assert (world.name, dict(world.price(None)), world.unit, world.free_reset) == (
        "Hopper-v5",
        {"steps": 1},
        "episode",
        True,
    )
    world.reset(seed=0)
    info = world.step(np.zeros(3))[4]
    assert info["cost"] == {"steps": 1}
    assert "success" not in info and "is_success" not in info, "whether a hop succeeds is not known"


def test_options() -> None:
    world = robotics.make("Hopper-v5", prices={"wear": 2}, env={"max_episode_steps": 30}, unit="step")
    assert (dict(world.price(None)), world.max_episode_steps, world.unit_steps) == ({"wear": 2}, 30, 1)


@pytest.mark.parametrize("env", [{"no_such_option": 1}, {"xml_file": "no_such_file.xml"}])
def test_options_that_the_env_does_not_have(env: dict[str, object]) -> None:
    with pytest.raises((ConfigError, OSError)):
        robotics.make("Hopper-v5", env=env)


DIVERGE = """
import numpy as np
from gedanken.errors import WorldError
from gedanken.worlds import robotics
world = robotics.make("Hopper-v5")
world.reset(seed=0)
world.unwrapped.data.qvel[:] = 1e12
try:
    world.step(np.zeros(3))
except WorldError as error:
    print(error)
world.reset(seed=0)
world.step(np.zeros(3))
print("it goes on")
"""


def test_a_simulation_that_diverges_is_an_error_and_leaves_no_log_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIVERGE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": ""},
    )
    assert "The simulation diverged" in done.stdout and "mjWARN_BADQVEL" in done.stdout, done.stderr
    assert done.stdout.endswith("it goes on\n")
    assert list(tmp_path.iterdir()) == []
    assert done.stderr == ""


def test_a_diverged_step_is_not_returned_by_the_world_either() -> None:
    world = robotics.make("InvertedPendulum-v5")
    world.reset(seed=0)
    world.unwrapped.data.qpos[:] = 1e15
    with pytest.raises(WorldError):
        world.step(np.zeros(1))
