"""A world model served as a Gymnasium vector environment: all episodes advance in one compiled call."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from gedanken.dreams.env import (
    Snapshot,
    advance,
    check_actions,
    check_fit,
    check_snapshot,
    ended_by,
    next_key,
    provenance,
    require_finite,
    starting_state,
)
from gedanken.dreams.rollout import select
from gedanken.dreams.truncation import NoTruncation, Truncation
from gedanken.errors import ConfigError
from gedanken.experience.codec import Codec
from gedanken.models.contract import VectorModel

_EVERYTHING = NoTruncation()


class DreamVectorEnv(gym.vector.VectorEnv[Any, Any, Any]):
    """`num_envs` imagined episodes side by side, with Gymnasium 1.4's conventions.

    With `AutoresetMode.SAME_STEP` (the default) an episode that ended starts anew within the same `step`; what it
    ended with is in `info["final_obs"]` and `info["final_info"]`. With `AutoresetMode.DISABLED` it waits for
    `reset(options={"reset_mask": mask})`. `info` has the entries of `DreamEnv`, one row an episode, each with its mask.

    Args:
        model, codec, horizon, truncation, tasks: as for `DreamEnv`.
        num_envs: how many episodes.
        ask_all: ask all members in each step; off by default, since one member a row is several times cheaper.
        autoreset_mode: SAME_STEP or DISABLED.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        model: VectorModel,
        codec: Codec,
        num_envs: int,
        *,
        horizon: int = 1000,
        truncation: Truncation = _EVERYTHING,
        ask_all: bool = False,
        tasks: Any = None,
        autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP,
    ) -> None:
        check_fit(model, codec, horizon)
        if num_envs < 1:
            raise ConfigError("A vector of dreams needs a dream.", given=num_envs, expected="1 or more")
        if autoreset_mode not in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED):
            raise ConfigError(
                "This autoreset mode is not served.",
                given=autoreset_mode,
                expected="AutoresetMode.SAME_STEP or AutoresetMode.DISABLED",
            )
        self.model, self.codec, self.horizon = model, codec, horizon
        self.truncation, self.ask_all, self.tasks = truncation, ask_all, tasks
        self.autoreset_mode = autoreset_mode
        self.metadata = {**type(self).metadata, "autoreset_mode": autoreset_mode}
        self.num_envs = num_envs
        self.single_observation_space = codec.observation_space
        self.single_action_space = codec.action_space
        self.observation_space = batch_space(codec.observation_space, num_envs)
        self.action_space = batch_space(codec.action_space, num_envs)
        self.model_id = model.id
        self._now: Snapshot | None = None

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts every episode, or those of `options["reset_mask"]` ([num_envs] bool).

        Args:
            seed: one for all episodes; of a list, all entries together decide.
            options: "task", "observation" and "state" as for `DreamEnv.reset`, with one row or `num_envs` rows.

        Raises:
            ConfigError: an unknown option, or a start or a mask that does not fit.
        """
        options = dict(options or {})
        mask = self._checked_mask(options.pop("reset_mask", None))
        super().reset(seed=_one_seed(seed))
        key, start_key = jax.random.split(next_key(self, _one_seed(seed), self._now))
        state = starting_state(self.model, self.codec, options, self.tasks, start_key, batch=self.num_envs)
        memory = self.truncation.begin(self.num_envs)
        age, over = np.zeros(self.num_envs, np.int64), np.zeros(self.num_envs, bool)
        if self._now is not None and not mask.all():
            state, memory = _select(mask, (state, memory), (self._now.state, self._now.memory))
            age, over = np.where(mask, age, self._now.age), np.where(mask, over, self._now.over)
        self._now = Snapshot(self.model_id, state, memory, key, age, over)
        return self._decoded(state.observation), self._rows({"provenance": self._provenance()}, mask)

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Imagines one step of every episode for raw actions [num_envs, ...].

        Returns:
            observations, rewards [num_envs] float64, terminated and truncated [num_envs] bool, info.

        Raises:
            ConfigError: an action is not of the action space, there was no reset, or an ended episode was not reset.
            GedankenError: the model answered with what is not finite.
        """
        now = self.snapshot()
        if now.over.any():
            raise ConfigError(
                "Some imagined episodes are over.",
                given=f"episodes {np.flatnonzero(now.over).tolist()[:20]}",
                do="reset(options={'reset_mask': mask}) them first.",
            )
        encoded = self.codec.encode_actions(check_actions(self.single_action_space, actions, (self.num_envs,)))
        ruling, finite, key = advance(
            self.model, self.truncation, now.state, now.memory, encoded, now.key, ask_all=self.ask_all
        )
        imagined, cut, finite = jax.device_get((ruling.imagined, ruling.cut, finite))
        require_finite(finite)
        age = now.age + 1
        terminated = np.array(imagined.terminated)
        truncated = ~terminated & (cut | (age >= self.horizon))
        over = terminated | truncated
        observations = self._decoded(imagined.state.observation)
        info = {
            "cost": {name: np.array(amount) for name, amount in imagined.cost.items()},
            "confidence": np.array(imagined.confidence),
            "epistemic": np.array(imagined.epistemic),
            "aleatoric": np.array(imagined.aleatoric),
            "ended_by": self._ended_by(terminated, truncated, cut),
            "provenance": self._provenance(),
        }
        state, memory = ruling.imagined.state, ruling.memory
        if self.autoreset_mode is AutoresetMode.SAME_STEP and over.any():
            key, start_key = jax.random.split(key)
            fresh = starting_state(self.model, self.codec, None, self.tasks, start_key, batch=self.num_envs)
            state, memory = _select(over, (fresh, self.truncation.begin(self.num_envs)), (state, memory))
            info = self._with_final(info, observations, over)
            observations = self._decoded(state.observation)
            age, over = np.where(over, 0, age), np.zeros(self.num_envs, bool)
        else:
            info = self._rows(info, np.ones(self.num_envs, bool))
        self._now = Snapshot(self.model_id, state, memory, key, age, over)
        return observations, imagined.reward.astype(np.float64), terminated, truncated, info

    def snapshot(self) -> Snapshot:
        """Where all episodes stand; hand it to `restore`.

        Raises:
            ConfigError: there was no reset yet.
        """
        if self._now is None:
            raise ConfigError("These dreams have not begun.", do="call reset() first.")
        return self._now

    def restore(self, snapshot: Snapshot) -> None:
        """Continues from `snapshot`, bit for bit as it went on from there.

        Raises:
            ConfigError: the snapshot is of another model or of another number of episodes.
        """
        check_snapshot(snapshot, self.model_id, rows=self.num_envs)
        self._now = snapshot

    def _with_final(self, info: dict[str, Any], observations: Any, over: np.ndarray) -> dict[str, Any]:
        """Gymnasium's layout: rows that ended report under `final_info`, and start with the info of a reset."""
        final_obs = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(over):
            final_obs[row] = np.array(observations[row])
        told = self._rows({name: value for name, value in info.items() if name != "provenance"}, ~over)
        told |= self._rows({"provenance": info["provenance"]}, np.ones_like(over))
        return told | {
            "final_obs": final_obs,
            "_final_obs": over.copy(),
            "final_info": self._rows(info, over),
            "_final_info": over.copy(),
        }

    def _rows(self, info: dict[str, Any], mask: np.ndarray) -> dict[str, Any]:
        """`info` with, beside every entry, the mask of the rows it speaks of."""
        told: dict[str, Any] = {}
        for name, value in info.items():
            told[name] = self._rows(value, mask) if isinstance(value, dict) else value
            told[f"_{name}"] = mask.copy()
        return told

    def _ended_by(self, terminated: np.ndarray, truncated: np.ndarray, cut: np.ndarray) -> np.ndarray:
        reasons = np.full(self.num_envs, "", dtype=object)
        for row in np.flatnonzero(terminated | truncated):
            reasons[row] = ended_by(self.truncation, bool(terminated[row]), bool(truncated[row]), bool(cut[row]))
        return reasons

    def _provenance(self) -> dict[str, np.ndarray]:
        return {name: np.full(self.num_envs, value, dtype=object) for name, value in provenance(self.model_id).items()}

    def _decoded(self, vectors: Any) -> Any:
        """[num_envs, D] -> raw observations in one array, as `Codec.decode_observation` does for one."""
        vectors, space = np.asarray(vectors), self.single_observation_space
        if isinstance(space, gym.spaces.Discrete):
            return (space.start + vectors.argmax(-1)).astype(np.int64)
        assert isinstance(space, gym.spaces.Box)
        shaped = vectors.reshape(self.num_envs, *space.shape).astype(space.dtype)
        return np.clip(shaped, space.low, space.high)

    def _checked_mask(self, mask: Any) -> np.ndarray:
        if mask is None:
            return np.ones(self.num_envs, bool)
        fits = isinstance(mask, np.ndarray) and mask.shape == (self.num_envs,) and mask.dtype == np.bool_
        if not fits or not mask.any():
            raise ConfigError(
                "This is no reset mask.",
                given=repr(mask)[:200],
                expected=f"a bool array of shape ({self.num_envs},) with at least one True",
            )
        if self._now is None and not mask.all():
            raise ConfigError("These dreams have not begun, so all must be reset.", do="call reset() first.")
        return np.asarray(mask)


@eqx.filter_jit
def _select(mask: Any, yes: Any, no: Any) -> Any:
    return select(jnp.asarray(mask), yes, no)


def _one_seed(seed: int | list[int | None] | None) -> int | None:
    if not isinstance(seed, list):
        return seed
    entropy = [-1 if entry is None else entry for entry in seed]
    if any(entry < 0 for entry in entropy):
        return None
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
