"""One episode for real: reserve, act, record, commit.

The world is paid in billing units. Before a unit's first step its worst case is reserved; after its last step the
transitions are recorded, and only then is the unit committed. So at every instant the ledger charges at least what the
world was asked for, and what the ledger calls committed is in the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from gedanken.errors import BudgetRefused, LedgerError
from gedanken.experience.cost import Cost
from gedanken.experience.faults import kill_point
from gedanken.experience.transition import Episode, EpisodeHeader, Outcome, Transition
from gedanken.worlds import identity
from gedanken.worlds.ledger import Ledger
from gedanken.worlds.world import World

INTERRUPTED = "interrupted"
"""The failure mode of an episode whose process, policy or world gave up before it ended."""

BUDGET_SPENT = "budget spent"
"""The failure mode of an episode that was truncated because nothing was left to pay its next step with."""

Policy = Callable[[Any, int], Any]
"""(observation, step index) -> action, or (action, its log-probability). An action that is a tuple needs the pair."""


class Record(Protocol):
    """Where an episode is written down. What `append` has returned for is on the disk."""

    def begin(self, header: EpisodeHeader) -> object: ...

    def append(self, episode_id: str, transitions: list[Transition]) -> object: ...

    def end(self, episode_id: str, outcome: Outcome) -> object: ...


def act(
    world: World,
    ledger: Ledger,
    record: Record,
    policy: Policy,
    *,
    account: str,
    seed: int,
    episode_index: int,
    max_steps: int | None = None,
    task: Mapping[str, Any] | None = None,
    policy_id: str,
    run_id: str,
    on_step: Callable[[Transition], object] | None = None,
) -> Episode:
    """Runs one episode in the real world, pays for it and records it.

    Where the budget has less than a whole billing unit left, the unit shrinks to what is left; where nothing is left,
    the episode ends truncated, with the failure mode "budget spent".

    Args:
        world: the world to act in.
        ledger: pays.
        record: takes down every transition.
        policy: chooses the actions.
        account: the ledger's account that pays.
        seed: of the world's reset.
        episode_index: counts the episodes of this run and account; with the seed and the task it makes the id.
        max_steps: truncates the episode after so many steps.
        task: passed to the world's reset.
        policy_id: names the behaviour policy in the record.
        run_id: the run.
        on_step: called after every step.

    Returns:
        The whole episode.

    Raises:
        BudgetRefused: nothing is left for the first step; no episode was begun.
        LedgerError: this episode was begun before (episodes are never run twice; see `gedanken.worlds.resume`), or the
            ledger cannot be written.
        WorldError: the world failed. What had happened is recorded, the unit is unknown, the episode is closed as
            interrupted. Whatever policy or `on_step` raise closes it as well; the unit is then paid as it was.
    """
    header = EpisodeHeader(
        episode_id=identity.episode_id(
            world=world.name, run=run_id, account=account, task=task, seed=seed, index=episode_index
        ),
        world=world.name,
        policy=policy_id,
        account=account,
        task=task,
        seed=seed,
    )
    acting = _Acting(world, ledger, record, policy, header, run_id, episode_index, max_steps, on_step)
    outcome = Outcome(failure_mode=INTERRUPTED, labelled_by="gedanken")
    try:
        acting.reset()
        while acting.upcoming is not None:
            acting.run_unit()
        outcome = acting.outcome()
    finally:
        if acting.begun:
            record.end(header.episode_id, outcome)
    kill_point("act.ended")
    return _episode(world, header, acting.transitions, outcome)


@dataclass
class _Acting:
    """An episode on its way. `upcoming` is the next action with its log-probability, None when there is none."""

    world: World
    ledger: Ledger
    record: Record
    policy: Policy
    header: EpisodeHeader
    run_id: str
    episode_index: int
    max_steps: int | None
    on_step: Callable[[Transition], object] | None
    transitions: list[Transition] = field(default_factory=list)
    upcoming: tuple[Any, float | None] | None = None
    begun: bool = False
    spent_up: bool = False
    _observation: Any = None
    _info: dict[str, Any] = field(default_factory=dict)
    _units: int = 0

    def reset(self) -> None:
        """Begins the episode; a reset that is not free is a billing unit of its own."""
        self._refuse_repetition()
        options = None if self.header.task is None else {"task": dict(self.header.task)}
        if not self.world.free_reset:
            self._reserve(self.world.reset_price, 1)
        actual = None
        try:
            self._observation, info = self.world.reset(seed=self.header.seed, options=options)
            actual = Cost(info["cost"])
        finally:
            if not self.world.free_reset:
                self._settle(actual, {"reset": True})
        self.upcoming = self._choose()

    def _refuse_repetition(self) -> None:
        last = self.ledger.last(self._action_id())
        if last is not None and last.kind != "release":
            raise LedgerError(
                "This episode was begun before, and an episode is never run twice.",
                given=f"{self.header.episode_id}, whose last entry is {last.kind!r}",
                expected="an episode that is new",
                do="go on at gedanken.worlds.resume.next_episode_index(ledger, account).",
            )

    def run_unit(self) -> None:
        """Reserves a billing unit, acts it out, records it and commits it."""
        assert self.upcoming is not None
        price = self.world.price(self.upcoming[0])
        try:
            steps = self._reserve(price, self._whole_unit())
        except BudgetRefused:
            if not self.transitions:
                raise
            # There was enough when the last unit was closed, and somebody else has taken it since.
            self._stop(self.transitions)
            return
        done: list[Transition] = []
        asked = False  # whether the world has been asked for a step that it has not answered
        try:
            while self.upcoming is not None and len(done) < steps:
                (action, log_probability), self.upcoming = self.upcoming, None
                asked = True
                observation, reward, terminated, truncated, self._info = self.world.step(action)
                asked = False
                truncated = truncated or len(self.transitions) + len(done) + 1 == self.max_steps
                done.append(
                    Transition(
                        observation=self._observation,
                        action=action,
                        reward=reward,
                        terminated=terminated,
                        truncated=truncated,
                        next_observation=observation,
                        cost=Cost(self._info["cost"]),
                        duration_ms=self.world.duration_ms,
                        log_probability=log_probability,
                        action_id=self._action_id(),
                    )
                )
                kill_point("act.stepped")
                self._observation = observation
                if self.on_step is not None:
                    self.on_step(done[-1])
                if not (terminated or truncated):
                    self.upcoming = self._choose(len(done))
        finally:
            self._close_unit(done, price.times(steps), asked)

    def outcome(self) -> Outcome:
        """How the episode ended, by what the world said at its last step."""
        success = self._info.get("success")
        return Outcome(
            success=success,
            failure_mode=BUDGET_SPENT if self.spent_up else None,
            labelled_by=None if success is None else "world",
        )

    def _stop(self, done: list[Transition]) -> None:
        """Truncates the episode behind the last of `done`, because nothing is left."""
        done[-1] = replace(done[-1], truncated=True)
        self.upcoming, self.spent_up = None, True

    def _close_unit(self, done: list[Transition], at_most: Cost, in_doubt: bool) -> None:
        actual = sum((transition.cost for transition in done), Cost())
        if self.upcoming is not None:
            back = Cost({name: max(0, amount - actual.of(name)) for name, amount in at_most.items()})
            if self._steps_left(self.world.price(self.upcoming[0]), 1, back) < 1:
                self._stop(done)
        self.transitions += done
        recorded = False
        try:
            if done:
                self.record.append(self.header.episode_id, done)
            kill_point("act.recorded")
            recorded = True
        finally:
            # What is in doubt, or could not be recorded, stays charged in full until somebody looks into it.
            self._settle(
                actual if recorded and not in_doubt else None,
                {"steps": len(done), "return": sum(transition.reward for transition in done)},
            )
        kill_point("act.committed")

    def _settle(self, actual: Cost | None, outcome: Mapping[str, Any]) -> None:
        action_id = self._action_id()
        self._units += 1
        if actual is None:
            self.ledger.unknown(action_id, "the world failed, or what it did could not be recorded")
        else:
            self.ledger.commit(action_id, actual, outcome)

    def _reserve(self, price: Cost, steps: int) -> int:
        """Reserves as many of `steps` steps as the budget allows, at least one; begins the record with the first."""
        action_id = self._action_id()
        while True:
            # At least one, so that a refusal comes from the ledger and says what was left.
            count = max(1, min(steps, self._steps_left(price, steps)))
            digest = identity.digest_of(
                {
                    "world": self.world.name,
                    "policy": self.header.policy,
                    "task": self.header.task,
                    "seed": self.header.seed,
                    "price": dict(price),
                    "steps": count,
                }
            )
            note = {"episode_index": self.episode_index, "steps": count}
            try:
                self.ledger.reserve(action_id, digest, price.times(count), account=self.header.account, note=note)
            except BudgetRefused:
                if self._steps_left(price, steps) < 1:
                    raise
                continue  # somebody else took a part of it in between
            break
        kill_point("act.reserved")
        if not self.begun:
            try:
                self.record.begin(self.header)
                self.begun = True
            finally:
                if not self.begun:
                    self.ledger.release(action_id, "the record could not be begun, so nothing was done")
        return count

    def _whole_unit(self) -> int:
        """How many steps the next billing unit would have with enough money."""
        behind, horizon = len(self.transitions), self.world.max_episode_steps
        left = [limit - behind for limit in (horizon, self.max_steps) if limit is not None]
        if self.world.unit == "episode" and left:
            return max(1, min(left))
        return max(1, min([self.world.unit_steps, *left]))

    def _steps_left(self, price: Cost, most: int, back: Cost | None = None) -> int:
        """How many of `most` steps at `price` the account can pay, if `back` comes back to it first."""
        left = self.ledger.balance(self.header.account).left
        affordable = [(left[name] + (back or Cost()).of(name)) // price[name] for name in left if price.of(name)]
        return min([most, *affordable])

    def _choose(self, ahead: int = 0) -> tuple[Any, float | None]:
        """Asks the policy for the next action; `ahead` steps are done and not yet in `transitions`."""
        answer = self.policy(self._observation, len(self.transitions) + ahead)
        action, log_probability = answer if isinstance(answer, tuple) else (answer, None)
        return self.world.fitted_action(action), None if log_probability is None else float(log_probability)

    def _action_id(self) -> str:
        return identity.unit_id(self.header.episode_id, self._units)


def _episode(world: World, header: EpisodeHeader, transitions: Sequence[Transition], outcome: Outcome) -> Episode:
    observations = [transitions[0].observation, *(transition.next_observation for transition in transitions)]
    resources = sorted({name for transition in transitions for name in transition.cost})
    unknown = float("nan")
    return Episode(
        header=header,
        observations=_column(world.observation_space, observations),
        actions=_column(world.action_space, [transition.action for transition in transitions]),
        rewards=np.array([transition.reward for transition in transitions], np.float64),
        terminated=np.array([transition.terminated for transition in transitions], np.bool_),
        truncated=np.array([transition.truncated for transition in transitions], np.bool_),
        costs={name: np.array([t.cost.of(name) for t in transitions], np.int64) for name in resources},
        durations_ms=np.array([unknown if t.duration_ms is None else t.duration_ms for t in transitions]),
        log_probabilities=np.array([unknown if t.log_probability is None else t.log_probability for t in transitions]),
        outcome=outcome,
    )


def _column(space: gym.Space[Any], values: Sequence[Any]) -> np.ndarray:
    """One array where the space has numbers of one shape, else an array of the objects themselves."""
    if space.shape is not None and space.dtype is not None:
        return np.array(values, space.dtype)
    column = np.empty(len(values), object)
    column[:] = values
    return column
