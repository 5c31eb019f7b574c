"""Policy gradients from runs whose durations differ by orders of magnitude, and credit for programs that almost ran.

After Yang et al. 2025, "Reinforcement Learning for Machine Learning Engineering Agents" (arXiv 2509.01684). Where the
runs of an action a arrive at a rate in proportion to pi(a) / d(a), with d(a) its duration, the gradient of what arrived
is biased towards short actions; each advantage times its duration over the batch's mean duration makes up for that.

Whether runs do arrive like that depends on who runs them. They do where each worker keeps to one action or task, and
runs it again and again. Where a worker draws from the policy anew whenever it is free, the share of an action among all
runs that end is pi(a) in the long run, whatever it takes (each draw ends, and makes one run). There the plain gradient
has no bias but at the beginning, and the weights bring one in, towards long actions. No weights bring back runs that
are stopped before they end. And the mean of a batch is one over few runs: where most batches hold no long run, those
that do weigh it by too little, and much of the bias stays. `benchmarks/ml_duration.py` measures all of this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from gedanken.errors import ConfigError


def duration_weights(durations: Any) -> np.ndarray:
    """Each run's duration over the mean of the batch, [B] in any unit of time -> [B] float64 with mean 1.

    Raises:
        ConfigError: there are no durations, or one is not finite and above 0.
    """
    checked = np.asarray(durations, np.float64)
    if checked.ndim != 1 or not checked.size or not (np.isfinite(checked) & (checked > 0)).all():
        raise ConfigError(
            "Runs cannot be weighed by these durations.",
            given=repr(durations)[:200],
            expected="one finite duration above 0 a run, [B]",
            do="Give a run that failed at once the time until it failed.",
        )
    # By the largest first: the mean of very large durations would not be finite.
    shares = checked / checked.max()
    weights: np.ndarray = shares / shares.mean()
    return weights


def pure_duration_weights(durations: Array) -> Array:
    """`duration_weights` for use inside compiled programs, [B] -> [B]; NaN everywhere if a duration is not valid."""
    valid = (jnp.isfinite(durations) & (durations > 0)).all()
    return jnp.where(valid, durations / durations.mean(), jnp.nan)


def advantages(rewards: Array, baseline: Array | float | None = None, weights: Array | None = None) -> Array:
    """How much better each run was than expected, [B]. Pure.

    Args:
        rewards: [B].
        baseline: what was expected, a number or [B]; by default the mean of the batch.
        weights: [B], of the runs in that mean; by default all count the same.
    """
    if baseline is None:
        baseline = rewards.mean() if weights is None else (weights * rewards).sum() / weights.sum()
    return rewards - baseline


def policy_gradient_loss(log_probabilities: Array, advantages: Array, durations: Array | None = None) -> Array:
    """The loss whose gradient is minus the policy gradient: REINFORCE (Williams 1992), duration-aware or not. Pure.

    Args:
        log_probabilities: [B], of the actions that were run, by the policy to be changed.
        advantages: [B]; no gradient flows through them.
        durations: [B], in any unit of time, to weigh the runs by; by default they count the same. NaN comes out if one
            is not finite and above 0 (`duration_weights` says so in words).
    """
    weighed = advantages if durations is None else advantages * pure_duration_weights(durations)
    return -(jax.lax.stop_gradient(weighed) * log_probabilities).mean()


class SoftmaxPolicy(eqx.Module):
    """Chooses among K actions, by a logit each, plus what F features of the task add to it.

    logits: [K]. slopes: [F, K], what a unit of each feature adds; F may be 0.
    """

    logits: Array
    slopes: Array

    @classmethod
    def uniform(cls, actions: int, features: int = 0) -> Self:
        """All actions alike.

        Raises:
            ConfigError: fewer than one action, or fewer than no features.
        """
        if actions < 1 or features < 0:
            raise ConfigError(
                "A policy chooses among actions.",
                given=f"actions={actions}, features={features}",
                expected="actions >= 1 and features >= 0",
            )
        return cls(jnp.zeros(actions), jnp.zeros((features, actions)))

    def log_probabilities(self, features: Array | None = None) -> Array:
        """Of every action: [K] without features, [B, F] -> [B, K] with them."""
        logits = self.logits if features is None else self.logits + features @ self.slopes
        return jax.nn.log_softmax(logits)

    def probabilities(self, features: Array | None = None) -> np.ndarray:
        """The same as probabilities that add up to 1 in float64, for NumPy's generators."""
        logs = np.asarray(self.log_probabilities(features), np.float64)
        each = np.exp(logs - logs.max(-1, keepdims=True))
        found: np.ndarray = each / each.sum(-1, keepdims=True)
        return found


@dataclass(frozen=True)
class PolicyGradient:
    """Changes a `SoftmaxPolicy` by batches of finished runs. Runs drawn by an earlier policy count as its own.

    Attributes:
        duration_aware: whether runs are weighed by their durations, in the gradient and in the batch's mean; which is
            right depends on how runs arrive (see above), so it has to be said.
        learning_rate: of gradient ascent, per unit of reward.
        momentum: 0 for none.
    """

    duration_aware: bool
    learning_rate: float = 0.3
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.learning_rate < math.inf and 0 <= self.momentum < 1):
            raise ConfigError(
                "This is no step of gradient ascent.",
                given=f"learning_rate={self.learning_rate}, momentum={self.momentum}",
                expected="learning_rate > 0 and 0 <= momentum < 1",
            )

    def begin(self, policy: SoftmaxPolicy) -> optax.OptState:
        """The optimiser's memory before the first update."""
        return self._optimiser().init(policy)

    def update(
        self,
        policy: SoftmaxPolicy,
        memory: optax.OptState,
        actions: Any,
        rewards: Any,
        durations: Any,
        features: Any = None,
    ) -> tuple[SoftmaxPolicy, optax.OptState]:
        """One step by a batch of B finished runs: the changed policy, and the optimiser's memory.

        Args:
            policy, memory: from `begin` or the last update.
            actions: [B] ints, below K.
            rewards: [B].
            durations: [B], in any unit of time.
            features: [B, F], of the tasks that the runs were of; None without.

        Raises:
            ConfigError: the arrays do not have a row a run, an action does not exist, a reward is not finite, or a
                duration is not finite and above 0.
        """
        chosen, earned, weights = np.asarray(actions), np.asarray(rewards, np.float64), duration_weights(durations)
        if not chosen.shape == earned.shape == weights.shape or not np.isfinite(earned).all():
            raise ConfigError(
                "These are no runs to learn from.",
                given=f"actions {chosen.shape}, rewards {earned.shape}, durations {weights.shape}",
                expected="one action, one finite reward and one duration a run, [B]",
            )
        count = policy.logits.shape[0]
        if chosen.dtype.kind not in "iu" or ((chosen < 0) | (chosen >= count)).any():
            raise ConfigError(
                "The policy has no such action.",
                given=repr(actions)[:200],
                expected=f"whole numbers from 0 to {count - 1}",
            )
        return self._step(
            policy,
            memory,
            jnp.asarray(chosen),
            jnp.asarray(earned, jnp.float32),
            jnp.asarray(weights, jnp.float32),
            None if features is None else jnp.asarray(features, jnp.float32),
        )

    def _optimiser(self) -> optax.GradientTransformation:
        return optax.sgd(self.learning_rate, momentum=self.momentum or None)

    @eqx.filter_jit
    def _step(
        self,
        policy: SoftmaxPolicy,
        memory: optax.OptState,
        actions: Array,
        rewards: Array,
        durations: Array,
        features: Array | None,
    ) -> tuple[SoftmaxPolicy, optax.OptState]:
        weighed = durations if self.duration_aware else None
        better = advantages(rewards, weights=weighed)

        def loss(policy: SoftmaxPolicy) -> Array:
            logs = jnp.broadcast_to(policy.log_probabilities(features), (len(actions), policy.logits.shape[0]))
            taken = jnp.take_along_axis(logs, actions[:, None], axis=-1)[:, 0]
            return policy_gradient_loss(taken, better, weighed)

        gradient = eqx.filter_grad(loss)(policy)
        changes, memory = self._optimiser().update(gradient, memory)
        return eqx.apply_updates(policy, changes), memory


@dataclass(frozen=True)
class PartialCredit:
    """What a program earns: something for each stage it reached if it failed, and more than that if it succeeded.

    Instrumentation (lines that a program prints once it has loaded its data, built its model, trained it, ...) says
    how far a program came. A success earns the same whichever of those lines were found in its output.

    Attributes:
        stages: how many there are.
        failure: what a program earns that reached none.
        a_stage: what each stage adds.
        success: what a program with the lowest score earns; more than one that failed after its last stage.
        score: what the highest score adds.
    """

    stages: int
    failure: float = 0.0
    a_stage: float = 0.05
    success: float = 1.0
    score: float = 1.0

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (self.failure, self.a_stage, self.success, self.score)))
        if self.stages < 0 or not finite or self.a_stage < 0 or self.score < 0:
            raise ConfigError(
                "Credit does not shrink with what a program reached.",
                given=self,
                expected="stages, a_stage and score of 0 or more, and finite rewards",
            )
        if not self.failure + self.a_stage * self.stages < self.success:
            raise ConfigError(
                "A program that fails must earn less than any that succeeds.",
                given=f"{self.failure + self.a_stage * self.stages:g} for a failure after the last stage, "
                f"{self.success:g} for a success",
                expected="failure + a_stage * stages < success",
            )

    def reward(self, reached: int, *, succeeded: bool, score: float = 0.0) -> float:
        """What one program earns.

        Args:
            reached: stages that it reached.
            succeeded: whether it did all it should.
            score: how well, from 0 to 1; of a success alone.

        Raises:
            ConfigError: there are not so many stages, or the score is outside of [0, 1].
        """
        if not 0 <= reached <= self.stages:
            raise ConfigError("There is no such stage.", given=reached, expected=f"0 to {self.stages} stages reached")
        if not 0.0 <= score <= 1.0:
            raise ConfigError(
                "This is no score.", given=score, expected="0 to 1", do="Scale it by its worst and best value."
            )
        return self.success + self.score * score if succeeded else self.failure + self.a_stage * reached
