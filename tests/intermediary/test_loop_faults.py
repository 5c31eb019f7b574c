"""Runs that are killed, and worlds and policies that fail: nothing is lost, nothing is paid twice, and it goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gedanken.errors import WorldError
from gedanken.experience.store import Experience
from gedanken.intermediary.run import CHECK, LEARN
from gedanken.worlds.world import World
from tests.intermediary.small import CHECKED, COLLECTING, HORIZON, NAME, Faulty, between, push, rows_of
from tests.worlds.envs import raising, replaced

# --- Kills ----------------------------------------------------------------------------------------------------------

VICTIM = """
import sys
from pathlib import Path
from tests.intermediary.small import CHECKED, COLLECTING, between, push
with between(Path(sys.argv[1]), acting=push, **CHECKED, **COLLECTING) as run:
    run.run()
"""


def killed(folder: Path, label: str) -> None:
    """Runs in a process of its own until it kills itself at a labelled point."""
    root = Path(__file__).parents[2]
    victim = subprocess.run(
        [sys.executable, "-c", VICTIM, str(folder)],
        cwd=root,
        env={**os.environ, "GEDANKEN_KILL_AT": label, "PYTHONPATH": str(root)},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert victim.returncode == -9, victim.stderr.decode()


@pytest.mark.parametrize(
    "label",
    [
        "act.reserved:2",
        pytest.param("act.stepped:11", marks=pytest.mark.slow),
        pytest.param("act.recorded:3", marks=pytest.mark.slow),
        pytest.param("append.partly:3", marks=pytest.mark.slow),
        pytest.param("commit.mirror_synced:3", marks=pytest.mark.slow),
        pytest.param("act.committed:4", marks=pytest.mark.slow),
        pytest.param("act.ended:5", marks=pytest.mark.slow),
        pytest.param("act.stepped:65", marks=pytest.mark.slow),  # in the check
    ],
)
def test_a_killed_run_never_overspends_and_never_runs_an_episode_twice(tmp_path: Path, label: str) -> None:
    killed(tmp_path, label)
    with between(tmp_path, acting=push, **CHECKED, **COLLECTING) as run:
        result = run.run()
        ledger = run._run.ledger
        reserved = [entry.action_id for entry in ledger.entries() if entry.kind == "reserve"]
        assert len(reserved) == len(set(reserved))
        for account, most in ((LEARN, 60), (CHECK, 2 * HORIZON)):
            rows, balance = rows_of(tmp_path, account), ledger.balance(account)
            paid = balance.spent + balance.unknown
            assert len(rows.reward) <= paid.of("steps") <= most
            assert paid.of("steps") - len(rows.reward) <= HORIZON, "no more than one unit is in doubt"
        ids = [header.episode_id for header in run._run.experience.headers()]
        assert len(ids) == len(set(ids))
        assert all(summary.complete for summary in run._run.experience.summaries())
    assert result.paid == {"steps": 60}
    assert result.value.count >= 1 and np.isfinite(result.value.mean)


# --- What breaks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        replaced(0, np.full(2, np.nan, np.float32)),
        replaced(1, float("nan")),
        raising(ZeroDivisionError("motor")),
    ],
    ids=["NaN observation", "NaN reward", "raises"],
)
@pytest.mark.parametrize("at", [3, 32])
def test_a_world_that_fails_stops_the_run_and_nothing_is_lost(tmp_path: Path, fault: Any, at: int) -> None:
    world = World(Faulty(at, fault), {"steps": 1}, name=NAME).with_horizon(HORIZON)
    with between(tmp_path, world, acting=push, **COLLECTING) as run, pytest.raises(WorldError):
        run.run()
    done = len(rows_of(tmp_path, LEARN).reward)
    assert done == at - 1, "what had happened before is on the disk"
    with between(tmp_path, acting=push, **COLLECTING) as run:
        unknown = run._run.ledger.balance(LEARN).unknown.of("steps")
        assert unknown >= 1
        result = run.run()
        assert result.paid == {"steps": 60}, "what is in doubt stays charged"
    rows = rows_of(tmp_path, LEARN)
    assert np.isfinite(rows.observation).all() and np.isfinite(rows.reward).all()
    assert len(rows.reward) == 60 - unknown + _recorded_in_doubt(tmp_path)


def _recorded_in_doubt(folder: Path) -> int:
    """Steps on record of episodes whose unit is in doubt."""
    summaries = Experience.open(folder / "experience").summaries()
    return sum(s.length for s in summaries if s.outcome.failure_mode == "interrupted")


def test_a_world_that_fails_at_once_stops_the_run(tmp_path: Path) -> None:
    fault = raising(RuntimeError("no power"))
    world = World(Faulty(0, fault), {"steps": 1}, name=NAME).with_horizon(HORIZON)
    with between(tmp_path, world, acting=push, **COLLECTING) as run:
        with pytest.raises(WorldError, match="no power"):
            run.run()
        assert run._run.paid() == {"steps": 0}


def test_a_policy_that_fails_stops_the_run_and_it_goes_on(tmp_path: Path) -> None:
    calls = []

    def failing(observation: Any) -> np.ndarray:
        calls.append(observation)
        if len(calls) == 10:
            raise ArithmeticError("policy")
        return push(observation)

    with between(tmp_path, acting=failing, **COLLECTING) as run, pytest.raises(ArithmeticError):
        run.run()
    with between(tmp_path, acting=failing, **COLLECTING) as run:
        assert run.run().paid == {"steps": 60}
    assert len(rows_of(tmp_path, LEARN).reward) == 60
