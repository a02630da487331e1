"""Column lists of system views, written as declarations."""

from __future__ import annotations

from functools import cache

from local.sqlserver.datatypes import SqlType
from local.sqlserver.syntax.reader import TokenReader

type Columns = list[tuple[str, SqlType]]


@cache
def _parsed(declarations: str) -> tuple[tuple[str, SqlType], ...]:
    reader = TokenReader(declarations)
    out = []
    while True:
        name = reader.advance().text
        out.append((name, reader.data_type()))
        if not reader.accept_operator(","):
            return tuple(out)


def columns_of(declarations: str) -> Columns:
    """``"name sysname, id int"`` as names and types."""
    return list(_parsed(declarations))
