"""What the learning agents share: their optimisers, and how paid data set their scale."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.agents.learner import ActorCritic, ActorCriticConfig, advance, init, prepare
from gedanken.errors import ConfigError
from gedanken.models.data import Columns, TransitionTable

D, A = 3, 2
SMALL = ActorCriticConfig(width=8, depth=1, critics=2, gradient_clip=1.0, target_rate=0.25)


def fresh(config: ActorCriticConfig = SMALL) -> ActorCritic:
    keys = jax.random.split(jax.random.key(0))
    return init(D, A, discrete=False, config=config, actor_key=keys[0], critic_key=keys[1])


def table(reward: Any, *, capacity: int = 64, **columns: Any) -> TransitionTable:
    draws, count = np.random.default_rng(0), len(reward)
    made = TransitionTable(capacity, D, A, ())
    values = {
        "observation": draws.standard_normal((count, D)),
        "action": np.zeros((count, A)),
        "reward": np.asarray(reward, np.float32),
        "terminated": np.zeros(count, bool),
        "next_observation": np.zeros((count, D)),
        "cost": np.zeros((count, 0)),
        "episode": np.zeros(count, np.int32),
        "held_out": np.zeros(count, bool),
    } | columns
    made.add(Columns(**values))
    return made


def gradients(state: ActorCritic, size: float) -> dict[str, Any]:
    def full(network: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.full_like(leaf, size), eqx.filter(network, eqx.is_array))

    return {"actor_gradient": full(state.actor.network), "critic_gradient": full(state.critics.networks)}


def leaves(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


# --- A step of the optimisers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("above", "direction"), [(0.7, -1), (-0.7, 1)])
def test_the_temperature_falls_while_there_is_more_entropy_than_wanted(above: float, direction: int) -> None:
    state = fresh()
    entropy = jnp.asarray(state.actor.target_entropy + above)
    after = advance(state, SMALL, **gradients(state, 0.0), entropy=entropy)
    change = float(after.log_temperature - state.log_temperature)
    # Adam's first step is of its full size.
    assert change == pytest.approx(direction * SMALL.temperature_learning_rate, rel=1e-3)


def test_parameters_go_against_their_gradient_and_the_target_follows() -> None:
    state = fresh()
    after = advance(state, SMALL, **gradients(state, 1.0), entropy=jnp.asarray(0.0))
    for part, rate in (("actor", SMALL.actor_learning_rate), ("critics", SMALL.critic_learning_rate)):
        name = "network" if part == "actor" else "networks"
        before, now = (leaves(getattr(getattr(s, part), name)) for s in (state, after))
        for one, other in zip(before, now, strict=True):
            np.testing.assert_allclose(other - one, -rate, rtol=1e-3)
    for target, old, new in zip(
        *(leaves(c.networks) for c in (after.target, state.target, after.critics)), strict=True
    ):
        np.testing.assert_allclose(target, old + 0.25 * (new - old), rtol=1e-5, atol=1e-7)


def test_nothing_but_networks_and_temperature_is_learned() -> None:
    state = prepare(fresh(), table(np.arange(10.0)), 0.9)
    after = advance(state, SMALL, **gradients(state, 1.0), entropy=jnp.asarray(0.0))
    for part in ("actor", "critics", "target"):
        one, other = getattr(state, part), getattr(after, part)
        assert all(np.array_equal(a, b) for a, b in zip(leaves(one.inputs), leaves(other.inputs), strict=True))
    assert float(after.critics.scale) == float(state.critics.scale) == float(after.target.scale)


def test_a_huge_gradient_is_clipped() -> None:
    state = fresh()
    one, other = (advance(state, SMALL, **gradients(state, size), entropy=jnp.asarray(0.0)) for size in (1e3, 1e9))
    for a, b in zip(leaves(one.actor.network), leaves(other.actor.network), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
        assert np.isfinite(b).all()


def test_without_a_limit_nothing_is_clipped() -> None:
    """Adam remembers the gradient: after a huge one, a small one hardly moves anything."""
    free = dataclasses.replace(SMALL, gradient_clip=None)
    moved = {}
    for config in (SMALL, free):
        state = init(D, A, discrete=False, config=config, actor_key=jax.random.key(0), critic_key=jax.random.key(1))
        once = advance(state, config, **gradients(state, 1e3), entropy=jnp.asarray(0.0))
        twice = advance(once, config, **gradients(once, 1e-3), entropy=jnp.asarray(0.0))
        pairs = zip(leaves(once.actor.network), leaves(twice.actor.network), strict=True)
        moved[config.gradient_clip] = max(float(jnp.abs(b - a).max()) for a, b in pairs)
        assert moved[config.gradient_clip] > 0
    assert moved[1.0] != pytest.approx(moved[None], rel=1e-2)


# --- The scale of the paid data -------------------------------------------------------------------------------------


def test_inputs_are_standardised_by_what_was_paid() -> None:
    observation = np.random.default_rng(1).normal([5.0, -3.0, 7.0], [2.0, 0.1, 0.0], (40, 3))
    state = prepare(fresh(), table(np.ones(40), observation=observation), 0.99)
    for part in (state.actor, state.critics, state.target):
        standard = np.asarray(part.inputs.into(jnp.asarray(observation, jnp.float32)))
        np.testing.assert_allclose(standard.mean(0), 0.0, atol=1e-3)
        np.testing.assert_allclose(standard.std(0), [1.0, 1.0, 0.0], atol=1e-3)


def test_returns_are_measured_in_rewards_and_no_value_changes() -> None:
    state = prepare(fresh(), table([3.0, -4.0] * 10), 0.99)
    assert float(state.critics.scale) == pytest.approx(np.sqrt(12.5))
    again = prepare(state, table([300.0, -400.0] * 10), 0.99)
    assert float(again.critics.scale) == float(again.target.scale) == pytest.approx(100 * np.sqrt(12.5))
    asked = jnp.ones((4, D)), jnp.ones((4, A))
    for one, other in ((state.critics, again.critics), (state.target, again.target)):
        np.testing.assert_allclose(other.scale * other(*asked), one.scale * one(*asked), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("reward", "bounds"),
    [([1.0] * 20, (0.0, 10.0)), ([-2.0] * 20, (-20.0, 0.0)), ([-1.0, 3.0] * 10, (-10.0, 30.0)), ([0.0] * 20, (0, 0))],
)
def test_targets_lie_between_the_least_and_the_most_that_such_rewards_add_up_to(
    reward: list[float], bounds: tuple[float, float]
) -> None:
    state = prepare(fresh(), table(reward), 0.9)
    np.testing.assert_allclose(state.target.bounds, bounds, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state.critics.bounds, bounds, rtol=1e-4, atol=1e-5)
    assert np.isfinite(state.critics.scale) and float(state.critics.scale) > 0


def test_padding_has_no_say() -> None:
    clean, dirty = table(np.arange(20.0)), table(np.arange(20.0), capacity=500)
    for column in dirty.columns:
        if column.dtype.kind == "f":
            column[dirty.size :] = np.nan
    one, other = prepare(fresh(), clean, 0.99), prepare(fresh(), dirty, 0.99)
    assert all(np.array_equal(a, b) for a, b in zip(leaves(one), leaves(other), strict=True))


def test_a_fresh_agent_has_the_types_of_one_that_has_learned() -> None:
    # Otherwise the second round would compile everything anew.
    state = fresh()
    after = advance(prepare(state, table(np.ones(5)), 0.9), SMALL, **gradients(state, 1.0), entropy=jnp.asarray(0.0))

    def types(tree: Any) -> list[Any]:
        return [(x.dtype, x.shape, x.weak_type) for x in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]

    assert types(prepare(state, table(np.ones(5)), 0.9)) == types(after)


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"depth": 0}, {"critics": 0}, {"batch": 0}, {"discount": 0.0}, {"discount": 1.0}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ActorCriticConfig(**wrong)
