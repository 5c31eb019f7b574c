"""The balance as a fold over the ledger's entries: what was spent, what is reserved, what nobody knows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gedanken.errors import LedgerError
from gedanken.experience.cost import Budget, Cost
from gedanken.worlds.entries import Entry


@dataclass(frozen=True)
class Open:
    """A reserved action that is not settled: outstanding while its `reason` is None, else unknown."""

    action_id: str
    digest: str
    account: str
    at_most: Cost
    session: str
    reason: str | None = None


@dataclass
class _Account:
    spent: Counter[str] = field(default_factory=Counter)
    outstanding: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


class Book:
    """What the entries so far add up to. Its size grows with open actions and accounts, not with the log.

    run_id, budgets: those of the latest `open` entry. sessions: who may still be at work.
    """

    def __init__(self) -> None:
        self.run_id: str | None = None
        self.schema: int | None = None
        self.budgets: dict[str, Budget] = {}
        self.sessions: set[str] = set()
        self.outstanding: dict[str, Open] = {}
        self.unknown: dict[str, Open] = {}
        self.imagined: Counter[str] = Counter()
        self._accounts: dict[str, _Account] = {}

    def apply(self, entry: Entry) -> None:
        """Folds the next entry in.

        Raises:
            LedgerError: it cannot follow those before it (a commit of what was never reserved, say).
        """
        try:
            self._apply(entry)
        except KeyError as error:
            raise LedgerError(
                f"Entry {entry.seq} of the ledger cannot follow those before it.",
                given=f"{entry.kind} of {entry.action_id!r}",
                do="nothing was spent; restore the ledger from a backup.",
            ) from error

    def _apply(self, entry: Entry) -> None:
        if entry.kind == "open":
            self.run_id, self.schema = entry.detail["run_id"], entry.detail["schema"]
            self.budgets = {name: Budget(limits) for name, limits in entry.detail["budgets"].items()}
            self.sessions.add(entry.session)
            return
        if entry.kind == "imagined":
            self.imagined[entry.detail["model_id"]] += entry.detail["count"]
            return
        assert entry.account is not None and entry.action_id is not None and entry.digest is not None
        account = self._accounts.setdefault(entry.account, _Account())
        if entry.kind == "reserve":
            self.outstanding[entry.action_id] = Open(
                entry.action_id, entry.digest, entry.account, entry.cost, entry.session
            )
            account.outstanding.update(entry.cost)
            return
        if entry.kind == "reconcile":
            account.unknown.subtract(self.unknown.pop(entry.action_id).at_most)
        else:
            reserved = self.outstanding.pop(entry.action_id)
            account.outstanding.subtract(reserved.at_most)
        if entry.kind == "unknown":
            self.unknown[entry.action_id] = Open(
                entry.action_id, entry.digest, entry.account, entry.cost, entry.session, entry.detail["reason"]
            )
            account.unknown.update(entry.cost)
        elif entry.kind in ("commit", "reconcile"):
            account.spent.update(entry.cost)

    def spent(self, account: str) -> Cost:
        return _cost(self._of(account).spent)

    def outstanding_in(self, account: str) -> Cost:
        return _cost(self._of(account).outstanding)

    def unknown_in(self, account: str) -> Cost:
        return _cost(self._of(account).unknown)

    def charged(self, account: str) -> Cost:
        """Everything that counts against the budget: spent, outstanding, and unknown at its worst."""
        return self.spent(account) + self.outstanding_in(account) + self.unknown_in(account)

    def _of(self, account: str) -> _Account:
        return self._accounts.get(account, _Account())


def _cost(counter: Counter[str]) -> Cost:
    return Cost({name: amount for name, amount in counter.items() if amount})
