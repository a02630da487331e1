"""Expressions turned into other types, and compared as their types compare."""

from __future__ import annotations

from typing import Any

from local.sqlserver.datatypes import SqlType
from local.sqlserver.engine.storage import COLLATION, GUID_ORDER, type_key
from local.sqlserver.translate.scope import Bound


def sql_literal(value: Any) -> str:
    """A storage form as SQLite writes it."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        if "\0" in value:
            return f"CAST(x'{value.encode().hex()}' AS TEXT)"
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return repr(value)


def convert(bound: Bound, target: SqlType | None, style: str = "NULL", *, forgiving: bool = False) -> Bound:
    """The expression as another type; free where the storage form is the same."""
    source = bound.type
    if target is None or source is None or source == target:
        return Bound(bound.sql, target or source)
    if not forgiving and _same_storage(source, target):
        return Bound(bound.sql, target)
    if source.family == "int" and target.family == "decimal" and not forgiving:
        return Bound(f"({bound.sql} * {10**target.scale})" if target.scale else bound.sql, target)
    function = "ts_try_cast" if forgiving else "ts_cast"
    sql = f"{function}({bound.sql}, '{type_key(source)}', '{type_key(target)}', {style})"
    return Bound(sql, target)


def _same_storage(source: SqlType, target: SqlType) -> bool:
    """Whether every value of ``source`` is stored as it would be as ``target``."""
    if source.family != target.family:
        return False
    if source.family == "int":
        widths = ("bit", "tinyint", "smallint", "int", "bigint")
        return widths.index(source.name) <= widths.index(target.name)
    if source.family in ("char", "binary"):
        return target.length is None or (source.length is not None and source.length <= target.length)
    if source.family == "decimal":
        return source.scale == target.scale and source.precision <= target.precision
    return source.name == target.name and source.scale <= target.scale


def collation_of(kind: SqlType | None, *operands: str) -> str:
    """The COLLATE clause with which values of this type are compared; none where one is given already."""
    if kind is None or any(f"COLLATE {name})" in text for text in operands for name in ("BINARY", COLLATION)):
        return ""
    return {"char": f" COLLATE {COLLATION}", "guid": f" COLLATE {GUID_ORDER}"}.get(kind.family, "")
