import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from gedanken.evidence.scores import check_termination, gaussian_crps, mixture_quantiles, rank_correlation


def test_crps_equals_its_integral() -> None:
    for mean, std, seen in [(0.0, 1.0, 0.3), (2.0, 0.5, -1.0), (-1.0, 3.0, 4.0)]:
        grid = np.linspace(-40, 40, 400_001)
        gap = (scipy.stats.norm.cdf(grid, mean, std) - (grid >= seen)) ** 2
        expected = scipy.integrate.trapezoid(gap, grid)
        assert gaussian_crps(np.array(mean), np.array(std), np.array(seen)) == pytest.approx(expected, abs=1e-3)
    assert gaussian_crps(np.array(1.0), np.array(0.0), np.array(3.0)) == pytest.approx(2.0)


def test_quantiles_of_a_mixture_are_where_its_distribution_says() -> None:
    mean, std = jnp.asarray([[[-2.0]], [[3.0]]]), jnp.asarray([[[0.5]], [[1.0]]])
    shares = jnp.asarray([0.025, 0.3, 0.75, 0.975])
    found = np.asarray(mixture_quantiles(mean, std, shares))[:, 0, 0]
    reached = 0.5 * scipy.stats.norm.cdf(found, -2.0, 0.5) + 0.5 * scipy.stats.norm.cdf(found, 3.0, 1.0)
    assert reached == pytest.approx(np.asarray(shares), abs=1e-4)


@pytest.fixture
def endings() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    episode = np.repeat(np.arange(40), 25)
    score = np.round(rng.uniform(size=len(episode)), 2)
    return score, rng.uniform(size=len(episode)) < score**2, episode


def test_termination_scores_equal_their_definitions(endings: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    score, ended, episode = endings
    found = check_termination(score, ended, episode, confidence=0.95, seed=0)
    pairs = score[ended][:, None] - score[~ended][None, :]
    assert found.auc.mean == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert found.brier.mean == pytest.approx(np.mean((score - ended) ** 2))
    bins = np.minimum((score * 10).astype(int), 9)
    expected = sum(abs(score[bins == b].mean() - ended[bins == b].mean()) * (bins == b).mean() for b in range(10))
    assert found.ece.mean == pytest.approx(expected)
    assert sum(part.count for part in found.bins) == len(score) == found.steps
    assert found.terminations == ended.sum() and found.auc.count == 40
    assert found.auc.low < found.auc.mean < found.auc.high
    assert found.brier_of_base_rate == pytest.approx(ended.mean() * (1 - ended.mean()))


def test_more_distinct_scores_than_are_kept_change_auc_by_little() -> None:
    rng = np.random.default_rng(1)
    ended = rng.uniform(size=6_000) < 0.3
    score = np.clip(rng.normal(0.4 + 0.2 * ended, 0.2), 0, 1)
    found = check_termination(score, ended, np.arange(6_000) // 100, confidence=0.95, seed=0).auc
    expected = scipy.stats.mannwhitneyu(score[ended], score[~ended]).statistic / (ended.sum() * (~ended).sum())
    assert found.mean == pytest.approx(expected, abs=2e-3)


def test_what_cannot_be_scored_says_why() -> None:
    score, episode = np.full(10, 0.1), np.arange(10) // 5
    never = check_termination(score, np.zeros(10, bool), episode, confidence=0.95, seed=0)
    assert never.auc.mean is None and "no episode ended among 10 steps" in never.auc.reason
    assert never.ece.mean == pytest.approx(0.1) and never.terminations == 0
    unknown = check_termination(np.full(10, np.nan), np.zeros(10, bool), episode, confidence=0.95, seed=0)
    assert unknown.brier.mean is None and "no probability for 10 of 10" in unknown.brier.reason
    assert rank_correlation(np.ones(4), np.arange(4.0), np.arange(4), confidence=0.95, seed=0).mean is None


def test_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(size=300)
    second = np.exp(first) + rng.normal(size=300)
    found = rank_correlation(first, second, np.arange(300) // 10, confidence=0.95, seed=0)
    assert found.mean == pytest.approx(scipy.stats.spearmanr(first, second).statistic, abs=1e-6)
    assert found.low < found.mean < found.high and found.count == 30
