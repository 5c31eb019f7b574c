"""How often a warning came true, on episodes written by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gedanken.intermediary.hits import Entry, Hits, summarise
from gedanken.intermediary.limits import Limits


def line(
    step: int,
    *warned: str,
    broken: bool = False,
    reward: float | None = 1.0,
    by: str = "agent",
    terminated: bool = False,
    truncated: bool = False,
    settled: bool = True,
    limits: dict[str, Any] | None = None,
    known: bool = True,
    error: float = 0.0,
) -> Entry:
    """One entry of an episode with a horizon of 3, by hand."""
    limited = Limits(observation_high={0: 1.0}).to_json() | (limits or {})
    decision = {
        "mode": "shadow",
        "by": by,
        "step": step,
        "index": 0,
        "breaches": [{"kind": kind} for kind in warned],
        "rehearsals": [{"known": known}],
        "limits": limited,
        "horizon": 3,
        "discount": 0.5,
        "milliseconds": 1.0 + step,
    }
    settlement = {
        "reward": reward,
        "terminated": terminated,
        "truncated": truncated,
        "cost": {"steps": 2},
        "broken": ["observation[0]"] if broken else [],
        "error": [error, -error],
        "inside": 0.5,
    }
    return Entry(step, decision, settlement if settled else None)


def counts(hits: Hits) -> tuple[int, int, int, int]:
    return hits.true, hits.false, hits.missed, hits.quiet


def test_a_warning_is_true_if_its_limit_broke_within_the_horizon() -> None:
    episode = [
        line(0, "observation"),  # broken at step 2, within its horizon of 3: true
        line(1),  # missed
        line(2, "observation", broken=True),  # its own step: true
        line(3),  # quiet: steps 3, 4, 5 break nothing
        line(4, "observation"),  # false
        line(5, "unknown"),  # not warned, and the record ends too early: not judged
        line(6),
    ]
    summary = summarise([episode])
    assert counts(summary.hits["observation"]) == (2, 1, 1, 1)
    assert (summary.hits["observation"].precision, summary.hits["observation"].recall) == (2 / 3, 2 / 3)
    assert counts(summary.hits["any"]) == (2, 1, 1, 1)
    assert dict(summary.not_judged) == {"the record ends before the horizon does": 2}
    assert dict(summary.breaches) == {"observation": 3, "unknown": 1}
    assert summary.milliseconds == (4.0, 7.0) and summary.decisions == 7


def test_a_limit_that_broke_is_judged_however_short_the_record() -> None:
    assert counts(summarise([[line(0, "observation", broken=True)]]).hits["observation"]) == (1, 0, 0, 0)
    assert summarise([[line(0, "observation")]]).hits == {}
    assert summarise([[line(0, "observation", settled=False)]]).hits == {}


def test_an_end_closes_the_record_and_a_time_limit_does_not() -> None:
    limits = {"most_termination": 0.1}
    ended = summarise([[line(0, "termination", limits=limits), line(1, terminated=True, limits=limits)]])
    assert counts(ended.hits["termination"]) == (1, 0, 1, 0)
    assert counts(ended.hits["observation"]) == (0, 0, 0, 2)
    cut = summarise([[line(0, "termination", limits=limits), line(1, truncated=True, limits=limits)]])
    assert cut.hits == {} and dict(cut.not_judged) == {"the record ends before the horizon does": 2}


def test_what_was_not_done_is_not_judged() -> None:
    summary = summarise([[line(0, "observation"), line(1, "observation", by="alternative"), line(2), line(3), line(4)]])
    assert counts(summary.hits["observation"]) == (0, 0, 0, 1), "only step 2 was followed by what was foreseen"
    assert summary.not_judged["another action was taken"] == 2
    gap = summarise([[line(0), line(1), line(5)]])
    assert gap.hits == {}


def test_returns_and_costs_are_summed_over_the_horizon() -> None:
    limits = {"observation_high": {}, "least_return": 1.7, "most_cost": {"steps": 5}}

    def judged(*warned: str, rewards: tuple[float | None, ...]) -> dict[str, tuple[int, int, int, int]]:
        episode = [line(n, *(warned if n == 0 else ()), reward=r, limits=limits) for n, r in enumerate(rewards)]
        return {kind: counts(hits) for kind, hits in summarise([episode]).hits.items()}

    # 1 + 1/2 + 1/4 is 1.75; a cost of 2 in each of three steps is 6.
    assert judged("return", rewards=(1.0, 1.0, 1.0)) == {
        "return": (0, 1, 0, 0),
        "cost": (0, 0, 1, 0),
        "any": (1, 0, 0, 0),
    }, "a warning of one kind and a breach of another are a hit of any kind"
    assert judged("cost", rewards=(1.0, 0.5, 1.0))["return"] == (0, 0, 1, 0)
    assert "return" not in judged(rewards=(1.0, None, 1.0)), "what nobody told is not judged"


def test_prediction_errors_are_told_apart_by_what_was_known() -> None:
    summary = summarise([[line(0, error=0.3), line(1, error=0.4), line(2, error=5.0, known=False)]])
    assert summary.known.rmse == pytest.approx([np.sqrt(0.125)] * 2) and summary.known.coverage == 0.5
    assert summary.unknown.rmse == pytest.approx([5.0, 5.0]) and summary.unknown.count == 1
    nothing = summarise([])
    assert nothing.known.rmse is None and nothing.known.coverage is None and nothing.milliseconds is None
    assert Hits().precision is None and Hits().recall is None


def test_a_summary_can_be_read_and_stored() -> None:
    summary = summarise([[line(0, "observation"), line(1), line(2), line(3), line(4)]])
    written = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert written["hits"]["observation"] == {
        "true": 0,
        "false": 1,
        "missed": 0,
        "quiet": 2,
        "precision": 0.0,
        "recall": None,
    }
    assert written["predictions"]["unknown"] == {"count": 0, "rmse": None, "coverage_90": None}
    text = str(summary)
    assert "5 decisions (shadow 5); applied by agent 5" in text
    assert "warnings (observation): 1 in 3 judged decisions, precision 0.00, recall not measured" in text
    assert "3.0 ms a decision, 5.0 ms at most" in text
