"""Claim: the interval of a policy's value holds as often as it says, at 5 real episodes as at 50, whatever the model.

A study draws n real returns, their imagined partners and 1,000 other imagined returns, and asks for a 90 % interval.
Over many studies, for each distribution of returns and each kind of model: how often the true mean lies inside, how
wide the interval is, and how many real episodes it takes for one as wide as real returns alone would give (below 1, the
model saves episodes). Where the model says nothing, `abstained` is the share of studies without an interval; they count
as held, and widths are over the others. Sequences are looked at after every real episode; they hold if they never miss.

    python -m benchmarks.evidence_coverage
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.stats
import tyro
from numpy.typing import NDArray

from benchmarks.results import Figure, Results
from gedanken.evidence.betting import Bets, betting
from gedanken.evidence.interval import Interval
from gedanken.evidence.sequential import narrow_enough
from gedanken.evidence.tuned import tuned_t

Floats = NDArray[np.float64]
Draw = Callable[[tuple[int, ...]], Floats]
CONFIDENCE = 0.9


@dataclass(frozen=True)
class Config:
    """How much of everything."""

    studies: int = 1_000
    """Simulated studies a cell."""
    episodes: tuple[int, ...] = (5, 10, 20, 50)
    """Real episodes of a study."""
    imagined: int = 1_000
    """Imagined episodes besides the pairs."""
    sequences: int = 300
    """Sequences of real episodes that are looked at all the time."""
    longest: int = 60
    """Real episodes of a sequence."""
    seed: int = 0


class Returns(NamedTuple):
    """A distribution of real returns, its true mean and deviation, and what they cannot leave."""

    draw: Draw
    mean: float
    deviation: float
    bounds: tuple[float, float] | None = None


def distributions(rng: np.random.Generator) -> dict[str, Returns]:
    """What returns of real policies look like."""

    def gaussian(shape: tuple[int, ...]) -> Floats:
        return rng.normal(500.0, 100.0, shape)

    def two_humps(shape: tuple[int, ...]) -> Floats:
        return np.where(rng.random(shape) < 0.5, rng.normal(200.0, 40.0, shape), rng.normal(440.0, 40.0, shape))

    def skewed(shape: tuple[int, ...]) -> Floats:
        return -50.0 - 70.0 * rng.gamma(2.0, size=shape)

    def falls(shape: tuple[int, ...]) -> Floats:
        return np.where(rng.random(shape) < 0.1, rng.uniform(50.0, 500.0, shape), rng.uniform(990.0, 1000.0, shape))

    def success(shape: tuple[int, ...]) -> Floats:
        return (rng.random(shape) < 0.7).astype(np.float64)

    spread_of_falls = float(np.sqrt(0.1 * (275.0**2 + 450.0**2 / 12) + 0.9 * (995.0**2 + 100 / 12) - 923.0**2))
    return {
        "gaussian": Returns(gaussian, 500.0, 100.0),
        "two humps": Returns(two_humps, 320.0, float(np.hypot(120.0, 40.0))),
        "skewed": Returns(skewed, -190.0, float(70.0 * np.sqrt(2.0))),
        "1000, one in ten falls early": Returns(falls, 923.0, spread_of_falls, (0.0, 1000.0)),
        "success 0.7": Returns(success, 0.7, float(np.sqrt(0.21)), (0.0, 1.0)),
    }


def models(returns: Returns, rng: np.random.Generator) -> dict[str, Callable[[Floats], Floats]]:
    """Kinds of models: real returns -> their imagined partners."""
    mean, deviation = returns.mean, returns.deviation
    worst_third = float(np.quantile(returns.draw((100_000,)), 0.3))

    def good(real: Floats) -> Floats:
        # Foresees four episodes of five, or explains the return up to noise; correlation 0.8 either way.
        if returns.bounds is not None:
            return np.where(rng.random(real.shape) < 0.8, real, returns.draw(real.shape))
        return 0.8 * real + 0.6 * deviation * rng.standard_normal(real.shape)

    return {
        "good": good,
        "useless": lambda real: 2.0 * returns.draw(real.shape) + deviation,
        # Promises three deviations too much, and the more the worse the episode.
        "biased": lambda real: (
            mean + 3.0 * deviation - (real - mean) + 0.75 * deviation * rng.standard_normal(real.shape)
        ),
        # Sees no difference among the worst third of episodes.
        "blind to failure": lambda real: (
            np.maximum(real, worst_third) + deviation * (1.0 + 0.1 * rng.standard_normal(real.shape))
        ),
        # As the good one, but one imagined rollout in a hundred explodes.
        "exploding": lambda real: np.where(rng.random(real.shape) < 0.01, -1e4 * deviation, good(real)),
    }


# --- One cell -------------------------------------------------------------------------------------------------------


class Ends(NamedTuple):
    """[S] ends of the intervals, NaN where there is none."""

    low: Floats
    high: Floats


def student(real: Floats) -> Ends:
    """From the real returns alone; none where all are equal."""
    count = real.shape[1]
    deviation = real.std(1, ddof=1)
    deviation = np.where(deviation > 0.0, deviation, np.nan)
    half = scipy.stats.t.ppf(0.5 + CONFIDENCE / 2.0, count - 1) * deviation / np.sqrt(count)
    return Ends(real.mean(1) - half, real.mean(1) + half)


def asymptotic(real: Floats, imagined: Floats, more: Floats) -> Ends:
    """PPI++ as its authors give it: plug-in weight, normal quantile."""
    pairs, others = real.shape[1], more.shape[1]
    y, f = real - real.mean(1, keepdims=True), imagined - imagined.mean(1, keepdims=True)
    spread = np.concatenate([imagined, more], 1).var(1)
    weight = (y * f).mean(1) / np.where(spread > 0.0, spread, 1.0) / (1.0 + pairs / others)
    centre = real.mean(1) - weight * (imagined.mean(1) - more.mean(1))
    error = (y - weight[:, None] * f).var(1) / pairs + weight**2 * more.var(1) / others
    half = scipy.stats.norm.ppf(0.5 + CONFIDENCE / 2.0) * np.sqrt(error)
    return Ends(centre - half, centre + half)


def ours(real: Floats, imagined: Floats, more: Floats) -> Ends:
    """With the small-sample weight and quantile."""
    found = tuned_t(real=real, imagined=imagined, more_imagined=more, confidence=CONFIDENCE)
    return Ends(found.low, found.high)


def bets(real: Floats, imagined: Floats | None, more: Floats | None, bounds: tuple[float, float]) -> Ends:
    """By betting, with the model or without."""
    low, width = bounds[0], bounds[1] - bounds[0]

    def scaled(values: Floats) -> Floats:
        return np.clip((values - low) / width, 0.0, 1.0)

    if imagined is None or more is None:
        found = betting(Bets(scaled(real)), confidence=CONFIDENCE)
    else:
        each = more.shape[1] // real.shape[1]
        shares = scaled(more[:, : each * real.shape[1]]).reshape(*real.shape, each).mean(2)
        found = betting(Bets(scaled(real), scaled(imagined), shares), confidence=CONFIDENCE)
    return Ends(low + width * found[0], low + width * found[1])


def methods(
    real: Floats, imagined: Floats, more: Floats, bounds: tuple[float, float] | None
) -> Iterator[tuple[str, Ends, float]]:
    """What each method answers, and the seconds it took."""
    asked: dict[str, Callable[[], Ends]] = {
        "real only, Student's t": lambda: student(real),
        "ppi-t": lambda: ours(real, imagined, more),
        "ppi++ (asymptotic)": lambda: asymptotic(real, imagined, more),
    }
    if bounds is not None:
        asked["real only, betting"] = lambda: bets(real, None, None, bounds)
        asked["ppi-betting"] = lambda: bets(real, imagined, more, bounds)
    for name, ask in asked.items():
        start = time.perf_counter()
        yield name, ask(), time.perf_counter() - start


def mean_width(ends: Ends) -> float:
    """Over the studies that have an interval."""
    return float(np.nanmean(ends.high - ends.low))


class Alone:
    """How wide intervals from real returns alone are, by their count: what `needed` compares with."""

    def __init__(self, returns: Returns, studies: int) -> None:
        self.counts = np.unique(np.geomspace(3, 400, 26).astype(int))
        draws = [returns.draw((studies, int(count))) for count in self.counts]
        self.student = np.array([mean_width(student(real)) for real in draws])
        self.betting: Floats | None = None
        if returns.bounds is not None:
            few = max(studies // 10, 20)
            self.betting = np.array([mean_width(bets(real[:few], None, None, returns.bounds)) for real in draws])

    def count_for(self, width: float, *, by_betting: bool) -> float:
        """Real episodes that the real returns alone need for this mean width; NaN outside of what was drawn."""
        widths = self.betting if by_betting else self.student
        assert widths is not None
        falling = np.minimum.accumulate(np.log(widths))[::-1]
        found = np.interp(np.log(width), falling, np.log(self.counts[::-1]), left=np.nan, right=np.nan)
        return float(np.exp(found))


def measure(config: Config, results: Results) -> None:
    """All cells."""
    rng = np.random.default_rng(config.seed)
    for name, returns in distributions(rng).items():
        alone = Alone(returns, config.studies)
        for kind, model in models(returns, rng).items():
            figures: dict[str, list[Figure]] = {}
            for count in config.episodes:
                real, others = returns.draw((config.studies, count)), returns.draw((config.studies, config.imagined))
                for method, ends, seconds in methods(real, model(real), model(others), returns.bounds):
                    none = np.isnan(ends.low)
                    held = (ends.low <= returns.mean) & (returns.mean <= ends.high)
                    width = mean_width(ends)
                    found = {
                        "coverage": float((held | none).mean()),
                        "abstained": float(none.mean()),
                        "width": width / returns.deviation,
                        "needed": count / alone.count_for(width, by_betting="betting" in method),
                    }
                    figures.setdefault(method, []).extend(shown(f"{name}, {kind} model", method, count, found, seconds))
            for method, measured in figures.items():
                world = f"{name}, {kind} model"
                results.put(claim="value_coverage", world=world, method=method, seed=config.seed, figures=measured)


def shown(world: str, method: str, paid: int, found: dict[str, float], seconds: float) -> list[Figure]:
    """Prints what is finite, and makes figures of it."""
    finite = {metric: value for metric, value in found.items() if np.isfinite(value)}
    print(
        f"{world}, n={paid}, {method}: { ({metric: round(value, 3) for metric, value in finite.items()}) }", flush=True
    )
    return [Figure(paid, metric, value, seconds) for metric, value in finite.items()]


# --- Sequences ------------------------------------------------------------------------------------------------------


def sequences(config: Config, results: Results) -> None:
    """Normal returns, looked at after every real episode until a 90 % sequence is a deviation wide."""
    rng = np.random.default_rng(config.seed + 1)
    returns = distributions(rng)["gaussian"]
    kinds = models(returns, rng)
    silent: dict[str, Callable[[Floats], Floats]] = {"no": np.zeros_like}
    for kind, model in {**silent, **{kind: kinds[kind] for kind in ("good", "useless", "biased")}}.items():
        start = time.perf_counter()
        held, stops = [], []
        for _ in range(config.sequences):
            real = returns.draw((config.longest,))
            imagined, shares = model(real), model(returns.draw((config.longest, 20)))
            looks = [
                narrow_enough(
                    real=real[:n],
                    imagined=imagined[:n],
                    more_imagined=shares[:n],
                    width=returns.deviation,
                    confidence=CONFIDENCE,
                )
                for n in range(1, config.longest + 1)
            ]
            held.append(not any(misses(look.interval, returns.mean) for look in looks))
            stops.append(next((n for n, look in enumerate(looks, 1) if look.stop), config.longest))
        found = {"coverage": float(np.mean(held)), "stopped_after": float(np.median(stops))}
        took, world = time.perf_counter() - start, f"gaussian, {kind} model"
        figures = shown(world, "ppi-anytime-t", config.longest, found, took)
        results.put(claim="value_sequence", world=world, method="ppi-anytime-t", seed=config.seed, figures=figures)


def misses(interval: Interval, mean: float) -> bool:
    """Whether it was stated and does not hold the mean."""
    return interval.low is not None and interval.high is not None and not interval.low <= mean <= interval.high


def main() -> None:
    config = tyro.cli(Config, description=__doc__)
    results = Results("evidence")
    measure(config, results)
    sequences(config, results)


if __name__ == "__main__":
    main()
