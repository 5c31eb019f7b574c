from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gedanken.dreams.attempts import AttemptsDream, Campaigns
from gedanken.dreams.attempts_seen import OBSERVED, Ended, observed
from gedanken.errors import ConfigError
from gedanken.models.attempts.features import TASK_FEATURES
from gedanken.worlds.ml_engineering.moves import DRAW, MOVES, MUTATE, STOP, possible
from gedanken.worlds.ml_engineering.pipelines import MODELS
from tests.models.attempts.synthetic import features, heads

TASKS = {"words": features(level=-0.4), "numbers": features(words=False, level=-1.2)}


def dream(**settings: Any) -> AttemptsDream:
    return AttemptsDream(heads(), TASKS, Campaigns(**settings))


def played(env: AttemptsDream, *, seed: int, steps: int = 1_000) -> list[tuple[np.ndarray, float, dict[str, Any]]]:
    """What possible moves by chance, never `stop`, bring until it is over."""
    rng, found, over = np.random.default_rng(seed), [], False
    mask = possible("regression", env.snapshot().tried)
    while not over and len(found) < steps:
        can = np.flatnonzero(mask[:STOP])
        observation, reward, over, _, info = env.step(int(rng.choice(can)))
        found.append((observation, reward, info))
        mask = info["action_mask"]
    return found


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a[0], b[0]) and a[1] == b[1] and a[2]["design"] == b[2]["design"]
        for a, b in zip(one, other, strict=True)
    )


def test_gymnasiums_own_checker_passes() -> None:
    check_env(dream(), skip_render_check=True)


def test_a_seed_makes_an_episode_and_another_seed_another_one() -> None:
    one, again = dream(), dream()
    for env in (one, again):
        env.reset(seed=3)
    first = played(one, seed=0)
    assert same(first, played(again, seed=0))
    again.reset(seed=4, options={"task": one.snapshot().task})
    assert not same(first, played(again, seed=0))


def test_within_an_episode_a_program_always_comes_out_the_same() -> None:
    env = dream()
    env.reset(seed=1, options={"task": "numbers"})
    begun, found = env.snapshot(), []
    for first in (1, 2):
        env.restore(begun)
        env.step(first)
        found.append(env.step(0)[4])
    assert found[0]["skill"] is not None
    assert all(found[0][name] == found[1][name] for name in ("skill", "duration_ms", "verdict"))


def test_episodes_differ_by_what_the_heads_do_not_know() -> None:
    env, skills, durations = dream(), [], []
    for seed in range(40):
        env.reset(seed=seed, options={"task": "numbers"})
        info = env.step(0)[4]
        skills.append(info["skill"])
        durations.append(info["duration_ms"])
    assert 0.0 < np.std(skills) < 0.3 and 0.1 < np.std(np.log(np.array(durations) - 2_000.0)) < 0.5


@pytest.mark.parametrize("seed", range(5))
def test_never_more_time_than_the_budget_and_rewards_add_up_to_the_best(seed: int) -> None:
    env = dream(budget_ms=31_000.0, limit_ms=9_000.0)
    env.reset(seed=seed)
    steps = played(env, seed=seed)
    took = [info["duration_ms"] for _, _, info in steps]
    assert sum(took) == pytest.approx(31_000.0) and max(took) <= 9_000.0
    assert sum(reward for _, reward, _ in steps) == pytest.approx(steps[-1][2]["best"])
    assert all(reward >= 0 for _, reward, _ in steps)
    assert steps[-1][0][len(TASK_FEATURES)] == 0.0
    with pytest.raises(ConfigError):
        env.step(0)


def test_a_fork_goes_on_identically_and_by_a_seed_otherwise() -> None:
    env = dream()
    env.reset(seed=5)
    played(env, seed=0, steps=9)
    same_way, other_way = env.fork(), env.fork(seed=77)
    stands = env.snapshot()
    first = played(env, seed=1)
    assert same(first, played(same_way, seed=1))
    assert not same(first, played(other_way, seed=1))
    env.restore(stands)
    assert same(first, played(env, seed=1))


def test_words_that_a_model_cannot_read_fail_in_the_dream_too() -> None:
    env, verdicts = dream(), []
    for seed in range(30):
        env.reset(seed=seed, options={"task": "words"})
        verdicts.append(env.step(MODELS.index("lightgbm"))[4]["verdict"])  # the synthetic law: words left are errors
    assert verdicts.count("error") > 20


def test_what_takes_longer_than_a_program_may_has_no_answer() -> None:
    env = dream(limit_ms=2_001.0)
    env.reset(seed=0, options={"task": "numbers"})
    info = env.step(0)[4]
    assert (info["verdict"], info["skill"], info["duration_ms"]) == ("timeout", None, 2_001.0)


def test_moves_that_lead_nowhere_cost_time_and_stop_ends_it() -> None:
    env = dream()
    _, info = env.reset(seed=0)
    assert info["action_mask"].tolist() == [1] * len(MODELS) + [0, 0, 0, 1, 1]
    _, reward, over, _, info = env.step(MUTATE)
    assert (reward, over, info["verdict"], info["duration_ms"]) == (0.0, False, "", 2_000.0)
    assert env.step(STOP)[2] is True


def test_tasks_are_drawn_by_their_worth() -> None:
    env = AttemptsDream(heads(), TASKS, worth={"words": 1.0})
    assert {env.reset(seed=seed)[1]["task"] for seed in range(12)} == {"words"}
    assert {dream().reset(seed=seed)[1]["task"] for seed in range(12)} == set(TASKS)


def test_an_observation_says_what_was_tried() -> None:
    env = dream()
    env.reset(seed=2, options={"task": "numbers"})
    observation = env.step(0)[0]
    tried = env.snapshot().tried
    assert env.observation_space.contains(observation) and observation.shape == (OBSERVED,)
    assert observation[-len(MOVES) :].tolist() == possible("regression", tried).tolist()
    running = Ended(tried[0].design, None, None, 0.0)
    seen = observed(TASKS["numbers"], [running], left=1.0)
    assert seen[-len(MOVES)] == 0.0 and seen[len(TASK_FEATURES) + 1] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("tasks", "worth"),
    [({}, None), ({"a": np.zeros(3)}, None), (TASKS, {"another": 1.0}), (TASKS, {"words": -1.0}), (TASKS, {})],
)
def test_tasks_that_make_no_sense_are_refused(tasks: Any, worth: Any) -> None:
    with pytest.raises(ConfigError):
        AttemptsDream(heads(), tasks, worth=worth)


def test_what_makes_no_sense_is_refused() -> None:
    for settings in ({"budget_ms": 0.0}, {"limit_ms": float("nan")}, {"noise": -0.1}):
        with pytest.raises(ConfigError):
            Campaigns(**settings)
    env = dream()
    with pytest.raises(ConfigError):
        env.step(DRAW)
    with pytest.raises(ConfigError):
        env.reset(options={"task": "no such"})
    env.reset(seed=0)
    with pytest.raises(ConfigError):
        env.step(len(MOVES))
    other = AttemptsDream(heads(), {"another": TASKS["words"]})
    with pytest.raises(ConfigError):
        other.restore(env.snapshot())
