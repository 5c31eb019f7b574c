from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from gedanken.errors import BudgetRefused, ConfigError
from gedanken.experience.cost import Budget
from gedanken.intermediary.anchoring import Anchoring
from gedanken.intermediary.anchors import AnchorsConfig
from gedanken.models.data import Columns, TransitionTable
from gedanken.models.recalibration import RecalibrationConfig
from gedanken.worlds.ledger import Ledger
from tests.fakes import double_integrator

KEY = jax.random.key(0)
CONFIG = AnchorsConfig(floor=0.1, start=0.3, ceiling=0.5, recalibration=RecalibrationConfig(centres=32))


class Market:
    """Steps of a double integrator in episodes of 20, and what they were really worth: exp(imagined) + `extra`."""

    def __init__(self) -> None:
        self.system, self.draws, self.extra, self.asked = double_integrator(), np.random.default_rng(0), 0.0, 0
        self.table = TransitionTable(2_048, 2, 1, ())
        self.worth = np.zeros(0)

    def happen(self, count: int) -> None:
        observation = self.draws.uniform(-1, 1, (count, 2)).astype(np.float32)
        action = self.draws.uniform(-1, 1, (count, 1)).astype(np.float32)
        cheap = np.asarray(self.system.reward(observation, action))
        first = self.table.size
        self.table.add(
            Columns(
                observation=observation,
                action=action,
                reward=cheap,
                terminated=np.zeros(count, bool),
                next_observation=np.asarray(self.system.truth(observation, action)),
                cost=np.zeros((count, 0), np.float32),
                episode=((first + np.arange(count)) // 20).astype(np.int32),
                held_out=np.zeros(count, bool),
            )
        )
        noise = 0.02 * self.draws.standard_normal(count)
        self.worth = np.concatenate([self.worth, np.exp(cheap) + self.extra + noise])

    def ask(self, rows: np.ndarray) -> np.ndarray:
        self.asked += len(rows)
        return self.worth[rows]


@pytest.fixture
def market() -> Market:
    return Market()


def opened(folder: Path, rewards: int = 10_000) -> Ledger:
    return Ledger.open(folder / "rewards.sqlite", budgets={"anchors": Budget(rewards=rewards)}, run_id="r")


def begun(market: Market, ledger: Ledger, **options: Any) -> Anchoring:
    return Anchoring(CONFIG, ask=market.ask, ledger=ledger, account="anchors", seed=0, **options)


def test_rewards_are_bought_learned_from_and_then_bought_more_rarely(market: Market, tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        anchoring = begun(market, ledger, price=3)
        for _ in range(4):
            market.happen(200)
            anchoring.buy(market.system, market.table, key=KEY)
        first, second, *_, last = anchoring.decisions
        assert abs(first.chosen - 60) <= 1 and first.candidates == 200 and first.paid == {"rewards": 3 * first.chosen}
        assert first.agreement is None and second.agreement is not None and second.agreement > 0.95
        assert last.share < second.share == pytest.approx(0.3) and last.recalibration["chosen"] == "monotone"
        assert ledger.balance("anchors").spent.of("rewards") == 3 * market.asked
    assert any("fewer anchors" in reason for reason in last.reasons)
    assert json.loads(json.dumps(last.to_json()))["known"] == last.chosen


def test_what_the_agent_learns_from_is_the_real_reward_or_near_it(market: Market, tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        anchoring = begun(market, ledger)
        market.happen(400)
        before = market.table.columns.reward.copy()
        anchoring.buy(market.system, market.table, key=KEY)
        labelled = anchoring.labelled(market.system, market.table, key=KEY).filled()
        assert (market.table.columns.reward == before).all() and labelled.observation.shape == (400, 2)
        assert np.sqrt(np.square(labelled.reward - market.worth).mean()) < 0.1
        exact = np.isclose(labelled.reward, market.worth, atol=1e-6).sum()
        assert market.asked <= exact < market.asked + 20
        model = anchoring.anchored(market.system)
        assert model.id.startswith(market.system.id) and model.recalibration.kind == "monotone"


def test_when_the_world_changes_the_share_goes_to_its_ceiling(market: Market, tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        anchoring = begun(market, ledger)
        for _ in range(3):
            market.happen(200)
            assert anchoring.buy(market.system, market.table, key=KEY).drifted is not True
        market.extra = 2.0
        market.happen(200)
        found = anchoring.buy(market.system, market.table, key=KEY)
    assert found.drifted and found.next_share == CONFIG.ceiling and any("drift" in reason for reason in found.reasons)


def test_a_reward_that_the_world_does_not_say_is_never_zero(market: Market, tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        market.happen(200)
        market.worth += 100.0
        market.worth[::2] = np.nan
        anchoring = begun(market, ledger)
        found = anchoring.buy(market.system, market.table, key=KEY)
        assert 0 < found.known < found.chosen and market.asked == found.chosen
        labelled = anchoring.labelled(market.system, market.table, key=KEY).filled()
        assert np.isfinite(labelled.reward).all()
        known = np.flatnonzero(np.isfinite(market.worth))
        bought = np.isclose(labelled.reward[known], market.worth[known], atol=1e-4)
        assert bought.sum() == found.known


def test_nothing_is_paid_twice_and_nothing_beyond_the_budget(market: Market, tmp_path: Path) -> None:
    market.happen(200)
    with opened(tmp_path, rewards=90) as ledger:
        one = begun(market, ledger).buy(market.system, market.table, key=KEY)
        asked = market.asked
        anchoring = begun(market, ledger)
        again = anchoring.buy(market.system, market.table, key=KEY)
        assert again.to_json() == one.to_json() and market.asked == asked  # the ledger has kept the answer
        market.happen(200)
        market.extra = 5.0
        refused = anchoring.buy(market.system, market.table, key=KEY)
        assert refused.chosen == 0 and any("no anchors could be paid" in reason for reason in refused.reasons)
        assert ledger.balance("anchors").spent.of("rewards") <= 90


def test_without_money_for_the_first_anchors_there_are_none(market: Market, tmp_path: Path) -> None:
    market.happen(100)
    with opened(tmp_path, rewards=3) as ledger, pytest.raises(BudgetRefused):
        begun(market, ledger).buy(market.system, market.table, key=KEY)
    assert market.asked == 0


def test_an_answer_of_another_length_is_refused(market: Market, tmp_path: Path) -> None:
    market.happen(100)
    with opened(tmp_path) as ledger:
        anchoring = Anchoring(CONFIG, ask=lambda rows: [1.0], ledger=ledger, account="anchors", seed=0)
        with pytest.raises(ConfigError, match="As many rewards"):
            anchoring.buy(market.system, market.table, key=KEY)
