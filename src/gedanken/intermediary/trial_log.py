"""Every change of every trial of a laboratory, in the order it was made: one JSON object a line, synced when written.

The last line of a trial says how it stands. A torn last line, as a crash leaves it, is cut off on opening.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gedanken.errors import FileError
from gedanken.experience.cost import Cost
from gedanken.experience.files import sync, sync_folder
from gedanken.worlds.science.trials import Trial, TrialState


@dataclass(frozen=True)
class Standing:
    """A trial as it stands. attempt: how often it was decided to run it; the ledger has an action for each."""

    trial: Trial
    attempt: int = 0


class TrialLog:
    """Use `TrialLog.open`; whoever writes holds the laboratory's lock."""

    def __init__(self, path: Path, handle: int, standing: dict[str, Standing]) -> None:
        self.path, self._handle, self.standing = path, handle, standing

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens the log, or begins it.

        Raises:
            FileError: a line that is not the last one cannot be read.
        """
        content = path.read_bytes() if path.exists() else b""
        whole = content.rfind(b"\n") + 1
        standing = {one.trial.id: one for one in _read(path, content[:whole])}
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.ftruncate(handle, whole)
        sync_folder(path.parent)
        return cls(path, handle, standing)

    def append(self, changed: Iterable[Standing]) -> None:
        """Writes down how trials stand now: all of them, or, where the disk is full, none."""
        changed = list(changed)
        content = "".join(f"{json.dumps(_plain(one), allow_nan=False)}\n" for one in changed).encode()
        size = os.fstat(self._handle).st_size
        try:
            if os.write(self._handle, content) < len(content):
                raise OSError("the disk took only a part of it")
            sync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, size)
            raise FileError(
                "What became of a trial cannot be written down.",
                given=f"{self.path}: {error}",
                do="free some room on the disk, and say it again.",
            ) from error
        self.standing |= {one.trial.id: one for one in changed}

    def close(self) -> None:
        """Closes the file."""
        os.close(self._handle)


def _plain(one: Standing) -> dict[str, Any]:
    trial = one.trial
    said = {**vars(trial), "design": dict(trial.design), "results": dict(trial.results), "cost": dict(trial.cost)}
    return {**said, "state": trial.state.value, "attempt": one.attempt}


def _read(path: Path, content: bytes) -> Iterable[Standing]:
    for number, line in enumerate(content.splitlines(), 1):
        try:
            found: dict[str, Any] = json.loads(line)
            attempt, state, cost = int(found.pop("attempt")), TrialState(found.pop("state")), Cost(found.pop("cost"))
            yield Standing(Trial(state=state, cost=cost, **found), attempt)
        except (ValueError, TypeError, KeyError) as error:
            raise FileError(
                f"Line {number} of {path.name} cannot be read.", given=error, do="restore the file from a copy."
            ) from error
