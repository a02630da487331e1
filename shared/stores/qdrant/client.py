"""One Qdrant peer over HTTP: time-outs, retries, errors, and nothing of what the answers mean.

``Accept-Encoding: identity`` everywhere: the server compresses otherwise, drops ``Content-Length`` and needs
five times as long for a snapshot (measured on Qdrant 1.16.3 and 1.19.0).
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import stamina
from pydantic import SecretStr

from shared.errors import InvalidRequestError, OutcomeUnknownError, QdrantError, UnreachableError
from shared.stores.qdrant.replies import MAX_RETRY_AFTER, RateLimitedError, Reply, error_of, redact

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
WORK_SECONDS = 3600.0
"""How long we wait for the answer to a long piece of work (create, recover). The work goes on in the server
when we give up (measured), so what follows a time-out is a look, not a repetition."""

ATTEMPTS = 5
RETRY_SECONDS = 120.0
SILENT_SECONDS = 60.0
IMPATIENT_CONNECT_SECONDS = 2.0
"""A peer that answered no attempt is asked once only, and not for long, during the next minute: a thousand
collections on a dead peer must not cost a thousand times all retries."""

LARGEST_REPLY = 64 * 1024 * 1024

_KEEPALIVE = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    # Azure's load balancers drop a connection that is idle for four minutes without telling anybody
    # (Microsoft's documentation, "Load Balancer TCP reset and idle timeout"): probe earlier.
    (socket.IPPROTO_TCP, getattr(socket, option), 60)
    for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL")
    if hasattr(socket, option)
]


class Peer:
    """A connection pool to one peer.

    Args:
        url: its REST address, without a final slash.
        api_key: sent as ``api-key``; never part of an error.
    """

    def __init__(self, url: str, api_key: SecretStr | None) -> None:
        self.url = url
        self._silent_until = 0.0
        self._key = api_key.get_secret_value() if api_key else ""
        headers = {"accept-encoding": "identity", "user-agent": "octopus-backup"}
        self._http = httpx.Client(
            base_url=url,
            headers=headers | ({"api-key": self._key} if self._key else {}),
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            # A transport of our own: certificates from SSL_CERT_FILE, but no proxy from the environment,
            # which would see the key.
            transport=httpx.HTTPTransport(
                verify=ssl.create_default_context(),
                socket_options=_KEEPALIVE,
                limits=httpx.Limits(max_connections=16, keepalive_expiry=30.0),
            ),
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def read(
        self,
        *path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        seconds: float = READ_SECONDS,
    ) -> Any:
        """Ask for something that changes nothing: GET, or POST where there is a ``body``.

        Repeated with growing, jittered pauses while the peer does not answer or is busy; a 429 is repeated
        after the pause that it asks for.

        Returns:
            The ``result`` of the answer, or the whole JSON where there is no envelope.

        Raises:
            UnreachableError: no answer.
            BackupSystemError: as ``replies.error_of`` reads the answer.
        """
        return self.repeat("GET" if body is None else "POST", *path, body=body, query=query, seconds=seconds)

    def repeat(
        self,
        method: str,
        *path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        seconds: float = READ_SECONDS,
    ) -> Any:
        """Send a request that may safely be sent several times; like ``read``."""
        try:
            for attempt in stamina.retry_context(
                on=_again,
                attempts=1 if self._silent else ATTEMPTS,
                timeout=max(RETRY_SECONDS, seconds),
                wait_initial=0.2,
                wait_max=5.0,
                wait_jitter=0.5,
            ):
                with attempt:
                    answer = self.send(method, *path, body=body, query=query, seconds=seconds)
                    self._silent_until = 0.0
                    return answer
        except OutcomeUnknownError:  # a connection was made, so the peer is not silent
            raise
        except UnreachableError:
            self._silent_until = time.monotonic() + SILENT_SECONDS
            raise
        raise AssertionError("a retry ends with an answer or an error")

    @property
    def _silent(self) -> bool:
        return time.monotonic() < self._silent_until

    def send(
        self,
        method: str,
        *path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        seconds: float = READ_SECONDS,
    ) -> Any:
        """Send a request exactly once.

        Args:
            method: the HTTP method.
            path: the parts of the path; each is percent-encoded, so a slash in a name stays in the name.
            body: sent as JSON unless None.
            query: query parameters.
            seconds: how long the answer may take.

        Returns:
            The ``result`` of the answer, or the whole JSON where there is no envelope.

        Raises:
            UnreachableError: nothing was sent.
            OutcomeUnknownError: it was sent, and no answer came.
            BackupSystemError: as ``replies.error_of`` reads the answer.
        """
        doing = self._doing(method, path)
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        request = self._http.build_request(
            method,
            address(*path),
            params=query,
            content=content,
            headers={"content-type": "application/json"} if content is not None else None,
            timeout=httpx.Timeout(
                READ_SECONDS,
                connect=IMPATIENT_CONNECT_SECONDS if self._silent else CONNECT_SECONDS,
                read=seconds,
            ),
        )
        return self._result(self._exchange(request, doing), doing)

    def upload(
        self,
        *path: str,
        query: Mapping[str, str],
        field: str,
        file_name: str,
        content: Iterator[bytes],
        size: int,
    ) -> Any:
        """POST one file as multipart, streamed, exactly once.

        Args:
            path: the parts of the path.
            query: query parameters.
            field: name of the form's field.
            file_name: the name that the server keeps the file under; of letters, digits, ``-`` and ``.``.
            content: the file's bytes.
            size: how many there will be.

        Returns:
            As ``send``.

        Raises:
            As ``send``; and whatever ``content`` raises.
        """
        boundary = f"octopus-{file_name}"[:60]
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{file_name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()

        def form() -> Iterator[bytes]:
            yield head
            yield from content
            yield tail

        doing = self._doing("POST", path)
        request = self._http.build_request(
            "POST",
            address(*path),
            params=query,
            content=form(),
            headers={
                "content-type": f"multipart/form-data; boundary={boundary}",
                "content-length": str(len(head) + size + len(tail)),
            },
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, read=WORK_SECONDS),
        )
        return self._result(self._exchange(request, doing), doing)

    @contextlib.contextmanager
    def stream(self, *path: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """GET an answer whose body is read by the caller; every error as ``send`` raises it."""
        doing = self._doing("GET", path)
        with (
            self._transport_errors(doing),
            self._http.stream("GET", address(*path), headers=dict(headers)) as response,
        ):
            if not response.is_success:
                reply = self._read(response)
                raise error_of(reply, doing, self._key)
            yield response

    def _exchange(self, request: httpx.Request, doing: str) -> Reply:
        with self._transport_errors(doing):
            response = self._http.send(request, stream=True)
            with contextlib.closing(response):
                return self._read(response)

    def _read(self, response: httpx.Response) -> Reply:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > LARGEST_REPLY:
                break  # no answer that we ask for is that large; what is cut is no JSON and becomes an error
        return Reply(response.status_code, bytes(body), _seconds(response.headers.get("retry-after")))

    def _result(self, reply: Reply, doing: str) -> Any:
        if not 200 <= reply.status < 300:
            raise error_of(reply, doing, self._key)
        try:
            answer = json.loads(reply.body)
        except ValueError:
            raise QdrantError(
                f"What answered {reply.status} while {doing} did not answer in JSON.",
                reply.status,
                "Is the address that of a Qdrant server's REST port (6333 by default)?",
                code="not_qdrant",
            ) from None
        return answer["result"] if isinstance(answer, dict) and "result" in answer else answer

    @contextlib.contextmanager
    def _transport_errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise UnreachableError(
                f"No connection while {doing}: {self._why(error)}",
                "Is the server up, the address in QDRANT_URLS right, and the network open?",
            ) from None
        except httpx.TransportError as error:
            raise OutcomeUnknownError(
                f"The connection was lost while {doing}: {self._why(error)}",
                "The server may still be working on it. Look at its log, then repeat.",
            ) from None

    def _why(self, error: Exception) -> str:
        return redact(f"{type(error).__name__} {error}".strip(), self._key).rstrip(".") + "."

    def _doing(self, method: str, path: tuple[str, ...]) -> str:
        return f"{method} {redact(address(*path), self._key)} on {self.url}"


def address(*path: str) -> str:
    """The path of a request, each part percent-encoded.

    Raises:
        InvalidRequestError: a part is empty or made of dots, which would address something else.
    """
    for part in path:
        if part in ("", ".", ".."):
            raise InvalidRequestError(
                f"{part!r} cannot be the name of a collection or a snapshot.", code="invalid_name"
            )
    return "/" + "/".join(quote(part, safe="") for part in path)


def _again(error: Exception) -> bool | float:
    """Whether a request that changes nothing is repeated; a number is the pause that the server asked for."""
    if isinstance(error, RateLimitedError) and error.retry_after is not None:
        return error.retry_after if error.retry_after <= MAX_RETRY_AFTER else False
    return isinstance(error, UnreachableError) or (isinstance(error, QdrantError) and error.retryable)


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.isascii() and value.isdigit() else None
