"""How a connection starts: PRELOGIN, TLS, LOGIN7 ([MS-TDS] 2.2.6.4 and 2.2.6.5)."""

from __future__ import annotations

import ssl
import struct
from dataclasses import dataclass, field

from local.sqlserver.protocol import wire
from local.sqlserver.protocol.wire import ProtocolError, Wire

_VERSION, _ENCRYPTION, _INSTANCE, _THREAD, _MARS, _TRACE, _FEDAUTH = range(7)
_ENCRYPT_NOT_SUPPORTED = 2
# What the client asks for -> what this server answers. Off: only the login is encrypted; required: "on".
_ENCRYPTION_ANSWER = {0: 0, 1: 1, 2: 2, 3: 1}
_FEATURE_UTF8 = 0x0A
_EXTENSIONS_FOLLOW = 0x10
_TERMINATOR = 0xFF


@dataclass(frozen=True)
class Login:
    """What a LOGIN7 message says. The password is never shown."""

    user: str
    password: str = field(repr=False)
    application: str
    host: str
    database: str
    packet_size: int
    features: frozenset[int]
    integrated: bool


def negotiate(connection: Wire, context: ssl.SSLContext, version: tuple[int, int, int]) -> Login:
    """Answer the PRELOGIN, start TLS as agreed, and read the login.

    Raises:
        ProtocolError: something else came.
    """
    kind, _, body = connection.read_message()
    if kind != wire.PRELOGIN:
        raise ProtocolError(f"a connection must start with PRELOGIN, not with packet type {kind}")
    asked = _prelogin_options(body)
    encryption = _ENCRYPTION_ANSWER.get(asked.get(_ENCRYPTION, b"\2")[0], 1)
    connection.send(_prelogin_answer(asked, encryption, version))
    if encryption != _ENCRYPT_NOT_SUPPORTED:
        connection.start_tls(context)
    kind, _, body = connection.read_message()
    if kind != wire.LOGIN7:
        raise ProtocolError(f"expected LOGIN7, got packet type {kind}")
    if encryption == 0:
        connection.stop_tls()
    return _login7(body)


def _prelogin_options(body: bytes) -> dict[int, bytes]:
    options, at = {}, 0
    while body[at] != _TERMINATOR:
        token, offset, size = struct.unpack_from(">BHH", body, at)
        options[token] = body[offset : offset + size]
        at += 5
    return options


def _prelogin_answer(asked: dict[int, bytes], encryption: int, version: tuple[int, int, int]) -> bytes:
    major, minor, build = version
    answer = {_VERSION: struct.pack(">BBHH", major, minor, build, 0), _ENCRYPTION: bytes([encryption])}
    empty = {_INSTANCE: b"\0", _THREAD: b"", _MARS: b"\0", _TRACE: b"", _FEDAUTH: b"\0"}
    answer |= {token: value for token, value in empty.items() if token in asked}
    offset = 5 * len(answer) + 1
    table = bytearray()
    for token, value in answer.items():
        table += struct.pack(">BHH", token, offset, len(value))
        offset += len(value)
    return bytes(table) + bytes([_TERMINATOR]) + b"".join(answer.values())


def _login7(body: bytes) -> Login:
    def text(at: int) -> str:
        return raw(at).decode("utf-16-le")

    def raw(at: int) -> bytes:
        offset, size = struct.unpack_from("<HH", body, at)
        return body[offset : offset + 2 * size]

    # The password's bytes are swapped by nibble and combined with 0xA5 ([MS-TDS] 2.2.6.4).
    password = bytes((((x ^ 0xA5) << 4) & 0xF0) | ((x ^ 0xA5) >> 4) for x in raw(44)).decode("utf-16-le")
    features: set[int] = set()
    if body[27] & _EXTENSIONS_FOLLOW:
        at = struct.unpack_from("<I", body, struct.unpack_from("<H", body, 56)[0])[0]
        while body[at] != _TERMINATOR:
            features.add(body[at])
            at += 5 + struct.unpack_from("<I", body, at + 1)[0]
    return Login(
        user=text(40),
        password=password,
        application=text(48),
        host=text(36),
        database=text(68),
        packet_size=struct.unpack_from("<I", body, 8)[0],
        features=frozenset(features),
        integrated=struct.unpack_from("<H", body, 80)[0] > 0,
    )


def feature_acknowledgement(features: frozenset[int]) -> bytes:
    """The FEATUREEXTACK token: UTF-8 support where it was asked for, nothing else."""
    if not features:
        return b""
    known = bytes([_FEATURE_UTF8]) + struct.pack("<I", 1) + b"\1" if _FEATURE_UTF8 in features else b""
    return b"\xae" + known + bytes([_TERMINATOR])
