"""Whole runs: within the budget, the same again, the same after an interruption, whatever acts and whatever breaks."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest

from gedanken.agents.callable import RandomAgent
from gedanken.agents.contract import Agent
from gedanken.agents.icem import Planner
from gedanken.agents.policy import PolicyAgent
from gedanken.dreams.env import DreamEnv
from gedanken.errors import ConfigError, Interrupted
from gedanken.experience.cost import Budget
from gedanken.experience.store import Experience
from gedanken.intermediary.config import CheckConfig, CollectConfig, RunConfig
from gedanken.intermediary.decisions import DecisionLog
from gedanken.intermediary.loop import Intermediary
from gedanken.intermediary.run import CHECK, LEARN, Run
from gedanken.intermediary.stages import Status
from gedanken.models.ensemble import Ensemble, EnsembleConfig
from gedanken.worlds.world import World
from tests.intermediary.compiling import compilations
from tests.intermediary.small import (
    CHECKED,
    COLLECTING,
    HORIZON,
    NAME,
    Rooms,
    StopAt,
    between,
    linear,
    metrics_of,
    parameters,
    push,
    result_of,
    rows_of,
    small,
)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    with between(folder, **CHECKED) as run:
        run.run()
    return folder


# --- The budget -----------------------------------------------------------------------------------------------------


def test_every_paid_step_is_recorded_and_none_is_paid_beyond_the_budget(straight: Path) -> None:
    result = json.loads((straight / "result.json").read_text())
    assert result["paid"] == {"steps": 60} and result["paid_check"] == {"steps": 2 * HORIZON}
    with Run.open(straight, world=linear()) as run:
        for account, count in ((LEARN, 60), (CHECK, 2 * HORIZON)):
            balance = run.ledger.balance(account)
            assert balance.spent.of("steps") == count == len(rows_of(straight, account).reward)
            assert balance.outstanding.of("steps") == balance.unknown.of("steps") == 0
        assert sum(run.ledger.imagined_steps().values()) >= result["imagined_steps"] > 0
    real = [e.total_reward for e in Experience.open(straight / "experience").episodes(account=CHECK)]
    assert result["real_return"]["mean"] == pytest.approx(np.mean(real)) and result["real_return"]["episodes"] == 2
    assert result["predicted_return"]["episodes"] == 4 and np.isfinite(result["predicted_return"]["mean"])


@pytest.mark.parametrize("steps", [1, 5, 7, 8, 45, 46])
def test_a_budget_that_ends_within_an_episode_is_spent_to_the_last_step(tmp_path: Path, steps: int) -> None:
    with between(tmp_path, acting=push, budget={"steps": steps}, **COLLECTING) as run:
        assert run.run().paid == {"steps": steps}
    rows = rows_of(tmp_path, LEARN)
    assert len(rows.reward) == steps and rows.truncated[-1]
    last = Experience.open(tmp_path / "experience").summaries()[-1]
    assert last.complete and (last.outcome.failure_mode == "budget spent") == (steps in (1, 5, 8, 46))


def test_what_a_step_costs_counts_and_not_the_step(tmp_path: Path) -> None:
    world = World(linear().env, {"steps": 1, "micro_usd": 300}, name=NAME).with_horizon(HORIZON)
    with between(tmp_path, world, acting=push, budget={"steps": 60, "micro_usd": 5_000}, **COLLECTING) as run:
        assert run.run().paid == {"steps": 16, "micro_usd": 4_800}


def test_a_finished_run_pays_nothing_more(straight: Path) -> None:
    before, tensors = result_of(straight), parameters(straight)
    with between(straight, **CHECKED) as run:
        run.run()
    assert result_of(straight) == before and parameters(straight) == tensors


def test_one_step_is_enough_to_fit_and_to_learn_from(tmp_path: Path) -> None:
    with between(tmp_path, budget={"steps": 1}) as run:
        assert run.run().paid == {"steps": 1}


# --- The same again -------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_to_the_byte(straight: Path, tmp_path: Path) -> None:
    with between(tmp_path, **CHECKED) as run:
        run.run()
    assert (result_of(tmp_path), metrics_of(tmp_path)) == (result_of(straight), metrics_of(straight))
    assert parameters(tmp_path) == parameters(straight)
    assert (tmp_path / "evidence.json").read_bytes() == (straight / "evidence.json").read_bytes()


def test_another_seed_gives_another_run(straight: Path, tmp_path: Path) -> None:
    with Intermediary(linear(), config=small(**CHECKED), seed=1, folder=tmp_path) as run:
        result = run.run()
    assert result.seed == 1 and not set(parameters(tmp_path)) & set(parameters(straight))
    assert not np.array_equal(rows_of(tmp_path, LEARN).observation, rows_of(straight, LEARN).observation)


@pytest.mark.parametrize(
    ("stage", "count"), [("collect", 1), ("collect", 5), ("fit", 3), ("learn", 1), ("learn", 2), ("check", 1)]
)
@pytest.mark.parametrize("reopened", [True, False])
def test_an_interruption_changes_nothing(
    straight: Path, tmp_path: Path, stage: str, count: int, reopened: bool
) -> None:
    run = between(tmp_path, **CHECKED)
    with pytest.raises(Interrupted):
        run.run(StopAt(stage, count))
    assert not (tmp_path / "result.json").exists()
    if reopened:
        run.close()
        run = between(tmp_path, **CHECKED)
    run.run()
    run.close()
    assert (result_of(tmp_path), metrics_of(tmp_path)) == (result_of(straight), metrics_of(straight))
    assert parameters(tmp_path) == parameters(straight)
    for account in (LEARN, CHECK):
        assert np.array_equal(rows_of(tmp_path, account).observation, rows_of(straight, account).observation)


def test_a_run_can_be_interrupted_again_and_again(straight: Path, tmp_path: Path) -> None:
    for stage in ("collect", "fit", "learn", "collect", "fit", "check"):
        with between(tmp_path, **CHECKED) as run, pytest.raises(Interrupted):
            run.run(StopAt(stage))
    with between(tmp_path, **CHECKED) as run:
        run.run()
    assert result_of(tmp_path) == result_of(straight) and parameters(tmp_path) == parameters(straight)


# --- Who acts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["value_gradient", "sac", "icem"])
@pytest.mark.parametrize("discrete", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_agent_learns_in_every_kind_of_actions(tmp_path: Path, agent: str, discrete: bool) -> None:
    world = linear(discrete=discrete)
    with Intermediary(world, config=small(budget={"steps": 40}), agent=agent, folder=tmp_path) as run:
        result = run.run()
        assert result.paid == {"steps": 40} and isinstance(result.agent, Agent)
        action = result.agent.act(np.zeros(2, np.float32))
        assert world.action_space.contains(action)
        rehearsals = run.rehearse(np.zeros(2, np.float32), [action, world.action_space.sample()], horizon=3, samples=4)
        assert len(rehearsals) == 2
    assert isinstance(result.agent, Planner if agent == "icem" else PolicyAgent)
    policies = {header.policy for header in Experience.open(tmp_path / "experience").headers()}
    assert "random" in policies and len(policies) == 2
    if agent != "icem":
        loaded = PolicyAgent.load(tmp_path / "agent")
        assert loaded.id == result.agent.id and np.array_equal(loaded.act(np.zeros(2, np.float32)), action)
    assert Ensemble.load(tmp_path / "model").observation_size == 2


@pytest.mark.slow
def test_observations_that_are_numbers_of_rooms(tmp_path: Path) -> None:
    world = World(Rooms(), {"steps": 1}, name="Rooms").with_horizon(HORIZON)
    with Intermediary(world, config=small(), folder=tmp_path) as run:
        result = run.run()
    assert result.paid == {"steps": 60} and result.agent.act(np.int64(3)) in (0, 1)


def test_a_callable_acts_as_it_is_and_the_model_is_learned_around_it(tmp_path: Path) -> None:
    with between(tmp_path, acting=push, **CHECKED) as run:
        result = run.run()
        assert result.imagined_steps == 0 and result.evidence.fidelity is not None
        assert result.predicted.mean is None or np.isnan(result.predicted.mean)
    rows, kinds = rows_of(tmp_path, LEARN), Experience.open(tmp_path / "experience").headers()
    assert np.array_equal(rows.action, np.stack([push(o) for o in rows.observation]))
    assert {header.policy for header in kinds} == {f"{push.__module__}.push"}


def test_an_agent_of_ones_own_acts_by_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        agent = RandomAgent(linear().action_space)
        with between(tmp_path / name, acting=agent, **COLLECTING) as run:
            run.run()
    one, other = (rows_of(tmp_path / name, LEARN).action for name in ("a", "b"))
    assert np.array_equal(one, other) and one.std() > 0.5


def test_what_is_no_agent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        between(tmp_path / "a", acting=5)
    with pytest.raises(ConfigError, match="There is no agent 'sacc'") as caught:
        between(tmp_path / "b", acting="sacc")
    assert "sac" in str(caught.value.expected) and not (tmp_path / "b").exists()


@pytest.mark.slow
def test_a_real_robot(tmp_path: Path) -> None:
    config = small(
        budget={"steps": 40},
        collect=CollectConfig(warmup=20, warmup_horizon=10, steps=20, held_out=0.3),
        check=CheckConfig(episodes=0, imagined=4),
    )
    with Intermediary("InvertedPendulum-v5", config=config, folder=tmp_path, seed=3) as run:
        result = run.run()
    assert (result.world, result.seed, result.paid) == ("InvertedPendulum-v5", 3, {"steps": 40})
    with Intermediary("InvertedPendulum-v5", folder=tmp_path) as again:
        assert again.agent.id == result.agent.id


# --- Modes ----------------------------------------------------------------------------------------------------------


def actions_of(folder: Path, mode: Any, **changes: Any) -> np.ndarray:
    with between(folder, acting=push, mode=mode, **changes) as run:
        run.run()
    return np.asarray(rows_of(folder, LEARN).action)


def decisions(folder: Path) -> list[Any]:
    with DecisionLog.open(folder / "decisions.jsonl") as log:
        return list(log.entries())


def test_off_and_shadow_imagine_nothing_to_learn_from(tmp_path: Path) -> None:
    for mode in ("off", "shadow"):
        with between(tmp_path / mode, agent="sac", mode=mode, budget={"steps": 40}) as run:
            assert run.run().imagined_steps == 0
    assert not (tmp_path / "off" / "model").exists() and (tmp_path / "shadow" / "model").exists()
    assert not (tmp_path / "off" / "decisions.jsonl").exists()
    # What SAC learned from is the same, so it is the same agent.
    ids = {PolicyAgent.load(tmp_path / mode / "agent").id for mode in ("off", "shadow")}
    assert len(ids) == 1


def test_shadow_watches_and_never_changes_an_action(tmp_path: Path) -> None:
    shadow = {**COLLECTING, "mode": "shadow", "budget": {"steps": 40}}
    with between(tmp_path, acting=push, **shadow) as run:
        run.run()
    rows = rows_of(tmp_path, LEARN)
    assert np.array_equal(rows.action, np.stack([push(o) for o in rows.observation]))
    # Every action after the random warm-up; what was asked once more, when nothing was left to pay, has no settlement.
    settled = [entry for entry in decisions(tmp_path) if entry.settlement is not None]
    assert len(settled) == 40 - 21
    assert all(entry.decision["by"] == "agent" for entry in settled)
    wanted = [entry.settlement["reward"] for entry in settled if entry.settlement is not None]
    assert wanted == pytest.approx(rows.reward[21:].tolist())


def test_a_folder_is_not_gone_on_with_under_other_settings(straight: Path) -> None:
    for asked, words in (
        ({"seed": 5}, "seed=5.*seed=0"),
        ({"budget": Budget(steps=50)}, "not lowered.*steps=50.*60 or more"),
        ({"budget": Budget(steps=100), "seed": 5}, "seed=5"),
        ({"config": small(budget={"steps": 100}, **CHECKED)}, "budget"),
        ({"agent": "sac"}, "agent=sac"),
        ({"config": small(updates_per_step=3.0, **CHECKED)}, "updates_per_step=3.0"),
    ):
        with pytest.raises(ConfigError, match=words):
            Intermediary(linear(), folder=straight, **asked)
    with Intermediary(linear(), folder=straight) as run:
        assert run._run.config == small(**CHECKED)
    with Intermediary(linear(), folder=straight, seed=0, budget=Budget(steps=60)) as run:
        assert run.folder == straight


# --- The dream ------------------------------------------------------------------------------------------------------


def test_the_model_is_a_dream_also_after_the_run_was_opened_again(straight: Path) -> None:
    with Intermediary(linear(), folder=straight) as run:
        dream = run.dream()
        assert isinstance(dream, DreamEnv)
        observation, _ = dream.reset(seed=0)
        assert dream.observation_space.contains(observation)
        steps = 0
        while True:
            observation, reward, terminated, truncated, _ = dream.step(dream.action_space.sample())
            assert dream.observation_space.contains(observation) and np.isfinite(reward)
            steps += 1
            if terminated or truncated:
                break
        assert steps <= HORIZON


def test_before_there_is_a_model_nothing_is_imagined(tmp_path: Path) -> None:
    with between(tmp_path / "a") as run:
        with pytest.raises(ConfigError, match="no model yet"):
            run.dream()
        with pytest.raises(ConfigError, match="no model yet"):
            run.rehearse(np.zeros(2), [np.zeros(1)])
        with pytest.raises(Interrupted):
            run.run(StopAt("fit"))
        with pytest.raises(ConfigError, match="no model yet"):
            run.dream()
    with between(tmp_path / "b", acting=push, **COLLECTING) as run:
        run.run()
        with pytest.raises(ConfigError, match="mode=off"):
            run.dream()


# --- How it runs ----------------------------------------------------------------------------------------------------


def test_any_env_is_taken_as_a_world_of_one_unit_a_step(tmp_path: Path) -> None:
    env = gym.make("Pendulum-v1", max_episode_steps=HORIZON)
    config = small(**COLLECTING, check=CheckConfig(episodes=1, imagined=4))
    with Intermediary(env, agent=lambda o: np.zeros(1, np.float32), budget=Budget(steps=30), config=config) as run:
        result = run.run()
        assert result.world == "Pendulum-v1" and result.paid == {"steps": 30}
        assert "Pendulum-v1" in str(result) and "30 steps" in str(result)
        assert run.folder.name.startswith("gedanken-")


def test_whoever_watches_sees_the_run_go_on(tmp_path: Path) -> None:
    seen: list[Status] = []
    with between(tmp_path, **CHECKED) as run:
        run.run(seen.append)
    stages = [status.stage for status in seen]
    assert list(dict.fromkeys(stages)) == ["collect", "fit", "learn", "check"]
    paid, imagined = [s.paid["steps"] for s in seen], [s.imagined_steps for s in seen]
    assert paid == sorted(paid) and paid[-1] == 60 and imagined == sorted(imagined)
    assert all(s.budget == {"steps": 60} and s.seconds > 0 for s in seen)
    assert all(s.last_return is not None for s in seen if s.stage in ("collect", "check"))
    assert all(s.model_error is not None for s in seen if s.stage == "fit")


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["value_gradient", "sac"])
def test_nothing_is_compiled_twice_in_a_run(tmp_path: Path, agent: str) -> None:
    width = 9 if agent == "sac" else 10  # a size that no other test has compiled for
    model = EnsembleConfig(members=2, width=width, depth=1, reward_width=width, reward_depth=1)
    config = small(budget={"steps": 100}, truncation="infoprop", model=model)
    rounds: list[list[str]] = []
    with Intermediary(linear(), config=config, agent=agent, folder=tmp_path) as run:
        more = True
        while more:
            with compilations() as names:
                more = run.round()
            rounds.append(list(names))
    ours = [name for names in rounds for name in names if "stage" not in name]
    heavy = ("learn", "rollout", "rescale", "standardise", "train_chunk", "held_out", "explore", "_sample", "doubt")
    counts = {name: ours.count(name) for name in ours if any(part in name for part in heavy)}
    assert counts and max(counts.values()) == 1, counts
    # The second round brings what the first has not seen (the agent acts); from the third on nothing is new.
    assert [names for names in rounds[2:] if names] == [], rounds[2:]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rounds(tmp_path: Path) -> None:
    config = small(budget={"steps": 400})
    live: list[int] = []
    with Intermediary(linear(), config=config, folder=tmp_path) as run:
        while run.round():
            gc.collect()
            live.append(sum(array.nbytes for array in jax.live_arrays()))
    assert len(live) > 10 and live[-1] <= live[3] * 1.02


def test_the_configuration_decides_the_seed_where_nothing_else_does(tmp_path: Path) -> None:
    with Intermediary(linear(), config=small(seed=4), folder=tmp_path / "a") as run:
        assert run._run.config.seed == 4
    with Intermediary(linear(), config=small(seed=4), seed=2, folder=tmp_path / "b") as run:
        assert run._run.config.seed == 2
    assert RunConfig().seed == 0
