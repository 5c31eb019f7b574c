"""Actor and critics: densities, one-hot choices, units, and where gradients go."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.agents.actor_critic import Actor, Critics, polyak
from gedanken.models.networks import Standardiser

D, A, B = 3, 2, 6


def actor(*, discrete: bool = False, action_size: int = A, push: float = 0.0) -> Actor:
    """`push` is added to everything the network says."""
    fresh = Actor(D, action_size, discrete=discrete, width=8, depth=1, layer_norm=True, key=jax.random.key(0))
    bias = fresh.network.layers[-1].bias + jnp.linspace(-0.5, 1.0, len(fresh.network.layers[-1].bias)) + push
    return eqx.tree_at(lambda a: a.network.layers[-1].bias, fresh, bias)


def states(count: int = B, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal((count, D)), jnp.float32)


sample = eqx.filter_jit(lambda actor, observation, key: actor.sample(observation, key))


# --- Continuous actions ---------------------------------------------------------------------------------------------


def test_continuous_actions_lie_in_their_range_and_vary() -> None:
    action, log_probability = sample(actor(), states(500), jax.random.key(0))
    assert action.shape == (500, A) and log_probability.shape == (500,)
    assert (np.abs(action) <= 1).all() and np.asarray(action).std() > 0.1
    again, _ = sample(actor(), states(500), jax.random.key(0))
    other, _ = sample(actor(), states(500), jax.random.key(1))
    assert np.array_equal(action, again) and not np.array_equal(action, other)


def test_the_log_probability_is_that_of_the_squashed_gaussian() -> None:
    a, observation = actor(), states()
    action, log_probability = sample(a, observation, jax.random.key(3))
    said = np.asarray(a.network(observation), np.float64)
    mean, log_std = said[:, :A], -5.0 + 3.5 * (np.tanh(said[:, A:]) + 1.0)
    exact = np.asarray(action, np.float64)
    before = np.arctanh(exact)
    gaussian = -0.5 * ((before - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)
    wanted = (gaussian - np.log1p(-(exact**2))).sum(-1)
    # Beyond, float32 no longer tells where under the tanh an action came from.
    inside = np.abs(exact).max(-1) < 0.999
    assert inside.sum() > len(exact) // 2
    np.testing.assert_allclose(np.asarray(log_probability)[inside], wanted[inside], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("discrete", [False, True])
def test_the_log_probability_of_a_given_action_is_that_it_was_drawn_with(discrete: bool) -> None:
    a, observation = actor(discrete=discrete, action_size=3), states(200)
    action, log_probability = sample(a, observation, jax.random.key(4))
    # Beyond, float32 no longer tells where under the tanh an action came from.
    inside = np.abs(np.asarray(action)).max(-1) < 0.999 if not discrete else np.ones(200, bool)
    assert inside.sum() > 150
    again = a.log_probability(observation, action)
    np.testing.assert_allclose(again[inside], log_probability[inside], rtol=2e-3, atol=2e-3)
    others = jnp.roll(action, 1, axis=0)
    assert np.abs(a.log_probability(observation, others) - log_probability).max() > 0.1


def test_an_action_at_the_edge_has_a_finite_density() -> None:
    edge = jnp.ones((B, A))
    assert np.isfinite(actor().log_probability(states(), edge)).all()


def test_the_density_integrates_to_one() -> None:
    # Importance sampling: the mean of 1 / density over draws from it is the length of the range.
    a = actor(action_size=1)
    action, log_probability = sample(a, jnp.repeat(states(1), 200_000, axis=0), jax.random.key(1))
    inside = np.abs(np.asarray(action)[:, 0]) < 0.9
    mass = (np.exp(-np.asarray(log_probability, np.float64)) * inside).mean()
    assert mass == pytest.approx(1.8, rel=0.03)


@pytest.mark.parametrize("push", [-1e4, 1e4])
def test_a_saturated_actor_stays_finite(push: float) -> None:
    a = actor(push=push)

    def total(a: Actor) -> jax.Array:
        action, log_probability = a.sample(states(), jax.random.key(0))
        return action.sum() + log_probability.sum()

    value, gradient = eqx.filter_jit(eqx.filter_value_and_grad(total))(a)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_the_mode_is_the_squashed_mean_and_needs_no_chance() -> None:
    a, observation = actor(), states()
    np.testing.assert_allclose(a.mode(observation), np.tanh(np.asarray(a.network(observation))[:, :A]), rtol=1e-5)


def test_observations_are_standardised_first() -> None:
    shifted = eqx.tree_at(lambda a: a.inputs, actor(), Standardiser(jnp.full(D, 5.0), jnp.full(D, 2.0)))
    np.testing.assert_allclose(shifted.mode(5.0 + 2.0 * states()), actor().mode(states()), rtol=1e-4, atol=1e-5)


# --- Discrete actions -----------------------------------------------------------------------------------------------


def test_discrete_actions_are_one_hot_and_as_frequent_as_their_probability() -> None:
    a, count = actor(discrete=True, action_size=3), 20_000
    observation = jnp.repeat(states(1), count, axis=0)
    action, log_probability = sample(a, observation, jax.random.key(0))
    action = np.asarray(action)
    np.testing.assert_allclose(action.max(-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(action.sum(-1), 1.0, atol=1e-6)
    probability = np.asarray(jax.nn.softmax(a.network(observation[:1]))[0])
    assert probability.max() < 0.8, "the test must see a choice"
    np.testing.assert_allclose(action.mean(0), probability, atol=5 * 0.5 / np.sqrt(count))
    np.testing.assert_allclose(np.exp(log_probability), probability[action.argmax(-1)], rtol=1e-3)
    assert np.array_equal(np.asarray(a.mode(observation[:1]))[0], np.eye(3)[probability.argmax()])


def test_what_a_choice_brings_pulls_the_policy_towards_it() -> None:
    a = actor(discrete=True, action_size=3)
    observation, worth = jnp.repeat(states(1), 2000, axis=0), jnp.array([0.0, 0.0, 1.0])
    pulled = eqx.filter_grad(lambda a: (a.sample(observation, jax.random.key(0))[0] @ worth).mean())
    gradient = eqx.filter_jit(pulled)(a)
    pull = np.asarray(gradient.network.layers[-1].bias)
    assert pull[2] > 0 > pull[:2].max()


def test_the_entropy_of_a_discrete_policy_can_be_climbed() -> None:
    a, observation = actor(discrete=True, action_size=3), jnp.repeat(states(1), 20_000, axis=0)

    def exact(a: Actor) -> jax.Array:
        log_probability = jax.nn.log_softmax(a.network(observation[:1]))
        return -(jnp.exp(log_probability) * log_probability).sum()

    sampled = eqx.filter_jit(eqx.filter_grad(lambda a: -a.sample(observation, jax.random.key(0))[1].mean()))(a)
    wanted = np.asarray(eqx.filter_jit(eqx.filter_grad(exact))(a).network.layers[-1].bias)
    got = np.asarray(sampled.network.layers[-1].bias)
    assert got @ wanted > 0.5 * np.linalg.norm(got) * np.linalg.norm(wanted)
    assert np.linalg.norm(got) > 0.3 * np.linalg.norm(wanted)


def test_the_entropy_that_is_wanted() -> None:
    assert actor().target_entropy == -A
    target = actor(discrete=True, action_size=4).target_entropy
    assert 0 < target < np.log(4)


# --- Critics --------------------------------------------------------------------------------------------------------


def critics(scale: float = 1.0) -> Critics:
    fresh = Critics(D, A, count=3, width=8, depth=1, layer_norm=True, key=jax.random.key(1))
    return eqx.tree_at(lambda c: (c.scale, c.bounds), fresh, (jnp.asarray(scale), jnp.array([-50.0, 80.0])))


def asked() -> tuple[jax.Array, jax.Array]:
    return states(), jnp.tanh(states(seed=1)[:, :A])


def test_every_critic_has_an_opinion_of_its_own() -> None:
    values = np.asarray(critics()(*asked()))
    assert values.shape == (3, B)
    assert all(not np.allclose(values[i], values[j]) for i, j in [(0, 1), (0, 2), (1, 2)])


def test_new_units_change_no_value() -> None:
    before = critics(scale=2.0)
    after = before.rescaled(jnp.asarray(10.0))
    assert float(after.scale) == 10.0
    np.testing.assert_allclose(10.0 * after(*asked()), 2.0 * before(*asked()), rtol=1e-4, atol=1e-5)


def test_a_target_is_the_least_estimate_within_the_bounds() -> None:
    c = critics(scale=10.0)
    np.testing.assert_allclose(c.target(*asked()), np.asarray(c(*asked())).min(0), rtol=1e-5)
    for push, bound in ((1e3, 8.0), (-1e3, -5.0)):
        wild = eqx.tree_at(lambda c: c.networks.layers[-1].bias, c, jnp.full((3, 1), push))
        np.testing.assert_allclose(wild.target(*asked()), bound, rtol=1e-5)


def test_the_target_follows_by_its_share() -> None:
    source = jax.tree.map(lambda x: x + 1.0 if eqx.is_inexact_array(x) else x, critics())
    moved = polyak(critics(), source, 0.25)
    for before, after in zip(jax.tree.leaves(critics().networks), jax.tree.leaves(moved.networks), strict=True):
        if eqx.is_inexact_array(before):
            np.testing.assert_allclose(after - before, 0.25, atol=1e-4)


def test_a_target_without_bounds_follows_too() -> None:
    unbounded = Critics(D, A, count=2, width=4, depth=1, layer_norm=False, key=jax.random.key(1))
    assert np.isfinite(polyak(unbounded, unbounded, 0.25).target(*asked())).all()
