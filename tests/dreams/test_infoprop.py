"""Infoprop against closed forms and a plain NumPy computation in float64."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from gedanken.dreams import Infoprop, imagine
from gedanken.dreams.infoprop import entropy, fuse
from gedanken.models.contract import Members, State
from tests.fakes import double_integrator

KEY = jax.random.PRNGKey(0)


def still(observation: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.zeros((observation.shape[0], 1))


def data(scale: float = 1.0, rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(1)
    return scale * draws.standard_normal((rows, 2)), draws.uniform(-1, 1, (rows, 1))


def test_fusion_is_the_papers_in_float64() -> None:
    draws = np.random.default_rng(0)
    mean, std = draws.standard_normal((5, 8, 3)), np.exp(draws.uniform(-6, 2, (5, 8, 3)))
    fused = fuse(Members(jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)))
    variance = 1 / (1 / std**2).mean(0)
    middle = variance * (mean / std**2).mean(0)
    epistemic = ((mean - middle) ** 2).mean(0)
    gain = variance / (variance + epistemic)
    np.testing.assert_allclose(fused.variance, variance, rtol=1e-4)
    np.testing.assert_allclose(fused.mean, middle, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(fused.epistemic_variance, epistemic, rtol=1e-3)
    np.testing.assert_allclose(fused.gain, gain, rtol=1e-3)
    np.testing.assert_allclose(fused.conditional_variance, (1 - gain) * variance, rtol=1e-3)


def test_gain_runs_from_one_to_zero_with_disagreement() -> None:
    for spread, gain in ((0.0, 1.0), (0.1, 0.5), (100.0, 1e-6)):
        model = double_integrator(noise=0.1, spread=spread)
        fused = fuse(model.members(State(jnp.ones((2, 2))), jnp.zeros((2, 1))))
        np.testing.assert_allclose(fused.gain, gain, rtol=1e-3)
        np.testing.assert_allclose(fused.conditional_variance, (1 - gain) * 0.01, rtol=1e-3, atol=1e-9)


def test_members_without_noise_do_not_break_the_numbers() -> None:
    fused = fuse(double_integrator(noise=0.0, spread=0.5).members(State(jnp.ones((1, 2))), jnp.zeros((1, 1))))
    assert all(np.isfinite(part).all() for part in fused)


def test_entropy_is_that_of_a_gaussian_in_bits() -> None:
    stds = np.array([1e-4, 0.3, 1.0, 25.0])
    np.testing.assert_allclose(entropy(jnp.asarray(stds**2)), stats.norm(scale=stds).entropy() / np.log(2), rtol=1e-5)


def test_limits_are_quantiles_of_the_data() -> None:
    model = double_integrator(noise=0.2, spread=0.1, growth=1.0)
    observations, actions = data()
    rule = Infoprop(length=50, low=0.05, high=0.9).fit(model, observations, actions)
    aleatoric = 0.2**2
    epistemic = (0.1 * (1 + np.linalg.norm(observations, axis=1))) ** 2
    bits = 0.5 * np.log2(2 * np.pi * np.e * aleatoric * epistemic / (aleatoric + epistemic))
    bin_ = np.quantile(bits, 0.05) - 1
    lost = np.maximum(bits - bin_, 0)
    np.testing.assert_allclose(rule.bin, bin_, rtol=1e-4)
    np.testing.assert_allclose(rule.per_step, np.quantile(lost, 0.9), rtol=1e-4)
    np.testing.assert_allclose(rule.accumulated, 50 * np.quantile(lost, 0.05), rtol=1e-4)
    ten = 0.5 * np.log2(2 * np.pi * np.e * 10.0) - bin_
    np.testing.assert_allclose(rule.lost(jnp.asarray([[1e-3, 10.0]])), [[0.0, ten]], rtol=1e-3)


def test_members_that_agree_are_never_cut() -> None:
    model = double_integrator(noise=0.3)
    rule = Infoprop(length=200).fit(model, *data(0.1))
    start = State(50.0 * jax.random.normal(KEY, (16, 2)))
    rollout = imagine(model, still, start, KEY, horizon=200, truncation=rule)
    assert rollout.valid.all() and not rollout.cut.any()


def test_large_disagreement_is_cut_at_once_and_not_kept() -> None:
    model = double_integrator(noise=0.3, spread=0.01, growth=1.0)
    rule = Infoprop().fit(model, *data(0.5))
    start = State(jnp.array([[0.0, 0.0], [100.0, 0.0]], jnp.float32))
    rollout = imagine(model, still, start, KEY, horizon=5, truncation=rule)
    assert rollout.cut[0].tolist() == [False, True]
    assert rollout.valid[:, 1].sum() == 0
    assert rollout.valid[0, 0]


def test_a_rollout_lasts_its_length_where_every_step_loses_the_same() -> None:
    model = double_integrator(noise=0.3, spread=0.2)  # everywhere the same disagreement: one bit a step
    rule = Infoprop(length=7).fit(model, *data())
    np.testing.assert_allclose(rule.per_step, 1.0, rtol=1e-5)
    rollout = imagine(model, still, State(jnp.zeros((3, 2))), KEY, horizon=12, truncation=rule)
    assert rollout.valid.sum(0).tolist() == [7, 7, 7]
    assert rollout.cut.argmax(0).tolist() == [7, 7, 7]


def test_only_the_aleatoric_part_is_propagated() -> None:
    model = double_integrator(noise=0.1, spread=1.0)
    rule = Infoprop().fit(model, *data())
    state = State(jnp.zeros((20_000, 2)))
    ruling = eqx.filter_jit(rule.step)(model, state, jnp.zeros((20_000, 1)), KEY, rule.begin(20_000))
    np.testing.assert_allclose(np.asarray(ruling.imagined.state.observation).std(0), 0.1, rtol=0.03)
    np.testing.assert_allclose(ruling.imagined.epistemic[0], 1.0, rtol=1e-4)
    np.testing.assert_allclose(ruling.imagined.aleatoric[0], 0.1, rtol=1e-4)
