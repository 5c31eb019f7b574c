"""After a crash: what was begun is closed and never run again, and the run goes on behind it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.witness import FileRecord
from gedanken.errors import LedgerError
from gedanken.experience.cost import Cost
from gedanken.experience.store import Experience
from gedanken.experience.transition import EpisodeHeader, Outcome, Transition
from gedanken.worlds.act import INTERRUPTED, act
from gedanken.worlds.resume import close_interrupted, next_episode_index
from gedanken.worlds.world import World
from tests.worlds.envs import Scripted
from tests.worlds.ledgers import RUN, opened
from tests.worlds.records import MemoryRecord


def world_of() -> World:
    return World(Scripted(5), {"steps": 1}, name="w", unit=2)


def run(ledger: object, record: object, index: int, **options: object) -> None:
    names = {"account": "learn", "policy_id": "p", "run_id": RUN, "seed": 0}
    act(world_of(), ledger, record, lambda o, s: np.zeros(1), episode_index=index, **(names | options))  # type: ignore[arg-type]


def test_the_next_episode_is_the_first_that_was_never_begun(tmp_path: Path) -> None:
    record = MemoryRecord()
    with opened(tmp_path, learn=100) as ledger:
        assert next_episode_index(ledger, "learn") == 0
        run(ledger, record, 0)
        run(ledger, record, 4)
        run(ledger, record, 1, account="check")
        ledger.reserve("by hand", "digest", Cost(steps=1), account="learn")
        assert next_episode_index(ledger, "learn") == 5
        assert next_episode_index(ledger, "check") == 2


def step(observation: int, *, over: bool = False) -> Transition:
    at, then = (np.full(2, number, np.float32) for number in (observation, observation + 1))
    return Transition(at, np.zeros(1, np.float32), 1.0, over, False, then, Cost(steps=1), action_id="u")


def store_in(folder: Path) -> Experience:
    env = Scripted()
    return Experience.create(
        folder / "store", observation_space=env.observation_space, action_space=env.action_space, world="w"
    )


@pytest.mark.parametrize("kind", ["store", "file"])
def test_episodes_without_an_end_are_closed(tmp_path: Path, kind: str) -> None:
    record = store_in(tmp_path) if kind == "store" else FileRecord(tmp_path / "record.jsonl")
    for name in ("ended", "over", "cut", "empty"):
        record.begin(EpisodeHeader(name, "w", "p"))
        if name != "empty":
            record.append(name, [step(0), step(1, over=name == "over")])
    record.end("ended", Outcome(success=True))
    record.close()

    again = (
        Experience.open(tmp_path / "store", write=True) if kind == "store" else FileRecord(tmp_path / "record.jsonl")
    )
    assert close_interrupted(again) == ["over", "cut", "empty"]
    assert close_interrupted(again) == []
    if isinstance(again, Experience):
        modes = {summary.header.episode_id: summary.outcome for summary in again.summaries()}
        assert modes["ended"] == Outcome(success=True)
        assert modes["over"] == Outcome(), "it had ended; only the word on it was lost"
        assert modes["cut"].failure_mode == modes["empty"].failure_mode == INTERRUPTED
    again.close()


def test_act_writes_into_the_store_of_experience(tmp_path: Path) -> None:
    with opened(tmp_path, learn=100) as ledger, store_in(tmp_path) as store:
        run(ledger, store, 0)
        run(ledger, store, 1)
        with pytest.raises(LedgerError, match="never run twice"):
            run(ledger, store, 1)
        assert [len(episode) for episode in store.episodes(complete=True)] == [5, 5]
        arrays = store.arrays()
        assert arrays.costs["steps"].sum() == ledger.balance("learn").spent.of("steps") == 10
