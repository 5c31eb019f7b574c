"""Gaussian processes over designs: the model family for few and costly experiments."""

from gedanken.models.gaussian_process.average import GaussianProcess, GaussianProcessConfig, fit_gaussian_process
from gedanken.models.gaussian_process.density import Hyperparameters, PriorConfig
from gedanken.models.gaussian_process.process import Belief, Process
from gedanken.models.gaussian_process.trend import Trend

__all__ = [
    "Belief",
    "GaussianProcess",
    "GaussianProcessConfig",
    "Hyperparameters",
    "PriorConfig",
    "Process",
    "Trend",
    "fit_gaussian_process",
]
