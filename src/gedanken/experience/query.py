"""SQL over a store: DuckDB reads the sealed Parquet segments and the journal's tail as one view."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from gedanken.errors import ConfigError


def run_query(sql: str, segments: Sequence[Path], tail: pa.Table, episodes: pa.Table) -> pa.Table:
    """Answers `sql` over the views `steps` (segments, then tail) and `episodes`.

    DuckDB gets Arrow data sets and no access to files, so that a query, whoever wrote it, can read nothing else and
    change nothing.

    Raises:
        ConfigError: the SQL is wrong, or asks for what is out of its reach.
    """
    # Here and not above: together they take a quarter of a second to import, and few processes ever ask.
    import duckdb
    import pyarrow.dataset as ds

    parts = [ds.dataset(tail)]
    if segments:
        sealed = ds.dataset([str(path) for path in segments], schema=tail.schema, format="parquet")
        parts.insert(0, sealed)
    closed: dict[str, Any] = {
        "enable_external_access": "false",
        "python_enable_replacements": "false",
        "lock_configuration": "true",
    }
    with duckdb.connect(":memory:", config=closed) as connection:
        connection.register("steps", ds.dataset(parts))
        connection.register("episodes", episodes)
        try:
            answer = connection.sql(sql)
            return pa.table({}) if answer is None else answer.to_arrow_table()
        except duckdb.Error as error:
            raise ConfigError(
                "This query cannot be answered.",
                given=str(error)[:500],
                expected="SQL about the views steps and episodes",
                do="see what there is with: DESCRIBE steps",
            ) from error
