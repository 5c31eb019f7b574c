import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gedanken.agents.engineer import Evolution, Proposal
from gedanken.errors import ConfigError, FileError, GedankenError
from gedanken.experience.cost import Budget
from gedanken.intermediary import engineering, engineers
from gedanken.intermediary.attempt_log import INTERRUPTED, AttemptLog
from gedanken.intermediary.engineering import Engineering
from gedanken.intermediary.engineers import EngineeringConfig, WriterConfig
from gedanken.intermediary.run import LEARN
from gedanken.worlds.ml_engineering.attempt import VALID, Attempt, Verdict
from gedanken.worlds.ml_engineering.grading import Graded, Score
from gedanken.worlds.ml_engineering.pipelines import drawn, program
from gedanken.worlds.sandbox import Isolation
from tests.llm import FakeLLM, Reply, completion, fenced
from tests.models.attempts.synthetic import heads

CONFIG = EngineeringConfig(
    task="hitters", budget={"seconds": 20}, agent="evolution", limit_seconds=5, isolation=Isolation.LIMITS
)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Programs that are not run: each takes a second, every third one fails, later ones are better."""
    ran: list[str] = []

    def attempt(task: Any, program: str, **_: Any) -> tuple[Attempt, Graded | None]:
        ran.append(program)
        number = len(ran)
        if number % 3 == 0:
            return Attempt(Verdict.ERROR, 3, None, None, 1_000, 900, 50, 400, "", "ValueError: no"), None
        rows = len(task.split.validation) + len(task.split.hidden)
        score = Score(100.0 - number, number / 100)
        predicted = pd.Series(range(rows)).to_numpy(float)
        graded = Graded(score, Score(200.0 - number, number / 200), predicted)
        return Attempt(Verdict.OK, VALID, score, graded.hidden, 1_000, 900, 50, 400, "printed", ""), graded

    monkeypatch.setattr(engineering, "attempt", attempt)
    return ran


def finished(folder: Path, config: EngineeringConfig = CONFIG) -> dict[str, Any]:
    with Engineering.create(folder, config) as campaign:
        return campaign.run().to_json()


def test_it_spends_its_budget_and_tells_what_was_found(tmp_path: Path, quick: list[str]) -> None:
    found = finished(tmp_path / "c")
    # Of 20 s, 7 are reserved for each program of at most 5; with less than 4 left none is begun.
    assert found["paid"] == {"milliseconds": 1_000 * len(quick), "cpu_ms": 900 * len(quick)}
    assert 16 <= len(quick) <= 17 and found["ended"] == "the budget is spent"
    best = max(number for number in range(1, len(quick) + 1) if number % 3)
    assert found["best"]["validation"] == {"score": 100.0 - best, "skill": best / 100}
    assert found["best"]["hidden"]["low"] <= found["best"]["hidden"]["high"]
    assert found["verdicts"] == {"ok": len(quick) - len(quick) // 3, "error": len(quick) // 3}
    assert [seconds for seconds, _ in found["trace"]] == [float(number) for number in range(1, len(quick) + 1)]
    assert json.loads((tmp_path / "c" / "result.json").read_text()) == found


def test_the_best_program_lies_beside_what_it_needs(tmp_path: Path, quick: list[str]) -> None:
    found = finished(tmp_path / "c")
    best = tmp_path / "c" / "best"
    assert (best / "solution.py").read_text() == quick[found["best"]["attempt"]]
    assert {path.name for path in best.iterdir()} == {"solution.py", "train.csv", "test.csv", "task.json"}


def test_hidden_scores_are_kept_where_no_agent_looks(tmp_path: Path, quick: list[str]) -> None:
    told: list[Any] = []

    class Spy:
        name = "spy"

        def propose(self, kind: Any, tried: Any, **_: Any) -> Any:
            told.extend(tried)
            return Evolution().propose(kind, tried, **_)

    with Engineering.create(tmp_path / "c", CONFIG) as campaign:
        campaign.agent = Spy()
        campaign.run()
    assert told and not any("hidden" in field for one in told for field in vars(one))
    lines = [json.loads(line) for line in (tmp_path / "c" / "attempts.jsonl").read_text().splitlines()]
    scores = {line["validation"]["score"] for line in lines if line["validation"] is not None}
    assert not any("hidden" in line for line in lines) and max(scores) < 100  # hidden ones are near 200
    assert len((tmp_path / "c" / "hidden.jsonl").read_text().splitlines()) == len(quick) - len(quick) // 3


def test_several_run_side_by_side_and_never_overspend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most = 0, 0
    lock = threading.Lock()

    def attempt(task: Any, program: str, *, limits: Any, **_: Any) -> tuple[Attempt, None]:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.05)
        with lock:
            at_once -= 1
        took = round(1_000 * limits.seconds) + 1_500  # the worst
        return Attempt(Verdict.TIMEOUT, 3, None, None, took, took, 50, None, "", "timeout"), None

    monkeypatch.setattr(engineering, "attempt", attempt)
    config = EngineeringConfig(**{**vars(CONFIG), "workers": 3, "budget": {"seconds": 60}})
    with Engineering.create(tmp_path / "c", config) as campaign:
        found = campaign.run()
        campaign.ledger.verify()
    assert most == 3
    assert 40_000 <= found.paid["milliseconds"] <= 60_000
    assert found.best is None and found.to_json()["best"] is None


def test_both_budgets_count_and_the_smaller_one_ends_it(tmp_path: Path, quick: list[str]) -> None:
    config = EngineeringConfig(**{**vars(CONFIG), "budget": {"seconds": 1_000, "cpu_seconds": 10}})
    assert config.in_milliseconds == Budget(milliseconds=1_000_000, cpu_ms=10_000)
    assert finished(tmp_path / "c", config)["paid"]["cpu_ms"] <= 10_000


def test_a_program_that_does_not_compile_costs_nothing(tmp_path: Path) -> None:
    class Careless:
        name = "careless"

        def propose(self, kind: Any, tried: Any, **_: Any) -> Any:
            return Proposal("def (", None, "why not") if len(tried) < 3 else None

    with Engineering.create(tmp_path / "c", CONFIG) as campaign:
        campaign.agent = Careless()
        found = campaign.run()
        assert list(campaign.ledger.entries())[1:] == []
    assert found.verdicts == {"rejected": 3} and found.paid == {"milliseconds": 0, "cpu_ms": 0}


def test_it_goes_on_where_it_was_stopped(tmp_path: Path, quick: list[str]) -> None:
    class Stop(Exception):
        pass

    def watch(_: object) -> None:
        if len(quick) == 4:
            raise Stop

    with Engineering.create(tmp_path / "c", CONFIG) as campaign, pytest.raises(Stop):
        campaign.run(watch)
    with Engineering.open(tmp_path / "c") as campaign:
        assert not campaign.recovered and len(campaign.log.entries) == 4
        found = campaign.run()
    assert found.paid["milliseconds"] == 1_000 * len(quick) <= 20_000


def test_what_ran_when_it_was_killed_is_charged_at_its_worst(tmp_path: Path) -> None:
    code = f"""
import sys, time
from gedanken.intermediary import engineering
from gedanken.intermediary.engineers import EngineeringConfig
from gedanken.worlds.sandbox import Isolation
def attempt(*_, **__):
    print("running", flush=True)
    time.sleep(600)
engineering.attempt = attempt
config = EngineeringConfig(task="hitters", budget={{"seconds": 20}}, agent="random", limit_seconds=5,
    isolation=Isolation.LIMITS)
with engineering.Engineering.create(__import__("pathlib").Path({str(tmp_path / "c")!r}), config) as campaign:
    campaign.run()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == b"running\n"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    with Engineering.open(tmp_path / "c") as campaign:
        assert any("interrupted" in word for word in campaign.recovered)
        assert campaign.log.entries[0].verdict == INTERRUPTED
        assert campaign.ledger.balance(LEARN).unknown.of("milliseconds") == 7_000


def test_what_had_ended_and_was_not_billed_any_more_is_billed_as_it_was(
    tmp_path: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    with Engineering.create(tmp_path / "c", CONFIG) as campaign:

        def commit(*_: object) -> None:
            raise Killed

        monkeypatch.setattr(campaign.ledger, "commit", commit)
        with pytest.raises(Killed):
            campaign.run()
    with Engineering.open(tmp_path / "c") as campaign:
        balance = campaign.ledger.balance(LEARN)
        assert not campaign.ledger.unknowns() and balance.spent.of("milliseconds") == 1_000
        assert campaign.log.entries[0].verdict == "ok"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"budget": {}}, "budget"),
        ({"budget": {"steps": 5}}, "budget"),
        ({"budget": {"seconds": 0}}, "budget"),
        ({"workers": 0}, "limits"),
        ({"limit_seconds": 0.1}, "limits"),
        ({"memory_mb": 1}, "limits"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        EngineeringConfig(**{**vars(CONFIG), **wrong})


def test_what_cannot_be_begun_leaves_nothing(tmp_path: Path) -> None:
    for config, says in (
        (EngineeringConfig(**{**vars(CONFIG), "task": "nonsense"}), "no such task"),
        (EngineeringConfig(**{**vars(CONFIG), "task": ""}), "to be solved"),
    ):
        with pytest.raises(ConfigError, match=says):
            Engineering.create(tmp_path / "c", config)
        assert not (tmp_path / "c").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ConfigError, match="not empty"):
        Engineering.create(tmp_path / "full", CONFIG)


@pytest.mark.parametrize("damage", ["engineering.json", "task.parquet", "attempts.jsonl"])
def test_a_damaged_campaign_is_refused(tmp_path: Path, quick: list[str], damage: str) -> None:
    finished(tmp_path / "c")
    path = tmp_path / "c" / damage
    path.write_bytes(b"{broken\n" + path.read_bytes()[8:])
    with pytest.raises(FileError):
        Engineering.open(tmp_path / "c")


def test_a_torn_last_line_is_cut_off(tmp_path: Path, quick: list[str]) -> None:
    finished(tmp_path / "c")
    path = tmp_path / "c" / "attempts.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    log = AttemptLog.open(tmp_path / "c")
    assert log.entries[len(quick) - 1].verdict is None
    assert log.interrupt() == [len(quick) - 1]
    log.close()


@pytest.mark.slow
def test_real_programs_are_really_run(tmp_path: Path) -> None:
    isolation = Isolation.BUBBLEWRAP
    config = EngineeringConfig(
        task="wine", budget={"seconds": 45}, agent="evolution", limit_seconds=20, workers=2, isolation=isolation
    )
    found = finished(tmp_path / "c", config)
    assert found["best"]["validation"]["skill"] > 0.5 and found["isolation"] == "bubblewrap"
    assert found["paid"]["milliseconds"] <= 45_000
    best = tmp_path / "c" / "best"
    subprocess.run([sys.executable, "solution.py"], cwd=best, check=True, capture_output=True)
    assert (best / "submission.csv").exists()


# --- A language model writes ----------------------------------------------------------------------------------------


def writing(url: str, **budget: int) -> EngineeringConfig:
    writer = WriterConfig(url=url, model="scripted", candidates=2)
    return EngineeringConfig(
        **{**vars(CONFIG), "agent": "writing", "writer": writer, "budget": {"seconds": 20, **budget}}
    )


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engineers, "known_heads", lambda **_: heads())


def answers() -> Callable[[Any], Any]:
    """A new program each time, one of the pipeline space; questions may come at the same time."""
    numbers, designs = itertools.count(), drawn("regression", 200, seed=0)

    def answer(_: Any) -> Any:
        design = {**designs[next(numbers)], "words": "one_hot", "missing": "median"}
        return completion(fenced(program(design, "regression")), tokens=(300, 100))

    return answer


@pytest.mark.usefixtures("known")
def test_what_a_language_model_writes_is_foretold_and_its_tokens_are_paid(tmp_path: Path, quick: list[str]) -> None:
    with FakeLLM(answers()) as llm:
        found = finished(tmp_path / "c", writing(llm.base_url))
        asked = len(llm.requests)
    assert found["agent"] == "writing" and found["best"] is not None and quick
    assert found["paid"]["tokens"] == 400 * asked
    with Engineering.open(tmp_path / "c") as campaign:
        campaign.ledger.verify()
        assert all(entry.outlook is not None and entry.design is not None for entry in campaign.log.entries.values())


@pytest.mark.usefixtures("known")
def test_with_its_tokens_spent_a_campaign_ends(tmp_path: Path, quick: list[str]) -> None:
    with FakeLLM(answers()) as llm:
        found = finished(tmp_path / "c", writing(llm.base_url, tokens=30_000))
    assert found["ended"] == "the budget of tokens is spent" and found["paid"]["tokens"] <= 30_000


@pytest.mark.usefixtures("known")
def test_an_endpoint_that_is_silent_is_told_and_what_it_may_bill_is_charged(tmp_path: Path) -> None:
    with FakeLLM([Reply(status=400, body="no such model")]) as llm:
        config = writing(llm.base_url)
        with Engineering.create(tmp_path / "c", config) as campaign:
            with pytest.raises(GedankenError):
                campaign.run()
            assert campaign.ledger.balance(LEARN).unknown.of("tokens") > 0


def test_who_writes_has_to_be_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="write the programs"):
        Engineering.create(tmp_path / "c", writing(""))
    assert not (tmp_path / "c").exists()
