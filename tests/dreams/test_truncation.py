"""MOPO and MOReL against their formulas; what all rules refuse."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.dreams import Infoprop, MOPOPenalty, MORelHalt, Truncation, imagine
from gedanken.dreams.truncation import Ruling, change, draw, over_data, spread
from gedanken.errors import ConfigError
from gedanken.models.contract import Members, State
from tests.fakes import AnalyticModel, double_integrator

KEY = jax.random.PRNGKey(0)


@eqx.filter_jit
def stepped(rule: Truncation, model: AnalyticModel, state: State, action: jax.Array) -> Ruling:
    return rule.step(model, state, action, KEY, rule.begin(len(action)))


def data(rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(1)
    return draws.standard_normal((rows, 2)), draws.uniform(-1, 1, (rows, 1))


def test_mopo_takes_the_mixture_deviation_off_the_reward() -> None:
    model = double_integrator(noise=0.3, spread=0.2, growth=1.0)
    rule = MOPOPenalty(weight=2.0).fit(model, *data())
    observations, actions = (jnp.asarray(a[:7], jnp.float32) for a in data())
    ruling = stepped(rule, model, State(observations), actions)

    rows, acts = (a.astype(np.float64) for a in data())
    change = rows @ np.asarray(model.transition) + acts @ np.asarray(model.control) - rows
    deviation = np.sqrt(0.3**2 + (0.2 * (1 + np.linalg.norm(rows[:7], axis=1))) ** 2)[:, None]
    penalty = 2.0 * np.linalg.norm(deviation / change.std(0), axis=1)
    plain = model.reward(observations, actions)
    np.testing.assert_allclose(ruling.imagined.reward, plain - penalty, rtol=1e-4)
    assert ruling.keep.all() and not ruling.cut.any()


def test_mopo_of_the_paper_sees_only_stated_noise() -> None:
    model = double_integrator(noise=0.3, spread=5.0)
    ruling = stepped(MOPOPenalty(weight=1.0, of="aleatoric"), model, State(jnp.zeros((1, 2))), jnp.zeros((1, 1)))
    np.testing.assert_allclose(ruling.imagined.reward, -0.3 * np.sqrt(2), rtol=1e-5)


def test_morel_halts_where_members_disagree_more_than_on_the_data() -> None:
    model = double_integrator(spread=0.1, growth=1.0, members=3)
    rule = MORelHalt(quantile=0.5, penalty=7.0).fit(model, *data())
    distance = np.median(np.linalg.norm(data()[0], axis=1))
    inside, outside = 0.9 * distance, 1.1 * distance
    state = State(jnp.array([[inside, 0.0], [0.0, outside]], jnp.float32))
    action = jnp.zeros((2, 1))
    ruling = stepped(rule, model, state, action)
    assert ruling.cut.tolist() == [False, True]
    assert ruling.keep.tolist() == [True, True]
    assert ruling.imagined.terminated.tolist() == [False, True]
    np.testing.assert_allclose(
        ruling.imagined.reward, [float(model.reward(state.observation, action)[0]), -7.0], rtol=1e-5
    )


def test_morel_halts_are_valid_terminations_of_a_rollout() -> None:
    model = double_integrator(spread=0.1, growth=1.0)
    rule = MORelHalt(quantile=0.0, penalty=7.0).fit(model, *data())
    start = State(jnp.full((4, 2), 9.0))
    rollout = imagine(model, lambda o, k: o[:, :1] * 0, start, KEY, horizon=3, truncation=rule)
    assert rollout.valid.sum(0).tolist() == [1] * 4
    assert (rollout.reward[0] == -7.0).all() and rollout.terminated[0].all() and rollout.cut[0].all()


def test_morel_never_halts_members_that_agree() -> None:
    model = double_integrator(noise=0.1)
    rule = MORelHalt().fit(model, *data())
    start = State(jnp.full((4, 2), 50.0))
    rollout = imagine(model, lambda o, k: o[:, :1] * 0, start, KEY, horizon=20, truncation=rule)
    assert rollout.valid.all()


def test_draw_takes_one_member_a_row_with_its_noise() -> None:
    mean = jnp.stack([jnp.full((20_000, 1), -10.0), jnp.full((20_000, 1), 10.0)])
    std = jnp.stack([jnp.full((20_000, 1), 1.0), jnp.full((20_000, 1), 2.0)])
    drawn = np.asarray(draw(Members(mean, std), KEY))[:, 0]
    low, high = drawn[drawn < 0], drawn[drawn > 0]
    assert abs(len(low) / 20_000 - 0.5) < 0.02
    np.testing.assert_allclose([low.mean(), low.std(), high.mean(), high.std()], [-10, 1, 10, 2], atol=0.1)


def test_spread_is_the_law_of_total_variance() -> None:
    draws = np.random.default_rng(2)
    mean, std = draws.standard_normal((4, 5, 3)), draws.uniform(0.1, 1, (4, 5, 3))
    epistemic, aleatoric = spread(Members(jnp.asarray(mean), jnp.asarray(std)))
    np.testing.assert_allclose(epistemic, mean.std(0), rtol=1e-5)
    np.testing.assert_allclose(aleatoric**2 + epistemic**2, (std**2 + mean**2).mean(0) - mean.mean(0) ** 2, rtol=1e-4)


def test_data_of_any_length_are_asked_whole_or_evenly_spaced() -> None:
    model = double_integrator(spread=0.1)
    observations, actions = data(5000)
    expected = observations @ np.asarray(model.transition) + actions @ np.asarray(model.control) - observations
    whole = over_data(change, model, observations, actions)
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    some = over_data(change, model, observations, actions, most_rows=3)
    np.testing.assert_allclose(some, expected[[0, 2500, 4999]], atol=1e-5)


@pytest.mark.parametrize("rule", [Infoprop(), MORelHalt(), MOPOPenalty()])
@pytest.mark.parametrize(
    ("observations", "actions"),
    [
        (np.zeros((0, 2)), np.zeros((0, 1))),
        (np.zeros((4, 3)), np.zeros((4, 1))),
        (np.zeros((4, 2)), np.zeros((5, 1))),
        (np.full((4, 2), np.nan), np.zeros((4, 1))),
        (np.zeros((4, 2)), np.full((4, 1), np.inf)),
    ],
)
def test_rules_refuse_bad_data(rule: Truncation, observations: np.ndarray, actions: np.ndarray) -> None:
    with pytest.raises(ConfigError):
        rule.fit(double_integrator(), observations, actions)


@pytest.mark.parametrize("rule", [Infoprop(), MORelHalt()])
def test_rules_refuse_to_judge_before_they_were_fitted(rule: Truncation) -> None:
    with pytest.raises(ConfigError, match="never fitted"):
        imagine(double_integrator(), lambda o, k: o[:, :1], State(jnp.zeros((1, 2))), KEY, horizon=1, truncation=rule)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="quantile"):
        MORelHalt(quantile=1.5)
    with pytest.raises(ConfigError, match="high"):
        Infoprop(high=-0.1)
    with pytest.raises(ConfigError, match="length"):
        Infoprop(length=0)
    with pytest.raises(ConfigError, match="'mixture'"):
        MOPOPenalty(of="other")  # type: ignore[arg-type]
