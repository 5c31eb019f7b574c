"""Calls with a time limit."""

from __future__ import annotations

import threading
import time

import pytest

from gedanken.worlds.watchdog import Watchdog


def test_it_returns_and_raises_what_the_call_does() -> None:
    watchdog = Watchdog(30.0)
    assert watchdog.call(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        watchdog.call(lambda: 1 // 0)
    assert not watchdog.hung


def test_all_calls_run_in_the_same_thread() -> None:
    watchdog = Watchdog(30.0)
    threads = {watchdog.call(threading.get_ident) for _ in range(3)}
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_a_call_that_does_not_return_is_given_up_for_good() -> None:
    watchdog, release = Watchdog(0.05), threading.Event()
    with pytest.raises(TimeoutError):
        watchdog.call(release.wait)
    assert watchdog.hung
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        watchdog.call(lambda: 5)
    assert time.monotonic() - begun < 0.05, "refused at once"
    release.set()


def test_a_timeout_of_the_calls_own_is_not_a_hang() -> None:
    def fails() -> None:
        raise TimeoutError("its own")

    watchdog = Watchdog(30.0)
    with pytest.raises(TimeoutError, match="its own"):
        watchdog.call(fails)
    assert not watchdog.hung and watchdog.call(lambda: 5) == 5
