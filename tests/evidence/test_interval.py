import json

import numpy as np
import pytest
import scipy.stats

from gedanken.errors import ConfigError
from gedanken.evidence.interval import FEW, MANY, Interval, mean_with_interval, over_episodes, pooled


def test_few_values_give_students_interval() -> None:
    values = [3.0, 5.0, 4.0, 8.0]
    found = mean_with_interval(values, seed=0)
    low, high = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
    assert (found.mean, found.count, found.method) == (5.0, 4, "student-t")
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_more_values_give_a_bootstrap_that_leans_with_the_skew() -> None:
    values = np.random.default_rng(0).exponential(size=60)
    found = mean_with_interval(values, seed=1)
    assert found.method == "bca" and found == mean_with_interval(values, seed=1)
    assert found.high - found.mean > found.mean - found.low


def test_very_many_values_are_cheap_and_agree_with_theory() -> None:
    values = np.random.default_rng(0).normal(size=MANY + 10_000)
    found = mean_with_interval(values, seed=0)
    assert found.method == "student-t"
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(len(values)), rel=0.05)


@pytest.mark.parametrize("count", [8, 40])
def test_intervals_hold_as_often_as_they_say(count: int) -> None:
    rng = np.random.default_rng(7)
    held = [
        found.low <= 2.0 <= found.high
        for found in (mean_with_interval(rng.normal(2.0, 3.0, count), confidence=0.9, seed=n) for n in range(150))
    ]
    assert 0.82 <= np.mean(held) <= 0.97


def test_equal_values_have_no_width_and_one_or_none_have_no_interval() -> None:
    assert str(mean_with_interval([1000.0] * 30, seed=0)) == "1000 [1000, 1000], n=30"
    one = mean_with_interval([7.0], seed=0)
    assert (one.mean, one.low, one.high, one.count) == (7.0, None, None, 1) and one.reason
    none = mean_with_interval([], seed=0)
    assert none.mean is None and none.count == 0 and str(none).startswith("not measured")


def test_what_is_not_finite_is_not_measured() -> None:
    found = mean_with_interval([1.0, float("nan"), 2.0], seed=0)
    assert found.mean is None and found.low is None and "1 of 3" in found.reason


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="probability"):
        mean_with_interval([1.0, 2.0], confidence=95, seed=0)
    with pytest.raises(ConfigError, match="flat"):
        mean_with_interval([[1.0, 2.0]], seed=0)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(3212.4, 3050.2, 3360.9, 10), "3212 [3050, 3361], n=10"),
        (Interval(-143.24, -155.7, -131.1, 10), "-143 [-156, -131], n=10"),
        (Interval(0.9123, 0.8971, 0.9274, 5), "0.912 [0.897, 0.927], n=5"),
    ],
)
def test_it_prints_as_many_digits_as_the_width_bears(interval: Interval, text: str) -> None:
    assert str(interval) == text


def test_json_goes_there_and_back() -> None:
    for interval in (mean_with_interval([1.0, 2.0, 4.0], seed=0), Interval.missing("never asked")):
        assert Interval.from_json(json.loads(json.dumps(interval.to_json()))) == interval
    assert Interval.from_json({"mean": 1.0, "low": 0.0, "high": 2.0, "episodes": 4}).count == 4


def test_pooling_weighs_steps_and_resamples_episodes() -> None:
    found = pooled([10.0, 2.0], [10, 1], seed=0)
    assert found.mean == pytest.approx(12 / 11) and found.count == 2
    assert pooled([4.0 * 9, 16.0], [4, 1], seed=0, root=True).mean == pytest.approx(np.sqrt(52 / 5))
    assert pooled([4.0, 0.0, 9.0], [1, 0, 3], seed=0).count == 2


@pytest.mark.parametrize("episodes", [FEW - 10, FEW + 20])
def test_steps_that_repeat_inside_an_episode_do_not_narrow_the_interval(episodes: int) -> None:
    """200 copies of each episode's one value are as uncertain as the value itself."""
    level = np.random.default_rng(3).normal(size=episodes)
    repeated = pooled(200 * level, np.full(episodes, 200), seed=0)
    single = mean_with_interval(level, seed=0)
    assert repeated.mean == pytest.approx(single.mean)
    assert repeated.high - repeated.low == pytest.approx(single.high - single.low, rel=0.1)


def test_ends_stay_within_bounds_and_a_statistic_of_one_episode_has_none() -> None:
    held = np.array([1.0, 1.0, 0.9, 1.0])
    assert pooled(held, np.ones(4), seed=0, bounds=(0.0, 1.0)).high == 1.0
    alone = over_episodes(5, lambda chosen: 1.0 if 3 in chosen else float("nan"), seed=0)
    assert alone.mean == 1.0 and alone.low is None and "single episode" in alone.reason
    rare = over_episodes(40, lambda chosen: 1.0 if 3 in chosen else float("nan"), seed=0)
    assert rare.mean == 1.0 and rare.low is None
    assert over_episodes(0, lambda chosen: 1.0, seed=0).mean is None
