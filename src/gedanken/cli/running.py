"""`gedanken run` and `gedanken resume`: the whole loop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import tyro

from gedanken.cli.experiments import go_on, is_campaign
from gedanken.cli.options import Answer, Options, RunFolder, parse
from gedanken.cli.settings import BUDGET, NewRun
from gedanken.cli.watching import watching
from gedanken.compute import enable_compilation_cache
from gedanken.errors import FileError
from gedanken.intermediary.loop import Intermediary
from gedanken.intermediary.run import Run as OpenRun
from gedanken.intermediary.run import raise_budget
from gedanken.report.from_run import read_run, report
from gedanken.report.table import print_final


@dataclass(frozen=True, kw_only=True)
class Run(NewRun):
    """The whole loop: collect, curate, fit, imagine, learn, check, until the budget is spent; then the report.

    Settings come from the preset of the world, then from a file, then from flags.

    Example: gedanken run robotics --world InvertedPendulum-v5 --seed 1 --budget.steps 1500

    Example: gedanken run my_run.yaml --out runs/mine
    """

    def __call__(self) -> Answer:
        enable_compilation_cache()
        with self.begin() as run:
            return finish(run, self)


@dataclass(frozen=True, kw_only=True)
class Resume(Options):
    """Goes on with a run where it was interrupted; what was paid for is not paid again.

    Of a run that is finished, its result is told again; with a higher budget it learns on, and is checked again.

    Example: gedanken resume runs/Pendulum-v1-seed0-1

    Example: gedanken resume runs/Pendulum-v1-seed0-1 --budget.steps 3000
    """

    run: RunFolder
    """the run's folder"""
    budget: dict[str, int] = field(default_factory=dict)
    """the most that may be spent on learning, where it is to be raised, as in --budget.steps 3000"""

    @classmethod
    def parse(cls, words: Sequence[str]) -> Self:
        named = {found[1]: 0 for word in words if (found := BUDGET.match(word))}
        if {"-h", "--help"} & set(words):
            named = {"steps": 0}  # shown as one would type it
        return parse(cls, words, cls(run=tyro.MISSING, budget=named)) if named else parse(cls, words)

    def __call__(self) -> Answer:
        if is_campaign(self.run):
            return go_on(self.run, self.budget, self)
        if (self.run / "engineering.json").exists():
            # What it needs is an extra, which nobody else has to have.
            from gedanken.cli.engineering import go_on as go_on_engineering

            return go_on_engineering(self.run, self.budget, self)
        enable_compilation_cache()
        raise_budget(self.run, self.budget)
        if (self.run / "result.json").exists():
            return told(self.run)
        with OpenRun.open(self.run) as run:
            return finish(run, self)


def finish(run: OpenRun, asked: Options) -> Answer:
    """Runs the loop to its end, writes the report and tells the result."""
    with watching(run, asked.progress) as watch:
        Intermediary.of(run).run(watch)
    return told(run.folder)


def told(folder: Path) -> Answer:
    """The result of a finished run, and its report, which is written if it is not there."""
    path = folder / "result.json"
    try:
        result: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise FileError(
            "The result is damaged.", given=f"{path}: {error}", do=f"remove it, then `gedanken evaluate {folder}`."
        ) from error
    # The folder may have been moved since.
    written = report(folder)
    result |= {"run": str(folder), "report": str(written)}
    return Answer(result, lambda: print_final([read_run(folder).headline], written))
