"""The figures of what a model was judged by show what was measured, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gedanken.report.data import NotMeasured
from gedanken.report.judged_figures import exploitation, panel, permuted
from tests.report.example import full_report

NONE = {"mean": None, "low": None, "high": None, "count": 0, "reason": "nothing"}


def interval(mean: float, half: float | None = 1.0) -> dict[str, Any]:
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return {"mean": mean, "low": low, "high": high, "count": 5, "reason": ""}


def value(policy: str, real: dict[str, Any], said: dict[str, Any], source: str = "imagined") -> dict[str, Any]:
    return {"policy": policy, "source": source, "comparison": {"real": real, "imagined": said}}


def test_every_policy_that_was_played_on_both_sides_is_a_point() -> None:
    values = [
        value("a", interval(10.0), interval(12.0)),
        value("b", interval(30.0), interval(20.0, None)),
        value("no real", NONE, interval(20.0)),
        value("no model", interval(5.0), NONE),
        value("c", interval(-50.0), interval(90.0), source="other"),
    ]
    made = panel(values, "imagined")
    points = made.data[-1]
    assert list(points.text) == ["a", "b"] and list(points.x) == [12.0, 20.0] and list(points.y) == [10.0, 30.0]
    assert list(points.error_x.array) == [1.0, 0.0] and points.name == "2 policies"
    low, high = made.layout.xaxis.range
    assert tuple(made.layout.yaxis.range) == (low, high) and low < 9.0 and high > 31.0
    assert panel(values, "nobody") is None


def test_points_that_coincide_have_room() -> None:
    made = panel([value("a", interval(3.0, None), interval(3.0, None))], "imagined")
    low, high = made.layout.xaxis.range
    assert low < 3.0 < high


def test_recorded_and_permuted_actions_are_two_lines() -> None:
    found = {"horizons": (1, 10), "recorded": [interval(1.0, 0.1), NONE], "permuted": [interval(3.0, 0.1), NONE]}
    lines = {trace.name: trace.y for trace in permuted(found).data if trace.name}
    assert lines["told the recorded actions"][0] == 1.0 and lines["told the actions of another episode"][0] == 3.0
    assert np.isnan(lines["told the recorded actions"][1])
    assert permuted({"horizons": (1,), "recorded": [NONE], "permuted": [NONE]}) is None


@pytest.mark.parametrize("stop", [None, 20])
def test_exploitation_marks_where_to_stop_only_where_the_rule_says_so(stop: int | None) -> None:
    both = [interval(1.0), interval(2.0)]
    made = exploitation({"steps": (10, 20), "real": both, "imagined": both, "stop": stop, "deploy": 10})
    words = [annotation.text for annotation in made.layout.annotations]
    assert words == ([] if stop is None else ["stop at 20, deploy 10"])


def test_the_example_stops() -> None:
    found = full_report().panel
    assert not isinstance(found, NotMeasured)
    curve = found["exploitation"]["value_gradient"]
    assert curve["stop"] == 2_000 and curve["deploy"] == 1_000
