"""Flags: what every command knows, and how a command line becomes a dataclass."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tyro

from gedanken.errors import ConfigError

_FRAME = re.compile(r"[─━│╭╮╰╯┃┏┓┗┛]")


RunFolder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
"""The positional argument of what works on a run that is there."""


@dataclass(frozen=True)
class Answer:
    """What a command has to say: `data` with --json, otherwise what `show` prints."""

    data: Mapping[str, Any]
    show: Callable[[], object]
    exit_code: int = 0


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every command knows."""

    json: bool = False
    """answer with JSON alone on stdout; progress goes to stderr"""
    progress: Literal["auto", "lines", "json", "none"] = "auto"
    """how progress is told on stderr; auto: a live display on a terminal, lines elsewhere"""
    threads: int = 1
    """processor threads; several runs side by side on one thread each beat one run on many"""
    debug: bool = False
    """show the traceback of an error"""

    @classmethod
    def parse(cls, words: Sequence[str]) -> Self:
        """Reads the words behind the command's name.

        Raises:
            ConfigError: a flag is unknown (the nearest known one is named) or its value is wrong.
            SystemExit: help was asked for and printed.
        """
        return parse(cls, words)

    def __call__(self) -> Answer:
        """Does what was asked for."""
        raise NotImplementedError


Asked = typing.TypeVar("Asked", bound=Options)


def parse(
    kind: type[Asked], words: Sequence[str], default: Asked | None = None, *, program: str | None = None
) -> Asked:
    """Reads a command line into `kind`; what it does not say comes from `default`. Errors as `Options.parse`."""
    program = program or f"gedanken {kind.__name__.lower()}"
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            read: Any = tyro.cli(
                kind,
                prog=program,
                description=description(kind),
                args=list(words),
                default=tyro.MISSING_NONPROP if default is None else default,
                return_unknown_args=True,
                use_underscores=True,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.EnumChoicesFromValues),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ConfigError(
            "The command line cannot be read.", given=_unframed(said.getvalue()), do=f"see `{program} --help`."
        ) from None
    asked: Asked
    asked, unknown = read
    if unknown:
        _refuse(unknown, kind, default, program)
    return asked


def description(kind: type[Any]) -> str:
    """The class's docstring: what the command does, and an example."""
    return "\n".join(line.strip() for line in (kind.__doc__ or "").strip().splitlines())


def _refuse(unknown: Sequence[str], kind: type[Any], default: Any, program: str) -> typing.NoReturn:
    flags = [word for word in unknown if word.startswith("-")]
    if not flags:
        raise ConfigError(
            "There is a word too many.", given=" ".join(unknown), do=f"see `{program} --help` for what goes where."
        )
    flag = flags[0].partition("=")[0]
    known = list(_flags(kind, default))
    near = difflib.get_close_matches(flag.replace("-", "_"), [name.replace("-", "_") for name in known], n=1)
    raise ConfigError(
        f"`{flag}` is not a flag of `{program}`.",
        given=" ".join(unknown),
        expected=f"`--{near[0].lstrip('_')}`?" if near else None,
        do=f"see `{program} --help` for every flag.",
    )


def _flags(kind: Any, default: Any, prefix: str = "--") -> typing.Iterator[str]:
    """Every flag of a dataclass, nested ones with dots. A field named `config` adds nothing to its flags' names."""
    hints = typing.get_type_hints(kind)
    for each in dataclasses.fields(kind):
        value = getattr(default, each.name, None)
        if dataclasses.is_dataclass(hints[each.name]):
            yield from _flags(hints[each.name], value, prefix if each.name == "config" else f"{prefix}{each.name}.")
        elif isinstance(value, Mapping) and value:
            yield from (f"{prefix}{each.name}.{name}" for name in value)
        else:
            yield f"{prefix}{each.name}"


def _unframed(text: str) -> str:
    """Tyro's message without its frame, on one line."""
    return " ".join(_FRAME.sub(" ", text).split())
