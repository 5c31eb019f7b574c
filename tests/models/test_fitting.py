"""Fitting on worlds whose truth is known: what is recovered, what has no say, and when it stops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.models.data import Columns, TransitionTable
from gedanken.models.ensemble import Ensemble, EnsembleConfig
from gedanken.models.fitting import FitConfig, fit, predict_with_doubt
from gedanken.models.stack import Stack

TRANSITION = np.array([[1.0, -0.1], [0.2, 0.9]])
CONTROL = np.array([[0.3, 0.5]])
NOISE = np.array([0.1, 0.2])
SMALL = EnsembleConfig(members=2, width=32, depth=1, layer_norm=False, reward_width=16, reward_depth=1)
QUICK = FitConfig(batch=64, chunk=100, least=100, most=100, held_out_rows=512, learning_rate=3e-3)


def rows(count: int, *, seed: int = 0, held_out: bool = True, first_episode: int = 0) -> Columns:
    """A linear world with Gaussian noise and a quadratic reward; every fifth episode of 20 steps is held out."""
    draws = np.random.default_rng(seed)
    observation, action = draws.standard_normal((count, 2)), draws.uniform(-1, 1, (count, 1))
    following = observation @ TRANSITION + action @ CONTROL + NOISE * draws.standard_normal((count, 2))
    episode = first_episode + np.arange(count) // 20
    return Columns(
        observation=observation.astype(np.float32),
        action=action.astype(np.float32),
        reward=(following[:, 0] - 0.5 * action[:, 0] ** 2).astype(np.float32),
        terminated=np.zeros(count, bool),
        next_observation=following.astype(np.float32),
        cost=np.full((count, 1), 3.7, np.float32),
        episode=episode.astype(np.int32),
        held_out=(episode % 5 == 4) & held_out,
    )


def table(*parts: Columns, capacity: int = 2048) -> TransitionTable:
    made = TransitionTable(capacity, 2, 1, ("wear",))
    for part in parts:
        made.add(part)
    return made


def model(seed: int = 0) -> Ensemble:
    return Ensemble(2, 1, ("wear",), SMALL, key=jax.random.key(seed))


def parameters(fitted: Ensemble) -> list[np.ndarray]:
    """What was learned, without the calibration."""
    learned = (fitted.dynamics, fitted.reward)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(learned, eqx.is_array))]


def same(one: Ensemble, other: Ensemble) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(parameters(one), parameters(other), strict=True))


# --- What is recovered ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> Ensemble:
    config = FitConfig(batch=64, chunk=100, most=1500, held_out_rows=512, learning_rate=3e-3)
    return fit(model(), table(rows(1500)), key=jax.random.key(0), config=config)[0]


def test_the_mean_of_a_linear_world_is_recovered(fitted: Ensemble) -> None:
    fresh = rows(500, seed=9)
    mean, epistemic, _ = predict_with_doubt(fitted, fresh.observation, fresh.action)
    truth = fresh.observation @ TRANSITION + fresh.action @ CONTROL
    error = np.sqrt(np.square(mean - truth).mean(0))
    assert (error < 0.35 * NOISE).all()
    assert (epistemic.mean(0) < 0.35 * NOISE).all()


def test_its_noise_is_recovered_as_aleatoric(fitted: Ensemble) -> None:
    fresh = rows(500, seed=9)
    _, _, aleatoric = predict_with_doubt(fitted, fresh.observation, fresh.action)
    np.testing.assert_allclose(np.median(aleatoric, 0), NOISE, rtol=0.2)


def test_its_reward_and_its_cost_are_recovered(fitted: Ensemble) -> None:
    fresh = rows(500, seed=9)
    brought = fitted.reward(fresh.observation, fresh.action, fresh.next_observation)
    # Most of the reward is certain once the next observation is known.
    assert np.sqrt(np.square(brought.reward - fresh.reward).mean()) < 0.15 * fresh.reward.std()
    assert (np.asarray(brought.cost) == np.float32(3.7)).all(), "a cost that never varied is known exactly"


def test_where_nothing_ever_ended_nothing_ends(fitted: Ensemble) -> None:
    fresh = rows(500, seed=9)
    brought = fitted.reward(fresh.observation, fresh.action, 10 * fresh.next_observation)
    assert not np.asarray(brought.termination_probability).any()


def test_far_from_the_data_the_members_disagree_more(fitted: Ensemble) -> None:
    fresh = rows(300, seed=9)
    _, near, _ = predict_with_doubt(fitted, fresh.observation, fresh.action)
    _, far, _ = predict_with_doubt(fitted, 6 * fresh.observation, fresh.action)
    assert (far.mean(0) > 3 * near.mean(0)).all()


def test_its_intervals_cover_fresh_steps(fitted: Ensemble) -> None:
    fresh = rows(500, seed=9)
    mean, epistemic, aleatoric = predict_with_doubt(fitted, fresh.observation, fresh.action)
    assert int(fitted.calibration.episodes) == 15
    half = np.asarray(fitted.calibration.half_width(epistemic, aleatoric, 0.9))
    covered = (np.abs(fresh.next_observation - mean) <= half).mean(0)
    assert (covered > 0.85).all() and (covered < 0.99).all()


def test_predictions_do_not_depend_on_the_block_they_are_made_in(fitted: Ensemble) -> None:
    fresh = rows(300, seed=9)
    one = predict_with_doubt(fitted, fresh.observation, fresh.action, block=512)
    cut = predict_with_doubt(fitted, fresh.observation, fresh.action, block=128)
    for a, b in zip(one, cut, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def auc(scores: np.ndarray, happened: np.ndarray) -> float:
    """The probability that a step that ended is ranked above one that went on."""
    ranks, count = np.argsort(np.argsort(scores))[happened], happened.sum()
    return float((ranks.sum() - count * (count - 1) / 2) / (count * (len(scores) - count)))


def test_rare_ends_come_out_as_calibrated_probabilities() -> None:
    draws = np.random.default_rng(0)

    def dangerous(count: int) -> tuple[Columns, np.ndarray]:
        plain = rows(count, seed=int(draws.integers(1 << 30)), held_out=False)
        probability = 0.5 / (1 + np.exp(-8 * (plain.next_observation[:, 0] - 2.3)))
        return plain._replace(terminated=draws.random(count) < probability), probability

    train, _ = dangerous(4000)
    assert 0.005 < train.terminated.mean() < 0.02
    config = FitConfig(batch=256, chunk=100, most=600, learning_rate=3e-3)
    fitted = fit(model(), table(train, capacity=4096), key=jax.random.key(0), config=config)[0]
    fresh, probability = dangerous(4000)
    said = np.asarray(fitted.reward(fresh.observation, fresh.action, fresh.next_observation).termination_probability)
    assert said.mean() == pytest.approx(train.terminated.mean(), rel=0.25)
    assert auc(said, fresh.terminated) > max(0.9, auc(probability, fresh.terminated) - 0.06)
    risky = probability > 0.25
    assert 0.1 < said[risky].mean() < 0.6


# --- What has no say ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("garbage", [1e30, np.nan])
def test_rows_beyond_the_size_have_no_say(garbage: float) -> None:
    clean, dirty = table(rows(300)), table(rows(300))
    for column in dirty.columns:
        if column.dtype.kind == "f":
            column[300:] = garbage
    dirty.columns.terminated[300:] = True
    dirty.columns.episode[300:] = 7
    one, report = fit(model(), clean, key=jax.random.key(1), config=QUICK)
    other, same_report = fit(model(), dirty, key=jax.random.key(1), config=QUICK)
    assert one.id == other.id
    assert report.held_out_error == same_report.held_out_error


def test_held_out_episodes_are_not_learned_from() -> None:
    clean, other = table(rows(300)), table(rows(300))
    for column, replacement in zip(other.columns, rows(300, seed=5), strict=True):
        column[:300][clean.filled().held_out] = replacement[clean.filled().held_out]
    one, report = fit(model(), clean, key=jax.random.key(1), config=QUICK)
    two, other_report = fit(model(), other, key=jax.random.key(1), config=QUICK)
    assert report.rows == 240 and report.held_out_rows == 60
    assert same(one, two)
    # They are looked at all the same.
    assert report.held_out_error != other_report.held_out_error
    assert not np.array_equal(one.calibration.factors, two.calibration.factors)


def test_ends_in_held_out_episodes_do_not_say_that_there_are_ends() -> None:
    held_out = table(rows(300))
    held_out.columns.terminated[held_out.columns.held_out] = True
    one, _ = fit(model(), held_out, key=jax.random.key(1), config=QUICK)
    assert not bool(one.reward.can_terminate)


def test_more_room_changes_neither_scales_nor_quality() -> None:
    one, report = fit(model(), table(rows(300)), key=jax.random.key(1), config=QUICK)
    roomy, other = fit(model(), table(rows(300), capacity=3000), key=jax.random.key(1), config=QUICK)
    for part in ("inputs", "targets"):
        a, b = getattr(one.dynamics, part), getattr(roomy.dynamics, part)
        np.testing.assert_allclose(a.mean, b.mean, atol=1e-6)
        np.testing.assert_allclose(a.std, b.std, rtol=1e-5)
    assert other.held_out_error == pytest.approx(report.held_out_error, rel=1e-3)


# --- Running it -----------------------------------------------------------------------------------------------------


def test_the_same_key_learns_the_same_model_and_another_key_another() -> None:
    one, again, other = (fit(model(), table(rows(300)), key=jax.random.key(key), config=QUICK)[0] for key in (1, 1, 2))
    assert one.id == again.id
    assert not same(one, other)


def test_members_see_different_rows() -> None:
    one = model().dynamics.members[0]
    twice = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]) if eqx.is_array(leaf) else leaf, one)
    twins = eqx.tree_at(lambda m: m.dynamics.members, model(), Stack(twice, 2))
    learned, _ = fit(twins, table(rows(300)), key=jax.random.key(1), config=QUICK)
    first, second = learned.dynamics.members.networks.layers[0].weight
    assert not np.array_equal(first, second)


def test_a_warm_start_goes_on_from_where_it_was() -> None:
    errors: list[float] = []
    config = FitConfig(batch=64, chunk=100, least=100, most=600, held_out_rows=512, learning_rate=3e-3)
    warm, cold_report = fit(model(), table(rows(600)), key=jax.random.key(1), config=config)
    grown = table(rows(600), rows(200, seed=3, first_episode=30))
    brief = FitConfig(batch=64, chunk=20, least=20, most=20, held_out_rows=512, learning_rate=3e-3)
    _, report = fit(warm, grown, key=jax.random.key(2), config=brief, progress=lambda _, error: errors.append(error))
    _, cold = fit(model(), grown, key=jax.random.key(2), config=brief)
    assert report.held_out_error is not None and cold.held_out_error is not None
    assert errors[0] < 1.1 * (cold_report.held_out_error or 0.0)
    assert report.held_out_error < 0.8 * cold.held_out_error


def test_the_best_model_is_returned_and_not_the_last() -> None:
    # Twenty rows of pure noise: it only gets worse by learning them by heart.
    few = rows(40)._replace(held_out=np.arange(40) >= 20)
    few = few._replace(next_observation=np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32))
    errors: list[float] = []
    config = FitConfig(batch=64, chunk=20, least=20, most=600, patience=8, held_out_rows=512, learning_rate=1e-2)
    best, report = fit(
        model(), table(few), key=jax.random.key(1), config=config, progress=lambda _, error: errors.append(error)
    )
    assert report.stopped_early and report.minibatches < 600
    assert errors[-1] > 1.05 * min(errors), "the test must see it get worse"
    assert report.held_out_error is not None and report.held_out_error <= min(errors)
    # To look again at the returned model is to see the reported error.
    at_start: list[float] = []
    none = FitConfig(batch=64, chunk=20, least=20, most=20, held_out_rows=512, learning_rate=0.0, weight_decay=0.0)
    fit(best, table(few), key=jax.random.key(2), config=none, progress=lambda _, error: at_start.append(error))
    assert at_start[0] == pytest.approx(report.held_out_error, rel=1e-5)


def test_the_least_number_of_minibatches_is_taken_whatever_is_held_out() -> None:
    noise = rows(40)._replace(held_out=np.arange(40) >= 20)
    noise = noise._replace(next_observation=np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32))
    config = FitConfig(batch=64, chunk=20, least=300, most=600, patience=1, held_out_rows=512, learning_rate=1e-2)
    _, report = fit(model(), table(noise), key=jax.random.key(1), config=config)
    assert 300 <= report.minibatches < 600


def test_what_was_learned_is_returned_even_if_whole_chunks_do_not_reach_the_least() -> None:
    config = FitConfig(batch=64, chunk=100, least=150, most=160, held_out_rows=512)
    learned, report = fit(model(), table(rows(100)), key=jax.random.key(1), config=config)
    assert report.minibatches == 100 and report.held_out_error is not None and np.isfinite(report.held_out_error)
    assert not np.array_equal(
        learned.dynamics.members[0].layers[0].weight, model().dynamics.members[0].layers[0].weight
    )


def test_without_held_out_episodes_all_minibatches_are_taken() -> None:
    config = FitConfig(batch=64, chunk=100, least=100, most=250, held_out_rows=512)
    looks: list[Any] = []
    learned, report = fit(
        model(),
        table(rows(100, held_out=False)),
        key=jax.random.key(1),
        config=config,
        progress=lambda *look: looks.append(look),
    )
    assert report.minibatches == 200, "whole chunks, and never more than was asked for"
    assert report.held_out_error is None and not report.stopped_early and not looks
    assert int(learned.calibration.episodes) == 0 and np.isposinf(learned.calibration.factors).all()


def test_one_row_is_enough() -> None:
    learned, report = fit(model(), table(rows(1)), key=jax.random.key(0), config=QUICK)
    assert report.rows == 1
    assert all(np.isfinite(leaf).all() for leaf in parameters(learned))


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """The names of everything that is traced or compiled while the test runs."""
    events: list[str] = []

    def listen(event: str, duration: float, **details: Any) -> None:
        if "/compile/" in event:
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


def test_a_growing_table_and_a_warm_start_never_compile_again(compiled: list[str]) -> None:
    growing = table(rows(100), capacity=1000)  # no other test has compiled for this size
    learned, _ = fit(model(), growing, key=jax.random.key(1), config=QUICK)
    assert compiled, "the listener must see the first compilation"
    compiled.clear()
    for round_ in range(2):
        growing.add(rows(200, seed=round_ + 1, first_episode=5 + 10 * round_))
        learned, _ = fit(learned, growing, key=jax.random.key(2), config=QUICK)
        assert not compiled


def test_nothing_to_fit_to_is_refused() -> None:
    with pytest.raises(ConfigError, match="no training rows"):
        fit(model(), table(), key=jax.random.key(0), config=QUICK)
    with pytest.raises(ConfigError, match="no training rows"):
        fit(model(), table(rows(20)._replace(held_out=np.ones(20, bool))), key=jax.random.key(0), config=QUICK)


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"chunk": 0}, {"chunk": 300, "most": 200}, {"least": 300, "most": 200}]
)
def test_a_fit_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        FitConfig(**wrong)  # type: ignore[arg-type]
