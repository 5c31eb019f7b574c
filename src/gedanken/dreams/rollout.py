"""The pure rollout: a policy acting in a model, as one `jax.lax.scan`, and the buffer that its transitions go to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from gedanken.dreams.truncation import NoTruncation, Truncation
from gedanken.errors import ConfigError
from gedanken.models.contract import State, VectorModel

T = TypeVar("T")
Policy = Callable[[jax.Array, jax.Array], jax.Array]
"""(observation [B, D], key) -> action [B, A], encoded."""

_EVERYTHING = NoTruncation()


class Rollout(NamedTuple):
    """Imagined transitions, time-major: H steps of B rollouts.

    observation, next_observation, epistemic, aleatoric: [H, B, D] float32; action: [H, B, A] float32, encoded.
    reward, termination_probability, confidence: [H, B] float32; cost: resource -> [H, B] float32.
    terminated: [H, B] bool, the world ended it here.
    cut: [H, B] bool, the truncation rule ended it here, or the model answered what is not finite.
    valid: [H, B] bool, the transition counts. After a termination or a cut nothing does; whether the transition at a
        cut counts is the rule's decision. The other fields say nothing where `valid` is False.
    Uncertainties are NaN where the rule did not ask for them.
    """

    observation: Any
    action: Any
    reward: Any
    terminated: Any
    termination_probability: Any
    next_observation: Any
    cost: dict[str, Any]
    valid: Any
    cut: Any
    epistemic: Any
    aleatoric: Any
    confidence: Any


def imagine(
    model: VectorModel,
    policy: Policy,
    start: State,
    key: jax.Array,
    *,
    horizon: int,
    truncation: Truncation = _EVERYTHING,
) -> Rollout:
    """Rolls `policy` out in `model` for `horizon` steps from B start states. Pure; jit it with `equinox.filter_jit`.

    Args:
        model: asked through the truncation rule: one member a row, or all of them where the rule needs that.
        policy: (observation [B, D], key) -> encoded action [B, A].
        start: the states to start from, `observation` [B, D].
        key: all randomness comes from it.
        horizon: H, static.
        truncation: when to stop; `gedanken.dreams.Infoprop(...).fit(...)` is the usual choice.

    Raises:
        ConfigError: `horizon` is not positive, or the rule was never fitted.
    """
    if horizon < 1:
        raise ConfigError("A rollout needs a step.", given=f"horizon={horizon}", expected="1 or more")

    def step(carry: tuple[State, Any, jax.Array], step_key: jax.Array) -> tuple[tuple[State, Any, jax.Array], Rollout]:
        state, memory, alive = carry
        policy_key, model_key = jax.random.split(step_key)
        action = policy(state.observation, policy_key)
        ruling = truncation.step(model, state, action, model_key, memory)
        imagined = ruling.imagined
        finite = jnp.isfinite(imagined.state.observation).all(-1) & jnp.isfinite(imagined.reward)
        cut = alive & (ruling.cut | ~finite)
        terminated = alive & finite & imagined.terminated
        transition = Rollout(
            observation=state.observation,
            action=action,
            reward=imagined.reward,
            terminated=terminated,
            termination_probability=imagined.termination_probability,
            next_observation=imagined.state.observation,
            cost=imagined.cost,
            valid=alive & finite & ruling.keep,
            cut=cut,
            epistemic=imagined.epistemic,
            aleatoric=imagined.aleatoric,
            confidence=imagined.confidence,
        )
        # Ended rollouts stand still, so that they cannot drift into overflow while the others go on.
        going = alive & ~terminated & ~cut
        return (select(going, imagined.state, state), select(going, ruling.memory, memory), going), transition

    batch = start.observation.shape[0]
    first = (start, truncation.begin(batch), jnp.ones(batch, bool))
    _, rollout = jax.lax.scan(step, first, jax.random.split(key, horizon))
    return rollout


def select(rows: jax.Array, yes: T, no: T) -> T:
    """Row by row, `yes` where `rows` [B] is True and `no` elsewhere; both are pytrees whose leaves have B rows."""

    def pick(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(rows.reshape(rows.shape + (1,) * (a.ndim - 1)), a, b)

    picked: T = jax.tree.map(pick, yes, no)
    return picked


# --- Buffer --------------------------------------------------------------------------------------------------------


class Transitions(NamedTuple):
    """What an agent learns from, N rows: [N, D], [N, A], [N], [N] bool, [N, D]."""

    observation: Any
    action: Any
    reward: Any
    terminated: Any
    next_observation: Any


class Buffer(NamedTuple):
    """A ring of `capacity` rows. Rows from `size` on were never written and are never sampled.

    items: a pytree whose leaves have `capacity` rows; cursor: [] int32, where the next row goes; size: [] int32.
    """

    items: Any
    cursor: jax.Array
    size: jax.Array


def flatten(rollout: Rollout) -> tuple[Transitions, jax.Array]:
    """[H, B, ...] -> transitions [H * B, ...] and which of them are valid, [H * B] bool."""
    fields = Transitions(
        rollout.observation, rollout.action, rollout.reward, rollout.terminated, rollout.next_observation
    )
    flat: Transitions = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), fields)
    return flat, rollout.valid.reshape(-1)


def empty_buffer(items: Any, capacity: int) -> Buffer:
    """An empty ring for rows like those of `items` (any pytree with leading rows; its values are not read)."""
    if capacity < 1:
        raise ConfigError("A buffer needs a row.", given=f"capacity={capacity}", expected="1 or more")
    blank = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape[1:]), leaf.dtype), items)
    return Buffer(blank, jnp.int32(0), jnp.int32(0))


def pack(buffer: Buffer, items: Any, valid: jax.Array) -> Buffer:
    """Writes the valid rows of `items` behind each other, over the oldest; of too many, the last ones stay. Pure.

    Args:
        buffer: the ring; donate it to the enclosing jit to write in place.
        items: a pytree whose leaves have N rows.
        valid: [N] bool.
    """
    capacity = jax.tree.leaves(buffer.items)[0].shape[0]
    rank = jnp.cumsum(valid) - 1
    count = valid.sum()
    # Out-of-range places are dropped by the scatter: invalid rows, and rows that later ones would overwrite anyway.
    written = valid & (rank >= count - capacity)
    place = jnp.where(written, (buffer.cursor + rank) % capacity, capacity)
    stored = jax.tree.map(lambda kept, new: kept.at[place].set(new, mode="drop"), buffer.items, items)
    cursor = (buffer.cursor + count) % capacity
    size = jnp.minimum(buffer.size + count, capacity)
    return Buffer(stored, cursor.astype(jnp.int32), size.astype(jnp.int32))


def sample_rows(buffer: Buffer, key: jax.Array, count: int) -> Any:
    """`count` rows, drawn evenly with replacement from those that were written. An empty buffer must not be asked."""
    rows = jax.random.randint(key, (count,), 0, jnp.maximum(buffer.size, 1))
    return jax.tree.map(lambda leaf: leaf[rows], buffer.items)
