"""What a store holds, column by column: the steps, the events of its episodes, and what reading gives back.

Cost, outcome, failure mode, labeller, provenance and propensity are columns from the first version on. `cost` is a map,
so a world may start to charge for another resource without a new schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
import pyarrow as pa

from gedanken.errors import StoreError
from gedanken.experience.columns import Column
from gedanken.experience.spaces import space_from_json, space_to_json
from gedanken.experience.transition import EpisodeHeader, Outcome, Source, Transition

FORMAT = "gedanken.experience"
VERSION = 1

SOURCES: tuple[Source, ...] = ("real", "cache", "code", "model")
"""From the most to the least real; a code in a row is a position in this tuple."""

BEGIN, END = "begin", "end"

EVENTS = pa.schema(
    [
        pa.field("event", pa.string(), nullable=False),
        pa.field("episode_id", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),  # how many steps the store held at this event
        pa.field("at", pa.timestamp("us", "UTC"), nullable=False),
        ("world", pa.string()),
        ("policy", pa.string()),
        ("account", pa.string()),
        ("task", pa.string()),  # JSON
        ("seed", pa.int64()),
        ("success", pa.bool_()),
        ("failure_mode", pa.string()),
        ("labelled_by", pa.string()),
        ("length", pa.int64()),
        ("total_reward", pa.float64()),
        ("source", pa.string()),
    ]
)


@dataclass(frozen=True)
class Schema:
    """The columns of one store, which follow from the spaces of its world."""

    world: str
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    observation: Column = field(init=False)
    action: Column = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "observation", Column("the observations", self.observation_space))
        object.__setattr__(self, "action", Column("the actions", self.action_space))

    @cached_property
    def steps(self) -> pa.Schema:
        """One row a transition, in the order they were appended."""
        return pa.schema(
            [
                pa.field("episode_id", pa.string(), nullable=False),
                pa.field("step", pa.int32(), nullable=False),
                pa.field("observation", self.observation.arrow_type, nullable=False),
                pa.field("action", self.action.arrow_type, nullable=False),
                pa.field("reward", pa.float64(), nullable=False),
                pa.field("terminated", pa.bool_(), nullable=False),
                pa.field("truncated", pa.bool_(), nullable=False),
                pa.field("next_observation", self.observation.arrow_type, nullable=False),
                pa.field("cost", pa.map_(pa.string(), pa.int64()), nullable=False),
                ("duration_ms", pa.float64()),
                ("log_probability", pa.float64()),
                pa.field("source", pa.string(), nullable=False),
                ("model_id", pa.string()),
                ("action_id", pa.string()),
            ]
        )

    def encode_steps(self, episode_id: str, first_step: int, transitions: Sequence[Transition]) -> pa.RecordBatch:
        """Transitions of one episode, of which the first is number `first_step`, as rows.

        Raises:
            StoreError: an observation or action is none of its space, or another value has the wrong type.
        """
        before = self.observation.encode([each.observation for each in transitions])
        action = self.action.encode([each.action for each in transitions])
        after = self.observation.encode([each.next_observation for each in transitions])
        try:
            columns = [
                pa.array([episode_id] * len(transitions), pa.string()),
                pa.array(range(first_step, first_step + len(transitions)), pa.int32()),
                before,
                action,
                pa.array([float(each.reward) for each in transitions], pa.float64()),
                pa.array([bool(each.terminated) for each in transitions], pa.bool_()),
                pa.array([bool(each.truncated) for each in transitions], pa.bool_()),
                after,
                pa.array([list(each.cost.items()) for each in transitions], pa.map_(pa.string(), pa.int64())),
                pa.array([_number(each.duration_ms) for each in transitions], pa.float64()),
                pa.array([_number(each.log_probability) for each in transitions], pa.float64()),
                pa.array([_known_source(each.provenance.source) for each in transitions], pa.string()),
                pa.array([each.provenance.model_id for each in transitions], pa.string()),
                pa.array([each.action_id for each in transitions], pa.string()),
            ]
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise StoreError(
                "A transition holds a value of the wrong type.",
                given=str(error)[:300],
                expected="the types that gedanken.experience.Transition names",
                do="build it with these types.",
            ) from error
        return pa.RecordBatch.from_arrays(columns, schema=self.steps)

    def to_json(self) -> dict[str, Any]:
        """What the manifest says."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "world": self.world,
            "observation": {
                "encoding": self.observation.encoding,
                "space": space_to_json(self.observation_space),
            },
            "action": {"encoding": self.action.encoding, "space": space_to_json(self.action_space)},
        }

    @classmethod
    def from_json(cls, manifest: Any) -> Schema:
        """Reads what `to_json` wrote.

        Raises:
            StoreError: the manifest is of another format or version, or damaged.
        """
        if not isinstance(manifest, dict) or (manifest.get("format"), manifest.get("version")) != (FORMAT, VERSION):
            given = (manifest.get("format"), manifest.get("version")) if isinstance(manifest, dict) else manifest
            raise StoreError(
                "This is no experience store, or one of another version.",
                given=str(given)[:200],
                expected=(FORMAT, VERSION),
                do="read it with the release of gedanken that wrote it.",
            )
        try:
            spaces = [space_from_json(manifest[part]["space"]) for part in ("observation", "action")]
            schema = cls(str(manifest["world"]), *spaces)
            encodings = [manifest[part]["encoding"] for part in ("observation", "action")]
        except (KeyError, TypeError) as error:
            raise StoreError(
                "The manifest of this experience store lacks something.",
                given=repr(error),
                expected="world, observation and action",
                do="restore manifest.json from a copy.",
            ) from error
        if encodings != [schema.observation.encoding, schema.action.encoding]:
            raise StoreError(
                "The manifest names another encoding than its spaces have.",
                given=encodings,
                expected=[schema.observation.encoding, schema.action.encoding],
                do="restore manifest.json from a copy.",
            )
        return schema


@dataclass(frozen=True)
class EpisodeSummary:
    """What is known of an episode without reading its steps.

    `source` is the least real one among its steps' sources (real > cache > code > model). `complete` is False while no
    end was recorded; then `ended` is None, and `length` and `total_reward` count what was appended so far.
    """

    header: EpisodeHeader
    outcome: Outcome
    complete: bool
    length: int
    total_reward: float
    source: Source
    started: datetime
    ended: datetime | None


@dataclass(frozen=True)
class TransitionArrays:
    """N transitions as columns.

    observation, next_observation: [N, *shape] of the space's dtype, [N] int64 for Discrete, [N] objects for text;
    action: likewise of the action space; reward: [N] float64; terminated, truncated: [N] bool;
    episode: [N] int32, the position of the transition's episode in `Experience.headers()`; step: [N] int32, its place
    in the episode; costs: resource -> [N] int64 in minor units, 0 where a step did not name the resource;
    duration_ms, log_probability: [N] float64, NaN where not known.
    next_row: how many rows the store had; `arrays(start_row=next_row)` continues from here.
    """

    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    next_observation: np.ndarray
    episode: np.ndarray
    step: np.ndarray
    costs: Mapping[str, np.ndarray]
    duration_ms: np.ndarray
    log_probability: np.ndarray
    next_row: int

    def __len__(self) -> int:
        return len(self.reward)


def begin_event(header: EpisodeHeader, row: int) -> pa.RecordBatch:
    """The event that an episode began when the store held `row` steps.

    Raises:
        StoreError: the task is no JSON, or another value has the wrong type.
    """
    known = {name: getattr(header, name) for name in ("episode_id", "world", "policy", "account", "seed")}
    return _event(BEGIN, row, {**known, "task": _task_to_json(header.task)})


def end_event(episode: EpisodeSummary, row: int, outcome: Outcome) -> pa.RecordBatch:
    """The event that an episode ended when the store held `row` steps.

    Raises:
        StoreError: a value of the outcome has the wrong type.
    """
    told = {name: getattr(outcome, name) for name in ("success", "failure_mode", "labelled_by")}
    counted = {"length": episode.length, "total_reward": episode.total_reward, "source": episode.source}
    return _event(END, row, {"episode_id": episode.header.episode_id, **told, **counted})


def header_of(event: Mapping[str, Any]) -> EpisodeHeader:
    """The header that a begin event holds."""
    named = {name: event[name] for name in ("episode_id", "world", "policy", "account", "seed")}
    return EpisodeHeader(**named, task=None if event["task"] is None else json.loads(event["task"]))


def outcome_of(event: Mapping[str, Any]) -> Outcome:
    """The outcome that an end event holds."""
    return Outcome(event["success"], event["failure_mode"], event["labelled_by"])


def _event(kind: str, row: int, values: Mapping[str, Any]) -> pa.RecordBatch:
    record = dict.fromkeys(EVENTS.names) | dict(values) | {"event": kind, "row": row, "at": datetime.now(UTC)}
    try:
        return pa.RecordBatch.from_pylist([record], schema=EVENTS)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise StoreError(
            f"The {kind} of an episode holds a value of the wrong type.",
            given=str(error)[:300],
            expected="the types that EpisodeHeader and Outcome name; a seed of at most 63 bits",
            do="build it with these types.",
        ) from error


def _task_to_json(task: Mapping[str, Any] | None) -> str | None:
    """The task as JSON text; numpy values become the plain numbers and lists they hold."""
    if task is None:
        return None
    try:
        return json.dumps(dict(task), default=_plain)
    except (TypeError, ValueError) as error:
        raise StoreError(
            "A task cannot be written as JSON.",
            given=f"{error} ({task!r})"[:300],
            expected="text, numbers, bool, None, lists and mappings with text as keys",
            do="describe the task by these.",
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON")


def _number(value: Any) -> float | None:
    """Also numbers of numpy and jax, which Arrow does not take for floats."""
    return None if value is None else float(value)


def _known_source(source: Source) -> Source:
    if source not in SOURCES:
        raise ValueError(f"source {source!r}, which is none of {', '.join(SOURCES)}")
    return source
