"""Plain text for a terminal or a log: 100 columns, no colours, no boxes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 100


def heading(title: str) -> list[str]:
    """A line of its own, set apart."""
    return ["", title.upper()]


def clean(text: str) -> str:
    """Control characters as question marks: names are hostile input, and terminals and browsers obey them."""
    return "".join(char if char.isprintable() else "?" for char in text)


def wrapped(text: str, first: str = "  ", rest: str | None = None) -> list[str]:
    """A paragraph; ``first`` stands before its first line, ``rest`` (as many spaces if None) before others.

    Control characters are shown as question marks.
    """
    indent = " " * len(first) if rest is None else rest
    return textwrap.wrap(
        clean(text), WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    ) or [first.rstrip()]


def bullets(texts: Iterable[str]) -> list[str]:
    """One paragraph each."""
    return [line for text in texts for line in wrapped(text, "  - ")]


def cut(text: str, longest: int) -> str:
    """The text, or its beginning and an ellipsis where it is longer than so many characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def columns(label: str, cells: Sequence[str], width: int) -> list[str]:
    """A row of a table: a label, then cells of the same width, each wrapped within itself."""
    room = (WIDTH - 2 - width) // len(cells)
    wraps = [textwrap.wrap(clean(cell), room - 2, break_on_hyphens=False) or [""] for cell in cells]
    lines = []
    for number in range(max(map(len, wraps))):
        parts = [(wrap[number] if number < len(wrap) else "").ljust(room) for wrap in wraps]
        lines.append(f"  {(label if number == 0 else '').ljust(width)}{''.join(parts)}".rstrip())
    return lines


def joined(lines: Iterable[str]) -> str:
    """The lines as one text that ends with a line break."""
    return "\n".join(lines).strip("\n") + "\n"
