"""Reads a program that somebody wrote as the nearest point of the pipeline space, so that it can be foretold.

It is read by its syntax and never run. What is fitted last is its model; what the model and its data are made of is how
they are prepared. A number that is not given is the library's usual one; one that cannot be read is a sensible one.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gedanken.worlds.ml_engineering.estimators import (
    ENCODERS,
    ENSEMBLES,
    ESTIMATORS,
    EXPONENTIALS,
    IMPUTERS,
    LOGARITHMS,
    NO_PENALTY,
    PIPELINES,
    ROOT_OF_COLUMNS,
    SCALERS,
    Estimator,
)
from gedanken.worlds.ml_engineering.metrics import Kind
from gedanken.worlds.ml_engineering.pipelines import SPACE, canonical, sensible
from gedanken.worlds.ml_engineering.syntax import UNKNOWN, Source
from gedanken.worlds.parameters import Categorical, Design, Value

_STRATEGIES = ("median", "mean", "most_frequent")
_WRAPPER = "TransformedTargetRegressor"
_FITS = 32
"""How many are looked at, from the last one on, for one of a model that is known."""


class _Model(NamedTuple):
    """An estimator in a program. call: what makes it; None where only its class is named."""

    estimator: Estimator
    call: ast.Call | None


def read_design(program: str, kind: Kind | None = None) -> Design | None:
    """The nearest point of the pipeline space, in its canonical form; None where no model that is known is found.

    Args:
        program: Python.
        kind: of its task; None leaves it to the model's class. It matters where a program has a model for each kind.
    """
    source = Source.of(program)
    if source is None:
        return None
    found = _fitted(source, kind)
    if found is None:
        return None
    model, fit = found
    regression = model.estimator.regression
    if kind is None:
        kind = "regression" if regression or (regression is None and _objective(source, model)) else "multiclass"
    usual = next(design for design in sensible(kind) if design["model"] == model.estimator.model)
    values: dict[str, Value] = {**usual, **_numbers(source, model), **_prepared(source, fit)}
    if kind == "regression":
        values["target"] = _target(source, fit)
    return canonical({name: _bounded(name, values[name]) for name in SPACE.names}, kind)


# --- Which model ----------------------------------------------------------------------------------------------------


def _fitted(source: Source, kind: Kind | None) -> tuple[_Model, ast.Call | None] | None:
    """What is fitted last, and where; None for the latter where a model is made and no fit of it is found."""
    calls = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
    fits = [call for call in calls if _is_train(source, call) or _is_fit(call)]
    fits.sort(key=lambda call: (call.end_lineno or 0, call.end_col_offset or 0), reverse=True)
    for call in fits[:_FITS]:
        if _is_train(source, call):
            return _Model(ESTIMATORS["lightgbm.train"], call), call
        nodes = source.reached([call.func], changes=False).nodes
        if models := _suited(_models(source, nodes), kind):
            several = any(source.called(node) in ENSEMBLES for node in nodes)
            return models[0 if several else -1], call
    models = _suited(_models(source, ast.walk(source.tree)), kind)
    return (models[-1], None) if models else None


def _models(source: Source, nodes: Iterable[ast.AST]) -> list[_Model]:
    found: list[_Model] = []
    for node in nodes:
        above = source.parents.get(node)
        if isinstance(node, ast.Call):
            if estimator := ESTIMATORS.get(source.called(node)):
                found.append(_Model(estimator, node))
        elif not (isinstance(above, ast.Call) and above.func is node) and (
            estimator := ESTIMATORS.get(source.name_of(node))
        ):
            found.append(_Model(estimator, None))
    return found


def _suited(models: Sequence[_Model], kind: Kind | None) -> list[_Model]:
    """Those for this kind of task; all, where none is: a regression may well be used to tell two classes apart."""
    regression = kind == "regression"
    suited = [model for model in models if kind is None or model.estimator.regression in (None, regression)]
    return suited or list(models)


def _is_fit(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "fit"


def _is_train(source: Source, call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Name(id=name), attr="train"):
            return source.imported.get(name) == "lightgbm"
    return False


def _objective(source: Source, model: _Model) -> bool:
    """Whether a booster without a class of its own is one of regression."""
    words = source.value(_given(source, model).get("objective", ast.Constant("regression")))
    return not (isinstance(words, str) and words.startswith(("binary", "multi", "cross")))


# --- Its numbers ----------------------------------------------------------------------------------------------------


def _given(source: Source, model: _Model) -> dict[str, ast.AST]:
    if model.call is None:
        return {}
    given = source.keywords(model.call, model.estimator.positions)
    return {**source.entries(given["params"]), **given} if "params" in given else given


def _numbers(source: Source, model: _Model) -> dict[str, float]:
    """Those that are known, in the space's own units."""
    estimator, call = model
    if call is None or any(keyword.arg is None and not source.entries(keyword.value) for keyword in call.keywords):
        # There is more than can be read; what is not given is then no usual value.
        usual = False
    else:
        usual = True
    given = _given(source, model)
    found: dict[str, float] = {}
    for argument in estimator.arguments:
        node = next((given[name] for name in argument.names if name in given), None)
        if node is None:
            value: Any = argument.usual if usual or argument.names == ("",) else UNKNOWN
        elif estimator.model == "svm":
            value = _ratio(source, node)
        else:
            value = source.value(node)
        if argument.parameter == "columns":
            value = _share(value)
        elif argument.parameter == "leaves":
            value = _leaves(value, source.value(given["max_depth"]) if "max_depth" in given else None)
        if isinstance(value, float | int) and not isinstance(value, bool):
            made = NO_PENALTY if value == 0 else argument.made(value)
            if math.isfinite(made):
                found[argument.parameter] = made
    if estimator.model == "network" and usual:
        found.update(_layers(source.value(given["hidden_layer_sizes"]) if "hidden_layer_sizes" in given else 100.0))
    return found


def _ratio(source: Source, node: ast.AST) -> Any:
    """A number, or how many times something that is not known: the spread of a target."""
    value = source.value(node)
    if value is UNKNOWN and isinstance(node, ast.BinOp):
        left, right = source.value(node.left), source.value(node.right)
        if isinstance(node.op, ast.Div) and isinstance(right, float) and right:
            return 1.0 / right
        if isinstance(node.op, ast.Mult):
            return left if isinstance(left, float) else right
    return value


def _share(value: Any) -> Any:
    match value:
        case "sqrt" | "log2" | "auto":
            return ROOT_OF_COLUMNS
        case None:
            return 1.0
        case float() if value > 1:
            return UNKNOWN  # so many of nobody knows how many
    return value


def _leaves(value: Any, depth: Any) -> Any:
    """How many there may be, by their number (None: any) and by the depth (None, or not above 0: any)."""
    deepest = 2.0 ** min(depth, 64.0) if isinstance(depth, float) and depth > 0 else math.inf
    if value is None:
        value = float(next(p.high for p in SPACE.parameters if p.name == "leaves"))  # type: ignore[union-attr]
    return min(value, deepest) if isinstance(value, float | int) else value


def _layers(sizes: Any) -> dict[str, float]:
    widths = sizes if isinstance(sizes, tuple) else (sizes,)
    numbers = [width for width in widths if isinstance(width, float) and width >= 1]
    if not numbers or len(numbers) < len(widths):
        return {}
    return {"hidden": math.exp(sum(map(math.log, numbers)) / len(numbers)), "layers": len(numbers)}


def _bounded(name: str, value: Value) -> Value:
    parameter = next(p for p in SPACE.parameters if p.name == name)
    if isinstance(parameter, Categorical):
        return value
    return parameter.checked(min(max(float(value), parameter.low), parameter.high))


# --- What it is prepared by -----------------------------------------------------------------------------------------


def _prepared(source: Source, fit: ast.Call | None) -> dict[str, str]:
    nodes = _of_data(source, fit)
    return {"missing": _missing(source, nodes), "words": _words(source, nodes), "scale": _scale(source, nodes)}


def _of_data(source: Source, fit: ast.Call | None) -> list[ast.AST]:
    """What the model and its examples are made of, their target left out; all there is where that is not told."""
    everything = list(ast.walk(source.tree))
    wrappers = [node for node in everything if source.called(node) == _WRAPPER]
    given = [value for node in wrappers for name, value in _wrapped(source, node).items() if name != "regressor"]
    foreign = set(source.reached(given).nodes)
    if fit is None:
        return [node for node in everything if node not in foreign]
    examples = [fit] if _is_train(source, fit) else [fit.func, *fit.args[:1]]
    examples += [keyword.value for keyword in fit.keywords if keyword.arg == "X"]
    nodes, is_open = source.reached(examples)
    return [node for node in (everything if is_open else nodes) if node not in foreign]


def _missing(source: Source, nodes: Sequence[ast.AST]) -> str:
    for node in nodes:
        name = source.called(node)
        if name in IMPUTERS and isinstance(node, ast.Call) and not _is_of_words(source, node):
            usual = ast.Constant("mean" if name == "SimpleImputer" else "median")
            strategy = source.value(source.keywords(node).get("strategy", usual))
            return strategy if strategy in _STRATEGIES else "median"
    for node in nodes:
        if source.called(node) == "nan_to_num":
            return "median"
        if isinstance(node, ast.Call) and source.called(node) == "fillna" and (node.args or node.keywords):
            by = node.args[0] if node.args else node.keywords[0].value
            origins = source.meanings(by, changes=False) if isinstance(by, ast.Name) else (by,)
            names = {source.called(inner) for origin in origins for inner in ast.walk(origin)}
            for how, strategy in (("median", "median"), ("mean", "mean"), ("mode", "most_frequent")):
                if how in names:
                    return strategy
            if isinstance(source.value(by), float):
                return "median"
    return "leave"


def _is_of_words(source: Source, imputer: ast.Call) -> bool:
    """Whether the pipeline that an imputer is a step of also encodes words."""
    for above in source.within(imputer):
        if source.called(above) in PIPELINES and isinstance(above, ast.Call):
            steps: list[ast.expr] = []
            for argument in above.args or [keyword.value for keyword in above.keywords]:
                steps += argument.elts if isinstance(argument, ast.List) else [argument]
            inner = [step.elts[-1] if isinstance(step, ast.Tuple) and step.elts else step for step in steps]
            return any(source.called(step) in ENCODERS for step in inner)
    return False


def _words(source: Source, nodes: Sequence[ast.AST]) -> str:
    for node in nodes:
        if encoding := ENCODERS.get(source.called(node)):
            return encoding
        if isinstance(node, ast.Attribute) and node.attr == "codes":
            return "ordinal"
        # Outside of a loop over columns, it is the target that is encoded.
        if source.called(node) == "LabelEncoder" and any(
            isinstance(above, ast.For | ast.comprehension | ast.DictComp | ast.ListComp)
            or source.called(above) == "apply"
            for above in source.within(node)
        ):
            return "ordinal"
    # Words that are left out do no more harm than numbers that mean little.
    return "ordinal" if any(source.called(node) == "select_dtypes" for node in nodes) else "leave"


def _scale(source: Source, nodes: Sequence[ast.AST]) -> str:
    return next((SCALERS[name] for node in nodes if (name := source.called(node)) in SCALERS), "none")


def _wrapped(source: Source, node: ast.AST) -> Mapping[str, ast.AST]:
    return source.keywords(node, ("regressor",)) if isinstance(node, ast.Call) else {}


def _target(source: Source, fit: ast.Call | None) -> str:
    """How the target is transformed: by a wrapper, or by hand and back again."""
    everything = list(ast.walk(source.tree))
    nodes = everything if fit is None else source.reached([fit.func], changes=False).nodes
    for node in nodes:
        if source.called(node) == _WRAPPER:
            given = _wrapped(source, node)
            how = source.reached([given[name] for name in ("func", "transformer") if name in given]).nodes
            if any(SCALERS.get(source.called(inner)) == "quantile" for inner in how):
                return "quantile"
            return "log" if any(source.name_of(inner) in LOGARITHMS for inner in how) else "none"
    if fit is None or _is_train(source, fit):
        return "none"
    of_target = [*fit.args[1:2], *(keyword.value for keyword in fit.keywords if keyword.arg == "y")]
    names = {source.called(node) for node in source.reached(of_target).nodes}
    back = {source.called(node) for node in everything}
    if names & set(LOGARITHMS) and back & set(EXPONENTIALS):
        return "log"
    back_again = "inverse_transform" in back
    return "quantile" if back_again and any(SCALERS.get(name) == "quantile" for name in names) else "none"
