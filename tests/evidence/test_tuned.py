import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from gedanken.evidence.tuned import tuned_t, worth_in_real_episodes

STUDIES = 3_000


def studies(pairs, correlation, *, others=400, seed=0, optimism=0.0):
    """Normal returns of deviation 1 around 0, and a model of that correlation."""
    rng = np.random.default_rng(seed)
    noise = np.sqrt(1.0 - correlation**2)
    real, more = rng.standard_normal((STUDIES, pairs)), rng.standard_normal((STUDIES, others))
    return {
        "real": real,
        "imagined": optimism + correlation * real + noise * rng.standard_normal(real.shape),
        "more_imagined": optimism + correlation * more + noise * rng.standard_normal(more.shape),
    }


def covered(found, mean=0.0):
    return float(((found.low <= mean) & (mean <= found.high)).mean())


def student(real, confidence):
    half = scipy.stats.t.ppf(0.5 + confidence / 2, real.shape[1] - 1) * real.std(1, ddof=1) / np.sqrt(real.shape[1])
    return real.mean(1) - half, real.mean(1) + half


def textbook(real, imagined, more_imagined, confidence):
    """PPI++: plug-in weight, normal quantile."""
    y, f = real - real.mean(1, keepdims=True), imagined - imagined.mean(1, keepdims=True)
    weight = (y * f).mean(1) / more_imagined.var(1) / (1 + real.shape[1] / more_imagined.shape[1])
    centre = real.mean(1) - weight * (imagined.mean(1) - more_imagined.mean(1))
    parts = (y - weight[:, None] * f).var(1) / real.shape[1], weight**2 * more_imagined.var(1) / more_imagined.shape[1]
    half = scipy.stats.norm.ppf(0.5 + confidence / 2) * np.sqrt(sum(parts))
    return centre, centre - half, centre + half


def test_with_many_pairs_it_is_the_textbook_interval() -> None:
    rng = np.random.default_rng(1)
    real, more = rng.normal(size=(5, 4_000)), rng.normal(size=(5, 8_000))
    study = {"real": real, "imagined": 2 * real + rng.normal(size=real.shape)}
    study["more_imagined"] = 2 * more + rng.normal(size=more.shape)
    found, (centre, low, high) = tuned_t(**study, confidence=0.9), textbook(**study, confidence=0.9)
    assert found.mean == pytest.approx(centre, abs=1e-3)
    assert found.high - found.low == pytest.approx(high - low, rel=0.01)
    assert found.weight == pytest.approx(0.4 / 1.5, rel=0.1), "cov / var / (1 + n / N)"
    assert found.correlation == pytest.approx(2 / np.sqrt(5), abs=0.02)


def test_three_pairs_cannot_judge_a_model_and_give_students_interval() -> None:
    study = studies(3, 0.99)
    found, (low, high) = tuned_t(**study, confidence=0.9), student(study["real"], 0.9)
    assert np.allclose(found.low, low) and np.allclose(found.high, high) and not found.weight.any()


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8, -0.95])
@pytest.mark.parametrize("pairs", [5, 10, 20])
def test_it_holds_as_often_as_it_says_whatever_the_model(pairs: int, correlation: float) -> None:
    """Three standard errors of 3,000 studies are 1.6 points; the textbook's interval misses the mark by far."""
    study = studies(pairs, correlation, seed=pairs, optimism=50.0)
    assert covered(tuned_t(**study, confidence=0.9)) >= 0.884
    if pairs == 5:
        _, low, high = textbook(**study, confidence=0.9)
        assert float(((low <= 0) & (high >= 0)).mean()) < 0.8


@pytest.mark.parametrize("others", [2, 10, 30])
def test_it_holds_with_few_other_imagined_episodes(others: int) -> None:
    assert covered(tuned_t(**studies(10, 0.9, others=others, seed=3), confidence=0.9)) >= 0.884


@pytest.mark.parametrize(("pairs", "most"), [(5, 1.065), (10, 1.055), (20, 1.04), (50, 1.03)])
def test_a_useless_model_costs_at_most_a_twentieth(pairs: int, most: float) -> None:
    """Mean widths, as real episodes needed: (width / width)^2 overstates it where Student's quantile still falls."""
    study = studies(pairs, 0.0, seed=1)
    found, (low, high) = tuned_t(**study, confidence=0.9), student(study["real"], 0.9)
    wider = float((found.high - found.low).mean() / (high - low).mean())
    worth = worth_in_real_episodes(1.0, *_per_unit(pairs, wider))
    assert pairs / worth <= most


@pytest.mark.parametrize(("pairs", "most"), [(10, 0.57), (20, 0.47), (50, 0.42)])
def test_a_good_model_saves_half_of_the_real_episodes(pairs: int, most: float) -> None:
    study = studies(pairs, 0.8, others=2_000, seed=2)
    found, (low, high) = tuned_t(**study, confidence=0.9), student(study["real"], 0.9)
    narrower = float((found.high - found.low).mean() / (high - low).mean())
    assert pairs / worth_in_real_episodes(1.0, *_per_unit(pairs, narrower)) <= most


def _per_unit(pairs, ratio):
    """Deviation and confidence with which `pairs` real returns give a half width of 1 / ratio."""
    return np.sqrt(pairs) / scipy.stats.t.ppf(0.95, pairs - 1) / ratio, 0.9


def test_what_real_episodes_are_worth_inverts_students_interval() -> None:
    for count in (2, 5, 50):
        half = scipy.stats.t.ppf(0.975, count - 1) * 7.0 / np.sqrt(count)
        assert worth_in_real_episodes(half, 7.0, 0.95) == pytest.approx(count, rel=1e-6)
    assert worth_in_real_episodes(1e-9, 7.0, 0.95) == np.inf and worth_in_real_episodes(1e99, 7.0, 0.95) == 1.0


def test_exploding_rollouts_cost_the_model_its_trust_and_not_the_interval_its_truth() -> None:
    rng = np.random.default_rng(5)
    for pairs in (5, 20):
        study = studies(pairs, 0.8, seed=4)
        for name in ("imagined", "more_imagined"):
            study[name] = np.where(rng.random(study[name].shape) < 0.01, -1e4, study[name])
        found, (low, high) = tuned_t(**study, confidence=0.9), student(study["real"], 0.9)
        assert covered(found) >= 0.884
        assert (found.high - found.low).mean() <= 1.05 * (high - low).mean()


def test_shuffled_partners_widen_the_interval() -> None:
    study = studies(20, 0.9)
    shuffled = np.random.default_rng(0).permuted(study["imagined"], axis=1)
    right, wrong = (tuned_t(**{**study, "imagined": x}, confidence=0.9) for x in (study["imagined"], shuffled))
    assert (wrong.high - wrong.low).mean() > 1.5 * (right.high - right.low).mean()
    assert wrong.weight.mean() < 0.1 < 0.7 < right.weight.mean()


def test_a_perfect_fit_of_five_pairs_is_no_proof() -> None:
    real = np.random.default_rng(0).normal(size=(1, 5))
    found = tuned_t(real=real, imagined=real, more_imagined=np.tile(real, 200), confidence=0.9)
    low, high = student(real, 0.9)
    assert 0.25 * (high - low) < found.high - found.low < 0.6 * (high - low)


def test_equal_real_returns_have_no_interval_and_equal_imagined_ones_no_say() -> None:
    rng = np.random.default_rng(0)
    real, flat, more = rng.normal(1e6, 1.0, (1, 8)), np.full((1, 8), 1e6), rng.normal(1e6, 1.0, (1, 100))
    assert np.isnan(tuned_t(real=flat, imagined=real, more_imagined=more, confidence=0.9).low).all()
    found = tuned_t(real=real, imagined=flat, more_imagined=more, confidence=0.9)
    assert found.weight == 0.0 and np.isnan(found.correlation) and np.allclose(found.low, student(real, 0.9)[0])


moderate = st.floats(-50, 50).filter(lambda x: abs(x) > 0.02)


@given(seed=st.integers(0, 10_000), pairs=st.integers(2, 12), scale=moderate, shift=moderate)
def test_units_and_order_do_not_matter(seed: int, pairs: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    real, more = rng.standard_normal((1, pairs)), rng.standard_normal((1, 30))
    imagined = real + rng.standard_normal(real.shape)
    one = tuned_t(real=real, imagined=imagined, more_imagined=more, confidence=0.9)
    order = rng.permutation(pairs)
    # The model's own unit drops out, and so does any promise it makes of all episodes alike.
    other = tuned_t(
        real=shift + scale * real[:, order],
        imagined=7.0 - 3.0 * imagined[:, order],
        more_imagined=7.0 - 3.0 * more[:, ::-1],
        confidence=0.9,
    )
    ends = sorted([shift + scale * one.low[0], shift + scale * one.high[0]])
    assert [other.low[0], other.high[0]] == pytest.approx(ends, rel=1e-6, abs=1e-6)
    assert one.low[0] <= one.mean[0] <= one.high[0]
