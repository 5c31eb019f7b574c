import dataclasses
import json

import jax
import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.evidence.held_out_policies import HeldOutPolicies, LevelCoverage, conformal_on_held_out_policies
from gedanken.evidence.one_step import LEVELS
from gedanken.experience.transition import Episode
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator

MODEL = double_integrator(noise=0.2)
CODEC = AnalyticEnv(MODEL).codec


def of_policies(count: int, *, noise: float = 0.2, first: int = 0, each: int = 3) -> list[Episode]:
    """Episodes of policies that meet a world with so much noise."""
    env = AnalyticEnv(double_integrator(noise=noise), horizon=40)
    episodes = []
    for policy in range(first, first + count):
        for episode in record(env, each, seed=policy):
            header = dataclasses.replace(episode.header, policy=f"p{policy}")
            episodes.append(dataclasses.replace(episode, header=header))
    return episodes


def check(episodes: list[Episode], model: AnalyticModel = MODEL) -> HeldOutPolicies:
    return conformal_on_held_out_policies(model, episodes, CODEC, key=jax.random.key(0), seed=0)


def of(found: HeldOutPolicies, unit: str) -> list[LevelCoverage]:
    return [level for level in found.levels if level.unit == unit]


def test_among_policies_that_are_alike_the_guarantee_holds() -> None:
    found = check(of_policies(24))
    for unit in ("episode", "policy"):
        for level in of(found, unit):
            assert not level.abstains and not level.fails and level.covered.count == 24
            assert level.covered.mean == pytest.approx(level.level, abs=0.05)
    by_episode, by_policy = of(found, "episode"), of(found, "policy")
    assert all(wide.width.mean > narrow.width.mean for narrow, wide in zip(by_episode, by_policy, strict=True))
    assert (found.policies, found.episodes, found.steps) == (24, 72, 72 * 40)
    json.dumps(found.to_json(), allow_nan=False)


def test_a_model_that_is_too_sure_is_put_right_by_calibration() -> None:
    """Conformal factors only rescale: half the deviation, the same intervals."""
    sure, right = check(of_policies(6), double_integrator(noise=0.1)), check(of_policies(6))
    for one, other in zip(of(sure, "episode"), of(right, "episode"), strict=True):
        assert one.covered.mean == pytest.approx(other.covered.mean, abs=1e-6)
        if other.width.mean is None:  # too few episodes for this level
            assert one.width.mean is None
        else:
            assert one.width.mean == pytest.approx(other.width.mean, rel=1e-4)


def test_a_policy_that_goes_where_the_model_is_wrong_is_named() -> None:
    found = check([*of_policies(12), *of_policies(1, noise=1.0, first=12)])
    ninety = of(found, "episode")[LEVELS.index(0.9)]
    assert [policy.policy for policy in ninety.policies if policy.fails] == ["p12"]
    odd = next(policy for policy in ninety.policies if policy.policy == "p12")
    assert odd.covered.high < 0.6 and odd.episodes == 3
    assert any("90%" in line and "'p12'" in line for line in found.advice)
    assert not any("'p3'" in line for line in found.advice)


def test_where_policies_differ_the_usual_way_fails_and_it_says_so() -> None:
    """Two kinds of policies: intervals of the quiet ones do not hold for the loud ones, on average over policies."""
    quiet, loud = of_policies(3, each=8), of_policies(9, noise=0.6, first=3, each=1)
    found = check([*quiet, *loud])
    fifty_episode, fifty_policy = of(found, "episode")[0], of(found, "policy")[0]
    assert fifty_policy.width.mean > fifty_episode.width.mean, "a policy counts once, however much it was recorded"
    assert fifty_policy.covered.mean > fifty_episode.covered.mean
    assert fifty_policy.covered.mean >= 0.5 - 0.05


def test_with_too_few_policies_it_abstains() -> None:
    found = check(of_policies(5))
    assert [level.abstains for level in of(found, "policy")] == [False, False, True, True]
    ninety = of(found, "policy")[2]
    assert ninety.covered.mean is None and "90% needs 10 policies" in ninety.covered.reason and ninety.fails is None
    assert any("90%" in line and "not stated" in line for line in found.advice)
    assert all(not level.abstains for level in of(check(of_policies(20)), "policy")), "20 are enough for all levels"


def test_what_cannot_be_held_out_is_not_promised() -> None:
    one = check(of_policies(1))
    assert one.levels[0].covered.mean is None and "fewer than two policies" in one.advice[0]
    assert check([]).policies == 0
    nowhere = AnalyticModel.create(np.full((2, 2), np.inf), [[0.0, 0.5]])
    assert "not finite" in check(of_policies(2, each=1), nowhere).advice[0]
    with pytest.raises(ConfigError, match="At least one step"):
        conformal_on_held_out_policies(MODEL, [], CODEC, key=jax.random.key(0), seed=0, steps_per_episode=0)
