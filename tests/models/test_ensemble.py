"""What the ensemble promises beyond the contract of all world models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.errors import ConfigError, FileError
from gedanken.models import ensemble
from gedanken.models.contract import State
from gedanken.models.ensemble import Ensemble, EnsembleConfig
from gedanken.models.files import read_meta, write_tree
from tests.models.contract import asked, conclude, members, sample, small_ensemble, step


def speed(observation: jax.Array, action: jax.Array, following: jax.Array) -> jax.Array:
    return following[:, 0] - observation[:, 0]


def fallen(observation: jax.Array, action: jax.Array, following: jax.Array) -> jax.Array:
    return following[:, 0] > 0.0


def test_uncertainty_is_spread_of_the_means_and_mean_variance() -> None:
    model = small_ensemble()
    state, action = asked(model)
    said, imagined = members(model, state, action), step(model, state, action, jax.random.key(0))
    np.testing.assert_allclose(imagined.epistemic, np.asarray(said.mean).std(0), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(imagined.aleatoric, np.sqrt(np.square(said.std).mean(0)), rtol=1e-3, atol=1e-6)
    wanted = model.calibration.confidence(imagined.epistemic, imagined.aleatoric)
    np.testing.assert_allclose(imagined.confidence, wanted, atol=1e-5)


def test_a_large_batch_is_imagined_in_blocks_and_means_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_ensemble()
    state, action = asked(model, 100)
    monkeypatch.setattr(ensemble, "BLOCK", 32)
    imagined = eqx.filter_jit(lambda model, *question: model.sample(*question))(model, state, action, jax.random.key(0))
    said = members(model, state, action)
    # Every row lies where some member expects it, give or take its noise.
    z = np.abs(np.asarray(imagined.state.observation) - said.mean)[..., [0, 2]] / np.asarray(said.std)[..., [0, 2]]
    assert z.max(-1).min(0).max() < 5
    assert imagined.reward.shape == (100,) and np.isfinite(imagined.reward).all()
    assert set(imagined.cost) == {"steps", "wear"}


def test_costs_go_by_the_names_of_the_resources() -> None:
    model = small_ensemble()
    imagined = sample(model, *asked(model), jax.random.key(0))
    assert list(imagined.cost) == ["steps", "wear"]
    assert (np.asarray(imagined.cost["steps"]) == 1.0).all(), "it never varied"
    assert np.asarray(imagined.cost["wear"]).std() > 0


def test_an_interval_lies_around_the_mean_and_is_infinite_where_nothing_is_known() -> None:
    model = small_ensemble()
    state, action = asked(model)
    said = members(model, state, action)
    low, high = model.interval(state, action, 0.9)
    np.testing.assert_allclose(0.5 * (low + high), said.mean.mean(0), rtol=1e-4, atol=1e-5)
    std = np.sqrt(np.asarray(said.mean).var(0) + np.square(said.std).mean(0))
    np.testing.assert_allclose(high - low, 2 * 3.0 * std, rtol=1e-3, atol=1e-5)
    unknown = Ensemble(3, 2, config=EnsembleConfig(members=2, width=4, depth=1), key=jax.random.key(0))
    low, high = unknown.interval(State(jnp.zeros((2, 3))), jnp.zeros((2, 2)), 0.9)
    assert np.isneginf(low).all() and np.isposinf(high).all()


def test_a_task_names_where_to_start() -> None:
    model = small_ensemble()
    key = jax.random.key(0)
    drawn = model.start({"goal": 1}, key, batch=50).observation
    assert np.array_equal(drawn, model.tasks.sample(key, 50, task=model.tasks.index({"goal": 1})))
    assert not np.array_equal(drawn, model.start({"goal": 0}, key, batch=50).observation)
    with pytest.raises(ConfigError, match="goal"):
        model.start({"goal": 3}, jax.random.key(0), batch=1)


def test_functions_of_the_user_override_and_must_be_given_again(tmp_path: Path) -> None:
    given: dict[str, Any] = {"reward_function": speed, "termination_function": fallen}
    model = small_ensemble(**given)
    state, action = asked(model)
    following = state.observation + jnp.linspace(-1, 1, len(action))[:, None]
    imagined = conclude(model, state, action, following, jax.random.key(0))
    np.testing.assert_allclose(imagined.reward, following[:, 0] - state.observation[:, 0], rtol=1e-6)
    assert np.array_equal(imagined.terminated, following[:, 0] > 0)

    model.save(tmp_path / "model")
    for missing in given:
        with pytest.raises(ConfigError, match=missing):
            Ensemble.load(tmp_path / "model", **{name: given[name] for name in given if name != missing})
    loaded = Ensemble.load(tmp_path / "model", **given)
    again = conclude(loaded, state, action, following, jax.random.key(0))
    assert np.array_equal(again.reward, imagined.reward) and np.array_equal(again.terminated, imagined.terminated)


def test_a_learned_model_can_be_loaded_with_a_function_of_the_user(tmp_path: Path) -> None:
    small_ensemble().save(tmp_path / "model")
    loaded = Ensemble.load(tmp_path / "model", termination_function=fallen)
    state, action = asked(loaded)
    imagined = conclude(loaded, state, action, state.observation, jax.random.key(0))
    assert np.array_equal(imagined.terminated, state.observation[:, 0] > 0)


def test_tasks_and_calibration_are_saved_too(tmp_path: Path) -> None:
    model = small_ensemble()
    model.save(tmp_path / "model")
    loaded = Ensemble.load(tmp_path / "model")
    assert loaded.tasks.names == model.tasks.names
    assert int(loaded.calibration.episodes) == 30
    for one, other in zip(jax.tree.leaves(model), jax.tree.leaves(loaded), strict=True):
        assert np.array_equal(one, other, equal_nan=True)


def test_a_model_of_a_later_version_is_refused_as_such(tmp_path: Path) -> None:
    model = small_ensemble()
    model.save(tmp_path / "model")
    meta = read_meta(tmp_path / "model", kind="ensemble")
    meta["config"]["gates"] = 3
    write_tree(tmp_path / "model", eqx.filter(model, eqx.is_array), kind="ensemble", meta=meta)
    with pytest.raises(FileError, match="gates"):
        Ensemble.load(tmp_path / "model")


def test_what_it_predicts_can_be_the_observation_itself() -> None:
    for predict, kept in (("delta", 1.0), ("direct", 0.0)):
        config = EnsembleConfig(members=2, width=4, depth=1, predict=predict)  # type: ignore[arg-type]
        model = Ensemble(2, 1, config=config, key=jax.random.key(0))
        blank = jax.tree.map(lambda x: jnp.zeros_like(x) if eqx.is_array(x) else x, model.dynamics.members)
        model = eqx.tree_at(lambda m: m.dynamics.members, model, blank)
        mean = model.members(State(jnp.ones((1, 2))), jnp.zeros((1, 1))).mean
        assert (np.asarray(mean) == kept).all()


@pytest.mark.parametrize(
    "wrong",
    [{"members": 0}, {"width": 0}, {"depth": 0}, {"reward_width": 0}, {"reward_depth": -1}, {"predict": "Delta"}],
)
def test_an_architecture_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        EnsembleConfig(**wrong)


def test_the_same_key_makes_the_same_model_and_its_members_differ() -> None:
    def make(seed: int) -> Ensemble:
        config = EnsembleConfig(members=2, width=4, depth=1)
        return Ensemble(2, 1, config=config, key=jax.random.key(seed))

    assert make(0).id == make(0).id != make(1).id
    first, second = make(0).dynamics.members.networks.layers[0].weight
    assert not np.array_equal(first, second)
