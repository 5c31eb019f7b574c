from __future__ import annotations

import json

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import StoreError, UnsupportedSpace
from gedanken.experience.spaces import space_from_json, space_to_json

S = gym.spaces
shapes = st.lists(st.integers(1, 3), max_size=3).map(tuple)


@st.composite
def boxes(draw):
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64, np.uint8, np.int8, np.int32, np.int64]))
    shape = draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        low, high = np.sort(rng.integers(info.min, info.max, (2, *shape), dtype=dtype, endpoint=True), axis=0)
        return S.Box(low, high, shape, dtype)
    low = np.round(rng.normal(size=shape), 2).astype(dtype)
    high = (low + np.round(rng.uniform(1, 2, shape), 2)).astype(dtype)
    if draw(st.booleans()):
        low = np.where(rng.random(shape) < 0.5, -np.inf, low).astype(dtype)
        high = np.where(rng.random(shape) < 0.5, np.inf, high).astype(dtype)
    return S.Box(low, high, shape, dtype)


leaves = st.one_of(
    boxes(),
    st.builds(lambda n, start: S.Discrete(n, start=start), st.integers(1, 9), st.integers(-5, 5)),
    st.lists(st.integers(1, 9), min_size=1, max_size=4).map(S.MultiDiscrete),
    st.just(S.MultiDiscrete(np.array([[2, 3], [4, 5]]), start=np.array([[0, -1], [7, 0]]))),
    st.one_of(st.integers(1, 5), st.just([2, 3])).map(S.MultiBinary),
    st.builds(
        lambda size, letters: S.Text(size, min_length=0, charset=letters),
        st.integers(1, 9),
        st.text(min_size=1, max_size=5),
    ),
)
spaces = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(S.Tuple),
        st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3).map(S.Dict),
    ),
    max_leaves=4,
)


@given(spaces)
def test_a_space_survives_json(space):
    text = json.dumps(space_to_json(space), allow_nan=False)
    back = space_from_json(json.loads(text))
    assert back == space and repr(back) == repr(space)
    assert back.dtype == space.dtype and back.shape == space.shape


def test_the_order_of_keys_is_part_of_a_space():
    space = S.Dict([("b", S.Discrete(2)), ("a", S.Discrete(3))])
    assert list(space_from_json(space_to_json(space)).spaces) == ["b", "a"]


def test_an_image_space_is_described_in_few_words():
    assert len(json.dumps(space_to_json(S.Box(0, 255, (84, 84, 3), np.uint8)))) < 200


@pytest.mark.parametrize(
    "space", [S.Sequence(S.Discrete(2)), S.Dict(a=S.Sequence(S.Discrete(2))), S.Dict([(1, S.Discrete(2))])]
)
def test_what_cannot_be_described_is_refused(space):
    with pytest.raises(UnsupportedSpace, match="Sequence|1"):
        space_to_json(space)


@pytest.mark.parametrize(
    "described",
    [None, {}, {"type": "Box"}, {"type": "Magic"}, {"type": "Discrete", "n": -1, "start": 0, "dtype": "int64"}, [1]],
)
def test_what_is_no_description_is_refused(described):
    with pytest.raises(StoreError, match="manifest"):
        space_from_json(described)
