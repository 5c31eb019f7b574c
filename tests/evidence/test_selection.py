"""Selection: what is told of every decision, what is known in the end, and bad input."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from benchmarks.evidence_selection import study
from gedanken.errors import ConfigError, WorldError
from gedanken.evidence.selection import select


def world(truth: np.ndarray, noise: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    return lambda policy: truth[policy] + noise * rng.normal()


def nobody(policy: int) -> float:
    raise AssertionError("nothing was to be paid for")


def test_every_decision_is_told_with_its_reason_as_it_happens() -> None:
    truth, imagined = study("good", 6, np.random.default_rng(1))
    names = [f"policy {k}" for k in range(6)]
    told = []
    found = select(world(truth, 0.5), episodes=12, imagined=imagined, policies=names, tell=told.append, seed=0)
    assert tuple(told) == found.decisions
    assert [decision.number for decision in told] == list(range(1, 13))
    assert told[0].policy == names[int(np.argmax(imagined))]
    assert told[0].leader is None and told[0].gain is None
    assert all(decision.reason and decision.policy in names for decision in told)
    assert told[-1].leader in names and told[-1].gain >= 0.0
    paid = {each.policy: each.real.count for each in found.candidates}
    assert sum(paid.values()) == found.paid == 12
    assert paid == {name: sum(decision.policy == name for decision in told) for name in names}
    json.dumps(found.to_json(), allow_nan=False)


def test_a_log_survives_a_world_that_breaks() -> None:
    told = []

    def breaks(policy: int) -> float:
        return 1.0 if len(told) < 3 else math.nan

    with pytest.raises(WorldError, match="not finite"):
        select(breaks, episodes=9, imagined=[1.0, 2.0, 3.0], tell=told.append, seed=0)
    assert len(told) == 3


def test_the_same_seed_gives_the_same_selection() -> None:
    truth, imagined = study("useless", 20, np.random.default_rng(3))
    one, other = (select(world(truth, 1.0, seed=5), episodes=15, imagined=imagined, seed=2) for _ in range(2))
    assert one == other


def test_recorded_returns_alone_choose_and_say_how_sure_that_is() -> None:
    known = [[1.0, 1.2, 0.8], [3.0, 3.3, 2.7], [2.9, 2.7, 3.2], []]
    found = select(nobody, episodes=0, imagined=[1.0, 3.0, 2.5, 0.5], known=known, policies="abcd", seed=0)
    assert found.chosen in "bc"
    assert found.next in "abcd" and found.next_reason
    assert found.candidates[0].policy == found.chosen
    assert sum(each.probability_best for each in found.candidates) == pytest.approx(1.0)
    assert found.paid == 9 and found.decisions == ()
    assert found.regret.low <= found.regret.mean <= found.regret.high
    assert (found.regret.count, found.regret.method) == (9, "posterior")
    assert found.agreement.mean > 0.3
    unpaid = next(each for each in found.candidates if each.policy == "d")
    assert unpaid.real.mean is None and unpaid.believed.mean is not None


def test_what_is_not_known_is_not_measured() -> None:
    nothing = select(nobody, episodes=0, imagined=[1.0, 3.0, 2.0], seed=0)
    assert nothing.chosen == "1"
    assert "fewer than two policies" in nothing.regret.reason
    assert nothing.candidates[0].believed.mean is None
    level = select(nobody, episodes=0, imagined=[1.0, 3.0, 2.0], known=[[2.0], [2.0], [2.0]], seed=0)
    assert "all real returns are equal" in level.regret.reason
    silent = select(nobody, episodes=0, imagined=[np.nan] * 3, known=[[1.0], [2.0], [4.0]], seed=0)
    assert silent.chosen == "2"
    assert "tells the policies not apart" in silent.agreement.reason
    assert silent.candidates[0].imagined is None
    json.dumps([each.to_json() for each in (nothing, level, silent)], allow_nan=False)


def test_a_single_candidate_is_chosen() -> None:
    found = select(lambda _: 4.0, episodes=2, imagined=[1.0], policies=["only"], seed=0)
    assert (found.chosen, found.paid, found.next) == ("only", 2, "only")


def test_the_expected_regret_and_the_probability_are_about_right() -> None:
    """Over models of every quality: what is expected is what comes, within a factor of 1.6."""
    expected, came, sure, right = [], [], [], []
    for seed in range(30):
        truth, imagined = study(("good", "useless", "reversed")[seed % 3], 8, np.random.default_rng(seed))
        found = select(world(truth, 0.7, seed), episodes=12, imagined=imagined, seed=seed)
        chosen = int(found.chosen)
        expected.append(found.regret.mean)
        came.append(truth.max() - truth[chosen])
        sure.append(found.candidates[0].probability_best)
        right.append(chosen == truth.argmax())
    assert np.mean(came) / 1.6 <= np.mean(expected) <= 1.6 * np.mean(came) + 0.05
    assert np.mean(sure) == pytest.approx(np.mean(right), abs=0.2)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"imagined": []}, "flat list"),
        ({"imagined": [[1.0], [2.0]]}, "flat list"),
        ({"policies": ["a"]}, "1 names"),
        ({"policies": ["a", "a"]}, "named twice"),
        ({"known": [[1.0]]}, "1 lists"),
        ({"known": [[1.0], [np.nan]]}, "finite"),
        ({"episodes": -1}, "fewer than none"),
        ({"confidence": 0.0}, "probability"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_paid(changes: dict, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        select(nobody, **{"episodes": 3, "imagined": [1.0, 2.0], "seed": 0, **changes})
