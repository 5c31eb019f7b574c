"""Evidence: whether it is true. One file per question asked of a model or a policy.

- `interval`: how sure is a number?
- `fidelity`: how far ahead can the model see?
- `calibration`: does it know what it does not know?
- `value`: what is the policy worth, in the model and in the world?
- `prediction_powered`: what is it worth in the world, from many imagined and few real episodes? `tuned` and `betting`
  are its intervals, `sequential` says when to stop paying, `paired` compares two policies.
- `importance`, `fitted_q`, `doubly_robust`: what is it worth, from logged episodes of other policies? `estimators` puts
  all ways of estimating a value side by side.
- `exploitation`: does the policy live off the model's mistakes?
"""

from gedanken.evidence.calibration import CalibrationCheck, check_calibration
from gedanken.evidence.doubly_robust import doubly_robust
from gedanken.evidence.estimators import Estimates, estimate
from gedanken.evidence.exploitation import ExploitationGap, exploitation_gap
from gedanken.evidence.fidelity import HorizonError, error_by_horizon
from gedanken.evidence.fitted_q import FittedQ, fitted_q_evaluation
from gedanken.evidence.importance import ImportanceSampling, importance_sampling
from gedanken.evidence.interval import Interval, mean_with_interval, over_episodes, pooled
from gedanken.evidence.paired import PolicyComparison, compare_policies
from gedanken.evidence.prediction_powered import PolicyValue, prediction_powered
from gedanken.evidence.sequential import Progress, narrow_enough
from gedanken.evidence.value import ValueComparison, imagined_against_real, imagined_returns

__all__ = [
    "CalibrationCheck",
    "Estimates",
    "ExploitationGap",
    "FittedQ",
    "HorizonError",
    "ImportanceSampling",
    "Interval",
    "PolicyComparison",
    "PolicyValue",
    "Progress",
    "ValueComparison",
    "check_calibration",
    "compare_policies",
    "doubly_robust",
    "error_by_horizon",
    "estimate",
    "exploitation_gap",
    "fitted_q_evaluation",
    "imagined_against_real",
    "imagined_returns",
    "importance_sampling",
    "mean_with_interval",
    "narrow_enough",
    "over_episodes",
    "pooled",
    "prediction_powered",
]
