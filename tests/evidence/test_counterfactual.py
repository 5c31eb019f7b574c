import json
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.evidence.branching import Branches, branch
from gedanken.evidence.counterfactual import ActionEffects, effects_of_branches, effects_of_pairs
from tests.evidence.forkable import visit, world_of
from tests.evidence.recordings import record
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator
from tests.worlds.ledgers import RUN, opened
from tests.worlds.records import MemoryRecord

KEY = jax.random.key(0)
WORLD = double_integrator(noise=0.3)
CODEC = AnalyticEnv(WORLD).codec


def pushing(strength: float) -> AnalyticModel:
    """The model of a world in which actions do `strength` times what they do."""
    return AnalyticModel.create([[1.0, 0.0], [0.1, 0.98]], [[0.0, 0.5 * strength]])


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> Branches:
    memory = MemoryRecord()
    with opened(tmp_path_factory.mktemp("branches"), learn=1_000) as ledger:
        world = world_of(WORLD)
        visited, _ = visit(world, ledger, memory, episodes=4)
        return branch(
            world, ledger, memory, visited, actions=3, steps=6, account="learn", seed=0, first_index=0, run_id=RUN
        )


def of(model: AnalyticModel, branches: Branches) -> ActionEffects:
    return effects_of_branches(model, branches, CODEC, horizons=(1, 5), key=KEY, seed=0)


def test_the_true_model_sees_every_effect_though_the_world_is_noisy(branches: Branches) -> None:
    found = of(pushing(1.0), branches)
    assert [each.mean for each in found.correlation] == pytest.approx([1.0, 1.0], abs=1e-4)
    assert [each.mean for each in found.explained] == pytest.approx([1.0, 1.0], abs=1e-4)
    assert [each.mean for each in found.imagined] == pytest.approx([each.mean for each in found.real], rel=1e-3)
    assert found.real[1].mean > found.real[0].mean > 0 and found.effects == (24, 24)
    assert found.correlation[0].count == 4, "states of one episode are not independent"
    json.dumps(found.to_json(), allow_nan=False)


@settings(max_examples=10)
@given(strength=st.floats(-2.0, 2.0).filter(lambda value: abs(value) > 0.05))
def test_too_strong_too_weak_and_turned_around_are_told_apart(branches: Branches, strength: float) -> None:
    """Effects are linear in the action, so they are all `strength` times what they are in the world."""
    found = of(pushing(strength), branches)
    assert [each.mean for each in found.correlation] == pytest.approx([np.sign(strength)] * 2, abs=1e-3)
    assert [each.mean for each in found.explained] == pytest.approx([1.0 - (1.0 - strength) ** 2] * 2, abs=0.01)
    assert found.imagined[0].mean == pytest.approx(abs(strength) * found.real[0].mean, rel=0.01)


def test_a_model_that_ignores_actions_explains_nothing(branches: Branches) -> None:
    found = of(pushing(0.0), branches)
    assert [each.mean for each in found.explained] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert found.correlation[0].mean is None and "in the model no action" in found.correlation[0].reason


def test_branches_that_are_missing_say_why(branches: Branches) -> None:
    long = effects_of_branches(WORLD, branches, CODEC, horizons=(1, 7), key=KEY, seed=0)
    assert long.correlation[1].mean is None and "7 steps" in long.correlation[1].reason and long.effects[1] == 0
    none = effects_of_branches(WORLD, Branches((), 0, "the budget ended"), CODEC, key=KEY, seed=0)
    assert none.correlation[0].mean is None and none.reason == "the budget ended"
    broken = of(pushing(np.nan), branches)
    assert broken.explained[0].mean is None and "not finite" in broken.explained[0].reason


def test_an_action_without_effect_is_no_fault_of_the_model(tmp_path: Path) -> None:
    memory, deaf = MemoryRecord(), pushing(0.0)
    with opened(tmp_path, learn=100) as ledger:
        world = world_of(deaf)
        visited, _ = visit(world, ledger, memory, episodes=2, states=1)
        found = branch(
            world, ledger, memory, visited, actions=2, steps=2, account="learn", seed=0, first_index=0, run_id=RUN
        )
    effects = effects_of_branches(pushing(1.0), found, CODEC, horizons=(2,), key=KEY, seed=0)
    assert effects.explained[0].mean is None and "in the world no action" in effects.explained[0].reason
    assert effects.real[0].mean == pytest.approx(0.0, abs=1e-6) and effects.imagined[0].mean > 0.1


# --- A log instead of branches ----------------------------------------------------------------------------------------

LOG = record(AnalyticEnv(double_integrator(), horizon=50), 24)


def of_log(model: AnalyticModel, **options: float) -> ActionEffects:
    return effects_of_pairs(model, LOG, CODEC, key=KEY, seed=0, **options)


def test_pairs_of_a_log_tell_the_same_with_less_precision() -> None:
    right, weak, turned = (of_log(pushing(strength)) for strength in (1.0, 0.3, -1.0))
    assert right.correlation[0].mean > 0.95 and right.explained[0].mean > 0.9 and right.effects[0] > 100
    assert weak.explained[0].high < right.explained[0].low
    assert turned.correlation[0].high < -0.9 and turned.explained[0].high < 0
    deaf = of_log(pushing(0.0))
    assert deaf.explained[0].mean == pytest.approx(0.0, abs=1e-6) and "in the model" in deaf.correlation[0].reason
    json.dumps(right.to_json(), allow_nan=False)


def test_pairs_that_are_farther_apart_tell_less() -> None:
    near, far = (of_log(pushing(1.0), within=within).explained[0].mean for within in (0.1, 2.0))
    assert near > far


def test_without_near_pairs_nothing_is_measured() -> None:
    none = of_log(pushing(1.0), within=1e-6)
    assert none.correlation[0].mean is None and "20 are needed" in none.reason
    empty = effects_of_pairs(WORLD, [], CODEC, key=KEY, seed=0)
    assert "no recorded steps" in empty.reason
    with pytest.raises(ConfigError, match="no such pairs"):
        of_log(pushing(1.0), within=0.0)
