from dataclasses import dataclass

import numpy as np
import pytest

from gedanken.errors import ConfigError
from gedanken.worlds.ml_engineering.metrics import Kind
from gedanken.worlds.ml_engineering.moves import ANOTHER, CROSS, DRAW, MOVES, MUTATE, STOP, move, place, possible
from gedanken.worlds.ml_engineering.pipelines import MODELS, SPACE, canonical, sensible
from gedanken.worlds.parameters import Design


@dataclass(frozen=True)
class Past:
    design: Design | None
    skill: float | None


def past(kind: Kind, *skills: float | None) -> list[Past]:
    return [Past(design, skill) for design, skill in zip(sensible(kind), skills, strict=False)]


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_what_is_possible_leads_to_a_new_program_and_nothing_else_does(kind: Kind) -> None:
    for tried in ([], past(kind, None), past(kind, 0.5), past(kind, 0.5, None, 0.7), [Past(None, 0.4)]):
        can, known = possible(kind, tried), {place(one.design) for one in tried if one.design is not None}
        assert can.shape == (len(MOVES),) and can[STOP] and can[DRAW]
        for which in range(STOP):
            design = move(kind, which, tried, np.random.default_rng(which))
            assert (design is not None) == can[which]
            if design is not None:
                assert place(design) not in known and design == canonical(SPACE.checked(design), kind)
        assert move(kind, STOP, tried, np.random.default_rng(0)) is None


def test_moves_change_what_they_say() -> None:
    tried, rng = past("regression", 0.5, 0.9, 0.7), np.random.default_rng(0)
    models = {
        which: [str((move("regression", which, tried, rng) or {})["model"]) for _ in range(60)]
        for which in (MUTATE, ANOTHER, CROSS, DRAW)
    }
    assert models[MUTATE].count(MODELS[1]) > 30 and models[ANOTHER].count(MODELS[2]) > 30
    assert set(models[CROSS][:20]) <= set(MODELS) and len(set(models[DRAW])) == len(MODELS)
    assert {MODELS[1], MODELS[2]} <= set(models[CROSS])


def test_a_move_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError):
        move("binary", len(MOVES), [], np.random.default_rng(0))
