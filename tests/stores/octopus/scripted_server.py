"""A server that says what a test wants it to say."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.octopus.api import OctopusApi

TOKEN = "canary-token-91c4"

OctopusAt = Callable[..., OctopusApi]


@dataclass
class Answer:
    """What the server says: a status, a type, the body in pieces, with a pause before each."""

    body: list[bytes]
    status: int = 200
    type: str = "text/event-stream"
    pause: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Seen:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class ScriptedServer:
    """Answers every request with ``answer`` and keeps what arrived."""

    def __init__(self) -> None:
        self.answer = Answer([])
        self.seen: list[Seen] = []
        script = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _reply(self) -> None:
                length = int(self.headers.get("content-length", 0))
                headers = {key.lower(): value for key, value in self.headers.items()}
                script.seen.append(Seen(self.command, self.path, headers, self.rfile.read(length)))
                self.send_response(script.answer.status)
                self.send_header("Content-Type", script.answer.type)
                for name, value in script.answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for piece in script.answer.body:
                        time.sleep(script.answer.pause)
                        self.wfile.write(piece)
                except (BrokenPipeError, ConnectionResetError):
                    return  # the client had read enough

            do_GET = do_POST = _reply  # noqa: N815  # http.server looks for these names

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
