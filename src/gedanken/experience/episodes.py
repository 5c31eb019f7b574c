"""The episodes of a store: a fold over their begin and end events, kept in memory at some hundred bytes an episode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from gedanken.errors import StoreError
from gedanken.experience.reading import Assembly, blocks
from gedanken.experience.rows import Chunk, Rows
from gedanken.experience.schema import BEGIN, SOURCES, EpisodeSummary, Schema, header_of, outcome_of
from gedanken.experience.transition import Episode, EpisodeHeader, Outcome, Provenance

SUMMARIES = pa.schema(
    [
        ("episode_id", pa.string()),
        ("world", pa.string()),
        ("policy", pa.string()),
        ("account", pa.string()),
        ("task", pa.string()),
        ("seed", pa.int64()),
        ("success", pa.bool_()),
        ("failure_mode", pa.string()),
        ("labelled_by", pa.string()),
        ("complete", pa.bool_()),
        ("length", pa.int64()),
        ("total_reward", pa.float64()),
        ("source", pa.string()),
        ("started", pa.timestamp("us", "UTC")),
        ("ended", pa.timestamp("us", "UTC")),
    ]
)
"""The view `episodes` of `Experience.query`."""


@dataclass
class Entry:
    """One episode. Its steps lie among the store's rows `first_row` to `last_row` (not included)."""

    header: EpisodeHeader
    task: str | None
    first_row: int
    last_row: int
    started: datetime
    ended: datetime | None = None
    outcome: Outcome = field(default_factory=Outcome)
    length: int = 0
    total_reward: float = 0.0
    source: int = 0
    over: bool = False

    def count(self, rewards: np.ndarray, sources: np.ndarray, over: bool, last_row: int) -> None:
        """Takes note of steps that were appended."""
        self.length += len(rewards)
        self.total_reward += float(rewards.sum())
        self.source = max(self.source, int(sources.max(initial=0)))
        self.over = self.over or over
        self.last_row = last_row

    def forget(self) -> None:
        """Takes the note back, to count again."""
        self.length, self.total_reward, self.source, self.over, self.last_row = 0, 0.0, 0, False, self.first_row

    def summary(self) -> EpisodeSummary:
        return EpisodeSummary(
            header=self.header,
            outcome=self.outcome,
            complete=self.ended is not None,
            length=self.length,
            total_reward=self.total_reward,
            source=SOURCES[self.source],
            started=self.started,
            ended=self.ended,
        )


@dataclass
class EpisodeIndex:
    """All episodes in the order they began. `folded` counts the events that were taken in."""

    entries: list[Entry] = field(default_factory=list)
    ordinals: dict[str, int] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    folded: int = 0

    def fold(self, events: pa.Table | pa.RecordBatch) -> None:
        """Takes in events, in order."""
        for event in events.to_pylist():
            if event["event"] == BEGIN:
                self._begin(event)
            else:
                self._end(event)
            self.folded += 1

    def of(self, episode_id: str) -> Entry:
        """The episode of this id.

        Raises:
            StoreError: there is none.
        """
        if episode_id not in self.ordinals:
            raise StoreError(
                "There is no such episode.",
                given=repr(episode_id),
                expected=f"one of the {len(self.entries)} episodes that began",
                do="call begin(header) first, or look at headers().",
            )
        return self.entries[self.ordinals[episode_id]]

    def recount(self, blocks: Iterable[tuple[int, Rows]]) -> None:
        """Counts the steps of episodes without an end from the rows themselves, from `first_running_row` on."""
        for ordinal in self.running:
            self.entries[ordinal].forget()
        for first, rows in blocks:
            episode = rows.values["episode"]
            for ordinal in self.running.intersection(np.unique(episode).tolist()):
                at = np.flatnonzero(episode == ordinal)
                mine = rows.values[at]
                over = bool((mine["terminated"] | mine["truncated"]).any())
                self.entries[ordinal].count(mine["reward"], mine["source"], over, first + int(at[-1]) + 1)

    def first_running_row(self) -> int:
        """Where the steps of the first episode without an end may begin. There must be one."""
        return min(self.entries[ordinal].first_row for ordinal in self.running)

    def table(self) -> pa.Table:
        """One row an episode, as `SUMMARIES` says."""
        records = [_record(entry) for entry in self.entries]
        columns = zip(*records, strict=True) if records else ([] for _ in SUMMARIES)
        typed = [pa.array(column, kind.type) for column, kind in zip(columns, SUMMARIES, strict=True)]
        return pa.table(typed, SUMMARIES)

    def _begin(self, event: Mapping[str, Any]) -> None:
        header, row = header_of(event), event["row"]
        self.running.add(len(self.entries))
        self.ordinals[header.episode_id] = len(self.entries)
        self.entries.append(Entry(header, event["task"], row, row, event["at"]))

    def _end(self, event: Mapping[str, Any]) -> None:
        entry = self.of(event["episode_id"])
        self.running.discard(self.ordinals[event["episode_id"]])
        entry.ended, entry.outcome, entry.last_row = event["at"], outcome_of(event), event["row"]
        entry.length, entry.total_reward = event["length"], event["total_reward"]
        entry.source = SOURCES.index(event["source"])


def read_episode(schema: Schema, chunks: Sequence[Chunk], entry: Entry, ordinal: int) -> Episode:
    """One episode with all its steps."""
    assembly = Assembly(schema, entry.length, float32=False)
    count, provenance = 0, Provenance(SOURCES[entry.source])
    for _, rows in blocks(chunks, entry.first_row, entry.last_row):
        mine = rows.where(np.flatnonzero(rows.values["episode"] == ordinal))
        assembly.put(slice(count, count + len(mine)), mine)
        count += len(mine)
        models = mine.values["model"][(mine.values["source"] == entry.source) & (mine.values["model"] >= 0)]
        if len(models) and provenance.model_id is None:
            provenance = Provenance(provenance.source, rows.models[models[0]])
    steps = assembly.finish(count, next_row=entry.last_row)
    return Episode(
        header=entry.header,
        observations=np.concatenate([steps.observation, steps.next_observation[-1:]]),
        actions=steps.action,
        rewards=steps.reward,
        terminated=steps.terminated,
        truncated=steps.truncated,
        costs=steps.costs,
        durations_ms=steps.duration_ms,
        log_probabilities=steps.log_probability,
        outcome=entry.outcome,
        complete=entry.ended is not None,
        provenance=provenance,
    )


def _record(entry: Entry) -> tuple[Any, ...]:
    header, outcome = entry.header, entry.outcome
    return (
        *(header.episode_id, header.world, header.policy, header.account, entry.task, header.seed),
        *(outcome.success, outcome.failure_mode, outcome.labelled_by),
        *(entry.ended is not None, entry.length, entry.total_reward, SOURCES[entry.source]),
        *(entry.started, entry.ended),
    )
