"""What the tests of blob and catalogue share: a clock, and a proxy that makes trouble before Azurite."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx

from local.azurite import Azurite
from shared.blob.storage import Patience, Storage
from shared.clock import Clock, SystemClock

QUICK = Patience(connect_seconds=2, read_seconds=20, retries=2, backoff_seconds=0)


CANARY = "sig=canary-that-must-not-be-seen"
"""Stands for the SAS that a service's error text can quote."""


class SetClock:
    """A clock that stands still until it is moved; sleeping moves it."""

    def __init__(self, start: datetime = datetime(2026, 10, 6, 12, 0, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def pass_by(self, **duration: float) -> None:
        self._now += timedelta(**duration)


def storage_at(url: str, key: str, clock: Clock | None = None) -> Storage:
    return Storage(url, key, clock or SystemClock(), QUICK)


def trusting(azurite: Azurite) -> httpx.Client:
    """A plain HTTP client that trusts Azurite's certificate and knows no key."""
    context = ssl.create_default_context(cafile=azurite.certificate)
    return httpx.Client(verify=context, trust_env=False, timeout=30)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: str
    body: bytes

    @property
    def stages_block(self) -> bool:
        return self.method == "PUT" and "comp=block&" in self.query + "&"

    @property
    def commits(self) -> bool:
        return self.method == "PUT" and "comp=blocklist" in self.query

    @property
    def writes_document(self) -> bool:
        return self.method == "PUT" and self.path.endswith(".json")

    @property
    def reads_blob(self) -> bool:
        return self.method == "GET" and "restype=container" not in self.query and "comp=" not in self.query


Matches = Callable[[Request], bool]


@dataclass
class Trouble:
    """What happens to the next ``times`` requests that match."""

    matches: Matches
    times: int
    kind: str
    status: int = 503
    code: str = "ServerBusy"


@dataclass
class Proxy:
    """Forwards plain HTTP to Azurite, remembers every request, and makes the trouble that it is told to."""

    azurite: Azurite
    seen: list[Request] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._guard = threading.Lock()
        self._client = trusting(self.azurite)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                proxy.serve(self)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _serve  # noqa: N815 - names set by http.server

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - name set by http.server
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        path = urlsplit(self.azurite.url).path
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def lose_reply(self, matches: Matches, times: int = 1) -> None:
        """Azurite does it, but the caller never hears of it."""
        self.troubles.append(Trouble(matches, times, "lose"))

    def answer(self, matches: Matches, status: int, code: str, times: int = 1) -> None:
        """The caller gets an error, with a canary in its text, and Azurite never hears of it."""
        self.troubles.append(Trouble(matches, times, "answer", status, code))

    def damage_request(self, matches: Matches, times: int = 1) -> None:
        """One bit of the body arrives flipped."""
        self.troubles.append(Trouble(matches, times, "damage"))

    def cut_reply(self, matches: Matches, times: int = 1) -> None:
        """The connection ends in the middle of the body."""
        self.troubles.append(Trouble(matches, times, "cut"))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._client.close()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        path, _, query = handler.path.partition("?")
        request = Request(handler.command, path, query, body)
        trouble = self._trouble(request)
        kind = trouble.kind if trouble else ""
        if trouble and kind == "answer":
            text = f"<Error><Code>{trouble.code}</Code><Message>{CANARY}</Message></Error>".encode()
            headers = {"x-ms-error-code": trouble.code, "Content-Type": "application/xml"}
            self._reply(handler, trouble.status, headers, text)
            return
        if kind == "damage":
            body = bytes([body[0] ^ 1]) + body[1:]
        kept = {
            name: value
            for name, value in handler.headers.items()
            if name.lower() not in ("host", "connection", "accept-encoding")
        }
        origin = self.azurite.url.removesuffix(urlsplit(self.azurite.url).path)
        reply = self._client.request(handler.command, origin + handler.path, headers=kept, content=body)
        handler.close_connection = kind in ("lose", "cut")
        if kind == "lose":
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        self._reply(handler, reply.status_code, reply.headers, reply.content, cut=kind == "cut")

    def _trouble(self, request: Request) -> Trouble | None:
        with self._guard:
            self.seen.append(request)
            for trouble in self.troubles:
                if trouble.times and trouble.matches(request):
                    trouble.times -= 1
                    return trouble
        return None

    def _reply(
        self, handler: BaseHTTPRequestHandler, status: int, headers: Any, content: bytes, *, cut: bool = False
    ) -> None:
        handler.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "keep-alive"):
                handler.send_header(name, value)
        length = headers.get("content-length", "0") if handler.command == "HEAD" else str(len(content))
        handler.send_header("Content-Length", length)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content[: len(content) // 2] if cut else content)
