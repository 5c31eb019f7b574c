"""Evidence: whether it is true. One file per question asked of a model or a policy.

- `interval`: how sure is a number?
- `fidelity`: how far ahead can the model see?
- `calibration`: does it know what it does not know?
- `ranking`: does it rank policies as the world does?
- `value`: what is the policy worth, in the model and in the world?
- `exploitation`: does the policy live off the model's mistakes?
- `selection`: which policy to deploy, with few real episodes to spend?
- `replays`: how would that have gone on returns that are on record?
- `judgement`: what does a `table` of returns say to all that?
"""

from gedanken.evidence.calibration import CalibrationCheck, check_calibration
from gedanken.evidence.exploitation import ExploitationGap, exploitation_gap
from gedanken.evidence.fidelity import HorizonError, error_by_horizon
from gedanken.evidence.interval import Interval, mean_with_interval, over_episodes, pooled
from gedanken.evidence.judgement import Judgement, judge
from gedanken.evidence.ranking import Ranking, rank
from gedanken.evidence.replays import Replay, replay
from gedanken.evidence.selection import Selection, select
from gedanken.evidence.table import ReturnTable, read_returns
from gedanken.evidence.value import ValueComparison, imagined_against_real, imagined_returns

__all__ = [
    "CalibrationCheck",
    "ExploitationGap",
    "HorizonError",
    "Interval",
    "Judgement",
    "Ranking",
    "Replay",
    "ReturnTable",
    "Selection",
    "ValueComparison",
    "check_calibration",
    "error_by_horizon",
    "exploitation_gap",
    "imagined_against_real",
    "imagined_returns",
    "judge",
    "mean_with_interval",
    "over_episodes",
    "pooled",
    "rank",
    "read_returns",
    "replay",
    "select",
]
