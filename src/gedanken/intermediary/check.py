"""check: what the agent is really worth, and whether the model had known.

The check's episodes are paid from an account of their own, run without exploration, and were never trained on, so they
also serve as the held-out data of every question asked of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import Array

from gedanken.agents.contract import Agent, begin_episode
from gedanken.agents.policy import Greedy, PolicyAgent
from gedanken.dreams.rollout import imagine
from gedanken.errors import BudgetRefused
from gedanken.evidence.calibration import check_calibration
from gedanken.evidence.exploitation import exploitation_gap
from gedanken.evidence.fidelity import error_by_horizon
from gedanken.evidence.forecasts import score_forecasts
from gedanken.evidence.interval import Interval, mean_with_interval
from gedanken.evidence.outcomes import endings_by_horizon
from gedanken.evidence.permuted import permuted_actions
from gedanken.evidence.rewards import reward_by_horizon
from gedanken.evidence.value import imagined_against_real, imagined_returns
from gedanken.experience.transition import Episode
from gedanken.intermediary.run import CHECK, Run
from gedanken.intermediary.stages import Watch, episode_seed, status
from gedanken.models.contract import State
from gedanken.worlds.act import act

_CHECK = 6


@dataclass(frozen=True)
class Evidence:
    """What a check found. Every part is plain data, or None where it was not measured."""

    real_return: Interval
    predicted_return: Interval
    value: dict[str, Any] | None
    exploitation: dict[str, Any] | None
    fidelity: dict[str, Any] | None
    calibration: dict[str, Any] | None
    trajectories: dict[str, Any] | None
    # Asked in a thorough check only: each compiles a program of its own.
    forecasts: dict[str, Any] | None = None
    rewards: dict[str, Any] | None = None
    endings: dict[str, Any] | None = None
    permuted: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return {
            "real_return": self.real_return.to_json(),
            "predicted_return": self.predicted_return.to_json(),
            "value": self.value,
            "exploitation": self.exploitation,
            "fidelity": self.fidelity,
            "calibration": self.calibration,
            "trajectories": self.trajectories,
            "forecasts": self.forecasts,
            "rewards": self.rewards,
            "endings": self.endings,
            "permuted": self.permuted,
        }


def check(run: Run, agent: Agent, *, thorough: bool = False, watch: Watch | None = None) -> Evidence:
    """Runs `config.check.episodes` real episodes of `agent` and holds the model against them.

    A thorough check also scores forecasts, rewards and endings ahead, and permutes the actions. The prediction is made
    before the first real episode. Without a fitted model, or for an agent that cannot be imagined in one compiled
    rollout, what concerns the model is not measured.
    """
    fitted = run.counters.round > 0 and run.config.mode != "off"
    policy = agent.greedy if isinstance(agent, PolicyAgent) and fitted else None
    predicted = _predict(run, policy)
    episodes = _act_for_real(run, agent, watch)
    returns = np.array([episode.total_reward for episode in episodes])
    seed = run.config.seed
    real = (
        mean_with_interval(returns, seed=seed)
        if len(returns)
        else Interval.missing("no check was asked for or its budget is spent")
    )
    if not fitted or not episodes:
        why = None
        return _written(run, Evidence(real, predicted, why, why, why, why, why))
    fidelity = error_by_horizon(run.model, episodes, run.codec, key=run.key(_CHECK, 1), seed=seed)
    calibration = check_calibration(run.model, episodes, run.codec, key=run.key(_CHECK, 2), seed=seed)
    value = gap = trajectories = None
    if policy is not None:
        # Paired: each imagined episode starts where a real one did.
        starts = np.stack([run.codec.encode_observations(episode.observations[0]) for episode in episodes])
        imagined = imagined_returns(
            run.model,
            policy,
            episodes=len(episodes),
            horizon=_horizon(run),
            key=run.key(_CHECK, 3),
            start=State(jax.numpy.asarray(starts)),
        )
        run.ledger.imagined(len(episodes) * _horizon(run), run.model.id)
        value = imagined_against_real(real=returns, imagined=imagined, paired=True, seed=seed).to_json()
        gap = exploitation_gap(real=returns, imagined=imagined, paired=True, seed=seed).to_json()
        trajectories = _trajectories(run, policy, episodes)
    found = Evidence(real, predicted, value, gap, fidelity.to_json(), calibration.to_json(), trajectories)
    return _written(run, _more(run, found, episodes) if thorough else found)


def _more(run: Run, found: Evidence, episodes: list[Episode]) -> Evidence:
    """What a thorough check asks besides."""
    keys, seed = [run.key(_CHECK, number) for number in (5, 6, 7, 8)], run.config.seed
    return replace(
        found,
        forecasts=score_forecasts(run.model, episodes, run.codec, key=keys[0], seed=seed).to_json(),
        rewards=reward_by_horizon(run.model, episodes, run.codec, key=keys[1], seed=seed).to_json(),
        endings=endings_by_horizon(run.model, episodes, run.codec, key=keys[2], seed=seed).to_json(),
        permuted=permuted_actions(run.model, episodes, run.codec, key=keys[3], seed=seed).to_json(),
    )


def _written(run: Run, evidence: Evidence) -> Evidence:
    run.write_json("evidence.json", evidence.to_json())
    return evidence


def _horizon(run: Run) -> int:
    horizon = run.world.max_episode_steps
    assert horizon is not None  # `check_budget` refused such a world when the run was made
    return horizon


def _predict(run: Run, policy: Greedy | None) -> Interval:
    """What the model says the agent will reach, over whole episodes from starts it knows."""
    if policy is None:
        return Interval.missing("this agent was not imagined")
    count = run.config.check.imagined
    returns = imagined_returns(run.model, policy, episodes=count, horizon=_horizon(run), key=run.key(_CHECK, 0))
    run.ledger.imagined(count * _horizon(run), run.model.id)
    return mean_with_interval(returns, seed=run.config.seed)


def _act_for_real(run: Run, agent: Agent, watch: Watch | None) -> list[Episode]:
    """The real episodes. Those that this very agent has finished before, in a check that was interrupted, count."""
    finished = run.experience.episodes(account=CHECK, complete=True)
    episodes = [e for e in finished if e.header.policy == agent.id and e.outcome.failure_mode is None]
    episodes = episodes[: run.config.check.episodes]
    while len(episodes) < run.config.check.episodes:
        index = run.next_episode[CHECK]
        begin_episode(agent)
        try:
            episode = act(
                run.world,
                run.ledger,
                run.recorder,
                lambda observation, _: agent.act(observation),
                account=CHECK,
                seed=episode_seed(run, CHECK, index),
                episode_index=index,
                policy_id=agent.id,
                run_id=run.id,
            )
        except BudgetRefused:
            break
        run.next_episode[CHECK] = index + 1
        if episode.outcome.failure_mode is not None:
            break  # cut short where the budget ended: its return would say too little
        episodes.append(episode)
        if watch is not None:
            watch(status(run, "check", last_return=episode.total_reward))
    return episodes


def _trajectories(run: Run, policy: Greedy, episodes: list[Episode], *, most: int = 200, copies: int = 8) -> Any:
    """The first real episode and imagined ones of the same agent from the same start, for the report."""
    real = run.codec.encode_observations(episodes[0].observations)[:most]
    start = np.repeat(real[:1], copies, axis=0)
    rollout = _roll(run.model, policy, State(jax.numpy.asarray(start)), run.key(_CHECK, 4), len(real) - 1)
    observation = np.where(np.asarray(rollout.valid)[..., None], np.asarray(rollout.next_observation), np.nan)
    imagined = np.concatenate([start[None], observation]).transpose(1, 0, 2)
    return {"real": real.tolist(), "imagined": imagined.tolist(), "given": "the agent"}


@eqx.filter_jit
def _roll(model: Any, policy: Greedy, start: State, key: Array, horizon: int) -> Any:
    return imagine(model, policy, start, key, horizon=horizon)
