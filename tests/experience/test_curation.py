from __future__ import annotations

import json

import gymnasium as gym
import numpy as np
import pytest

from gedanken.errors import ConfigError, StoreError
from gedanken.experience import Experience, Outcome, Transition, curate, is_held_out
from tests.experience.examples import create, header

BOX = gym.spaces.Box(np.array([-10.0, -np.inf]), np.array([10.0, np.inf]), dtype=np.float64)


def walk(seed, length=30):
    """A random walk: [T + 1, 2] observations and [T, 1] actions, none of them twice."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(length + 1, 2)), rng.uniform(-1, 1, (length, 1)).astype(np.float32)


def put(experience, name, observations, actions, *, ended="truncated", outcome=None, **more):
    experience.begin(header(name, **more))
    last = len(actions) - 1
    experience.append(
        name,
        [
            Transition(
                observations[at],
                action,
                float(at),
                ended == "terminated" and at == last,
                ended == "truncated" and at == last,
                observations[at + 1],
            )
            for at, action in enumerate(actions)
        ],
    )
    if ended:
        experience.end(name, outcome or Outcome())


@pytest.fixture
def experience(tmp_path):
    with create(tmp_path / "x", seal_rows=100, observation_space=BOX) as opened:
        yield opened


def test_clean_data_have_no_duplicates_and_no_leakage(experience):
    for seed in range(8):
        put(experience, f"e{seed}", *walk(seed))
    found = curate(experience, seed=0)
    assert (found.steps, found.episodes) == (240, 8)
    assert (found.duplicates.exact, found.duplicates.near) == (0, 0)
    assert (found.leakage.exact, found.leakage.near, found.leakage.episodes) == (0, 0, 0)


def test_a_planted_duplicate_is_found_exactly(experience):
    observations, actions = walk(0)
    put(experience, "e0", observations, actions)
    put(experience, "e1", *walk(1))
    experience.begin(header("copy"))
    for at in (3, 7, 3):
        again = Transition(observations[at], actions[at], float(at), False, False, observations[at + 1])
        experience.append("copy", [again])
    found = curate(experience, seed=0).duplicates
    assert found.exact == 3 and found.exact_share == pytest.approx(3 / 63) and found.near == 0


@pytest.mark.parametrize("part", ["observation", "action", "reward", "terminated", "next_observation"])
def test_a_transition_that_differs_in_any_part_is_no_exact_duplicate(experience, part):
    observations, actions = walk(0)
    put(experience, "e0", observations, actions)
    put(experience, "e1", *walk(1))
    values = {
        "observation": observations[3],
        "action": actions[3],
        "reward": 3.0,
        "terminated": False,
        "next_observation": observations[4],
    }
    other = {"reward": 4.0, "terminated": True}.get(part)
    values[part] = values[part] + 0.3 if other is None else other
    experience.begin(header("other"))
    experience.append("other", [Transition(**values, truncated=False)])
    assert curate(experience, seed=0).duplicates.exact == 0


def test_a_planted_near_duplicate_is_found_and_is_no_exact_one(experience):
    observations, actions = walk(0, 200)
    put(experience, "e0", observations, actions)
    put(experience, "e1", observations + 1e-7, actions)
    put(experience, "e2", *walk(2, 200))
    found = curate(experience, seed=0)
    assert found.duplicates.exact == 0 and found.duplicates.near == 200
    assert found.leakage.exact == 0 and found.leakage.near == 200 and found.leakage.episodes == 1
    assert found.leakage.near_share == pytest.approx(200 / found.split.held_out_steps)


def test_nearness_is_counted_in_standard_deviations_not_in_units(experience):
    scale = np.array([1e6, 1e-6])
    observations, actions = walk(0, 100)
    put(experience, "e0", observations * scale, actions)
    put(experience, "e1", (observations + 0.01) * scale, actions)  # ten times the tolerance
    put(experience, "e2", (observations + 1e-7) * scale, actions)
    assert curate(experience, seed=0).duplicates.near == 100


def test_a_planted_leak_is_found(experience):
    for seed in range(4):
        put(experience, f"e{seed}", *walk(seed))
    leaked = walk(0)
    put(experience, "copy", leaked[0][:11], leaked[1][:10], ended=None)
    # e1 is held out as the second; whether "copy" is, its id decides: take a seed that says yes.
    seed = next(
        seed
        for seed in range(1000)
        if is_held_out("copy", position=4, held_out=0.1, seed=seed)
        and not any(is_held_out(f"e{at}", position=at, held_out=0.1, seed=seed) for at in (2, 3))
    )
    found = curate(experience, seed=seed)
    assert found.split.held_out == (1, 4) and found.split.held_out_steps == 40
    assert found.leakage.exact == 10 and found.leakage.exact_share == 0.25 and found.leakage.episodes == 1
    assert found.duplicates.exact == 10


def test_the_split_is_by_episode_in_the_order_of_first_steps_and_stays(experience):
    for name in ("late", "a", "b"):
        experience.begin(header(name))
    observations, actions = walk(0, 3)
    first = [Transition(observations[at], actions[at], 0.0, False, False, observations[at + 1]) for at in range(3)]
    experience.append("b", first[:1])
    experience.append("a", first[1:2])
    before = curate(experience, seed=0).split
    assert (before.train, before.held_out) == ((2,), (1,))
    experience.append("late", first[2:])
    for seed in range(30):
        put(experience, f"e{seed}", *walk(seed, 3))
    after = curate(experience, seed=0).split
    assert 2 in after.train and 1 in after.held_out
    assert sorted(after.train + after.held_out) == list(range(33)) and len(after.held_out) > 1
    assert curate(experience, seed=0).split == after


def test_the_mask_of_held_out_rows_fits_the_arrays(experience):
    for seed in range(20):
        put(experience, f"e{seed}", *walk(seed, 5))
    found = curate(experience, seed=3, held_out=0.3)
    arrays = experience.arrays()
    mask = found.is_held_out(arrays.episode)
    assert mask.sum() == found.split.held_out_steps > 0
    assert set(arrays.episode[mask]) == set(found.split.held_out)


def test_coverage_tells_ranges_quantiles_and_gaps(experience):
    low = np.zeros((11, 2))
    low[:, 0] = np.linspace(-10, -9.5, 11)
    high = low.copy()
    high[:, 0], high[3, 1] = np.linspace(0, 0.5, 11), np.nan
    actions = np.linspace(-1, 1, 10, dtype=np.float32)[:, None]
    put(experience, "e0", low, actions)
    put(experience, "e1", high, actions)
    found = curate(experience, seed=0).coverage
    first, second, action = found.dimensions
    assert [each.name for each in found.dimensions] == ["observation[0]", "observation[1]", "action"]
    assert (first.low, first.over, first.bins) == (-10.0, "space", 20)
    assert first.high == pytest.approx(0.45) and first.occupied == pytest.approx(2 / 20)
    assert first.quantiles[2] == pytest.approx(-4.775, abs=1e-6)
    assert (second.low, second.high, second.over, second.not_finite) == (0.0, 0.0, "seen", 1)
    assert second.occupied == pytest.approx(1 / 20)
    assert (action.over, action.occupied) == ("space", 0.5)
    assert (found.dimensions_in_all, found.sample, found.distinct_observations) == (3, 20, None)


def test_held_out_states_far_from_the_others_are_seen_to_be_far(experience):
    for seed in range(6):
        put(experience, f"e{seed}", *walk(seed, 100))
    near = curate(experience, seed=1).neighbours
    assert near.across_episodes and 0.5 < near.median < 2 and near.beyond_two < 0.2
    far = walk(99, 100)
    put(experience, "far", far[0] + 1000, far[1])
    seed = next(seed for seed in range(1000) if is_held_out("far", position=6, held_out=0.1, seed=seed))
    found = curate(experience, seed=seed).neighbours
    assert found.p90 > 100 and found.beyond_two >= 100 / found.held_out_sample > 0
    assert found.train_sample + found.held_out_sample == 700


def test_distances_are_right_for_states_that_all_but_coincide_far_from_the_origin():
    from gedanken.experience.coverage import compare_neighbours

    train = np.array([[1e3, 0.0], [1e3 + 1e-3, 0.0], [0.0, 0.0]])
    found = compare_neighbours(train, np.array([0, 1, 2]), np.array([[1e3 + 4e-3, 0.0]]))
    assert found.spacing == pytest.approx(1e-3, rel=1e-6) and found.median == pytest.approx(3.0, rel=1e-6)
    alone = compare_neighbours(train[:2], np.array([5, 5]), train[2:])
    assert not alone.across_episodes and alone.spacing == pytest.approx(1e-3)
    same = compare_neighbours(np.zeros((3, 2)), np.array([0, 1, 2]), np.ones((1, 2)))
    assert same.spacing == 0 and same.median is None
    assert compare_neighbours(np.zeros((1, 2)), np.array([0]), np.ones((1, 2))) is None


def test_outcomes_and_policies_are_counted(experience):
    put(experience, "e0", *walk(0), ended="terminated", outcome=Outcome(False, "fell"))
    put(experience, "e1", *walk(1), ended="terminated", outcome=Outcome(False, "fell"))
    put(experience, "e2", *walk(2), outcome=Outcome(True))
    put(experience, "e3", *walk(3, 10), ended=None)
    put(experience, "other", *walk(4), account="check")
    found = curate(experience, seed=0)
    assert (found.outcomes.success, found.outcomes.failure, found.outcomes.unknown) == (1, 2, 1)
    assert found.outcomes.failure_modes == {"fell": 2} and found.outcomes.incomplete == 1
    assert (found.outcomes.terminated_share, found.outcomes.truncated_share) == (0.5, 0.25)
    assert found.policies["walk"].episodes == 4 and found.policies["walk"].steps == 100 == found.steps
    assert curate(experience, seed=0, account=None).episodes == 5


def test_one_episode_is_all_training_and_nothing_to_compare(experience):
    put(experience, "e0", *walk(0))
    found = curate(experience, seed=0)
    assert (found.split.train, found.split.held_out, found.neighbours) == ((0,), (), None)
    assert found.leakage.exact_share == 0.0 and "not measured" in dict(found.table())["held-out states' distance"]


def test_texts_and_choices_are_compared_as_what_they_are(tmp_path):
    text = gym.spaces.Text(30, charset="abcdefg ")
    with create(tmp_path / "x", observation_space=text, action_space=gym.spaces.Discrete(4, start=1)) as experience:
        for name in ("e0", "e1"):
            experience.begin(header(name))
            for number, word in enumerate(["a", "b", name[:1] if name == "e0" else "g"]):
                experience.append(name, [Transition(word, 1 + number % 2, 0.0, False, False, "c")])
        found = curate(experience, seed=0)
        assert (found.duplicates.exact, found.duplicates.near, found.leakage.exact) == (2, None, 2)
        assert (found.coverage.distinct_observations, found.coverage.distinct_actions) == (4, 2)
        (action,) = found.coverage.dimensions
        assert (action.bins, action.occupied, action.over) == (4, 0.5, "space")
        assert found.neighbours is None
        json.dumps(found.to_json(), allow_nan=False)


def test_it_reports_in_json_and_in_lines(experience):
    for seed in range(3):
        put(experience, f"e{seed}", *walk(seed))
    found = curate(experience, seed=0)
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["split"]["train_steps"] + plain["split"]["held_out_steps"] == plain["steps"] == 90
    assert plain["duplicates"]["tolerance"] == 1e-3 and plain["neighbours"]["train_sample"] > 0
    lines = dict(found.table())
    assert lines["transitions"] == "90 in 3 episodes" and lines["exact duplicates"] == "0 (0.00%)"
    assert all(isinstance(cell, str) for row in found.table() for cell in row)


def test_nothing_to_curate_and_a_share_that_is_none_are_refused(experience):
    with pytest.raises(StoreError, match="nothing to curate"):
        curate(experience, seed=0)
    put(experience, "e0", *walk(0))
    for share in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="no share"):
            curate(experience, held_out=share, seed=0)


def test_a_reader_curates_what_a_writer_has_stored(experience):
    for seed in range(4):
        put(experience, f"e{seed}", *walk(seed))
    assert curate(Experience.open(experience.path), seed=0) == curate(experience, seed=0)


def test_an_image_is_curated_by_some_of_its_dimensions(tmp_path):
    image = gym.spaces.Box(0, 255, (20, 20, 3), np.uint8)
    rng = np.random.default_rng(0)
    with create(tmp_path / "x", observation_space=image) as experience:
        for name in ("e0", "e1"):
            experience.begin(header(name))
            pictures = rng.integers(0, 256, (6, 20, 20, 3), np.uint8)
            told = [Transition(pictures[at], [0.0], 0.0, False, False, pictures[at + 1]) for at in range(5)]
            experience.append(name, told)
        coverage = curate(experience, seed=0).coverage
        assert coverage.dimensions_in_all == 1201 and len(coverage.dimensions) == 257
        names = [each.name for each in coverage.dimensions]
        assert names[0] == "observation[0]" and names[255] == "observation[1199]" and len(set(names)) == 257
