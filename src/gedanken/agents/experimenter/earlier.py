"""Earlier campaigns over the same design space, such as the same reaction with another substrate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gedanken.errors import ConfigError
from gedanken.models.gaussian_process.average import GaussianProcess, GaussianProcessConfig, fit_gaussian_process
from gedanken.models.gaussian_process.trend import Trend
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Categorical
from gedanken.worlds.science.trials import Objective, Trial

_LIKELIEST = GaussianProcessConfig(draws=1)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What one earlier campaign expects. mean, scale: of its results, of which more is better."""

    process: GaussianProcess
    mean: float
    scale: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[M, F] -> [M]: the expected results, standardised."""
        found: np.ndarray = (self.process.predict(x).mean - self.mean) / self.scale
        return found


@dataclass(frozen=True, eq=False)
class Earlier:
    """The trials of one earlier campaign. Its model is fitted once for each objective that is asked for.

    Numbers may be out of the new bounds; trials with a level that the new space does not have are left out.
    """

    trials: tuple[Trial, ...]
    _fitted: dict[str, Fitted | None] = field(default_factory=dict, init=False, repr=False)

    def fitted(self, space: DesignSpace, objective: Objective) -> Fitted | None:
        """Its model of an objective; None where it has fewer than three results that can be used.

        Raises:
            ConfigError: it had other parameters.
        """
        if objective.name not in self._fitted:
            self._fitted[objective.name] = self._fit(space, objective)
        return self._fitted[objective.name]

    def _fit(self, space: DesignSpace, objective: Objective) -> Fitted | None:
        choices = [parameter for parameter in space.parameters if isinstance(parameter, Categorical)]
        for trial in self.trials:
            if set(trial.design) != set(space.names):
                raise ConfigError(
                    "An earlier campaign had other parameters.",
                    given=", ".join(trial.design),
                    expected=", ".join(space.names),
                    do="leave the campaign out.",
                )
        known = [
            trial
            for trial in self.trials
            if trial.measured
            and objective.name in trial.results
            and all(str(trial.design[choice.name]) in choice.levels for choice in choices)
        ]
        if len(known) < 3:
            return None
        y = objective.sign * np.array([trial.results[objective.name] for trial in known])
        x = space.encode([trial.design for trial in known])
        process = fit_gaussian_process(space.groups, x, y, config=_LIKELIEST, seed=0)
        return Fitted(process, float(y.mean()), float(y.std()) or 1.0)


def trend_of(earlier: Iterable[Earlier], space: DesignSpace, objective: Objective) -> Trend | None:
    """What earlier campaigns say of an objective together; None where none of them measured it."""
    fitted: Sequence[Fitted] = [one for each in earlier if (one := each.fitted(space, objective)) is not None]
    if not fitted:
        return None
    return Trend(tuple(fitted), float(np.mean([one.scale for one in fitted])))
