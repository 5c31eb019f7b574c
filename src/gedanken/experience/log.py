"""The durable half of a store: the log of steps and events, its writer, its recovery and its sealing."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from gedanken.errors import StoreError
from gedanken.experience.episodes import Entry, EpisodeIndex
from gedanken.experience.files import UNFINISHED, WriterLock, publish, sync_folder
from gedanken.experience.journal import EVENTS as EVENT_FRAME
from gedanken.experience.journal import STEPS as STEP_FRAME
from gedanken.experience.journal import Journal
from gedanken.experience.reading import blocks
from gedanken.experience.rows import Chunk, lay_out, open_row_file, write_row_file
from gedanken.experience.schema import EVENTS, SOURCES, Schema
from gedanken.experience.segments import (
    SEGMENTS,
    Segment,
    drop_journals,
    new_journal,
    read_segment,
    segment_of,
    take_snapshot,
    write_segment,
)
from gedanken.experience.tail import Tail

MANIFEST = "manifest.json"
LOCK = "writer.lock"
SEAL_BYTES = 256 * 2**20


class Log:
    """Numbered steps and numbered events on disk, with one writer and any number of readers.

    Attributes:
        root: the store's folder.
        schema: what its manifest says.
        index: the episodes that the events tell of.
        snapshot: what is stored.
        recovered: in words, what was cut off when it was opened; None where nothing was.
        guard: held while any of these change.
    """

    def __init__(self, root: Path, schema: Schema, lock: WriterLock | None, *, seal_rows: int) -> None:
        """Use `Log.create` or `Log.open`."""
        self.root, self.schema = root, schema
        self.guard = threading.RLock()
        self.index = EpisodeIndex()
        self.recovered: str | None = None
        self._lock, self._seal_rows, self._seal_at = lock, seal_rows, seal_rows
        self._process = os.getpid()
        self._consistent = True
        self._sealed: list[Chunk] = []  # of the first segments of the snapshot, in order
        self._journal: Journal | None = None
        self.snapshot = take_snapshot(root, schema, patience_s=0.0 if lock else 5.0)
        if lock:
            self._journal = self._recover()
        elif self.snapshot.unverified:
            self.recovered = (
                f"The last {self.snapshot.unverified} bytes of {self.snapshot.journals[-1].name} are no whole record "
                "and were left out: an append that is under way, or one that a crash cut short."
            )
        self._catch_up()

    @classmethod
    def create(cls, root: Path, schema: Schema, *, seal_rows: int) -> Self:
        """Makes an empty log and opens it for writing.

        Raises:
            StoreError: there is one already, or the disk refuses.
        """
        manifest = json.dumps(schema.to_json(), indent=1, allow_nan=False).encode()
        with told(root):
            (root / SEGMENTS).mkdir(parents=True, exist_ok=True)
        with cls._locked(root) as lock:
            _refuse_to_overwrite(root)
            new_journal(root, 0, 0)
            publish(root / MANIFEST, lambda file: file.write(manifest), label="create.manifest")
            sync_folder(root.parent)
            return cls(root, schema, lock, seal_rows=seal_rows)

    @classmethod
    def open(cls, root: Path, *, write: bool, seal_rows: int) -> Self:
        """Opens a log that exists.

        Raises:
            StoreError: there is none, it is damaged or of another version, or somebody else is writing to it.
        """
        with told(root):
            schema = Schema.from_json(_read_manifest(root))
            if not write:
                return cls(root, schema, None, seal_rows=seal_rows)
        with cls._locked(root) as lock:
            return cls(root, schema, lock, seal_rows=seal_rows)

    def close(self) -> None:
        """Lets the next writer in. Safe to call twice."""
        with self.guard:
            if self._journal:
                self._journal.close()
            if self._lock:
                self._lock.release()
            self._journal = self._lock = None

    def refresh(self) -> None:
        """Takes in what a writer in another process has stored since. A writer itself knows it all.

        Raises:
            StoreError: the store was damaged meanwhile.
        """
        with self.guard:
            if self._lock is None:
                with told(self.root):
                    self.snapshot = take_snapshot(self.root, self.schema, self.snapshot)
                self._catch_up()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Held around every change, so that what a change was decided on is still so when it is made.

        Raises:
            StoreError: this log was opened for reading, closed, forked, or interrupted.
        """
        with self.guard:
            if self._journal is None:
                raise StoreError(
                    "This experience is not open for writing.",
                    given=self.root,
                    do="use Experience.open(path, write=True).",
                )
            if self._process != os.getpid():
                raise StoreError(
                    "A forked process writes to the experience that its parent opened.",
                    expected="the process that opened it",
                    do="open it in the process that writes.",
                )
            if not self._consistent:
                raise StoreError(
                    "The last change to this experience was interrupted half-way.",
                    expected="a store whose memory and disk agree",
                    do="close it and open it again: it reads from disk what is true.",
                )
            yield

    def write_event(self, event: pa.RecordBatch) -> None:
        """Stores an event. On disk when this returns.

        Raises:
            StoreError: the disk refuses; nothing was stored.
        """
        with self._changing() as journal:
            tail = self.snapshot.events_tail
            journal.append(EVENT_FRAME, tail.stop, event.serialize().to_pybytes())
            tail.add(event)
            self.index.fold(event)

    def write_steps(self, steps: pa.RecordBatch, entry: Entry) -> None:
        """Stores steps of one episode. On disk when this returns.

        Raises:
            StoreError: the disk refuses; nothing was stored.
        """
        with self._changing() as journal:
            tail = self.snapshot.steps_tail
            journal.append(STEP_FRAME, tail.stop, steps.serialize().to_pybytes())
            tail.add(steps)
            sources = np.array([SOURCES.index(source) for source in steps.column("source").unique().to_pylist()])
            over = any(steps.column(name).true_count for name in ("terminated", "truncated"))
            entry.count(steps.column("reward").to_numpy(), sources, over, tail.stop)

    def seal_if_due(self) -> None:
        """Seals when enough has gathered. Where the disk refuses it warns and tries again later: nothing is at risk."""
        assert self._journal is not None
        gathered = len(self.snapshot.steps_tail)
        if gathered < self._seal_at and self._journal.size < SEAL_BYTES:
            return
        try:
            self.seal()
        except StoreError as error:
            self._seal_at = gathered + max(1, self._seal_rows // 10)
            message = f"Steps are safe in the journal, but could not be sealed. {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=4)

    def seal(self) -> None:
        """Moves what the journal holds into Parquet segments, and begins a new journal.

        Raises:
            StoreError: the disk refuses; nothing is lost.
        """
        now, steps, events = self.snapshot, self.snapshot.steps_tail, self.snapshot.events_tail
        with self._changing() as journal, told(self.root):
            if len(steps):
                segment = segment_of(self.root, "steps", steps.start, steps.stop)
                self._seal_rows_of(segment, steps.table())
                write_segment(segment.path, steps.table())
                now.steps, now.steps_tail = (*now.steps, segment), Tail(steps.schema, steps.stop)
            if len(events):
                segment = segment_of(self.root, "events", events.start, events.stop)
                write_segment(segment.path, events.table())
                now.events, now.events_tail = (*now.events, segment), Tail(events.schema, events.stop)
            if len(steps) or len(events):
                path = new_journal(self.root, now.steps_tail.stop, now.events_tail.stop)
                self._journal = Journal(path, 0)
                journal.close()
                sealed, now.journals, now.verified = now.journals, (path,), 0
                drop_journals(self.root, sealed)
        self._seal_at = self._seal_rows

    def chunks(self) -> list[Chunk]:
        """All steps, to be read in order or at random. Makes row files anew where they are missing.

        Raises:
            StoreError: a segment is damaged, or a row file is missing and cannot be made.
        """
        with self.guard:
            for segment in self.snapshot.steps[len(self._sealed) :]:
                self._sealed.append(self._open_rows(segment))
            return [*self._sealed, *self.snapshot.steps_tail.chunks(self.schema, self.index.ordinals)]

    # ------------------------------------------------------------------------------------------------------------------

    @classmethod
    @contextmanager
    def _locked(cls, root: Path) -> Iterator[WriterLock]:
        """The right to write, given back if what follows fails."""
        with told(root):
            lock = WriterLock(root / LOCK)
            try:
                yield lock
            except BaseException:
                lock.release()
                raise

    @contextmanager
    def _changing(self) -> Iterator[Journal]:
        """Around what must happen on disk and in memory both; an interrupt between the two is not papered over."""
        assert self._journal is not None
        self._consistent = False
        try:
            yield self._journal
        except StoreError:
            self._consistent = not self._journal.broken
            raise
        self._consistent = True

    def _recover(self) -> Journal:
        """Cuts off what a crash left unfinished, and removes what sealing left behind."""
        now = self.snapshot
        newest = now.journals[-1]
        if now.unverified:
            self.recovered = (
                f"The last {now.unverified} bytes of {newest.name} were no whole record, as a crash during an append "
                f"leaves them, and were cut off. All {now.steps_tail.stop} steps that were stored before are there."
            )
            if now.frames_behind:
                aside = _set_aside(newest, now.verified)
                self.recovered = (
                    f"{newest.name} is damaged at byte {now.verified} and was cut there, "
                    f"at step {now.steps_tail.stop}. {now.frames_behind} later records that can still be read were "
                    f"set aside in {aside.name}."
                )
        for folder in (self.root, self.root / SEGMENTS):
            for unfinished in folder.glob(f"*{UNFINISHED}"):
                unfinished.unlink()
        for orphan in {*(self.root / SEGMENTS).glob("*.rows")} - {segment.row_file for segment in now.steps}:
            orphan.unlink()
        journal = Journal(newest, now.verified)
        drop_journals(self.root, now.journals[:-1])
        now.journals, now.unverified, now.frames_behind = (newest,), 0, 0
        return journal

    def _catch_up(self) -> None:
        """Takes the events in that are new, and counts the steps of episodes without an end."""
        now = self.snapshot
        for segment in now.events:
            if segment.stop > self.index.folded:
                self.index.fold(read_segment(segment, EVENTS).slice(max(0, self.index.folded - segment.start)))
        self.index.fold(now.events_tail.table().slice(self.index.folded - now.events_tail.start))
        if self.index.running:
            first = self.index.first_running_row()
            self.index.recount(blocks(self.chunks(), first, now.steps_tail.stop))

    def _open_rows(self, segment: Segment) -> Chunk:
        chunk = open_row_file(segment.row_file, self.schema, segment.start, segment.stop)
        if chunk is None:
            with told(self.root):
                self._seal_rows_of(segment, read_segment(segment, self.schema.steps))
            chunk = open_row_file(segment.row_file, self.schema, segment.start, segment.stop)
        if chunk is None:
            raise StoreError(
                f"The row file {segment.row_file.name} was made and cannot be read.",
                expected="a file that keeps what was written to it",
                do="check the disk.",
            )
        return chunk

    def _seal_rows_of(self, segment: Segment, steps: pa.Table) -> None:
        write_row_file(segment.row_file, lay_out(self.schema, one_batch(steps), self.index.ordinals))


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """All rows of a table that has some, in one piece."""
    return pa.concat_batches(table.to_batches())


@contextmanager
def told(root: Path) -> Iterator[None]:
    """Tells in words what the disk refuses."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"The disk refused something in {root}.",
            given=error,
            expected="a folder that is readable, and to write also writable with room left",
            do="check the path, its permissions and the free space; what was stored before is unharmed.",
        ) from error


def _refuse_to_overwrite(root: Path) -> None:
    # A store without its manifest may be the leftover of a create that was killed; it may also be somebody's data.
    data = [path for path in (*root.glob("journal-*.bin"), *(root / SEGMENTS).iterdir()) if path.stat().st_size]
    if (root / MANIFEST).exists() or data:
        raise StoreError(
            "There is an experience store already.",
            given=root,
            expected="a folder that is missing or holds none",
            do="open it with Experience.open(path, write=True), or choose another folder.",
        )


def _read_manifest(root: Path) -> Any:
    path = root / MANIFEST
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(
            "There is no experience store here.",
            given=root,
            expected=f"a folder with {MANIFEST}",
            do="check the path, or make one with Experience.create(path, ...).",
        ) from error
    except ValueError as error:
        raise StoreError(
            f"The manifest {path} is no JSON.", given=error, do="restore manifest.json from a copy."
        ) from error


def _set_aside(journal: Path, offset: int) -> Path:
    """Copies what lies behind `offset` into a file of its own."""
    aside = journal.with_name(f"{journal.stem}-from-{offset}.damaged")
    content = journal.read_bytes()[offset:]
    publish(aside, lambda file: file.write(content), label="recover.aside")
    return aside
