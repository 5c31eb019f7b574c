"""Labelled points at which tests end the process or look at the disk, to prove that nothing is lost or doubled there.

In normal use `kill_point` does nothing. A process started with `GEDANKEN_KILL_AT=label:count` sends itself SIGKILL
when it passes that label for the count-th time: no clean-up of any kind runs.
"""

from __future__ import annotations

import os
import signal

_armed: dict[str, int] = {}


def arm(spec: str) -> None:
    """Arms `label:count` in this process (`label` alone means the first time)."""
    label, _, count = spec.rpartition(":") if ":" in spec else (spec, "", "1")
    _armed[label] = int(count)


def kill_point(label: str) -> None:
    """Dies here if this label was armed and its count has run down."""
    if label not in _armed:
        return
    _armed[label] -= 1
    if _armed[label] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


if "GEDANKEN_KILL_AT" in os.environ:
    arm(os.environ["GEDANKEN_KILL_AT"])
