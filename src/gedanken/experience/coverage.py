"""Where the data lie: ranges, quantiles and gaps of each dimension, and how far held-out states are from the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from gedanken.experience.columns import Column

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 20
MOST_DIMENSIONS = 256
MOST_BINS = 1024
_DISTANCE_BYTES = 2**24


@dataclass(frozen=True)
class Dimension:
    """One number of the observation or action.

    low, high: the range seen, None where no value was finite; quantiles: those of `QUANTILES`, of the sample;
    bins: how many equal bins; over: what they divide, the "space"'s own bounds where it has them or else the range
    that was "seen"; occupied: the share of bins with at least one transition in them; not_finite: how many values were
    NaN or infinite (and are left out).
    """

    name: str
    low: float | None
    high: float | None
    quantiles: tuple[float, ...]
    bins: int
    over: str
    occupied: float
    not_finite: int


@dataclass(frozen=True)
class Neighbours:
    """How far held-out states are from the nearest one that is trained on, in standard deviations and in spacings.

    spacing: the median distance of a training state to the nearest training state of another episode (of any, if there
    is only one episode: `across_episodes` is then False). median, p90: of the held-out states' distances in spacings;
    about 1 where held-out episodes visit what the others visit. beyond_two: the share farther than two spacings. None
    where the spacing is 0. train_sample, held_out_sample: how many states were compared.
    """

    spacing: float
    across_episodes: bool
    median: float | None
    p90: float | None
    beyond_two: float | None
    train_sample: int
    held_out_sample: int


class Field:
    """The dimensions of one observation or action column, gathered block by block in two passes.

    The first pass (`measure`) finds range and spread, the second (`count`) which bins are occupied.
    """

    def __init__(self, label: str, column: Column) -> None:
        self.size = 1 if column.encoding == "integer" else column.size
        self._label, self._space = label, column.space
        shape = (self.size,)
        self.low, self.high = np.full(shape, np.inf), np.full(shape, -np.inf)
        self.not_finite = np.zeros(shape, np.int64)
        self._count, self._mean, self._squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        # Images have more dimensions than anybody reads: some, evenly spread, stand for all.
        self.shown = np.unique(np.linspace(0, self.size - 1, min(self.size, MOST_DIMENSIONS)).astype(np.int64))
        self._bins = min(int(self._space.n), MOST_BINS) if isinstance(self._space, gym.spaces.Discrete) else BINS
        self._occupied = np.zeros((len(self.shown), self._bins), bool)

    def measure(self, vectors: np.ndarray) -> None:
        """Takes [N, size] values into range, mean and spread (Chan et al. 1983, which stays exact far off 0)."""
        finite = np.isfinite(vectors)
        self.not_finite += (~finite).sum(0)
        self.low = np.minimum(self.low, np.where(finite, vectors, np.inf).min(0, initial=np.inf))
        self.high = np.maximum(self.high, np.where(finite, vectors, -np.inf).max(0, initial=-np.inf))
        count = finite.sum(0)
        mean = np.where(finite, vectors, 0.0).sum(0) / np.maximum(count, 1)
        squares = (np.where(finite, vectors - mean, 0.0) ** 2).sum(0)
        total = np.maximum(self._count + count, 1)
        shift = mean - self._mean
        self._squares += squares + shift**2 * self._count * count / total
        self._mean += shift * count / total
        self._count += count

    def count(self, vectors: np.ndarray) -> None:
        """Notes which bins [N, size] values fall into."""
        low, high, _ = self._binned_over()
        values = vectors[:, self.shown]
        with np.errstate(invalid="ignore"):
            place = np.clip((values - low) / np.where(high > low, high - low, 1.0) * self._bins, 0, self._bins - 1)
        rows, columns = np.nonzero(np.isfinite(values))
        self._occupied[columns, place[rows, columns].astype(np.int64)] = True

    def standardise(self, vectors: np.ndarray) -> np.ndarray:
        """[N, size] values in standard deviations from the mean; a dimension that never moved is 0 throughout."""
        std = np.sqrt(self._squares / np.maximum(self._count, 1))
        # Below the resolution of the values themselves a dimension did not move, it was rounded.
        moves = std > 1e-12 * np.maximum(np.abs(self._mean), 1e-300)
        return np.where(moves, (vectors - self._mean) / np.where(moves, std, 1.0), 0.0)

    def dimensions(self, sample: np.ndarray) -> list[Dimension]:
        """What was found, with quantiles of a sample [N, size]."""
        _, _, over = self._binned_over()
        described = []
        for row, index in enumerate(self.shown.tolist()):
            values = sample[:, index][np.isfinite(sample[:, index])]
            described.append(
                Dimension(
                    name=self._label if self.size == 1 else f"{self._label}[{index}]",
                    low=float(self.low[index]) if self._count[index] else None,
                    high=float(self.high[index]) if self._count[index] else None,
                    quantiles=tuple(np.quantile(values, QUANTILES).tolist()) if len(values) else (),
                    bins=self._bins,
                    over="space" if over[row] else "seen",
                    occupied=float(self._occupied[row].mean()),
                    not_finite=int(self.not_finite[index]),
                )
            )
        return described

    def _binned_over(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Low and high end of the bins of each shown dimension, and whether they are the space's own."""
        low, high = self.low[self.shown], self.high[self.shown]
        space = self._space
        if isinstance(space, gym.spaces.Discrete):
            return low * 0 + float(space.start), low * 0 + float(space.start + space.n), np.full(len(low), True)
        if not isinstance(space, gym.spaces.Box):
            return low, high, np.full(len(low), False)
        bounds = [np.asarray(bound, np.float64).reshape(-1)[self.shown] for bound in (space.low, space.high)]
        # A bound like float32's largest number is no bound: nobody asks which share of that was visited.
        own = np.isfinite(bounds[0]) & np.isfinite(bounds[1]) & (bounds[1] - bounds[0] < 1e30)
        return np.where(own, bounds[0], low), np.where(own, bounds[1], high), own


def vectors_of(column: Column, values: Any) -> np.ndarray:
    """Values of an array or integer column as [N, size] float64."""
    return np.asarray(values, np.float64).reshape(len(values), 1 if column.encoding == "integer" else column.size)


def compare_neighbours(train: np.ndarray, train_episodes: np.ndarray, held_out: np.ndarray) -> Neighbours | None:
    """Distances between standardised states [N, D] and [M, D]; None where there is nothing to compare."""
    finite = np.isfinite(train).all(1)
    train, train_episodes = train[finite], train_episodes[finite]
    held_out = held_out[np.isfinite(held_out).all(1)]
    if len(train) < 2 or len(held_out) == 0:
        return None
    across = len(np.unique(train_episodes)) > 1
    owners: Sequence[Any] | np.ndarray = train_episodes if across else np.arange(len(train))
    spacing = float(np.median(_nearest(train, train, np.asarray(owners), np.asarray(owners))))
    away = _nearest(held_out, train, np.full(len(held_out), -1), np.asarray(owners))
    ratios = away / spacing if spacing > 0 else None
    return Neighbours(
        spacing=spacing,
        across_episodes=across,
        median=None if ratios is None else float(np.median(ratios)),
        p90=None if ratios is None else float(np.quantile(ratios, 0.9)),
        beyond_two=None if ratios is None else float((ratios > 2.0).mean()),
        train_sample=len(train),
        held_out_sample=len(held_out),
    )


def _nearest(points: np.ndarray, others: np.ndarray, owner: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """[N]: the distance of each point to the nearest of the others that has another owner."""
    squares = (others**2).sum(1)
    step = max(1, _DISTANCE_BYTES // (8 * len(others)))
    nearest = np.empty(len(points))
    for first in range(0, len(points), step):
        block = slice(first, first + step)
        distances = (points[block] ** 2).sum(1)[:, None] + squares - 2.0 * points[block] @ others.T
        distances[owner[block][:, None] == owners] = np.inf
        # The expanded square loses digits where points all but coincide; the nearest one's distance is taken anew.
        nearest[block] = np.linalg.norm(points[block] - others[distances.argmin(1)], axis=1)
    return nearest
