"""Looking at what was collected before anything is fitted to it: split, coverage, duplicates, outcomes, leakage."""

from __future__ import annotations

from collections import Counter
from typing import Any

import gymnasium as gym
import numpy as np

from gedanken.errors import ConfigError, StoreError
from gedanken.experience.coverage import Field, Neighbours, compare_neighbours, vectors_of
from gedanken.experience.findings import (
    Coverage,
    Curation,
    Duplicates,
    Leakage,
    Outcomes,
    PolicyShare,
    Split,
)
from gedanken.experience.fingerprints import (
    distinct_values,
    exact_fingerprints,
    near_fingerprints,
    repeats,
    value_fingerprints,
)
from gedanken.experience.rows import Rows
from gedanken.experience.schema import EpisodeSummary, Schema
from gedanken.experience.split import is_held_out
from gedanken.experience.store import Experience
from gedanken.experience.transition import Source

NEAR = 1e-3
"""Two transitions are nearly the same within so many standard deviations in every dimension."""

TRAIN_SAMPLE = 4096
HELD_OUT_SAMPLE = 1024
QUANTILE_SAMPLE = 16_384
_SAMPLE_BYTES = 64 * 2**20


def curate(
    experience: Experience,
    *,
    held_out: float = 0.1,
    seed: int,
    account: str | None = "learn",
    source: Source | None = "real",
) -> Curation:
    """Splits the episodes and reports on the data. Two passes over the steps, in memory of some bytes a step.

    Args:
        experience: what was collected.
        held_out: the share of episodes to hold out.
        seed: of the split and of the samples.
        account: only episodes paid from this account; None for all.
        source: only steps of this provenance; None for all.

    Raises:
        ConfigError: `held_out` is not between 0 and 1.
        StoreError: there is no such step.
    """
    if not 0.0 < held_out < 1.0:
        raise ConfigError("The share to hold out is no share.", given=held_out, expected="a number between 0 and 1")
    stop = len(experience)  # a writer may go on while this looks twice
    first = _First(experience.schema)
    for rows in experience.stream(account=account, source=source, stop_row=stop):
        first.take(rows)
    if first.count == 0:
        raise StoreError(
            "There is nothing to curate.",
            given=f"no step with account={account!r}, source={source!r} in {experience.path}",
            expected="at least one",
            do="collect some first, or ask for another account or source.",
        )
    summaries = experience.summaries()
    episode = np.concatenate(first.episode)
    order: list[int] = episode[np.sort(np.unique(episode, return_index=True)[1])].tolist()
    ids = [summaries[each].header.episode_id for each in order]
    out = [is_held_out(name, position=at, held_out=held_out, seed=seed) for at, name in enumerate(ids)]
    split = Split(
        train=tuple(each for each, kept in zip(order, out, strict=True) if not kept),
        held_out=tuple(each for each, kept in zip(order, out, strict=True) if kept),
        train_steps=0,
        held_out_steps=0,
        held_out_share=held_out,
        seed=seed,
    )
    held = np.isin(episode, np.array(split.held_out, np.int64))
    second = _Second(first, held, np.random.default_rng(seed))
    for rows in experience.stream(account=account, source=source, stop_row=stop):
        second.take(rows)
    exact, near = np.concatenate(first.exact), second.near()
    return Curation(
        steps=first.count,
        episodes=len(order),
        split=Split(**(vars(split) | {"train_steps": int((~held).sum()), "held_out_steps": int(held.sum())})),
        coverage=second.coverage(),
        neighbours=second.neighbours(episode),
        duplicates=_duplicates(exact, near),
        leakage=_leakage(exact, near, held, episode),
        outcomes=_outcomes([summaries[each] for each in order], first),
        policies=_policies(summaries, order, episode),
    )


class _First:
    """The first pass: ranges and spreads, exact fingerprints, who the steps belong to and how they ended."""

    def __init__(self, schema: Schema) -> None:
        self.schema, self.count = schema, 0
        self.columns = {"observation": schema.observation, "action": schema.action}
        self.fields = {name: Field(name, column) for name, column in self.columns.items() if column.encoding != "json"}
        # The next observation as a field of its own would say nothing new; it counts for near duplicates alone.
        self.after = Field("next_observation", schema.observation) if "observation" in self.fields else None
        self.episode: list[np.ndarray] = []
        self.exact: list[np.ndarray] = []
        self.terminated: set[int] = set()
        self.truncated: set[int] = set()
        self.choices: dict[str, list[np.ndarray]] = {
            name: [] for name, column in self.columns.items() if not isinstance(column.space, gym.spaces.Box)
        }

    def take(self, rows: Rows) -> None:
        values = rows.values
        self.count += len(rows)
        self.episode.append(values["episode"].copy())
        self.exact.append(exact_fingerprints(self.schema, rows))
        self.terminated.update(np.unique(values["episode"][values["terminated"]]).tolist())
        self.truncated.update(np.unique(values["episode"][values["truncated"]]).tolist())
        for name, field in self.fields.items():
            field.measure(vectors_of(self.columns[name], values[name]))
        if self.after is not None:
            self.after.measure(vectors_of(self.columns["observation"], values["next_observation"]))
        for name, parts in self.choices.items():
            parts.append(value_fingerprints(rows, name, texts=self.columns[name].encoding == "json"))


class _Second:
    """The second pass, which needs the ranges of the first: bins, near fingerprints, samples."""

    def __init__(self, first: _First, held: np.ndarray, rng: np.random.Generator) -> None:
        self._first, self._at = first, 0
        self._near: list[np.ndarray] = []
        width = max([1, *(field.size for field in first.fields.values())])
        most = max(2, _SAMPLE_BYTES // (8 * width))
        self._quantiles = {name: _Gathered(first.count, QUANTILE_SAMPLE, most, rng) for name in first.fields}
        self._train = _Gathered(np.flatnonzero(~held), TRAIN_SAMPLE, most, rng)
        self._held = _Gathered(np.flatnonzero(held), HELD_OUT_SAMPLE, most, rng)

    def take(self, rows: Rows) -> None:
        first = self._first
        vectors = {name: vectors_of(first.columns[name], rows.values[name]) for name in first.fields}
        scaled = {name: first.fields[name].standardise(each) for name, each in vectors.items()}
        for name, each in vectors.items():
            first.fields[name].count(each)
            self._quantiles[name].take(self._at, each)
        if "observation" in scaled:
            self._train.take(self._at, scaled["observation"])
            self._held.take(self._at, scaled["observation"])
        if first.after is not None and len(scaled) == 2:
            after = vectors_of(first.columns["observation"], rows.values["next_observation"])
            parts = [scaled["observation"], scaled["action"], first.after.standardise(after)]
            self._near.append(near_fingerprints(np.concatenate(parts, axis=1), NEAR))
        self._at += len(rows)

    def near(self) -> np.ndarray | None:
        """[2, N] fingerprints, or None where observations or actions are texts."""
        return np.concatenate(self._near, axis=1) if self._near else None

    def coverage(self) -> Coverage:
        first = self._first
        found = [
            each for name in first.fields for each in first.fields[name].dimensions(self._quantiles[name].values())
        ]
        distinct = {name: distinct_values(parts) for name, parts in first.choices.items()}
        return Coverage(
            dimensions=tuple(found),
            dimensions_in_all=sum(field.size for field in first.fields.values()),
            sample=max([0, *(len(each) for each in self._quantiles.values())]),
            distinct_observations=distinct.get("observation"),
            distinct_actions=distinct.get("action"),
        )

    def neighbours(self, episode: np.ndarray) -> Neighbours | None:
        # The distance between two labels of a Discrete space means nothing.
        if self._first.schema.observation.encoding != "array":
            return None
        return compare_neighbours(self._train.values(), episode[self._train.positions], self._held.values())


class _Gathered:
    """A sample without replacement of rows that come by in order."""

    def __init__(self, positions: np.ndarray | int, size: int, most: int, rng: np.random.Generator) -> None:
        available = positions if isinstance(positions, int) else len(positions)
        drawn = np.sort(rng.choice(available, min(available, size, most), replace=False))
        self.positions: np.ndarray = drawn if isinstance(positions, int) else positions[drawn]
        self._parts: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, start: int, vectors: np.ndarray) -> None:
        """Keeps what was drawn among the rows `start` and on."""
        low, high = np.searchsorted(self.positions, [start, start + len(vectors)])
        self._parts.append(vectors[self.positions[low:high] - start])

    def values(self) -> np.ndarray:
        return np.concatenate(self._parts)


def _duplicates(exact: np.ndarray, near: np.ndarray | None) -> Duplicates:
    same = repeats(exact)
    count = None if near is None else int(((repeats(near[0]) | repeats(near[1])) & ~same).sum())
    return Duplicates(
        exact=int(same.sum()),
        exact_share=float(same.mean()),
        near=count,
        near_share=None if count is None else count / len(exact),
        tolerance=NEAR,
    )


def _leakage(exact: np.ndarray, near: np.ndarray | None, held: np.ndarray, episode: np.ndarray) -> Leakage:
    same = np.isin(exact[held], exact[~held])
    close = None
    if near is not None:
        close = (np.isin(near[0, held], near[0, ~held]) | np.isin(near[1, held], near[1, ~held])) & ~same
    total = max(1, int(held.sum()))
    leaked = same if close is None else same | close
    return Leakage(
        exact=int(same.sum()),
        exact_share=int(same.sum()) / total,
        near=None if close is None else int(close.sum()),
        near_share=None if close is None else int(close.sum()) / total,
        episodes=len(np.unique(episode[held][leaked])),
    )


def _outcomes(summaries: list[EpisodeSummary], first: _First) -> Outcomes:
    told = Counter(summary.outcome.success for summary in summaries)
    modes = Counter(summary.outcome.failure_mode for summary in summaries)
    return Outcomes(
        success=told[True],
        failure=told[False],
        unknown=told[None],
        failure_modes={str(mode): count for mode, count in sorted(modes.items(), key=str) if mode is not None},
        terminated_share=len(first.terminated) / len(summaries),
        truncated_share=len(first.truncated) / len(summaries),
        incomplete=sum(not summary.complete for summary in summaries),
    )


def _policies(summaries: list[EpisodeSummary], order: list[int], episode: np.ndarray) -> dict[str, PolicyShare]:
    steps: Counter[str] = Counter()
    episodes: Counter[str] = Counter()
    lengths: Any = np.bincount(episode, minlength=len(summaries))
    for each in order:
        policy = summaries[each].header.policy
        steps[policy] += int(lengths[each])
        episodes[policy] += 1
    return {name: PolicyShare(episodes[name], count, count / len(episode)) for name, count in steps.most_common()}
