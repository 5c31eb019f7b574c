import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.models.gaussian_process.emulator import make
from gedanken.worlds import registry
from gedanken.worlds.science.table import shipped


def test_it_answers_between_the_measurements_and_says_what_it_is() -> None:
    world = registry.make("science_emulated/snar")
    assert world.name == "science_emulated/snar" and world.pool is None  # type: ignore[attr-defined]
    table = shipped("snar")
    told, truth = [], table.mean()
    for design in table.pool[:30]:
        world.reset(seed=0)
        told.append(world.step(world.space.to_action(design))[0]["values"][0])  # type: ignore[attr-defined]
    assert np.corrcoef(told, truth[:30])[0, 1] > 0.9
    world.action_space.seed(3)
    world.reset(seed=1)
    assert np.isfinite(world.step(world.action_space.sample())[0]["values"]).all()


def test_there_is_one_of_every_table_and_of_nothing_else() -> None:
    with pytest.raises(ConfigError, match="no such table"):
        make("nope")
