"""What a planner knows: a Gaussian process an objective, and how likely an experiment is to succeed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gedanken.agents.experimenter.earlier import Earlier, trend_of
from gedanken.models.gaussian_process.average import GaussianProcess, GaussianProcessConfig, fit_gaussian_process
from gedanken.models.gaussian_process.trend import Trend
from gedanken.worlds.design import DesignSpace, Group
from gedanken.worlds.parameters import Design
from gedanken.worlds.science.fidelity import FULL
from gedanken.worlds.science.trials import Objective, Trial, TrialState

_LEAST, _MOST = 0.02, 0.98
"""Probabilities of success that are believed."""
_LIKELIEST = GaussianProcessConfig(scales=("shared",), draws=1)


@dataclass(frozen=True)
class Surrogate:
    """The model of a campaign.

    objectives: those with results enough for a process. processes: one each, of results of which more is better; None
    where there is no result at all, and then `trend` is what earlier campaigns say. succeeds: a process of 1 and 0,
    regressed by least squares (Rasmussen and Williams 2006, 6.5); None where nothing has failed. faithful: whether the
    last column of what is encoded is the fidelity.
    """

    objectives: tuple[Objective, ...]
    processes: tuple[GaussianProcess, ...] | None
    trend: Trend | None
    succeeds: GaussianProcess | None
    faithful: bool = False

    def seen(self) -> np.ndarray:
        """[N, F]: the designs that the first process has results of, at full fidelity."""
        assert self.processes is not None
        x = self.processes[0].x
        return np.hstack([x[:, :-1], np.full((len(x), 1), FULL)]) if self.faithful else x

    def before(self, x: np.ndarray) -> np.ndarray:
        """[M, F] -> [M]: what is expected before the first result."""
        if self.trend is None:
            return np.zeros(len(x))
        found: np.ndarray = self.trend.features(x) @ self.trend.mean
        return found

    def success(self, x: np.ndarray) -> np.ndarray:
        """[M, F] -> [M]: the probability that an experiment brings a result."""
        if self.succeeds is None:
            return np.ones(len(x))
        likely: np.ndarray = np.clip(self.succeeds.predict(x).mean, _LEAST, _MOST)
        return likely


Waiting = tuple[Design, float]
"""A design under way, and its fidelity."""


def encoded(space: DesignSpace, designs: Sequence[Design], levels: Sequence[float] | None) -> np.ndarray:
    """[N, F] as the space encodes them, or [N, F + 1] with their fidelities behind."""
    x = space.encode(designs)
    return x if levels is None else np.hstack([x, np.array(levels, np.float64).reshape(-1, 1)])


def fit_surrogate(
    space: DesignSpace,
    objectives: Sequence[Objective],
    trials: Sequence[Trial],
    waiting: Sequence[Waiting],
    *,
    earlier: Sequence[Earlier] = (),
    faithful: bool = False,
    config: GaussianProcessConfig,
    seed: int,
) -> Surrogate:
    """Fits the model to what is known.

    Args:
        space, objectives, trials: of the campaign.
        waiting: designs under way, which are believed to bring what is expected: no reason to go there again.
        earlier: campaigns over the same design space.
        faithful: whether experiments differ in fidelity, which then is one more column for the model.
        config: of the processes.
        seed: of their hyperparameters.
    """
    fitted: list[tuple[Objective, GaussianProcess]] = []
    groups = space.groups
    if faithful:
        groups = (*groups, Group("fidelity", space.size, space.size + 1, "numeric", None))

    def encode(designs: Sequence[Design], levels: Sequence[float]) -> np.ndarray:
        return encoded(space, designs, levels if faithful else None)

    trends = [trend_of(earlier, space, objective) for objective in objectives]
    for objective, trend in zip(objectives, trends, strict=True):
        known = [trial for trial in trials if trial.measured and objective.name in trial.results]
        if len(known) < (1 if trend is not None else 2):
            continue
        x = encode([trial.design for trial in known], [trial.fidelity for trial in known])
        y = objective.sign * np.array([trial.results[objective.name] for trial in known])
        process = fit_gaussian_process(groups, x, y, config=config, trend=trend, seed=seed)
        if waiting:
            pending = encode([design for design, _ in waiting], [level for _, level in waiting])
            x, y = np.vstack([x, pending]), np.r_[y, process.predict(pending).mean]
            process = fit_gaussian_process(groups, x, y, config=config, trend=trend, seed=seed)
        fitted.append((objective, process))
    processes = tuple(process for _, process in fitted) or None
    objectives = tuple(objective for objective, _ in fitted)
    return Surrogate(objectives, processes, trends[0], _succeeds(space, trials), faithful)


def _succeeds(space: DesignSpace, trials: Sequence[Trial]) -> GaussianProcess | None:
    ended = [trial for trial in trials if trial.measured or trial.state is TrialState.FAILED]
    if not any(trial.state is TrialState.FAILED for trial in ended) or len(ended) < 2:
        return None
    x = space.encode([trial.design for trial in ended])
    y = np.array([float(trial.measured) for trial in ended])
    return fit_gaussian_process(space.groups, x, y, config=_LIKELIEST, seed=0)
