"""The durable account of every real action: it admits or refuses an action before it runs.

The protocol is write-ahead. `reserve` puts the most an action may cost on the disk, then the actuator moves, then
`commit` writes what it did cost. A process that dies in between leaves a reservation that nobody can vouch for: it
becomes `unknown`, is charged in full, and stays so until somebody calls `reconcile`. Nothing is ever refunded,
repeated or forgotten by itself.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gedanken.errors import BudgetRefused, ConfigError, LedgerError, WorldError
from gedanken.experience.cost import Budget, Cost
from gedanken.worlds.book import Book, Open
from gedanken.worlds.entries import SCHEMA_VERSION, Entry
from gedanken.worlds.identity import action_id, digest_of
from gedanken.worlds.journal import Journal
from gedanken.worlds.sessions import Session, alive

__all__ = ["Balance", "Ledger", "Open", "Reservation", "StoredOutcome", "action_id", "digest_of"]


@dataclass(frozen=True)
class Reservation:
    """Leave to act: `at_most` is set aside on `account` until it is committed, released or unknown."""

    action_id: str
    digest: str
    account: str
    at_most: Cost


@dataclass(frozen=True)
class StoredOutcome:
    """The action was done and paid for before: do not act, use this. `outcome` is None where none was stored."""

    action_id: str
    digest: str
    account: str
    actual: Cost
    outcome: Any


@dataclass(frozen=True)
class Balance:
    """Where an account stands. `unknown` is charged at its worst; `left` names the limited resources only."""

    spent: Cost
    outstanding: Cost
    unknown: Cost
    left: Budget


class Ledger:
    """An open ledger: SQLite (WAL, `synchronous=FULL`) and a mirror file beside it, both holding the whole log.

    Safe across threads and processes on one machine; each process opens its own. Every entry costs one serialised
    transaction with its fsyncs, however long the log is. POSIX only, and not on network file systems (`flock`, WAL).

    What it cannot see: the same last entries cut out of both files at once, or both files rewritten from some entry
    on by somebody who recomputes the hashes.

    recovered: what opening had to repair, in words; "" if nothing.
    """

    def __init__(self, path: Path, *, budgets: Mapping[str, Budget] | None, run_id: str) -> None:
        """Use `Ledger.open`."""
        self._book = Book()
        self._sessions = path.with_name(path.name + ".sessions")
        with ExitStack() as on_failure:
            self._session = Session(self._sessions)
            on_failure.callback(self._session.close)
            self._journal = Journal(path, self._book.apply)
            on_failure.callback(self._journal.close)
            self.recovered = "; ".join(self._journal.recovered)
            self._enter(budgets, run_id)
            on_failure.pop_all()

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, budgets: Mapping[str, Budget] | None = None, run_id: str) -> Self:
        """Opens the ledger of a run, or begins one; repairs what a crash left behind.

        Reservations of processes that are gone become `unknown`.

        Args:
            path: the database file; its mirror and its lock files lie beside it under the same name.
            budgets: account -> its budget. None keeps those of the log; others than those of the log replace them,
                unless another process has the ledger open.
            run_id: the run that this ledger belongs to.

        Raises:
            LedgerError: the files contradict each other, were altered, belong to another run or version, or the disk
                is full. Nothing was spent.
            ConfigError: a new ledger without budgets.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(path, budgets=budgets, run_id=run_id)
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(
                "The ledger cannot be opened.", given=error, do="check the folder's permissions and the disk's space."
            ) from error

    def _enter(self, budgets: Mapping[str, Budget] | None, run_id: str) -> None:
        with self._journal.exclusive():
            if self._book.schema not in (None, SCHEMA_VERSION):
                raise LedgerError(
                    "The ledger is of another version.",
                    given=f"schema {self._book.schema}",
                    expected=f"schema {SCHEMA_VERSION}",
                    do="open it with the version of gedanken that wrote it.",
                )
            if self._book.run_id not in (None, run_id):
                raise LedgerError(
                    "The ledger belongs to another run.",
                    given=f"run {run_id!r}",
                    expected=f"run {self._book.run_id!r}",
                    do="resume that run, or give the new run a folder of its own.",
                )
            living = {name for name in self._book.sessions if alive(self._sessions, name)}
            self._book.sessions &= living
            if budgets is None:
                if self._book.run_id is None:
                    raise ConfigError("A new ledger needs budgets.", expected='such as {"learn": Budget(steps=1000)}')
                budgets = self._book.budgets
            elif self._book.budgets and dict(budgets) != self._book.budgets and living:
                raise LedgerError(
                    "The budgets differ from those of a process that has this ledger open.",
                    given=dict(budgets),
                    expected=self._book.budgets,
                    do="use the same budgets, or change them when nobody else is at work.",
                )
            limits = {name: dict(budget) for name, budget in budgets.items()}
            self._append("open", detail={"schema": SCHEMA_VERSION, "run_id": run_id, "budgets": limits})
            for orphan in [o for o in self._book.outstanding.values() if o.session not in living]:
                self._settle(orphan, "unknown", orphan.at_most, {"reason": "its process ended before it was settled"})

    def reserve(
        self, action_id: str, digest: str, at_most: Cost, *, account: str, note: Mapping[str, Any] | None = None
    ) -> Reservation | StoredOutcome:
        """Asks for leave to act, in one serialised transaction over everything charged so far and this.

        Args:
            action_id: what the action is (see `gedanken.worlds.identity.action_id`).
            digest: `digest_of` its payload.
            at_most: the most that it may cost.
            account: who pays.
            note: what a reader of the log may want to know of the action (JSON); it decides nothing.

        Returns:
            A Reservation, on the disk in both files; or, if this action was paid for before, its StoredOutcome.

        Raises:
            BudgetRefused: its worst case does not fit.
            LedgerError: the id is in use for something else, is not settled, or the disk is full. Do not act.
        """
        with self._journal.exclusive():
            self._check_account(account)
            last = self._journal.latest(action_id)
            if last is not None:
                stored = self._earlier(last, digest)
                if stored is not None:
                    return stored
            budget, charged = self._book.budgets[account], self._book.charged(account)
            if not budget.allows(charged + at_most):
                raise BudgetRefused(
                    f"The budget of {account!r} does not cover the worst case of this action.",
                    given=at_most,
                    expected=f"at most {budget.left(charged)}, which is left of {budget}",
                    do="raise the budget, reconcile what is unknown, or stop here.",
                )
            self._append(
                "reserve", account=account, action_id=action_id, digest=digest, cost=at_most, detail=dict(note or {})
            )
        return Reservation(action_id, digest, account, at_most)

    def commit(self, action_id: str, actual: Cost, outcome: Any = None) -> None:
        """Records what a reserved action did cost, and its outcome (whatever JSON can hold).

        Raises:
            WorldError: `actual` is above what was reserved. It is recorded and charged as it was, and raised
                afterwards, because the price list that the budget rests on is wrong.
            LedgerError: the action is not outstanding, or the disk is full; then it stays charged in full, and
                `commit` can be called again.
        """
        with self._journal.exclusive():
            reserved = self._outstanding(action_id)
            self._settle(reserved, "commit", actual, {"outcome": outcome})
        over = {name: amount for name, amount in actual.items() if amount > reserved.at_most.of(name)}
        if over:
            raise WorldError(
                f"Action {action_id!r} cost more than the most it was said to cost; it is charged as it was.",
                given=actual,
                expected=f"at most {reserved.at_most}",
                do="correct the world's prices and resume.",
            )

    def release(self, action_id: str, reason: str) -> None:
        """Gives a reservation back; only for an action that provably did not begin."""
        with self._journal.exclusive():
            self._settle(self._outstanding(action_id), "release", Cost(), {"reason": reason})

    def unknown(self, action_id: str, reason: str) -> None:
        """Records that nobody knows what a reserved action did: it is charged in full until it is reconciled."""
        with self._journal.exclusive():
            reserved = self._outstanding(action_id)
            self._settle(reserved, "unknown", reserved.at_most, {"reason": reason})

    def reconcile(self, action_id: str, actual: Cost, reason: str) -> None:
        """Replaces the worst case of an unknown action by what somebody found out that it did cost."""
        with self._journal.exclusive():
            found = self._book.unknown.get(action_id)
            if found is None:
                raise LedgerError(
                    "Only an unknown action can be reconciled.",
                    given=action_id,
                    expected=f"one of {sorted(self._book.unknown)}",
                    do="see Ledger.unknowns().",
                )
            self._settle(found, "reconcile", actual, {"reason": reason})

    def imagined(self, count: int, model_id: str) -> None:
        """Notes that `count` steps were imagined by a model. They cost nothing real."""
        with self._journal.exclusive():
            self._append("imagined", detail={"count": count, "model_id": model_id})

    def balance(self, account: str) -> Balance:
        """Where the account stands, with everything that any process has committed."""
        with self._journal.settled():
            self._check_account(account)
            book = self._book
            return Balance(
                book.spent(account),
                book.outstanding_in(account),
                book.unknown_in(account),
                book.budgets[account].left(book.charged(account)),
            )

    def budgets(self) -> dict[str, Budget]:
        """Account -> its whole budget."""
        with self._journal.settled():
            return dict(self._book.budgets)

    def unknowns(self) -> list[Open]:
        """The actions that nobody can vouch for, each charged in full until it is reconciled."""
        with self._journal.settled():
            return list(self._book.unknown.values())

    def imagined_steps(self) -> dict[str, int]:
        """Model id -> how many steps it imagined."""
        with self._journal.settled():
            return dict(self._book.imagined)

    def last(self, action_id: str) -> Entry | None:
        """The latest entry about an action; None if the ledger never heard of it."""
        with self._journal.settled():
            return self._journal.latest(action_id)

    def entries(self) -> Iterator[Entry]:
        """The whole log, in order."""
        return self._journal.entries()

    def verify(self) -> int:
        """Reads both files in full and compares them; returns the number of entries.

        Raises:
            LedgerError: they are damaged, were altered, or do not say the same.
        """
        return self._journal.verify()

    def close(self) -> None:
        """Closes the ledger. What this handle has reserved and not settled becomes `unknown`."""
        if self._journal.closed:
            return
        with ExitStack() as at_the_end:
            at_the_end.callback(self._session.close)
            at_the_end.callback(self._journal.close)
            with self._journal.exclusive():
                for mine in [o for o in self._book.outstanding.values() if o.session == self._session.id]:
                    self._settle(
                        mine, "unknown", mine.at_most, {"reason": "the ledger was closed before it was settled"}
                    )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, kind: Any, **fields: Any) -> None:
        self._journal.append(kind, session=self._session.id, **fields)

    def _settle(self, reserved: Open, kind: Any, cost: Cost, detail: Mapping[str, Any]) -> None:
        self._append(
            kind,
            account=reserved.account,
            action_id=reserved.action_id,
            digest=reserved.digest,
            cost=cost,
            detail=detail,
        )

    def _check_account(self, account: str) -> None:
        if account not in self._book.budgets:
            raise ConfigError(
                "The ledger has no such account.",
                given=account,
                expected=f"one of {', '.join(sorted(self._book.budgets))}",
                do="name it, with its budget, when the ledger is opened.",
            )

    def _outstanding(self, action_id: str) -> Open:
        reserved = self._book.outstanding.get(action_id)
        if reserved is not None:
            return reserved
        last = self._journal.latest(action_id)
        raise LedgerError(
            "Only an outstanding reservation can be settled.",
            given=f"{action_id!r}, {'never reserved' if last is None else f'whose last entry is {last.kind!r}'}",
            expected="an action that was reserved and not settled yet",
            do="reserve before acting" if last is None or last.kind != "unknown" else "use Ledger.reconcile.",
        )

    def _earlier(self, last: Entry, digest: str) -> StoredOutcome | None:
        """What an earlier entry means for a new `reserve` of the same action: its outcome, a refusal, or nothing."""
        assert last.action_id is not None and last.account is not None
        if last.digest != digest:
            raise LedgerError(
                "The id of an action was used before for something else.",
                given=f"{last.action_id!r} with digest {digest[:12]}",
                expected=f"digest {str(last.digest)[:12]}",
                do="derive the id from everything that makes the action what it is.",
            )
        if last.kind in ("commit", "reconcile"):
            return StoredOutcome(last.action_id, digest, last.account, last.cost, last.detail.get("outcome"))
        if last.kind == "release":
            return None
        raise LedgerError(
            f"Action {last.action_id!r} was begun before and its last entry is {last.kind!r}.",
            expected="an action that is settled, or new",
            do="find out what it did and call Ledger.reconcile; it is never repeated by itself."
            if last.kind == "unknown"
            else "wait until whoever reserved it settles it; if its process is gone, open the ledger again and "
            "reconcile it.",
        )
