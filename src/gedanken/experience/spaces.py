"""Gymnasium spaces as JSON, and back: what a store's manifest says about its observations and actions."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from gedanken.errors import StoreError, UnsupportedSpace

_INFINITE = {"Infinity": np.inf, "-Infinity": -np.inf}


def space_to_json(space: gym.Space[Any]) -> dict[str, Any]:
    """Describes a space by plain JSON values; `space_from_json` makes an equal one of it.

    Raises:
        UnsupportedSpace: the space, or one inside it, is of another kind than Box, Discrete, MultiDiscrete,
            MultiBinary, Text, Dict and Tuple.
    """
    match space:
        case gym.spaces.Box():
            bounds = {"low": _bounds_to_json(space.low), "high": _bounds_to_json(space.high)}
            return {"type": "Box", "shape": list(space.shape), "dtype": space.dtype.name, **bounds}
        case gym.spaces.Discrete():
            return {"type": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": _dtype_name(space)}
        case gym.spaces.MultiDiscrete():
            sizes = {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
            return {"type": "MultiDiscrete", "dtype": _dtype_name(space), **sizes}
        case gym.spaces.MultiBinary():
            return {"type": "MultiBinary", "shape": list(space.shape)}
        case gym.spaces.Text():
            lengths = {"min_length": int(space.min_length), "max_length": int(space.max_length)}
            return {"type": "Text", "charset": "".join(sorted(space.character_set)), **lengths}
        case gym.spaces.Dict() if all(isinstance(key, str) for key in space.spaces):
            # A list of pairs: the order of the keys is part of the space.
            return {"type": "Dict", "spaces": [[key, space_to_json(inner)] for key, inner in space.spaces.items()]}
        case gym.spaces.Tuple():
            return {"type": "Tuple", "spaces": [space_to_json(inner) for inner in space.spaces]}
    raise UnsupportedSpace(
        "The experience store cannot describe this space.",
        given=space,
        expected="Box, Discrete, MultiDiscrete, MultiBinary, Text, or a Dict (with text as keys) or Tuple of these",
        do="wrap the env so that it speaks in one of these.",
    )


def space_from_json(described: Any) -> gym.Space[Any]:
    """Makes the space that `space_to_json` described.

    Raises:
        StoreError: this is no description of a space.
    """
    try:
        return _from_json(described)
    except (KeyError, TypeError, ValueError, AssertionError, OverflowError) as error:
        raise StoreError(
            "A space in the manifest cannot be read.",
            given=f"{described!r}: {error!r}"[:300],
            expected="what gedanken.experience.space_to_json writes",
            do="restore the manifest from a copy.",
        ) from error


def _from_json(described: Any) -> gym.Space[Any]:
    kind = described["type"]
    if kind == "Box":
        shape, dtype = tuple(described["shape"]), np.dtype(described["dtype"])
        low, high = (_bounds_from_json(described[name], shape, dtype) for name in ("low", "high"))
        return gym.spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        return gym.spaces.Discrete(described["n"], start=described["start"], dtype=described["dtype"])
    if kind == "MultiDiscrete":
        dtype = np.dtype(described["dtype"])
        nvec, start = np.asarray(described["nvec"], dtype), np.asarray(described["start"], dtype)
        return gym.spaces.MultiDiscrete(nvec, dtype=dtype.name, start=start)
    if kind == "MultiBinary":
        shape = described["shape"]
        return gym.spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)
    if kind == "Text":
        lengths = {"min_length": described["min_length"], "max_length": described["max_length"]}
        return gym.spaces.Text(charset=described["charset"], **lengths)
    if kind == "Dict":
        return gym.spaces.Dict({key: _from_json(inner) for key, inner in described["spaces"]}, sort_keys=False)
    if kind == "Tuple":
        return gym.spaces.Tuple([_from_json(inner) for inner in described["spaces"]])
    raise ValueError(f"unknown type {kind!r}")


def _dtype_name(space: gym.Space[Any]) -> str:
    return str(np.dtype(space.dtype).name)


def _bounds_to_json(bounds: np.ndarray) -> Any:
    """One value where all are the same (images have thousands), else a flat list. JSON knows no infinity, so words."""
    flat = bounds.reshape(-1).tolist()
    if flat and all(bound == flat[0] for bound in flat):
        return _bound_to_json(flat[0])
    return [_bound_to_json(bound) for bound in flat]


def _bound_to_json(bound: float) -> Any:
    if np.isinf(bound):
        return "Infinity" if bound > 0 else "-Infinity"
    return bound


def _bounds_from_json(bounds: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    if isinstance(bounds, list):
        return np.array([_INFINITE.get(bound, bound) for bound in bounds], dtype).reshape(shape)
    return np.full(shape, _INFINITE.get(bounds, bounds), dtype)
