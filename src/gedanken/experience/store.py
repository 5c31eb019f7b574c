"""The store of everything that was paid for: what `append` returned for is there, whatever happens to the process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import gymnasium as gym
import numpy as np
import pyarrow as pa

from gedanken.errors import StoreError
from gedanken.experience.episodes import read_episode
from gedanken.experience.log import Log
from gedanken.experience.query import run_query
from gedanken.experience.reading import Assembly, blocks
from gedanken.experience.rows import Rows
from gedanken.experience.sampling import Mask, Sampler
from gedanken.experience.schema import SOURCES, EpisodeSummary, Schema, TransitionArrays, begin_event, end_event
from gedanken.experience.transition import Episode, EpisodeHeader, Outcome, Source, Transition

SEAL_ROWS = 50_000


class Experience:
    """Episodes on disk, in a folder: one writer, any number of readers, also while it writes.

    A reader shows the store as it was when it was opened or last told to `refresh`. Memory grows with the number of
    episodes (some hundred bytes each) and is bounded in the number of steps. One object may be shared by threads, but
    not with a forked process.

    Attributes:
        schema: the columns, which follow from the world's spaces.
    """

    def __init__(self, log: Log) -> None:
        """Use `Experience.create` or `Experience.open`."""
        self._log, self.schema, self._index = log, log.schema, log.index
        self._samplers: dict[tuple[str | None, Source | None], Sampler] = {}

    # --- Opening and closing ------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        world: str,
        seal_rows: int = SEAL_ROWS,
    ) -> Self:
        """Makes an empty store and opens it for writing.

        Args:
            path: a folder that is missing, or holds no store yet.
            observation_space, action_space: what the world's `gymnasium.Env` names.
            world: the name of the world.
            seal_rows: how many steps gather in the journal before they are sealed as a Parquet segment.

        Raises:
            StoreError: there is a store already, or the disk refuses.
            UnsupportedSpace: a space is of a kind that cannot be described (see `space_to_json`).
        """
        schema = Schema(world, observation_space, action_space)
        return cls(Log.create(Path(path), schema, seal_rows=seal_rows))

    @classmethod
    def open(cls, path: Path | str, *, write: bool = False, seal_rows: int = SEAL_ROWS) -> Self:
        """Opens a store that exists, for reading or, with `write`, for appending too.

        Raises:
            StoreError: there is no store, it is damaged or of another version, or somebody else is writing to it.
        """
        return cls(Log.open(Path(path), write=write, seal_rows=seal_rows))

    def close(self) -> None:
        """Lets the next writer in. Nothing is left to be finished: reading this object still works afterwards."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- Writing ------------------------------------------------------------------------------------------------------

    def begin(self, header: EpisodeHeader) -> None:
        """Records that an episode begins. On disk when this returns.

        Raises:
            StoreError: an episode of this id began before, a value has the wrong type, or the disk refuses.
        """
        with self._log.writing():
            if not isinstance(header.episode_id, str) or not header.episode_id:
                raise StoreError("An episode needs an id.", given=repr(header.episode_id), expected="some text")
            if header.episode_id in self._index.ordinals:
                raise StoreError(
                    "An episode of this id began before.",
                    given=repr(header.episode_id),
                    expected="an id that is new to this store",
                    do="derive the id from what the episode is: world, run, task, seed, number.",
                )
            self._log.write_event(begin_event(header, len(self)))

    def append(self, episode_id: str, transitions: Sequence[Transition]) -> None:
        """Stores what happened next in an episode. On disk when this returns, all of it or, on an error, nothing.

        Raises:
            StoreError: the episode did not begin, has ended or is over (a step before was terminated or truncated), a
                value is none of its space, or the disk refuses.
        """
        if not transitions:
            return
        with self._log.writing():
            entry = self._index.of(episode_id)
            ended = [each.terminated or each.truncated for each in transitions]
            if entry.ended is not None or entry.over or any(ended[:-1]):
                raise StoreError(
                    "An episode goes on after its end.",
                    given=f"{len(transitions)} steps for {episode_id!r}",
                    expected="no step after one that is terminated or truncated, or after end()",
                    do="begin a new episode.",
                )
            batch = self.schema.encode_steps(episode_id, entry.length, transitions)
            self._log.write_steps(batch, entry)
            self._log.seal_if_due()

    def end(self, episode_id: str, outcome: Outcome) -> None:
        """Records how an episode ended. On disk when this returns.

        Raises:
            StoreError: the episode did not begin or has ended, a value has the wrong type, or the disk refuses.
        """
        with self._log.writing():
            entry = self._index.of(episode_id)
            if entry.ended is not None:
                raise StoreError("This episode has ended before.", given=repr(episode_id), do="begin a new episode.")
            self._log.write_event(end_event(entry.summary(), len(self), outcome))

    def seal(self) -> None:
        """Seals now what the journal holds. Happens by itself every `seal_rows` steps; nothing depends on it.

        Raises:
            StoreError: the disk refuses; nothing is lost, and sealing can be tried again.
        """
        with self._log.writing():
            self._log.seal()

    # --- Reading ------------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The folder."""
        return self._log.root

    @property
    def recovered(self) -> str | None:
        """In words, what a crash had left unfinished and was cut off on opening; None where nothing was."""
        return self._log.recovered

    @property
    def world(self) -> str:
        """The name of the world."""
        return self.schema.world

    @property
    def observation_space(self) -> gym.Space[Any]:
        """The space of the observations."""
        return self.schema.observation_space

    @property
    def action_space(self) -> gym.Space[Any]:
        """The space of the actions."""
        return self.schema.action_space

    def __len__(self) -> int:
        return self._log.snapshot.steps_tail.stop

    @property
    def episode_count(self) -> int:
        """How many episodes began."""
        return len(self._index.entries)

    def refresh(self) -> int:
        """Takes in what the writer, in another process, has stored since; how many steps that were. 0 for a writer."""
        before = len(self)
        self._log.refresh()
        return len(self) - before

    def headers(self) -> list[EpisodeHeader]:
        """All episodes that began, in that order."""
        return [entry.header for entry in self._index.entries]

    def summaries(self) -> list[EpisodeSummary]:
        """All episodes that began, in that order, with what is known of them without reading their steps."""
        return [entry.summary() for entry in self._index.entries]

    def episode(self, episode_id: str) -> Episode:
        """One episode with all its steps. Its observations are [T + 1, ...], or [0, ...] where it has no step yet.

        Raises:
            StoreError: there is no such episode.
        """
        with self._log.guard:
            entry, chunks = self._index.of(episode_id), self._log.chunks()
        return read_episode(self.schema, chunks, entry, self._index.ordinals[episode_id])

    def episodes(
        self, *, account: str | None = None, complete: bool | None = None, source: Source | None = "real"
    ) -> Iterator[Episode]:
        """Episodes with at least one step, in the order they began, one in memory at a time.

        Args:
            account: only those paid from this account; None for all.
            complete: only those with (True) or without (False) a recorded end; None for both.
            source: only those whose least real step has this source, so "real" is real throughout; None for all.
        """
        with self._log.guard:
            entries, chunks = list(self._index.entries), self._log.chunks()
        for ordinal, entry in enumerate(entries):
            if (
                entry.length
                and account in (None, entry.header.account)
                and complete in (None, entry.ended is not None)
                and source in (None, SOURCES[entry.source])
            ):
                yield read_episode(self.schema, chunks, entry, ordinal)

    def arrays(
        self,
        *,
        account: str | None = "learn",
        start_row: int = 0,
        source: Source | None = "real",
        float32: bool = False,
    ) -> TransitionArrays:
        """All transitions from row `start_row` of the store on, as columns, in the order they were appended.

        A trainer fetches what is new by `arrays(start_row=before.next_row)`.

        Args:
            account: only those paid from this account; None for all.
            start_row: counts all rows of the store, of whatever account.
            source: only those of this provenance; None for all.
            float32: makes float32 of all columns of floating-point numbers.
        """
        stop = len(self)
        assembly = Assembly(self.schema, max(0, stop - start_row), float32=float32)
        count = 0
        for rows in self.stream(account=account, start_row=start_row, stop_row=stop, source=source):
            assembly.put(slice(count, count + len(rows)), rows)
            count += len(rows)
        return assembly.finish(count, next_row=stop)

    def stream(
        self,
        *,
        account: str | None = "learn",
        start_row: int = 0,
        stop_row: int | None = None,
        source: Source | None = "real",
    ) -> Iterator[Rows]:
        """What `arrays` would give, as raw rows, some megabytes at a time."""
        with self._log.guard:
            chunks, stop = self._log.chunks(), len(self)
        wanted = self._mask(account, source)
        for _, rows in blocks(chunks, start_row, stop if stop_row is None else min(stop, stop_row)):
            mask = wanted(rows)
            if mask.any():
                yield rows.where(mask)

    def sample(
        self,
        n: int,
        rng: np.random.Generator,
        *,
        account: str | None = "learn",
        source: Source | None = "real",
        float32: bool = False,
    ) -> TransitionArrays:
        """`n` transitions, uniformly and with replacement. Only these are read, however many there are.

        Raises:
            StoreError: no transition of this account and source is stored.
        """
        with self._log.guard:
            chunks, stop = self._log.chunks(), len(self)
            sampler = self._samplers.setdefault((account, source), Sampler(self._mask(account, source)))
            pieces = sampler.draw(chunks, n, rng)
        if n and not pieces:
            raise StoreError(
                "There is no transition to sample.",
                given=f"account={account!r}, source={source!r} among {stop} transitions",
                expected="at least one",
                do="collect some first, or ask for another account or source.",
            )
        assembly = Assembly(self.schema, n, float32=float32)
        for places, rows in pieces:
            assembly.put(places, rows)
        return assembly.finish(n, next_row=stop)

    def query(self, sql: str) -> pa.Table:
        """Answers a question in SQL (DuckDB) about the views `steps` and `episodes`. Files are out of its reach.

        Raises:
            ConfigError: the SQL is wrong.
        """
        with self._log.guard:
            segments = [segment.path for segment in self._log.snapshot.steps]
            tail, episodes = self._log.snapshot.steps_tail.table(), self._index.table()
        return run_query(sql, segments, tail, episodes)

    def _mask(self, account: str | None, source: Source | None) -> Mask:
        """Which rows belong to this account and have this source."""
        entries = self._index.entries

        def wanted(rows: Rows) -> np.ndarray:
            mask = np.full(len(rows), True) if source is None else rows.values["source"] == SOURCES.index(source)
            if account is not None:
                ordinals, where = np.unique(rows.values["episode"], return_inverse=True)
                mask &= np.array([entries[each].header.account == account for each in ordinals], bool)[where]
            return mask

        return wanted
