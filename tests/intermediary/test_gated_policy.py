"""The gate between a policy and the real world, step after step."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gedanken.experience.transition import Transition
from gedanken.intermediary.decisions import DecisionLog
from gedanken.intermediary.gate import GateRefused, gated_policy
from gedanken.worlds.act import act
from gedanken.worlds.world import World
from tests.intermediary.compiling import compilations
from tests.intermediary.walks import KEY, Corridor, at, gate, walk
from tests.worlds.ledgers import RUN, opened
from tests.worlds.records import MemoryRecord


def drift(observation: np.ndarray, step: int) -> tuple[np.ndarray, float]:
    return at(0.3), -0.5


def walked(tmp_path: Path, mode: Any, log: DecisionLog | None = None, steps: int = 8) -> Any:
    guarded = gated_policy(gate(mode), drift, KEY, log, alternatives=lambda observation: [at(0.0), at(-0.3)])
    world = World(Corridor(), {"steps": 1}, name="corridor").with_horizon(steps)
    with opened(tmp_path, learn=100) as ledger:
        names = {"account": "learn", "policy_id": "p", "run_id": RUN, "seed": 0, "episode_index": 0}
        return act(world, ledger, MemoryRecord(), guarded, on_step=guarded.settle, **names)


def test_a_gated_policy_keeps_a_real_world_within_its_limits(tmp_path: Path) -> None:
    (tmp_path / "off").mkdir()
    free = walked(tmp_path / "off", "off")
    assert free.observations[:, 0].max() == pytest.approx(2.4), "without the gate it runs away"
    with DecisionLog.open(tmp_path / "decisions.jsonl", write=True) as log:
        episode = walked(tmp_path, "gate", log)
        entries = list(log.entries())
    assert episode.observations[:, 0] == pytest.approx([0, 0.3, 0.6, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9])
    assert np.isnan(episode.log_probabilities[3:]).all(), "nobody drew these from the policy"
    assert episode.log_probabilities[:3].tolist() == [-0.5] * 3
    assert [entry.decision["by"] for entry in entries] == ["agent"] * 3 + ["alternative"] * 5
    assert [(entry.decision["episode"], entry.decision["step"]) for entry in entries] == [(0, n) for n in range(8)]
    assert all(entry.settlement is not None for entry in entries)
    assert entries[-1].settlement is not None and entries[-1].settlement["truncated"] is True
    assert np.abs([entry.settlement["error"] for entry in entries if entry.settlement]).max() < 1e-6
    summary = log.summary()
    assert dict(summary.by) == {"agent": 3, "alternative": 5} and dict(summary.breaches) == {"observation": 5}


def test_a_shadow_leaves_the_world_as_it_is_and_sees_what_comes(tmp_path: Path) -> None:
    with DecisionLog.open(tmp_path / "decisions.jsonl", write=True) as log:
        episode = walked(tmp_path, "shadow", log)
        assert episode.observations[:, 0] == pytest.approx(0.3 * np.arange(9))
        summary = log.summary()
    # It believes that the agent will stay after each step, and so warns from the step to 1.2 on, and not before.
    hits = summary.hits["observation"]
    assert (hits.true, hits.false, hits.missed, hits.quiet) == (5, 0, 3, 0)
    assert (hits.precision, hits.recall) == (1.0, 5 / 8)
    assert summary.known.rmse == pytest.approx([0.0], abs=1e-6) and summary.known.count == 8


def test_a_refusal_is_logged_and_raised(tmp_path: Path) -> None:
    with DecisionLog.open(tmp_path / "decisions.jsonl", write=True) as log:
        guarded = gated_policy(gate(), drift, KEY, log)
        with pytest.raises(GateRefused):
            guarded(at(0.9), 0)
        (entry,) = log.entries()
    assert entry.decision["applied"] is None and entry.decision["reasons"][-1] == "nobody acts: a human is asked"
    assert guarded.decision is not None and guarded.decision.by == "nobody"


def test_a_refusal_is_never_settled_by_somebody_elses_step(tmp_path: Path) -> None:
    guarded = gated_policy(gate(), drift, KEY)
    guarded.settle(Transition(at(0.0), at(0.0), 0.0, False, False, at(0.0)))  # nothing was decided yet
    assert guarded.decision is None


def test_no_step_compiles_anything() -> None:
    guarded = gated_policy(gate(on_refusal=at(0.0)), drift, KEY, alternatives=lambda observation: [at(0.0)])

    def steps(first: int, count: int) -> None:
        for step in range(first, first + count):
            now = at(0.2 * step)
            guarded(now, step)
            guarded.settle(Transition(now, at(0.3), 0.0, False, False, now))

    with compilations() as names:
        steps(0, 2)
    assert names.count("jit(_imagine)") <= 1
    with compilations() as names:
        steps(2, 10)
        guarded.gate = dataclasses.replace(guarded.gate, model=walk(noise=0.1))
        steps(12, 3)
    assert [name for name in names if "_imagine" in name or "fold_in" in name] == []
