"""From a run folder to its report. Only reads; what a run has not come to yet is `not measured`."""

from __future__ import annotations

import json
import os
import platform
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gedanken.errors import FileError
from gedanken.evidence.interval import Interval
from gedanken.evidence.model_card import claims
from gedanken.experience.schema import EpisodeSummary
from gedanken.experience.store import Experience
from gedanken.intermediary.decisions import DecisionLog
from gedanken.intermediary.panel import PANEL
from gedanken.intermediary.panel_evidence import NAME as PANEL_EVIDENCE
from gedanken.intermediary.run import CHECK, LEARN, read_description
from gedanken.intermediary.thorough import QUESTIONS
from gedanken.report.data import (
    Decisions,
    Headline,
    Learning,
    LedgerView,
    NotMeasured,
    ReportData,
    Spending,
    Trajectories,
)
from gedanken.report.page import write_report
from gedanken.report.reference import reference
from gedanken.worlds import database
from gedanken.worlds.book import Book, Open
from gedanken.worlds.entries import Entry, parse

_NOT_CHECKED = "the run has not been checked yet"
_AGAIN = "run the stage that writes it again."
_MOST_DECISIONS = 200


def report(folder: Path) -> Path:
    """Writes `report.html` of a run, finished or not, and returns its path.

    Raises:
        FileError: the folder holds no run, a file in it is damaged or of another version, or the page cannot be
            written.
        LedgerError: the ledger was altered or is damaged.
        StoreError: the experience is damaged.
    """
    return write_report(folder, read_run(folder))


def read_run(folder: Path) -> ReportData:
    """Everything a report shows of the run in `folder`.

    Raises:
        FileError, LedgerError, StoreError: as in `report`.
    """
    described = read_description(folder)
    config: Mapping[str, Any] = described["config"]
    told = read_ledger(folder / "ledger.sqlite")
    with closing(Experience.open(folder / "experience")) as experience:
        summaries = experience.summaries()
        world = experience.world
    result = _json(folder / "result.json")
    evidence = _json(folder / "evidence.json")
    curation = _json(folder / "curation.json")
    real = _interval(evidence, "real_return")
    return ReportData(
        headline=Headline(
            world=world,
            seed=config["seed"],
            paid=told.paid(LEARN),
            paid_check=told.paid(CHECK),
            imagined_steps=result["imagined_steps"] if result else sum(told.book.imagined.values()),
            real_return=real,
            predicted_return=_interval(evidence, "predicted_return"),
            reference=reference(world, real),
            seconds=result["seconds"] if result else None,
        ),
        learning=_learning(summaries, config["collect"]["horizon"]),
        trajectories=_trajectories(evidence, curation),
        fidelity=_part(evidence, "fidelity"),
        calibration=_part(evidence, "calibration"),
        value=_part(evidence, "value"),
        exploitation=_part(evidence, "exploitation"),
        claims=claims(evidence) if evidence else NotMeasured(_NOT_CHECKED),
        depth=_depth(evidence),
        panel=_panel(_json(folder / PANEL / PANEL_EVIDENCE), told.paid(LEARN)),
        ledger=told.view(config["budget"]),
        decisions=_decisions(folder / "decisions.jsonl", config["mode"]),
        curation=curation or NotMeasured("the data were not curated yet"),
        config=config,
        measured={
            "run": described["id"],
            "machine": f"{_processor()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            "jax": version("jax"),
            "gymnasium": version("gymnasium"),
            "model_error": _model_error(folder / "metrics.csv"),
        },
    )


# --- The ledger -----------------------------------------------------------------------------------------------------


@dataclass
class Account:
    """What one account spent of one resource, over time."""

    seconds: list[float] = field(default_factory=lambda: [0.0])
    spent: list[int] = field(default_factory=lambda: [0])


@dataclass
class Told:
    """What a ledger says, read without taking part in it.

    book: the balance. lines: (account, resource) -> its spending. actions: account -> reservations. entries, head:
        how many there are, and the hash of the last one.
    """

    book: Book = field(default_factory=Book)
    lines: dict[tuple[str, str], Account] = field(default_factory=dict)
    actions: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    entries: int = 0
    head: str = ""
    _began_ms: int = 0

    def follow(self, entry: Entry) -> None:
        """Takes in the next entry."""
        self.book.apply(entry)
        self._began_ms = self._began_ms or entry.at_ms
        self.entries, self.head = entry.seq, entry.hash
        if entry.account is None:
            return
        self.actions[entry.account] += entry.kind == "reserve"
        if entry.kind in ("commit", "reconcile"):
            for resource, amount in entry.cost.items():
                line = self.lines.setdefault((entry.account, resource), Account())
                line.seconds.append((entry.at_ms - self._began_ms) / 1000)
                line.spent.append(line.spent[-1] + amount)

    def paid(self, account: str) -> dict[str, int]:
        """What the account is charged, resource by resource."""
        return dict(self.book.charged(account))

    def unknowns(self) -> list[Open]:
        """Actions that nobody can vouch for; also those of a process that is gone or still at work."""
        return [*self.book.unknown.values(), *self.book.outstanding.values()]

    def balances(self) -> list[dict[str, Any]]:
        """One row an account and resource."""
        return [
            {
                "account": account,
                "resource": resource,
                "budget": limit,
                "spent": self.book.spent(account).of(resource),
                "outstanding": self.book.outstanding_in(account).of(resource),
                "unknown": self.book.unknown_in(account).of(resource),
                "actions": self.actions.get(account, 0),
            }
            for account, budget in sorted(self.book.budgets.items(), key=lambda each: each[0] != LEARN)
            for resource, limit in budget.items()
        ]

    def view(self, budget: Mapping[str, int]) -> LedgerView:
        """The same for the report."""
        return LedgerView(
            budget=budget,
            balances=self.balances(),
            spending=[
                Spending(account, resource, np.array(line.seconds), np.array(line.spent, float))
                for (account, resource), line in self.lines.items()
            ],
            unknown=[unknown_row(each) for each in self.unknowns()],
            entries=self.entries,
            head=self.head,
        )


def unknown_row(action: Open) -> dict[str, Any]:
    """An unsettled action as plain data."""
    return {
        "action": action.action_id,
        "account": action.account,
        "charged": dict(action.at_most),
        "reason": action.reason or "not settled yet",
    }


def read_ledger(path: Path) -> Told:
    """Reads a ledger and verifies its chain, without opening it for writing.

    Raises:
        LedgerError: there is none, SQLite cannot read it, or an entry was altered or is missing.
    """
    told = Told()
    for line, _ in database.read_lines(path):
        told.follow(parse(line))
    return told


# --- The other files ------------------------------------------------------------------------------------------------


def _learning(summaries: list[EpisodeSummary], horizon: int | None) -> Learning | NotMeasured:
    paid = [each for each in summaries if each.header.account == LEARN and each.length]
    if not paid:
        return NotMeasured("no episode was paid for yet")
    steps = np.cumsum([each.length for each in paid]).astype(float)
    longest = max((each.length for each in summaries if each.header.account == CHECK), default=0)
    return Learning(
        steps=steps,
        returns=np.array([each.total_reward for each in paid]),
        cut=horizon if horizon is not None and longest > horizon else None,
    )


def _trajectories(evidence: Mapping[str, Any], curation: Mapping[str, Any]) -> Trajectories | NotMeasured:
    part = _part(evidence, "trajectories")
    if isinstance(part, NotMeasured):
        return part
    real = np.array(part["real"], float)
    names = [each["name"] for each in (curation.get("coverage") or {}).get("dimensions", [])]
    width = real.shape[1]
    if len(names) < width:
        names = [f"observation[{index}]" for index in range(width)]
    return Trajectories(names=names[:width], real=real, imagined=np.array(part["imagined"], float), given=part["given"])


def _decisions(path: Path, mode: str) -> Decisions | NotMeasured:
    if not path.exists():
        return NotMeasured("the gate was not asked in this run")
    with DecisionLog.open(path) as log:
        counts = {f"{name} acts": count for name, count in log.summary().by.items()}
        rows: list[dict[str, str]] = []
        for _, decision, _ in log.entries():
            if len(rows) == _MOST_DECISIONS:
                break
            why = "; ".join(decision["reasons"]) or "no objection"
            where = f"{decision['episode']}:{decision['step']}"
            rows.append({"episode:step": where, "verdict": f"{decision['by']} acts", "reason": why})
    return Decisions(mode=mode, counts=counts, rows=rows)


def _model_error(path: Path) -> float | None:
    """The held-out error after the last fit, in standard deviations; None where it was not measured."""
    if not path.exists():
        return None
    found = [line.split(",") for line in path.read_text().splitlines()]
    errors = [float(cells[5]) for cells in found if len(cells) == 6 and cells[4] == "model_error"]
    return errors[-1] if errors else None


def _part(evidence: Mapping[str, Any], name: str) -> Any:
    if not evidence:
        return NotMeasured(_NOT_CHECKED)
    found = evidence.get(name)
    return NotMeasured("the check of this run did not come to it") if found is None else found


def _panel(found: Mapping[str, Any], paid: Mapping[str, int]) -> Mapping[str, Any] | NotMeasured:
    if not found:
        return NotMeasured("`gedanken panel` was not played in this run")
    if found.get("paid") != paid:
        return NotMeasured("the panel was played in an earlier model of this run; `gedanken panel` plays one in this")
    return found


def _depth(evidence: Mapping[str, Any]) -> Mapping[str, Any] | NotMeasured:
    if not evidence:
        return NotMeasured(_NOT_CHECKED)
    found = {name: evidence[name] for name in QUESTIONS if evidence.get(name) is not None}
    return found or NotMeasured("the check was a short one; `gedanken evaluate` asks more of the same episodes")


def _interval(evidence: Mapping[str, Any], name: str) -> Interval:
    return Interval.from_json(evidence[name]) if evidence else Interval.missing(_NOT_CHECKED)


def _json(path: Path) -> dict[str, Any]:
    """A JSON file of the run; empty where it is not there yet."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise FileError("A file of the run is damaged.", given=f"{path}: {error}", do=_AGAIN) from error
    if not isinstance(found, dict):
        raise FileError("A file of the run is damaged.", given=path, expected="a JSON object", do=_AGAIN)
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
