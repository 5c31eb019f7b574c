"""Running programs that somebody else wrote: apart from everything else, within limits, or not at all."""

from gedanken.worlds.sandbox.execute import Execution, Status, execute
from gedanken.worlds.sandbox.isolation import Isolation, available, require
from gedanken.worlds.sandbox.limits import Limits

__all__ = ["Execution", "Isolation", "Limits", "Status", "available", "execute", "require"]
