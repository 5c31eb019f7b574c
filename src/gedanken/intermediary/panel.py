"""A panel of policies of every quality, each played in the world and in the model: what a ranking needs.

The policies are learned in the run's model by each of several learners, kept at several stages of learning, and each
is also spoilt by shares of random actions. They are played for real from the same seeds, so that luck with the start
is the same for all, and in the model from the same starts. The episodes have a ledger and a store of their own, in
`panel/` of the run's folder, so that they touch neither the run's budget nor what it learns from:

ledger.sqlite, experience/   every real episode of the panel; none is paid for twice
returns.csv                  policy, source, seed, episode, return; `gedanken evaluate --table` reads it
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from gedanken.agents.mixed import MixedAgent
from gedanken.agents.policy import PolicyAgent
from gedanken.errors import BudgetRefused, ConfigError
from gedanken.evidence.table import COLUMNS, REAL, ReturnTable, Row
from gedanken.evidence.value import imagined_returns
from gedanken.experience.cost import Budget
from gedanken.experience.files import write_text
from gedanken.experience.recorder import Recorder
from gedanken.experience.store import Experience
from gedanken.experience.transition import Episode
from gedanken.intermediary.budgets import typical_price
from gedanken.intermediary.parts import learner_of
from gedanken.intermediary.run import Run, store_of
from gedanken.intermediary.stages import Watch, imagines, status, truncation
from gedanken.models.contract import State
from gedanken.worlds.act import act
from gedanken.worlds.ledger import Ledger
from gedanken.worlds.resume import close_interrupted, next_episode_index

PANEL = "panel"
IMAGINED = "imagined"
RANDOM = "random"
_PANEL = 8


@dataclass(frozen=True)
class PanelConfig:
    """Who is in the panel and how often each plays; 25 policies by default."""

    learners: tuple[str, ...] = ("value_gradient", "sac")
    """who learns in the model, each from nothing"""
    stages: int = 4
    """moments of learning that are kept of each, denser at its beginning"""
    shares: tuple[float, ...] = (0.0, 0.25, 0.5)
    """shares of random actions with which each of them plays"""
    updates: int = 4_000
    """of each learner until its last stage"""
    episodes: int = 10
    """real episodes of each policy"""
    imagined: int = 200
    """imagined episodes of each policy, besides those that start as its real ones did"""

    def __post_init__(self) -> None:
        for name in ("stages", "updates", "episodes", "imagined"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` of the panel is too small.", given=getattr(self, name), expected=">= 1")
        if self.updates < self.stages:
            raise ConfigError("A stage needs an update.", given=self.updates, expected=f">= {self.stages}")
        for name in ("learners", "shares"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"`{name}` of the panel must name each once.", given=values, expected="one or more")
        if not all(0.0 <= share < 1.0 for share in self.shares):
            raise ConfigError("A share of random actions is no share.", given=self.shares, expected="0 to below 1")


class Member(NamedTuple):
    """A policy of the panel. `updates` of its learner came before; of the one called `random`, 0."""

    name: str
    learner: str
    agent: MixedAgent
    updates: int


@dataclass(frozen=True)
class Panel:
    """What was played.

    Attributes:
        members: the policies that have real returns. table: their returns, real and imagined.
        paid: for the real episodes of the whole panel, whenever they were played.
        missing: real episodes that could not be paid for, because earlier ones were interrupted.
        unfit: imagined episodes in which the model answered what is not finite; they are not in the table.
    """

    members: tuple[Member, ...]
    table: ReturnTable
    paid: dict[str, int]
    missing: int
    unfit: int


def make_panel(run: Run, config: PanelConfig, *, watch: Watch | None = None) -> list[Member]:
    """Learns the policies in the run's model. The same run and configuration give the same policies.

    Raises:
        ConfigError: the run has no model, or a learner's agent is no learned policy.
    """
    if run.counters.round == 0 or not imagines(run):
        raise ConfigError(
            "A panel is learned in the model, and this run has none to learn in.",
            given=f"mode={run.config.mode}, {run.counters.round} rounds",
            do="finish a run in one of the modes advise, gate and substitute.",
        )
    rule, members = truncation(run), []
    for number, name in enumerate(config.learners):
        learner = learner_of(dataclasses.replace(run.config, agent=name))
        state = learner.init(
            run.codec.observation_size,
            run.codec.action_size,
            discrete=run.codec.choices > 0,
            key=run.key(_PANEL, number, 0),
        )
        if not isinstance(learner.agent(state, run.model, run.codec), PolicyAgent):
            raise ConfigError(
                "A panel is made of learned policies.", given=name, expected="learners such as value_gradient, sac"
            )
        done = 0
        for stage in range(1, config.stages + 1):
            goal = max(done + 1, round(config.updates * (stage / config.stages) ** 2))
            state, progress = learner.learn(
                state,
                run.model,
                run.table,
                truncation=rule,
                updates=goal - done,
                key=run.key(_PANEL, number, stage),
            )
            done = goal
            run.ledger.imagined(progress.imagined_steps, run.model.id)
            agent = learner.agent(state, run.model, run.codec)
            assert isinstance(agent, PolicyAgent)
            members += [
                Member(_named(name, done, share), name, MixedAgent(agent, share), done) for share in config.shares
            ]
            if watch is not None:
                watch(status(run, PANEL))
    return [*members, Member(RANDOM, RANDOM, MixedAgent(members[0].agent.of, 1.0), 0)]


def _named(learner: str, updates: int, share: float) -> str:
    return f"{learner} {updates}" + (f" random {share:.0%}" if share else "")


def play_panel(run: Run, config: PanelConfig, *, watch: Watch | None = None) -> Panel:
    """Makes the panel, plays it for real and in the model, and writes panel/returns.csv.

    Real episodes on record already, of an earlier call that was interrupted or had fewer, are not paid for again.

    Raises:
        ConfigError: as in `make_panel`, or the account was spent on other policies.
        WorldError: the world failed; what was played is kept.
    """
    members = make_panel(run, config, watch=watch)
    horizon = run.world.max_episode_steps
    assert horizon is not None  # `check_budget` refused such a world when the run was made
    most = typical_price(run.world).times(len(members) * config.episodes * horizon)
    folder = run.folder / PANEL
    with ExitStack() as stack:
        experience = stack.enter_context(store_of(folder / "experience", run.world))
        ledger = stack.enter_context(
            Ledger.open(folder / "ledger.sqlite", budgets={PANEL: Budget(dict(most))}, run_id=run.id)
        )
        close_interrupted(experience)
        players = _Players(run, ledger, experience, config.episodes, watch)
        played = {member.name: players.episodes(member.agent) for member in members}
        if not any(played.values()):
            raise ConfigError(
                "The panel's account is spent on other policies than these.",
                given=f"{folder}, begun with other settings, threads or another machine",
                do=f"go on as it was begun, or remove {folder} and pay for a new panel.",
            )
        balance = ledger.balance(PANEL)
    returns = [row for member in members for row in _rows(run, member, played[member.name], config, horizon)]
    rows = [row for row in returns if math.isfinite(row.value)]
    table = ReturnTable.of(rows)
    _write(folder / "returns.csv", rows)
    return Panel(
        members=tuple(member for member in members if played[member.name]),
        table=table,
        paid=dict(balance.spent + balance.outstanding + balance.unknown),
        missing=sum(config.episodes - len(episodes) for episodes in played.values()),
        unfit=len(returns) - len(rows),
    )


def panel_seed(run: Run, number: int) -> int:
    """The seed of the world's reset in the n-th episode of every policy."""
    return int(np.random.SeedSequence([run.config.seed, 2, number]).generate_state(1)[0])


@dataclass
class _Players:
    """Plays policies for real, and knows what was played before."""

    run: Run
    ledger: Ledger
    experience: Experience
    count: int
    watch: Watch | None

    def __post_init__(self) -> None:
        self._recorder = Recorder(self.experience)
        self._next = next_episode_index(self.ledger, PANEL)
        self._known = {
            (episode.header.policy, episode.header.seed): episode
            for episode in self.experience.episodes(account=PANEL, complete=True)
            if episode.outcome.failure_mode is None
        }

    def episodes(self, agent: MixedAgent) -> list[tuple[int, Episode]]:
        """(number, episode) of all that can be paid for."""
        played = []
        for number in range(self.count):
            seed = panel_seed(self.run, number)
            known = self._known.get((agent.id, seed))
            if known is None:
                known = self._play(agent, number, seed)
            if known is None:
                break
            played.append((number, known))
        return played

    def _play(self, agent: MixedAgent, number: int, seed: int) -> Episode | None:
        key = self.run.key(_PANEL, 1_000, number)
        index, self._next = self._next, self._next + 1
        try:
            episode = act(
                self.run.world,
                self.ledger,
                self._recorder,
                lambda observation, step: agent.explore(observation, key, step),
                account=PANEL,
                seed=seed,
                episode_index=index,
                policy_id=agent.id,
                run_id=self.run.id,
            )
        except BudgetRefused:
            return None
        if self.watch is not None:
            self.watch(status(self.run, PANEL, last_return=episode.total_reward))
        return None if episode.outcome.failure_mode is not None else episode


def _rows(
    run: Run, member: Member, played: Sequence[tuple[int, Episode]], config: PanelConfig, horizon: int
) -> Iterator[Row]:
    """The returns of one policy: real ones, imagined ones from the same starts, and other imagined ones."""
    if not played:
        return
    for number, episode in played:
        yield Row(member.name, REAL, panel_seed(run, number), number, episode.total_reward)
    starts = np.stack([run.codec.encode_observations(episode.observations[0]) for _, episode in played])
    alike = _imagine(run, member, horizon, len(played), 1, State(jnp.asarray(starts)))
    for (number, _), value in zip(played, alike, strict=True):
        yield Row(member.name, IMAGINED, panel_seed(run, number), number, float(value))
    others = _imagine(run, member, horizon, config.imagined, 2, None)
    for number, value in enumerate(others, config.episodes):
        yield Row(member.name, IMAGINED, panel_seed(run, number), number, float(value))


def _imagine(
    run: Run, member: Member, horizon: int, episodes: int, which: int, start: State | None
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    key = run.key(_PANEL, 2_000, which)
    returns = imagined_returns(run.model, member.agent.drawn, episodes=episodes, horizon=horizon, key=key, start=start)
    run.ledger.imagined(episodes * horizon, run.model.id)
    return returns


def _write(path: Path, rows: Sequence[Row]) -> None:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    lines.writerows(rows)
    write_text(path, text.getvalue())
