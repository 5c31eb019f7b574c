"""A world model served as an ordinary Gymnasium environment that can be forked and rewound."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from gedanken.dreams.truncation import NoTruncation, Ruling, Truncation
from gedanken.errors import ConfigError, GedankenError
from gedanken.experience.codec import Codec
from gedanken.models.contract import State, VectorModel

_EVERYTHING = NoTruncation()


@dataclass(frozen=True)
class Snapshot:
    """Everything that decides how a dream goes on, except the model. Treat its fields as opaque.

    model_id: whose dream this is; state, memory: where the episodes and the truncation rule stand; key: all
    randomness to come; age: [B] int steps since the start; over: [B] bool, waiting for a reset.
    """

    model_id: str
    state: State
    memory: Any
    key: jax.Array
    age: np.ndarray
    over: np.ndarray


class DreamEnv(gym.Env[Any, Any]):
    """One imagined episode after the other, in the spaces of the real world.

    `info` of a step holds `cost` (resource -> float, what the real step would have cost), `confidence` (float),
    `epistemic` and `aleatoric` ([D] float32, standard deviations of the next observation), `ended_by` ("" while it goes
    on, else "terminated", "horizon" or the name of the truncation rule) and `provenance`. Unknown is NaN.

    A cut by the truncation rule is a truncation, not a termination, except where the rule itself says terminated.

    Args:
        model: the world model.
        codec: the spaces of the real world.
        horizon: episodes are truncated after so many steps.
        truncation: when to stop believing the model; fit it first.
        ask_all: ask all members in each step, so that uncertainty and confidence are known.
        tasks: what `model.start` draws initial states for, where `reset` names no task.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        model: VectorModel,
        codec: Codec,
        *,
        horizon: int = 1000,
        truncation: Truncation = _EVERYTHING,
        ask_all: bool = True,
        tasks: Any = None,
    ) -> None:
        check_fit(model, codec, horizon)
        self.model, self.codec, self.horizon = model, codec, horizon
        self.truncation, self.ask_all, self.tasks = truncation, ask_all, tasks
        self.observation_space = codec.observation_space
        self.action_space = codec.action_space
        self.model_id = model.id
        self._now: Snapshot | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an imagined episode.

        Args:
            seed: makes everything that follows reproducible.
            options: {"task": given to `model.start`}, and {"observation": a raw observation} or {"state": a `State` of
                one row} to start from there.

        Raises:
            ConfigError: an unknown option, or a start that is not finite or of another shape.
        """
        super().reset(seed=seed)
        key = next_key(self, seed, self._now)
        key, start_key = jax.random.split(key)
        state = starting_state(self.model, self.codec, options, self.tasks, start_key, batch=1)
        memory = self.truncation.begin(1)
        self._now = Snapshot(self.model_id, state, memory, key, np.zeros(1, np.int64), np.zeros(1, bool))
        return self.codec.decode_observation(np.asarray(state.observation)[0]), {
            "provenance": provenance(self.model_id)
        }

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Imagines one step for one raw action.

        Raises:
            ConfigError: the action is not of the action space (NaN, infinite, out of bounds, another shape), or there
                is no running episode.
            GedankenError: the model answered with what is not finite.
        """
        now = self._running()
        encoded = self.codec.encode_actions(check_actions(self.action_space, action, ())[None])
        ruling, finite, key = advance(
            self.model, self.truncation, now.state, now.memory, encoded, now.key, ask_all=self.ask_all
        )
        # One transfer to the host: indexing device arrays one by one would take longer than the model.
        imagined, cuts, finite = jax.device_get((ruling.imagined, ruling.cut, finite))
        require_finite(finite)
        age = now.age + 1
        terminated, cut = bool(imagined.terminated[0]), bool(cuts[0])
        truncated = not terminated and (cut or int(age[0]) >= self.horizon)
        over = np.array([terminated or truncated])
        self._now = Snapshot(self.model_id, ruling.imagined.state, ruling.memory, key, age, over)
        info = {
            "cost": {name: float(amount[0]) for name, amount in imagined.cost.items()},
            "confidence": float(imagined.confidence[0]),
            "epistemic": imagined.epistemic[0].copy(),
            "aleatoric": imagined.aleatoric[0].copy(),
            "ended_by": ended_by(self.truncation, terminated, truncated, cut),
            "provenance": provenance(self.model_id),
        }
        observation = self.codec.decode_observation(imagined.state.observation[0])
        return observation, float(imagined.reward[0]), terminated, truncated, info

    def snapshot(self) -> Snapshot:
        """Where the episode stands; hand it to `restore` of this or any other dream of the same model.

        Raises:
            ConfigError: there is no episode yet.
        """
        return self._begun()

    def restore(self, snapshot: Snapshot) -> None:
        """Continues from `snapshot`, bit for bit as it went on from there.

        Raises:
            ConfigError: the snapshot is of another model.
        """
        check_snapshot(snapshot, self.model_id, rows=1)
        self._now = snapshot

    def fork(self, *, seed: int | None = None) -> Self:
        """A second dream at the same point. It shares the model and goes on identically, or by `seed` differently."""
        now = self._begun()
        other = copy.copy(self)
        other._now = now if seed is None else replace(now, key=jax.random.PRNGKey(seed))
        return other

    @property
    def state(self) -> State:
        """The current state as the model has it, [1, D] encoded."""
        return self._begun().state

    def _begun(self) -> Snapshot:
        if self._now is None:
            raise ConfigError("This dream has not begun.", do="call reset() first.")
        return self._now

    def _running(self) -> Snapshot:
        now = self._begun()
        if now.over.any():
            raise ConfigError("This imagined episode is over.", do="call reset(), or restore() an earlier snapshot.")
        return now


# --- What single and vector dreams share ---------------------------------------------------------------------------


@eqx.filter_jit
def advance(
    model: VectorModel,
    truncation: Truncation,
    state: State,
    memory: Any,
    action: Any,
    key: jax.Array,
    *,
    ask_all: bool,
) -> tuple[Ruling, jax.Array, jax.Array]:
    """One compiled step of B episodes: the ruling, [B] whether its numbers are finite, and the next key."""
    key, step_key = jax.random.split(key)
    ruling = truncation.step(model, state, action, step_key, memory)
    imagined = ruling.imagined
    finite = jnp.isfinite(imagined.state.observation).all(-1) & jnp.isfinite(imagined.reward)
    if ask_all:
        # Compiled together, what both calls ask of the members is computed once.
        asked = model.step(state, action, step_key)
        imagined = imagined._replace(
            epistemic=_known(imagined.epistemic, asked.epistemic),
            aleatoric=_known(imagined.aleatoric, asked.aleatoric),
            confidence=_known(imagined.confidence, asked.confidence),
        )
    # A termination that the rule does not trust is no termination: the episode is cut there instead.
    cut = ruling.cut | (imagined.terminated & ~ruling.keep)
    imagined = imagined._replace(terminated=imagined.terminated & ruling.keep)
    return ruling._replace(imagined=imagined, cut=cut), finite, key


def starting_state(
    model: VectorModel, codec: Codec, options: dict[str, Any] | None, tasks: Any, key: jax.Array, *, batch: int
) -> State:
    """The B states that `reset(options=options)` asks for.

    Raises:
        ConfigError: an unknown option, or a start that is not finite or of another shape.
    """
    options = options or {}
    unknown = options.keys() - {"task", "state", "observation"}
    if unknown or {"state", "observation"} <= options.keys():
        raise ConfigError(
            "These reset options make no start.",
            given=sorted(options),
            expected="'task', and one of 'state' or 'observation'",
        )
    if "state" in options:
        state = State(*options["state"])
        _check_start(np.asarray(state.observation), (batch, codec.observation_size))
        placed: State = jax.tree.map(jnp.asarray, state)
        return placed
    state = _start(model, options.get("task", tasks), key, batch=batch)
    if "observation" in options:
        observation = np.asarray(options["observation"])
        shape = codec.observation_space.shape or ()
        if observation.shape == shape:
            observation = np.broadcast_to(observation, (batch, *shape))
        _check_start(observation, (batch, *shape))
        if isinstance(codec.observation_space, gym.spaces.Discrete) and not all(
            codec.observation_space.contains(np.int64(value)) for value in observation
        ):
            raise ConfigError("This is no observation.", given=observation, expected=codec.observation_space)
        state = state._replace(observation=jnp.asarray(codec.encode_observations(observation)))
    return state


def next_key(env: Any, seed: int | None, now: Snapshot | None) -> jax.Array:
    """The key that a reset continues with: of the seed, or of what went before, or of the operating system."""
    if seed is None and now is not None:
        return now.key
    return jax.random.PRNGKey(int(env.np_random.integers(2**31)))


def check_actions(space: gym.Space[Any], actions: Any, lead: tuple[int, ...]) -> np.ndarray:
    """Raw actions [*lead, *space.shape] as an array of the space's dtype.

    Raises:
        ConfigError: one of them is not of the space.
    """
    try:
        values = np.asarray(actions)
        numeric = values.dtype.kind in ("iu" if isinstance(space, gym.spaces.Discrete) else "iuf")
    except ValueError:  # rows of different lengths
        numeric = False
    fits = numeric and values.shape == (*lead, *(space.shape or ()))
    if fits and isinstance(space, gym.spaces.Discrete):
        fits = bool(((values >= space.start) & (values < space.start + space.n)).all())
    elif fits and isinstance(space, gym.spaces.Box):
        values = values.astype(space.dtype)
        fits = bool(((values >= space.low) & (values <= space.high)).all())  # also refuses NaN
    if not fits:
        raise ConfigError(
            "This is no action of the world.",
            given=repr(actions)[:200],
            expected=f"{'finite, ' if isinstance(space, gym.spaces.Box) else ''}in {space}"
            + (f", {lead[0]} of them" if lead else ""),
            do="clip or convert the action before it is given to the dream.",
        )
    return values


def check_fit(model: VectorModel, codec: Codec, horizon: int) -> None:
    """Refuses a model and a codec of different sizes, and an empty horizon.

    Raises:
        ConfigError: they do not fit.
    """
    given = (model.observation_size, model.action_size)
    expected = (codec.observation_size, codec.action_size)
    if given != expected:
        raise ConfigError(
            "The model and the codec are of different worlds.",
            given=f"a model of {given[0]} observed numbers and {given[1]} acted numbers",
            expected=f"{expected[0]} and {expected[1]}, as the spaces have",
        )
    if horizon < 1:
        raise ConfigError("An episode needs a step.", given=f"horizon={horizon}", expected="1 or more")


def check_snapshot(snapshot: Snapshot, model_id: str, *, rows: int) -> None:
    """Refuses a snapshot of another model or of another number of episodes.

    Raises:
        ConfigError: it is one.
    """
    if snapshot.model_id != model_id or len(snapshot.age) != rows:
        raise ConfigError(
            "This snapshot is of another dream.",
            given=f"{len(snapshot.age)} episodes of {snapshot.model_id}",
            expected=f"{rows} of {model_id}",
        )


def require_finite(finite: Any) -> None:
    """Refuses to pass on what is no number.

    Raises:
        GedankenError: a row is not finite.
    """
    if not np.asarray(finite).all():
        raise GedankenError(
            "The model imagined an observation or a reward that is not finite.",
            given=f"{int((~np.asarray(finite)).sum())} of {np.asarray(finite).size} episodes",
            do="reset, and use a shorter horizon or a truncation rule (Infoprop), or fit the model to more data.",
        )


def ended_by(truncation: Truncation, terminated: bool, truncated: bool, cut: bool) -> str:
    """Why an episode is over: "" (it is not), "terminated", "horizon" or the name of the truncation rule."""
    if cut:
        return type(truncation).__name__
    if terminated:
        return "terminated"
    return "horizon" if truncated else ""


def provenance(model_id: str) -> dict[str, str]:
    """Says in `info` that no real world answered."""
    return {"source": "model", "model_id": model_id}


def _known(value: jax.Array, otherwise: jax.Array) -> jax.Array:
    return jnp.where(jnp.isnan(value), otherwise, value)


def _check_start(observation: np.ndarray, shape: tuple[int, ...]) -> None:
    if observation.shape != shape or not np.isfinite(observation).all():
        raise ConfigError(
            "An episode cannot start from this observation.",
            given=f"shape {observation.shape}: {observation!r}"[:200],
            expected=f"shape {shape}, all finite",
        )


@eqx.filter_jit
def _start_any(model: VectorModel, key: jax.Array, batch: int) -> State:
    return model.start(None, key, batch=batch)


def _start(model: VectorModel, tasks: Any, key: jax.Array, *, batch: int) -> State:
    # Tasks may hold anything, so only a start without them is compiled: a new task must not compile anew.
    return _start_any(model, key, batch) if tasks is None else model.start(tasks, key, batch=batch)
