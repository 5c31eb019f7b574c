"""The verbs of a round, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gedanken.dreams.infoprop import Infoprop
from gedanken.dreams.truncation import MOPOPenalty, MORelHalt, NoTruncation
from gedanken.experience.split import is_held_out
from gedanken.intermediary.config import CollectConfig
from gedanken.intermediary.run import CHECK, LEARN, Run
from gedanken.intermediary.stages import (
    behaviour,
    collect,
    curate,
    current_agent,
    episode_seed,
    fit,
    imagines,
    learn,
    read_experience,
    status,
    truncation,
)
from tests.intermediary.small import charged, linear, small


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.create(tmp_path, small(budget={"steps": 200}), world=linear()) as run:
        yield run


# --- Collecting -----------------------------------------------------------------------------------------------------


def test_whole_episodes_are_paid_until_there_are_enough(run: Run) -> None:
    episodes = collect(run, steps=20, horizon=7, agent=None)
    assert [len(episode) for episode in episodes] == [7, 7, 7]
    assert charged(run) == run.learning_rows == run.table.size == 21
    assert collect(run, steps=20, horizon=7, agent=None) == [], "the round has what it wanted"
    run.counters.rows_at_start = 21
    assert [len(episode) for episode in collect(run, steps=13, horizon=None, agent=None)] == [12, 12]
    assert run.table.size == 45 and run.next_episode == {LEARN: 5, CHECK: 0}


def test_nothing_left_is_no_error(run: Run) -> None:
    collect(run, steps=1_000, horizon=None, agent=None)
    assert charged(run) == 200 == run.table.size
    assert collect(run, steps=2_000, horizon=None, agent=None) == []


def test_random_actions_are_even_and_say_how_likely_they_were(run: Run) -> None:
    episodes = collect(run, steps=150, horizon=None, agent=None)
    actions = np.concatenate([episode.actions for episode in episodes])
    assert np.abs(actions).max() <= 2.0 and actions.std() == pytest.approx(4 / np.sqrt(12), rel=0.15)
    assert {float(x) for e in episodes for x in e.log_probabilities} == {-np.log(2.0)}
    assert {episode.header.policy for episode in episodes} == {"random"}


def test_a_random_choice_is_one_of_n(tmp_path: Path) -> None:
    with Run.create(tmp_path, small(), world=linear(discrete=True)) as run:
        episodes = collect(run, steps=40, horizon=None, agent=None)
        actions = np.concatenate([episode.actions for episode in episodes])
        assert set(actions.tolist()) == {0, 1} and 0.2 < actions.mean() < 0.8
        assert episodes[0].log_probabilities[0] == pytest.approx(-np.log(2))


def test_the_agent_explores_by_the_episodes_number_alone(run: Run) -> None:
    agent, observation = current_agent(run), np.zeros(2, np.float32)
    one, again, other = (behaviour(run, agent, index) for index in (4, 4, 5))
    answers = [[each.policy(observation, step) for step in range(3)] for each in (one, again, other)]
    assert answers[0] == answers[1] != answers[2]
    assert len({float(action[0]) for action, _ in answers[0]}) == 3, "each step draws anew"
    assert one.policy_id == agent.id and one.on_step is None


def test_every_episode_starts_from_a_seed_of_its_own_whoever_acts(run: Run) -> None:
    seeds = [episode_seed(run, account, index) for account in (LEARN, CHECK) for index in range(50)]
    assert len(set(seeds)) == 100
    first, *_ = collect(run, steps=1, horizon=1, agent=None)
    again, _ = run.world.reset(seed=episode_seed(run, LEARN, 0))
    assert np.array_equal(first.observations[0], again)


# --- What is held out -----------------------------------------------------------------------------------------------


def test_who_is_held_out_is_the_same_after_opening_again_and_for_curation(tmp_path: Path) -> None:
    config = small(budget={"steps": 200}, collect=CollectConfig(warmup=20, warmup_horizon=7, steps=20, held_out=0.4))
    with Run.create(tmp_path, config, world=linear()) as run:
        for wanted in (30, 90, 150):
            collect(run, steps=wanted, horizon=7, agent=None)
        columns, held_out = run.table.filled(), dict(run.held_out)
        assert {True, False} == set(held_out.values())
        assert run.held_out[0] is False and run.held_out[1] is True
        names = [header.episode_id for header in run.experience.headers()]
        for number, out in held_out.items():
            assert out == is_held_out(names[number], position=number, held_out=0.4, seed=0)
    with Run.open(tmp_path, world=linear()) as again:
        read_experience(again)
        assert again.held_out == held_out
        for one, other in zip(again.table.filled(), columns, strict=True):
            assert np.array_equal(one, other)
        split = curate(again).split
        assert set(split.held_out) == {number for number, out in held_out.items() if out}
        assert (tmp_path / "curation.json").exists()


def test_the_table_holds_what_was_paid_encoded(run: Run) -> None:
    collect(run, steps=20, horizon=7, agent=None)
    rows, real = run.table.filled(), run.experience.arrays(account=LEARN)
    assert np.array_equal(rows.observation, real.observation)
    np.testing.assert_allclose(rows.action, real.action / 2.0, rtol=1e-6)
    assert rows.cost.tolist() == [[1.0]] * 21 and run.table.resources == ("steps",)
    size = run.table.size
    read_experience(run)
    assert run.table.size == size, "nothing is read twice"


# --- Learning -------------------------------------------------------------------------------------------------------


def test_fitting_and_learning_change_model_and_agent_and_are_accounted_for(run: Run) -> None:
    collect(run, steps=20, horizon=7, agent=None)
    before = run.model.id, current_agent(run).id
    reports: list[Any] = []
    fit(run, reports.append)
    assert run.model.id != before[0] and current_agent(run).id == before[1]
    assert all(report.stage == "fit" and report.model_error > 0 for report in reports) and reports
    starts = np.asarray(run.model.tasks.starts)[np.asarray(run.model.tasks.valid)]
    real = np.stack([episode.observations[0] for episode in run.experience.episodes(account=LEARN)])
    np.testing.assert_allclose(starts, real, rtol=1e-6)
    progress = learn(run, updates=10)
    assert current_agent(run).id != before[1]
    assert run.counters.imagined_steps == progress.imagined_steps > 0
    assert run.ledger.imagined_steps() == {run.model.id: progress.imagined_steps}
    assert charged(run) == 21, "what is imagined costs nothing"
    assert status(run, "x").imagined_steps == progress.imagined_steps


def test_no_updates_change_no_network(run: Run) -> None:
    collect(run, steps=20, horizon=7, agent=None)
    fit(run)
    before = run.learned.actor.network
    assert learn(run, updates=0).imagined_steps == 0
    weights = zip(before.layers, run.learned.actor.network.layers, strict=True)
    assert all(np.array_equal(a.weight, b.weight) for a, b in weights)


@pytest.mark.parametrize("mode", ["off", "shadow"])
def test_without_leave_to_imagine_nothing_is_imagined(tmp_path: Path, mode: Any) -> None:
    with Run.create(tmp_path, small(mode=mode, agent="sac"), world=linear()) as run:
        assert not imagines(run)
        collect(run, steps=20, horizon=7, agent=None)
        before = current_agent(run).id
        assert learn(run, updates=5).imagined_steps == run.counters.imagined_steps == 0
        assert run.ledger.imagined_steps() == {} and current_agent(run).id != before


@pytest.mark.parametrize("mode", ["advise", "gate", "substitute"])
def test_the_bolder_modes_imagine(tmp_path: Path, mode: Any) -> None:
    with Run.create(tmp_path, small(mode=mode), world=linear()) as run:
        assert imagines(run)


@pytest.mark.parametrize(
    ("name", "kind"), [("infoprop", Infoprop), ("mopo", MOPOPenalty), ("morel", MORelHalt), ("none", NoTruncation)]
)
def test_rollouts_stop_by_the_rule_of_the_configuration(tmp_path: Path, name: Any, kind: type) -> None:
    with Run.create(tmp_path, small(truncation=name), world=linear()) as run:
        collect(run, steps=20, horizon=7, agent=None)
        assert isinstance(truncation(run), kind)
