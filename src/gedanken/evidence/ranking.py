"""Does the model rank policies as the world does? Agreement over a panel of policies, each score with its interval.

The interval is a bias-corrected bootstrap over *policies*: the panel is a sample of the policies one might have asked
about. With `resample="policies+episodes"` the episodes of each drawn policy are drawn anew as well, so that the
noise of its mean return, real or imagined, is in the interval too. Below `FEWEST` policies no correlation is printed
and no score has an interval: with four policies, every order of four has a good chance to be a lucky one.

Noise in the real returns lowers every score, a perfect model's too. Where each policy has several real episodes,
`reliability` says how much of the spread of the real means is no noise, and the correlations are also given as they
would be without it (Spearman's correction for attenuation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import scipy.special
from numpy.typing import ArrayLike, NDArray

from gedanken.errors import ConfigError
from gedanken.evidence.agreement import Floats, kendall, mmrv, pearson, precision_at, regret_at, spearman
from gedanken.evidence.interval import MANY, Interval

FEWEST = 5
"""Policies below which a correlation is not printed."""
_CELLS = 2_000_000
"""Numbers held at a time while resampling."""
_NOISE = 0.2
"""A reliability below which nothing is corrected for noise: the correction would make more than it mends."""

Resample = Literal["policies", "policies+episodes"]
_Formula = Callable[..., Floats]


@dataclass(frozen=True)
class LeftOut:
    """A score with one policy left out, for each policy: the range, and who matters most.

    Attributes:
        low, high: the least and the highest of these scores.
        policy: whose absence changes the score most, None where nobody's does; `without`: the score then.
    """

    low: float
    high: float
    policy: str | None
    without: float


@dataclass(frozen=True)
class Score:
    """One measure of agreement. `left_out` is None where too few policies are left."""

    name: str
    value: Interval
    left_out: LeftOut | None


@dataclass(frozen=True)
class Ranking:
    """The answer.

    Attributes:
        policies: the panel.
        resampled: what the intervals draw anew: `policies`, or `policies+episodes`.
        scores: `pearson`, `spearman`, `kendall` (tau-b); `mmrv` and `mmrv_ties_to_better`, in units of the return;
            `regret@k` (share of the difference of best and worst) and `precision@k`.
        reliability: the share of the variance of the real means that is not their noise.
        pearson_without_noise, spearman_without_noise: what the correlations would be were the real returns exact.
    """

    policies: tuple[str, ...]
    resampled: Resample
    scores: tuple[Score, ...]
    reliability: Interval
    pearson_without_noise: Interval
    spearman_without_noise: Interval

    def __getitem__(self, name: str) -> Interval:
        """A score's value by its name."""
        for score in self.scores:
            if score.name == name:
                return score.value
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name, the scores by theirs."""
        plain = asdict(self)
        return {**plain, "scores": {score.pop("name"): score for score in plain["scores"]}}


class _Panel(NamedTuple):
    """[P] mean returns and the episodes behind them."""

    real: Floats
    imagined: Floats
    real_episodes: list[Floats]
    imagined_episodes: list[Floats]


def rank(
    *,
    real: Sequence[ArrayLike],
    imagined: Sequence[ArrayLike],
    policies: Sequence[str] | None = None,
    tops: Sequence[int] = (1, 3),
    resample: Resample = "policies",
    confidence: float = 0.95,
    resamples: int = 1_999,
    seed: int,
) -> Ranking:
    """Compares the order of P policies in the model with their order in the world.

    Args:
        real: a return, or the returns of its episodes [N], for each policy.
        imagined: the same from the model, in the same order.
        policies: their names; by default "0", "1", ...
        tops: the k of regret@k and precision@k; those that are no smaller than P are left out.
        resample: what the intervals draw anew. Episodes can be drawn where each policy has two real ones or more.
        confidence, resamples, seed: of the bootstrap.

    Returns:
        Scores that are missing, with the reason, where a return is not finite, all real returns are equal, or there
        are too few policies.

    Raises:
        ConfigError: the lengths differ, or an argument is out of its range.
    """
    world, model = ([np.atleast_1d(np.asarray(each, np.float64)) for each in side] for side in (real, imagined))
    names = tuple(policies) if policies is not None else tuple(str(number) for number in range(len(world)))
    _check(world, model, names, tops, resample, confidence)
    formulas = _formulas([k for k in tops if k < len(names)])
    why = _unfit(world, model, names)
    if why:
        none = Interval.missing(why, count=len(names))
        scores = tuple(Score(name, none, None) for name in formulas)
        return Ranking(names, resample, scores, none, none, none)
    panel = _Panel(np.array([e.mean() for e in world]), np.array([e.mean() for e in model]), world, model)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(names), (resamples, len(names)))
    if resample == "policies":
        redrawn = panel.real[drawn], panel.imagined[drawn]
    else:
        redrawn = _redraw(panel.real_episodes, drawn, rng), _redraw(panel.imagined_episodes, drawn, rng)
    scores = tuple(_score(name, formula, panel, redrawn, names, confidence) for name, formula in formulas.items())
    return Ranking(names, resample, scores, *_without_noise(panel, drawn, confidence))


def _formulas(tops: Sequence[int]) -> dict[str, _Formula]:
    return {
        "pearson": pearson,
        "spearman": spearman,
        "kendall": kendall,
        "mmrv": mmrv,
        "mmrv_ties_to_better": partial(mmrv, ties="to_better"),
        **{f"regret@{k}": partial(regret_at, k) for k in tops},
        **{f"precision@{k}": partial(precision_at, k) for k in tops},
    }


_CORRELATIONS = ("pearson", "spearman", "kendall")


def _score(
    name: str,
    formula: _Formula,
    panel: _Panel,
    redrawn: tuple[Floats, Floats],
    names: tuple[str, ...],
    confidence: float,
) -> Score:
    count, few = len(names), f"fewer than {FEWEST} policies"
    if count < FEWEST and name in _CORRELATIONS:
        return Score(name, Interval.missing(f"{few}: a correlation of {count} says nothing", count=count), None)
    value = float(formula(real=panel.real, imagined=panel.imagined))
    if not math.isfinite(value):
        return Score(name, Interval.missing("the imagined returns are all equal", count=count), None)
    if count < FEWEST:
        return Score(name, Interval(value, None, None, count, confidence, reason=few), None)
    step = max(1, _CELLS // count**2)
    chunks = range(0, len(redrawn[0]), step)
    found = [formula(real=redrawn[0][at : at + step], imagined=redrawn[1][at : at + step]) for at in chunks]
    interval = _bias_corrected(value, np.concatenate(found), count, confidence)
    return Score(name, interval, _left_out(formula, panel, value, names) if count > FEWEST else None)


def _left_out(formula: _Formula, panel: _Panel, value: float, names: tuple[str, ...]) -> LeftOut | None:
    count = len(names)
    others = np.array([np.delete(np.arange(count), gone) for gone in range(count)])
    scores = formula(real=panel.real[others], imagined=panel.imagined[others])
    if not np.isfinite(scores).all():
        return None  # without some policy, all others are equal
    change = np.abs(scores - value)
    gone = int(change.argmax())
    who = names[gone] if change[gone] > 1e-12 * max(1.0, abs(value)) else None
    return LeftOut(float(scores.min()), float(scores.max()), who, float(scores[gone]))


def _bias_corrected(value: float, drawn: Floats, count: int, confidence: float) -> Interval:
    """Efron's bias-corrected percentiles: they allow for resamples that lie to one side of the estimate."""
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < 0.9 * len(drawn):
        return Interval(value, None, None, count, confidence, reason="it hangs on too few of the policies")
    # What equals the estimate up to rounding counts half for each side.
    near = 1e-12 * max(1.0, abs(value))
    below = 0.5 * float((defined < value - near).mean() + (defined <= value + near).mean())
    edge = 1.0 / (len(defined) + 1)
    bias = float(scipy.special.ndtri(np.clip(below, edge, 1.0 - edge)))
    tails = scipy.special.ndtri([(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    low, high = (float(end) for end in np.quantile(defined, scipy.special.ndtr(2.0 * bias + tails)))
    low, high = min(low, value), max(high, value)
    if high - low <= near:
        why = f"nearly all resamples of these {count} policies give this value"
        return Interval(value, None, None, count, confidence, reason=why)
    return Interval(value, low, high, count, confidence, "bias-corrected bootstrap")


def _redraw(episodes: Sequence[Floats], drawn: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """[B, P] means of episodes drawn anew, independently for each time a policy was drawn."""
    means = np.empty(drawn.shape)
    for policy, returns in enumerate(episodes):
        here = drawn == policy
        times, count = int(here.sum()), len(returns)
        if count > MANY:  # its mean is Gaussian in every digit that is printed
            means[here] = returns.mean() + returns.std() / math.sqrt(count) * rng.normal(size=times)
        else:
            means[here] = returns[rng.integers(0, count, (times, count))].mean(1)
    return means


def _without_noise(panel: _Panel, drawn: NDArray[np.int64], confidence: float) -> tuple[Interval, Interval, Interval]:
    """The reliability of the real means, and Pearson's and Spearman's correlation corrected for it."""
    count, fewest = len(panel.real), min(len(returns) for returns in panel.real_episodes)
    if count < FEWEST or fewest < 2:
        why = f"fewer than {FEWEST} policies" if count < FEWEST else "a policy has a single real return"
        none = Interval.missing(why, count=count)
        return none, none, none
    noise = np.array([returns.var(ddof=1) / len(returns) for returns in panel.real_episodes])

    def reliable(chosen: NDArray[np.int64]) -> Floats:
        total = panel.real[chosen].var(-1, ddof=1)
        share = 1.0 - noise[chosen].mean(-1) / np.where(total > 0.0, total, 1.0)
        return np.where(total > 0.0, np.clip(share, 0.0, 1.0), np.nan)

    everyone = np.arange(count)
    of_all, of_drawn = float(reliable(everyone)), reliable(drawn)
    reliability = _bias_corrected(of_all, of_drawn, count, confidence)
    if of_all < _NOISE:
        none = Interval.missing(f"only {of_all:.0%} of the spread of the real returns is no noise", count=count)
        return reliability, none, none
    corrected = []
    for formula in (pearson, spearman):
        value = float(formula(real=panel.real, imagined=panel.imagined))
        if not math.isfinite(value):
            corrected.append(Interval.missing("the imagined returns are all equal", count=count))
            continue
        among = formula(real=panel.real[drawn], imagined=panel.imagined[drawn])
        # Nothing is divided by a reliability that happened to come out near 0.
        scaled = among / np.sqrt(np.maximum(of_drawn, _NOISE))
        corrected.append(_within_one(_bias_corrected(value / math.sqrt(of_all), scaled, count, confidence)))
    return reliability, corrected[0], corrected[1]


def _within_one(correlation: Interval) -> Interval:
    """A corrected correlation can pass 1; what it is cut to is still the nearest that can be."""
    mean, low, high = (
        None if end is None else float(np.clip(end, -1.0, 1.0))
        for end in (correlation.mean, correlation.low, correlation.high)
    )
    if low is not None and low == high:
        why = "the noise explains more than what is missing to a perfect correlation"
        return replace(correlation, mean=mean, low=None, high=None, method="none", reason=why)
    return replace(correlation, mean=mean, low=low, high=high)


def _unfit(world: Sequence[Floats], model: Sequence[Floats], names: tuple[str, ...]) -> str:
    """Why nothing can be ranked; empty where it can."""
    if len(names) < 2:
        return "an order needs two policies or more"
    for side, returns in (("real", world), ("imagined", model)):
        unfit = [name for name, each in zip(names, returns, strict=True) if not np.isfinite(each).all()]
        if unfit:
            return f"{side} returns are not finite: of {', '.join(unfit[:3])}{' and others' if len(unfit) > 3 else ''}"
    means = np.array([returns.mean() for returns in world])
    if np.ptp(means) <= 1e-12 * max(1.0, float(np.abs(means).max())):
        return "the real returns are all equal, so there is no order"
    return ""


def _check(
    world: Sequence[Floats],
    model: Sequence[Floats],
    names: tuple[str, ...],
    tops: Sequence[int],
    resample: str,
    confidence: float,
) -> None:
    if not len(world) == len(model) == len(names):
        raise ConfigError(
            "Each policy needs its real and its imagined returns.",
            given=f"{len(world)} real, {len(model)} imagined, {len(names)} names",
            expected="as many of each, in the same order",
        )
    for name, *both in zip(names, world, model, strict=True):
        if any(returns.ndim != 1 or len(returns) == 0 for returns in both):
            raise ConfigError(
                "A policy's returns must be a number or a flat list of numbers, not empty.",
                given=f"arrays of shape {' and '.join(str(returns.shape) for returns in both)} for {name!r}",
                expected="[N] with N of 1 or more",
            )
    if len(set(names)) < len(names):
        raise ConfigError("A policy is named twice.", given=", ".join(names))
    if any(k < 1 for k in tops):
        raise ConfigError("Nobody is among the top 0.", given=tops, expected="whole numbers from 1")
    if resample not in ("policies", "policies+episodes"):
        raise ConfigError("Nothing else can be drawn anew.", given=resample, expected=" or ".join(get_args(Resample)))
    if resample == "policies+episodes" and (few := [n for n, e in zip(names, world, strict=True) if len(e) < 2]):
        raise ConfigError(
            "Episodes can only be drawn anew where there are some.",
            given=f"a single real return of {', '.join(few[:3])}",
            expected="two or more of each policy",
            do='pass resample="policies".',
        )
    if not 0.0 < confidence < 1.0:
        raise ConfigError("A confidence is a probability.", given=confidence, expected="a number between 0 and 1")
