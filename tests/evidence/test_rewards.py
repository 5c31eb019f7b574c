import json

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.evidence.rewards import RewardError, reward_by_horizon
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator, falling_pole

KEY = jax.random.key(0)
ENV = AnalyticEnv(double_integrator(), horizon=40)
EPISODES = record(ENV, 8)


def found(model: AnalyticModel, **options) -> RewardError:
    return reward_by_horizon(model, EPISODES, ENV.codec, **{"horizons": (1, 5, 20), "key": KEY, "seed": 0, **options})


def test_the_true_model_foresees_every_reward() -> None:
    right = found(double_integrator(), starts=40)
    assert all(error.mean < 1e-3 for error in (*right.rmse, *right.sum_rmse))
    assert all(abs(gap.mean) < 1e-3 for gap in right.promised)
    rewards = np.concatenate([episode.rewards for episode in EPISODES])
    assert right.rmse_of_mean[0] == pytest.approx(rewards.std(), rel=1e-4)
    assert right.starts == (8 * 40, 8 * 36, 8 * 21) and right.rmse[0].count == 8
    json.dumps(right.to_json(), allow_nan=False)


@settings(max_examples=10)
@given(extra=st.floats(-2.0, 2.0).filter(lambda value: abs(value) > 0.01))
def test_what_is_promised_too_much_a_step_adds_up(extra: float) -> None:
    wrong = found(double_integrator(alive=extra))
    for horizon, rmse, promised, total in zip(wrong.horizons, wrong.rmse, wrong.promised, wrong.sum_rmse, strict=True):
        assert rmse.mean == pytest.approx(abs(extra), rel=0.01)
        assert promised.mean == pytest.approx(extra * horizon, rel=0.01)
        assert total.mean == pytest.approx(abs(extra) * horizon, rel=0.01)
        assert (promised.low > 0) == (extra > 0), "optimism is seen, and pessimism is not taken for it"


def test_a_model_that_ignores_actions_foresees_less() -> None:
    deaf = found(AnalyticModel.create([[1.0, 0.0], [0.1, 0.98]], [[0.0, 0.0]]))
    assert deaf.ratio[0].mean < 0.01, "the first reward does not need the next state"
    assert deaf.ratio[1].mean > 0.05 and deaf.ratio[2].mean > 0.1, "later ones do; the true model's are below 0.01"
    assert all(ratio.mean < 0.01 for ratio in found(double_integrator()).ratio)


def test_what_cannot_be_compared_says_why() -> None:
    far = found(double_integrator(), horizons=(1, 99))
    assert far.rmse[1].mean is None and "99 steps" in far.promised[1].reason and far.rmse_of_mean[1] is None
    empty = reward_by_horizon(double_integrator(), [], ENV.codec, key=KEY, seed=0)
    assert empty.rmse[0].mean is None and empty.starts == (0,) * 6
    pole = AnalyticEnv(falling_pole(), discrete=True, horizon=50)
    constant = reward_by_horizon(falling_pole(), record(pole, 4), pole.codec, horizons=(1,), key=KEY, seed=0)
    assert constant.ratio[0].mean is None and constant.rmse[0].mean == 0.0
    blind = reward_by_horizon(double_integrator(alive=np.nan), EPISODES, ENV.codec, horizons=(1,), key=KEY, seed=0)
    assert blind.rmse[0].mean is None and "not finite" in blind.rmse[0].reason
