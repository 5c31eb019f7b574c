"""Coverage on fresh episodes over many simulated studies, and a confidence that means what it says."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.models.calibration import LEVELS, TOLERANCE, Calibration, fit_calibration


def study(draws: np.random.Generator, episodes: int, *, d: int = 2) -> dict[str, np.ndarray]:
    """Held-out steps of exchangeable episodes: of different lengths, and some harder than others by far."""
    columns: dict[str, list[np.ndarray]] = {"error": [], "epistemic": [], "aleatoric": [], "episode": []}
    for number in range(episodes):
        length = int(draws.integers(3, 40))
        std = np.exp(draws.normal(0, 0.5, (length, d)))
        hardness = np.exp(draws.normal(0, 0.7, d))
        columns["error"].append(std * hardness * draws.standard_t(4, (length, d)))
        columns["epistemic"].append(0.6 * std)
        columns["aleatoric"].append(0.8 * std)
        columns["episode"].append(np.full(length, number))
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def fitted(data: dict[str, np.ndarray], change: Any = (1.0, 1.0), **options: Any) -> Calibration:
    return fit_calibration(**data, change=np.asarray(change, np.float64), **options)


def test_fresh_episodes_are_covered_at_every_level() -> None:
    draws = np.random.default_rng(0)
    episodes, studies = 24, 300
    covered = np.zeros((studies, len(LEVELS), 2))
    for number in range(studies):
        factors = np.asarray(fitted(study(draws, episodes)).factors)
        fresh = study(draws, 1)
        std = np.sqrt(fresh["epistemic"] ** 2 + fresh["aleatoric"] ** 2)
        covered[number] = (np.abs(fresh["error"]) <= factors[:, None] * std).mean(1)
    for index, level in enumerate(LEVELS):
        mean, error = covered[:, index].mean(0), covered[:, index].std(0) / np.sqrt(studies)
        assert (mean >= level - 3 * error).all(), level
        # The price of a finite sample is at most one episode in 25.
        assert (mean <= level + 1 / (episodes + 1) + 3 * error).all(), level


@pytest.mark.parametrize(
    ("episodes", "known"),
    [(1, [True, False, False, False]), (3, [True, False, False, False]), (4, [True, True, False, False]),
     (8, [True, True, False, False]), (9, [True, True, True, False]), (19, [True, True, True, True])],
)  # fmt: skip
def test_a_level_needs_enough_episodes_however_long_they_are(episodes: int, known: list[bool]) -> None:
    calibration = fitted(study(np.random.default_rng(1), episodes))
    assert np.isfinite(calibration.factors).all(1).tolist() == known
    assert int(calibration.episodes) == episodes


def test_factors_grow_with_the_level_and_do_not_depend_on_the_order_of_steps() -> None:
    data = study(np.random.default_rng(2), 40)
    calibration = fitted(data)
    assert (np.diff(calibration.factors, axis=0) >= 0).all()
    order = np.random.default_rng(3).permutation(len(data["error"]))
    shuffled = fitted({name: column[order] for name, column in data.items()})
    assert np.array_equal(calibration.factors, shuffled.factors)


def test_the_episode_is_the_unit_and_not_the_step() -> None:
    # Nineteen short episodes are easy; one long one is hard. Pooled over steps, the hard one would rule.
    lengths = [2] * 19 + [2000]
    size = np.concatenate([np.full(n, 10.0 if n > 2 else 1.0) for n in lengths])[:, None]
    data = {
        "error": size,
        "epistemic": np.zeros_like(size),
        "aleatoric": np.ones_like(size),
        "episode": np.repeat(np.arange(20), lengths),
    }
    calibration = fitted(data, [1.0])
    np.testing.assert_allclose(calibration.factors[:, 0], [1.0, 1.0, 1.0, 10.0], rtol=1e-5)


def test_a_dimension_predicted_exactly_has_an_interval_without_width() -> None:
    data = study(np.random.default_rng(4), 30)
    for name in ("error", "epistemic", "aleatoric"):
        data[name][:, 1] = 0.0
    calibration = fitted(data, [1.0, 0.0])
    zero = jnp.zeros((3, 2))
    assert not np.asarray(calibration.half_width(zero, zero, 0.95)[:, 1]).any()
    assert np.isfinite(calibration.confidence(zero + 0.1, zero)).all()


def test_a_dimension_wrongly_held_for_certain_gets_the_width_of_its_errors() -> None:
    data = study(np.random.default_rng(5), 30)
    data["epistemic"][:, 1] = data["aleatoric"][:, 1] = 0.0
    data["error"][:, 1] = 0.25
    calibration = fitted(data, [1.0, 0.0])
    zero = jnp.zeros((1, 2))
    assert float(calibration.half_width(zero, zero, 0.9)[0, 1]) == pytest.approx(0.25, rel=1e-3)


def test_an_unknown_width_is_infinite_even_where_there_is_no_doubt() -> None:
    calibration = Calibration.none(2)
    assert np.isposinf(calibration.half_width(jnp.zeros((3, 2)), jnp.zeros((3, 2)), 0.9)).all()


def test_a_level_that_was_not_calibrated_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"0\.7"):
        Calibration.none(2).half_width(jnp.ones((1, 2)), jnp.ones((1, 2)), 0.7)


def test_without_held_out_steps_nothing_is_known() -> None:
    calibration = fitted({name: column[:0] for name, column in study(np.random.default_rng(0), 1).items()})
    assert np.isposinf(calibration.factors).all() and int(calibration.episodes) == 0
    assert np.isnan(calibration.confidence(jnp.ones((3, 2)), jnp.ones((3, 2)))).all()


# --- Confidence -----------------------------------------------------------------------------------------------------


def rated(calibration: Calibration, scores: np.ndarray) -> np.ndarray:
    """The confidence in predictions of these scores (with two dimensions that change by 1)."""
    return np.asarray(calibration.confidence(jnp.asarray(scores[:, None] * np.ones(2), jnp.float32), jnp.zeros(2)))


def test_the_score_is_the_predicted_error_in_units_of_the_usual_change() -> None:
    calibration = fitted(study(np.random.default_rng(0), 5, d=3), [2.0, 0.5, 0.0])
    epistemic, aleatoric = np.array([[0.6, 0.3, 7.0]]), np.array([[0.8, 0.4, 7.0]])
    # (1 / 2)^2 and (0.5 / 0.5)^2; the third dimension never changes and does not count.
    assert float(calibration.score(epistemic, aleatoric)[0]) == pytest.approx(np.sqrt((0.25 + 1.0) / 2), rel=1e-5)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 30), st.sampled_from([2, 16]))
def test_confidence_is_a_probability_that_never_grows_with_the_predicted_error(
    seed: int, episodes: int, knots: int
) -> None:
    calibration = fitted(study(np.random.default_rng(seed), episodes), knots=knots)
    confidence = rated(calibration, np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 200)]))
    assert (confidence >= 0).all() and (confidence <= 1).all()
    assert (np.diff(confidence) <= 1e-6).all()


def test_confidence_is_the_share_of_predictions_within_tolerance() -> None:
    draws = np.random.default_rng(0)
    count = 20_000
    std = np.exp(draws.uniform(np.log(0.05), np.log(3.0), (count, 1)))
    error = std * draws.standard_normal((count, 1))
    data = {"error": error, "epistemic": np.zeros_like(std), "aleatoric": std, "episode": np.arange(count) // 50}
    calibration = fitted(data, [1.0])
    for sure in (0.1, 0.3, 0.6, 1.5):
        right = (np.abs(sure * draws.standard_normal(20_000)) <= TOLERANCE).mean()
        said = float(calibration.confidence(jnp.full((1, 1), 0.0), jnp.full((1, 1), sure))[0])
        assert said == pytest.approx(right, abs=0.05)


@pytest.mark.parametrize("steps", [1, 5, 20])
@pytest.mark.parametrize("error", [0.0, 100.0])
def test_a_handful_of_steps_never_claims_certainty(steps: int, error: float) -> None:
    ones = np.ones((steps, 2))
    data = {"error": error * ones, "epistemic": ones, "aleatoric": ones, "episode": np.zeros(steps, int)}
    confidence = rated(fitted(data), np.array([1.0]))
    assert 0.01 < confidence[0] < 0.99


def test_equal_scores_everywhere_are_no_trouble() -> None:
    data = study(np.random.default_rng(0), 20)
    data["epistemic"][:] = data["aleatoric"][:] = 0.0
    confidence = rated(fitted(data), np.array([0.0, 1e-3, 1e3]))
    assert np.isfinite(confidence).all() and (np.diff(confidence) <= 0).all()


def test_beyond_what_was_seen_confidence_falls_with_the_squared_error() -> None:
    calibration = fitted(study(np.random.default_rng(0), 20))
    last = float(np.exp(calibration.scores[-1]))
    near, twice, far = rated(calibration, np.array([last, 2 * last, 1e6 * last]))
    assert twice == pytest.approx(near / 4, rel=0.01)
    assert far < 1e-6
