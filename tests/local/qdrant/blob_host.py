"""A host on loopback that serves files by name, as Blob Storage would, and misbehaves where it is told to."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

EXPIRED = "2026-11-23T14:11:41Z"  # the `se` of the recorded SAS that had expired


class BlobHost:
    """Files by name; ``seen`` are the headers of the last request."""

    def __init__(self, port: int, scheme: str) -> None:
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.port = port
        self.files: dict[str, bytes] = {}
        self.seen: dict[str, str] = {}


@contextlib.contextmanager
def blob_host(certificate: Path | None = None, key: Path | None = None) -> Iterator[BlobHost]:
    """Run the host while the block runs; with TLS when a certificate is given."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            name = url.path.rpartition("/")[2]
            host.seen = {key.lower(): value for key, value in self.headers.items()}
            if parse_qs(url.query).get("se") == [EXPIRED]:
                self._reply(403, b"")
            elif name == "redirect":
                self._reply(302, b"", location="/ok")
            elif name == "500":
                self._reply(503, b"")
            elif name == "drop":
                self._reply(200, host.files["ok"], cut=True)
            elif name in host.files:
                self._reply(200, host.files[name])
            else:
                self._reply(404, b"")

        def _reply(self, status: int, content: bytes, location: str = "", cut: bool = False) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            if location:
                self.send_header("location", location)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    host = BlobHost(server.server_port, "https" if certificate else "http")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
