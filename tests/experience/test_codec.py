from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import ConfigError, UnsupportedSpace
from gedanken.experience.codec import Codec

Box, Discrete = gym.spaces.Box, gym.spaces.Discrete
STEERING = Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32))


@given(st.integers(0, 2**31 - 1))
def test_a_bounded_action_survives_encoding_and_decoding(seed):
    space = Box(-np.float32(1.5), np.float32(3.0), (2, 3))
    space.seed(seed)
    codec, action = Codec(Box(-1, 1, (1,)), space), space.sample()
    vector = codec.encode_actions(action)
    assert vector.shape == (6,) and vector.dtype == np.float32 and np.abs(vector).max() <= 1 + 1e-6
    decoded = codec.decode_action(vector)
    assert decoded.shape == (2, 3) and decoded.dtype == space.dtype and space.contains(decoded)
    np.testing.assert_allclose(decoded, action, atol=1e-5)


def test_the_ends_of_an_action_range_are_minus_one_and_one():
    codec = Codec(Box(-1, 1, (1,)), STEERING)
    np.testing.assert_allclose(codec.encode_actions(np.stack([STEERING.low, STEERING.high])), [[-1, -1], [1, 1]])
    np.testing.assert_allclose(codec.decode_action([0.0, 0.0]), [0.0, 5.0])


def test_what_an_agent_gives_beyond_the_range_is_clipped_into_it():
    decoded = Codec(Box(-1, 1, (1,)), STEERING).decode_action([9.0, -9.0])
    np.testing.assert_array_equal(decoded, [2.0, 0.0])


@pytest.mark.parametrize("start", [0, -3, 5])
def test_choices_become_one_hot_and_come_back(start):
    space = Discrete(4, start=start)
    codec = Codec(space, space)
    values = np.arange(start, start + 4)
    np.testing.assert_array_equal(codec.encode_actions(values), np.eye(4))
    assert [codec.decode_action(row) for row in np.eye(4)] == values.tolist()
    assert [codec.decode_observation(row) for row in np.eye(4) * 0.3] == values.tolist()
    assert (codec.observation_size, codec.action_size, codec.choices) == (4, 4, 4)


@pytest.mark.parametrize("lead", [(), (5,), (2, 5)])
def test_leading_axes_are_kept(lead):
    space = Box(-1, 1, (2, 3), np.float64)
    codec = Codec(space, STEERING)
    assert codec.encode_observations(np.zeros((*lead, 2, 3))).shape == (*lead, 6)
    assert codec.encode_actions(np.zeros((*lead, 2))).shape == (*lead, 2)
    assert Codec(Discrete(3), STEERING).encode_observations(np.zeros(lead, np.int64)).shape == (*lead, 3)
    assert codec.choices == 0


def test_a_decoded_observation_lies_in_its_space():
    space = Box(0, 255, (2, 2), np.uint8)
    decoded = Codec(space, STEERING).decode_observation([0.0, 17.0, 200.0, 255.0])
    assert decoded.dtype == np.uint8 and decoded.tolist() == [[0, 17], [200, 255]]
    bounded = Box(-1, 1, (2,))
    assert bounded.contains(Codec(bounded, STEERING).decode_observation([5.0, -5.0]))


@pytest.mark.parametrize("space", [gym.spaces.Text(5), gym.spaces.Dict(a=Discrete(2)), gym.spaces.MultiBinary(3)])
def test_other_observations_are_refused_with_a_way_out(space):
    with pytest.raises(UnsupportedSpace, match="FlattenObservation"):
        Codec(space, STEERING)


def test_unbounded_and_composite_actions_are_refused():
    with pytest.raises(UnsupportedSpace, match="bounded"):
        Codec(Discrete(2), Box(-np.inf, np.inf, (1,)))
    with pytest.raises(UnsupportedSpace, match="one choice"):
        Codec(Discrete(2), gym.spaces.MultiDiscrete([2, 2]))


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((2, 2)), np.zeros((3, 2)), 0.0])
def test_another_shape_is_refused(wrong):
    codec = Codec(Box(-1, 1, (2, 3)), STEERING)
    with pytest.raises(ConfigError, match="This observation has another shape"):
        codec.encode_observations(wrong)
    with pytest.raises(ConfigError, match="This action has another shape"):
        codec.encode_actions(np.zeros((5, 3)))


@pytest.mark.parametrize("wrong", [-1, 4, 7, 1.5, [0, 4], float("nan")])
def test_what_is_no_choice_is_refused(wrong):
    with pytest.raises(ConfigError, match="no action of the space"):
        Codec(Discrete(2), Discrete(4)).encode_actions(wrong)
    with pytest.raises(ConfigError, match="no observation of the space"):
        Codec(Discrete(4), Discrete(4)).encode_observations(wrong)


def test_an_action_that_has_one_value_is_encoded_as_a_number():
    codec = Codec(Discrete(2), Box(np.array([-1.0, 2.0]), np.array([1.0, 2.0]), dtype=np.float64))
    encoded = codec.encode_actions(np.array([0.5, 2.0]))
    assert np.isfinite(encoded).all()
    np.testing.assert_allclose(codec.decode_action(encoded), [0.5, 2.0])
