"""The value-gradient agent on worlds whose solution is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.agents.learner import ActorCritic, Progress
from gedanken.agents.value_gradient import ValueGradient, ValueGradientConfig, _actor_loss
from gedanken.dreams.truncation import NoTruncation
from gedanken.errors import ConfigError
from gedanken.models.contract import State
from gedanken.models.data import TransitionTable
from tests.fakes import AnalyticModel, double_integrator, falling_pole, paid_steps

SMALL: dict[str, Any] = {
    "width": 32,
    "depth": 1,
    "batch": 64,
    "horizon": 3,
    "distribution_horizon": 10,
    "distribution_starts": 64,
    "pool": 2000,
    "actor_learning_rate": 3e-3,
    "critic_learning_rate": 3e-3,
    "temperature_learning_rate": 3e-3,
}
LEARNER = ValueGradient(ValueGradientConfig(**SMALL))


def trained(
    model: AnalyticModel, table: TransitionTable, *, updates: int, seed: int = 0, state: ActorCritic | None = None
) -> tuple[ActorCritic, Progress]:
    state = state or fresh(model)
    return LEARNER.learn(state, model, table, truncation=NoTruncation(), updates=updates, key=jax.random.key(seed))


def fresh(model: AnalyticModel, *, discrete: bool | None = None, **config: Any) -> ActorCritic:
    discrete = model.action_size > 1 if discrete is None else discrete
    learner = ValueGradient(ValueGradientConfig(**{**SMALL, **config}))
    return learner.init(2, model.action_size, discrete=discrete, key=jax.random.key(0))


@eqx.filter_jit
def lived(model: AnalyticModel, actor: Any) -> tuple[jax.Array, jax.Array]:
    """Mean return and share of survivors of 64 episodes of 60 steps, acting by the mode."""

    def step(carry: tuple[State, jax.Array], key: jax.Array) -> tuple[tuple[State, jax.Array], jax.Array]:
        state, alive = carry
        imagined = model.sample(state, actor.mode(state.observation), key)
        return (imagined.state, alive * (1.0 - imagined.terminated)), alive * imagined.reward

    start = model.start(None, jax.random.key(5), batch=64)
    (_, alive), rewards = jax.lax.scan(step, (start, jnp.ones(64)), jax.random.split(jax.random.key(6), 60))
    return rewards.sum(0).mean(), alive.mean()


# --- What it learns -------------------------------------------------------------------------------------------------


def test_it_brings_a_double_integrator_to_rest() -> None:
    model = double_integrator(noise=0.01)
    before, _ = lived(model, fresh(model).actor)
    state, _ = trained(model, paid_steps(model, reach=2.0), updates=300)
    after, _ = lived(model, state.actor)

    class Optimal:
        """Linear feedback near the Riccati solution, clipped into the action's range."""

        def mode(self, observation: jax.Array) -> jax.Array:
            return jnp.clip(observation @ jnp.array([[-1.3], [-1.5]]), -1.0, 1.0)

    best, _ = lived(model, Optimal())
    assert before < 5 * best, "an agent that has learned nothing must do badly"
    assert after > 1.4 * best


def test_it_learns_to_stay_alive_by_choices() -> None:
    model = falling_pole()
    state, progress = trained(model, paid_steps(model, reach=0.4), updates=200)
    assert float(lived(model, fresh(model).actor)[1]) < 0.5
    reward, alive = lived(model, state.actor)
    assert float(reward) > 55 and float(alive) > 0.9
    assert all(np.isfinite(value) for value in progress.metrics.values())


def test_it_learns_to_stay_alive_by_pushing() -> None:
    # The reward is the same in every state: only the probability of the end carries a gradient.
    model = AnalyticModel.create(
        [[1.0, 0.3], [0.1, 1.0]],
        [[0.0, 0.2]],
        alive=1.0,
        limit=0.5,
        state_weight=0.0,
        action_weight=0.0,
        start_std=0.05,
    )
    state, _ = trained(model, paid_steps(model, reach=0.4), updates=300)
    reward, alive = lived(model, state.actor)
    assert float(reward) > 55 and float(alive) > 0.9


def test_where_every_step_is_the_last_the_critics_learn_the_reward() -> None:
    model = double_integrator(limit=-1.0)  # |x| > -1 everywhere
    state, _ = trained(model, paid_steps(model, reach=2.0), updates=400)
    draws = np.random.default_rng(1)
    observation = jnp.asarray(draws.uniform(-1.5, 1.5, (200, 2)), jnp.float32)
    action = jnp.asarray(draws.uniform(-0.5, 0.5, (200, 1)), jnp.float32)
    value = np.asarray(state.critics(observation, action).mean(0) * state.critics.scale)
    reward = np.asarray(model.reward(observation, action))
    assert np.sqrt(np.square(value - reward).mean()) < 0.45 * reward.std()


# --- What it computes -----------------------------------------------------------------------------------------------


def steady(model: AnalyticModel, **config: Any) -> tuple[ActorCritic, ValueGradientConfig]:
    """An agent that hardly explores, so that its rollouts are known."""
    state = fresh(model, initial_temperature=1e-6, **config)
    bias = jnp.array([0.3] * model.action_size + [-20.0] * model.action_size)
    bounds = jnp.array([-1e4, 1e4])
    return state._replace(
        actor=eqx.tree_at(lambda a: a.network.layers[-1].bias, state.actor, bias),
        critics=eqx.tree_at(lambda c: (c.scale, c.bounds), state.critics, (jnp.asarray(3.0), bounds)),
        target=eqx.tree_at(lambda c: (c.scale, c.bounds), state.target, (jnp.asarray(3.0), bounds)),
    ), ValueGradientConfig(**{**SMALL, **config})


loss = eqx.filter_jit(_actor_loss)


@pytest.mark.parametrize("limit", [1e6, 1.0])
def test_the_critics_target_is_the_discounted_return_until_the_end(limit: float) -> None:
    model = double_integrator(limit=limit)
    state, config = steady(model, discount=0.9)
    start = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (32, 2)), jnp.float32)
    network = eqx.filter(state.actor.network, eqx.is_array)
    objective, rollout = loss(network, state, model, start, jax.random.key(0), config)

    now, alive, wanted = start, np.ones(32), np.zeros(32)
    for step in range(config.horizon):
        action = state.actor.mode(now)
        wanted += alive * 0.9**step * np.asarray(model.reward(now, action)) / 3.0
        now = model.truth(now, action)
        alive = alive * (np.abs(now[:, 0]) <= limit)
    assert alive.all() if limit > 10 else 0 < alive.sum() < 32
    tail = 0.9**config.horizon * alive
    last = state.actor.mode(now)
    np.testing.assert_allclose(rollout.target, wanted + tail * state.target.target(now, last), atol=0.05)
    mean_value = wanted + tail * np.asarray(state.critics(now, last).mean(0))
    assert float(objective) == pytest.approx(-mean_value.mean(), abs=0.02)


def test_the_actors_gradient_is_that_of_finite_differences() -> None:
    model = double_integrator(noise=0.05, spread=0.1)
    state, config = steady(model, batch=16)
    state = state._replace(log_temperature=jnp.log(jnp.asarray(0.2)))
    start = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (16, 2)), jnp.float32)
    network = eqx.filter(state.actor.network, eqx.is_array)

    @eqx.filter_jit
    def value(network: Any) -> jax.Array:
        return _actor_loss(network, state, model, start, jax.random.key(2), config)[0]

    gradient = eqx.filter_jit(jax.grad(lambda n: _actor_loss(n, state, model, start, jax.random.key(2), config)[0]))(
        network
    )
    leaves, shape = jax.tree.flatten(network)
    for seed in range(4):
        draws = np.random.default_rng(seed)
        direction = [jnp.asarray(draws.standard_normal(leaf.shape), jnp.float32) for leaf in leaves]
        slope = sum(float((g * d).sum()) for g, d in zip(jax.tree.leaves(gradient), direction, strict=True))
        ahead, behind = (
            float(value(jax.tree.unflatten(shape, [x + by * d for x, d in zip(leaves, direction, strict=True)])))
            for by in (3e-3, -3e-3)
        )
        assert (ahead - behind) / 6e-3 == pytest.approx(slope, rel=0.05, abs=0.02)


# --- How it runs ----------------------------------------------------------------------------------------------------


def same(one: ActorCritic, other: ActorCritic) -> bool:
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in leaves if eqx.is_array(a))


def test_the_same_key_learns_the_same_and_padding_has_no_say() -> None:
    model = double_integrator(noise=0.01)
    clean, dirty = paid_steps(model, reach=2.0), paid_steps(model, reach=2.0)
    for column in dirty.columns:
        if column.dtype.kind == "f":
            column[dirty.size :] = np.nan
    one, progress = trained(model, clean, updates=50)
    again, _ = trained(model, dirty, updates=50)
    other, _ = trained(model, clean, updates=50, seed=1)
    assert same(one, again) and not same(one, other)
    # 64 starts and ten steps, then fifty updates of 64 rows and three steps.
    assert progress.imagined_steps == 64 * 10 + 50 * 64 * 3


def test_what_it_has_learned_can_be_learned_on_from() -> None:
    model = double_integrator(noise=0.01)
    table = paid_steps(model, reach=2.0)
    first, _ = trained(model, table, updates=200)
    second, _ = trained(model, table, updates=100, seed=1, state=first)
    assert float(lived(model, second.actor)[0]) > 1.3 * float(lived(model, first.actor)[0])
    assert float(second.log_temperature) < float(first.log_temperature)


def test_it_can_be_stopped_between_two_chunks() -> None:
    seen: list[int] = []

    def watch(done: int, progress: Progress) -> None:
        seen.append(done)
        if len(seen) == 2:
            raise KeyboardInterrupt

    model = double_integrator()
    with pytest.raises(KeyboardInterrupt):
        LEARNER.learn(
            fresh(model),
            model,
            paid_steps(model, reach=2.0),
            truncation=NoTruncation(),
            updates=500,
            key=jax.random.key(0),
            on_chunk=watch,
        )
    assert seen == [50, 100]


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


def test_more_data_and_another_model_never_compile_again(compiled: list[str]) -> None:
    model = double_integrator(noise=0.01)
    table, more = paid_steps(model, reach=2.0, count=300), paid_steps(model, reach=1.0, count=100)
    other = double_integrator(noise=0.1, spread=0.2)
    # Twice: an agent that was never prepared has other types than one that was.
    state, _ = trained(model, table, updates=50)
    state, _ = trained(model, table, updates=50, state=state)
    assert compiled, "the listener must see the first compilation"
    compiled.clear()
    table.add(more.filled())
    trained(other, table, updates=100, state=state)
    assert not compiled


@pytest.mark.parametrize(
    "wrong",
    [{"horizon": 0}, {"distribution_horizon": 0}, {"pool": 0}, {"chunk": 0}, {"discount": 1.0}, {"batch": 0}],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ValueGradientConfig(**wrong)
