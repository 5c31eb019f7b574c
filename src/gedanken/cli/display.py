"""Live progress on stderr: a display on a terminal, otherwise a line now and then, or one JSON object a line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from gedanken.intermediary.stages import Status

Style = Literal["auto", "lines", "json", "none"]
LINES_EVERY_S = 2.0
JSON_EVERY_S = 0.25


class Display(Protocol):
    """Shows where one or more runs stand."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, name: str, status: Status) -> None:
        """Tells where the run called `name` stands."""


def display(style: Style) -> Display:
    """The display for a style; `auto` is a live one where stderr is a terminal."""
    if style == "none":
        return Quiet()
    if style == "json":
        return Lines(_as_json, JSON_EVERY_S)
    if style == "auto" and sys.stderr.isatty():
        return Live()
    return Lines(as_line, LINES_EVERY_S)


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, name: str, status: Status) -> None:
        pass


class Lines(Quiet):
    """A line a run whenever its stage changes, and otherwise at most every `every` seconds."""

    def __init__(self, write: Callable[[str, Status], str], every: float) -> None:
        self._write, self._every = write, every
        self._last: dict[str, tuple[str, float]] = {}

    def show(self, name: str, status: Status) -> None:
        stage, told = self._last.get(name, ("", 0.0))
        now = time.monotonic()
        if status.stage != stage or now - told >= self._every:
            self._last[name] = (status.stage, now)
            print(self._write(name, status), file=sys.stderr, flush=True)


class Live:
    """Bars of what is paid, with the counters beside them."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.fields[name]}"),
            TextColumn("{task.fields[stage]:<8}", style="cyan"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[counters]}"),
            console=console if console is not None else Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, name: str, status: Status) -> None:
        paid, budget = _leading(status)
        fields: dict[str, Any] = {"name": name, "stage": status.stage, "counters": counters(status)}
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task("", total=budget or None, completed=paid, **fields)
        self._progress.update(self._tasks[name], completed=paid, **fields)


def as_line(name: str, status: Status) -> str:
    """`Pendulum-v1  collect  paid 400/1,500 steps  imagined 120,000  12 s`."""
    return f"{name}  {status.stage:<8}  {counters(status)}"


def counters(status: Status) -> str:
    """What is paid of what budget, what is imagined, how good model and agent are, and how long it took."""
    names = dict.fromkeys([*status.budget, *status.paid])
    paid = ", ".join(f"{status.paid.get(name, 0):,}{_of(status.budget.get(name))} {name}" for name in names)
    parts = [f"paid {paid}", f"imagined {status.imagined_steps:,}"]
    if status.model_error is not None:
        parts.append(f"model error {status.model_error:.3g}")
    if status.last_return is not None:
        parts.append(f"return {status.last_return:.4g}")
    return "  ".join([*parts, f"{status.seconds:.0f} s"])


def _of(limit: int | None) -> str:
    return "" if limit is None else f"/{limit:,}"


def _leading(status: Status) -> tuple[int, int]:
    """Of the limited resources, the one that is nearest to its limit: (paid, budget)."""
    shares = [(status.paid.get(name, 0), limit) for name, limit in status.budget.items() if limit]
    return max(shares, key=lambda share: share[0] / share[1], default=(0, 0))


def _as_json(name: str, status: Status) -> str:
    return json.dumps({"world": name, **asdict(status)})
