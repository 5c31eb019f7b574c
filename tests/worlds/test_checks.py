"""What fits into a space, and what does not."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

from gedanken.worlds.checks import Misfit, fitted

BOX = Box(-1.0, 1.0, (2,), np.float32)
IMAGE = Box(0, 255, (2, 2), np.uint8)
PAIR = Dict({"box": BOX, "choice": Discrete(3)})


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (BOX, [0.5, -1]),
        (BOX, np.array([1, 0])),
        (Box(-np.inf, np.inf, (1,), np.float64), [1e300]),
        (IMAGE, np.zeros((2, 2), np.uint8)),
        (Discrete(3), 2),
        (Discrete(3, start=-1), np.int32(-1)),
        (Discrete(3), np.array(0)),
        (MultiDiscrete([2, 3]), np.array([1, 2])),
        (MultiBinary(2), np.array([0, 1], np.int8)),
        (Text(5), "abc"),
        (PAIR, {"box": [0, 0], "choice": 1}),
        (Tuple((BOX, Discrete(2))), ([0, 0], 1)),
    ],
)
def test_what_fits_is_given_back_as_the_space_holds_it(space: gym.Space[Any], value: Any) -> None:
    assert space.contains(fitted(space, value))


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (BOX, [0.5, 1.001]),
        (BOX, [0.5]),
        (BOX, [[0.5, 0.5]]),
        (BOX, [np.nan, 0]),
        (BOX, ["a", "b"]),
        (BOX, [1j, 0]),
        (Box(-np.inf, np.inf, (1,), np.float64), [np.inf]),
        (IMAGE, np.zeros((2, 2), np.float32)),
        (IMAGE, np.zeros((2, 2), np.int64)),
        (Discrete(3), 3),
        (Discrete(3), 1.0),
        (Discrete(3), True),
        (Discrete(3), [1]),
        (MultiDiscrete([2, 3]), np.array([1, 3])),
        (Text(5), "too long"),
        (Text(5), 5),
        (PAIR, {"box": [0, 0]}),
        (PAIR, {"box": [0, np.nan], "choice": 1}),
        (PAIR, [0, 1]),
        (Tuple((BOX, Discrete(2))), ([0, 0], 2)),
        (Tuple((BOX, Discrete(2))), ([0, 0],)),
    ],
)
def test_what_does_not_fit_is_refused(space: gym.Space[Any], value: Any) -> None:
    with pytest.raises(Misfit):
        fitted(space, value)


def test_an_array_is_a_copy() -> None:
    value = np.zeros(2, np.float32)
    result = fitted(BOX, value)
    value[0] = 1
    assert result[0] == 0
