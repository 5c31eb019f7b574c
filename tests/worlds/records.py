"""A record in memory that says in which order it was called."""

from __future__ import annotations

from gedanken.errors import StoreError
from gedanken.experience.transition import EpisodeHeader, Outcome, Transition


class MemoryRecord:
    def __init__(self) -> None:
        self.headers: dict[str, EpisodeHeader] = {}
        self.steps: dict[str, list[Transition]] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.appended: list[int] = []
        self.full = False

    def begin(self, header: EpisodeHeader) -> None:
        if self.full:
            raise StoreError("The disk is full.")
        self.headers[header.episode_id] = header
        self.steps[header.episode_id] = []

    def append(self, episode_id: str, transitions: list[Transition]) -> None:
        if self.full:
            raise StoreError("The disk is full.")
        self.steps[episode_id] += transitions
        self.appended.append(len(transitions))

    def end(self, episode_id: str, outcome: Outcome) -> None:
        assert episode_id not in self.outcomes
        self.outcomes[episode_id] = outcome
