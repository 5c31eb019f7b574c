from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import StoreError, UnsupportedSpace
from gedanken.experience.columns import Column

S = gym.spaces


@given(st.lists(st.text(st.characters(), max_size=8), max_size=5))
def test_any_text_survives_even_a_lone_surrogate(texts):
    column = Column("texts", S.Text(8))
    assert column.decode(column.encode(texts).to_pylist()).tolist() == texts


def test_nested_values_come_back_with_their_types():
    space = S.Dict(page=S.Text(9), at=S.Box(0, 1, (2,)), mode=S.Tuple([S.Discrete(3), S.MultiBinary(2)]))
    column = Column("pages", space)
    value = {"page": "é", "at": np.array([0.1, np.float32(1) / 3], np.float32), "mode": (2, np.array([0, 1], np.int8))}
    back = column.decode(column.encode([value]).to_pylist())[0]
    assert back["page"] == "é" and back["mode"][0] == 2
    np.testing.assert_array_equal(back["at"], value["at"])
    assert back["at"].dtype == np.float32 and back["mode"][1].dtype == np.int8


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_not_a_number_and_infinity_are_kept_as_they_are(dtype):
    values = [np.array([np.nan, np.inf, -0.0], dtype)]
    encoded = Column("numbers", S.Box(-np.inf, np.inf, (3,), dtype)).encode(values)
    np.testing.assert_array_equal(encoded.flatten().to_numpy(), values[0])


@pytest.mark.parametrize(
    ("space", "value", "why"),
    [
        (S.Box(-1, 1, (2,)), [0.0, 0.0, 0.0], "shape"),
        (S.Box(-1, 1, (2,)), 0.0, "shape"),
        (S.Box(-1, 1, (2,)), None, "shape"),
        (S.Box(-1, 1, (1,)), ["text"], "dtype"),
        (S.Box(-1, 1, (1,)), [1e300], "float32 cannot hold"),
        (S.Box(0, 255, (1,), np.uint8), [256], "uint8 cannot hold"),
        (S.Box(0, 255, (1,), np.uint8), [-1], "uint8 cannot hold"),
        (S.Box(0, 255, (1,), np.uint8), [0.5], "uint8 cannot hold"),
        (S.Box(0, 255, (1,), np.uint8), [np.nan], "uint8 cannot hold"),
        (S.Discrete(3), 1.0, "integer"),
        (S.Discrete(3), None, "integer"),
        (S.Discrete(3), 2**70, "large"),
        (S.Text(3), object(), "JSON"),
        (S.Dict(a=S.Discrete(2)), {"b": 1}, "a"),
    ],
)
def test_a_value_that_is_none_of_the_space_is_refused_in_words(space, value, why):
    with pytest.raises(StoreError, match=why):
        Column("the observations", space).encode([value])


def test_values_of_different_shapes_are_refused():
    with pytest.raises(StoreError, match="shape"):
        Column("x", S.Box(-1, 1, (2,))).encode([np.zeros(2), np.zeros(3)])


@pytest.mark.parametrize("value", [2, np.int8(2), np.array(2), np.uint64(2)])
def test_integers_of_all_kinds_are_choices(value):
    assert Column("x", S.Discrete(3)).encode([value]).to_pylist() == [2]


def test_a_space_without_numbers_is_refused():
    with pytest.raises(UnsupportedSpace, match="no numbers"):
        Column("x", S.Box(-1, 1, (0,)))
