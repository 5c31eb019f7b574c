"""Who should have the next real episode? A race of K policies in which the model may speak, and every second time not.

Each real episode goes where it is expected to better the final choice most, for each episode it takes (knowledge
gradient over batches: Frazier & Powell, 2010), by what `belief` makes of the model's values and the real returns so
far. A good model thus leaves a short list to race; a useless one is soon told by the returns not to matter.

A model can be right about nearly all policies and wrong about the best one. Every second episode is therefore given as
though there were no model, so that the race never falls far behind one without a model and half the budget.

Before the real returns have a scale, the model's favourite goes first, then the middle of its list, which shows
whether its order holds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.special
from numpy.typing import ArrayLike

from gedanken.evidence.allocation import Pay
from gedanken.evidence.belief import Belief, Floats, Tally, believe, standardise

_BATCHES = 6
_TINY = float(np.finfo(np.float64).tiny)


class Proposal(NamedTuple):
    """Who should have the next real episode, why, and what that is expected to gain (None: not known)."""

    policy: int
    reason: str
    gain: float | None


class Race:
    """K policies, the model's values of them, and the real returns so far.

    Args:
        imagined: [K] the model's values, in any unit; NaN where it has none.
        rng: for the order of policies between which nothing else decides.

    Attributes:
        hint: [K] the values, standardised. tally: the real returns.
    """

    def __init__(self, imagined: ArrayLike, rng: np.random.Generator) -> None:
        self.hint = standardise(imagined)
        self.tally = Tally(len(self.hint))
        self._silent = np.full(len(self.hint), np.nan)
        self._order = rng.permutation(len(self.hint))
        self._episodes = 0

    def recall(self, policy: int, value: float) -> None:
        """A real return that is on record already."""
        self.tally.add(policy, value)

    def add(self, policy: int, value: float) -> None:
        """The real return of an episode of this race."""
        self.tally.add(policy, value)
        self._episodes += 1

    def believe(self) -> Belief | None:
        """What is known of the policies; None while real returns have no scale."""
        return believe(self.tally, self.hint)

    def choose(self, belief: Belief | None) -> int:
        """Whom to deploy: the model's favourite while the real returns have no scale."""
        return belief.best if belief is not None else self.by_hint()[0]

    def by_hint(self) -> list[int]:
        """The policies in the model's order; those it does not know are in the middle."""
        values = np.nan_to_num(self.hint[self._order])
        return [int(policy) for policy in self._order[np.argsort(-values, kind="stable")]]

    def propose(self, *, left: int) -> Proposal:
        """Who should have the next real episode, with `left` of them to spend."""
        silent = self._episodes % 2 == 1
        belief = believe(self.tally, self._silent if silent else self.hint)
        if belief is None or len(self.hint) == 1:
            return self._opening()
        gain = worth(belief, left)[self._order]
        if not gain.any():
            rival = int(np.argsort(-belief.mean)[1])
            return Proposal(rival, "nothing is expected to change the choice any more; it is the nearest rival", 0.0)
        policy = int(self._order[gain.argmax()])
        place = int((belief.mean > belief.mean[policy]).sum()) + 1
        if policy == belief.best:
            reason = "it leads, and a bad return would change the choice"
        elif self.tally.count[policy] == 0:
            reason = "it has no real return yet, and may be the best"
        else:
            reason = f"it is in place {place}, and a good return would change the choice"
        source = "leaving the model aside" if silent else "by the model and the real returns"
        return Proposal(policy, f"{source}, {reason}", float(gain.max()))

    def _opening(self) -> Proposal:
        order, tally = self.by_hint(), self.tally
        if tally.total == 0:
            return Proposal(order[0], "it is the model's favourite, and nothing is known for real", None)
        middle = order[len(order) // 2]
        if tally.total == tally.count[order[0]] and tally.count[middle] == 0:
            return Proposal(middle, "it is the middle of the model's list, which shows whether its order holds", None)
        fewest = int(tally.count.min())
        policy = next(policy for policy in order if tally.count[policy] == fewest)
        reason = "real returns tell no two policies apart yet; of those tried least, it is the model's favourite"
        return Proposal(policy, reason, None)


def worth(belief: Belief, left: int) -> Floats:
    """[K] what an episode of each policy is expected to add to the value of the choice.

    A single return may be too noisy to change the choice where five would: for each policy, the number of episodes up
    to `left` counts for which the gain an episode is largest.
    """
    order = np.sort(belief.mean)
    rival = np.where(np.arange(len(order)) == belief.best, order[-2], order[-1])
    batches = np.unique(np.round(np.geomspace(1, max(left, 1), _BATCHES)))[:, None]
    # How far the mean of the belief is likely to move by so many returns.
    move = belief.variance / np.sqrt(np.maximum(belief.variance + belief.noise / batches, _TINY))
    behind = np.minimum(np.abs(belief.mean - rival) / np.maximum(move, _TINY), 1e3)
    density = np.exp(-0.5 * behind**2) / math.sqrt(2.0 * math.pi)
    gain: Floats = (move * (density - behind * scipy.special.ndtr(-behind)) / batches).max(0)
    return np.maximum(gain, 0.0)


def race(pay: Pay, imagined: ArrayLike, episodes: int, rng: np.random.Generator) -> tuple[int, Belief | None]:
    """Spends real episodes and names the policy to deploy, with the belief behind it. Arguments as in `uniform`."""
    running = Race(imagined, rng)
    for left in range(episodes, 0, -1):
        policy = running.propose(left=left).policy
        running.add(policy, pay(policy))
    belief = running.believe()
    return running.choose(belief), belief
