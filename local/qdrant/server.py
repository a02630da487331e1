"""The HTTP face: which path and method is answered by what, who may ask, how time and errors are shaped."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from local.qdrant.answers import (
    VARY,
    Body,
    QdrantError,
    accepted,
    disk_failed,
    flag,
    forbidden,
    nothing_here,
    success,
)
from local.qdrant.node import Keys, Node

OPEN_PATHS = ("/", "/healthz", "/livez", "/readyz")
ADMIN = "/_standin/"
log = logging.getLogger("local.qdrant")


@dataclass(frozen=True)
class Call:
    """One request, as its handler sees it: read completely, so that the handler may block in a thread."""

    node: Node
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    started: float

    @property
    def body(self) -> Body:
        """The JSON object that was sent."""
        return Body.parse(self.raw)

    @property
    def optional_body(self) -> Body:
        """The JSON object that was sent, empty when none was."""
        return self.body if self.raw.strip() else Body({})

    @property
    def collection(self) -> str:
        """The name of a collection or alias in the path."""
        return self.path["collection"]

    def reply(self, result: object) -> Response:
        """The envelope around a result."""
        return success(result, time.perf_counter() - self.started)

    def now_or_later(self, work: Callable[[], object]) -> Response:
        """Do the work and reply with its result; with ``wait=false`` reply 202 and do it afterwards."""
        if flag(self.query, "wait", True):
            return self.reply(work())
        self.node.background.start(work)
        return accepted(time.perf_counter() - self.started)


Handler = Callable[[Call], Response]


def route(node: Node, method: str, path: str, handler: Handler, *, manage: bool = False) -> Route:
    """A route to a handler that runs in a thread; ``manage`` keeps the read-only key out."""

    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        try:
            if manage:
                needs_manage(node.keys, request)
            raw = await request.body()
            call = Call(node, request.path_params, request.query_params, request.headers, raw, started)
            return await run_in_threadpool(handler, call)
        except QdrantError as error:
            return error.response(time.perf_counter() - started)
        except OSError as error:
            return disk_failed(error).response(time.perf_counter() - started)

    return Route(path, endpoint, methods=[method])


def application(node: Node, routes: list[Route]) -> Starlette:
    """The server: unknown paths, other methods and HEAD are answered 404 with an empty body."""

    async def unknown(_request: Request, _error: Exception) -> Response:
        return nothing_here()

    async def failed(_request: Request, error: Exception) -> Response:
        log.error("The stand-in itself failed: %r", error)
        return QdrantError(500, f"Service internal error: the stand-in failed: {error!r}").response(0.0)

    guard = Middleware(Guard, node=node)
    app = Starlette(
        routes=routes, middleware=[guard], exception_handlers={404: unknown, 405: unknown, 500: failed}
    )
    app.router.redirect_slashes = False
    return app


class Guard:
    """Stands before every route: no HEAD, no request without its key, and what a test ordered."""

    def __init__(self, app: ASGIApp, node: Node) -> None:
        self._app = app
        self._node = node

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request here, or let it pass."""
        answer = self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        if request.method == "HEAD":
            return nothing_here()
        if request.url.path.startswith(ADMIN):
            return None
        refusal = refused(self._node.keys, request)
        if refusal:
            return refusal
        status = self._node.faults.strike("status", f"{request.method} {request.url.path}")
        if status:
            return QdrantError(int(status), "Service internal error: ordered by a test").response(0.0)
        return None


def refused(keys: Keys, request: Request) -> Response | None:
    """401 for a request without a valid key; None when it may pass."""
    if request.url.path in OPEN_PATHS or not (keys.manage or keys.read_only):
        return None
    sent = sent_key(request)
    if sent is None:
        text = "Must provide an API key or an Authorization bearer token"
    elif any(known and same(sent, known) for known in (keys.manage, keys.read_only)):
        return None
    else:
        text = "Invalid API key or JWT"
    return Response(text.encode(), 401, {"vary": VARY})


def needs_manage(keys: Keys, request: Request) -> None:
    """Keep the read-only key out.

    Raises:
        QdrantError: 403.
    """
    sent = sent_key(request)
    if keys.read_only and sent and same(sent, keys.read_only):
        raise forbidden("Global manage access is required")


def sent_key(request: Request) -> str | None:
    """The key in ``api-key`` or ``Authorization: Bearer``."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return request.headers.get("api-key") or (token if scheme == "Bearer" and token else None)


def same(sent: str, known: str) -> bool:
    """Whether two keys are equal, compared in constant time."""
    return hmac.compare_digest(sent.encode(), known.encode())
