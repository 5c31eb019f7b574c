"""The store against a plain dictionary, under any order of what can be done to it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gedanken.errors import StoreError
from gedanken.experience import Experience, Outcome
from tests.experience.examples import check_consistent, create, header, step

outcomes = st.builds(
    Outcome, st.sampled_from([None, True, False]), st.sampled_from([None, "fell"]), st.sampled_from([None, "ada"])
)


class StoreMachine(RuleBasedStateMachine):
    """`told` is what the store must hold: episode -> (rewards, outcome or None while it runs)."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.told: dict[str, tuple[list[int], Outcome | None]] = {}
        self.over: set[str] = set()
        self.number = 0

    @initialize(seal_rows=st.integers(1, 12))
    def start(self, seal_rows: int) -> None:
        self.seal_rows = seal_rows
        self.store = create(self.folder / "x", seal_rows=seal_rows)
        self.reader = Experience.open(self.folder / "x")

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    def _running(self) -> list[str]:
        return [name for name, (_, outcome) in self.told.items() if outcome is None and name not in self.over]

    @rule()
    def begin(self) -> None:
        name = f"e{len(self.told)}"
        self.store.begin(header(name))
        self.told[name] = ([], None)

    @precondition(lambda self: self._running())
    @rule(which=st.integers(0, 100), count=st.integers(1, 9), last=st.booleans())
    def append(self, which: int, count: int, last: bool) -> None:
        name = self._running()[which % len(self._running())]
        numbers = range(self.number, self.number + count)
        self.store.append(name, [step(each, terminated=last and each == numbers[-1]) for each in numbers])
        self.told[name][0].extend(numbers)
        self.number += count
        if last:
            self.over.add(name)

    @precondition(lambda self: any(outcome is None for _, outcome in self.told.values()))
    @rule(which=st.integers(0, 100), outcome=outcomes)
    def end(self, which: int, outcome: Outcome) -> None:
        open_ = [name for name, (_, known) in self.told.items() if known is None]
        name = open_[which % len(open_)]
        self.store.end(name, outcome)
        self.told[name] = (self.told[name][0], outcome)

    @precondition(lambda self: self.told)
    @rule(which=st.integers(0, 100))
    def what_is_against_the_rules_changes_nothing(self, which: int) -> None:
        name = list(self.told)[which % len(self.told)]
        with pytest.raises(StoreError):
            self.store.begin(header(name))
        if name in self.over or self.told[name][1] is not None:
            with pytest.raises(StoreError):
                self.store.append(name, [step(self.number)])

    @rule()
    def seal(self) -> None:
        self.store.seal()

    @rule(torn=st.binary(max_size=30))
    def crash_and_reopen(self, torn: bytes) -> None:
        self.store.close()
        with max((self.folder / "x").glob("journal-*")).open("ab") as file:
            file.write(torn)
        self.store = Experience.open(self.folder / "x", write=True, seal_rows=self.seal_rows)
        assert (self.store.recovered is None) == (not torn)

    @rule()
    def refresh(self) -> None:
        self.reader.refresh()
        assert len(self.reader) == len(self.store)
        self._compare(self.reader)
        check_consistent(self.reader, sql=False)

    @rule()
    def ask_in_sql(self) -> None:
        check_consistent(self.store)

    @invariant()
    def holds_what_was_told(self) -> None:
        if hasattr(self, "store"):
            self._compare(self.store)

    def _compare(self, store: Experience) -> None:
        summaries = store.summaries()
        assert [summary.header.episode_id for summary in summaries] == list(self.told)
        for summary, (numbers, outcome) in zip(summaries, self.told.values(), strict=True):
            assert (summary.length, summary.total_reward) == (len(numbers), sum(numbers))
            assert summary.complete == (outcome is not None)
            assert summary.outcome == (outcome or Outcome())
        arrays = store.arrays()
        assert arrays.reward.tolist() == list(range(self.number))


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=10, stateful_step_count=25, deadline=None)
