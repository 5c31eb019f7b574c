"""The belief: closed forms at its limits, a model believed as far as it is borne out, and what never matters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.evidence.belief import Tally, believe, standardise


def tally_of(returns) -> Tally:
    tally = Tally(len(returns))
    for policy, values in enumerate(returns):
        for value in values:
            tally.add(policy, float(value))
    return tally


def correlation(belief) -> float:
    return float(belief.mixture.weight @ belief.mixture.correlation)


def test_a_tally_counts_as_numpy_does_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    returns = [1e6 + rng.normal(size=count) for count in (1, 4, 7)]
    tally = tally_of(returns)
    assert tally.count.tolist() == [1, 4, 7]
    assert tally.mean == pytest.approx([values.mean() for values in returns])
    assert tally.squares == pytest.approx([values.var() * len(values) for values in returns], abs=1e-6)
    assert tally.spread == pytest.approx(np.concatenate(returns).std(ddof=1), rel=1e-6)


def test_standardised_values_have_no_unit_and_no_tyrant() -> None:
    values = np.array([3.0, 5.0, 9.0, 4.0, np.nan])
    found = standardise(values)
    assert np.isnan(found[4])
    assert found[:4].mean() == pytest.approx(0.0)
    assert found[:4].std() == pytest.approx(1.0)
    assert standardise(70.0 - 3.0 + 2.0 * values) == pytest.approx(found, nan_ok=True)
    # One that blew up leaves the others apart.
    assert np.ptp(standardise([1.0, 2.0, 3.0, 4.0, 1e9])[:4]) > 0.5
    assert standardise([2.0, 2.0, np.nan]).tolist()[:2] == [0.0, 0.0]
    assert np.isnan(standardise([np.nan, np.inf])).all()
    assert np.isfinite(standardise([1.0, 1.0, 1.0, 5.0])).all()


def test_nothing_is_believed_before_returns_have_a_scale() -> None:
    hint = standardise([1.0, 2.0, 3.0])
    assert believe(tally_of([[], [], []]), hint) is None
    assert believe(tally_of([[1.0, 2.0], [], []]), hint) is None
    assert believe(tally_of([[5.0], [5.0], []]), hint) is None
    assert believe(tally_of([[5.0], [6.0], []]), hint) is not None


def test_with_many_returns_the_belief_is_the_mean_and_its_error() -> None:
    """The closed form of the limit: the prior no longer counts."""
    rng = np.random.default_rng(1)
    returns = [rng.normal(level, 2.0, 900) for level in (0.0, 3.0, 6.0, 9.0)]
    found = believe(tally_of(returns), standardise([4.0, 1.0, 3.0, 2.0]))
    assert found.mean == pytest.approx([values.mean() for values in returns], abs=0.02)
    assert np.sqrt(found.variance) == pytest.approx([values.std() / 30 for values in returns], rel=0.05)
    assert found.noise == pytest.approx([values.var() for values in returns], rel=0.05)
    assert found.best == 3


def test_without_a_model_means_are_shrunk_to_their_common_mean() -> None:
    """Policies that differ by hardly more than their noise are pulled together; one without any is in the middle."""
    returns = [[4.0, 6.0], [5.0, 7.0], [3.0, 5.0], [6.0, 8.0], []]
    found = believe(tally_of(returns), np.full(5, np.nan))
    means = np.array([5.0, 6.0, 4.0, 7.0])
    assert np.ptp(found.mean[:4]) < np.ptp(means)
    assert (np.argsort(found.mean[:4]) == np.argsort(means)).all()
    assert found.mean[4] == pytest.approx(5.5, abs=0.1)
    assert found.variance[4] > found.variance[:4].max()


def test_a_model_is_believed_as_far_as_the_returns_bear_it_out() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=12)
    returns = [[value + 0.3 * rng.normal(), value + 0.3 * rng.normal()] for value in truth]
    right, useless, opposed = (
        believe(tally_of(returns), standardise(values)) for values in (truth, rng.permutation(truth), -truth)
    )
    assert correlation(right) > 0.8 > correlation(useless) > correlation(opposed)
    assert correlation(opposed) < 0.1
    assert right.variance.mean() < useless.variance.mean()


def test_what_others_earned_tells_of_a_policy_that_was_never_paid_for() -> None:
    returns = [[0.0, 0.1], [1.0, 0.9], [2.0, 2.1], [3.0, 2.9], [4.0, 4.1], []]
    last = believe(tally_of(returns), standardise([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
    assert last.best == 5
    unknown = believe(tally_of(returns), standardise([0.0, 1.0, 2.0, 3.0, 4.0, np.nan]))
    assert unknown.mean[5] < last.mean[5]
    assert unknown.variance[5] > last.variance[5]


def test_a_policy_that_the_model_flatters_is_found_out() -> None:
    returns = [[0.0, 0.1], [1.0, 0.9], [2.0, 2.1], [3.0, 2.9], [4.0, 4.1], [-1.0, -0.9]]
    found = believe(tally_of(returns), standardise([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
    in_vain = found.mixture.weight @ found.mixture.in_vain
    assert in_vain[5] == in_vain.max()
    assert found.mean[5] < 0.0
    assert found.best == 4


def test_draws_have_the_moments_of_the_belief() -> None:
    found = believe(tally_of([[1.0, 2.0], [4.0], [], [3.0, 2.5]]), standardise([1.0, 3.0, 2.0, 0.0]))
    drawn = found.draw(40_000, np.random.default_rng(0))
    assert drawn.mean(0) == pytest.approx(found.mean, abs=0.05 * np.sqrt(found.variance.max()))
    assert drawn.var(0) == pytest.approx(found.variance, rel=0.06)


@given(
    st.lists(st.lists(st.integers(-5, 5), max_size=3), min_size=3, max_size=6),
    st.floats(0.01, 1e3),
    st.floats(-1e4, 1e4),
    st.randoms(),
)
def test_units_and_the_order_of_policies_do_not_matter(returns, factor: float, offset: float, random) -> None:
    values = [random.uniform(0, 1) for _ in returns]
    found = believe(tally_of(returns), standardise(values))
    moved = believe(tally_of([[factor * v + offset for v in each] for each in returns]), standardise(values))
    order = list(range(len(returns)))
    random.shuffle(order)
    shuffled = believe(tally_of([returns[k] for k in order]), standardise([values[k] for k in order]))
    if found is None:
        assert moved is None and shuffled is None
        return
    unit = np.sqrt(found.variance.max())
    assert (moved.mean - offset) / factor == pytest.approx(found.mean, abs=1e-3 * unit)
    assert moved.variance / factor**2 == pytest.approx(found.variance, rel=1e-2)
    assert shuffled.mean == pytest.approx(found.mean[order], abs=1e-6 * unit)
    assert np.isfinite(found.mean).all() and (found.variance > 0).all() and (found.noise > 0).all()
