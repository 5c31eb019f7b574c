from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.worlds.design import DesignSpace
from gedanken.worlds.parameters import Categorical, Continuous
from gedanken.worlds.science.prices import PriceList

SPACE = DesignSpace(
    (Continuous("base", 0, 3, "equiv"), Continuous("shift", -1, 1), Categorical("solvent", ("water", "DMF")))
)
WRITTEN = {"experiments": 1, "micro_usd": {"each": 500, "base": 10.5, "solvent": {"water": 0, "DMF": 300}}}


def test_an_experiment_costs_something_each_for_its_choices_and_for_what_it_uses() -> None:
    prices = PriceList.from_json(WRITTEN, SPACE)
    cost = prices({"base": 2.0, "shift": 0.0, "solvent": "DMF"})
    assert dict(cost) == {"experiments": 1, "micro_usd": 500 + 21 + 300}
    assert dict(prices({"base": 0.1, "shift": 0.0, "solvent": "water"})) == {"experiments": 1, "micro_usd": 502}
    assert prices.resources == {"experiments", "micro_usd"}


@given(
    st.dictionaries(st.sampled_from(["usd", "ms"]), st.integers(0, 1_000), min_size=1),
    st.floats(0, 50),
    st.floats(0, 50),
)
def test_it_is_read_as_it_was_written(each: dict[str, int], unit: float, level: float) -> None:
    prices = PriceList(each, {"usd": {"solvent": {"water": level, "DMF": 2.0}}}, {"ms": {"base": unit}})
    again = PriceList.from_json(prices.to_json(), SPACE)
    design = {"base": 1.5, "shift": 0.0, "solvent": "water"}
    assert again(design) == prices(design) and again.to_json() == prices.to_json()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        None,
        {"usd": 1.5},
        {"usd": -1},
        {"usd": {"colour": 3}},
        {"usd": {"solvent": {"water": 1}}},
        {"usd": {"solvent": 3}},
        {"usd": {"base": "much"}},
        {"usd": {"base": -1}},
        {"usd": {"shift": 1}},
    ],
)
def test_what_is_no_price_list_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError):
        PriceList.from_json(wrong, SPACE)
