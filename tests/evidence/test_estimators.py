import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.evidence.estimators import ESTIMATORS, estimate
from gedanken.evidence.fitted_q import FittedQ
from gedanken.evidence.value import imagined_returns
from tests.evidence.recordings import record
from tests.evidence.tabular import BEHAVIOUR, CODEC, HORIZON, TARGET, run
from tests.fakes import AnalyticEnv, double_integrator

KEY = jax.random.key(0)
SETTINGS = FittedQ(fourier=4, ridge=1e-6, folds=4)
STEPS = 30


def brake(observation, key):
    return jnp.clip(-0.5 * observation[:, :1] - 0.5 * observation[:, 1:], -1.0, 1.0)


@pytest.fixture(scope="module")
def linear():
    """A noisy linear world, logs of a clumsy policy, a few episodes of the policy itself, and its exact value."""
    env, rng = AnalyticEnv(double_integrator(noise=0.05), horizon=STEPS), np.random.default_rng(0)

    def clumsy(seen):
        return env.codec.decode_action(np.asarray(brake(seen[None], None))[0] + rng.normal(0, 0.4, 1))

    def itself(seen):
        return env.codec.decode_action(np.asarray(brake(seen[None], None))[0])

    exact = imagined_returns(env.system, brake, episodes=20_000, horizon=STEPS, key=KEY).mean()
    return env, record(env, 40, policy=clumsy), record(env, 8, policy=itself, seed=1), exact


def test_one_call_gives_every_estimate_with_its_interval_or_its_reason(linear) -> None:
    env, logs, real, exact = linear
    starts = np.random.default_rng(1).standard_normal((400, 2))
    found = estimate(
        logs,
        brake,
        env.codec,
        horizon=STEPS,
        key=KEY,
        seed=0,
        real=real,
        model=double_integrator(noise=0.05),
        starts=starts,
        settings=SETTINGS,
        confidence=0.99,
    )
    assert tuple(found.estimates) == ESTIMATORS and [name for name, _ in found.table()] == list(ESTIMATORS)
    for name in ("real only", "prediction-powered", "model alone", "fitted Q"):
        interval = found.estimates[name]
        assert interval.low < exact < interval.high, name
    for name in ESTIMATORS[3:5] + ESTIMATORS[6:]:
        assert found.estimates[name].mean is None and found.estimates[name].reason
    powered, alone = found.estimates["prediction-powered"], found.estimates["real only"]
    assert powered.high - powered.low < 0.5 * (alone.high - alone.low) and found.powered.saved > 8
    assert (found.real_episodes, found.logged_episodes, found.effective_episodes) == (8, 40, None)
    json.dumps(found.to_json(), allow_nan=False)


def test_a_model_with_a_wrong_reward_misleads_itself_alone(linear) -> None:
    env, logs, real, exact = linear
    wrong = double_integrator(noise=0.05, alive=5.0)
    found = estimate(
        logs, brake, env.codec, horizon=STEPS, key=KEY, seed=0, real=real, model=wrong, settings=SETTINGS
    ).estimates
    assert found["model alone"].low > exact
    assert found["prediction-powered"].low < exact < found["prediction-powered"].high


def test_a_stochastic_policy_has_all_off_policy_estimates() -> None:
    found = estimate(
        run(BEHAVIOUR, 400), TARGET, CODEC, horizon=HORIZON, key=KEY, seed=0, real=run(TARGET, 10), settings=SETTINGS
    )
    for name in ESTIMATORS[3:]:
        interval = found.estimates[name]
        assert interval.low < TARGET.value() < interval.high, name
    assert found.effective_episodes > 50 and found.estimates["real only"].count == 10
    assert "no model" in found.estimates["model alone"].reason and found.powered is None
    short = estimate(
        run(BEHAVIOUR, 400), TARGET, CODEC, horizon=HORIZON, key=KEY, seed=0, discount=0.5, settings=SETTINGS
    )
    assert short.estimates["doubly robust"].mean == pytest.approx(TARGET.value(discount=0.5), abs=0.3)


def test_with_nothing_everything_is_missing_and_says_so(linear) -> None:
    env, _, _, _ = linear
    nothing = estimate([], brake, env.codec, horizon=STEPS, key=KEY, seed=0)
    assert all(interval.mean is None and interval.reason for interval in nothing.estimates.values())
    model = double_integrator()
    alone = estimate([], brake, env.codec, horizon=STEPS, key=KEY, seed=0, model=model, starts=np.zeros((3, 2)))
    assert alone.estimates["model alone"].mean is not None
    assert alone.estimates["prediction-powered"].mean is None


@pytest.mark.parametrize(
    ("change", "text"),
    [({"rollouts": 0}, "rollout"), ({"starts": np.zeros((3, 5))}, "Starts"), ({"horizon": 0}, "step")],
)
def test_wrong_input_is_refused(linear, change, text: str) -> None:
    env, logs, _, _ = linear
    asked = {"horizon": STEPS, "key": KEY, "seed": 0, "model": double_integrator(), **change}
    with pytest.raises(ConfigError, match=text):
        estimate(logs, brake, env.codec, **asked)
