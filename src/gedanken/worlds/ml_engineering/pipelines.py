"""Solutions as points of a design space: eight models with what prepares their data, each a complete program.

So agents that write no code act in the same world as those that do. Some points are mistakes of the kind that people
make: words or gaps given to a model that takes neither, the logarithm of something negative, a kernel over too many
rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gedanken.worlds.design import DesignSpace
from gedanken.worlds.ml_engineering.metrics import Kind
from gedanken.worlds.parameters import Categorical, Continuous, Design, Integer, Parameter

MODELS = ("linear", "neighbours", "svm", "forest", "extra_trees", "boosting", "lightgbm", "network")
SPACE = DesignSpace(
    (
        Categorical("model", MODELS),
        Categorical("missing", ("leave", "median", "mean", "most_frequent")),
        Categorical("words", ("leave", "ordinal", "one_hot", "target")),
        Categorical("scale", ("none", "standard", "quantile")),
        Categorical("target", ("none", "log", "quantile")),
        Continuous("regularisation", 1e-4, 1e2, log=True),
        Continuous("neighbours", 1, 100, log=True),
        Continuous("trees", 20, 600, log=True),
        Continuous("rate", 0.01, 0.5, log=True),
        Continuous("leaves", 4, 256, log=True),
        Continuous("least", 1, 64, log=True),
        Continuous("columns", 0.2, 1.0),
        Continuous("hidden", 8, 256, log=True),
        Integer("layers", 1, 3),
    )
)
"""Of all solutions; `relevant` says which parameters a model reads."""
_PREPARED = ("model", "missing", "words", "scale", "target")
_READ: Mapping[str, tuple[str, ...]] = {
    "linear": ("regularisation",),
    "neighbours": ("neighbours",),
    "svm": ("regularisation",),
    "forest": ("trees", "least", "columns"),
    "extra_trees": ("trees", "least", "columns"),
    "boosting": ("trees", "rate", "leaves", "least", "regularisation"),
    "lightgbm": ("trees", "rate", "leaves", "least", "columns", "regularisation"),
    "network": ("hidden", "layers", "rate", "regularisation"),
}
_STEP = 0.15
"""Standard deviation of a mutation, in the encoded unit interval."""


def relevant(design: Design) -> tuple[str, ...]:
    """The parameters that make a difference to a design's program (for classes, but for `target`)."""
    return (*_PREPARED, *_READ[str(design["model"])])


def canonical(design: Design, kind: Kind) -> Design:
    """The design with everything that makes no difference at the middle of its range; equal ones are equal programs."""
    kept = set(relevant(design)) - ({"target"} if kind != "regression" else set())
    return {p.name: design[p.name] if p.name in kept else _middle(p) for p in SPACE.parameters}


def mutated(design: Design, kind: Kind, rng: np.random.Generator, *, changes: int = 2) -> Design:
    """The design with some of what it reads changed: choices drawn anew, numbers moved."""
    names = [name for name in relevant(design) if kind == "regression" or name != "target"]
    found = dict(design)
    for name in rng.choice(names, min(changes, len(names)), replace=False):
        parameter = next(p for p in SPACE.parameters if p.name == name)
        if isinstance(parameter, Categorical):
            found[name] = str(rng.choice([level for level in parameter.levels if level != design[name]]))
        else:
            moved = np.array(parameter.encoded(design[name])) + _STEP * rng.standard_normal(1)  # type: ignore[arg-type]
            found[name] = parameter.decoded(moved)
    return canonical(found, kind)


def crossed(one: Design, other: Design, kind: Kind, rng: np.random.Generator) -> Design:
    """A design with each value from one of two."""
    mixed = {name: (one if rng.random() < 0.5 else other)[name] for name in SPACE.names}
    return canonical(mixed, kind)


def drawn(kind: Kind, count: int, *, seed: int) -> list[Design]:
    """Designs spread over the space."""
    return [canonical(design, kind) for design in SPACE.draw(count, seed=seed)]


def sensible(kind: Kind) -> list[Design]:
    """What somebody experienced would try first: every model with data that it can read, at usual settings."""
    usual: dict[str, float | int | str] = {
        "missing": "median",
        "words": "one_hot",
        "scale": "standard",
        "target": "none",
        "regularisation": 0.1,
        "neighbours": 15.0,
        "trees": 150.0,
        "rate": 0.1,
        "leaves": 31.0,
        "least": 5.0,
        "columns": 0.6,
        "hidden": 64.0,
        "layers": 1,
    }
    own: Mapping[str, Mapping[str, float | str]] = {
        "boosting": {"missing": "leave", "words": "ordinal", "scale": "none"},
        "lightgbm": {"missing": "leave", "words": "leave", "scale": "none"},
        "forest": {"words": "ordinal", "scale": "none"},
        "extra_trees": {"words": "ordinal", "scale": "none"},
        "network": {"rate": 0.01},
    }
    return [canonical({"model": model, **usual, **own.get(model, {})}, kind) for model in MODELS]


@dataclass(frozen=True)
class _Parts:
    """Lines of a program: its imports, and the expression of its model."""

    imports: Sequence[str]
    model: str


def program(design: Design, kind: Kind, *, seed: int = 0) -> str:
    """The complete Python program of a design: reads train.csv and test.csv, writes submission.csv."""
    design = canonical(SPACE.checked(design), kind)
    parts = _model(design, kind, seed)
    imports = ["import json", "", "import pandas as pd", *parts.imports]
    steps, more = _preparation(design)
    model = parts.model
    if kind == "regression" and design["target"] != "none":
        wrapped, extra = _target(str(design["target"]))
        model = f"TransformedTargetRegressor({model}, {wrapped})"
        more = [*more, "from sklearn.compose import TransformedTargetRegressor", *extra]
    plain, foreign = imports[:3], sorted({*imports[3:], *more, "from sklearn.pipeline import make_pipeline"})
    lines = [
        *plain,
        *foreign,
        "",
        'task = json.load(open("task.json"))',
        'train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")',
        'numbers = [name for name, kind in task["columns"].items() if kind == "number"]',
        'words = [name for name, kind in task["columns"].items() if kind == "word"]',
        'kinds = {name: "category" for name in words}',
        "x, unseen = train[numbers + words].astype(kinds), test[numbers + words].astype(kinds)",
        f'y = train[task["target"]]{"" if kind == "regression" else ".astype(str)"}',
        "",
        *steps,
        f"model = make_pipeline(prepare, {model})",
        "model.fit(x, y)",
        'answer = pd.DataFrame({"id": test["id"]})',
    ]
    if kind == "regression":
        lines.append('answer["prediction"] = model.predict(unseen)')
    else:
        lines.append("answer[list(model.classes_)] = model.predict_proba(unseen)")
    return "\n".join([*lines, 'answer.to_csv("submission.csv", index=False)', ""])


def _preparation(design: Design) -> tuple[list[str], list[str]]:
    """Lines that define `prepare`, and imports."""
    imports = ["from sklearn.compose import make_column_transformer"]
    number: list[str] = []
    if design["missing"] != "leave":
        imports.append("from sklearn.impute import SimpleImputer")
        number.append(f'SimpleImputer(strategy="{design["missing"]}")')
    match design["scale"]:
        case "standard":
            imports.append("from sklearn.preprocessing import StandardScaler")
            number.append("StandardScaler()")
        case "quantile":
            imports.append("from sklearn.preprocessing import QuantileTransformer")
            number.append('QuantileTransformer(output_distribution="normal", n_quantiles=min(len(x), 200))')
    encoder = '"passthrough"'
    match design["words"]:
        case "ordinal":
            imports.append("from sklearn.preprocessing import OrdinalEncoder")
            encoder = 'OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)'
        case "one_hot":
            imports.append("from sklearn.preprocessing import OneHotEncoder")
            encoder = 'OneHotEncoder(handle_unknown="ignore", min_frequency=5, sparse_output=False)'
        case "target":
            imports.append("from sklearn.preprocessing import TargetEncoder")
            encoder = "TargetEncoder(random_state=0)"
    numeric = f"make_pipeline({', '.join(number)})" if number else '"passthrough"'
    lines = [
        "prepare = make_column_transformer(",
        f"    ({numeric}, numbers),",
        f"    ({encoder}, words),",
        "    verbose_feature_names_out=False,",
        ').set_output(transform="pandas")',
    ]
    return lines, imports


def _target(how: str) -> tuple[str, list[str]]:
    if how == "log":
        return "func=np.log1p, inverse_func=np.expm1", ["import numpy as np"]
    scaler = 'QuantileTransformer(output_distribution="normal", n_quantiles=min(len(x), 200))'
    return f"transformer={scaler}", ["from sklearn.preprocessing import QuantileTransformer"]


def _model(design: Design, kind: Kind, seed: int) -> _Parts:
    regression = kind == "regression"
    strength, rate = float(design["regularisation"]), float(design["rate"])
    trees, leaves, least = (round(float(design[name])) for name in ("trees", "leaves", "least"))
    columns, hidden = float(design["columns"]), round(float(design["hidden"]))

    def of(module: str, name: str, arguments: str) -> _Parts:
        return _Parts([f"from {module} import {name}"], f"{name}({arguments})")

    match design["model"]:
        case "linear" if regression:
            return of("sklearn.linear_model", "Ridge", f"alpha={10 * strength:.4g}")
        case "linear":
            return of("sklearn.linear_model", "LogisticRegression", f"C={1 / strength:.4g}, max_iter=1000")
        case "neighbours":
            name = "KNeighborsRegressor" if regression else "KNeighborsClassifier"
            return of(
                "sklearn.neighbors", name, f'n_neighbors={round(float(design["neighbours"]))}, weights="distance"'
            )
        case "svm" if regression:
            # C is in units of the target, which the logarithm or quantiles change.
            return of("sklearn.svm", "SVR", f"C={'y.std() / ' if design['target'] == 'none' else '1 / '}{strength:.4g}")
        case "svm":
            imports = ["from sklearn.calibration import CalibratedClassifierCV", "from sklearn.svm import SVC"]
            return _Parts(imports, f"CalibratedClassifierCV(SVC(C={1 / strength:.4g}), cv=3, ensemble=False)")
        case "forest" | "extra_trees":
            family = "RandomForest" if design["model"] == "forest" else "ExtraTrees"
            name = f"{family}{'Regressor' if regression else 'Classifier'}"
            arguments = f"{trees}, min_samples_leaf={least}, max_features={columns:.3g}, random_state={seed}"
            return of("sklearn.ensemble", name, arguments)
        case "boosting":
            name = f"HistGradientBoosting{'Regressor' if regression else 'Classifier'}"
            arguments = f"learning_rate={rate:.4g}, max_iter={trees}, max_leaf_nodes={leaves}, "
            arguments += f"min_samples_leaf={least}, l2_regularization={strength:.4g}, random_state={seed}"
            return of("sklearn.ensemble", name, arguments)
        case "lightgbm":
            name = f"LGBM{'Regressor' if regression else 'Classifier'}"
            arguments = (
                f"n_estimators={trees}, learning_rate={rate:.4g}, num_leaves={leaves}, min_child_samples={least}, "
            )
            arguments += f"colsample_bytree={columns:.3g}, reg_lambda={strength:.4g}, random_state={seed}, "
            return of("lightgbm", name, arguments + "n_jobs=1, verbose=-1")
        case _:
            name = f"MLP{'Regressor' if regression else 'Classifier'}"
            sizes = ", ".join([str(hidden)] * int(design["layers"]))
            arguments = f"hidden_layer_sizes=({sizes},), alpha={strength:.4g}, learning_rate_init={rate / 10:.4g}, "
            return of("sklearn.neural_network", name, arguments + f"early_stopping=True, random_state={seed}")


def _middle(parameter: Parameter) -> float | int | str:
    if isinstance(parameter, Categorical):
        return parameter.levels[0]
    return parameter.decoded(np.array([0.5]))
