import json

import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.evidence.paired import compare_policies


def two_policies(gain, *, pairs=10, seed=0):
    """Returns that hang on the luck of the start; the model foresees most of what differs between the policies."""
    rng = np.random.default_rng(seed)

    def returns(count):
        luck, taste = rng.normal(0, 300, count), rng.normal(0, 20, count)
        real = (1000 + gain + luck + taste, 1000 + luck - taste)
        imagined = tuple(500 + 0.5 * side + rng.normal(0, 3, count) for side in real)
        return real, imagined

    real, imagined = returns(pairs)
    return {"real": real, "imagined": imagined, "more_imagined": returns(3_000)[1]}


def test_shared_starts_cancel_their_luck_and_the_model_takes_out_more() -> None:
    found = compare_policies(**two_policies(60.0), seed=0, confidence=0.9)
    powered, alone = found.difference.prediction_powered, found.difference.real_only
    assert powered.low < 60 < powered.high and found.better == "first"
    assert powered.high - powered.low < 0.7 * (alone.high - alone.low)
    assert alone.high - alone.low < 100, "the luck of the start, 300, is gone"
    json.dumps(found.to_json(), allow_nan=False)


def test_turning_them_round_turns_the_answer_round() -> None:
    study = two_policies(60.0)
    turned = compare_policies(**{name: both[::-1] for name, both in study.items()}, seed=0)
    one = compare_policies(**study, seed=0)
    assert (one.better, turned.better) == ("first", "second")
    assert turned.difference.prediction_powered.mean == pytest.approx(-one.difference.prediction_powered.mean)


def test_starts_in_another_order_widen_it() -> None:
    study = two_policies(60.0, pairs=20)
    first, second = study["real"]
    mixed = compare_policies(**{**study, "real": (first, second[::-1])}, seed=0)
    right = compare_policies(**study, seed=0)
    wide, narrow = (each.difference.prediction_powered for each in (mixed, right))
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low) and mixed.better is None


def test_policies_that_are_equal_are_not_told_apart_more_often_than_it_says() -> None:
    told = [compare_policies(**two_policies(0.0, seed=n), seed=0, confidence=0.9).better for n in range(200)]
    assert np.mean([better is not None for better in told]) <= 0.16


def test_bounds_are_those_of_either_policy() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.random(60) < 0.95).astype(float), (rng.random(60) < 0.2).astype(float)
    both, more = (first, second), ((rng.random(600) < 0.95).astype(float), (rng.random(600) < 0.2).astype(float))
    found = compare_policies(real=both, imagined=both, more_imagined=more, seed=0, bounds=(0, 1))
    assert found.better == "first" and found.difference.prediction_powered.method == "ppi-betting"
    low, high = found.difference.prediction_powered.low, found.difference.prediction_powered.high
    assert -1.0 <= low < high <= 1.0
    with pytest.raises(ConfigError, match="outside"):
        compare_policies(real=(first, second + 5), imagined=both, more_imagined=more, seed=0, bounds=(0, 1))


def test_what_does_not_pair_up_is_refused_and_what_has_no_spread_has_no_verdict() -> None:
    with pytest.raises(ConfigError, match="start by start"):
        compare_policies(real=([1, 2], [1]), imagined=([1, 2], [1, 2]), more_imagined=([1], [1]), seed=0)
    same = np.arange(6.0)
    alike = compare_policies(real=(same, same), imagined=(same, same), more_imagined=(same, same), seed=0)
    assert alike.better is None and alike.difference.prediction_powered.mean == 0.0
