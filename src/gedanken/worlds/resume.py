"""Going on with a run whose process ended: which episodes are closed as they are, and which is the next one.

What the ledger cannot vouch for became `unknown` when it was opened; it stays charged until somebody reconciles it.
An episode that was begun is never run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gedanken.experience.schema import EpisodeSummary
from gedanken.experience.transition import Episode, Outcome
from gedanken.worlds.act import INTERRUPTED, Record
from gedanken.worlds.ledger import Ledger


class ResumableRecord(Record, Protocol):
    """A record that knows which of its episodes have no end; `gedanken.experience.store.Experience` is one."""

    def summaries(self) -> Sequence[EpisodeSummary]: ...

    def episode(self, episode_id: str) -> Episode: ...


def close_interrupted(record: ResumableRecord) -> list[str]:
    """Ends every episode that has none, and returns their ids. For the record's only writer, before it acts.

    Where the last recorded step had ended the episode, only the word on its outcome was lost, and the outcome is not
    known; otherwise the episode was interrupted, and says so.
    """
    closed = []
    for summary in record.summaries():
        if summary.complete:
            continue
        episode_id = summary.header.episode_id
        over = False
        if summary.length:
            episode = record.episode(episode_id)
            over = bool(episode.terminated[-1] or episode.truncated[-1])
        record.end(episode_id, Outcome() if over else Outcome(failure_mode=INTERRUPTED, labelled_by="gedanken"))
        closed.append(episode_id)
    return closed


def next_episode_index(ledger: Ledger, account: str) -> int:
    """The first index of which no episode was ever begun on this account: where a resumed run goes on."""
    begun = [
        entry.detail["episode_index"]
        for entry in ledger.entries()
        if entry.kind == "reserve" and entry.account == account and "episode_index" in entry.detail
    ]
    return max(begun, default=-1) + 1
