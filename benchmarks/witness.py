"""A world that testifies against its ledger: every real step leaves a line in a file that the ledger knows nothing of.

`work` is a whole run in miniature: it resumes what is there and acts until the budget is spent. `audit` compares, after
any accident, what the witness saw with what the ledger charged and the record kept. As a program it is the process that
tests kill: `GEDANKEN_KILL_AT=label:count python -m benchmarks.witness work FOLDER BUDGET UNIT`.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from gedanken.errors import BudgetRefused, LedgerError, StoreError
from gedanken.experience.cost import Budget, Cost
from gedanken.experience.faults import kill_point
from gedanken.experience.schema import EpisodeSummary
from gedanken.experience.transition import Episode, EpisodeHeader, Outcome, Transition
from gedanken.worlds.act import act
from gedanken.worlds.ledger import Ledger
from gedanken.worlds.resume import close_interrupted, next_episode_index
from gedanken.worlds.world import BillingUnit, World

ACCOUNT, RUN = "learn", "run"
_STAGES = ("decided", "mirror_written", "mirror_synced", "inserted", "committed")
LABELS = (
    *(f"{kind}.{stage}" for kind in ("open", "reserve", "commit", "imagined") for stage in _STAGES),
    *("act.reserved", "act.stepped", "act.recorded", "act.committed", "act.ended"),
    *("journal.locked", "work.opened", "world.asked", "world.moved"),
)
"""Every point at which a run is killed: in the ledger, in `act`, around the real step itself."""
LONGEST = 9
"""An episode has 2 to 9 steps, by its seed."""


class WitnessEnv(gym.Env[np.ndarray, np.int64]):
    """Counts its steps. `file` gets one line `seed step` for each, at the moment it happens."""

    def __init__(self, file: Path) -> None:
        self.observation_space = gym.spaces.Box(0, LONGEST, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(2)
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        self._seed, self._step, self._length = 0, 0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self._seed, self._step = seed or 0, 0
        self._length = int(self.np_random.integers(2, LONGEST + 1))
        return np.zeros(1, np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        kill_point("world.asked")
        os.write(self._file, f"{self._seed} {self._step}\n".encode())
        kill_point("world.moved")
        self._step += 1
        return np.full(1, self._step, np.float32), float(action), self._step == self._length, False, {}

    def close(self) -> None:
        os.close(self._file)


class FileRecord:
    """The least that a record must do: one fsynced line of JSON for each call, a torn last line dropped on opening."""

    def __init__(self, path: Path) -> None:
        lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
        self.steps: dict[str, list[dict[str, Any]]] = {}
        self._headers: dict[str, EpisodeHeader] = {}
        self._ended: set[str] = set()
        for line in lines[:-1]:
            self._follow(json.loads(line))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
        os.ftruncate(self._file, sum(len(line) + 1 for line in lines[:-1]))
        os.lseek(self._file, 0, os.SEEK_END)

    def begin(self, header: EpisodeHeader) -> None:
        self._write({"id": header.episode_id, "begin": [header.world, header.policy, header.account, header.seed]})

    def append(self, episode_id: str, transitions: Sequence[Transition]) -> None:
        steps = [
            {"unit": t.action_id, "seed": self._headers[episode_id].seed, "over": t.terminated or t.truncated}
            for t in transitions
        ]
        self._write({"id": episode_id, "steps": steps})

    def end(self, episode_id: str, outcome: Outcome) -> None:
        self._write({"id": episode_id, "end": outcome.failure_mode})

    def summaries(self) -> list[EpisodeSummary]:
        return [
            EpisodeSummary(h, Outcome(), i in self._ended, len(self.steps[i]), 0.0, "real", datetime.now(UTC), None)
            for i, h in self._headers.items()
        ]

    def episode(self, episode_id: str) -> Episode:
        over = np.array([step["over"] for step in self.steps[episode_id]])
        nothing = np.zeros(len(over))
        return Episode(
            self._headers[episode_id], nothing, nothing, nothing, over, np.zeros_like(over), {}, nothing, nothing
        )

    def close(self) -> None:
        os.close(self._file)

    def _write(self, line: dict[str, Any]) -> None:
        content, start = json.dumps(line).encode() + b"\n", os.lseek(self._file, 0, os.SEEK_CUR)
        try:
            if os.write(self._file, content) != len(content):
                raise OSError("the disk took only a part")
        except OSError as error:
            os.ftruncate(self._file, start)
            os.lseek(self._file, start, os.SEEK_SET)
            raise StoreError("The record could not be written.", given=error) from error
        os.fsync(self._file)
        self._follow(line)

    def _follow(self, line: dict[str, Any]) -> None:
        if "begin" in line:
            world, policy, account, seed = line["begin"]
            self._headers[line["id"]] = EpisodeHeader(line["id"], world, policy, account, None, seed)
            self.steps[line["id"]] = []
        elif "steps" in line:
            self.steps[line["id"]] += line["steps"]
        else:
            self._ended.add(line["id"])


def open_ledger(folder: Path, budget: int) -> Ledger:
    return Ledger.open(folder / "ledger.sqlite", budgets={ACCOUNT: Budget(steps=budget)}, run_id=RUN)


def work(folder: Path, budget: int, unit: BillingUnit, *, worker: int = 0) -> None:
    """Resumes the run in `folder` and acts until its budget is spent. Workers may be at it at the same time."""
    env = WitnessEnv(folder / "witness.txt")
    world = World(env, {"steps": 1}, name="witness", unit=unit).with_horizon(LONGEST)
    ledger, record = open_ledger(folder, budget), FileRecord(folder / f"record-{worker}.jsonl")
    kill_point("work.opened")
    close_interrupted(record)
    try:
        for index in itertools.count(next_episode_index(ledger, ACCOUNT)):
            act(
                world,
                ledger,
                record,
                _alternating,
                account=ACCOUNT,
                seed=worker * 1_000_000 + index,
                episode_index=index,
                policy_id="alternating",
                run_id=RUN,
            )
            ledger.imagined(10, "model")
    except BudgetRefused:
        return
    finally:
        ledger.close()
        record.close()
        env.close()


def _alternating(observation: np.ndarray, step: int) -> int:
    return (step + int(observation[0])) % 2


@dataclass(frozen=True)
class Audit:
    """What is wrong (each of the first four must be 0), and what was found.

    overspent: units charged above the budget. unpaid: real steps above what was charged. twice: real steps that
    happened again. lost: committed steps that the record lacks, or that no witness saw.
    """

    overspent: int
    unpaid: int
    twice: int
    lost: int
    acted: int
    spent: int
    unknown: int

    @property
    def faults(self) -> int:
        return self.overspent + self.unpaid + self.twice + self.lost


def audit(folder: Path, budget: int) -> Audit:
    """Opens the run as a resuming process would, and compares ledger, record and witness."""
    seen = Counter((folder / "witness.txt").read_text().split("\n")[:-1]) if (folder / "witness.txt").exists() else {}
    recorded: Counter[str] = Counter()
    for path in sorted(folder.glob("record-*.jsonl")):
        record = FileRecord(path)
        recorded.update(step["unit"] for steps in record.steps.values() for step in steps)
        record.close()
    with open_ledger(folder, budget) as ledger:
        ledger.verify()
        balance = ledger.balance(ACCOUNT)
        commits = Counter[str]()
        for entry in ledger.entries():
            if entry.kind == "commit":
                assert entry.action_id is not None
                commits[entry.action_id] += entry.cost.of("steps")
    acted, spent, unknown = sum(seen.values()), balance.spent.of("steps"), balance.unknown.of("steps")
    charged = spent + unknown + balance.outstanding.of("steps")
    return Audit(
        overspent=max(0, charged - budget),
        unpaid=max(0, acted - charged),
        twice=sum(count - 1 for count in seen.values()),
        lost=sum(abs(steps - recorded[unit]) for unit, steps in commits.items()) + max(0, spent - acted),
        acted=acted,
        spent=spent,
        unknown=unknown,
    )


def race(folder: Path, budget: int, worker: int) -> int:
    """Reserves one step after another as fast as it can, from the moment the file `go` is there; counts the grants."""
    with open_ledger(folder, budget) as ledger:
        (folder / f"ready-{worker}").touch()
        while not (folder / "go").exists():
            time.sleep(0.001)
        for number in itertools.count():
            try:
                ledger.reserve(f"{worker}-{number}", "digest", Cost(steps=1), account=ACCOUNT)
            except BudgetRefused:
                return number
            ledger.commit(f"{worker}-{number}", Cost(steps=1))
    raise AssertionError("count never ends")


def main() -> int:
    verb, folder, budget, last = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    try:
        if verb == "race":
            print(race(folder, budget, int(last)))
        else:
            work(folder, budget, int(last) if last.isdigit() else last)  # type: ignore[arg-type]
    except (LedgerError, StoreError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
