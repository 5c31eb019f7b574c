"""Going back to a state that was paid for, and trying other actions from there: what no log can tell.

Only a world that can be put back can do this (`World.snapshot`). `Visits` draws states of an episode while it is acted
and paid for anyway; `branch` returns to each and acts out other actions, every step paid through the ledger and
recorded like any other. The world's randomness is put back too, so branches of one state differ by their actions alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gedanken.errors import BudgetRefused, ConfigError, WorldError
from gedanken.experience.transition import Episode, Transition
from gedanken.worlds.act import Record, act
from gedanken.worlds.ledger import Ledger
from gedanken.worlds.snapshots import Snapshot
from gedanken.worlds.world import World

BRANCHING = "branch"
"""The behaviour policy of branches, in the record."""


@dataclass(frozen=True)
class Visited:
    """A state that the world can be put back to.

    `group`, the unit of intervals, is the seed of the episode it was met in; in the record, the seed of the branches.
    """

    snapshot: Snapshot
    observation: Any
    group: int


class Visits:
    """Draws states of one episode, each step with the same chance; `act(..., on_step=visits)` shows it the steps.

    taken: at most as many as were asked for, and none behind the last step. reason: why the world cannot be put back;
    empty where it can.
    """

    def __init__(self, world: World, *, states: int, group: int, seed: int) -> None:
        self.taken: list[Visited] = []
        self.reason = ""
        self._world, self._states, self._group = world, states, group
        self._draws, self._seen = np.random.default_rng(seed), 0

    def __call__(self, transition: Transition) -> None:
        """Looks at the state behind a step, and may keep it (reservoir sampling)."""
        if self.reason or transition.terminated or transition.truncated:
            return
        self._seen += 1
        place = len(self.taken) if len(self.taken) < self._states else int(self._draws.integers(self._seen))
        if place >= self._states:
            return
        try:
            snapshot = self._world.snapshot()
        except WorldError as error:
            self.reason = str(error)
            return
        self.taken[place : place + 1] = [Visited(snapshot, copy.deepcopy(transition.next_observation), self._group)]


@dataclass(frozen=True)
class Fork:
    """What other actions brought from one state: episodes of at most as many steps as were asked for."""

    group: int
    episodes: tuple[Episode, ...]


@dataclass(frozen=True)
class Branches:
    """All forks with two episodes or more. `reason` says why some are missing; `paid` counts steps."""

    forks: tuple[Fork, ...]
    paid: int
    reason: str = ""


def branch(
    world: World,
    ledger: Ledger,
    record: Record,
    visited: Sequence[Visited],
    *,
    actions: int = 4,
    steps: int = 10,
    account: str,
    seed: int,
    first_index: int,
    run_id: str,
) -> Branches:
    """Returns to each state and holds each of some random actions for some steps.

    Args:
        world: the world that the states were visited in.
        ledger, record: pay and take down every step.
        visited: where to return to.
        actions: how many branches a state has, 2 or more.
        steps: how long each action is held.
        account: the ledger's account that pays.
        seed: of the actions.
        first_index: the first free episode index of this run and account; a branch uses one each.
        run_id: the run.

    Returns:
        What was paid for. Where the budget ends, what it was enough for, and the reason.

    Raises:
        ConfigError: fewer than two actions, or no step.
        LedgerError, WorldError: as in `gedanken.worlds.act`.
    """
    if actions < 2 or steps < 1:
        raise ConfigError(
            "Branches are compared with each other.",
            given=f"actions={actions}, steps={steps}",
            expected="two actions or more, one step or more",
        )
    space = copy.deepcopy(world.action_space)
    space.seed(seed)
    forks, index, paid, reason = [], first_index, 0, ""
    for state in visited:
        fork, episodes = world.forked(state.snapshot, state.observation), []
        try:
            for _ in range(actions):
                held = space.sample()
                episodes.append(
                    act(
                        fork,
                        ledger,
                        record,
                        lambda _, __, held=held: (held, None),  # type: ignore[misc]
                        account=account,
                        seed=state.group,
                        episode_index=index,
                        max_steps=steps,
                        policy_id=BRANCHING,
                        run_id=run_id,
                    )
                )
                index += 1
        except BudgetRefused as refused:
            reason = (
                f"the budget ended after {index - first_index} of {len(visited) * actions} branches: {refused.what}"
            )
        paid += sum(len(episode) for episode in episodes)
        if len(episodes) > 1:
            forks.append(Fork(state.group, tuple(episodes)))
        if reason:
            break
    return Branches(tuple(forks), paid, reason)


def branches_on_record(episodes: Iterable[Episode]) -> Branches:
    """The branches among recorded episodes. Those that begin alike in an episode of the same seed are of one state."""
    forks: dict[tuple[int | None, bytes], list[Episode]] = {}
    for episode in episodes:
        if episode.header.policy == BRANCHING and episode.complete:
            forks.setdefault((episode.header.seed, episode.observations[0].tobytes()), []).append(episode)
    found = tuple(Fork(seed or 0, tuple(fork)) for (seed, _), fork in forks.items() if len(fork) > 1)
    return Branches(found, sum(len(episode) for fork in forks.values() for episode in fork))
