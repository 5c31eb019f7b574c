"""A campaign of experiments: suggest, pay, act, record, learn from what came; until the budget is spent.

It lives in a folder, like a run: the ledger pays, the experience keeps what came, and every suggestion is written down
with its forecast before it is paid for. All randomness comes from the seed and the number of the experiment, so that a
campaign that was killed goes on as if it had not been, and pays for nothing twice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from gedanken.agents.experimenter import Bayesian, Earlier, Planner, Random
from gedanken.agents.experimenter.candidates import place
from gedanken.errors import BudgetRefused, ConfigError, FileError
from gedanken.experience.cost import Budget, Cost
from gedanken.experience.files import write_text
from gedanken.experience.recorder import Recorder
from gedanken.experience.store import Experience
from gedanken.experience.transition import Episode
from gedanken.intermediary.found import Found, found_in, median_by_chance
from gedanken.intermediary.run import LEARN, store_of
from gedanken.intermediary.stages import Status, Watch
from gedanken.intermediary.suggestions import Suggested, SuggestionLog
from gedanken.worlds import identity
from gedanken.worlds.act import act
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.ledger import Ledger
from gedanken.worlds.parameters import Design
from gedanken.worlds.registry import make as make_world
from gedanken.worlds.resume import close_interrupted, next_episode_index
from gedanken.worlds.science.experiment import ExperimentWorld
from gedanken.worlds.science.measured import MeasuredEnv, measured_world
from gedanken.worlds.science.table import from_csv, shipped
from gedanken.worlds.science.trials import Objective, Trial, TrialState

DESCRIPTION, TABLE = "campaign.json", "table.csv"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class CampaignConfig:
    """What decides a campaign. Either `world` or `table` says what is experimented on."""

    world: str = ""
    """a measured world, such as suzuki"""
    table: str = ""
    """a CSV of measured experiments, a line each; every column that is no objective is a parameter"""
    objective: str = ""
    """the table's column to be improved"""
    goal: Literal["max", "min"] = "max"
    """which way the objective should go"""
    ignore: tuple[str, ...] = ()
    """columns of the table that do not describe the experiment"""
    seed: int = 0
    """decides every random number"""
    budget: dict[str, int] = field(default_factory=lambda: {"experiments": 40})
    """the most that may be spent, by resource"""
    planner: Literal["bayesian", "random"] = "bayesian"
    """who suggests experiments"""
    front: bool = False
    """plan by the front of all objectives, and not by the first one alone"""
    thrift: float = 0.0
    """how much cost counts: an experiment's merit is divided by its price to this power"""
    worth: float = 0.0
    """what a unit of the first objective is worth, in minor units of `currency`: the campaign ends when nothing is
    expected to be worth its price. 0: it ends with the budget"""
    currency: str = "experiments"
    """the resource that `worth` is told in"""
    earlier: tuple[str, ...] = ()
    """folders of campaigns over the same design space, or worlds that were measured before"""


@dataclass
class Campaign:
    """An open campaign.

    recovered: what a crash left behind and was repaired, in words. ended: why there is no further experiment.
    """

    folder: Path
    id: str
    config: CampaignConfig
    world: ExperimentWorld
    planner: Planner
    ledger: Ledger
    experience: Experience
    suggestions: SuggestionLog
    recovered: list[str]
    seconds_before: float = 0.0
    ended: str = ""
    _began: float = field(default_factory=time.perf_counter)

    @classmethod
    def create(cls, folder: Path, config: CampaignConfig) -> Self:
        """Begins a campaign in a new or empty folder.

        Raises:
            ConfigError: the folder holds something, the world or the table's columns are unknown, or the budget limits
                nothing that an experiment costs.
            FileError: the table cannot be read.
        """
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError("The campaign's folder is not empty.", given=folder, expected="a new folder")
        if bool(config.world) == bool(config.table):
            raise ConfigError(
                "What is experimented on?",
                given="a world and a table" if config.world else "nothing",
                expected="--world NAME or --table FILE.csv",
                do="such as `gedanken run science --world suzuki`.",
            )
        source = Path(config.table)
        world = _world(config, source)
        _check_budget(config, world)
        _planner(config, world)
        folder.mkdir(parents=True, exist_ok=True)
        described = {"schema": SCHEMA_VERSION, "config": dataclasses.asdict(config)}
        if config.table:
            shutil.copyfile(source, folder / TABLE)  # whatever becomes of the original
            described["sha256"] = hashlib.sha256((folder / TABLE).read_bytes()).hexdigest()
        write_text(folder / DESCRIPTION, json.dumps(described, indent=2))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens a campaign where it was left.

        Raises:
            FileError: the folder holds none, one of another version, or a file was damaged.
        """
        config, described = read_config(folder)
        world = _world(config, folder / TABLE)
        name = "campaign-" + hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]
        with ExitStack() as on_failure:
            experience = on_failure.enter_context(store_of(folder / "experience", world))
            budgets = {LEARN: Budget(config.budget)}
            ledger = on_failure.enter_context(Ledger.open(folder / "ledger.sqlite", budgets=budgets, run_id=name))
            suggestions = SuggestionLog.open(folder / "suggestions.jsonl")
            on_failure.callback(suggestions.close)
            recovered = [text for text in (ledger.recovered, experience.recovered) if text]
            closed = close_interrupted(experience)
            recovered += [f"experiment {episode_id} was interrupted; it counts as failed" for episode_id in closed]
            planner = _planner(config, world)
            opened = cls(folder, name, config, world, planner, ledger, experience, suggestions, recovered)
            result = folder / "result.json"
            if result.exists():
                opened.seconds_before = float(json.loads(result.read_text())["seconds"])
            on_failure.pop_all()
        return opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes suggestions, experience and ledger."""
        self.suggestions.close()
        self.experience.close()
        self.ledger.close()

    def run(self, watch: Watch | None = None) -> Found:
        """Experiments until the budget is spent, or nothing is left to try or worth it; writes result.json."""
        while self.step() is not None:
            if watch is not None:
                watch(self.status())
        found = self.found()
        write_text(self.folder / "result.json", json.dumps(found.to_json(), indent=2, allow_nan=False))
        return found

    def step(self) -> Trial | None:
        """One experiment more; None where nothing can be paid, or nothing is left to try or worth its price.

        Raises:
            WorldError: the experiment failed. It is charged, and counts as failed.
        """
        index = next_episode_index(self.ledger, LEARN)
        left = self.ledger.balance(LEARN).left
        pool = self.world.pool
        if pool is not None:
            pool = tuple(design for design in pool if left.allows(self._price(design)))
        trials = self.trials()
        suggested = self.planner.suggest(
            self.world.space,
            self.objectives if self.config.front else self.objectives[:1],
            trials,
            pool=pool,
            price=self._price,
            seed=self._seed(index, 1),
        )
        if not suggested:
            self.ended = "nothing is left that can be tried and paid for"
            return None
        if suggested[0].worthwhile is False:
            self.ended = "no experiment is expected to be worth its price"
            return None
        # On disk before it is paid for. One that was written and never begun is replaced by the next of its number.
        self.suggestions.append(Suggested.of(index, self.planner.name, suggested[0]))
        action = self.world.space.to_action(suggested[0].design)
        try:
            act(
                self.world,
                self.ledger,
                Recorder(self.experience),
                lambda _, __: action,
                account=LEARN,
                seed=self._seed(index, 2),
                episode_index=index,
                policy_id=self.planner.name,
                run_id=self.id,
            )
        except BudgetRefused:
            self.ended = "the budget is spent"
            return None
        return self.trials()[-1]

    def trials(self) -> list[Trial]:
        """Every experiment that was begun, in the order of their suggestions."""
        recorded = {episode.header.episode_id: episode for episode in self.experience.episodes(account=LEARN)}
        found = []
        for index, suggested in sorted(self.suggestions.entries.items()):
            name = identity.episode_id(
                world=self.world.name, run=self.id, account=LEARN, task=None, seed=self._seed(index, 2), index=index
            )
            if name in recorded:
                found.append(_trial(str(index), suggested.design, recorded[name], self.world.objectives))
        return found

    def found(self) -> Found:
        """Where the campaign stands."""
        trials = self.trials()
        return found_in(
            trials,
            self.suggestions.entries,
            self.world.objectives[0],
            world=self.world.name,
            seed=self.config.seed,
            paid=self._paid(),
            seconds=self.seconds,
            ended=self.ended,
            by_chance=self._by_chance(trials),
        )

    def _by_chance(self, trials: Sequence[Trial]) -> int | None:
        """Of a measured table: how many experiments by chance find a design that is as good as the best found."""
        env, objective = self.world.env.unwrapped, self.objectives[0]
        tried = {place(self.world.space, t.design) for t in trials if t.measured and objective.name in t.results}
        if not isinstance(env, MeasuredEnv) or not tried:
            return None
        truth = objective.sign * env.table.mean()
        best = max(truth[i] for i, design in enumerate(env.table.pool) if place(self.world.space, design) in tried)
        return median_by_chance(int((truth >= best).sum()), len(truth))

    @property
    def space(self) -> DesignSpace:
        """What can be set."""
        return self.world.space

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is measured; the first is what is planned by."""
        return self.world.objectives

    def settings(self) -> dict[str, Any]:
        """What decides the campaign, as plain values."""
        return dataclasses.asdict(self.config)

    @property
    def seconds(self) -> float:
        """Working time so far."""
        return self.seconds_before + time.perf_counter() - self._began

    def status(self) -> Status:
        """For whoever watches."""
        trace = self.found().trace
        last = trace[-1] if trace else None
        return Status("experiment", self._paid(), dict(self.config.budget), 0, last_return=last, seconds=self.seconds)

    def _paid(self) -> dict[str, int]:
        balance = self.ledger.balance(LEARN)
        return dict.fromkeys(self.config.budget, 0) | dict(balance.spent + balance.outstanding + balance.unknown)

    def _price(self, design: Design) -> Cost:
        return self.world.price(self.world.space.to_action(design))

    def _seed(self, index: int, purpose: int) -> int:
        return int(np.random.SeedSequence([self.config.seed, purpose, index]).generate_state(1)[0])


def read_config(folder: Path) -> tuple[CampaignConfig, dict[str, Any]]:
    """Reads campaign.json: the settings, and all that it says.

    Raises:
        FileError: there is none, it is damaged or of another version, or the table beside it was changed.
    """
    path = folder / DESCRIPTION
    try:
        described: dict[str, Any] = json.loads(path.read_text())
        version = described["schema"]
        values = described["config"]
        config = CampaignConfig(**{**values, "ignore": tuple(values["ignore"]), "earlier": tuple(values["earlier"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(
            "This folder holds no campaign that can be read.",
            given=f"{path}: {error}",
            do="begin one with `gedanken run science --world suzuki`.",
        ) from error
    if version != SCHEMA_VERSION:
        raise FileError("This campaign is of another version.", given=version, expected=SCHEMA_VERSION)
    if config.table:
        table = folder / TABLE
        if not table.exists() or hashlib.sha256(table.read_bytes()).hexdigest() != described.get("sha256"):
            raise FileError("The campaign's table is not the one it was begun with.", given=table)
    return config, described


def _world(config: CampaignConfig, table: Path) -> ExperimentWorld:
    if config.table:
        if not config.objective:
            raise ConfigError(
                "Which column of the table is to be improved?",
                expected="--objective NAME",
                do="such as `--objective yield --goal max`.",
            )
        read = from_csv(table, [Objective(config.objective, config.goal)], ignore=config.ignore)
        return measured_world(dataclasses.replace(read, name=Path(config.table).stem))
    world = make_world(config.world if "/" in config.world else f"science/{config.world}")
    if not isinstance(world, ExperimentWorld):
        raise ConfigError(f"{config.world!r} is no world of experiments.", expected="one of the room `science`")
    return world


def _planner(config: CampaignConfig, world: ExperimentWorld) -> Planner:
    if config.planner == "random":
        return Random()
    earlier = tuple(Earlier(tuple(_earlier_trials(name))) for name in config.earlier)
    for campaign in earlier:
        campaign.fitted(world.space, world.objectives[0])  # which refuses what does not fit
    return Bayesian(thrift=config.thrift, worth=config.worth, currency=config.currency, earlier=earlier)


def _earlier_trials(name: str) -> list[Trial]:
    """The trials of an earlier campaign's folder, or everything that a measured world holds."""
    if (Path(name) / DESCRIPTION).exists():
        with Campaign.open(Path(name)) as campaign:
            return campaign.trials()
    table = shipped(name.rpartition("/")[2])
    names = [objective.name for objective in table.objectives]
    return [
        Trial(str(number), design, TrialState.COMPLETED, dict(zip(names, map(float, row), strict=True)))
        for number, (design, row) in enumerate(zip(table.designs, table.results, strict=True), 1)
    ]


def _check_budget(config: CampaignConfig, world: ExperimentWorld) -> None:
    charged = set(world.price(world.action_space.sample()))
    if not config.budget or set(config.budget) - charged or any(amount < 1 for amount in config.budget.values()):
        raise ConfigError(
            "The budget does not fit what an experiment costs.",
            given=", ".join(f"{name}={amount}" for name, amount in config.budget.items()) or "nothing",
            expected=f"1 or more of {' or '.join(sorted(charged))}",
            do="such as --budget.experiments 40.",
        )
    if config.worth and config.currency not in charged:
        raise ConfigError(
            "The worth is told in what an experiment does not cost.",
            given=f"currency={config.currency}",
            expected=" or ".join(sorted(charged)),
        )


def _trial(name: str, design: Design, episode: Episode, objectives: Sequence[Objective]) -> Trial:
    cost = Cost({resource: int(amounts.sum()) for resource, amounts in episode.costs.items()})
    if not len(episode):
        return Trial(name, design, TrialState.FAILED, cost=cost, note=episode.outcome.failure_mode or "")
    answer = episode.observations[-1]
    results = {
        objective.name: float(value)
        for objective, measured, value in zip(objectives, answer["measured"], answer["values"], strict=True)
        if measured
    }
    return Trial(name, design, TrialState.COMPLETED if results else TrialState.FAILED, results, cost)
