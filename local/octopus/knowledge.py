"""What the demo's agents know: the Python language reference, which every Python carries.

``pydoc_data.topics`` holds its sections as text. They are grouped by theme, one agent a theme, and cut into
chunks at the borders of paragraphs. Some sections are kept back, so that work can go on with new documents
and a new agent after a backup. Sections that repeat others (``compound`` and ``specialnames`` hold most of
the rest once more) are left out, so that a question has one right answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pydoc_data.topics import topics

CHUNK_CHARACTERS = 800
PAGE_CHARACTERS = 2_400
"""The reference has no pages; this many characters of a section count as one."""


@dataclass(frozen=True)
class Source:
    """A document: where it comes from, its category and its text."""

    name: str
    category: str
    text: str


@dataclass(frozen=True)
class Chunk:
    """A piece of a document, as it becomes one point. Index counts from 0, page from 1."""

    content: str
    source: str
    index: int
    page: int
    category: str


@dataclass(frozen=True)
class Theme:
    """One agent's field: what it is called and the sections that it knows."""

    name: str
    category: str
    sections: tuple[str, ...]

    def sources(self) -> list[Source]:
        """The sections as documents, in the order of the theme; those that this Python lacks are left out."""
        return [Source(name, self.category, topics[name]) for name in self.sections if name in topics]


THEMES = (
    Theme(
        "Types and objects",
        "types",
        (
            *("objects", "types", "typesseq", "typesmapping", "typesmethods", "typesmodules"),
            *("typesfunctions", "string-methods", "strings", "formatstrings", "numeric-types", "integers"),
            *("floating", "imaginary", "booleans", "bltin-null-object", "bltin-code-objects", "specialattrs"),
        ),
    ),
    Theme(
        "Statements",
        "statements",
        (
            *("assert", "assignment", "augassign", "break", "class", "continue", "del", "for", "function"),
            *("global", "if", "import", "nonlocal", "pass", "raise", "return", "try", "while", "with"),
            "context-managers",
        ),
    ),
    Theme(
        "Expressions and operators",
        "expressions",
        (
            *("atom-identifiers", "atom-literals", "attribute-access", "binary", "bitwise", "calls"),
            *("comparisons", "conversions", "dict", "exprlists", "in", "lambda", "lists"),
            *(
                "operator-summary",
                "power",
                "shifting",
                "slicings",
                "subscriptions",
                "truth",
                "unary",
                "yield",
            ),
        ),
    ),
)
"""What is loaded at the start: about 470 chunks in three agents."""

KEPT_BACK = {
    "types": ("callable-types", "bltin-type-objects", "sequence-types", "customization"),
    "statements": ("async", "exceptions", "else"),
    "expressions": ("await", "attribute-references", "id-classes", "numbers"),
}
"""Sections for later, by category of the theme they belong to."""

LATER = Theme("Running and debugging", "running", ("execmodel", "naming", "debugger", "identifiers"))
"""The field of an agent that is added later."""


def later_sources(category: str) -> list[Source]:
    """The sections that were kept back for the theme of this category."""
    return [Source(name, category, topics[name]) for name in KEPT_BACK.get(category, ()) if name in topics]


def cut(source: Source) -> list[Chunk]:
    """A document as chunks of at most 800 characters, cut between paragraphs where that is possible."""
    pieces = re.split(r"\n[ \t]*\n", source.text.replace("\r\n", "\n").strip("\n"))
    chunks: list[Chunk] = []
    position = 0
    for content in _packed([piece for whole in pieces for piece in _short(whole) if piece.strip()]):
        page = 1 + position // PAGE_CHARACTERS
        chunks.append(Chunk(content, source.name, len(chunks), page, source.category))
        position += len(content)
    return chunks


def _packed(pieces: list[str]) -> Iterator[str]:
    """Pieces put together, in order, as long as they fit."""
    current = ""
    for piece in pieces:
        joined = f"{current}\n\n{piece}" if current else piece
        if len(joined) > CHUNK_CHARACTERS and current:
            yield current
            current = piece
        else:
            current = joined
    if current:
        yield current


def _short(paragraph: str) -> Iterator[str]:
    """A paragraph as it is, or cut at the ends of lines, or in the middle of a line that is too long."""
    current = ""
    for line in paragraph.split("\n"):
        while len(line) > CHUNK_CHARACTERS:
            if current:
                yield current
                current = ""
            yield line[:CHUNK_CHARACTERS]
            line = line[CHUNK_CHARACTERS:]
        joined = f"{current}\n{line}" if current else line
        if len(joined) > CHUNK_CHARACTERS:
            yield current
            current = line
        else:
            current = joined
    if current:
        yield current
