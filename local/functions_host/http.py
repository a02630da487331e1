"""The host's HTTP face: the app's functions, the host's admin addresses, and one of our own for tests."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.functions_host.durable import DurableExtension
from local.functions_host.messages import protos
from local.functions_host.routes import Routes
from local.functions_host.schedule import Schedule, fire
from local.functions_host.worker import Function, InvocationFailedError, WorkerLibrary

log = logging.getLogger(__name__)

_ALL_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
_SAME_SITE = {1: "Lax", 2: "Strict", 3: "None"}


@dataclass(frozen=True)
class Keys:
    """The host's keys. An empty one opens nothing."""

    function: str
    master: str

    def open(self, level: str, request: Request) -> bool:
        """Whether a request carries a key for an authorisation level, in its header or as ``?code=``."""
        if level == "ANONYMOUS":
            return True
        given = request.headers.get("x-functions-key") or request.query_params.get("code", "")
        fitting = [self.master, self.function] if level == "FUNCTION" else [self.master]
        return any(key and hmac.compare_digest(given.encode(), key.encode()) for key in fitting)


class Door:
    """Answers every request to the host.

    Args:
        worker: the app.
        durable: the Durable stand-in.
        routes: the app's HTTP functions.
        schedules: the app's timer functions.
        keys: the host's keys.
    """

    def __init__(
        self,
        worker: WorkerLibrary,
        durable: DurableExtension,
        routes: Routes,
        schedules: dict[str, Schedule],
        keys: Keys,
    ) -> None:
        self._worker = worker
        self._durable = durable
        self._routes = routes
        self._schedules = schedules
        self._keys = keys

    def app(self) -> Starlette:
        """The door as an ASGI application."""
        return Starlette(
            routes=[
                Route("/admin/host/status", self._guarded(self._status), methods=["GET"]),
                Route("/admin/functions/{name}", self._guarded(self._run_function), methods=["POST"]),
                Route("/_host/redeliver", self._guarded(self._redeliver), methods=["POST"]),
                Route("/{path:path}", self._function, methods=_ALL_METHODS),
            ]
        )

    def _guarded(
        self, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            return await answer(request) if self._keys.open("ADMIN", request) else Response(status_code=401)

        return guarded

    async def _status(self, _: Request) -> Response:
        return JSONResponse({"state": "Running", "functions": sorted(self._worker.functions)})

    async def _run_function(self, request: Request) -> Response:
        """Run a timer function now. Answers at its end, which suits tests; the real host answers at once."""
        function = self._worker.functions.get(request.path_params["name"])
        if function is None:
            return Response(status_code=404)
        if function.kind != "timerTrigger":
            return Response("Only timer functions can be run from here.", status_code=400)
        try:
            await fire(self._worker, function, self._schedules[function.name], datetime.now(UTC))
        except InvocationFailedError as error:
            log.error("Timer %s failed: %s\n%s", function.name, error, error.trace)  # noqa: TRY400 - has it
            return Response(str(error), status_code=500)
        return Response(status_code=202)

    async def _redeliver(self, request: Request) -> Response:
        """``{"activity": NAME}``: the next activity of that name is delivered twice."""
        try:
            name = json.loads(await request.body())["activity"]
        except (ValueError, KeyError, TypeError):
            return Response('Send {"activity": NAME}.', status_code=400)
        self._durable.redeliver(str(name))
        return Response(status_code=202)

    async def _function(self, request: Request) -> Response:
        found = self._routes.find(request.method, request.scope["raw_path"].decode("ascii"))
        if found is None:
            return Response(status_code=404)
        function, values = found
        if not self._keys.open(str(function.trigger.get("authLevel") or "FUNCTION").upper(), request):
            return Response(status_code=401)
        message = protos.RpcHttp(
            method=request.method,
            url=str(request.url),
            headers={name: ", ".join(request.headers.getlist(name)) for name in request.headers},
            params=values,
            query={name: ",".join(request.query_params.getlist(name)) for name in request.query_params},
            body=protos.TypedData(bytes=await request.body()),
        )
        try:
            response = await self._worker.invoke(function, protos.TypedData(http=message))
        except InvocationFailedError as error:
            log.error("Function %s failed: %s\n%s", function.name, error, error.trace)  # noqa: TRY400 - has it
            return Response(status_code=500)  # the real host tells a caller nothing either
        return _answer(function, response)


def _answer(function: Function, response: Any) -> Response:
    """The HTTP answer in an invocation's response: what was returned, or its ``http`` output."""
    outputs = {given.name: given.data for given in response.output_data}
    data = response.return_value
    if data.WhichOneof("data") is None:
        http = (b["name"] for b in function.bindings if b["type"] == "http" and b["name"] in outputs)
        data = outputs.get(next(http, ""), data)
    kind = data.WhichOneof("data")
    if kind is None:
        return Response(status_code=204)
    if kind != "http":
        return Response(str(getattr(data, kind)), media_type="text/plain")
    body = data.http.body.bytes or data.http.body.string.encode()
    answer = Response(body, status_code=int(data.http.status_code))
    for name, value in data.http.headers.items():
        answer.headers[name] = value
    for cookie in data.http.cookies:
        answer.headers.append("set-cookie", _cookie(cookie))
    return answer


def _cookie(cookie: Any) -> str:
    parts = [f"{cookie.name}={cookie.value}"]
    parts += [f"Domain={cookie.domain.value}"] if cookie.domain.value else []
    parts += [f"Path={cookie.path.value}"] if cookie.path.value else []
    parts += [f"Max-Age={int(cookie.max_age.value)}"] if cookie.HasField("max_age") else []
    parts += ["Secure"] if cookie.secure.value else []
    parts += ["HttpOnly"] if cookie.http_only.value else []
    parts += [f"SameSite={_SAME_SITE[cookie.same_site]}"] if cookie.same_site else []
    return "; ".join(parts)
