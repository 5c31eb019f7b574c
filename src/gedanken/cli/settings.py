"""The settings of a new run: the preset of its world, then a file, then flags."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self

import tyro
import yaml

from gedanken.cli.options import Options, parse
from gedanken.errors import ConfigError, GedankenError
from gedanken.intermediary.config import RunConfig, from_plain, to_plain
from gedanken.intermediary.presets import preset
from gedanken.intermediary.run import Run as OpenRun
from gedanken.worlds.registry import make as make_world

_FILES = (".yaml", ".yml", ".toml")
BUDGET = re.compile(r"--budget\.([A-Za-z_]\w*)(?:=.*)?$")


@dataclass(frozen=True, kw_only=True)
class NewRun(Options):
    """What begins a run."""

    what: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="ROOM|FILE")] = None
    """a room such as `robotics`, or a file of settings (.yaml, .toml); directly behind the command"""
    out: Path | None = None
    """the run's folder, which must be new; by default runs/<world>-seed<seed>-<n>"""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)

    @classmethod
    def parse(cls, words: Sequence[str]) -> Self:
        # The world decides what the other settings are by default, so it is looked for first.
        what = words[0] if words and not words[0].startswith("-") else None
        named = _value_of("--world", words)
        if what is not None and what.endswith(_FILES):
            config = _from_file(Path(what), named)
        elif what is None and named is None:
            if not {"-h", "--help"} & set(words):
                raise ConfigError(
                    "Which world?",
                    expected="--world NAME, or a file of settings",
                    do=f"such as `gedanken {cls.__name__.lower()} --world InvertedPendulum-v5`.",
                )
            config = RunConfig()
        else:
            config = preset("/".join(part for part in (what, named) if part is not None))
        extra = {found[1]: 0 for word in words if (found := BUDGET.match(word))}
        config = replace(config, budget=extra | config.budget)
        asked = parse(cls, words, cls(what=what, config=config))
        if asked.what != what:
            raise ConfigError(
                "The room or file of settings comes first.",
                given=asked.what,
                do=f"such as `gedanken {cls.__name__.lower()} {asked.what} --seed 1`.",
            )
        # tyro has read --world without its room.
        return replace(asked, config=replace(asked.config, world=config.world))

    @contextmanager
    def begin(self) -> Iterator[OpenRun]:
        """A new run in a new folder, open.

        Raises:
            ConfigError: the world is unknown or does not fit the settings, or the folder is in use; then no folder is
                left behind.
        """
        world = make_world(self.config.world)
        folder = claim(self.out, f"{self.config.world}-seed{self.config.seed}")
        try:
            run = OpenRun.create(folder, self.config, world=world)
        except GedankenError:
            with contextlib.suppress(OSError):
                folder.rmdir()  # only where it is empty
            raise
        with run:
            yield run


def claim(out: Path | None, name: str) -> Path:
    """An empty folder that no other run has: `out`, or one that is called after `name`."""
    if out is not None:
        if out.is_dir() and any(out.iterdir()):
            raise ConfigError(
                "The run's folder is not empty.",
                given=out,
                expected="a new folder",
                do=f"continue what is there with `gedanken resume {out}`, or name another.",
            )
        if out.exists() and not out.is_dir():
            raise ConfigError("The run's folder is a file.", given=out, expected="a new folder")
        out.mkdir(parents=True, exist_ok=True)
        return out
    return numbered(named_as_file(name))


def named_as_file(world: str) -> str:
    """A world's name without what has a meaning in paths."""
    return re.sub(r"[^\w.-]", "-", world)


def numbered(name: str) -> Path:
    """Makes `runs/<name>-<n>` with the first free n; two processes never get the same."""
    number = 0
    while True:
        number += 1
        folder = Path("runs") / f"{name}-{number}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder


def _value_of(flag: str, words: Sequence[str]) -> str | None:
    """The last value that a flag is given."""
    found = None
    for word, following in zip(words, [*words[1:], None], strict=False):
        if word == flag:
            found = following
        elif word.startswith(f"{flag}="):
            found = word.partition("=")[2]
    return found


def _from_file(path: Path, world: str | None) -> RunConfig:
    """The settings of a file over the preset of its world.

    Raises:
        ConfigError: it cannot be read, or holds what is no setting.
    """
    try:
        content = path.read_bytes()
        values = tomllib.loads(content.decode()) if path.suffix == ".toml" else yaml.safe_load(content)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            "The file of settings cannot be read.", given=f"{path}: {error}", expected="YAML or TOML"
        ) from error
    if not isinstance(values, Mapping):
        raise ConfigError(
            "The file holds no settings.", given=path, expected="keys of a run, such as `world: Pendulum-v1`"
        )
    named = world if world is not None else values.get("world")
    if not isinstance(named, str):
        raise ConfigError("The file names no world.", given=path, do="add a line such as `world: Pendulum-v1`.")
    return from_plain(_over(to_plain(preset(named)), {**values, "world": named}))


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values of `above` in place of those of `below`. A budget is a whole: it replaces the one below."""
    merged = dict(below)
    for key, value in above.items():
        nested = isinstance(value, Mapping) and isinstance(below.get(key), Mapping) and key != "budget"
        merged[key] = _over(below[key], value) if nested else value
    return merged
