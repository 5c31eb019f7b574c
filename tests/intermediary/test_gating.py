"""The gate inside a run: what each mode does to the actions that are paid for, and what is written down of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest

from gedanken.agents.callable import from_callable
from gedanken.errors import ConfigError
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode
from gedanken.intermediary.decisions import DecisionLog
from gedanken.intermediary.gate import GateRefused
from gedanken.intermediary.gating import Behaviour, GateConfig, draw, gated, rest
from gedanken.intermediary.limits import Limits
from gedanken.intermediary.loop import Intermediary
from gedanken.intermediary.run import LEARN
from gedanken.worlds.act import act
from gedanken.worlds.world import World
from tests.fakes import AnalyticEnv, AnalyticModel
from tests.intermediary.small import linear, small
from tests.worlds.ledgers import RUN, opened
from tests.worlds.records import MemoryRecord

HIGHEST = 1.0
STEPS = 8
SURE = Limits(observation_high={0: HIGHEST}, least_confidence=None)


def walk(spread: float = 0.0) -> AnalyticModel:
    """One number that the action moves: next = now + action / 2 (raw actions lie in [-2, 2], so this is a half)."""
    return AnalyticModel.create(
        [[1.0]], [[0.5]], alive=0.0, state_weight=1.0, action_weight=0.0, start_std=0.0, spread=spread
    )


def up(observation: Any) -> np.ndarray:
    return np.ones(1, np.float32)


def lived(
    folder: Path, mode: Any, config: GateConfig | None = None, seed: int = 0, model: AnalyticModel | None = None
) -> tuple[Episode, list[Any]]:
    """One episode of pushing upwards behind the gate, and the log of the decisions."""
    config = config or GateConfig(limits=SURE, horizon=1, samples=8)
    world = World(AnalyticEnv(walk()), {"steps": 1}, name="Walk").with_horizon(STEPS)
    agent = from_callable(up, id="up")
    with opened(folder) as ledger, DecisionLog.open(folder / "decisions.jsonl", write=True) as log:
        behaviour = gated(
            Behaviour(lambda observation, _: (agent.act(observation), -0.5), agent.id),
            agent=agent,
            model=model or walk(),
            codec=Codec(world.observation_space, world.action_space),
            mode=mode,
            config=config,
            key=jax.random.key(seed),
            log=log,
        )
        assert behaviour.policy_id == "up"
        episode = act(
            world,
            ledger,
            MemoryRecord(),
            behaviour.policy,
            account="learn",
            seed=0,
            episode_index=0,
            policy_id=behaviour.policy_id,
            run_id=RUN,
            on_step=behaviour.on_step,
        )
    with DecisionLog.open(folder / "decisions.jsonl") as log:
        return episode, list(log.entries())


def test_shadow_sees_it_coming_and_lets_it_happen(tmp_path: Path) -> None:
    episode, entries = lived(tmp_path, "shadow")
    assert np.array_equal(episode.actions, np.ones((STEPS, 1)))
    assert episode.observations.max() == pytest.approx(2.0)
    warned = [bool(entry.decision["breaches"]) for entry in entries]
    # Each step moves it by a quarter: the fifth is the first beyond the limit.
    assert warned == [False] * 4 + [True] * 4
    assert [bool(entry.settlement["broken"]) for entry in entries] == warned
    assert {entry.decision["by"] for entry in entries} == {"agent"}
    assert set(episode.log_probabilities.tolist()) == {-0.5}


def test_the_gate_never_lets_a_limit_be_broken(tmp_path: Path) -> None:
    episode, entries = lived(tmp_path, "gate")
    assert episode.observations.max() <= HIGHEST + 1e-5
    by = [entry.decision["by"] for entry in entries]
    assert by[:4] == ["agent"] * 4 and "alternative" in by[4:]
    assert not any(entry.settlement["broken"] for entry in entries)
    for number, entry in enumerate(entries):
        own = entry.decision["by"] == "agent"
        assert (episode.actions[number] == 1.0).all() == own
        # How likely the policy would have drawn another's action is not known.
        assert np.isnan(episode.log_probabilities[number]) != own


def test_where_nothing_is_admissible_a_human_is_asked(tmp_path: Path) -> None:
    config = GateConfig(limits=Limits(observation_high={0: -5.0}, least_confidence=None), horizon=1, samples=8)
    with pytest.raises(GateRefused, match="human"):
        lived(tmp_path, "gate", config)
    with DecisionLog.open(tmp_path / "decisions.jsonl") as log:
        [entry] = log.entries()
    assert entry.decision["by"] == "nobody" and entry.settlement is None


def test_or_it_rests(tmp_path: Path) -> None:
    limits = Limits(observation_high={0: -5.0}, least_confidence=None)
    config = GateConfig(limits=limits, horizon=1, samples=8, fallback="rest")
    episode, entries = lived(tmp_path, "gate", config)
    assert np.array_equal(episode.actions, np.zeros((STEPS, 1)))
    assert {entry.decision["by"] for entry in entries} == {"fallback"}


def test_what_the_model_does_not_know_is_blocked(tmp_path: Path) -> None:
    config = GateConfig(limits=Limits(least_confidence=0.6), horizon=1, samples=8)
    with pytest.raises(GateRefused, match=r"does not know: confidence 0\.50 < 0\.60"):
        lived(tmp_path / "unsure", "gate", config, model=walk(spread=1.0))
    episode, entries = lived(tmp_path / "sure", "gate", config)
    assert len(episode) == STEPS and {entry.decision["by"] for entry in entries} == {"agent"}


def test_advice_takes_the_better_action(tmp_path: Path) -> None:
    # The reward is minus the square of the position, so pushing upwards is never the best of five.
    episode, entries = lived(tmp_path, "advise", GateConfig(limits=SURE, horizon=3, samples=8))
    assert "advice" in {entry.decision["by"] for entry in entries}
    assert np.abs(episode.observations).max() < 1.5
    assert episode.total_reward > -STEPS * 1.0


def test_without_alternatives_advice_changes_nothing(tmp_path: Path) -> None:
    episode, _ = lived(tmp_path, "advise", GateConfig(limits=SURE, horizon=1, samples=8, alternatives=0))
    assert np.array_equal(episode.actions, np.ones((STEPS, 1)))


def test_the_key_decides(tmp_path: Path) -> None:
    runs = [lived(tmp_path / str(n), "gate", seed=seed)[0].actions for n, seed in enumerate((0, 0, 1))]
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])


# --- Alternatives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Box(np.array([-2, 0], np.float32), np.array([2, 10], np.float32)),
        gym.spaces.Box(-1.0, 1.0, (3,), np.float64),
        gym.spaces.Discrete(4, start=-2),
    ],
)
def test_every_draw_is_an_action_and_all_of_them_are_reached(space: gym.Space[Any]) -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([draw(space, rng) for _ in range(500)])
    assert all(space.contains(draw(space, rng)) for _ in range(20))
    if isinstance(space, gym.spaces.Discrete):
        assert set(drawn.tolist()) == {-2, -1, 0, 1}
    else:
        assert isinstance(space, gym.spaces.Box)
        width = space.high - space.low
        assert (drawn.min(0) < space.low + 0.02 * width).all() and (drawn.max(0) > space.high - 0.02 * width).all()


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigError, match="can be drawn"):
        draw(gym.spaces.Text(5), np.random.default_rng(0))


def test_rest_is_the_middle() -> None:
    box = gym.spaces.Box(np.array([-2, 0], np.float32), np.array([2, 10], np.float32))
    observations = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    assert rest(Codec(observations, box)).tolist() == [0.0, 5.0]
    assert rest(Codec(observations, gym.spaces.Discrete(3, start=5))) == 5


@pytest.mark.parametrize("wrong", [{"horizon": 0}, {"samples": 0}, {"alternatives": -1}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        GateConfig(**wrong)


# --- In a run -------------------------------------------------------------------------------------------------------


def test_a_gate_that_asks_stops_the_run_and_the_run_goes_on(tmp_path: Path) -> None:
    never = small(
        mode="gate",
        budget={"steps": 40},
        gate=GateConfig(limits=Limits(observation_high={0: -1e6}), horizon=2, samples=4, alternatives=1),
    )
    with Intermediary(linear(), config=never, folder=tmp_path) as run:
        with pytest.raises(GateRefused):
            run.run()
        paid = run._run.paid(LEARN)["steps"]
        assert 20 <= paid < 40, "the random warm-up passes no gate"
        assert run._run.experience.summaries()[-1].complete
    with Intermediary(linear(), folder=tmp_path) as run, pytest.raises(GateRefused):
        run.run()


def test_a_gate_that_rests_spends_the_budget_resting(tmp_path: Path) -> None:
    gate = GateConfig(limits=Limits(observation_high={0: -1e6}), horizon=2, samples=4, alternatives=1, fallback="rest")
    with Intermediary(linear(), config=small(mode="gate", budget={"steps": 40}, gate=gate), folder=tmp_path) as run:
        assert run.run().paid == {"steps": 40}
        actions = run._run.experience.arrays(account=LEARN).action
    assert (actions[21:] == 0.0).all() and np.abs(actions[:21]).min() > 0.0
