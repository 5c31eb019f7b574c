"""Landlock: the kernel refuses a process and its children everything but some files.

Files from Linux 5.13 on, TCP from 6.7, signals to others from 6.12. UDP it does not refuse.

See the kernel's `Documentation/userspace-api/landlock.rst`. The C library has no wrappers, so these are system calls.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""System calls, the same number on every architecture."""
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_NO_NEW_PRIVILEGES = 38
_READ = 0b1101  # execute, read a file, list a folder
_FILE = 0b111 | 1 << 14 | 1 << 15  # execute, write, read, truncate, device ioctl: what a rule may allow for a file
_ALL_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP = 0b11  # bind and connect
_OUTWARD, _SCOPES_FROM = 0b11, 6
"""Abstract sockets of, and signals to, whoever is not restricted likewise; from this version on."""
_LEAST = 4


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def missing() -> str:
    """Why it does not work here; "" where it does."""
    version = _version()
    if version < _LEAST:
        return f"the kernel's Landlock is of version {version}, and {_LEAST} is the first that refuses TCP"
    return ""


def restrict(*, readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """Refuses the calling process, and whatever it starts, every other file and all TCP. It cannot be undone.

    Raises:
        OSError: the kernel does not do it.
    """
    everything = _ALL_BY_VERSION[min(_version(), max(_ALL_BY_VERSION))]
    asked = _Ruleset(everything, _TCP, _OUTWARD)
    size = ctypes.sizeof(asked) if _version() >= _SCOPES_FROM else _Ruleset.scoped.offset
    ruleset = _call(_CREATE, ctypes.byref(asked), size, 0)
    try:
        for paths, allowed in ((readable, _READ), (writable, everything)):
            for path in paths:
                handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
                try:
                    rights = allowed if path.is_dir() else allowed & _FILE
                    rule = _Beneath(rights & everything, handle)
                    _call(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
                finally:
                    os.close(handle)
        if _libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        _call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _version() -> int:
    try:
        return _call(_CREATE, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def _call(number: int, *arguments: object) -> int:
    found: int = _libc().syscall(ctypes.c_long(number), *arguments)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
