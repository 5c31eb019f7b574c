"""Every model family that is installed against what the loop asks of it; one that is added is found by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from gedanken import plugins
from gedanken.errors import ConfigError
from gedanken.models.contract import Family, FitReport, LearnedModel, State, VectorModel
from gedanken.models.data import Columns, TransitionTable
from gedanken.models.ensemble import EnsembleConfig
from gedanken.models.fitting import EnsembleFamily, FitConfig
from gedanken.models.tasks import Tasks, fit_tasks
from tests.fakes import double_integrator

SMALL: dict[str, Any] = {
    "ensemble": EnsembleFamily(
        EnsembleConfig(members=2, width=32, depth=1, reward_width=8, reward_depth=1),
        FitConfig(batch=64, chunk=50, least=600, most=1_000),
    ),
}
"""Smaller than by default, so that they are fast."""

D, A, RESOURCES = 2, 1, ("steps",)


@pytest.fixture(params=sorted(plugins.find("gedanken.models")))
def family(request: pytest.FixtureRequest) -> Family:
    made: Family = SMALL.get(request.param) or plugins.load("gedanken.models", request.param, what="model family")()
    return made


def table(count: int = 400, *, held_out: bool = True) -> TransitionTable:
    """Steps of a double integrator in ten episodes, of which two are held out."""
    draws, system = np.random.default_rng(0), double_integrator()
    made = TransitionTable(512, D, A, RESOURCES)
    if count:
        observation = draws.uniform(-1, 1, (count, D)).astype(np.float32)
        action = draws.uniform(-1, 1, (count, A)).astype(np.float32)
        episode = np.arange(count, dtype=np.int32) * 10 // count
        made.add(
            Columns(
                observation=observation,
                action=action,
                reward=np.asarray(system.reward(observation, action)),
                terminated=np.zeros(count, bool),
                next_observation=np.asarray(system.truth(observation, action)),
                cost=np.ones((count, 1), np.float32),
                episode=episode,
                held_out=np.isin(episode, [3, 7]) & held_out,
            )
        )
    return made


def fresh(family: Family, seed: int = 0) -> LearnedModel:
    return family.create(D, A, RESOURCES, key=jax.random.key(seed))


def fitted(family: Family, seed: int = 0) -> tuple[LearnedModel, FitReport]:
    return family.fit(fresh(family), table(), key=jax.random.key(seed))


def arrays(model: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array))]


def error(model: VectorModel) -> float:
    """Root-mean-square error of the mean prediction, as a share of how much an observation changes."""
    rows = table().filled()
    said = eqx.filter_jit(lambda m, o, a: m.members(State(o), a).mean.mean(0))(model, rows.observation, rows.action)
    change = rows.next_observation - rows.observation
    return float(np.sqrt(np.square(said - rows.next_observation).mean()) / np.sqrt(np.square(change).mean()))


def test_it_makes_models_with_all_the_verbs_and_tasks(family: Family) -> None:
    model = fresh(family)
    assert isinstance(model, VectorModel) and isinstance(model, eqx.Module) and isinstance(model.tasks, Tasks)
    assert (model.observation_size, model.action_size) == (D, A)


def test_a_fit_learns_the_world_and_keeps_the_models_shape(family: Family) -> None:
    model, report = fitted(family)
    assert error(model) < 0.3
    assert report.rows == 320 and report.held_out_rows == 80
    assert report.held_out_error is None or 0 <= report.held_out_error < 0.5
    before = fresh(family)
    assert jax.tree.structure(before) == jax.tree.structure(model)
    assert [(a.shape, a.dtype) for a in arrays(before)] == [(a.shape, a.dtype) for a in arrays(model)]


def test_a_key_decides(family: Family) -> None:
    one, other = fitted(family)[0], fitted(family)[0]
    assert one.id == other.id != fresh(family).id


def test_tasks_can_be_put_in_place_of_those_it_has(family: Family, tmp_path: Path) -> None:
    starts = np.random.default_rng(0).standard_normal((30, D)).astype(np.float32)
    tasks = fit_tasks(starts, [{}] * 30, np.arange(30.0))
    model = eqx.tree_at(lambda m: m.tasks, fitted(family)[0], tasks)
    drawn = np.asarray(model.start(None, jax.random.key(0), batch=200).observation)
    np.testing.assert_allclose(drawn.mean(0), starts.mean(0), atol=0.5)
    model.save(tmp_path / "model")
    assert type(model).load(tmp_path / "model").id == model.id


def test_without_a_row_there_is_nothing_to_fit(family: Family) -> None:
    with pytest.raises(ConfigError):
        family.fit(fresh(family), table(0), key=jax.random.key(0))
