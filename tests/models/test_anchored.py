"""What anchored models add to the contract, which tests/models/test_contract.py holds them to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.errors import FileError
from gedanken.models.anchored import AnchoredFamily, AnchoredModel, features_of, imagined_rewards
from gedanken.models.contract import FitReport, State
from gedanken.models.data import Columns, TransitionTable
from gedanken.models.recalibration import RecalibrationConfig
from gedanken.models.tasks import Tasks
from tests.fakes import AnalyticModel, double_integrator
from tests.models.contract import asked, same, sample, small_anchored, small_ensemble, step

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Known:
    """A family whose model is the true system, and needs no fit."""

    def create(self, observation_size: int, action_size: int, resources: tuple[str, ...], *, key: Any) -> Any:
        return double_integrator()

    def fit(self, model: Any, table: TransitionTable, *, key: Any, progress: Any = None) -> tuple[Any, FitReport]:
        return model, FitReport(table.size, 0, None, 0, False, 0.0)


def table(real: Any, *, held_out: bool = True) -> TransitionTable:
    """300 steps of the double integrator in 10 episodes; `real` makes their rewards of what the model imagines."""
    system, draws = double_integrator(), np.random.default_rng(0)
    observation = draws.uniform(-1, 1, (300, 2)).astype(np.float32)
    action = draws.uniform(-1, 1, (300, 1)).astype(np.float32)
    made = TransitionTable(512, 2, 1, ())
    made.add(
        Columns(
            observation=observation,
            action=action,
            reward=real(np.asarray(system.reward(observation, action))),
            terminated=np.zeros(300, bool),
            next_observation=np.asarray(system.truth(observation, action)),
            cost=np.zeros((300, 0), np.float32),
            episode=np.arange(300, dtype=np.int32) // 30,
            held_out=np.full(300, held_out),
        )
    )
    return made


def test_without_anchors_it_answers_as_its_inner_model_does() -> None:
    inner: Any = small_ensemble()
    bare = AnchoredModel.of(inner)
    state, action = asked(inner)
    for verb in (step, sample):
        assert same(verb(bare, state, action, KEY), verb(inner, state, action, KEY))


def test_anchors_change_rewards_and_nothing_else() -> None:
    model = small_anchored()
    state, action = asked(model)
    said, before = sample(model, state, action, KEY), sample(model.inner, state, action, KEY)
    assert same(said._replace(reward=before.reward), before)
    assert not np.allclose(said.reward, before.reward)
    features = features_of(said.state.observation, action)
    np.testing.assert_allclose(said.reward, model.recalibration(before.reward, features), rtol=1e-5)


def test_its_id_keeps_the_provenance() -> None:
    model = small_anchored()
    assert model.id.startswith(f"{model.inner.id}+anchored-")
    other = eqx.tree_at(lambda m: m.recalibration.residual.coefficients, model, jnp.zeros(2))
    assert other.id != model.id and other.id.partition("+")[0] == model.id.partition("+")[0]


def test_it_states_the_intervals_of_its_inner_model_or_that_they_are_not_known() -> None:
    inner: Any = small_ensemble()
    state, action = asked(inner)
    assert same(AnchoredModel.of(inner).interval(state, action, 0.9), inner.interval(state, action, 0.9))
    low, high = small_anchored().interval(State(jnp.zeros((3, 2))), jnp.zeros((3, 1)), 0.9)
    assert np.isneginf(low).all() and np.isposinf(high).all()


def test_tasks_can_be_put_in_place_of_those_it_has() -> None:
    model = AnchoredModel.of(small_ensemble())
    tasks = Tasks.unknown(3, ("another",))
    assert eqx.tree_at(lambda m: m.tasks, model, tasks).inner.tasks.names == ("another",)


def test_anchors_of_another_model_are_refused(tmp_path: Path) -> None:
    model = small_anchored()
    model.save(tmp_path / "model")
    double_integrator(noise=0.5).save(tmp_path / "model" / "inner")
    with pytest.raises(FileError, match="another model"):
        AnchoredModel.load(tmp_path / "model", inner=AnalyticModel.load)


def test_imagined_rewards_come_in_blocks_and_in_order() -> None:
    system, draws = double_integrator(), np.random.default_rng(1)
    rows = [draws.standard_normal((1_500, size)).astype(np.float32) for size in (2, 1, 2)]
    said = imagined_rewards(system, *rows, key=KEY)
    assert said.mean == pytest.approx(np.asarray(system.reward(rows[0], rows[1])), rel=1e-4, abs=1e-5)
    assert said.spread.max() < 1e-6
    assert imagined_rewards(system, *(each[:0] for each in rows), key=KEY).mean.shape == (0,)


def test_a_family_is_anchored_by_held_out_transitions_alone() -> None:
    family: Any = AnchoredFamily(Known(), RecalibrationConfig(centres=32))
    begun = family.create(2, 1, (), key=KEY)
    # Without noise, all that a residual could mend is rounding, and which one is chosen would hang on the processor.
    noise = np.random.default_rng(0).normal(0.0, 0.02, 300)
    grown, report = family.fit(begun, table(lambda reward: np.expm1(reward) + noise), key=KEY)
    assert report.rows == 300 and grown.recalibration.kind == "monotone" and int(grown.recalibration.anchors) == 300
    assert grown.recalibration.error < 0.1 * grown.recalibration.error_without
    untouched, _ = family.fit(begun, table(lambda reward: np.expm1(reward), held_out=False), key=KEY)
    assert untouched.recalibration.kind == "identity"
    again, _ = family.fit(grown, table(lambda reward: np.expm1(reward) + noise), key=KEY)
    assert again.id == grown.id
    assert jax.tree.structure(begun) == jax.tree.structure(grown)
    shapes = [[(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(each)] for each in (begun, grown)]
    assert shapes[0] == shapes[1]
