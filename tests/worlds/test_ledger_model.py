"""The ledger against a model of it that fits on a page, through any sequence of calls, crashes and reopenings."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gedanken.errors import BudgetRefused, LedgerError, WorldError
from gedanken.experience.cost import Cost
from gedanken.worlds.ledger import StoredOutcome
from tests.worlds.ledgers import copied, opened

BUDGET = 20
ids = st.sampled_from("abcdef")
amounts = st.integers(0, 9)


class LedgerMachine(RuleBasedStateMachine):
    """`state[id]` is (kind of the last entry, digest, amount charged, outcome)."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.ledger = opened(self.folder, learn=BUDGET)
        self.state: dict[str, tuple[str, str, int, object]] = {}

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)

    def total(self) -> int:
        return sum(amount for _, _, amount, _ in self.state.values())

    @rule(action=ids, digest=st.sampled_from("xy"), amount=amounts)
    def reserve(self, action: str, digest: str, amount: int) -> None:
        kind, known, paid, outcome = self.state.get(action, ("new", digest, 0, None))
        try:
            answer = self.ledger.reserve(action, digest, Cost(steps=amount), account="learn")
        except LedgerError:
            assert known != digest or kind in ("reserve", "unknown")
        except BudgetRefused:
            assert kind in ("new", "release") and self.total() + amount > BUDGET
        else:
            assert known == digest
            if isinstance(answer, StoredOutcome):
                assert kind in ("commit", "reconcile")
                assert (answer.actual, answer.outcome) == (Cost(steps=paid), outcome)
            else:
                assert kind in ("new", "release") and self.total() + amount <= BUDGET
                self.state[action] = ("reserve", digest, amount, None)

    @rule(action=ids, amount=amounts, outcome=st.none() | st.integers() | st.text())
    def commit(self, action: str, amount: int, outcome: object) -> None:
        kind, digest, reserved, _ = self.state.get(action, ("new", "", 0, None))
        try:
            self.ledger.commit(action, Cost(steps=amount), outcome)
        except LedgerError:
            assert kind != "reserve"
            return
        except WorldError:
            assert amount > reserved
        assert kind == "reserve"
        self.state[action] = ("commit", digest, amount, outcome)

    @rule(action=ids, way=st.sampled_from(["release", "unknown"]))
    def give_up(self, action: str, way: str) -> None:
        kind, digest, reserved, _ = self.state.get(action, ("new", "", 0, None))
        try:
            getattr(self.ledger, way)(action, "because")
        except LedgerError:
            assert kind != "reserve"
            return
        assert kind == "reserve"
        self.state[action] = (way, digest, 0 if way == "release" else reserved, None)

    @rule(action=ids, amount=amounts)
    def reconcile(self, action: str, amount: int) -> None:
        kind, digest, _, _ = self.state.get(action, ("new", "", 0, None))
        try:
            self.ledger.reconcile(action, Cost(steps=amount), "looked")
        except LedgerError:
            assert kind != "unknown"
            return
        assert kind == "unknown"
        self.state[action] = ("reconcile", digest, amount, None)

    @rule()
    def close_and_open(self) -> None:
        self.ledger.close()
        self.crash_state()
        self.ledger = opened(self.folder, learn=BUDGET)
        assert self.ledger.recovered == ""

    @rule()
    def crash_and_open(self) -> None:
        """The files as they are at this moment, opened by somebody who cannot ask us any more."""
        there = copied(self.folder, self.folder.with_name(self.folder.name + "-copy"))
        self.ledger.close()
        shutil.rmtree(self.folder)
        there.rename(self.folder)
        self.crash_state()
        self.ledger = opened(self.folder, learn=BUDGET)

    def crash_state(self) -> None:
        for action, (kind, digest, amount, outcome) in self.state.items():
            if kind == "reserve":
                self.state[action] = ("unknown", digest, amount, outcome)

    @precondition(lambda self: self.state)
    @invariant()
    def balances_agree(self) -> None:
        balance = self.ledger.balance("learn")
        for found, kinds in (
            (balance.spent, ("commit", "reconcile")),
            (balance.outstanding, ("reserve",)),
            (balance.unknown, ("unknown",)),
        ):
            assert found.of("steps") == sum(amount for kind, _, amount, _ in self.state.values() if kind in kinds)
        assert balance.left["steps"] == max(0, BUDGET - self.total())
        assert {o.action_id for o in self.ledger.unknowns()} == {a for a, s in self.state.items() if s[0] == "unknown"}


TestLedgerModel = LedgerMachine.TestCase
TestLedgerModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
