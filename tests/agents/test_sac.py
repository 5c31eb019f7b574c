"""SAC: its update against the same written out in NumPy, where its rows come from, and worlds it must solve."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.agents.learner import ActorCritic, Progress
from gedanken.agents.sac import SAC, SACConfig, _actor_loss, _batches, paid_transitions, update
from gedanken.dreams.rollout import Transitions, empty_buffer, pack
from gedanken.dreams.truncation import NoTruncation
from gedanken.errors import ConfigError
from gedanken.models.contract import State
from tests.fakes import AnalyticModel, double_integrator, falling_pole, paid_steps

SMALL: dict[str, Any] = {
    "width": 32,
    "depth": 1,
    "batch": 64,
    "starts": 64,
    "buffer": 4_000,
    "horizon": 3,
    "chunk": 25,
    "actor_learning_rate": 3e-3,
    "critic_learning_rate": 3e-3,
    "temperature_learning_rate": 3e-3,
    "target_rate": 0.02,
}


def fresh(model: AnalyticModel, config: SACConfig) -> ActorCritic:
    return SAC(config).init(2, model.action_size, discrete=model.action_size > 1, key=jax.random.key(0))


def trained(model: AnalyticModel, *, reach: float, updates: int, **config: Any) -> tuple[ActorCritic, Progress]:
    settings = SACConfig(**{**SMALL, **config})
    return SAC(settings).learn(
        fresh(model, settings),
        model,
        paid_steps(model, reach=reach),
        truncation=NoTruncation(),
        updates=updates,
        key=jax.random.key(1),
    )


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


# --- What it computes -----------------------------------------------------------------------------------------------


def some_rows(count: int = 64) -> Transitions:
    draws = np.random.default_rng(3)
    parts = [draws.standard_normal((count, 2)), np.tanh(draws.standard_normal((count, 1)))]
    parts += [draws.standard_normal(count) * 5, draws.random(count) < 0.3, draws.standard_normal((count, 2))]
    return Transitions(*(jnp.asarray(p, bool if p.dtype == bool else jnp.float32) for p in parts))


def scaled(config: SACConfig, scale: float = 5.0) -> ActorCritic:
    """An agent whose critics predict in units of `scale` and whose targets are a little behind."""
    state = fresh(double_integrator(), config)
    bounds = jnp.array([-1e4, 1e4])
    behind = jax.tree.map(lambda x: x * 0.9 if eqx.is_inexact_array(x) else x, state.critics.networks)
    critics = eqx.tree_at(lambda c: (c.scale, c.bounds), state.critics, (jnp.asarray(scale), bounds))
    return state._replace(critics=critics, target=eqx.tree_at(lambda c: c.networks, critics, behind))


def test_an_update_is_that_of_the_paper() -> None:
    config, rows = SACConfig(**SMALL, discount=0.9), some_rows()
    state = scaled(config)
    noise = state.actor.noise(jax.random.key(2), (2, rows.reward.shape[0]))
    after, metrics = eqx.filter_jit(update)(state, rows, noise, config)

    alpha = float(jnp.exp(state.log_temperature))
    following, log_probability = state.actor.act(rows.next_observation, noise[0])
    future = np.asarray(state.target(rows.next_observation, following)).min(0) - alpha * np.asarray(log_probability)
    target = np.asarray(rows.reward) / 5.0 + 0.9 * (1.0 - np.asarray(rows.terminated)) * future
    estimates = np.asarray(state.critics(rows.observation, rows.action))
    assert float(metrics["critic_loss"]) == pytest.approx(np.square(estimates - target).mean(1).sum(), rel=1e-4)
    assert float(metrics["value"]) == pytest.approx(5.0 * target.mean(), rel=1e-3)

    action, log_probability = state.actor.act(rows.observation, noise[1])
    worth = np.asarray(state.critics(rows.observation, action)).min(0)
    wanted = (alpha * np.asarray(log_probability) - worth).mean()
    assert float(metrics["actor_loss"]) == pytest.approx(wanted, rel=1e-3, abs=1e-4)
    assert float(metrics["entropy"]) == pytest.approx(-float(log_probability.mean()), rel=1e-4)
    assert float(metrics["temperature"]) == pytest.approx(alpha)
    rises = float(metrics["entropy"]) < state.actor.target_entropy
    assert (float(after.log_temperature) > float(state.log_temperature)) == rises


@pytest.mark.parametrize("batch", [64])
def test_the_actors_gradient_is_that_of_finite_differences(batch: int) -> None:
    config, observation = SACConfig(**SMALL), some_rows(batch).observation
    state = scaled(config)._replace(log_temperature=jnp.log(jnp.asarray(0.3)))
    noise = state.actor.noise(jax.random.key(4), (batch,))

    @eqx.filter_jit
    def loss(network: Any) -> jax.Array:
        return _actor_loss(network, state, observation, noise)[0]

    network = eqx.filter(state.actor.network, eqx.is_array)
    gradient = eqx.filter_jit(jax.grad(loss))(network)
    leaves, shape = jax.tree.flatten(network)
    draws = np.random.default_rng(0)
    for _ in range(4):
        direction = [jnp.asarray(draws.standard_normal(leaf.shape), jnp.float32) for leaf in leaves]
        slope = sum(float((g * d).sum()) for g, d in zip(jax.tree.leaves(gradient), direction, strict=True))
        ahead, behind = (
            float(loss(jax.tree.unflatten(shape, [x + by * d for x, d in zip(leaves, direction, strict=True)])))
            for by in (3e-3, -3e-3)
        )
        assert (ahead - behind) / 6e-3 == pytest.approx(slope, rel=0.05, abs=0.02)


def test_neither_target_nor_critics_are_pulled_by_the_actors_loss() -> None:
    config = SACConfig(**SMALL)
    state, rows = scaled(config), some_rows()
    noise = state.actor.noise(jax.random.key(0), (2, rows.reward.shape[0]))
    after, _ = eqx.filter_jit(update)(state, rows, noise, config)
    moved = zip(jax.tree.leaves(state.target.networks), jax.tree.leaves(after.target.networks), strict=True)
    followed = zip(jax.tree.leaves(after.critics.networks), jax.tree.leaves(after.target.networks), strict=True)
    for (old, new), (source, _) in zip(moved, followed, strict=True):
        if eqx.is_array(old):
            np.testing.assert_allclose(new, old + config.target_rate * (source - old), rtol=1e-4, atol=1e-6)


# --- Where its rows come from ---------------------------------------------------------------------------------------


class Spoilt(AnalyticModel):
    """A model that gives a reward which the world never gives."""

    def reward(self, observation: jax.Array, action: jax.Array) -> jax.Array:
        return jnp.full(observation.shape[0], 1e6)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_share_decides_what_is_learned_from(share: float) -> None:
    config = SACConfig(**{**SMALL, "imagined_share": share})
    world = double_integrator()
    spoilt = Spoilt(**{name: getattr(world, name) for name in world.__dataclass_fields__})
    ids = []
    for model in (world, spoilt):
        state, progress = SAC(config).learn(
            fresh(world, config),
            model,
            paid_steps(world, reach=1.0),
            truncation=NoTruncation(),
            updates=25,
            key=jax.random.key(1),
        )
        ids.append([np.asarray(x) for x in jax.tree.leaves(eqx.filter(state.actor, eqx.is_array))])
        assert (progress.imagined_steps > 0) == (share > 0)
    alike = all(np.array_equal(a, b) for a, b in zip(*ids, strict=True))
    assert alike == (share == 0.0)


def test_without_imagined_rows_no_model_is_needed() -> None:
    table, key = paid_steps(double_integrator(), reach=1.0), jax.random.key(0)
    learner = SAC(SACConfig(**{**SMALL, "imagined_share": 0.0}))
    state, progress = learner.learn(
        fresh(double_integrator(), learner.config), None, table, truncation=NoTruncation(), updates=25, key=key
    )
    assert progress.imagined_steps == 0 and np.isfinite(list(progress.metrics.values())).all()
    with pytest.raises(ConfigError, match="imagined_share=0"):
        SAC(SACConfig(**SMALL)).learn(state, None, table, truncation=NoTruncation(), updates=25, key=key)


@pytest.mark.parametrize("share", [0.75, 1.0])
def test_while_nothing_was_imagined_the_paid_rows_stand_in(share: float) -> None:
    config = SACConfig(**{**SMALL, "imagined_share": share})
    rows = paid_transitions(paid_steps(double_integrator(), reach=1.0))
    nothing = empty_buffer(jax.tree.map(lambda x: x[:1], rows.items), 100)
    batches = _batches(rows, nothing, jax.random.key(0), config)
    assert batches.observation.shape[:2] == (config.chunk, config.batch)
    known = {tuple(row) for row in np.asarray(rows.items.observation[: int(rows.size)])}
    assert {tuple(row) for row in np.asarray(batches.observation).reshape(-1, 2)} <= known


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_each_batch_holds_its_share_of_imagined_rows(share: float) -> None:
    config = SACConfig(**{**SMALL, "imagined_share": share})
    rows = paid_transitions(paid_steps(double_integrator(), reach=1.0))
    blank = jax.tree.map(lambda x: jnp.zeros_like(x[:5]), rows.items)
    dreamt = pack(empty_buffer(rows.items, 8), blank, jnp.ones(5, bool))
    rewards = np.asarray(_batches(rows, dreamt, jax.random.key(0), config).reward)
    np.testing.assert_array_equal((rewards == 0).sum(1), config.imagined_rows)


def test_padding_is_never_drawn() -> None:
    table = paid_steps(double_integrator(), reach=1.0, count=100)
    for column in table.columns:
        if column.dtype.kind == "f":
            column[table.size :] = np.nan
    config = SACConfig(**SMALL)
    state, progress = SAC(config).learn(
        fresh(double_integrator(), config),
        double_integrator(),
        table,
        truncation=NoTruncation(),
        updates=25,
        key=jax.random.key(0),
    )
    assert np.isfinite(list(progress.metrics.values())).all()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(eqx.filter(state.actor, eqx.is_array)))
    # 64 starts of three steps, once.
    assert progress.imagined_steps == 64 * 3


# --- What it learns -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.95])
def test_it_brings_a_double_integrator_to_rest(share: float) -> None:
    model = double_integrator(noise=0.01)
    before, _ = lived(model, fresh(model, SACConfig(**SMALL)).actor)
    state, _ = trained(model, reach=2.0, updates=1500, imagined_share=share)
    after, _ = lived(model, state.actor)
    assert float(after) > 0.3 * float(before), (float(before), float(after))


def test_it_learns_to_stay_alive_by_choices() -> None:
    model = falling_pole()
    state, progress = trained(model, reach=0.4, updates=1500)
    reward, alive = lived(model, state.actor)
    assert float(lived(model, fresh(model, SACConfig(**SMALL)).actor)[1]) < 0.5
    assert float(reward) > 50 and float(alive) > 0.8
    # The entropy is held where it is wanted, so the temperature has not run away.
    assert progress.metrics["temperature"] < 1.0


def test_it_can_be_stopped_between_two_chunks() -> None:
    seen: list[int] = []

    def watch(done: int, progress: Progress) -> None:
        seen.append(done)
        raise KeyboardInterrupt

    config = SACConfig(**SMALL)
    with pytest.raises(KeyboardInterrupt):
        SAC(config).learn(
            fresh(double_integrator(), config),
            double_integrator(),
            paid_steps(double_integrator(), reach=1.0),
            truncation=NoTruncation(),
            updates=500,
            key=jax.random.key(0),
            on_chunk=watch,
        )
    assert seen == [25]


@pytest.mark.parametrize("wrong", [{"imagined_share": -0.1}, {"imagined_share": 1.1}, {"starts": 0}, {"buffer": 0}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SACConfig(**wrong)
