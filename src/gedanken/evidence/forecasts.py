"""How good is the whole forecast k steps ahead, its spread included? CRPS, energy score and NLL by horizon.

From recorded states the model is sampled open loop with the recorded actions, one member drawn anew at every step, so
each start has S imagined futures. They are scored against what came, in standard deviations of the data:

- `crps`: the continuous ranked probability score of each dimension's samples (the fair estimate, whose expectation does
  not depend on S), mean over dimensions;
- `energy`: the same of the joint distribution, which also sees whether dimensions go together (fair as well), over the
  square root of the number of dimensions;
- `nll`: the negative log-likelihood of each dimension, mean over dimensions, in nats, in closed form: given the sampled
  states one step before, the forecast is an even mixture of S times M Gaussians. Deviations under `NARROWEST` count as
  that, and a score is cut at `WORST`: a mixture that is sure and wrong has no bound.

Lower is better. The forecast to beat is a Gaussian around the state at the start, as wide as the changes of these very
windows are, which flatters it. A start counts at horizon k only if the recording goes on for k steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from gedanken.errors import ConfigError
from gedanken.evidence.interval import Interval
from gedanken.evidence.judge import Floats, Judge
from gedanken.evidence.open_loop import CAP, chunks
from gedanken.evidence.recorded import Scale, scale_of
from gedanken.evidence.scores import gaussian_crps
from gedanken.evidence.windows import Windows, ascending, random_windows
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode
from gedanken.models.contract import State, VectorModel

ROWS = 4_096
"""Imagined futures side by side; bounds the memory, whatever the number of starts."""
NARROWEST = 1e-3
WORST = 100.0
_NAMES = (
    *("nll", "nll_persistence", "nll_gain"),
    *("crps", "crps_persistence", "crps_skill"),
    *("energy", "energy_persistence", "energy_skill"),
)
_LOG_ROOT = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class ForecastScores:
    """The answer, one entry a horizon; intervals over episodes.

    Attributes:
        horizons: steps ahead.
        nll, crps, energy: mean scores of the model.
        nll_persistence, crps_persistence, energy_persistence: those of the Gaussian around the start.
        nll_gain: nll_persistence - nll, in nats a dimension; above 0 the model is the better forecast.
        crps_skill, energy_skill: 1 - model / persistence; above 0 the model is the better forecast.
        starts: how many forecasts each horizon stands on.
        capped: share of starts with a sample that was cut at `open_loop.CAP` deviations, or was not finite.
        samples: imagined futures a start.
        dimensions: how many were judged; those that never moved are left out.
    """

    horizons: tuple[int, ...]
    nll: tuple[Interval, ...]
    nll_persistence: tuple[Interval, ...]
    nll_gain: tuple[Interval, ...]
    crps: tuple[Interval, ...]
    crps_persistence: tuple[Interval, ...]
    crps_skill: tuple[Interval, ...]
    energy: tuple[Interval, ...]
    energy_persistence: tuple[Interval, ...]
    energy_skill: tuple[Interval, ...]
    starts: tuple[int, ...]
    capped: tuple[float, ...]
    samples: int
    dimensions: int

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


class _Scores(NamedTuple):
    """Of each start: the scores, and whether one of its samples was cut (1 or 0)."""

    nll: Any
    crps: Any
    energy: Any
    capped: Any


def score_forecasts(
    model: VectorModel,
    episodes: Sequence[Episode],
    codec: Codec,
    *,
    horizons: Sequence[int] = (1, 2, 5, 10, 20, 50),
    key: jax.Array,
    seed: int,
    starts: int = 16,
    samples: int = 32,
    confidence: float = 0.95,
) -> ForecastScores:
    """Scores sampled forecasts on recorded (best: held-out) episodes.

    Args:
        model: any numeric world model. One with a memory starts from its own initial memory at every start.
        episodes: what really happened.
        codec: how observations and actions become vectors.
        horizons: steps ahead, ascending.
        key: for what the model draws.
        seed: picks the starts, draws persistence's samples and drives the bootstrap.
        starts: at most this many starts an episode.
        samples: imagined futures a start, 2 or more.
        confidence: of the intervals.

    Raises:
        ConfigError: `horizons` do not ascend from 1, or `starts` or `samples` are too few.
    """
    steps = ascending(horizons)
    if samples < 2:
        raise ConfigError("A spread needs two samples.", given=f"samples={samples}", expected="2 or more")
    scale = scale_of(episodes, codec)
    windows = random_windows(episodes, codec, horizons=steps, starts=starts, seed=seed)
    columns: dict[str, list[Interval]] = {name: [] for name in _NAMES}
    counts, capped = [], []
    measured = bool(scale.moves.any())
    ours = _score(model, windows, scale, steps, samples, key) if measured else None
    for h, horizon in enumerate(steps):
        valid = windows.recorded[:, h]
        counts.append(int(valid.sum()))
        if ours is None or not valid.any():
            why = "no observation ever changed" if len(windows) else "there are no recorded steps"
            none = Interval.missing(f"no recorded episode is {horizon} steps long" if measured else why)
            capped.append(0.0)
            found = dict.fromkeys(_NAMES, none)
        else:
            judge = Judge.of(windows.episode[valid], confidence=confidence, seed=seed)
            here = _Scores(*(np.asarray(column, np.float64)[valid, h] for column in ours))
            now = _units(windows.observation[valid], scale)
            still = _persistence(now, _units(windows.target[valid, h], scale), samples, seed)
            capped.append(float(here.capped.mean()))
            found = _compare(judge, here, still)
        for name, column in columns.items():
            column.append(found[name])
    return ForecastScores(
        horizons=steps,
        starts=tuple(counts),
        capped=tuple(capped),
        samples=samples,
        dimensions=int(scale.moves.sum()),
        **{name: tuple(column) for name, column in columns.items()},
    )


def _compare(judge: Judge, ours: _Scores, still: _Scores) -> dict[str, Interval]:
    """What `ForecastScores` holds of one horizon, by name."""
    unknown, anywhere = "the model's forecast is not finite", (-math.inf, math.inf)
    return {
        "nll": judge.mean(ours.nll, unknown, bounds=anywhere),
        "nll_persistence": judge.mean(still.nll, unknown, bounds=anywhere),
        "nll_gain": judge.mean(still.nll - ours.nll, unknown, bounds=anywhere),
        # Fair estimates of scores near 0 can fall below it.
        "crps": judge.mean(ours.crps, unknown, bounds=anywhere),
        "crps_persistence": judge.mean(still.crps, unknown),
        "crps_skill": judge.skill(ours.crps, still.crps, unknown),
        "energy": judge.mean(ours.energy, unknown, bounds=anywhere),
        "energy_persistence": judge.mean(still.energy, unknown, bounds=anywhere),
        "energy_skill": judge.skill(ours.energy, still.energy, unknown),
    }


def _units(values: Any, scale: Scale) -> Floats:
    scaled: Floats = np.asarray(values, np.float64)[..., scale.moves] / scale.std[scale.moves]
    return scaled


# --- The model ------------------------------------------------------------------------------------------------------


def _score(
    model: VectorModel, windows: Windows, scale: Scale, horizons: tuple[int, ...], samples: int, key: jax.Array
) -> _Scores:
    total = len(windows)
    unit = jnp.asarray(scale.std), jnp.asarray(scale.moves, jnp.float32)
    wanted = np.asarray(horizons) - 1
    parts = []
    for number, rows in enumerate(chunks(total, max(1, ROWS // samples))):
        asked = windows.observation[rows], windows.action[rows], windows.target[rows]
        found = _score_chunk(model, *asked, unit, wanted, jax.random.fold_in(key, number), samples)
        parts.append([np.asarray(column)[wanted].T[: total - number * len(rows)] for column in found])
    return _Scores(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@eqx.filter_jit
def _score_chunk(
    model: VectorModel,
    observation: Any,
    action: Any,
    target: Any,
    unit: tuple[jax.Array, jax.Array],
    wanted: Any,
    key: jax.Array,
    samples: int,
) -> _Scores:
    """[B, D], [B, K, A], [B, H, D] and the steps [H] that are wanted -> [K, B] each, 0 at other steps."""
    batch, size = observation.shape
    longest = action.shape[1]
    # Sample-major: a family that gives neighbouring rows the same member still gives a start's samples different ones.
    rows = jnp.tile(jnp.asarray(observation), (samples, 1))
    start_key, walk_key = jax.random.split(key)
    start = State(rows, model.start(None, start_key, batch=rows.shape[0]).memory)
    came = jnp.zeros((longest, batch, size)).at[wanted].set(jnp.swapaxes(jnp.asarray(target), 0, 1))
    asked = jnp.zeros(longest, bool).at[wanted].set(True)

    def walk(state: State, now: tuple[Any, Any, Any, jax.Array]) -> tuple[State, _Scores]:
        act, following, scored, draw = now
        act = jnp.tile(act, (samples, 1))
        imagined = model.sample(state, act, draw).state

        def scores() -> _Scores:
            said = model.members(state, act)
            sizes = (said.mean.shape[0], samples, batch, size)
            drawn = imagined.observation.reshape(samples, batch, size)
            return _score_samples(drawn, said.mean.reshape(sizes), said.std.reshape(sizes), following, unit)

        nothing = _Scores(*(jnp.zeros(batch) for _ in _Scores._fields))
        # Only the wanted steps are paid for: all members of all samples are dear.
        return imagined, jax.lax.cond(scored, scores, lambda: nothing)

    steps = jnp.swapaxes(jnp.asarray(action), 0, 1), came, asked, jax.random.split(walk_key, longest)
    found: _Scores
    _, found = jax.lax.scan(walk, start, steps)
    return found


def _score_samples(drawn: Any, mean: Any, deviation: Any, target: Any, unit: tuple[jax.Array, jax.Array]) -> _Scores:
    """Samples [S, B, D], Gaussians [M, S, B, D] twice, what came [B, D] -> [B] each."""
    std, moves = unit
    dimensions = moves.sum()
    away = (drawn - target) / std
    cut = ~(jnp.abs(away) <= CAP)
    away = jnp.where(cut, jnp.where(away < 0.0, -CAP, CAP), away) * moves

    count = drawn.shape[0]
    ranked = jnp.sort(away, 0)
    place = (2.0 * jnp.arange(count) - count + 1.0)[:, None, None]
    crps = jnp.abs(away).mean(0) - (place * ranked).sum(0) / (count * (count - 1))

    def distances(one: jax.Array) -> jax.Array:
        apart: jax.Array = jnp.linalg.norm(away - one, axis=-1).sum(0)
        return apart

    # One sample against all at a time, to keep memory at [S, B, D].
    between = jax.lax.map(distances, away).sum(0) / (count * (count - 1))
    energy = (jnp.linalg.norm(away, axis=-1).mean(0) - 0.5 * between) / jnp.sqrt(dimensions)

    narrow = jnp.maximum(deviation / std, NARROWEST)
    exponent = -0.5 * jnp.square((target - mean) / std / narrow) - jnp.log(narrow)
    parts = mean.shape[0] * count
    nll = _LOG_ROOT + math.log(parts) - logsumexp(exponent.reshape(parts, *target.shape), axis=0)
    nll = jnp.where(nll <= WORST, nll, WORST)
    return _Scores(
        nll=(nll * moves).sum(-1) / dimensions,
        crps=(crps * moves).sum(-1) / dimensions,
        energy=energy,
        capped=(cut * moves).any((0, 2)).astype(jnp.float32),
    )


# --- The forecast to beat -------------------------------------------------------------------------------------------


def _persistence(now: Floats, following: Floats, samples: int, seed: int) -> _Scores:
    """[N, D] twice, in units of the scale -> [N] each, of a Gaussian around `now` as wide as the changes are."""
    change = np.sqrt(np.square(following - now).mean(0))
    wide = np.maximum(change, NARROWEST)
    nll = 0.5 * np.square((following - now) / wide) + np.log(wide) + _LOG_ROOT
    rng = np.random.default_rng(seed)
    away, apart = np.zeros(len(now)), np.zeros(len(now))
    for _ in range(samples):
        one, other = (now + change * rng.standard_normal(now.shape) for _ in range(2))
        away += np.linalg.norm(one - following, axis=-1) / samples
        apart += np.linalg.norm(one - other, axis=-1) / samples
    return _Scores(
        nll=np.minimum(nll, WORST).mean(-1),
        crps=gaussian_crps(now, np.broadcast_to(change, now.shape), following).mean(-1),
        energy=(away - 0.5 * apart) / math.sqrt(now.shape[1]),
        capped=np.zeros(len(now)),
    )
