"""Evidence: whether it is true. One file per question asked of a model or a policy.

- `interval`: how sure is a number?
- `fidelity`: how far ahead can the model see?
- `forecasts`: how good is the whole forecast, its spread included?
- `rewards`: how well does it foresee reward?
- `outcomes`: does it let pass what really fails?
- `counterfactual`: does another action lead elsewhere as it does in the world? (`branching` pays for the answer.)
- `permuted`: does it listen to actions at all?
- `calibration`: does it know what it does not know? (`pit`, `selective`)
- `held_out_policies`: do its intervals hold for policies that were not there?
- `ranking`: does it rank policies as the world does?
- `value`: what is the policy worth, in the model and in the world?
- `prediction_powered`: what is it worth in the world, from many imagined and few real episodes? `tuned` and `betting`
  are its intervals, `sequential` says when to stop paying, `paired` compares two policies.
- `importance`, `fitted_q`, `doubly_robust`: what is it worth, from logged episodes of other policies? `estimators` puts
  all ways of estimating a value side by side.
- `exploitation`: does the policy live off the model's mistakes?
- `exploitation_curve`: when does optimising in the model stop paying?
- `selection`: which policy to deploy, with few real episodes to spend?
- `replays`: how would that have gone on returns that are on record?
- `judgement`: what does a `table` of returns say to all that?
- `drift`: has the model's error changed?
- `model_card`: what may be claimed of the model, and what must it not be used for?
"""

from gedanken.evidence.branching import Branches, Visits, branch
from gedanken.evidence.calibration import CalibrationCheck, check_calibration
from gedanken.evidence.counterfactual import ActionEffects, effects_of_branches, effects_of_pairs
from gedanken.evidence.doubly_robust import doubly_robust
from gedanken.evidence.drift import DriftCheck, check_drift
from gedanken.evidence.estimators import Estimates, estimate
from gedanken.evidence.exploitation import ExploitationGap, exploitation_gap
from gedanken.evidence.exploitation_curve import Checkpoint, ExploitationCurve, exploitation_by_step
from gedanken.evidence.fidelity import HorizonError, error_by_horizon
from gedanken.evidence.fitted_q import FittedQ, fitted_q_evaluation
from gedanken.evidence.forecasts import ForecastScores, score_forecasts
from gedanken.evidence.held_out_policies import HeldOutPolicies, conformal_on_held_out_policies
from gedanken.evidence.importance import ImportanceSampling, importance_sampling
from gedanken.evidence.interval import Interval, mean_with_interval, over_episodes, pooled
from gedanken.evidence.judgement import Judgement, judge
from gedanken.evidence.model_card import write_model_card
from gedanken.evidence.outcomes import Agreement, EndingsByHorizon, endings_by_horizon, outcomes_agree
from gedanken.evidence.paired import PolicyComparison, compare_policies
from gedanken.evidence.permuted import PermutedActions, permuted_actions
from gedanken.evidence.pit import Pit, check_pit
from gedanken.evidence.prediction_powered import PolicyValue, prediction_powered
from gedanken.evidence.ranking import Ranking, rank
from gedanken.evidence.replays import Replay, replay
from gedanken.evidence.rewards import RewardError, reward_by_horizon
from gedanken.evidence.selection import Selection, select
from gedanken.evidence.selective import RiskCoverage, risk_coverage
from gedanken.evidence.sequential import Progress, narrow_enough
from gedanken.evidence.table import ReturnTable, read_returns
from gedanken.evidence.value import ValueComparison, imagined_against_real, imagined_returns

__all__ = [
    "ActionEffects",
    "Agreement",
    "Branches",
    "CalibrationCheck",
    "Checkpoint",
    "DriftCheck",
    "EndingsByHorizon",
    "Estimates",
    "ExploitationCurve",
    "ExploitationGap",
    "FittedQ",
    "ForecastScores",
    "HeldOutPolicies",
    "HorizonError",
    "ImportanceSampling",
    "Interval",
    "Judgement",
    "PermutedActions",
    "Pit",
    "PolicyComparison",
    "PolicyValue",
    "Progress",
    "Ranking",
    "Replay",
    "ReturnTable",
    "RewardError",
    "RiskCoverage",
    "Selection",
    "ValueComparison",
    "Visits",
    "branch",
    "check_calibration",
    "check_drift",
    "check_pit",
    "compare_policies",
    "conformal_on_held_out_policies",
    "doubly_robust",
    "effects_of_branches",
    "effects_of_pairs",
    "endings_by_horizon",
    "error_by_horizon",
    "estimate",
    "exploitation_by_step",
    "exploitation_gap",
    "fitted_q_evaluation",
    "imagined_against_real",
    "imagined_returns",
    "importance_sampling",
    "judge",
    "mean_with_interval",
    "narrow_enough",
    "outcomes_agree",
    "over_episodes",
    "permuted_actions",
    "pooled",
    "prediction_powered",
    "rank",
    "read_returns",
    "replay",
    "reward_by_horizon",
    "risk_coverage",
    "score_forecasts",
    "select",
    "write_model_card",
]
