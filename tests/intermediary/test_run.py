"""Run folders: begun, opened again, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import numpy as np
import pytest

from gedanken.errors import ConfigError, FileError, LedgerError, UnsupportedSpace
from gedanken.experience.cost import Cost
from gedanken.intermediary.budgets import capacity
from gedanken.intermediary.config import CheckConfig, RunConfig
from gedanken.intermediary.gating import GateConfig
from gedanken.intermediary.limits import Limits
from gedanken.intermediary.run import CHECK, LEARN, SCHEMA_VERSION, Run, plain, run_id
from gedanken.intermediary.stages import collect
from gedanken.worlds.world import World
from tests.fakes import AnalyticEnv
from tests.intermediary.small import HORIZON, NAME, Rooms, charged, linear, small


def begun(folder: Path, **changes: Any) -> Run:
    return Run.create(folder, small(**changes), world=linear())


def same(one: Any, other: Any) -> bool:
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in leaves if eqx.is_array(a))


# --- Beginning ------------------------------------------------------------------------------------------------------


def test_a_run_begins_with_nothing_paid(tmp_path: Path) -> None:
    with begun(tmp_path / "run") as run:
        assert run.paid(LEARN) == run.paid(CHECK) == {"steps": 0}
        assert run.next_episode == {LEARN: 0, CHECK: 0} and run.recovered == []
        assert (run.learning_rows, run.counters.round, run.table.size) == (0, 0, 0)
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert described["schema"] == SCHEMA_VERSION and described["id"] == run.id
    assert described["config"]["world"] == NAME and described["config"]["budget"] == {"steps": 60}


def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    begun(tmp_path).close()
    with pytest.raises(ConfigError, match=r"holds a run already.*gedanken resume"):
        begun(tmp_path)


def dictionaries() -> World:
    env = AnalyticEnv()
    env.observation_space = gym.spaces.Dict({"a": gym.spaces.Discrete(2)})
    return World(env, {"steps": 1}, name=NAME).with_horizon(5)


@pytest.mark.parametrize(
    ("world", "config", "error", "words"),
    [
        (dictionaries, small(), UnsupportedSpace, "Dict"),
        (lambda: World(AnalyticEnv(), {"steps": 1}), small(), ConfigError, "no limit.*with_horizon"),
        (linear, small(budget={"step": 60}), ConfigError, "never charges.*step.*steps"),
        (linear, small(budget={"steps": 60, "stepz": 10}), ConfigError, "never charges.*stepz.*steps"),
        (lambda: World(AnalyticEnv(), {}).with_horizon(5), small(), ConfigError, "never charges"),
        (
            lambda: World(AnalyticEnv(), lambda _: {"steps": 1}, unit="step").with_horizon(5),
            small(budget={"step": 60}),
            ConfigError,
            "limits nothing here.*step.*steps",
        ),
        (
            linear,
            small(gate=GateConfig(limits=Limits(observation_high={2: 1.0}))),
            ConfigError,
            r"observation\[2\].*0 to 1",
        ),
        (linear, small(agent="sacc"), ConfigError, "There is no agent 'sacc'"),
    ],
)
def test_what_cannot_become_a_run_leaves_nothing_behind(
    tmp_path: Path, world: Any, config: RunConfig, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Run.create(tmp_path / "run", config, world=world())
    assert not (tmp_path / "run").exists()


def test_a_world_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no world 'InvertedPendulumm-v5'.*InvertedPendulum-v5"):
        Run.create(tmp_path / "run", small(world="InvertedPendulumm-v5"))
    assert not (tmp_path / "run").exists()


def test_a_run_is_named_by_all_that_decides_it() -> None:
    names = {run_id(config, linear()) for config in (small(), small(seed=1), small(budget={"steps": 61}))}
    assert len(names) == 3 and run_id(small(), linear()) in names
    other = World(AnalyticEnv(), {"steps": 1}, name="Other")
    assert run_id(small(), other) not in names


# --- Opening --------------------------------------------------------------------------------------------------------


def test_what_was_left_is_found_again(tmp_path: Path) -> None:
    with begun(tmp_path) as run:
        collect(run, steps=20, horizon=7, agent=None)
        run.model = jax.tree.map(lambda leaf: leaf + 1 if eqx.is_inexact_array(leaf) else leaf, run.model)
        run.counters.round, run.counters.rows_at_start, run.counters.imagined_steps = 3, 14, 99
        run.checkpoint()
    with Run.open(tmp_path, world=linear()) as again:
        assert same(again.model, run.model) and same(again.learned, run.learned)
        counters = (again.counters.round, again.counters.rows_at_start, again.counters.imagined_steps)
        assert counters == (3, 14, 99) and again.seconds >= run.counters.seconds > 0
        assert again.learning_rows == run.learning_rows == charged(again) == 21
        assert again.next_episode == run.next_episode == {LEARN: 3, CHECK: 0}
        assert (again.id, again.config, again.recovered) == (run.id, run.config, [])


def test_it_is_opened_as_it_was_begun_unless_told_otherwise(tmp_path: Path) -> None:
    begun(tmp_path).close()
    with Run.open(tmp_path, world=linear(), config=small(check=CheckConfig(episodes=3))) as run:
        assert run.ledger.balance(CHECK).left == Cost(steps=3 * HORIZON) or run.config.check.episodes == 3
    with Run.open(tmp_path, world=linear()) as run:
        assert run.config == small()


def test_keys_depend_on_the_seed_and_the_path_only(tmp_path: Path) -> None:
    with begun(tmp_path / "a") as one, begun(tmp_path / "b", seed=1) as other:
        keys = [run.key(*path) for run in (one, other) for path in ((3,), (3, 0), (3, 1), (4, 1))]
        assert len({tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys}) == len(keys)
        assert same(jax.random.key_data(one.key(3, 1)), jax.random.key_data(one.key(3, 1)))
        assert not same(one.model, other.model) and not same(one.learned, other.learned)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no run"):
        Run.open(tmp_path, world=linear())
    with pytest.raises(FileError, match="holds no run"):
        Run.open(tmp_path / "nothing", world=linear())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "damaged"),
        ("", "damaged"),
        ("[]", "another version"),
        ("{}", "schema None.*schema 1"),
        ('{"schema": 2}', "schema 2.*schema 1"),
        ('{"schema": 1, "id": "run-1", "config": {"sead": 1}}', "`sead` is not a setting"),
        ('{"schema": 1, "id": "run-1"}', "damaged"),
        ('{"schema": 1, "config": {}}', "damaged"),
        ('{"schema": 1, "id": 5, "config": {}}', "damaged"),
    ],
)
def test_a_description_that_cannot_be_read_is_refused(tmp_path: Path, content: str, words: str) -> None:
    begun(tmp_path).close()
    (tmp_path / "config.json").write_text(content)
    with pytest.raises((FileError, ConfigError), match=words):
        Run.open(tmp_path, world=linear())


def test_a_description_that_is_no_text_is_refused(tmp_path: Path) -> None:
    begun(tmp_path).close()
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="damaged"):
        Run.open(tmp_path, world=linear())


def test_another_run_s_ledger_is_refused(tmp_path: Path) -> None:
    begun(tmp_path / "a").close()
    begun(tmp_path / "b", seed=1).close()
    for path in (tmp_path / "b").glob("ledger*"):
        shutil.copytree(path, tmp_path / "a" / path.name, dirs_exist_ok=True) if path.is_dir() else shutil.copy(
            path, tmp_path / "a"
        )
    with pytest.raises(LedgerError, match="another run"):
        Run.open(tmp_path / "a", world=linear())


def test_another_world_is_refused(tmp_path: Path) -> None:
    begun(tmp_path).close()
    for other in (
        World(AnalyticEnv(), {"steps": 1}, name="Other").with_horizon(HORIZON),
        World(Rooms(), {"steps": 1}, name=NAME).with_horizon(HORIZON),
        linear(discrete=True),
    ):
        with pytest.raises(ConfigError, match="not that of the run"):
            Run.open(tmp_path, world=other)
    Run.open(tmp_path, world=linear()).close()


def test_a_checkpoint_that_was_tampered_with_is_refused_and_nothing_stays_locked(tmp_path: Path) -> None:
    with begun(tmp_path) as run:
        run.checkpoint()
    for path in sorted((tmp_path / "checkpoint").iterdir()):
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        for wrong in (bytes(flipped), content[: len(content) // 2], b""):
            path.write_bytes(wrong)
            with pytest.raises(FileError):
                Run.open(tmp_path, world=linear())
        path.write_bytes(content)
    with Run.open(tmp_path, world=linear()) as again:
        assert again.recovered == []


def test_a_checkpoint_of_other_networks_is_refused(tmp_path: Path) -> None:
    with begun(tmp_path) as run:
        run.checkpoint()
    wider = small(model=small().model.__class__(members=3, width=8, depth=1, reward_width=8, reward_depth=1))
    with pytest.raises(FileError):
        Run.open(tmp_path, world=linear(), config=wider)


# --- Writing --------------------------------------------------------------------------------------------------------


def test_metrics_are_long_and_grow(tmp_path: Path) -> None:
    with begun(tmp_path) as run:
        run.write_metrics({"a": 1.0, "b": float("nan")})
    with Run.open(tmp_path, world=linear()) as run:
        run.counters.round = 1
        run.write_metrics({"a": 2.0})
    rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()]
    assert rows[0] == ["round", "paid", "imagined", "seconds", "metric", "value"]
    assert [(row[0], row[4], row[5]) for row in rows[1:]] == [("0", "a", "1.0"), ("0", "b", "nan"), ("1", "a", "2.0")]


def test_metrics_of_a_round_that_never_ended_are_written_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with begun(tmp_path) as run:
        run.counters.round = 1
        run.write_metrics({"a": 1.0})
        run.checkpoint()
        finished = path.read_text()
        run.counters.round = 2
        run.write_metrics({"a": 2.0, "b": 3.0})
    whole = path.read_text()
    for end in range(len(finished), len(whole) + 1):  # killed before the checkpoint, at any byte
        path.write_text(whole[:end])
        Run.open(tmp_path, world=linear()).close()
        assert path.read_text().split() == finished.split()
    for broken in ("", whole[:9]):
        path.write_text(broken)
        with Run.open(tmp_path, world=linear()) as run:
            run.write_metrics({"a": 1.0})


def test_json_holds_plain_values_and_null_for_what_is_not_finite(tmp_path: Path) -> None:
    values = {
        "array": np.array([[1.0, np.nan], [np.inf, 2.0]]),
        "scalar": np.float32(0.5),
        "flag": np.bool_(True),
        3: (1, {"x": float("-inf")}),
        "text": "words",
        "none": None,
        "zero": np.array(4),
    }
    wanted = {
        "array": [[1.0, None], [None, 2.0]],
        "scalar": 0.5,
        "flag": True,
        "3": [1, {"x": None}],
        "text": "words",
        "none": None,
        "zero": 4,
    }
    assert plain(values) == wanted
    with begun(tmp_path) as run:
        assert json.loads(run.write_json("values.json", values).read_text()) == wanted


@pytest.mark.parametrize(
    ("budget", "rooms"),
    [({"steps": 60}, 256), ({"steps": 1500}, 1500), ({"steps": 10**9}, 10**6), ({"micro_usd": 5}, 4096)],
)
def test_there_is_room_for_what_the_budget_can_pay(budget: dict[str, int], rooms: int) -> None:
    assert capacity(small(budget=budget)) == rooms
