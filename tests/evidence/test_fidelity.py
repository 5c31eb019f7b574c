import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.evidence.fidelity import error_by_horizon
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator, falling_pole

KEY = jax.random.key(0)


def test_the_true_model_of_a_noiseless_world_makes_no_error_however_far() -> None:
    env = AnalyticEnv(double_integrator(), horizon=60)
    found = error_by_horizon(double_integrator(), record(env, 6), env.codec, key=KEY, seed=0)
    assert found.longest == 50 and found.safe_horizon == 50 and found.break_even_horizon is None
    assert all(error.mean < 1e-4 for error in found.model)
    assert all(error.mean > 0.01 for error in found.persistence)
    assert "beats persistence" in found.reason
    json.dumps(found.to_json(), allow_nan=False)


def test_errors_are_told_in_standard_deviations_of_the_data() -> None:
    """A model that is off by a constant c in one step is off by c / std; the ratio to persistence is then known too."""
    env = AnalyticEnv(double_integrator(), horizon=40)
    episodes = record(env, 8)

    class Shifted(eqx.Module):
        inner: AnalyticModel
        shift: jax.Array

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def start(self, tasks, key, *, batch):
            return self.inner.start(tasks, key, batch=batch)

        def members(self, state, action):
            said = self.inner.members(state, action)
            return said._replace(mean=said.mean + self.shift)

        def conclude(self, *arguments):
            return self.inner.conclude(*arguments)

    std = np.concatenate([episode.observations for episode in episodes]).std(0)
    found = error_by_horizon(
        Shifted(double_integrator(), jnp.asarray([0.3, 0.0])),
        episodes,
        env.codec,
        horizons=(1,),
        starts=40,
        key=KEY,
        seed=0,
    )
    assert found.model[0].mean == pytest.approx(0.3 / std[0] / np.sqrt(2), rel=1e-3)
    moved = np.concatenate([np.diff(episode.observations, axis=0) for episode in episodes]) / std
    assert found.persistence[0].mean == pytest.approx(np.sqrt(np.mean(moved**2)), rel=1e-4)
    assert found.starts == (8 * 40,) and found.model[0].count == 8
    assert found.model[0].low <= found.model[0].mean <= found.model[0].high


def test_a_model_that_drifts_breaks_even_and_is_safe_only_before() -> None:
    env = AnalyticEnv(double_integrator(), horizon=60)
    wrong = AnalyticModel.create([[1.0, 0.0], [0.1, 1.05]], [[0.0, 0.5]])
    found = error_by_horizon(wrong, record(env, 20), env.codec, horizons=(1, 2, 5, 10, 20, 50), key=KEY, seed=0)
    ratios = [ratio.mean for ratio in found.ratio]
    assert ratios == sorted(ratios)
    assert found.break_even_horizon is not None
    assert found.break_even_horizon == found.horizons[next(i for i, ratio in enumerate(ratios) if ratio >= 1.0)]
    assert found.safe_horizon is not None and found.safe_horizon < found.break_even_horizon


def test_nothing_past_the_end_of_an_episode_counts() -> None:
    """The same recordings with garbage after the end would change the answer if anything past it were read."""
    env = AnalyticEnv(falling_pole(), discrete=True, horizon=200)
    episodes = record(env, 12)
    lengths = [len(episode) for episode in episodes]
    assert any(episode.terminated[-1] for episode in episodes) and min(lengths) < 20
    found = error_by_horizon(falling_pole(), episodes, env.codec, horizons=(1, 10, 400), starts=1_000, key=KEY, seed=0)
    assert found.starts[0] == sum(lengths)
    assert found.starts[1] == sum(max(0, length - 9) for length in lengths)
    assert found.starts[2] == 0 and found.model[2].mean is None and "400 steps" in found.model[2].reason
    assert found.longest == 10 and all(error.mean < 1e-4 for error in found.model[:2])


def test_a_forecast_that_blows_up_is_cut_and_counted() -> None:
    env = AnalyticEnv(double_integrator(), horizon=60)
    wild = AnalyticModel.create(np.eye(2) * 1e4, [[0.0, 0.5]])
    found = error_by_horizon(wild, record(env, 4), env.codec, key=KEY, seed=0)
    assert found.capped[-1] == 1.0 and found.model[-1].mean == pytest.approx(100.0)
    assert found.break_even_horizon == 1 and found.safe_horizon == 0
    json.dumps(found.to_json(), allow_nan=False)


def test_dimensions_that_never_move_are_left_out() -> None:
    still = AnalyticModel.create(np.eye(3) * [0.9, 0.9, 1.0], np.zeros((1, 3)), start_std=[1.0, 1.0, 0.0])
    env = AnalyticEnv(still, horizon=20)
    found = error_by_horizon(still, record(env, 3), env.codec, horizons=(1,), key=KEY, seed=0)
    assert (found.dimensions, found.constant_dimensions) == (2, 1)


def test_the_same_seed_gives_the_same_answer_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    env = AnalyticEnv(double_integrator(noise=0.1), horizon=30)
    episodes, model = record(env, 5), double_integrator(noise=0.1, spread=0.1)
    first = error_by_horizon(model, episodes, env.codec, horizons=(1, 5), key=KEY, seed=3)
    assert first == error_by_horizon(model, episodes, env.codec, horizons=(1, 5), key=KEY, seed=3)
    monkeypatch.setattr("gedanken.evidence.open_loop.CHUNK", 7)
    assert error_by_horizon(model, episodes, env.codec, horizons=(1, 5), key=KEY, seed=3).model[
        1
    ].mean == pytest.approx(first.model[1].mean, rel=1e-5)


def test_without_data_nothing_is_measured_and_it_says_why() -> None:
    env = AnalyticEnv()
    found = error_by_horizon(double_integrator(), [], env.codec, key=KEY, seed=0)
    assert found.safe_horizon is None and found.break_even_horizon is None and "no recorded steps" in found.reason
    one = error_by_horizon(double_integrator(), record(env, 1), env.codec, key=KEY, seed=0)
    assert one.model[0].mean is not None and one.model[0].low is None
    assert one.safe_horizon is None and "needs an interval" in one.reason


@pytest.mark.parametrize("horizons", [(), (0, 1), (5, 2), (2, 2)])
def test_horizons_must_ascend(horizons: tuple[int, ...]) -> None:
    env = AnalyticEnv()
    with pytest.raises(ConfigError, match="ascend"):
        error_by_horizon(double_integrator(), [], env.codec, horizons=horizons, key=KEY, seed=0)


def test_an_episode_whose_process_died_is_read_as_far_as_it_goes() -> None:
    env = AnalyticEnv(horizon=30)
    torn = [dataclasses.replace(episode, complete=False) for episode in record(env, 3)]
    assert error_by_horizon(double_integrator(), torn, env.codec, horizons=(1,), key=KEY, seed=0).starts == (90,)
