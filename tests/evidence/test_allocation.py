"""The ways to choose without a model, or by it alone: they keep to the budget, and find what is plain to see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.evidence.allocation import _rounds, model_only, sequential_halving, uniform


class Exact:
    """A world without noise that counts what each policy was paid for."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.paid = values, np.zeros(len(values), int)

    def __call__(self, policy: int) -> float:
        self.paid[policy] += 1
        return float(self.values[policy])


@given(st.integers(1, 40), st.integers(1, 90), st.sampled_from([uniform, sequential_halving]), st.integers(0, 99))
def test_the_budget_holds_and_the_best_of_those_tried_wins(policies: int, episodes: int, way, seed: int) -> None:
    rng = np.random.default_rng(seed)
    world = Exact(rng.normal(size=policies))
    chosen = way(world, policies, episodes, rng)
    assert 1 <= world.paid.sum() <= episodes
    tried = np.flatnonzero(world.paid)
    assert chosen == tried[world.values[tried].argmax()]


def test_uniform_gives_everyone_as_much() -> None:
    world = Exact(np.arange(7.0))
    uniform(world, 7, 23, np.random.default_rng(0))
    assert sorted(world.paid.tolist()) == [3, 3, 3, 3, 3, 4, 4]


def test_halving_gives_the_better_half_more() -> None:
    assert _rounds(20) == [20, 10, 5, 3, 2]
    world = Exact(np.arange(8.0))
    assert sequential_halving(world, 8, 96, np.random.default_rng(0)) == 7
    # Three rounds of 32: four each, eight for four of them, sixteen for two.
    assert world.paid.tolist() == [4, 4, 4, 4, 12, 12, 28, 28]


def test_with_few_episodes_it_halves_as_many_as_it_can_hold() -> None:
    world = Exact(np.arange(20.0))
    sequential_halving(world, 20, 10, np.random.default_rng(0))
    assert (world.paid > 0).sum() == 5
    world = Exact(np.arange(20.0))
    assert sequential_halving(world, 20, 40, np.random.default_rng(0)) == 19


def test_noise_is_averaged_out_with_more_episodes() -> None:
    values, found = np.linspace(0, 1, 6), {}
    for episodes in (12, 300):
        hits = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            hits.append(sequential_halving(lambda k, rng=rng: values[k] + rng.normal(), 6, episodes, rng) == 5)
        found[episodes] = np.mean(hits)
    assert found[300] > found[12] + 0.15


def test_the_model_alone_is_followed_and_its_ties_are_drawn() -> None:
    rng = np.random.default_rng(0)
    assert model_only([1.0, np.nan, 3.0], rng) == 2
    drawn = [model_only([2.0, 1.0, 2.0, np.nan], rng) for _ in range(200)]
    assert set(drawn) == {0, 2}
    assert np.mean(np.array(drawn) == 0) == pytest.approx(0.5, abs=0.15)
    assert {model_only([np.nan, np.nan], rng) for _ in range(50)} == {0, 1}
