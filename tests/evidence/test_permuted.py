import json

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.evidence.permuted import other_episode, permuted_actions
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator

KEY = jax.random.key(0)
ENV = AnalyticEnv(double_integrator(noise=0.1), horizon=40)
EPISODES = record(ENV, 10)


def test_other_actions_make_a_true_model_worse_by_what_they_do() -> None:
    found = permuted_actions(double_integrator(), EPISODES, ENV.codec, horizons=(1, 10), starts=40, key=KEY, seed=0)
    std = np.concatenate([episode.observations for episode in EPISODES]).std(0)
    # Two random actions in [-1, 1] differ by 2/3 in mean square; each adds half of itself to the velocity.
    assert found.different == pytest.approx(np.sqrt(2 / 3), rel=0.05)
    expected = np.sqrt((0.1**2 / std**2).mean() + 0.25 * 2 / 3 / std[1] ** 2 / 2)
    assert found.permuted[0].mean == pytest.approx(expected, rel=0.05)
    assert found.recorded[0].mean == pytest.approx(np.sqrt((0.1**2 / std**2).mean()), rel=0.05)
    assert found.listens is True and found.ratio[0].low > 1 and found.ratio[1].low > 1
    assert found.ratio[0].count == 10 and found.starts[0] == 400
    assert 0 < found.starts[1] < 10 * 31, "both recordings must go on for ten steps"
    json.dumps(found.to_json(), allow_nan=False)


def test_a_model_that_ignores_actions_is_found_out() -> None:
    deaf = AnalyticModel.create([[1.0, 0.0], [0.1, 0.98]], [[0.0, 0.0]])
    found = permuted_actions(deaf, EPISODES, ENV.codec, key=KEY, seed=0)
    assert found.listens is False
    assert [ratio.mean for ratio in found.ratio[:5]] == pytest.approx([1.0] * 5, abs=1e-6)
    assert found.ratio[5].mean is None and "50 steps" in found.ratio[5].reason


def test_where_nothing_can_be_permuted_it_says_so() -> None:
    one = permuted_actions(double_integrator(), EPISODES[:1], ENV.codec, key=KEY, seed=0)
    assert one.listens is None and one.different is None and "two episodes" in one.ratio[0].reason
    still = record(ENV, 3, policy=lambda _: np.zeros(1, np.float32))
    same = permuted_actions(double_integrator(), still, ENV.codec, horizons=(1, 50), key=KEY, seed=0)
    assert same.different == 0.0 and same.listens is False and same.ratio[1].mean is None


@given(st.lists(st.integers(0, 5), min_size=2, max_size=40), st.integers(0, 9))
def test_actions_always_come_from_another_episode(episode: list[int], seed: int) -> None:
    named = np.array(episode, np.int64)
    donor = other_episode(named, np.random.default_rng(seed))
    if len(set(episode)) == 1:
        assert donor is None
    else:
        assert (named[donor] != named).all()
