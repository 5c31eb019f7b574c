"""Which limits there can be."""

from __future__ import annotations

from typing import Any

import pytest

from gedanken.errors import ConfigError
from gedanken.intermediary.limits import Limits


@pytest.mark.parametrize(
    "wrong",
    [
        {"observation_high": {-1: 0.0}},
        {"observation_high": {True: 0.0}},
        {"observation_low": {"x": 0.0}},
        {"observation_low": {0: float("nan")}},
        {"observation_low": {0: 1.0}, "observation_high": {0: 1.0}},
        {"least_return": float("inf")},
        {"least_return": "3"},
        {"most_termination": 1.5},
        {"least_confidence": -0.1},
        {"least_confidence_ahead": 2},
        {"most_risk": True},
        {"most_cost": {"steps": 0.5}},
        {"most_cost": {"steps": -1}},
    ],
)
def test_impossible_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Limits(**wrong)


def test_limits_survive_a_file_and_their_givers() -> None:
    bounds = {2: 1.0}
    limits = Limits(observation_low=bounds, most_cost={"steps": 0})
    bounds[2] = 5.0
    assert limits.observation_low == {2: 1.0}
    assert Limits(**{**limits.to_json(), "observation_low": {"2": 1.0}}) == limits, "files hold keys as texts"
