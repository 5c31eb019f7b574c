"""Runs a solution and writes down which stages it reached. It is started inside the sandbox, as a script of its own.

    python -I harness.py solution.py stages.jsonl

The file stands where the solution cannot write. What it records is evidence for partial credit and for a model of what
programs do, and no more: it shares its process with the solution, which could say that it reached a stage. Whether
there is an answer and how good it is, is found out elsewhere, by somebody that the solution cannot reach.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

STAGES = ("started", "imported", "read", "fitting", "fitted", "predicted", "written")
"""In the order in which a solution reaches them."""


class _Stages:
    """Appends each stage to a file, the first time that it is reached."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._reached: set[str] = set()
        self._fits = 0

    def reach(self, stage: str) -> None:
        if stage not in self._reached:
            self._reached.add(stage)
            line = {"stage": stage, "cpu_ms": round(1_000 * time.process_time())}
            os.write(self._file, (json.dumps(line) + "\n").encode())

    def watch_files(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook: what is opened says how far a program has come."""
        if event != "open" or not isinstance(arguments[0], str | bytes):
            return
        name = os.path.basename(os.fsdecode(arguments[0]))
        if name == "train.csv":
            self.reach("imported")
            self.reach("read")
        elif name == "submission.csv":
            self.reach("written")

    def fitting(self, fit: Callable[..., Any]) -> Callable[..., Any]:
        """A `fit` that says when it begins and, where no other one is going on, when it has ended."""

        @functools.wraps(fit)
        def watched(*arguments: Any, **keywords: Any) -> Any:
            self.reach("fitting")
            self._fits += 1
            try:
                answer = fit(*arguments, **keywords)
            finally:
                self._fits -= 1
            if not self._fits:
                self.reach("fitted")
            return answer

        return watched

    def predicting(self, predict: Callable[..., Any]) -> Callable[..., Any]:
        """Something that is called when a fitted model is used."""

        @functools.wraps(predict)
        def watched(*arguments: Any, **keywords: Any) -> Any:
            answer = predict(*arguments, **keywords)
            if not self._fits and "fitted" in self._reached:
                self.reach("predicted")
            return answer

        return watched


def watch_sklearn(stages: _Stages) -> None:
    """Patches what every estimator's module takes from scikit-learn's base when it is imported."""
    import sklearn.base as base
    import sklearn.utils.validation as validation

    context = base._fit_context

    def watched_context(**settings: Any) -> Callable[..., Any]:
        decorate = context(**settings)
        return lambda fit: stages.fitting(decorate(fit))

    base._fit_context = watched_context
    validation.check_is_fitted = stages.predicting(validation.check_is_fitted)


def watch_lightgbm(stages: _Stages) -> None:
    """Patches its estimators, which know nothing of scikit-learn's contexts."""
    from lightgbm.sklearn import LGBMClassifier, LGBMModel, LGBMRanker, LGBMRegressor

    for family in (LGBMModel, LGBMRegressor, LGBMClassifier, LGBMRanker):
        if "fit" in vars(family):
            setattr(family, "fit", stages.fitting(family.fit))  # noqa: B010
    setattr(LGBMModel, "predict", stages.predicting(LGBMModel.predict))  # noqa: B010


def main(solution: str, record: str) -> int:
    """Runs the program in `solution`; 1 where it raised."""
    with open(solution, encoding="utf-8") as file:
        source = file.read()
    stages = _Stages(record)
    code = compile(source, solution, "exec", dont_inherit=True)
    stages.reach("started")
    if "sklearn" in source or "lightgbm" in source:
        watch_sklearn(stages)
    if "lightgbm" in source:
        watch_lightgbm(stages)
    sys.addaudithook(stages.watch_files)
    sys.argv = [solution]
    try:
        exec(code, {"__name__": "__main__", "__file__": solution})  # noqa: S102 - in the sandbox, which it is for
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:  # noqa: BLE001 - whatever it raises is told, and ends it
        # Without the harness' own frame.
        traceback.print_exception(type(error), error, error.__traceback__ and error.__traceback__.tb_next)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
