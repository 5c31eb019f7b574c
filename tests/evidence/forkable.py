"""The linear system as a world that can be put back, and states of it that were paid for."""

from __future__ import annotations

from typing import Any

from gedanken.evidence.branching import Visited, Visits
from gedanken.worlds.act import act
from gedanken.worlds.ledger import Ledger
from gedanken.worlds.world import World
from tests.fakes import AnalyticEnv, AnalyticModel
from tests.worlds.ledgers import RUN
from tests.worlds.records import MemoryRecord


class ForkableEnv(AnalyticEnv):
    """An `AnalyticEnv` with snapshots of its own."""

    def snapshot(self) -> Any:
        return self._observation.copy(), self._age

    def restore(self, snapshot: Any) -> None:
        observation, self._age = snapshot
        self._observation = observation.copy()


def world_of(model: AnalyticModel, *, horizon: int = 20, discrete: bool = False) -> World:
    env = ForkableEnv(model, horizon=horizon, discrete=discrete)
    return World(env, {"steps": 1}, name="analytic").with_horizon(horizon)


def visit(
    world: World, ledger: Ledger, record: MemoryRecord, *, episodes: int = 3, states: int = 2
) -> tuple[list[Visited], str]:
    """Random episodes, paid from `check`, and states drawn from them; why not, where the world cannot be put back.

    They stop half-way, so that branches have room before the world's own limit.
    """
    world.action_space.seed(0)
    found: list[Visited] = []
    for index in range(episodes):
        visits = Visits(world, states=states, group=index, seed=index)
        names = {"account": "check", "policy_id": "random", "run_id": RUN}
        half = (world.max_episode_steps or 0) // 2
        act(
            world,
            ledger,
            record,
            lambda _, __: (world.action_space.sample(), None),
            seed=index,
            episode_index=index,
            max_steps=half,
            on_step=visits,
            **names,
        )
        found += visits.taken
        if visits.reason:
            return found, visits.reason
    return found, ""
