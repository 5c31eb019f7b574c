from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gedanken.experience.cost import Cost
from gedanken.experience.transition import Episode, EpisodeHeader, Outcome, Provenance, Transition


def test_what_nobody_told_is_unknown_and_not_no():
    step = Transition(observation=0, action=0, reward=1.0, terminated=False, truncated=False, next_observation=1)
    assert (step.duration_ms, step.log_probability, step.action_id) == (None, None, None)
    assert step.cost == Cost() and step.provenance == Provenance("real", None)
    assert Outcome() == Outcome(None, None, None)
    assert EpisodeHeader("e", "w", "p").account == "learn"


def test_records_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Outcome().success = True
    with pytest.raises(dataclasses.FrozenInstanceError):
        EpisodeHeader("e", "w", "p").seed = 3


def test_an_episode_is_as_long_as_its_rewards_and_worth_their_sum():
    empty = np.zeros(0)
    episode = Episode(
        header=EpisodeHeader("e", "w", "p"),
        observations=np.zeros((4, 2)),
        actions=np.zeros((3, 1)),
        rewards=np.array([0.5, 1.0, -2.0]),
        terminated=np.zeros(3, bool),
        truncated=np.zeros(3, bool),
        costs={},
        durations_ms=empty,
        log_probabilities=empty,
    )
    assert len(episode) == 3 and episode.total_reward == -0.5 and episode.complete
