"""`gedanken quickstart`: two robots, each in a process and on a thread of its own, then one report of both."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from gedanken.cli.options import Answer, Options
from gedanken.errors import GedankenError, Interrupted

WORLDS = ("InvertedPendulum-v5", "Pendulum-v1")
LOOK_EVERY_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Quickstart(Options):
    """Rehearses InvertedPendulum-v5 and Pendulum-v1 side by side, at most 1,200 paid steps each, and compares them.

    Example: gedanken quickstart --seed 1
    """

    seed: int = 0
    """decides every random number of both runs"""
    budget: int = 1_200
    """the most paid steps of each"""
    worlds: tuple[str, ...] = WORLDS
    """what is rehearsed"""

    def __call__(self) -> Answer:
        # Imported here and below, and not above: the two processes need the processor more than this one.
        from gedanken.cli.settings import named_as_file, numbered

        began = time.perf_counter()
        folder = numbered("quickstart")
        children = [_Child.start(self, world, folder / named_as_file(world)) for world in self.worlds]
        with _stopping(children) as stopped:
            self._watch(children)
        failed = next((child for child in children if child.process.returncode), None)
        if stopped:
            commands = " and ".join(f"`gedanken resume {child.folder}`" for child in children)
            raise Interrupted("Stopped. What was paid for is on disk.", do=f"go on with {commands}.")
        if failed is not None:
            raise failed.error()
        from gedanken.report.comparison import write_comparison
        from gedanken.report.from_run import read_run
        from gedanken.report.table import print_final

        runs = [read_run(child.folder) for child in children]
        written = write_comparison(folder / "report.html", runs)
        seconds = time.perf_counter() - began
        data = {
            "runs": [child.result() for child in children],
            "seconds": round(seconds, 1),
            "report": str(written),
        }

        def show() -> None:
            print_final([run.headline for run in runs], written)
            print(f"Took {seconds:.0f} s.")

        return Answer(data, show)

    def _watch(self, children: list[_Child]) -> None:
        """Shows the progress of all until they have ended."""
        from gedanken.cli.display import display
        from gedanken.intermediary.stages import Status

        with display(self.progress) as shown:
            while True:
                running = any(child.process.poll() is None for child in children)
                for child in children:
                    status = child.latest
                    if status is not None and status is not child.shown:
                        child.shown = status
                        shown.show(status["world"], Status(**{k: v for k, v in status.items() if k != "world"}))
                if not running:
                    return
                time.sleep(LOOK_EVERY_S)


@dataclass
class _Child:
    """One run in a process of its own. `latest`: where it stands; `rest`: what else it said on stderr."""

    folder: Path
    process: subprocess.Popen[str]
    latest: dict[str, Any] | None = None
    shown: dict[str, Any] | None = None
    rest: list[str] = field(default_factory=list)
    answer: str = ""
    _readers: list[threading.Thread] = field(default_factory=list)

    @classmethod
    def start(cls, asked: Quickstart, world: str, folder: Path) -> _Child:
        words = ["run", "--world", world, "--seed", asked.seed, "--budget.steps", asked.budget, "--out", folder]
        words += ["--threads", asked.threads, "--json", "--progress", "json"]
        # A session of its own: Ctrl-C reaches it through us alone, and counts once.
        process = subprocess.Popen(
            [sys.executable, "-m", "gedanken.cli", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        child = cls(folder, process)
        child._readers = [threading.Thread(target=read, daemon=True) for read in (child._read_progress, child._read)]
        for reader in child._readers:
            reader.start()
        return child

    def result(self) -> dict[str, Any]:
        """The line its run ended with."""
        for reader in self._readers:
            reader.join()
        found: dict[str, Any] = json.loads(self.answer)
        return found

    def error(self) -> GedankenError:
        """Why it failed."""
        for reader in self._readers:
            reader.join()
        try:
            told = json.loads(self.answer)["error"]
        except (ValueError, KeyError):
            told = {"what": f"The run in {self.folder} ended.", "given": " ".join(self.rest[-5:]) or None}
        error = GedankenError(told["what"], given=told.get("given"), expected=told.get("expected"), do=told.get("do"))
        error.exit_code = self.process.returncode
        return error

    def _read_progress(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                try:
                    self.latest = json.loads(line)
                except ValueError:
                    self.rest.append(line.strip())

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            self.answer = stream.read()


@contextmanager
def _stopping(children: list[_Child]) -> Iterator[list[int]]:
    """Passes Ctrl-C and SIGTERM on to the runs, each of which then stops as it does alone; yields those that came."""
    came: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        came.append(number)
        text = "Stopping at the next safe point; Ctrl-C again stops at once." if len(came) == 1 else "Stopping at once."
        print(f"\n{text}", file=sys.stderr, flush=True)
        for child in children:
            if child.process.poll() is None:
                child.process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for child in children:
            if child.process.poll() is None:
                child.process.kill()
