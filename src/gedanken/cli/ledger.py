"""`gedanken ledger`: what a run has paid, what nobody can vouch for, and reconciling it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from gedanken.cli.options import Answer, Options, RunFolder
from gedanken.cli.watching import outdated
from gedanken.errors import ConfigError
from gedanken.experience.cost import Cost
from gedanken.intermediary.run import read_description
from gedanken.report.from_run import Told, read_ledger, unknown_row
from gedanken.worlds.ledger import Ledger as OpenLedger


@dataclass(frozen=True, kw_only=True)
class Ledger(Options):
    """Tells what each account has spent, and lists the actions whose outcome is not known.

    These are charged at their worst until you have found out what they did cost, and say so with --reconcile.

    Example: gedanken ledger runs/mine

    Example: gedanken ledger runs/mine --reconcile ACTION --actual steps 12 --reason "the arm's log says 12 steps"
    """

    run: RunFolder
    """the run's folder"""
    reconcile: str | None = None
    """an unknown action, by its id"""
    actual: Annotated[dict[str, int], tyro.conf.arg(metavar="RESOURCE AMOUNT ...")] = field(default_factory=dict)
    """what it did cost, such as `steps 12`; `steps 0` for nothing"""
    reason: str | None = None
    """how that is known; it is written into the ledger"""

    def __call__(self) -> Answer:
        described = read_description(self.run)
        path = self.run / "ledger.sqlite"
        if self.reconcile is not None:
            if not self.actual or not self.reason:
                raise ConfigError(
                    "To reconcile takes what it did cost, and how that is known.",
                    given=f"--actual {dict(self.actual)} --reason {self.reason}",
                    expected='such as --actual steps 12 --reason "the log says 12"',
                )
            with OpenLedger.open(path, run_id=described["id"]) as ledger:
                ledger.reconcile(self.reconcile, Cost(self.actual), self.reason)
            outdated(self.run)
        elif self.actual or self.reason:
            raise ConfigError(
                "Which action is that about?", expected="--reconcile ACTION", do="see `gedanken ledger RUN`."
            )
        told = read_ledger(path)
        unknown = [unknown_row(each) for each in told.unknowns()]
        data: dict[str, Any] = {
            "run": str(self.run),
            "balances": told.balances(),
            "unknown": unknown,
            "imagined": dict(told.book.imagined),
            "entries": told.entries,
            "head": told.head,
        }
        return Answer(data, lambda: _show(told, unknown))


def _show(told: Told, unknown: list[dict[str, Any]]) -> None:
    console = Console()
    console.print(_table(told.balances()))
    imagined = sum(told.book.imagined.values())
    console.print(f"{imagined:,} steps imagined. {told.entries:,} entries, verified; the last is {told.head[:16]}.")
    if unknown:
        console.print(f"{len(unknown)} actions are unknown, and charged at their worst:")
        console.print(_table(unknown))


def _table(rows: list[dict[str, Any]]) -> Table:
    made = Table(header_style="bold", pad_edge=False)
    for name in rows[0] if rows else ():
        made.add_column(name, overflow="fold", justify="right" if isinstance(rows[0][name], int) else "left")
    for row in rows:
        made.add_row(*(_cell(value) for value in row.values()))
    return made


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{amount:,} {name}" for name, amount in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
