import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.evidence.windows import ascending, random_windows, windows_at
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, falling_pole

ENV = AnalyticEnv(falling_pole(), discrete=True, horizon=15)
EPISODES = record(ENV, 8)


@settings(max_examples=20)
@given(starts=st.integers(1, 20), seed=st.integers(0, 99), longest=st.integers(2, 12))
def test_every_window_is_a_piece_of_its_episode(starts: int, seed: int, longest: int) -> None:
    windows = random_windows(EPISODES, ENV.codec, horizons=(1, longest), starts=starts, seed=seed)
    assert len(windows) == sum(min(starts, len(episode)) for episode in EPISODES)
    for row in range(len(windows)):
        episode = EPISODES[windows.episode[row]]
        (begin,) = np.flatnonzero((episode.observations[:-1] == windows.observation[row]).all(1))
        left = min(longest, len(episode) - begin)
        assert windows.recorded[row].tolist() == [True, begin + longest <= len(episode)]
        assert (windows.reward[row, :left] == episode.rewards[begin : begin + left]).all()
        assert (windows.reward[row, left:] == 0.0).all()
        taken = ENV.codec.encode_actions(episode.actions)
        assert (windows.action[row, :left] == taken[begin : begin + left]).all()
        assert (windows.action[row, left:] == taken[-1]).all()
        if windows.recorded[row, 1]:
            assert (windows.target[row, 1] == episode.observations[begin + longest]).all()


def test_given_starts_are_kept_in_order() -> None:
    windows = windows_at(EPISODES[:2], ENV.codec, horizons=(1,), starts=[np.array([2, 0]), np.array([], np.int64)])
    assert windows.episode.tolist() == [0, 0]
    assert (windows.observation == EPISODES[0].observations[[2, 0]]).all()


def test_horizons_and_starts_must_make_sense() -> None:
    assert ascending([1, 3]) == (1, 3)
    for horizons in ((), (0, 1), (3, 1), (2, 2)):
        with pytest.raises(ConfigError, match="ascend"):
            ascending(horizons)
    with pytest.raises(ConfigError, match="At least one start"):
        random_windows(EPISODES, ENV.codec, horizons=(1,), starts=0, seed=0)
    assert len(random_windows([], ENV.codec, horizons=(1,), starts=1, seed=0)) == 0
