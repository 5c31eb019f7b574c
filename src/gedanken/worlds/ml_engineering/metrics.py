"""How predictions are judged: in the metric's own units, and as a skill that is comparable between tasks."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import numpy as np
from sklearn import metrics as sklearn_metrics

Kind = Literal["binary", "multiclass", "regression"]
KINDS: tuple[Kind, ...] = ("binary", "multiclass", "regression")


class Metric(StrEnum):
    """What a task is scored by."""

    ROC_AUC = "roc_auc"
    LOG_LOSS = "log_loss"
    ACCURACY = "accuracy"
    RMSE = "rmse"
    MAE = "mae"

    @property
    def greater_is_better(self) -> bool:
        """Whether more is better."""
        return self in (Metric.ROC_AUC, Metric.ACCURACY)

    def fits(self, kind: Kind) -> bool:
        """Whether tasks of this kind can be scored by it."""
        match self:
            case Metric.ROC_AUC:
                return kind == "binary"
            case Metric.LOG_LOSS | Metric.ACCURACY:
                return kind != "regression"
            case Metric.RMSE | Metric.MAE:
                return kind == "regression"

    def score(self, truth: np.ndarray, predicted: np.ndarray) -> float:
        """The score of predictions.

        Args:
            truth: [N]; classes as numbers from 0, in the order of the task's classes.
            predicted: [N] for regression, else the probabilities [N, C] of the classes.
        """
        match self:
            case Metric.ROC_AUC:
                return float(sklearn_metrics.roc_auc_score(truth, predicted[:, 1]))
            case Metric.LOG_LOSS:
                return float(sklearn_metrics.log_loss(truth, predicted, labels=np.arange(predicted.shape[1])))
            case Metric.ACCURACY:
                return float(np.mean(predicted.argmax(1) == truth))
            case Metric.RMSE:
                return float(np.sqrt(np.mean(np.square(predicted - truth))))
            case Metric.MAE:
                return float(np.mean(np.abs(predicted - truth)))

    def skill(self, score: float, truth: np.ndarray, classes: int) -> float:
        """A score as a share of the way from knowing nothing (0) to being perfect (1); below 0 where it is worse.

        Knowing nothing is to predict the same for every row: the classes' frequencies, the mean or the median.

        Args:
            score: in the metric's own units.
            truth: [N], what it was scored against.
            classes: how many there are; for regression it does not matter.
        """
        nothing = self._of_nothing(truth, classes)
        perfect = 1.0 if self.greater_is_better else 0.0
        return (score - nothing) / (perfect - nothing) if nothing != perfect else 0.0

    def _of_nothing(self, truth: np.ndarray, classes: int) -> float:
        match self:
            case Metric.ROC_AUC:
                return 0.5
            case Metric.LOG_LOSS:
                shares = np.bincount(truth, minlength=classes) / len(truth)
                return float(-np.sum(shares * np.log(np.maximum(shares, 1e-15))))
            case Metric.ACCURACY:
                return float(np.bincount(truth, minlength=classes).max() / len(truth))
            case Metric.RMSE:
                return float(truth.std())
            case Metric.MAE:
                return float(np.mean(np.abs(truth - np.median(truth))))
