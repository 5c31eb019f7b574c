"""The ensemble's dynamics: who answers which row, in which units, and how sure a member may be."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.models.dynamics import (
    LOG_VARIANCE_RANGE,
    Dynamics,
    in_blocks,
    log_variance,
    uncertainty,
    variance,
)
from gedanken.models.networks import Standardiser

D, A, MEMBERS = 3, 2, 4


def dynamics(*, direct: bool = False, members: int = MEMBERS) -> Dynamics:
    fresh = Dynamics(D, A, members=members, width=8, depth=1, layer_norm=False, direct=direct, key=jax.random.key(0))
    inputs = Standardiser(jnp.arange(5.0), jnp.array([1.0, 2.0, 3.0, 1.0, 0.5]))
    return eqx.tree_at(
        lambda d: (d.inputs, d.targets), fresh, (inputs, Standardiser(jnp.ones(3), jnp.arange(1.0, 4.0)))
    )


def saying(values: list[float]) -> Dynamics:
    """Member m predicts a change of values[m] in every dimension, whatever it is asked."""
    fresh = Dynamics(D, A, members=len(values), width=4, depth=1, layer_norm=False, direct=False, key=jax.random.key(0))
    biases = jnp.stack([jnp.concatenate([jnp.full(D, value), jnp.full(D, -4.0)]) for value in values])
    return eqx.tree_at(
        lambda d: (d.members.networks.layers[-1].weight, d.members.networks.layers[-1].bias),
        fresh,
        (jnp.zeros((len(values), 4, 2 * D)), biases),
    )


def asked(batch: int, seed: int = 0) -> tuple[jax.Array, jax.Array]:
    draws = np.random.default_rng(seed)
    return jnp.asarray(draws.standard_normal((batch, D)), jnp.float32), jnp.asarray(
        draws.uniform(-1, 1, (batch, A)), jnp.float32
    )


one_each = eqx.filter_jit(lambda d, *arguments: d.one_each(*arguments))
all_members = eqx.filter_jit(lambda d, *arguments: d.all_members(*arguments))


@pytest.mark.parametrize("batch", [1, 3, 7, 8, 40, 41, 43])
def test_every_row_is_the_answer_of_exactly_one_member_to_that_row(batch: int) -> None:
    d = dynamics()
    means, stds = all_members(d, *asked(batch))
    for seed in range(3):
        mean, std = one_each(d, *asked(batch), jax.random.key(seed))
        assert mean.shape == std.shape == (batch, D)
        same = np.isclose(means, mean[None], rtol=1e-4, atol=1e-5).all(-1)
        assert (same.sum(0) == 1).all()
        member = same.argmax(0)
        np.testing.assert_allclose(std, np.asarray(stds)[member, np.arange(batch)], rtol=1e-4)


@pytest.mark.parametrize("batch", [40, 42, 43])
def test_all_members_are_asked_equally_often_in_every_batch(batch: int) -> None:
    d = saying([0.0, 1.0, 2.0, 3.0])
    observation, action = asked(batch)
    for seed in range(5):
        mean, _ = one_each(d, observation, action, jax.random.key(seed))
        member = np.rint(np.asarray(mean - observation)[:, 0]).astype(int)
        counts = np.bincount(member, minlength=MEMBERS)
        assert counts.max() - counts.min() <= 1 and counts.sum() == batch


@pytest.mark.parametrize("batch", [3, 20])
def test_over_many_draws_every_row_meets_every_member_alike(batch: int) -> None:
    d = saying([0.0, 1.0, 2.0, 3.0])
    observation, action = asked(batch)
    keys = jax.random.split(jax.random.key(1), 2000)
    mean = jax.jit(jax.vmap(lambda key: d.one_each(observation, action, key)[0]))(keys)
    member = np.rint(np.asarray(mean - observation)[..., 0]).astype(int)
    shares = np.stack([(member == m).mean(0) for m in range(MEMBERS)])
    # Five standard errors of a share of a quarter.
    assert np.abs(shares - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 2000)


def test_the_same_key_asks_the_same_members() -> None:
    d = dynamics()
    one, same, other = (one_each(d, *asked(30), jax.random.key(k))[0] for k in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("direct", [False, True])
def test_a_member_answers_in_the_observations_units(direct: bool) -> None:
    d = dynamics(direct=direct)
    observation, action = asked(6)
    means, stds = all_members(d, observation, action)
    x = d.standard_inputs(observation, action)
    for standard_mean, spread in (d.standard_answers(x), d.standard_apart(jnp.stack([x] * MEMBERS))):
        answer = 1.0 + np.arange(1.0, 4.0) * np.asarray(standard_mean)
        np.testing.assert_allclose(means, answer if direct else np.asarray(observation) + answer, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(stds, np.arange(1.0, 4.0) * np.exp(0.5 * np.asarray(spread)), rtol=1e-4)


@pytest.mark.parametrize("direct", [False, True])
def test_what_a_member_is_trained_to_say_undoes_what_it_is_read_as(direct: bool) -> None:
    d = dynamics(direct=direct)
    observation, following = asked(6)[0], asked(6, seed=1)[0]
    answer = d.targets.back(d.standard_target(observation, following))
    np.testing.assert_allclose(answer if direct else observation + answer, following, atol=1e-5)


def test_a_dimension_that_never_changed_is_predicted_exactly_and_without_doubt() -> None:
    d = dynamics()
    d = eqx.tree_at(lambda d: d.targets, d, Standardiser(jnp.zeros(3), jnp.array([1.0, 0.0, 1.0])))
    observation, action = asked(20)
    mean, std = one_each(d, observation, action, jax.random.key(0))
    assert np.array_equal(mean[:, 1], observation[:, 1])
    assert not np.asarray(std[:, 1]).any()


def test_far_outside_the_data_inputs_are_clipped() -> None:
    d = dynamics()
    observation, action = asked(2)
    far = d.standard_inputs(1e9 * observation, action)
    assert np.abs(far).max() <= 10.0
    assert all(np.isfinite(leaf).all() for leaf in d.all_members(1e9 * observation, action))


def test_a_member_is_neither_too_sure_nor_too_unsure() -> None:
    low, high = LOG_VARIANCE_RANGE
    np.testing.assert_allclose(log_variance(jnp.array([-1e6, -6.0, 1e6])), [low, -6.0, high], atol=1e-2)
    # Gradients survive beyond both ends.
    slope = jax.vmap(jax.grad(log_variance))(jnp.array([low - 3, 0.5 * (low + high), high + 3]))
    assert 0.01 < slope[0] < 0.1 and slope[1] > 0.99 and 0.01 < slope[2] < 0.1


def test_the_short_form_of_the_variance_is_the_same() -> None:
    raw = jnp.linspace(-60, 60, 1001)
    np.testing.assert_allclose(variance(raw), np.exp(np.asarray(log_variance(raw), np.float64)), rtol=2e-5)
    slopes = jax.vmap(jax.grad(lambda x: jnp.sqrt(variance(x))))(raw)
    assert np.isfinite(slopes).all()


def test_uncertainty_is_spread_of_the_means_and_mean_variance() -> None:
    draws = np.random.default_rng(0)
    mean, std = draws.standard_normal((5, 4, 2)), np.exp(draws.standard_normal((5, 4, 2)))
    mean[..., 1], std[..., 1] = 3.0, 0.0
    epistemic, aleatoric = uncertainty(jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32))
    np.testing.assert_allclose(epistemic, mean.std(0), atol=1e-5)
    np.testing.assert_allclose(aleatoric, np.sqrt(np.square(std).mean(0)), rtol=1e-5)
    gradient = jax.grad(lambda m, s: sum(part.sum() for part in uncertainty(m, s)), argnums=(0, 1))
    assert all(np.isfinite(g).all() for g in gradient(jnp.asarray(mean), jnp.asarray(std)))


@pytest.mark.parametrize(("batch", "most"), [(10, 10), (10, 4), (12, 4), (9, 8), (5, 1)])
def test_in_blocks_every_row_is_answered_in_its_place(batch: int, most: int) -> None:
    lengths = []

    def double(rows: tuple[jax.Array, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
        lengths.append(len(rows[0]))
        return {"twice": 2 * rows[0], "sum": rows[1].sum(-1), "chance": jax.random.uniform(key, (len(rows[0]),))}

    rows = (jnp.arange(batch), jnp.arange(3.0 * batch).reshape(batch, 3))
    answer = in_blocks(double, rows, jax.random.key(0), block=most)
    assert np.array_equal(answer["twice"], 2 * np.arange(batch))
    assert np.array_equal(answer["sum"], np.arange(3.0 * batch).reshape(batch, 3).sum(-1))
    assert len(np.unique(answer["chance"])) == batch, "every block has chances of its own"
    assert set(lengths) == {-(-batch // -(-batch // most))} and max(lengths) <= most
