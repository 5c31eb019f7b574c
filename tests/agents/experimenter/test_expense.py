import numpy as np
import pytest

from gedanken.agents.experimenter import Bayesian
from gedanken.agents.experimenter.expense import learned_expense
from gedanken.experience.cost import Cost
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Continuous, Design
from gedanken.worlds.science.trials import Objective, Trial, TrialState

SPACE = DesignSpace((Continuous("a", 0, 1),))
POOL = SPACE.draw(40, seed=3)


def at_most(design: Design) -> Cost:
    return Cost(micro_usd=1_000, seconds=600)


def really(design: Design) -> Cost:
    """Dear and slow to the right; money is always all of the price."""
    return Cost(micro_usd=1_000, seconds=round(30 + 500 * float(design["a"])))


def trials(count: int, *, cost: object = really) -> list[Trial]:
    states = [TrialState.FAILED if i % 4 == 3 else TrialState.COMPLETED for i in range(count)]
    return [
        Trial(str(i), d, s, {"yield": 1.0 + float(d["a"])} if s is TrialState.COMPLETED else {}, cost=cost(d))  # type: ignore[operator]
        for i, (d, s) in enumerate(zip(POOL, states, strict=False))
    ]


def test_what_was_paid_teaches_what_will_be() -> None:
    expense = learned_expense(SPACE, trials(12), at_most)
    assert set(expense.shares) == {"seconds"}  # money brought no surprise
    expected = expense.expected(POOL[12:])
    real = np.array([really(design).of("seconds") for design in POOL[12:]])
    assert np.median(np.abs(expected["seconds"] / real - 1)) < 0.1
    np.testing.assert_array_equal(expected["micro_usd"], 1_000)


def test_a_forecast_of_costs_holds_and_stays_within_the_price() -> None:
    expense = learned_expense(SPACE, trials(12), at_most)
    held = []
    for design in POOL[12:]:
        forecast = expense.forecasts(design, 0.9)["seconds"]
        assert forecast.low <= forecast.mean <= 600 and forecast.high <= 600
        held.append(forecast.low <= really(design).of("seconds") <= forecast.high)
    assert np.mean(held) >= 0.85


@pytest.mark.parametrize("known", [trials(2), trials(12, cost=at_most)])
def test_until_something_cost_less_the_price_is_what_is_expected(known: list[Trial]) -> None:
    expense = learned_expense(SPACE, known, at_most)
    assert not expense.shares and not expense.forecasts(POOL[0], 0.9)
    np.testing.assert_array_equal(expense.expected(POOL)["seconds"], 600)


def test_a_thrifty_planner_counts_what_is_really_paid_and_says_so() -> None:
    known = [Trial(t.id, t.design, TrialState.COMPLETED, {"yield": 1.0}, cost=t.cost) for t in trials(12)]
    frugal, lavish = (
        Bayesian(thrift=thrift, explore=False).suggest(
            SPACE, [Objective("yield")], known, pool=POOL[12:], price=at_most, seed=0
        )[0]
        for thrift in (5.0, 0.0)
    )
    assert really(frugal.design).of("seconds") < 100
    assert "seconds" in lavish.expenses and "to be paid" in lavish.why
    assert frugal.cost == at_most(frugal.design)  # what is reserved
