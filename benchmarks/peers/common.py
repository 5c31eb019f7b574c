"""What every peer script shares. Only the standard library: these files run in environments without gedanken."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def emit(**figures: Any) -> None:
    """One JSON line on standard output, for the driver that started this process."""
    print(json.dumps(figures, allow_nan=False), flush=True)


def turns() -> Iterator[int]:
    """A number for each line on standard input, once this process is warm: whoever compares gives the turns.

    So that several processes are timed in turn, and a slow phase of the machine meets all of them.
    """
    emit(ready=True)
    for turn, _ in enumerate(sys.stdin):
        yield turn


class Stopwatch:
    """Seconds that were spent at work: time inside `paused()` (evaluation) does not count."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._away = 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        left_at = time.perf_counter()
        yield
        self._away += time.perf_counter() - left_at

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start - self._away


def play(env: Any, act: Any, *, episodes: int, seed: int) -> list[float]:
    """The returns of whole episodes; episode i starts from seed + i, so that all methods meet the same starts."""
    returns = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        total, done = 0.0, False
        while not done:
            observation, reward, terminated, truncated, _ = env.step(act(observation))
            total += float(reward)
            done = terminated or truncated
        returns.append(total)
    return returns
