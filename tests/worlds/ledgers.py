"""Opening ledgers, and copies of their files, in tests."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from gedanken.experience.cost import Budget, Cost
from gedanken.worlds.ledger import Ledger, StoredOutcome, digest_of

RUN = "run"
DIGEST = digest_of("the payload")
FILES = ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite.mirror")


def opened(folder: Path, *, budgets: Mapping[str, Budget] | None = None, run_id: str = RUN, **steps: int) -> Ledger:
    """A ledger in `folder` with the accounts `learn` (10 steps, or as given) and `check` (no limit)."""
    limits = {"learn": Budget(steps=10), "check": Budget()} | {name: Budget(steps=n) for name, n in steps.items()}
    return Ledger.open(folder / "ledger.sqlite", budgets=budgets or limits, run_id=run_id)


def reserve(ledger: Ledger, action_id: str, steps: int, *, account: str = "learn") -> StoredOutcome | None:
    """Reserves, and gives back what was stored if the action was done before."""
    granted = ledger.reserve(action_id, DIGEST, Cost(steps=steps), account=account)
    return granted if isinstance(granted, StoredOutcome) else None


def pay(ledger: Ledger, action_id: str, steps: int, *, account: str = "learn") -> None:
    assert reserve(ledger, action_id, steps, account=account) is None
    ledger.commit(action_id, Cost(steps=steps), {"return": 1.5})


def charged(ledger: Ledger, account: str = "learn") -> int:
    balance = ledger.balance(account)
    return (balance.spent + balance.outstanding + balance.unknown).of("steps")


def copied(source: Path, target: Path) -> Path:
    """The files of a ledger that nobody has open any more, as a power cut would leave them."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    return target
