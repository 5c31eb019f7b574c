import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.worlds.design import DesignSpace, Linear
from gedanken.worlds.parameters import Categorical, Continuous, Integer

SPACE = DesignSpace(
    (
        Continuous("temperature", 20.0, 120.0, "°C"),
        Continuous("loading", 0.01, 10.0, "mol %", log=True),
        Integer("equivalents", 1, 5),
        Categorical("solvent", ("water", "THF", "DMF"), features=((80.0, 18.0), (7.6, 72.1), (36.7, 73.1))),
    )
)
DESIGN = {"temperature": 70.0, "loading": 0.1, "equivalents": 2, "solvent": "THF"}

designs = st.fixed_dictionaries(
    {
        "temperature": st.floats(20.0, 120.0),
        "loading": st.floats(0.01, 10.0),
        "equivalents": st.integers(1, 5),
        "solvent": st.sampled_from(["water", "THF", "DMF"]),
    }
)


def test_numbers_are_encoded_in_the_unit_interval_and_choices_one_hot() -> None:
    row = SPACE.encode([DESIGN])[0]
    assert row.dtype == np.float64
    np.testing.assert_allclose(row, [0.5, 1 / 3, 0.25, 0, 1, 0])
    assert [(g.name, g.start, g.stop, g.kind) for g in SPACE.groups] == [
        ("temperature", 0, 1, "numeric"),
        ("loading", 1, 2, "numeric"),
        ("equivalents", 2, 3, "numeric"),
        ("solvent", 3, 6, "category"),
    ]


def test_features_of_levels_are_standardised() -> None:
    features = SPACE.groups[-1].features
    assert features is not None
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(features.std(0), 1)


@given(designs)
def test_what_was_encoded_is_decoded(design: dict[str, float | int | str]) -> None:
    decoded = SPACE.decode(SPACE.encode([design])[0])
    assert decoded["solvent"] == design["solvent"] and decoded["equivalents"] == design["equivalents"]
    for name in ("temperature", "loading"):
        assert decoded[name] == pytest.approx(design[name], rel=1e-9)


@given(designs)
def test_a_design_survives_being_an_action(design: dict[str, float | int | str]) -> None:
    action = SPACE.to_action(design)
    assert SPACE.action_space().contains(action)
    assert SPACE.from_action(action) == SPACE.checked(design)


@settings(max_examples=25)
@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_draws_keep_the_constraints_and_are_those_of_their_seed(count: int, seed: int) -> None:
    space = DesignSpace(SPACE.parameters, (Linear((("temperature", 1.0), ("equivalents", 10.0)), 100.0),))
    drawn = space.draw(count, seed=seed)
    assert len(drawn) == count and drawn == space.draw(count, seed=seed)
    for design in drawn:
        assert design["temperature"] + 10 * design["equivalents"] <= 100.0 + 1e-6
        space.checked(design)


def test_draws_cover_the_space_evenly() -> None:
    drawn = SPACE.draw(256, seed=0)
    counts = np.bincount([d["equivalents"] for d in drawn], minlength=6)[1:]
    assert counts.min() > 256 / 5 * 0.8
    warm = np.mean([d["temperature"] > 70 for d in drawn])
    assert warm == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"temperature": 121.0}, "out of bounds"),
        ({"temperature": float("nan")}, "is a number"),
        ({"temperature": "hot"}, "is a number"),
        ({"temperature": True}, "is a number"),
        ({"equivalents": 2.5}, "whole number"),
        ({"equivalents": 6}, "out of bounds"),
        ({"solvent": "ether"}, "no such level"),
        ({"pressure": 1.0}, "unknown 'pressure'"),
    ],
)
def test_what_is_no_design_is_refused_by_name(change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SPACE.checked({**DESIGN, **change})


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(ConfigError, match="no 'loading'"):
        SPACE.checked({k: v for k, v in DESIGN.items() if k != "loading"})


def test_a_broken_constraint_is_named() -> None:
    space = DesignSpace(SPACE.parameters, (Linear((("temperature", 1.0),), 60.0),))
    with pytest.raises(ConfigError, match="1 temperature <= 60"):
        space.checked(DESIGN)


def test_constraints_that_leave_nothing_are_told() -> None:
    space = DesignSpace(SPACE.parameters, (Linear((("temperature", 1.0),), 10.0),))
    with pytest.raises(ConfigError, match="leave next to nothing"):
        space.draw(3, seed=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Continuous("x", 1.0, 1.0),
        lambda: Continuous("x", 0.0, 1.0, log=True),
        lambda: Continuous(" x", 0.0, 1.0),
        lambda: Integer("x", 3, 2),
        lambda: Categorical("x", ("a",)),
        lambda: Categorical("x", ("a", "a")),
        lambda: Categorical("x", ("a", "b"), features=((1.0,),)),
        lambda: DesignSpace(()),
        lambda: DesignSpace((Continuous("x", 0, 1), Integer("x", 0, 1))),
        lambda: DesignSpace(SPACE.parameters, (Linear((("solvent", 1.0),), 1.0),)),
        lambda: DesignSpace.from_json({"parameters": [{"type": "colour", "name": "x"}]}),
        lambda: DesignSpace.from_json({"parameters": [{"type": "integer", "name": "x"}]}),
    ],
)
def test_what_is_no_space_is_refused(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # type: ignore[operator]


def test_a_space_survives_json() -> None:
    import json

    space = DesignSpace(SPACE.parameters, (Linear((("temperature", 1.0), ("equivalents", -2.0)), 60.0),))
    assert DesignSpace.from_json(json.loads(json.dumps(space.to_json()))) == space
