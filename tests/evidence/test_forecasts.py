import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gedanken.errors import ConfigError
from gedanken.evidence import forecasts
from gedanken.evidence.forecasts import ForecastScores, score_forecasts
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator

KEY = jax.random.key(0)
NOISE = 0.2


def score(model: AnalyticModel, env: AnalyticEnv, **options) -> ForecastScores:
    settings = {"horizons": (1, 5), "starts": 40, "samples": 32, "key": KEY, "seed": 0, **options}
    return score_forecasts(model, record(env, 12), env.codec, **settings)


@pytest.fixture(scope="module")
def noisy() -> AnalyticEnv:
    return AnalyticEnv(double_integrator(noise=NOISE), horizon=60)


@pytest.fixture(scope="module")
def right(noisy: AnalyticEnv) -> ForecastScores:
    return score(double_integrator(noise=NOISE), noisy)


def test_the_true_model_scores_what_a_gaussian_scores(noisy: AnalyticEnv, right: ForecastScores) -> None:
    """k steps ahead the world is Gaussian with a covariance that follows from the system."""
    std = np.concatenate([episode.observations for episode in record(noisy, 12)]).std(0)
    transition = np.asarray(double_integrator().transition, np.float64)
    covariance = np.zeros((2, 2))
    expected = {}
    for step in range(1, 6):
        covariance = transition.T @ covariance @ transition + NOISE**2 * np.eye(2)
        deviation = np.sqrt(np.diag(covariance)) / std
        entropy = np.log(deviation) + 0.5 * np.log(2 * np.pi * np.e)
        expected[step] = (np.mean(deviation) / np.sqrt(np.pi), np.mean(entropy))
    for h, horizon in enumerate(right.horizons):
        crps, nll = expected[horizon]
        assert right.crps[h].mean == pytest.approx(crps, rel=0.1)
        # With finitely many samples the mixture is a little rougher than the Gaussian it stands for.
        assert right.nll[h].mean == pytest.approx(nll, abs=0.12)
        assert right.crps[h].low < right.crps[h].mean < right.crps[h].high and right.crps[h].count == 12
        assert right.crps_skill[h].low > 0 and right.energy_skill[h].low > 0 and right.nll_gain[h].low > 0
    assert right.capped == (0.0, 0.0) and right.dimensions == 2
    assert right.starts[0] == 12 * 40 > right.starts[1]
    json.dumps(right.to_json(), allow_nan=False)


@pytest.mark.parametrize("noise", [0.02, 2.0], ids=["too sure", "too timid"])
def test_a_wrong_spread_is_seen_though_the_mean_is_right(
    noisy: AnalyticEnv, right: ForecastScores, noise: float
) -> None:
    wrong = score(double_integrator(noise=noise), noisy)
    for h in range(2):
        assert wrong.nll[h].low > right.nll[h].high
        assert wrong.crps[h].mean > right.crps[h].mean and wrong.energy[h].mean > right.energy[h].mean


def test_a_model_that_ignores_actions_scores_worse(noisy: AnalyticEnv, right: ForecastScores) -> None:
    deaf = AnalyticModel.create([[1.0, 0.0], [0.1, 0.98]], [[0.0, 0.0]], noise=NOISE)
    found = score(deaf, noisy)
    assert all(deaf.low > own.high for deaf, own in zip(found.crps, right.crps, strict=True))
    assert all(deaf.low > own.high for deaf, own in zip(found.nll, right.nll, strict=True))


def test_in_one_dimension_energy_is_crps_and_both_are_fair_for_any_number_of_samples() -> None:
    model = AnalyticModel.create([[0.9]], [[0.3]], noise=0.3)
    env = AnalyticEnv(model, horizon=60)
    few, many = (score(model, env, samples=samples, horizons=(3,)) for samples in (3, 64))
    assert many.energy[0].mean == pytest.approx(many.crps[0].mean, rel=1e-4)
    assert few.crps[0].mean == pytest.approx(many.crps[0].mean, rel=0.15)
    # And so is persistence's, from samples here and in closed form there.
    assert many.energy_persistence[0].mean == pytest.approx(many.crps_persistence[0].mean, rel=0.1)


def test_what_is_not_recorded_is_not_measured(noisy: AnalyticEnv) -> None:
    found = score(double_integrator(noise=NOISE), noisy, horizons=(1, 99), samples=2, starts=2)
    assert found.crps[1].mean is None and "99 steps" in found.nll[1].reason and found.starts[1] == 0
    empty = score_forecasts(double_integrator(), [], noisy.codec, key=KEY, seed=0)
    assert empty.crps[0].mean is None and "no recorded steps" in empty.crps[0].reason and empty.dimensions == 0
    with pytest.raises(ConfigError, match="two samples"):
        score(double_integrator(), noisy, samples=1)


def test_a_forecast_that_blows_up_is_cut_and_counted(noisy: AnalyticEnv) -> None:
    wild = AnalyticModel.create(np.eye(2) * 1e30, [[0.0, 0.5]], noise=NOISE)
    found = score(wild, noisy, samples=2, starts=4)
    assert found.capped == (1.0, 1.0) and found.nll[1].mean == pytest.approx(forecasts.WORST)
    json.dumps(found.to_json(), allow_nan=False)


NUMBERS = st.floats(-5, 5, width=32)


@given(drawn=arrays(np.float32, (4, 3, 2), elements=NUMBERS), target=arrays(np.float32, (3, 2), elements=NUMBERS))
def test_scores_of_samples_equal_their_definitions(drawn: np.ndarray, target: np.ndarray) -> None:
    std = np.array([0.5, 2.0], np.float32)
    unit = jnp.asarray(std), jnp.ones(2)
    mean, deviation = jnp.asarray(drawn)[None], jnp.full((1, 4, 3, 2), 0.7)
    nll, crps, energy, _ = forecasts._score_samples(drawn, mean, deviation, jnp.asarray(target), unit)
    x, y = drawn / std, target / std
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    expected = np.abs(x - y).mean(0) - 0.5 * np.mean([np.abs(x[i] - x[j]) for i, j in pairs], 0)
    assert np.asarray(crps) == pytest.approx(expected.mean(-1), abs=1e-4)
    apart = np.mean([np.linalg.norm(x[i] - x[j], axis=-1) for i, j in pairs], 0)
    joint = (np.linalg.norm(x - y, axis=-1).mean(0) - 0.5 * apart) / np.sqrt(2)
    assert np.asarray(energy) == pytest.approx(joint, abs=1e-4)
    wide = 0.7 / std
    density = np.exp(-0.5 * ((y - x) / wide) ** 2) / (wide * np.sqrt(2 * np.pi))
    with np.errstate(divide="ignore"):
        likely = np.minimum(-np.log(density.mean(0)), forecasts.WORST)
    assert np.asarray(nll) == pytest.approx(likely.mean(-1), rel=1e-3, abs=1e-3)
