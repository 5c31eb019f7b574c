from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gedanken.worlds.ml_engineering.metrics import KINDS, Kind
from gedanken.worlds.ml_engineering.pipelines import SPACE, canonical, program, relevant, sensible
from gedanken.worlds.ml_engineering.reading import read_design
from gedanken.worlds.parameters import Categorical, Continuous, Design

ROUNDED = ("trees", "leaves", "least", "neighbours", "hidden")


@st.composite
def designs(draw: Any) -> Design:
    found: dict[str, Any] = {}
    for parameter in SPACE.parameters:
        if isinstance(parameter, Categorical):
            found[parameter.name] = draw(st.sampled_from(parameter.levels))
        elif isinstance(parameter, Continuous):
            found[parameter.name] = draw(st.floats(parameter.low, parameter.high))
        else:
            found[parameter.name] = draw(st.integers(parameter.low, parameter.high))
    return found


def same(one: Design, other: Design) -> bool:
    """Up to the digits that a program prints."""
    for name in SPACE.names:
        if isinstance(one[name], str):
            if one[name] != other[name]:
                return False
        elif name in ROUNDED and name in relevant(one):
            if abs(float(one[name]) - float(other[name])) > 0.5 + 1e-9:
                return False
        elif float(other[name]) != pytest.approx(float(one[name]), rel=5e-3):
            return False
    return True


@given(designs(), st.sampled_from(KINDS))
def test_what_a_design_writes_is_read_as_that_design(design: Design, kind: Kind) -> None:
    written = program(design, kind)
    for read in (read_design(written), read_design(written, kind)):
        assert read is not None
        found, wanted = canonical(read, kind), canonical(design, kind)
        assert same(wanted, found), (wanted, found)
        assert program(found, kind) == written


def ask(lines: str, kind: Kind | None = None, **wanted: object) -> None:
    read = read_design(lines, kind)
    assert read is not None
    assert {name: read[name] for name in wanted} == {
        name: pytest.approx(value) if isinstance(value, float) else value for name, value in wanted.items()
    }
    assert SPACE.checked(read) == read


# --- The model and its numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("Ridge(5.0)", {"model": "linear", "regularisation": 0.5}),
        ("LinearRegression()", {"model": "linear", "regularisation": 1e-4}),
        ("RidgeCV(alphas=[0.1, 1.0])", {"model": "linear", "regularisation": 0.1}),
        ("LogisticRegression(C=0.5)", {"model": "linear", "regularisation": 2.0}),
        ("LogisticRegression(C=0)", {"model": "linear", "regularisation": 1e-4}),
        ("KNeighborsClassifier(7)", {"model": "neighbours", "neighbours": 7.0}),
        ("KNeighborsClassifier(n_neighbors=int(2 * 4))", {"neighbours": 8.0}),
        ("KNeighborsClassifier(n_neighbors=k)", {"neighbours": 15.0}),
        ("SVC(C=10, probability=True)", {"model": "svm", "regularisation": 0.1}),
        ("SVR(C=2 * y.std())", {"model": "svm", "regularisation": 0.5}),
        ("RandomForestClassifier(300)", {"model": "forest", "trees": 300.0, "least": 1.0, "columns": 0.3}),
        ("RandomForestRegressor()", {"trees": 100.0, "columns": 1.0}),
        ("RandomForestClassifier(n_estimators=5000, max_features=None)", {"trees": 600.0, "columns": 1.0}),
        ("RandomForestClassifier(n_estimators=n, max_features=7)", {"trees": 150.0, "columns": 0.6}),
        ("ExtraTreesClassifier(max_features='log2')", {"model": "extra_trees", "columns": 0.3}),
        (
            "HistGradientBoostingRegressor(learning_rate=0.05, max_iter=3 * 10**2, max_depth=4)",
            {"model": "boosting", "rate": 0.05, "trees": 300.0, "leaves": 16.0, "least": 20.0, "regularisation": 1e-4},
        ),
        ("HistGradientBoostingRegressor(max_leaf_nodes=None)", {"leaves": 256.0}),
        ("GradientBoostingClassifier()", {"model": "boosting", "leaves": 8.0, "least": 1.0}),
        (
            "LGBMClassifier(n_estimators=400, num_leaves=63, reg_lambda=2, colsample_bytree=0.8, max_depth=-1)",
            {"model": "lightgbm", "trees": 400.0, "leaves": 63.0, "regularisation": 2.0, "columns": 0.8},
        ),
        (
            "LGBMRegressor('gbdt', 15, min_data_in_leaf=3, feature_fraction=0.5, lambda_l2=1e-3)",
            {"leaves": 15.0, "least": 3.0, "columns": 0.5, "regularisation": 1e-3},
        ),
        ("MLPClassifier()", {"model": "network", "hidden": 100.0, "layers": 1, "rate": 0.01}),
        ("MLPClassifier((32, 128))", {"hidden": 64.0, "layers": 2}),
        ("MLPClassifier((64,) * 3, alpha=0.1)", {"hidden": 64.0, "layers": 3, "regularisation": 0.1}),
        ("MLPClassifier(hidden_layer_sizes=sizes)", {"hidden": 64.0, "layers": 1}),
    ],
)
def test_numbers(model: str, wanted: dict[str, object]) -> None:
    ask(f"from x import *\nmodel = {model}\nmodel.fit(x, y)\n", **wanted)


def test_names_of_modules_and_classes() -> None:
    ask("import lightgbm as lgb\nlgb.LGBMClassifier(n_estimators=50).fit(x, y)", model="lightgbm", trees=50.0)
    ask(
        "from sklearn.ensemble import RandomForestClassifier as RF\nm = RF(60)\nm.fit(x, y)", model="forest", trees=60.0
    )
    ask("import sklearn.svm\nsklearn.svm.SVC(C=2).fit(x, y)", model="svm", regularisation=0.5)


def test_numbers_by_names_and_dictionaries() -> None:
    ask(
        "N = 200\nm = RandomForestClassifier(n_estimators=N, min_samples_leaf=P['l'])\nP = {'l': 4}\nm.fit(x, y)",
        trees=200.0,
    )
    lines = "base = dict(learning_rate=0.2)\nparams = {**base, 'n_estimators': 250}\nm = LGBMRegressor(**params)\n"
    ask(lines + "m.fit(x, y)", rate=0.2, trees=250.0, leaves=31.0)
    # What cannot be seen is sensible, not usual: more may be given than is written.
    ask("m = RandomForestClassifier(**unknown)\nm.fit(x, y)", trees=150.0, least=5.0)


def test_lightgbm_by_its_function() -> None:
    lines = "import lightgbm as lgb\nparams = {'objective': '%s', 'num_leaves': 20, 'eta': 0.3}\n"
    lines += "booster = lgb.train(params, lgb.Dataset(x, y), num_boost_round=80)\n"
    ask(lines % "regression", model="lightgbm", leaves=20.0, rate=0.3, trees=80.0)
    ask(lines % "multiclass", model="lightgbm", target="none")


def test_the_model_that_is_fitted_last_counts() -> None:
    lines = """
first = Ridge().fit(x, y)
pipeline = Pipeline([("select", SelectFromModel(RandomForestRegressor())), ("model", LGBMRegressor(n_estimators=90))])
search = GridSearchCV(pipeline, {})
unused = SVR()
search.fit(x, y)
scaler.fit(x)
"""
    ask(lines, model="lightgbm", trees=90.0)


def test_a_model_from_a_function_and_a_loop() -> None:
    lines = """
def build(trees, least=9):
    return make_pipeline(StandardScaler(), ExtraTreesClassifier(n_estimators=trees, min_samples_leaf=least))

def train(model, x, y):
    for fold in folds:
        model.fit(x, y)
    return model

train(build(70), x, y)
"""
    ask(lines, model="extra_trees", trees=70.0, least=9.0, scale="standard")
    ask("for m in [SVC(), KNeighborsClassifier(3)]:\n    m.fit(x, y)", model="neighbours", neighbours=3.0)


def test_the_first_of_an_ensemble_stands_for_it() -> None:
    lines = (
        "m = StackingClassifier([('a', ExtraTreesClassifier()), ('b', SVC())], final_estimator=LogisticRegression())"
    )
    ask(f"{lines}\nm.fit(x, y)", model="extra_trees")


def test_a_program_for_every_kind_of_task() -> None:
    lines = """
if task["kind"] == "regression":
    model = HistGradientBoostingRegressor(max_iter=50)
    model = TransformedTargetRegressor(model, func=np.log1p, inverse_func=np.expm1)
else:
    model = HistGradientBoostingClassifier(max_iter=70)
model.fit(x, y)
other = (RandomForestRegressor if regression else RandomForestClassifier)(n_estimators=5)
"""
    ask(lines, "regression", trees=50.0, target="log")
    ask(lines, "binary", trees=70.0, target="none")
    ask("m = Ridge(alpha=1) if regression else LogisticRegression(C=4)\nm.fit(x, y)", "regression", regularisation=0.1)
    ask("m = Ridge(alpha=1) if regression else LogisticRegression(C=4)\nm.fit(x, y)", "binary", regularisation=0.25)
    ask("M = RandomForestRegressor if r else RandomForestClassifier\nm = M()\nm.fit(x, y)", "binary", model="forest")


# --- What it is prepared by -----------------------------------------------------------------------------------------

USUAL = """
numeric = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", RobustScaler())])
words = Pipeline([("impute", SimpleImputer(strategy="most_frequent")), ("encode", OneHotEncoder(sparse_output=False))])
prepare = ColumnTransformer([("words", words, w), ("numbers", numeric, n)])
model = Pipeline([("prepare", prepare), ("model", LogisticRegression())])
model.fit(x, y)
"""


def test_the_usual_pipeline() -> None:
    ask("n, w = [], []\nx = y = 0\n" + USUAL, missing="median", words="one_hot", scale="standard")


def test_what_is_not_there_is_not_guessed() -> None:
    ask("x = y = 0\nm = RandomForestClassifier()\nm.fit(x, y)", missing="leave", words="leave", scale="none")


def test_preparation_of_another_model_does_not_count() -> None:
    ask(
        "x = y = n = w = 0\n" + USUAL + "m = LGBMClassifier()\nm.fit(x, y)",
        missing="leave",
        words="leave",
        scale="none",
    )


def test_preparation_by_hand() -> None:
    lines = """
train = pd.read_csv("train.csv")
for name in words:
    train[name] = train[name].astype("category").cat.codes
train[numbers] = train[numbers].fillna(train[numbers].mean())
y = train["price"]
x = train.drop(columns=["price"])
scaler = PowerTransformer()
x = scaler.fit_transform(x)
model = KNeighborsRegressor()
model.fit(x, y)
"""
    ask(lines, missing="mean", words="ordinal", scale="quantile", target="none")
    ask(lines.replace(".fillna(train[numbers].mean())", ".fillna(-1)"), missing="median")
    ask(
        lines.replace('train[name].astype("category").cat.codes', "LabelEncoder().fit_transform(train[name])"),
        words="ordinal",
    )


def test_an_encoded_target_is_no_word() -> None:
    ask("y = LabelEncoder().fit_transform(t)\nx = 0\nm = SVC()\nm.fit(x, y)", words="leave")
    ask("y = StandardScaler().fit_transform(t)\nx = 0\nm = SVR()\nm.fit(x, y)", scale="none")


def test_dummies_and_columns_left_out() -> None:
    ask("x = pd.get_dummies(train)\nm = SVC()\nm.fit(x, y)", words="one_hot")
    ask("x = train.select_dtypes('number')\nm = SVC()\nm.fit(x, y)", words="ordinal")
    ask("m = SVC()\nm.fit(TargetEncoder().fit_transform(x, y), y)", words="target")
    ask("m = make_pipeline(KNNImputer(), SVC())\nm.fit(x, y)", missing="median")


def test_targets() -> None:
    ask("y = np.log1p(t)\nm = Ridge()\nm.fit(x, y)\np = np.expm1(m.predict(z))", target="log")
    ask("y = np.log1p(t)\nm = Ridge()\nm.fit(x, y)\np = m.predict(z)", target="none")
    ask(
        "m = TransformedTargetRegressor(regressor=Ridge(), transformer=PowerTransformer())\nm.fit(x, y)",
        target="quantile",
        scale="none",
    )
    ask(
        "q = QuantileTransformer()\ny = q.fit_transform(t)\nx = 0\nm = Ridge()\nm.fit(x, y)\nq.inverse_transform(p)",
        target="quantile",
        scale="none",
    )
    ask("y = np.log1p(t)\nm = LogisticRegression()\nm.fit(x, y)\np = np.expm1(1)", target="none")


# --- What is no such program ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "print(1)",
        "def broken(:",
        "\0",
        "x = 1\nx.fit(y)",
        "model = XGBClassifier()\nmodel.fit(x, y)",
        "(" * 5_000,
        "-" * 50_000 + "1",
        "model = model\nmodel.fit(x, y)",
        "a = b\nb = a\na.fit(b)",
        "'Ridge().fit(x, y)'",
    ],
)
def test_nothing_is_read_of_what_has_no_known_model(lines: str) -> None:
    assert read_design(lines) is None


@pytest.mark.parametrize(
    "argument",
    [
        "10**10**10",
        "9" * 4_000,
        "1e400",
        "-1e400",
        "(1,) * 10**9",
        "'a' * 10**9",
        "1 / 0",
        "True",
        "None",
        "[[1]]",
        "n",
        "lambda: 1",
        "(-1) ** 0.5",
        "0 * 1e400",
    ],
)
def test_no_argument_is_too_strange(argument: str) -> None:
    for model in ("MLPRegressor", "LGBMClassifier", "RandomForestRegressor", "Ridge", "SVR", "LogisticRegression"):
        for name in ("alpha", "C", "hidden_layer_sizes", "n_estimators", "max_features", "num_leaves", "max_depth"):
            read = read_design(f"n = n\nm = {model}({name}={argument})\nm.fit(x, y)")
            assert read is not None and SPACE.checked(read) == read


def test_a_program_is_not_run(tmp_path: Any) -> None:
    path = tmp_path / "made"
    assert read_design(f"open({str(path)!r}, 'w')\nRidge().fit(x, y)") is not None
    assert not path.exists()


def test_long_programs_are_read_in_time() -> None:
    began = time.monotonic()
    lines = "".join(f"x = x.fillna({i})\n" for i in range(5_000))
    ask(lines + "m = Ridge()\nm.fit(x, y)", model="linear", missing="median")
    ask("def f(a):\n    return f(a)\n" * 2_000 + "f(Ridge()).fit(x, y)", model="linear")
    assert time.monotonic() - began < 20


def test_sensible_programs_are_told_apart() -> None:
    for kind in KINDS:
        read = [read_design(program(design, kind), kind) for design in sensible(kind)]
        assert [each and each["model"] for each in read] == [design["model"] for design in sensible(kind)]
