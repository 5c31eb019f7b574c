"""What a program may use up."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from gedanken.errors import ConfigError

_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a program and all that it starts may use together, unless it says otherwise.

    Attributes:
        seconds: by the clock.
        memory_mb: resident memory; each process alone cannot allocate much more either.
        disk_mb: in its folder, and as much again in /tmp and in shared memory.
        output_kb: on stdout and stderr; what is kept is the end of it.
        processes: at once, threads not counted.
        cpu_seconds: of processor time; None where only the clock counts.
    """

    seconds: float = 60.0
    memory_mb: int = 2_048
    disk_mb: int = 256
    output_kb: int = 1_024
    processes: int = 32
    cpu_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("seconds", "memory_mb", "disk_mb", "output_kb", "processes", "cpu_seconds"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ConfigError(f"The limit `{name}` leaves nothing.", given=getattr(self, name), expected="above 0")

    def set_own(self) -> None:
        """Sets what the kernel enforces of them for the calling process and its children. Called in a child."""
        seconds = int(self.seconds) + 2  # of processor time, for one process; the clock is watched from outside
        bounds = {
            resource.RLIMIT_CPU: seconds * 64,  # threads add up
            resource.RLIMIT_FSIZE: self.disk_mb * _MEGABYTE,
            # Private memory that can be written to: what malloc takes, without what libraries map.
            resource.RLIMIT_DATA: (self.memory_mb + 512) * _MEGABYTE,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_NOFILE: 1_024,
        }
        for what, most in bounds.items():
            _, hard = resource.getrlimit(what)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(what, (most, most))
