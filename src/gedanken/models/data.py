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
        n, d = self.capacity, self.observation_size
        self.columns = Columns(
            observation=np.zeros((n, d), np.float32),
            action=np.zeros((n, self.action_size), np.float32),
            reward=np.zeros(n, np.float32),
            terminated=np.zeros(n, bool),
            next_observation=np.zeros((n, d), np.float32),
            cost=np.zeros((n, len(self.resources)), np.float32),
            episode=np.full(n, -1, np.int32),
            held_out=np.zeros(n, bool),
        )

    def add(self, rows: Columns) -> None:
        """Appends rows, growing to twice the capacity where they do not fit.

        Raises:
            ConfigError: the rows' widths differ from the table's, or a value is not finite.
        """
        count = len(rows.reward)
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
                    expected="finite numbers",
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
        self.columns = Columns(*(np.concatenate([c, np.zeros_like(c)]) for c in self.columns))
        self.capacity *= 2
