"""A laboratory: results late, in part, out of order, from several people; and killed at any instant."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gedanken.errors import BudgetRefused, ConfigError, FileError
from gedanken.experience.cost import Budget, Cost
from gedanken.intermediary.lab_config import FILE, LabConfig
from gedanken.intermediary.laboratory import Laboratory
from gedanken.intermediary.sheet import SHEET, read_sheet
from gedanken.worlds.design import DesignSpace, Linear
from gedanken.worlds.parameters import Categorical, Continuous, Integer
from gedanken.worlds.science.fidelity import Fidelities
from gedanken.worlds.science.prices import PriceList
from gedanken.worlds.science.table import MeasuredTable
from gedanken.worlds.science.trials import Objective, TrialState

SPACE = DesignSpace(
    (
        Continuous("temperature", 20, 120, "°C"),
        Continuous("base", 0.5, 2, log=True),
        Integer("hours", 1, 24, "h"),
        Categorical("solvent", ("water", "DMF")),
    ),
    (Linear((("temperature", 1.0), ("hours", 2.0)), 150.0),),
)
BOTH = (Objective("yield", "max", "%"), Objective("waste", "min"))
PRICES = PriceList({"experiments": 1, "micro_usd": 1_000}, {"micro_usd": {"solvent": {"water": 0, "DMF": 500}}})
DESIGN = {"temperature": 60.0, "base": 1.0, "hours": 5, "solvent": "DMF"}


def config(**changes: object) -> LabConfig:
    return LabConfig(
        **{"space": SPACE, "objectives": BOTH[:1], "prices": PRICES, "budget": Budget(experiments=8), **changes}
    )  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Laboratory.create(tmp_path / "lab", config()).close()
    return tmp_path / "lab"


def table() -> MeasuredTable:
    designs = tuple(SPACE.checked(design) for design in SPACE.draw(6, seed=3))
    return MeasuredTable("known", SPACE, BOTH[:1], designs, np.arange(6.0)[:, None])


# --- The description ------------------------------------------------------------------------------------------------


def test_the_description_is_read_as_it_was_written(tmp_path: Path) -> None:
    one = config(objectives=BOTH, seed=3, name="my lab", planner="random")
    one.write(tmp_path / FILE)
    assert LabConfig.read(tmp_path / FILE) == one
    assert "temperature" in (tmp_path / FILE).read_text() and "°C" in (tmp_path / FILE).read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("experiments: 8", "euros: 8", "budget does not fit"),
        ("goal: max", "goal: up", "no goal"),
        ("goal: max", "gaol: max", "cannot be read"),
        ("low: 20", "low: 200", "no range"),
        ("seed: 0", "seeds: 0", "nobody reads"),
        ("planner: bayesian", "planner: oracle", "no such planner"),
        ("each: 1000", "each: much", "whole number"),
        ("\nparameters:", "\nparams:", "No laboratory"),
        ("\nobjectives:", "\nobjectives: [", "cannot be read"),
        ("type: integer", "type: whole", "cannot be read"),
    ],
)
def test_a_description_that_is_none_is_refused(folder: Path, old: str, new: str, said: str) -> None:
    path = folder / FILE
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=said):
        Laboratory.open(folder)


def test_a_folder_without_a_laboratory_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no laboratory"):
        Laboratory.open(tmp_path)


def test_a_constraint_that_leaves_nothing_says_so(tmp_path: Path) -> None:
    space = DesignSpace(SPACE.parameters, (Linear((("temperature", 1.0),), 5.0),))
    with (
        Laboratory.create(tmp_path / "lab", config(space=space)) as lab,
        pytest.raises(ConfigError, match="next to nothing"),
    ):
        lab.ask()


def test_bounds_can_be_widened_but_not_below_what_was_tried(folder: Path) -> None:
    with Laboratory.open(folder) as lab:
        lab.add(DESIGN)
    path = folder / FILE
    before = path.read_text()
    path.write_text(before.replace("high: 120", "high: 140"))
    Laboratory.open(folder).close()
    path.write_text(before.replace("high: 120", "high: 50"))
    with pytest.raises(ConfigError, match="no longer fits trial 1"):
        Laboratory.open(folder)


# --- Asking, telling, paying ----------------------------------------------------------------------------------------


def test_what_was_done_before_is_known_and_costs_nothing(tmp_path: Path) -> None:
    with Laboratory.create(tmp_path / "lab", config(), known=table()) as lab:
        assert lab.paid["experiments"] == 0 and lab.found().trace == [0, 1, 2, 3, 4, 5]
        asked = lab.ask(2)
        assert [trial.id for trial in asked] == ["7", "8"] and asked[0].state is TrialState.CANDIDATE
        assert lab.suggestions.entries[7].forecasts["yield"].low < lab.suggestions.entries[7].forecasts["yield"].high
        assert lab.paid["experiments"] == 0, "nothing was decided"


def test_a_trial_is_paid_when_it_is_staged_and_settled_when_it_is_told(folder: Path) -> None:
    with Laboratory.open(folder) as lab:
        asked = lab.ask(2, stage=True)
        assert lab.paid["experiments"] == 2 and lab.ledger.balance("learn").outstanding.of("experiments") == 2
    with Laboratory.open(folder) as lab:
        assert lab.paid["experiments"] == 2 and lab.ledger.balance("learn").unknown.of("experiments") == 2
        done = lab.tell(asked[0].id, {"yield": 40.0}, cost=Cost(experiments=1, micro_usd=300))
        assert done.state is TrialState.COMPLETED and lab.ledger.balance("learn").spent.of("micro_usd") == 300
        assert lab.tell(asked[1].id, state=TrialState.ABANDONED).cost == Cost()
        assert lab.paid["experiments"] == 1, "what never began is not paid for"


def test_results_may_come_in_parts_and_again(tmp_path: Path) -> None:
    with Laboratory.create(tmp_path / "lab", config(objectives=BOTH)) as lab:
        (trial,) = lab.ask()
        assert lab.tell(trial.id, {"waste": 3.0}).state is TrialState.RUNNING
        assert lab.tell(trial.id, {"yield": 50.0}).state is TrialState.COMPLETED
        paid, lines = lab.paid, len((tmp_path / "lab" / "trials.jsonl").read_text().splitlines())
        again = lab.tell(trial.id, {"yield": 50.0, "waste": 3.0})
        assert again.results == {"yield": 50.0, "waste": 3.0} and lab.paid == paid
        assert len((tmp_path / "lab" / "trials.jsonl").read_text().splitlines()) == lines
        with pytest.raises(ConfigError, match="told before"):
            lab.tell(trial.id, {"yield": 51.0})
        assert lab.tell(trial.id, {"yield": 51.0}, correct=True).results["yield"] == 51.0 and lab.paid == paid


def test_a_failed_trial_may_be_run_again_and_is_paid_twice(folder: Path) -> None:
    with Laboratory.open(folder) as lab:
        (trial,) = lab.ask(stage=True)
        lab.tell(trial.id, state=TrialState.FAILED, note="the pump ran dry")
        assert lab.paid["experiments"] == 1
        lab.move(trial.id, TrialState.RUNNING)
        assert lab.paid["experiments"] == 2
        assert lab.tell(trial.id, {"yield": 1.0}).state is TrialState.COMPLETED and lab.paid["experiments"] == 2


def test_candidates_that_nobody_staged_are_stale_when_others_are_asked_for(folder: Path) -> None:
    with Laboratory.open(folder) as lab:
        first = lab.ask(2)
        lab.ask()
        assert [t.state for t in lab.trials()] == [TrialState.STALE, TrialState.STALE, TrialState.CANDIDATE]
        assert lab.tell(first[0].id, {"yield": 5.0}).state is TrialState.COMPLETED, "somebody ran it all the same"


def test_nothing_is_spent_beyond_the_budget(folder: Path) -> None:
    with Laboratory.open(folder) as lab:
        assert len(lab.ask(20)) == 8
        for trial in lab.trials():
            lab.move(trial.id, TrialState.RUNNING)
        with pytest.raises(BudgetRefused, match="another experiment"):
            lab.ask()
        mine = lab.add(DESIGN)
        with pytest.raises(BudgetRefused):
            lab.tell(mine.id, {"yield": 3.0})
        assert lab.trials()[-1] == mine and lab.paid["experiments"] == 8
    path = folder / FILE
    path.write_text(path.read_text().replace("experiments: 8", "experiments: 9"))
    with Laboratory.open(folder) as lab:
        assert lab.tell(mine.id, {"yield": 3.0}).state is TrialState.COMPLETED and lab.paid["experiments"] == 9


WRONG: list[tuple[str, Callable[[Laboratory], object]]] = [
    ("no trial", lambda lab: lab.tell("99", {"yield": 1.0})),
    ("Nothing of this name", lambda lab: lab.tell("1", {"yeild": 1.0})),
    ("no result", lambda lab: lab.tell("1", {"yield": float("nan")})),
    ("no result", lambda lab: lab.tell("1", {"yield": "71 %"})),  # type: ignore[dict-item]
    ("cannot go", lambda lab: lab.tell("2", state=TrialState.RUNNING)),
    ("then it has no result", lambda lab: lab.tell("1", {"yield": 1.0}, state=TrialState.FAILED)),
    ("without a result", lambda lab: lab.tell("1", state=TrialState.COMPLETED)),
    ("cost more", lambda lab: lab.tell("1", {"yield": 1.0}, cost=Cost(experiments=2))),
    ("out of bounds", lambda lab: lab.add({**DESIGN, "temperature": 500.0})),
    ("no such level", lambda lab: lab.add({**DESIGN, "solvent": "THF"})),
    ("constraint", lambda lab: lab.add({**DESIGN, "temperature": 115.0, "hours": 24})),
]


@pytest.mark.parametrize(("said", "wrong"), WRONG)
def test_what_cannot_be_is_refused_and_changes_nothing(
    folder: Path, said: str, wrong: Callable[[Laboratory], object]
) -> None:
    with Laboratory.open(folder) as lab:
        lab.add(DESIGN)
        lab.tell(lab.add({**DESIGN, "hours": 6}).id, {"yield": 7.0})
        before = (
            lab.trials(),
            lab.paid,
            {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".jsonl", ".csv")},
        )
        with pytest.raises(ConfigError, match=said):
            wrong(lab)
        assert before == (
            lab.trials(),
            lab.paid,
            {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".jsonl", ".csv")},
        )


# --- The sheet ------------------------------------------------------------------------------------------------------


def edit(path: Path, change: Callable[[list[dict[str, str]]], None]) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def taken_in(lab: Laboratory) -> list[str]:
    return [trial.id for trial in lab.take_in(read_sheet(lab.folder / SHEET, lab.config))]


def test_an_edited_sheet_is_taken_in(folder: Path) -> None:
    with Laboratory.open(folder) as lab:
        lab.ask(3)

        def change(rows: list[dict[str, str]]) -> None:
            rows[0]["yield"] = "55.5"
            rows[1] |= {"state": "failed", "note": "spilt"}
            rows.append({**dict.fromkeys(rows[0], ""), **{k: str(v) for k, v in DESIGN.items()}, "yield": "61"})

        assert taken_in(lab) == [], "untouched, it changes nothing"
        edit(folder / SHEET, change)
        assert taken_in(lab) == ["1", "2", "4"]
        states = [trial.state for trial in lab.trials()]
        assert states == [TrialState.COMPLETED, TrialState.FAILED, TrialState.CANDIDATE, TrialState.COMPLETED]
        assert lab.trials()[1].note == "spilt" and lab.paid["experiments"] == 3 and lab.found().trace[-1] == 61.0
        assert taken_in(lab) == []


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("yield", "71 %", "no number in line 2"),
        ("yield", "nan", "Line 2: 'yield' of trial 1 is no result"),
        ("temperature", "500", "out of bounds in line 2"),
        ("temperature", "61", "design of trial 1 cannot be changed"),
        ("solvent", "THF", "no such level in line 2"),
        ("state", "DONE", "no such state in line 2"),
        ("state", "COMPLETED", "Line 2: Trial 1 is complete without a result"),
        ("id", "77", "Line 2: There is no trial"),
    ],
)
def test_a_wrong_cell_is_named_and_nothing_is_taken_in(folder: Path, column: str, value: str, said: str) -> None:
    with Laboratory.open(folder) as lab:
        lab.add(DESIGN)
        lab.add({**DESIGN, "hours": 6})

        def change(rows: list[dict[str, str]]) -> None:
            rows[0][column] = value
            rows[1]["yield"] = "5"

        edit(folder / SHEET, change)
        before = lab.trials()
        with pytest.raises(ConfigError, match=said):
            taken_in(lab)
        assert lab.trials() == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n1,2\n",
        "temperature,base,hours,solvent,yield,colour\n60,1,5,DMF,3,red\n",
        "temperature,base,hours,solvent\n60,1,5,DMF\n",
    ],
)
def test_a_sheet_with_other_columns_is_refused(folder: Path, text: str) -> None:
    (folder / "other.csv").write_text(text)
    with pytest.raises(ConfigError, match="other columns"):
        read_sheet(folder / "other.csv", config())


# --- Several people, and crashes ------------------------------------------------------------------------------------

_WORK = """
import sys
from pathlib import Path
from gedanken.intermediary.laboratory import Laboratory
from gedanken.worlds.science.trials import TrialState
for turn in range(int(sys.argv[2])):
    with Laboratory.open(Path(sys.argv[1])) as lab:
        lab.config.space
        design = {"temperature": 60.0, "base": 1.0, "hours": 1 + turn, "solvent": sys.argv[3]}
        trial = lab.add(design)
        print("added", flush=True)
        lab.move(trial.id, TrialState.RUNNING)
    with Laboratory.open(Path(sys.argv[1])) as lab:
        lab.tell(trial.id, {"yield": float(turn)})
        print("told", flush=True)
"""


def working(folder: Path, turns: int, solvent: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WORK, str(folder), str(turns), solvent], stdout=subprocess.PIPE, text=True
    )


def test_two_people_at_once_lose_nothing_and_never_overspend(folder: Path) -> None:
    people = [working(folder, 4, solvent) for solvent in ("water", "DMF")]
    assert [person.wait(120) for person in people] == [0, 0]
    for person in people:
        assert person.stdout is not None
        person.stdout.close()
    with Laboratory.open(folder) as lab:
        assert len(lab.trials()) == 8 and all(trial.state is TrialState.COMPLETED for trial in lab.trials())
        assert lab.paid["experiments"] == 8 == lab.ledger.balance("learn").spent.of("experiments")


@pytest.mark.parametrize("point", ["reserve", "append", "settle", "sheet"])
def test_killed_between_any_two_writes_it_is_charged_once(folder: Path, point: str) -> None:
    script = f"""
import os
from pathlib import Path
from gedanken.intermediary import laboratory
from gedanken.intermediary.laboratory import Laboratory
from gedanken.worlds.science.trials import TrialState
lab = Laboratory.open(Path({str(folder)!r}))
trial = lab.add({DESIGN!r})
lab.move(trial.id, TrialState.RUNNING)
def die(*_, **__): os.kill(os.getpid(), 9)
point = {point!r}
second = lab.add({ {**DESIGN, "hours": 7}!r})
if point == "append": lab.log.append = die
if point == "settle": lab._settle = die
if point == "sheet": laboratory.write_sheet = die
if point == "reserve":
    lab.log.append = die
    lab.move(second.id, TrialState.STAGED)
lab.tell(trial.id, {{"yield": 3.0}})
"""
    died = subprocess.run([sys.executable, "-c", script], check=False)
    assert died.returncode == -signal.SIGKILL
    with Laboratory.open(folder) as lab:
        assert lab.paid["experiments"] == 1
        if lab.trials()[0].state is TrialState.RUNNING:
            lab.tell("1", {"yield": 3.0})
        assert lab.trials()[0].results == {"yield": 3.0} and lab.trials()[1].state is TrialState.CANDIDATE
        assert lab.ledger.balance("learn").spent.of("experiments") == 1 == lab.paid["experiments"]


def test_a_torn_last_line_is_cut_off_and_any_other_damage_is_told(folder: Path) -> None:
    with Laboratory.open(folder) as lab:
        lab.add(DESIGN)
        lab.add({**DESIGN, "hours": 6})
    path = folder / "trials.jsonl"
    whole = path.read_bytes()
    for size in range(len(whole) - 40, len(whole)):
        path.write_bytes(whole[:size])
        with Laboratory.open(folder) as lab:
            assert len(lab.trials()) == 1
    path.write_bytes(b"x" + whole)
    with pytest.raises(FileError, match="Line 1"):
        Laboratory.open(folder)
    assert os.path.getsize(path) == len(whole) + 1


def test_coarse_experiments_cost_their_share_and_count_as_such(tmp_path: Path) -> None:
    with Laboratory.create(tmp_path / "lab", config(fidelities=Fidelities({0.25: 0.1, 1.0: 1.0}))) as lab:
        first = lab.ask()[0]
        assert first.fidelity == 0.25 and first.cost == Cost(experiments=1, micro_usd=first.cost["micro_usd"])
        assert first.cost["micro_usd"] in (100, 150)
        lab.tell(first.id, {"yield": 99.0})
        assert lab.found().trace == [], "a coarse result is no result"
        lab.tell(lab.add(DESIGN).id, {"yield": 30.0})
        assert lab.found().trace == [30.0]
        assert "fidelity" in (tmp_path / "lab" / SHEET).read_text().splitlines()[0]
        assert taken_in(lab) == []
        with pytest.raises(ConfigError, match="no such fidelity"):
            lab.add(DESIGN, fidelity=0.5)
    assert LabConfig.read(tmp_path / "lab" / FILE).fidelities == Fidelities({0.25: 0.1, 1.0: 1.0})
