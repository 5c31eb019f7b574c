"""The race: who goes first, what an episode is worth, and that a bad model costs no more than having none."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.evidence_selection import study
from gedanken.evidence.allocation import sequential_halving
from gedanken.evidence.belief import Belief, Mixture
from gedanken.evidence.racing import Race, race, worth


def belief(mean: list[float], variance: list[float], noise: list[float]) -> Belief:
    nothing = Mixture(*(np.zeros(0) for _ in Mixture._fields))
    return Belief(np.array(mean), np.array(variance), np.array(noise), nothing)


def test_an_episode_is_worth_what_the_normal_integral_says() -> None:
    """Closed form for one episode: E max(0, N(gap, move^2)) - max(0, gap)."""
    gain = worth(belief([1.0, 0.4], [0.5, 0.8], [1.0, 2.0]), left=1)
    for policy, gap in ((0, -0.6), (1, -0.6)):
        variance, noise = ((0.5, 1.0), (0.8, 2.0))[policy]
        move = variance / np.sqrt(variance + noise)
        expected = move * scipy.stats.norm.pdf(gap / move) + gap * scipy.stats.norm.cdf(gap / move)
        assert gain[policy] == pytest.approx(expected)


def test_an_episode_is_worth_less_where_less_can_change() -> None:
    gain = worth(belief([2.0, 1.9, 0.0, 1.9], [1.0, 1.0, 1.0, 1e-6], [1.0] * 4), left=10)
    assert gain[1] > gain[2] > 0.0
    assert gain[3] < 1e-3 * gain[1]


def test_several_noisy_episodes_can_be_worth_more_than_one_by_one() -> None:
    far = belief([1.0, 0.0], [1.0, 1.0], [100.0, 100.0])
    assert worth(far, left=1)[1] < 1e-10 < worth(far, left=50)[1]


def test_the_favourite_goes_first_then_the_middle_of_the_list() -> None:
    running = Race([1.0, 5.0, 3.0, 2.0, 4.0], np.random.default_rng(0))
    first = running.propose(left=9)
    assert first.policy == 1
    assert "favourite" in first.reason
    running.add(1, 0.0)
    assert running.propose(left=8).policy == 2
    running.add(2, 0.0)
    # Equal returns say nothing: on it goes through those who had none.
    assert running.propose(left=7).policy == 4
    assert "no two policies apart" in running.propose(left=7).reason


def test_every_second_episode_leaves_the_model_aside() -> None:
    running = Race(np.arange(10.0), np.random.default_rng(0))
    said = []
    for left in range(8, 0, -1):
        proposal = running.propose(left=left)
        running.add(proposal.policy, float(proposal.policy % 3))
        said.append(proposal.reason)
    aside = ["model aside" in reason for reason in said]
    assert aside[2:] == [False, True, False, True, False, True]


def test_where_nothing_else_decides_the_order_is_drawn() -> None:
    firsts = {Race([np.nan] * 6, np.random.default_rng(seed)).propose(left=5).policy for seed in range(40)}
    assert firsts == set(range(6))


def test_when_all_is_plain_the_nearest_rival_is_checked() -> None:
    running = Race([3.0, 2.0, 1.0], np.random.default_rng(0))
    for policy, level in enumerate((0.0, 1e9, -1e9)):
        for _ in range(60):
            running.recall(policy, level)
    found = running.propose(left=1)
    assert found.policy == 0
    assert "nearest rival" in found.reason
    assert running.choose(running.believe()) == 1


@settings(max_examples=25)
@given(st.integers(1, 8), st.integers(0, 12), st.integers(0, 99))
def test_the_budget_is_spent_and_one_is_named(policies: int, episodes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    paid = []

    def pay(policy: int) -> float:
        paid.append(policy)
        return float(rng.integers(0, 2))

    chosen, _ = race(pay, rng.normal(size=policies), episodes, rng)
    assert len(paid) == episodes
    assert 0 <= chosen < policies


def regrets(kind: str, episodes: int, studies: int, noise: float) -> dict[str, np.ndarray]:
    """[studies] of our race, and of sequential halving without a model, on the same studies."""
    found = {"race": [], "halving": []}
    for seed in range(studies):
        truth, imagined = study(kind, 20, np.random.default_rng(seed))
        ways = {
            "race": lambda pay, rng, imagined=imagined: race(pay, imagined, episodes, rng)[0],
            "halving": lambda pay, rng: sequential_halving(pay, len(truth), episodes, rng),  # noqa: B023
        }
        for name, way in ways.items():
            rng = np.random.default_rng([seed, 7])
            chosen = way(lambda k, rng=rng, truth=truth: truth[k] + noise * rng.normal(), rng)
            found[name].append(truth.max() - truth[chosen])
    return {name: np.array(each) for name, each in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["useless", "reversed", "slander", "exploited"])
@pytest.mark.parametrize("episodes", [10, 40])
def test_a_bad_model_costs_no_more_than_having_none(kind: str, episodes: int) -> None:
    """Twenty policies, returns as noisy as policies differ: no more regret than halving, up to two standard errors."""
    found = regrets(kind, episodes, studies=60, noise=1.0)
    more = found["race"] - found["halving"]
    assert more.mean() <= 2.0 * more.std() / np.sqrt(len(more))


@pytest.mark.slow
def test_a_good_model_saves_most_of_the_regret() -> None:
    found = regrets("good", 10, studies=60, noise=1.0)
    assert found["race"].mean() < 0.5 * found["halving"].mean()
