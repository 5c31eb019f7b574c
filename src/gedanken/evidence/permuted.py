"""Does the model listen to actions at all? Its error with the recorded actions, and with those of another episode.

The permuted-action control: the same starts, the same open loop, but the actions come from another episode. A model
that uses actions must get clearly worse. One that does not has learned what usually comes next, whatever is done, and
is of no use to anybody who wants to choose. (Where every episode was acted alike, as by a policy that hardly moves,
another episode's actions are no others, and the control says nothing.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from gedanken.evidence.interval import Interval
from gedanken.evidence.judge import Judge
from gedanken.evidence.open_loop import open_loop, square_error
from gedanken.evidence.recorded import scale_of
from gedanken.evidence.windows import ascending, random_windows
from gedanken.experience.codec import Codec
from gedanken.experience.transition import Episode
from gedanken.models.contract import VectorModel


@dataclass(frozen=True)
class PermutedActions:
    """The answer, one entry a horizon; intervals over episodes.

    Attributes:
        horizons: steps ahead.
        recorded, permuted: RMSE in standard deviations of the data, with the recorded and with the other actions.
        ratio: permuted over recorded; 1: the model does not listen.
        different: root mean square difference of the two actions, of which each component goes from -1 to 1 (or is a
            choice's 0 or 1); 0: there was nothing to hear.
        listens: whether the whole interval of the ratio lies above 1 at some horizon; `None` without an interval.
        starts: how many forecasts each horizon stands on: both recordings must go on for so long.
    """

    horizons: tuple[int, ...]
    recorded: tuple[Interval, ...]
    permuted: tuple[Interval, ...]
    ratio: tuple[Interval, ...]
    different: float | None
    listens: bool | None
    starts: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields by name."""
        return asdict(self)


def permuted_actions(
    model: VectorModel,
    episodes: Sequence[Episode],
    codec: Codec,
    *,
    horizons: Sequence[int] = (1, 2, 5, 10, 20, 50),
    key: jax.Array,
    seed: int,
    starts: int = 32,
    confidence: float = 0.95,
) -> PermutedActions:
    """Runs the control on recorded (best: held-out) episodes.

    Args:
        model, episodes, codec, horizons, key, seed, starts, confidence: as in `fidelity.error_by_horizon`.

    Raises:
        ConfigError: `horizons` do not ascend from 1, or `starts` is below 1.
    """
    steps = ascending(horizons)
    scale = scale_of(episodes, codec)
    windows = random_windows(episodes, codec, horizons=steps, starts=starts, seed=seed)
    donor = other_episode(windows.episode, np.random.default_rng(seed))
    if donor is None or not scale.moves.any():
        why = "fewer than two episodes have steps" if donor is None else "no observation ever changed"
        nothing = tuple(Interval.missing(why) for _ in steps)
        return PermutedActions(steps, nothing, nothing, nothing, None, None, tuple(0 for _ in steps))
    errors = []
    for action in (windows.action, windows.action[donor]):
        path = open_loop(model, windows.observation, action, horizons=steps, key=key)
        errors.append(square_error(path.observation, windows.target, scale)[0])
    both = windows.recorded & windows.recorded[donor]
    own: list[Interval] = []
    other: list[Interval] = []
    ratio: list[Interval] = []
    for h, horizon in enumerate(steps):
        valid = both[:, h]
        if not valid.any():
            none = Interval.missing(f"no two recorded episodes are {horizon} steps long")
            found = (none, none, none)
        else:
            judge = Judge.of(windows.episode[valid], confidence=confidence, seed=seed)
            right, wrong = (error[valid, h] for error in errors)
            unknown = "an error is not finite"
            found = (
                judge.mean(right, unknown, root=True),
                judge.mean(wrong, unknown, root=True),
                judge.ratio(wrong, right, unknown, root=True),
            )
        for column, interval in zip((own, other, ratio), found, strict=True):
            column.append(interval)
    lows = [each.low for each in ratio if each.low is not None]
    return PermutedActions(
        horizons=steps,
        recorded=tuple(own),
        permuted=tuple(other),
        ratio=tuple(ratio),
        different=float(np.sqrt(np.square(windows.action - windows.action[donor]).mean())),
        listens=max(lows) > 1.0 if lows else None,
        starts=tuple(int(both[:, h].sum()) for h in range(len(steps))),
    )


def other_episode(episode: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64] | None:
    """For each of N windows, whose episodes are [N], a random window of another episode; None if there is only one."""
    names, counts = np.unique(episode, return_counts=True)
    if len(names) < 2:
        return None
    grouped = np.argsort(episode, kind="stable")
    begins = np.cumsum(counts) - counts
    donor = np.empty(len(episode), np.int64)
    for at, name in enumerate(names):
        mine = np.flatnonzero(episode == name)
        # A place among the windows of all others: those behind my own are shifted over them.
        drawn = rng.integers(0, len(episode) - counts[at], len(mine))
        donor[mine] = grouped[np.where(drawn >= begins[at], drawn + counts[at], drawn)]
    return donor
