from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.experience.cost import Amounts, Budget, Cost

names = st.sampled_from(["steps", "milliseconds", "micro_usd", "experiments"])
amounts = st.dictionaries(names, st.integers(0, 10**12))


@given(amounts, amounts)
def test_sums_go_resource_by_resource_and_either_way(one, other):
    total = Cost(one) + Cost(other)
    assert total == Cost(other) + Cost(one)
    assert all(total.of(name) == one.get(name, 0) + other.get(name, 0) for name in one.keys() | other.keys())


@given(amounts, st.integers(0, 1000))
def test_times_is_repeated_addition(one, count):
    total = sum((Cost(one) for _ in range(count % 7)), Cost())
    assert Cost(one).times(count % 7) == total
    assert all(Cost(one).times(count).of(name) == amount * count for name, amount in one.items())


@given(amounts)
def test_zero_is_the_same_as_not_named(one):
    assert Cost(one) == Cost({name: amount for name, amount in one.items() if amount})
    assert hash(Cost(one)) == hash(Cost({name: amount for name, amount in one.items() if amount}))
    assert set(Cost(one)) == {name for name, amount in one.items() if amount}


@given(amounts)
def test_order_of_names_does_not_matter(one):
    assert list(Cost(one).items()) == list(Cost(dict(reversed(one.items()))).items())


@given(amounts, amounts)
def test_budget_allows_exactly_what_leaves_nothing_below_zero(limit, spent):
    budget = Budget(limit)
    assert budget.allows(Cost(spent)) == all(spent.get(name, 0) <= most for name, most in limit.items())
    left = budget.left(Cost(spent))
    assert all(left.of(name) == max(0, most - spent.get(name, 0)) for name, most in limit.items())


def test_a_budget_of_zero_forbids_and_a_missing_one_does_not():
    assert not Budget(steps=0).allows(Cost(steps=1))
    assert Budget(steps=0).allows(Cost(milliseconds=10**9))
    assert "steps" in Budget(steps=3).left(Cost(steps=3))


@pytest.mark.parametrize("wrong", [-1, 1.0, 0.5, True, "1", None])
def test_fractions_signs_and_other_types_are_refused(wrong):
    with pytest.raises(ConfigError, match="whole number"):
        Cost(micro_usd=wrong)
    with pytest.raises(ConfigError, match="'micro_usd'"):
        Budget({"micro_usd": wrong})


def test_amounts_cannot_be_changed_and_compare_only_to_amounts():
    cost = Cost(steps=1)
    with pytest.raises(TypeError):
        cost["steps"] = 2
    assert cost != {"steps": 1}
    assert repr(cost) == "Cost(steps=1)"
    assert Amounts(steps=1) == Cost(steps=1)


def test_addition_keeps_large_amounts_exact():
    assert (Cost(micro_usd=2**80) + Cost(micro_usd=1)).of("micro_usd") == 2**80 + 1
