"""The settings of a campaign of machine learning engineering, and the agent that they ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gedanken.agents.engineer import (
    Engineer,
    Evolution,
    Foreseeing,
    LearnedMoves,
    RandomSearch,
    Rehearsed,
    Rehearsing,
    Writing,
    train_policy,
)
from gedanken.agents.llm import Client, ClientConfig
from gedanken.dreams.attempts import AttemptsDream, Campaigns
from gedanken.errors import ConfigError
from gedanken.experience.cost import Budget
from gedanken.intermediary.asking import TOKENS, Charging
from gedanken.intermediary.run import LEARN
from gedanken.models.attempts.features import task_features
from gedanken.models.attempts.known import known_attempts, known_heads
from gedanken.worlds.ledger import Ledger
from gedanken.worlds.ml_engineering.task import Task
from gedanken.worlds.sandbox import Isolation

RESOURCES = ("milliseconds", "cpu_ms")
"""What running a program costs, and what limits it."""
AGENTS = ("foreseeing", "evolution", "random", "rehearsed", "writing")
_IN_MILLISECONDS = {"seconds": "milliseconds", "cpu_seconds": "cpu_ms"}
_MOVES = "moves"
_REHEARSED = 1_000
"""Imagined campaigns from which moves are learned; half a minute."""


@dataclass(frozen=True)
class WriterConfig:
    """Who writes programs, for the agent `writing`."""

    url: str = ""
    """an endpoint that speaks the chat completions protocol, such as http://localhost:8000/v1"""
    model: str = ""
    """as the endpoint calls it"""
    key_variable: str = ""
    """the environment variable that holds the key; never the key itself"""
    candidates: int = 3
    """programs that are asked for at a time; those that are not worth running cost tokens alone"""


@dataclass(frozen=True)
class EngineeringConfig:
    """A campaign.

    Raises:
        ConfigError: the budget limits nothing that a program costs, or a limit makes no sense.
    """

    task: str = ""
    """a task that ships with the library, or a folder with task.toml"""
    budget: dict[str, int] = field(default_factory=lambda: {"seconds": 300})
    """the most that may be spent: seconds of programs by the clock, cpu_seconds, or either in milliseconds; tokens"""
    agent: Literal["foreseeing", "evolution", "random", "rehearsed", "writing"] = "foreseeing"
    """who proposes programs: by foresight, by changing the best, by chance, by what was learned in the dream, or a
    language model whose programs are foretold before they are run"""
    writer: WriterConfig = field(default_factory=WriterConfig)
    seed: int = 0
    """decides every random number that is ours"""
    limit_seconds: float = 60.0
    """after which a program is ended"""
    memory_mb: int = 2_048
    """which a program may use"""
    workers: int = 1
    """programs that run side by side"""
    isolation: Isolation = Isolation.BUBBLEWRAP
    """how programs are kept apart from everything else; refused where it cannot be had"""

    def __post_init__(self) -> None:
        known = {*_IN_MILLISECONDS, *RESOURCES, TOKENS}
        runs = set(self.budget) & {*_IN_MILLISECONDS, *RESOURCES}
        if not runs or set(self.budget) - known or any(amount < 1 for amount in self.budget.values()):
            raise ConfigError(
                "The budget does not fit what a program costs.",
                given=", ".join(f"{name}={amount}" for name, amount in self.budget.items()) or "nothing",
                expected=f"1 or more of {' or '.join(sorted(known))}",
                do="such as --budget.seconds 300.",
            )
        if not self.limit_seconds >= 1 or self.workers < 1 or self.memory_mb < 64:
            raise ConfigError(
                "Programs cannot be run within these limits.",
                given=f"limit_seconds={self.limit_seconds}, workers={self.workers}, memory_mb={self.memory_mb}",
                expected="limit_seconds of 1 or more, a worker or more, memory_mb of 64 or more",
            )

    @property
    def in_milliseconds(self) -> Budget:
        """The budget as the ledger keeps it."""
        found: dict[str, int] = {}
        for name, amount in self.budget.items():
            resource, factor = (_IN_MILLISECONDS[name], 1_000) if name in _IN_MILLISECONDS else (name, 1)
            found[resource] = min(found.get(resource, amount * factor), amount * factor)
        return Budget(found)


def engineer_of(config: EngineeringConfig, task: Task, ledger: Ledger, folder: Path) -> Engineer:
    """The agent of a campaign.

    Args:
        config: of the campaign.
        task: that it works on.
        ledger: which tokens are paid from.
        folder: of the campaign, where what an agent has learned is kept.

    Raises:
        ConfigError: there is no such agent, or nobody says who writes.
    """
    match config.agent:
        case "random":
            return RandomSearch()
        case "evolution":
            return Evolution()
        case "foreseeing":
            return Foreseeing(known_heads(without=task.name), task_features(task))
        case "rehearsed":
            features = task_features(task)
            return Rehearsed(_moves(config, task, folder), features, known_heads(without=task.name))
        case "writing":
            return Writing(
                Charging(_client(config.writer), ledger, LEARN),
                task.described(),
                known_heads(without=task.name),
                task_features(task),
                candidates=config.writer.candidates,
            )
    raise ConfigError("There is no such agent.", given=repr(config.agent), expected=", ".join(AGENTS))


def check_agent(config: EngineeringConfig) -> None:
    """Refuses an agent that could not begin.

    Raises:
        ConfigError: nobody says who writes.
    """
    if config.agent == "writing":
        _client(config.writer)


def _moves(config: EngineeringConfig, task: Task, folder: Path) -> LearnedMoves:
    """What was rehearsed for this campaign, or is now: on the train tasks, with this budget."""
    where = folder / _MOVES
    if where.exists():
        return LearnedMoves.load(where)
    _, tasks = known_attempts()
    others = {name: row for name, row in tasks.items() if name != task.name}
    budget = min(config.in_milliseconds.values())
    campaigns = Campaigns(budget_ms=budget, limit_ms=1_000 * config.limit_seconds)
    dream = AttemptsDream(known_heads(without=task.name), others, campaigns)
    learned = train_policy(dream, Rehearsing(duration_aware=False, campaigns=_REHEARSED, seed=config.seed))
    learned.save(where)
    return learned


def _client(config: WriterConfig) -> Client:
    if not config.url or not config.model:
        raise ConfigError(
            "Who is to write the programs?",
            given=f"url={config.url!r}, model={config.model!r}",
            expected="--writer.url and --writer.model",
            do="such as --writer.url http://localhost:8000/v1 --writer.model my-model.",
        )
    return Client(ClientConfig(config.url, config.model, key_variable=config.key_variable))
