"""An actor spoilt by random actions: how often they come, and the probability of every action."""

from __future__ import annotations

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.agents.mixed import MixedAgent
from gedanken.errors import ConfigError
from tests.agents.test_policy import OBSERVATIONS, SPACES, agent

DRAWS = 4_000


@pytest.mark.parametrize("kind", SPACES)
def test_without_a_share_it_is_the_actor_and_its_probability(kind: str) -> None:
    mixed = MixedAgent(agent(kind), 0.0).drawn
    x = jnp.asarray(OBSERVATIONS) if kind != "rooms" else jax.nn.one_hot(jnp.arange(5), 5)
    action = mixed(x, jax.random.key(3))
    own = mixed.actor.log_probability(x, action)
    assert np.allclose(mixed.log_probability(x, action), own, atol=1e-5)


@pytest.mark.parametrize("kind", SPACES)
def test_with_a_share_of_one_every_action_is_as_likely_as_any_other(kind: str) -> None:
    mixed = MixedAgent(agent(kind), 1.0).drawn
    size = mixed.actor.action_size
    x = jnp.zeros((DRAWS, mixed.actor.inputs.mean.shape[0]))
    actions = mixed(x, jax.random.key(0))
    uniform = -np.log(size) if mixed.actor.discrete else -size * np.log(2.0)
    assert np.allclose(mixed.log_probability(x, actions), uniform, atol=1e-5)
    if mixed.actor.discrete:
        assert np.allclose(actions.mean(0), 1.0 / size, atol=4.0 / np.sqrt(DRAWS))
    else:
        assert np.allclose(actions.mean(0), 0.0, atol=4.0 / np.sqrt(3.0 * DRAWS)) and np.abs(actions).max() <= 1.0
        assert np.allclose(actions.var(0), 1.0 / 3.0, atol=0.03)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_probabilities_of_choices_add_up_and_are_those_of_the_draws(share: float) -> None:
    mixed = MixedAgent(agent("choices"), share).drawn
    x = jnp.broadcast_to(jnp.asarray(OBSERVATIONS[0]), (DRAWS, 3))
    every = jnp.eye(4)
    probability = np.exp(mixed.log_probability(jnp.broadcast_to(x[0], (4, 3)), every))
    assert probability.sum() == pytest.approx(1.0, abs=1e-5) and probability.min() >= share / 4 - 1e-6
    drawn = Counter(np.asarray(mixed(x, jax.random.key(1))).argmax(-1).tolist())
    assert all(abs(drawn[k] / DRAWS - probability[k]) < 4.0 * np.sqrt(0.25 / DRAWS) for k in range(4))


def test_a_density_of_continuous_actions_adds_up() -> None:
    one = agent("continuous")
    grid = np.linspace(-1.0, 1.0, 201)
    actions = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2).astype(np.float32)
    x = jnp.broadcast_to(jnp.asarray(OBSERVATIONS[0]), (len(actions), 3))
    density = np.exp(np.asarray(MixedAgent(one, 0.5).drawn.log_probability(x, jnp.asarray(actions))))
    assert density.reshape(201, 201)[1:-1, 1:-1].sum() * 0.01**2 == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("kind", SPACES)
def test_it_acts_in_the_worlds_language_and_the_same_again(kind: str) -> None:
    mixed = MixedAgent(agent(kind), 0.5)
    observation = np.int64(2) if kind == "rooms" else OBSERVATIONS[0]
    assert SPACES[kind][1].contains(mixed.act(observation))
    action, log_probability = mixed.explore(observation, jax.random.key(4), step=7)
    again, same = mixed.explore(observation, jax.random.key(4), step=7)
    assert np.array_equal(action, again) and log_probability == same
    encoded = mixed.of.codec.encode_actions(np.asarray(action))
    said = mixed.drawn.log_probability(mixed.of.read(observation)[None], jnp.asarray(encoded)[None])
    assert log_probability == pytest.approx(float(said[0]), abs=1e-3)


def test_its_name_tells_the_actor_and_the_share() -> None:
    one = agent()
    assert MixedAgent(one, 0.25).id == f"{one.id}-random-0.25" != MixedAgent(one, 0.5).id


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="share of random actions"):
        MixedAgent(agent(), share)
