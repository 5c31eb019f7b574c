"""The stages of a run as commands. Each opens a run folder, does its part, and leaves the folder for the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gedanken.cli.judging import EvaluateTable
from gedanken.cli.options import Answer, Options, RunFolder, parse
from gedanken.cli.running import told
from gedanken.cli.settings import NewRun
from gedanken.cli.watching import outdated, watching
from gedanken.compute import enable_compilation_cache
from gedanken.errors import ConfigError
from gedanken.intermediary import stages
from gedanken.intermediary.loop import Intermediary
from gedanken.intermediary.run import LEARN, Run, plain
from gedanken.report.from_run import report


@dataclass(frozen=True, kw_only=True)
class OnRun(Options):
    """What works on a run that is there."""

    run: RunFolder
    """the run's folder"""

    @contextmanager
    def opened(self) -> Iterator[Run]:
        """The run, open, with what was paid for read in."""
        enable_compilation_cache()
        with Run.open(self.run) as run:
            stages.read_experience(run)
            yield run


@dataclass(frozen=True, kw_only=True)
class Collect(NewRun):
    """Pays for real episodes and records them: a new run with --world, or more of a run that is there.

    The first round is random, later ones are the agent's. Without --steps it fills up the round.

    Example: gedanken collect --world Pendulum-v1 --budget.steps 1500 --out runs/mine

    Example: gedanken collect runs/mine --steps 500
    """

    @classmethod
    def parse(cls, words: Sequence[str]) -> Any:
        if words and Path(words[0]).is_dir():
            return CollectMore.parse(words)
        return super().parse(words)

    def __call__(self) -> Answer:
        enable_compilation_cache()
        with self.begin() as run:
            return _collect(run, self, None)


@dataclass(frozen=True, kw_only=True)
class CollectMore(OnRun):
    """Pays for more real episodes of a run that is there.

    Example: gedanken collect runs/mine --steps 500
    """

    steps: int | None = None
    """paid steps, at least; episodes are finished. By default what the round still lacks, or a round more"""

    @classmethod
    def parse(cls, words: Sequence[str]) -> Self:
        return parse(cls, words, program="gedanken collect")

    def __call__(self) -> Answer:
        with self.opened() as run:
            return _collect(run, self, self.steps)


def _collect(run: Run, asked: Options, steps: int | None) -> Answer:
    config, first = run.config.collect, run.counters.round == 0
    have = run.learning_rows - run.counters.rows_at_start
    whole = config.of_round(run.counters.rows_at_start)
    if steps is not None and steps < 1:
        raise ConfigError("--steps is too small.", given=steps, expected="1 or more")
    wanted = have + steps if steps is not None else whole if have < whole else have + whole
    outdated(run.folder)
    with watching(run, asked.progress, resume="collect") as watch:
        episodes = stages.collect(
            run,
            steps=wanted,
            horizon=config.warmup_horizon if first else config.horizon,
            agent=None if first else stages.current_agent(run),
            watch=watch,
        )
    left = dict(run.ledger.balance(LEARN).left)
    data = {
        "run": str(run.folder),
        "episodes": len(episodes),
        "steps": sum(len(episode) for episode in episodes),
        "paid": run.paid(LEARN),
        "left": left,
    }
    text = f"{data['episodes']} episodes, {data['steps']} steps. Paid {_amounts(run.paid())}, left {_amounts(left)}."
    return _answer(data, f"{text}\nNext: gedanken fit {run.folder}")


@dataclass(frozen=True, kw_only=True)
class Curate(OnRun):
    """Looks at what was paid for: coverage, duplicates, balance of outcomes, leakage; writes curation.json.

    Example: gedanken curate runs/mine
    """

    def __call__(self) -> Answer:
        with self.opened() as run:
            found = stages.curate(run)
        width = max(len(what) for what, _ in found.table())
        text = "\n".join(f"{what:<{width}}  {how_much}" for what, how_much in found.table())
        return _answer({"run": str(self.run), **plain(found.to_json())}, text)


@dataclass(frozen=True, kw_only=True)
class Fit(OnRun):
    """Fits the world model to what was paid for.

    Example: gedanken fit runs/mine
    """

    def __call__(self) -> Answer:
        with self.opened() as run:
            if run.config.mode == "off":
                raise ConfigError("This run has no model.", given="mode=off", do="begin a run in another mode.")
            if run.table.size == 0:
                raise ConfigError("There is nothing to fit to.", do=f"first `gedanken collect {self.run}`.")
            outdated(run.folder)
            with watching(run, self.progress, resume="fit") as watch:
                made = stages.fit(run, watch)
            run.checkpoint()
            run.model.save(run.folder / "model")
        data = {"run": str(self.run), **dataclasses.asdict(made)}
        error = "not measured" if made.held_out_error is None else f"{made.held_out_error:.3g} standard deviations"
        text = f"Fitted to {made.rows:,} transitions in {made.minibatches:,} minibatches; held-out error {error}."
        return _answer(data, f"{text}\nNext: gedanken train {self.run}")


@dataclass(frozen=True, kw_only=True)
class Train(OnRun):
    """Lets the agent learn in the model, which ends a round.

    Example: gedanken train runs/mine --updates 2000
    """

    updates: int | None = None
    """of the agent; by default as many as the settings say for what was paid in this round"""

    def __call__(self) -> Answer:
        with self.opened() as run:
            if not stages.learns(run):
                given = f"agent={run.config.agent}"
                raise ConfigError("A planner has nothing to learn.", given=given, do="evaluate it.")
            if not (run.folder / "checkpoint").exists() and run.config.mode != "off":
                raise ConfigError("There is no model to learn in.", do=f"first `gedanken fit {self.run}`.")
            new = run.learning_rows - run.counters.rows_at_start
            updates = self.updates if self.updates is not None else round(run.config.updates_per_step * new)
            if updates < 1:
                raise ConfigError(
                    "There is nothing to learn: no update follows from what was paid for in this round.",
                    given=f"{updates} updates for {new} new transitions",
                    do=f"first `gedanken collect {self.run}` and `gedanken fit {self.run}`, or name --updates.",
                )
            outdated(run.folder)
            with watching(run, self.progress, resume="train") as watch:
                progress = stages.learn(run, updates=updates, watch=watch)
            run.counters.round += 1
            run.counters.rows_at_start = run.learning_rows
            run.write_metrics(progress.metrics)
            run.checkpoint()
            Intermediary.of(run).save()
            data = {
                "run": str(self.run),
                "updates": updates,
                "imagined_steps": progress.imagined_steps,
                "metrics": {name: float(value) for name, value in progress.metrics.items()},
            }
        text = f"{updates:,} updates, {progress.imagined_steps:,} steps imagined."
        return _answer(data, f"{text}\nNext: gedanken evaluate {self.run}, or gedanken collect {self.run}")


@dataclass(frozen=True, kw_only=True)
class Evaluate(OnRun):
    """Checks the agent in real episodes, paid from an account of their own, and holds the model against them.

    Writes evidence.json and, from it, model_card.md. Episodes of this very agent that are on record already are not
    paid for again. With --table FILE.csv instead of a run, it judges returns of many policies; --table FILE.csv --help
    tells more.

    Example: gedanken evaluate runs/mine

    Example: gedanken evaluate --table returns.csv --spend 20
    """

    @classmethod
    def parse(cls, words: Sequence[str]) -> Any:
        if any(word.partition("=")[0] == "--table" for word in words):
            return EvaluateTable.parse(words)
        return super().parse(words)

    def __call__(self) -> Answer:
        with self.opened() as run:
            if run.table.size == 0:
                raise ConfigError("There is nothing to evaluate yet.", do=f"first `gedanken collect {self.run}`.")
            outdated(run.folder)
            stages.curate(run)
            with watching(run, self.progress, resume="evaluate") as watch:
                Intermediary.of(run).evaluate(watch, thorough=True)
        return told(self.run)


@dataclass(frozen=True, kw_only=True)
class Report(OnRun):
    """Writes the report of a run, finished or not, as one HTML file that loads nothing.

    Example: gedanken report runs/mine
    """

    def __call__(self) -> Answer:
        written = report(self.run)
        return _answer({"run": str(self.run), "report": str(written)}, f"Report: {written}")


def _answer(data: dict[str, Any], text: str) -> Answer:
    return Answer(data, lambda: print(text))


def _amounts(amounts: dict[str, int]) -> str:
    return ", ".join(f"{amount:,} {name}" for name, amount in amounts.items()) or "nothing"
