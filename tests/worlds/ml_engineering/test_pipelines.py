from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.worlds.ml_engineering.attempt import check
from gedanken.worlds.ml_engineering.metrics import KINDS, Kind
from gedanken.worlds.ml_engineering.pipelines import (
    MODELS,
    SPACE,
    canonical,
    crossed,
    drawn,
    mutated,
    program,
    relevant,
    sensible,
)
from gedanken.worlds.parameters import Categorical, Design

PARAMETERS = {parameter.name: parameter for parameter in SPACE.parameters}
designs = st.integers(0, 2**31).map(lambda seed: SPACE.draw(1, seed=seed)[0])
kinds = st.sampled_from(KINDS)


def other_values(name: str, value: Any) -> list[Any]:
    parameter = PARAMETERS[name]
    if isinstance(parameter, Categorical):
        return [level for level in parameter.levels if level != value]
    return [bound for bound in (parameter.low, parameter.high) if bound != value]


@pytest.mark.parametrize("kind", KINDS)
def test_somebody_experienced_tries_every_model(kind: Kind) -> None:
    first = sensible(kind)
    assert [design["model"] for design in first] == list(MODELS)
    programs = [program(design, kind) for design in first]
    assert not any(map(check, programs)) and len(set(programs)) == len(MODELS)
    for made in programs:
        assert ("predict_proba" in made) == (kind != "regression")


@given(design=designs, kind=kinds, seed=st.integers(0, 9))
def test_every_design_is_a_program(design: Design, kind: Kind, seed: int) -> None:
    made = program(design, kind, seed=seed)
    assert check(made) == ""
    assert made.isascii() and 'to_csv("submission.csv", index=False)' in made


@given(design=designs, kind=kinds)
def test_a_design_and_its_canonical_one_are_the_same_program(design: Design, kind: Kind) -> None:
    plain = canonical(design, kind)
    assert canonical(plain, kind) == plain and SPACE.checked(plain) == plain
    assert program(plain, kind) == program(design, kind)


@given(design=designs, other=designs, kind=kinds)
def test_what_makes_no_difference_is_not_told_apart(design: Design, other: Design, kind: Kind) -> None:
    read = {name for name in relevant(design) if name != "target" or kind == "regression"}
    same = {name: (design if name in read else other)[name] for name in SPACE.names}
    assert canonical(same, kind) == canonical(design, kind)
    assert program(same, kind) == program(design, kind)


@given(design=designs, kind=kinds)
def test_what_makes_a_difference_changes_the_program(design: Design, kind: Kind) -> None:
    before = program(design, kind)
    for name in relevant(design):
        if name == "target" and kind != "regression":
            continue
        for value in other_values(name, design[name]):
            changed = {**design, name: value}
            assert program(changed, kind) != before and canonical(changed, kind) != canonical(design, kind), name


def test_the_seed_is_in_the_programs_that_draw() -> None:
    differ = [program(design, "binary") != program(design, "binary", seed=1) for design in sensible("binary")]
    assert dict(zip(MODELS, differ, strict=True)) == {
        **dict.fromkeys(MODELS, True),
        **dict.fromkeys(("linear", "neighbours", "svm"), False),
    }


@given(one=designs, other=designs, kind=kinds, seed=st.integers(0, 2**31))
def test_what_comes_of_designs_are_designs(one: Design, other: Design, kind: Kind, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for found in (mutated(one, kind, rng), mutated(one, kind, rng, changes=99), crossed(one, other, kind, rng)):
        assert SPACE.checked(found) == canonical(found, kind) == found


@given(one=designs, kind=kinds, seed=st.integers(0, 2**31))
def test_a_mutation_changes_as_much_as_was_asked(one: Design, kind: Kind, seed: int) -> None:
    """But for a new model, which reads other parameters."""
    before = canonical(one, kind)
    after = mutated(before, kind, np.random.default_rng(seed), changes=2)
    differ = [name for name in SPACE.names if after[name] != before[name]]
    assert after["model"] != before["model"] or len(differ) <= 2
    assert mutated(before, kind, np.random.default_rng(seed)) == after


@given(one=designs, other=designs, kind=kinds, seed=st.integers(0, 2**31))
def test_each_value_of_a_child_is_of_a_parent(one: Design, other: Design, kind: Kind, seed: int) -> None:
    child = crossed(one, other, kind, np.random.default_rng(seed))
    for name in relevant(child):
        if name != "target" or kind == "regression":
            assert child[name] in (one[name], other[name])


def test_drawn_designs_cover_the_models_and_are_the_same_again() -> None:
    many = drawn("regression", 64, seed=3)
    assert {design["model"] for design in many} == set(MODELS)
    assert all(SPACE.checked(design) == canonical(design, "regression") == design for design in many)
    assert drawn("regression", 64, seed=3) == many != drawn("regression", 64, seed=4)
