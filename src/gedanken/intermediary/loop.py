"""The intermediary's loop: collect, curate, fit, imagine and learn, until the budget is spent; then check."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import gymnasium as gym

from gedanken.agents.callable import from_callable
from gedanken.agents.contract import Agent
from gedanken.agents.learner import Learner
from gedanken.agents.policy import PolicyAgent
from gedanken.compute import enable_compilation_cache
from gedanken.dreams.env import DreamEnv
from gedanken.errors import ConfigError
from gedanken.evidence.interval import Interval
from gedanken.evidence.model_card import write_model_card
from gedanken.experience.cost import Budget
from gedanken.intermediary.check import Evidence, check
from gedanken.intermediary.config import RunConfig, from_plain
from gedanken.intermediary.parts import Given
from gedanken.intermediary.presets import preset
from gedanken.intermediary.rehearse import Rehearsal
from gedanken.intermediary.rehearse import rehearse as rehearse_candidates
from gedanken.intermediary.run import CHECK, LEARN, Run, raise_budget, read_description
from gedanken.intermediary.stages import (
    Watch,
    anchored,
    collect,
    curate,
    current_agent,
    fit,
    learn,
    read_experience,
    truncation,
)
from gedanken.models.contract import Family
from gedanken.worlds.world import World


@dataclass(frozen=True)
class Result:
    """What a run came to.

    agent: ready to act. value: its real return, with interval and count. predicted: what the model had said.
    paid, paid_check: what was spent on learning and on the check, per resource.
    """

    agent: Agent
    value: Interval
    predicted: Interval
    evidence: Evidence
    paid: dict[str, int]
    paid_check: dict[str, int]
    imagined_steps: int
    seconds: float
    world: str
    seed: int
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """The line that scripts rely on."""
        return {
            "world": self.world,
            "seed": self.seed,
            "paid": self.paid,
            "paid_check": self.paid_check,
            "imagined_steps": self.imagined_steps,
            "real_return": _line(self.value),
            "predicted_return": _line(self.predicted),
            "seconds": round(self.seconds, 1),
            "run": str(self.folder),
            "report": str(self.folder / "report.html"),
        }

    def __str__(self) -> str:
        paid = ", ".join(f"{amount:,} {name}" for name, amount in self.paid.items())
        return (
            f"{self.world}: real return {self.value} after {paid} paid and {self.imagined_steps:,} steps imagined; "
            f"the model had said {self.predicted}"
        )


def _line(interval: Interval) -> dict[str, Any]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "episodes": interval.count}


class Intermediary:
    """Stands between an agent and a world in which every action costs.

    world = World(gymnasium.make("Hopper-v5"), prices={"steps": 1})
    between = Intermediary(world, budget=Budget(steps=50_000))
    result = between.run()
    """

    def __init__(
        self,
        world: World | gym.Env[Any, Any] | str,
        *,
        budget: Budget | None = None,
        agent: Agent | Learner | Callable[[Any], Any] | str | None = None,
        family: Family | str | None = None,
        folder: Path | str | None = None,
        seed: int | None = None,
        config: RunConfig | None = None,
    ) -> None:
        """Begins a run, or opens it where its folder holds one.

        Args:
            world: a `World`, an env (one unit of `steps` a step), or a name.
            budget: what may be spent on learning; by default that of the configuration. Higher than that of the run
                in the folder, it lets that run go on.
            agent: who learns and acts: `value_gradient`, `sac`, `icem`, the name of one that a package brings, or a
                `Learner`. An `Agent`, or a callable observation -> action, acts as it is; the model is learned
                around it.
            family: what the model is made of: `ensemble`, the name of one that a package brings, or a `Family`.
            folder: where the run is kept; by default a new temporary folder.
            seed: decides every random number; by default that of the configuration.
            config: everything else; by default `preset(world)`.

        Raises:
            ConfigError: the world, the budget or the configuration is wrong, or not that of the run in the folder.
        """
        if isinstance(world, gym.Env) and not isinstance(world, World):
            world = World(world, prices={"steps": 1})
        name = world if isinstance(world, str) else world.name
        enable_compilation_cache()
        changes: dict[str, Any] = {"world": name}
        if budget is not None:
            changes["budget"] = dict(budget)
        if seed is not None:
            changes["seed"] = seed
        if isinstance(agent, str):
            changes["agent"] = agent
        if isinstance(family, str):
            changes["family"] = family
        given = _given(agent, family)
        folder = Path(tempfile.mkdtemp(prefix="gedanken-")) if folder is None else Path(folder)
        at_hand = None if isinstance(world, str) else world
        if (folder / "config.json").exists():
            _check_settings(folder, config, changes)
            raise_budget(folder, budget or {})
            self._run = Run.open(folder, world=at_hand, given=given)
        else:
            config = dataclasses.replace(preset(name) if config is None else config, **changes)
            self._run = Run.create(folder, config, world=at_hand, given=given)

    @classmethod
    def of(cls, run: Run) -> Intermediary:
        """The intermediary of a run that is open already."""
        between = cls.__new__(cls)
        between._run = run
        return between

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        return self._run.folder

    @property
    def paid(self) -> dict[str, int]:
        """What learning has been charged so far, per resource."""
        return self._run.paid(LEARN)

    @property
    def agent(self) -> Agent:
        """The agent as it stands."""
        return current_agent(self._run)

    def run(self, watch: Watch | None = None) -> Result:
        """Goes on until the budget is spent, then checks the agent for real. Interrupted, it can be called again.

        Args:
            watch: told often where the run stands; may raise `Interrupted`, and the run stops where it can go on.
        """
        while self.round(watch):
            pass
        curate(self._run)
        return self.evaluate(watch)

    def evaluate(self, watch: Watch | None = None, *, thorough: bool = False) -> Result:
        """Checks the agent for real as it stands, and writes down the result. Episodes on record are not paid twice."""
        run = self._run
        evidence = check(run, self.agent, thorough=thorough, watch=watch)
        result = Result(
            agent=self.agent,
            value=evidence.real_return,
            predicted=evidence.predicted_return,
            evidence=evidence,
            paid=run.paid(LEARN),
            paid_check=run.paid(CHECK),
            imagined_steps=run.counters.imagined_steps,
            seconds=run.seconds,
            world=run.world.name,
            seed=run.config.seed,
            folder=run.folder,
        )
        run.checkpoint()
        self.save()
        run.write_json("result.json", result.to_json())
        write_model_card(run.folder)
        return result

    def round(self, watch: Watch | None = None) -> bool:
        """One round: collect, fit, learn, checkpoint. False when there was nothing left to pay it with."""
        run, config = self._run, self._run.config
        first = run.counters.round == 0
        collect(
            run,
            steps=config.collect.of_round(run.counters.rows_at_start),
            horizon=config.collect.warmup_horizon if first else config.collect.horizon,
            agent=None if first and run.given.agent is None else self.agent,
            watch=watch,
        )
        new = run.learning_rows - run.counters.rows_at_start
        if new == 0:
            return False
        # From the record: an interrupted session may have paid for the round's episodes.
        latest = [s for s in run.experience.summaries() if s.header.account == LEARN][-1]
        metrics = {"paid_return": latest.total_reward}
        before = run.model
        try:
            if config.mode != "off":
                report = fit(run, watch)
                metrics["fit_minibatches"] = report.minibatches
                if report.held_out_error is not None:
                    metrics["model_error"] = report.held_out_error
                metrics |= anchored(run)
            metrics |= learn(run, updates=round(config.updates_per_step * new), watch=watch).metrics
        except BaseException:
            run.model = before  # so that this round, done again, does the same
            raise
        run.counters.round += 1
        run.counters.rows_at_start = run.learning_rows
        run.write_metrics(metrics)
        run.checkpoint()
        return True

    def save(self) -> None:
        """Writes `model/` and `agent/`, each loadable alone."""
        run = self._run
        if run.config.mode != "off":
            run.model.save(run.folder / "model")
        if isinstance(self.agent, PolicyAgent):
            self.agent.save(run.folder / "agent")

    def dream(self, *, horizon: int | None = None) -> DreamEnv:
        """The model as a Gymnasium environment, cut where the run's truncation rule says so."""
        run = self._run
        self._need_model()
        read_experience(run)
        return DreamEnv(
            run.model,
            run.codec,
            horizon=horizon or run.world.max_episode_steps or 1_000,
            truncation=truncation(run),
        )

    def rehearse(
        self, observation: Any, candidates: Sequence[Any], *, horizon: int = 20, samples: int = 64, seed: int = 0
    ) -> list[Rehearsal]:
        """What each candidate action would bring, followed by the agent's policy, and how sure that is."""
        run = self._run
        self._need_model()
        policy = self.agent.greedy if isinstance(self.agent, PolicyAgent) else None
        return rehearse_candidates(
            run.model,
            observation,
            candidates,
            codec=run.codec,
            policy=policy,
            horizon=horizon,
            samples=samples,
            key=run.key(7, seed),
        )

    def close(self) -> None:
        """Closes the run's files."""
        self._run.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _need_model(self) -> None:
        if self._run.config.mode == "off":
            raise ConfigError("There is no model in this run.", given="mode=off", do="begin one with another mode.")
        if self._run.counters.round == 0:
            raise ConfigError("There is no model yet.", do="call run() first, or open the folder of a finished run.")


def _check_settings(folder: Path, config: RunConfig | None, changes: Mapping[str, Any]) -> None:
    """Refuses to go on with a run under other settings than it was begun with."""
    begun = from_plain(read_description(folder)["config"])
    asked = dataclasses.replace(begun if config is None else config, **changes)
    # A world may be named with its room or without, and a budget that is named may be a higher one.
    budget = begun.budget if "budget" in changes else asked.budget
    asked = dataclasses.replace(asked, world=begun.world, budget=budget)
    differing = [f.name for f in dataclasses.fields(begun) if getattr(asked, f.name) != getattr(begun, f.name)]
    if differing:
        raise ConfigError(
            "This folder holds a run with other settings.",
            given="; ".join(f"{name}={getattr(asked, name)}" for name in differing),
            expected="; ".join(f"{name}={getattr(begun, name)}" for name in differing),
            do="leave them out to go on with that run, or name another folder.",
        )


def _given(agent: Agent | Learner | Callable[[Any], Any] | str | None, family: Family | str | None) -> Given:
    """What was given as an object."""
    of_ones_own = None if isinstance(family, str) else family
    if agent is None or isinstance(agent, str):
        return Given(family=of_ones_own)
    if isinstance(agent, Learner):
        return Given(learner=agent, family=of_ones_own)
    return Given(agent=agent if isinstance(agent, Agent) else from_callable(agent), family=of_ones_own)
