"""`gedanken science`: a laboratory of one's own, asked what to run next and told what came of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import tyro
from rich.console import Console
from rich.table import Table

from gedanken.cli.options import Answer, Options, parse
from gedanken.errors import ConfigError
from gedanken.experience.cost import Budget, Cost
from gedanken.intermediary.lab_config import FILE, LabConfig
from gedanken.intermediary.laboratory import Laboratory
from gedanken.intermediary.sheet import SHEET, read_sheet
from gedanken.report.experiments import write_campaign_report
from gedanken.report.markup import amounts
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Categorical, Continuous, Parameter
from gedanken.worlds.science.prices import PriceList
from gedanken.worlds.science.table import MeasuredTable, from_csv
from gedanken.worlds.science.trials import Objective, Trial, TrialState

LabFolder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="LAB")]
_AMOUNTS = re.compile(r"--(budget|prices|cost)\.([A-Za-z_]\w*)(?:=.*)?$")
_RESULT = re.compile(r"([^=]+)=(.+)$")


@dataclass(frozen=True, kw_only=True)
class _OfLab(Options):
    lab: LabFolder
    """the laboratory's folder"""

    @classmethod
    def parse(cls, words: Sequence[str]) -> Self:
        named: dict[str, dict[str, int]] = {}
        for word in words:
            if found := _AMOUNTS.match(word):
                named.setdefault(found[1], {})[found[2]] = 0
        kind: Any = cls
        default = kind(lab=tyro.MISSING_NONPROP, **named) if named else None
        asked: Self = parse(cls, words, default, program=f"gedanken science {cls.__name__.lower()}")
        return asked


@dataclass(frozen=True, kw_only=True)
class Science(Options):
    """A laboratory of one's own: `gedanken science init`, `ask`, `tell`, `status` and `report`.

    Example: gedanken science init my-lab --table my.csv --objective yield:max
    """

    def __call__(self) -> Answer:
        raise ConfigError(
            "What about the laboratory?",
            expected="gedanken science init, ask, tell, status or report",
            do="begin with `gedanken science init my-lab --table my.csv --objective yield:max`.",
        )


@dataclass(frozen=True, kw_only=True)
class Init(_OfLab):
    """Makes a laboratory from a table of what was measured so far, from a description, or by asking on a terminal.

    Bounds, units, constraints, prices and the budget can be edited in its lab.yaml at any time.

    Example: gedanken science init my-lab --table my.csv --objective yield:max --budget.experiments 30

    Example: gedanken science init my-lab --space my-lab.yaml
    """

    table: Path | None = None
    """a CSV of experiments that were done before; its columns become parameters, its rows the first results"""
    objective: tuple[str, ...] = ()
    """columns of the table to be improved, as NAME:max or NAME:min"""
    ignore: tuple[str, ...] = ()
    """columns of the table that do not describe the experiment"""
    space: Path | None = None
    """a description such as lab.yaml"""
    prices: dict[str, int] = field(default_factory=lambda: {"experiments": 1})
    """what an experiment costs, in whole minor units by resource"""
    budget: dict[str, int] = field(default_factory=lambda: {"experiments": 40})
    """the most that may be spent"""
    seed: int = 0
    """decides every random number"""

    def __call__(self) -> Answer:
        known: MeasuredTable | None = None
        if self.space is not None:
            config = LabConfig.read(self.space)
        elif self.table is not None:
            if not self.objective:
                raise ConfigError("What is measured?", expected="--objective NAME:max or NAME:min")
            known = from_csv(self.table, [_objective(word) for word in self.objective], ignore=self.ignore)
            config = self._config(known.space, known.objectives)
        elif sys.stdin.isatty():
            parameters, objectives = _questions(input)
            config = self._config(DesignSpace(tuple(parameters)), tuple(objectives))
        else:
            raise ConfigError(
                "What can be set, and what is measured?",
                expected="--table FILE.csv --objective NAME:max, or --space FILE.yaml",
                do="on a terminal, `gedanken science init LAB` asks.",
            )
        with Laboratory.create(self.lab, config, known=known) as lab:
            count = len(lab.trials())
        data = {"lab": str(self.lab), "description": str(self.lab / FILE), "trials": count}
        text = (
            f"A laboratory in {self.lab}, with {count} experiments done before.\n"
            f"See {self.lab / FILE}: bounds, units, constraints, prices and the budget can be edited there.\n"
            f"Next: gedanken science ask {self.lab}"
        )
        return Answer(data, lambda: print(text))

    def _config(self, space: DesignSpace, objectives: tuple[Objective, ...]) -> LabConfig:
        prices, budget = PriceList(dict(self.prices)), Budget(self.budget)
        return LabConfig(space, objectives, prices, budget=budget, seed=self.seed, name=self.lab.name)


@dataclass(frozen=True, kw_only=True)
class Ask(_OfLab):
    """Suggests experiments, each with what is expected of it; trials that are under way are taken into account.

    Example: gedanken science ask my-lab --count 3 --stage
    """

    count: int = 1
    """how many experiments"""
    stage: bool = False
    """decide to run them all, which pays for them"""

    def __call__(self) -> Answer:
        with Laboratory.open(self.lab) as lab:
            asked = lab.ask(self.count, stage=self.stage)
            why = {trial.id: lab.suggestions.entries[int(trial.id)].why for trial in asked}
            left = dict(lab.ledger.balance("learn").left)
        data = {
            "lab": str(self.lab),
            "asked": [{**_plain(trial), "why": why[trial.id]} for trial in asked],
            "left": left,
        }

        def show() -> None:
            if not asked:
                print("Nothing is left to try.")
            for trial in asked:
                print(f"Trial {trial.id}, {trial.state.value}: {_designed(trial)}\n  {why[trial.id]}")
            if asked:
                print(f"Left: {amounts(left)}. Next: gedanken science tell {self.lab} {asked[0].id} NAME=VALUE")

        return Answer(data, show)


@dataclass(frozen=True, kw_only=True)
class Tell(_OfLab):
    """Says what became of an experiment; without a trial, takes in the edited trials.csv or another sheet.

    A line of the sheet without an id is an experiment that somebody did of their own accord.

    Example: gedanken science tell my-lab 7 yield=71.5 --cost.micro_usd 1800000

    Example: gedanken science tell my-lab 8 --state failed --note "the pump ran dry"

    Example: gedanken science tell my-lab --sheet results.csv
    """

    what: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[TRIAL NAME=VALUE ...]")] = ()
    """the trial's number, and its results"""
    state: str | None = None
    """staged, running, completed, failed, abandoned, early_stopped or candidate"""
    note: str | None = None
    """in words"""
    cost: dict[str, int] = field(default_factory=dict)
    """what it did cost, where that is less than its price"""
    correct: bool = False
    """replace a result that was told before"""
    sheet: Path | None = None
    """a CSV with the laboratory's columns; by default its trials.csv"""

    def __call__(self) -> Answer:
        with Laboratory.open(self.lab) as lab:
            if self.what:
                changed = [self._tell(lab)]
            elif self.state or self.note or self.cost or self.correct:
                raise ConfigError("Which trial?", expected="gedanken science tell LAB TRIAL ...")
            else:
                changed = lab.take_in(read_sheet(self.sheet or self.lab / SHEET, lab.config))
            found = lab.found()
        data = {"lab": str(self.lab), "changed": [_plain(trial) for trial in changed], **found.to_json()}

        def show() -> None:
            for trial in changed:
                results = ", ".join(f"{name} {value:g}" for name, value in trial.results.items())
                print(f"Trial {trial.id} is {trial.state.value}{': ' + results if results else ''}.")
            if not changed:
                print("Nothing has changed.")

        return Answer(data, show)

    def _tell(self, lab: Laboratory) -> Trial:
        name, *rest = self.what
        results = {}
        for word in rest:
            found = _RESULT.match(word)
            if found is None:
                raise ConfigError("That is no result.", given=word, expected="NAME=VALUE, such as yield=71.5")
            results[found[1].strip()] = _value(found[2], found[1])
        state = None
        if self.state is not None:
            if self.state.upper() not in TrialState.__members__:
                raise ConfigError(
                    "There is no such state.",
                    given=self.state,
                    expected=", ".join(each.value.lower() for each in TrialState),
                )
            state = TrialState(self.state.upper())
        cost = Cost(self.cost) if self.cost else None
        return lab.tell(name, results, state=state, cost=cost, note=self.note, correct=self.correct)


@dataclass(frozen=True, kw_only=True)
class Status(_OfLab):
    """Tells how every experiment stands, what was paid, and the best so far.

    Example: gedanken science status my-lab
    """

    def __call__(self) -> Answer:
        with Laboratory.open(self.lab) as lab:
            trials, found, objectives = lab.trials(), lab.found(), lab.config.objectives
            left = dict(lab.ledger.balance("learn").left)
        data = {"lab": str(self.lab), **found.to_json(), "left": left, "trials": [_plain(trial) for trial in trials]}

        def show() -> None:
            table = Table("", "state", *(trials[0].design if trials else ()), *(o.name for o in objectives), "note")
            for trial in trials:
                results = (f"{trial.results[o.name]:.5g}" if o.name in trial.results else "" for o in objectives)
                table.add_row(trial.id, trial.state.value, *map(_short, trial.design.values()), *results, trial.note)
            Console().print(table)
            best = "none" if found.best is None else f"{found.trace[-1]:.5g} {found.objective.unit}".rstrip()
            print(f"Best {found.objective.name}: {best}. Paid {amounts(found.paid)}, left {amounts(left)}.")

        return Answer(data, show)


@dataclass(frozen=True, kw_only=True)
class Report(_OfLab):
    """Writes report.html: what was found for how much, and whether what was foreseen came true.

    Example: gedanken science report my-lab
    """

    def __call__(self) -> Answer:
        with Laboratory.open(self.lab) as lab:
            written = write_campaign_report(lab)
        return Answer({"lab": str(self.lab), "report": str(written)}, lambda: print(f"Report: {written}"))


def _objective(word: str) -> Objective:
    name, _, goal = word.rpartition(":")
    if not name:
        return Objective(goal)
    return Objective(name, goal)  # type: ignore[arg-type]  # it is checked there


def _value(word: str, name: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise ConfigError(
            f"The value of {name!r} is no number.", given=repr(word), expected="a number without its unit"
        ) from error


def _plain(trial: Trial) -> dict[str, Any]:
    return {
        "id": trial.id,
        "state": trial.state.value,
        "design": dict(trial.design),
        "results": dict(trial.results),
        "cost": dict(trial.cost),
        "note": trial.note,
    }


def _designed(trial: Trial) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in trial.design.items())


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _questions(ask: Callable[[str], str]) -> tuple[list[Parameter], list[Objective]]:
    """Asks what can be set and what is measured; an empty answer ends a list."""
    print("What can be set? An empty name ends the list.")
    parameters: list[Parameter] = []
    while name := ask("  parameter: ").strip():
        answer = ask(f"  {name}: from LOW to HIGH, or its choices with commas: ").strip()
        low, to, high = answer.partition(" to ")
        if to:
            unit = ask(f"  {name}: unit, if it has one: ").strip()
            parameters.append(Continuous(name, _value(low, name), _value(high, name), unit))
        else:
            parameters.append(Categorical(name, tuple(level.strip() for level in answer.split(",") if level.strip())))
    print("What is measured? An empty name ends the list; the first is what is planned by.")
    objectives: list[Objective] = []
    while name := ask("  result: ").strip():
        goal = ask(f"  {name}: should it go up (max) or down (min)? ").strip() or "max"
        objectives.append(Objective(name, goal, ask(f"  {name}: unit, if it has one: ").strip()))  # type: ignore[arg-type]
    return parameters, objectives
