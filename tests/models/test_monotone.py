from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from gedanken.errors import ConfigError
from gedanken.models.monotone import MonotoneMap, fit_monotone

numbers = st.floats(-1e3, 1e3, width=32)
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40)


def test_a_known_map_is_learned() -> None:
    draws = np.random.default_rng(0)
    x = draws.uniform(-2.0, 2.0, 4_000)
    found = fit_monotone(imagined=x, real=np.exp(x) + 0.2 * draws.standard_normal(4_000))
    at = np.linspace(-1.8, 1.8, 10)
    assert found.on_host(at) == pytest.approx(np.exp(at), abs=0.15)


def test_without_bins_its_knots_are_the_blocks_of_isotonic_regression() -> None:
    """The golden example: 3, 1 and 2 violate the order and are pooled to 2, at the centre of their places."""
    found = fit_monotone(imagined=[0, 1, 2, 3, 9], real=[0, 3, 1, 2, 4], knots=3, per_bin=1)
    assert found.at.tolist() == [0, 2, 9] and found.value.tolist() == [0, 2, 4]
    assert found.on_host([1.0, 5.5]).tolist() == [1.0, 3.0]


def test_weights_decide_what_is_pooled_to_what() -> None:
    found = fit_monotone(imagined=[0, 1], real=[4, 0], weight=[3, 1], knots=2, per_bin=1)
    assert found.on_host([0.25, 7.0]).tolist() == [3.0, 3.0]  # 3/4 of 4, and no slope: the world does not care


def test_beyond_its_ends_it_goes_on_but_never_steeper_than_the_whole() -> None:
    x = np.arange(5.0)
    line = fit_monotone(imagined=x, real=2.0 * x, per_bin=1)
    assert line.on_host([-3.0, 10.0]) == pytest.approx([-6.0, 20.0])
    bent = fit_monotone(imagined=x, real=[0.0, 0.0, 0.0, 0.0, 10.0], per_bin=1)
    # The first four are one block at 1.5; left of it nothing below 0 was seen.
    assert bent.on_host([0.5, 6.0]) == pytest.approx([0.0, 10.0 + 2.0 * 10.0 / 4.0])


def test_a_constant_model_is_shifted_to_the_mean_and_keeps_its_slope() -> None:
    found = fit_monotone(imagined=[1.0] * 20, real=np.arange(20.0))
    assert found.on_host([1.0, 2.0]) == pytest.approx([9.5, 10.5])


def test_what_is_unknown_has_no_say_and_stays_unknown() -> None:
    nan = float("nan")
    known = fit_monotone(imagined=[0, 1, 2], real=[5, 6, 9], per_bin=1)
    with_unknown = fit_monotone(imagined=[0, 1, 2, 3, nan], real=[5, 6, 9, nan, -7], per_bin=1)
    assert with_unknown.on_host([0.5, 3.0]).tolist() == known.on_host([0.5, 3.0]).tolist()
    assert np.isnan(known(jnp.asarray([nan]))).all() and np.isnan(known.on_host([nan])).all()
    nothing = fit_monotone(imagined=[nan], real=[1.0])
    assert not bool(nothing.known) and nothing(jnp.asarray([0.1])).tolist() == jnp.asarray([0.1]).tolist()


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="pairs"):
        fit_monotone(imagined=[1, 2], real=[1])
    with pytest.raises(ConfigError, match="less than nothing"):
        fit_monotone(imagined=[1, 2], real=[1, 2], weight=[1, -1])
    with pytest.raises(ConfigError, match="knots"):
        fit_monotone(imagined=[1, 2], real=[1, 2], knots=1)


@settings(max_examples=60, deadline=None)
@given(pairs, st.integers(2, 12), st.integers(1, 4))
def test_it_never_falls_and_is_finite(drawn: list[tuple[float, float]], knots: int, per_bin: int) -> None:
    x, y = np.array(drawn).T
    found = fit_monotone(imagined=x, real=y, knots=knots, per_bin=per_bin)
    assert (np.diff(found.at) > 0).all() and (np.diff(found.value) >= 0).all() and (np.asarray(found.slopes) >= 0).all()
    said = found.on_host(np.linspace(-2e3, 2e3, 301))
    assert np.isfinite(said).all() and (np.diff(said) >= -1e-3).all()
    inside = found.on_host(x)
    offset = np.allclose(inside - x, (inside - x)[0], atol=1e-2)  # all that a single bin can teach
    assert offset or (inside.min() >= y.min() - 1e-2 and inside.max() <= y.max() + 1e-2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=20, unique=True), st.data())
def test_to_learn_what_it_says_changes_nothing(places: list[int], data: st.DataObject) -> None:
    x = np.sort(np.array(places, float))
    y = np.array(data.draw(st.lists(st.integers(-50, 50), min_size=len(x), max_size=len(x))), float)
    once = fit_monotone(imagined=x, real=y, per_bin=1)
    at = np.asarray(once.at, float)[np.asarray(once.at) <= x.max()]
    assume((np.diff(once.on_host(at)) > 1e-3).all())  # equal ones would be pooled anew
    twice = fit_monotone(imagined=at, real=once.on_host(at), per_bin=1)
    assert twice.on_host(at) == pytest.approx(once.on_host(at), abs=1e-3)
    # Every value of isotonic regression itself is that of a knot.
    distance = np.abs(isotonic_regression(y).x[:, None] - np.asarray(once.value, float)).min(1)
    assert distance.max() < 1e-4


def test_the_compiled_and_the_plain_form_agree() -> None:
    found = fit_monotone(imagined=np.arange(50.0), real=np.arange(50.0) ** 2)
    at = np.linspace(-10, 60, 71)
    np.testing.assert_allclose(found(jnp.asarray(at)), found.on_host(at), rtol=1e-5, atol=1e-3)
    identity = MonotoneMap.identity(4)
    assert identity(jnp.asarray([0.1, 123.4])).tolist() == jnp.asarray([0.1, 123.4]).tolist()
