"""What JAX compiles while something runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import jax


class _Names(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if (text := record.getMessage()).startswith("Compiling "):
            self.names.append(text.split()[1])


@contextmanager
def compilations() -> Iterator[list[str]]:
    """The names of the programs that are compiled inside; calls that are served from memory add none."""
    handler, logger = _Names(), logging.getLogger("jax")
    propagates = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        with jax.log_compiles():
            yield handler.names
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
