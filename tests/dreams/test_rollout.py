"""The rollout against a plain loop, and what may never reach a buffer."""

from __future__ import annotations

from collections import deque
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.dreams import (
    Infoprop,
    MOPOPenalty,
    MORelHalt,
    NoTruncation,
    Rollout,
    Truncation,
    empty_buffer,
    flatten,
    imagine,
    pack,
    sample_rows,
)
from gedanken.errors import ConfigError
from gedanken.models.contract import Imagined, State
from tests.fakes import AnalyticModel, double_integrator

GAIN = jnp.array([[-0.8], [-1.1]])


def push(observation: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.clip(observation @ GAIN, -1.0, 1.0)


def wander(observation: jax.Array, key: jax.Array) -> jax.Array:
    return jax.random.uniform(key, (observation.shape[0], 1), minval=-1.0, maxval=1.0)


def real_data(scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(0)
    return scale * draws.standard_normal((500, 2)), draws.uniform(-1, 1, (500, 1))


rolled = eqx.filter_jit(imagine)


def test_a_deterministic_rollout_is_the_plain_loop() -> None:
    model = double_integrator(limit=1.2)
    start = model.start(None, jax.random.PRNGKey(0), batch=6)
    horizon = 15
    rollout = rolled(model, push, start, jax.random.PRNGKey(1), horizon=horizon)

    transition, control, gain = (np.asarray(a, np.float64) for a in (model.transition, model.control, GAIN))
    ends = 0
    for row in range(6):
        now = np.asarray(start.observation[row], np.float64)
        for step in range(horizon):
            action = np.clip(now @ gain, -1, 1)
            after = now @ transition + action @ control
            assert rollout.valid[step, row]
            np.testing.assert_allclose(rollout.observation[step, row], now, atol=1e-5)
            np.testing.assert_allclose(rollout.action[step, row], action, atol=1e-5)
            np.testing.assert_allclose(rollout.next_observation[step, row], after, atol=1e-5)
            np.testing.assert_allclose(rollout.reward[step, row], -(now**2).sum() - 0.1 * (action**2).sum(), rtol=1e-4)
            assert rollout.terminated[step, row] == (abs(after[0]) > 1.2)
            assert rollout.cost["steps"][step, row] == 1.0
            if abs(after[0]) > 1.2:
                assert not rollout.valid[step + 1 :, row].any()
                ends += 1
                break
            now = after
    assert 0 < ends < 6, "the test must see both endings"


RULES: list[Truncation] = [
    NoTruncation(),
    MOPOPenalty(weight=1.0),
    MORelHalt(quantile=0.9),
    Infoprop(high=0.9, length=6),
]


@settings(max_examples=24, deadline=None)
@given(
    horizon=st.sampled_from([1, 2, 9]),
    limit=st.floats(0.5, 3.0),
    growth=st.floats(0.0, 3.0),
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 2**31 - 1),
)
def test_nothing_is_valid_past_a_termination_or_a_cut(
    horizon: int, limit: float, growth: float, rule: Truncation, seed: int
) -> None:
    model = double_integrator(limit=limit, noise=0.2, spread=0.1, growth=growth)
    key = jax.random.PRNGKey(seed)
    truncation = rule.fit(model, *real_data(0.7))
    start = State(jax.random.normal(key, (32, 2)))
    rollout = rolled(model, wander, start, key, horizon=horizon, truncation=truncation)
    check_ends(rollout)
    # An episode goes on until the horizon unless it ended for a reason, so that too little is not valid either.
    whole = np.asarray(rollout.valid).all(0)
    ended = np.asarray(rollout.terminated | rollout.cut).any(0)
    assert (whole | ended).all()


def check_ends(rollout: Rollout) -> None:
    """Recomputes which transitions may be valid from the model's own answers."""
    valid, cut = np.asarray(rollout.valid), np.asarray(rollout.cut)
    ends = np.asarray(rollout.terminated) | cut
    over_before = (np.cumsum(ends, 0) - ends) > 0
    assert not (valid & over_before).any()
    assert ends.sum(0).max() <= 1
    assert (valid | over_before | cut).all()


def test_rules_that_cut_do_cut_here() -> None:
    """The property above would hold for rules that never cut."""
    model = double_integrator(noise=0.2, spread=0.1, growth=2.0)
    start_key = jax.random.PRNGKey(0)
    start = State(2.0 * jax.random.normal(start_key, (32, 2)))
    cuts = [
        int(rolled(model, wander, start, start_key, horizon=9, truncation=rule.fit(model, *real_data(0.7))).cut.sum())
        for rule in RULES
    ]
    assert cuts[:2] == [0, 0] and min(cuts[2:]) > 10


def test_overflow_is_cut_and_never_valid() -> None:
    model = AnalyticModel.create([[1e15]], [[0.0]], limit=np.inf)
    rollout = rolled(model, wander, State(jnp.ones((3, 1))), jax.random.PRNGKey(0), horizon=6)
    assert rollout.valid.sum(0).tolist() == [2, 2, 2]  # then the reward overflows
    assert rollout.cut.sum(0).tolist() == [1, 1, 1]
    assert np.isfinite(rollout.next_observation[rollout.valid]).all()
    assert np.isfinite(rollout.reward[rollout.valid]).all()


def test_all_randomness_comes_from_the_key() -> None:
    model = double_integrator(noise=0.3)
    start = model.start(None, jax.random.PRNGKey(0), batch=4)
    one, same, other = (rolled(model, wander, start, jax.random.PRNGKey(k), horizon=5) for k in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert not np.allclose(one.next_observation, other.next_observation)


def test_members_are_asked_only_where_the_rule_needs_it() -> None:
    class OneMemberOnly(AnalyticModel):
        def step(self, state: State, action: Any, key: jax.Array) -> Imagined:
            raise AssertionError("all members were asked")

    model = OneMemberOnly.create([[0.9]], [[0.1]], spread=0.1)
    start = State(jnp.ones((2, 1)))
    rollout = imagine(model, wander, start, jax.random.PRNGKey(0), horizon=2)
    assert np.isnan(rollout.epistemic).all() and np.isnan(rollout.confidence).all()
    with pytest.raises(AssertionError, match="all members"):
        imagine(model, wander, start, jax.random.PRNGKey(0), horizon=2, truncation=NoTruncation(ask_all=True))


def test_ask_all_fills_in_the_uncertainties() -> None:
    model = double_integrator(spread=0.2, noise=0.1)
    start = model.start(None, jax.random.PRNGKey(0), batch=3)
    rollout = imagine(model, push, start, jax.random.PRNGKey(0), horizon=2, truncation=NoTruncation(ask_all=True))
    np.testing.assert_allclose(rollout.epistemic, 0.2, rtol=1e-5)
    np.testing.assert_allclose(rollout.aleatoric, 0.1, rtol=1e-5)
    np.testing.assert_allclose(rollout.confidence, 1 / 1.2, rtol=1e-5)


def test_gradients_flow_through_a_rollout() -> None:
    model = double_integrator()
    start = model.start(None, jax.random.PRNGKey(0), batch=4)

    @jax.jit
    def total(gain: jax.Array) -> jax.Array:
        rollout = imagine(model, lambda o, k: o @ gain, start, jax.random.PRNGKey(1), horizon=5)
        return jnp.sum(rollout.reward)

    gradient = jax.grad(total)(GAIN)
    nudge = 1e-2
    for i in range(2):
        away = jnp.zeros_like(GAIN).at[i].set(nudge)
        slope = (total(GAIN + away) - total(GAIN - away)) / (2 * nudge)
        np.testing.assert_allclose(gradient[i, 0], slope, rtol=2e-3)


def test_an_empty_horizon_is_refused() -> None:
    model = double_integrator()
    with pytest.raises(ConfigError, match="horizon=0"):
        imagine(model, push, State(jnp.zeros((1, 2))), jax.random.PRNGKey(0), horizon=0)


# --- Buffer --------------------------------------------------------------------------------------------------------

packed = jax.jit(pack)


@settings(max_examples=60, deadline=None)
@given(
    masks=st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=5),
    capacity=st.sampled_from([1, 4, 9, 20]),
)
def test_a_buffer_holds_what_a_deque_holds(masks: list[list[bool]], capacity: int) -> None:
    buffer = empty_buffer({"x": jnp.zeros((9, 2))}, capacity)
    expected: deque[float] = deque(maxlen=capacity)
    for round_, mask in enumerate(masks):
        # No 0 among the values, so that a stale zero shows.
        numbers = 1.0 + 100.0 * round_ + np.arange(9)
        buffer = packed(buffer, {"x": jnp.asarray(np.stack([numbers, -numbers], 1), jnp.float32)}, jnp.asarray(mask))
        expected.extend(numbers[np.asarray(mask)])
    size = int(buffer.size)
    assert size == len(expected)
    stored = np.asarray(buffer.items["x"])[:size]
    assert sorted(stored[:, 0]) == sorted(expected)
    np.testing.assert_array_equal(stored[:, 1], -stored[:, 0])
    if size:
        drawn = np.asarray(sample_rows(buffer, jax.random.PRNGKey(0), 50)["x"])
        assert set(drawn[:, 0]) <= set(expected)


def test_only_valid_transitions_are_packed() -> None:
    model = double_integrator(limit=0.8, noise=0.1)
    start = model.start({"scale": 0.3}, jax.random.PRNGKey(0), batch=16)
    rollout = rolled(model, wander, start, jax.random.PRNGKey(1), horizon=20)
    items, valid = flatten(rollout)
    assert 0 < int(valid.sum()) < valid.size
    buffer = packed(empty_buffer(items, 1000), items, valid)
    stored = jax.tree.map(lambda leaf: np.asarray(leaf)[: int(buffer.size)], buffer.items)
    assert len(stored.reward) == int(valid.sum())
    assert (np.abs(stored.observation[:, 0]) <= 0.8 + 1e-6).all() or int(buffer.size) > 16
    np.testing.assert_array_equal(stored.terminated, np.abs(stored.next_observation[:, 0]) > 0.8)
    after = stored.observation @ np.asarray(model.transition) + stored.action @ np.asarray(model.control)
    assert np.abs(after - stored.next_observation).max() < 0.1 * 6  # rows were not mixed up


def test_a_buffer_without_a_row_is_refused() -> None:
    with pytest.raises(ConfigError, match="capacity=0"):
        empty_buffer(jnp.zeros((1,)), 0)
