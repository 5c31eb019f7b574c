"""check: what the agent is really worth, and whether the model had known.

The check's episodes are paid from an account of their own, run without exploration, and were never trained on, so they
also serve as the held-out data of every question asked of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import Array

from gedanken.agents.contract import Agent, begin_episode
from gedanken.agents.policy import Greedy, PolicyAgent
from gedanken.dreams.rollout import imagine
from gedanken.errors import BudgetRefused
from gedanken.evidence.branching import Visited, Visits, branch
from gedanken.evidence.calibration import check_calibration
from gedanken.evidence.exploitation import exploitation_gap
from gedanken.evidence.fidelity import error_by_horizon
from gedanken.evidence.interval import Interval, mean_with_interval
from gedanken.evidence.value import imagined_against_real, imagined_returns
from gedanken.experience.transition import Episode
from gedanken.intermediary.run import CHECK, Run
from gedanken.intermediary.stages import Watch, episode_seed, status
from gedanken.intermediary.thorough import QUESTIONS, ask_more
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
    more: Mapping[str, Any] = field(default_factory=dict)
    """what a thorough check asks besides, by its name in `thorough.QUESTIONS`"""

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name, `more` flattened among them."""
        parts = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "more"}
        parts |= {name: self.more.get(name) for name in QUESTIONS}
        return {name: part.to_json() if isinstance(part, Interval) else part for name, part in parts.items()}


def check(run: Run, agent: Agent, *, thorough: bool = False, watch: Watch | None = None) -> Evidence:
    """Runs `config.check.episodes` real episodes of `agent` and holds the model against them.

    A thorough check asks more of the same episodes, see `thorough`. The prediction is made before the first real
    episode. Without a fitted model, or for an agent that cannot be imagined in one compiled rollout, what concerns the
    model is not measured.
    """
    fitted = run.counters.round > 0 and run.config.mode != "off"
    policy = agent.greedy if isinstance(agent, PolicyAgent) and fitted else None
    predicted = _predict(run, policy)
    visited: list[Visited] = []
    episodes = _act_for_real(run, agent, visited if fitted else None, watch)
    _branch(run, visited)
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
    if thorough:
        found = replace(found, more=ask_more(run, episodes, policy, horizon=_horizon(run)))
    return _written(run, found)


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


def _act_for_real(run: Run, agent: Agent, visited: list[Visited] | None, watch: Watch | None) -> list[Episode]:
    """The real episodes. Those that this very agent has finished before, in a check that was interrupted, count.

    `visited`, where it is given, gets states of the others that the world can be put back to.
    """
    finished = run.experience.episodes(account=CHECK, complete=True)
    episodes = [e for e in finished if e.header.policy == agent.id and e.outcome.failure_mode is None]
    episodes = episodes[: run.config.check.episodes]
    while len(episodes) < run.config.check.episodes:
        index = run.next_episode[CHECK]
        begin_episode(agent)
        seed = episode_seed(run, CHECK, index)
        visits = Visits(run.world, states=run.config.check.branches, group=seed, seed=seed)
        try:
            episode = act(
                run.world,
                run.ledger,
                run.recorder,
                lambda observation, _: agent.act(observation),
                account=CHECK,
                seed=seed,
                episode_index=index,
                policy_id=agent.id,
                run_id=run.id,
                on_step=None if visited is None else visits,
            )
        except BudgetRefused:
            break
        run.next_episode[CHECK] = index + 1
        if episode.outcome.failure_mode is not None:
            break  # cut short where the budget ended: its return would say too little
        episodes.append(episode)
        if visited is not None:
            visited += visits.taken
        if watch is not None:
            watch(status(run, "check", last_return=episode.total_reward))
    return episodes


def _branch(run: Run, visited: list[Visited]) -> None:
    """Tries other actions from states of the check's episodes; no log can tell whether the model knows what they do."""
    asked = run.config.check
    if not visited:
        return
    first = run.next_episode[CHECK]
    run.next_episode[CHECK] = first + len(visited) * asked.branch_actions
    branch(
        run.world,
        run.ledger,
        run.recorder,
        visited,
        actions=asked.branch_actions,
        steps=asked.branch_steps,
        account=CHECK,
        seed=run.config.seed,
        first_index=first,
        run_id=run.id,
    )


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
