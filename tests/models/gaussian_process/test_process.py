import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.stats import norm

from gedanken.errors import ConfigError
from gedanken.models.gaussian_process import (
    GaussianProcess,
    GaussianProcessConfig,
    PriorConfig,
    Process,
    Trend,
    fit_gaussian_process,
)
from gedanken.models.gaussian_process.density import LogPosterior
from gedanken.models.gaussian_process.kernel import distances, matern, matern_slope
from gedanken.models.gaussian_process.process import Places
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Categorical, Continuous

SPACE = DesignSpace((Continuous("a", 0, 1), Continuous("b", 0, 1), Categorical("c", ("x", "y", "z"))))


def data(count: int = 25, seed: int = 0, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    designs = SPACE.draw(count, seed=seed)
    x = SPACE.encode(designs)
    rng = np.random.default_rng(seed)
    y = np.sin(5 * x[:, 0]) + 0.5 * x[:, 2] + noise * rng.standard_normal(count)
    return x, y


def fitted(x: np.ndarray, y: np.ndarray) -> GaussianProcess:
    """The process of the likeliest hyperparameters, alone."""
    return fit_gaussian_process(SPACE.groups, x, y, config=GaussianProcessConfig(scales=("each",), draws=1), seed=0)


@given(st.floats(0.0, 50.0))
def test_materns_slope_is_its_derivative(squares: float) -> None:
    near = squares + 1e-6
    found = (matern(np.array(near)) - matern(np.array(squares))) / 1e-6
    assert float(matern_slope(np.array(squares))) == pytest.approx(float(found), rel=2e-3, abs=1e-6)


def test_designs_are_as_far_apart_as_their_parameters_say() -> None:
    x = SPACE.encode([{"a": 0.0, "b": 0.5, "c": "x"}, {"a": 0.5, "b": 0.5, "c": "y"}])
    np.testing.assert_allclose(distances(SPACE.groups, x, x)[:, 0, 1], [0.25, 0.0, 1.0])


def test_known_features_say_which_levels_are_alike() -> None:
    space = DesignSpace((Categorical("s", ("a", "b", "c"), features=((0.0,), (0.1,), (5.0,))),))
    x = space.encode([{"s": level} for level in "abc"])
    found = distances(space.groups, x, x)[0]
    assert found[0, 1] < 0.01 * found[0, 2]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_the_gradient_is_that_of_the_density(seed: int, each: bool) -> None:
    x, y = data(12, seed)
    posterior = LogPosterior(distances(SPACE.groups, x, x), (y - y.mean()) / y.std(), PriorConfig(), each=each)
    at = posterior.prior_mean + 0.3 * np.random.default_rng(seed).standard_normal(posterior.lengths + 2)
    _, gradient = posterior(at)
    np.testing.assert_allclose(gradient, approx_fprime(at, lambda p: posterior(p)[0], 1e-6), rtol=1e-3, atol=1e-3)


def test_the_belief_is_that_of_conditioning_a_gaussian() -> None:
    x, y = data(8)
    process = fitted(x, y)
    new = SPACE.encode(SPACE.draw(1, seed=9))
    length, signal, noise = process.processes[0].hyperparameters
    both = np.vstack([x, new])
    covariance = signal**2 * matern(np.tensordot(length**-2, distances(SPACE.groups, both, both), 1))
    inner = covariance[:-1, :-1] + (noise**2 + 1e-8) * np.eye(len(x))
    gain = np.linalg.solve(inner, covariance[:-1, -1])
    belief = process.predict(new)
    assert belief.mean[0] == pytest.approx(y.mean() + y.std() * gain @ ((y - y.mean()) / y.std()), rel=1e-6)
    assert belief.epistemic[0] == pytest.approx(
        y.std() * math.sqrt(covariance[-1, -1] - gain @ covariance[:-1, -1]), rel=1e-5
    )
    assert belief.aleatoric[0] == pytest.approx(y.std() * noise)


def test_noise_and_signal_are_told_apart() -> None:
    x, y = data(80, noise=0.3)
    process = fitted(x, y)
    assert process.predict(x[:1]).aleatoric[0] == pytest.approx(0.3, rel=0.35)
    quiet = fitted(*data(80, noise=0.0))
    assert quiet.predict(x[:1]).aleatoric[0] < 0.05


def test_a_parameter_without_effect_gets_a_long_scale() -> None:
    x, y = data(60)
    lengths = fitted(x, y).processes[0].hyperparameters.length
    assert lengths[1] > 3 * lengths[0]


def coverage(draws: int, count: int = 12, studies: int = 30) -> float:
    """Of 90 % intervals, over small studies."""
    inside = []
    for seed in range(studies):
        config = GaussianProcessConfig(draws=draws)
        process = fit_gaussian_process(SPACE.groups, *data(count, seed, noise=0.2), config=config, seed=seed)
        new, truth = data(50, 1_000 + seed, noise=0.2)
        low, high = process.interval(new, 0.9)
        inside.append(np.mean((low <= truth) & (truth <= high)))
    return float(np.mean(inside))


def test_averaging_holds_what_the_likeliest_setting_misses() -> None:
    averaged, alone = coverage(16), coverage(1)
    assert alone < averaged and 0.83 < averaged < 0.97


def test_an_interval_is_a_mixtures_quantiles() -> None:
    process = fit_gaussian_process(SPACE.groups, *data(15), seed=0)
    new = SPACE.encode(SPACE.draw(5, seed=3))
    low, high = process.interval(new, 0.8)
    mean, epistemic, aleatoric = process.beliefs(new)
    for edge, share in ((low, 0.1), (high, 0.9)):
        said = process.weights @ norm.cdf((edge - mean) / np.hypot(epistemic, aleatoric))
        np.testing.assert_allclose(said, share, atol=1e-6)


def test_deviations_are_those_of_the_mixture() -> None:
    process = fit_gaussian_process(SPACE.groups, *data(10), seed=0)
    new = SPACE.encode(SPACE.draw(4, seed=3))
    drawn = process.draw(new, 20_000, seed=1)
    belief = process.predict(new)
    np.testing.assert_allclose(drawn.mean(0), belief.mean, atol=0.03)
    np.testing.assert_allclose(drawn.std(0), belief.epistemic, rtol=0.05)


def test_the_results_decide_whether_parameters_differ() -> None:
    def share_of_each(x: np.ndarray, y: np.ndarray) -> float:
        return float(fit_gaussian_process(SPACE.groups, x, y, seed=0).weights[:16].sum())

    x, y = data(40)
    alike = np.sin(3 * (x[:, 0] + x[:, 1] + x[:, 2]))
    assert share_of_each(x, y) > 0.9 > 0.6 > share_of_each(x, alike)


def test_the_same_seed_gives_the_same_process() -> None:
    one, same, other = (fit_gaussian_process(SPACE.groups, *data(10), seed=s).weights for s in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert one.sum() == pytest.approx(1.0) and len(one) == 32


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((1, 5)), np.zeros(1)),
        (np.zeros((3, 5)), np.zeros(2)),
        (np.zeros((2, 5)), np.array([0.0, np.nan])),
    ],
)
def test_what_cannot_be_fitted_is_refused(x: np.ndarray, y: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="cannot be fitted"):
        fit_gaussian_process(SPACE.groups, x, y, seed=0)


@pytest.mark.parametrize(
    "make",
    [lambda: PriorConfig(noise=0.0), lambda: GaussianProcessConfig(draws=0), lambda: GaussianProcessConfig(scales=())],
)
def test_settings_that_make_no_sense_are_refused(make: object) -> None:
    with pytest.raises(ConfigError, match="too small|length scales"):
        make()  # type: ignore[operator]


def test_equal_results_are_no_reason_to_fail() -> None:
    x, _ = data(6)
    belief = fitted(x, np.full(6, 3.0)).predict(x)
    np.testing.assert_allclose(belief.mean, 3.0)
    assert np.isfinite(belief.total).all()


# --- Foresight, and what earlier campaigns say ----------------------------------------------------------------------


def test_what_is_left_out_is_foreseen_as_if_it_had_never_been_seen() -> None:
    x, y = data(12)
    whole = fitted(x, y).processes[0]
    mean, std = whole.left_out(y)
    rest = np.arange(12) != 4
    by_group = distances(SPACE.groups, x[rest], x[rest])
    without = Process.of(by_group, y[rest], whole.hyperparameters, mean=whole.mean, scale=whole.scale)
    places = Places(distances(SPACE.groups, x[rest], x[4:5]), np.zeros((1, 0)), np.ones(1))
    belief = without.predict(places)
    assert mean[4] == pytest.approx(belief.mean[0], rel=1e-6)
    assert std[4] == pytest.approx(belief.total[0], rel=1e-6)


def test_foresight_tells_a_model_that_predicts_from_one_that_does_not() -> None:
    x, y = data(30)
    shuffled = np.random.default_rng(1).permutation(y)
    assert fit_gaussian_process(SPACE.groups, x, y, seed=0).foresight() > 0.99
    assert fit_gaussian_process(SPACE.groups, x, shuffled, seed=0).foresight() < 0.6
    assert fit_gaussian_process(SPACE.groups, x[:3], y[:3], seed=0).foresight() == 0.5


def error(trend: Trend | None, count: int) -> tuple[float, float]:
    """Of the mean on new designs, and the weight of the processes that follow the trend."""
    x, y = data(count, noise=0.1)
    process = fit_gaussian_process(SPACE.groups, x, y, trend=trend, seed=0)
    new, truth = data(200, 77, noise=0.0)
    followed = sum(w for w, p in zip(process.weights, process.processes, strict=True) if p.trend is not None)
    return float(np.sqrt(np.mean((process.predict(new).mean - truth) ** 2))), float(followed)


def test_a_trend_helps_with_few_results_and_is_dropped_where_it_misleads() -> None:
    def sister(x: np.ndarray) -> np.ndarray:
        return (np.sin(5 * x[:, 0]) + 0.5 * x[:, 2]) / 0.7

    def another(x: np.ndarray) -> np.ndarray:
        return np.cos(9 * x[:, 1]) - 2 * x[:, 3]

    helped, _ = error(Trend((sister,), 0.7), 3)
    assert helped < 0.5 * error(None, 3)[0]
    misled, followed = error(Trend((another,), 0.7), 30)
    assert misled < 1.15 * error(None, 30)[0] and followed < 0.2
    assert error(Trend((sister,), 0.7), 30)[1] > 0.8


def test_with_a_trend_one_result_is_enough() -> None:
    x, y = data(1)
    process = fit_gaussian_process(SPACE.groups, x, y, trend=Trend((lambda x: x[:, 0],), 1.0), seed=0)
    assert np.isfinite(process.predict(x).total).all()
