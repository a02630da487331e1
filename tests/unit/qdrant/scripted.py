"""A server on a socket that answers what a test scripts, to behave as no well server does."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; the body is only measured."""

    method: str
    path: str
    headers: dict[str, str]
    length: int
    start: bytes


@dataclass(frozen=True)
class Answer:
    """What is sent back. ``announced`` is a Content-Length that the body need not keep."""

    status: int = 200
    body: bytes | Iterable[bytes] = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    announced: int | None = None


def result(value: Any) -> Answer:
    """A good answer in Qdrant's envelope."""
    return Answer(body=json.dumps({"result": value, "status": "ok", "time": 0.0}).encode())


@dataclass
class Scripted:
    """The running server and what it has seen."""

    url: str
    seen: list[Seen]


@contextlib.contextmanager
def scripted(answer: Callable[[Seen], Answer]) -> Iterator[Scripted]:
    """Serve on a free loopback port until the block is left."""
    running = Scripted("", [])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 64 * 1024  # head and body in one packet, or each request waits for a delayed ACK

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()

        def serve(self) -> None:
            length, start = self._take_body()
            seen = Seen(
                self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, length, start
            )
            running.seen.append(seen)
            given = answer(seen)
            body = [given.body] if isinstance(given.body, bytes) else given.body
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, value)
            size = len(given.body) if isinstance(given.body, bytes) else None
            self.send_header("content-length", str(size if given.announced is None else given.announced))
            self.end_headers()
            for piece in body:
                self.wfile.write(piece)
            self.close_connection = given.announced is not None

        def _take_body(self) -> tuple[int, bytes]:
            left = length = int(self.headers.get("content-length") or 0)
            start = b""
            while left:
                piece = self.rfile.read(min(left, 1024 * 1024))
                start = start or piece[:2_000]
                left -= len(piece)
            return length, start

        def log_message(self, *args: Any) -> None:
            """Nothing on standard error."""

    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        setattr(Handler, f"do_{method}", Handler.serve)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    running.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
