from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.models.recalibration import KINDS, Anchors, Recalibration, RecalibrationConfig, fit_recalibration

CONFIG = RecalibrationConfig(centres=48)
DRAWS = np.random.default_rng(0)
N = 240
IMAGINED, FEATURES = DRAWS.standard_normal(N), DRAWS.standard_normal((N, 2))
NOISE = 0.1 * DRAWS.standard_normal(N)
EPISODE = np.repeat(np.arange(24), 10)
BIAS = 2.0 * np.sin(2.0 * FEATURES[:, 0])
REAL = {
    "identity": IMAGINED + NOISE,
    "monotone": np.exp(IMAGINED / 1.5) + NOISE,
    "residual": IMAGINED + BIAS + NOISE,
    "monotone and residual": np.exp(IMAGINED / 1.5) + BIAS + NOISE,
}


def fitted(real: np.ndarray, imagined: np.ndarray = IMAGINED, config: RecalibrationConfig = CONFIG) -> Recalibration:
    return fit_recalibration(Anchors.even(imagined, real, FEATURES, EPISODE), config=config, seed=0)


def rmse(found: Recalibration, real: np.ndarray) -> float:
    return float(np.sqrt(np.square(found.on_host(IMAGINED, FEATURES) - real).mean()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_correction_that_is_needed_is_the_one_that_is_chosen(kind: str) -> None:
    found = fitted(REAL[kind])
    assert found.kind == kind and kind in found.reason
    assert rmse(found, REAL[kind]) < 0.6 and found.error is not None and found.error < 0.8
    said = found.to_json()
    assert said["chosen"] == kind and said["anchors"] == N and set(said["held_out_error"]) == set(KINDS)


def test_a_residual_that_does_not_help_stays_off_and_rewards_are_then_untouched() -> None:
    found = fitted(REAL["identity"])
    reward = jnp.asarray([0.1, -3.3])
    assert found(reward, jnp.zeros((2, 2))).tolist() == reward.tolist()


def test_anchors_without_relation_to_what_is_imagined_are_not_believed_to_have_one() -> None:
    """The corruption: the right anchors explain nearly everything, shuffled ones nothing."""
    right, shuffled = fitted(REAL["monotone"]), fitted(np.random.default_rng(1).permutation(REAL["monotone"]))
    assert right.error is not None and shuffled.error is not None
    assert right.error < 0.3 * REAL["monotone"].std() < 0.9 * REAL["monotone"].std() < shuffled.error


def test_too_few_anchors_change_nothing_and_say_so() -> None:
    few = Anchors.even(IMAGINED, REAL["monotone"], FEATURES, EPISODE).pick(np.arange(CONFIG.least - 1))
    found = fit_recalibration(few, config=CONFIG, seed=0)
    assert found.kind == "identity" and "31 anchors are too few" in found.reason
    assert found.error is None and found.to_json()["held_out_error"]["monotone"] is None


@pytest.mark.parametrize("part", ["imagined", "real", "variance", "importance"])
def test_an_unknown_part_takes_the_anchor_out_and_never_counts_as_zero(part: str) -> None:
    anchors = Anchors.even(IMAGINED, REAL["monotone"], FEATURES, EPISODE)
    gone = np.arange(N) % 3 == 0
    values = getattr(anchors, part).copy()
    values[gone] = np.nan
    some = fit_recalibration(anchors._replace(**{part: values}), config=CONFIG, seed=0)
    same = fit_recalibration(anchors.pick(~gone), config=CONFIG, seed=0)
    assert int(some.anchors) == int((~gone).sum())
    assert some.on_host(IMAGINED, FEATURES).tolist() == same.on_host(IMAGINED, FEATURES).tolist()
    assert np.isnan(some(jnp.asarray([jnp.nan]), jnp.zeros((1, 2)))).all()


def test_sure_anchors_outweigh_unsure_ones() -> None:
    """Half of the anchors are 5 too high, and reported as unsure."""
    unsure = np.arange(N) % 2 == 0
    real = REAL["monotone"] + 5.0 * unsure
    anchors = Anchors.even(IMAGINED, real, FEATURES, EPISODE)
    told = fit_recalibration(anchors._replace(variance=np.where(unsure, 1e4, 1.0)), config=CONFIG, seed=0)
    assert rmse(told, REAL["monotone"]) < 0.5 < 2.0 < rmse(fitted(real), REAL["monotone"])


def test_weights_are_inverse_variance_times_inverse_probability() -> None:
    anchors = Anchors.even([1, 2], [1, 2], np.zeros((2, 1)), [0, 1])
    assert anchors._replace(variance=np.array([1.0, 3.0])).weights().tolist() == [1.5, 0.5]
    assert anchors._replace(importance=np.array([1.0, 3.0])).weights().tolist() == [0.5, 1.5]


def test_wrong_input_is_refused() -> None:
    anchors = Anchors.even(IMAGINED, REAL["monotone"], FEATURES, EPISODE)
    with pytest.raises(ConfigError, match="variance"):
        fit_recalibration(anchors._replace(variance=np.zeros(N)), config=CONFIG, seed=0)
    with pytest.raises(ConfigError, match="length"):
        fit_recalibration(anchors._replace(real=anchors.real[1:]), config=CONFIG, seed=0)
    with pytest.raises(ConfigError, match="cannot be fitted"):
        RecalibrationConfig(folds=1)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.floats(-5, 5), st.floats(0.1, 5))
def test_on_held_out_anchors_it_is_never_much_worse_than_to_do_nothing(seed: int, shift: float, scale: float) -> None:
    draws = np.random.default_rng(seed)
    real = shift + scale * IMAGINED + draws.standard_normal(N)
    found = fit_recalibration(Anchors.even(IMAGINED, real, FEATURES, EPISODE), config=CONFIG, seed=seed)
    fresh = shift + scale * IMAGINED + draws.standard_normal(N)
    assert rmse(found, fresh) <= 1.1 * float(np.sqrt(np.square(IMAGINED - fresh).mean()))


def test_the_compiled_and_the_plain_form_agree() -> None:
    found = fitted(REAL["monotone and residual"])
    said = found(jnp.asarray(IMAGINED), jnp.asarray(FEATURES))
    np.testing.assert_allclose(said, found.on_host(IMAGINED, FEATURES), rtol=1e-3, atol=1e-3)
