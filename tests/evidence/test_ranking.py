"""Rankings: golden values with intervals, who matters most, the noise of real returns, and bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.evidence.interval import MANY
from gedanken.evidence.ranking import FEWEST, _redraw, rank
from tests.evidence.simpler import tables

SIMPLER = tables()
CORRELATIONS = ("pearson", "spearman", "kendall")
SCORES = (*CORRELATIONS, "mmrv", "mmrv_ties_to_better", "regret@1", "regret@3", "precision@1", "precision@3")


def panel(policies: int, correlation: float, *, episodes: int = 1, noise: float = 0.0, seed: int = 0):
    """Real episodes [P, N] and imagined values [P] of a panel whose true values are standard normal."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=policies)
    imagined = correlation * truth + np.sqrt(1 - correlation**2) * rng.normal(size=policies)
    return truth[:, None] + noise * rng.normal(size=(policies, episodes)), imagined


def test_a_panel_of_simpler_has_its_golden_values_and_intervals() -> None:
    table = SIMPLER["google_robot_move_near"]
    found = rank(real=table.real, imagined=table.imagined, policies=table.policies, seed=0)
    assert found["pearson"].mean == pytest.approx(0.856, abs=5e-4)
    assert found["mmrv"].mean == pytest.approx(0.111, abs=5e-4)
    for name in (*CORRELATIONS, "mmrv"):
        assert found[name].low <= found[name].mean <= found[name].high
        assert (found[name].count, found[name].method) == (6, "bias-corrected bootstrap")
    assert [score.name for score in found.scores] == list(SCORES)


@pytest.mark.parametrize("task", [task for task, table in SIMPLER.items() if len(table.policies) < FEWEST])
def test_a_correlation_of_three_policies_is_not_printed(task: str) -> None:
    table = SIMPLER[task]
    found = rank(real=table.real, imagined=table.imagined, policies=table.policies, seed=0)
    for name in CORRELATIONS:
        assert found[name].mean is None
        assert "fewer than 5 policies" in found[name].reason
    assert found["mmrv"].mean is not None
    assert found["mmrv"].low is None
    assert "fewer than 5" in found["mmrv"].reason
    assert all(score.left_out is None for score in found.scores)
    assert "regret@3" not in [score.name for score in found.scores]


def test_sides_cannot_be_swapped_without_naming_them_and_matter() -> None:
    table = SIMPLER["google_robot_pick_coke_can"]
    with pytest.raises(TypeError):
        rank(table.real, table.imagined, seed=0)
    right = rank(real=table.real, imagined=table.imagined, seed=0)
    swapped = rank(real=table.imagined, imagined=table.real, seed=0)
    assert right["mmrv"].mean == pytest.approx(0.031, abs=5e-4)
    assert swapped["mmrv"].mean == pytest.approx(0.062, abs=5e-4)


def test_the_most_influential_policy_is_named() -> None:
    real = np.arange(8.0)
    imagined = real.copy()
    imagined[2] = 40.0  # one that the model flatters
    found = rank(real=real, imagined=imagined, policies="abcdefgh", seed=0)
    for score in found.scores[:4]:
        assert score.left_out.policy == "c"
    spearman = next(score for score in found.scores if score.name == "spearman")
    assert spearman.left_out.without == pytest.approx(1.0)
    assert spearman.left_out.low < spearman.value.mean < spearman.left_out.high == pytest.approx(1.0)
    perfect = rank(real=real, imagined=real, seed=0)
    assert perfect.scores[1].left_out.policy is None
    assert perfect.scores[1].left_out.low == pytest.approx(1.0)


def test_a_worse_model_ranks_worse() -> None:
    good, bad = (rank(real=real, imagined=s, seed=0) for real, s in (panel(30, 0.95), panel(30, 0.3)))
    for name in CORRELATIONS:
        assert good[name].low > bad[name].mean
    assert good["mmrv"].mean < bad["mmrv"].mean


def test_what_never_changes_has_no_interval_rather_than_none_of_width() -> None:
    values = np.arange(20.0)
    found = rank(real=values, imagined=values, seed=0)
    for name in ("spearman", "mmrv", "regret@1"):
        assert found[name].mean is not None
        assert found[name].low is None
        assert "nearly all resamples" in found[name].reason


@pytest.mark.slow
@pytest.mark.parametrize("policies", [10, 20])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_intervals_hold_as_often_as_they_say(policies: int, correlation: float) -> None:
    truth = {
        "pearson": correlation,
        "spearman": 6 / np.pi * np.arcsin(correlation / 2),
        "kendall": 2 / np.pi * np.arcsin(correlation),
    }
    held = {name: [] for name in truth}
    for seed in range(150):
        real, imagined = panel(policies, correlation, seed=seed)
        found = rank(real=real, imagined=imagined, confidence=0.9, resamples=499, seed=seed)
        for name, value in truth.items():
            held[name].append(found[name].low <= value <= found[name].high)
    for name in truth:
        assert np.mean(held[name]) >= 0.82, name


# --- Noise of the real returns --------------------------------------------------------------------------------------


def test_few_real_episodes_lower_a_score_and_the_correction_gives_it_back() -> None:
    real, imagined = panel(80, 0.9, episodes=5, noise=2.0)
    found = rank(real=real, imagined=imagined, seed=0, resamples=299)
    # A fifth of 4 is the variance of a mean's noise, beside that of 1 between policies.
    assert found.reliability.mean == pytest.approx(1 / 1.8, abs=0.12)
    assert found["pearson"].mean == pytest.approx(0.9 * np.sqrt(1 / 1.8), abs=0.1)
    assert found["pearson"].high < 0.85
    for score, corrected in (
        ("pearson", found.pearson_without_noise),
        ("spearman", found.spearman_without_noise),
    ):
        assert abs(corrected.mean - 0.9) < abs(found[score].mean - 0.9)
        assert corrected.high > found[score].high


@pytest.mark.slow
def test_corrected_intervals_hold_where_those_of_the_noisy_returns_do_not() -> None:
    """Twenty policies with five real episodes each, as noisy as policies differ; nominal 90 %."""
    truth = {"pearson": 0.9, "spearman": 6 / np.pi * np.arcsin(0.9 / 2)}
    held: dict[str, list[bool]] = {"pearson": [], "spearman": [], "corrected pearson": [], "corrected spearman": []}
    for seed in range(120):
        real, imagined = panel(20, 0.9, episodes=5, noise=1.0, seed=seed)
        found = rank(real=real, imagined=imagined, confidence=0.9, resamples=299, seed=seed)
        for name, value in truth.items():
            corrected = found.pearson_without_noise if name == "pearson" else found.spearman_without_noise
            held[name].append(found[name].low <= value <= found[name].high)
            held[f"corrected {name}"].append(corrected.low <= value <= corrected.high)
    for name in truth:
        assert np.mean(held[f"corrected {name}"]) >= 0.8, held
        assert np.mean(held[f"corrected {name}"]) > np.mean(held[name]) + 0.1


def test_nothing_is_corrected_where_real_returns_are_all_noise_or_single() -> None:
    real, imagined = panel(20, 0.9, episodes=3, noise=100.0)
    noisy = rank(real=real - real.mean(1, keepdims=True) + np.arange(20)[:, None], imagined=imagined, seed=0)
    assert noisy.reliability.mean < 0.2
    assert "no noise" in noisy.pearson_without_noise.reason
    single = rank(real=real[:, 0], imagined=imagined, seed=0)
    assert "single real return" in single.reliability.reason
    assert single.pearson_without_noise.mean is None


def test_episodes_are_drawn_anew_on_request_and_it_says_so() -> None:
    real, imagined = panel(12, 0.9, episodes=4, noise=1.5)
    outer, both = (
        rank(real=real, imagined=imagined, resample=what, seed=0) for what in ("policies", "policies+episodes")
    )
    assert (outer.resampled, both.resampled) == ("policies", "policies+episodes")
    assert outer["spearman"].mean == both["spearman"].mean
    assert (outer["spearman"].low, outer["spearman"].high) != (both["spearman"].low, both["spearman"].high)
    exact = np.repeat(real.mean(1)[:, None], 4, axis=1)
    same = [rank(real=exact, imagined=imagined, resample=what, seed=0) for what in ("policies", "policies+episodes")]
    assert same[0]["pearson"].low == pytest.approx(same[1]["pearson"].low), "without noise there is nothing to draw"


def test_redrawn_means_vary_as_theirs_do() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.normal(3.0, 2.0, 50), rng.normal(-1.0, 4.0, MANY + 500)
    means = _redraw([few, many], np.tile([0, 1, 1], (4_000, 1)), rng)
    for column, returns in ((0, few), (1, many), (2, many)):
        assert means[:, column].mean() == pytest.approx(returns.mean(), abs=0.03)
        assert means[:, column].std() == pytest.approx(returns.std() / np.sqrt(len(returns)), rel=0.1)
    assert abs(np.corrcoef(means[:, 1], means[:, 2])[0, 1]) < 0.1, (
        "each time a policy is drawn, its episodes are its own"
    )


def test_a_policy_may_have_more_episodes_than_another() -> None:
    found = rank(real=[[1.0, 3.0], 5.0, [2.0], [8.0, 8.0, 8.0], [0.0], [4.0]], imagined=[1, 4, 2, [9, 7], 0, 3], seed=0)
    assert found["spearman"].mean == pytest.approx(0.986, abs=1e-3)


# --- Bad input ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_ranked_says_why() -> None:
    nan = rank(real=[1.0, np.nan, 3.0, 4.0, 5.0], imagined=np.arange(5.0), policies="abcde", seed=0)
    assert all(score.value.mean is None for score in nan.scores)
    assert "real returns are not finite: of b" in nan["mmrv"].reason
    level = rank(real=np.full(6, 2.0), imagined=np.arange(6.0), seed=0)
    assert "real returns are all equal" in level["mmrv"].reason, "an MMRV of 0 would look like praise"
    constant = rank(real=np.arange(6.0), imagined=np.full(6, 2.0), seed=0)
    assert "imagined returns are all equal" in constant["pearson"].reason
    assert (
        "imagined returns are all equal" in constant.pearson_without_noise.reason or constant.reliability.mean is None
    )
    assert constant["mmrv"].mean == pytest.approx(2.5)
    assert constant["regret@1"].mean == pytest.approx(0.5), "a guess among six"
    assert "two policies" in rank(real=[1.0], imagined=[2.0], seed=0)["mmrv"].reason
    assert "two policies" in rank(real=[], imagined=[], seed=0)["mmrv"].reason


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"imagined": [1.0, 2.0]}, "3 real, 2 imagined"),
        ({"policies": ["a"]}, "1 names"),
        ({"policies": ["a", "a", "b"]}, "named twice"),
        ({"real": [[1.0], [], [2.0]]}, "not empty"),
        ({"real": np.ones((3, 2, 2))}, "flat list"),
        ({"tops": (0,)}, "top 0"),
        ({"confidence": 95}, "probability"),
        ({"resample": "episodes"}, "drawn anew"),
        ({"resample": "policies+episodes"}, "single real return"),
    ],
)
def test_wrong_input_is_refused(changes: dict, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        rank(**{"real": [1.0, 2.0, 3.0], "imagined": [1.0, 2.0, 3.0], "seed": 0, **changes})


@given(st.data())
def test_every_panel_gives_plain_finite_data(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 9))
    values = st.lists(st.integers(-3, 3).map(float), min_size=count, max_size=count)
    found = rank(real=data.draw(values), imagined=data.draw(values), resamples=99, seed=1)
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["resampled"] == "policies"
    for name, score in plain["scores"].items():
        value = score["value"]
        assert value["mean"] is not None or value["reason"]
        assert value["count"] == count
        if value["low"] is not None:
            assert value["low"] <= value["mean"] <= value["high"]
        if name in CORRELATIONS:
            assert value["mean"] is None or (count >= FEWEST and -1.0 <= value["mean"] <= 1.0)
