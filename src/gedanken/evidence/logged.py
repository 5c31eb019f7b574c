"""Logged episodes as arrays, and how likely the target policy is to have done what was done in them.

Every off-policy estimator starts from here. Log-probabilities are those of *encoded* actions (see `Codec`), for the
behaviour policy as for the target; an agent of this house records them so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeGuard, runtime_checkable

import equinox as eqx
import jax
import numpy as np
from numpy.typing import NDArray

from gedanken.dreams.rollout import Policy
from gedanken.errors import ConfigError
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode

Floats = NDArray[np.float64]

CHUNK = 4_096


@runtime_checkable
class HasLogProbability(Protocol):
    """A policy that draws its actions and can say how likely each of them is."""

    def log_probability(self, observation: Any, action: Any) -> Any:
        """[B, D], [B, A] encoded -> [B]: the log-probability (or log-density) of the action."""


def says_probabilities(policy: Any) -> TypeGuard[HasLogProbability]:
    """Whether a policy can say how likely its actions are."""
    return isinstance(policy, HasLogProbability)


class Logged(NamedTuple):
    """E episodes, T steps of each at most; what lies behind an episode's end is 0 or its last observation.

    observation: [E, T + 1, D] float32; action: [E, T, A] float32, encoded; reward: [E, T]; recorded: [E, T] bool, the
    step happened; terminated: [E, T] bool; behaviour: [E, T], log-probability of the action, NaN where not known;
    whole: [E] bool, the episode is known up to its termination or the horizon.
    """

    observation: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: Floats
    recorded: NDArray[np.bool_]
    terminated: NDArray[np.bool_]
    behaviour: Floats
    whole: NDArray[np.bool_]

    @property
    def episodes(self) -> int:
        """E."""
        return len(self.reward)

    @property
    def steps(self) -> int:
        """T."""
        return int(self.reward.shape[1])


def logged(episodes: Sequence[Episode], codec: Codec, *, horizon: int) -> Logged:
    """The first `horizon` steps of all episodes that have one; T is that of the longest.

    Raises:
        ConfigError: `horizon` is not positive.
    """
    if horizon < 1:
        raise ConfigError("A return needs a step.", given=f"horizon={horizon}", expected="1 or more")
    kept = [episode for episode in episodes if len(episode)]
    count, steps = len(kept), min(horizon, max((len(episode) for episode in kept), default=0))
    logs = Logged(
        observation=np.zeros((count, steps + 1, codec.observation_size), np.float32),
        action=np.zeros((count, steps, codec.action_size), np.float32),
        reward=np.zeros((count, steps)),
        recorded=np.zeros((count, steps), bool),
        terminated=np.zeros((count, steps), bool),
        behaviour=np.zeros((count, steps)),
        whole=np.zeros(count, bool),
    )
    for row, episode in enumerate(kept):
        length = min(len(episode), steps)
        seen = codec.encode_observations(episode.observations)
        logs.observation[row] = seen[np.minimum(np.arange(steps + 1), length)]
        logs.action[row, :length] = codec.encode_actions(episode.actions)[:length]
        logs.reward[row, :length] = episode.rewards[:length]
        logs.recorded[row, :length] = True
        logs.terminated[row, :length] = episode.terminated[:length]
        logs.behaviour[row, :length] = episode.log_probabilities[:length]
        logs.whole[row] = len(episode) >= horizon or bool(episode.terminated[:length].any())
    return logs


def returns_of(logs: Logged, discount: float) -> Floats:
    """[W] returns of the whole episodes."""
    totals: Floats = (logs.reward[logs.whole] * discount ** np.arange(logs.steps)).sum(1)
    return totals


# --- The target policy ----------------------------------------------------------------------------------------------


def target_log_probabilities(
    policy: Policy, logs: Logged, codec: Codec, *, key: jax.Array
) -> tuple[Floats | None, str]:
    """[E, T], 0 behind an episode's end; or `None` and why there are none."""
    observation, action = logs.observation[:, :-1][logs.recorded], logs.action[logs.recorded]
    if says_probabilities(policy):
        found = in_chunks(_log_probability, policy, observation, action)
    elif not deterministic(policy, observation, key):
        return None, "the target policy draws its actions and does not say how likely they are (log_probability)"
    elif codec.choices:
        answers = in_chunks(_act, policy, observation, key=key)
        found = np.where(answers.argmax(-1) == action.argmax(-1), 0.0, -np.inf)
    else:
        return None, (
            "the target policy is deterministic and its actions are continuous: "
            "no logged action is one that it takes, so there are no importance weights"
        )
    if np.isnan(found).any():
        return None, f"the target policy's log-probability is NaN for {int(np.isnan(found).sum())} steps"
    spread = np.zeros(logs.recorded.shape)
    spread[logs.recorded] = found
    return spread, ""


def deterministic(policy: Policy, observation: NDArray[np.float32], key: jax.Array) -> bool:
    """Whether it answers the same with two keys, on the first observations [N, D]."""
    some = observation[: min(len(observation), 256)]
    if len(some) == 0:
        return True
    one, other = (np.asarray(_act(policy, some, each)) for each in jax.random.split(key))
    return bool(np.array_equal(one, other))


def in_chunks(
    function: Callable[..., Any], of: Any, *columns: NDArray[np.float32], key: jax.Array | None = None
) -> NDArray[Any]:
    """`function(of, *columns[, key])` on all rows, one or more, in chunks of one compiled shape."""
    total = len(columns[0])
    chunk = min(CHUNK, power_of_two(total))
    parts = []
    for number, first in enumerate(range(0, total, chunk)):
        rows = np.minimum(np.arange(first, first + chunk), total - 1)
        keys = () if key is None else (jax.random.fold_in(key, number),)
        parts.append(np.asarray(function(of, *(column[rows] for column in columns), *keys))[: total - first])
    return np.concatenate(parts)


def power_of_two(count: int) -> int:
    """The smallest one that is not below `count`: rows padded to it compile once for many counts."""
    return 1 << max(count - 1, 0).bit_length()


@eqx.filter_jit
def _act(policy: Policy, observation: Any, key: jax.Array) -> jax.Array:
    return policy(observation, key)


@eqx.filter_jit
def _log_probability(policy: HasLogProbability, observation: Any, action: Any) -> jax.Array:
    log_probability: jax.Array = policy.log_probability(observation, action)
    return log_probability
