"""The files of a store, and how their names alone decide which row counts where.

    manifest.json                                  what is stored here; written last, so a store exists or does not
    journal-<first step>-<first event>.bin         what was appended since the last sealing
    segments/steps-<first>-<behind last>.parquet   sealed steps, with a row file .rows beside them
    segments/events-<first>-<behind last>.parquet  sealed begins and ends of episodes

Rows are numbered from 0 in the order they were appended. Sealed segments, in a row without gaps, hold the first of
them; journals hold the rest. A journal row that a segment holds too does not count. So sealing may stop anywhere: a
row is in the journal until the segment that holds it has its name, and never counted twice.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from gedanken.errors import StoreError
from gedanken.experience import faults
from gedanken.experience.files import Writable, publish, sync_folder
from gedanken.experience.journal import STEPS, frames_behind, read_frames
from gedanken.experience.schema import EVENTS, Schema
from gedanken.experience.tail import Tail

SEGMENTS = "segments"
_SEGMENT = re.compile(r"(steps|events)-(\d{12})-(\d{12})\.parquet")
_JOURNAL = re.compile(r"journal-(\d{12})-(\d{12})\.bin")
_PAUSE_S = 0.01


class Segment(NamedTuple):
    """Sealed rows `start` to `stop` (not included)."""

    start: int
    stop: int
    path: Path

    @property
    def row_file(self) -> Path:
        """Where the same steps lie as rows of fixed width."""
        return self.path.with_suffix(".rows")


@dataclass
class Snapshot:
    """The whole content of a store at one moment.

    `verified` is how many bytes of the newest journal verify, `unverified` how many lie behind them, and
    `frames_behind` how many frames verify among those. `journals` are all there are, oldest first.
    """

    steps: tuple[Segment, ...]
    events: tuple[Segment, ...]
    steps_tail: Tail
    events_tail: Tail
    journals: tuple[Path, ...]
    verified: int
    unverified: int
    frames_behind: int


class _Moved(Exception):
    """The writer renamed or removed something between two looks; looking again will do."""


def take_snapshot(root: Path, schema: Schema, previous: Snapshot | None = None, *, patience_s: float = 5.0) -> Snapshot:
    """Reads what a store holds, also while its writer appends and seals.

    Args:
        root: the store's folder.
        schema: what its manifest says.
        previous: spares reading again what was read before; its tails are used and grow.
        patience_s: how long to look again where files do not fit together, since the writer may be renaming them.

    Raises:
        StoreError: rows are missing that must be there, or a file cannot be read.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return _look(root, schema, previous)
        except (_Moved, FileNotFoundError) as moved:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"The experience in {root} lacks something.",
                    given=moved,
                    expected="segments without gaps and a journal that goes on where they end",
                    do="restore the missing files from a copy.",
                ) from moved
            time.sleep(_PAUSE_S)


def journal_path(root: Path, step: int, event: int) -> Path:
    """The journal that begins with this step and this event."""
    return root / f"journal-{step:012d}-{event:012d}.bin"


def new_journal(root: Path, step: int, event: int) -> Path:
    """Puts an empty journal in place.

    Raises:
        OSError: the disk refused.
    """
    path = journal_path(root, step, event)
    publish(path, lambda file: file.write(b""), label="seal.journal")
    return path


def drop_journals(root: Path, journals: tuple[Path, ...]) -> None:
    """Removes journals whose rows are all sealed."""
    for path in journals:
        path.unlink(missing_ok=True)
        faults.kill_point("seal.dropped")
    sync_folder(root)


def segment_of(root: Path, kind: str, start: int, stop: int) -> Segment:
    """The segment of `steps` or `events` with these rows."""
    return Segment(start, stop, root / SEGMENTS / f"{kind}-{start:012d}-{stop:012d}.parquet")


def write_segment(path: Path, table: pa.Table) -> None:
    """Writes rows as a sealed Parquet segment, with checksums on every page.

    Raises:
        OSError: the disk refused; no file was left behind.
    """

    def write(file: Writable) -> None:
        # Texts such as ids repeat themselves and gain from a dictionary; numbers hardly ever do.
        texts = [kind.name for kind in table.schema if kind.type == pa.string()]
        pq.write_table(
            table, file, compression="zstd", row_group_size=16_384, write_page_checksum=True, use_dictionary=texts
        )

    publish(path, write, label="seal.steps" if path.name.startswith("steps") else "seal.events")


def read_segment(segment: Segment, schema: pa.Schema) -> pa.Table:
    """All rows of a segment.

    Raises:
        StoreError: it is damaged or holds other rows than its name says.
    """
    try:
        table = pq.read_table(segment.path, page_checksum_verification=True).cast(schema)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"The segment {segment.path.name} cannot be read.",
            given=str(error)[:300],
            expected="the Parquet file that was sealed",
            do="restore it from a copy.",
        ) from error
    if len(table) != segment.stop - segment.start:
        raise StoreError(
            f"The segment {segment.path.name} holds another number of rows than its name says.",
            given=len(table),
            expected=segment.stop - segment.start,
            do="restore it from a copy.",
        )
    return table


def _look(root: Path, schema: Schema, previous: Snapshot | None) -> Snapshot:
    steps, events = _sealed(root / SEGMENTS)
    found = sorted((match for match in map(_JOURNAL.fullmatch, os.listdir(root)) if match), key=_numbers)
    journals = tuple(root / match[0] for match in found)
    if not journals:
        raise _Moved("no journal")
    sealed_steps, sealed_events = (part[-1].stop if part else 0 for part in (steps, events))
    if (
        previous is not None
        and (steps, events, journals) == (previous.steps, previous.events, previous.journals)
        and len(journals) == 1
    ):
        steps_tail, events_tail, offset = previous.steps_tail, previous.events_tail, previous.verified
    else:
        steps_tail, events_tail, offset = Tail(schema.steps, sealed_steps), Tail(EVENTS, sealed_events), 0
    for match in found:
        if _numbers(match)[0] > steps_tail.stop or _numbers(match)[1] > events_tail.stop:
            raise _Moved(f"nothing holds the rows before {match[0]}")
        offset = offset if len(journals) == 1 else 0
        verified, unverified, behind = _read_journal(root / match[0], offset, steps_tail, events_tail)
    return Snapshot(steps, events, steps_tail, events_tail, journals, verified, unverified, behind)


def _sealed(folder: Path) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    parts: dict[str, list[Segment]] = {"steps": [], "events": []}
    for name in sorted(os.listdir(folder)):
        if match := _SEGMENT.fullmatch(name):
            segments = parts[match[1]]
            segment = Segment(int(match[2]), int(match[3]), folder / name)
            expected = segments[-1].stop if segments else 0
            if segment.start > expected:
                raise _Moved(f"nothing holds the rows before {name}")
            if segment.start < expected or segment.stop <= segment.start:
                raise StoreError(
                    f"The segment {name} holds rows that another one holds too.",
                    given=f"rows {segment.start} to {segment.stop}",
                    expected=f"rows from {expected} on",
                    do="remove the file that was copied here.",
                )
            segments.append(segment)
    return tuple(parts["steps"]), tuple(parts["events"])


def _read_journal(path: Path, offset: int, steps: Tail, events: Tail) -> tuple[int, int, int]:
    """Adds the rows that the tails do not have yet; (bytes that verify, bytes behind them, frames behind them)."""
    with path.open("rb") as file:
        for frame in read_frames(file, offset):
            tail = steps if frame.kind == STEPS else events
            batch = _decode(path, frame.payload, tail.schema)
            if frame.row > tail.stop:
                raise _Moved(f"nothing holds the rows before row {frame.row} in {path.name}")
            known = min(tail.stop - frame.row, len(batch))
            if known < len(batch):
                tail.add(batch.slice(known))
            offset = frame.end
        unverified = os.fstat(file.fileno()).st_size - offset
        return offset, unverified, frames_behind(file, offset) if unverified else 0


def _decode(path: Path, payload: bytes, schema: pa.Schema) -> pa.RecordBatch:
    try:
        return pa.ipc.read_record_batch(pa.py_buffer(payload), schema)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"A verified record of {path.name} is no Arrow batch of this store.",
            given=str(error)[:300],
            expected="records of the schema that the manifest names",
            do="restore manifest.json and the journal from the same copy.",
        ) from error


def _numbers(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]), int(match[2])
