"""Recording: what acts writes down what happened, as it happens."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import gymnasium as gym

from gedanken.errors import StoreError
from gedanken.experience.cost import Cost
from gedanken.experience.store import Experience
from gedanken.experience.transition import EpisodeHeader, Outcome, Transition


class Recorder:
    """Writes episodes to an experience as they happen. What acts calls `begin`, then `append` and at last `end`.

    What acts needs no more of an experience than this, and anything with these three methods can stand in for it.
    """

    def __init__(self, experience: Experience) -> None:
        self.experience = experience

    def begin(self, header: EpisodeHeader) -> None:
        """Records that an episode begins. On disk when this returns.

        Raises:
            StoreError: an episode of this id began before, or the disk refuses.
        """
        self.experience.begin(header)

    def append(self, episode_id: str, transitions: Sequence[Transition]) -> None:
        """Records what happened next. On disk when this returns, all of it or, on an error, nothing.

        Raises:
            StoreError: the episode did not begin or is over, a value is none of its space, or the disk refuses.
        """
        self.experience.append(episode_id, transitions)

    def end(self, episode_id: str, outcome: Outcome) -> None:
        """Records how an episode ended. On disk when this returns.

        Raises:
            StoreError: the episode did not begin or has ended, or the disk refuses.
        """
        self.experience.end(episode_id, outcome)


def record(
    env: gym.Env[Any, Any],
    experience: Experience,
    *,
    policy: str,
    account: str = "learn",
    cost: Cost | None = None,
) -> RecordedEnv:
    """Makes an env write down what happens in it, for people with a loop of their own.

    Every `step` is on disk when it returns. An episode ends when it is terminated or truncated, or by the next `reset`.
    Its outcome is what the env says in `info["success"]` or `info["is_success"]`, and `info["failure_mode"]`.

    Args:
        env: any Gymnasium env with the spaces of the experience.
        experience: open for writing.
        policy: names who acts; change `policy` of the returned env when somebody else does.
        account: what the steps are paid from.
        cost: what each step costs; `Cost(steps=1)` unless given.

    Raises:
        StoreError: the env has other spaces than the experience.
    """
    return RecordedEnv(env, experience, policy=policy, account=account, cost=Cost(steps=1) if cost is None else cost)


class RecordedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """An env that writes down what happens in it; see `record`. `policy` names who acts from the next `reset` on."""

    def __init__(
        self, env: gym.Env[Any, Any], experience: Experience, *, policy: str, account: str, cost: Cost
    ) -> None:
        super().__init__(env)
        given = (env.observation_space, env.action_space)
        expected = (experience.observation_space, experience.action_space)
        if given != expected:
            raise StoreError(
                "The env has other spaces than the experience.",
                given=given,
                expected=expected,
                do="create an experience with this env's spaces.",
            )
        self.policy = policy
        self._experience, self._account, self._cost = experience, account, cost
        self._episode_id: str | None = None
        self._observation: Any = None
        self._log_probability: float | None = None

    def note(self, *, log_probability: float) -> None:
        """Tells the log-probability of the action that comes next, under the policy that chose it."""
        self._log_probability = log_probability

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets the env and begins an episode; `options["task"]`, if it is a mapping, is its task.

        Raises:
            StoreError: the disk refuses.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        if self._episode_id is not None:
            self._end({})
        world = self._experience.world
        episode_id = f"{world}-{self._experience.episode_count}"
        task = (options or {}).get("task")
        header = EpisodeHeader(
            episode_id,
            world,
            self.policy,
            account=self._account,
            task=task if isinstance(task, Mapping) else None,
            seed=seed,
        )
        self._experience.begin(header)
        # A copy: an env may give out the same array again and change what is in it.
        self._episode_id, self._observation = episode_id, copy.deepcopy(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Acts in the env; what happened is on disk when this returns.

        Raises:
            StoreError: the env was not reset, answered with what is none of its space, or the disk refuses.
        """
        if self._episode_id is None:
            raise StoreError("A step outside an episode cannot be recorded.", do="call reset() first.")
        began = time.perf_counter()
        next_observation, reward, terminated, truncated, info = self.env.step(action)
        transition = Transition(
            observation=self._observation,
            action=action,
            reward=float(reward),
            terminated=bool(terminated),
            truncated=bool(truncated),
            next_observation=next_observation,
            cost=self._cost,
            duration_ms=1000.0 * (time.perf_counter() - began),
            log_probability=self._log_probability,
        )
        self._log_probability = None
        self._experience.append(self._episode_id, [transition])
        self._observation = copy.deepcopy(next_observation)
        if terminated or truncated:
            self._end(info)
        return next_observation, reward, terminated, truncated, info

    def _end(self, info: Mapping[str, Any]) -> None:
        assert self._episode_id is not None
        told = info.get("success", info.get("is_success"))
        success = None if told is None else bool(told)
        mode = info.get("failure_mode")
        known = success is not None or mode is not None
        outcome = Outcome(success, None if mode is None else str(mode), "world" if known else None)
        self._experience.end(self._episode_id, outcome)
        self._episode_id = None
