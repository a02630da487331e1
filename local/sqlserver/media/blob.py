"""Block blobs over https with a shared access signature, in constant memory.

Blocks of 4 MiB are put one after the other and committed by Put Block List at the end (Microsoft: "Put
Block", "Put Block List"). A blob whose backup failed is never committed: there is nothing to be seen.
"""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
from collections.abc import Iterator

import httpx

from local.sqlserver.engine.errors import SqlError

BLOCK_BYTES = 4 << 20
MAX_BLOCKS = 50_000
_API_VERSION = "2021-12-02"
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_REASONS = {403: "Forbidden", 404: "Not Found", 409: "Conflict", 412: "Precondition Failed"}
_NOT_FOUND = 404


def _client() -> httpx.Client:
    trust = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    return httpx.Client(verify=trust, timeout=_TIMEOUT, trust_env=False)


class _Blob:
    """What reading and writing share: the address, the signature, the errors."""

    def __init__(self, address: str, signature: str) -> None:
        self._address = address
        # A leading question mark is a common mistake; the real server sends it on, and so is refused.
        self._signature = signature
        self._client = _client()

    def _url(self, query: str = "") -> str:
        parts = [part for part in (query, self._signature) if part]
        return f"{self._address}?{'&'.join(parts)}"

    def _failed(self, status: int) -> SqlError:
        reason = _REASONS.get(status, "error")
        text = (
            "Backup to URL received an exception from the remote endpoint. Exception Message: "
            f"The remote server returned an error: ({status}) {reason}."
        )
        return SqlError(3271, self._address, text)

    def _unreachable(self, error: httpx.HTTPError) -> SqlError:
        return SqlError(3201, self._address, f"53(The network path was not found: {type(error).__name__})")

    def _send(
        self, method: str, query: str = "", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        try:
            return self._client.request(
                method,
                self._url(query),
                content=body,
                headers={"x-ms-version": _API_VERSION, **(headers or {})},
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None  # the original error's text holds the signature


class BlobTarget(_Blob):
    """A block blob that is being written."""

    def __init__(self, address: str, signature: str) -> None:
        super().__init__(address, signature)
        self._pending = bytearray()
        self._blocks: list[str] = []

    def write(self, data: bytes) -> None:
        """Collect data; put a block whenever there is enough."""
        self._pending += data
        while len(self._pending) >= BLOCK_BYTES:
            self._put(bytes(self._pending[:BLOCK_BYTES]))
            del self._pending[:BLOCK_BYTES]

    def _put(self, block: bytes) -> None:
        if len(self._blocks) >= MAX_BLOCKS:
            raise SqlError(3063, self._address)
        name = base64.b64encode(f"{len(self._blocks):08d}".encode()).decode()
        digest = base64.b64encode(hashlib.md5(block, usedforsecurity=False).digest()).decode()
        reply = self._send("PUT", f"comp=block&blockid={name}", block, {"Content-MD5": digest})
        if reply.status_code != httpx.codes.CREATED:
            raise self._failed(reply.status_code)
        self._blocks.append(name)

    def close(self) -> None:
        """Put what is left and commit."""
        if self._pending:
            self._put(bytes(self._pending))
            self._pending.clear()
        names = "".join(f"<Latest>{name}</Latest>" for name in self._blocks)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{names}</BlockList>'.encode()
        reply = self._send("PUT", "comp=blocklist", body, {"Content-Type": "application/xml"})
        self._client.close()
        if reply.status_code != httpx.codes.CREATED:
            raise self._failed(reply.status_code)

    def abandon(self) -> None:
        """Leave the blocks uncommitted."""
        self._client.close()


class BlobSource(_Blob):
    """A blob that is being read."""

    def exists(self) -> bool:
        """Whether the blob is there.

        Raises:
            SqlError: 3271 or 3201, that cannot be found out.
        """
        reply = self._send("HEAD")
        if reply.status_code == _NOT_FOUND:
            return False
        if reply.status_code != httpx.codes.OK:
            raise self._failed(reply.status_code)
        return True

    def size(self) -> int:
        """Its length in bytes."""
        reply = self._send("HEAD")
        if reply.status_code != httpx.codes.OK:
            raise self._failed(reply.status_code)
        return int(reply.headers["Content-Length"])

    def tail(self, size: int) -> bytes:
        """Its last bytes."""
        total = self.size()
        if total == 0:
            return b""
        reply = self._send("GET", headers={"Range": f"bytes={max(0, total - size)}-{total - 1}"})
        if reply.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise self._failed(reply.status_code)
        return reply.content

    def stream(self) -> Iterator[bytes]:
        """All of it."""
        try:
            with self._client.stream("GET", self._url(), headers={"x-ms-version": _API_VERSION}) as reply:
                if reply.status_code != httpx.codes.OK:
                    raise self._failed(reply.status_code)
                yield from reply.iter_bytes()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
