"""The `gedanken` command."""

from gedanken.cli.entry import main

__all__ = ["main"]
