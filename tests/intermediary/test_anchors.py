from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.intermediary.anchors import AnchorsConfig, draw, inclusion, next_share, novelty

CONFIG = AnchorsConfig(floor=0.05, start=0.2, ceiling=0.3)


@pytest.mark.parametrize(
    ("before", "agreement", "drifted", "after", "why"),
    [
        (0.1, 0.99, False, 0.07, "fewer"),
        (0.1, 0.5, False, 0.2, "more anchors"),
        (0.1, -3.0, None, 0.2, "more anchors"),
        (0.1, 0.9, False, 0.1, "as many"),
        (0.06, 0.99, False, 0.05, "fewer"),
        (0.2, 0.1, False, 0.3, "more anchors"),
        (0.05, 0.99, True, 0.3, "drifted"),
        (0.1, None, None, 0.1, "not known"),
    ],
)
def test_the_share_rises_with_drift_and_disagreement_and_falls_with_agreement(
    before: float, agreement: float | None, drifted: bool | None, after: float, why: str
) -> None:
    found = next_share(before, agreement=agreement, drifted=drifted, config=CONFIG)
    assert found.share == pytest.approx(after) and why in found.reason


def test_probabilities_are_neymans() -> None:
    found = inclusion([1.0, 2.0, 4.0, 1.0], [1.0, 1.0, 4.0, 4.0], amount=1.0, even=1e-9)
    assert found == pytest.approx(np.array([1.0, 2.0, 2.0, 0.5]) / (1 + 2 + 8 + 2), rel=1e-6)


def test_an_unknown_spread_is_asked_as_much_as_the_largest_and_not_as_zero() -> None:
    found = inclusion([0.1, np.nan, 3.0], np.ones(3), amount=0.5, even=0.2)
    assert found[1] == found[2] > found[0] > 0.0
    assert inclusion([np.nan] * 4, np.ones(4), amount=2.0, even=0.2) == pytest.approx([0.5] * 4)
    assert inclusion([0.0] * 4, np.ones(4), amount=2.0, even=0.2) == pytest.approx([0.5] * 4)


def test_wrong_prices_are_refused() -> None:
    with pytest.raises(ConfigError, match="cost something"):
        inclusion([1.0, 1.0], [1.0, 0.0], amount=1.0, even=0.2)
    with pytest.raises(ConfigError, match="its price"):
        inclusion([1.0, 1.0], [1.0], amount=1.0, even=0.2)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e3), st.integers(1, 50)), min_size=1, max_size=40),
    st.floats(0.0, 1.0),
    st.floats(0.01, 1.0),
)
def test_the_expected_cost_is_the_amount_and_every_step_has_a_chance(
    steps: list[tuple[float, int]], share: float, even: float
) -> None:
    spread, price = np.array(steps, float).T
    amount = share * price.sum()
    found = inclusion(spread, price, amount=amount, even=even)
    assert found @ price == pytest.approx(amount, abs=1e-6 * price.sum())
    assert (found <= 1.0).all() and (found >= min(even * share, 1.0) - 1e-9).all()
    picked = draw(found, np.random.default_rng(0))
    assert len(np.unique(picked)) == len(picked) and abs(len(picked) - found.sum()) <= 1.0 + 1e-6


def test_each_step_is_drawn_with_its_probability_and_weights_take_the_choice_out_again() -> None:
    """Unbiased: the weighted mean of a bias that lies where the spread does, over 4,000 draws of 6 of 30 steps."""
    draws = np.random.default_rng(0)
    spread = draws.exponential(size=30)
    bias = 5.0 * spread**2
    chance = inclusion(spread, np.ones(30), amount=6.0, even=0.2)
    picks = [draw(chance, draws) for _ in range(4_000)]
    assert {len(each) for each in picks} <= {6, 7, 5}
    often = np.bincount(np.concatenate(picks), minlength=30) / 4_000
    assert often == pytest.approx(chance, abs=0.035)
    weighted = np.mean([(bias[each] / chance[each]).sum() / 30 for each in picks])
    assert weighted == pytest.approx(bias.mean(), rel=0.02)
    assert np.mean([bias[each].mean() for each in picks]) > 1.3 * bias.mean()  # without weights it is far off


def test_to_choose_by_spread_is_more_certain_than_to_choose_evenly() -> None:
    draws = np.random.default_rng(3)
    spread = draws.exponential(size=40)
    bias = spread * draws.standard_normal(40)

    def deviation(chance: np.ndarray) -> float:
        return float(
            np.std([(bias[each] / chance[each]).sum() for each in (draw(chance, draws) for _ in range(3_000))])
        )

    even = inclusion(np.ones(40), np.ones(40), amount=8.0, even=0.1)
    chosen = inclusion(spread, np.ones(40), amount=8.0, even=0.1)
    assert deviation(chosen) < 0.9 * deviation(even)


def test_what_no_anchor_is_near_is_new() -> None:
    known = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, -1.0]])
    found = novelty(np.array([[0.0, 0.0], [0.2, 0.1], [50.0, 50.0]]), known)
    assert found[0] < found[1] < found[2] == pytest.approx(1.0)
    assert novelty(known, np.zeros((0, 2))).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "wrong",
    [{"floor": 0.0}, {"start": 0.9}, {"ceiling": 1.5}, {"agree": 0.5}, {"fall": 1.2}, {"rise": 0.5}, {"even": 0.0}],
)
def test_settings_out_of_order_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        AnchorsConfig(**wrong)
