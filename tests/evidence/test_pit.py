import json

import jax
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gedanken.evidence.calibration import check_calibration
from gedanken.evidence.pit import Pit, check_pit
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator

EPISODE = np.arange(3_000) // 100


def judged(distribution: scipy.stats.rv_continuous) -> Pit:
    place = distribution.rvs((3_000, 2), random_state=np.random.default_rng(0))
    return check_pit(place, EPISODE, seed=0)


def test_even_places_are_flat() -> None:
    found = judged(scipy.stats.uniform())
    assert found.flat is True and found.distance.mean < 0.03 and found.centre.count == 30
    assert [bar.mean for bar in found.histogram] == pytest.approx([1.0] * 10, abs=0.15)
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (2.0, 2.0), (2.0, 1.0)], ids=["too sure", "too timid", "too low"])
def test_shapes_that_are_wrong_are_told_by_their_moments(a: float, b: float) -> None:
    """Places drawn from a Beta distribution have its mean, spread and distance from the uniform one."""
    beta, found = scipy.stats.beta(a, b), judged(scipy.stats.beta(a, b))
    assert found.flat is False
    assert found.centre.mean == pytest.approx(beta.mean(), abs=0.01)
    assert found.width.mean == pytest.approx(12 * (beta.var() + (beta.mean() - 0.5) ** 2), abs=0.04)
    grid = np.linspace(0, 1, 1_001)
    assert found.distance.mean == pytest.approx(np.abs(beta.cdf(grid) - grid).max(), abs=0.02)
    assert (found.width.low > 1.0) == (a == 0.5) and (found.width.high < 1.0) == (a == b == 2.0)


@given(arrays(np.float64, (12, 1), elements=st.floats(0, 1)))
def test_the_histogram_is_a_density_and_mirrors(place: np.ndarray) -> None:
    episode = np.arange(12) // 4
    found, mirrored = (check_pit(each, episode, seed=0) for each in (place, 1.0 - place))
    assert sum(bar.mean for bar in found.histogram) == pytest.approx(10.0)
    assert found.centre.mean == pytest.approx(1.0 - mirrored.centre.mean)
    assert found.width.mean == pytest.approx(mirrored.width.mean)
    assert 0.0 <= found.distance.mean <= 1.0


def test_models_are_judged_by_their_mixture() -> None:
    env = AnalyticEnv(double_integrator(noise=0.2), horizon=100)
    episodes = record(env, 20)

    def pit(model: AnalyticModel) -> Pit:
        return check_calibration(model, episodes, env.codec, key=jax.random.key(0), seed=0).pit

    right, sure = pit(double_integrator(noise=0.2)), pit(double_integrator(noise=0.1))
    assert right.distance.mean < 0.04 and right.width.mean == pytest.approx(1.0, abs=0.05)
    # z is twice as wide as the model thinks: E[Phi(2z)^2] in closed form.
    place = 0.25 + np.arcsin(0.8) / (2 * np.pi)
    assert sure.width.mean == pytest.approx(12 * (place - 0.25), abs=0.05) and sure.flat is False


def test_what_has_no_place_is_not_measured() -> None:
    none = check_pit(np.zeros((4, 0)), np.zeros(4, np.int64), seed=0)
    assert none.flat is None and "no observation" in none.distance.reason and none.histogram == ()
    broken = check_pit(np.full((4, 1), np.nan), np.arange(4), seed=0)
    assert broken.width.mean is None and "not finite" in broken.width.reason
    one = check_pit(np.full((4, 1), 0.5), np.zeros(4, np.int64), seed=0)
    assert one.flat is None and one.centre.mean == 0.5
