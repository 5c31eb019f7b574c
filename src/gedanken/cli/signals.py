"""Ctrl-C: once to stop at the next safe point, twice to stop at once.

A compiled program can keep Python from its signal handlers for seconds. So the signals are counted by a thread that
reads them from the interpreter's wakeup pipe; it answers the user at once, and ends the process where the main thread
does not. Nothing is lost by that: ledger and experience are written for a process that dies at any instant.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from gedanken.errors import Interrupted

GRACE_S = 10.0
"""How long the main thread may take to close its files after the second Ctrl-C."""

_STOP = (signal.SIGINT, signal.SIGTERM)


class Stopper:
    """Use in a `with` around the work, and call `check` at every safe point. SIGTERM counts as a first Ctrl-C.

    Args:
        resume: what the user can type to go on, for the messages.
    """

    def __init__(self, resume: str) -> None:
        self.resume = resume
        self.asked = self.at_once = False
        self._raised = False
        self._done = threading.Event()
        self._main = threading.main_thread().ident or 0
        self._before: dict[signal.Signals, Any] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        for number in _STOP:
            self._before[number] = signal.signal(number, self._in_main)
        self._wakeup_before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._listener = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._raised = True  # nothing is raised in here any more
        self._done.set()
        signal.set_wakeup_fd(self._wakeup_before)
        self._writing.close()
        # The listener may be about to send its signal, which must not meet the handlers of before.
        self._listener.join()
        self._reading.close()
        for number, handler in self._before.items():
            # Who was asked to stop is on the way out: one more Ctrl-C must change neither how it ends nor its status.
            # To ignore it is the one answer that Python keeps to while it takes itself down.
            signal.signal(number, signal.SIG_IGN if self.asked else handler)
        if kind is KeyboardInterrupt:
            raise Interrupted("Stopped at once. What was paid for is on disk.", do=f"go on with `{self.resume}`.")

    def check(self) -> None:
        """A safe point.

        Raises:
            Interrupted: the user asked to stop.
        """
        if self.asked:
            raise Interrupted(
                "Stopped where you asked for it. What was paid for is on disk.", do=f"go on with `{self.resume}`."
            )

    def _listen(self) -> None:
        while received := self._reading.recv(64):
            for number in received:
                if number not in _STOP:
                    continue
                if not self.asked:
                    self.asked = True
                    _say("Stopping at the next safe point; Ctrl-C again stops at once.")
                elif number == signal.SIGINT and not self.at_once:
                    self.at_once = True
                    _say("Stopping at once.")
                    # A real signal, so that it ends a system call that waits.
                    signal.pthread_kill(self._main, signal.SIGINT)
                    threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        if not self._done.wait(GRACE_S):
            _say(f"Go on with `{self.resume}`.")
            os._exit(Interrupted.exit_code)

    def _in_main(self, _: int, __: FrameType | None) -> None:
        if self.at_once and not self._raised:
            self._raised = True
            raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"\n{text}", file=sys.stderr, flush=True)
