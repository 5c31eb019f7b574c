"""What the gate lets through, what it blocks and why, and how it sits between a policy and the real world."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.experience.cost import Cost
from gedanken.experience.transition import Provenance
from gedanken.intermediary.gate import Gate, GateRefused, Limits, best_known
from gedanken.intermediary.rehearse import Rehearsal
from gedanken.models.contract import Imagined, State
from tests.fakes import AnalyticModel, double_integrator
from tests.intermediary.walks import KEY, LINE, at, gate, walk


class Silent(AnalyticModel):
    """A model that was never calibrated."""

    def step(self, state: State, action: Any, key: jax.Array) -> Imagined:
        imagined = super().step(state, action, key)
        return imagined._replace(confidence=jnp.full_like(imagined.confidence, jnp.nan))


class Priceless(AnalyticModel):
    """A model of a world whose costs nobody recorded."""

    def conclude(self, state: State, action: Any, next_observation: Any, key: jax.Array) -> Imagined:
        return super().conclude(state, action, next_observation, key)._replace(cost={})


# --- Blocking -------------------------------------------------------------------------------------------------------


def test_an_action_within_the_limits_passes() -> None:
    decision = gate().decide(at(0.5), at(0.4), key=KEY)
    assert decision.applied is decision.proposed
    assert (decision.by, decision.index, decision.reasons, decision.breaches) == ("agent", 0, (), ())
    assert decision.milliseconds > 0 and decision.model_id == walk().id


def test_an_action_that_breaks_a_limit_is_blocked_with_the_numbers() -> None:
    with pytest.raises(GateRefused) as refused:
        gate().decide(at(0.5), at(0.6), key=KEY)
    words = "predicted observation[0] 1.1 > limit 1 with probability 1.00"
    assert words in str(refused.value) and "human" in str(refused.value)
    decision = refused.value.decision
    assert (decision.by, decision.applied, decision.index) == ("nobody", None, None)
    assert decision.reasons[0] == words
    assert [breach.kind for breach in decision.breaches] == ["observation"]


def test_the_probability_is_the_share_of_members_that_see_it_coming() -> None:
    # One of five members says 0.9 + sqrt(2) * 0.1, the others stay below 1.
    split = gate(model=walk(spread=0.1), horizon=1)
    with pytest.raises(GateRefused, match=r"observation\[0\] 1\.04 > limit 1 with probability 0\.20"):
        split.decide(at(0.9), at(0.0), key=KEY)
    bolder = dataclasses.replace(split, limits=Limits(observation_high={0: 1.0}, most_risk=0.2))
    assert bolder.decide(at(0.9), at(0.0), key=KEY).by == "agent"


@pytest.mark.parametrize(
    ("limits", "model", "action", "words"),
    [
        (Limits(observation_low={0: -1.0}), walk(), -0.7, "observation[0] -1.2 < limit -1 with probability 1.00"),
        (Limits(least_return=3.5), walk(), 0.8, "predicted return 3.36 < limit 3.5 with probability 1.00"),
        (Limits(most_termination=0.2), walk(limit=1.0), -0.6, "termination with probability 1.00 > limit 0.20"),
        (Limits(most_cost={"steps": 3}), walk(), 0.0, "predicted cost of 4 steps > limit 3"),
        (Limits(most_cost={"wear": 3}), walk(), 0.0, "does not know: what it costs in wear was never recorded"),
        (Limits(most_cost={"steps": 9}), Priceless.create([[1.0]], [[1.0]]), 0.0, "in steps was never recorded"),
        (Limits(), walk(spread=3.0), 0.0, "does not know: confidence 0.25 < 0.50"),
        (Limits(), Silent.create([[1.0]], [[1.0]]), 0.0, "never calibrated, and 0.50 is asked for"),
        (Limits(), walk(alive=float("nan")), 0.0, "does not know: 65 of 65 samples left the finite numbers"),
        (
            Limits(least_confidence_ahead=0.6),
            walk(spread=0.5, growth=0.2),
            -1.0,
            "confidence 0.59 within 4 steps < 0.60",
        ),
    ],
)
def test_every_limit_blocks_and_says_why(limits: Limits, model: Any, action: float, words: str) -> None:
    with pytest.raises(GateRefused) as refused:
        gate(limits=limits, model=model).decide(at(-0.5), at(action), key=KEY)
    assert any(words in reason for reason in refused.value.decision.reasons), refused.value.decision.reasons


@pytest.mark.parametrize(
    ("limits", "model", "action"),
    [
        (Limits(observation_low={0: -1.0}), walk(), -0.4),
        (Limits(least_return=3.5), walk(), 0.7),
        (Limits(most_termination=0.2), walk(limit=1.0), -0.4),
        (Limits(most_cost={"steps": 4}), walk(), 0.0),
        (Limits(), walk(spread=0.9), 0.0),
        (Limits(least_confidence=None), Silent.create([[1.0]], [[1.0]]), 0.0),
    ],
)
def test_just_within_a_limit_passes(limits: Limits, model: Any, action: float) -> None:
    assert gate(limits=limits, model=model).decide(at(-0.5), at(action), key=KEY).by == "agent"


def test_it_knows_near_its_data_and_not_far_away() -> None:
    doubting = gate(limits=Limits(), model=walk(spread=0.2, growth=1.0))
    assert doubting.decide(at(1.0), at(0.0), key=KEY).by == "agent", "1 / (1 + 0.2 * 2) is 0.71"
    with pytest.raises(GateRefused, match=r"does not know: confidence 0\.19 < 0\.50"):
        doubting.decide(at(20.0), at(0.0), key=KEY)


# --- What is done instead -------------------------------------------------------------------------------------------


def test_the_safest_admissible_alternative_is_applied() -> None:
    # Steps of 0.6 and 0.7 leave the limit, -0.8 costs 0.64 of the return, -0.1 costs 0.01.
    offers = [at(0.7), at(-0.8), at(-0.1)]
    decision = gate().decide(at(0.5), at(0.6), alternatives=offers, key=KEY)
    assert decision.applied is offers[2]
    assert (decision.by, decision.index) == ("alternative", 3)
    assert decision.reasons[1].startswith("applied alternative 3 of 3 instead: return 3.99")
    assert len(decision.rehearsals) == 4


def test_less_risk_goes_before_more_return() -> None:
    # From 0.8 a fifth of the samples of a step of 0.1 passes 1.0; that is admissible here, but -0.9 has no risk.
    risky = gate(limits=Limits(observation_high={0: 1.0}, most_risk=0.25), model=walk(spread=0.1), horizon=1)
    decision = risky.decide(at(0.8), at(0.9), alternatives=[at(0.1), at(-0.9)], key=KEY)
    assert decision.applied == -0.9
    assert decision.rehearsals[1].returns.low > decision.rehearsals[2].returns.low


def test_without_an_admissible_alternative_the_fallback_is_applied() -> None:
    asked = []

    def brake(decision: Any) -> np.ndarray:
        asked.append(decision)
        return at(-1.0)

    for fallback in (at(-1.0), brake):
        decision = gate(on_refusal=fallback).decide(at(2.5), at(0.0), alternatives=[at(-0.5)], key=KEY)
        assert decision.applied == -1.0
        assert (decision.by, decision.index) == ("fallback", None)
        assert decision.reasons[1] == "alternative 1: predicted observation[0] 2 > limit 1 with probability 1.00"
        assert decision.reasons[2] == "applied the fallback, which was not rehearsed"
    assert len(asked) == 1 and asked[0].by == "nobody" and asked[0].observation == 2.5


def test_a_fallback_outside_the_action_space_is_refused() -> None:
    with pytest.raises(ConfigError, match="this action"):
        gate(on_refusal=at(2.0))
    with pytest.raises(ConfigError, match="this action"):
        gate(on_refusal=lambda decision: at(2.0)).decide(at(2.5), at(0.0), key=KEY)


# --- The other modes ------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    observation=st.floats(-1e3, 1e3, width=32),
    action=st.floats(-1, 1, width=32),
    offer=st.floats(-1, 1, width=32),
    high=st.floats(-10, 10),
    least=st.one_of(st.none(), st.floats(0, 1)),
    spread=st.floats(0, 5, width=32),
    seed=st.integers(0, 2**31 - 1),
)
def test_shadow_never_changes_the_action(
    observation: float, action: float, offer: float, high: float, least: float | None, spread: float, seed: int
) -> None:
    limits = Limits(observation_high={0: high}, least_return=3.0, most_termination=0.0, least_confidence=least)
    shadow = gate("shadow", limits, walk(spread=spread, limit=5.0))
    proposed = at(action)
    decision = shadow.decide(at(observation), proposed, alternatives=[at(offer)], key=jax.random.key(seed))
    assert decision.applied is proposed and (decision.by, decision.index) == ("agent", 0)
    assert len(decision.rehearsals) == 2, "and yet it was rehearsed"
    bold = dataclasses.replace(shadow, mode="gate", on_refusal=at(0.0))
    gated = bold.decide(at(observation), proposed, alternatives=[at(offer)], key=jax.random.key(seed))
    assert [b.words for b in gated.breaches] == [b.words for b in decision.breaches], "and foresaw what the gate does"
    assert (gated.by == "agent") == (not decision.breaches)


def test_off_does_not_ask_the_model() -> None:
    proposed = object()  # no action of any space: nobody looks at it
    decision = Gate("off", Limits(observation_high={0: 0.0}), None, LINE).decide("anything", proposed, key=KEY)
    assert decision.applied is proposed
    assert (decision.rehearsals, decision.reasons, decision.model_id) == ((), (), None)


def test_advice_picks_the_better_action() -> None:
    # The return is 4 less the action's square.
    offers = [at(0.5), at(-0.1), at(0.7)]
    decision = gate("advise").decide(at(0.0), at(0.9), alternatives=offers, key=KEY)
    assert decision.applied is offers[1]
    assert (decision.by, decision.index) == ("advice", 2)
    assert decision.reasons == (
        "chose candidate 2 of 4: return 3.990 [3.990, 3.990], ends 0 %, confidence 1.00; "
        "candidate 0, the proposed one: return 3.190 [3.190, 3.190], ends 0 %, confidence 1.00",
    )
    assert gate("advise").decide(at(0.0), at(0.0), alternatives=offers, key=KEY).by == "agent"
    alone = gate("advise").decide(at(0.8), at(0.9), key=KEY)
    assert alone.by == "agent" and "> limit 1" in alone.reasons[0], "it warns and does not block"


def test_advice_prefers_what_is_known_and_leaves_alone_what_is_not() -> None:
    class Patchy(AnalyticModel):
        """Knows only what small actions do."""

        def step(self, state: State, action: Any, key: jax.Array) -> Imagined:
            small = jnp.abs(action[:, 0]) < 0.5
            return super().step(state, action, key)._replace(confidence=jnp.where(small, 0.9, 0.1))

    patchy = Patchy.create([[1.0]], [[1.0]], state_weight=1.0, action_weight=0.0)
    advising = gate("advise", Limits(), patchy)
    # From 2, going down is best; -0.9 is better than -0.4, but nobody knows that.
    chosen = advising.decide(at(2.0), at(0.0), alternatives=[at(-0.9), at(-0.4)], key=KEY)
    assert chosen.applied == at(-0.4)
    unknown = advising.decide(at(2.0), at(0.9), alternatives=[at(-0.9), at(-0.6)], key=KEY)
    assert unknown.by == "agent"


def test_the_agent_may_choose_by_itself() -> None:
    seen: list[Sequence[Rehearsal]] = []

    def safest(rehearsals: Sequence[Rehearsal]) -> int:
        seen.append(rehearsals)
        return int(np.argmin([rehearsal.highest[0] for rehearsal in rehearsals]))

    decision = gate("advise", choose=safest).decide(at(0.0), at(0.0), alternatives=[at(0.5), at(-1.0)], key=KEY)
    assert decision.applied == -1.0 and len(seen[0]) == 3
    for wrong in (3, -1, None, True):
        with pytest.raises(ConfigError, match="none of the candidates"):
            gate("advise", choose=lambda rehearsals, wrong=wrong: wrong).decide(at(0.0), at(0.0), key=KEY)


def test_the_default_choice_keeps_the_proposed_action_where_nothing_is_better() -> None:
    tied = gate("shadow").decide(at(0.0), at(0.5), alternatives=[at(-0.5), at(0.6)], key=KEY).rehearsals
    assert best_known(tied) == 0
    assert best_known([dataclasses.replace(rehearsal, known=False) for rehearsal in tied]) == 0


def test_substitute_answers_when_sure_and_asks_the_world_when_not() -> None:
    model = walk(spread=0.2, growth=1.0, limit=3.0)
    between = gate("substitute", Limits(least_confidence=0.7), model)
    answer = between.answer(at(0.5), at(0.25), key=KEY)
    assert answer is not None
    step = answer.transition
    assert step.provenance == Provenance("model", model.id) and step.cost == Cost()
    assert (step.next_observation.tolist(), step.reward) == ([0.75], 1 - 0.0625)
    assert answer.imagined.confidence[0] == pytest.approx(1 / 1.3) and not step.terminated
    over = dataclasses.replace(between, limits=Limits(least_confidence=0.1)).answer(at(2.9), at(0.5), key=KEY)
    assert over is not None and over.transition.terminated
    assert between.answer(at(1.5), at(0.25), key=KEY) is None, "confidence 0.67"
    assert dataclasses.replace(between, model=walk(alive=float("nan"))).answer(at(0.0), at(0.0), key=KEY) is None
    silent = Silent.create([[1.0]], [[1.0]])
    assert dataclasses.replace(between, model=silent).answer(at(0.0), at(0.0), key=KEY) is None
    with pytest.raises(ConfigError, match="may not answer"):
        gate("gate").answer(at(0.0), at(0.0), key=KEY)
    with pytest.raises(GateRefused):
        gate("substitute").decide(at(0.5), at(0.6), key=KEY)


# --- Settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mode": "bold"}, "no mode"),
        ({"limits": Limits(observation_high={1: 0.0})}, "does not have"),
        ({"horizon": 0}, "needs a step"),
        ({"model": double_integrator()}, "different worlds"),
        ({"mode": "substitute", "limits": Limits(least_confidence=None)}, "when the model is sure"),
        ({"on_refusal": "panic"}, "this action"),
    ],
)
def test_impossible_gates_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        gate(**changes)


def test_a_gate_needs_a_model_unless_it_is_off() -> None:
    with pytest.raises(ConfigError, match="needs a model"):
        Gate("shadow", Limits(), None, LINE)
