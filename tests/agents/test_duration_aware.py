"""Weights by duration, the gradients they change, and what almost correct programs earn."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ml_duration import POLICY, Columns, gradient
from gedanken.agents.duration_aware import (
    PartialCredit,
    PolicyGradient,
    SoftmaxPolicy,
    advantages,
    duration_weights,
    policy_gradient_loss,
    pure_duration_weights,
)
from gedanken.errors import ConfigError

durations = st.lists(st.floats(1e-3, 1e6), min_size=6, max_size=6)
"""Always as many: each other number would be compiled anew."""
pure = jax.jit(pure_duration_weights)


@given(durations)
def test_weights_are_one_on_average_and_in_proportion_to_durations(lasted: list[float]) -> None:
    weights = duration_weights(lasted)
    assert weights.mean() == pytest.approx(1.0)
    np.testing.assert_allclose(weights * lasted[0], weights[0] * np.array(lasted), rtol=1e-9)
    np.testing.assert_allclose(pure(jnp.array(lasted)), weights, rtol=1e-4)


def test_a_unit_of_time_changes_no_weight_however_large() -> None:
    np.testing.assert_allclose(duration_weights([1e308, 1e308, 1e307]), duration_weights([10, 10, 1]))


@pytest.mark.parametrize("wrong", [[], [1.0, 0.0], [1.0, -2.0], [np.nan, 1.0], [np.inf], [[1.0]], 1.0])
def test_what_is_no_duration_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="duration"):
        duration_weights(wrong)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_inside_a_program_what_is_no_duration_gives_nan(wrong: float) -> None:
    lasted = jnp.array([1.0, wrong])
    assert jnp.isnan(pure(lasted)).all()
    assert jnp.isnan(policy_gradient_loss(jnp.zeros(2), jnp.ones(2), lasted))


def test_advantages_are_above_what_was_expected() -> None:
    rewards = jnp.array([1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(advantages(rewards), [0.75, -0.25, -0.25, -0.25])
    np.testing.assert_allclose(
        advantages(rewards, weights=jnp.array([3.0, 1.0, 0.0, 0.0])), [0.25, -0.75, -0.75, -0.75]
    )
    np.testing.assert_allclose(advantages(rewards, baseline=0.5), rewards - 0.5)
    np.testing.assert_allclose(advantages(rewards, baseline=rewards), 0.0)


def loss(logits: jax.Array, actions: jax.Array, better: jax.Array, lasted: jax.Array | None) -> jax.Array:
    return policy_gradient_loss(jax.nn.log_softmax(logits)[actions], better, lasted)


slope = jax.jit(jax.grad(loss))


def test_no_gradient_flows_through_advantages_and_weights() -> None:
    logs = jnp.array([-1.0, -2.0])
    for argument in (1, 2):
        through = jax.grad(policy_gradient_loss, argument)(logs, jnp.array([1.0, -1.0]), jnp.array([1.0, 60.0]))
        np.testing.assert_array_equal(through, 0.0)


@given(st.floats(1e-2, 1e4), st.integers(0, 100))
def test_equal_durations_give_the_plain_gradient(lasted: float, seed: int) -> None:
    draws = np.random.default_rng(seed)
    logits, better = jnp.array(draws.normal(size=3)), jnp.array(draws.normal(size=8))
    actions = jnp.array(draws.integers(3, size=8))
    weighed = slope(logits, actions, better, jnp.full(8, lasted))
    np.testing.assert_allclose(weighed, slope(logits, actions, better, None), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weighed", [False, True])
def test_the_benchmark_measures_the_gradient_of_this_loss(weighed: bool) -> None:
    draws = np.random.default_rng(0)
    runs = Columns(draws.integers(len(POLICY), size=30), draws.normal(size=30), draws.uniform(0.5, 60.0, 30))
    lasted = jnp.array(runs.durations) if weighed else None
    better = advantages(jnp.array(runs.rewards), weights=lasted)
    own = -slope(jnp.log(POLICY), jnp.array(runs.actions), better, lasted)
    np.testing.assert_allclose(gradient(runs, weighed), own, rtol=1e-4, atol=1e-6)


def test_weights_restore_the_true_gradient_where_runs_arrive_by_the_inverse_of_their_durations() -> None:
    # Two actions of equal probability, 1 s and 60 s: sixty runs of the first for each of the second.
    actions, rewards = jnp.array([0] * 60 + [1]), jnp.array([0.0] * 60 + [1.0])
    lasted = jnp.array([1.0] * 60 + [60.0])
    better = advantages(rewards, weights=lasted)
    np.testing.assert_allclose(-slope(jnp.zeros(2), actions, better, lasted), [-0.25, 0.25], rtol=1e-5)
    plain = -slope(jnp.zeros(2), actions, advantages(rewards), None)
    assert abs(plain[1]) < 0.02


@pytest.mark.parametrize("duration_aware", [False, True])
def test_a_policy_learns_which_action_is_best(duration_aware: bool) -> None:
    step, policy = PolicyGradient(duration_aware=duration_aware, learning_rate=1.0), SoftmaxPolicy.uniform(3)
    memory = step.begin(policy)
    for _ in range(100):
        policy, memory = step.update(policy, memory, [0, 1, 2], [0.0, 1.0, 0.5], [1.0, 2.0, 3.0])
    assert policy.probabilities()[1] > 0.9
    assert policy.probabilities().sum() == pytest.approx(1.0, abs=1e-12)


def test_features_tell_tasks_apart() -> None:
    step, policy = PolicyGradient(duration_aware=False, learning_rate=1.0, momentum=0.5), SoftmaxPolicy.uniform(2, 2)
    memory, features = step.begin(policy), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    for _ in range(50):
        policy, memory = step.update(policy, memory, [0, 1, 0, 1], [1.0, 0.0, 0.0, 1.0], np.ones(4), features)
    found = policy.probabilities(jnp.eye(2))
    assert found[0, 0] > 0.9 and found[1, 1] > 0.9


@pytest.mark.parametrize(
    ("actions", "rewards", "lasted"),
    [
        ([0, 2], [1.0, 1.0], [1.0, 1.0]),
        ([0, -1], [1.0, 1.0], [1.0, 1.0]),
        ([0.0, 1.0], [1.0, 1.0], [1.0, 1.0]),
        ([0], [1.0, 1.0], [1.0, 1.0]),
        ([0, 1], [1.0, np.nan], [1.0, 1.0]),
        ([0, 1], [1.0, 1.0], [1.0, 0.0]),
    ],
)
def test_what_is_no_batch_is_refused(actions: list, rewards: list, lasted: list) -> None:
    step, policy = PolicyGradient(duration_aware=True), SoftmaxPolicy.uniform(2)
    with pytest.raises(ConfigError):
        step.update(policy, step.begin(policy), actions, rewards, lasted)


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"learning_rate": 0.0}, {"learning_rate": np.nan}, {"momentum": 1.0}):
        with pytest.raises(ConfigError):
            PolicyGradient(duration_aware=True, **wrong)
    for actions, features in ((0, 0), (2, -1)):
        with pytest.raises(ConfigError):
            SoftmaxPolicy.uniform(actions, features)


@given(
    stages=st.integers(0, 10),
    failure=st.floats(-10, 10),
    a_stage=st.floats(0, 1),
    above=st.floats(0.01, 5),
    score=st.floats(0, 5),
    data=st.data(),
)
def test_credit_grows_with_stages_and_any_success_is_worth_more(
    stages: int, failure: float, a_stage: float, above: float, score: float, data: st.DataObject
) -> None:
    credit = PartialCredit(stages, failure, a_stage, failure + a_stage * stages + above, score)
    failed = [credit.reward(reached, succeeded=False) for reached in range(stages + 1)]
    assert failed == sorted(failed)
    scores = sorted(data.draw(st.lists(st.floats(0, 1), min_size=1, max_size=5)))
    reached = data.draw(st.integers(0, stages))
    succeeded = [credit.reward(reached, succeeded=True, score=each) for each in scores]
    assert succeeded == sorted(succeeded)
    assert max(failed) < min(succeeded)


def test_credit_in_numbers() -> None:
    credit = PartialCredit(stages=4, failure=-1.0, a_stage=0.1)
    assert credit.reward(3, succeeded=False) == pytest.approx(-0.7)
    assert credit.reward(0, succeeded=True, score=0.8) == pytest.approx(1.8)


@pytest.mark.parametrize(
    "wrong",
    [{"stages": -1}, {"a_stage": -0.1}, {"a_stage": 0.25}, {"success": 0.0}, {"score": -1.0}, {"failure": np.nan}],
)
def test_credit_that_would_reward_failing_is_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        PartialCredit(**{"stages": 4, **wrong})


@pytest.mark.parametrize(("reached", "score"), [(5, 0.0), (-1, 0.0), (2, 1.1), (2, -0.1), (2, np.nan)])
def test_what_no_program_can_have_done_is_refused(reached: int, score: float) -> None:
    with pytest.raises(ConfigError):
        PartialCredit(stages=4).reward(reached, succeeded=True, score=score)
