"""What a run may cost, and how that is raised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gedanken.errors import ConfigError, FileError, GedankenError
from gedanken.experience.cost import Budget
from gedanken.intermediary.budgets import capacity, check_budget, raised, typical_price
from gedanken.intermediary.config import CheckConfig
from gedanken.intermediary.loop import Intermediary
from gedanken.intermediary.run import CHECK, LEARN, Run, raise_budget
from gedanken.worlds.world import World
from tests.fakes import AnalyticEnv
from tests.intermediary.small import CHECKED, HORIZON, between, linear, rows_of, small


def described(**budget: int) -> dict[str, Any]:
    return {"schema": 1, "id": "run-x", "config": {"world": "Linear", "budget": budget}}


def test_a_check_may_cost_its_episodes_at_their_longest() -> None:
    alone = CheckConfig(episodes=3, branches=0)
    assert dict(check_budget(small(check=alone), linear())) == {"steps": 3 * HORIZON}
    branched = CheckConfig(episodes=3, branches=2, branch_actions=5, branch_steps=7)
    assert dict(check_budget(small(check=branched), linear())) == {"steps": 3 * (HORIZON + 2 * 5 * 7)}
    assert dict(check_budget(small(check=branched, mode="off"), linear())) == {"steps": 3 * HORIZON}
    dear = World(AnalyticEnv(), {"steps": 1, "micro_usd": 7}, name="Dear").with_horizon(5)
    assert dict(typical_price(dear)) == {"steps": 1, "micro_usd": 7}
    assert dict(check_budget(small(check=CheckConfig(episodes=2, branches=0)), dear)) == {"steps": 10, "micro_usd": 70}


@pytest.mark.parametrize(("steps", "room"), [(1, 256), (5_000, 5_000), (10**9, 1_000_000)])
def test_the_table_has_room_for_what_can_be_paid(steps: int, room: int) -> None:
    assert capacity(small(budget={"steps": steps})) == room


def test_a_budget_is_raised_with_leave_for_one_more_check() -> None:
    before = described(steps=40, micro_usd=5)
    after = raised(before, {"steps": 60})
    assert after["config"]["budget"] == {"steps": 60, "micro_usd": 5} and after["checks"] == 2
    assert before == described(steps=40, micro_usd=5)
    assert raised(after, {"micro_usd": 6})["checks"] == 3
    assert raised(after, {"steps": 60}) == after


@pytest.mark.parametrize("wrong", [{"steps": 39}, {"steps": 0}, {"stpes": 100}])
def test_it_is_never_lowered_nor_of_something_else(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        raised(described(steps=40), wrong)


def test_a_run_with_a_raised_budget_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with between(folder, budget={"steps": 40}, **CHECKED) as run:
        first = run.run()
    before = rows_of(folder, LEARN)
    with Intermediary(linear(), budget=Budget(steps=60), folder=folder) as run:
        assert not (folder / "result.json").exists()
        second = run.run()
    assert (first.paid, second.paid) == ({"steps": 40}, {"steps": 60})
    assert second.paid_check == {"steps": 4 * HORIZON}, "the new agent was checked too"
    assert first.agent.id != second.agent.id and second.value.count == 2
    after = rows_of(folder, LEARN)
    assert len(after) == 60 and np.array_equal(before.observation, after.observation[:40])
    with Run.open(folder, world=linear()) as run:
        assert run.ledger.balance(LEARN).left.of("steps") == run.ledger.balance(CHECK).left.of("steps") == 0


def test_the_same_budget_changes_nothing(tmp_path: Path) -> None:
    with between(tmp_path, budget={"steps": 20}) as run:
        run.run()
    before = (tmp_path / "config.json").read_bytes(), (tmp_path / "result.json").read_bytes()
    raise_budget(tmp_path, {"steps": 20})
    raise_budget(tmp_path, {})
    assert before == ((tmp_path / "config.json").read_bytes(), (tmp_path / "result.json").read_bytes())


@pytest.mark.parametrize("wrong", [{"steps": 10}, {"steps": 30.5}, {"steps": True}, {"wear": 5}])
def test_a_wrong_budget_leaves_the_run_as_it_was(tmp_path: Path, wrong: Any) -> None:
    with between(tmp_path, budget={"steps": 20}) as run:
        run.round()
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(GedankenError):
        raise_budget(tmp_path, wrong)
    assert (tmp_path / "config.json").read_text() == before == json.dumps(json.loads(before), indent=2)
    with pytest.raises(FileError, match="holds no run"):
        raise_budget(tmp_path / "nowhere", {"steps": 30})
