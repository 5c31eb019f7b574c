"""The table that transitions are fitted from: growing, masked, and refusing what would spoil a fit."""

from __future__ import annotations

import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.models.data import Columns, TransitionTable


def rows(count: int, *, first: int = 0, **changes: np.ndarray) -> Columns:
    number = np.arange(first, first + count)
    columns = Columns(
        observation=np.stack([number, -number], 1).astype(np.float32),
        action=number[:, None].astype(np.float32) / 100,
        reward=number.astype(np.float32),
        terminated=number % 7 == 0,
        next_observation=np.stack([number + 1, -number], 1).astype(np.float32),
        cost=np.ones((count, 1), np.float32),
        episode=(number // 10).astype(np.int32),
        held_out=number // 10 % 3 == 1,
    )
    return columns._replace(**changes)


def table(capacity: int = 16) -> TransitionTable:
    return TransitionTable(capacity, 2, 1, ("steps",))


def test_what_is_added_is_there_in_order() -> None:
    t = table()
    t.add(rows(5))
    t.add(rows(4, first=5))
    assert t.size == 9 and t.capacity == 16
    for got, wanted in zip(t.filled(), rows(9), strict=True):
        assert np.array_equal(got, wanted)


def test_beyond_its_size_a_table_is_blank() -> None:
    t = table()
    t.add(rows(5))
    rest = Columns(*(column[5:] for column in t.columns))
    assert (rest.episode == -1).all() and not rest.held_out.any() and not rest.observation.any()


@pytest.mark.parametrize(("first", "then", "capacity"), [(16, 1, 32), (3, 100, 128), (0, 16, 16)])
def test_it_grows_by_doubling_and_keeps_what_it_holds(first: int, then: int, capacity: int) -> None:
    t = table()
    t.add(rows(first))
    t.add(rows(then, first=first))
    assert t.capacity == capacity and t.size == first + then
    for got, wanted in zip(t.filled(), rows(first + then), strict=True):
        assert np.array_equal(got, wanted)
    assert all(len(column) == capacity for column in t.columns)
    # Rows that were never written look the same whether the table grew or not.
    assert (t.columns.episode[t.size :] == -1).all()


def test_filled_rows_are_views() -> None:
    t = table()
    t.add(rows(5))
    assert np.shares_memory(t.filled().observation, t.columns.observation)


def test_no_rows_are_no_rows() -> None:
    t = table()
    t.add(rows(0))
    assert t.size == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("observation", np.zeros((5, 3), np.float32)),
        ("action", np.zeros((5, 2), np.float32)),
        ("cost", np.zeros((5, 0), np.float32)),
        ("reward", np.zeros((5, 1), np.float32)),
        ("episode", np.zeros(4, np.int32)),
    ],
)
def test_rows_of_another_shape_are_refused_by_name(name: str, value: np.ndarray) -> None:
    t = table()
    with pytest.raises(ConfigError, match=f"'{name}'"):
        t.add(rows(5, **{name: value}))
    assert t.size == 0


@pytest.mark.parametrize("name", ["observation", "action", "reward", "next_observation", "cost"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_float32_are_refused_and_nothing_is_written(name: str, bad: float) -> None:
    t = table()
    t.add(rows(3))
    column = getattr(rows(5), name).astype(np.float64)
    column.reshape(-1)[-1] = bad
    with pytest.raises(ConfigError, match=f"'{name}'"):
        t.add(rows(5, **{name: column}))
    assert t.size == 3
    assert not t.columns.observation[3:].any()


def test_a_table_without_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="capacity"):
        table(capacity=0)
