"""The real, costly side: any Gymnasium environment with a price list, whose every answer is checked."""

from __future__ import annotations

import copy
import math
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import gymnasium as gym

from gedanken.errors import ConfigError, WorldError, WorldHung
from gedanken.experience.cost import Cost
from gedanken.worlds import snapshots
from gedanken.worlds.checks import Misfit, fitted
from gedanken.worlds.snapshots import Snapshot
from gedanken.worlds.watchdog import Watchdog

BillingUnit = Literal["episode", "step"] | int
"""What one reservation covers: a whole episode, one step, or a chunk of n steps."""

Prices = Mapping[str, int] | Callable[[Any], Cost]
Success = Callable[[Any, float, bool, bool, Mapping[str, Any]], bool | None]

CLOCK = "milliseconds"
"""The resource that is measured: a price in it is the most a step may take, its cost what the step did take."""


class World(gym.Wrapper[Any, Any, Any, Any]):
    """A Gymnasium env that says what an action may cost before it runs, and what it did cost after.

    The same contract carries robots (many steps of milliseconds), one-shot experiments (episodes of one step) and
    actions that take minutes (a price in `milliseconds`, settled by the clock).

    `step` writes into `info`: `cost` (what this step did cost, as a dict; an env that reports a mapping there itself
    is believed, any other value moves to `env_cost`) and, where the world knows, both `success` and `is_success`.
    `reset` writes `cost` too: empty where resets are free.

    name: names the world in records and ids. unit: what one reservation covers. tasks: the task space, or None.
    duration_ms: how long the last reset or step took.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any] | str,
        prices: Prices,
        *,
        name: str | None = None,
        unit: BillingUnit = "episode",
        tasks: gym.Space[Any] | Sequence[Mapping[str, Any]] | None = None,
        step_timeout_s: float | None = None,
        free_reset: bool = True,
        success: Success | None = None,
    ) -> None:
        """Wraps an env.

        Args:
            env: a Gymnasium env, or its id.
            prices: what a step costs at most: whole minor units per resource, or a function of the action. The
                function is asked with None for a reset that is not free.
            name: by default the env's id, or its class.
            unit: "episode", "step", or the number of steps in a chunk. Prices by a function need "step".
            tasks: what `reset(options={"task": ...})` may ask for.
            step_timeout_s: after how many seconds a step or a reset counts as hung; None waits for ever. With a
                limit, the env runs in a thread of its own.
            free_reset: whether a reset costs nothing; otherwise it costs what a step costs.
            success: (observation, reward, terminated, truncated, info) -> whether the task was done; None where that
                is not known. By default what the env writes itself.

        Raises:
            ConfigError: the id is unknown, it is no single env, or prices, unit or timeout make no sense.
        """
        env = make_env(env) if isinstance(env, str) else env
        if not isinstance(env, gym.Env):
            raise ConfigError(
                "A world is one environment, which acts and pays one step at a time.",
                given=type(env).__name__,
                expected="a gymnasium.Env, or its id",
                do="give one env, not a vector of them; seeds can run side by side, each in a run of its own.",
            )
        super().__init__(env)
        self.name = name or (self.env.spec.id if self.env.spec is not None else type(self.env.unwrapped).__name__)
        self._fixed = Cost(prices) if isinstance(prices, Mapping) else None
        self._priced = prices if callable(prices) else None
        if isinstance(unit, bool) or not (unit in ("episode", "step") or (isinstance(unit, int) and unit >= 1)):
            raise ConfigError("Not a billing unit.", given=repr(unit), expected='"episode", "step" or 1, 2, 3, ...')
        if self._fixed is None and unit not in ("step", 1):
            raise ConfigError(
                "Prices that depend on the action can be reserved only one step at a time.",
                given=f"unit={unit!r}",
                expected='unit="step"',
                do='pass unit="step", or a fixed price that no action exceeds.',
            )
        if step_timeout_s is not None and not (math.isfinite(step_timeout_s) and step_timeout_s > 0):
            raise ConfigError("Not a time limit.", given=step_timeout_s, expected="seconds above 0, or None")
        self.unit: BillingUnit = unit
        self.tasks = tasks
        self.free_reset = free_reset
        self._success = success
        self._watchdog = Watchdog(step_timeout_s) if step_timeout_s is not None else None
        self.duration_ms: float | None = None
        self._horizon: int | None = None
        self._home: tuple[Snapshot, Any] | None = None
        self._elapsed = 0
        self._over = True

    @property
    def spec(self) -> Any:  # type: ignore[override]
        """Gymnasium's description of the env inside: how to make another one, without prices."""
        return self.env.spec

    def price(self, action: Any) -> Cost:
        """What `action` costs at most; asked before it runs."""
        if self._fixed is not None:
            return self._fixed
        assert self._priced is not None
        return Cost(self._priced(action))

    @property
    def resources(self) -> frozenset[str] | None:
        """What its steps can charge; None where prices are a function of the action, and nobody knows."""
        return None if self._fixed is None else frozenset(self._fixed)

    @property
    def reset_price(self) -> Cost:
        """What a reset costs at most; nothing where resets are free."""
        return Cost() if self.free_reset else self.price(None)

    @property
    def max_episode_steps(self) -> int | None:
        """After how many steps an episode is truncated; None where it is not."""
        limits = [limit for limit in (self._horizon, _time_limit(self.env)) if limit is not None]
        return min(limits, default=None)

    @property
    def unit_steps(self) -> int:
        """How many steps a whole billing unit has.

        Raises:
            ConfigError: the unit is an episode, and nobody knows how long that may be.
        """
        if self.unit == "step":
            return 1
        if isinstance(self.unit, int):
            return self.unit
        if self.max_episode_steps is None:
            raise ConfigError(
                f"World {self.name!r} is billed by the episode, and its episodes have no limit.",
                expected="a horizon, or another billing unit",
                do='use world.with_horizon(n), or pass unit="step" or a number of steps.',
            )
        return self.max_episode_steps

    def with_horizon(self, steps: int) -> Self:
        """The same world, truncated after `steps` steps. It shares the env with this one.

        Raises:
            ConfigError: the env's own limit is shorter, or `steps` is no length.
        """
        own = _time_limit(self.env)
        if steps < 1 or (own is not None and steps > own):
            raise ConfigError(
                f"World {self.name!r} cannot have this horizon.",
                given=steps,
                expected=f"1 to {own}" if own is not None else "1 or more",
                do="make the env with a longer limit: gymnasium.make(id, max_episode_steps=...).",
            )
        twin = copy.copy(self)
        twin._horizon, twin._over = steps, True
        return twin

    def forked(self, snapshot: Snapshot, observation: Any) -> Self:
        """The same world, whose episodes begin where `snapshot` was taken. It shares the env with this one.

        Its resets cost nothing, and look at neither seed nor task: its randomness, too, goes on as it did.

        Args:
            snapshot: of this world, in the middle of an episode.
            observation: what was observed then.

        Raises:
            ConfigError: the episode was over when the snapshot was taken.
        """
        if snapshot.over:
            raise ConfigError("A world cannot be forked where its episode is over.", do="take the snapshot before.")
        twin = copy.copy(self)
        twin._home, twin._over = (snapshot, observation), True
        return twin

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode. `options["task"]` picks the task, where the world has tasks.

        Raises:
            ConfigError: the task is not one of this world's.
            WorldError: the env raised, hung, or gave an observation outside its space.
        """
        self._check_task((options or {}).get("task"))
        if self._home is not None:
            snapshot, seen = self._home
            self.restore(snapshot)
            self.duration_ms = 0.0
            return copy.deepcopy(seen), {"cost": {}}
        self._over = True
        self._elapsed = 0
        reset_price = self.reset_price
        answer, duration_ms = self._ask("reset", lambda: self.env.reset(seed=seed, options=options))
        if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict)):
            raise self._broken("reset did not answer with (observation, info)", answer)
        observation, info = self._observed(answer[0]), dict(answer[1])
        info["cost"] = dict(self._settled(reset_price, info, duration_ms))
        self.duration_ms = duration_ms
        self._over = False
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Acts, for real.

        Raises:
            ConfigError: the action is not in the action space, or the episode is over; nothing was done.
            WorldError: the env raised, hung, or answered with NaN or outside its spaces. What it did is not known;
                a `reset` begins a new episode.
        """
        if self._over:
            raise ConfigError(
                f"World {self.name!r} was asked to act outside an episode.", do="call reset() first; nothing was done."
            )
        action = self.fitted_action(action)
        price = self.price(action)
        self._over = True
        answer, duration_ms = self._ask("step", lambda: self.env.step(action))
        if not (isinstance(answer, tuple) and len(answer) == 5 and isinstance(answer[4], dict)):
            raise self._broken("step did not answer with (observation, reward, terminated, truncated, info)", answer)
        observation, reward, terminated, truncated = self._observed(answer[0]), *self._judged(*answer[1:4])
        info = dict(answer[4])
        info["cost"] = dict(self._settled(price, info, duration_ms))
        self.duration_ms = duration_ms
        self._elapsed += 1
        truncated = truncated or (self._horizon is not None and self._elapsed >= self._horizon)
        self._write_success(observation, reward, terminated, truncated, info)
        self._over = terminated or truncated
        return observation, reward, terminated, truncated, info

    def fitted_action(self, action: Any) -> Any:
        """`action` as the action space holds it (floats of another width are converted).

        Raises:
            ConfigError: it is not in the action space.
        """
        try:
            return fitted(self.action_space, action)
        except Misfit as misfit:
            raise ConfigError(
                f"The action is not one of world {self.name!r}; nothing was done.",
                given=misfit,
                expected=self.action_space,
                do="clip or rescale what the agent gives (see gedanken.experience.codec.Codec.decode_action).",
            ) from misfit

    def snapshot(self) -> Snapshot:
        """The whole state of the world, for `restore`.

        Raises:
            WorldError: this env cannot be put back; a physical one never can.
        """
        return snapshots.take(self.env, elapsed=self._elapsed, over=self._over)

    def restore(self, snapshot: Snapshot) -> None:
        """Puts the world back to a snapshot of it: the same actions then bring the same steps.

        Raises:
            WorldError: the snapshot is of a world that is built otherwise.
        """
        snapshots.put_back(self.env, snapshot)
        self._elapsed, self._over = snapshot.elapsed, snapshot.over

    def _ask(self, verb: str, question: Callable[[], Any]) -> tuple[Any, float]:
        """The env's answer, and how many milliseconds it took."""
        begun = time.perf_counter()
        try:
            answer = question() if self._watchdog is None else self._watchdog.call(question)
        except WorldError:
            raise
        except Exception as error:
            if self._watchdog is not None and self._watchdog.hung:
                raise WorldHung(
                    f"World {self.name!r} did not answer {verb} {self._elapsed + 1} in time.",
                    given=f"no answer for {self._watchdog.seconds:g} s",
                    expected="an answer within step_timeout_s",
                    do="look after the world, make a new World (this one may still be acting), and resume.",
                ) from error
            raise self._broken(f"{verb} raised {type(error).__name__}", error) from error
        return answer, (time.perf_counter() - begun) * 1000.0

    def _observed(self, observation: Any) -> Any:
        try:
            return fitted(self.observation_space, observation)
        except Misfit as misfit:
            raise self._broken("the observation is not in its space", misfit) from misfit

    def _judged(self, reward: Any, terminated: Any, truncated: Any) -> tuple[float, bool, bool]:
        try:
            number = float(reward)
        except (TypeError, ValueError) as error:
            raise self._broken("the reward is not a number", reward) from error
        if not math.isfinite(number):
            raise self._broken("the reward is not finite", reward)
        return number, bool(terminated), bool(truncated)

    def _settled(self, price: Cost, info: dict[str, Any], duration_ms: float) -> Cost:
        """What was really spent: as the env reports it, else by the clock, else as priced."""
        reported = info.pop("cost", None)
        if isinstance(reported, Mapping):
            try:
                return Cost({name: operator.index(amount) for name, amount in reported.items()})
            except (TypeError, ConfigError) as error:
                raise self._broken("the cost that it reports is not in whole minor units", reported) from error
        if reported is not None:
            info["env_cost"] = reported
        if CLOCK in price:
            return Cost({**price, CLOCK: math.ceil(duration_ms)})
        return price

    def _write_success(
        self, observation: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]
    ) -> None:
        own = info.pop("is_success", None)
        known = info.pop("success", own)
        if self._success is not None:
            known = self._success(observation, reward, terminated, truncated, info)
        if known is not None:
            info["success"] = info["is_success"] = bool(known)

    def _check_task(self, task: Any) -> None:
        if task is None:
            return
        known = self.tasks is not None and (
            self.tasks.contains(task) if isinstance(self.tasks, gym.Space) else task in self.tasks
        )
        if not known:
            raise ConfigError(
                f"World {self.name!r} does not have this task.",
                given=task,
                expected="no task: it has none" if self.tasks is None else f"one of {self.tasks}",
                do="declare World(..., tasks=...), or leave the task out.",
            )

    def _broken(self, how: str, given: Any) -> WorldError:
        return WorldError(
            f"World {self.name!r} broke its contract at step {self._elapsed + 1}: {how}.",
            given=" ".join(str(given).split()).rstrip(".")[:300],
            expected="answers within the env's spaces, finite and in time",
            do="look into the env; what was paid for is recorded, and the run can be resumed.",
        )


def make_env(env_id: str, **options: Any) -> gym.Env[Any, Any]:
    """Makes a Gymnasium env, without Gymnasium's own checker: `World` checks every answer.

    Raises:
        ConfigError: Gymnasium does not know the id or the options, or something it needs is not installed.
    """
    try:
        return gym.make(env_id, disable_env_checker=True, **options)
    except (gym.error.Error, ImportError, TypeError) as error:
        raise ConfigError(
            f"Gymnasium cannot make the world {env_id!r}.",
            given=str(error).rstrip("."),
            do="see gedanken.worlds.registry.names().",
        ) from error


def _time_limit(env: gym.Env[Any, Any]) -> int | None:
    if env.has_wrapper_attr("_max_episode_steps"):
        limit: int | None = env.get_wrapper_attr("_max_episode_steps")
        return limit
    return env.spec.max_episode_steps if env.spec is not None else None
