"""The table at the end of a run: what was paid, what came of it, what was predicted, what it takes without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gedanken.report.data import Headline, NotMeasured, Reference

FACTS = (
    "Paid to learn",
    "Paid to check",
    "Imagined steps",
    "Real return",
    "Model had predicted",
    "Without a model",
)


def facts(result: Headline) -> tuple[str, ...]:
    """What is told of one world, as text, in the order of `FACTS`."""
    return (
        _amounts(result.paid),
        _amounts(result.paid_check),
        f"{result.imagined_steps:,}",
        str(result.real_return),
        str(result.predicted_return),
        _reference(result.reference),
    )


def final_table(results: Sequence[Headline]) -> Table:
    """The table for a terminal: a column a world."""
    made = Table(header_style="bold", pad_edge=False)
    made.add_column("")
    for result in results:
        made.add_column(Text(result.world), overflow="fold")
    for name, *cells in zip(FACTS, *(facts(result) for result in results), strict=True):
        # Text, not str: what a run is called must not be read as markup.
        made.add_row(name, *(Text(cell) for cell in cells))
    return made


def final_text(results: Sequence[Headline]) -> str:
    """The same as plain lines, one fact a line: what logs and pipes get."""
    width = max(len(name) for name in FACTS)
    blocks = []
    for result in results:
        told = (("World", result.world), *zip(FACTS, facts(result), strict=True))
        blocks.append("\n".join(f"{name:<{width}}  {cell}" for name, cell in told))
    return "\n\n".join(blocks)


def print_final(results: Sequence[Headline], report: Path | None, *, console: Console | None = None) -> None:
    """Prints the result: a table on a terminal, plain lines elsewhere; then where the report lies."""
    console = console if console is not None else Console()
    if console.is_terminal:
        console.print(final_table(results))
    else:
        console.print(final_text(results), markup=False, highlight=False, soft_wrap=True)
    where = str(report) if report is not None else "not written"
    console.print(f"Report: {where}", markup=False, highlight=False, soft_wrap=True)


def _amounts(spent: Mapping[str, int]) -> str:
    return ", ".join(f"{amount:,} {name}" for name, amount in spent.items()) or "nothing"


def _reference(reference: Reference | NotMeasured) -> str:
    if isinstance(reference, NotMeasured):
        return f"not measured ({reference.why})"
    seeds = f"{reference.seeds} seed{'' if reference.seeds == 1 else 's'}"
    if reference.paid is None:
        return f"{reference.method}: more than {reference.within:,} steps ({seeds})"
    return f"{reference.method}: {reference.paid:,} steps ({seeds})"
