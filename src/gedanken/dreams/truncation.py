"""When to stop believing an imagined rollout, behind one interface.

A rule takes one model step: it asks the model what it needs, chooses the next observation, and says whether the
transition counts and whether the rollout ends here. Thresholds come from what the model says of real data (`fit`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gedanken.errors import ConfigError
from gedanken.models.contract import Imagined, Members, State, VectorModel

_CHUNK = 2048


class Ruling(NamedTuple):
    """One step under a rule, for a batch of B rollouts.

    imagined: the completed step, its reward and termination as the rule wants them.
    keep: [B] bool, whether this transition may be learned from.
    cut: [B] bool, whether the rollout ends after this transition.
    memory: what the rule carries to the next step; every leaf has B rows.
    """

    imagined: Imagined
    keep: Any
    cut: Any
    memory: Any


class Truncation(Protocol):
    """What every truncation rule does. Rules are immutable pytrees; `begin` and `step` are pure and can be jitted."""

    def fit(self, model: VectorModel, observations: Any, actions: Any) -> Self:
        """The same rule with its thresholds measured on [N, D] real observations and [N, A] encoded actions."""

    def begin(self, batch: int) -> Any:
        """The rule's memory at the start of `batch` rollouts."""

    def step(self, model: VectorModel, state: State, action: Any, key: jax.Array, memory: Any) -> Ruling:
        """Imagines one step for [B, D] observations and [B, A] encoded actions."""


class NoTruncation(eqx.Module):
    """Believes everything. Asks one member a row, or with `ask_all` every member, so that uncertainties are known."""

    ask_all: bool = False

    def fit(self, model: VectorModel, observations: Any, actions: Any) -> Self:  # noqa: ARG002
        """Nothing to measure."""
        return self

    def begin(self, batch: int) -> Any:  # noqa: ARG002
        return ()

    def step(self, model: VectorModel, state: State, action: Any, key: jax.Array, memory: Any) -> Ruling:
        imagined = model.step(state, action, key) if self.ask_all else model.sample(state, action, key)
        always = jnp.ones(action.shape[0], bool)
        return Ruling(imagined, keep=always, cut=~always, memory=memory)


class MOPOPenalty(eqx.Module):
    """Takes `weight` times the model's uncertainty off the reward, and never cuts (Yu et al. 2020, 2005.13239).

    The uncertainty is the Euclidean norm over the dimensions, each measured in standard deviations of the one-step
    change in the real data, of either

    - "aleatoric": the largest standard deviation any member states, as in the paper, or
    - "mixture": the standard deviation of the whole ensemble's prediction, which also sees that members disagree
      (recommended by Lu et al. 2022, 2110.04135).

    Before `fit`, a dimension is measured in the observation's own units.
    """

    weight: float = 1.0
    of: Literal["aleatoric", "mixture"] = eqx.field(default="mixture", static=True)
    scale: Any = None

    def __check_init__(self) -> None:
        if self.of not in ("aleatoric", "mixture"):
            raise ConfigError("MOPO knows two uncertainties.", given=repr(self.of), expected="'aleatoric' or 'mixture'")

    def fit(self, model: VectorModel, observations: Any, actions: Any) -> Self:
        """Measures the unit of every dimension.

        Raises:
            ConfigError: there are no data, or they are not finite or of other sizes than the model's.
        """
        return type(self)(self.weight, self.of, change_scale(model, observations, actions))

    def begin(self, batch: int) -> Any:  # noqa: ARG002
        return ()

    def step(self, model: VectorModel, state: State, action: Any, key: jax.Array, memory: Any) -> Ruling:
        draw_key, conclude_key = jax.random.split(key)
        said = model.members(state, action)
        imagined = model.conclude(state, action, draw(said, draw_key), conclude_key)
        epistemic, aleatoric = spread(said)
        scale = 1.0 if self.scale is None else self.scale
        if self.of == "aleatoric":
            uncertainty = jnp.linalg.norm(said.std / scale, axis=-1).max(0)
        else:
            uncertainty = jnp.linalg.norm(jnp.sqrt(epistemic**2 + aleatoric**2) / scale, axis=-1)
        imagined = imagined._replace(
            reward=imagined.reward - self.weight * uncertainty, epistemic=epistemic, aleatoric=aleatoric
        )
        always = jnp.ones(action.shape[0], bool)
        return Ruling(imagined, keep=always, cut=~always, memory=memory)


class MORelHalt(eqx.Module):
    """Ends a rollout in an absorbing state that brings -`penalty` where members disagree.

    Kidambi et al. 2020, 2005.05951. The disagreement is the largest distance between any two members' means, each
    dimension measured in standard deviations of the one-step change in the real data. The threshold is its `quantile`
    over the real data. The halting transition counts: it is terminated, with reward -`penalty`, and teaches the agent
    to stay away.
    """

    quantile: float = 1.0
    penalty: float = 100.0
    scale: Any = None
    threshold: Any = None

    def __check_init__(self) -> None:
        check_quantile("quantile", self.quantile)

    def fit(self, model: VectorModel, observations: Any, actions: Any) -> Self:
        """Measures the unit of every dimension and the threshold.

        Raises:
            ConfigError: there are no data, or they are not finite or of other sizes than the model's.
        """
        scale = change_scale(model, observations, actions)
        distances = over_data(_scaled_disagreement, model, observations, actions, scale)
        threshold = jnp.float32(np.quantile(distances, self.quantile))
        return type(self)(self.quantile, self.penalty, scale, threshold)

    def begin(self, batch: int) -> Any:  # noqa: ARG002
        return ()

    def step(self, model: VectorModel, state: State, action: Any, key: jax.Array, memory: Any) -> Ruling:
        require_fit(self, self.threshold)
        draw_key, conclude_key = jax.random.split(key)
        said = model.members(state, action)
        imagined = model.conclude(state, action, draw(said, draw_key), conclude_key)
        epistemic, aleatoric = spread(said)
        means = said.mean / self.scale
        # Rounding grows with the numbers; it must not halt a model whose members agree.
        rounding = 1e-5 * (1.0 + jnp.linalg.norm(means[0], axis=-1))
        halted = _disagreement(means) > self.threshold + rounding
        imagined = imagined._replace(
            reward=jnp.where(halted, -self.penalty, imagined.reward),
            terminated=imagined.terminated | halted,
            termination_probability=jnp.where(halted, 1.0, imagined.termination_probability),
            epistemic=epistemic,
            aleatoric=aleatoric,
        )
        return Ruling(imagined, keep=jnp.ones_like(halted), cut=halted, memory=memory)


# --- What rules share ----------------------------------------------------------------------------------------------


def draw(said: Members, key: jax.Array) -> jax.Array:
    """[M, B, D] -> [B, D]: the next observation that one member a row, chosen at random, draws."""
    member_key, noise_key = jax.random.split(key)
    members, batch, _ = said.mean.shape
    chosen = (jax.random.randint(member_key, (batch,), 0, members), jnp.arange(batch))
    noise = jax.random.normal(noise_key, said.mean.shape[1:])
    drawn: jax.Array = said.mean[chosen] + said.std[chosen] * noise
    return drawn


def spread(said: Members) -> tuple[jax.Array, jax.Array]:
    """[M, B, D] -> the epistemic and the aleatoric standard deviation, [B, D] each.

    The law of total variance of an equally weighted mixture: the variance of the means, and the mean of the variances.
    """
    return said.mean.std(0), jnp.sqrt((said.std**2).mean(0))


def over_data(
    ask: Callable[..., Any],
    model: VectorModel,
    observations: Any,
    actions: Any,
    *extra: Any,
    most_rows: int = 10_000,
) -> Any:
    """What `ask(observations [C, D], members [M, C, D], *extra)` says of real data, as NumPy arrays of N rows.

    Of more than `most_rows` rows, evenly spaced ones are asked. Data are cut into chunks of one size, so that growing
    data never compile anew; `ask` must be a function of a module for the same reason.

    Raises:
        ConfigError: there are no data, or they are not finite or of other sizes than the model's.
    """
    rows = _checked(observations, model.observation_size, "observations")
    acts = _checked(actions, model.action_size, "actions")
    if len(rows) != len(acts):
        raise ConfigError("Observations and actions do not pair up.", given=f"{len(rows)} and {len(acts)}")
    if len(rows) > most_rows:
        chosen = np.linspace(0, len(rows) - 1, most_rows).round().astype(np.int64)
        rows, acts = rows[chosen], acts[chosen]
    count = len(rows)
    padding = ((0, -count % _CHUNK), (0, 0))
    rows, acts = np.pad(rows, padding), np.pad(acts, padding)
    said = [
        jax.device_get(_ask(ask, model, rows[i : i + _CHUNK], acts[i : i + _CHUNK], extra))
        for i in range(0, len(rows), _CHUNK)
    ]
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *said)


def change(observations: jax.Array, said: Members) -> jax.Array:
    """[C, D]: the predicted one-step change."""
    changed: jax.Array = said.mean.mean(0) - observations
    return changed


def change_scale(model: VectorModel, observations: Any, actions: Any) -> jax.Array:
    """[D]: the standard deviation of the predicted one-step change; a floor keeps constant dimensions divisible."""
    return jnp.asarray(np.maximum(over_data(change, model, observations, actions).std(0), 1e-6), jnp.float32)


def require_fit(rule: Any, threshold: Any) -> None:
    """Refuses a rule whose thresholds were never measured.

    Raises:
        ConfigError: `threshold` is None.
    """
    if threshold is None:
        name = type(rule).__name__
        raise ConfigError(
            f"{name} was never fitted, so it has no thresholds.",
            do=f"call rule = {name}(...).fit(model, observations, actions) with real data first.",
        )


def check_quantile(name: str, value: float) -> None:
    """Refuses what is not in [0, 1].

    Raises:
        ConfigError: it is not.
    """
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name} is not a quantile.", given=value, expected="a number from 0 to 1")


@eqx.filter_jit
def _ask(ask: Callable[..., Any], model: VectorModel, observations: Any, actions: Any, extra: tuple[Any, ...]) -> Any:
    return ask(observations, model.members(State(observations), actions), *extra)


def _scaled_disagreement(observations: jax.Array, said: Members, scale: jax.Array) -> jax.Array:  # noqa: ARG001
    return _disagreement(said.mean / scale)


def _disagreement(means: jax.Array) -> jax.Array:
    """[M, B, D] -> [B]: the largest distance between two members; one pair at a time, to keep memory at [B, D]."""
    members = means.shape[0]
    largest = jnp.zeros(means.shape[1])
    for i in range(members):
        for j in range(i + 1, members):
            largest = jnp.maximum(largest, jnp.linalg.norm(means[i] - means[j], axis=-1))
    return largest


def _checked(values: Any, size: int, name: str) -> np.ndarray:
    rows = np.asarray(values, np.float32)
    if rows.ndim != 2 or len(rows) == 0 or rows.shape[1] != size or not np.isfinite(rows).all():
        raise ConfigError(
            f"A truncation rule cannot be fitted to these {name}.",
            given=f"shape {rows.shape}, {np.isfinite(rows).mean() if rows.size else 0:.0%} finite",
            expected=f"at least one row, [N, {size}], all finite",
            do="give real transitions, encoded by the codec that the model was fitted with.",
        )
    return rows
