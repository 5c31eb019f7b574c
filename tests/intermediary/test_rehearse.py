"""Rehearsals against what is known in closed form of a linear system."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.experience.codec import Codec
from gedanken.intermediary import rehearse as module
from gedanken.intermediary.rehearse import Rehearsal, rehearse
from gedanken.models.contract import Imagined, State
from gedanken.models.ensemble import Ensemble, EnsembleConfig
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator, falling_pole
from tests.intermediary.compiling import compilations

GAIN = jnp.array([[-0.8], [-1.1]])
CODEC = AnalyticEnv().codec  # raw actions are in [-2, 2]
LINE = Codec(gym.spaces.Box(-np.inf, np.inf, (1,), np.float32), gym.spaces.Box(-1.0, 1.0, (1,), np.float32))
KEY = jax.random.key(0)
SHARED: Any = {"horizon": 10, "samples": 65}  # one program for several tests


def push(observation: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.clip(observation @ GAIN, -1.0, 1.0)


def walk(**changes: Any) -> AnalyticModel:
    """One number that the action moves by itself: next = now + action."""
    return AnalyticModel.create([[1.0]], [[1.0]], **changes)


class Hazard(AnalyticModel):
    """The linear system, but every step ends the episode with probability `limit`."""

    def conclude(self, state: State, action: Any, next_observation: Any, key: jax.Array) -> Imagined:
        imagined = super().conclude(state, action, next_observation, key)
        return imagined._replace(termination_probability=jnp.broadcast_to(self.limit, imagined.reward.shape))


class Cliff(AnalyticModel):
    """The linear system, but its reward is no number above `limit`."""

    def conclude(self, state: State, action: Any, next_observation: Any, key: jax.Array) -> Imagined:
        imagined = super().conclude(state, action, next_observation, key)
        sound = jnp.where(next_observation[:, 0] > self.limit, jnp.nan, imagined.reward)
        return imagined._replace(reward=sound, termination_probability=jnp.zeros_like(sound))


class Bounded(AnalyticModel):
    """The linear system with a calibrated interval of a known width around its mean."""

    def interval(self, state: State, action: Any, level: float) -> tuple[jax.Array, jax.Array]:
        mean = self.members(state, action).mean.mean(0)
        return mean - level, jnp.where(mean > 1e6, mean, mean + self.limit)


def loop(start: list[float], first: float, policy: Callable[[np.ndarray], float], horizon: int) -> dict[str, Any]:
    """The double integrator in a plain loop of double precision. `first` is encoded."""
    model = double_integrator(limit=1.2)
    transition, control = np.asarray(model.transition, np.float64), np.asarray(model.control, np.float64)
    now, total, seen, steps = np.array(start), 0.0, [], 0
    for step in range(horizon):
        action = np.array([first if step == 0 else policy(now)])
        total += 0.9**step * -((now**2).sum() + 0.1 * (action**2).sum())
        now = now @ transition + action @ control
        seen.append(now)
        steps += 1
        if abs(now[0]) > 1.2:
            break
    return {"return": total, "seen": np.array(seen), "steps": steps, "ends": abs(seen[-1][0]) > 1.2}


@pytest.mark.parametrize("steered", [True, False])
def test_without_noise_a_rehearsal_is_the_plain_loop(steered: bool) -> None:
    model, raw = double_integrator(limit=1.2), [-2.0, 0.5, 2.0]
    found = rehearse(
        model,
        np.array([1.0, 0.8]),
        [np.array([action]) for action in raw],
        codec=CODEC,
        policy=push if steered else None,
        horizon=6,
        samples=5,
        key=KEY,
        discount=0.9,
    )
    ends = []
    for action, rehearsal in zip(raw, found, strict=True):

        def repeated(now: np.ndarray, action: float = action) -> float:
            return action / 2

        def steering(now: np.ndarray) -> float:
            return float(np.clip(now @ np.asarray(GAIN, np.float64), -1, 1)[0])

        truth = loop([1.0, 0.8], action / 2, steering if steered else repeated, 6)
        assert rehearsal.action == action
        assert rehearsal.returns == pytest.approx([truth["return"]] * 4, rel=1e-4), "every sample is the same"
        assert rehearsal.ends == truth["ends"]
        np.testing.assert_allclose(rehearsal.next_observation, truth["seen"][0], rtol=1e-5)
        np.testing.assert_allclose(rehearsal.lowest, truth["seen"].min(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(rehearsal.highest, truth["seen"].max(0), rtol=1e-4, atol=1e-5)
        assert rehearsal.cost == {"steps": pytest.approx(truth["steps"])}
        assert (rehearsal.confidence, rehearsal.least_confidence, rehearsal.known) == (1.0, 1.0, True)
        assert math.isnan(rehearsal.epistemic_share), "nothing is in doubt, so nothing has a share of it"
        assert (rehearsal.lost, rehearsal.horizon, rehearsal.samples) == (0.0, 6, 5)
        ends.append(truth["ends"])
    assert set(ends) == {True, False}, "the test must see both endings"


def test_noise_spreads_the_outcome_as_it_should() -> None:
    model = walk(noise=0.5)
    (one,) = rehearse(model, np.array([2.0]), [np.array([-0.5])], codec=LINE, horizon=1, samples=4_000, key=KEY)
    assert one.next_observation == pytest.approx([1.5])
    assert one.next_low == pytest.approx([1.5 - 1.645 * 0.5], abs=0.05)
    assert one.next_high == pytest.approx([1.5 + 1.645 * 0.5], abs=0.05)
    assert one.lowest == pytest.approx([1.5 - 1.645 * 0.5], abs=0.05)
    assert one.highest == pytest.approx([1.5 + 1.645 * 0.5], abs=0.05)
    assert one.interval == "sampled" and one.epistemic_share == 0.0

    (two,) = rehearse(model, np.array([2.0]), [np.array([-0.5])], codec=LINE, horizon=2, samples=4_000, key=KEY)
    # E[x1^2] = mean^2 + variance, and its variance is 4 mean^2 variance + 2 variance^2.
    expected = -(2.0**2 + 0.1 * 0.25) - (1.5**2 + 0.25 + 0.1 * 0.25)
    deviation = math.sqrt(4 * 1.5**2 * 0.25 + 2 * 0.25**2)
    assert two.returns.mean == pytest.approx(expected, abs=4 * deviation / math.sqrt(4_000))
    assert two.draws.returns.std() == pytest.approx(deviation, rel=0.1)
    assert two.returns.low < two.returns.median < two.returns.high


def test_a_sample_stays_with_its_member() -> None:
    """What members disagree about adds up over the horizon; changing members would let it average out."""
    model = walk(spread=0.1, members=5)
    (found,) = rehearse(model, np.array([0.0]), [np.array([0.0])], codec=LINE, key=KEY, **SHARED)
    away = 10 * 0.1 * math.sqrt(2)  # five offsets from -1 to 1 have the standard deviation 1/sqrt(2)
    assert found.highest == pytest.approx([away], rel=1e-4)
    assert found.lowest == pytest.approx([-away], rel=1e-4)
    assert found.epistemic_share == 1.0


def test_epistemic_share_is_that_of_the_variance() -> None:
    model = walk(spread=0.3, noise=0.4)
    (found,) = rehearse(model, np.array([0.0]), [np.array([0.0])], codec=LINE, key=KEY, **SHARED)
    assert found.epistemic_share == pytest.approx(0.09 / (0.09 + 0.16))


def test_the_probability_of_an_end_is_exact_and_so_is_what_it_cuts_off() -> None:
    model = Hazard.create([[1.0]], [[1.0]], limit=0.1, alive=1.0, state_weight=0.0, action_weight=0.0)
    (found,) = rehearse(model, np.array([0.0]), [np.array([0.0])], codec=LINE, horizon=20, samples=400, key=KEY)
    running = 0.9 ** np.arange(20)
    assert found.ends == pytest.approx(1 - 0.9**20, abs=1e-5), "no luck is in it"
    assert found.cost == {"steps": pytest.approx(running.sum(), rel=1e-5)}
    assert found.returns.mean == pytest.approx(running.sum(), abs=4 * found.draws.returns.std() / 20)
    assert found.returns.high == 20.0, "0.9 ** 19 of the samples, 14 %, live to the end"
    assert found.draws.returns.min() == 1.0, "the step that ends an episode still counts"
    lengths = np.arange(1, 21)
    expected = np.append(0.1 * 0.9 ** (lengths[:-1] - 1), 0.9**19)
    shares = (found.draws.returns[:, None] == lengths).mean(0)
    assert np.abs(shares - expected).max() < 4 * math.sqrt(0.25 / 400)


def test_confidence_is_that_of_the_first_step_and_the_lowest_ahead() -> None:
    # Repeating the action moves the state by 1 a step, away from 0, where the model knows most.
    model = walk(spread=0.2, growth=1.0)
    (found,) = rehearse(model, np.array([1.0]), [np.array([1.0])], codec=LINE, key=KEY, least_confidence=0.7, **SHARED)
    assert found.confidence == pytest.approx(1 / (1 + 0.2 * 2.0))
    assert found.known
    # The members drift apart symmetrically; the mean of 1 / (1 + doubt) is computed sample by sample.
    offsets = np.asarray(model.offsets, np.float64)
    now = np.ones(5)
    for _ in range(9):
        now = now + 1.0 + offsets * 0.2 * (1.0 + np.abs(now))
    assert found.least_confidence == pytest.approx((1 / (1 + 0.2 * (1 + np.abs(now)))).mean(), rel=1e-4)
    (stricter,) = rehearse(
        model, np.array([1.0]), [np.array([1.0])], codec=LINE, key=KEY, least_confidence=0.75, **SHARED
    )
    assert not stricter.known


def test_the_models_own_interval_is_used_where_it_has_one() -> None:
    model = Bounded.create([[1.0]], [[1.0]], limit=jnp.inf)
    (found,) = rehearse(model, np.array([2.0]), [np.array([0.5])], codec=LINE, key=KEY)
    assert found.interval == "conformal"
    assert found.next_low == pytest.approx([2.5 - 0.9]) and found.next_high == [np.inf]
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["next_high"] == [None], "infinite means not known"
    assert written["next_low"] == pytest.approx([1.6])


def test_samples_that_leave_the_finite_numbers_are_told_and_left_out() -> None:
    model = Cliff.create([[1.0]], [[0.0]], spread=0.5, limit=0.3, members=5)
    (found,) = rehearse(model, np.array([0.0]), [np.array([0.0])], codec=LINE, horizon=1, samples=65, key=KEY)
    assert found.lost == pytest.approx(2 / 5), "two of the five members step over the cliff"
    assert not found.known and found.confidence > 0.5
    assert len(found.draws.returns) == 39 and found.returns.mean == 0.0
    assert found.highest[0] <= 0.3
    (none,) = rehearse(model, np.array([9.0]), [np.array([0.0])], codec=LINE, horizon=3, samples=10, key=KEY)
    assert none.lost == 1.0 and not none.known
    assert math.isnan(none.returns.median) and math.isnan(none.ends) and np.isnan(none.highest).all()
    assert "not known" in str(none) and "does not know" in str(none)
    json.dumps(none.to_json(), allow_nan=False)


def test_a_candidate_is_judged_alike_whoever_is_beside_it() -> None:
    model = double_integrator(noise=0.3, spread=0.2, growth=1.0, limit=1.5)
    raw = [np.array([action]) for action in (-2.0, -1.0, 0.3, 0.4, 1.5)]

    def asked(candidates: list[np.ndarray]) -> list[Rehearsal]:
        return rehearse(model, np.array([0.5, 0.1]), candidates, codec=CODEC, policy=push, horizon=8, key=KEY)

    together = asked(raw)
    assert [rehearsal.action for rehearsal in together] == raw
    for order in ([2], [4, 2, 0]):
        for index, rehearsal in zip(order, asked([raw[index] for index in order]), strict=True):
            np.testing.assert_allclose(rehearsal.draws.returns, together[index].draws.returns, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(rehearsal.draws.highest, together[index].draws.highest, rtol=1e-4, atol=1e-4)
            assert rehearsal.ends == pytest.approx(together[index].ends, abs=1e-5)
    same_luck = together[2].draws.returns - together[3].draws.returns
    assert same_luck.std() < 0.5 * together[2].draws.returns.std(), "candidates differ by what they do, not by luck"
    assert len({rehearsal.returns.median for rehearsal in together}) == 5


def test_discrete_actions_are_rehearsed_too() -> None:
    env = AnalyticEnv(discrete=True)
    left, right = rehearse(falling_pole(), np.array([0.1, 0.3]), [0, np.int64(1)], codec=env.codec, horizon=8, key=KEY)
    np.testing.assert_allclose(left.next_observation, [0.1 + 0.03, 0.03 + 0.3 - 0.2], rtol=1e-5)
    np.testing.assert_allclose(right.next_observation, [0.1 + 0.03, 0.03 + 0.3 + 0.2], rtol=1e-5)
    assert (left.ends, right.ends) == (0.0, 1.0)
    assert (left.returns.median, right.returns.median) == (8.0, 6.0), "it falls with the sixth step"


def test_nothing_is_compiled_twice() -> None:
    raw = [np.array([action]) for action in (-1.0, 0.0, 0.5, 1.0, 1.5)]

    def ask(count: int, seed: int, **changes: Any) -> None:
        settings = {"policy": push, "horizon": 3, "samples": 7, "discount": 1.0 - 0.1 * seed, **changes}
        model = double_integrator(noise=0.1 * seed)
        rehearse(model, np.array([seed, 0.0]), raw[:count], codec=CODEC, key=jax.random.key(seed), **settings)

    with compilations() as names:
        ask(3, 1)
    assert "jit(_imagine)" in names, "the count must be able to see one"
    with compilations() as names:
        ask(4, 2)
        ask(3, 3, least_confidence=0.9)
    assert names == []
    with compilations() as names:
        ask(5, 2)
    assert names == ["jit(_imagine)"], "eight is another room than four"


def test_members_are_asked_once_in_a_step() -> None:
    """`members` and `step` are both asked; the compiled program holds the networks' products only once."""
    model = Ensemble(3, 1, config=EnsembleConfig(members=2, width=24, depth=2, reward_width=8), key=KEY)
    lowered = module._imagine.lower(  # type: ignore[attr-defined]
        model, None, np.zeros(3, np.float32), np.zeros((1, 1), np.float32), KEY, np.float32(1.0), 5, 16
    )
    products = re.findall(r"f32\[2,16,24\]\S* dot\(", lowered.compile().compiled.as_text())
    assert len(products) == 1, "of the second layer, for both members at once; the first has another shape"


def test_a_rehearsal_can_be_read() -> None:
    model = walk(noise=1.0, alive=6.0, state_weight=0.0, action_weight=0.0, spread=0.1, limit=3.0)
    (found,) = rehearse(model, np.array([0.0]), [np.array([0.0])], codec=LINE, key=KEY, **SHARED)
    assert re.fullmatch(r"return \d+(\.\d)? \[\d+(\.\d)?, \d+(\.\d)?\], ends \d+ %, confidence 0\.91", str(found)), (
        found
    )
    assert 0.0 < found.ends < 1.0
    (doubted,) = rehearse(
        model, np.array([0.0]), [np.array([0.0])], codec=LINE, key=KEY, least_confidence=0.95, **SHARED
    )
    assert str(doubted) == f"{found} (does not know)"
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert "draws" not in written
    assert written["returns"].keys() == {"mean", "low", "median", "high"}
    assert written["confidence"] == pytest.approx(1 / 1.1) and written["known"] is True
    assert written["action"] == [0.0] and written["cost"].keys() == {"steps"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"candidates": []}, "nothing to rehearse"),
        ({"candidates": [np.array([2.5])]}, "this action"),
        ({"candidates": [np.array([0.0]), np.array([np.nan])]}, "this action"),
        ({"candidates": [np.zeros(2)]}, "this action"),
        ({"observation": np.zeros(3)}, "this observation"),
        ({"observation": np.array([0.0, np.inf])}, "this observation"),
        ({"horizon": 0}, "needs a step"),
        ({"samples": 0}, "needs a step"),
        ({"discount": 0.0}, "needs a step"),
        ({"codec": LINE}, "different worlds"),
        ({"codec": AnalyticEnv(discrete=True).codec}, "different worlds"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(changes: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {"observation": np.zeros(2), "candidates": [np.zeros(1)], "codec": CODEC, "key": KEY}
    given |= changes
    with pytest.raises(ConfigError, match=text):
        rehearse(double_integrator(), given.pop("observation"), given.pop("candidates"), **given)


def test_a_module_with_new_parameters_is_no_new_program() -> None:
    class Gain(eqx.Module):
        gain: jax.Array

        def __call__(self, observation: jax.Array, key: jax.Array) -> jax.Array:
            return jnp.clip(observation @ self.gain, -1.0, 1.0)

    def ask(gain: jax.Array) -> Rehearsal:
        arguments = {"codec": CODEC, "policy": Gain(gain), "horizon": 6, "samples": 5, "key": KEY}
        return rehearse(double_integrator(), np.array([1.0, 0.0]), [np.zeros(1)], **arguments)[0]

    first, weaker = ask(GAIN), 0.5 * GAIN
    with compilations() as names:
        second = ask(weaker)
    assert names == [] and first.returns != second.returns
