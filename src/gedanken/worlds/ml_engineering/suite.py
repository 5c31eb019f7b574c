"""Finding tasks: those that ship with the library, and anybody's folder with a CSV and a few lines of TOML."""

from __future__ import annotations

import hashlib
import io
import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from gedanken.errors import ConfigError, FileError
from gedanken.worlds.ml_engineering.metrics import KINDS, Kind, Metric
from gedanken.worlds.ml_engineering.task import Task

_TASKS = files("gedanken.worlds.ml_engineering") / "tasks"
DESCRIPTION = "task.toml"
_KEYS = {"name", "data", "target", "kind", "metric", "about", "source", "licence", "drop", "seed"}
_USUAL: dict[Kind, Metric] = {
    "binary": Metric.ROC_AUC,
    "multiclass": Metric.LOG_LOSS,
    "regression": Metric.RMSE,
}


def catalogue() -> dict[str, dict[str, Any]]:
    """What is known of each task that ships with the library: target, metric, group, source, licence."""
    found: dict[str, dict[str, Any]] = json.loads((_TASKS / "catalogue.json").read_text(encoding="utf-8"))
    return found


def names(group: Literal["train", "held-out"] | None = None) -> list[str]:
    """Tasks that ship with the library, or those of a group: models learn from `train`, and are tried on `held-out`."""
    return [name for name, entry in catalogue().items() if group in (None, entry["group"])]


def find_task(name: str) -> Task:
    """A task by its name, or by its folder.

    Raises:
        ConfigError: there is none, or it makes no sense.
        FileError: its files cannot be read.
    """
    if name in catalogue():
        return shipped(name)
    if Path(name).is_dir():
        return from_folder(Path(name))
    raise ConfigError(
        "There is no such task.",
        given=repr(name),
        expected=f"a folder with {DESCRIPTION}, or one of {', '.join(catalogue())}",
    )


def shipped(name: str) -> Task:
    """One of the tasks of `catalogue()`.

    Raises:
        ConfigError: there is none of this name.
        FileError: it is not the file that the catalogue speaks of.
    """
    known = catalogue()
    if name not in known:
        raise ConfigError("There is no such task.", given=repr(name), expected=", ".join(known))
    entry = known[name]
    content = (_TASKS / f"{name}.parquet").read_bytes()
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise FileError(f"The task {name!r} is damaged.", expected=f"sha256 {entry['sha256']}", do="install again.")
    words = {key: entry[key] for key in ("about", "source", "licence")}
    frame = pd.read_parquet(io.BytesIO(content))
    return Task(name, frame, entry["target"], entry["kind"], Metric(entry["metric"]), **words)


def from_folder(folder: Path) -> Task:
    """Reads a task that somebody described.

    Only `data` and `target` must be said. The kind is guessed: words and two values are classes, so are up to twenty
    whole numbers; all else is regressed.

    Raises:
        ConfigError: it says too little, or what nobody reads, or makes no sense.
        FileError: a file cannot be read.
    """
    path = folder / DESCRIPTION
    try:
        described = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(
            "This folder holds no task.", given=error, expected=f"{DESCRIPTION} with `data` and `target`"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} cannot be read.", given=error, expected="TOML") from error
    if unknown := set(described) - _KEYS:
        raise ConfigError(
            f"{path.name} says what nobody reads.", given=", ".join(sorted(unknown)), expected=", ".join(sorted(_KEYS))
        )
    if missing := {"data", "target"} - set(described):
        raise ConfigError(f"{path.name} says too little.", given=f"no {' and no '.join(sorted(missing))}")
    frame = _read_csv(folder / str(described["data"]))
    target = str(described["target"])
    if target not in frame:
        raise ConfigError(
            f"{described['data']} has no target.", given=repr(target), expected=f"one of {', '.join(frame)}"
        )
    drop = described.get("drop", [])
    if not isinstance(drop, list):
        raise ConfigError("Columns to drop come as a list.", given=repr(drop), expected='drop = ["a", "b"]')
    if strange := [column for column in drop if column not in list(frame) or column == target]:
        raise ConfigError("These columns cannot be dropped.", given=strange, expected="columns of the data")
    kind: Kind = described["kind"] if "kind" in described else _guessed(frame[target])
    if kind not in KINDS:
        raise ConfigError("Not a kind of task.", given=repr(kind), expected=", ".join(KINDS))
    metric = described.get("metric", str(_USUAL[kind]))
    if metric not in list(Metric):
        raise ConfigError("There is no such metric.", given=repr(metric), expected=", ".join(Metric))
    words = {key: str(described.get(key, "")) for key in ("about", "source", "licence")}
    name, seed = str(described.get("name", folder.resolve().name)), described.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError("Not a seed.", given=repr(seed), expected="a whole number, 0 or more")
    # In the order of a sorted file, the number of a row would tell a program its class.
    frame = frame.drop(columns=drop).sample(frac=1.0, random_state=seed).reset_index(drop=True)
    return Task(name, frame, target, kind, Metric(metric), seed=seed, **words)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise FileError(
            f"The data {path.name} cannot be read.", given=error, expected="a CSV file with a line of headers"
        ) from error


def _guessed(values: pd.Series) -> Kind:
    count = values.nunique()
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if count == 2:
        return "binary"
    whole = numeric and bool((values.dropna() % 1 == 0).all())
    return "regression" if numeric and not (whole and count <= 20) else "multiclass"
