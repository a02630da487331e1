"""SQL values on the wire: type descriptions, encoding, decoding of parameters ([MS-TDS] 2.2.5.4-5).

Dates count days since 0001-01-01 (date, datetime2, datetimeoffset) or since 1900-01-01 (datetime, whose
clock ticks 300 times a second).
"""

from __future__ import annotations

import datetime as dt
import decimal
import struct
import uuid
from collections.abc import Callable
from typing import Any

from local.sqlserver.datatypes import SqlType, varbinary, varchar
from local.sqlserver.protocol.wire import ProtocolError

COLLATION = bytes.fromhex("0904d00034")  # SQL_Latin1_General_CP1_CI_AS
EPOCH_1900 = dt.date(1900, 1, 1)
PLP_NULL = 0xFFFFFFFFFFFFFFFF
SHORT_NULL = 0xFFFF

_INT_WIDTHS = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}
_CHAR_TOKENS = {
    "nvarchar": 0xE7,
    "nchar": 0xE7,
    "varchar": 0xA7,
    "char": 0xA7,
    "varbinary": 0xA5,
    "binary": 0xA5,
}
_WIDE = ("nvarchar", "nchar")


def short_text(text: str) -> bytes:
    """B_VARCHAR: one byte of length in characters, then UTF-16LE."""
    return bytes([len(text.encode("utf-16-le")) // 2]) + text.encode("utf-16-le")


def long_text(text: str) -> bytes:
    """US_VARCHAR: two bytes of length in characters, then UTF-16LE."""
    return struct.pack("<H", len(text.encode("utf-16-le")) // 2) + text.encode("utf-16-le")


def _time_width(scale: int) -> int:
    return 3 if scale < 3 else 4 if scale < 5 else 5


def _decimal_width(precision: int) -> int:
    return 5 if precision < 10 else 9 if precision < 20 else 13 if precision < 29 else 17


def type_info(kind: SqlType) -> bytes:
    """TYPE_INFO: how a column or return value of this type is announced."""
    name = kind.name
    if name in _INT_WIDTHS:
        return bytes([0x26, _INT_WIDTHS[name]])
    if name in _CHAR_TOKENS:
        size = SHORT_NULL if kind.length is None else kind.length * (2 if name in _WIDE else 1)
        collation = b"" if kind.family == "binary" else COLLATION
        return bytes([_CHAR_TOKENS[name]]) + struct.pack("<H", size) + collation
    if kind.family == "decimal":
        return bytes([0x6C, _decimal_width(kind.precision), kind.precision, kind.scale])
    fixed = {
        "bit": b"\x68\x01",
        "float": b"\x6d\x08",
        "uniqueidentifier": b"\x24\x10",
        "date": b"\x28",
        "datetime": b"\x6f\x08",
    }
    if name in fixed:
        return fixed[name]
    tokens = {"time": 0x29, "datetime2": 0x2A, "datetimeoffset": 0x2B}
    return bytes([tokens[name], kind.scale])


def _clock(value: dt.time | dt.datetime, scale: int) -> bytes:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    ticks = seconds * 10**scale + value.microsecond * 10**scale // 10**6
    return int(ticks).to_bytes(_time_width(scale), "little")


def _days(value: dt.date) -> bytes:
    return (value.toordinal() - 1).to_bytes(3, "little")


def _datetime(value: dt.datetime) -> bytes:
    days = (value.date() - EPOCH_1900).days
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return struct.pack("<iI", days, round((seconds + value.microsecond / 1e6) * 300))


def _offset(value: dt.datetime, scale: int) -> bytes:
    utc = value.astimezone(dt.UTC)
    minutes = int((value.utcoffset() or dt.timedelta()).total_seconds() // 60)
    return _clock(utc, scale) + _days(utc.date()) + struct.pack("<h", minutes)


def _decimal(value: decimal.Decimal | int, kind: SqlType) -> bytes:
    with decimal.localcontext(prec=76):
        unscaled = int(decimal.Decimal(value).scaleb(kind.scale))
    size = _decimal_width(kind.precision) - 1
    return bytes([0 if unscaled < 0 else 1]) + abs(unscaled).to_bytes(size, "little")


def _plain_encoder(kind: SqlType) -> Callable[[Any], bytes]:
    """The encoder of the types whose values carry one byte of length."""
    scale = kind.scale
    if kind.name in _INT_WIDTHS:
        width, signed = _INT_WIDTHS[kind.name], kind.name != "tinyint"
        return lambda v: bytes(int(v).to_bytes(width, "little", signed=signed))
    if kind.family == "decimal":
        return lambda v: _decimal(v, kind)
    return {
        "bit": lambda v: b"\1" if v else b"\0",
        "float": lambda v: struct.pack("<d", v),
        "uniqueidentifier": lambda v: v.bytes_le,
        "date": _days,
        "datetime": _datetime,
        "time": lambda v: _clock(v, scale),
        "datetime2": lambda v: _clock(v, scale) + _days(v.date()),
        "datetimeoffset": lambda v: _offset(v, scale),
    }[kind.name]


def encoder(kind: SqlType) -> Callable[[Any], bytes]:
    """A function that turns a Python value (or None) of this type into its bytes in a row."""
    if kind.name not in _CHAR_TOKENS:
        plain = _plain_encoder(kind)

        def short(value: Any) -> bytes:
            if value is None:
                return b"\0"
            data = plain(value)
            return bytes([len(data)]) + data

        return short
    if kind.family == "binary":
        convert: Callable[[Any], bytes] = bytes
    elif kind.name in _WIDE:
        convert = lambda v: v.encode("utf-16-le", "surrogatepass")  # noqa: E731 -- one of three one-liners
    else:
        convert = lambda v: v.encode("cp1252", "replace")  # noqa: E731
    if kind.length is None:
        return lambda v: struct.pack("<Q", PLP_NULL) if v is None else _chunked(convert(v))
    return lambda v: struct.pack("<H", SHORT_NULL) if v is None else _counted(convert(v))


def _counted(data: bytes) -> bytes:
    return struct.pack("<H", len(data)) + data


def _chunked(data: bytes) -> bytes:
    chunk = struct.pack("<I", len(data)) + data if data else b""
    return struct.pack("<Q", len(data)) + chunk + struct.pack("<I", 0)


class Reader:
    """Reads numbers and texts off a message."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._data)

    def peek(self) -> int:
        """The next byte, left in place."""
        return self._data[self._at]

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes.

        Raises:
            ProtocolError: the message ends before them.
        """
        if self._at + size > len(self._data):
            raise ProtocolError("a message was cut short")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        """An unsigned little-endian number of ``size`` bytes."""
        return int.from_bytes(self.take(size), "little")

    def short_text(self) -> str:
        """A B_VARCHAR."""
        return self.take(self.number(1) * 2).decode("utf-16-le")

    def chunked(self) -> bytes | None:
        """A partially length-prefixed value (PLP); None for NULL."""
        if self.number(8) == PLP_NULL:
            return None
        out = bytearray()
        while size := self.number(4):
            out += self.take(size)
        return bytes(out)


def _read_time(data: bytes, scale: int) -> dt.time:
    microseconds = int.from_bytes(data, "little") * 10**6 // 10**scale
    midnight = dt.datetime.combine(dt.date(1, 1, 1), dt.time())
    return (midnight + dt.timedelta(microseconds=microseconds)).time()


def _read_date(data: bytes) -> dt.date:
    return dt.date.fromordinal(int.from_bytes(data, "little") + 1)


def read_parameter(reader: Reader) -> tuple[SqlType, Any]:
    """One parameter: its type as the driver declares it, and its value (None for NULL).

    Raises:
        ProtocolError: a type that this server does not know.
    """
    token = reader.number(1)
    if token in (0x24, 0x26, 0x68, 0x6D, 0x6F):
        return _read_nullable(reader, token)
    if token in (0x6A, 0x6C):
        reader.take(1)
        precision, scale = reader.number(1), reader.number(1)
        kind, data = SqlType("decimal", None, precision, scale), reader.take(reader.number(1))
        if not data:
            return kind, None
        unscaled = int.from_bytes(data[1:], "little") * (1 if data[0] else -1)
        with decimal.localcontext(prec=76):
            return kind, decimal.Decimal(unscaled).scaleb(-scale)
    if token in (0x28, 0x29, 0x2A, 0x2B):
        return _read_date_type(reader, token)
    if token in (0xA7, 0xAF, 0xE7, 0xEF, 0xA5, 0xAD):
        return _read_string(reader, token)
    raise ProtocolError(f"parameter type 0x{token:02x} is not supported")


def _read_nullable(reader: Reader, token: int) -> tuple[SqlType, Any]:
    width, data = reader.number(1), reader.take(reader.number(1))
    null = not data
    if token == 0x24:
        return SqlType("uniqueidentifier"), None if null else uuid.UUID(bytes_le=data)
    if token == 0x26:
        name = {v: k for k, v in _INT_WIDTHS.items()}[width]
        return SqlType(name, precision={1: 3, 2: 5, 4: 10, 8: 19}[width]), (
            None if null else int.from_bytes(data, "little", signed=width > 1)
        )
    if token == 0x68:
        return SqlType("bit"), None if null else bool(data[0])
    if token == 0x6D:
        return SqlType("float"), None if null else struct.unpack("<f" if width == 4 else "<d", data)[0]
    if width != 8:
        raise ProtocolError("smalldatetime parameters are not supported")
    if null:
        return SqlType("datetime", scale=3), None
    days, ticks = struct.unpack("<iI", data)
    midnight = dt.datetime.combine(EPOCH_1900 + dt.timedelta(days=days), dt.time())
    return SqlType("datetime", scale=3), midnight + dt.timedelta(microseconds=ticks * 10000 // 3)


def _read_date_type(reader: Reader, token: int) -> tuple[SqlType, Any]:
    if token == 0x28:
        data = reader.take(reader.number(1))
        return SqlType("date"), _read_date(data) if data else None
    scale, data = reader.number(1), reader.take(reader.number(1))
    if token == 0x29:
        return SqlType("time", scale=scale), _read_time(data, scale) if data else None
    if token == 0x2A:
        kind = SqlType("datetime2", scale=scale)
        return kind, dt.datetime.combine(
            _read_date(data[-3:]), _read_time(data[:-3], scale)
        ) if data else None
    kind = SqlType("datetimeoffset", scale=scale)
    if not data:
        return kind, None
    zone = dt.timezone(dt.timedelta(minutes=int.from_bytes(data[-2:], "little", signed=True)))
    utc = dt.datetime.combine(_read_date(data[-5:-2]), _read_time(data[:-5], scale), dt.UTC)
    return kind, utc.astimezone(zone)


def _read_string(reader: Reader, token: int) -> tuple[SqlType, Any]:
    size = reader.number(2)
    binary, wide = token in (0xA5, 0xAD), token in (0xE7, 0xEF)
    if not binary:
        reader.take(len(COLLATION))
    if size == SHORT_NULL:
        data = reader.chunked()
    else:
        length = reader.number(2)
        data = None if length == SHORT_NULL else reader.take(length)
    bound = None if size == SHORT_NULL else size // (2 if wide else 1)
    if binary:
        return varbinary(bound), data
    kind = SqlType("nvarchar", bound) if wide else varchar(bound)
    encoding = "utf-16-le" if wide else "cp1252"
    return kind, None if data is None else data.decode(encoding, "surrogatepass" if wide else "replace")
