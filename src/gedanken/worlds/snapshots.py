"""Taking a simulated world's whole state, and putting it back: later steps are then the same, bit for bit.

Three kinds of env can do it: those with `snapshot()` and `restore(...)` of their own, MuJoCo's (everything in
`MjData`, solver warm starts included) and Gymnasium's classic control. Of every wrapper around them, and of the env
itself, the plain attributes are taken as well (the steps a TimeLimit has counted, a goal that `reset` drew). A wrapper
that holds something else cannot be put back, and says so.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from gedanken.errors import WorldError

# Wiring, pictures and constants: not part of the state of the world.
_NOT_STATE = frozenset(
    {
        *("env", "spec", "metadata", "model", "data", "mujoco_renderer", "screen", "surf", "clock", "isopen"),
        *("action_space", "observation_space", "_action_space", "_observation_space", "_metadata", "_cached_spec"),
        *("_saved_kwargs", "_ezpickle_args", "_ezpickle_kwargs", "_np_random"),
    }
)


@dataclass(frozen=True)
class Snapshot:
    """The state of one world at one moment; valid for worlds made in the same way. It lives in memory only.

    made_of: the classes of the wrappers from the outside in, the env's last. layers: their plain attributes.
    random: the state of the env's random bit generator. physics: MuJoCo's `MjData`, or what the env's own `snapshot`
    returned. elapsed, over: where the episode stands.
    """

    made_of: tuple[str, ...]
    layers: tuple[dict[str, Any], ...]
    random: dict[str, Any]
    physics: Any
    elapsed: int
    over: bool


def take(env: gym.Env[Any, Any], *, elapsed: int, over: bool) -> Snapshot:
    """The state of `env` and all of its wrappers.

    Raises:
        WorldError: the env cannot be put back.
    """
    base = env.unwrapped
    layers = tuple(_plain_attributes(layer) for layer in _layers(env))
    if _has_its_own(base):
        physics = base.snapshot()  # type: ignore[attr-defined]
    elif _is_mujoco(base):
        physics = copy.copy(base.data)  # type: ignore[attr-defined]
    elif _is_classic_control(base):
        physics = None
    else:
        raise WorldError(
            f"{type(base).__name__} cannot be snapshotted.",
            expected="a MuJoCo env, a classic control env, or an env with snapshot() and restore(...) of its own",
            do="give the env these two methods, or do without snapshots.",
        )
    random = dict(copy.deepcopy(base.np_random.bit_generator.state))
    return Snapshot(_made_of(env), layers, random, physics, elapsed, over)


def put_back(env: gym.Env[Any, Any], snapshot: Snapshot) -> None:
    """Brings `env` and all of its wrappers back to `snapshot`.

    Raises:
        WorldError: the snapshot is of an env that is built otherwise.
    """
    base, layers = env.unwrapped, _layers(env)
    if snapshot.made_of != _made_of(env):
        raise WorldError(
            "The snapshot was taken of a world that is built otherwise.",
            given=", ".join(snapshot.made_of),
            expected=", ".join(_made_of(env)),
            do="restore it into the world it was taken of, or one made in the same way.",
        )
    for layer, attributes in zip(layers, snapshot.layers, strict=True):
        vars(layer).update(copy.deepcopy(attributes))
    base.np_random.bit_generator.state = copy.deepcopy(snapshot.random)
    if _has_its_own(base):
        base.restore(snapshot.physics)  # type: ignore[attr-defined]
    elif _is_mujoco(base):
        import mujoco  # type: ignore[import-untyped,unused-ignore]

        mujoco.mj_copyData(base.data, base.model, snapshot.physics)  # type: ignore[attr-defined]


def _layers(env: gym.Env[Any, Any]) -> list[gym.Env[Any, Any]]:
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper):
        layers.append(layers[-1].env)
    return layers


def _made_of(env: gym.Env[Any, Any]) -> tuple[str, ...]:
    kinds = [f"{type(layer).__module__}.{type(layer).__qualname__}" for layer in _layers(env)]
    return (*kinds, type(env.unwrapped.np_random.bit_generator).__name__)


def _plain_attributes(layer: gym.Env[Any, Any]) -> dict[str, Any]:
    taken = {}
    for name, value in vars(layer).items():
        if name in _NOT_STATE or callable(value):
            continue
        if not _is_plain(value):
            if layer is layer.unwrapped and _has_its_own(layer):
                continue
            raise WorldError(
                f"{type(layer).__name__} holds a state that cannot be put back.",
                given=f"its attribute {name!r}, a {type(value).__name__}",
                expected="numbers, text, arrays, and lists and mappings of these",
                do="leave that wrapper out, or do without snapshots.",
            )
        taken[name] = copy.deepcopy(value)
    return taken


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list | tuple | deque | set | frozenset):
        return all(_is_plain(item) for item in value)
    if isinstance(value, np.ndarray):
        return not value.dtype.hasobject
    return value is None or isinstance(value, bool | int | float | str | bytes | np.generic)


def _has_its_own(env: gym.Env[Any, Any]) -> bool:
    return callable(getattr(env, "snapshot", None)) and callable(getattr(env, "restore", None))


def _is_classic_control(env: gym.Env[Any, Any]) -> bool:
    return type(env).__module__.startswith("gymnasium.envs.classic_control")


def _is_mujoco(env: gym.Env[Any, Any]) -> bool:
    # Asked by the classes' names, so that worlds without MuJoCo do not import it.
    return any(kind.__module__ == "gymnasium.envs.mujoco.mujoco_env" for kind in type(env).__mro__)
