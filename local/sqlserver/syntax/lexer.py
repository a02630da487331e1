"""Cuts a batch of Transact-SQL into tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from local.sqlserver.engine.errors import SqlError


@dataclass(frozen=True)
class Token:
    """One token.

    Attributes:
        kind: ``word``, ``quoted`` (a bracketed or double-quoted name), ``string``, ``nstring``, ``number``,
            ``binary``, ``variable``, ``operator`` or ``end``.
        text: names and strings without their quotes; everything else as written.
        start: where the token begins in the batch.
    """

    kind: str
    text: str
    start: int

    @property
    def word(self) -> str:
        """The token in upper case if it is an unquoted word, otherwise empty."""
        return self.text.upper() if self.kind == "word" else ""


_PATTERN = re.compile(
    r"""(?P<space>\s+|--[^\n]*)
    |(?P<comment>/\*)
    |(?P<nstring>[nN]')
    |(?P<string>')
    |(?P<bracket>\[)
    |(?P<quote>")
    |(?P<binary>0[xX][0-9a-fA-F]*)
    |(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<variable>@@?[\w@\#$]+)
    |(?P<word>[^\W\d][\w@\#$]*|\#\#?[\w@\#$]+)
    |(?P<operator><>|<=|>=|!=|!<|!>|\+=|-=|\*=|/=|::|[-+*/%&|^~=<>(),.;:?])""",
    re.VERBOSE,
)


def tokens(text: str) -> list[Token]:
    """All tokens of a batch, and an ``end`` token.

    Raises:
        SqlError: 102 or 105, a character or quotation that cannot be read.
    """
    out: list[Token] = []
    at = 0
    while at < len(text):
        match = _PATTERN.match(text, at)
        if match is None:
            raise SqlError(102, text[at])
        kind = match.lastgroup or ""
        start, at = at, match.end()
        if kind == "space":
            continue
        if kind == "comment":
            at = _skip_comment(text, at)
        elif kind in ("string", "nstring"):
            body, at = _quoted(text, at, "'")
            out.append(Token(kind, body, start))
        elif kind in ("bracket", "quote"):
            body, at = _quoted(text, at, "]" if kind == "bracket" else '"')
            if not body:
                raise SqlError(1038)
            if len(body) > 128:
                raise SqlError(103, "identifier", body[:128], 128)
            out.append(Token("quoted", body, start))
        else:
            out.append(Token(kind, match.group(), start))
    out.append(Token("end", "", len(text)))
    return out


def _quoted(text: str, at: int, close: str) -> tuple[str, int]:
    """The body of a quotation whose doubled end character stands for itself, and where it ends."""
    parts = []
    while True:
        end = text.find(close, at)
        if end < 0:
            raise SqlError(105, text[at : at + 100])
        parts.append(text[at:end])
        if text[end + 1 : end + 2] != close:
            return "".join(parts), end + 1
        parts.append(close)
        at = end + 2


def _skip_comment(text: str, at: int) -> int:
    """Where a block comment ends; they nest."""
    depth = 1
    while depth:
        next_open, next_close = text.find("/*", at), text.find("*/", at)
        if next_close < 0:
            raise SqlError(102, "/*")
        if 0 <= next_open < next_close:
            depth, at = depth + 1, next_open + 2
        else:
            depth, at = depth - 1, next_close + 2
    return at
