"""Evidence: whether it is true. One file per question asked of a model or a policy.

- `interval`: how sure is a number?
- `fidelity`: how far ahead can the model see?
- `calibration`: does it know what it does not know?
- `value`: what is the policy worth, in the model and in the world?
- `exploitation`: does the policy live off the model's mistakes?
- `drift`: has the model's error changed?
- `model_card`: what may be claimed of the model, and what must it not be used for?
"""

from gedanken.evidence.calibration import CalibrationCheck, check_calibration
from gedanken.evidence.drift import DriftCheck, check_drift
from gedanken.evidence.exploitation import ExploitationGap, exploitation_gap
from gedanken.evidence.fidelity import HorizonError, error_by_horizon
from gedanken.evidence.interval import Interval, mean_with_interval, over_episodes, pooled
from gedanken.evidence.model_card import write_model_card
from gedanken.evidence.value import ValueComparison, imagined_against_real, imagined_returns

__all__ = [
    "CalibrationCheck",
    "DriftCheck",
    "ExploitationGap",
    "HorizonError",
    "Interval",
    "ValueComparison",
    "check_calibration",
    "check_drift",
    "error_by_horizon",
    "exploitation_gap",
    "imagined_against_real",
    "imagined_returns",
    "mean_with_interval",
    "over_episodes",
    "pooled",
    "write_model_card",
]
