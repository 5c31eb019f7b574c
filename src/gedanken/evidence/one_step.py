"""The one-step forecasts of recorded steps, with all the uncertainty that a model states: what calibration judges.

Three kinds of intervals are asked, where a model has them: of the even mixture of its members' Gaussians, of one
Gaussian with the members' mean and total variance, and (`StatesIntervals`) what the model itself states.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

from gedanken.evidence.open_loop import chunks
from gedanken.evidence.recorded import Steps
from gedanken.evidence.scores import mixture_quantiles
from gedanken.models.contract import State, VectorModel

LEVELS = (0.5, 0.8, 0.9, 0.95)
CHUNK = 512
_NARROW = 1e-12


@runtime_checkable
class StatesIntervals(Protocol):
    """A model that states intervals of its own, such as conformal ones."""

    def interval(self, state: State, action: Any, level: float) -> tuple[Any, Any]:
        """[B, D] low and high ends that hold the next observation with probability `level`; infinite: not known."""


class Forecast(NamedTuple):
    """Of N steps, in the observation's units.

    mean: [N, D] of the members; std: [N, D], total; spread: [N, D], of the members' means (what they disagree by);
    noise: [N, D], RMS of the members' aleatoric deviations; epistemic: [N, D] as an imagined step states it;
    mixture, stated: [N, L, 2, D] ends of the intervals of `LEVELS`, stated ones NaN where the model states none;
    place: [N, D] where the observation that came lies in the mixture's distribution, 0 to 1;
    reward, ending: [N] as an imagined step states them.
    """

    mean: Any
    std: Any
    spread: Any
    noise: Any
    epistemic: Any
    mixture: Any
    stated: Any
    place: Any
    reward: Any
    ending: Any


def forecast_steps(model: VectorModel, steps: Steps, key: jax.Array) -> Forecast:
    """The forecasts of all steps, of which there must be one, in chunks of one compiled shape.

    A model with a memory answers every step from its initial memory.
    """
    total = len(steps)
    parts = []
    for number, rows in enumerate(chunks(total, CHUNK)):
        asked = (steps.observation[rows], steps.action[rows], steps.next_observation[rows])
        found = _forecast(model, *asked, jax.random.fold_in(key, number))
        parts.append([np.asarray(column)[: total - number * len(rows)] for column in found])
    return Forecast(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@eqx.filter_jit
def _forecast(model: VectorModel, observation: Any, action: Any, following: Any, key: jax.Array) -> Forecast:
    start_key, step_key = jax.random.split(key)
    state = State(observation, model.start(None, start_key, batch=observation.shape[0]).memory)
    mean, std = model.members(state, action)
    imagined = model.step(state, action, step_key)
    tails = jnp.asarray([[(1.0 - level) / 2.0, (1.0 + level) / 2.0] for level in LEVELS])
    mixture = mixture_quantiles(mean, std, tails.reshape(-1)).reshape(len(LEVELS), 2, *observation.shape)
    unknown = jnp.full(observation.shape, jnp.nan)
    stated = [
        list(model.interval(state, action, level)) if isinstance(model, StatesIntervals) else [unknown, unknown]
        for level in LEVELS
    ]
    noise = jnp.sqrt(jnp.square(std).mean(0))
    return Forecast(
        mean=mean.mean(0),
        std=jnp.sqrt(jnp.square(noise) + mean.var(0)),
        spread=mean.std(0),
        noise=noise,
        epistemic=imagined.epistemic,
        mixture=jnp.moveaxis(mixture, 2, 0),
        stated=jnp.moveaxis(jnp.asarray(stated), 2, 0),
        place=ndtr((following - mean) / jnp.maximum(std, _NARROW)).mean(0),
        reward=imagined.reward,
        ending=imagined.termination_probability,
    )
