"""The gate between an agent and its world: what the model foresees of an action decides what becomes of it.

Modes, from cautious to bold:

- `off`: the model is not asked.
- `shadow`: the proposed action is rehearsed and recorded, and always applied. It shows what the gate would be worth.
- `advise`: the proposed action and its alternatives are rehearsed, and the agent chooses among them.
- `gate`: an action that is predicted to break a limit, or that the model does not know, is blocked. The safest
  admissible alternative is applied, else the fallback, else nothing: a human is asked.
- `substitute`: as `gate` for what reaches the world; and `answer` spares the world where the model is sure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, get_args

import equinox as eqx
import jax
import numpy as np

from gedanken.dreams.rollout import Policy
from gedanken.errors import ConfigError, GedankenError
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Provenance, Transition
from gedanken.intermediary.decisions import Decision, DecisionLog, Mode, Settlement
from gedanken.intermediary.limits import Breach, Limits
from gedanken.intermediary.rehearse import Rehearsal, check_plan, encoded_action, encoded_observation, rehearse
from gedanken.models.contract import Imagined, State, VectorModel

__all__ = ["Answer", "Gate", "GateRefused", "GatedPolicy", "Limits", "Mode", "best_known", "gated_policy"]

Choose = Callable[[Sequence[Rehearsal]], int]
"""The rehearsals, the proposed action's first -> which of them to act on."""
Refusal = Callable[[Decision], Any]
"""What was refused and why -> the raw action to take instead."""


class GateRefused(GedankenError):
    """The gate let no action through, and a human has to say what to do. `decision` holds what it foresaw."""

    exit_code = 8

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        super().__init__(
            "The gate let no action through.",
            given="; ".join(decision.reasons),
            do="look at the rehearsals in `.decision`, then act by hand, give alternatives, or set `on_refusal`.",
        )


class Answer(NamedTuple):
    """One step answered by the model in the world's place.

    imagined: the whole answer, for a batch of one. transition: the same as a transition whose provenance is the model;
    it costs nothing real.
    """

    imagined: Imagined
    transition: Transition


def best_known(rehearsals: Sequence[Rehearsal]) -> int:
    """The best median return among those that the model knows; the first, proposed one where it knows none."""
    known = [index for index, rehearsal in enumerate(rehearsals) if rehearsal.known]
    return max(known, key=lambda index: (rehearsals[index].returns.median, -index), default=0)


@dataclass(frozen=True, eq=False)
class Gate:
    """Decides what becomes of proposed actions. Immutable: after a new fit, `dataclasses.replace(gate, model=...)`.

    Raises:
        ConfigError: a setting is out of range, or does not fit the model or the spaces.
    """

    mode: Mode
    limits: Limits
    model: VectorModel | None
    """whom to ask; may be None in mode `off` only"""
    codec: Codec
    """the spaces of the world"""
    policy: Policy | None = None
    """who acts after the rehearsed action, see `rehearse`; None: the action is repeated"""
    on_refusal: Any = "ask"
    """where no candidate is admissible: "ask" raises `GateRefused`; a callable gets the decision and answers with a raw
    action; anything else is the raw action to take"""
    choose: Choose = best_known
    """the agent's choice in mode `advise`"""
    horizon: int = 20
    """steps of a rehearsal"""
    samples: int = 64
    """imagined episodes for each candidate"""
    discount: float = 1.0
    """of imagined rewards"""
    model_id: str | None = field(init=False)

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ConfigError("This is no mode of a gate.", given=repr(self.mode), expected=", ".join(get_args(Mode)))
        self.limits.check_size(self.codec.observation_size)
        if self.model is not None:
            check_plan(self.model, self.codec, horizon=self.horizon, samples=self.samples, discount=self.discount)
        elif self.mode != "off":
            raise ConfigError(f"A gate in mode {self.mode!r} needs a model.", given="none")
        if self.mode == "substitute" and self.limits.least_confidence is None:
            raise ConfigError(
                "A gate that answers for the world needs to know when the model is sure.",
                given="Limits.least_confidence=None",
                do="set it, such as 0.9.",
            )
        if not callable(self.on_refusal) and not _asks(self.on_refusal):
            encoded_action(self.codec, self.on_refusal)
        # A hash over every parameter: taken once, not at every decision.
        object.__setattr__(self, "model_id", None if self.model is None else self.model.id)

    def decide(self, observation: Any, proposed: Any, *, alternatives: Sequence[Any] = (), key: jax.Array) -> Decision:
        """What becomes of the proposed raw action; `applied` of the answer is what to do.

        Args:
            observation: what the world shows now, raw.
            proposed: the agent's action, raw.
            alternatives: raw actions to fall back on, or to choose from.
            key: all randomness comes from it; the same key decides the same.

        Raises:
            GateRefused: no candidate is admissible, and `on_refusal` is "ask".
            ConfigError: an action or the observation is not what the spaces hold, or `choose` chose none of them.
        """
        began = time.perf_counter()
        rehearsals: list[Rehearsal] = []
        if self.mode != "off":
            assert self.model is not None  # checked when the gate was made
            rehearsals = rehearse(
                self.model,
                observation,
                [proposed, *alternatives],
                codec=self.codec,
                policy=self.policy,
                horizon=self.horizon,
                samples=self.samples,
                key=key,
                discount=self.discount,
                least_confidence=self.limits.least_confidence or 0.0,
            )
        breaches = [self.limits.breaches(rehearsal) for rehearsal in rehearsals]
        decision = Decision(
            mode=self.mode,
            observation=observation,
            proposed=proposed,
            applied=proposed,
            by="agent",
            index=0 if rehearsals else None,
            reasons=tuple(str(breach) for breach in breaches[0]) if rehearsals else (),
            breaches=breaches[0] if rehearsals else (),
            rehearsals=tuple(rehearsals),
            limits=self.limits,
            horizon=self.horizon,
            discount=self.discount,
            key=tuple(np.asarray(jax.random.key_data(key)).reshape(-1).tolist()),
            model_id=self.model_id,
            milliseconds=0.0,
        )
        if self.mode == "advise":
            decision = self._advised(decision)
        elif self.mode in ("gate", "substitute") and decision.breaches:
            decision = self._blocked(decision, breaches)
        decision = replace(decision, milliseconds=1e3 * (time.perf_counter() - began))
        return self._refused(decision) if decision.by == "nobody" else decision

    def settle(
        self,
        decision: Decision,
        next_observation: Any,
        reward: float | None,
        *,
        terminated: bool = False,
        truncated: bool = False,
        cost: Mapping[str, int] | None = None,
    ) -> Decision:
        """The decision with what really came of it.

        Args:
            decision: of this gate.
            next_observation: what the world showed after the applied action, raw.
            reward, cost: of that step; None where they are not known.
            terminated, truncated: whether the episode ended with it.
        """
        real = self.codec.encode_observations(next_observation)
        error, inside = None, None
        if decision.index is not None:
            foreseen = decision.rehearsals[decision.index]
            error = real - foreseen.next_observation
            if np.isfinite([foreseen.next_low, foreseen.next_high]).all():
                inside = float(((real >= foreseen.next_low) & (real <= foreseen.next_high)).mean())
        came = Settlement(
            reward=None if reward is None else float(reward),
            terminated=bool(terminated),
            truncated=bool(truncated),
            cost=None if cost is None else dict(cost),
            broken=decision.limits.broken_by(real),
            error=error,
            inside=inside,
        )
        return replace(decision, settlement=came)

    def answer(self, observation: Any, action: Any, *, key: jax.Array) -> Answer | None:
        """The model's answer in the world's place where it is sure enough, else None: ask the world.

        Raises:
            ConfigError: the gate's mode is not `substitute`, or an argument is not what the spaces hold.
        """
        if self.mode != "substitute":
            raise ConfigError("This gate may not answer for the world.", given=self.mode, expected="mode 'substitute'")
        assert self.model is not None  # checked when the gate was made
        vectors = encoded_observation(self.codec, observation), encoded_action(self.codec, action)
        imagined: Imagined = jax.device_get(_imagined(self.model, *vectors, key))
        least = self.limits.least_confidence
        sure = least is not None and imagined.confidence[0] >= least
        if not sure or not np.isfinite(imagined.state.observation).all() or not np.isfinite(imagined.reward[0]):
            return None
        transition = Transition(
            observation=observation,
            action=action,
            reward=float(imagined.reward[0]),
            terminated=bool(imagined.terminated[0]),
            truncated=False,
            next_observation=self.codec.decode_observation(imagined.state.observation[0]),
            provenance=Provenance("model", self.model_id),
        )
        return Answer(imagined, transition)

    def _advised(self, decision: Decision) -> Decision:
        rehearsals = decision.rehearsals
        index = self.choose(rehearsals)
        if not isinstance(index, int | np.integer) or not 0 <= index < len(rehearsals):
            expected = f"0 to {len(rehearsals) - 1}"
            raise ConfigError("The agent chose none of the candidates.", given=repr(index), expected=expected)
        reason = f"chose candidate {index} of {len(rehearsals)}: {rehearsals[index]}"
        if index == 0:
            return replace(decision, reasons=(*decision.reasons, reason)) if len(rehearsals) > 1 else decision
        return replace(
            decision,
            applied=rehearsals[index].action,
            by="advice",
            index=int(index),
            reasons=(*decision.reasons, f"{reason}; candidate 0, the proposed one: {rehearsals[0]}"),
        )

    def _blocked(self, decision: Decision, breaches: Sequence[tuple[Breach, ...]]) -> Decision:
        admissible = [index for index, found in enumerate(breaches) if not found]
        if admissible:
            best = min(admissible, key=lambda index: _danger(self.limits, decision.rehearsals[index]))
            chosen = decision.rehearsals[best]
            reason = f"applied alternative {best} of {len(breaches) - 1} instead: {chosen}"
            return replace(
                decision, applied=chosen.action, by="alternative", index=best, reasons=(*decision.reasons, reason)
            )
        refusals = [f"alternative {index}: {found[0]}" for index, found in enumerate(breaches) if index]
        return replace(decision, applied=None, by="nobody", index=None, reasons=(*decision.reasons, *refusals))

    def _refused(self, decision: Decision) -> Decision:
        if _asks(self.on_refusal):
            raise GateRefused(replace(decision, reasons=(*decision.reasons, "nobody acts: a human is asked")))
        action = self.on_refusal(decision) if callable(self.on_refusal) else self.on_refusal
        encoded_action(self.codec, action)
        reason = "applied the fallback, which was not rehearsed"
        return replace(decision, applied=action, by="fallback", reasons=(*decision.reasons, reason))


class GatedPolicy:
    """A policy behind a gate, to be given to `gedanken.worlds.act.act` as `policy=`, and its `settle` as `on_step=`.

    Attributes:
        gate: may be exchanged between two calls, after a new fit.
        decision: the latest.
    """

    def __init__(
        self,
        gate: Gate,
        policy: Callable[[Any, int], Any],
        key: jax.Array,
        log: DecisionLog | None = None,
        alternatives: Callable[[Any], Sequence[Any]] | None = None,
    ) -> None:
        self.gate = gate
        self.decision: Decision | None = None
        self._policy, self._key, self._log, self._alternatives = policy, key, log, alternatives
        self._number, self._episode = 0, -1
        self._logged: int | None = None

    def __call__(self, observation: Any, step_index: int) -> Any:
        """The action to apply; with its log-probability if the policy gives one and its own action is applied.

        Raises:
            GateRefused: no action was let through, and a human is asked; the decision is in the log.
        """
        answer = self._policy(observation, step_index)
        proposed = answer[0] if isinstance(answer, tuple) else answer
        if step_index == 0 or self._episode < 0:
            self._episode = self._log.begin_episode() if self._log is not None else self._episode + 1
        offers = self._alternatives if self.gate.mode in ("advise", "gate", "substitute") else None
        others = () if offers is None else offers(observation)
        key = jax.random.fold_in(self._key, self._number)
        self._number += 1
        try:
            decision = self.gate.decide(observation, proposed, alternatives=others, key=key)
        except GateRefused as refused:
            self._take(refused.decision, step_index)
            raise
        self._take(decision, step_index)
        if decision.by == "agent":
            return answer
        # What the policy would have drawn this other action with is not known.
        return (decision.applied, None) if isinstance(answer, tuple) else decision.applied

    def settle(self, transition: Transition) -> None:
        """Notes what came of the latest decision; give it to `act` as `on_step=`."""
        if self.decision is None or self.decision.settlement is not None:
            return
        self.decision = self.gate.settle(
            self.decision,
            transition.next_observation,
            transition.reward,
            terminated=transition.terminated,
            truncated=transition.truncated,
            cost=transition.cost,
        )
        if self._log is not None and self._logged is not None:
            assert self.decision.settlement is not None
            self._log.settle(self._logged, self.decision.settlement)

    def _take(self, decision: Decision, step_index: int) -> None:
        self.decision = replace(decision, episode=self._episode, step=step_index)
        self._logged = None if self._log is None else self._log.append(self.decision)


def gated_policy(
    gate: Gate,
    policy: Callable[[Any, int], Any],
    key: jax.Array,
    log: DecisionLog | None = None,
    *,
    alternatives: Callable[[Any], Sequence[Any]] | None = None,
) -> GatedPolicy:
    """Puts a gate before a policy.

    Args:
        gate: decides.
        policy: (raw observation, step index) -> raw action, or (raw action, its log-probability).
        key: decision n is made with the key folded with n.
        log: where decisions and what came of them are written.
        alternatives: raw observation -> raw actions that may be applied instead; asked in `advise` and bolder modes.
    """
    return GatedPolicy(gate, policy, key, log, alternatives)


@eqx.filter_jit
def _imagined(model: VectorModel, observation: Any, action: Any, key: jax.Array) -> Imagined:
    return model.step(State(observation[None]), action[None], key)


def _danger(limits: Limits, rehearsal: Rehearsal) -> tuple[float, float]:
    """What makes one admissible action safer than another: less risk, to the percent; then the better bad case."""
    return round(max(rehearsal.ends, limits.risk(rehearsal)), 2), -rehearsal.returns.low


def _asks(on_refusal: Any) -> bool:
    return isinstance(on_refusal, str) and on_refusal == "ask"
