"""A head and what a task's own attempts say against it: a Gaussian process of the difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gedanken.models.gaussian_process import Belief, GaussianProcess, GaussianProcessConfig, fit_gaussian_process
from gedanken.models.gaussian_process.average import spread_of
from gedanken.worlds.ml_engineering.pipelines import MODELS, SPACE
from gedanken.worlds.parameters import Design

Head = Callable[[Sequence[Design]], np.ndarray]
"""M programs -> [M], what is expected of them."""
_OUTLIER, _ROBUST = 1.5, 2.5
"""A difference that lies further from the others' median counts as if it lay there: how far beyond all others a bad
program is, says nothing of them. In standard deviations of what heads leave open, or of the differences themselves by
their median absolute deviation, whichever is further."""
_FAMILIES = len(MODELS)
"""The first columns of an encoded program."""
_LEVEL, _FAMILY = 3.0, 0.4
"""Standard deviations of a task's offset and of a family's, in those of what heads leave open."""
_CONFIG = GaussianProcessConfig(draws=12)


@dataclass(frozen=True, eq=False)
class Offsets:
    """What all programs of a task, and those of each family of models, may differ by from a head (see `trend.Linear`).

    A family that was not tried is as open as before, however alike the programs of another one are.

    scale: standard deviation that is thought of before there are many results. unit: that of an offset, in units that
    results are standardised by.
    """

    scale: float
    unit: float

    @property
    def mean(self) -> np.ndarray:
        return np.zeros(1 + _FAMILIES)

    @property
    def std(self) -> np.ndarray:
        found: np.ndarray = self.unit * np.r_[_LEVEL, np.full(_FAMILIES, _FAMILY)]
        return found

    def features(self, x: np.ndarray) -> np.ndarray:
        return np.hstack([np.ones((len(x), 1)), x[:, :_FAMILIES]])

    def covariance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        found: np.ndarray = (one * np.square(self.std)) @ other.T
        return found


@dataclass(frozen=True, eq=False)
class Corrected:
    """What is expected of programs on one task. It answers as a `GaussianProcess` does, but of programs."""

    head: Head
    process: GaussianProcess

    @property
    def weights(self) -> np.ndarray:
        """[K], of the processes that are averaged over."""
        return self.process.weights

    def beliefs(self, designs: Sequence[Design]) -> Belief:
        """M programs -> what each process thinks: arrays [K, M]."""
        mean, epistemic, aleatoric = self.process.beliefs(SPACE.encode(designs))
        return Belief(mean + self.head(designs), epistemic, aleatoric)

    def predict(self, designs: Sequence[Design]) -> Belief:
        """M programs -> mean and deviations of all together: arrays [M]."""
        mean, epistemic, aleatoric = self.process.predict(SPACE.encode(designs))
        return Belief(mean + self.head(designs), epistemic, aleatoric)

    def interval(self, designs: Sequence[Design], level: float) -> tuple[np.ndarray, np.ndarray]:
        """M programs -> low and high [M] between which the next result lies with probability `level`."""
        expected = self.head(designs)
        low, high = self.process.interval(SPACE.encode(designs), level)
        return low + expected, high + expected


def corrected(head: Head, designs: Sequence[Design], results: np.ndarray, *, left: float, seed: int) -> Corrected:
    """Corrects a head.

    Args:
        head: what is expected.
        designs: N programs, one or more.
        results: [N], what came.
        left: standard deviation of what the head leaves unexplained on tasks that it does not know.
        seed: of hyperparameters.
    """
    differences = results - head(designs)
    middle = float(np.median(differences))
    spread = 1.4826 * float(np.median(np.abs(differences - middle)))
    far = max(_OUTLIER * left, _ROBUST * spread)
    differences = np.clip(differences, middle - far, middle + far)
    offsets = Offsets(left, left / spread_of(differences, left))
    process = fit_gaussian_process(
        SPACE.groups, SPACE.encode(designs), differences, config=_CONFIG, trend=offsets, optional=False, seed=seed
    )
    return Corrected(head, process)
