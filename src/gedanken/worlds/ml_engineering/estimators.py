"""Which classes of scikit-learn and LightGBM are which model of the pipeline space, and what arguments are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Argument(NamedTuple):
    """A number that a class takes.

    parameter: of the space. names: of the argument. usual: its value where it is not given, in the class' own unit.
    made: from its unit to the space's.
    """

    parameter: str
    names: tuple[str, ...]
    usual: float
    made: Callable[[float], float] = float


class Estimator(NamedTuple):
    """A class. positions: the names of what it takes by place. regression: None where that depends on an objective."""

    model: str
    regression: bool | None
    positions: tuple[str, ...]
    arguments: tuple[Argument, ...]


ROOT_OF_COLUMNS = 0.3
"""What the square root or logarithm of the number of columns counts as: of about ten columns it is this share."""
NO_PENALTY = 0.0
"""Becomes the least there is."""


def _inverse(value: float) -> float:
    return 1.0 / value


def _tenth(value: float) -> float:
    return value / 10.0


def _tenfold(value: float) -> float:
    return 10.0 * value


def _penalty(name: str, usual: float, made: Callable[[float], float] = float) -> tuple[Argument, ...]:
    return (Argument("regularisation", (name,), usual, made),)


def _found() -> dict[str, Estimator]:
    found: dict[str, Estimator] = {}

    def add(name: str, model: str, regression: bool | None, positions: str, *arguments: Argument) -> None:
        found[name] = Estimator(model, regression, tuple(positions.split()), arguments)

    for name in ("Ridge", "Lasso", "ElasticNet", "HuberRegressor", "PoissonRegressor"):
        add(name, "linear", True, "alpha", *_penalty("alpha", 1.0, _tenth))
    for name in ("LinearRegression", "TheilSenRegressor"):
        add(name, "linear", True, "", *_penalty("", NO_PENALTY))
    for name in ("RidgeCV", "LassoCV", "LassoLarsCV", "ElasticNetCV", "BayesianRidge", "ARDRegression", "SGDRegressor"):
        add(name, "linear", True, "")
    add("LogisticRegression", "linear", False, "", *_penalty("C", 1.0, _inverse))
    add("LinearSVC", "linear", False, "", *_penalty("C", 1.0, _inverse))
    add("LinearSVR", "linear", True, "", *_penalty("C", 1.0, _inverse))
    add("RidgeClassifier", "linear", False, "alpha", *_penalty("alpha", 1.0, _tenth))
    for name in ("LogisticRegressionCV", "RidgeClassifierCV", "SGDClassifier", "LinearDiscriminantAnalysis"):
        add(name, "linear", False, "")
    for name, regression in (("SVC", False), ("SVR", True)):
        add(name, "svm", regression, "", *_penalty("C", 1.0, _inverse))
    for name, regression in (("NuSVC", False), ("NuSVR", True)):
        add(name, "svm", regression, "")

    trees = Argument("trees", ("n_estimators",), 100)
    for regression, ending in ((True, "Regressor"), (False, "Classifier")):
        add(f"KNeighbors{ending}", "neighbours", regression, "n_neighbors", Argument("neighbours", ("n_neighbors",), 5))
        columns = Argument("columns", ("max_features",), 1.0 if regression else ROOT_OF_COLUMNS)
        least = Argument("least", ("min_samples_leaf",), 1)
        for name, model in (("RandomForest", "forest"), ("ExtraTrees", "extra_trees")):
            add(f"{name}{ending}", model, regression, "n_estimators", trees, least, columns)
        add(
            f"HistGradientBoosting{ending}",
            "boosting",
            regression,
            "loss",
            Argument("trees", ("max_iter",), 100),
            Argument("rate", ("learning_rate",), 0.1),
            Argument("leaves", ("max_leaf_nodes",), 31),
            Argument("least", ("min_samples_leaf",), 20),
            *_penalty("l2_regularization", 0.0),
        )
        add(
            f"GradientBoosting{ending}",
            "boosting",
            regression,
            "loss",
            trees,
            Argument("rate", ("learning_rate",), 0.1),
            Argument("leaves", ("max_leaf_nodes",), 8),  # three splits deep
            least,
            *_penalty("", NO_PENALTY),
        )
        add(
            f"MLP{ending}",
            "network",
            regression,
            "hidden_layer_sizes",
            Argument("rate", ("learning_rate_init",), 0.001, _tenfold),
            *_penalty("alpha", 1e-4),
        )
        add(f"LGBM{ending}", "lightgbm", regression, "boosting_type num_leaves max_depth learning_rate n_estimators")
    add("lightgbm.train", "lightgbm", None, "params train_set num_boost_round")
    lightgbm = (
        Argument("trees", ("n_estimators", "num_boost_round", "num_iterations", "n_iter"), 100),
        Argument("rate", ("learning_rate", "eta"), 0.1),
        Argument("leaves", ("num_leaves", "max_leaves"), 31),
        Argument("least", ("min_child_samples", "min_data_in_leaf"), 20),
        Argument("columns", ("colsample_bytree", "feature_fraction"), 1.0),
        Argument("regularisation", ("reg_lambda", "lambda_l2"), 0.0),
    )
    return {
        name: each._replace(arguments=lightgbm) if each.model == "lightgbm" else each for name, each in found.items()
    }


ESTIMATORS: Mapping[str, Estimator] = _found()
"""By the name of the class; `lightgbm.train` is a function."""
ENSEMBLES = frozenset(f"{name}{ending}" for name in ("Voting", "Stacking") for ending in ("Regressor", "Classifier"))
"""Of several models, whose first one stands for all."""
ENCODERS: Mapping[str, str] = {
    "OneHotEncoder": "one_hot",
    "get_dummies": "one_hot",
    "OrdinalEncoder": "ordinal",
    "factorize": "ordinal",
    "TargetEncoder": "target",
}
"""What makes numbers of words."""
SCALERS: Mapping[str, str] = {
    "StandardScaler": "standard",
    "RobustScaler": "standard",
    "MinMaxScaler": "standard",
    "MaxAbsScaler": "standard",
    "QuantileTransformer": "quantile",
    "PowerTransformer": "quantile",
}
IMPUTERS = ("SimpleImputer", "KNNImputer", "IterativeImputer")
LOGARITHMS = ("log1p", "log", "log10", "log2", "sqrt")
EXPONENTIALS = ("expm1", "exp", "power", "square")
PIPELINES = ("make_pipeline", "Pipeline")
