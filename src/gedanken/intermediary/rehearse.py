"""rehearse: what would each of these actions bring, and how sure is that? Asked of the model, before it is paid for.

Every candidate is tried in the same imagined circumstances: sample s of each candidate follows the same member of the
model with the same noise, so that candidates differ by what they do and not by luck (common random numbers). A sample
stays with its member to the end (TS-infinity; Chua et al. 2018, 1805.12114): what the members disagree about then
widens the spread of the return instead of averaging out along the way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from gedanken.dreams.rollout import Policy, select
from gedanken.errors import ConfigError
from gedanken.experience.codec import Codec
from gedanken.models.contract import State, VectorModel
from gedanken.worlds.checks import Misfit, fitted

TAIL = 0.05
"""Intervals run from this quantile to 1 minus it."""
NEGLIGIBLE = 1e-6
"""A sample that still runs with less than this probability stands still, so that it cannot drift into overflow."""


class Spread(NamedTuple):
    """A distribution over samples: its mean, and its quantiles at 5, 50 and 95 %. NaN where not known."""

    mean: float
    low: float
    median: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "not known"
        width = self.high - self.low
        # Two digits of the width are worth printing; more would claim a precision that is not there.
        digits = max(0, min(6, 1 - math.floor(math.log10(width)))) if width > 1e-9 else 3
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


class Draws(NamedTuple):
    """Sample by sample: the return [S], and the lowest and highest imagined observation over the horizon, [S, D]."""

    returns: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """What one candidate action would bring, as far as the model knows. Unknown is NaN.

    Attributes:
        action: the candidate as the world's action space holds it.
        returns: the sum of (discounted) rewards until the horizon or the episode's end. Its quantiles are those of the
            model's own samples, members' disagreement included; they are not conformal.
        ends: probability that the episode terminates within the horizon.
        next_observation: [D] the expected next observation, the mean over members.
        next_low, next_high: [D] where the next observation lies with 90 %; infinite where not known.
        interval: where these two come from: `conformal` (calibrated on held-out episodes) or `sampled`.
        lowest, highest: [D] the 5 % quantile of the lowest and the 95 % quantile of the highest imagined value of each
            dimension over the horizon.
        cost: resource -> expected cost until the horizon or the episode's end; empty where none was ever recorded.
        confidence: of the first step, the one that would be paid for.
        least_confidence: the lowest over the horizon of the mean confidence of the samples that still run.
        known: whether the first step's confidence reaches the asked threshold and no sample was lost.
        epistemic_share: share of the next observation's predicted variance that more data would remove, mean over
            the dimensions that have any.
        lost: share of samples in which the model answered what is not finite; they are in no other figure.
        horizon, samples: how far and how often.
        draws: the samples themselves; not written to JSON.
    """

    action: Any
    returns: Spread
    ends: float
    next_observation: np.ndarray
    next_low: np.ndarray
    next_high: np.ndarray
    interval: Literal["conformal", "sampled"]
    lowest: np.ndarray
    highest: np.ndarray
    cost: dict[str, float]
    confidence: float
    least_confidence: float
    known: bool
    epistemic_share: float
    lost: float
    horizon: int
    samples: int
    draws: Draws = field(repr=False)

    def __str__(self) -> str:
        confidence = "not known" if math.isnan(self.confidence) else f"{self.confidence:.2f}"
        ends = "not known" if math.isnan(self.ends) else f"{100 * self.ends:.0f} %"
        doubt = "" if self.known else " (does not know)"
        return f"return {self.returns}, ends {ends}, confidence {confidence}{doubt}"

    def to_json(self) -> dict[str, Any]:
        """Plain data; None where a value is not known or an interval is infinite."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name != "draws"}


def rehearse(
    model: VectorModel,
    observation: Any,
    candidates: Sequence[Any],
    *,
    codec: Codec,
    policy: Policy | None = None,
    horizon: int = 20,
    samples: int = 64,
    key: jax.Array,
    discount: float = 1.0,
    least_confidence: float = 0.5,
) -> list[Rehearsal]:
    """What each candidate action would bring, in the same order. All candidates and samples are one compiled batch.

    The number of candidates is padded to a power of two; another power, `horizon`, `samples` or structure of model or
    policy compiles anew. A candidate's answer does not hang on who is tried beside it.

    Args:
        model: asked with all its members at each step.
        observation: what the world shows now, raw.
        candidates: raw actions.
        codec: the spaces of the world.
        policy: acts after the candidate; (observation [B, D], key) -> encoded action [B, A], pure. A new function
            compiles anew: pass the same one, or an `equinox.Module`. None: the candidate is repeated.
        horizon: steps, the candidate's included.
        samples: imagined episodes for each candidate.
        key: all randomness comes from it.
        discount: of each further reward; costs are not discounted.
        least_confidence: what the first step needs for `Rehearsal.known`.

    Raises:
        ConfigError: there is no candidate, or the observation, an action or a setting is not what the spaces hold.
    """
    check_plan(model, codec, horizon=horizon, samples=samples, discount=discount)
    if len(candidates) == 0:
        raise ConfigError("There is nothing to rehearse.", given="no candidate", expected="one raw action or more")
    start = encoded_observation(codec, observation)
    actions = np.stack([encoded_action(codec, action) for action in candidates])
    room = 1 << (len(actions) - 1).bit_length()
    padded = np.concatenate([actions, np.repeat(actions[-1:], room - len(actions), axis=0)])
    found: _Imagination = jax.device_get(
        _imagine(model, policy, start, padded, key, np.float32(discount), horizon, samples)
    )
    return [
        _summed_up(action, jax.tree.map(lambda leaf, row=row: leaf[row], found), horizon, least_confidence)
        for row, action in enumerate(candidates)
    ]


# --- Checks ---------------------------------------------------------------------------------------------------------


def check_plan(model: VectorModel, codec: Codec, *, horizon: int, samples: int, discount: float) -> None:
    """Raises a ConfigError where a setting is out of range, or model and codec are of different worlds."""
    if horizon < 1 or samples < 1 or not 0.0 < discount <= 1.0:
        raise ConfigError(
            "A rehearsal needs a step, a sample and a discount.",
            given=f"horizon={horizon}, samples={samples}, discount={discount}",
            expected="horizon >= 1, samples >= 1, 0 < discount <= 1",
        )
    if (model.observation_size, model.action_size) != (codec.observation_size, codec.action_size):
        raise ConfigError(
            "The model and the codec are of different worlds.",
            given=(model.observation_size, model.action_size),
            expected=(codec.observation_size, codec.action_size),
        )


def encoded_observation(codec: Codec, observation: Any) -> np.ndarray:
    """One raw observation as [D] float32. Raises a ConfigError where the space does not hold it."""
    return codec.encode_observations(_checked(codec.observation_space, observation, "observation"))


def encoded_action(codec: Codec, action: Any) -> np.ndarray:
    """One raw action as [A] float32. Raises a ConfigError where the space does not hold it."""
    return codec.encode_actions(_checked(codec.action_space, action, "action"))


def _checked(space: gym.Space[Any], value: Any, noun: str) -> Any:
    try:
        return fitted(space, value)
    except Misfit as misfit:
        raise ConfigError(
            f"The model cannot be asked about this {noun}.", given=misfit, expected=f"a finite one of {space}"
        ) from misfit


def plain(value: Any) -> Any:
    """What JSON can hold: numbers that are not finite become None, float32 keeps the digits it has."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Spread):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    array = np.asarray(value)
    if array.ndim:
        return [plain(item) for item in array]
    if array.dtype.kind != "f":
        return array.item()
    if not np.isfinite(array):
        return None
    return float(f"{array:.9g}") if array.dtype == np.float32 else float(array)


# --- The compiled part ----------------------------------------------------------------------------------------------


class _Running(NamedTuple):
    """The samples of one candidate on their way: every leaf has S rows."""

    state: State
    survival: Any
    lost: Any
    returns: Any
    lowest: Any
    highest: Any


class _First(NamedTuple):
    """The candidate's own step: [D], [S, D], [D], [D] and []."""

    mean: Any
    following: Any
    epistemic: Any
    aleatoric: Any
    confidence: Any


class _Imagination(NamedTuple):
    """One candidate: its samples at the end, its first step, the model's own interval ([1, D] twice) if it has one, the
    mean confidence of each step [H], and what each sample costs, resource -> [S].
    """

    end: _Running
    first: _First
    interval: Any
    confidence: Any
    cost: dict[str, Any]


@eqx.filter_jit
def _imagine(
    model: VectorModel,
    policy: Policy | None,
    observation: Any,
    candidates: Any,
    key: jax.Array,
    discount: Any,
    horizon: int,
    samples: int,
) -> _Imagination:
    # The key is not mapped: every candidate meets the same members, noise and ends.
    return jax.vmap(lambda one: _try(model, policy, observation, one, key, discount, horizon, samples))(candidates)


def _try(
    model: VectorModel,
    policy: Policy | None,
    observation: Any,
    candidate: Any,
    key: jax.Array,
    discount: Any,
    horizon: int,
    samples: int,
) -> _Imagination:
    """One candidate [A] from one observation [D]."""
    end_key, noise_key, roll_key = jax.random.split(key, 3)
    start = jnp.broadcast_to(observation, (samples, *observation.shape))
    repeated = jnp.broadcast_to(candidate, (samples, *candidate.shape))
    # A sample ends where its survival falls below its lot. So each episode's end is drawn exactly as the model says,
    # while its probability is known without the noise of counting ends.
    lot = jax.random.uniform(end_key, (samples,))
    arrays, rest = eqx.partition(model, eqx.is_array)

    def step(now: _Running, inputs: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[_Running, Any]:
        index, noise, (policy_key, doubt_key, rest_key) = inputs
        action = repeated
        if policy is not None:
            action = jnp.where(index == 0, repeated, policy(now.state.observation, policy_key))
        # `step` is asked for its doubt only: its members are these, and the compiler asks them once. Without the
        # barrier it moves parts of both out of the loop, no longer sees that they are the same, and takes twice as
        # long (measured: 5x200 members, batch 256).
        here, state, action = jax.lax.optimization_barrier((arrays, now.state, action))  # type: ignore[no-untyped-call]
        asked = eqx.combine(here, rest)
        said = asked.members(state, action)
        doubt = asked.step(state, action, doubt_key)
        mine = (jnp.arange(samples) % said.mean.shape[0])[None, :, None]
        mean, std = (jnp.take_along_axis(part, mine, 0)[0] for part in said)
        following = mean + std * noise
        imagined = asked.conclude(state, action, following, rest_key)

        going = ~now.lost & (now.survival > NEGLIGIBLE)
        sound = jnp.isfinite(following).all(-1) & jnp.isfinite(imagined.reward)
        sound = sound & jnp.isfinite(imagined.termination_probability)
        moved = going & sound
        counts = moved & (now.survival > lot)
        weight = jnp.where(moved, now.survival, 0.0)
        after = _Running(
            state=select(moved, imagined.state, now.state),
            survival=jnp.where(moved, now.survival * (1.0 - imagined.termination_probability), now.survival),
            lost=now.lost | (going & ~sound),
            returns=now.returns + jnp.where(counts, discount**index * imagined.reward, 0.0),
            lowest=jnp.where(counts[:, None], jnp.minimum(now.lowest, following), now.lowest),
            highest=jnp.where(counts[:, None], jnp.maximum(now.highest, following), now.highest),
        )
        seen = (jnp.where(moved, doubt.confidence, 0.0) * weight).sum() / weight.sum()
        confidence = jnp.where(moved.any(), seen, jnp.inf)
        cost = {name: jnp.where(moved, weight * paid, 0.0) for name, paid in imagined.cost.items()}
        first = (said.mean.mean(0)[0], following, doubt.epistemic[0], doubt.aleatoric[0], doubt.confidence[0])
        return after, (first, confidence, cost)

    begin = _Running(
        state=State(start),
        survival=jnp.ones(samples),
        lost=jnp.zeros(samples, bool),
        returns=jnp.zeros(samples),
        lowest=jnp.full_like(start, jnp.inf),
        highest=jnp.full_like(start, -jnp.inf),
    )
    noise = jax.random.normal(noise_key, (horizon, *start.shape))
    inputs = (jnp.arange(horizon), noise, jax.random.split(roll_key, (horizon, 3)))
    end, (each, confidence, cost) = jax.lax.scan(step, begin, inputs)
    interval = getattr(model, "interval", None)
    return _Imagination(
        end,
        _First(*(leaf[0] for leaf in each)),
        None if interval is None else interval(State(observation[None]), candidate[None], 1.0 - 2.0 * TAIL),
        confidence,
        {name: paid.sum(0) for name, paid in cost.items()},
    )


def _summed_up(action: Any, found: _Imagination, horizon: int, least_confidence: float) -> Rehearsal:
    """The statistics of one candidate over the samples that were not lost."""
    end, first = found.end, found.first
    kept, lost = ~end.lost, float(end.lost.mean())
    draws = Draws(end.returns[kept].astype(np.float64), end.lowest[kept], end.highest[kept])
    if found.interval is not None:
        next_low, next_high = (edge[0] for edge in found.interval)
    else:
        next_low, next_high = _quantiles(first.following[kept], TAIL, 1.0 - TAIL)
    reducible, total = first.epistemic**2, first.epistemic**2 + first.aleatoric**2
    # A dimension without any variance has no share of it.
    shares = reducible[total > 0.0] / total[total > 0.0]
    return Rehearsal(
        action=action,
        returns=Spread(_mean(draws.returns), *(float(q) for q in _quantiles(draws.returns, TAIL, 0.5, 1.0 - TAIL))),
        ends=1.0 - _mean(end.survival[kept]),
        next_observation=first.mean,
        next_low=next_low,
        next_high=next_high,
        interval="sampled" if found.interval is None else "conformal",
        lowest=_quantiles(draws.lowest, TAIL)[0],
        highest=_quantiles(draws.highest, 1.0 - TAIL)[0],
        cost={name: _mean(paid[kept]) for name, paid in found.cost.items()},
        confidence=float(first.confidence),
        least_confidence=float(found.confidence.min()) if kept.any() else math.nan,
        known=bool(first.confidence >= least_confidence) and lost == 0.0,
        epistemic_share=_mean(shares),
        lost=lost,
        horizon=horizon,
        samples=len(kept),
        draws=draws,
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else math.nan


def _quantiles(values: np.ndarray, *shares: float) -> np.ndarray:
    """[S, ...] -> [len(shares), ...]; NaN where there is no sample."""
    if len(values) == 0:
        return np.full((len(shares), *values.shape[1:]), np.nan)
    found: np.ndarray = np.quantile(values, shares, axis=0)
    return found
