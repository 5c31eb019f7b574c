"""Reward, termination and cost: units, base rates, who answers, and what the user knows better."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.models.networks import Standardiser
from gedanken.models.reward import Reward, RewardFunction, TerminationFunction

D, A, R, MEMBERS = 3, 1, 2, 4


def reward(
    reward_function: RewardFunction | None = None,
    termination_function: TerminationFunction | None = None,
    *,
    log_odds: float = -3.0,
    can_terminate: bool = True,
) -> Reward:
    fresh = Reward(
        D,
        A,
        R,
        members=MEMBERS,
        width=8,
        depth=1,
        key=jax.random.key(0),
        reward_function=reward_function,
        termination_function=termination_function,
    )
    return eqx.tree_at(
        lambda r: (r.rewards, r.costs, r.termination_log_odds, r.can_terminate),
        fresh,
        (
            Standardiser(jnp.array([5.0]), jnp.array([2.0])),
            Standardiser(jnp.array([3.0, 10.0]), jnp.array([1.0, 0.0])),
            jnp.asarray(log_odds),
            jnp.asarray(can_terminate),
        ),
    )


def asked(batch: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    draws = np.random.default_rng(0)
    return (
        jnp.asarray(draws.standard_normal((batch, D)), jnp.float32),
        jnp.asarray(draws.uniform(-1, 1, (batch, A)), jnp.float32),
        jnp.asarray(draws.standard_normal((batch, D)), jnp.float32),
    )


def raw(r: Reward, batch: int) -> np.ndarray:
    """What each member's network says: [M, B, 3 + R]."""
    observation, action, following = asked(batch)
    x = r.inputs.into(jnp.concatenate([following, action, following - observation], -1))
    return np.asarray(r.members(x))


learned = eqx.filter_jit(lambda r, *a: r.learned(*a))
together = eqx.filter_jit(lambda r, *a: r(*a))
one_each = eqx.filter_jit(lambda r, *a: r.one_each(*a))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_the_answer_is_the_members_mean_in_the_worlds_units() -> None:
    r = reward()
    brought, answers = together(r, *asked(20)), raw(r, 20).mean(0)
    np.testing.assert_allclose(brought.reward, 5.0 + 2.0 * answers[:, 0], rtol=1e-5)
    np.testing.assert_allclose(brought.termination_probability, sigmoid(answers[:, 2] - 3.0), rtol=1e-4)
    np.testing.assert_allclose(brought.cost[:, 0], 3.0 + answers[:, 3], rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 8, 41])
def test_asked_cheaply_every_row_is_the_answer_of_one_member(batch: int) -> None:
    r = reward()
    answers = raw(r, batch)
    brought = one_each(r, *asked(batch), jax.random.key(3))
    # Rewards and costs together tell the members apart, also where two of them happen to agree in one.
    said = np.stack([5.0 + 2.0 * answers[..., 0], 3.0 + answers[..., 3]])
    off = np.abs(said - np.stack([brought.reward, brought.cost[:, 0]])[:, None]).sum(0)
    member, row = off.argmin(0), np.arange(batch)
    assert (np.sort(off, axis=0)[0] < 1e-4).all() and (np.sort(off, axis=0)[1] > 1e-3).all()
    np.testing.assert_allclose(brought.termination_probability, sigmoid(answers[member, row, 2] - 3.0), rtol=1e-4)
    np.testing.assert_allclose(brought.cost[:, 0], 3.0 + answers[member, row, 3], rtol=1e-5)
    if batch == 41:
        assert np.bincount(member, minlength=MEMBERS).min() == 10


def test_a_cost_that_never_varied_is_predicted_exactly() -> None:
    r = reward()
    assert (np.asarray(together(r, *asked(20)).cost[:, 1]) == 10.0).all()
    assert (np.asarray(one_each(r, *asked(20), jax.random.key(0)).cost[:, 1]) == 10.0).all()


def test_without_evidence_the_probability_of_the_end_is_its_base_rate() -> None:
    for rate in (0.001, 0.3):
        r = reward(log_odds=float(np.log(rate / (1 - rate))))
        blank = jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if eqx.is_array(leaf) else leaf, r.members)
        r = eqx.tree_at(lambda r: r.members, r, blank)
        np.testing.assert_allclose(together(r, *asked(20)).termination_probability, rate, rtol=1e-4)


def test_where_no_episode_ever_ended_none_will() -> None:
    r = reward(can_terminate=False, log_odds=20.0)
    assert not np.asarray(together(r, *asked(20)).termination_probability).any()
    assert not np.asarray(one_each(r, *asked(20), jax.random.key(0)).termination_probability).any()


def test_what_the_user_knows_overrides_what_was_learned() -> None:
    r = reward(
        lambda observation, action, following: following[:, 0] - action[:, 0],
        lambda observation, action, following: following[:, 1] > observation[:, 1],
        can_terminate=False,
    )
    observation, action, following = asked(20)
    ends = np.asarray(following[:, 1] > observation[:, 1])
    assert ends.any() and not ends.all()
    for brought in (together(r, *asked(20)), one_each(r, *asked(20), jax.random.key(0))):
        np.testing.assert_allclose(brought.reward, following[:, 0] - action[:, 0], rtol=1e-6)
        assert brought.termination_probability.dtype == jnp.float32
        assert np.array_equal(brought.termination_probability, ends.astype(np.float32))
        assert (np.asarray(brought.cost[:, 1]) == 10.0).all(), "what the user says nothing of stays learned"
    own = learned(r, *asked(20))
    np.testing.assert_allclose(own.reward, learned(reward(), *asked(20)).reward, rtol=1e-6)
    assert not np.asarray(own.termination_probability).any()


def test_no_resources_are_no_costs() -> None:
    r = Reward(D, A, 0, members=2, width=4, depth=1, key=jax.random.key(0))
    assert together(r, *asked(20)).cost.shape == (20, 0)
    assert one_each(r, *asked(20), jax.random.key(0)).cost.shape == (20, 0)


def test_the_inputs_of_a_wild_prediction_are_clipped() -> None:
    r = eqx.tree_at(lambda r: r.inputs, reward(), Standardiser(jnp.zeros(7), jnp.full(7, 1e-3)))
    observation, action, following = asked(20)
    brought = together(r, observation, action, following * 1e20)
    assert all(np.isfinite(leaf).all() for leaf in brought)
