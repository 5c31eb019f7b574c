"""Where episodes start: a density that can be sampled and scored, and which tasks are worth practising."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.models.tasks import STARTS, Tasks, fit_tasks, task_name

sample = eqx.filter_jit(lambda tasks, key, batch, **options: tasks.sample(key, batch, **options))
log_density = eqx.filter_jit(lambda tasks, observation, **options: tasks.log_density(observation, **options))

NEAR, FAR = {"goal": "near"}, {"goal": "far", "gate": 2}


def one_dimensional(count: int = 60, seed: int = 0) -> Tasks:
    draws = np.random.default_rng(seed)
    starts = np.where(draws.random(count) < 0.3, draws.normal(-2, 0.2, count), draws.normal(1, 0.5, count))
    return fit_tasks(starts[:, None], [None] * count, np.zeros(count))


def two_tasks(returns: Any = None) -> Tasks:
    """Three near starts around 0 and nine far ones around 100."""
    starts = np.concatenate([np.array([0.0, 0.1, 0.2]), 100 + 0.1 * np.arange(9)])[:, None]
    return fit_tasks(starts, [NEAR] * 3 + [FAR] * 9, np.zeros(12) if returns is None else returns)


def test_the_density_integrates_to_one() -> None:
    tasks = one_dimensional()
    grid = np.linspace(-6, 6, 20_001)
    density = np.exp(log_density(tasks, jnp.asarray(grid[:, None], jnp.float32)))
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=1e-3)


def test_what_is_sampled_is_what_is_scored() -> None:
    tasks = one_dimensional()
    drawn = np.sort(np.asarray(sample(tasks, jax.random.key(0), 4000))[:, 0])
    grid = np.linspace(-6, 6, 4001)
    density = np.exp(log_density(tasks, jnp.asarray(grid[:, None], jnp.float32)))
    cumulative = np.concatenate([[0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(grid))])
    gap = np.abs(np.interp(drawn, grid, cumulative) - (np.arange(4000) + 0.5) / 4000).max()
    assert gap < 1.95 / np.sqrt(4000), "Kolmogorov-Smirnov at one in a thousand"


def test_the_density_is_high_where_episodes_start_and_fills_no_gap() -> None:
    tasks = one_dimensional()
    at, between, far = log_density(tasks, jnp.array([[1.0], [-0.9], [50.0]]))
    assert at > between + 2 and between > far
    # Two starts far apart: nothing is known of the middle.
    pair = fit_tasks(np.array([[-1.0], [1.0]]), [None] * 2, np.zeros(2))
    assert float(log_density(pair, jnp.array([[0.0]]))[0]) < float(log_density(pair, jnp.array([[1.0]]))[0])


def test_without_jitter_only_starts_that_were_seen_are_drawn() -> None:
    tasks = two_tasks()
    drawn = np.asarray(sample(tasks, jax.random.key(0), 500, jitter=0.0))[:, 0]
    assert np.array_equal(np.unique(drawn), np.unique(tasks.starts[:12]))


def test_of_one_task_only_its_own_starts_are_drawn_and_scored() -> None:
    tasks = two_tasks()
    near, far = tasks.index(NEAR), tasks.index(FAR)
    assert np.abs(sample(tasks, jax.random.key(0), 300, task=near)).max() < 10
    assert np.asarray(sample(tasks, jax.random.key(0), 300, task=far)).min() > 90
    there = jnp.array([[0.1]])
    assert float(log_density(tasks, there, task=far)[0]) < -100
    mixed = float(log_density(tasks, there)[0])
    assert mixed == pytest.approx(float(log_density(tasks, there, task=near)[0]) + np.log(0.5), abs=1e-3)


def test_a_task_is_drawn_by_its_practice_weight_and_not_by_how_often_it_was_seen() -> None:
    tasks = two_tasks()
    np.testing.assert_allclose(tasks.weights, 0.5, rtol=1e-5)
    share = (np.asarray(sample(tasks, jax.random.key(1), 4000)) < 50).mean()
    assert share == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(4000))


def test_practice_goes_where_outcomes_vary() -> None:
    near = [0.0, 1.0, 1.0]
    tasks = two_tasks(np.array([*near, *([1.0] * 9)]))
    assert float(tasks.weights[tasks.index(NEAR)]) == pytest.approx(0.95, abs=1e-4)
    assert float(tasks.weights[tasks.index(FAR)]) == pytest.approx(0.05, abs=1e-4), "the floor keeps it in practice"
    both = two_tasks(np.array([0.0, 1.0, 1.0, *([0.0, 2.0, 2.0] * 3)]))
    assert float(both.weights[both.index(FAR)]) == pytest.approx(0.05 + 0.9 * 0.8, abs=1e-4), "four times the variance"
    assert float(both.weights.sum()) == pytest.approx(1.0, abs=1e-5)


def test_a_task_seen_once_is_practised_like_the_most_promising() -> None:
    starts = np.arange(5.0)[:, None]
    tasks = fit_tasks(starts, [NEAR, NEAR, FAR, FAR, None], np.array([0.0, 1.0, 5.0, 5.0, 3.0]))
    weights = np.asarray(tasks.weights)
    assert weights[tasks.index(None)] == pytest.approx(weights[tasks.index(NEAR)], rel=1e-5)
    assert weights[tasks.index(FAR)] < weights[tasks.index(NEAR)]


def test_an_unknown_task_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="moon") as raised:
        two_tasks().index({"goal": "moon"})
    assert "far" in str(raised.value)
    with pytest.raises(ConfigError):
        two_tasks().index(None)


def test_a_tasks_name_does_not_depend_on_the_order_of_its_keys() -> None:
    assert task_name({"a": 1, "b": [2, 3]}) == task_name({"b": [2, 3], "a": 1})
    assert task_name({"a": 1}) != task_name({"a": 2})
    assert task_name(None) == "any"


def test_a_dimension_that_never_varied_stays_as_it_is() -> None:
    starts = np.stack([np.linspace(-1, 1, 30), np.full(30, 7.0)], 1)
    tasks = fit_tasks(starts, [None] * 30, np.zeros(30))
    assert (np.asarray(sample(tasks, jax.random.key(0), 200))[:, 1] == 7.0).all()
    there, elsewhere = log_density(tasks, jnp.array([[0.0, 7.0], [0.0, 7.1]]))
    assert np.isfinite(there) and np.isneginf(elsewhere)


def test_one_episode_is_enough_to_start_from() -> None:
    tasks = fit_tasks(np.array([[1.0, 2.0]]), [None], np.array([3.0]))
    assert (np.asarray(sample(tasks, jax.random.key(0), 10)) == [1.0, 2.0]).all()


def test_only_the_latest_starts_are_kept_and_shapes_never_change() -> None:
    many = fit_tasks(np.arange(STARTS + 100.0)[:, None], [None] * (STARTS + 100), np.zeros(STARTS + 100))
    assert float(many.starts.min()) == 100.0 and bool(many.valid.all())
    few = one_dimensional(5)
    shapes = [[leaf.shape for leaf in jax.tree.leaves(tasks)] for tasks in (many, few, Tasks.unknown(1))]
    assert shapes[0] == shapes[1] == shapes[2]


def test_padding_is_never_drawn() -> None:
    tasks = fit_tasks(np.full((3, 2), 50.0) + np.arange(3)[:, None], [None] * 3, np.zeros(3))
    assert np.asarray(sample(tasks, jax.random.key(0), 2000)).min() > 40


def test_before_any_episode_everything_starts_at_0() -> None:
    assert not np.asarray(sample(Tasks.unknown(3), jax.random.key(0), 4)).any()


def test_without_an_episode_there_is_nothing_to_fit() -> None:
    with pytest.raises(ConfigError, match="episode"):
        fit_tasks(np.zeros((0, 2)), [], np.zeros(0))


def test_many_dimensions_take_little_memory() -> None:
    draws = np.random.default_rng(0)
    tasks = fit_tasks(draws.standard_normal((STARTS, 376)), [None] * STARTS, np.zeros(STARTS))
    assert (np.asarray(tasks.bandwidth) > 0).all()
