"""A campaign of machine learning engineering: programs are foretold, paid for, run side by side and learned from.

A folder holds everything: the task as it was, the ledger, the log of attempts, and the best solution with what it needs
to run by itself. A reservation covers one program at its limits; what it did use is billed when it has ended, in
milliseconds by the clock and of processor time. A campaign that was killed can be resumed: what was running is charged
at its worst.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from gedanken.agents.engineer import Engineer
from gedanken.errors import BudgetRefused, ConfigError, FileError
from gedanken.experience.cost import Cost
from gedanken.experience.files import write_text
from gedanken.intermediary.asking import TOKENS
from gedanken.intermediary.attempt_log import AttemptLog, Entry, Hidden
from gedanken.intermediary.engineered import Engineered, engineered
from gedanken.intermediary.engineers import RESOURCES, EngineeringConfig, WriterConfig, check_agent, engineer_of
from gedanken.intermediary.run import LEARN, SCHEMA_VERSION
from gedanken.intermediary.stages import Status, Watch
from gedanken.worlds.ledger import Ledger, digest_of
from gedanken.worlds.ml_engineering.attempt import SOLUTION, Attempt, Verdict, attempt, check, write_files
from gedanken.worlds.ml_engineering.grading import Graded, bootstrap
from gedanken.worlds.ml_engineering.metrics import Metric
from gedanken.worlds.ml_engineering.suite import find_task
from gedanken.worlds.ml_engineering.task import Task
from gedanken.worlds.ml_engineering.world import engineering_world
from gedanken.worlds.sandbox import Isolation, Limits, require
from gedanken.worlds.world import World

DESCRIPTION = "engineering.json"
BEST = "best"
_TASK = "task.parquet"
_SLACK_MS = 2_000
"""What ending a program that broke its limit may take."""
_LEAST_MS = 2_000
"""No program is begun with less left than this besides the slack."""


@dataclass
class Engineering:
    """An open campaign. ended: why there is no further attempt. recovered: what a crash left behind, in words."""

    folder: Path
    config: EngineeringConfig
    task: Task
    agent: Engineer
    ledger: Ledger
    log: AttemptLog
    recovered: list[str]
    seconds_before: float = 0.0
    ended: str = ""
    _began: float = field(default_factory=time.perf_counter)

    @classmethod
    def create(cls, folder: Path, config: EngineeringConfig) -> Self:
        """Begins a campaign in a new or empty folder.

        Raises:
            ConfigError: the folder holds something, there is no such task, or it makes no sense; or the isolation that
                was asked for cannot be had.
            FileError: a file of the task cannot be read.
        """
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError("The campaign's folder is not empty.", given=folder, expected="a new folder")
        if not config.task:
            raise ConfigError("What is to be solved?", expected="--task NAME or --task FOLDER")
        require(config.isolation)
        check_agent(config)
        task = find_task(config.task)
        folder.mkdir(parents=True, exist_ok=True)
        # As it is now, whatever becomes of the original.
        task.frame.to_parquet(folder / _TASK, index=False)
        about = {name: getattr(task, name) for name in ("name", "target", "kind", "about", "source", "licence", "seed")}
        described = {
            "schema": SCHEMA_VERSION,
            "config": dataclasses.asdict(config),
            "task": {**about, "metric": str(task.metric)},
        }
        write_text(folder / DESCRIPTION, json.dumps(described, indent=2))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens a campaign where it was left.

        Raises:
            FileError: the folder holds none, one of another version, or a file was damaged.
        """
        config, task = _read(folder)
        name = "engineering-" + digest_of({"task": task.name, "config": dataclasses.asdict(config)})[:12]
        with ExitStack() as on_failure:
            budgets = {LEARN: config.in_milliseconds}
            ledger = on_failure.enter_context(Ledger.open(folder / "ledger.sqlite", budgets=budgets, run_id=name))
            log = AttemptLog.open(folder)
            on_failure.callback(log.close)
            recovered = [ledger.recovered] if ledger.recovered else []
            _mend(ledger, log)
            recovered += [f"attempt {n} was interrupted; it is charged at its worst" for n in log.interrupt()]
            opened = cls(folder, config, task, engineer_of(config, task, ledger, folder), ledger, log, recovered)
            opened.seconds_before = max((entry.ended_at or 0.0 for entry in log.entries.values()), default=0.0)
            on_failure.pop_all()
        return opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes log and ledger."""
        self.log.close()
        self.ledger.close()

    def run(self, watch: Watch | None = None) -> Engineered:
        """Attempts until the budget is spent or nothing is left that fits it; writes result.json."""
        running: dict[Future[tuple[Attempt, Graded | None]], int] = {}
        with ThreadPoolExecutor(self.config.workers) as pool:
            try:
                while True:
                    while not self.ended and len(running) < self.config.workers:
                        begun = self._begin(pool)
                        if begun is None:
                            break
                        running[begun[0]] = begun[1]
                    if not running:
                        break
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._end(running.pop(future), *future.result())
                    if watch is not None:
                        watch(self.status())
            finally:
                # Whoever stops it here has paid for what still runs.
                for future, number in running.items():
                    self._end(number, *future.result())
        found = self.outcome()
        write_text(self.folder / "result.json", json.dumps(found.to_json(), indent=2, allow_nan=False))
        return found

    def outcome(self) -> Engineered:
        """Where the campaign stands."""
        return engineered(
            self.log.entries,
            self.log.hidden,
            self.task,
            agent=self.agent.name,
            isolation=str(self.config.isolation),
            seed=self.config.seed,
            paid=self._paid(),
            seconds=self.seconds,
            ended=self.ended,
        )

    @property
    def world(self) -> World:
        """The same task as a world, for whoever wants to act in it step by step."""
        return engineering_world(self.task, isolation=self.config.isolation)

    def status(self) -> Status:
        """For whoever watches."""
        trace = self.outcome().trace
        paid = self._paid()
        budget = self.config.in_milliseconds
        spent = {name: paid[name] for name in budget}
        return Status("experiment", spent, dict(budget), 0, last_return=trace[-1][1], seconds=self.seconds)

    @property
    def seconds(self) -> float:
        """Working time so far."""
        return self.seconds_before + time.perf_counter() - self._began

    def _begin(self, pool: ThreadPoolExecutor) -> tuple[Future[tuple[Attempt, Graded | None]], int] | None:
        """Proposes, writes down, reserves and starts one program; None where nothing can be paid now."""
        most = self._most()
        if most is None:
            return None
        number = len(self.log.entries)
        try:
            proposal = self.agent.propose(
                self.task.kind,
                [entry.tried for _, entry in sorted(self.log.entries.items())],
                left_ms=most,
                limit_ms=1_000 * self.config.limit_seconds,
                seed=int(np.random.SeedSequence([self.config.seed, number]).generate_state(1)[0]),
            )
        except BudgetRefused:
            self.ended = "the budget of tokens is spent"
            return None
        if proposal is None:
            self.ended = "nothing was proposed that is worth running and expected to end within the budget"
            return None
        entry = self.log.propose(number, self.agent.name, proposal)
        reserved = Cost(milliseconds=most + _SLACK_MS, cpu_ms=most + _SLACK_MS)
        digest = digest_of({"task": self.task.name, "program": proposal.program, "reserved": dict(reserved)})
        if not check(proposal.program):
            try:
                self.ledger.reserve(_action(number), digest, reserved, account=LEARN, note={"attempt": number})
            except BudgetRefused:
                self.ended = "the budget is spent"
                return None
        limits = Limits(seconds=most / 1_000, memory_mb=self.config.memory_mb, cpu_seconds=most / 1_000)
        return pool.submit(attempt, self.task, entry.program, limits=limits, isolation=self.config.isolation), number

    def _most(self) -> int | None:
        """How many milliseconds a program may take that is begun now; None where there are too few."""
        left = self.ledger.balance(LEARN).left
        amounts = [left[name] for name in RESOURCES if name in left]
        most = min(math.floor(1_000 * self.config.limit_seconds), *(amount - _SLACK_MS for amount in amounts))
        if most >= _LEAST_MS:
            return most
        if not any(entry.verdict is None for entry in self.log.entries.values()):
            self.ended = "the budget is spent"
        return None

    def _end(self, number: int, done: Attempt, graded: Graded | None) -> None:
        """Writes down what became of a program, pays for it, and keeps it where it is the best."""
        best = self.outcome().best
        hidden = None
        if done.hidden is not None and graded is not None and done.validation is not None:
            is_best = best is None or best.validation is None or done.validation.skill > best.validation.skill
            low, high = bootstrap(self.task, graded) if is_best else (None, None)
            hidden = Hidden(done.hidden.score, done.hidden.skill, low, high)
            if is_best:
                self._keep(self.log.entries[number])
        self.log.end(number, done, hidden, ended_at=self.seconds)
        if done.verdict is not Verdict.REJECTED:
            self.ledger.commit(
                _action(number), Cost(milliseconds=done.wall_ms, cpu_ms=done.cpu_ms), {"verdict": str(done.verdict)}
            )

    def _keep(self, entry: Entry) -> None:
        """Puts a program where it can be run by itself: `cd best; python solution.py`."""
        fresh = self.folder / f"{BEST}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        write_files(self.task, fresh)
        (fresh / SOLUTION).write_text(entry.program, encoding="utf-8")
        shutil.rmtree(self.folder / BEST, ignore_errors=True)
        fresh.rename(self.folder / BEST)

    def _paid(self) -> Mapping[str, int]:
        balance = self.ledger.balance(LEARN)
        charged = balance.spent + balance.outstanding + balance.unknown
        told = (*RESOURCES, TOKENS) if self.config.agent == "writing" else RESOURCES
        return {name: charged.of(name) for name in told}


def _read(folder: Path) -> tuple[EngineeringConfig, Task]:
    path = folder / DESCRIPTION
    try:
        described: dict[str, Any] = json.loads(path.read_text())
        version = described["schema"]
        said = described["config"]
        parts = {"isolation": Isolation(said["isolation"]), "writer": WriterConfig(**said["writer"])}
        config = EngineeringConfig(**{**said, **parts})
        about = described["task"]
        task = Task(frame=pd.read_parquet(folder / _TASK), **{**about, "metric": Metric(about["metric"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(
            "This folder holds no campaign that can be read.",
            given=f"{path}: {error}",
            do="begin one with `gedanken run ml-engineering --task diabetes`.",
        ) from error
    if version != SCHEMA_VERSION:
        raise FileError("This campaign is of another version.", given=version, expected=SCHEMA_VERSION)
    return config, task


def _mend(ledger: Ledger, log: AttemptLog) -> None:
    """Bills what had ended and been written down, and was not billed any more."""
    ended = {_action(number): entry for number, entry in log.entries.items() if entry.ended_at is not None}
    for one in ledger.unknowns():
        if entry := ended.get(one.action_id):
            cost = Cost(milliseconds=entry.wall_ms, cpu_ms=entry.cpu_ms)
            ledger.reconcile(one.action_id, cost, "it had ended, as its log says")


def _action(number: int) -> str:
    return f"attempt/{number}"
