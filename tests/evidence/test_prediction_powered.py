import json

import numpy as np
import pytest
import scipy.stats

from gedanken.errors import ConfigError
from gedanken.evidence.prediction_powered import prediction_powered


def world(pairs=10, *, seed=0, explained=0.9, bias=0.0):
    rng = np.random.default_rng(seed)
    real, others = rng.normal(100, 10, pairs), rng.normal(100, 10, 1_000)
    noise = 10 * np.sqrt(1 - explained**2)
    return {
        "real": real,
        "imagined": bias + explained * real + rng.normal(0, noise, pairs),
        "more_imagined": bias + explained * others + rng.normal(0, noise, 1_000),
    }


def width(interval) -> float:
    return interval.high - interval.low


def test_it_is_narrower_than_the_real_returns_alone_and_right_where_the_model_is_wrong() -> None:
    found = prediction_powered(**world(bias=400.0), seed=0, confidence=0.9)
    assert found.model_only.low > 450, "sure of itself, and wrong"
    powered, alone = found.prediction_powered, found.real_only
    assert powered.low < 100 < powered.high and width(powered) < 0.7 * width(alone)
    assert (powered.method, alone.method, powered.count, found.pairs, found.imagined) == (
        "ppi-t",
        "student-t",
        10,
        10,
        1_000,
    )
    assert 0.6 < found.weight < 1.1 and found.correlation > 0.8
    assert found.worth > 20 and found.saved == pytest.approx(found.worth - 10)
    json.dumps(found.to_json(), allow_nan=False)


def test_real_only_is_students_interval_and_worth_is_told_in_its_unit() -> None:
    study = world()
    found = prediction_powered(**study, seed=0)
    low, high = scipy.stats.t.interval(0.95, 9, study["real"].mean(), scipy.stats.sem(study["real"]))
    assert (found.real_only.low, found.real_only.high) == (pytest.approx(low), pytest.approx(high))
    deviation = study["real"].std(ddof=1)
    as_wide = scipy.stats.t.ppf(0.975, found.worth - 1) * deviation / np.sqrt(found.worth)
    assert as_wide == pytest.approx(width(found.prediction_powered) / 2)


def test_bounds_give_an_interval_that_assumes_no_shape() -> None:
    rng = np.random.default_rng(1)
    real = np.array([1.0] * 35 + [0.0] * 15)
    imagined, more = np.where(rng.random(50) < 0.95, real, 1 - real), (rng.random(2_000) < 0.68).astype(float)
    found = prediction_powered(real=real, imagined=imagined, more_imagined=more, seed=0, bounds=(0, 1))
    powered = found.prediction_powered
    assert (found.real_only.method, powered.method) == ("betting", "ppi-betting")
    assert 0.0 <= powered.low <= powered.mean <= powered.high <= 1.0 and width(powered) < width(found.real_only)
    assert found.worth > 50 and found.saved > 0
    again = prediction_powered(real=real, imagined=imagined, more_imagined=more, seed=0, bounds=(0, 1))
    assert again == found
    units = prediction_powered(
        real=10 * real - 3, imagined=10 * imagined - 3, more_imagined=10 * more - 3, seed=0, bounds=(-3, 7)
    )
    assert units.prediction_powered.low == pytest.approx(10 * powered.low - 3)
    wild = prediction_powered(real=real, imagined=imagined, more_imagined=np.r_[more, 1e9], seed=0, bounds=(0, 1))
    assert wild.prediction_powered.high <= 1.0, "imagined returns are clipped, so that one cannot spoil it"


def test_equal_returns_say_nothing_of_rarer_ones_unless_bounds_are_known() -> None:
    study = {"real": [1000.0] * 5, "imagined": [990.0] * 5, "more_imagined": np.linspace(900, 1000, 50)}
    study["imagined"] = [900.0, 950.0, 990.0, 1000.0, 930.0]
    found = prediction_powered(**study, seed=0)
    assert found.prediction_powered.mean == 1000.0 and found.prediction_powered.low is None
    assert "equal" in found.real_only.reason and found.worth is None
    known = prediction_powered(**study, seed=0, bounds=(0.0, 1000.0)).prediction_powered
    assert known.low < 700 and known.high == pytest.approx(1000.0)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_real_episodes(count: int) -> None:
    found = prediction_powered(real=[5.0] * count, imagined=[6.0] * count, more_imagined=[5, 6, 7], seed=0)
    assert found.prediction_powered.low is None and found.real_only.low is None and found.model_only.mean == 6.0
    assert found.prediction_powered.mean == (5.0 if count else None)
    if count:
        one = prediction_powered(real=[5.0], imagined=[6.0], more_imagined=[5, 6, 7], seed=0, bounds=(0, 10))
        assert one.prediction_powered.low < 5.0 < one.prediction_powered.high and one.weight == 0.0


def test_what_is_not_finite_is_not_measured_and_says_where() -> None:
    study = world()
    for name in study:
        broken = {**study, name: np.where(np.arange(len(study[name])) == 2, np.nan, study[name])}
        found = prediction_powered(**broken, seed=0)
        assert found.prediction_powered.mean is None and "1 of" in found.prediction_powered.reason
        assert (found.real_only.mean is None) == (name == "real")
        assert (found.model_only.mean is None) == (name == "more_imagined")


def test_imagined_episodes_that_do_not_start_alike_are_noticed() -> None:
    study = world(pairs=20)
    found = prediction_powered(**{**study, "imagined": study["imagined"] - 40}, seed=0)
    assert found.prediction_powered.mean is None and "same distribution" in found.prediction_powered.reason
    assert found.real_only.low is not None


def test_four_of_either_kind_are_too_few_to_tell_that_they_start_apart() -> None:
    imagined, others = np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 6.0, 7.0, 8.0])  # wholly apart: p = 0.03
    found = prediction_powered(real=imagined + 0.5, imagined=imagined, more_imagined=others, seed=0)
    assert found.prediction_powered.mean is not None


def test_too_few_other_imagined_episodes() -> None:
    study = world()
    assert "too few" in prediction_powered(**{**study, "more_imagined": [90.0]}, seed=0).prediction_powered.reason
    few = {**study, "more_imagined": study["more_imagined"][:9]}
    assert prediction_powered(**few, seed=0).prediction_powered.low is not None
    assert "10 or more" in prediction_powered(**few, seed=0, bounds=(0, 200)).prediction_powered.reason


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"imagined": [1.0, 2.0]}, "10 real and 2 imagined"),
        ({"real": [[1.0, 2.0]]}, "flat"),
        ({"confidence": 95}, "probability"),
        ({"bounds": (1, 0)}, "ascending"),
        ({"bounds": (0, np.inf)}, "ascending"),
        ({"bounds": (0, 90)}, "outside"),
    ],
)
def test_wrong_input_is_refused(change, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        prediction_powered(**{**world(), "seed": 0, **change})


def test_real_and_imagined_cannot_be_given_by_position() -> None:
    with pytest.raises(TypeError):
        prediction_powered([1.0, 2.0], [1.0, 2.0], [1.0, 2.0], seed=0)
    study = world(bias=300.0)
    swapped = {"real": study["imagined"], "imagined": study["real"], "more_imagined": study["more_imagined"] - 300}
    right, wrong = (prediction_powered(**each, seed=0).prediction_powered.mean for each in (study, swapped))
    assert right == pytest.approx(100, abs=8) and wrong > 300
