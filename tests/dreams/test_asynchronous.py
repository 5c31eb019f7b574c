"""Workers are never in two places, and a learner sees what has ended, in that order."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.dreams.asynchronous import Asynchrony, Ending, Result, Run, Simulated, simulate
from gedanken.errors import ConfigError, WorldError

SECONDS = (1.0, 3.0, 60.0)


def act(policy: int, rng: np.random.Generator, worker: int) -> int:
    """Any of the actions; the policy is a count of updates."""
    return int(rng.integers(len(SECONDS)))


def world(action: int, rng: np.random.Generator) -> Result:
    return Result(float(action), SECONDS[action] * float(rng.uniform(0.5, 1.5)))


def exact(action: int, rng: np.random.Generator) -> Result:
    return Result(float(action), SECONDS[action])


def learn(policy: int, runs: list[Run]) -> int:
    return policy + 1


def simulated(asynchrony: Asynchrony, until: float = 100.0, seed: int = 0) -> Simulated[int]:
    return simulate(asynchrony, 0, act, world, learn, until=until, rng=np.random.default_rng(seed))


asynchronies = st.builds(
    Asynchrony,
    workers=st.integers(1, 8),
    batch=st.integers(1, 10),
    time_limit=st.none() | st.floats(0.5, 80.0),
    abandon=st.booleans(),
)


@given(asynchronies, st.floats(1.0, 200.0), st.integers(0, 1_000))
def test_a_worker_is_always_busy_with_one_run(asynchrony: Asynchrony, until: float, seed: int) -> None:
    found = simulated(asynchrony, until, seed)
    everything = sorted([*found.runs, *found.rest], key=lambda run: run.number)
    assert [run.number for run in everything] == list(range(len(everything)))
    for worker in range(asynchrony.workers):
        own = [run for run in everything if run.worker == worker]
        assert own[0].started_at == 0.0 and own[-1].ended_at == until
        assert all(before.ended_at == after.started_at for before, after in itertools.pairwise(own))
    assert sum(run.duration for run in everything) == pytest.approx(asynchrony.workers * until)
    assert all(run.ended_at - run.started_at == pytest.approx(run.duration) for run in everything)


@given(asynchronies, st.integers(0, 1_000))
def test_the_same_seed_is_the_same_run(asynchrony: Asynchrony, seed: int) -> None:
    one, two = simulated(asynchrony, seed=seed), simulated(asynchrony, seed=seed)
    assert one.runs == two.runs and one.updates == two.updates and repr(one.rest) == repr(two.rest)


@given(asynchronies, st.integers(0, 1_000))
def test_runs_are_delivered_in_the_order_in_which_they_end(asynchrony: Asynchrony, seed: int) -> None:
    found = simulated(asynchrony, seed=seed)
    ended = [run.ended_at for run in found.runs]
    assert ended == sorted(ended)
    assert all(run.ending.delivered and math.isfinite(run.reward) for run in found.runs)
    assert all(not run.ending.delivered and math.isnan(run.reward) for run in found.rest)
    assert found.policy == len(found.updates) == len(found.runs) // asynchrony.batch
    assert list(found.updates) == ended[asynchrony.batch - 1 :: asynchrony.batch]


@given(asynchronies, st.integers(0, 1_000))
def test_a_run_knows_how_old_its_policy_is(asynchrony: Asynchrony, seed: int) -> None:
    found = simulated(asynchrony, seed=seed)
    for run in [*found.runs, *found.rest]:
        assert sum(at < run.started_at for at in found.updates) <= run.version
        assert run.version <= sum(at <= run.started_at for at in found.updates)
    if asynchrony.abandon:
        for at, run in enumerate(found.runs):
            assert run.version == at // asynchrony.batch
    else:
        assert all(run.ending is Ending.UNFINISHED for run in found.rest)


def test_one_worker_does_one_thing_after_the_other() -> None:
    batches: list[list[float]] = []

    def told(policy: int, runs: list[Run]) -> int:
        batches.append([run.ended_at for run in runs])
        return policy + 1

    found = simulate(
        Asynchrony(1, 2),
        0,
        lambda policy, rng, worker: policy % 2,
        exact,
        told,
        until=9.0,
        rng=np.random.default_rng(0),
    )
    # Twice the first action, twice the second, and so on; the last one ends with the simulation.
    assert [run.action for run in found.runs] == [0, 0, 1, 1, 0]
    assert batches == [[1.0, 2.0], [5.0, 8.0]]
    assert [run.version for run in found.runs] == [0, 0, 1, 1, 2]
    assert [(run.started_at, run.ending) for run in found.rest] == [(9.0, Ending.UNFINISHED)]


def test_runs_that_end_together_are_taken_in_the_order_in_which_they_began() -> None:
    found = simulate(Asynchrony(3, 3), 0, lambda policy, rng, worker: 0, exact, until=2.0, rng=np.random.default_rng(0))
    assert [run.worker for run in found.runs] == [0, 1, 2, 0, 1, 2]
    assert found.updates == () and found.policy == 0


def test_a_run_at_its_limit_is_delivered_as_it_is() -> None:
    found = simulate(
        Asynchrony(1, 9, time_limit=10.0, timeout_reward=-1.0),
        0,
        lambda policy, rng, worker: 2,
        exact,
        until=25.0,
        rng=np.random.default_rng(0),
    )
    assert [(run.reward, run.duration, run.ending) for run in found.runs] == 2 * [(-1.0, 10.0, Ending.TIMED_OUT)]


def test_an_update_can_abandon_what_an_earlier_policy_began() -> None:
    found = simulate(
        Asynchrony(2, 1, abandon=True),
        0,
        lambda policy, rng, worker: (0, 2)[worker],
        exact,
        learn,
        until=3.0,
        rng=np.random.default_rng(0),
    )
    assert [run.worker for run in found.runs] == [0, 0, 0]
    assert [(run.worker, run.duration, run.ending) for run in found.rest[:3]] == 3 * [(1, 1.0, Ending.ABANDONED)]


def test_workers_that_draw_anew_deliver_by_the_policy_and_those_that_keep_to_one_by_the_inverse_duration() -> None:
    anew = simulate(Asynchrony(50, 1), 0, act, exact, until=6_000.0, rng=np.random.default_rng(0)).runs
    assert np.mean([run.action == 2 for run in anew]) == pytest.approx(1 / 3, abs=0.02)
    kept = simulate(
        Asynchrony(3, 1), 0, lambda policy, rng, worker: worker, exact, until=600.0, rng=np.random.default_rng(0)
    ).runs
    assert [sum(run.action == action for run in kept) for action in range(3)] == [600, 200, 10]


@pytest.mark.parametrize(
    "wrong",
    [{"workers": 0}, {"batch": 0}, {"time_limit": 0.0}, {"time_limit": math.inf}, {"timeout_reward": math.nan}],
)
def test_work_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        Asynchrony(**{"workers": 2, "batch": 2, **wrong})


@pytest.mark.parametrize("until", [0.0, -1.0, math.inf, math.nan])
def test_a_simulation_without_an_end_is_refused(until: float) -> None:
    with pytest.raises(ConfigError):
        simulated(Asynchrony(1, 1), until)


@pytest.mark.parametrize("given", [(1.0, 0.0), (1.0, -1.0), (1.0, math.inf), (1.0, math.nan), (math.nan, 1.0)])
def test_a_world_that_makes_no_sense_is_refused(given: tuple[float, float]) -> None:
    with pytest.raises(WorldError):
        simulate(Asynchrony(1, 1), 0, act, lambda action, rng: Result(*given), until=9.0, rng=np.random.default_rng(0))
