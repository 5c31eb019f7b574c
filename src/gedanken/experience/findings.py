"""What curation found, as data, as JSON and as lines to print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gedanken.experience.coverage import Dimension, Neighbours


@dataclass(frozen=True)
class Split:
    """Which episodes are trained on and which are held out, as positions in `Experience.headers()`."""

    train: tuple[int, ...]
    held_out: tuple[int, ...]
    train_steps: int
    held_out_steps: int
    held_out_share: float
    seed: int


@dataclass(frozen=True)
class Coverage:
    """Where the transitions lie. `dimensions_in_all` counts those too that are not listed; `sample`: for quantiles.

    distinct_observations, distinct_actions: how many different ones there are, where they are choices or texts; None
    where they are numbers.
    """

    dimensions: tuple[Dimension, ...]
    dimensions_in_all: int
    sample: int
    distinct_observations: int | None
    distinct_actions: int | None


@dataclass(frozen=True)
class Duplicates:
    """Transitions that repeat an earlier one: byte for byte, or only within `tolerance` standard deviations.

    Near ones are found by common cells of two shifted grids: all that count are that near, a pair that a border parts
    in both grids is missed. None where values are no numbers.
    """

    exact: int
    exact_share: float
    near: int | None
    near_share: float | None
    tolerance: float


@dataclass(frozen=True)
class Leakage:
    """Held-out transitions that a training episode has too, exactly or only nearly; shares are of the held-out ones.

    episodes: how many held-out episodes have such a transition.
    """

    exact: int
    exact_share: float
    near: int | None
    near_share: float | None
    episodes: int


@dataclass(frozen=True)
class Outcomes:
    """How the episodes ended. Shares are of all episodes."""

    success: int
    failure: int
    unknown: int
    failure_modes: Mapping[str, int]
    terminated_share: float
    truncated_share: float
    incomplete: int


@dataclass(frozen=True)
class PolicyShare:
    """What one behaviour policy contributed; `share` is of the steps."""

    episodes: int
    steps: int
    share: float


@dataclass(frozen=True)
class Curation:
    """What was found. Nothing is removed from the experience: whoever fits decides."""

    steps: int
    episodes: int
    split: Split
    coverage: Coverage
    neighbours: Neighbours | None
    duplicates: Duplicates
    leakage: Leakage
    outcomes: Outcomes
    policies: Mapping[str, PolicyShare]

    def is_held_out(self, episode: np.ndarray) -> np.ndarray:
        """[N] bool for the `episode` column of `TransitionArrays`."""
        return np.isin(episode, np.array(self.split.held_out, np.int64))

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    def table(self) -> list[tuple[str, str]]:
        """What was found as rows of (what, how much), for printing."""
        split, found, told = self.split, self.duplicates, self.outcomes
        rows = [
            ("transitions", f"{self.steps:,} in {self.episodes:,} episodes"),
            ("trained on", f"{split.train_steps:,} in {len(split.train):,} episodes"),
            ("held out", f"{split.held_out_steps:,} in {len(split.held_out):,} episodes"),
            ("outcomes", f"{told.success:,} success, {told.failure:,} failure, {told.unknown:,} unknown"),
            ("ended by", f"termination {told.terminated_share:.1%}, truncation {told.truncated_share:.1%}"),
            ("without an end", f"{told.incomplete:,} episodes"),
            *((f"failure: {mode}", f"{count:,} episodes") for mode, count in told.failure_modes.items()),
            ("exact duplicates", _share(found.exact, found.exact_share)),
            ("near duplicates", _share(found.near, found.near_share)),
            ("held out but also trained on", _share(self.leakage.exact, self.leakage.exact_share)),
            ("held out but nearly trained on", _share(self.leakage.near, self.leakage.near_share)),
            ("held-out states' distance", _distance(self.neighbours)),
        ]
        for policy, share in self.policies.items():
            rows.append((f"policy {policy}", f"{share.share:.1%}, {share.steps:,} in {share.episodes:,} episodes"))
        for name, count in (
            ("distinct observations", self.coverage.distinct_observations),
            ("distinct actions", self.coverage.distinct_actions),
        ):
            if count is not None:
                rows.append((name, f"{count:,}"))
        for each in self.coverage.dimensions:
            bounds = "no finite value" if each.low is None else f"{each.low:.4g} to {each.high:.4g}"
            rows.append((each.name, f"{bounds}, {each.occupied:.0%} of {each.bins} bins of the {_RANGES[each.over]}"))
        return rows


_RANGES = {"space": "space", "seen": "range seen"}


def _share(count: int | None, share: float | None) -> str:
    return "not measured" if count is None else f"{count:,} ({share:.2%})"


def _distance(found: Neighbours | None) -> str:
    if found is None or found.median is None:
        return "not measured"
    compared = f"{found.held_out_sample:,} against {found.train_sample:,} states"
    return f"median {found.median:.2f}, 90 % below {found.p90:.2f} training spacings ({compared})"


def _plain(value: Any) -> Any:
    """Tuples become lists, as they will in JSON anyway."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
