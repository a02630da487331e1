"""The tokens of a result stream ([MS-TDS] 2.2.7)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from local.sqlserver.datatypes import SqlType
from local.sqlserver.engine.events import Column, Message
from local.sqlserver.protocol.values import COLLATION, long_text, short_text, type_info

DONE, DONEPROC, DONEINPROC = 0xFD, 0xFE, 0xFF
MORE, IN_ERROR, COUNT, ATTENTION_ACKNOWLEDGED = 0x01, 0x02, 0x10, 0x20
SELECT_COMMAND = 0xC1
ENV_DATABASE, ENV_LANGUAGE, ENV_PACKET_SIZE, ENV_COLLATION = 1, 2, 4, 7
ENV_BEGIN, ENV_COMMIT, ENV_ROLLBACK = 8, 9, 10
_NULLABLE = 0x0009  # fNullable, updateable unknown
ROW = b"\xd1"


def message(content: Message, server: str) -> bytes:
    """An ERROR token for severities above 10, an INFO token otherwise."""
    body = (
        struct.pack("<IBB", content.number, content.state, content.severity)
        + long_text(content.text)
        + short_text(server)
        + short_text("")
        + struct.pack("<I", content.line)
    )
    token = 0xAA if content.is_error else 0xAB
    return bytes([token]) + struct.pack("<H", len(body)) + body


def done(token: int, status: int, command: int = 0, rows: int = 0) -> bytes:
    """A DONE, DONEPROC or DONEINPROC token."""
    return struct.pack("<BHHQ", token, status, command, rows)


def environment(kind: int, new: str | bytes, old: str | bytes) -> bytes:
    """An ENVCHANGE token: what changed, the new value, the old one."""
    body = bytes([kind])
    for value in (new, old):
        body += bytes([len(value)]) + value if isinstance(value, bytes) else short_text(value)
    return b"\xe3" + struct.pack("<H", len(body)) + body


def column_metadata(columns: Sequence[Column]) -> bytes:
    """A COLMETADATA token."""
    out = b"\x81" + struct.pack("<H", len(columns))
    for name, kind in columns:
        out += struct.pack("<IH", 0, _NULLABLE) + type_info(kind) + short_text(name[:128])
    return out


def return_status(value: int) -> bytes:
    """A RETURNSTATUS token: how a procedure ended."""
    return b"\x79" + struct.pack("<i", value)


def return_value(kind: SqlType, data: bytes) -> bytes:
    """A RETURNVALUE token: an unnamed output parameter, already encoded."""
    return b"\xac" + struct.pack("<HBBIH", 0, 0, 1, 0, 0) + type_info(kind) + data


def login_acknowledged(program: str, version: tuple[int, int, int]) -> bytes:
    """A LOGINACK token for TDS 7.4."""
    major, minor, build = version
    body = b"\x01" + struct.pack(">I", 0x74000004) + short_text(program + "\0\0")
    body += bytes([major, minor, build >> 8, build & 0xFF])
    return b"\xad" + struct.pack("<H", len(body)) + body


def collation_change() -> bytes:
    """The ENVCHANGE that announces the server's collation."""
    return environment(ENV_COLLATION, COLLATION, b"")
