import pytest

from gedanken.errors import ConfigError
from gedanken.worlds.science.trials import Objective, Trial, TrialState


def test_what_was_abandoned_or_completed_stays_so() -> None:
    for end in (TrialState.COMPLETED, TrialState.ABANDONED):
        assert not any(end.may_become(other) for other in TrialState)


def test_a_failed_trial_may_be_tried_again() -> None:
    assert TrialState.FAILED.may_become(TrialState.RUNNING)
    assert not TrialState.FAILED.may_become(TrialState.CANDIDATE)


def test_a_result_may_come_for_whatever_is_not_at_its_end() -> None:
    for state in (TrialState.CANDIDATE, TrialState.STAGED, TrialState.RUNNING, TrialState.STALE):
        assert state.may_become(TrialState.COMPLETED)


def test_only_what_somebody_is_doing_is_pending() -> None:
    assert [s for s in TrialState if s.pending] == [TrialState.STAGED, TrialState.RUNNING]


def test_results_count_only_of_trials_that_ended() -> None:
    assert Trial("1", {"x": 1.0}, TrialState.COMPLETED, {"y": 1.0}).measured
    assert not Trial("1", {"x": 1.0}, TrialState.RUNNING, {"y": 1.0}).measured
    assert not Trial("1", {"x": 1.0}, TrialState.COMPLETED).measured


def test_less_is_better_where_the_goal_says_so() -> None:
    assert (Objective("impurity", "min").sign, Objective("yield").sign) == (-1.0, 1.0)
    with pytest.raises(ConfigError, match="has no goal"):
        Objective("yield", "maximise")  # type: ignore[arg-type]
