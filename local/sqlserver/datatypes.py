"""SQL Server's data types, as far as this server knows them.

A value travels in three forms. In Python it is what a reader expects: ``int``, ``Decimal``, ``uuid.UUID``,
naive ``datetime`` (SQL Server's own date types carry no zone; only ``datetimeoffset`` is aware). On the wire
it is TDS (``protocol.values``). In storage it is one of SQLite's classes (``engine.values``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SqlType:
    """One data type with its length or precision.

    Attributes:
        name: the type's name in lower case.
        length: characters (nvarchar, varchar) or bytes (varbinary); None means ``max``.
        precision: digits of a decimal.
        scale: digits after the point of a decimal, fractional digits of a second of a time type.
    """

    name: str
    length: int | None = None
    precision: int = 0
    scale: int = 0

    @property
    def family(self) -> str:
        """The group of types that compare and store alike, such as int, decimal, char, datetime."""
        return _FAMILIES[self.name]

    @property
    def declaration(self) -> str:
        """The type as a column definition writes it, such as ``nvarchar(32)``."""
        if self.name in _SIZED:
            return f"{self.name}({self.length if self.length is not None else 'max'})"
        if self.name in ("decimal", "numeric"):
            return f"{self.name}({self.precision},{self.scale})"
        if self.name in ("datetime2", "datetimeoffset", "time"):
            return f"{self.name}({self.scale})"
        return self.name


BIT = SqlType("bit")
TINYINT = SqlType("tinyint", precision=3)
SMALLINT = SqlType("smallint", precision=5)
INT = SqlType("int", precision=10)
BIGINT = SqlType("bigint", precision=19)
FLOAT = SqlType("float")
GUID = SqlType("uniqueidentifier")
DATE = SqlType("date")
DATETIME = SqlType("datetime", scale=3)
DATETIME2 = SqlType("datetime2", scale=7)
DATETIMEOFFSET = SqlType("datetimeoffset", scale=7)
TIME = SqlType("time", scale=7)
LSN = SqlType("numeric", precision=25, scale=0)
SYSNAME = SqlType("nvarchar", 128)
NVARCHAR_MAX = SqlType("nvarchar")


def nvarchar(length: int | None) -> SqlType:
    """``nvarchar(length)``; None means max."""
    return SqlType("nvarchar", length)


def varchar(length: int | None) -> SqlType:
    """``varchar(length)``; None means max."""
    return SqlType("varchar", length)


def varbinary(length: int | None) -> SqlType:
    """``varbinary(length)``; None means max."""
    return SqlType("varbinary", length)


def decimal(precision: int, scale: int) -> SqlType:
    """``decimal(precision, scale)``."""
    return SqlType("decimal", None, precision, scale)


_SIZED = frozenset({"nvarchar", "varchar", "nchar", "char", "varbinary", "binary"})
_FAMILIES = {
    "bit": "int",
    "tinyint": "int",
    "smallint": "int",
    "int": "int",
    "bigint": "int",
    "decimal": "decimal",
    "numeric": "decimal",
    "float": "float",
    "real": "float",
    "nvarchar": "char",
    "varchar": "char",
    "nchar": "char",
    "char": "char",
    "varbinary": "binary",
    "binary": "binary",
    "uniqueidentifier": "guid",
    "date": "date",
    "datetime": "datetime",
    "datetime2": "datetime",
    "smalldatetime": "datetime",
    "datetimeoffset": "datetimeoffset",
    "time": "time",
}
INTEGER_RANGES = {
    "bit": (0, 1),
    "tinyint": (0, 255),
    "smallint": (-(2**15), 2**15 - 1),
    "int": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
# Higher wins when two types meet in one expression (Microsoft: "Data type precedence").
_PRECEDENCE = [
    "binary",
    "varbinary",
    "char",
    "varchar",
    "nchar",
    "nvarchar",
    "uniqueidentifier",
    "bit",
    "tinyint",
    "smallint",
    "int",
    "bigint",
    "decimal",
    "numeric",
    "real",
    "float",
    "time",
    "date",
    "smalldatetime",
    "datetime",
    "datetime2",
    "datetimeoffset",
]


def common(left: SqlType | None, right: SqlType | None) -> SqlType | None:
    """The type in which two expressions meet; None where both are the untyped NULL."""
    if left is None or right is None:
        return left or right
    if left.family == right.family == "decimal":
        scale = max(left.scale, right.scale)
        digits = max(left.precision - left.scale, right.precision - right.scale)
        return SqlType(left.name, None, min(38, digits + scale), scale)
    winner, loser = sorted((left, right), key=lambda t: _PRECEDENCE.index(t.name), reverse=True)
    if winner.family == "decimal" and loser.family == "int":
        digits = max(winner.precision - winner.scale, loser.precision or 1)
        return SqlType(winner.name, None, min(38, digits + winner.scale), winner.scale)
    if winner.name in _SIZED and loser.name in _SIZED:
        unlimited = winner.length is None or loser.length is None
        return SqlType(winner.name, None if unlimited else max(winner.length or 0, loser.length or 0))
    return winner
