"""Heads across tasks: boosted trees that foretell error, work and verdict of a program on a task that they never saw.

Each is a bag of models, fitted to tasks drawn with replacement, so that they differ as far as another choice of tasks
would have made them differ. LightGBM stores them as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import lightgbm
import numpy as np
import pandas as pd

from gedanken.errors import FileError
from gedanken.experience.files import write_text
from gedanken.models.attempts.features import CHOICES, features, log_error
from gedanken.models.attempts.law import fit_law, terms
from gedanken.worlds.ml_engineering.pipelines import SPACE
from gedanken.worlds.parameters import Design

VERDICTS = ("ok", "error", "timeout", "memory", "invalid")
"""What a head of verdicts tells apart; whatever else happens to a program counts as an error."""
SCHEMA_VERSION = 1
_BAGS = 8
_BEYOND = 60
"""Trees of what the law leaves unexplained."""
_TREES: Mapping[str, Any] = {
    "n_estimators": 150,
    "learning_rate": 0.06,
    "num_leaves": 24,
    "min_child_samples": 12,
    "colsample_bytree": 0.6,
    "subsample": 0.8,
    "subsample_freq": 1,
    "reg_lambda": 1.0,
    "n_jobs": 1,
    "verbose": -1,
}


@dataclass(frozen=True, eq=False)
class Heads:
    """What is known of programs before a task begins.

    Attributes:
        error, work: boosters of the logarithm of the error relative to the task's usual one, and of that of the work
            relative to its law.
        verdict: boosters of the probabilities of `VERDICTS`.
        law: [L], the weights of `law.terms` in the logarithm of the work in milliseconds, less `usual_work`.
        usual_work: its mean over all that is known.
        level: [T + 1], of the usual error from a task's features by ridge regression, a constant last.
        level_std: standard deviation of a new task's usual error around what `level` foretells.
        error_left, work_left: standard deviations, within a task that was not seen, of what error and work differ by
            from what is expected of them.
        tasks: how many it was fitted to.
    """

    error: tuple[lightgbm.Booster, ...]
    work: tuple[lightgbm.Booster, ...]
    verdict: tuple[lightgbm.Booster, ...]
    law: np.ndarray
    usual_work: float
    level: np.ndarray
    level_std: float
    error_left: float
    work_left: float
    tasks: int

    def expected_error(self, designs: Sequence[Design], task: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[M], [M]: mean and deviation over bags of the log error relative to the task's usual one."""
        each = self._each("error", designs, task)
        return each.mean(0), each.std(0)

    def expected_work(self, designs: Sequence[Design], task: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[M], [M]: likewise, of the logarithm of milliseconds of work."""
        each = self._each("work", designs, task)
        return each.mean(0), each.std(0)

    def verdicts(self, designs: Sequence[Design], task: np.ndarray) -> np.ndarray:
        """[M, V]: probabilities of `VERDICTS`."""
        found: np.ndarray = self._each("verdict", designs, task).mean(0)
        return found

    def usual(self, task: np.ndarray) -> float:
        """The log error that is usual on a task."""
        return float(task @ self.level[:-1] + self.level[-1])

    def save(self, folder: Path) -> None:
        """Writes it: text files of the boosters, and a manifest."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("error", "work", "verdict"):
            for number, booster in enumerate(getattr(self, name)):
                write_text(folder / f"{name}-{number}.txt", booster.model_to_string())
        numbers = {
            name: getattr(self, name) for name in ("level_std", "error_left", "work_left", "usual_work", "tasks")
        }
        arrays = {name: getattr(self, name).tolist() for name in ("level", "law")}
        manifest = {"schema": SCHEMA_VERSION, "bags": len(self.error), **arrays, **numbers}
        write_text(folder / "heads.json", json.dumps(manifest, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            FileError: the folder holds none, or one of another version.
        """
        try:
            manifest = json.loads((folder / "heads.json").read_text(encoding="utf-8"))
            if manifest["schema"] != SCHEMA_VERSION:
                raise FileError(
                    "These heads are of another version.", given=manifest["schema"], expected=SCHEMA_VERSION
                )
            boosters: dict[str, Any] = {
                name: tuple(
                    lightgbm.Booster(model_str=(folder / f"{name}-{number}.txt").read_text(encoding="utf-8"))
                    for number in range(manifest["bags"])
                )
                for name in ("error", "work", "verdict")
            }
            return cls(
                **boosters,
                law=np.array(manifest["law"], np.float64),
                usual_work=float(manifest["usual_work"]),
                level=np.array(manifest["level"], np.float64),
                level_std=float(manifest["level_std"]),
                error_left=float(manifest["error_left"]),
                work_left=float(manifest["work_left"]),
                tasks=int(manifest["tasks"]),
            )
        except (OSError, ValueError, KeyError, TypeError, lightgbm.basic.LightGBMError) as error:
            raise FileError(
                "This folder holds no heads that can be read.", given=f"{folder}: {error}", do="fit them again."
            ) from error

    def one(self, name: str, bag: int, designs: Sequence[Design], task: np.ndarray) -> np.ndarray:
        """What a single model of a bag says of M programs; `name` is error, work or verdict."""
        found = np.asarray(getattr(self, name)[bag].predict(features(designs, task), num_threads=1))
        return found + self._law(designs, task) if name == "work" else found

    def _each(self, name: str, designs: Sequence[Design], task: np.ndarray) -> np.ndarray:
        x = features(designs, task)
        each = np.stack([booster.predict(x, num_threads=1) for booster in getattr(self, name)])
        return each + self._law(designs, task) if name == "work" else each

    def _law(self, designs: Sequence[Design], task: np.ndarray) -> np.ndarray:
        return np.asarray(self.usual_work + terms(designs, task) @ self.law)


def fit_heads(known: pd.DataFrame, tasks: Mapping[str, np.ndarray], *, bags: int = _BAGS, seed: int = 0) -> Heads:
    """Fits heads to attempts.

    Args:
        known: a row an attempt: `task`, the parameters of its program, `verdict`, `validation_skill` (where the
            verdict is ok) and `work_ms`.
        tasks: name -> its features.
        bags: models of each kind.
        seed: of everything random.
    """
    rng, left = np.random.default_rng(seed), list[float]()
    names = sorted(set(known["task"]))
    rows = {name: known[known["task"] == name] for name in names}
    x = {name: features(designs_of(rows[name]), tasks[name]) for name in names}
    ok = {name: (rows[name]["verdict"] == "ok").to_numpy() for name in names}
    errors = {name: log_error(rows[name]["validation_skill"].to_numpy(np.float64)[ok[name]]) for name in names}
    usual = {name: float(np.median(errors[name])) for name in names}
    relative = {name: np.clip(errors[name] - usual[name], -3.0, 3.0) for name in names}
    work = {name: np.log(np.maximum(rows[name]["work_ms"].to_numpy(np.float64), 1.0)) for name in names}
    law_terms = {name: terms(designs_of(rows[name]), tasks[name]) for name in names}
    usual_work = float(np.concatenate([work[name] for name in names]).mean())
    law = fit_law(np.vstack([law_terms[name] for name in names]), np.concatenate([work[n] for n in names]) - usual_work)
    beyond = {name: work[name] - usual_work - law_terms[name] @ law for name in names}
    verdict = {name: np.array([_place(word) for word in rows[name]["verdict"]]) for name in names}

    def bag(
        target: Mapping[str, np.ndarray], which: Mapping[str, np.ndarray] | None, *, classes: bool = False, **more: Any
    ) -> Any:
        chosen = rng.choice(names, len(names))
        inputs = np.vstack([x[name] if which is None else x[name][which[name]] for name in chosen])
        outputs = np.concatenate([target[name] for name in chosen])
        if classes:
            # Every class is there once at least, or the columns of probabilities would change their meaning.
            inputs, outputs = np.vstack([inputs, inputs[: len(VERDICTS)]]), np.r_[outputs, np.arange(len(VERDICTS))]
        family = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
        model = family(**{**_TREES, **more}, random_state=int(rng.integers(2**31)))
        booster = model.fit(inputs, outputs, categorical_feature=list(CHOICES)).booster_
        for name in set(names) - set(chosen):
            seen = x[name] if which is None else x[name][which[name]]
            left.append(float(np.var(target[name] - booster.predict(seen))) if not classes else 0.0)
        return booster

    def bags_of(target: Mapping[str, np.ndarray], which: Mapping[str, np.ndarray] | None, **more: Any) -> Any:
        """The boosters, and the standard deviation of what they leave unexplained in tasks that they did not see."""
        left.clear()
        boosters = tuple(bag(target, which, **more) for _ in range(bags))
        return boosters, float(np.sqrt(np.mean(left))) if left else 1.0

    error, error_left = bags_of(relative, ok)
    work_boosters, work_left = bags_of(beyond, None, n_estimators=_BEYOND, num_leaves=12)
    verdicts, _ = bags_of(verdict, None, classes=True, objective="multiclass", num_class=len(VERDICTS))
    matrix = np.array([tasks[name] for name in names])
    levels = np.array([usual[name] for name in names])
    level, level_std = _ridge(matrix, levels)
    return Heads(
        error=error,
        work=work_boosters,
        verdict=verdicts,
        law=law,
        usual_work=usual_work,
        level=level,
        level_std=level_std,
        error_left=error_left,
        work_left=work_left,
        tasks=len(names),
    )


def designs_of(rows: pd.DataFrame) -> list[Design]:
    """The programs of attempts."""
    return [{name: row[name] for name in SPACE.names} for row in rows.to_dict("records")]


def _place(verdict: str) -> int:
    return VERDICTS.index(verdict) if verdict in VERDICTS else VERDICTS.index("error")


def _ridge(x: np.ndarray, y: np.ndarray, strength: float = 3.0) -> tuple[np.ndarray, float]:
    """[T + 1] weights, and the standard deviation of what they leave unexplained of a task that is left out."""
    mean, scale = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1.0)
    z = (x - mean) / scale
    gram = np.linalg.inv(z.T @ z + strength * np.eye(x.shape[1]))
    weights = gram @ z.T @ (y - y.mean())
    leverage = np.einsum("nt,tu,nu->n", z, gram, z) + 1.0 / len(y)
    left_out = (y - y.mean() - z @ weights) / np.maximum(1.0 - leverage, 0.1)
    own = weights / scale
    return np.r_[own, y.mean() - mean @ own], float(left_out.std())
