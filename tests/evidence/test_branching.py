from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.evidence.branching import BRANCHING, Branches, Visits, branch
from gedanken.experience.transition import Transition
from gedanken.worlds.ledger import Ledger
from gedanken.worlds.world import World
from tests.evidence.forkable import visit, world_of
from tests.fakes import AnalyticEnv, double_integrator, falling_pole
from tests.worlds.ledgers import RUN, charged, opened
from tests.worlds.records import MemoryRecord


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path, learn=100) as ledger:
        yield ledger


@pytest.fixture
def record() -> MemoryRecord:
    return MemoryRecord()


def branched(world: World, ledger: Ledger, record: MemoryRecord, visited: list, **options: int) -> Branches:
    settings = {"actions": 3, "steps": 4, "seed": 0, "first_index": 0, **options}
    return branch(world, ledger, record, visited, account="learn", run_id=RUN, **settings)


def test_branches_start_where_the_state_was_and_every_step_is_paid_and_recorded(
    ledger: Ledger, record: MemoryRecord
) -> None:
    world = world_of(double_integrator(noise=0.3))
    visited, _ = visit(world, ledger, record)
    before = len(record.headers)
    found = branched(world, ledger, record, visited)
    assert [fork.group for fork in found.forks] == [0, 0, 1, 1, 2, 2] and found.reason == ""
    for state, fork in zip(visited, found.forks, strict=True):
        assert all(np.array_equal(episode.observations[0], state.observation) for episode in fork.episodes)
        assert all(len(episode) == 4 and len(np.unique(episode.actions)) == 1 for episode in fork.episodes)
        assert len({float(episode.actions[0, 0]) for episode in fork.episodes}) == 3
    assert found.paid == 6 * 3 * 4 == charged(ledger, "learn") and charged(ledger, "check") == 30
    assert len(record.headers) == before + 18
    assert sum(header.policy == BRANCHING for header in record.headers.values()) == 18
    assert all(header.world == "analytic" for header in record.headers.values())


def test_branches_of_one_state_meet_the_same_noise(ledger: Ledger, record: MemoryRecord) -> None:
    """So their difference is what the actions make, exactly."""
    model = double_integrator(noise=0.5)
    world = world_of(model)
    visited, _ = visit(world, ledger, record, episodes=1, states=1)
    one, other = branched(world, ledger, record, visited, actions=2, steps=1).forks[0].episodes
    apart = (one.actions - other.actions)[0] / 2.0 @ np.asarray(model.control)  # actions of [-2, 2] become [-1, 1]
    assert one.observations[1] - other.observations[1] == pytest.approx(apart, abs=1e-5)


def test_states_are_drawn_evenly_and_never_behind_an_end(ledger: Ledger, record: MemoryRecord) -> None:
    world = world_of(double_integrator())
    world.reset(seed=0)
    counts = np.zeros(10)
    for seed in range(400):
        visits = Visits(world, states=2, group=0, seed=seed)
        for step in range(11):
            here = np.full(2, step, np.float32)
            visits(Transition(here, 0, 0.0, False, step == 10, here))
        assert len(visits.taken) == 2
        for state in visits.taken:
            counts[int(state.observation[0])] += 1
    assert counts.sum() == 800 and counts.min() > 50 and counts.max() < 110


def test_what_the_budget_is_not_enough_for_is_left_out_and_said(ledger: Ledger, record: MemoryRecord) -> None:
    world = world_of(double_integrator())
    visited, _ = visit(world, ledger, record, episodes=5, states=2)
    found = branched(world, ledger, record, visited, actions=4, steps=5)
    assert found.paid == 100 == charged(ledger, "learn")
    assert len(found.forks) == 5 and "20 of 40 branches" in found.reason


def test_a_branch_ends_where_its_episode_ends(ledger: Ledger, record: MemoryRecord) -> None:
    world = world_of(falling_pole(limit=0.1), discrete=True)
    visited, _ = visit(world, ledger, record, episodes=4, states=1)
    found = branched(world, ledger, record, visited, actions=2, steps=10)
    lengths = [len(episode) for fork in found.forks for episode in fork.episodes]
    assert min(lengths) < 10 and found.paid == sum(lengths) == charged(ledger, "learn")


def test_a_world_that_cannot_be_put_back_says_why_and_costs_nothing_more(ledger: Ledger, record: MemoryRecord) -> None:
    plain = World(AnalyticEnv(horizon=20), {"steps": 1}, name="analytic").with_horizon(20)
    visited, reason = visit(plain, ledger, record, episodes=1)
    assert visited == [] and "cannot be" in reason
    assert branched(plain, ledger, record, visited) == Branches((), 0)
    assert charged(ledger, "learn") == 0


@pytest.mark.parametrize("options", [{"actions": 1}, {"steps": 0}])
def test_branches_that_cannot_be_compared_are_refused(
    ledger: Ledger, record: MemoryRecord, options: dict[str, int]
) -> None:
    with pytest.raises(ConfigError, match="compared with each other"):
        branched(world_of(double_integrator()), ledger, record, [], **options)
