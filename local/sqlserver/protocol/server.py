"""The listener: accepts connections on loopback and serves each in a thread of its own."""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import socket
import socketserver
import ssl
import sys
import tempfile
import threading
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local.sqlserver.engine.instance import Instance
from local.sqlserver.protocol.connection import Connection
from local.sqlserver.protocol.wire import ProtocolError, Wire

log = logging.getLogger(__name__)


class Server(socketserver.ThreadingTCPServer):
    """Serves one instance on 127.0.0.1."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, instance: Instance, port: int) -> None:
        self.instance = instance
        self.context = _tls_context()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 -- socketserver's face
        """Log what ended a connection; the others go on. Called while the exception is handled."""
        log.error("the connection from %s ended: %r", client_address, sys.exception())


class _Handler(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.current_thread().name = f"client-{self.client_address[1]}"
        try:
            Connection(self.server.instance, Wire(self.request), self.server.context).serve()
        except (EOFError, ConnectionError, ssl.SSLError) as gone:
            log.debug("a client left: %s", gone)
        except ProtocolError as refused:
            log.warning("a connection was closed: %s", refused)


def _tls_context() -> ssl.SSLContext:
    """A context with a fresh self-signed certificate, as SQL Server makes one when it has none."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SSL_Self_Signed_Fallback")])
    now = dt.datetime.now(dt.UTC)
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), loopback]), critical=False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # TDS 7.4 cannot carry TLS 1.3
    context.options |= ssl.OP_NO_TICKET
    pem = serialization.Encoding.PEM
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.public_bytes(pem))
        file.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        file.flush()
        context.load_cert_chain(file.name)
    return context
