import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.worlds.science import make
from gedanken.worlds.science.kinetics import REACTIONS, ReactionEnv, arrhenius, coupling, snar

WARM = {"residence_time": 1.0, "equivalents": 2.0, "concentration": 0.3, "temperature": 90.0}


@given(st.floats(1e-3, 1e3), st.floats(5.0, 100.0), st.floats(30.0, 120.0))
def test_a_rate_is_what_it_is_at_its_reference(rate: float, energy: float, celsius: float) -> None:
    assert arrhenius(rate, energy, celsius, celsius) == pytest.approx(rate)
    assert arrhenius(rate, energy, celsius + 10, celsius) > rate


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_nothing_is_made_of_nothing(seed: int) -> None:
    """Every arene that went in comes out as itself or as a product."""
    reaction = snar()
    design = reaction.space.draw(1, seed=seed)[0]
    c = reaction.outlet(design)
    assert c[[0, 2, 3, 4]].sum() == pytest.approx(float(design["concentration"]), rel=1e-5)
    amine = float(design["equivalents"]) * float(design["concentration"])
    assert c[1] + c[2] + c[3] + 2 * c[4] == pytest.approx(amine, rel=1e-5)
    assert (c >= 0).all()


def test_the_coupling_without_side_reactions_is_its_closed_form() -> None:
    """A + B -> R of second order, [A] != [B]."""
    design = {"catalyst": "catalyst 1", "catalyst_concentration": 0.002, "time": 300.0, "temperature": 80.0}
    reaction = coupling(1)
    k = math.sqrt(0.002) * arrhenius(3.1e7, 55.0, 80.0)
    ratio = math.exp((0.250 - 0.167) * k * 300.0)
    made = 0.167 * 0.250 * (ratio - 1) / (0.250 * ratio - 0.167)
    answer = reaction.objectives_of(design, reaction.outlet(design))
    assert answer == pytest.approx([100 * made / 0.167, made / 0.002], rel=1e-4)


def test_the_cases_differ_as_their_paper_says() -> None:
    hot = {"catalyst_concentration": 0.004, "time": 600.0, "temperature": 110.0}
    made = {
        (case, number): coupling(case).outlet({**hot, "catalyst": f"catalyst {number}"})[2]
        for case in (1, 2, 3, 4, 5)
        for number in (1, 2, 8)
    }
    assert made[1, 1] > made[1, 2] > made[1, 8]
    assert made[2, 1] == pytest.approx(made[2, 2])
    assert made[3, 1] < made[1, 1] and made[4, 1] < made[1, 1]
    cooler = {**hot, "temperature": 80.0, "time": 60.0}
    first, second = (coupling(5).outlet({**cooler, "catalyst": f"catalyst {n}"})[2] for n in (1, 2))
    assert first > 2 * second and made[5, 1] < made[5, 2], "the best catalyst is none above 80 degrees"


def test_heat_helps_a_slow_reaction_and_spoils_a_quick_one() -> None:
    env = ReactionEnv(snar(), noise=0.0)
    slow = {"residence_time": 0.5, "equivalents": 1.0, "concentration": 0.1}
    quick = {"residence_time": 2.0, "equivalents": 5.0, "concentration": 0.5}

    def made(design: dict[str, float]) -> list[float]:
        return [float(env.truth({**design, "temperature": celsius})[0]) for celsius in (30.0, 75.0, 120.0)]

    assert made(slow) == sorted(made(slow)) and made(quick) == sorted(made(quick), reverse=True)
    assert env.truth(WARM)[1] > 1, "there is more waste than product"


@pytest.mark.parametrize("name", REACTIONS)
def test_a_reaction_is_a_world_with_noise_of_its_seed(name: str) -> None:
    world = make(name, noise=0.05)
    world.action_space.seed(0)
    action = world.action_space.sample()

    def measured(seed: int) -> np.ndarray:
        world.reset(seed=seed)
        return world.step(action)[0]["values"]

    assert np.array_equal(measured(1), measured(1)) and not np.array_equal(measured(1), measured(2))
    spread = np.std([measured(seed)[0] for seed in range(60)]) / measured(0)[0]
    assert 0.03 < spread < 0.08
    cost = dict(world.price(action))
    assert cost["experiments"] == 1 and cost["reaction_ms"] > 60_000 and world.pool is None


@pytest.mark.parametrize("wrong", [lambda: make("snar_flow", noise=1.5), lambda: make("couplings_9")])
def test_what_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError):
        wrong()  # type: ignore[operator]


def test_the_priced_table_asks_what_its_reagents_cost() -> None:
    """By hand: 0.0364 mmol of triflate at 5.91 USD, 0.0095 of tBuXPhos at 94.08, 2 of DBU at 0.03, 1.6 of aniline."""
    world = make("baumgartner_aniline")
    assert world.pool is not None
    design = {**world.pool[0], "catalyst": "tBuXPhos", "base": "DBU", "base_equivalents": 2.0}
    env = world.env.unwrapped
    env.check = lambda _: None  # the price is asked of a design that was not measured
    cost = world.price(world.space.to_action(design))
    usd = 0.0364 * (5.91 + 1.6 * 0.01 + 0.0095 * 94.08 + 2 * 0.03)
    assert cost["micro_usd"] == math.ceil(1e6 * usd) and cost["experiments"] == 1
