"""From a command line to an exit status: which command it is, the threads it gets, and how errors are told.

Nothing here imports JAX or NumPy: `gedanken --help` answers at once, and the threads are set before they are loaded.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from types import TracebackType
from typing import Any, NamedTuple

import gedanken
from gedanken.compute import thread_environment
from gedanken.errors import ConfigError, FileError, GedankenError


class Command(NamedTuple):
    """A command: the module and the class that do it, and what it does in one line."""

    module: str
    name: str
    does: str


COMMANDS = {
    "run": Command("running", "Run", "the whole loop: collect, curate, fit, imagine, learn, check, report"),
    "resume": Command("running", "Resume", "go on with a run that was interrupted"),
    "collect": Command("stages", "Collect", "pay for real episodes and record them; begins a run with --world"),
    "curate": Command("stages", "Curate", "look at what was paid for: coverage, duplicates, balance, leakage"),
    "fit": Command("stages", "Fit", "fit the world model to what was paid for"),
    "train": Command("stages", "Train", "let the agent learn in the model"),
    "evaluate": Command("stages", "Evaluate", "check the agent for real, and the model against it; or judge a table"),
    "panel": Command("panel", "Panel", "play many policies for real and in the model, and judge the model by them"),
    "report": Command("stages", "Report", "write the report of a run as one HTML file"),
    "ledger": Command("ledger", "Ledger", "what a run has paid, what is unknown, and reconciling it"),
    "quickstart": Command("quickstart", "Quickstart", "rehearse two robots side by side and compare them"),
    "science": Command("laboratory", "Science", "a laboratory of one's own: init, ask, tell, status, report"),
    "doctor": Command("doctor", "Doctor", "versions, threads, devices, and what is missing"),
}

ROOMS = {
    ("run", "ml-engineering"): Command("engineering", "Engineer", "programs for a task, until the budget is spent"),
    ("run", "science"): Command("experiments", "Experiment", "a campaign of experiments, until the budget is spent"),
    ("science", "init"): Command("laboratory", "Init", "make a laboratory from a table, a description or by questions"),
    ("science", "ask"): Command("laboratory", "Ask", "suggest experiments"),
    ("science", "tell"): Command("laboratory", "Tell", "say what became of an experiment"),
    ("science", "status"): Command("laboratory", "Status", "how every experiment stands"),
    ("science", "report"): Command("laboratory", "Report", "write the laboratory's report"),
}
"""Commands that are others in some rooms: by the command and the word behind it."""

_EXTRAS = dict.fromkeys(("sklearn", "lightgbm", "pandas"), "ml-engineering")
"""Modules that only an extra brings, and which."""

_EXAMPLE = "gedanken run robotics --world InvertedPendulum-v5 --budget.steps 1500"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0, or that of the error (see `gedanken.errors`)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json, debug = "--json" in words, "--debug" in words
    if arguments is None:
        sys.path.insert(0, os.getcwd())  # so that `--world my_module:MyWorld-v0` finds the user's own
        sys.excepthook = _unexpected_as_json if as_json else _unexpected
        if debug:
            sys.excepthook = sys.__excepthook__
    try:
        return _dispatch(words, as_json)
    except GedankenError as error:
        if debug:
            traceback.print_exc()
        _tell(error, as_json)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if debug:
            traceback.print_exc()
        refused = FileError(
            "The system refused a file.",
            given=error,
            do="check the disk's space and the folder's permissions. What was paid for is kept; a run can be resumed.",
        )
        _tell(refused, as_json)
        return refused.exit_code
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except SystemExit as stop:
        # --help ends this way.
        return stop.code if isinstance(stop.code, int) else 0


def _dispatch(words: list[str], as_json: bool) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(json.dumps({"version": gedanken.__version__}) if as_json else gedanken.__version__)
        return 0
    if words[0] not in COMMANDS:
        if words[0] == "--json" and len(words) == 1:
            print(json.dumps({name: command.does for name, command in COMMANDS.items()}))
            return 0
        near = difflib.get_close_matches(words[0], COMMANDS, n=1)
        raise ConfigError(
            f"{words[0]!r} is no command.",
            expected=f"`{near[0]}`?" if near else f"one of {', '.join(COMMANDS)}",
            do="see `gedanken --help`.",
        )
    os.environ.update(thread_environment(_threads(words)))
    command, rest = found(words)
    try:
        kind: Any = getattr(import_module(f"gedanken.cli.{command.module}"), command.name)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        raise ConfigError(
            f"`gedanken {' '.join(words[:2])}` needs what is not installed.",
            given=f"no module {error.name!r}",
            do=f"pip install 'gedanken[{_EXTRAS[error.name]}]'",
        ) from error
    asked = kind.parse(rest)
    # With --json only the answer may reach stdout, whatever a library prints.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        answer = asked()
    if as_json:
        print(json.dumps(answer.data, allow_nan=False), flush=True)
    else:
        answer.show()
    return int(answer.exit_code)


def found(words: Sequence[str]) -> tuple[Command, Sequence[str]]:
    """The command that a line begins with, and the words behind its name."""
    if len(words) > 1 and (words[0], words[1]) in ROOMS:
        return ROOMS[words[0], words[1]], words[2:]
    return COMMANDS[words[0]], words[1:]


def overview() -> str:
    """What `gedanken --help` prints."""
    width = max(len(name) for name in COMMANDS)
    listed = "\n".join(f"  {name:<{width}}  {command.does}" for name, command in COMMANDS.items())
    return (
        f"usage: gedanken COMMAND [...]\n\n{(gedanken.__doc__ or '').splitlines()[0]}\n\n{listed}\n\n"
        f"Every command knows --help, --json, --threads N and --debug.\n\nExample: {_EXAMPLE}"
    )


def _threads(words: Sequence[str]) -> int:
    """What --threads says; 1 where it is not there."""
    found = "1"
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--threads":
            found = following
        elif word.startswith("--threads="):
            found = word.partition("=")[2]
    if not found.isdigit() or int(found) < 1:
        raise ConfigError("--threads needs a whole number.", given=found or "nothing", expected="1 or more")
    return int(found)


# --- Errors ---------------------------------------------------------------------------------------------------------


def _tell(error: GedankenError, as_json: bool) -> None:
    """One readable block on stderr; with --json one object on stdout."""
    parts = {"given": error.given, "expected": error.expected, "do": error.do}
    told = {name: str(part) for name, part in parts.items() if part is not None}
    if as_json:
        about = {"kind": type(error).__name__, "what": error.what, **told, "exit_code": error.exit_code}
        print(json.dumps({"error": about}), flush=True)
        return
    print(f"Error: {error.what}", file=sys.stderr)
    for name, part in told.items():
        print(f"  {name + ':':<9} {part}", file=sys.stderr)


def _unexpected(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    print(f"Error: this should not have happened ({kind.__name__}).", file=sys.stderr)
    print(f"  given:    {error}", file=sys.stderr)
    print("  do:       run it again with --debug for the traceback. What was paid for is kept.", file=sys.stderr)


def _unexpected_as_json(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    about = {"kind": kind.__name__, "what": "This should not have happened.", "given": str(error), "exit_code": 1}
    print(json.dumps({"error": about}), file=sys.__stdout__, flush=True)
