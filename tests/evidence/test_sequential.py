import json
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.evidence.sequential import PRIOR, narrow_enough


def episodes(count, *, explained, seed=0, share=10):
    rng = np.random.default_rng(seed)
    noise = math.sqrt(1 - explained**2)
    real, others = rng.normal(size=count), rng.normal(size=(count, share))
    return (
        real,
        5.0 + explained * real + noise * rng.normal(size=count),
        5.0 + explained * others + noise * rng.normal(size=others.shape),
    )


def look(parts, n, **options):
    real, imagined, shares = (part[:n] for part in parts)
    return narrow_enough(real=real, imagined=imagined, more_imagined=shares, **{"width": 1.0, **options})


def test_the_ends_are_where_the_bayes_factor_passes_one_over_alpha() -> None:
    """Against the Bayes factor by brute-force integration over the standardised shift."""
    parts = episodes(12, explained=0.7)
    found = look(parts, 12, confidence=0.9).interval
    real, luck = parts[0], parts[1] - parts[2].mean(1)
    design = np.stack([np.ones(12), luck], 1)
    coefficients, (residual,), *_ = np.linalg.lstsq(design, real, rcond=None)
    information = 1.0 / np.linalg.inv(design.T @ design)[0, 0]
    t = (found.high - coefficients[0]) / math.sqrt(residual / 10 / information)
    shifts = np.linspace(-30, 30, 60_001) / math.sqrt(PRIOR)
    likelihood = scipy.stats.nct.pdf(t, 10, shifts * math.sqrt(information))
    prior = scipy.stats.norm.pdf(shifts, 0, 1 / math.sqrt(PRIOR))
    factor = np.trapezoid(likelihood * prior, shifts) / scipy.stats.t.pdf(t, 10)
    assert factor == pytest.approx(10.0, rel=1e-3)
    assert found.mean == pytest.approx(coefficients[0]) and found.method == "ppi-anytime-t"


@pytest.mark.parametrize("explained", [0.0, 0.9])
def test_it_holds_at_all_times_at_once_where_a_fixed_interval_does_not(explained: float) -> None:
    held, fixed = [], []
    for seed in range(150):
        parts = episodes(50, explained=explained, seed=seed)
        looks = [look(parts, n, confidence=0.9).interval for n in range(4, 51, 2)]
        held.append(all(each.low is None or each.low <= 0.0 <= each.high for each in looks))
        halves = [scipy.stats.t.ppf(0.95, n - 1) * scipy.stats.sem(parts[0][:n]) for n in range(4, 51, 2)]
        fixed.append(all(abs(parts[0][:n].mean()) <= half for n, half in zip(range(4, 51, 2), halves, strict=True)))
    assert np.mean(held) >= 0.9 and np.mean(fixed) < 0.8


def test_a_good_model_stops_sooner() -> None:
    def stops(explained: float) -> list[int]:
        found = []
        for seed in range(20):
            parts = episodes(120, explained=explained, seed=seed)
            found.append(next(n for n in range(4, 121) if look(parts, n, confidence=0.9).stop))
        return found

    good, useless = np.median(stops(0.9)), np.median(stops(0.0))
    assert good < 0.6 * useless


def test_it_says_how_many_more_are_to_be_expected() -> None:
    parts = episodes(400, explained=0.8)
    early = look(parts, 20, width=0.5, confidence=0.9)
    assert early.stop is False and early.width > early.wanted and early.more > 0
    after = next(n for n in range(20, 400) if look(parts, n, width=0.5, confidence=0.9).stop)
    assert 0.5 * (after - 20) <= early.more <= 2.0 * (after - 20)
    done = look(parts, after, width=0.5, confidence=0.9)
    assert (done.stop, done.more) == (True, 0) and done.width <= 0.5
    assert look(parts, 20, width=1e-6).more is None
    json.dumps(early.to_json(), allow_nan=False)


def test_bounds_assume_no_shape() -> None:
    rng = np.random.default_rng(0)
    real = (rng.random(200) < 0.7).astype(float)
    imagined = np.where(rng.random(200) < 0.9, real, 1 - real)
    parts = (real, imagined, (rng.random((200, 20)) < 0.66).astype(float))
    first = look(parts, 1, bounds=(0, 1), width=0.2)
    assert first.interval.method == "ppi-anytime-betting" and first.width > 0.5 and first.more > 10
    assert look(parts, 200, bounds=(0, 1), width=0.3).stop


def test_too_little_is_told_and_not_guessed() -> None:
    parts = episodes(8, explained=0.5)
    assert look(parts, 0).interval.mean is None
    for n in (1, 3):
        assert look(parts, n).interval.low is None and "4 or more" in look(parts, n).interval.reason
    soon = look(parts, 4, confidence=0.99)
    assert soon.interval.low is None and soon.more > 0
    equal = narrow_enough(real=[3.0] * 6, imagined=parts[1][:6], more_imagined=parts[2][:6], width=1.0)
    assert not equal.stop and "bounds" in equal.interval.reason
    broken = look((np.where(np.arange(8) == 1, np.nan, parts[0]), *parts[1:]), 8)
    assert broken.interval.mean is None and not broken.stop
    silent = narrow_enough(real=parts[0], imagined=np.ones(8), more_imagined=np.ones((8, 3)), width=1.0)
    assert silent.interval.mean == pytest.approx(parts[0].mean()), "a model that says nothing has no say"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"imagined": np.zeros(3)}, "5 real and 3 imagined"),
        ({"more_imagined": np.zeros(50)}, "own share"),
        ({"more_imagined": np.zeros((4, 9))}, "own share"),
        ({"width": 0.0}, "positive"),
        ({"bounds": (3, 4)}, "outside"),
        ({"confidence": 1.0}, "probability"),
    ],
)
def test_wrong_input_is_refused(change, text: str) -> None:
    fine = {"real": np.arange(5.0), "imagined": np.zeros(5), "more_imagined": np.zeros((5, 9)), "width": 1.0}
    with pytest.raises(ConfigError, match=text):
        narrow_enough(**{**fine, **change})


@given(seed=st.integers(0, 1_000), scale=st.floats(0.1, 100), shift=st.floats(-100, 100))
def test_units_do_not_matter(seed: int, scale: float, shift: float) -> None:
    real, imagined, shares = episodes(9, explained=0.5, seed=seed)
    one = look((real, imagined, shares), 9)
    other = look((shift + scale * real, -2 * imagined, -2 * shares), 9, width=scale)
    assert other.interval.low == pytest.approx(shift + scale * one.interval.low, rel=1e-6, abs=1e-6)
    assert (other.stop, other.more) == (one.stop, one.more)
