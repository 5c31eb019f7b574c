"""What a table of returns says: who ranks the policies well, what each policy is worth, and which one to deploy.

Each question has its own file; this one only asks them, for every estimator that the table names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gedanken.errors import ConfigError
from gedanken.evidence.interval import Interval, mean_with_interval
from gedanken.evidence.prediction_powered import Bounds, prediction_powered
from gedanken.evidence.ranking import Ranking, Resample, rank
from gedanken.evidence.replays import Replay, replay
from gedanken.evidence.selection import Selection, select
from gedanken.evidence.table import REAL, ReturnTable
from gedanken.evidence.value import ValueComparison, imagined_against_real

NO_MODEL = "no model"
"""The key of what is selected where the table has real returns alone."""


@dataclass(frozen=True)
class SourceValue:
    """What one estimator says of one policy's value, beside its real returns.

    Paired where every real episode has one of the estimator that started alike; then `comparison.difference` is that
    of the pairs, and `comparison.imagined` the mean over all episodes of the estimator.

    Attributes:
        policy, source, comparison: as they are called.
        powered: the real value from the pairs and the estimator's other episodes, see `prediction_powered`.
        saved: how many real episodes that is worth besides those that were paid for; None where it is not known.
    """

    policy: str
    source: str
    comparison: ValueComparison
    powered: Interval
    saved: float | None


@dataclass(frozen=True)
class Judgement:
    """The answers, by the estimator's name where there is one each.

    Attributes:
        policies: all of them. estimators: every source but the world.
        episodes: source -> how many episodes.
        real: policy -> its mean real return.
        values: one entry a policy and estimator that has returns of it.
        rankings: over the policies that have returns from both sides. unranked: the others.
        selections: whom to deploy by all real returns and this estimator; under `no model` where there is none.
        replays: how a selection with few real episodes would have gone, where that was asked for.
    """

    policies: tuple[str, ...]
    estimators: tuple[str, ...]
    episodes: Mapping[str, int]
    real: Mapping[str, Interval]
    values: tuple[SourceValue, ...]
    rankings: Mapping[str, Ranking]
    unranked: Mapping[str, tuple[str, ...]]
    selections: Mapping[str, Selection]
    replays: Mapping[str, Replay]

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        rankings = {source: ranking.to_json() for source, ranking in self.rankings.items()}
        return {**asdict(self), "rankings": rankings}


def judge(
    table: ReturnTable,
    *,
    spend: int | None = None,
    replays: int = 200,
    resample: Resample = "policies",
    bounds: Bounds | None = None,
    confidence: float = 0.95,
    seed: int,
) -> Judgement:
    """Asks every question that returns can answer.

    Args:
        table: the returns.
        spend: replay how selections with so many real episodes would have gone.
        replays: how often.
        resample: what the intervals of a ranking draw anew, see `rank`.
        bounds: what a real return cannot leave, such as (0, 1) for success, for prediction-powered values.
        confidence: of all intervals.
        seed: of all bootstraps and replays.

    Raises:
        ConfigError: an argument is out of its range, or does not fit the table.
    """
    if spend is not None and spend < 1:
        raise ConfigError("A selection that is replayed spends episodes.", given=spend, expected="1 or more")
    policies, estimators = table.policies, table.estimators
    rankings, selections, replays_by = {}, {}, {}
    for source in estimators:
        shared = table.shared(source)
        rankings[source] = rank(
            real=[table.returns(policy, REAL) for policy in shared],
            imagined=[table.returns(policy, source) for policy in shared],
            policies=shared,
            resample=resample,
            confidence=confidence,
            seed=seed,
        )
    for source in estimators or (NO_MODEL,):
        selections[source] = _select(table, source, confidence, seed)
        if spend is not None:
            replays_by[source] = _replay(table, source, spend, replays, confidence, seed)
    return Judgement(
        policies=policies,
        estimators=estimators,
        episodes={
            source: sum(len(table.returns(policy, source)) for policy in policies) for source in (REAL, *estimators)
        },
        real={
            policy: mean_with_interval(table.returns(policy, REAL), confidence=confidence, seed=seed)
            for policy in policies
        },
        values=tuple(
            _value(table, policy, source, bounds, confidence, seed)
            for source in estimators
            for policy in policies
            if len(table.returns(policy, source))
        ),
        rankings=rankings,
        unranked={
            source: tuple(policy for policy in policies if policy not in table.shared(source)) for source in estimators
        },
        selections=selections,
        replays=replays_by,
    )


def _value(
    table: ReturnTable, policy: str, source: str, bounds: Bounds | None, confidence: float, seed: int
) -> SourceValue:
    real, imagined = table.returns(policy, REAL), table.returns(policy, source)
    pairs = table.pairs(policy, source)
    paired = 0 < len(real) == len(pairs.real)
    compared = imagined_against_real(
        real=pairs.real if paired else real,
        imagined=pairs.imagined if paired else imagined,
        paired=paired,
        seed=seed,
        confidence=confidence,
    )
    if len(imagined) > compared.imagined.count:
        compared = replace(compared, imagined=mean_with_interval(imagined, confidence=confidence, seed=seed))
    if not paired:
        why = "not every real episode has one that started alike" if len(real) else "there are no real episodes"
        return SourceValue(policy, source, compared, Interval.missing(why, count=len(real)), None)
    found = prediction_powered(**pairs._asdict(), bounds=bounds, confidence=confidence, seed=seed)
    return SourceValue(policy, source, compared, found.prediction_powered, found.saved)


def _select(table: ReturnTable, source: str, confidence: float, seed: int) -> Selection:
    """Whom to deploy by what the table holds; nothing is paid for."""
    return select(
        _nobody_pays,
        episodes=0,
        imagined=[_mean(table, policy, source) for policy in table.policies],
        policies=table.policies,
        known=[table.returns(policy, REAL) for policy in table.policies],
        confidence=confidence,
        seed=seed,
    )


def _replay(table: ReturnTable, source: str, spend: int, replays: int, confidence: float, seed: int) -> Replay:
    recorded = [policy for policy in table.policies if len(table.returns(policy, REAL))]
    return replay(
        real=[table.returns(policy, REAL) for policy in recorded],
        imagined=[_mean(table, policy, source) for policy in recorded],
        episodes=spend,
        replays=replays,
        confidence=confidence,
        seed=seed,
    )


def _mean(table: ReturnTable, policy: str, source: str) -> float:
    returns = table.returns(policy, source)
    return float(returns.mean()) if len(returns) else float(np.nan)


def _nobody_pays(policy: int) -> float:
    raise AssertionError(f"nothing was to be paid for, and policy {policy} asked for it")
