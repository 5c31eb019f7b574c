"""How JAX runs here: the persistent compilation cache, and threads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def enable_compilation_cache() -> Path | None:
    """Keeps compiled programs between processes, unless the user has chosen a place or turned it off.

    By default the place is `$XDG_CACHE_HOME/gedanken/jax`, or `~/.cache/gedanken/jax`; `JAX_COMPILATION_CACHE_DIR` and
    `JAX_ENABLE_COMPILATION_CACHE` keep their meaning.

    Returns:
        Where they are kept; None where they are not.
    """
    import jax

    config: Any = jax.config
    if not config.jax_enable_compilation_cache:
        return None
    if config.jax_compilation_cache_dir is None:
        home = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(home) if home else Path.home() / ".cache") / "gedanken" / "jax"
        config.update("jax_compilation_cache_dir", str(folder))
        config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    return Path(config.jax_compilation_cache_dir)


def one_thread_environment() -> dict[str, str]:
    """Environment variables under which a process keeps to one core: two seeds side by side then beat one on two."""
    return thread_environment(1)


def thread_environment(threads: int) -> dict[str, str]:
    """Environment variables for `threads` threads. They must be set before NumPy and JAX are first imported.

    `NPROC` is what XLA takes for the number of processors.
    """
    flags = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if flag != _ONE_THREAD]
    return {
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "NPROC": str(threads),
        "XLA_FLAGS": " ".join([*flags, _ONE_THREAD] if threads == 1 else flags),
    }
