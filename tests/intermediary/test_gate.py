"""What the gate lets through, what it blocks and why, and how it sits between a policy and the real world."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gedanken.errors import ConfigError
from gedanken.experience.codec import Codec
from gedanken.experience.cost import Cost
from gedanken.experience.transition import Provenance, Transition
from gedanken.intermediary.decisions import DecisionLog
from gedanken.intermediary.gate import Gate, GateRefused, Limits, best_known, gated_policy
from gedanken.intermediary.rehearse import Rehearsal
from gedanken.models.contract import Imagined, State
from gedanken.models.data import Columns, TransitionTable
from gedanken.models.ensemble import Ensemble, EnsembleConfig
from gedanken.models.fitting import FitConfig, fit
from gedanken.worlds.act import act
from gedanken.worlds.world import World
from tests.fakes import AnalyticEnv, AnalyticModel, double_integrator
from tests.intermediary.compiling import compilations
from tests.worlds.ledgers import RUN, opened
from tests.worlds.records import MemoryRecord

LINE = Codec(gym.spaces.Box(-np.inf, np.inf, (1,), np.float32), gym.spaces.Box(-1.0, 1.0, (1,), np.float32))
KEY = jax.random.key(0)


def stay(observation: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.zeros((observation.shape[0], 1))


def walk(**changes: Any) -> AnalyticModel:
    """One number that the action moves by itself: next = now + action; a reward of 1 less the action's square."""
    defaults = {"alive": 1.0, "state_weight": 0.0, "action_weight": 1.0}
    return AnalyticModel.create([[1.0]], [[1.0]], **{**defaults, **changes})


def gate(mode: Any = "gate", limits: Limits | None = None, model: Any = None, **changes: Any) -> Gate:
    model = walk() if model is None else model
    limits = Limits(observation_high={0: 1.0}) if limits is None else limits
    return Gate(mode, limits, model, LINE, **{"policy": stay, "horizon": 4, "samples": 65, **changes})


def at(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


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
    "wrong",
    [
        {"observation_high": {-1: 0.0}},
        {"observation_high": {True: 0.0}},
        {"observation_low": {"x": 0.0}},
        {"observation_low": {0: float("nan")}},
        {"observation_low": {0: 1.0}, "observation_high": {0: 1.0}},
        {"least_return": float("inf")},
        {"least_return": "3"},
        {"most_termination": 1.5},
        {"least_confidence": -0.1},
        {"least_confidence_ahead": 2},
        {"most_risk": True},
        {"most_cost": {"steps": 0.5}},
        {"most_cost": {"steps": -1}},
    ],
)
def test_impossible_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Limits(**wrong)


def test_limits_survive_a_file_and_their_givers() -> None:
    bounds = {2: 1.0}
    limits = Limits(observation_low=bounds, most_cost={"steps": 0})
    bounds[2] = 5.0
    assert limits.observation_low == {2: 1.0}
    assert Limits(**{**limits.to_json(), "observation_low": {"2": 1.0}}) == limits, "files hold keys as texts"


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


# --- Between a policy and a world -----------------------------------------------------------------------------------


class Corridor(gym.Env[np.ndarray, Any]):
    """The real world that `walk` models: next = now + action, from 0."""

    observation_space = LINE.observation_space
    action_space = LINE.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.now = at(0.0)
        return self.now, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.now = (self.now + action).astype(np.float32)
        return self.now, float(1.0 - action[0] ** 2), False, False, {}


def drift(observation: np.ndarray, step: int) -> tuple[np.ndarray, float]:
    return at(0.3), -0.5


def walked(tmp_path: Path, mode: Any, log: DecisionLog | None = None, steps: int = 8) -> Any:
    guarded = gated_policy(gate(mode), drift, KEY, log, alternatives=lambda observation: [at(0.0), at(-0.3)])
    world = World(Corridor(), {"steps": 1}, name="corridor").with_horizon(steps)
    with opened(tmp_path, learn=100) as ledger:
        names = {"account": "learn", "policy_id": "p", "run_id": RUN, "seed": 0, "episode_index": 0}
        return act(world, ledger, MemoryRecord(), guarded, on_step=guarded.settle, **names)


def test_a_gated_policy_keeps_a_real_world_within_its_limits(tmp_path: Path) -> None:
    (tmp_path / "off").mkdir()
    free = walked(tmp_path / "off", "off")
    assert free.observations[:, 0].max() == pytest.approx(2.4), "without the gate it runs away"
    with DecisionLog.open(tmp_path / "decisions.jsonl", write=True) as log:
        episode = walked(tmp_path, "gate", log)
        entries = list(log.entries())
    assert episode.observations[:, 0] == pytest.approx([0, 0.3, 0.6, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9])
    assert np.isnan(episode.log_probabilities[3:]).all(), "nobody drew these from the policy"
    assert episode.log_probabilities[:3].tolist() == [-0.5] * 3
    assert [entry.decision["by"] for entry in entries] == ["agent"] * 3 + ["alternative"] * 5
    assert [(entry.decision["episode"], entry.decision["step"]) for entry in entries] == [(0, n) for n in range(8)]
    assert all(entry.settlement is not None for entry in entries)
    assert entries[-1].settlement is not None and entries[-1].settlement["truncated"] is True
    assert np.abs([entry.settlement["error"] for entry in entries if entry.settlement]).max() < 1e-6
    summary = log.summary()
    assert dict(summary.by) == {"agent": 3, "alternative": 5} and dict(summary.breaches) == {"observation": 5}


def test_a_shadow_leaves_the_world_as_it_is_and_sees_what_comes(tmp_path: Path) -> None:
    with DecisionLog.open(tmp_path / "decisions.jsonl", write=True) as log:
        episode = walked(tmp_path, "shadow", log)
        assert episode.observations[:, 0] == pytest.approx(0.3 * np.arange(9))
        summary = log.summary()
    # It believes that the agent will stay after each step, and so warns from the step to 1.2 on, and not before.
    hits = summary.hits["observation"]
    assert (hits.true, hits.false, hits.missed, hits.quiet) == (5, 0, 3, 0)
    assert (hits.precision, hits.recall) == (1.0, 5 / 8)
    assert summary.known.rmse == pytest.approx([0.0], abs=1e-6) and summary.known.count == 8


def test_a_refusal_is_logged_and_raised(tmp_path: Path) -> None:
    with DecisionLog.open(tmp_path / "decisions.jsonl", write=True) as log:
        guarded = gated_policy(gate(), drift, KEY, log)
        with pytest.raises(GateRefused):
            guarded(at(0.9), 0)
        (entry,) = log.entries()
    assert entry.decision["applied"] is None and entry.decision["reasons"][-1] == "nobody acts: a human is asked"
    assert guarded.decision is not None and guarded.decision.by == "nobody"


def test_a_refusal_is_never_settled_by_somebody_elses_step(tmp_path: Path) -> None:
    guarded = gated_policy(gate(), drift, KEY)
    guarded.settle(Transition(at(0.0), at(0.0), 0.0, False, False, at(0.0)))  # nothing was decided yet
    assert guarded.decision is None


def test_no_step_compiles_anything() -> None:
    guarded = gated_policy(gate(on_refusal=at(0.0)), drift, KEY, alternatives=lambda observation: [at(0.0)])

    def steps(first: int, count: int) -> None:
        for step in range(first, first + count):
            now = at(0.2 * step)
            guarded(now, step)
            guarded.settle(Transition(now, at(0.3), 0.0, False, False, now))

    with compilations() as names:
        steps(0, 2)
    assert names.count("jit(_imagine)") <= 1
    with compilations() as names:
        steps(2, 10)
        guarded.gate = dataclasses.replace(guarded.gate, model=walk(noise=0.1))
        steps(12, 3)
    assert [name for name in names if "_imagine" in name or "fold_in" in name] == []


# --- With a model that was learned ----------------------------------------------------------------------------------


def earned(observation: jax.Array, action: jax.Array, following: jax.Array) -> jax.Array:
    return double_integrator().reward(observation, action)


def learned() -> tuple[Ensemble, AnalyticEnv]:
    """A tiny ensemble fitted to 600 steps of the double integrator, whose reward is given, and its world."""
    env = AnalyticEnv(double_integrator(noise=0.02), horizon=25)
    draws, rows = np.random.default_rng(0), []
    for episode in range(24):
        # Every second held-out episode starts far out: what the model is wrong about has to be in the calibration.
        observation, _ = env.reset(seed=episode, options={"task": {"scale": 20.0 if episode % 8 == 7 else 1.0}})
        truncated = False
        while not truncated:
            action = draws.uniform(-2, 2, 1).astype(np.float32)
            following, reward, terminated, truncated, _ = env.step(action)
            rows.append((observation, action / 2, reward, terminated, following, [1.0], episode, episode % 4 == 3))
            observation = following
    table = TransitionTable(1_024, 2, 1, ("steps",))
    dtypes = (np.float32, np.float32, np.float32, bool, np.float32, np.float32, np.int32, bool)
    columns = zip(*rows, strict=True)
    table.add(Columns(*(np.array(column, dtype) for column, dtype in zip(columns, dtypes, strict=True))))
    config = EnsembleConfig(members=3, width=32, depth=1, layer_norm=False, reward_width=32, reward_depth=1)
    model = Ensemble(2, 1, ("steps",), config, key=jax.random.key(0), reward_function=earned)
    quick = FitConfig(batch=128, chunk=300, most=600, learning_rate=5e-3, held_out_rows=256)
    return fit(model, table, key=jax.random.key(1), config=quick)[0], env


def test_a_learned_model_foresees_its_world_and_knows_where_it_does_not() -> None:
    model, env = learned()
    shadow = Gate("shadow", Limits(), model, env.codec, policy=stay, horizon=10, samples=64)
    observation, coasting = at(0.5, -0.5), double_integrator()
    for action in (at(-2.0), at(0.0), at(1.0)):
        decision = shadow.decide(observation, action, key=KEY)
        now, total = jnp.asarray(observation)[None], 0.0
        for step in range(10):
            encoded = jnp.asarray(action / 2 if step == 0 else at(0.0))[None]
            total += float(coasting.reward(now, encoded)[0])
            now = coasting.truth(now, encoded)
            if step == 0:
                first = np.asarray(now[0])
        (rehearsal,) = decision.rehearsals
        assert rehearsal.known and rehearsal.interval == "conformal"
        assert rehearsal.returns.median == pytest.approx(total, rel=0.2, abs=0.2)
        assert rehearsal.next_observation == pytest.approx(first, abs=0.1)
        assert (rehearsal.next_low < first).all() and (first < rehearsal.next_high).all()
        assert rehearsal.cost == {"steps": pytest.approx(10.0, rel=0.01)} and rehearsal.ends == 0.0
    far = shadow.decide(at(60.0, -40.0), at(0.0), key=KEY)
    near = shadow.decide(at(0.0, 0.0), at(0.0), key=KEY)
    assert far.rehearsals[0].confidence < near.rehearsals[0].confidence
    assert [breach.kind for breach in far.breaches] == ["unknown"] and near.breaches == ()
    assert far.reasons[0].startswith("does not know: confidence 0.")
