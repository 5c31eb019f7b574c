"""One episode for real: reserved before, recorded and committed after, whatever fails in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gedanken.errors import BudgetRefused, ConfigError, LedgerError, StoreError, WorldError, WorldHung
from gedanken.experience.cost import Budget, Cost
from gedanken.experience.transition import Episode, Outcome, Transition
from gedanken.worlds.act import BUDGET_SPENT, INTERRUPTED, act
from gedanken.worlds.ledger import Ledger
from gedanken.worlds.world import World
from tests.worlds.envs import Scripted, informing, raising, replaced, sleeping
from tests.worlds.ledgers import RUN, opened
from tests.worlds.records import MemoryRecord


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path, learn=20) as ledger:
        yield ledger


@pytest.fixture
def record() -> MemoryRecord:
    return MemoryRecord()


def world_of(length: int = 5, faults: Any = None, prices: Any = None, horizon: int = 8, **options: Any) -> World:
    return World(Scripted(length, faults), prices or {"steps": 1}, name="w", **options).with_horizon(horizon)


def policy(observation: np.ndarray, step: int) -> np.ndarray:
    assert observation.tolist() == [step, step]
    return np.array([step / 10])


def run(world: World, ledger: Ledger, record: Any, chooses: Any = policy, index: int = 0, **options: Any) -> Episode:
    names = {"account": "learn", "policy_id": "p", "run_id": RUN}
    return act(world, ledger, record, chooses, seed=index, episode_index=index, **(names | options))


def log(ledger: Ledger) -> list[tuple[str, int]]:
    """(kind, steps) of every entry behind the first."""
    return [(entry.kind, entry.cost.of("steps")) for entry in ledger.entries()][1:]


def test_an_episode_is_recorded_and_paid(ledger: Ledger, record: MemoryRecord) -> None:
    seen: list[Transition] = []
    episode = run(world_of(), ledger, record, on_step=seen.append)

    assert episode.observations.tolist() == [[n, n] for n in range(6)]
    assert episode.actions[:, 0] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert episode.rewards == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert episode.terminated.tolist() == [False] * 4 + [True]
    assert not episode.truncated.any()
    assert episode.costs["steps"].tolist() == [1] * 5
    assert (episode.durations_ms > 0).all() and np.isnan(episode.log_probabilities).all()
    assert episode.complete and len(episode) == 5

    header = episode.header
    assert (header.world, header.policy, header.account, header.seed) == ("w", "p", "learn", 0)
    assert record.headers == {header.episode_id: header}
    assert record.steps[header.episode_id] == seen
    assert record.outcomes == {header.episode_id: Outcome()}
    assert log(ledger) == [("reserve", 8), ("commit", 5)], "the unit is the episode, at most 8 steps long"
    assert {step.action_id for step in seen} == {f"{header.episode_id}-u0"}
    assert list(ledger.entries())[-1].detail["outcome"] == {"steps": 5, "return": pytest.approx(1.0)}


@pytest.mark.parametrize(
    ("unit", "entries", "appended"),
    [
        ("step", [("reserve", 1), ("commit", 1)] * 5, [1] * 5),
        (2, [("reserve", 2), ("commit", 2)] * 2 + [("reserve", 2), ("commit", 1)], [2, 2, 1]),
        (100, [("reserve", 8), ("commit", 5)], [5]),
    ],
)
def test_billing_units(ledger: Ledger, record: MemoryRecord, unit: Any, entries: Any, appended: Any) -> None:
    run(world_of(unit=unit), ledger, record)
    assert log(ledger) == entries
    assert record.appended == appended


def test_it_is_reserved_before_the_world_moves_and_committed_after_the_record(
    ledger: Ledger, record: MemoryRecord
) -> None:
    calls: list[str] = []

    def noting(thing: Any, name: str, label: str) -> None:
        real = getattr(thing, name)
        setattr(thing, name, lambda *args, **named: (calls.append(label), real(*args, **named))[1])

    world = world_of(unit=3)
    noting(ledger, "reserve", "reserve")
    noting(ledger, "commit", "commit")
    noting(world.env, "step", "step")
    for name in ("begin", "append", "end"):
        noting(record, name, name)
    run(world, ledger, record)
    first = ["reserve", "begin", "step", "step", "step", "append", "commit"]
    assert calls == [*first, "reserve", "step", "step", "append", "commit", "end"]


def test_the_last_unit_shrinks_to_what_is_left_and_the_episode_ends_truncated(
    ledger: Ledger, record: MemoryRecord
) -> None:
    for index in range(3):
        run(world_of(6), ledger, record, index=index)
    episode = run(world_of(6), ledger, record, index=3)
    assert log(ledger)[-2:] == [("reserve", 2), ("commit", 2)]
    assert episode.truncated.tolist() == [False, True] and not episode.terminated.any()
    assert record.outcomes[episode.header.episode_id] == Outcome(failure_mode=BUDGET_SPENT)
    assert record.steps[episode.header.episode_id][-1].truncated, "the record says so too"
    with pytest.raises(BudgetRefused):
        run(world_of(6), ledger, record, index=4)
    assert len(record.headers) == 4, "an episode that nothing could be paid for was not begun"
    assert ledger.balance("learn").left == Budget(steps=0)


def test_an_episode_that_ends_with_its_budget_is_not_cut(ledger: Ledger, record: MemoryRecord) -> None:
    for index in range(4):
        episode = run(world_of(5), ledger, record, index=index)
    assert episode.terminated[-1] and not episode.truncated.any()
    assert record.outcomes[episode.header.episode_id] == Outcome()


def test_what_a_unit_did_not_use_pays_for_the_next(tmp_path: Path, record: MemoryRecord) -> None:
    world = world_of(5, prices={"milliseconds": 1000}, unit=2)
    with opened(tmp_path, budgets={"learn": Budget(milliseconds=2500)}) as ledger:
        assert len(run(world, ledger, record)) == 5
        assert ledger.balance("learn").spent.of("milliseconds") < 500


def test_somebody_else_takes_the_last_step(ledger: Ledger, record: MemoryRecord) -> None:
    ledger.reserve("other", "digest", Cost(steps=16), account="learn")
    real = ledger.commit

    def commit(action_id: str, *args: Any) -> None:
        real(action_id, *args)
        if len(record.appended) == 2:
            ledger.reserve("thief", "digest", ledger_left(ledger), account="learn")

    ledger.commit = commit  # type: ignore[method-assign]
    episode = run(world_of(5, unit="step"), ledger, record)
    assert len(episode) == 2 and episode.truncated.tolist() == [False, True]
    assert record.outcomes[episode.header.episode_id].failure_mode == BUDGET_SPENT


def ledger_left(ledger: Ledger) -> Cost:
    return Cost(dict(ledger.balance("learn").left))


def test_max_steps_truncates_and_does_not_ask_for_another_action(ledger: Ledger, record: MemoryRecord) -> None:
    asked: list[int] = []

    def counting(observation: Any, step: int) -> np.ndarray:
        asked.append(step)
        return policy(observation, step)

    episode = run(world_of(5), ledger, record, counting, max_steps=3)
    assert (episode.truncated.tolist(), asked) == ([False, False, True], [0, 1, 2])
    assert log(ledger) == [("reserve", 3), ("commit", 3)]


def test_a_world_without_a_limit_needs_max_steps_for_the_unit_of_an_episode(
    ledger: Ledger, record: MemoryRecord
) -> None:
    world = World(Scripted(5), {"steps": 1})
    with pytest.raises(ConfigError, match="no limit"):
        run(world, ledger, record)
    assert log(ledger) == [] and record.headers == {}
    assert len(run(world, ledger, record, max_steps=7)) == 5


def test_log_probabilities_and_tasks_and_success(ledger: Ledger, record: MemoryRecord) -> None:
    world = world_of(2, {2: informing(success=True)}, tasks=[{"goal": 1}])
    episode = run(world, ledger, record, lambda o, s: (policy(o, s), -0.5 * s), task={"goal": 1})
    assert episode.log_probabilities.tolist() == [0, -0.5]
    assert episode.header.task == {"goal": 1}
    assert episode.outcome == Outcome(success=True, labelled_by="world")


def test_an_episode_is_never_run_twice(ledger: Ledger, record: MemoryRecord) -> None:
    world = world_of()
    run(world, ledger, record)
    with pytest.raises(LedgerError, match="never run twice"):
        run(world, ledger, record)
    assert len(world.unwrapped.actions) == 5, "the world was not touched"
    assert len(world.unwrapped.seeds) == 1
    assert list(record.outcomes.values()) == [Outcome()], "the episode stays as it was"


FAILURES = {
    "raises": (raising(OSError("unplugged")), WorldError),
    "NaN": (replaced(1, float("nan")), WorldError),
    "hangs": (sleeping(5.0), WorldHung),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_world_that_fails_leaves_its_unit_unknown(ledger: Ledger, record: MemoryRecord, case: str) -> None:
    fault, error = FAILURES[case]
    world = world_of(8, {6: fault}, unit=4, step_timeout_s=0.2)
    with pytest.raises(error):
        run(world, ledger, record)
    assert log(ledger) == [("reserve", 4), ("commit", 4), ("reserve", 4), ("unknown", 4)]
    (episode_id,) = record.headers
    assert len(record.steps[episode_id]) == 5, "what had happened is recorded"
    assert record.outcomes[episode_id].failure_mode == INTERRUPTED
    assert [open_.action_id for open_ in ledger.unknowns()] == [f"{episode_id}-u1"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("policy"), ConfigError("limit")])
@pytest.mark.parametrize("where", ["policy", "on_step", "action"])
def test_whoever_stops_it_between_two_steps_pays_for_what_was_done(
    ledger: Ledger, record: MemoryRecord, where: str, error: BaseException
) -> None:
    def stops(observation: Any, step: int) -> Any:
        if step == 3 and where == "policy":
            raise error
        return np.array([9.0]) if step == 3 and where == "action" else policy(observation, step)

    def on_step(transition: Transition) -> None:
        if transition.next_observation[0] == 3 and where == "on_step":
            raise error

    with pytest.raises(ConfigError if where == "action" else type(error)):
        run(world_of(), ledger, record, stops, on_step=on_step)
    assert log(ledger) == [("reserve", 8), ("commit", 3)]
    ((episode_id, steps),) = record.steps.items()
    assert len(steps) == 3
    assert record.outcomes[episode_id].failure_mode == INTERRUPTED


def test_a_policy_that_fails_at_once_costs_nothing(ledger: Ledger, record: MemoryRecord) -> None:
    with pytest.raises(ZeroDivisionError):
        run(world_of(), ledger, record, lambda o, s: 1 // 0)
    assert log(ledger) == [] and record.headers == {}


def test_a_reset_that_fails_costs_nothing_where_resets_are_free(ledger: Ledger, record: MemoryRecord) -> None:
    with pytest.raises(WorldError):
        run(world_of(5, {0: raising(OSError())}), ledger, record)
    assert log(ledger) == [] and record.headers == {}


def test_a_reset_that_is_not_free_is_a_unit_of_its_own(ledger: Ledger, record: MemoryRecord) -> None:
    episode = run(world_of(free_reset=False), ledger, record)
    assert log(ledger) == [("reserve", 1), ("commit", 1), ("reserve", 8), ("commit", 5)]
    assert episode.costs["steps"].sum() == 5
    with pytest.raises(WorldError):
        run(world_of(5, {0: raising(OSError())}, free_reset=False), ledger, record, index=1)
    assert log(ledger)[-2:] == [("reserve", 1), ("unknown", 1)]
    with pytest.raises(LedgerError, match="never run twice"):
        run(world_of(free_reset=False), ledger, record, index=1)


def test_prices_that_depend_on_the_action(tmp_path: Path, record: MemoryRecord) -> None:
    def prices(action: Any) -> Cost:
        return Cost(micro_usd=round(100 * float(action[0])))

    with opened(tmp_path, budgets={"learn": Budget(micro_usd=75)}) as ledger:
        episode = run(world_of(5, prices=prices, unit="step"), ledger, record)
        assert episode.costs["micro_usd"].tolist() == [0, 10, 20, 30]
        assert episode.truncated.tolist() == [False] * 3 + [True], "40 more would not have fitted"
        assert ledger.balance("learn").spent == Cost(micro_usd=60)


def test_a_world_that_costs_more_than_its_price_is_charged_and_stopped(ledger: Ledger, record: MemoryRecord) -> None:
    world = world_of(5, {2: informing(cost={"steps": 9})}, unit="step")
    with pytest.raises(WorldError, match="cost more than the most"):
        run(world, ledger, record)
    assert ledger.balance("learn").spent == Cost(steps=10)
    assert [step.cost.of("steps") for step in next(iter(record.steps.values()))] == [1, 9]


def test_a_record_that_cannot_be_written(ledger: Ledger, record: MemoryRecord) -> None:
    record.full = True
    with pytest.raises(StoreError):
        run(world_of(), ledger, record)
    assert log(ledger) == [("reserve", 8), ("release", 0)], "it could not be begun, so nothing was done"
    record.full = False
    world = world_of()
    with pytest.raises(StoreError):
        run(world, ledger, record, on_step=lambda step: setattr(record, "full", True))
    assert len(world.unwrapped.actions) == 5
    assert log(ledger)[-2:] == [("reserve", 8), ("unknown", 8)], "paid for, and not recorded: somebody must look"


def test_worlds_whose_observations_are_text(tmp_path: Path, record: MemoryRecord) -> None:
    import gymnasium as gym

    class Echo(gym.Env[str, str]):
        observation_space = gym.spaces.Text(50)
        action_space = gym.spaces.Text(50)

        def reset(self, *, seed: Any = None, options: Any = None) -> tuple[str, dict[str, Any]]:
            return "hello", {}

        def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
            return action + "x", 1.0, len(action) > 6, False, {}

    with opened(tmp_path) as ledger:
        episode = run(World(Echo(), {"steps": 1}, unit="step"), ledger, record, lambda o, s: o + "y")
    assert episode.observations.tolist() == ["hello", "helloyx", "helloyxyx"]
    assert episode.actions.tolist() == ["helloy", "helloyxy"]
