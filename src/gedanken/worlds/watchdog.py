"""A time limit for calls that may never return."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Watchdog:
    """Runs calls one after another in a thread of its own, and waits only so long for each.

    A thread cannot be stopped from outside, so after a timeout the call is still running: `hung` is True from then on
    and further calls are refused. The thread is a daemon and does not keep the program from ending.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.hung = False
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(self._calls,), daemon=True, name="gedanken-world").start()

    def call(self, function: Callable[[], Any]) -> Any:
        """Returns what `function` returns, or raises what it raises.

        Raises:
            TimeoutError: it did not return in time, or an earlier call never has.
        """
        if self.hung:
            raise TimeoutError
        answer: Future[Any] = Future()
        self._calls.put((function, answer))
        try:
            return answer.result(timeout=self.seconds)
        except TimeoutError:
            # The function's own TimeoutError is told from ours by the answer being there.
            self.hung = not answer.done()
            raise


def _serve(calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]]) -> None:
    while True:
        function, answer = calls.get()
        try:
            answer.set_result(function())
        except BaseException as error:  # noqa: BLE001 - it is handed to the caller, who raises it
            answer.set_exception(error)
        del function, answer
