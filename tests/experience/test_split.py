from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.experience import is_held_out


def split(ids, *, held_out=0.1, seed=0):
    return [is_held_out(name, position=at, held_out=held_out, seed=seed) for at, name in enumerate(ids)]


@given(st.lists(st.text(), unique=True, max_size=30), st.lists(st.text(), max_size=5), st.integers(0, 9))
def test_what_is_collected_later_changes_no_earlier_answer(ids, later, seed):
    assert split([*ids, *later], seed=seed)[: len(ids)] == split(ids, seed=seed)


@given(st.lists(st.text(), unique=True, min_size=2, max_size=30), st.floats(0.01, 0.99))
def test_both_sides_have_an_episode_as_soon_as_there_are_two(ids, held_out):
    assert set(split(ids, held_out=held_out)) == {True, False}
    assert split(ids[:1], held_out=held_out) == [False]


@pytest.mark.parametrize("held_out", [0.02, 0.1, 0.5])
def test_the_share_is_what_was_asked_for(held_out):
    count = 20_000
    mean = np.mean(split([f"e{at}" for at in range(count)], held_out=held_out))
    assert abs(mean - held_out) < 5 * np.sqrt(held_out * (1 - held_out) / count)


def test_the_order_decides_only_for_the_first_two_and_the_seed_for_the_others():
    ids = [f"e{at}" for at in range(200)]
    forth = dict(zip(ids, split(ids), strict=True))
    back = dict(zip(reversed(ids), split(list(reversed(ids))), strict=True))
    ends = {*ids[:2], *ids[-2:]}
    assert all(forth[name] == back[name] for name in ids if name not in ends)
    assert split(ids, seed=1) != split(ids, seed=2)


def test_the_split_is_the_same_on_every_machine():
    held = [at for at, out in enumerate(split([f"e{at}" for at in range(60)], seed=7)) if out]
    assert held == [1, 6, 7, 9, 11, 22, 28, 41, 56]
