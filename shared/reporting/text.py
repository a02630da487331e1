"""Plain text for a terminal or a log: 100 columns, no colours, no boxes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

WIDTH = 100


def heading(title: str) -> list[str]:
    """A line of its own, set apart."""
    return ["", title.upper()]


def wrapped(text: str, first: str = "  ", rest: str | None = None) -> list[str]:
    """A paragraph; ``first`` stands before its first line, ``rest`` (as many spaces if None) before others.

    Control characters are shown as question marks: names in it are hostile input, and a terminal obeys them.
    """
    clean = "".join(char if char.isprintable() else "?" for char in text)
    indent = " " * len(first) if rest is None else rest
    return textwrap.wrap(
        clean, WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    ) or [first.rstrip()]


def bullets(texts: Iterable[str]) -> list[str]:
    """One paragraph each."""
    return [line for text in texts for line in wrapped(text, "  - ")]


def joined(lines: Iterable[str]) -> str:
    """The lines as one text that ends with a line break."""
    return "\n".join(lines).strip("\n") + "\n"
