"""Settings per world."""

from __future__ import annotations

import gymnasium as gym
import pytest

from gedanken.intermediary.config import RunConfig, from_plain, to_plain
from gedanken.intermediary.presets import _PRESETS, preset


@pytest.mark.parametrize("world", sorted(_PRESETS))
def test_every_preset_is_a_valid_configuration_of_a_world_that_exists(world: str) -> None:
    config = preset(world)
    assert config.world == world and gym.spec(world).id == world
    assert from_plain(to_plain(config)) == config
    assert config.budget["steps"] > config.collect.warmup


def test_a_world_may_be_named_with_its_room() -> None:
    with_room, without = to_plain(preset("robotics/Pendulum-v1")), to_plain(preset("Pendulum-v1"))
    assert with_room.pop("world") == "robotics/Pendulum-v1" and without.pop("world") == "Pendulum-v1"
    assert with_room == without != {**to_plain(RunConfig()), "world": ""}


def test_any_other_world_gets_the_defaults() -> None:
    assert preset("Mine") == RunConfig(world="Mine")


def test_the_quickstarts_worlds_stay_within_their_promise() -> None:
    assert preset("InvertedPendulum-v5").budget["steps"] <= 1_500
    assert preset("Pendulum-v1").budget["steps"] <= 1_500
