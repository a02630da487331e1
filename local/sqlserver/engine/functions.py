"""Transact-SQL's functions as SQLite calls them, installed on every session's connection."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from local.sqlserver.datatypes import DATETIME2, DATETIMEOFFSET, INTEGER_RANGES
from local.sqlserver.engine.catalog import Catalog
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.identity import identity_functions
from local.sqlserver.engine.storage import define, type_of_key
from local.sqlserver.engine.values import convert, from_storage, to_datetime, to_storage

if TYPE_CHECKING:
    from local.sqlserver.engine.instance import Instance
    from local.sqlserver.engine.session import Session

_SECONDS = {
    "day": 86400,
    "dd": 86400,
    "d": 86400,
    "week": 604800,
    "hour": 3600,
    "hh": 3600,
    "minute": 60,
    "mi": 60,
}
_SECONDS |= {"n": 60, "second": 1, "ss": 1, "s": 1}
_MICROSECONDS = {"millisecond": 1000, "ms": 1000, "microsecond": 1, "mcs": 1}
_MONTHS = {"year": 12, "yy": 12, "yyyy": 12, "quarter": 3, "qq": 3, "month": 1, "mm": 1, "m": 1}


# --- texts and numbers


def _cast(value: Any, source: str, target: str, style: int | None) -> Any:
    return convert(value, type_of_key(source), type_of_key(target), style)


def _try_cast(value: Any, source: str, target: str, style: int | None) -> Any:
    try:
        return _cast(value, source, target, style)
    except SqlError:
        return None


@lru_cache(maxsize=512)
def _like_pattern(pattern: str, escape: str | None) -> re.Pattern[str]:
    out, at = [], 0
    while at < len(pattern):
        character = pattern[at]
        if escape and character == escape and at + 1 < len(pattern):
            at += 1
            out.append(re.escape(pattern[at]))
        elif character == "%":
            out.append(".*")
        elif character == "_":
            out.append(".")
        elif character == "[" and "]" in pattern[at + 2 :]:
            end = pattern.index("]", at + 2)
            body = pattern[at + 1 : end]
            negated = body.startswith("^")
            inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", body[1:] if negated else body)
            out.append(f"[{'^' if negated else ''}{inside}]")
            at = end
        else:
            out.append(re.escape(character))
        at += 1
    return re.compile("".join(out), re.IGNORECASE | re.DOTALL)


def like(value: str | None, pattern: str | None, escape: str | None = None) -> int | None:
    """LIKE: 1, 0 or, for a NULL, None."""
    if value is None or pattern is None:
        return None
    compiled = _like_pattern(pattern, escape)
    return int(bool(compiled.fullmatch(value) or compiled.fullmatch(value.rstrip(" "))))


def _divide(left: float | None, right: float | None, operator: str) -> float | None:
    if left is None or right is None:
        return None
    if right == 0:
        raise SqlError(8134)
    if isinstance(left, float) or isinstance(right, float):
        return left / right if operator == "/" else left % right
    quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    return quotient if operator == "/" else left - right * quotient


def _int(value: int | None, kind: str) -> int | None:
    if value is None:
        return None
    low, high = INTEGER_RANGES[kind]
    if not low <= value <= high:
        raise SqlError(8115, "expression", kind)
    return value


def _decimal(
    a: int | None, a_scale: int, b: int | None, b_scale: int, operator: str, scale: int
) -> int | None:
    if a is None or b is None:
        return None
    with decimal.localcontext(prec=76):
        left, right = decimal.Decimal(a).scaleb(-a_scale), decimal.Decimal(b).scaleb(-b_scale)
        if operator != "*" and right == 0:
            raise SqlError(8134)
        value = left * right if operator == "*" else left / right if operator == "/" else left % right
        result = int(value.quantize(decimal.Decimal(1).scaleb(-scale), decimal.ROUND_HALF_UP).scaleb(scale))
    if not -(2**63) <= result < 2**63:
        raise SqlError(8115, "numeric", "numeric")
    return result


def _round(value: int | None, digits: int, scale: int) -> int | None:
    if value is None or digits >= scale:
        return value
    step = 10 ** (scale - digits)
    rounded = (abs(value) + step // 2) // step * step
    return int(rounded if value >= 0 else -rounded)


def _datalength(value: Any, key: str) -> Any:
    if value is None:
        return None
    kind = type_of_key(key)
    fixed = {"bit": 1, "tinyint": 1, "smallint": 2, "int": 4, "bigint": 8, "float": 8, "uniqueidentifier": 16}
    fixed |= {
        "datetime": 8,
        "datetime2": 8,
        "date": 3,
        "datetimeoffset": 10,
        "time": 5,
        "decimal": 9,
        "numeric": 9,
    }
    if kind.name in fixed:
        return fixed[kind.name]
    if kind.family == "binary":
        return len(value)
    return len(value.encode("utf-16-le" if kind.name.startswith("n") else "cp1252", "replace"))


def _quotename(value: str | None, quote: str = "[") -> str | None:
    if value is None or len(value) > 128 or quote not in ("[", "]", '"', "'"):
        return None
    start, end = ("[", "]") if quote in "[]" else (quote, quote)
    return start + value.replace(end, end * 2) + end


def _substring(value: str | None, start: int | None, length: int | None) -> str | None:
    if value is None or start is None or length is None:
        return None
    return value[max(0, start - 1) : max(0, start - 1 + length)]


def _charindex(needle: str | None, text: str | None, start: int = 1) -> int | None:
    if needle is None or text is None:
        return None
    return text.casefold().find(needle.casefold(), max(0, start - 1)) + 1


# --- dates


def _moment(stored: str) -> dt.datetime:
    value: dt.datetime = from_storage(DATETIME2, stored)
    return value


def _dateadd(part: str, number: int | None, stored: str | None) -> str | None:
    if number is None or stored is None:
        return None
    moment = _moment(stored)
    if part in _MONTHS:
        months = moment.year * 12 + moment.month - 1 + number * _MONTHS[part]
        year, month = divmod(months, 12)
        last = (
            (dt.date(year, month + 1, 1) + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)
        ).day
        moment = moment.replace(year=year, month=month + 1, day=min(moment.day, last))
    elif part in _MICROSECONDS:
        moment += dt.timedelta(microseconds=number * _MICROSECONDS[part])
    else:
        moment += dt.timedelta(seconds=number * _SECONDS[part])
    return str(to_storage(DATETIME2, moment))


def _datediff(part: str, start: str | None, end: str | None) -> int | None:
    """How many boundaries of the part lie between two moments."""
    if start is None or end is None:
        return None
    a, b = _moment(start), _moment(end)
    if part in _MONTHS:
        return (b.year * 12 + b.month - 1) // _MONTHS[part] - (a.year * 12 + a.month - 1) // _MONTHS[part]
    zero = dt.datetime.combine(dt.date(1, 1, 1), dt.time())
    unit = _MICROSECONDS.get(part) or _SECONDS[part] * 10**6
    one = dt.timedelta(microseconds=1)
    return ((b - zero) // one) // unit - ((a - zero) // one) // unit


def _datepart(part: str, stored: str | None) -> int | None:
    if stored is None:
        return None
    moment = _moment(stored)
    names = {"yy": "year", "yyyy": "year", "mm": "month", "m": "month", "dd": "day", "d": "day", "hh": "hour"}
    names |= {"mi": "minute", "n": "minute", "ss": "second", "s": "second", "mcs": "microsecond"}
    name = names.get(part, part)
    if name in ("quarter", "qq"):
        return (moment.month + 2) // 3
    if name in ("millisecond", "ms"):
        return moment.microsecond // 1000
    return int(getattr(moment, name))


_PURE: dict[str, Callable[..., Any]] = {
    "cast": _cast,
    "try_cast": _try_cast,
    "like": like,
    "divide": _divide,
    "int": _int,
    "decimal": _decimal,
    "round": _round,
    "datalength": _datalength,
    "quotename": _quotename,
    "substring": _substring,
    "charindex": _charindex,
    "dateadd": _dateadd,
    "datediff": _datediff,
    "datediff_big": _datediff,
    "datepart": _datepart,
    "upper": lambda v: v and v.upper(),
    "lower": lambda v: v and v.lower(),
    "ltrim": lambda v: v and v.lstrip(" "),
    "rtrim": lambda v: v and v.rstrip(" "),
    "trim": lambda v: v and v.strip(" "),
    "reverse": lambda v: v and v[::-1],
    "left": lambda v, n: None if v is None or n is None else v[: max(0, n)],
    "right": lambda v, n: None if v is None or n is None else v[len(v) - min(len(v), max(0, n)) :],
    "replace": lambda v, a, b: (
        None if None in (v, a, b) else re.sub(re.escape(a), lambda _: b, v, flags=re.I) if a else v
    ),
    "replicate": lambda v, n: None if v is None or n is None or n < 0 else v * n,
    "len": lambda v: None if v is None else len(v.rstrip(" ").encode("utf-16-le")) // 2,
    "abs": lambda v: None if v is None else abs(v),
    "isnumeric": lambda v: int(
        bool(v and re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", v, re.I))
    ),
}


class Functions:
    """Installs the functions; those about the server and the session know both."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def install(self, session: Session) -> None:
        """Make every function callable on a session's connection."""
        for name, function in _PURE.items():
            define(session.connection, f"ts_{name}", function)
        instance = self._instance
        local: dict[str, Callable[..., Any]] = {
            "newid": lambda: str(uuid.uuid4()).upper(),
            "sysutcdatetime": lambda: to_storage(DATETIME2, instance.clock()),
            "sysdatetime": lambda: to_storage(DATETIME2, instance.local_now()),
            "getutcdate": lambda: to_storage(DATETIME2, to_datetime(instance.clock())),
            "getdate": lambda: to_storage(DATETIME2, to_datetime(instance.local_now())),
            "current_timestamp": lambda: to_storage(DATETIME2, to_datetime(instance.local_now())),
            "sysdatetimeoffset": lambda: to_storage(DATETIMEOFFSET, instance.local_now()),
            "host_name": lambda: session.identity.host,
            "app_name": lambda: session.identity.application,
            "scope_identity": lambda: session.last_identity,
            "xact_state": lambda: _transaction_state(session),
            "error_number": lambda: session.caught.number if session.caught else None,
            "error_message": lambda: session.caught.text if session.caught else None,
            "error_severity": lambda: session.caught.severity if session.caught else None,
            "error_state": lambda: session.caught.state if session.caught else None,
            "db_name": lambda number=None: self._db_name(session, number),
            "db_id": lambda name=None: self._db_id(session, name),
            "schema_id": lambda name="dbo": self._schema_id(session, name),
            "schema_name": lambda number=1: self._schema_name(session, number),
            "object_id": lambda name, kind=None: self._object_id(session, name, kind),
            "object_name": lambda number, database=None: self._object_name(session, number, database),
            "serverproperty": instance.property,
            "databasepropertyex": lambda name, what: self._database_property(name, what),
        }
        for name, function in {**local, **identity_functions(session)}.items():
            define(session.connection, f"ts_{name}", function, pure=False)

    def _db_name(self, session: Session, number: int | None) -> str | None:
        if number is None:
            return session.database
        database = self._instance.by_id(number)
        return database.name if database else None

    def _db_id(self, session: Session, name: str | None) -> int | None:
        database = self._instance.find(name or session.database)
        return database.id if database else None

    def _catalog(self, session: Session) -> Catalog:
        return session.catalog(session.open())

    def _schema_id(self, session: Session, name: str) -> int | None:
        schemas = self._catalog(session).schemas()
        return next((i for i, s in schemas if s.casefold() == (name or "").casefold()), None)

    def _schema_name(self, session: Session, number: int) -> str | None:
        return next((s for i, s in self._catalog(session).schemas() if i == number), None)

    def _object_id(self, session: Session, name: str | None, kind: str | None) -> int | None:
        if name is None or (kind or "U").strip().upper() != "U":
            return None
        parts = [part.strip("[]") for part in re.findall(r"\[(?:[^\]]|\]\])*\]|[^.\[\]]+", name)]
        if len(parts) == 3 and self._instance.find(parts[0]) is None:
            return None
        database = session.open(parts[0] if len(parts) == 3 else None)
        schema = parts[-2] if len(parts) > 1 else "dbo"
        table = session.catalog(database).find(schema, parts[-1]) if parts else None
        if table is None or not self._instance.permissions.can_see(session, database, table):
            return None
        return table.object_id

    def _object_name(self, session: Session, number: int, database: int | None) -> str | None:
        found = self._instance.by_id(database) if database else None
        catalog = session.catalog(session.open(found.name if found else None))
        return next((t.name for t in catalog.tables() if t.object_id == number), None)

    def _database_property(self, name: str, what: str) -> str | None:
        database = self._instance.find(name)
        if database is None:
            return None
        state = database.state
        known = {
            "status": state.state,
            "recovery": state.recovery_model,
            "useraccess": state.user_access,
            "updateability": "READ_ONLY" if state.read_only else "READ_WRITE",
            "collation": "SQL_Latin1_General_CP1_CI_AS",
        }
        return known.get(what.lower())


def _transaction_state(session: Session) -> int:
    if session.transaction is None:
        return 0
    return -1 if session.transaction.doomed else 1
