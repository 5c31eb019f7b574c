"""A campaign of programs as a policy sees it: the same numbers whether it is imagined or real."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gedanken.models.attempts.features import TASK_FEATURES
from gedanken.models.attempts.heads import VERDICTS
from gedanken.worlds.ml_engineering.metrics import Kind
from gedanken.worlds.ml_engineering.moves import MOVES, possible
from gedanken.worlds.ml_engineering.pipelines import MODELS
from gedanken.worlds.parameters import Design

_FARTHEST = 100.0
"""Task features are clipped to it, so that observations are bounded."""
_MANY = 5
"""Programs of one model, from which on more look the same."""
_LONGEST_LOG = 25.0
_SIZES = (len(TASK_FEATURES), 1, len(MODELS), 1, len(VERDICTS), 1, len(MODELS), len(MOVES))
OBSERVED = sum(_SIZES)
"""How many numbers `observed` gives; the last `len(MOVES)` say which moves are possible."""


class Ended(NamedTuple):
    """A program of a campaign. verdict: of `VERDICTS`; None while it runs. skill: None without an answer."""

    design: Design | None
    verdict: str | None
    skill: float | None
    duration_ms: float


def bounds() -> tuple[np.ndarray, np.ndarray]:
    """[OBSERVED] float32 each: between which all observations lie."""
    low, high = np.zeros(OBSERVED, np.float32), np.ones(OBSERVED, np.float32)
    low[: len(TASK_FEATURES)], high[: len(TASK_FEATURES)] = -_FARTHEST, _FARTHEST
    high[sum(_SIZES[:5])] = _LONGEST_LOG
    return low, high


def observed(task: np.ndarray, tried: Sequence[Ended], *, left: float) -> np.ndarray:
    """[OBSERVED] float32: a campaign as a policy sees it, imagined or real.

    In this order: the task's features; the share of the time that is left; how many programs of each model were tried,
    in fifths and at most 1; the best skill so far; the last verdict, one-hot (nothing before the first); the logarithm
    of the last duration in milliseconds; whether each sensible program was tried; which moves are possible.

    Args:
        task: [T], see `models.attempts.features.task_features`.
        tried: the programs so far, those that still run as well.
        left: from 0 to 1.
    """
    kind, counts = kind_of(task), np.zeros(len(MODELS))
    for one in tried:
        if one.design is not None:
            counts[MODELS.index(str(one.design["model"]))] += 1
    ended = next((one for one in reversed(tried) if one.verdict is not None), None)
    last = [ended is not None and ended.verdict == verdict for verdict in VERDICTS]
    duration = 0.0 if ended is None else min(math.log1p(ended.duration_ms), _LONGEST_LOG)
    can = possible(kind, tried)
    parts = (
        np.clip(task, -_FARTHEST, _FARTHEST),
        [min(max(left, 0.0), 1.0)],
        np.minimum(counts / _MANY, 1.0),
        [best_skill(tried)],
        last,
        [duration],
        ~can[: len(MODELS)],
        can,
    )
    return np.concatenate([np.asarray(part, np.float32) for part in parts])


def mask_of(observation: np.ndarray) -> np.ndarray:
    """[OBSERVED] or [B, OBSERVED] -> [K] or [B, K] int8: which moves are possible there."""
    mask: np.ndarray = (observation[..., -len(MOVES) :] > 0.5).astype(np.int8)
    return mask


def best_skill(tried: Sequence[Ended]) -> float:
    """The best skill so far; 0, of knowing nothing, before the first and where all are worse than that."""
    return max((min(one.skill, 1.0) for one in tried if one.skill is not None and one.skill > 0.0), default=0.0)


def kind_of(task: np.ndarray) -> Kind:
    """A task's kind, by its [T] features."""
    told = dict(zip(TASK_FEATURES, task, strict=True))
    if told["regression"]:
        return "regression"
    return "binary" if told["log_classes"] < math.log(2.5) else "multiclass"
