import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.evidence.drift import CHARTS, FEWEST, check_drift, standardised, threshold_of


def test_the_threshold_is_that_of_siegmunds_formula() -> None:
    """One sum with allowance 0.5 and threshold 5 runs 938 values between false alarms (Montgomery gives 930)."""
    assert threshold_of(shift=1.0, false_alarms_every=938.2 / len(CHARTS)) == pytest.approx(5.0, abs=1e-3)


@pytest.mark.parametrize("every", [50.0, 120.0])
def test_it_cries_wolf_as_rarely_as_it_says(every: float) -> None:
    draws, longest = np.random.default_rng(0), int(8 * every)
    found = [check_drift(draws.normal(3.0, 2.0, longest), false_alarms_every=every) for _ in range(200)]
    alarms = sum(each.at is not None for each in found)
    watched = sum(longest if each.at is None else each.at + 1 for each in found)
    assert 0.85 * every <= watched / alarms <= 1.6 * every


@pytest.mark.parametrize(
    ("change", "how"), [((2.0, 1.0), "higher"), ((-2.0, 1.0), "lower"), ((0.0, 5.0), "more spread")]
)
def test_a_change_is_found_soon_and_named(change: tuple[float, float], how: str) -> None:
    draws, delays, names = np.random.default_rng(1), [], []
    for _ in range(40):
        found = check_drift(np.concatenate([draws.normal(0.0, 1.0, 40), draws.normal(*change, 30)]))
        assert found.drifted and found.at is not None and found.statistic is not None
        assert found.statistic > found.threshold
        delays.append(found.at - 40)
        names.append(found.how)
    assert 0 <= np.median(delays) <= 8
    assert names.count(how) >= (34 if how != "more spread" else 20)


def test_judged_values_are_standard_normal_whatever_the_unit() -> None:
    judged = np.array([standardised(np.random.default_rng(n).normal(-7.0, 50.0, 12))[FEWEST:] for n in range(1_500)])
    assert judged.mean() == pytest.approx(0.0, abs=0.02) and judged.std() == pytest.approx(1.0, abs=0.02)
    assert np.corrcoef(judged[:, 0], judged[:, 1])[0, 1] == pytest.approx(0.0, abs=0.08)


def test_too_few_values_are_not_judged() -> None:
    found = check_drift([0.1, float("nan"), 0.2, 99.0])
    assert found.drifted is None and found.at is None and "3 known errors" in found.reason
    assert json.loads(json.dumps(found.to_json()))["drifted"] is None


def test_one_outlier_is_no_drift() -> None:
    draws, alarms = np.random.default_rng(2), 0
    for _ in range(100):
        calm = draws.normal(size=32)
        calm[30] = 1e6
        alarms += check_drift(calm).drifted is True
    assert alarms <= 20


def test_errors_that_never_varied_drift_when_they_do() -> None:
    assert check_drift([1.0] * 20).drifted is False
    assert check_drift([1.0] * 20 + [2.0] * 6).drifted is True


def test_wrong_settings_are_refused() -> None:
    for settings_ in ({"shift": 0.0}, {"false_alarms_every": 0.5}):
        with pytest.raises(ConfigError, match="chart"):
            check_drift([1.0], **settings_)
    with pytest.raises(ConfigError, match="flat"):
        check_drift([[1.0]])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), max_size=60), st.floats(0.5, 20.0), st.floats(-100.0, 100.0))
def test_unit_and_unknown_values_do_not_matter(errors: list[float], scale: float, shift: float) -> None:
    series = np.array(errors) + np.random.default_rng(0).normal(size=len(errors))
    plain, moved = check_drift(series), check_drift(shift + scale * series)
    assert plain.at == moved.at and plain.how == moved.how
    gaps = np.insert(series, 0, [np.nan, np.inf])
    assert check_drift(gaps).drifted == plain.drifted
    assert check_drift(gaps).at == (None if plain.at is None else plain.at + 2)
