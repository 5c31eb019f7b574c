"""Whom to deploy without a model, or by the model alone: the ways that a race with both has to beat.

`uniform` and `sequential_halving` spend real episodes on K policies: `pay(k)` pays for one of policy k and returns its
return. `model_only` spends none.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

Pay = Callable[[int], float]


def uniform(pay: Pay, policies: int, episodes: int, rng: np.random.Generator) -> int:
    """One episode each in turn, in a random order, as far as they go; the best mean wins.

    Args:
        pay: pays for one real episode.
        policies: how many, K.
        episodes: to spend; 1 or more.
        rng: for the order.
    """
    order = [int(policy) for policy in rng.permutation(policies)]
    returns: dict[int, list[float]] = {}
    for policy in itertools.islice(itertools.cycle(order), episodes):
        returns.setdefault(policy, []).append(pay(policy))
    return _best(returns)


def sequential_halving(pay: Pay, policies: int, episodes: int, rng: np.random.Generator) -> int:
    """Rounds of equal budget; after each the worse half drops out (Karnin, Koren & Somekh, 2013).

    All returns of a policy count, not only those of the last round. With too few episodes to give every policy one in
    the first round and still hold the others, it begins with as many policies, drawn at random, as it can afford.
    Arguments as in `uniform`.
    """
    entrants = max(count for count in range(1, policies + 1) if sum(_rounds(count)) <= max(episodes, 1))
    rounds = _rounds(entrants)
    left = [int(policy) for policy in rng.permutation(policies)[:entrants]]
    returns: dict[int, list[float]] = {policy: [] for policy in left}
    spent = 0
    for number, size in enumerate(rounds):
        later = sum(rounds[number + 1 :])
        even = episodes // (len(rounds) * size) if later else episodes
        each = min(max(even, 1), (episodes - spent - later) // size)
        for policy in left:
            returns[policy] += [pay(policy) for _ in range(each)]
        spent += each * size
        left = sorted(left, key=lambda policy: -float(np.mean(returns[policy])))[: (size + 1) // 2]
    return _best({policy: returns[policy] for policy in left})


def model_only(imagined: ArrayLike, rng: np.random.Generator) -> int:
    """The model's favourite, drawn at random among equals; of all where it values none.

    Args:
        imagined: [K] the model's values; NaN where it has none.
        rng: for ties.
    """
    values = np.asarray(imagined, np.float64)
    known = values[np.isfinite(values)]
    return int(rng.choice(np.flatnonzero(values == known.max()) if len(known) else len(values)))


def _rounds(entrants: int) -> list[int]:
    """How many are in each round: 20, 10, 5, 3, 2."""
    sizes = [entrants]
    while sizes[-1] > 2:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes


def _best(returns: dict[int, list[float]]) -> int:
    return max(returns, key=lambda policy: float(np.mean(returns[policy])))
