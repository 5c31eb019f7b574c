import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.evidence.calibration import LEVELS, CalibrationCheck, check_calibration
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator, falling_pole

KEY = jax.random.key(0)


def check(model: AnalyticModel, env: AnalyticEnv, episodes: int = 10) -> CalibrationCheck:
    return check_calibration(model, record(env, episodes), env.codec, key=KEY, seed=0)


def covered(found: CalibrationCheck, kind: str) -> list[float]:
    return [item.covered.mean for item in found.coverage if item.kind == kind]


@pytest.fixture(scope="module")
def noisy() -> AnalyticEnv:
    return AnalyticEnv(double_integrator(noise=0.2), horizon=150)


def test_the_true_model_covers_what_it_states(noisy: AnalyticEnv) -> None:
    found = check(double_integrator(noise=0.2), noisy)
    for kind in ("mixture", "gaussian"):
        assert covered(found, kind) == pytest.approx(LEVELS, abs=0.03)
    assert all(item.covered.low <= item.level + 0.03 and item.covered.count == 10 for item in found.coverage)
    std = np.concatenate([episode.observations for episode in record(noisy, 10)]).std(0)
    # A Gaussian that is right scores std / sqrt(pi) in expectation.
    assert found.crps.mean == pytest.approx(np.mean(0.2 / std) / np.sqrt(np.pi), rel=0.06)
    assert 0.0 < found.crps_skill.mean < 1.0 and found.crps.mean < found.crps_persistence.mean
    json.dumps(found.to_json(), allow_nan=False)


def test_too_sure_covers_too_little_and_too_timid_is_too_wide(noisy: AnalyticEnv) -> None:
    sure, right, timid = (check(double_integrator(noise=noise), noisy) for noise in (0.05, 0.2, 0.8))
    for kind in ("mixture", "gaussian"):
        assert all(a < level - 0.2 for a, level in zip(covered(sure, kind), LEVELS, strict=True))
        assert all(a > level + 0.02 for a, level in zip(covered(timid, kind), LEVELS, strict=True))
    assert right.crps.mean < min(sure.crps.mean, timid.crps.mean)
    widths = [found.coverage[0].width.mean for found in (sure, right, timid)]
    assert widths == sorted(widths)


def test_a_mixture_of_members_that_disagree_is_no_gaussian(noisy: AnalyticEnv) -> None:
    """Two members far apart: the truth lies between them, inside the mixture's outer quantiles but not its middle."""
    split = check(double_integrator(noise=0.01, members=2, spread=1.0), noisy)
    assert covered(split, "mixture")[0] > 0.95
    mixture, gaussian = split.coverage[:2]
    assert mixture.width.mean / gaussian.width.mean == pytest.approx(1 / 0.674, rel=0.01)


class Stating(AnalyticModel):
    """States the true value give or take `half`; knows nothing at 95 %."""

    half: float = eqx.field(static=True, default=0.2)

    def interval(self, state, action, level):
        mean = self.truth(state.observation, action)
        half = jnp.inf if level == 0.95 else self.half
        return mean - half, mean + half


def test_a_models_own_intervals_are_judged_and_infinite_ones_are_not_measured(noisy: AnalyticEnv) -> None:
    plain = double_integrator(noise=0.2)
    found = check(Stating(**{name: getattr(plain, name) for name in AnalyticModel.__dataclass_fields__}), noisy)
    own = [item for item in found.coverage if item.kind == "conformal"]
    assert [item.covered.mean for item in own[:3]] == pytest.approx([0.683] * 3, abs=0.03)
    assert own[3].covered.mean is None and own[3].width.mean is None and "too few" in own[3].covered.reason


class Biased(AnalyticModel):
    """Errs by exactly what it says it does not know."""

    def members(self, state, action):
        said = super().members(state, action)
        return said._replace(mean=said.mean + self.epistemic(state.observation)[None, :, None])


def test_uncertainty_that_tracks_the_error_ranks_it() -> None:
    env = AnalyticEnv(double_integrator(), horizon=60)
    plain = double_integrator(spread=0.01, growth=1.0)
    biased = Biased(**{name: getattr(plain, name) for name in AnalyticModel.__dataclass_fields__})
    found = check(biased, env)
    assert found.uncertainty_rank.mean > 0.99
    assert [part.predicted for part in found.spread] == sorted(part.predicted for part in found.spread)
    assert all(part.actual == pytest.approx(part.predicted, rel=0.02) for part in found.spread)
    assert sum(part.count for part in found.spread) == found.steps == 600


def test_reward_error_is_told_beside_the_spread_of_rewards(noisy: AnalyticEnv) -> None:
    assert check(double_integrator(noise=0.2), noisy).reward_rmse.mean < 1e-4
    off = check(double_integrator(noise=0.2, alive=0.5), noisy)
    assert off.reward_rmse.mean == pytest.approx(0.5, rel=1e-3)
    rewards = np.concatenate([episode.rewards for episode in record(noisy, 10)])
    assert off.reward_std == pytest.approx(rewards.std(), rel=1e-4)


def test_endings_are_judged_by_the_imagined_step() -> None:
    env = AnalyticEnv(falling_pole(), discrete=True, horizon=200)
    episodes = record(env, 20)
    found = check_calibration(falling_pole(), episodes, env.codec, key=KEY, seed=0).termination
    assert found.terminations == sum(bool(episode.terminated[-1]) for episode in episodes) > 0
    assert found.auc.mean == 1.0 and found.brier.mean < 0.01
    blind = check_calibration(falling_pole(limit=1e6), episodes, env.codec, key=KEY, seed=0).termination
    assert blind.auc.mean == 0.5 and blind.brier.mean == pytest.approx(found.terminations / found.steps)


def test_without_data_nothing_is_measured() -> None:
    env = AnalyticEnv()
    found = check_calibration(double_integrator(), [], env.codec, key=KEY, seed=0)
    assert found.steps == 0 and all(item.covered.mean is None for item in found.coverage)
    assert found.crps.mean is None and found.termination.auc.mean is None and found.reward_std is None
    json.dumps(found.to_json(), allow_nan=False)
    with pytest.raises(ConfigError, match="At least one step"):
        check_calibration(double_integrator(), [], env.codec, key=KEY, seed=0, steps_per_episode=0)
