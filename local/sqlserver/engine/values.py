"""How values are kept in SQLite, and how one type is converted into another.

Storage forms: whole numbers and bits as INTEGER; decimals as INTEGER, scaled by their type's scale (so they
hold at most 64 bits); floats as REAL; texts as TEXT; uniqueidentifier as upper-case TEXT; dates and times as
TEXT of fixed width, so that they sort as they should; binary as BLOB. Tables are STRICT: SQLite never
converts.
"""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from typing import Any

from local.sqlserver.datatypes import INTEGER_RANGES, SqlType
from local.sqlserver.engine.errors import SqlError

STORAGE_CLASS = {
    "int": "INTEGER",
    "decimal": "INTEGER",
    "float": "REAL",
    "char": "TEXT",
    "guid": "TEXT",
    "date": "TEXT",
    "datetime": "TEXT",
    "datetimeoffset": "TEXT",
    "time": "TEXT",
    "binary": "BLOB",
}
_DATE_TIME = re.compile(
    r"(?:(?P<date>\d{4}-\d{2}-\d{2}|\d{8}))?"
    r"(?:[T ]?(?P<time>\d{1,2}:\d{2}(?::\d{2})?)(?:\.(?P<fraction>\d{1,7}))?)?"
    r"\s*(?P<zone>Z|[+-]\d{2}:\d{2})?"
)
_EPOCH = dt.date(1900, 1, 1)


def to_storage(kind: SqlType, value: Any) -> Any:
    """The storage form of a Python value."""
    if value is None:
        return None
    match kind.family:
        case "int":
            return int(value)
        case "decimal":
            return _scaled(decimal.Decimal(value), kind)
        case "guid":
            return str(value).upper()
        case "date":
            return value.isoformat()
        case "datetime":
            return _datetime_text(value)
        case "datetimeoffset":
            minutes = int((value.utcoffset() or dt.timedelta()).total_seconds() // 60)
            return f"{_datetime_text(value.astimezone(dt.UTC))}|{minutes}"
        case "time":
            return _time_text(value)
    return value


def from_storage(kind: SqlType, stored: Any) -> Any:
    """The Python value of a storage form."""
    if stored is None:
        return None
    match kind.family:
        case "int":
            return bool(stored) if kind.name == "bit" else stored
        case "decimal":
            with decimal.localcontext(prec=76):
                return decimal.Decimal(stored).scaleb(-kind.scale)
        case "guid":
            return uuid.UUID(stored)
        case "date":
            return dt.date.fromisoformat(stored)
        case "datetime":
            return dt.datetime.fromisoformat(stored[:26])
        case "datetimeoffset":
            text, _, minutes = stored.partition("|")
            utc = dt.datetime.fromisoformat(text[:26]).replace(tzinfo=dt.UTC)
            return utc.astimezone(dt.timezone(dt.timedelta(minutes=int(minutes))))
        case "time":
            return dt.time.fromisoformat(stored[:15])
    return stored


def _datetime_text(value: dt.datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0") + "0"


def _time_text(value: dt.time) -> str:
    return value.strftime("%H:%M:%S.%f") + "0"


def _scaled(value: decimal.Decimal, kind: SqlType) -> int:
    with decimal.localcontext(prec=76):
        rounded = value.quantize(decimal.Decimal(1).scaleb(-kind.scale), decimal.ROUND_HALF_UP)
        unscaled = int(rounded.scaleb(kind.scale))
    if len(str(abs(unscaled))) > kind.precision or not -(2**63) <= unscaled < 2**63:
        raise SqlError(8115, "numeric", "numeric")
    return unscaled


def convert(stored: Any, source: SqlType | None, target: SqlType, style: int | None = None) -> Any:
    """Convert a storage form of type ``source`` (None: untyped) into one of type ``target``.

    Raises:
        SqlError: 241, 245, 529, 8114, 8115 or 8169, the value does not fit the type.
    """
    if stored is None or source is None:
        return stored
    if source == target and target.family != "char":
        return stored
    value = from_storage(source, stored)
    match target.family:
        case "int":
            return _to_int(value, source, target)
        case "decimal":
            return _scaled(_to_decimal(value, source, target), target)
        case "float":
            return float(_to_decimal(value, source, target))
        case "char":
            return _cut(_to_text(value, source, style), target)
        case "guid":
            return _to_guid(value, source)
        case "binary":
            return _to_binary(value, source, target)
    return to_storage(target, _to_date(value, source, target))


def _to_int(value: Any, source: SqlType, target: SqlType) -> int:
    if source.family == "char":
        text = value.strip() or "0"
        if not re.fullmatch(r"[+-]?\d+", text):
            raise SqlError(245, source.name, value, target.name)
        number = int(text)
    elif source.family in ("int", "decimal", "float"):
        number = int(value)
    elif source.family == "binary":
        number = int.from_bytes(value, "big")
    else:
        raise SqlError(529, source.name, target.name)
    if target.name == "bit":
        return int(number != 0)
    low, high = INTEGER_RANGES[target.name]
    if not low <= number <= high:
        if target.name in ("tinyint", "smallint"):
            raise SqlError(220, target.name, number)
        raise SqlError(8115, "expression", target.name)
    return number


def _to_decimal(value: Any, source: SqlType, target: SqlType) -> decimal.Decimal:
    if source.family not in ("char", "int", "decimal", "float"):
        raise SqlError(529, source.name, target.name)
    try:
        return decimal.Decimal(str(value).strip() if source.family != "int" else int(value))
    except decimal.InvalidOperation:
        raise SqlError(8114, source.name, target.name) from None


def _to_text(value: Any, source: SqlType, style: int | None) -> str:
    if source.family == "char":
        return str(value)
    if source.family in ("int", "decimal"):
        return str(int(value)) if source.family == "int" else f"{value:f}"
    if source.family == "float":
        return f"{value:g}"
    if source.family == "guid":
        return str(value).upper()
    if source.family == "binary":
        digits = {1: "0x", 2: ""}.get(style or 0)
        return str(value.decode("cp1252")) if digits is None else digits + value.hex().upper()
    return _date_text(value, source, style)


def _date_text(value: Any, source: SqlType, style: int | None) -> str:
    if source.family == "date" and style in (None, 23, 120, 121, 126):
        return str(value.isoformat())
    if style == 112:
        return str(value.strftime("%Y%m%d"))
    if source.family == "time":
        return _time_text(value)
    digits = 3 if source.name == "datetime" else source.scale
    fraction = f".{value.microsecond * 10:07d}"[: digits + 1] if digits else ""
    zone = ""
    if source.family == "datetimeoffset":
        zone = " " + value.strftime("%z")[:3] + ":" + value.strftime("%z")[3:5]
    if style is None and source.name == "datetime":
        return f"{value:%b} {value.day:2d} {value.year} {value.hour % 12 or 12:2d}:{value:%M%p}"
    if style in (None, 121, 25):
        return f"{value:%Y-%m-%d %H:%M:%S}{fraction}{zone}"
    if style == 120:
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if style in (126, 127):
        return f"{value:%Y-%m-%dT%H:%M:%S}{fraction}{zone.strip()}"
    raise SqlError(40517, f"CONVERT style {style}")


def _cut(text: str, target: SqlType) -> str:
    return text if target.length is None else text[: target.length]


def _to_guid(value: Any, source: SqlType) -> str:
    if source.family == "binary" and len(value) == 16:
        return str(uuid.UUID(bytes_le=value)).upper()
    if source.family != "char":
        raise SqlError(529, source.name, "uniqueidentifier")
    text = value.strip()
    if not re.match(r"\{?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", text):
        raise SqlError(8169)
    return str(text.strip("{}")[:36].upper())


def _to_binary(value: Any, source: SqlType, target: SqlType) -> bytes:
    match source.family:
        case "binary":
            data = value
        case "guid":
            data = value.bytes_le
        case "int":
            data = int(value).to_bytes(
                {"bigint": 8, "int": 4, "smallint": 2}.get(source.name, 1), "big", signed=True
            )
        case "char":
            data = value.encode("utf-16-le" if source.name.startswith("n") else "cp1252")
        case _:
            raise SqlError(529, source.name, target.name)
    return bytes(data if target.length is None else data[: target.length])


def _to_date(value: Any, source: SqlType, target: SqlType) -> Any:
    """A value for one of the date and time types; the seconds are rounded to the target's precision."""
    if source.family == "char":
        moment = _parse(value)
    elif source.family == "date":
        moment = dt.datetime.combine(value, dt.time())
    elif source.family == "time":
        moment = dt.datetime.combine(_EPOCH, value)
    elif source.family in ("datetime", "datetimeoffset"):
        moment = value
    else:
        raise SqlError(529, source.name, target.name)
    if target.family == "date":
        return moment.date()
    moment = _rounded(moment, target)
    if target.family == "time":
        return moment.time()
    if target.family == "datetimeoffset":
        return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return moment.replace(tzinfo=None)


def _parse(text: str) -> dt.datetime:
    match = _DATE_TIME.fullmatch(text.strip())
    if match is None or not text.strip():
        raise SqlError(241)
    try:
        date = dt.date.fromisoformat(match["date"]) if match["date"] else _EPOCH
        time = dt.time.fromisoformat((match["time"] or "00:00").rjust(5, "0"))
    except ValueError:
        raise SqlError(241) from None
    fraction = dt.timedelta(microseconds=int((match["fraction"] or "0").ljust(7, "0")) // 10)
    moment = dt.datetime.combine(date, time) + fraction
    if not match["zone"]:
        return moment
    zone = "+00:00" if match["zone"] == "Z" else match["zone"]
    offset = dt.timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6])) * (-1 if zone[0] == "-" else 1)
    return moment.replace(tzinfo=dt.timezone(offset))


def _rounded(moment: dt.datetime, target: SqlType) -> dt.datetime:
    if target.name == "datetime":
        return to_datetime(moment)
    step = 10 ** max(0, 6 - target.scale)
    extra = (moment.microsecond + step // 2) // step * step - moment.microsecond
    return moment + dt.timedelta(microseconds=extra)


def to_datetime(moment: dt.datetime) -> dt.datetime:
    """Rounded as ``datetime`` keeps it: to 1/300 of a second, shown in milliseconds."""
    ticks = round(moment.microsecond * 300 / 10**6)
    return moment.replace(microsecond=0) + dt.timedelta(milliseconds=(ticks * 10 + 1) // 3)
