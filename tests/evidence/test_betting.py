import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

from gedanken.evidence.betting import STAKES, Bets, betting


def falls(rng, shape):
    """Mostly 0.99 to 1, one in ten 0.05 to 0.5: a mean of 0.923 that five episodes need not show."""
    return np.where(rng.random(shape) < 0.1, rng.uniform(0.05, 0.5, shape), rng.uniform(0.99, 1.0, shape))


def success(rng, shape):
    return (rng.random(shape) < 0.7).astype(float)


CASES = [(falls, 0.923), (success, 0.7)]


def studies(draw, count, *, copied, seed=0, size=300, share=20):
    """Bets with a model that foresees each episode with probability `copied`."""
    rng = np.random.default_rng(seed)
    real = draw(rng, (size, count))
    imagined = np.where(rng.random(real.shape) < copied, real, draw(rng, real.shape))
    return Bets(real, imagined, draw(rng, (size, count, share)).mean(2))


def test_after_nothing_but_successes_the_lower_end_is_known_in_closed_form() -> None:
    low, high = betting(Bets(np.ones((1, 5))), confidence=0.9)
    expected = scipy.optimize.brentq(lambda m: np.mean([(1 - u + u / m) ** 5 for u in STAKES]) - 20.0, 1e-6, 1.0)
    assert low[0] == pytest.approx(expected, rel=1e-6) and high[0] == pytest.approx(1.0)
    assert low[0] < 0.05**0.2, "no interval may be narrower than the exact binomial one here"


@pytest.mark.parametrize(("draw", "mean"), CASES)
@pytest.mark.parametrize("count", [5, 20])
@pytest.mark.parametrize("copied", [0.0, 0.8])
def test_it_holds_for_any_shape_and_any_model(draw, mean: float, count: int, copied: float) -> None:
    low, high = betting(studies(draw, count, copied=copied), confidence=0.9)
    assert ((low <= mean) & (mean <= high)).mean() >= 0.9


def test_a_model_that_lies_about_its_own_mean_is_found_out_and_an_honest_one_is_not() -> None:
    """The one thing needed is that partner and share are imagined alike; where they are not, the interval is wrong."""
    bets = studies(success, 50, copied=0.9)
    lied = Bets(bets.real, bets.imagined, np.clip(bets.shares + 0.3, 0, 1))
    low, high = betting(lied, confidence=0.9)
    assert ((low <= 0.7) & (high >= 0.7)).mean() < 0.9


@pytest.mark.parametrize(("copied", "least", "most"), [(0.9, 0.5, 0.8), (0.0, 0.95, 1.05)])
def test_a_good_model_narrows_it_and_a_useless_one_hardly_widens_it(copied: float, least: float, most: float) -> None:
    bets = studies(success, 50, copied=copied)
    with_model, alone = betting(bets, confidence=0.9), betting(Bets(bets.real), confidence=0.9)
    assert least < (with_model[1] - with_model[0]).mean() / (alone[1] - alone[0]).mean() < most


def test_it_holds_at_all_times_at_once() -> None:
    whole = studies(success, 60, copied=0.8, size=200)
    missed = np.zeros(200, bool)
    for count in range(2, 61, 2):
        low, high = betting(Bets(*(column[:, :count] for column in whole)), confidence=0.9)
        missed |= (low > 0.7) | (high < 0.7)
    assert missed.mean() <= 0.1


def test_repeats_answer_as_if_the_episodes_had_come_again() -> None:
    bets = studies(falls, 6, copied=0.5, size=3)
    again = Bets(*(np.tile(column, 3) for column in bets))
    for one, other in zip(betting(bets, confidence=0.9, repeats=3.0), betting(again, confidence=0.9), strict=True):
        assert one == pytest.approx(other)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 12))
def test_the_interval_holds_the_mean_seen_and_mirrors_with_the_returns(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    bets = Bets(rng.random((1, count)), rng.random((1, count)), rng.random((1, count)))
    low, high = betting(bets, confidence=0.9)
    assert 0.0 <= low[0] < high[0] <= 1.0
    mirrored = betting(Bets(*(1.0 - column for column in bets)), confidence=0.9)
    assert [1.0 - mirrored[1][0], 1.0 - mirrored[0][0]] == pytest.approx([low[0], high[0]])
    alone = betting(Bets(bets.real), confidence=0.9)
    assert alone[0][0] <= bets.real.mean() <= alone[1][0]
