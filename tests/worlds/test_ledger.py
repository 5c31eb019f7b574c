"""The ledger's protocol: what it admits, what it refuses, and what it never forgets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gedanken.errors import BudgetRefused, ConfigError, LedgerError, WorldError
from gedanken.experience.cost import Budget, Cost
from gedanken.worlds.ledger import Ledger, Reservation, StoredOutcome
from tests.worlds.ledgers import DIGEST, charged, opened, pay, reserve


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path) as ledger:
        yield ledger


def test_a_reservation_is_charged_until_it_is_settled(ledger: Ledger) -> None:
    granted = ledger.reserve("a", DIGEST, Cost(steps=4), account="learn")
    assert granted == Reservation("a", DIGEST, "learn", Cost(steps=4))
    balance = ledger.balance("learn")
    assert (balance.spent, balance.outstanding, balance.left) == (Cost(), Cost(steps=4), Budget(steps=6))

    ledger.commit("a", Cost(steps=3))
    balance = ledger.balance("learn")
    assert (balance.spent, balance.outstanding, balance.left) == (Cost(steps=3), Cost(), Budget(steps=7))


def test_outstanding_reservations_count_against_the_budget(ledger: Ledger) -> None:
    reserve(ledger, "a", 6)
    with pytest.raises(BudgetRefused, match="at most Budget\\(steps=4\\)"):
        reserve(ledger, "b", 5)
    reserve(ledger, "b", 4)
    with pytest.raises(BudgetRefused):
        reserve(ledger, "c", 1)
    assert [entry.kind for entry in ledger.entries()] == ["open", "reserve", "reserve"], "a refusal writes nothing"


def test_accounts_are_apart_and_resources_without_a_limit_are_free_to_spend(ledger: Ledger) -> None:
    pay(ledger, "a", 10)
    pay(ledger, "b", 10_000, account="check")
    ledger.reserve("c", DIGEST, Cost(micro_usd=5), account="learn")
    assert ledger.balance("check").left == Budget()
    assert ledger.balance("learn").left == Budget(steps=0)
    with pytest.raises(ConfigError, match="no such account"):
        reserve(ledger, "d", 1, account="nobody")
    with pytest.raises(ConfigError, match="no such account"):
        ledger.balance("nobody")


def test_a_budget_of_zero_forbids(tmp_path: Path) -> None:
    with opened(tmp_path, learn=0) as ledger:
        with pytest.raises(BudgetRefused):
            reserve(ledger, "a", 1)
        assert reserve(ledger, "a", 0) is None


def test_the_same_action_is_never_paid_for_twice(ledger: Ledger) -> None:
    pay(ledger, "a", 3)
    assert reserve(ledger, "a", 3) == StoredOutcome("a", DIGEST, "learn", Cost(steps=3), {"return": 1.5})
    assert charged(ledger) == 3
    with pytest.raises(LedgerError, match="used before for something else"):
        ledger.reserve("a", "another digest", Cost(steps=3), account="learn")
    with pytest.raises(LedgerError, match="whose last entry is 'commit'"):
        ledger.commit("a", Cost(steps=3))


def test_an_outstanding_action_cannot_be_reserved_again(ledger: Ledger) -> None:
    reserve(ledger, "a", 3)
    with pytest.raises(LedgerError, match="wait until whoever reserved it settles it"):
        reserve(ledger, "a", 3)


def test_a_release_gives_everything_back_and_the_id_stays_bound_to_its_digest(ledger: Ledger) -> None:
    reserve(ledger, "a", 10)
    ledger.release("a", "the gripper was locked")
    assert charged(ledger) == 0
    with pytest.raises(LedgerError, match="used before for something else"):
        ledger.reserve("a", "another digest", Cost(steps=3), account="learn")
    pay(ledger, "a", 10)


def test_an_unknown_action_is_charged_in_full_until_it_is_reconciled(ledger: Ledger) -> None:
    reserve(ledger, "a", 8)
    ledger.unknown("a", "no answer")
    assert ledger.balance("learn").unknown == Cost(steps=8)
    assert [(open_.action_id, open_.reason) for open_ in ledger.unknowns()] == [("a", "no answer")]
    with pytest.raises(BudgetRefused):
        reserve(ledger, "b", 3)
    with pytest.raises(LedgerError, match=r"call Ledger\.reconcile"):
        reserve(ledger, "a", 8)
    with pytest.raises(LedgerError, match=r"use Ledger\.reconcile"):
        ledger.commit("a", Cost(steps=1))

    ledger.reconcile("a", Cost(steps=2), "counted on the video")
    assert ledger.unknowns() == []
    assert ledger.balance("learn").spent == Cost(steps=2)
    assert reserve(ledger, "a", 8) == StoredOutcome("a", DIGEST, "learn", Cost(steps=2), None)
    with pytest.raises(LedgerError, match="Only an unknown action"):
        ledger.reconcile("a", Cost(steps=2), "again")


@pytest.mark.parametrize("settle", ["commit", "release", "unknown"])
def test_only_what_was_reserved_can_be_settled(ledger: Ledger, settle: str) -> None:
    argument = Cost(steps=1) if settle == "commit" else "reason"
    with pytest.raises(LedgerError, match="never reserved"):
        getattr(ledger, settle)("a", argument)


def test_a_cost_above_its_reservation_is_charged_as_it_was_and_then_raised(ledger: Ledger) -> None:
    reserve(ledger, "a", 4)
    with pytest.raises(WorldError, match="cost more than the most"):
        ledger.commit("a", Cost(steps=12), "outcome")
    balance = ledger.balance("learn")
    assert (balance.spent, balance.left) == (Cost(steps=12), Budget(steps=0))
    stored = reserve(ledger, "a", 4)
    assert stored is not None and stored.outcome == "outcome"


def test_an_outcome_that_json_cannot_hold_leaves_the_reservation_as_it_was(ledger: Ledger) -> None:
    reserve(ledger, "a", 4)
    for outcome in (object(), float("nan")):
        with pytest.raises(LedgerError, match="cannot be written into the ledger"):
            ledger.commit("a", Cost(steps=4), outcome)
    ledger.commit("a", Cost(steps=4), {"text": "grün\n", "numbers": [1, 2.5, None]})
    stored = reserve(ledger, "a", 4)
    assert stored is not None and stored.outcome == {"text": "grün\n", "numbers": [1, 2.5, None]}


def test_imagined_steps_cost_nothing_and_name_their_model(ledger: Ledger) -> None:
    ledger.imagined(100, "m1")
    ledger.imagined(50, "m1")
    ledger.imagined(7, "m2")
    assert ledger.imagined_steps() == {"m1": 150, "m2": 7}
    assert charged(ledger) == 0


def test_everything_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        pay(ledger, "a", 3)
        reserve(ledger, "b", 2)
        ledger.unknown("b", "?")
        before = list(ledger.entries())
    with Ledger.open(tmp_path / "ledger.sqlite", run_id="run") as ledger:
        assert list(ledger.entries())[: len(before)] == before
        assert ledger.recovered == ""
        assert ledger.balance("learn").spent == Cost(steps=3)
        assert ledger.balance("learn").unknown == Cost(steps=2)
        assert ledger.budgets() == {"learn": Budget(steps=10), "check": Budget()}
        assert ledger.verify() == len(before) + 1


def test_closing_leaves_nothing_outstanding(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    reserve(ledger, "a", 3)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="can no longer be used"):
        reserve(ledger, "b", 1)
    assert list((tmp_path / "ledger.sqlite.sessions").iterdir()) == []
    with opened(tmp_path) as ledger:
        assert [open_.reason for open_ in ledger.unknowns()] == ["the ledger was closed before it was settled"]


def test_two_handles_see_each_other(tmp_path: Path) -> None:
    with opened(tmp_path) as one, opened(tmp_path) as other:
        reserve(one, "a", 6)
        assert other.balance("learn").outstanding == Cost(steps=6), "its owner is alive, so it is not unknown"
        with pytest.raises(BudgetRefused):
            reserve(other, "b", 5)
        one.commit("a", Cost(steps=1))
        reserve(other, "b", 5)
        assert charged(one) == 6
        assert one.verify() == other.verify() == 5


def test_another_run_and_other_budgets(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        pay(ledger, "a", 3)
        with pytest.raises(LedgerError, match="belongs to another run"):
            opened(tmp_path, run_id="another")
        with pytest.raises(LedgerError, match="budgets differ"):
            opened(tmp_path, learn=50)
    with opened(tmp_path, learn=50) as ledger:
        assert ledger.balance("learn").left == Budget(steps=47)
    with opened(tmp_path, learn=2) as ledger:
        assert ledger.balance("learn").left == Budget(steps=0)


def test_a_new_ledger_needs_budgets_and_a_place_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs budgets"):
        Ledger.open(tmp_path / "ledger.sqlite", run_id="run")
    with pytest.raises(LedgerError, match="cannot be opened"):
        opened(tmp_path / "ledger.sqlite" / "below")


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    before = (tmp_path / "ledger.sqlite").read_bytes()
    with pytest.raises(LedgerError, match="something else than a ledger"):
        opened(tmp_path)
    assert (tmp_path / "ledger.sqlite").read_bytes() == before


def test_the_table_refuses_changes(tmp_path: Path) -> None:
    import sqlite3

    with opened(tmp_path) as ledger:
        pay(ledger, "a", 3)
    database = sqlite3.connect(tmp_path / "ledger.sqlite")
    for statement in (
        "UPDATE entries SET line = '{}' WHERE seq = 2",
        "DELETE FROM entries WHERE seq = 3",
        "INSERT INTO entries (seq, line) VALUES (9, '{}')",
        "INSERT OR REPLACE INTO entries (seq, line) VALUES (2, '{}')",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute(statement)
    database.close()


def test_a_forked_child_must_open_its_own(ledger: Ledger) -> None:
    reserve(ledger, "a", 3)
    child = os.fork()
    if child == 0:
        verdict = 1
        try:
            ledger.commit("a", Cost(steps=3))
        except LedgerError as error:
            ledger.close()
            verdict = 7 if "does not survive a fork" in str(error) else 2
        finally:
            os._exit(verdict)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    ledger.commit("a", Cost(steps=3))


def test_the_cost_of_an_entry_does_not_grow_with_the_log(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    from gedanken.worlds import journal

    for number in range(30):
        pay(ledger, f"a{number}", 0)
    parsed = []
    real = journal.parse
    monkeypatch.setattr(journal, "parse", lambda line: parsed.append(line) or real(line))
    ledger.reserve("b", DIGEST, Cost(), account="learn")
    ledger.commit("b", Cost())
    ledger.balance("learn")
    assert len(parsed) <= 2, "the whole log was read again"
