"""What a planner suggested and foresaw, written down before it was paid for: a forecast made afterwards is none.

One JSON object a line, synced before `append` returns. A torn last line, as a crash leaves it, is cut off on opening:
its experiment cannot have begun.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from gedanken.agents.experimenter.contract import Forecast, Suggestion
from gedanken.errors import FileError
from gedanken.experience.files import sync, sync_folder
from gedanken.worlds.parameters import Design


@dataclass(frozen=True)
class Suggested:
    """A suggestion on record.

    index: of the experiment's episode. planner: who suggested it. expenses: by resource, what it was expected to cost.
    """

    index: int
    planner: str
    design: Design
    why: str
    chance: float | None
    forecasts: Mapping[str, Forecast]
    expenses: Mapping[str, Forecast] = field(default_factory=dict)

    @classmethod
    def of(cls, index: int, planner: str, suggestion: Suggestion) -> Self:
        """What is written down of a suggestion."""
        said = suggestion
        return cls(index, planner, said.design, said.why, said.chance, said.forecasts, said.expenses)


class SuggestionLog:
    """The suggestions of one campaign, by the index of their episode. Use `SuggestionLog.open`; it has one writer."""

    def __init__(self, path: Path, handle: int, entries: dict[int, Suggested]) -> None:
        self.path, self._handle, self.entries = path, handle, entries

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens the log, or begins it.

        Raises:
            FileError: a line that is not the last one cannot be read.
        """
        entries, whole = read(path) if path.exists() else ({}, 0)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.ftruncate(handle, whole)
        sync_folder(path.parent)
        return cls(path, handle, entries)

    def append(self, suggested: Suggested) -> None:
        """Writes one down. On the disk when this returns."""
        entry = {**vars(suggested), "design": dict(suggested.design)}
        for part in ("forecasts", "expenses"):
            entry[part] = {name: forecast._asdict() for name, forecast in getattr(suggested, part).items()}
        content = f"{json.dumps(entry, allow_nan=False)}\n".encode()
        size = os.fstat(self._handle).st_size
        try:
            if os.write(self._handle, content) < len(content):
                raise OSError("the disk took only a part of it")
            sync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, size)
            raise FileError(
                "A suggestion cannot be written down, so its experiment is not begun.",
                given=f"{self.path}: {error}",
                do="free some room on the disk, then resume.",
            ) from error
        self.entries[suggested.index] = suggested

    def close(self) -> None:
        """Closes the file."""
        os.close(self._handle)


def read(path: Path) -> tuple[dict[int, Suggested], int]:
    """The suggestions of a file by index (the last one of an index counts), and how many bytes are whole lines.

    Raises:
        FileError: a line that is not the last one cannot be read.
    """
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    entries: dict[int, Suggested] = {}
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            found: dict[str, Any] = json.loads(line)
            forecasts, expenses = (
                {name: Forecast(**forecast) for name, forecast in found.pop(part, {}).items()}
                for part in ("forecasts", "expenses")
            )
            suggested = Suggested(forecasts=forecasts, expenses=expenses, **found)
        except (ValueError, TypeError, KeyError) as error:
            raise FileError(
                f"Line {number} of {path.name} cannot be read.", given=error, do="restore the file from a copy."
            ) from error
        entries[suggested.index] = suggested
    return entries, whole
