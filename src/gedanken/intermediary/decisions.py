"""Every decision of the gate, with its reasons and with what came of it: the record, its log on disk, its summary."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import numpy as np

from gedanken.errors import FileError
from gedanken.experience.files import sync, sync_folder
from gedanken.intermediary.hits import Entry, Summary, summarise
from gedanken.intermediary.limits import Breach, Limits
from gedanken.intermediary.rehearse import Rehearsal, plain

Mode = Literal["off", "shadow", "advise", "gate", "substitute"]
"""How much the model may do, from cautious to bold; see `gedanken.intermediary.gate`."""
By = Literal["agent", "advice", "alternative", "fallback", "nobody"]
"""Whose action was applied."""

SCHEMA = {"schema": "gedanken.decisions", "version": 1}
OPEN_EPISODES = 64
"""Episodes whose entries a reader holds at once, where several are written side by side."""


@dataclass(frozen=True)
class Settlement:
    """What really came of a decision.

    Attributes:
        reward, cost: of the real step; None where nobody said.
        terminated, truncated: whether the episode ended with it.
        broken: the observation limits that the real next observation breaks, in words with the numbers.
        error: [D] the real next observation minus the predicted one; None where the applied action was not rehearsed.
        inside: share of the dimensions that lie within their 90 % interval; None where there is no finite interval.
    """

    reward: float | None
    terminated: bool
    truncated: bool
    cost: dict[str, int] | None
    broken: tuple[str, ...]
    error: np.ndarray | None
    inside: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**vars(self), "broken": list(self.broken), "error": None if self.error is None else plain(self.error)}


@dataclass(frozen=True, eq=False)
class Decision:
    """What the gate was asked, what it answered and why.

    Attributes:
        mode: the gate's.
        observation, proposed: raw, as they were given. applied: the raw action to take; None where nobody acts.
        by: whose action `applied` is. index: which of the rehearsed candidates it is; None where it is none of them.
        reasons: in words, with the numbers: what is wrong with the proposed action, then what was done about it.
        breaches: the limits that the proposed action is predicted to break, and what the model does not know of it.
        rehearsals: of the proposed action and then of the alternatives; none in mode `off`.
        limits, horizon, discount, key, model_id: what the decision can be computed again from.
        milliseconds: how long it took.
        episode, step: where in the run it was made, where that is known.
        settlement: what really came; None until it is settled.
    """

    mode: Mode
    observation: Any
    proposed: Any
    applied: Any
    by: By
    index: int | None
    reasons: tuple[str, ...]
    breaches: tuple[Breach, ...]
    rehearsals: tuple[Rehearsal, ...]
    limits: Limits
    horizon: int
    discount: float
    key: tuple[int, ...]
    model_id: str | None
    milliseconds: float
    episode: int | None = None
    step: int | None = None
    settlement: Settlement | None = field(default=None)

    def __str__(self) -> str:
        why = "; ".join(self.reasons) or "no objection"
        return f"{self.mode}: {self.by} acts; {why}"

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the settlement; numbers keep every digit they have."""
        return {
            "mode": self.mode,
            "episode": self.episode,
            "step": self.step,
            "by": self.by,
            "index": self.index,
            "observation": plain(self.observation),
            "proposed": plain(self.proposed),
            "applied": None if self.applied is None else plain(self.applied),
            "reasons": list(self.reasons),
            "breaches": [breach.to_json() for breach in self.breaches],
            "rehearsals": [rehearsal.to_json() for rehearsal in self.rehearsals],
            "limits": self.limits.to_json(),
            "horizon": self.horizon,
            "discount": self.discount,
            "key": list(self.key),
            "model_id": self.model_id,
            "milliseconds": round(self.milliseconds, 3),
        }


# --- The log --------------------------------------------------------------------------------------------------------


class DecisionLog:
    """Decisions as JSON lines, append-only, with one writer and any number of readers. Use `DecisionLog.open`.

    A record is handed to the system when `append` or `settle` returns, so it outlives the process; it outlives a power
    failure once `sync_every` records have been written since the last sync, or after `sync` or `close`. Decisions are
    no money: what was paid and what happened lie in the ledger and the experience, which sync every time.

    Attributes:
        path: the file.
        recovered: in words, what a crash left at its end and was cut off; None where nothing was.
        count: how many decisions it holds. episodes: the number that the next episode gets.
    """

    def __init__(self, path: Path, handle: int | None, sync_every: int) -> None:
        self.path, self.count, self.episodes = path, 0, 0
        self.recovered: str | None = None
        self._handle, self._sync_every, self._unsynced = handle, sync_every, 0
        with path.open("rb") as file:
            self._size = self._scan(file)
            torn = os.fstat(file.fileno()).st_size - self._size
        if torn:
            self.recovered = (
                f"The last {torn} bytes of {path.name} were no whole record, as a crash leaves them, and were left out."
            )
            if handle is not None:
                os.ftruncate(handle, self._size)
        if handle is not None and self._size == 0:
            self._write(SCHEMA)
            self.sync()
            sync_folder(path.parent)

    @classmethod
    def open(cls, path: Path, *, write: bool = False, sync_every: int = 256) -> Self:
        """Opens a log; with `write` it is made where there is none, and a torn end is cut off.

        Raises:
            FileError: there is none to read, it is damaged or of another version, or somebody else is writing to it.
        """
        handle = None
        try:
            if write:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            log = cls(path, handle, sync_every)
        except OSError as error:
            busy = isinstance(error, BlockingIOError)
            _close(handle)
            raise FileError(
                "This log of decisions is being written by somebody else." if busy else "There is no log to open here.",
                given=error,
                do="close the other writer, or open it for reading." if busy else "check the path and its permissions.",
            ) from error
        except FileError:
            _close(handle)
            raise
        return log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Syncs and closes. Safe to call twice; reading goes on to work."""
        if self._handle is not None:
            self.sync()
            _close(self._handle)
            self._handle = None

    def begin_episode(self) -> int:
        """The number of a new episode."""
        self.episodes += 1
        return self.episodes - 1

    def append(self, decision: Decision) -> int:
        """Writes a decision and returns its number. A settlement that it already has is written with it.

        Raises:
            FileError: the disk refuses, or the log is not open for writing; nothing was written.
        """
        number = self.count
        self._write({"kind": "decision", "number": number, **decision.to_json()})
        self.count += 1
        if decision.settlement is not None:
            self.settle(number, decision.settlement)
        return number

    def settle(self, number: int, settlement: Settlement) -> None:
        """Writes what came of a decision.

        Raises:
            FileError: as in `append`, or there is no such decision.
        """
        if not 0 <= number < self.count:
            raise FileError("There is no such decision in this log.", given=number, expected=f"0 to {self.count - 1}")
        self._write({"kind": "settlement", "number": number, **settlement.to_json()})

    def sync(self) -> None:
        """Returns when everything written so far is on the disk itself.

        Raises:
            FileError: the disk refuses.
        """
        if self._handle is None:
            return
        try:
            sync(self._handle)
        except OSError as error:
            raise FileError("The disk refused to keep the decisions.", given=error, do="check the disk.") from error
        self._unsynced = 0

    def summary(self) -> Summary:
        """What the log says: counts by mode and reason, how often a warning came true, how far predictions were off."""
        return summarise(self.by_episode())

    def entries(self) -> Iterator[Entry]:
        """All decisions, episode by episode in the order in which these are over, each with its settlement."""
        for episode in self.by_episode():
            yield from episode

    def by_episode(self) -> Iterator[list[Entry]]:
        """The entries of each episode. Holds only the episodes that are not over in memory.

        Raises:
            FileError: a line is damaged.
        """
        running: dict[Any, dict[int, Entry]] = {}
        home: dict[int, Any] = {}
        for record in self._records():
            number: int = record["number"]
            if record["kind"] == "decision":
                # A decision made outside of any episode is an episode of its own.
                where = record["episode"] if record["episode"] is not None else f"alone {number}"
                running.setdefault(where, {})[number] = Entry(number, record, None)
                home[number] = where
            elif number in home:
                where = home[number]
                running[where][number] = running[where][number]._replace(settlement=record)
            over = record["kind"] == "settlement" and (record["terminated"] or record["truncated"]) and number in home
            if over or len(running) > OPEN_EPISODES:
                done = running.pop(home[number] if over else next(iter(running)))
                for gone in done:
                    del home[gone]
                yield list(done.values())
        yield from (list(episode.values()) for episode in running.values())

    def _records(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            for line in file:
                if file.tell() > self._size:
                    return
                record = json.loads(line)
                if "kind" in record:
                    yield record

    def _scan(self, file: BinaryIO) -> int:
        """Counts, checks, and returns where the last whole record ends, in bytes.

        Raises:
            FileError: a line before the last is damaged, or the file is something else.
        """
        end = 0
        for index, line in enumerate(file):
            record = _parsed(line)
            if record is None:
                if file.read(1):
                    raise FileError("The log of decisions is damaged.", given=f"line {index + 1} of {self.path}")
                return end
            if index == 0 and record != SCHEMA:
                raise FileError(
                    "This is no log of decisions, or one of another version.",
                    given=f"{str(record)[:120]} in {self.path}",
                    expected=SCHEMA,
                )
            if record.get("kind") == "decision":
                self.count = record["number"] + 1
                self.episodes = max(self.episodes, (-1 if record["episode"] is None else record["episode"]) + 1)
            end += len(line)
        return end

    def _write(self, record: dict[str, Any]) -> None:
        if self._handle is None:
            raise FileError("This log of decisions is not open for writing.", given=self.path)
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        written = False
        try:
            written = os.write(self._handle, line) == len(line)
        except OSError as error:
            raise FileError("The disk refused a decision.", given=error, do="free space and try again.") from error
        finally:
            if not written:
                os.ftruncate(self._handle, self._size)
        if not written:
            raise FileError("The disk took only a part of a decision.", given=self.path, do="free space and try again.")
        self._size += len(line)
        self._unsynced += 1
        if self._unsynced >= self._sync_every:
            self.sync()


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The record of a whole line; None where it is none."""
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _close(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)
