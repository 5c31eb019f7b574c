"""The formulas of ranking: golden values, closed forms, what corruption does, and what holds for all inputs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from gedanken.evidence.agreement import kendall, mmrv, pearson, precision_at, regret_at, spearman
from tests.evidence.simpler import tables

# Policies, MMRV, Pearson, and the MMRV that swapped arguments would give.
GOLDEN = {
    "google_robot_pick_coke_can": (6, 0.031, 0.975, 0.062),
    "google_robot_move_near": (6, 0.111, 0.856, 0.003),
    "google_robot_open_drawer": (6, 0.000, 0.983, 0.000),
    "google_robot_close_drawer": (6, 0.123, 0.771, 0.113),
    "google_robot_place_apple_in_closed_top_drawer": (6, 0.000, 0.969, 0.011),
    "widowx_spoon_on_towel": (3, 0.000, 0.827, 0.000),
    "widowx_carrot_on_plate": (3, 0.111, 0.571, 0.009),
    "widowx_stack_cube": (3, 0.000, 1.000, 0.000),
    "widowx_put_eggplant_in_basket": (3, 0.000, 0.989, 0.000),
}
SIMPLER = tables()
FORMULAS = [pearson, spearman, kendall]


@pytest.mark.parametrize("task", GOLDEN)
def test_simplers_tables_to_the_third_decimal(task: str) -> None:
    policies, violation, correlation, swapped = GOLDEN[task]
    table = SIMPLER[task]
    assert len(table.policies) == policies
    assert float(mmrv(real=table.real, imagined=table.imagined)) == pytest.approx(violation, abs=5e-4)
    assert float(pearson(real=table.real, imagined=table.imagined)) == pytest.approx(correlation, abs=5e-4)
    assert float(mmrv(real=table.imagined, imagined=table.real)) == pytest.approx(swapped, abs=5e-4)


def test_all_nine_tables_are_there() -> None:
    assert SIMPLER.keys() == GOLDEN.keys()


@pytest.mark.parametrize("formula", [*FORMULAS, mmrv])
def test_sides_cannot_be_swapped_without_naming_them(formula) -> None:
    with pytest.raises(TypeError):
        formula([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])


# --- Closed forms ---------------------------------------------------------------------------------------------------


def test_a_violation_costs_the_largest_real_difference_it_turns_round() -> None:
    # Only the first two are swapped: each of them loses 0.4, the third nothing.
    assert float(mmrv(real=[0.1, 0.5, 0.9], imagined=[0.5, 0.1, 0.9])) == pytest.approx(0.8 / 3)
    # All turned round: the ends lose 0.8, the middle 0.4.
    assert float(mmrv(real=[0.1, 0.5, 0.9], imagined=[0.9, 0.5, 0.1])) == pytest.approx((0.8 + 0.4 + 0.8) / 3)


def test_the_two_conventions_differ_only_where_the_model_ties() -> None:
    # The model ties all: each loses the distance to the best, or to the worst.
    real, tied = [0.1, 0.2, 0.9], [0.5, 0.5, 0.5]
    assert float(mmrv(real=real, imagined=tied)) == pytest.approx((0.8 + 0.7 + 0.0) / 3)
    assert float(mmrv(real=real, imagined=tied, ties="to_better")) == pytest.approx((0.0 + 0.1 + 0.8) / 3)
    rng = np.random.default_rng(0)
    real, imagined = rng.normal(size=(2, 50, 7))
    assert mmrv(real=real, imagined=imagined) == pytest.approx(mmrv(real=real, imagined=imagined, ties="to_better"))


def test_regret_is_what_the_favourites_miss_over_the_range() -> None:
    real, imagined = [10.0, 30.0, 20.0, 0.0], [4.0, 3.0, 2.0, 1.0]
    assert float(regret_at(1, real=real, imagined=imagined)) == pytest.approx(20 / 30)
    assert float(regret_at(2, real=real, imagined=imagined)) == 0.0
    assert float(precision_at(1, real=real, imagined=imagined)) == 0.0
    assert float(precision_at(2, real=real, imagined=imagined)) == pytest.approx(1 / 2)
    assert float(precision_at(3, real=real, imagined=imagined)) == 1.0


def test_policies_that_tie_in_the_world_are_equally_right() -> None:
    assert float(precision_at(1, real=[5.0, 5.0, 1.0], imagined=[1.0, 2.0, 0.0])) == 1.0


def by_hand(k: int, real: np.ndarray, imagined: np.ndarray) -> tuple[float, float]:
    """Regret and precision, averaged over every way to break the model's ties."""
    orders = [
        order
        for order in itertools.permutations(range(len(real)))
        if all(imagined[a] >= imagined[b] for a, b in itertools.pairwise(order))
    ]
    spread, good = np.ptp(real), real >= np.sort(real)[-k]
    regrets = [(real.max() - real[list(order[:k])].max()) / spread for order in orders]
    return float(np.mean(regrets)), float(np.mean([good[list(order[:k])].mean() for order in orders]))


@given(
    st.lists(st.integers(0, 3), min_size=5, max_size=5),
    st.lists(st.integers(0, 2), min_size=5, max_size=5),
    st.integers(1, 4),
)
def test_ties_are_broken_in_every_way_and_averaged(real: list[int], imagined: list[int], k: int) -> None:
    world, model = np.array(real, float), np.array(imagined, float)
    found = float(regret_at(k, real=world, imagined=model))
    if np.ptp(world) == 0:
        assert np.isnan(found)
        return
    regret, precision = by_hand(k, world, model)
    assert found == pytest.approx(regret)
    assert float(precision_at(k, real=world, imagined=model)) == pytest.approx(precision)


# --- For all inputs -------------------------------------------------------------------------------------------------

VALUES = st.lists(st.integers(-4, 4).map(float), min_size=4, max_size=9)


@given(st.data())
def test_correlations_are_those_of_scipy(data: st.DataObject) -> None:
    real = np.array(data.draw(VALUES))
    imagined = np.array(data.draw(st.lists(st.integers(-4, 4), min_size=len(real), max_size=len(real))), float)
    if np.ptp(real) == 0 or np.ptp(imagined) == 0:
        assert all(np.isnan(formula(real=real, imagined=imagined)) for formula in FORMULAS)
        return
    for formula, theirs in zip(
        FORMULAS, (scipy.stats.pearsonr, scipy.stats.spearmanr, scipy.stats.kendalltau), strict=True
    ):
        assert float(formula(real=real, imagined=imagined)) == pytest.approx(theirs(real, imagined).statistic)


@given(VALUES, st.floats(0.1, 50), st.floats(-1e3, 1e3), st.randoms())
def test_what_a_model_may_not_change_a_score_by(values: list[float], factor: float, offset: float, random) -> None:
    """Order of the policies, unit and origin of the model do not matter; MMRV is in the unit of the world."""
    real, imagined = np.array(values), np.array([random.choice(range(9)) for _ in values], float)
    order = list(range(len(real)))
    random.shuffle(order)
    for formula in (*FORMULAS, mmrv, lambda **both: precision_at(2, **both), lambda **both: regret_at(2, **both)):
        score = formula(real=real, imagined=imagined)
        assert formula(real=real[order], imagined=imagined[order]) == pytest.approx(score, nan_ok=True)
        assert formula(real=real, imagined=factor * imagined + offset) == pytest.approx(score, nan_ok=True)
    assert mmrv(real=factor * real, imagined=imagined) == pytest.approx(factor * mmrv(real=real, imagined=imagined))


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e150, 1e300])
def test_no_scale_breaks_a_correlation(scale: float) -> None:
    real, imagined = np.array([1.0, 2.0, 4.0, 3.0]), np.array([2.0, 1.0, 4.0, 3.0])
    for formula in FORMULAS:
        assert formula(real=scale * real, imagined=imagined) == pytest.approx(formula(real=real, imagined=imagined))


def test_equal_up_to_rounding_is_equal() -> None:
    rounded = np.array([0.1 + 0.2, 0.3, 0.3, 0.3])
    assert np.isnan(pearson(real=rounded, imagined=[1.0, 2.0, 3.0, 4.0]))


def test_every_formula_takes_many_panels_at_once() -> None:
    rng = np.random.default_rng(1)
    real, imagined = rng.integers(0, 5, (2, 3, 4, 8)).astype(float)
    for formula in (*FORMULAS, mmrv, lambda **both: precision_at(3, **both), lambda **both: regret_at(3, **both)):
        together = formula(real=real, imagined=imagined)
        assert together.shape == (3, 4)
        assert together[1, 2] == pytest.approx(float(formula(real=real[1, 2], imagined=imagined[1, 2])), nan_ok=True)


def test_corruption_lowers_every_score() -> None:
    """From a perfect model to one that has two policies wrong, to one that has the order round the wrong way."""
    real = np.arange(10.0)
    wrong = real.copy()
    wrong[[9, 6]] = wrong[[6, 9]]
    for formula in (*FORMULAS, lambda **both: precision_at(2, **both)):
        scores = [float(formula(real=real, imagined=model)) for model in (real, wrong, -real)]
        assert scores[0] == pytest.approx(1.0)
        assert scores[0] > scores[1] > scores[2]
    for formula in (mmrv, lambda **both: regret_at(1, **both)):
        scores = [float(formula(real=real, imagined=model)) for model in (real, wrong, -real)]
        assert scores[0] == 0.0
        assert scores[0] < scores[1] < scores[2]
