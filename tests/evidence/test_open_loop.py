import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.evidence import open_loop as module
from gedanken.evidence.open_loop import chunks, open_loop, square_error
from gedanken.evidence.recorded import Scale
from tests.fakes import double_integrator, falling_pole

KEY = jax.random.key(0)


def test_the_path_is_that_of_the_mean_of_the_members() -> None:
    model = double_integrator(spread=0.5, noise=0.3)
    draws = np.random.default_rng(0)
    start = draws.normal(size=(5, 2)).astype(np.float32)
    action = draws.uniform(-1, 1, (5, 4, 1)).astype(np.float32)
    path = open_loop(model, start, action, horizons=(1, 4), key=KEY)
    state = start
    for step in range(4):
        assert path.reward[:, step] == pytest.approx(np.asarray(model.reward(state, action[:, step])), rel=1e-4)
        state = np.asarray(model.truth(jnp.asarray(state), action[:, step]))
        if step in (0, 3):
            assert path.observation[:, step // 3] == pytest.approx(state, abs=1e-5)
    assert path.observation.shape == (5, 2, 2) and not path.ending.any()


def test_endings_are_told_step_by_step() -> None:
    right = np.tile(np.array([0.0, 1.0], np.float32), (3, 30, 1))
    path = open_loop(falling_pole(), np.zeros((3, 2), np.float32), right, horizons=(30,), key=KEY)
    assert path.ending[0, 0] == 0.0 and path.ending[0, -1] == 1.0


def test_chunks_of_one_shape_cover_every_row_once_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = double_integrator()
    draws = np.random.default_rng(0)
    asked = draws.normal(size=(21, 2)).astype(np.float32), draws.uniform(-1, 1, (21, 3, 1)).astype(np.float32)
    whole = open_loop(model, *asked, horizons=(3,), key=KEY)
    monkeypatch.setattr(module, "CHUNK", 8)
    parts = open_loop(model, *asked, horizons=(3,), key=KEY)
    assert parts.observation == pytest.approx(whole.observation, rel=1e-5) and len(parts.reward) == 21


@given(total=st.integers(1, 3_000), most=st.sampled_from([1, 7, 256]))
def test_rows_of_chunks(total: int, most: int) -> None:
    found = chunks(total, most)
    assert len({len(rows) for rows in found}) == 1 and len(found[0]) <= most
    together = np.concatenate(found)
    assert together[:total].tolist() == list(range(total)) and (together[total:] == total - 1).all()


def test_errors_are_cut_and_constant_dimensions_left_out() -> None:
    scale = Scale(np.array([2.0, 1.0], np.float32), np.array([True, False]))
    predicted = np.array([[3.0, 9.0], [1e9, 0.0], [np.nan, 0.0]], np.float32)
    square, cut = square_error(predicted, np.array([[1.0, 0.0]] * 3, np.float32), scale)
    assert square.tolist() == [1.0, 1e4, 1e4] and cut.tolist() == [False, True, True]
