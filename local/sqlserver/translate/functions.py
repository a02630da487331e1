"""The functions of Transact-SQL that this server knows, each with its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from local.sqlserver.datatypes import (
    BIGINT,
    DATETIME,
    DATETIME2,
    DATETIMEOFFSET,
    FLOAT,
    GUID,
    INT,
    SYSNAME,
    SqlType,
    common,
    decimal,
    nvarchar,
    varchar,
)
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.storage import type_key
from local.sqlserver.syntax import tree
from local.sqlserver.translate.conversion import collation_of, convert
from local.sqlserver.translate.scope import Bound, Scope

if TYPE_CHECKING:
    from local.sqlserver.translate.expressions import ExpressionTranslator

NUMERIC = ("int", "decimal", "float")
_TEXT = nvarchar(None)
_SAME = None  # the result has the type of the first argument

# Functions that SQLite calls by name (``engine.functions``): arguments' types, least number of them, result.
# An argument type of None leaves the value as it is.
_PLAIN: dict[str, tuple[tuple[SqlType | None, ...], int, SqlType | None]] = {
    "UPPER": ((_TEXT,), 1, _SAME),
    "LOWER": ((_TEXT,), 1, _SAME),
    "LTRIM": ((_TEXT,), 1, _SAME),
    "RTRIM": ((_TEXT,), 1, _SAME),
    "TRIM": ((_TEXT,), 1, _SAME),
    "REVERSE": ((_TEXT,), 1, _SAME),
    "LEFT": ((_TEXT, INT), 2, _SAME),
    "RIGHT": ((_TEXT, INT), 2, _SAME),
    "SUBSTRING": ((_TEXT, INT, INT), 3, _SAME),
    "REPLACE": ((_TEXT, _TEXT, _TEXT), 3, nvarchar(4000)),
    "REPLICATE": ((_TEXT, INT), 2, nvarchar(4000)),
    "CHARINDEX": ((_TEXT, _TEXT, INT), 2, INT),
    "LEN": ((_TEXT,), 1, INT),
    "QUOTENAME": ((SYSNAME, nvarchar(1)), 1, nvarchar(258)),
    "ABS": ((None,), 1, _SAME),
    "NEWID": ((), 0, GUID),
    "SYSUTCDATETIME": ((), 0, DATETIME2),
    "SYSDATETIME": ((), 0, DATETIME2),
    "GETUTCDATE": ((), 0, DATETIME),
    "GETDATE": ((), 0, DATETIME),
    "CURRENT_TIMESTAMP": ((), 0, DATETIME),
    "SYSDATETIMEOFFSET": ((), 0, DATETIMEOFFSET),
    "DB_NAME": ((INT,), 0, SYSNAME),
    "DB_ID": ((SYSNAME,), 0, INT),
    "SCHEMA_ID": ((SYSNAME,), 0, INT),
    "SCHEMA_NAME": ((INT,), 0, SYSNAME),
    "OBJECT_ID": ((nvarchar(4000), nvarchar(2)), 1, INT),
    "OBJECT_NAME": ((INT, INT), 1, SYSNAME),
    "SUSER_SNAME": ((), 0, SYSNAME),
    "SUSER_ID": ((SYSNAME,), 0, INT),
    "USER_ID": ((SYSNAME,), 0, INT),
    "SUSER_NAME": ((), 0, SYSNAME),
    "SYSTEM_USER": ((), 0, SYSNAME),
    "ORIGINAL_LOGIN": ((), 0, SYSNAME),
    "USER_NAME": ((), 0, SYSNAME),
    "CURRENT_USER": ((), 0, SYSNAME),
    "HOST_NAME": ((), 0, SYSNAME),
    "APP_NAME": ((), 0, SYSNAME),
    "HAS_PERMS_BY_NAME": ((nvarchar(4000), SYSNAME, SYSNAME), 3, INT),
    "IS_SRVROLEMEMBER": ((SYSNAME, SYSNAME), 1, INT),
    "IS_MEMBER": ((SYSNAME,), 1, INT),
    "IS_ROLEMEMBER": ((SYSNAME,), 1, INT),
    "HAS_DBACCESS": ((SYSNAME,), 1, INT),
    "SERVERPROPERTY": ((SYSNAME,), 1, nvarchar(4000)),
    "DATABASEPROPERTYEX": ((SYSNAME, SYSNAME), 2, nvarchar(128)),
    "SCOPE_IDENTITY": ((), 0, decimal(38, 0)),
    "XACT_STATE": ((), 0, SqlType("smallint", precision=5)),
    "ERROR_NUMBER": ((), 0, INT),
    "ERROR_MESSAGE": ((), 0, nvarchar(4000)),
    "ERROR_SEVERITY": ((), 0, INT),
    "ERROR_STATE": ((), 0, INT),
    "ISNUMERIC": ((_TEXT,), 1, INT),
}
_DATE_PARTS = frozenset(
    [
        "year",
        "yy",
        "yyyy",
        "quarter",
        "qq",
        "month",
        "mm",
        "m",
        "day",
        "dd",
        "d",
        "hour",
        "hh",
        "minute",
        "mi",
        "n",
        "second",
        "ss",
        "s",
        "millisecond",
        "ms",
        "microsecond",
        "mcs",
    ]
)
_WHOLE_PROPERTIES = ("engineedition", "isclustered", "ishadrenabled", "isintegratedsecurityonly")


def call(translator: ExpressionTranslator, node: tree.Call, scope: Scope) -> Bound:
    """Translate a function call.

    Raises:
        SqlError: 195 unknown function, 174 wrong number of arguments.
    """
    name = node.name
    if name in _AGGREGATES:
        return _aggregate(translator, node, scope)
    if name in _WINDOW:
        return _window(translator, node, scope)
    if node.star or node.distinct or node.over is not None:
        raise SqlError(102, "*" if node.star else name)
    arguments = [translator.value(argument, scope) for argument in node.arguments]
    if name in _SPECIAL:
        return _SPECIAL[name](name, arguments)
    if name not in _PLAIN:
        raise SqlError(195, name)
    types, least, result = _PLAIN[name]
    if not least <= len(arguments) <= len(types):
        raise SqlError(174, name.lower(), len(types))
    return _plain(name, types, arguments, result)


def _plain(
    name: str, types: tuple[SqlType | None, ...], arguments: list[Bound], result: SqlType | None
) -> Bound:
    converted = [convert(a, t).sql if t else a.sql for a, t in zip(arguments, types, strict=False)]
    kind = result or (arguments[0].type if arguments else None) or nvarchar(4000)
    if result is None and types[0] is _TEXT and kind.family != "char":
        kind = nvarchar(4000)
    return Bound(f"ts_{name.lower()}({', '.join(converted)})", kind)


def _need(name: str, arguments: list[Bound], count: int) -> None:
    if len(arguments) != count:
        raise SqlError(174, name.lower(), count)


def _coalesce(name: str, arguments: list[Bound]) -> Bound:
    if name == "ISNULL":
        _need(name, arguments, 2)
        kind = arguments[0].type or arguments[1].type  # ISNULL keeps the first argument's type
    else:
        kind = None
        for argument in arguments:
            kind = common(kind, argument.type)
    return Bound(f"coalesce({', '.join(convert(a, kind).sql for a in arguments)})", kind or INT)


def _nullif(name: str, arguments: list[Bound]) -> Bound:
    _need(name, arguments, 2)
    kind = common(arguments[0].type, arguments[1].type)
    a, b = (convert(x, kind).sql for x in arguments)
    collation = collation_of(kind, a, b)
    return Bound(f"CASE WHEN {a}{collation} = {b} THEN NULL ELSE {arguments[0].sql} END", arguments[0].type)


def _concat(_name: str, arguments: list[Bound]) -> Bound:
    parts = [f"coalesce({convert(a, _TEXT).sql}, '')" for a in arguments]
    return Bound(f"({' || '.join(parts)})", nvarchar(4000))


def _datalength(name: str, arguments: list[Bound]) -> Bound:
    _need(name, arguments, 1)
    kind = arguments[0].type or INT
    return Bound(f"ts_datalength({arguments[0].sql}, '{type_key(kind)}')", INT)


def _char(name: str, arguments: list[Bound]) -> Bound:
    _need(name, arguments, 1)
    return Bound(f"char({arguments[0].sql})", nvarchar(1) if name == "NCHAR" else varchar(1))


def _serverproperty(name: str, arguments: list[Bound]) -> Bound:
    _need(name, arguments, 1)
    whole = arguments[0].sql.strip("'").lower() in _WHOLE_PROPERTIES
    return Bound(f"ts_serverproperty({arguments[0].sql})", INT if whole else nvarchar(128))


def _round(name: str, arguments: list[Bound]) -> Bound:
    _need(name, arguments, 2)
    kind = arguments[0].type or INT
    if kind.family == "decimal":
        return Bound(f"ts_round({arguments[0].sql}, {arguments[1].sql}, {kind.scale})", kind)
    return Bound(f"round({arguments[0].sql}, {arguments[1].sql})", kind)


def _dates(name: str, arguments: list[Bound]) -> Bound:
    """DATEADD, DATEDIFF, DATEPART: the first argument is the part of the date."""
    _need(name, arguments, 2 if name == "DATEPART" else 3)
    if arguments[0].sql.strip("'") not in _DATE_PARTS:
        raise SqlError(155, arguments[0].sql.strip("'"), name.lower())
    first = 2 if name == "DATEADD" else 1
    moments = [convert(argument, DATETIME2).sql for argument in arguments[first:]]
    if name != "DATEADD":
        kind = BIGINT if name == "DATEDIFF_BIG" else INT
        return Bound(f"ts_{name.lower()}({', '.join([arguments[0].sql, *moments])})", kind)
    source = arguments[2].type or DATETIME
    if source.family == "char":
        source = DATETIME
    sql = f"ts_dateadd({arguments[0].sql}, {convert(arguments[1], INT).sql}, {moments[0]})"
    return convert(Bound(sql, DATETIME2), source)


_SPECIAL: dict[str, Callable[[str, list[Bound]], Bound]] = {
    "ISNULL": _coalesce,
    "COALESCE": _coalesce,
    "NULLIF": _nullif,
    "CONCAT": _concat,
    "DATALENGTH": _datalength,
    "CHAR": _char,
    "NCHAR": _char,
    "SERVERPROPERTY": _serverproperty,
    "ROUND": _round,
    "DATEADD": _dates,
    "DATEDIFF": _dates,
    "DATEDIFF_BIG": _dates,
    "DATEPART": _dates,
}


def _as_decimal(kind: SqlType | None) -> SqlType:
    if kind is not None and kind.family == "decimal":
        return kind
    return decimal((kind.precision if kind else 0) or 10, 0)


def decimal_arithmetic(left: Bound, right: Bound, operator: str) -> Bound:
    """``*``, ``/`` and ``%`` where a side is a decimal; the scale follows SQL Server's rules."""
    a, b = (_as_decimal(side.type) for side in (left, right))
    if operator == "*":
        precision, scale = a.precision + b.precision + 1, a.scale + b.scale
    elif operator == "/":
        scale = max(6, a.scale + b.precision + 1)
        precision = a.precision - a.scale + b.scale + scale
    else:
        scale = max(a.scale, b.scale)
        precision = min(a.precision - a.scale, b.precision - b.scale) + scale
    whole = precision - scale
    if precision > 38:  # digits after the point give way, but six of them stay
        scale = max(min(scale, 6), 38 - whole)
    kind = decimal(min(38, precision), scale)
    return Bound(f"ts_decimal({left.sql}, {a.scale}, {right.sql}, {b.scale}, '{operator}', {scale})", kind)


# --- aggregates and window functions

_AGGREGATES = frozenset({"COUNT", "COUNT_BIG", "SUM", "AVG", "MIN", "MAX", "STRING_AGG"})
_WINDOW = frozenset({"ROW_NUMBER", "RANK", "DENSE_RANK"})


def _aggregate(translator: ExpressionTranslator, node: tree.Call, scope: Scope) -> Bound:
    over = _over_sql(translator, node, scope)
    if node.star:
        if node.name not in ("COUNT", "COUNT_BIG"):
            raise SqlError(102, "*")
        return Bound(f"count(*){over}", BIGINT if node.name == "COUNT_BIG" else INT)
    scope.in_aggregate += 1
    try:
        arguments = [translator.value(argument, scope) for argument in node.arguments]
    finally:
        scope.in_aggregate -= 1
    _need(node.name, arguments, 2 if node.name == "STRING_AGG" else 1)
    distinct = "DISTINCT " if node.distinct else ""
    return _aggregate_sql(node.name, arguments, distinct, over)


def _aggregate_sql(name: str, arguments: list[Bound], distinct: str, over: str) -> Bound:
    value = arguments[0]
    kind = value.type or INT
    text = value.sql + collation_of(kind, value.sql)
    if name in ("COUNT", "COUNT_BIG"):
        return Bound(f"count({distinct}{text}){over}", BIGINT if name == "COUNT_BIG" else INT)
    if name in ("MIN", "MAX"):
        if kind.name == "bit":
            raise SqlError(8117, "bit", name.lower())
        return Bound(f"{name.lower()}({text}){over}", kind)
    if name == "STRING_AGG":
        return Bound(f"group_concat({value.sql}, {arguments[1].sql}){over}", nvarchar(4000))
    if kind.family not in NUMERIC or kind.name == "bit":
        raise SqlError(8117, kind.name, name.lower())
    total = f"sum({distinct}{value.sql}){over}"
    if kind.family == "float":
        return Bound(f"{'avg' if name == 'AVG' else 'sum'}({distinct}{value.sql}){over}", FLOAT)
    if kind.name in ("tinyint", "smallint"):
        kind = INT
    if name == "SUM":
        if kind.family == "decimal":
            return Bound(total, decimal(38, kind.scale))
        return Bound(f"ts_int({total}, '{kind.name}')", kind)
    count = f"count({distinct}{value.sql}){over}"
    if kind.family == "decimal":
        scale = max(6, kind.scale)
        return Bound(f"({total} * {10 ** (scale - kind.scale)} / {count})", decimal(38, scale))
    return Bound(f"({total} / {count})", kind)


def _window(translator: ExpressionTranslator, node: tree.Call, scope: Scope) -> Bound:
    if node.over is None or node.arguments:
        raise SqlError(102, node.name)
    return Bound(f"{node.name.lower()}(){_over_sql(translator, node, scope)}", BIGINT)


def _over_sql(translator: ExpressionTranslator, node: tree.Call, scope: Scope) -> str:
    if node.over is None:
        return ""
    partition, order = node.over
    parts = []
    if partition:
        parts.append("PARTITION BY " + ", ".join(translator.value(p, scope).sql for p in partition))
    if order:
        items = []
        for item in order:
            bound = translator.value(item.operand, scope)
            direction = " DESC" if item.descending else ""
            items.append(bound.sql + collation_of(bound.type, bound.sql) + direction)
        parts.append("ORDER BY " + ", ".join(items))
    return f" OVER ({' '.join(parts)})"


def is_aggregate(node: tree.Call) -> bool:
    """Whether a call makes its query a grouped one."""
    return node.name in _AGGREGATES and node.over is None
