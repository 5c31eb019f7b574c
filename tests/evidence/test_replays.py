"""Replays: exact where the record leaves nothing to chance, fair to every way, and silent where it cannot be asked."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.evidence.replays import replay

WAYS = ("gedanken", "sequential halving", "uniform", "model only")


def test_without_noise_and_with_enough_episodes_nothing_is_lost() -> None:
    real = [[float(level)] * 3 for level in (3, 9, 5, 1)]
    found = replay(real=real, imagined=[1.0, 0.0, 2.0, 3.0], episodes=12, replays=5, seed=0)
    assert [each.method for each in found.methods] == list(WAYS)
    for method in WAYS[:3]:
        assert found[method].regret.mean == 0.0
        assert found[method].found_best.mean == 1.0
        assert found[method].found_best.low < 1.0
    # The model's favourite is the worst policy, in each replay.
    assert found["model only"].regret.mean == 8.0
    assert found["model only"].share.mean == 1.0
    assert found["model only"].unlucky == 8.0
    json.dumps(found.to_json(), allow_nan=False)


def test_regret_falls_with_episodes_and_grows_with_a_worse_model() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=8)
    real = list(truth[:, None] + 1.0 * rng.normal(size=(8, 10)))
    means = np.array([returns.mean() for returns in real])

    def ours(imagined: np.ndarray, episodes: int) -> float:
        return replay(real=real, imagined=imagined, episodes=episodes, replays=30, seed=1)["gedanken"].regret.mean

    good = means + 0.2 * rng.normal(size=8)
    assert ours(good, 6) < ours(-means, 6)
    assert ours(-means, 40) < ours(-means, 4)


def test_replays_are_those_of_their_seed() -> None:
    real = [[0.0, 1.0, 3.0], [1.0, 1.0, 2.0], [0.0, 2.0, 4.0]]
    one, same, other = (
        replay(real=real, imagined=[1.0, 2.0, 3.0], episodes=5, replays=20, seed=seed) for seed in (0, 0, 1)
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("real", "why"),
    [
        ([[1.0, 2.0], [3.0]], "fewer than two recorded"),
        ([[1.0, 2.0], [np.nan, 1.0]], "not finite"),
        ([[1.0, 2.0], [2.0, 1.0]], "same real return"),
    ],
)
def test_a_record_that_cannot_stand_for_a_world_says_why(real: list[list[float]], why: str) -> None:
    found = replay(real=real, imagined=[1.0, 2.0], episodes=5, seed=0)
    for each in found.methods:
        assert each.regret.mean is None
        assert why in each.regret.reason
        assert each.unlucky is None
    assert replay(real=[], imagined=[], episodes=5, seed=0)["uniform"].regret.reason


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"episodes": 0}, "needs episodes"), ({"replays": 0}, "needs episodes"), ({"imagined": [1.0]}, "shape")],
)
def test_wrong_input_is_refused(changes: dict, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        replay(**{"real": [[1.0, 2.0], [2.0, 4.0]], "imagined": [1.0, 2.0], "episodes": 5, "seed": 0, **changes})
