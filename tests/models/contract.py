"""What every numeric world model must pass. A new family is tested by adding one `Family` to `FAMILIES`.

`make` answers with a small model whose parts all have something to say: it was fitted or filled by hand, its members
disagree, some of its steps terminate. The tests know nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.errors import FileError
from gedanken.models.anchored import AnchoredModel
from gedanken.models.calibration import LEVELS
from gedanken.models.contract import Imagined, State, VectorModel
from gedanken.models.ensemble import Ensemble, EnsembleConfig
from gedanken.models.monotone import fit_monotone
from gedanken.models.networks import Standardiser
from gedanken.models.recalibration import RecalibrationConfig
from gedanken.models.tasks import fit_tasks
from tests.fakes import AnalyticModel, double_integrator


@dataclass(frozen=True)
class Family:
    """A family under test: `make` builds the same model at each call, `load` reads what it saved."""

    name: str
    make: Callable[[], VectorModel]
    load: Callable[[Path], VectorModel]


def small_ensemble(**options: Any) -> Ensemble:
    """D = 3, A = 2: every part filled by hand; the second dimension never changes."""
    model = Ensemble(
        3,
        2,
        ("steps", "wear"),
        EnsembleConfig(members=3, width=16, depth=2, reward_width=8, reward_depth=1),
        key=jax.random.key(7),
        **options,
    )
    draws = np.random.default_rng(0)
    starts = draws.standard_normal((20, 3)) * [1.0, 0.0, 2.0]
    dynamics = eqx.tree_at(
        lambda d: (d.inputs, d.targets),
        model.dynamics,
        (Standardiser(jnp.zeros(5), jnp.ones(5)), Standardiser(jnp.full(3, 0.1), jnp.array([1.0, 0.0, 0.5]))),
    )
    reward = eqx.tree_at(
        lambda r: (r.rewards, r.costs, r.termination_log_odds, r.can_terminate),
        model.reward,
        (
            Standardiser(jnp.array([-1.0]), jnp.array([2.0])),
            Standardiser(jnp.array([1.0, 5.0]), jnp.array([0.0, 1.0])),
            jnp.asarray(-1.0),
            jnp.asarray(True),
        ),
    )
    calibration = eqx.tree_at(
        lambda c: (c.factors, c.scores, c.confidences, c.episodes),
        model.calibration,
        (
            jnp.arange(1.0, len(LEVELS) + 1)[:, None] * jnp.ones(3),
            jnp.linspace(-3, 3, 16),
            jnp.linspace(0.99, 0.01, 16),
            jnp.asarray(30, jnp.int32),
        ),
    )
    return eqx.tree_at(
        lambda m: (m.dynamics, m.reward, m.tasks, m.calibration),
        model,
        (dynamics, reward, fit_tasks(starts, [{"goal": n % 2} for n in range(20)], draws.random(20)), calibration),
    )


def small_anchored() -> AnchoredModel:
    """A double integrator whose reward is bent by a map and shifted near two places."""
    inner: Any = double_integrator(noise=0.1, spread=0.2, growth=0.5, limit=1.0)
    model = AnchoredModel.of(inner, RecalibrationConfig(knots=4, centres=2))
    recalibration = eqx.tree_at(
        lambda r: (r.map, r.residual.centres, r.residual.coefficients, r.use_map, r.use_residual, r.anchors),
        model.recalibration,
        (
            fit_monotone(imagined=[-4.0, -2.0, -1.0, 0.0], real=[-1.0, -0.9, 0.0, 3.0], knots=4, per_bin=1),
            jnp.asarray([[0.0, 0.0, 0.0], [1.0, -1.0, 0.5]]),
            jnp.asarray([2.0, -1.0]),
            jnp.asarray(True),
            jnp.asarray(True),
            jnp.asarray(40, jnp.int32),
        ),
    )
    return eqx.tree_at(lambda m: m.recalibration, model, recalibration)


FAMILIES = [
    Family("analytic", lambda: double_integrator(noise=0.1, spread=0.2, growth=0.5, limit=1.0), AnalyticModel.load),
    Family("ensemble", small_ensemble, Ensemble.load),
    Family("anchored", small_anchored, partial(AnchoredModel.load, inner=AnalyticModel.load)),
]

B = 40


def asked(model: VectorModel, batch: int = B, seed: int = 0) -> tuple[State, jax.Array]:
    """States that an episode of the model may start in, and actions in [-1, 1]."""
    state = model.start(None, jax.random.key(100 + seed), batch=batch)
    action = np.random.default_rng(seed).uniform(-1, 1, (batch, model.action_size))
    return state, jnp.asarray(action, jnp.float32)


members = eqx.filter_jit(lambda model, state, action: model.members(state, action))
step = eqx.filter_jit(lambda model, state, action, key: model.step(state, action, key))
sample = eqx.filter_jit(lambda model, state, action, key: model.sample(state, action, key))
conclude = eqx.filter_jit(lambda model, state, action, following, key: model.conclude(state, action, following, key))
ONE_STEP = {"step": step, "sample": sample}


def answers(model: VectorModel) -> list[Any]:
    """Every answer of a model to the same questions."""
    state, action = asked(model)
    key = jax.random.key(1)
    following = state.observation + 0.1
    return [
        state,
        members(model, state, action),
        step(model, state, action, key),
        sample(model, state, action, key),
        conclude(model, state, action, following, key),
    ]


def same(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def repeated(model: VectorModel, count: int) -> tuple[State, jax.Array]:
    """The same state and action `count` times."""
    state, action = asked(model)
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[:1], count, axis=0), state), jnp.repeat(action[:1], count, axis=0)


class VectorModelContract:
    """Subclass it and give the fixture `family`, or see tests/models/test_contract.py."""

    @pytest.fixture
    def model(self, family: Family) -> VectorModel:
        return family.make()

    def test_it_has_all_the_verbs(self, model: VectorModel) -> None:
        assert isinstance(model, VectorModel)
        assert model.observation_size >= 1 and model.action_size >= 1

    def test_it_is_a_pytree_of_arrays(self, model: VectorModel) -> None:
        assert any(eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(model))

    # --- Shapes, types, ranges --------------------------------------------------------------------------------------

    @pytest.mark.parametrize("batch", [1, 3, B])
    def test_start_draws_as_many_states_as_are_asked_for(self, model: VectorModel, batch: int) -> None:
        observation = model.start(None, jax.random.key(0), batch=batch).observation
        assert observation.shape == (batch, model.observation_size) and observation.dtype == jnp.float32
        assert np.isfinite(observation).all()

    @pytest.mark.parametrize("verb", ["step", "sample"])
    @pytest.mark.parametrize("batch", [1, 3, B])
    def test_a_step_has_the_shapes_types_and_ranges_of_the_contract(
        self, model: VectorModel, verb: str, batch: int
    ) -> None:
        state, action = asked(model, batch)
        imagined: Imagined = ONE_STEP[verb](model, state, action, jax.random.key(0))
        assert imagined.state.observation.shape == (batch, model.observation_size)
        assert imagined.state.observation.dtype == jnp.float32
        for rows in (imagined.reward, imagined.termination_probability, *imagined.cost.values()):
            assert rows.shape == (batch,) and rows.dtype == jnp.float32 and np.isfinite(rows).all()
        assert np.isfinite(imagined.state.observation).all()
        assert imagined.terminated.shape == (batch,) and imagined.terminated.dtype == bool
        probability = np.asarray(imagined.termination_probability)
        assert (probability >= 0).all() and (probability <= 1).all()
        for doubt in (imagined.epistemic, imagined.aleatoric):
            assert doubt.shape == (batch, model.observation_size) and doubt.dtype == jnp.float32
        assert imagined.confidence.shape == (batch,) and imagined.confidence.dtype == jnp.float32

    def test_a_step_says_how_sure_it_is(self, model: VectorModel) -> None:
        imagined = step(model, *asked(model), jax.random.key(0))
        for doubt in (imagined.epistemic, imagined.aleatoric):
            assert np.isfinite(doubt).all() and (np.asarray(doubt) >= 0).all()
        confidence = np.asarray(imagined.confidence)
        assert (np.isnan(confidence) | ((confidence >= 0) & (confidence <= 1))).all()

    def test_what_was_not_asked_is_not_known(self, model: VectorModel) -> None:
        state, action = asked(model)
        key = jax.random.key(0)
        for imagined in (
            sample(model, state, action, key),
            conclude(model, state, action, state.observation, key),
        ):
            for unknown in (imagined.epistemic, imagined.aleatoric, imagined.confidence):
                assert np.isnan(unknown).all()

    def test_members_answer_in_the_observations_units(self, model: VectorModel) -> None:
        said = members(model, *asked(model))
        assert said.mean.ndim == 3 and said.mean.shape[1:] == (B, model.observation_size)
        assert said.std.shape == said.mean.shape
        assert np.isfinite(said.mean).all() and np.isfinite(said.std).all() and (np.asarray(said.std) >= 0).all()

    def test_to_conclude_keeps_the_observation_that_the_caller_chose(self, model: VectorModel) -> None:
        state, action = asked(model)
        chosen = state.observation + jnp.linspace(-1, 1, B)[:, None]
        imagined = conclude(model, state, action, chosen, jax.random.key(0))
        assert np.array_equal(imagined.state.observation, chosen)
        for rows in (imagined.reward, imagined.termination_probability, *imagined.cost.values()):
            assert rows.shape == (B,) and np.isfinite(rows).all()

    # --- Purity -----------------------------------------------------------------------------------------------------

    def test_the_same_key_gives_the_same_answer_and_another_one_another(self, model: VectorModel) -> None:
        state, action = asked(model)
        for verb in ONE_STEP.values():
            one, again, other = (verb(model, state, action, jax.random.key(k)) for k in (1, 1, 2))
            assert same(one, again)
            assert not np.array_equal(one.state.observation, other.state.observation)
        assert not np.array_equal(state.observation, model.start(None, jax.random.key(5), batch=B).observation)

    def test_every_row_is_on_its_own(self, model: VectorModel) -> None:
        state, action = asked(model)
        spoilt = state._replace(observation=state.observation.at[3].set(jnp.nan))
        others = np.arange(B) != 3
        for verb in ONE_STEP.values():
            clean, dirty = (verb(model, s, action, jax.random.key(1)) for s in (state, spoilt))
            for a, b in zip(jax.tree.leaves(clean), jax.tree.leaves(dirty), strict=True):
                assert np.array_equal(np.asarray(a)[others], np.asarray(b)[others], equal_nan=True)
        order = np.random.default_rng(0).permutation(B)
        shuffled = members(model, jax.tree.map(lambda leaf: leaf[order], state), action[order])
        for a, b in zip(members(model, state, action), shuffled, strict=True):
            np.testing.assert_allclose(np.asarray(a)[:, order], b, rtol=1e-5, atol=1e-6)

    def test_other_parameters_run_the_same_compiled_program(self, model: VectorModel) -> None:
        traces = []

        @eqx.filter_jit
        def rollout(model: VectorModel, state: State, key: jax.Array) -> Any:
            traces.append(None)

            def one(state: State, key: jax.Array) -> tuple[State, Imagined]:
                imagined = model.step(state, jnp.zeros((B, model.action_size)), key)
                return imagined.state, imagined

            return jax.lax.scan(one, state, jax.random.split(key, 3))

        state, _ = asked(model)
        other = jax.tree.map(lambda leaf: 1.1 * leaf if eqx.is_inexact_array(leaf) else leaf, model)
        last, imagined = rollout(model, state, jax.random.key(0))
        assert not same(last, rollout(other, state, jax.random.key(0))[0])
        assert len(traces) == 1
        assert imagined.reward.shape == (3, B) and np.isfinite(imagined.state.observation).all()

    # --- Chance -----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("verb", ["step", "sample"])
    def test_what_is_drawn_is_what_the_members_say_together(self, model: VectorModel, verb: str) -> None:
        count = 6000
        state, action = repeated(model, count)
        imagined = ONE_STEP[verb](model, state, action, jax.random.key(2))
        drawn = np.asarray(imagined.state.observation, np.float64)
        one_state, one_action = repeated(model, 1)
        said = members(model, one_state, one_action)
        mean, std = (np.asarray(leaf[:, 0], np.float64) for leaf in said)
        variance = mean.var(0) + np.square(std).mean(0)
        error = np.sqrt(variance / count)
        assert (np.abs(drawn.mean(0) - mean.mean(0)) <= 5 * error + 1e-6).all()
        if verb == "sample":
            np.testing.assert_allclose(drawn.var(0), variance, rtol=0.15, atol=1e-10)
        else:
            spread = np.square(imagined.epistemic[0]) + np.square(imagined.aleatoric[0])
            np.testing.assert_allclose(spread, variance, rtol=1e-3, atol=1e-10)

    def test_episodes_end_as_often_as_is_said(self, model: VectorModel) -> None:
        count = 6000
        state, action = asked(model, count)
        imagined = sample(model, state, action, jax.random.key(3))
        probability = np.asarray(imagined.termination_probability, np.float64)
        assert 0 < probability.mean() < 1, "the model under test must be able to do both"
        error = np.sqrt((probability * (1 - probability)).sum()) / count
        assert abs(np.asarray(imagined.terminated).mean() - probability.mean()) <= 5 * error + 1e-9

    # --- Gradients --------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("verb", ["step", "sample"])
    def test_a_rollout_can_be_differentiated_whatever_is_read_of_it(self, model: VectorModel, verb: str) -> None:
        state, actions = asked(model)

        def total(actions: jax.Array, start: jax.Array) -> jax.Array:
            def one(state: State, key: jax.Array) -> tuple[State, Imagined]:
                imagined = getattr(model, verb)(state, actions, key)
                return imagined.state, imagined

            _, imagined = jax.lax.scan(one, State(start, state.memory), jax.random.split(jax.random.key(0), 2))
            read = [imagined.state.observation, imagined.reward, imagined.termination_probability]
            if verb == "step":
                read += [imagined.epistemic, imagined.aleatoric, imagined.confidence]
            return sum(jnp.sum(leaf) for leaf in read)

        gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(actions, state.observation)
        assert all(np.isfinite(gradient).all() for gradient in gradients)
        assert np.abs(gradients[0]).max() > 0

    # --- Identity and files -----------------------------------------------------------------------------------------

    def test_its_id_names_its_parameters(self, model: VectorModel, family: Family) -> None:
        assert model.id == family.make().id
        other = jax.tree.map(lambda leaf: leaf + 1e-3 if eqx.is_inexact_array(leaf) else leaf, model)
        assert other.id != model.id

    def test_what_is_saved_answers_as_before(self, model: VectorModel, family: Family, tmp_path: Path) -> None:
        model.save(tmp_path / "model")
        loaded = family.load(tmp_path / "model")
        assert loaded.id == model.id
        assert (loaded.observation_size, loaded.action_size) == (model.observation_size, model.action_size)
        for one, other in zip(answers(model), answers(loaded), strict=True):
            assert same(one, other)

    def test_a_file_that_was_tampered_with_is_refused(self, model: VectorModel, family: Family, tmp_path: Path) -> None:
        with pytest.raises(FileError):
            family.load(tmp_path / "nothing")
        model.save(tmp_path / "model")
        for path in sorted(path for path in (tmp_path / "model").rglob("*") if path.is_file()):
            content = path.read_bytes()
            flipped = bytearray(content)
            flipped[len(content) // 2] ^= 1
            for wrong in (bytes(flipped), content[: len(content) // 2], b""):
                path.write_bytes(wrong)
                with pytest.raises(FileError):
                    family.load(tmp_path / "model")
            path.unlink()
            with pytest.raises(FileError):
                family.load(tmp_path / "model")
            path.write_bytes(content)
        assert family.load(tmp_path / "model").id == model.id
