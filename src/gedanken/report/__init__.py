"""The report: figures, the single-file HTML page, and the table at the end of a run."""
