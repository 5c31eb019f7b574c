"""Takes the program out of what a language model answered."""

from __future__ import annotations

import ast
import re
import warnings

_THOUGHT = "</think>"
"""What some models end their thoughts with, which they put before the answer."""
_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n`]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_PYTHON = ("python", "py", "python3")


def program_of(text: str) -> str:
    """The last block of Python, else the last block of no language, else all of it where it is Python; "" without one.

    Whether it compiles is not looked at, but for a text without blocks: of that, only what imports something counts, so
    that a sentence is no program.
    """
    text = text.replace("\r\n", "\n").rpartition(_THOUGHT)[2]
    blocks = [(found[1].lower(), found[2]) for found in _FENCE.finditer(text)]
    for wanted in (_PYTHON, ("",)):
        if programs := [block for language, block in blocks if language in wanted and block.strip()]:
            return programs[-1].strip("\n") + "\n"
    return text.strip() + "\n" if not blocks and _is_bare(text) else ""


def _is_bare(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in strings, which are not ours
            tree = ast.parse(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body)
