"""The verbs of a round, each over an open run: collect, curate, fit, learn.

Each derives its randomness from the run's seed and from where the run stands, so that doing a round again after an
interruption does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np

from gedanken.agents.contract import Agent, begin_episode
from gedanken.agents.learner import Progress
from gedanken.agents.policy import PolicyAgent
from gedanken.dreams.infoprop import Infoprop
from gedanken.dreams.truncation import MOPOPenalty, MORelHalt, NoTruncation, Truncation
from gedanken.errors import BudgetRefused
from gedanken.experience.curation import curate as curate_experience
from gedanken.experience.findings import Curation
from gedanken.experience.split import is_held_out
from gedanken.experience.transition import Episode
from gedanken.intermediary.budgets import typical_price
from gedanken.intermediary.gating import Behaviour, draw, gated
from gedanken.intermediary.run import CHECK, LEARN, Run
from gedanken.models.anchored import AnchoredModel
from gedanken.models.contract import FitReport
from gedanken.models.data import Columns
from gedanken.models.tasks import Tasks, fit_tasks
from gedanken.worlds.act import act

# First numbers of the paths that keys are derived by; 1 and 2 initialise model and agent.
_BEHAVE, _FIT, _LEARN = 3, 4, 5


@dataclass(frozen=True)
class Status:
    """What a run is doing, for whoever watches it."""

    stage: str
    paid: dict[str, int]
    budget: dict[str, int]
    imagined_steps: int
    model_error: float | None = None
    last_return: float | None = None
    seconds: float = 0.0


Watch = Callable[[Status], None]
"""Called often with where the run stands; may raise `Interrupted` to stop it at this safe point."""


def collect(
    run: Run,
    *,
    steps: int,
    horizon: int | None,
    agent: Agent | None,
    watch: Watch | None = None,
) -> list[Episode]:
    """Pays for whole episodes until the round has `steps` new transitions, or the budget is spent.

    Args:
        run: the run; episodes of this round that an interrupted session has paid for already count.
        steps: transitions wanted in this round.
        horizon: longest episode; None is the world's limit.
        agent: who acts, exploring; None is a uniformly random policy.
        watch: told after every episode.
    """
    episodes: list[Episode] = []
    while run.learning_rows - run.counters.rows_at_start < steps and can_pay(run):
        index = run.next_episode[LEARN]
        acting = behaviour(run, agent, index)
        try:
            episode = act(
                run.world,
                run.ledger,
                run.recorder,
                acting.policy,
                account=LEARN,
                seed=episode_seed(run, LEARN, index),
                episode_index=index,
                max_steps=horizon,
                policy_id=acting.policy_id,
                run_id=run.id,
                on_step=acting.on_step,
            )
        except BudgetRefused:
            break
        run.next_episode[LEARN] = index + 1
        run.learning_rows += len(episode)
        episodes.append(episode)
        if watch is not None:
            watch(status(run, "collect", last_return=episode.total_reward))
    read_experience(run)
    return episodes


def can_pay(run: Run) -> bool:
    """Whether a typical step can still be paid for; the ledger has the last word."""
    left = run.ledger.balance(LEARN).left
    return all(left.of(name) >= amount for name, amount in typical_price(run.world).items() if name in left)


def behaviour(run: Run, agent: Agent | None, index: int) -> Behaviour:
    """How `agent` behaves in episode `index`; None is a uniformly random policy, which no gate watches."""
    rng, key = np.random.default_rng([run.config.seed, index]), run.key(_BEHAVE, index)
    if agent is None:
        space = run.world.action_space
        # Per encoded action: a continuous one spans 2 in each dimension, a choice is one of n.
        log_density = -float(np.log(run.codec.choices or 2.0**run.codec.action_size))
        return Behaviour(lambda _, __: (draw(space, rng), log_density), "random")
    begin_episode(agent)
    if isinstance(agent, PolicyAgent):
        learned = agent
        acting = Behaviour(lambda observation, step: learned.explore(observation, key, step), agent.id)
    else:
        given = agent
        acting = Behaviour(lambda observation, _: given.act(observation, seed=int(rng.integers(2**31))), agent.id)
    mode = run.config.mode
    if run.counters.round == 0 or mode == "off" or mode == "substitute":
        return acting
    return gated(
        acting,
        agent=agent,
        model=run.model,
        codec=run.codec,
        mode=mode,
        config=run.config.gate,
        key=key,
        log=run.decisions(),
    )


def episode_seed(run: Run, account: str, index: int) -> int:
    """The seed of the world's reset in episode `index`: the same in every run with the same seed, whoever acts."""
    words = [run.config.seed, {LEARN: 0, CHECK: 1}[account], index]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def read_experience(run: Run) -> None:
    """Brings what was paid for on the learning account since the last call into the table.

    Which episodes are held out was decided when they began (`gedanken.experience.split`), so it never changes.
    """
    rows = run.experience.arrays(account=LEARN, start_row=run.rows_read)
    run.rows_read = rows.next_row
    if not len(rows):
        return
    headers = run.experience.headers()
    for number in dict.fromkeys(rows.episode.tolist()):
        if number not in run.held_out:
            run.held_out[number] = is_held_out(
                headers[number].episode_id,
                position=len(run.held_out),
                held_out=run.config.collect.held_out,
                seed=run.config.seed,
            )
    costs = [rows.costs.get(name, np.zeros(len(rows))) for name in run.table.resources]
    run.table.add(
        Columns(
            observation=run.codec.encode_observations(rows.observation),
            action=run.codec.encode_actions(rows.action),
            reward=rows.reward.astype(np.float32),
            terminated=rows.terminated,
            next_observation=run.codec.encode_observations(rows.next_observation),
            cost=np.stack(costs, axis=1).astype(np.float32),
            episode=rows.episode.astype(np.int32),
            held_out=np.array([run.held_out[number] for number in rows.episode.tolist()], bool),
        )
    )


def curate(run: Run) -> Curation:
    """Looks at what was paid for: coverage, duplicates, balance of outcomes, leakage; writes curation.json."""
    found = curate_experience(run.experience, held_out=run.config.collect.held_out, seed=run.config.seed)
    run.write_json("curation.json", found.to_json())
    return found


def fit(run: Run, watch: Watch | None = None) -> FitReport:
    """Fits the model to the table and the task distribution to the episodes; the run's model is the new one."""

    def progress(_: int, error: float) -> None:
        if watch is not None:
            watch(status(run, "fit", model_error=error))

    key = run.key(_FIT, run.counters.round)
    run.model, report = run.family.fit(run.model, run.table, key=key, progress=progress)
    tasks = _tasks_of(run)
    run.model = eqx.tree_at(lambda model: model.tasks, run.model, tasks)
    return report


def anchored(run: Run) -> dict[str, float]:
    """Writes down how the fitted model's rewards were recalibrated, in anchors.json; metrics of it, where it was."""
    model: Any = run.model
    if not isinstance(model, AnchoredModel):
        return {}
    found = model.recalibration
    run.write_json("anchors.json", {"round": run.counters.round, "model": model.id, **found.to_json()})
    errors = {"anchors_error": found.error, "anchors_error_without": found.error_without}
    return {"anchors": float(found.anchors), **{name: value for name, value in errors.items() if value is not None}}


def _tasks_of(run: Run) -> Tasks:
    rows = run.table.filled()
    summaries = run.experience.summaries()
    first = np.flatnonzero(np.diff(rows.episode, prepend=-1))
    episodes = [summaries[number] for number in rows.episode[first].tolist()]
    returns = np.array([episode.total_reward for episode in episodes])
    return fit_tasks(rows.observation[first], [episode.header.task for episode in episodes], returns)


def truncation(run: Run) -> Truncation:
    """The truncation rule of the configuration, fitted to what the model says of the paid transitions."""
    rules: dict[str, Truncation] = {
        "infoprop": Infoprop(),
        "mopo": MOPOPenalty(),
        "morel": MORelHalt(),
        "none": NoTruncation(),
    }
    rows = run.table.filled()
    return rules[run.config.truncation].fit(run.model, rows.observation, rows.action)


def learn(run: Run, *, updates: int, watch: Watch | None = None) -> Progress:
    """The agent learns in imagination for `updates` updates; the ledger notes the imagined steps.

    Where there is nothing to learn (see `learns`), nothing is done.
    """
    if run.learner is None or not learns(run):
        return Progress({}, 0)

    def on_chunk(_: int, progress: Progress) -> None:
        if watch is not None:
            watch(status(run, "learn", imagined=progress.imagined_steps))

    rule = truncation(run) if imagines(run) else NoTruncation()
    run.learned, progress = run.learner.learn(
        run.learned,
        run.model,
        run.table,
        truncation=rule,
        updates=updates,
        key=run.key(_LEARN, run.counters.round),
        on_chunk=on_chunk,
    )
    if progress.imagined_steps:
        run.ledger.imagined(progress.imagined_steps, run.model.id)
        run.counters.imagined_steps += progress.imagined_steps
    return progress


def imagines(run: Run) -> bool:
    """Whether the agent may learn from imagined steps in this run's mode."""
    return run.config.mode not in ("off", "shadow")


def learns(run: Run) -> bool:
    """Whether there is anything to learn: not for an agent that was given, nor for one that plans."""
    return bool(jax.tree.leaves(run.learned))


def current_agent(run: Run) -> Agent:
    """The agent as it stands: the one that was given, or what the learner has learned."""
    if run.given.agent is not None:
        return run.given.agent
    assert run.learner is not None
    return run.learner.agent(run.learned, run.model, run.codec)


def status(
    run: Run,
    stage: str,
    *,
    imagined: int = 0,
    model_error: float | None = None,
    last_return: float | None = None,
) -> Status:
    """Where the run stands."""
    return Status(
        stage=stage,
        paid=run.paid(),
        budget=dict(run.config.budget),
        imagined_steps=run.counters.imagined_steps + imagined,
        model_error=model_error,
        last_return=last_return,
        seconds=run.seconds,
    )
