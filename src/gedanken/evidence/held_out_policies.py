"""Do conformal intervals hold for policies that were not there when they were calibrated? And where not, say so.

A model is used to judge policies that nobody has run yet, so holding out episodes of the *same* policies flatters it.
Here every policy is held out in turn: intervals are calibrated on the recorded episodes of the others, and tested on
its own. They are calibrated in two ways, by what counts as one exchangeable unit:

- `episode`: the usual way. What it says holds for a fresh episode of the same mixture of policies, and promises nothing
  for another policy.
- `policy`: hierarchical conformal prediction with the policy as the unit (Lee, Barber & Willett 2023). It holds on
  average over policies drawn like these, is wider, and needs level / (1 - level) policies: nine for 90 %. With fewer
  it abstains.

Realised coverage is told beside the nominal, over policies and for each of them. Where its whole interval lies below
the nominal level the intervals fail, and must not be relied on: `fails` says so, and `advice` in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import NDArray

from gedanken.errors import ConfigError
from gedanken.evidence.interval import Interval, mean_with_interval, over_episodes
from gedanken.evidence.judge import Floats
from gedanken.evidence.one_step import LEVELS, forecast_steps
from gedanken.evidence.recorded import recorded_steps, scale_of
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode
from gedanken.models.calibration import fit_calibration
from gedanken.models.contract import VectorModel

Unit = Literal["episode", "policy"]
UNITS: tuple[Unit, ...] = ("episode", "policy")
_SHARE = (0.0, 1.0)


@dataclass(frozen=True)
class PolicyCoverage:
    """How intervals calibrated on the other policies did on this one.

    Attributes:
        policy: its id; episodes: how many it has.
        covered: share of steps and dimensions inside, with an interval over its episodes.
        fails: whether that whole interval lies below the nominal level; `None` without an interval.
    """

    policy: str
    episodes: int
    covered: Interval
    fails: bool | None


@dataclass(frozen=True)
class LevelCoverage:
    """One unit and one nominal level.

    Attributes:
        unit: what the calibration took for exchangeable. level: the nominal coverage.
        covered: mean realised coverage over held-out policies, each of the same weight, with an interval over policies.
        width: mean width of the intervals, in standard deviations of the data.
        abstains: there were too few policies (or episodes) to state this level at all.
        fails: whether the whole interval of `covered` lies below the level; `None` without one.
        policies: one entry a held-out policy.
    """

    unit: Unit
    level: float
    covered: Interval
    width: Interval
    abstains: bool
    fails: bool | None
    policies: tuple[PolicyCoverage, ...]


@dataclass(frozen=True)
class HeldOutPolicies:
    """The answer: one entry a unit and level. `advice` says in words where the intervals must not be relied on."""

    policies: int
    episodes: int
    steps: int
    levels: tuple[LevelCoverage, ...]
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def conformal_on_held_out_policies(
    model: VectorModel,
    episodes: Sequence[Episode],
    codec: Codec,
    *,
    key: jax.Array,
    seed: int,
    steps_per_episode: int = 200,
    confidence: float = 0.95,
) -> HeldOutPolicies:
    """Holds out every policy in turn; `Episode.header.policy` says whose an episode is.

    Args:
        model: any numeric world model; it is not fitted anew, so best none of these episodes were in its training.
        episodes: recorded ones of several policies.
        codec: how observations and actions become vectors.
        key: for what the model draws.
        seed: picks steps of long episodes and drives the bootstrap.
        steps_per_episode: at most this many steps an episode.
        confidence: of the intervals around realised coverage.

    Raises:
        ConfigError: `steps_per_episode` is below 1.
    """
    if steps_per_episode < 1:
        raise ConfigError("At least one step an episode is needed.", given=steps_per_episode, expected=">= 1")
    told = [episode for episode in episodes if len(episode)]
    names, policy_of = np.unique([episode.header.policy for episode in told], return_inverse=True)
    scale = scale_of(told, codec)
    if len(names) < 2 or not scale.moves.any():
        why = "no observation ever changed" if len(names) > 1 else "the episodes are of fewer than two policies"
        return _nothing(why, len(names), len(told))
    steps = recorded_steps(told, codec, at_most=steps_per_episode, seed=seed)
    forecast = forecast_steps(model, steps, key)
    std = scale.std[scale.moves].astype(np.float64)

    def units(values: Any) -> Floats:
        scaled: Floats = np.asarray(values, np.float64)[:, scale.moves] / std
        return scaled

    data = _Data(
        error=units(steps.next_observation) - units(forecast.mean),
        spread=units(forecast.spread),
        noise=units(forecast.noise),
        episode=steps.episode,
        policy=policy_of.astype(np.int64)[steps.episode],
    )
    if not all(np.isfinite(each).all() for each in (data.error, data.spread, data.noise)):
        return _nothing("the model's forecast is not finite", len(names), len(told))
    levels = tuple(_tested(data, unit, names.tolist(), confidence=confidence, seed=seed) for unit in UNITS)
    found = tuple(level for of_unit in levels for level in of_unit)
    return HeldOutPolicies(len(names), len(told), len(steps), found, _advice(found))


@dataclass(frozen=True)
class _Data:
    """N steps: error, spread (of the members' means) and noise [N, D]; episode and policy [N]."""

    error: Floats
    spread: Floats
    noise: Floats
    episode: NDArray[np.int64]
    policy: NDArray[np.int64]


def _tested(data: _Data, unit: Unit, names: list[str], *, confidence: float, seed: int) -> list[LevelCoverage]:
    total = np.sqrt(np.square(data.spread) + np.square(data.noise))
    exchangeable = data.episode if unit == "episode" else data.policy
    per_policy: list[list[PolicyCoverage]] = [[] for _ in LEVELS]
    widths: list[list[float]] = [[] for _ in LEVELS]
    for number, name in enumerate(names):
        test = data.policy == number
        calibration = fit_calibration(
            error=data.error[~test],
            epistemic=data.spread[~test],
            aleatoric=data.noise[~test],
            change=np.ones(data.error.shape[1]),
            episode=exchangeable[~test],
        )
        for index, factor in enumerate(np.asarray(calibration.factors, np.float64)):
            half = factor * total[test]
            widths[index].append(float(2.0 * half.mean()))
            inside = (np.abs(data.error[test]) <= half).mean(-1)
            per_policy[index].append(
                _of_policy(name, inside, data.episode[test], LEVELS[index], half, confidence=confidence, seed=seed)
            )
    return [
        _level(unit, level, per_policy[index], widths[index], confidence=confidence, seed=seed)
        for index, level in enumerate(LEVELS)
    ]


def _of_policy(
    name: str,
    inside: Floats,
    episode: NDArray[np.int64],
    level: float,
    half: Floats,
    *,
    confidence: float,
    seed: int,
) -> PolicyCoverage:
    _, group = np.unique(episode, return_inverse=True)
    shares = np.bincount(group, inside) / np.bincount(group)
    if not np.isfinite(half).all():
        return PolicyCoverage(name, len(shares), Interval.missing("too few others to calibrate on"), None)
    covered = over_episodes(
        len(shares),
        lambda chosen: float(shares[chosen].mean()),
        confidence=confidence,
        seed=seed,
        bounds=_SHARE,
    )
    return PolicyCoverage(name, len(shares), covered, None if covered.high is None else covered.high < level)


def _level(
    unit: Unit, level: float, policies: list[PolicyCoverage], widths: list[float], *, confidence: float, seed: int
) -> LevelCoverage:
    known = np.array([policy.covered.mean for policy in policies if policy.covered.mean is not None])
    if len(known) < len(policies):
        needed = int(np.ceil(level / (1.0 - level) - 1e-9)) + (unit == "policy")
        none = Interval.missing(f"{level:.0%} needs {needed} policies" if unit == "policy" else "too few episodes")
        return LevelCoverage(unit, level, none, none, True, None, tuple(policies))
    covered = over_episodes(
        len(known), lambda chosen: float(known[chosen].mean()), confidence=confidence, seed=seed, bounds=_SHARE
    )
    return LevelCoverage(
        unit=unit,
        level=level,
        covered=covered,
        width=mean_with_interval(widths, confidence=confidence, seed=seed),
        abstains=False,
        fails=None if covered.high is None else covered.high < level,
        policies=tuple(policies),
    )


def _advice(levels: tuple[LevelCoverage, ...]) -> tuple[str, ...]:
    """One sentence for every level that abstains or fails, and for every policy that it fails."""
    said = []
    for level in levels:
        what = f"Intervals of {level.level:.0%} calibrated by {level.unit}"
        if level.abstains:
            said.append(f"{what} are not stated: {level.covered.reason}.")
            continue
        if level.fails:
            said.append(f"{what} do not hold on policies that were held out: {level.covered}.")
        bad = [policy for policy in level.policies if policy.fails]
        said += [f"{what} do not hold for policy {policy.policy!r}: {policy.covered}." for policy in bad]
    return tuple(said)


def _nothing(why: str, policies: int, episodes: int) -> HeldOutPolicies:
    none = Interval.missing(why, count=policies)
    levels = tuple(LevelCoverage(unit, level, none, none, True, None, ()) for unit in UNITS for level in LEVELS)
    return HeldOutPolicies(policies, episodes, 0, levels, (f"Nothing is promised for other policies: {why}.",))
