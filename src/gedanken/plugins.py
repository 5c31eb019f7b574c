"""Parts that installed packages bring: what stands behind an entry point's name."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from gedanken.errors import ConfigError


def find(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group in all installed packages, by name."""
    return {point.name: point for point in entry_points(group=group)}


def load(group: str, name: str, *, what: str) -> Any:
    """What the entry point `name` of `group` stands for.

    Args:
        what: what is looked for, in a user's words, such as `agent`.

    Raises:
        ConfigError: nobody brings it, or it cannot be imported.
    """
    found = find(group)
    if name not in found:
        close = get_close_matches(name, found, n=3, cutoff=0.4)
        raise ConfigError(
            f"There is no {what} {name!r}.",
            given=name,
            expected=" or ".join(close or sorted(found)),
            do=f"a package of your own can bring one as an entry point of {group!r} (CONTRIBUTING.md).",
        )
    return resolve(found[name], what=what)


def resolve(point: EntryPoint, *, what: str) -> Any:
    """What an entry point stands for.

    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"The {what} {point.name!r} cannot be loaded.",
            given=error,
            expected=f"something at {point.value}",
            do="install what it needs (it may be an extra of gedanken), or mend its entry point.",
        ) from error
