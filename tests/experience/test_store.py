"""What the store promises while nothing goes wrong. See test_crash.py for the rest."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gedanken.errors import ConfigError, StoreError, UnsupportedSpace
from gedanken.experience import Cost, Experience, Outcome, Provenance, Transition
from tests.experience.examples import OBSERVATIONS, check_consistent, create, fill, header, rewards, step
from tests.experience.test_spaces import spaces

SEALINGS = [1, 3, 7, 10_000]


@pytest.mark.parametrize("seal_rows", SEALINGS)
def test_everything_that_was_told_comes_back(tmp_path, seal_rows):
    whole = header("e0", account="check", task={"goal": [1, 2], "x": np.float32(0.5)}, seed=7)
    told = [
        step(0, cost=Cost(steps=1, micro_usd=30), duration_ms=1.5, log_probability=-0.7, action_id="a0"),
        step(1, cost=Cost(), provenance=Provenance("model", "m1")),
        step(2, terminated=True, cost=Cost(experiments=2), provenance=Provenance("cache")),
    ]
    with create(tmp_path / "x", seal_rows=seal_rows) as experience:
        experience.begin(whole)
        for each in told:
            experience.append("e0", [each])
        experience.end("e0", Outcome(False, "fell over", "ada"))
    for experience in (Experience.open(tmp_path / "x"), Experience.open(tmp_path / "x", write=True)):
        assert experience.recovered is None and experience.world == "line"
        episode = experience.episode("e0")
        assert episode.header.task == {"goal": [1, 2], "x": 0.5} and episode.header.seed == 7
        assert (episode.header.account, episode.header.policy) == ("check", "walk")
        assert episode.outcome == Outcome(False, "fell over", "ada") and episode.complete
        np.testing.assert_array_equal(episode.observations, [[0, 0], [1, -1], [2, -2], [3, -3]])
        np.testing.assert_array_equal(episode.actions[:, 0], [-0.5, 0, 0.5])
        assert episode.actions.dtype == np.float32 and episode.observations.dtype == np.float64
        assert episode.terminated.tolist() == [False, False, True] and not episode.truncated.any()
        np.testing.assert_array_equal(episode.durations_ms, [1.5, np.nan, np.nan])
        np.testing.assert_array_equal(episode.log_probabilities, [-0.7, np.nan, np.nan])
        costs = {name: amounts.tolist() for name, amounts in episode.costs.items()}
        assert costs == {"experiments": [0, 0, 2], "micro_usd": [30, 0, 0], "steps": [1, 0, 0]}
        assert episode.provenance == Provenance("model", "m1")
        ids = experience.query("SELECT source, model_id, action_id, cost['steps'] AS s FROM steps ORDER BY step")
        assert ids.to_pylist()[0] == {"source": "real", "model_id": None, "action_id": "a0", "s": 1}
        assert ids["source"].to_pylist() == ["real", "model", "cache"]
        (summary,) = experience.summaries()
        assert (summary.length, summary.total_reward, summary.source) == (3, 3.0, "model")
        assert summary.started <= summary.ended
        experience.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(spaces, spaces, st.integers(0, 2**31 - 1), st.sampled_from([1, 2, 100]))
def test_values_of_any_space_survive_the_journal_parquet_and_the_row_file(
    tmp_path_factory, observations, actions, seed, seal_rows
):
    path = tmp_path_factory.mktemp("spaces") / "x"
    pairs = [(_sample(observations, seed + at), _sample(actions, seed - at)) for at in range(4)]
    try:
        experience = create(path, seal_rows=seal_rows, observation_space=observations, action_space=actions)
    except UnsupportedSpace:
        assert 0 in (*(observations.shape or ()), *(actions.shape or ()))
        return
    experience.begin(header("e"))
    for at in range(3):
        plain = Transition(pairs[at][0], pairs[at][1], float(at), False, False, pairs[at + 1][0])
        experience.append("e", [plain])
    experience.close()
    again = Experience.open(path)
    assert (again.observation_space, again.action_space) == (observations, actions)
    episode = again.episode("e")
    for mine, (observation, _) in zip(episode.observations, pairs, strict=True):
        assert _same(observation, mine)
    for mine, (_, action) in zip(episode.actions, pairs[:3], strict=True):
        assert _same(action, mine)
    sampled = again.sample(5, np.random.default_rng(0))
    for row, reward in enumerate(sampled.reward.astype(int).tolist()):
        assert _same(sampled.observation[row], pairs[reward][0])
        assert _same(sampled.next_observation[row], pairs[reward + 1][0])
        assert _same(sampled.action[row], pairs[reward][1])
    assert again.query("SELECT observation, action, next_observation FROM steps").num_rows == 3


def _sample(space, seed):
    """A value of the space. Gymnasium's own sampling overflows on integer boxes of full width."""
    if isinstance(space, gym.spaces.Box) and space.dtype.kind in "iu":
        rng = np.random.default_rng(abs(seed))
        return rng.integers(space.low, space.high, space.shape, space.dtype, endpoint=True)
    if isinstance(space, gym.spaces.Tuple):
        return tuple(_sample(inner, seed) for inner in space.spaces)
    if isinstance(space, gym.spaces.Dict):
        return {key: _sample(inner, seed) for key, inner in space.spaces.items()}
    space.seed(abs(seed))
    return space.sample()


def _same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return np.array_equal(one, other)


# --- The rules of an episode ------------------------------------------------------------------------------------------


@pytest.fixture
def experience(tmp_path):
    with create(tmp_path / "x", seal_rows=5) as opened:
        yield opened


def test_steps_need_an_episode_that_began_and_is_not_over(experience):
    with pytest.raises(StoreError, match="no such episode"):
        experience.append("e", [step(0)])
    with pytest.raises(StoreError, match="no such episode"):
        experience.end("e", Outcome())
    experience.begin(header("e"))
    with pytest.raises(StoreError, match="began before"):
        experience.begin(header("e"))
    experience.append("e", [step(0), step(1, truncated=True)])
    with pytest.raises(StoreError, match="after its end"):
        experience.append("e", [step(2)])
    experience.end("e", Outcome())
    with pytest.raises(StoreError, match="ended before"):
        experience.end("e", Outcome())
    experience.begin(header("f"))
    with pytest.raises(StoreError, match="after its end"):
        experience.append("f", [step(2, terminated=True), step(3)])
    experience.end("f", Outcome())
    with pytest.raises(StoreError, match="after its end"):
        experience.append("f", [step(2)])
    assert rewards(experience) == [0, 1]
    check_consistent(experience)


def test_an_episode_that_is_over_is_still_over_after_reopening(tmp_path):
    with create(tmp_path / "x") as experience:
        experience.begin(header("e"))
        experience.append("e", [step(0, terminated=True)])
    with Experience.open(tmp_path / "x", write=True) as experience:
        with pytest.raises(StoreError, match="after its end"):
            experience.append("e", [step(1)])
        experience.end("e", Outcome(True))
    with pytest.raises(StoreError, match="ended before"), Experience.open(tmp_path / "x", write=True) as experience:
        experience.end("e", Outcome())


def test_an_append_is_stored_whole_or_not_at_all(experience):
    experience.begin(header("e"))
    wrong = Transition(np.zeros(2), np.zeros(1), 0.0, False, False, np.zeros(3))
    with pytest.raises(StoreError, match="none of its space"):
        experience.append("e", [step(0), step(1), wrong])
    assert len(experience) == 0
    experience.append("e", [])
    experience.append("e", [step(0), step(1)])
    check_consistent(experience)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reward", "much"),
        ("cost", {"steps": 2**70}),
        ("cost", 3),
        ("duration_ms", "long"),
        ("action_id", 7),
        ("provenance", Provenance("dream")),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_and_the_store_stays_usable(experience, field, value):
    experience.begin(header("e"))
    values = {name: getattr(step(0), name) for name in Transition.__dataclass_fields__} | {field: value}
    if field == "cost" and value == 3:
        with pytest.raises(AttributeError):
            experience.append("e", [Transition(**values)])
    else:
        with pytest.raises(StoreError, match="wrong type"):
            experience.append("e", [Transition(**values)])
    experience.append("e", [step(0)])
    assert rewards(experience) == [0]


@pytest.mark.parametrize("wrong", [{"task": {"x": object()}}, {"seed": 2**63}, {"seed": "s"}])
def test_a_header_that_cannot_be_written_is_refused(experience, wrong):
    with pytest.raises(StoreError, match="JSON|wrong type"):
        experience.begin(header("e", **wrong))
    for name in ("", None, 3):
        with pytest.raises(StoreError, match="needs an id"):
            experience.begin(header(name))
    assert experience.headers() == []


def test_a_reward_that_is_not_known_may_be_nan(experience):
    experience.begin(header("e"))
    experience.append("e", [Transition(np.zeros(2), np.zeros(1), float("nan"), False, False, np.zeros(2))])
    assert np.isnan(experience.arrays().reward).all()


# --- One writer, many readers -----------------------------------------------------------------------------------------


def test_there_is_one_writer_and_readers_cannot_write(tmp_path):
    with create(tmp_path / "x") as experience:
        fill(experience, 1, 3)
        with pytest.raises(StoreError, match="somebody else"):
            Experience.open(tmp_path / "x", write=True)
        reader = Experience.open(tmp_path / "x")
        for change in (lambda: reader.begin(header("f")), lambda: reader.append("e0", [step(9)]), reader.seal):
            with pytest.raises(StoreError, match="not open for writing"):
                change()
    with pytest.raises(StoreError, match="not open for writing"):
        experience.begin(header("late"))
    check_consistent(experience)
    Experience.open(tmp_path / "x", write=True).close()


@pytest.mark.parametrize("seal_rows", SEALINGS)
def test_a_reader_takes_in_what_is_new_and_only_then(tmp_path, seal_rows):
    with create(tmp_path / "x", seal_rows=seal_rows) as writer:
        reader, number = Experience.open(tmp_path / "x"), 0
        for round_ in range(6):
            before = len(reader)
            number = fill(writer, 1, round_ + 1, first=number)
            assert len(reader) == before
            assert reader.refresh() == number - before
            assert rewards(reader) == list(range(number))
            check_consistent(reader)
        writer.begin(header("running"))
        writer.append("running", [step(number)])
        reader.refresh()
        assert [summary.complete for summary in reader.summaries()] == [True] * 6 + [False]
        assert reader.summaries()[-1].length == 1
        writer.append("running", [step(number + 1)])
        reader.refresh()
        assert (reader.summaries()[-1].length, reader.summaries()[-1].total_reward) == (2, 2 * number + 1)
        assert writer.refresh() == 0
        check_consistent(reader)


def test_a_writer_that_was_closed_reads_on_like_any_reader(tmp_path):
    with create(tmp_path / "x") as experience:
        number = fill(experience, 3, 3)
    first = Experience.open(tmp_path / "x", write=True)
    first.seal()
    first.close()
    with Experience.open(tmp_path / "x", write=True, seal_rows=4) as second:
        for _ in range(4):
            number = fill(second, 1, 2, first=number)
            assert first.refresh() == 2 and rewards(first) == list(range(number))
            check_consistent(first)


def test_numbers_of_numpy_and_jax_are_numbers(tmp_path):
    import jax.numpy as jnp

    with create(tmp_path / "x") as experience:
        experience.begin(header("e"))
        numbers = {"duration_ms": np.float32(1.5), "log_probability": jnp.asarray(-0.5)}
        plain = Transition(
            jnp.zeros(2), jnp.zeros(1), jnp.asarray(2.0), np.bool_(False), jnp.asarray(True), jnp.ones(2)
        )
        experience.append("e", [Transition(**{**vars(plain), **numbers})])
        experience.end("e", Outcome(np.bool_(True)))
        episode = experience.episode("e")
        assert (episode.rewards[0], episode.durations_ms[0], episode.log_probabilities[0]) == (2.0, 1.5, -0.5)
        assert episode.truncated[0] and experience.summaries()[0].outcome.success is True
        assert experience.episode_count == 1


def test_create_refuses_a_folder_with_data_and_open_one_without(tmp_path):
    with pytest.raises(StoreError, match="no experience store here"):
        Experience.open(tmp_path / "x")
    with create(tmp_path / "x") as experience:
        fill(experience, 1, 1)
    with pytest.raises(StoreError, match="already"):
        create(tmp_path / "x")
    (tmp_path / "x" / "manifest.json").unlink()
    with pytest.raises(StoreError, match="already"):
        create(tmp_path / "x")


def test_a_manifest_that_is_damaged_or_of_another_version_is_refused(tmp_path):
    create(tmp_path / "x").close()
    path = tmp_path / "x" / "manifest.json"
    text = path.read_text()
    for old, new, why in (
        ('"version": 1', '"version": 2', "another version"),
        ('"world"', '"word"', "lacks something"),
        ('"array"', '"json"', "another encoding"),
        ("{", "", "no JSON"),
    ):
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(StoreError, match=why):
            Experience.open(tmp_path / "x")
    path.write_text("[]")
    with pytest.raises(StoreError, match="no experience store"):
        Experience.open(tmp_path / "x")


def test_a_store_of_a_space_that_cannot_be_described_is_not_begun(tmp_path):
    with pytest.raises(UnsupportedSpace):
        create(tmp_path / "x", observation_space=gym.spaces.Sequence(OBSERVATIONS))
    assert not (tmp_path / "x").exists()


# --- Questions --------------------------------------------------------------------------------------------------------


def test_sql_sees_segments_and_journal_and_nothing_else(tmp_path, experience):
    fill(experience, 3, 4)
    experience.begin(header("running"))
    table = experience.query("SELECT episode_id, complete, length FROM episodes ORDER BY started")
    assert table["length"].to_pylist() == [4, 4, 4, 0]
    assert table["complete"].to_pylist() == [True, True, True, False]
    joined = "SELECT sum(reward) AS r FROM steps JOIN episodes USING (episode_id) WHERE episode_id = 'e1'"
    assert experience.query(joined).to_pylist() == [{"r": 4 + 5 + 6 + 7}]
    assert isinstance(experience.query("CREATE TABLE own (x INTEGER)"), pa.Table)
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    for wrong in (
        f"SELECT * FROM '{secret}'",
        f"COPY steps TO '{tmp_path / 'out.csv'}'",
        f"ATTACH '{tmp_path / 'db'}'",
        "SET enable_external_access = true",
        "SELECT * FROM tail",
        "SELEC 1",
    ):
        with pytest.raises(ConfigError, match="cannot be answered"):
            experience.query(wrong)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.csv", "x"]
