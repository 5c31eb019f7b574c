"""A run folder: everything one run has paid for, learned and found out, and how to open it again.

config.json      the resolved configuration, the world's name, the run's id
ledger.sqlite    every real action (and its mirror beside it)
experience/      every real transition
checkpoint/      model, agent and counters as of the last finished round
model/, agent/   the same model and agent, each loadable alone
decisions.jsonl  what the gate decided, if it was asked
anchors.json     how the model's rewards were recalibrated at the last fit, if anchors are on
metrics.csv      long format: round, paid, imagined, seconds, metric, value
curation.json, evidence.json, result.json, model_card.md, report.html
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import equinox as eqx
import jax
import numpy as np
from jax import Array

from gedanken.agents.learner import Learner
from gedanken.errors import ConfigError, FileError
from gedanken.experience.codec import Codec
from gedanken.experience.cost import Budget
from gedanken.experience.files import write_text
from gedanken.experience.recorder import Recorder
from gedanken.experience.store import Experience
from gedanken.intermediary.budgets import capacity, check_budget, check_resources, raised, typical_price
from gedanken.intermediary.config import RunConfig, from_plain, to_plain
from gedanken.intermediary.decisions import DecisionLog
from gedanken.intermediary.parts import Given, check_given, chosen
from gedanken.models.contract import Family, LearnedModel
from gedanken.models.data import TransitionTable
from gedanken.models.files import read_meta, read_tree, write_tree
from gedanken.worlds.ledger import Ledger
from gedanken.worlds.registry import make as make_world
from gedanken.worlds.resume import close_interrupted, next_episode_index
from gedanken.worlds.world import World

SCHEMA_VERSION = 1
LEARN, CHECK = "learn", "check"
_METRICS = ["round", "paid", "imagined", "seconds", "metric", "value"]


@dataclass
class Counters:
    """How far a run is. Written with every checkpoint."""

    round: int = 0
    """rounds of collecting and learning that are finished"""
    rows_at_start: int = 0
    """transitions on the learning account when the present round began"""
    imagined_steps: int = 0
    seconds: float = 0.0
    """working time, without the time between interruption and resumption"""


@dataclass
class Run:
    """An open run. Use `Run.create` or `Run.open`, and close it (or use it in a `with`)."""

    folder: Path
    id: str
    config: RunConfig
    world: World
    codec: Codec
    ledger: Ledger
    experience: Experience
    recorder: Recorder
    table: TransitionTable
    family: Family
    model: LearnedModel
    learner: Learner | None
    """None where an agent was given, who acts as it is"""
    learned: Any
    """the learner's state; () without one"""
    given: Given = field(default_factory=Given)
    counters: Counters = field(default_factory=Counters)
    recovered: list[str] = field(default_factory=list)
    rows_read: int = 0
    """rows of the experience that are in the table already"""
    held_out: dict[int, bool] = field(default_factory=dict)
    """episode number in the experience -> whether it is held out"""
    learning_rows: int = 0
    """transitions recorded on the learning account"""
    next_episode: dict[str, int] = field(default_factory=dict)
    """account -> index of the first episode that was never begun"""
    _decisions: DecisionLog | None = None
    _began: float = field(default_factory=time.perf_counter)

    @classmethod
    def create(cls, folder: Path, config: RunConfig, *, world: World | None = None, given: Given | None = None) -> Self:
        """Begins a run in a new folder.

        Raises:
            ConfigError: the folder holds a run already, the configuration does not fit the world, or nobody knows the
                agent or the model family.
        """
        given = given or Given()
        if (folder / "config.json").exists():
            raise ConfigError(
                "This folder holds a run already.",
                given=folder,
                do=f"continue it with `gedanken resume {folder}`, or name another folder.",
            )
        world = make_world(config.world) if world is None else world
        config = from_plain(to_plain(config))  # refuses values of a wrong type
        described = {
            "schema": SCHEMA_VERSION,
            "id": run_id(config, world),
            "config": to_plain(config),
            "given": given.names(),
        }
        chosen(config, given)  # refuses what nobody brings
        check_budget(config, world)
        check_resources(config, world)
        # Refuses spaces it cannot serve, and limits on what is not observed, before anything is written or paid.
        config.gate.limits.check_size(Codec(world.observation_space, world.action_space).observation_size)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "config.json", json.dumps(described, indent=2))
        return cls.open(folder, world=world, given=given)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        world: World | None = None,
        config: RunConfig | None = None,
        given: Given | None = None,
    ) -> Self:
        """Opens a run where its last checkpoint left it; what a crash left behind is repaired and told in `recovered`.

        Args:
            folder: the run.
            world: the world, where it cannot be made from its name.
            config: other settings than those of the file, for this session only.
            given: the objects that the run was begun with.

        Raises:
            FileError: the folder holds no run, or one of another version, or a file in it was damaged.
            ConfigError: the world, or what is given, is not that of the run.
        """
        given = given or Given()
        described = read_description(folder)
        check_given(described.get("given", []), given)
        config = from_plain(described["config"]) if config is None else config
        world = make_world(config.world) if world is None else world
        check = check_budget(config, world).times(described.get("checks", 1))
        budgets = {LEARN: Budget(config.budget), CHECK: Budget(dict(check))}
        with ExitStack() as on_failure:
            experience = on_failure.enter_context(store_of(folder / "experience", world))
            _check_world(experience, world)
            ledger = on_failure.enter_context(
                Ledger.open(folder / "ledger.sqlite", budgets=budgets, run_id=described["id"])
            )
            run = cls._assembled(folder, described["id"], config, world, given, ledger, experience)
            if (folder / "checkpoint").exists():
                run._restore()
            run._forget_metrics()
            for episode_id in close_interrupted(experience):
                run.recovered.append(f"episode {episode_id} was interrupted; its recorded steps are kept")
            run.learning_rows = sum(s.length for s in experience.summaries() if s.header.account == LEARN)
            run.next_episode = {account: next_episode_index(ledger, account) for account in (LEARN, CHECK)}
            on_failure.pop_all()
        return run

    @classmethod
    def _assembled(
        cls,
        folder: Path,
        name: str,
        config: RunConfig,
        world: World,
        given: Given,
        ledger: Ledger,
        experience: Experience,
    ) -> Self:
        """A run whose model and agent have learned nothing yet."""
        codec = Codec(world.observation_space, world.action_space)
        resources = tuple(sorted(set(config.budget) | set(typical_price(world))))
        root = jax.random.key(config.seed)
        family, learner = chosen(config, given)
        sizes = codec.observation_size, codec.action_size
        return cls(
            folder=folder,
            id=name,
            config=config,
            world=world,
            codec=codec,
            ledger=ledger,
            experience=experience,
            recorder=Recorder(experience),
            table=TransitionTable(capacity(config), codec.observation_size, codec.action_size, resources),
            family=family,
            model=family.create(*sizes, resources, key=jax.random.fold_in(root, 1)),
            learner=learner,
            learned=()
            if learner is None
            else learner.init(*sizes, discrete=codec.choices > 0, key=jax.random.fold_in(root, 2)),
            given=given,
            recovered=[text for text in (ledger.recovered, experience.recovered) if text],
        )

    def decisions(self) -> DecisionLog:
        """The log of the gate's decisions, open for writing."""
        if self._decisions is None:
            self._decisions = DecisionLog.open(self.folder / "decisions.jsonl", write=True)
        return self._decisions

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes decisions, experience and ledger."""
        if self._decisions is not None:
            self._decisions.close()
        self.experience.close()
        self.ledger.close()

    def key(self, *path: int) -> Array:
        """A random key that depends on the run's seed and on `path` only: a resumed run draws what it would have."""
        key = jax.random.key(self.config.seed)
        for number in path:
            key = jax.random.fold_in(key, number)
        return key

    def paid(self, account: str = LEARN) -> dict[str, int]:
        """What an account has been charged so far, unknown and outstanding entries included, per resource."""
        balance = self.ledger.balance(account)
        return dict.fromkeys(self.config.budget, 0) | dict(balance.spent + balance.outstanding + balance.unknown)

    @property
    def seconds(self) -> float:
        """Working time of all sessions of this run so far."""
        return self.counters.seconds + time.perf_counter() - self._began

    def checkpoint(self) -> None:
        """Writes model, agent and counters as one, atomically."""
        self.counters.seconds = self.seconds
        self._began = time.perf_counter()
        trees = {"model": self.model, "agent": self.learned}
        meta = {"counters": vars(self.counters), "tasks": list(self.model.tasks.names)}
        write_tree(self.folder / "checkpoint", eqx.filter(trees, eqx.is_array), kind="checkpoint", meta=meta)

    def _restore(self) -> None:
        meta = read_meta(self.folder / "checkpoint", kind="checkpoint")
        self.counters = Counters(**meta["counters"])
        tasks = type(self.model.tasks).unknown(self.codec.observation_size, tuple(meta["tasks"]))
        model = eqx.tree_at(lambda m: m.tasks, self.model, tasks)
        arrays, rest = eqx.partition({"model": model, "agent": self.learned}, eqx.is_array)
        trees = eqx.combine(read_tree(self.folder / "checkpoint", arrays, kind="checkpoint"), rest)
        self.model, self.learned = trees["model"], trees["agent"]

    def write_metrics(self, metrics: Mapping[str, float]) -> None:
        """Appends one row a metric of the round that ends to metrics.csv; the checkpoint of that round comes after."""
        path = self.folder / "metrics.csv"
        new = not path.exists()
        paid = sum(self.paid().values())
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(_METRICS)
            for name, value in metrics.items():
                writer.writerow(
                    [self.counters.round, paid, self.counters.imagined_steps, f"{self.seconds:.1f}", name, float(value)]
                )

    def _forget_metrics(self) -> None:
        """Takes away what was written of a round that then never ended: it will be done, and written, again."""
        path = self.folder / "metrics.csv"
        head, *rows = (path.read_text() if path.exists() else "").splitlines() or [""]
        # A torn last line has no round of its own either.
        kept = [
            row for row in rows if row.count(",") == head.count(",") and int(row.split(",")[0]) <= self.counters.round
        ]
        if head != ",".join(_METRICS):
            path.unlink(missing_ok=True)
        elif kept != rows:
            write_text(path, "".join(f"{row}\n" for row in (head, *kept)))

    def write_json(self, name: str, values: Mapping[str, Any]) -> Path:
        """Writes one of the JSON files of the folder, atomically; NaN becomes null."""
        path = self.folder / name
        write_text(path, json.dumps(plain(values), indent=2, allow_nan=False))
        return path


def store_of(folder: Path, world: World) -> Experience:
    """The store of episodes of a world in `folder`, open for writing; begun where this is the first time."""
    if (folder / "manifest.json").exists():
        return Experience.open(folder, write=True)
    return Experience.create(
        folder, observation_space=world.observation_space, action_space=world.action_space, world=world.name
    )


def run_id(config: RunConfig, world: World) -> str:
    """Names a run by what it is: its world and its configuration.

    Nothing is learned from the branches of a check, and anchors that are off decide nothing. Both are no part of it, so
    a run has the name, and the random numbers, that it had before there were any.
    """
    described = to_plain(config)
    for name in ("branches", "branch_actions", "branch_steps"):
        del described["check"][name]
    if not config.anchors.on:
        del described["anchors"]
    text = json.dumps({"world": world.name, "config": described}, sort_keys=True)
    return f"run-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def read_description(folder: Path) -> dict[str, Any]:
    """Reads config.json.

    Raises:
        FileError: there is none, it is damaged, or it is of another version.
    """
    path = folder / "config.json"
    try:
        described = json.loads(path.read_text())
    except FileNotFoundError:
        raise FileError(
            "This folder holds no run.", given=folder, expected="a folder that `gedanken run` or `collect` made"
        ) from None
    except ValueError as error:
        raise FileError("The run's configuration is damaged.", given=f"{path}: {error}") from None
    if not isinstance(described, dict) or described.get("schema") != SCHEMA_VERSION:
        raise FileError(
            "The run is of another version.",
            given=f"schema {described.get('schema') if isinstance(described, dict) else None} in {path}",
            expected=f"schema {SCHEMA_VERSION}",
            do="open it with the version of gedanken that made it, or start a new run.",
        )
    if not isinstance(described.get("id"), str) or not isinstance(described.get("config"), dict):
        raise FileError("The run's configuration is damaged.", given=path, expected="an id and a config")
    return described


def raise_budget(folder: Path, budget: Mapping[str, int]) -> None:
    """Lets a run that is not open go on to a higher budget, and check its agent once more.

    Raises:
        FileError: the folder holds no run, or one of another version.
        ConfigError: an amount is lower than before, or of a resource that the run has no budget of.
    """
    described = read_description(folder)
    allowed = raised(described, budget)
    if allowed != described:
        from_plain(allowed["config"])  # refuses values of a wrong type
        write_text(folder / "config.json", json.dumps(allowed, indent=2))
        (folder / "result.json").unlink(missing_ok=True)  # it tells of an agent that will learn on


def _check_world(experience: Experience, world: World) -> None:
    """Refuses to go on in another world than the one that the run has paid for."""
    had = (experience.world, experience.observation_space, experience.action_space)
    given = (world.name, world.observation_space, world.action_space)
    if had != given:
        raise ConfigError(
            "The world is not that of the run.",
            given=", ".join(map(str, given)),
            expected=", ".join(map(str, had)),
            do="give the same world, or begin a new run in another folder.",
        )


def plain(value: Any) -> Any:
    """Nested plain values that JSON can hold: arrays become lists, what is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
