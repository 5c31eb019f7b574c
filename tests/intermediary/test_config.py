"""The configuration: what can be read back, and what is refused with which words."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import ConfigError, GedankenError
from gedanken.intermediary.config import CheckConfig, CollectConfig, RunConfig, from_plain, to_plain
from gedanken.intermediary.gating import GateConfig
from gedanken.intermediary.limits import Limits
from gedanken.models.ensemble import EnsembleConfig
from tests.intermediary.small import small


def through_json(config: RunConfig) -> RunConfig:
    return from_plain(json.loads(json.dumps(to_plain(config))))


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(),
        small(),
        RunConfig(budget={"steps": 10, "micro_usd": 0}, seed=7, mode="gate", agent="icem"),
        RunConfig(gate=GateConfig(limits=Limits(observation_low={0: -1.0, 11: 2.5}, most_cost={"steps": 3}))),
        RunConfig(collect=CollectConfig(horizon=50)),
    ],
)
def test_it_survives_json(config: RunConfig) -> None:
    assert through_json(config) == config


@given(
    seed=st.integers(0, 2**31),
    steps=st.integers(1, 10**9),
    bounds=st.dictionaries(st.integers(0, 99), st.floats(-1e6, 1e6), max_size=4),
    rate=st.floats(0, 100),
    episodes=st.integers(0, 100),
    width=st.integers(1, 512),
)
def test_anything_valid_survives_json(
    seed: int, steps: int, bounds: dict[int, float], rate: float, episodes: int, width: int
) -> None:
    config = RunConfig(
        seed=seed,
        budget={"steps": steps},
        updates_per_step=rate,
        gate=GateConfig(limits=Limits(observation_high=bounds)),
        check=CheckConfig(episodes=episodes),
        model=EnsembleConfig(width=width),
    )
    assert through_json(config) == config


def test_what_is_not_named_keeps_its_default() -> None:
    assert from_plain({}) == RunConfig()
    assert from_plain({"collect": {"warmup": 5}}) == RunConfig(collect=CollectConfig(warmup=5))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seeed": 1}, "`seeed` is not a setting.*`seed`"),
        ({"collect": {"warm_up": 5}}, "`collect.warm_up` is not a setting.*`collect.warmup`"),
        ({"gate": {"limits": {"observation_hi": {}}}}, "`gate.limits.observation_hi`.*`gate.limits.observation_high`"),
        ({"qqq": 1}, "one of agent, anchors, budget, check"),
        ({3: 1}, "`3` is not a setting"),
    ],
)
def test_a_misspelt_key_names_the_near_one(values: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_plain(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seed": "1"}, "`seed` has the wrong type. Given: '1'. Expected: int"),
        ({"seed": 1.0}, "`seed`"),
        ({"seed": True}, "`seed`"),
        ({"seed": None}, "`seed`"),
        ({"updates_per_step": "fast"}, "`updates_per_step`.*float"),
        ({"updates_per_step": True}, "`updates_per_step`"),
        ({"truncation": "infopro"}, "'infoprop' | 'mopo' | 'morel' | 'none'"),
        ({"agent": ["sac"]}, "`agent`"),
        ({"mode": "bold"}, "`mode`"),
        ({"budget": {"steps": 1.5}}, "`budget`"),
        ({"budget": {"steps": True}}, "`budget`"),
        ({"budget": 1500}, "`budget`"),
        ({"budget": [1500]}, "`budget`"),
        ({"collect": 5}, "`collect."),
        ({"collect": {"horizon": "long"}}, "`collect.horizon`"),
        ({"gate": {"limits": {"observation_high": {"x": 1.0}}}}, "observation_high"),
        ({"gate": {"limits": {"observation_high": {"--5": 1.0}}}}, "observation_high"),
        ({"gate": {"limits": {"observation_high": {"²": 1.0}}}}, "observation_high"),
        ([], "not a table"),
        ("seed: 1", "not a table"),
    ],
)
def test_a_wrong_type_is_named(values: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_plain(values)


def test_a_whole_number_is_a_number() -> None:
    config = from_plain({"updates_per_step": 2, "value_gradient": {"discount": 0.5, "gradient_clip": 3}})
    assert (config.updates_per_step, config.value_gradient.gradient_clip) == (2.0, 3.0)
    assert isinstance(config.updates_per_step, float) and isinstance(config.value_gradient.gradient_clip, float)
    assert from_plain({"sac": {"gradient_clip": None}}).sac.gradient_clip is None
    assert from_plain({"collect": {"horizon": 5}}).collect.horizon == 5


def test_keys_that_are_numbers_may_be_texts() -> None:
    limits = from_plain({"gate": {"limits": {"observation_high": {"3": 1.5}}}}).gate.limits
    assert limits.observation_high == {3: 1.5}


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget": {}},
        {"budget": {"steps": 0}},
        {"budget": {"steps": 0, "micro_usd": 0}},
        {"budget": {"steps": -5}},
        {"seed": -1},
        {"updates_per_step": -0.1},
        {"updates_per_step": float("nan")},
        {"updates_per_step": float("inf")},
        {"collect": {"warmup": 0}},
        {"collect": {"warmup_horizon": 0}},
        {"collect": {"steps": 0}},
        {"collect": {"growth": -0.1}},
        {"collect": {"growth": float("nan")}},
        {"collect": {"horizon": 0}},
        {"collect": {"held_out": 0.0}},
        {"collect": {"held_out": 1.0}},
        {"collect": {"held_out": float("nan")}},
        {"check": {"episodes": -1}},
        {"check": {"imagined": 0}},
        {"gate": {"horizon": 0}},
        {"gate": {"samples": 0}},
        {"gate": {"alternatives": -1}},
        {"settings": {"value_gradient": {"config": 5}}},
        {"settings": {"ensemble": {"width": 5}}},
        {"settings": {"somebody": {}}},
        {"fit": {"least": 10, "most": 5}},
        {"sac": {"imagined_share": 1.5}},
        {"value_gradient": {"discount": 1.0}},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(GedankenError):
        from_plain(wrong)


def test_every_setting_says_what_it_is() -> None:
    import ast
    import inspect

    import gedanken.intermediary.config as module

    tree = ast.parse(inspect.getsource(module))
    for config in (RunConfig, CollectConfig, CheckConfig):
        body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == config.__name__).body
        told = {
            node.target.id
            for node, after in itertools.pairwise(body)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr)
        }
        parts = {f.name for f in dataclasses.fields(config) if dataclasses.is_dataclass(f.default_factory)}
        assert {f.name for f in dataclasses.fields(config)} - parts <= told
