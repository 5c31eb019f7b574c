"""Whether an observation or an action is what its Gymnasium space promises."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class Misfit(ValueError):
    """A value is not in its space; the text says in what way."""


def fitted(space: gym.Space[Any], value: Any) -> Any:
    """`value` as the space holds it: a fresh array of the space's dtype for a Box, an int for a Discrete.

    Floats of another width are converted; nothing else is bent to fit.

    Raises:
        Misfit: it holds NaN or infinity, or has another shape or type, or lies outside.
    """
    if isinstance(space, gym.spaces.Box):
        return _fitted_box(space, value)
    if isinstance(space, gym.spaces.Discrete):
        return _fitted_discrete(space, value)
    if isinstance(space, gym.spaces.Dict) and isinstance(value, dict) and value.keys() == space.spaces.keys():
        return {key: fitted(part, value[key]) for key, part in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple) and isinstance(value, tuple) and len(value) == len(space.spaces):
        return tuple(fitted(part, item) for part, item in zip(space.spaces, value, strict=True))
    if not space.contains(value):
        raise Misfit(f"{_short(value)} is not in {space}")
    return value


def _fitted_box(space: gym.spaces.Box, value: Any) -> np.ndarray:
    try:
        # "same_kind": whole numbers are welcome where floats are expected, and not the other way round.
        with np.errstate(over="ignore"):
            array = np.asarray(value).astype(space.dtype, casting="same_kind", copy=True)
    except (TypeError, ValueError) as error:
        raise Misfit(f"{_short(value)} cannot be read as {space.dtype}") from error
    if array.shape != space.shape:
        raise Misfit(f"it has the shape {array.shape} and not {space.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Misfit(f"it holds NaN or infinity: {_short(array)}")
    if not ((array >= space.low).all() and (array <= space.high).all()):
        raise Misfit(f"{_short(array)} is not between {_short(space.low)} and {_short(space.high)}")
    return array


def _fitted_discrete(space: gym.spaces.Discrete[Any], value: Any) -> Any:
    scalar = np.asarray(value)
    if scalar.ndim != 0 or scalar.dtype.kind not in "iu" or not space.contains(int(scalar)):
        raise Misfit(f"{_short(value)} is not in {space}")
    return np.int64(scalar)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 120 else f"{text[:117]}..."
