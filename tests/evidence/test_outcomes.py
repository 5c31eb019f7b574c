import json

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.evidence.outcomes import EndingsByHorizon, endings_by_horizon, outcomes_agree
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator, falling_pole

KEY = jax.random.key(0)
ENV = AnalyticEnv(falling_pole(), discrete=True, horizon=12)
EPISODES = record(ENV, 30)


def found(model: AnalyticModel, **options) -> EndingsByHorizon:
    settings = {"horizons": (1, 4), "starts": 100, "key": KEY, "seed": 0, **options}
    return endings_by_horizon(model, EPISODES, ENV.codec, **settings)


def test_the_corners_are_told_apart() -> None:
    real = [True] * 6 + [False] * 4
    imagined = [True, True, True, False, False, 0.5, True, True, False, 0.5]
    both = outcomes_agree(real=real, imagined=imagined, seed=0)
    assert both.false_success.mean == pytest.approx(2.5 / 4) and both.false_failure.mean == pytest.approx(2.5 / 6)
    assert both.pass_in_model_only.mean == both.fail_in_model_only.mean == pytest.approx(0.25)
    assert both.agree.mean == pytest.approx(0.5) and (both.failures, both.passes) == (4, 6)
    assert both.false_success.count == 4 and both.agree.count == 10
    json.dumps(both.to_json(), allow_nan=False)
    with pytest.raises(TypeError):
        outcomes_agree(real, imagined, seed=0)


OUTCOMES = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=15)


@given(OUTCOMES)
def test_the_corners_are_everything(pairs: list[tuple[bool, float]]) -> None:
    real, imagined = zip(*pairs, strict=True)
    both = outcomes_agree(real=real, imagined=imagined, seed=0)
    total = both.agree.mean + both.pass_in_model_only.mean + both.fail_in_model_only.mean
    assert total == pytest.approx(1.0) and both.failures + both.passes == len(pairs)
    assert (both.false_success.mean is None) == all(real) and (both.false_failure.mean is None) == (not any(real))


def test_the_true_model_ends_what_really_ends() -> None:
    right = found(falling_pole())
    assert sum(bool(episode.terminated[-1]) for episode in EPISODES) > 10, "else there is nothing to see"
    for outcome in right.outcomes:
        assert outcome.false_success.mean < 0.02 and outcome.false_failure.mean < 0.02 and outcome.agree.mean > 0.98
    json.dumps(right.to_json(), allow_nan=False)


def test_a_model_that_carries_on_and_one_that_gives_up_are_told_apart() -> None:
    blind, timid = found(falling_pole(limit=1e6)), found(falling_pole(limit=0.05))
    ended = [bool(episode.terminated[-1]) for episode in EPISODES]
    lengths = [len(episode) for episode in EPISODES]
    for h, horizon in enumerate(blind.horizons):
        outcome = blind.outcomes[h]
        assert outcome.false_success.mean == 1.0 and outcome.false_failure.mean == 0.0
        fails = sum(min(horizon, length) for length, over in zip(lengths, ended, strict=True) if over)
        passes = sum(max(0, length - horizon + (not over)) for length, over in zip(lengths, ended, strict=True))
        assert (outcome.failures, outcome.passes) == (fails, passes), "what lies near a cut does not count"
        assert outcome.pass_in_model_only.mean == pytest.approx(fails / (fails + passes))
        assert timid.outcomes[h].false_failure.low > 0.1 and timid.outcomes[h].false_success.mean < 0.05


def test_asking_fewer_states_leaves_the_shares_unbiased() -> None:
    every, few = found(falling_pole(limit=0.35)), found(falling_pole(limit=0.35), starts=2)
    assert few.outcomes[1].fail_in_model_only.mean == pytest.approx(every.outcomes[1].fail_in_model_only.mean, abs=0.1)
    assert (few.outcomes[1].failures, few.outcomes[1].passes) == (every.outcomes[1].failures, every.outcomes[1].passes)


def test_what_cannot_be_crossed_says_why() -> None:
    whole = AnalyticEnv(double_integrator(), horizon=10)
    never = endings_by_horizon(
        double_integrator(), record(whole, 3), whole.codec, horizons=(5, 99), key=KEY, seed=0
    ).outcomes
    assert never[0].false_success.mean is None and "nothing failed" in never[0].false_success.reason
    assert never[0].agree.mean == 1.0 and "so long" in never[1].agree.reason
    empty = endings_by_horizon(double_integrator(), [], whole.codec, key=KEY, seed=0)
    assert "no recorded steps" in empty.outcomes[0].agree.reason
    for real, imagined in (([True], [True, False]), ([0.5], [1.0]), ([True], [np.nan])):
        with pytest.raises(ConfigError):
            outcomes_agree(real=real, imagined=imagined, seed=0)
