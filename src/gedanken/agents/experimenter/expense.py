"""What experiments really cost and how long they really take, learned from those that were paid for.

A price says what an experiment costs at most. What it did cost is learned as a share of that, by resource (durations
are resources as well), from all trials that have ended, failed ones included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from gedanken.agents.experimenter.contract import Forecast, Price
from gedanken.models.gaussian_process.average import GaussianProcess, GaussianProcessConfig, fit_gaussian_process
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Design
from gedanken.worlds.science.trials import Trial, TrialState

_ENDED = (TrialState.COMPLETED, TrialState.EARLY_STOPPED, TrialState.FAILED)
_LEAST = 3
"""Experiments that cost less than they might have, before that is learned from."""
_LIKELIEST = GaussianProcessConfig(scales=("shared",), draws=1)


@dataclass(frozen=True)
class Expense:
    """By resource, a process of the logarithm of (what an experiment did cost / what it costs at most)."""

    space: DesignSpace
    price: Price
    shares: Mapping[str, GaussianProcess]

    def expected(self, designs: Sequence[Design]) -> dict[str, np.ndarray]:
        """Resource -> [M], the expected cost in minor units; what is not learned is the price."""
        x = self.space.encode(designs)
        most = [self.price(design) for design in designs]
        found = {}
        for resource in {name for cost in most for name in cost}:
            amounts = np.array([cost.of(resource) for cost in most], np.float64)
            if resource in self.shares:
                belief = self.shares[resource].predict(x)
                # The mean of a log-normal, which the price still limits.
                amounts *= np.minimum(np.exp(belief.mean + 0.5 * np.square(belief.total)), 1.0)
            found[resource] = amounts
        return found

    def forecasts(self, design: Design, level: float) -> dict[str, Forecast]:
        """What one experiment will cost, of every resource that something is learned of."""
        x, most = self.space.encode([design]), self.price(design)
        found = {}
        for resource, process in self.shares.items():
            belief, at_most = process.predict(x), float(most.of(resource))
            mean, total = float(belief.mean[0]), float(belief.total[0])
            expected = at_most * min(float(np.exp(mean + 0.5 * total**2)), 1.0)
            # A standard deviation of the logarithm is a relative one, to first order.
            apart = [expected * float(part[0]) for part in (belief.epistemic, belief.aleatoric)]
            reach = float(norm.ppf(0.5 + level / 2)) * total
            ends = [at_most * min(float(np.exp(mean + side * reach)), 1.0) for side in (-1, 1)]
            found[resource] = Forecast(expected, *apart, *ends)
        return found


def learned_expense(space: DesignSpace, trials: Sequence[Trial], price: Price) -> Expense:
    """Learns from trials that have ended.

    Args:
        space, trials: of the campaign.
        price: what an experiment costs at most.
    """
    ended = [trial for trial in trials if trial.state in _ENDED]
    shares = {}
    for resource in sorted({name for trial in ended for name in trial.cost}):
        known = [(trial, trial.cost.of(resource), price(trial.design).of(resource)) for trial in ended]
        # At a lower fidelity an experiment's price is another one, and free ones tell nothing.
        known = [one for one in known if one[0].fidelity == 1.0 and 0 < one[1] <= one[2]]
        if sum(cost < most for _, cost, most in known) < _LEAST:
            continue
        x = space.encode([trial.design for trial, _, _ in known])
        y = np.log([cost / most for _, cost, most in known])
        shares[resource] = fit_gaussian_process(space.groups, x, y, config=_LIKELIEST, seed=0)
    return Expense(space, price, shares)
