"""Layers against NumPy, and the standardiser that every prediction passes through."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.models.networks import MLP, LayerNorm, Linear, Standardiser

KEY = jax.random.key(0)


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def test_a_linear_layer_is_a_product_and_a_bias() -> None:
    layer = Linear(3, 4, key=KEY)
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_allclose(layer(x), x @ np.asarray(layer.weight), rtol=1e-5)
    assert np.abs(layer.weight).max() <= 1 / np.sqrt(3)
    assert np.abs(Linear(3, 4, key=KEY, scale=0.1).weight).max() <= 0.1 / np.sqrt(3)


def test_layer_norm_is_that_of_the_paper() -> None:
    x = 5.0 + 2.0 * np.random.default_rng(0).standard_normal((7, 20))
    norm = LayerNorm(20)
    norm = jax.tree.map(lambda leaf: leaf + 0.5, norm)
    wanted = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * 1.5 + 0.5
    np.testing.assert_allclose(norm(jnp.asarray(x, jnp.float32)), wanted, atol=1e-4)


def test_layer_norm_of_a_constant_row_is_finite() -> None:
    norm = LayerNorm(8)
    x = jnp.full((1, 8), 1234.567)
    np.testing.assert_allclose(norm(x), 0.0, atol=0.1)
    assert np.isfinite(jax.grad(lambda x: norm(x).sum())(x)).all()


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_network_is_its_layers_in_turn(layer_norm: bool) -> None:
    network = MLP(3, 2, width=8, depth=2, key=KEY, layer_norm=layer_norm)
    x = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    expected = x
    for layer in network.layers[:-1]:
        expected = expected @ np.asarray(layer.weight) + np.asarray(layer.bias)
        if layer_norm:
            expected = (expected - expected.mean(-1, keepdims=True)) / np.sqrt(expected.var(-1, keepdims=True) + 1e-5)
        expected = silu(expected)
    expected = expected @ np.asarray(network.layers[-1].weight) + np.asarray(network.layers[-1].bias)
    np.testing.assert_allclose(network(x), expected, atol=1e-5)
    assert [layer.weight.shape for layer in network.layers] == [(3, 8), (8, 8), (8, 2)]


def test_a_network_takes_any_leading_shape() -> None:
    network = MLP(3, 2, width=8, depth=1, key=KEY)
    x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(network(x)[2, 3], network(x[2, 3]), rtol=1e-5)


def test_the_same_key_makes_the_same_network_and_its_layers_differ() -> None:
    one, same, other = (MLP(8, 8, width=8, depth=2, key=jax.random.key(k)) for k in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(same), strict=True))
    assert not np.array_equal(one.layers[0].weight, other.layers[0].weight)
    assert not np.array_equal(one.layers[0].weight, one.layers[1].weight)


def test_signals_neither_fade_nor_explode_through_a_deep_network() -> None:
    network = MLP(30, 30, width=200, depth=4, key=KEY, activation=lambda x: x)
    spread = float(network(jax.random.normal(KEY, (500, 30))).std())
    assert 0.4 < spread < 1.2


# --- Standardiser ---------------------------------------------------------------------------------------------------


def rows(seed: int = 0, count: int = 400) -> np.ndarray:
    draws = np.random.default_rng(seed).standard_normal((count, 3))
    return (draws * [1.0, 1e-3, 50.0] + [0.0, 2.0, -300.0]).astype(np.float32)


def test_what_is_fitted_comes_out_with_mean_0_and_deviation_1() -> None:
    values = rows()
    standardiser = Standardiser.of(values, jnp.ones(len(values)))
    np.testing.assert_allclose(standardiser.mean, values.astype(np.float64).mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(standardiser.std, values.astype(np.float64).std(0), rtol=1e-3)
    standard = np.asarray(standardiser.into(values))
    np.testing.assert_allclose(standard.mean(0), 0.0, atol=1e-2)
    np.testing.assert_allclose(standard.std(0), 1.0, atol=1e-2)


@given(st.integers(0, 1000), st.floats(-100, 100), st.floats(1e-3, 1e3))
def test_there_and_back_is_the_identity(seed: int, mean: float, std: float) -> None:
    values = np.random.default_rng(seed).normal(mean, std, (50, 2)).astype(np.float32)
    standardiser = Standardiser.of(values, jnp.ones(50))
    back = np.asarray(standardiser.back(standardiser.into(values)))
    np.testing.assert_allclose(back, values, atol=1e-5 * (abs(mean) + std))


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -1000.3, 123456.7, 1e-8])
@pytest.mark.parametrize("count", [1, 7, 30_011])
def test_a_constant_feature_comes_back_exactly(value: float, count: int) -> None:
    values = np.full((count, 1), value, np.float32)
    standardiser = Standardiser.of(values, jnp.ones(count))
    assert float(standardiser.std[0]) == 0.0
    said = np.random.default_rng(0).standard_normal((5, 1)).astype(np.float32)
    assert (np.asarray(standardiser.back(said)) == values[0]).all()
    # On the way in it is only shifted, so that a network sees when it does vary one day.
    np.testing.assert_allclose(standardiser.into(values[:1] + 0.5), 0.5, rtol=2e-2)


def test_a_feature_that_hardly_varies_still_varies() -> None:
    values = np.where(np.arange(100)[:, None] % 2 == 0, 1.0, 1.001).astype(np.float32)
    assert float(Standardiser.of(values, jnp.ones(100)).std[0]) == pytest.approx(5e-4, rel=1e-2)


@pytest.mark.parametrize("garbage", [1e30, np.nan, np.inf])
def test_rows_of_no_weight_have_no_say_whatever_they_hold(garbage: float) -> None:
    values = rows(count=100)
    padded = np.concatenate([values, np.full((28, 3), garbage, np.float32)])
    zeros = np.concatenate([values, np.zeros((28, 3), np.float32)])
    weights = jnp.asarray((np.arange(128) < 100).astype(np.float32))
    one, other = Standardiser.of(padded, weights), Standardiser.of(zeros, weights)
    assert np.array_equal(one.mean, other.mean)
    assert np.array_equal(one.std, other.std)
    np.testing.assert_allclose(one.std, Standardiser.of(values, jnp.ones(100)).std, rtol=1e-5)


def test_without_any_row_it_is_finite() -> None:
    standardiser = Standardiser.of(rows(count=4), jnp.zeros(4))
    assert np.isfinite(standardiser.mean).all() and np.isfinite(standardiser.std).all()


def test_the_identity_changes_nothing() -> None:
    values = rows()
    identity = Standardiser.identity(3)
    assert np.array_equal(identity.into(values), values)
    assert np.array_equal(identity.back(values), values)
