"""The log of decisions: nothing lost, nothing bent, and how often a warning came true."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from gedanken.errors import FileError
from gedanken.experience.transition import Transition
from gedanken.intermediary import decisions as module
from gedanken.intermediary.decisions import OPEN_EPISODES, Decision, DecisionLog, Settlement
from gedanken.intermediary.gate import Gate, GateRefused, Limits, gated_policy
from gedanken.intermediary.hits import Entry
from tests.intermediary.walks import KEY, at, gate, walk


def decided(count: int = 1, mode: Any = "shadow") -> list[Decision]:
    """Decisions about the same risky action, settled."""
    between = gate(mode, on_refusal=at(0.0))
    found = []
    for number in range(count):
        decision = between.decide(at(0.9), at(0.3), alternatives=[at(-0.1)], key=jax.random.fold_in(KEY, number))
        found.append(between.settle(decision, at(1.2), 0.91, cost={"steps": 1}))
    return found


def filled(path: Path, count: int = 3) -> list[Entry]:
    with DecisionLog.open(path, write=True) as log:
        for decision in decided(count):
            log.append(decision)
        return list(log.entries())


# --- On disk --------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    (decision,) = decided(mode="gate")
    with DecisionLog.open(tmp_path / "log.jsonl", write=True) as log:
        assert log.append(decision) == 0
        assert log.append(dataclasses.replace(decision, settlement=None)) == 1
    with DecisionLog.open(tmp_path / "log.jsonl") as log:
        first, second = log.entries()
        assert (log.count, log.recovered) == (2, None)
    assert (first.number, second.number, second.settlement) == (0, 1, None)
    read = first.decision
    assert (read["mode"], read["by"], read["index"]) == ("gate", "alternative", 1)
    assert [np.float32(read[name][0]) for name in ("observation", "proposed", "applied")] == [
        decision.observation[0],
        decision.proposed[0],
        decision.applied[0],
    ], "float32 comes back as it was"
    assert read["reasons"] == list(decision.reasons) and "with probability 1.00" in read["reasons"][0]
    assert read["breaches"][0]["kind"] == "observation" and read["breaches"][0]["limit"] == 1.0
    assert [rehearsal["action"] for rehearsal in read["rehearsals"]] == [pytest.approx([0.3]), pytest.approx([-0.1])]
    assert read["model_id"] == walk().id and read["key"] == list(decision.key)
    assert first.settlement is not None
    settled = {name: first.settlement[name] for name in ("reward", "terminated", "truncated", "cost", "broken")}
    assert settled == {
        "reward": 0.91,
        "terminated": False,
        "truncated": False,
        "cost": {"steps": 1},
        "broken": ["observation[0] 1.2 > limit 1"],
    }
    assert first.settlement["error"] == pytest.approx([0.4]), "the model foresaw 0.8 of the alternative"


def test_a_decision_can_be_computed_again_from_its_line(tmp_path: Path) -> None:
    model = walk(spread=0.2, growth=0.5, noise=0.1)
    draws = np.random.default_rng(0)
    between = gate("gate", Limits(observation_high={0: 1.0}, least_return=2.0), model, on_refusal=at(0.0))
    with DecisionLog.open(tmp_path / "log.jsonl", write=True) as log:
        guarded = gated_policy(
            between,
            lambda observation, step: draws.uniform(-1, 1, 1),
            jax.random.key(7),
            log,
            alternatives=lambda observation: [at(-0.5), at(0.1), at(-1.0)],
        )
        for step in range(12):
            guarded(draws.uniform(-2, 1.2, 1).astype(np.float32), step)
        entries = list(log.entries())
    seen = set()
    for entry in entries:
        line = entry.decision
        limits = {name: value for name, value in line["limits"].items() if name != "observation_high"}
        bounds = {int(name): value for name, value in line["limits"]["observation_high"].items()}
        again = Gate(
            line["mode"],
            Limits(observation_high=bounds, **limits),
            model,
            between.codec,
            policy=between.policy,
            on_refusal=at(0.0),
            horizon=line["horizon"],
            samples=line["rehearsals"][0]["samples"],
            discount=line["discount"],
        ).decide(
            np.array(line["observation"]),
            np.array(line["proposed"]),
            alternatives=[np.array(rehearsal["action"]) for rehearsal in line["rehearsals"][1:]],
            key=jax.random.wrap_key_data(np.array(line["key"], np.uint32)),
        )
        same = again.to_json()
        for name in ("mode", "by", "index", "observation", "applied", "reasons", "breaches", "rehearsals", "limits"):
            assert json.loads(json.dumps(same[name])) == line[name], name
        seen.add(line["by"])
    assert seen == {"agent", "alternative", "fallback"}, "the replay must see every kind of answer"


def test_a_log_cut_at_any_byte_keeps_its_whole_lines(tmp_path: Path) -> None:
    whole = filled(tmp_path / "whole.jsonl", 2)
    content = (tmp_path / "whole.jsonl").read_bytes()
    ends = np.cumsum([len(line) for line in content.splitlines(keepends=True)])
    cuts = sorted({*range(0, len(content), 97), *ends, *(ends - 1), *(ends[:-1] + 1)})
    for cut in cuts:
        path = tmp_path / "cut.jsonl"
        path.write_bytes(content[:cut])
        lines = int((ends <= cut).sum())
        torn = cut - (ends[lines - 1] if lines else 0)
        reading = DecisionLog.open(path)
        assert (reading.recovered is not None) == (torn > 0)
        assert len(list(reading.entries())) == len([n for n in (1, 3) if n < lines])
        assert path.stat().st_size == cut, "a reader changes nothing"
        with DecisionLog.open(path, write=True) as log:
            if torn:
                assert log.recovered is not None and f"last {torn} bytes" in log.recovered
            number = log.append(decided_once())
            entries = list(log.entries())
        assert number == len(entries) - 1
        assert [entry.decision for entry in entries[:-1]] == [entry.decision for entry in whole[: len(entries) - 1]]
        assert DecisionLog.open(path).recovered is None


_once: list[Decision] = []


def decided_once() -> Decision:
    if not _once:
        _once.extend(decided())
    return _once[0]


def test_a_damaged_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2][:-9] + b"\n", *lines[3:]]))
    for write in (False, True):
        with pytest.raises(FileError, match="damaged.*line 3"):
            DecisionLog.open(path, write=write)


def test_other_files_and_versions_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for content in (b'{"schema":"gedanken.decisions","version":2}\n', b'{"steps":1}\n{"steps":2}\n'):
        path.write_bytes(content)
        with pytest.raises(FileError, match="another version"):
            DecisionLog.open(path, write=True)
        assert path.read_bytes() == content
    with pytest.raises(FileError, match="no log to open"):
        DecisionLog.open(tmp_path / "none.jsonl")
    with pytest.raises(FileError, match="no log to open"):
        DecisionLog.open(tmp_path / "no folder" / "log.jsonl", write=True)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with DecisionLog.open(path, write=True) as log:
        with pytest.raises(FileError, match="written by somebody else"):
            DecisionLog.open(path, write=True)
        log.append(decided_once())
        assert DecisionLog.open(path).count == 1, "readers come in"
    log.close()
    with pytest.raises(FileError, match="not open for writing"):
        log.append(decided_once())
    assert len(list(log.entries())) == 1
    with DecisionLog.open(path, write=True) as log:
        assert log.append(decided_once()) == 1


def test_what_append_returned_for_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with DecisionLog.open(path, write=True) as log:
        log.append(decided_once())
    line = next(line for line in path.read_text().splitlines() if '"decision"' in line)
    program = (
        "import os, sys; from gedanken.intermediary import decisions as d; from pathlib import Path\n"
        "log = d.DecisionLog.open(Path(sys.argv[1]), write=True)\n"
        "import json; log._write({**json.loads(sys.argv[2]), 'number': 1})\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path), line], check=False).returncode == -9
    assert DecisionLog.open(path).count == 2


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    log = DecisionLog.open(path, write=True)
    log.append(decided_once())
    before = path.read_bytes()
    write = os.write

    def half(handle: int, content: bytes) -> int:
        return write(handle, content[: len(content) // 2])

    def full(handle: int, content: bytes) -> int:
        half(handle, content)
        raise OSError(28, "No space left on device")

    for failing, text in ((half, "only a part"), (full, "refused a decision")):
        monkeypatch.setattr(module.os, "write", failing)
        with pytest.raises(FileError, match=text):
            log.append(decided_once())
        monkeypatch.undo()
        assert path.read_bytes() == before and log.count == 1
    assert log.append(decided_once()) == 1
    log.close()
    assert DecisionLog.open(path).count == 2


def test_syncs_are_as_many_as_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(module, "sync", synced.append)
    with DecisionLog.open(tmp_path / "log.jsonl", write=True, sync_every=4) as log:
        assert len(synced) == 1, "the new file itself"
        for _ in range(5):
            log.append(decided_once())  # two records each
        assert len(synced) == 3
    assert len(synced) == 4


def test_a_settlement_needs_its_decision(tmp_path: Path) -> None:
    settlement = decided_once().settlement
    assert settlement is not None
    with (
        DecisionLog.open(tmp_path / "log.jsonl", write=True) as log,
        pytest.raises(FileError, match="no such decision"),
    ):
        log.settle(0, settlement)


def test_numbers_go_on_after_reopening(tmp_path: Path) -> None:
    def run(episodes: int) -> None:
        with DecisionLog.open(tmp_path / "log.jsonl", write=True) as log:
            guarded = gated_policy(gate("shadow"), lambda observation, step: at(0.0), KEY, log)
            for _ in range(episodes):
                for step in range(2):
                    guarded(at(0.0), step)
                    guarded.settle(Transition(at(0.0), at(0.0), 1.0, False, step == 1, at(0.0)))

    run(2)
    run(1)
    entries = list(DecisionLog.open(tmp_path / "log.jsonl").entries())
    assert [(entry.number, entry.decision["episode"], entry.decision["step"]) for entry in entries] == [
        (0, 0, 0),
        (1, 0, 1),
        (2, 1, 0),
        (3, 1, 1),
        (4, 2, 0),
        (5, 2, 1),
    ]


def test_episodes_side_by_side_are_told_apart_and_few_are_held(tmp_path: Path) -> None:
    decision = dataclasses.replace(decided_once(), settlement=None)
    on = decided_once().settlement
    assert on is not None
    over = dataclasses.replace(on, truncated=True)
    with DecisionLog.open(tmp_path / "log.jsonl", write=True) as log:
        for step in range(3):
            for episode in (0, 1):
                number = log.append(dataclasses.replace(decision, episode=episode, step=step))
                log.settle(number, over if step == 2 else on)
        first, second = log.by_episode()
        assert [entry.number for entry in first] == [0, 2, 4] and [entry.number for entry in second] == [1, 3, 5]
        for episode in range(2, 2 + OPEN_EPISODES + 3):  # these never end
            log.append(dataclasses.replace(decision, episode=episode, step=0))
        log.append(decision)  # outside of any episode
        log.settle(6, on)  # of an episode that was given up already: nobody waits for it
        assert [len(episode) for episode in log.by_episode()] == [3, 3] + [1] * (OPEN_EPISODES + 4)


# --- What it says ---------------------------------------------------------------------------------------------------


def test_a_biased_model_warns_in_vain_and_the_log_shows_it(tmp_path: Path) -> None:
    """The model believes in steps twice as large as they are; in shadow mode that costs nothing and is found out."""
    believed = gate("shadow", Limits(observation_high={0: 1.1}), horizon=1)
    with DecisionLog.open(tmp_path / "log.jsonl", write=True) as log:
        guarded = gated_policy(believed, lambda observation, step: at(0.4), KEY, log)
        now = at(0.0)
        for step in range(6):
            guarded(now, step)
            following = (now + 0.2).astype(np.float32)
            guarded.settle(Transition(now, at(0.4), 1.0, False, step == 5, following))
            now = following
        summary = log.summary()
    # From 0.8 it foresees 1.2; the world gets there one step later.
    hits = summary.hits["observation"]
    assert (hits.true, hits.false, hits.missed, hits.quiet) == (1, 1, 0, 4)
    assert summary.known.rmse == pytest.approx([0.2], rel=1e-4)


def test_settling_tells_what_broke_and_whether_it_was_foreseen() -> None:
    sure = gate("shadow", Limits(observation_low={0: -1.0}, observation_high={0: 1.0}), walk(noise=0.1))
    decision = sure.decide(at(0.0), at(0.5), key=KEY)
    inside = sure.settle(decision, at(0.5), 1.0, terminated=True).settlement
    assert inside == Settlement(1.0, True, False, None, (), inside.error if inside else None, 1.0)
    outside = sure.settle(decision, at(-1.5), None).settlement
    assert outside is not None and outside.broken == ("observation[0] -1.5 < limit -1",)
    assert outside.inside == 0.0 and outside.error == pytest.approx([-2.0]) and outside.reward is None
    off = Gate("off", Limits(), None, sure.codec)
    unseen = off.settle(off.decide(at(0.0), at(0.5), key=KEY), at(0.5), 1.0).settlement
    assert unseen is not None and (unseen.error, unseen.inside) == (None, None)


def test_refusals_are_counted(tmp_path: Path) -> None:
    with DecisionLog.open(tmp_path / "log.jsonl", write=True) as log:
        guarded = gated_policy(gate(), lambda observation, step: at(1.0), KEY, log)
        for step in range(2):
            with pytest.raises(GateRefused):
                guarded(at(0.9), step)
        summary = log.summary()
    assert dict(summary.by) == {"nobody": 2} and dict(summary.modes) == {"gate": 2}
