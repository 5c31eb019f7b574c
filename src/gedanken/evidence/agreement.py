"""The formulas behind ranking: how well imagined values of P policies agree with their real ones.

Every function takes `real` and `imagined` by name alone, as arrays [..., P], and answers [...], so that thousands of
resamples are one call. NaN is where a score is not defined. Ties are never broken by the order of the policies: what
depends on a tied choice is the average over all ways to make it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.special
import scipy.stats
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ties = Literal["to_worse", "to_better"]
"""Against which of two really different policies the model's tie counts; see `mmrv`."""


def pearson(*, real: ArrayLike, imagined: ArrayLike) -> Floats:
    """Pearson's correlation: is the relation a straight line?"""
    world, model = _both(real, imagined)
    return _cosine(_centred(world), _centred(model))


def spearman(*, real: ArrayLike, imagined: ArrayLike) -> Floats:
    """Spearman's rank correlation, tied values sharing their mean rank."""
    world, model = _both(real, imagined)
    return pearson(real=scipy.stats.rankdata(world, axis=-1), imagined=scipy.stats.rankdata(model, axis=-1))


def kendall(*, real: ArrayLike, imagined: ArrayLike) -> Floats:
    """Kendall's tau-b: pairs in the same order minus pairs in the other, over pairs that are not tied."""
    world, model = (np.sign(_differences(values)) for values in _both(real, imagined))
    return _cosine(world.reshape(*world.shape[:-2], -1), model.reshape(*model.shape[:-2], -1))


def mmrv(*, real: ArrayLike, imagined: ArrayLike, ties: Ties = "to_worse") -> Floats:
    """Mean maximum rank violation, in units of the real return; 0 is perfect (SIMPLER, arXiv 2405.05941).

    For each policy the largest real difference to a policy that the model puts on the wrong side of it; the mean over
    policies. The two conventions differ where the model ties two policies that the world does not: `to_worse` compares
    with `<`, as the formula is printed, and counts the tie for the worse policy; `to_better` compares with `>`, as the
    authors' program does, and counts it for the better one.
    """
    world, model = (_differences(values) for values in _both(real, imagined))
    violated = (model < 0.0) != (world < 0.0) if ties == "to_worse" else (model > 0.0) != (world > 0.0)
    worst: Floats = np.where(violated, np.abs(world), 0.0).max(-1)
    return np.asarray(worst.mean(-1))


def regret_at(k: int, *, real: ArrayLike, imagined: ArrayLike) -> Floats:
    """What is lost by trying only the model's k favourites, over the difference of best and worst; 0 is perfect."""
    world, model = _both(real, imagined)
    order = np.argsort(-world, axis=-1, kind="stable")
    best_first, sure, tied, open_places = np.take_along_axis(world, order, -1), *_favourites(model, order, k)
    # The probability that none of the first i in the world's order is among the favourites, for i = 1..P.
    missed = ~np.logical_or.accumulate(sure, -1) * _none_of(tied, open_places)
    before = np.concatenate([np.ones_like(missed[..., :1]), missed[..., :-1]], -1)
    found = (best_first * (before - missed)).sum(-1)
    spread = best_first[..., 0] - best_first[..., -1]
    return np.asarray(_over(best_first[..., 0] - found, spread))


def precision_at(k: int, *, real: ArrayLike, imagined: ArrayLike) -> Floats:
    """Which share of the model's k favourites is among the world's best k; policies as good as the k-th count."""
    world, model = _both(real, imagined)
    order = np.broadcast_to(np.arange(world.shape[-1]), world.shape)
    sure, tied, open_places = _favourites(model, order, k)
    chosen = sure + tied * (open_places / tied.sum(-1, keepdims=True))
    good = world >= np.sort(world, axis=-1)[..., -k, None]
    return np.asarray((chosen * good).sum(-1) / k)


def _favourites(
    model: Floats, order: NDArray[np.int64], k: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """In a given order: who is among the k favourites, who ties for their last places [..., P], how many these are."""
    cut = np.sort(model, axis=-1)[..., -k, None]
    ordered = np.take_along_axis(model, order, -1)
    sure = ordered > cut
    return sure, ordered == cut, k - sure.sum(-1, keepdims=True)


def _none_of(tied: NDArray[np.bool_], places: NDArray[np.int64]) -> Floats:
    """[..., P] the probability that none of the first i tied ones is drawn, when `places` of all tied ones are."""
    all_tied, seen = tied.sum(-1, keepdims=True), tied.cumsum(-1)
    return np.asarray(scipy.special.comb(all_tied - seen, places) / scipy.special.comb(all_tied, places))


def _both(real: ArrayLike, imagined: ArrayLike) -> tuple[Floats, Floats]:
    world, model = np.asarray(real, np.float64), np.asarray(imagined, np.float64)
    return np.broadcast_arrays(world, model)  # type: ignore[return-value]


def _centred(values: Floats) -> Floats:
    """Minus the mean, in a unit that keeps squares finite; exactly 0 where all values are equal up to rounding."""
    largest = np.abs(values).max(-1, keepdims=True)
    unit = np.where(largest > 0.0, largest, 1.0)
    scaled = values / unit
    level = np.ptp(scaled, axis=-1, keepdims=True) <= 1e-12
    centred: Floats = np.where(level, 0.0, scaled - scaled.mean(-1, keepdims=True))
    return centred


def _differences(values: Floats) -> Floats:
    """[..., P] -> [..., P, P]: the i-th minus the j-th."""
    difference: Floats = values[..., :, None] - values[..., None, :]
    return difference


def _cosine(one: Floats, other: Floats) -> Floats:
    cosine = _over((one * other).sum(-1), np.sqrt((one * one).sum(-1) * (other * other).sum(-1)))
    return np.clip(cosine, -1.0, 1.0)  # rounding can pass 1


def _over(part: Floats, whole: Floats) -> Floats:
    """A quotient; NaN where it is not defined."""
    defined = whole > 0.0
    return np.where(defined, part / np.where(defined, whole, 1.0), np.nan)
