"""One's own laboratory: it is asked what to run next, and told what came of it, in whatever order that happens.

A folder holds lab.yaml (what can be set), trials.csv (every experiment, for a spreadsheet), and behind them the durable
files: the ledger, the log of trials, and each suggestion with its forecast as it was written down before the result.

An experiment is paid for when somebody decides to run it (STAGED or RUNNING) or, if nobody said so, when its result is
told. Whoever runs it does so after this process has ended, so the ledger holds it as unknown, charged at its worst,
until it is told what became of it.
"""

from __future__ import annotations

import dataclasses
import fcntl
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from gedanken.agents.experimenter import Bayesian, Planner, Random
from gedanken.agents.experimenter.candidates import place
from gedanken.errors import BudgetRefused, ConfigError
from gedanken.experience.cost import Cost
from gedanken.intermediary.found import Found, found_in
from gedanken.intermediary.lab_config import FILE, LabConfig
from gedanken.intermediary.run import LEARN
from gedanken.intermediary.sheet import SHEET, Line, write_sheet
from gedanken.intermediary.suggestions import Suggested, SuggestionLog
from gedanken.intermediary.trial_log import Standing, TrialLog
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.ledger import Ledger, digest_of
from gedanken.worlds.parameters import Design
from gedanken.worlds.science.fidelity import FULL, Fidelities
from gedanken.worlds.science.table import MeasuredTable
from gedanken.worlds.science.trials import Objective, Trial, TrialState

_MEASURED = (TrialState.COMPLETED, TrialState.EARLY_STOPPED)
_IDLE = (TrialState.CANDIDATE, TrialState.STALE)
_PAID = (TrialState.STAGED, TrialState.RUNNING, TrialState.FAILED, *_MEASURED)
"""A trial that goes from an idle state to one of these is paid for."""


@dataclass
class Laboratory:
    """An open laboratory, locked against others while it is open."""

    folder: Path
    config: LabConfig
    planner: Planner
    ledger: Ledger
    log: TrialLog
    suggestions: SuggestionLog
    _lock: int

    @classmethod
    def create(cls, folder: Path, config: LabConfig, *, known: MeasuredTable | None = None) -> Self:
        """Makes a laboratory in a new or empty folder.

        Args:
            folder: where.
            config: what can be set and measured.
            known: experiments that were done, and paid for, before; they cost nothing here.

        Raises:
            ConfigError: the folder holds something, or `known` does not fit the design space or the objectives.
        """
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError("The laboratory's folder is not empty.", given=folder, expected="a new folder")
        before: list[Standing] = []
        if known is not None:
            names = [objective.name for objective in known.objectives]
            if set(names) != {objective.name for objective in config.objectives}:
                raise ConfigError("The table measures something else.", given=", ".join(names))
            for number, (design, row) in enumerate(zip(known.designs, known.results, strict=True), 1):
                results = dict(zip(names, map(float, row), strict=True))
                checked = config.space.checked(design)
                trial = Trial(str(number), checked, TrialState.COMPLETED, results, note="done before")
                before.append(Standing(trial))
        folder.mkdir(parents=True, exist_ok=True)
        config.write(folder / FILE)
        lab = cls.open(folder)
        if before:
            lab.log.append(before)
            lab._write_sheet()
        return lab

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens a laboratory; waits while another process has it open.

        Raises:
            FileError: the folder holds none, or a file was damaged.
            ConfigError: lab.yaml describes none, or no longer fits a trial that is there.
        """
        config = LabConfig.read(folder / FILE)
        with ExitStack() as on_failure:
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            on_failure.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            config = LabConfig.read(folder / FILE)  # as whoever had the lock left it
            ledger = on_failure.enter_context(
                Ledger.open(folder / "ledger.sqlite", budgets={LEARN: config.budget}, run_id="laboratory")
            )
            log = TrialLog.open(folder / "trials.jsonl")
            on_failure.callback(log.close)
            suggestions = SuggestionLog.open(folder / "suggestions.jsonl")
            on_failure.callback(suggestions.close)
            lab = cls(folder, config, _planner(config), ledger, log, suggestions, lock)
            lab._check_designs()
            lab._mend()
            on_failure.pop_all()
        return lab

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes its files, and lets others in."""
        self.suggestions.close()
        self.log.close()
        self.ledger.close()
        os.close(self._lock)

    # --- Asking and telling -----------------------------------------------------------------------------------------

    def trials(self) -> list[Trial]:
        """All of them, in the order of their numbers."""
        return [self.log.standing[name].trial for name in sorted(self.log.standing, key=int)]

    def ask(self, count: int = 1, *, stage: bool = False) -> list[Trial]:
        """Suggests experiments: new trials in the state CANDIDATE. Earlier candidates that nobody staged become STALE.

        Args:
            count: how many.
            stage: decide right now to run them all, which pays for them.

        Returns:
            At most `count`; fewer where the budget allows no more, or nothing is left to try.

        Raises:
            BudgetRefused: the budget does not cover a single experiment more.
        """
        overtaken = [
            dataclasses.replace(standing, trial=dataclasses.replace(standing.trial, state=TrialState.STALE))
            for standing in self.log.standing.values()
            if standing.trial.state is TrialState.CANDIDATE
        ]
        if overtaken:
            self.log.append(overtaken)
        first = self._next_number()
        suggested = self.planner.suggest(
            self.config.space,
            self.config.objectives,
            self.trials(),
            count=count,
            price=self.config.prices,
            seed=int(np.random.SeedSequence([self.config.seed, first]).generate_state(1)[0]),
        )
        left = self.ledger.balance(LEARN).left
        asked: list[Trial] = []
        total = Cost()
        for suggestion in suggested:
            cost = self.cost(suggestion.design, suggestion.fidelity)
            if not left.allows(total + cost):
                break
            total = total + cost
            number = first + len(asked)
            self.suggestions.append(Suggested.of(number, self.planner.name, suggestion))
            asked.append(Trial(str(number), suggestion.design, cost=cost, fidelity=suggestion.fidelity))
        if suggested and not asked:
            raise BudgetRefused(
                "The budget does not cover another experiment.",
                given=self.cost(suggested[0].design, suggested[0].fidelity),
                expected=f"at most {left}",
                do=f"raise the budget in {FILE}, or stop here.",
            )
        self.log.append([Standing(trial) for trial in asked])
        if stage:
            asked = [self.move(trial.id, TrialState.STAGED) for trial in asked]
        self._write_sheet()
        return asked

    def cost(self, design: Design, fidelity: float = FULL) -> Cost:
        """What an experiment costs at most.

        Raises:
            ConfigError: there is no such fidelity.
        """
        levels = self.config.fidelities or Fidelities({FULL: 1.0})
        return levels.cost(self.config.prices(design), fidelity)

    def add(self, design: Mapping[str, Any], *, fidelity: float = FULL, note: str = "") -> Trial:
        """A trial of somebody's own choice, in the state CANDIDATE.

        Raises:
            ConfigError: it is not in the design space, or there is no such fidelity.
        """
        checked = self.config.space.checked(design)
        cost = self.cost(checked, fidelity)
        trial = Trial(str(self._next_number()), checked, cost=cost, fidelity=fidelity, note=note)
        self.log.append([Standing(trial)])
        self._write_sheet()
        return trial

    def move(self, name: str, state: TrialState, *, note: str | None = None) -> Trial:
        """Says that a trial was staged, is running, went wrong, or must not be done. Results are told by `tell`.

        Raises:
            ConfigError: there is no such trial, or it cannot go on to this state.
            BudgetRefused: it was to be run, and the budget does not cover it; nothing has changed.
        """
        return self.tell(name, state=state, note=note)

    def tell(
        self,
        name: str,
        results: Mapping[str, float] | None = None,
        *,
        state: TrialState | None = None,
        cost: Cost | None = None,
        note: str | None = None,
        correct: bool = False,
    ) -> Trial:
        """Says what became of a trial. Nothing is changed where anything of it is refused.

        Args:
            name: of the trial.
            results: objective -> value; some may be missing, and told later. The same value told again changes nothing.
            state: how far it has come. By default COMPLETED when every objective is known, else RUNNING.
            cost: what it did cost, at most what it was said to cost; by default all of that.
            note: in words.
            correct: results that are there already may be replaced.

        Raises:
            ConfigError: there is no such trial or objective, a value is not finite or disagrees with the one that is
                there, or the trial cannot go on to this state.
            BudgetRefused: the budget does not cover the experiment.
        """
        changed = self.planned(name, results, state=state, cost=cost, note=note, correct=correct)
        standing = self._standing(name)
        if changed != standing.trial:
            self._pay(standing, changed)
            self._write_sheet()
        return changed

    def planned(
        self,
        name: str,
        results: Mapping[str, float] | None = None,
        *,
        state: TrialState | None = None,
        cost: Cost | None = None,
        note: str | None = None,
        correct: bool = False,
    ) -> Trial:
        """The trial as `tell` would leave it; refuses what `tell` would refuse, but for the budget's sake."""
        trial = self._standing(name).trial
        known = dict(trial.results)
        for objective, value in (results or {}).items():
            known[objective] = self._checked(trial, objective, value, correct=correct)
        if state is None:
            state = self._state_with(trial, known) if results else trial.state
        if state is not trial.state and not trial.state.may_become(state):
            raise ConfigError(
                f"Trial {name} cannot go from {trial.state} to {state}.",
                expected=", ".join(other for other in TrialState if trial.state.may_become(other)) or "no change",
                do="a replicate is a trial of its own; a wrong result is replaced with --correct.",
            )
        if results and state not in (TrialState.RUNNING, *_MEASURED):
            raise ConfigError(f"Trial {name} is {state}, and then it has no result.", given=dict(results))
        if state is TrialState.COMPLETED and not known:
            raise ConfigError(f"Trial {name} is complete without a result.", expected="a value of an objective")
        if cost is not None and any(amount > trial.cost.of(resource) for resource, amount in cost.items()):
            raise ConfigError(
                f"Trial {name} cost more than an experiment like it can.",
                given=cost,
                expected=f"at most {trial.cost}",
                do=f"correct the prices in {FILE} first.",
            )
        if trial.state is TrialState.STAGED and state is TrialState.ABANDONED:
            cost = Cost()  # it never began
        note = trial.note if note is None else note
        return dataclasses.replace(
            trial, state=state, results=known, note=note, cost=trial.cost if cost is None else cost
        )

    def take_in(self, lines: Sequence[Line]) -> list[Trial]:
        """Takes in a sheet that somebody has edited, and tells which trials changed; new lines become trials.

        Raises:
            ConfigError: as `tell`, of any line; or a line changes the design of its trial. Nothing was taken in then.
            BudgetRefused: the budget does not cover one of them; those before it were taken in.
        """
        known = {line.number: self._planned_line(line) for line in lines}
        changed = []
        for line in lines:
            before = known[line.number]
            if before is None:
                before = self.add(line.design, fidelity=line.fidelity, note=line.note)
            after = self.tell(before.id, line.results, **_said(line, before))
            if after != before or line.id == "":
                changed.append(after)
        return changed

    def _planned_line(self, line: Line) -> Trial | None:
        """The trial of a line, which is checked; None for a new one."""
        try:
            if not line.id:
                if line.state in _IDLE and line.results:
                    raise ConfigError("An experiment with a result is no candidate.", given=line.state)
                self.cost(line.design, line.fidelity)
                for objective, value in line.results.items():
                    self._checked(Trial("", line.design), objective, value, correct=False)
                return None
            trial = self._standing(line.id).trial
            moved = place(self.config.space, trial.design) != place(self.config.space, line.design)
            if moved or trial.fidelity != line.fidelity:
                raise ConfigError(
                    f"The design of trial {trial.id} cannot be changed.",
                    given=dict(line.design),
                    expected=dict(trial.design),
                    do="leave the id of a new experiment empty.",
                )
            self.planned(trial.id, line.results, **_said(line, trial))
        except ConfigError as error:
            raise ConfigError(
                f"Line {line.number}: {error.what}", given=error.given, expected=error.expected, do=error.do
            ) from error
        return trial

    def found(self) -> Found:
        """Where the laboratory stands."""
        return found_in(
            self.trials(),
            self.suggestions.entries,
            self.config.objectives[0],
            world=self.config.name,
            seed=self.config.seed,
            paid=self.paid,
            seconds=0.0,
        )

    @property
    def space(self) -> DesignSpace:
        """What can be set."""
        return self.config.space

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is measured; the first is what is planned by."""
        return self.config.objectives

    def settings(self) -> dict[str, Any]:
        """What decides the campaign, as plain values."""
        return self.config.to_json()

    @property
    def paid(self) -> dict[str, int]:
        """What was spent or is set aside, by resource."""
        balance = self.ledger.balance(LEARN)
        return dict.fromkeys(self.config.budget, 0) | dict(balance.spent + balance.outstanding + balance.unknown)

    # --- Paying -----------------------------------------------------------------------------------------------------

    def _pay(self, standing: Standing, changed: Trial) -> None:
        """Writes a change down, and its price into the ledger.

        It is reserved before the trial counts as begun, and settled after its end is on record: whatever is lost in
        between is charged and not forgotten (see `_mend`).
        """
        before, after, attempt = standing.trial.state, changed.state, standing.attempt
        if (before in _IDLE and after in _PAID) or (before is TrialState.FAILED and after.pending):
            attempt += 1
            self.ledger.reserve(
                _action(changed.id, attempt),
                digest_of({name: changed.design[name] for name in self.config.space.names}),
                standing.trial.cost,
                account=LEARN,
                note={"trial": changed.id},
            )
        one = Standing(changed, attempt)
        self.log.append([one])
        self._settle(one)

    def _settle(self, standing: Standing) -> None:
        """Tells the ledger what an attempt that is over did cost; nothing where it never began."""
        trial, action = standing.trial, _action(standing.trial.id, standing.attempt)
        last = self.ledger.last(action)
        if last is None or trial.state.pending:
            return
        cost = Cost() if trial.state in _IDLE else trial.cost
        if last.kind == "unknown":
            self.ledger.reconcile(action, cost, f"trial {trial.id} is {trial.state}")
        elif last.kind == "reserve":
            self.ledger.commit(action, cost)

    def _mend(self) -> None:
        """What a crash left between log and ledger: an end that was not settled, and leave for what never began."""
        for one in self.ledger.unknowns():
            name, _, attempt = one.action_id.rpartition("/")
            standing = self.log.standing[name]
            if standing.attempt < int(attempt):
                self.ledger.reconcile(one.action_id, Cost(), "it was never decided to run this")
            else:
                self._settle(standing)

    # --- Checks -----------------------------------------------------------------------------------------------------

    def _standing(self, name: str) -> Standing:
        if name not in self.log.standing:
            raise ConfigError(
                f"There is no trial {name!r}.",
                expected=f"1 to {self._next_number() - 1}" if self.log.standing else "none yet",
                do="see `gedanken science status`.",
            )
        return self.log.standing[name]

    def _state_with(self, trial: Trial, known: Mapping[str, float]) -> TrialState:
        """What a trial becomes by being told these results."""
        if trial.state in _MEASURED:
            return trial.state
        complete = set(known) == {objective.name for objective in self.config.objectives}
        return TrialState.COMPLETED if complete else TrialState.RUNNING

    def _checked(self, trial: Trial, objective: str, value: float, *, correct: bool) -> float:
        names = [each.name for each in self.config.objectives]
        if objective not in names:
            raise ConfigError("Nothing of this name is measured.", given=repr(objective), expected=", ".join(names))
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(
                f"{objective!r} of trial {trial.id} is no result.",
                given=repr(value),
                expected="a finite number",
                do="an experiment without a result has failed: say so by its state.",
            )
        known = trial.results.get(objective)
        if known is not None and known != value and not correct:
            raise ConfigError(
                f"{objective!r} of trial {trial.id} was told before, and otherwise.",
                given=value,
                expected=known,
                do="--correct replaces it; a replicate is a trial of its own.",
            )
        return float(value)

    def _check_designs(self) -> None:
        for trial in self.trials():
            try:
                self.config.space.checked(trial.design)
            except ConfigError as error:
                raise ConfigError(
                    f"{FILE} no longer fits trial {trial.id}: {error.what}",
                    given=error.given,
                    expected=error.expected,
                    do="bounds can be widened and levels added, but what was tried must stay within them.",
                ) from error

    def _next_number(self) -> int:
        return max(map(int, self.log.standing), default=0) + 1

    def _write_sheet(self) -> None:
        write_sheet(self.folder / SHEET, self.config, self.trials(), self.suggestions.entries)


def _planner(config: LabConfig) -> Planner:
    return Random() if config.planner == "random" else Bayesian(fidelities=config.fidelities)


def _said(line: Line, trial: Trial) -> dict[str, Any]:
    """What a line says of its trial besides results: a state that was not touched is not said."""
    return {"state": None if line.state is trial.state else line.state, "note": line.note}


def _action(trial: str, attempt: int) -> str:
    return f"{trial}/{attempt}"
