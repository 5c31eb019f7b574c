"""Every attempt of a campaign, as it was proposed and as it ended; on the disk before it is paid for.

Two files of one JSON object a line. `attempts.jsonl` is what an agent may know. `hidden.jsonl` is for the record alone:
the scores on the hidden rows, which nobody plans by. A torn last line, as a crash leaves it, is cut off on opening.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from gedanken.agents.engineer.contract import Outlook, Proposal, Tried
from gedanken.errors import FileError
from gedanken.experience.files import sync, sync_folder
from gedanken.worlds.ml_engineering.attempt import Attempt
from gedanken.worlds.ml_engineering.grading import Score
from gedanken.worlds.parameters import Design

INTERRUPTED = "interrupted"
"""The verdict of an attempt whose campaign was stopped before it ended. It is charged at its worst."""


@dataclass(frozen=True)
class Entry:
    """One attempt. verdict: None while it runs. ended_at: working seconds of the campaign until its end."""

    number: int
    agent: str
    program: str
    design: Design | None
    why: str
    outlook: Outlook | None
    chance: float | None
    verdict: str | None = None
    stage: int = 0
    validation: Score | None = None
    wall_ms: int = 0
    cpu_ms: int = 0
    peak_mb: int = 0
    startup_ms: int | None = None
    error: str = ""
    output: str = ""
    ended_at: float | None = None

    @property
    def tried(self) -> Tried:
        """As an agent is told of it."""
        skill = None if self.validation is None else self.validation.skill
        return Tried(self.program, self.design, self.verdict, skill, self.cpu_ms, self.startup_ms, self.error)


@dataclass(frozen=True)
class Hidden:
    """A score on the hidden rows, and its 95 % interval where the attempt was the best when it ended."""

    score: float
    skill: float
    low: float | None = None
    high: float | None = None


@dataclass
class AttemptLog:
    """The attempts of one campaign, by number. Use `AttemptLog.open`; it has one writer."""

    folder: Path
    entries: dict[int, Entry] = field(default_factory=dict)
    hidden: dict[int, Hidden] = field(default_factory=dict)
    _open: int = -1
    _secret: int = -1

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens the log, or begins it.

        Raises:
            FileError: a line that is not the last one cannot be read.
        """
        log = cls(folder)
        log._open, lines = _opened(folder / "attempts.jsonl")
        log._secret, secret = _opened(folder / "hidden.jsonl")
        try:
            for line in lines:
                entry = _entry(line)
                log.entries[entry.number] = entry
            log.hidden = {int(line.pop("number")): Hidden(**line) for line in secret}
        except (TypeError, KeyError, ValueError) as error:
            log.close()
            raise FileError(
                "The log of attempts cannot be read.", given=f"{folder}: {error}", do="restore the file from a copy."
            ) from error
        return log

    def propose(self, number: int, agent: str, proposal: Proposal) -> Entry:
        """Writes down what will be tried, and what is expected of it."""
        said = proposal
        entry = Entry(number, agent, said.program, said.design, said.why, said.outlook, said.chance)
        self._append(self._open, _plain(entry))
        self.entries[number] = entry
        return entry

    def end(self, number: int, done: Attempt, hidden: Hidden | None, *, ended_at: float) -> Entry:
        """Writes down what became of it; the hidden score first, so that a crash loses neither or the attempt's end."""
        if hidden is not None:
            self._append(self._secret, {"number": number, **asdict(hidden)})
            self.hidden[number] = hidden
        before = self.entries[number]
        known = {name: getattr(before, name) for name in ("number", "agent", "program", "design", "why", "outlook")}
        entry = Entry(
            **known,
            chance=before.chance,
            verdict=str(done.verdict),
            stage=done.stage,
            validation=done.validation,
            wall_ms=done.wall_ms,
            cpu_ms=done.cpu_ms,
            peak_mb=done.peak_mb,
            startup_ms=done.startup_ms,
            error=done.error,
            output=done.output[-2_000:],
            ended_at=ended_at,
        )
        self._append(self._open, _plain(entry))
        self.entries[number] = entry
        return entry

    def interrupt(self) -> list[int]:
        """Closes what was running when the campaign stopped; their numbers."""
        running = [number for number, entry in self.entries.items() if entry.verdict is None]
        for number in running:
            entry = Entry(**{**vars(self.entries[number]), "verdict": INTERRUPTED})
            self._append(self._open, _plain(entry))
            self.entries[number] = entry
        return running

    def close(self) -> None:
        """Closes both files."""
        for handle in (self._open, self._secret):
            if handle >= 0:
                os.close(handle)
        self._open = self._secret = -1

    def _append(self, handle: int, line: Mapping[str, Any]) -> None:
        content = f"{json.dumps(line, allow_nan=False)}\n".encode()
        size = os.fstat(handle).st_size
        try:
            if os.write(handle, content) < len(content):
                raise OSError("the disk took only a part of it")
            sync(handle)
        except OSError as error:
            os.ftruncate(handle, size)
            raise FileError(
                "An attempt cannot be written down.", given=f"{self.folder}: {error}", do="free some room, then resume."
            ) from error


def _plain(entry: Entry) -> dict[str, Any]:
    parts = {
        "outlook": entry.outlook and entry.outlook._asdict(),
        "validation": entry.validation and vars(entry.validation),
    }
    return {**vars(entry), **parts, "design": None if entry.design is None else dict(entry.design)}


def _entry(line: Mapping[str, Any]) -> Entry:
    outlook, validation = line["outlook"], line["validation"]
    parts = {
        "outlook": None if outlook is None else Outlook(**outlook),
        "validation": None if validation is None else Score(**validation),
    }
    return Entry(**{**line, **parts})


def _opened(path: Path) -> tuple[int, list[dict[str, Any]]]:
    """A handle to append by, and the whole lines."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    os.ftruncate(handle, whole)
    sync_folder(path.parent)
    try:
        return handle, [json.loads(line) for line in content[:whole].splitlines()]
    except ValueError as error:
        os.close(handle)
        raise FileError(f"{path.name} cannot be read.", given=error, do="restore the file from a copy.") from error
