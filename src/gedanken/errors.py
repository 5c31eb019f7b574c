"""Errors that name what was given, what was expected and what to do about it."""

from __future__ import annotations


class GedankenError(Exception):
    """Base of every error this library raises on purpose.

    Args:
        what: one sentence: what went wrong.
        given: what was found.
        expected: what would have been right.
        do: what the reader can do now.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        given: object | None = None,
        expected: object | None = None,
        do: str | None = None,
    ) -> None:
        self.what, self.given, self.expected, self.do = what, given, expected, do
        parts = [what]
        if given is not None:
            parts.append(f"Given: {given}.")
        if expected is not None:
            parts.append(f"Expected: {expected}.")
        if do is not None:
            parts.append(f"Do: {do}")
        super().__init__(" ".join(parts))


class ConfigError(GedankenError):
    """A configuration, a command-line value or a run file is wrong."""

    exit_code = 2


class UnsupportedSpace(ConfigError):
    """A Gymnasium space that the asked-for part cannot serve."""


class WorldError(GedankenError):
    """The real world answered something that breaks its contract (NaN, out of space, an exception)."""

    exit_code = 3


class WorldHung(WorldError):
    """The real world did not answer within the time its caller allowed."""


class BudgetRefused(GedankenError):
    """The ledger refused an action because its worst case does not fit into the budget."""

    exit_code = 4


class LedgerError(GedankenError):
    """The ledger is damaged, was tampered with, or was used against its protocol."""

    exit_code = 5


class StoreError(GedankenError):
    """The experience store is damaged, of another version, or was used against its protocol."""

    exit_code = 6


class FileError(GedankenError):
    """A run folder, checkpoint or model file is missing, damaged, tampered with or of another version."""

    exit_code = 7


class Interrupted(GedankenError):
    """The user asked to stop; everything paid for is on disk and the run can be resumed."""

    exit_code = 130
