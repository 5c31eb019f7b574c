"""The model run open loop: given actions, no looking at the world in between; the path of the mean of its members."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from gedanken.evidence.recorded import Floats, Scale
from gedanken.models.contract import State, VectorModel

CHUNK = 256
"""Forecasts made side by side; bounds the memory, whatever their number."""

CAP = 100.0
"""Errors are cut at this many standard deviations: a forecast that blew up is wrong, and how wrong does not matter."""


class Path(NamedTuple):
    """N forecasts of K steps. observation: [N, H, D], at the horizons that were asked for; reward: [N, K];
    ending: [N, K], the probability that this step ends an episode that has come so far.
    """

    observation: Floats
    reward: Floats
    ending: Floats


def open_loop(
    model: VectorModel, observation: Floats, action: Floats, *, horizons: tuple[int, ...], key: jax.Array
) -> Path:
    """What the model forecasts from [N, D] under [N, K, A]; a model with a memory starts from its initial one.

    Every chunk has one compiled shape, also across calls with as many steps.
    """
    total, wanted = len(observation), np.asarray(horizons) - 1
    parts = []
    for number, rows in enumerate(chunks(total, CHUNK)):
        path = _open_loop(model, observation[rows], action[rows], jax.random.fold_in(key, number))
        seen, reward, ending = (np.asarray(column).swapaxes(0, 1)[: total - number * len(rows)] for column in path)
        parts.append(Path(seen[:, wanted], reward, ending))
    return Path(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def chunks(total: int, most: int) -> list[NDArray[np.int64]]:
    """The rows 0..total-1 in pieces of one size, a power of two or `most`; the last one is filled up with repeats."""
    size = min(most, 1 << (total - 1).bit_length())
    return [np.minimum(np.arange(first, first + size), total - 1) for first in range(0, total, size)]


def square_error(predicted: Any, target: Any, scale: Scale) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """[..., D] twice -> [...] mean square over the moving dimensions in units of the scale, and where it was cut."""
    away = np.abs((predicted - target).astype(np.float64) / scale.std)[..., scale.moves]
    cut = ~(away <= CAP)
    return np.square(np.where(cut, CAP, away)).mean(-1), cut.any(-1)


@eqx.filter_jit
def _open_loop(model: VectorModel, observation: Any, action: Any, key: jax.Array) -> tuple[Any, Any, Any]:
    """[B, D], [B, K, A] -> [K, B, D], [K, B], [K, B]."""
    start_key, step_key = jax.random.split(key)
    start = model.start(None, start_key, batch=observation.shape[0])

    def step(state: State, now: tuple[Any, jax.Array]) -> tuple[State, tuple[Any, Any, Any]]:
        act, draw = now
        mean = model.members(state, act).mean.mean(0)
        imagined = model.conclude(state, act, mean, draw)
        return imagined.state, (mean, imagined.reward, imagined.termination_probability)

    keys = jax.random.split(step_key, action.shape[1])
    first = State(jnp.asarray(observation), start.memory)
    path: tuple[Any, Any, Any]
    _, path = jax.lax.scan(step, first, (jnp.swapaxes(jnp.asarray(action), 0, 1), keys))
    return path
