"""The deployable policy: raw observations in, raw actions out, and its files."""

from __future__ import annotations

from pathlib import Path

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.agents.actor_critic import Actor
from gedanken.agents.policy import PolicyAgent
from gedanken.errors import ConfigError, FileError
from gedanken.experience.codec import Codec
from gedanken.models.networks import Standardiser

BOX = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
SPACES = {
    "continuous": (BOX, gym.spaces.Box(np.array([-2.0, 0.0]), np.array([2.0, 10.0]), dtype=np.float64)),
    "choices": (BOX, gym.spaces.Discrete(4, start=-1)),
    "rooms": (gym.spaces.Discrete(5), gym.spaces.Discrete(2)),
}
OBSERVATIONS = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)


def agent(kind: str = "continuous", *, depth: int = 2, width: int = 8, layer_norm: bool = True) -> PolicyAgent:
    codec = Codec(*SPACES[kind])
    actor = Actor(
        codec.observation_size,
        codec.action_size,
        discrete=codec.choices > 0,
        width=width,
        depth=depth,
        layer_norm=layer_norm,
        key=jax.random.key(1),
    )
    # As after a round of learning: its inputs are standardised.
    inputs = Standardiser(jnp.full(codec.observation_size, 0.5), jnp.full(codec.observation_size, 2.0))
    return PolicyAgent(eqx.tree_at(lambda a: a.inputs, actor, inputs), codec)


@pytest.mark.parametrize("kind", SPACES)
def test_it_speaks_the_worlds_language(kind: str) -> None:
    one = agent(kind)
    for number in range(20):
        observation = np.int64(number % 5) if kind == "rooms" else OBSERVATIONS[number]
        for seed in (None, number):
            assert one.codec.action_space.contains(one.act(observation, seed=seed))


def test_without_a_seed_it_takes_the_most_likely_action() -> None:
    one = agent()
    wanted = one.actor.mode(jnp.asarray(OBSERVATIONS))
    acted = one.codec.encode_actions(np.stack([one.act(o) for o in OBSERVATIONS]))
    np.testing.assert_allclose(acted, wanted, atol=1e-5)
    np.testing.assert_allclose(one.greedy(jnp.asarray(OBSERVATIONS), jax.random.key(0)), wanted, rtol=1e-6)


def test_exploring_says_how_likely_it_was() -> None:
    one, key = agent("choices"), jax.random.key(3)
    logits = one.actor.network(one.actor.inputs.into(jnp.asarray(OBSERVATIONS[:1])))[0]
    log_probabilities = np.asarray(jax.nn.log_softmax(logits))
    answers = [one.explore(OBSERVATIONS[0], key, step) for step in range(50)]
    assert len({int(action) for action, _ in answers}) > 1
    for action, log_probability in answers:
        assert log_probability == pytest.approx(log_probabilities[int(action) + 1], abs=1e-5)
    again = one.explore(OBSERVATIONS[0], key, 7)
    assert again == answers[7]


@pytest.mark.parametrize("kind", ["continuous", "choices"])
def test_what_it_explored_has_the_probability_its_drawn_policy_says(kind: str) -> None:
    """As off-policy estimators read it: the raw action of a log, encoded again."""
    one = agent(kind)
    for step, observation in enumerate(OBSERVATIONS):
        action, log_probability = one.explore(observation, jax.random.key(3), step)
        encoded = jnp.asarray(one.codec.encode_actions(action))[None]
        if np.abs(encoded).max() < 0.999 or kind == "choices":
            said = one.drawn.log_probability(jnp.asarray(observation)[None], encoded)
            np.testing.assert_allclose(said[0], log_probability, rtol=5e-3, atol=5e-3)
    drawn = one.drawn(jnp.asarray(OBSERVATIONS), jax.random.key(0))
    assert np.array_equal(drawn, one.actor.sample(jnp.asarray(OBSERVATIONS), jax.random.key(0))[0])


def test_its_id_names_its_parameters() -> None:
    one = agent()
    assert one.id == agent().id and one.id.startswith("policy-")
    changed = eqx.tree_at(lambda a: a.inputs.mean, one.actor, one.actor.inputs.mean + 1e-3)
    assert PolicyAgent(changed, one.codec).id != one.id


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("shape", [{}, {"depth": 1, "width": 5}, {"layer_norm": False}])
def test_what_is_saved_acts_as_before(tmp_path: Path, kind: str, shape: dict[str, int]) -> None:
    one = agent(kind, **shape)
    one.save(tmp_path / "agent")
    loaded = PolicyAgent.load(tmp_path / "agent")
    assert loaded.id == one.id
    assert (loaded.codec.observation_space, loaded.codec.action_space) == SPACES[kind]
    observation = np.int64(3) if kind == "rooms" else OBSERVATIONS[0]
    for seed in (None, 5):
        assert np.array_equal(loaded.act(observation, seed=seed), one.act(observation, seed=seed))


def test_files_that_were_tampered_with_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        PolicyAgent.load(tmp_path / "nothing")
    agent().save(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        for wrong in (bytes(flipped), content[:-1], b""):
            path.write_bytes(wrong)
            with pytest.raises(FileError):
                PolicyAgent.load(tmp_path)
        path.write_bytes(content)
    assert PolicyAgent.load(tmp_path).id == agent().id


@pytest.mark.parametrize("wrong", [np.zeros(99), np.array([0.0, np.nan, 0.0]), OBSERVATIONS[:2]])
@pytest.mark.parametrize("seed", [None, 5])
def test_what_is_no_observation_is_refused(wrong: np.ndarray, seed: int | None) -> None:
    with pytest.raises(ConfigError):
        agent().act(wrong, seed=seed)
    with pytest.raises(ConfigError):
        agent("rooms").act(np.int64(5), seed=seed)
