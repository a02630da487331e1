"""What a client asks for: SQL batches, procedure calls, transaction requests ([MS-TDS] 2.2.6)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local.sqlserver.datatypes import SqlType
from local.sqlserver.protocol.values import Reader, read_parameter

TM_BEGIN, TM_COMMIT, TM_ROLLBACK = 5, 7, 8
_BEGIN_AGAIN = 0x01
_BATCH_SEPARATORS = (0x80, 0xFF, 0xFE)
# Procedures that are called by number ([MS-TDS] 2.2.6.6); the cursor procedures are not spoken here.
_WELL_KNOWN = {
    10: "sp_executesql",
    11: "sp_prepare",
    12: "sp_execute",
    13: "sp_prepexec",
    15: "sp_unprepare",
}


@dataclass(frozen=True)
class Parameter:
    """One argument of a procedure call."""

    name: str
    type: SqlType
    value: Any


@dataclass(frozen=True)
class Call:
    """One procedure call."""

    procedure: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class TransactionRequest:
    """A request to the transaction manager: begin, commit or roll back, and whether to begin again."""

    kind: int
    begin_again: bool


def batch_text(payload: bytes) -> str:
    """The text of a SQL batch."""
    return payload[struct.unpack_from("<I", payload)[0] :].decode("utf-16-le", "surrogatepass")


def calls(payload: bytes) -> Iterator[Call]:
    """The procedure calls of one message, in order; ``executemany`` can put many into one."""
    reader = Reader(payload)
    reader.take(reader.number(4) - 4)
    while reader.more:
        size = reader.number(2)
        if size == 0xFFFF:
            number = reader.number(2)
            name = _WELL_KNOWN.get(number, f"procedure number {number}")
        else:
            name = reader.take(size * 2).decode("utf-16-le")
        reader.take(2)
        parameters = []
        while reader.more and reader.peek() not in _BATCH_SEPARATORS:
            parameter_name = reader.short_text()
            reader.take(1)
            parameters.append(Parameter(parameter_name, *read_parameter(reader)))
        if reader.more:
            reader.take(1)
        yield Call(name, tuple(parameters))


def transaction_request(payload: bytes) -> TransactionRequest:
    """The transaction manager request in a message."""
    at = struct.unpack_from("<I", payload)[0]
    kind = struct.unpack_from("<H", payload, at)[0]
    if kind == TM_BEGIN:
        return TransactionRequest(kind, begin_again=False)
    name = payload[at + 2] if len(payload) > at + 2 else 0
    flags = payload[at + 3 + name] if len(payload) > at + 3 + name else 0
    return TransactionRequest(kind, bool(flags & _BEGIN_AGAIN))
