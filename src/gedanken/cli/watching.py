"""What the long commands have in common: a run is watched, shown, and stopped by Ctrl-C where it can go on."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from gedanken.cli.display import Style, display
from gedanken.cli.signals import Stopper
from gedanken.intermediary.stages import Status, Watch
from gedanken.worlds.world import World


class Watched(Protocol):
    """Something at work in a folder of its own."""

    @property
    def folder(self) -> Path:
        """Where it can be resumed from."""

    @property
    def world(self) -> World:
        """Where it acts."""

    @property
    def recovered(self) -> list[str]:
        """What a crash left behind and was repaired, in words."""


@contextmanager
def watching(run: Watched, style: Style, *, resume: str = "resume") -> Iterator[Watch]:
    """Shows the progress of an open run; the watch it gives raises `Interrupted` once the user asked to stop.

    Args:
        run: the run.
        style: of the display.
        resume: the command that goes on after an interruption.
    """
    for text in run.recovered:
        print(f"Recovered: {text}", file=sys.stderr)
    latest: dict[str, Any] = {}
    with ExitStack() as stack:
        stopper = stack.enter_context(Stopper(f"gedanken {resume} {run.folder}"))
        shown = stack.enter_context(display(style))

        def watch(status: Status) -> None:
            # A status says only what its stage found; the display keeps what was found before.
            for name in ("model_error", "last_return"):
                value = getattr(status, name)
                if value is not None:
                    latest[name] = value
            shown.show(run.world.name, dataclasses.replace(status, **latest))
            stopper.check()

        yield watch


def outdated(folder: Path) -> None:
    """Takes away the result of a run that goes on: it would tell of another agent."""
    (folder / "result.json").unlink(missing_ok=True)
