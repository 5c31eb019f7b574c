"""Planners of experiments: whoever says which design to try next."""

from gedanken.agents.experimenter.bayesian import Bayesian
from gedanken.agents.experimenter.contract import Forecast, Planner, Suggestion
from gedanken.agents.experimenter.earlier import Earlier
from gedanken.agents.experimenter.random_planner import Random

__all__ = ["Bayesian", "Earlier", "Forecast", "Planner", "Random", "Suggestion"]
