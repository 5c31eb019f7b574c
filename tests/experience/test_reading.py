"""Columns, samples and streams: what trainers read."""

from __future__ import annotations

import gc
import os
import tracemalloc

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import StoreError
from gedanken.experience import Cost, Experience, Outcome, Provenance, reading
from gedanken.experience.rows import OpenFile
from tests.experience.examples import check_consistent, create, fill, header, rewards, step


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    seal_rows=st.sampled_from([1, 4, 1000]),
    cuts=st.lists(st.integers(0, 40), max_size=4),
)
def test_what_is_new_follows_what_was_read_before_without_gap_or_overlap(tmp_path_factory, lengths, seal_rows, cuts):
    with create(tmp_path_factory.mktemp("arrays") / "x", seal_rows=seal_rows) as experience:
        seen, row, number = [], 0, 0
        for length in lengths:
            number = fill(experience, 1, length, first=number)
            new = experience.arrays(start_row=row)
            seen, row = seen + new.reward.tolist(), new.next_row
        assert seen == list(range(number)) and row == number
        whole = experience.arrays()
        for cut in cuts:
            part = experience.arrays(start_row=cut)
            for name in ("observation", "action", "reward", "episode", "step", "truncated"):
                np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[cut:])
            np.testing.assert_array_equal(part.costs.get("steps", []), whole.costs["steps"][cut:])


def test_episodes_that_take_turns_are_told_apart(tmp_path):
    with create(tmp_path / "x", seal_rows=7) as experience:
        for name in "abc":
            experience.begin(header(name))
        for number in range(30):
            experience.append("abc"[number % 3], [step(number)])
        experience.end("b", Outcome())
        check_consistent(experience)
        assert experience.episode("b").rewards.tolist() == list(range(1, 30, 3))
    check_consistent(Experience.open(tmp_path / "x"))


@pytest.fixture(params=[4, 1000])
def mixed(request, tmp_path):
    """Rows 0-9 learn, 10-14 check, 15-19 learn from a model."""
    with create(tmp_path / "x", seal_rows=request.param) as experience:
        fill(experience, 2, 5)
        fill(experience, 1, 5, first=10, account="check")
        experience.begin(header("imagined"))
        for number in range(15, 20):
            experience.append("imagined", [step(number, provenance=Provenance("model", "m"), cost=Cost(tokens=2))])
        experience.begin(header("empty"))
        yield experience


def test_accounts_and_sources_are_kept_apart(mixed):
    for account, source, wanted in (
        ("learn", "real", range(10)),
        ("check", "real", range(10, 15)),
        ("learn", "model", range(15, 20)),
        (None, "real", range(15)),
        ("learn", None, [*range(10), *range(15, 20)]),
        (None, None, range(20)),
        ("other", "real", []),
        ("learn", "code", []),
    ):
        arrays = mixed.arrays(account=account, source=source)
        assert arrays.reward.tolist() == list(wanted) and arrays.next_row == 20
        assert arrays.observation.shape == (len(wanted), 2) and arrays.action.shape == (len(wanted), 1)
        streamed = [rows.values["reward"].tolist() for rows in mixed.stream(account=account, source=source)]
        assert [reward for block in streamed for reward in block] == list(wanted)
        if wanted:
            sampled = mixed.sample(300, np.random.default_rng(0), account=account, source=source)
            assert set(sampled.reward) == set(wanted)
        else:
            with pytest.raises(StoreError, match="no transition to sample"):
                mixed.sample(1, np.random.default_rng(0), account=account, source=source)
    everything = mixed.arrays(account=None, source=None)
    assert everything.costs["steps"].tolist() == [1] * 15 + [0] * 5
    assert everything.costs["tokens"].tolist() == [0] * 15 + [2] * 5


def test_episodes_can_be_chosen(mixed):
    def names(**wanted):
        return [episode.header.episode_id for episode in mixed.episodes(**wanted)]

    assert names() == ["e0", "e1", "e2"]
    assert names(account="learn") == ["e0", "e1"]
    assert names(source="model") == names(complete=False, source=None) == ["imagined"]
    assert names(source=None) == ["e0", "e1", "e2", "imagined"]
    assert names(complete=True, source=None) == ["e0", "e1", "e2"]
    empty = mixed.episode("empty")
    assert len(empty) == 0 and empty.observations.shape == (0, 2) and not empty.complete


def test_float32_is_an_option_for_every_column_of_floats(mixed):
    for arrays in (mixed.arrays(float32=True), mixed.sample(5, np.random.default_rng(0), float32=True)):
        floats = (arrays.observation, arrays.action, arrays.reward, arrays.next_observation, arrays.duration_ms)
        assert {column.dtype for column in floats} == {np.dtype(np.float32)}
        assert (arrays.episode.dtype, arrays.terminated.dtype) == (np.int32, np.bool_)
    assert mixed.arrays().observation.dtype == np.float64


def test_every_transition_is_sampled_equally_often_and_whole(mixed):
    drawn = mixed.sample(30_000, np.random.default_rng(1), account=None, source=None)
    counts = np.bincount(drawn.reward.astype(int), minlength=20)
    expected, spread = 30_000 / 20, np.sqrt(30_000 / 20 * (1 - 1 / 20))
    assert np.abs(counts - expected).max() < 5 * spread
    np.testing.assert_array_equal(drawn.observation, np.stack([drawn.reward, -drawn.reward], 1))
    np.testing.assert_array_equal(drawn.next_observation, np.stack([drawn.reward + 1, -drawn.reward - 1], 1))
    np.testing.assert_array_equal(drawn.costs["tokens"], np.where(drawn.reward >= 15, 2, 0))
    np.testing.assert_array_equal(drawn.episode, np.minimum(drawn.reward // 5, 3))


def test_a_sample_depends_on_the_generator_alone(mixed):
    one, same, other = (mixed.sample(50, np.random.default_rng(seed)).reward.tolist() for seed in (3, 3, 4))
    assert one == same != other
    assert len(mixed.sample(0, np.random.default_rng(0))) == 0


def test_a_sample_sees_what_was_just_appended(tmp_path):
    with create(tmp_path / "x", seal_rows=10) as experience:
        rng = np.random.default_rng(0)
        for number in range(25):
            fill(experience, 1, 1, first=number)
            assert set(experience.sample(40 * (number + 1), rng).reward.astype(int)) == set(range(number + 1))


def test_texts_are_sampled_and_streamed_from_segments_and_journal(tmp_path):
    text = gym.spaces.Text(20, charset="abc é")
    with create(tmp_path / "x", seal_rows=3, observation_space=text, action_space=text) as experience:
        experience.begin(header("e"))
        for number in range(8):
            told = step(number)
            words = {"observation": "é" * number, "action": "a b", "next_observation": "é" * (number + 1)}
            experience.append("e", [type(told)(**{**vars(told), **words})])
        drawn = experience.sample(60, np.random.default_rng(0))
        assert [len(text) for text in drawn.observation] == drawn.reward.astype(int).tolist()
        assert [len(text) - 1 for text in drawn.next_observation] == drawn.reward.astype(int).tolist()
        assert set(drawn.action) == {"a b"}
        assert experience.episode("e").observations.tolist() == ["é" * number for number in range(9)]


def test_memory_for_sampling_and_streaming_is_bounded_by_a_block_and_not_by_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK_BYTES", 2**16)
    wide = gym.spaces.Box(-1, 1, (500,), np.float64)
    peaks = []
    with create(tmp_path / "x", seal_rows=200, observation_space=wide) as experience:
        for size in (400, 2000):
            at = len(experience)
            experience.begin(header(f"e{at}"))
            zeros = {"observation": np.zeros(500), "next_observation": np.zeros(500)}
            for first in range(at, size, 100):
                told = [type(step(0))(**{**vars(step(number)), **zeros}) for number in range(first, first + 100)]
                experience.append(f"e{at}", told)
            experience.seal()
            reader = Experience.open(tmp_path / "x")
            tracemalloc.start()
            reader.sample(16, np.random.default_rng(0))
            assert sum(len(rows) for rows in reader.stream()) == size
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 2**20 < 2000 * 8000
    assert peaks[1] < 1.5 * peaks[0]


def test_a_row_file_that_is_missing_or_damaged_is_made_again(tmp_path):
    with create(tmp_path / "x", seal_rows=4) as experience:
        fill(experience, 3, 5)
    files = sorted((tmp_path / "x" / "segments").glob("*.rows"))
    contents = [path.read_bytes() for path in files]
    files[0].unlink()
    files[1].write_bytes(contents[1][:-1])
    files[2].write_bytes(b"rubbish")
    check_consistent(Experience.open(tmp_path / "x"))
    assert [path.read_bytes() for path in files] == contents


def test_a_store_of_more_segments_than_may_stay_open_is_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(OpenFile, "MOST_OPEN", 2 + OpenFile._open)
    text = gym.spaces.Text(9, charset="x")
    with create(tmp_path / "x", seal_rows=2, observation_space=text) as experience:
        experience.begin(header("e"))
        for number in range(10):
            told = vars(step(number)) | {"observation": "x" * number, "next_observation": "x"}
            experience.append("e", [type(step(0))(**told)])
    files, reader = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0, []
    for _ in range(3):
        reader = Experience.open(tmp_path / "x")
        drawn = reader.sample(100, np.random.default_rng(0))
        assert [len(text) for text in drawn.observation] == drawn.reward.astype(int).tolist()
        assert rewards(reader) == list(range(10))
    del reader, drawn
    gc.collect()
    if files:
        assert len(os.listdir("/proc/self/fd")) <= files


def test_a_row_file_cut_while_it_is_read_does_not_pass_for_data(tmp_path):
    with create(tmp_path / "x", seal_rows=5) as experience:
        fill(experience, 1, 5)
    reader = Experience.open(tmp_path / "x")
    assert len(reader.sample(3, np.random.default_rng(0))) == 3
    (path,) = (tmp_path / "x" / "segments").glob("*.rows")
    os.truncate(path, path.stat().st_size - 10)
    for look in (lambda: reader.sample(99, np.random.default_rng(0)), reader.arrays, lambda: reader.episode("e0")):
        with pytest.raises(StoreError, match="became shorter"):
            look()
