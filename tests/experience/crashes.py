"""What a store must hold after a crash, and a way to see the disk at every labelled point."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from gedanken.experience import Experience, Outcome
from tests.experience.examples import check_consistent, fill, header, rewards, step


@dataclass
class Claims:
    """What returned (`steps`, `begun`, `ended`), and what was under way."""

    steps: int = 0
    begun: int = 0
    ended: int = 0
    pending: tuple[str, int] = ("", 0)

    def fits(self, steps: int, begun: int, ended: int) -> bool:
        """Whether a store with so many holds all that was claimed, and at most what was under way besides."""
        kind, count = self.pending
        return (
            steps in (self.steps, self.steps + (count if kind == "step" else 0))
            and begun in (self.begun, self.begun + (kind == "begin"))
            and ended in (self.ended, self.ended + (kind == "end"))
        )


def write_claiming(experience: Experience, claims: Claims, *, episodes: int) -> None:
    """Writes episodes of a few appends of different sizes; `claims` is true at every instant."""
    number = len(experience)
    for _ in range(episodes):
        name = f"e{len(experience.headers())}"
        claims.pending = ("begin", 1)
        experience.begin(header(name))
        claims.begun, claims.pending = claims.begun + 1, ("", 0)
        for count in (1, 3, 2):
            claims.pending = ("step", count)
            experience.append(name, [step(each) for each in range(number, number + count)])
            number += count
            claims.steps, claims.pending = claims.steps + count, ("", 0)
        claims.pending = ("end", 1)
        experience.end(name, Outcome(True))
        claims.ended, claims.pending = claims.ended + 1, ("", 0)


def check_after_crash(path: Path, claims: Claims, *, sql: bool = False) -> str | None:
    """All that was claimed is there, once, for a reader and a writer, and writing goes on; what was recovered."""
    reader = Experience.open(path)
    writer = Experience.open(path, write=True)
    for experience in (reader, writer):
        summaries = experience.summaries()
        ended = sum(summary.complete for summary in summaries)
        assert claims.fits(len(experience), len(summaries), ended), (claims, len(experience), len(summaries), ended)
        assert rewards(experience) == list(range(len(experience)))
        check_consistent(experience, sql=sql)
    before = len(writer)
    fill(writer, 2, 4, first=before)
    assert reader.refresh() == 8 and rewards(reader) == rewards(writer) == list(range(before + 8))
    writer.seal()
    writer.close()
    again = Experience.open(path, write=True)
    assert rewards(again) == list(range(before + 8)) and again.recovered is None
    check_consistent(again, sql=sql)
    again.close()
    assert len(list(path.glob("journal-*.bin"))) == 1 and not list(path.rglob("*.unfinished"))
    assert len(list(path.rglob("*.rows"))) == len(list(path.rglob("steps-*.parquet")))
    return writer.recovered


@dataclass
class Camera:
    """Copies a folder whenever a labelled point is passed: what a kill at that instant would leave."""

    folder: Path
    album: Path
    claims: Claims
    taken: list[tuple[str, Path, Claims]] = field(default_factory=list)

    def __call__(self, label: str) -> None:
        copy = self.album / str(len(self.taken))
        shutil.copytree(self.folder, copy)
        self.taken.append((label, copy, Claims(**vars(self.claims))))
