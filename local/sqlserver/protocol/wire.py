"""Packets and TLS of a TDS connection ([MS-TDS] 2.2.3: the packet header; 2.2.6.5: TLS inside PRELOGIN).

TLS 1.2 is spoken inside TDS packets during the handshake and around them afterwards, so the TLS engine works
on memory buffers and this class moves the bytes.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading

SQL_BATCH, RPC, RESULT, ATTENTION, TRANSACTION_MANAGER, LOGIN7, PRELOGIN = 1, 3, 4, 6, 14, 16, 18
END_OF_MESSAGE = 0x01
RESET_CONNECTION = 0x18  # RESETCONNECTION or RESETCONNECTIONSKIPTRAN: a pooled connection changes hands
HEADER = struct.Struct(">BBHHBB")
DEFAULT_PACKET_SIZE = 4096


class ProtocolError(Exception):
    """The client sent something that TDS does not allow or that this server does not speak."""


class Wire:
    """One socket, read and written in TDS messages."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._lock = threading.Lock()  # the TLS engine is shared by the reader and the writer
        self.packet_size = DEFAULT_PACKET_SIZE
        self.spid = 0

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise EOFError
        return data

    def _read(self, size: int) -> bytes:
        out = bytearray()
        while len(out) < size:
            if self._tls is None:
                chunk = self._socket.recv(size - len(out))
                if not chunk:
                    raise EOFError
                out += chunk
                continue
            with self._lock:
                try:
                    chunk = self._tls.read(size - len(out))
                    if not chunk:
                        raise EOFError
                    out += chunk
                    continue
                except ssl.SSLWantReadError:
                    pass  # the engine needs more bytes from the socket
            raw = self._receive()
            with self._lock:
                self._incoming.write(raw)
        return bytes(out)

    def read_message(self) -> tuple[int, int, bytes]:
        """The next message: packet type, status of its last packet, payload.

        Raises:
            EOFError: the client closed the connection.
        """
        body = bytearray()
        while True:
            kind, status, length, *_ = HEADER.unpack(self._read(HEADER.size))
            body += self._read(length - HEADER.size)
            if status & END_OF_MESSAGE:
                return kind, status, bytes(body)

    def send(self, payload: bytes, *, last: bool = True, kind: int = RESULT) -> None:
        """Send ``payload`` as packets; ``last`` marks the end of the message."""
        data = self._packets(payload, kind, last)
        with self._lock:
            if self._tls is not None:
                self._tls.write(data)
                data = self._outgoing.read()
            self._socket.sendall(data)

    def _packets(self, payload: bytes, kind: int, last: bool) -> bytes:
        step = self.packet_size - HEADER.size
        chunks = [payload[i : i + step] for i in range(0, len(payload), step)] or [b""]
        out = bytearray()
        for number, chunk in enumerate(chunks, start=1):
            status = END_OF_MESSAGE if last and number == len(chunks) else 0
            out += HEADER.pack(kind, status, len(chunk) + HEADER.size, self.spid, number % 256, 0) + chunk
        return bytes(out)

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Run the server's side of the handshake, each flight wrapped in PRELOGIN packets."""
        engine = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                engine.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            if flight := self._outgoing.read():
                self._socket.sendall(self._packets(flight, PRELOGIN, last=True))
            if done:
                self._tls = engine
                return
            self._incoming.write(self.read_message()[2])

    def shut_down(self) -> None:
        """End the connection from this side, whoever reads or writes at the moment."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def stop_tls(self) -> None:
        """Go on in clear text: only the login was encrypted."""
        self._tls = None
