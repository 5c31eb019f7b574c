"""What do few real returns and a model's values together say about each of K policies?

The values v of the policies are taken for draws from one population, of which the model may know something:

    v_k = m + s (r z_k + sqrt(1 - r^2) e_k)     if the model's value of policy k is worth what its values are worth
    v_k = m + s e_k                             if it is worth nothing, which happens with probability b

z are the model's values, standardised; e is Gaussian. How well the model knows the world (r, from opposed to nearly
perfect), how often it is wrong altogether (b), and where the population lies (m, s) are not known: they are summed
over, each weighted by how well it explains the real returns. So a model is believed as far as the real returns bear
it out, in any unit, and a policy it slanders or flatters can still be found out. Nothing is random here but `draw`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_CORRELATIONS = ((-0.9, 0.01), (-0.5, 0.01), (0.0, 0.196), (0.4, 0.196), (0.7, 0.196), (0.9, 0.196), (0.97, 0.196))
"""r and how probable it is beforehand. An opposed model is rare; were it less so, one bad surprise would send the next
episodes to the model's last choices."""
_BROKEN = (0.2, 0.9)
"""b, both equally probable: a model with some blind spots, and one whose values are worth next to nothing."""
_SPREADS = np.geomspace(0.15, 2.5, 5)
"""s, in standard deviations of all real returns."""
_CENTRES = np.linspace(-2.0, 2.0, 5)
"""m, in its standard errors around its estimate."""
_NOISE_SHARE, _NOISE_WEIGHT, _OWN_WEIGHT = 0.5, 1.0, 4.0
"""Half of the variance of all real returns is taken for noise until policies were repeated, which outweighs it soon.
A policy's own noise counts from about four repetitions of it."""
_FAR = 3.0


class Tally:
    """The real returns of K policies: how many of each, their mean and their spread.

    Attributes:
        count, mean, squares: [K]; squares are summed around the policy's mean.
        total, total_squares: the count of all returns, and their squares around the mean of all.
    """

    def __init__(self, policies: int) -> None:
        self.count, self.mean, self.squares = np.zeros(policies, np.int64), np.zeros(policies), np.zeros(policies)
        self.total, self.total_squares = 0, 0.0
        self._mean_of_all = 0.0

    def add(self, policy: int, value: float) -> None:
        """One more real return of a policy (Welford's way, which loses no digits)."""
        self.count[policy] += 1
        away = value - self.mean[policy]
        self.mean[policy] += away / self.count[policy]
        self.squares[policy] += away * (value - self.mean[policy])
        self.total += 1
        away = value - self._mean_of_all
        self._mean_of_all += away / self.total
        self.total_squares += away * (value - self._mean_of_all)

    @property
    def spread(self) -> float:
        """The standard deviation of all real returns; 0 where they do not differ."""
        if self.total < 2:
            return 0.0
        spread = math.sqrt(max(self.total_squares, 0.0) / (self.total - 1))
        return spread if spread > 1e-12 * max(1.0, abs(self._mean_of_all)) else 0.0


class Mixture(NamedTuple):
    """The belief in full, over the C cases that are not ruled out.

    weight: [C]; correlation: [C], r; broken: [C], b; in_vain: [C, K] the probability that the model's value is worth
    nothing; mean, variance: [2, C, K] of v where it is worth something, and where not.
    """

    weight: Floats
    correlation: Floats
    broken: Floats
    in_vain: Floats
    mean: Floats
    variance: Floats


@dataclass(frozen=True)
class Belief:
    """What is believed of the values of K policies.

    Attributes:
        mean, variance: [K].
        noise: [K] the variance of one real return of each policy.
        mixture: the whole of it.
    """

    mean: Floats
    variance: Floats
    noise: Floats
    mixture: Mixture

    @property
    def best(self) -> int:
        """The policy with the highest expected value."""
        return int(self.mean.argmax())

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """[count, K] values that the policies might have."""
        of, policies = self.mixture, np.arange(len(self.mean))
        case = rng.choice(len(of.weight), count, p=of.weight)
        vain = (rng.random((count, len(policies))) < of.in_vain[case]).astype(np.int64)
        mean, variance = of.mean[vain, case[:, None], policies], of.variance[vain, case[:, None], policies]
        drawn: Floats = mean + np.sqrt(variance) * rng.normal(size=mean.shape)
        return drawn


def standardise(imagined: ArrayLike) -> Floats:
    """[K] values from a model -> mean 0 and standard deviation 1, NaN where there is no value.

    Values far from the middle are drawn in first, so that one that blew up does not make all others equal.
    """
    values = np.asarray(imagined, np.float64)
    known = np.isfinite(values)
    scaled = np.where(known, 0.0, np.nan)
    if not known.any():
        return scaled
    away = values[known] - np.median(values[known])
    unit = 1.4826 * float(np.median(np.abs(away))) or float(away.std())
    if unit <= 1e-12 * max(1.0, float(np.abs(values[known]).max())):
        return scaled
    drawn_in = np.clip(away / unit, -_FAR, _FAR)
    scaled[known] = (drawn_in - drawn_in.mean()) / drawn_in.std()
    return scaled


def believe(tally: Tally, hint: Floats) -> Belief | None:
    """What the real returns and the model say about every policy.

    Args:
        tally: the real returns.
        hint: [K] the model's values, standardised; NaN where there is none.

    Returns:
        None while the real returns tell nothing of their scale: of fewer than two policies, or all equal.
    """
    paid = np.flatnonzero(tally.count)
    unit = tally.spread
    if len(paid) < 2 or unit == 0.0:
        return None
    noise = _noise(tally, unit)
    observed, error = tally.mean[paid], noise[paid] / tally.count[paid]
    known = np.isfinite(hint)
    z = np.where(known, hint, 0.0)

    cases = itertools.product(_CORRELATIONS, unit * _SPREADS, _BROKEN)
    correlation, prior, spread, broken = np.array([(r, p, s, b) for (r, p), s, b in cases]).T[:, :, None]
    trusted = correlation * spread  # how far v moves with z
    rest = np.where(known, spread**2 * (1.0 - correlation**2), spread**2)

    # Around its estimate in each case, m is summed over as well: its prior is flat.
    precision = 1.0 / (spread**2 * (1.0 - (1.0 - broken) * correlation**2) + error)
    centre = (precision * (observed - (1.0 - broken) * trusted * z[paid])).sum(1) / precision.sum(1)
    width = 1.0 / np.sqrt(precision.sum(1))
    middle = (centre[:, None] + width[:, None] * _CENTRES).reshape(-1, 1)
    log_prior = np.repeat(np.log(prior[:, 0] * width), len(_CENTRES))
    correlation, broken, trusted, spread, rest = (
        np.repeat(each, len(_CENTRES), axis=0) for each in (correlation, broken, trusted, spread, rest)
    )
    mean = np.stack([middle + trusted * z, np.broadcast_to(middle, (len(middle), len(z)))])
    variance = np.stack([rest, np.broadcast_to(spread**2, rest.shape)])

    # How well each case, and in it each of the two ways to see a policy, explains what was paid for.
    seen = variance[:, :, paid] + error
    log_seen = -0.5 * (np.log(seen) + (observed - mean[:, :, paid]) ** 2 / seen)
    worth, vain = log_seen[0] + np.log1p(-broken), log_seen[1] + np.log(broken)
    either = np.logaddexp(worth, vain)
    log_weight = either.sum(1) + log_prior
    weight = np.exp(log_weight - log_weight.max())
    likely = weight > 1e-4 * weight.sum()
    weight = weight[likely] / weight[likely].sum()

    mean, variance, broken = mean[:, likely], variance[:, likely], broken[likely]
    in_vain = np.repeat(broken, len(z), axis=1)
    in_vain[:, paid] = np.exp(vain - either)[likely]
    gain = variance[:, :, paid] / (variance[:, :, paid] + error)
    mean[:, :, paid] += gain * (observed - mean[:, :, paid])
    variance[:, :, paid] *= 1.0 - gain
    shares = np.stack([1.0 - in_vain, in_vain])
    first = weight @ (shares * mean).sum(0)
    second = weight @ (shares * (variance + (mean - first) ** 2)).sum(0)
    mixture = Mixture(weight, correlation[likely, 0], broken[:, 0], in_vain, mean, variance)
    return Belief(first, second, noise, mixture)


def _noise(tally: Tally, unit: float) -> Floats:
    """[K] the variance of one real return: of all policies together, and more and more of its own."""
    repeated = np.maximum(tally.count - 1, 0)
    guess = _NOISE_WEIGHT * _NOISE_SHARE * unit**2
    common = (tally.squares.sum() + guess) / (repeated.sum() + _NOISE_WEIGHT)
    noise: Floats = (tally.squares + _OWN_WEIGHT * common) / (repeated + _OWN_WEIGHT)
    return noise
