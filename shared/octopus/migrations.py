"""EF Core's idempotent migration script, read without a server: its batches, its head, what it must not do.

``dotnet ef migrations script --idempotent`` writes one text for ``sqlcmd``: batches of T-SQL, each ended by a
line that holds nothing but ``GO``. SQL Server itself knows no ``GO`` (Microsoft's documentation, "SQL Server
utilities statements - GO"), so whoever sends the script over a driver has to cut it.
"""

from __future__ import annotations

import itertools
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from dataclasses import dataclass

from shared.errors import InvalidRequestError

LARGEST_SCRIPT = 32 * 1024 * 1024
"""Bytes. A product with hundreds of migrations stays below a tenth of it."""

MOST_REPEATS = 100
"""``GO n`` runs a batch n times; a migration has no use for more."""

_TOKEN = re.compile(
    r"(?P<blank>\s+|\ufeff|--[^\r\n]*)"
    r"|(?P<comment>/\*)"
    r"|(?P<quoted>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\[(?:[^\]]|\]\])*\])"
    r"|(?P<unclosed>['\"\[])"
    r"|(?P<code>[^\W\d][\w@$#]*|[^\s'\"\[\w/-]+|.)",
    re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")
_LINE_END = re.compile(r"\r\n|\r|\n")
_GO = re.compile(r"[ \t]*GO(?:[ \t]+(?P<times>\d+))?[ \t]*(?:--.*)?", re.IGNORECASE)
_HISTORY_ROW = re.compile(
    r"__EFMigrationsHistory[^;]{0,400}?VALUES\s*\(\s*N?'(?P<id>\d{14}_(?:[^']|'')+)'",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Batch:
    """What stands between two lines ``GO``. Lines count from 1; it is executed ``times`` times."""

    number: int
    first_line: int
    last_line: int
    text: str
    times: int = 1


@dataclass(frozen=True)
class Script:
    """A script that may be executed: its batches in order, and the last migration that it writes down."""

    batches: tuple[Batch, ...]
    head: str | None


def read_script(raw: bytes) -> Script:
    """Read a script.

    Args:
        raw: the file's bytes: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises:
        InvalidRequestError: it is no text, too long, empty, unfinished (a comment or a quotation that never
            ends), or would leave the database that it is run on (``USE``, ``CREATE DATABASE`` and the like).
    """
    text = _decoded(raw)
    batches = tuple(split(text))
    if not batches:
        raise _wrong("holds no statement")
    for batch in batches:
        if strange := next(_strangers(batch), None):
            line, words = strange
            raise _wrong(
                f"says {words} in line {line}; it is run on the restored database, whatever its name",
                "Make the script with `dotnet ef migrations script --idempotent`, which writes no such line.",
            )
    return Script(batches, head_of(text))


def split(text: str) -> Iterator[Batch]:
    """The batches of a script, in order; those without a statement are left out, but counted.

    A line is a separator if it holds ``GO`` and at most a number, in any case, and stands neither in a
    comment nor in a quotation.

    Raises:
        InvalidRequestError: a comment or a quotation never ends, or a batch is to be repeated too often.
    """
    begin, number, first = 0, 1, 1
    for start, end, line, times in _separators(text):
        if times > MOST_REPEATS:
            raise _wrong(f"repeats the batch before line {line} {times} times; {MOST_REPEATS} are allowed")
        yield from _batch(text[begin:start], number, first, times)
        begin, number, first = end, number + 1, line + 1
    yield from _batch(text[begin:], number, first, 1)


def head_of(text: str) -> str | None:
    """The greatest migration id that a script inserts into ``__EFMigrationsHistory``; None if it has none."""
    return max((found["id"].replace("''", "'") for found in _HISTORY_ROW.finditer(text)), default=None)


def _batch(text: str, number: int, first: int, times: int) -> Iterator[Batch]:
    if not any(kind in ("code", "quoted") for kind, _, _ in _pieces(text)):
        return
    stripped = text.strip()
    first += len(_LINE_END.findall(text, 0, len(text) - len(text.lstrip())))
    yield Batch(number, first, first + len(_LINE_END.findall(stripped)), stripped + "\n", times)


def _separators(text: str) -> Iterator[tuple[int, int, int, int]]:
    """Every line that is a separator: where it begins, where the next begins, its number, how many times."""
    outside = [True]  # whether the line of that index begins outside of comments and quotations
    for kind, piece, _ in _pieces(text):
        outside += [kind in ("code", "blank")] * len(_LINE_END.findall(piece))
    position = 0
    for number, is_outside in enumerate(outside, 1):
        found = _LINE_END.search(text, position)
        end, after = (found.start(), found.end()) if found else (len(text), len(text))
        go = _GO.fullmatch(text, position, end) if is_outside else None
        if go:
            yield position, after, number, int(go["times"] or 1)
        position = after


def _pieces(text: str) -> Iterator[tuple[str, str, int]]:
    """The text in pieces, each with its place: ``code``, ``quoted``, ``comment`` or ``blank``.

    Raises:
        InvalidRequestError: a comment or a quotation never ends.
    """
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found["unclosed"]:
            raise _wrong(f"opens a quotation in line {_line(text, position)} that never ends")
        end, kind = found.end(), str(found.lastgroup)
        if kind == "comment":
            end = _comment_end(text, position)
        yield kind, text[position:end], position
        position = end


def _comment_end(text: str, begin: int) -> int:
    """Where a block comment ends; T-SQL's can be nested."""
    depth, position = 0, begin
    while found := _COMMENT.search(text, position):
        depth += 1 if found[0] == "/*" else -1
        position = found.end()
        if depth == 0:
            return position
    raise _wrong(f"opens a comment in line {_line(text, begin)} that never ends")


_DATABASE_VERBS = frozenset({"CREATE", "ALTER", "DROP", "BACKUP", "RESTORE"})
_HINTS = frozenset({"HINT", "PLAN"})  # OPTION (USE HINT …), OPTION (USE PLAN …)


def _strangers(batch: Batch) -> Iterator[tuple[int, str]]:
    """Statements that leave the database or work on a whole one: line and words.

    What a script hands to EXEC as text is not looked into; a USE there ends with the EXEC.
    """
    nothing = ("code", "", 0)
    pieces = (piece for piece in _pieces(batch.text) if piece[0] in ("code", "quoted"))
    one, two = nothing, nothing
    for three in itertools.chain(pieces, (nothing, nothing)):
        word, after = one[1].upper(), two[1].upper()
        words = ""
        if word == "USE" and after not in _HINTS and re.match(r"[\w\[\"]", after):
            words = "USE"
        elif word in _DATABASE_VERBS and after in ("DATABASE", "LOG") and three[1].upper() != "CURRENT":
            words = f"{word} {after}"
        if words:
            yield batch.first_line + _line(batch.text, one[2]) - 1, words
        one, two = two, three


def _decoded(raw: bytes) -> str:
    if len(raw) > LARGEST_SCRIPT:
        raise _wrong(f"measures {len(raw):,} bytes; at most {LARGEST_SCRIPT:,} are read")
    encoding = "utf-8-sig" if raw.startswith(BOM_UTF8) else "utf-8"
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        raise _wrong("is no text in UTF-8, or in UTF-16 with a byte order mark") from None
    if "\0" in text:
        raise _wrong("is no text: it holds a zero byte")
    return text


def _line(text: str, position: int) -> int:
    return len(_LINE_END.findall(text, 0, position)) + 1


def _wrong(what: str, hint: str = "") -> InvalidRequestError:
    return InvalidRequestError(
        f"The migration script {what}.",
        hint or "Make it anew with `dotnet ef migrations script --idempotent`.",
        code="migration_script",
        meaning="Nothing of it was executed.",
    )
