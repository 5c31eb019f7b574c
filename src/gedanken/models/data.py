"""Transitions as a numeric model reads them: encoded, in fixed-size columns, growing without recompiling.

The columns have a capacity chosen once; rows past `size` are masked everywhere. So a fit on the first 100 steps and
one on the last 50,000 run the same compiled program.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gedanken.errors import ConfigError


class Columns(NamedTuple):
    """N encoded transitions.

    observation, next_observation: [N, D] float32; action: [N, A] float32; reward: [N] float32; terminated: [N] bool;
    cost: [N, R] float32, one column a resource; episode: [N] int32; held_out: [N] bool, True for episodes that are
    never trained on and serve early stopping and calibration.
    """

    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    next_observation: np.ndarray
    cost: np.ndarray
    episode: np.ndarray
    held_out: np.ndarray


@dataclass
class TransitionTable:
    """Room for `capacity` transitions of which the first `size` are filled."""

    capacity: int
    observation_size: int
    action_size: int
    resources: tuple[str, ...]
    size: int = 0
    columns: Columns = field(init=False)

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ConfigError("A table needs room.", given=f"capacity={self.capacity}", expected="1 or more")
        self.columns = self._blank(self.capacity)

    def add(self, rows: Columns) -> None:
        """Appends rows, growing to twice the capacity where they do not fit.

        Raises:
            ConfigError: the rows' widths differ from the table's, or a value is not finite.
        """
        count = len(rows.reward)
        # What overflows float32 becomes infinite here, and is refused below.
        with np.errstate(over="ignore"):
            rows = Columns(*(theirs.astype(mine.dtype) for mine, theirs in zip(self.columns, rows, strict=True)))
        for name, mine, theirs in zip(Columns._fields, self.columns, rows, strict=True):
            if theirs.shape[1:] != mine.shape[1:] or len(theirs) != count:
                raise ConfigError(
                    f"Column {name!r} does not fit into this table.",
                    given=theirs.shape,
                    expected=(count, *mine.shape[1:]),
                    do="encode the transitions with the codec of the same world.",
                )
            if theirs.dtype.kind == "f" and not np.isfinite(theirs).all():
                raise ConfigError(
                    f"Column {name!r} holds NaN or infinite values.",
                    expected="finite numbers within float32",
                    do="drop the transitions whose values the world did not report.",
                )
        while self.size + count > self.capacity:
            self._grow()
        for mine, theirs in zip(self.columns, rows, strict=True):
            mine[self.size : self.size + count] = theirs
        self.size += count

    def filled(self) -> Columns:
        """The filled rows, as views."""
        return Columns(*(column[: self.size] for column in self.columns))

    def _grow(self) -> None:
        blank = self._blank(self.capacity)
        self.columns = Columns(*(np.concatenate(both) for both in zip(self.columns, blank, strict=True)))
        self.capacity *= 2

    def _blank(self, count: int) -> Columns:
        return Columns(
            observation=np.zeros((count, self.observation_size), np.float32),
            action=np.zeros((count, self.action_size), np.float32),
            reward=np.zeros(count, np.float32),
            terminated=np.zeros(count, bool),
            next_observation=np.zeros((count, self.observation_size), np.float32),
            cost=np.zeros((count, len(self.resources)), np.float32),
            episode=np.full(count, -1, np.int32),
            held_out=np.zeros(count, bool),
        )
