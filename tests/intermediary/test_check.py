"""The check: paid apart, never twice, and honest about what was not measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gedanken.agents.callable import from_callable
from gedanken.agents.icem import Planner
from gedanken.errors import Interrupted
from gedanken.intermediary.check import check
from gedanken.intermediary.config import CheckConfig
from gedanken.intermediary.run import CHECK, LEARN, Run
from gedanken.intermediary.stages import collect, current_agent, fit
from tests.evidence.forkable import world_of as forkable
from tests.fakes import double_integrator
from tests.intermediary.small import HORIZON, StopAt, charged, linear, small

OWN = {"mode": "off", "agent": "sac"}


def still(observation: Any) -> np.ndarray:
    return np.zeros(1, np.float32)


STILL = from_callable(still, id="still")


def begun(folder: Path, episodes: int = 3, **changes: Any) -> Run:
    return Run.create(
        folder, small(check=CheckConfig(episodes=episodes, imagined=8, branches=0), **changes), world=linear()
    )


def fitted(folder: Path, **changes: Any) -> Run:
    run = begun(folder, **changes)
    collect(run, steps=20, horizon=7, agent=None)
    fit(run)
    run.counters.round = 1
    return run


def test_its_episodes_are_paid_from_an_account_of_their_own(tmp_path: Path) -> None:
    with begun(tmp_path, **OWN) as run:
        found = check(run, STILL)
        assert charged(run, CHECK) == 3 * HORIZON and charged(run, LEARN) == 0
        episodes = list(run.experience.episodes(account=CHECK))
        assert [len(episode) for episode in episodes] == [HORIZON] * 3
        assert len({float(episode.observations[0][0]) for episode in episodes}) == 3
        assert {episode.header.policy for episode in episodes} == {"still"}
        assert not run.experience.arrays(account=LEARN).reward.size
    assert found.real_return.mean == pytest.approx(np.mean([e.total_reward for e in episodes]))
    assert found.real_return.count == 3 and found.real_return.low < found.real_return.mean < found.real_return.high


def test_what_was_not_measured_says_so(tmp_path: Path) -> None:
    with begun(tmp_path, episodes=0, **OWN) as run:
        found = check(run, STILL)
        assert charged(run, CHECK) == 0
    for interval in (found.real_return, found.predicted_return):
        assert "not measured" in str(interval) and interval.count == 0
    assert found.value is found.exploitation is found.fidelity is found.calibration is found.trajectories is None
    written = json.loads((tmp_path / "evidence.json").read_text())
    assert written["fidelity"] is None and written["real_return"]["mean"] is None


def test_a_check_that_was_interrupted_goes_on_and_pays_nothing_twice(tmp_path: Path) -> None:
    with begun(tmp_path / "straight", **OWN) as run:
        straight = check(run, STILL)
    with begun(tmp_path / "run", **OWN) as run, pytest.raises(Interrupted):
        check(run, STILL, watch=StopAt("check", 2))
    with Run.open(tmp_path / "run", world=linear()) as run:
        assert charged(run, CHECK) == 2 * HORIZON
        assert check(run, STILL) == straight and charged(run, CHECK) == 3 * HORIZON
        assert check(run, STILL) == straight and charged(run, CHECK) == 3 * HORIZON


def test_the_episodes_of_another_agent_do_not_count(tmp_path: Path) -> None:
    with begun(tmp_path, episodes=1, **OWN) as run:
        check(run, STILL)
    more = small(check=CheckConfig(episodes=2, imagined=8), **OWN)
    with Run.open(tmp_path, world=linear(), config=more) as run:
        found = check(run, from_callable(lambda o: np.full(1, 2.0, np.float32), id="other"))
        # One episode of this agent, and nothing left to pay for a second.
        assert found.real_return.count == 1 and charged(run, CHECK) == 2 * HORIZON


def test_an_episode_that_the_budget_cut_short_does_not_count(tmp_path: Path) -> None:
    with begun(tmp_path, **OWN) as run:
        collect(run, steps=1, horizon=5, agent=None)
        # A part of the account went to something else.
        for episode, steps in enumerate((HORIZON, HORIZON, 5)):
            reserved = run.world.price(np.zeros(1)).times(steps)
            run.ledger.reserve(f"x{episode}", f"x{episode}", reserved, account=CHECK)
            run.ledger.commit(f"x{episode}", reserved)
        found = check(run, STILL)
        assert charged(run, CHECK) == 3 * HORIZON and found.real_return.count == 0


def test_the_agent_acts_without_exploring(tmp_path: Path) -> None:
    with begun(tmp_path, **OWN) as run:
        agent = current_agent(run)
        check(run, agent)
        rows = run.experience.arrays(account=CHECK)
        assert np.array_equal(rows.action, np.stack([agent.act(o) for o in rows.observation]))


def test_a_planner_starts_every_episode_afresh(tmp_path: Path) -> None:
    with begun(tmp_path, agent="icem") as run:
        agent = current_agent(run)
        assert isinstance(agent, Planner)
        check(run, agent)
        for episode in run.experience.episodes(account=CHECK):
            agent.reset()
            actions = [agent.act(observation) for observation in episode.observations[:-1]]
            assert np.array_equal(np.stack(actions), episode.actions)


def test_the_model_is_held_against_the_real_episodes(tmp_path: Path) -> None:
    with fitted(tmp_path) as run:
        before = run.ledger.imagined_steps().get(run.model.id, 0)
        found = check(run, current_agent(run))
        assert run.ledger.imagined_steps()[run.model.id] > before
        assert run.counters.imagined_steps == 0, "nothing was learned from it"
    assert found.predicted_return.count == 8 and np.isfinite(found.predicted_return.mean)
    assert all(part is not None for part in (found.value, found.exploitation, found.fidelity, found.calibration))
    assert found.trajectories is not None
    real, imagined = (np.asarray(found.trajectories[name]) for name in ("real", "imagined"))
    assert real.shape == (HORIZON + 1, 2) and imagined.shape == (8, HORIZON + 1, 2)
    np.testing.assert_allclose(imagined[:, 0], np.repeat(real[:1], 8, axis=0), rtol=1e-6)
    assert json.loads((tmp_path / "evidence.json").read_text())["trajectories"]["given"] == "the agent"


def test_other_actions_are_tried_from_its_states_and_the_model_is_asked_what_they_do(
    tmp_path: Path,
) -> None:
    world = forkable(double_integrator(noise=0.01), horizon=HORIZON)
    asked = CheckConfig(episodes=2, imagined=8, branches=2, branch_actions=3, branch_steps=4)
    with Run.create(tmp_path, small(check=asked), world=world) as run:
        collect(run, steps=20, horizon=7, agent=None)
        fit(run)
        run.counters.round = 1
        agent = current_agent(run)
        assert check(run, agent).real_return.count == 2
        paid = charged(run, CHECK)
        assert 2 * HORIZON + 2 * 2 * 3 < paid <= 2 * (HORIZON + 2 * 3 * 4)
        # Asked again, thoroughly: everything is on record.
        effects = check(run, agent, thorough=True).more["actions"]
        assert charged(run, CHECK) == paid
    assert effects["how"] == "branches" and effects["effects"][0] == 12
    assert effects["correlation"][0]["count"] == 2, "intervals are over the episodes"
