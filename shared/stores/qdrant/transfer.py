"""A snapshot's bytes from a peer: resumed where the connection broke, judged before the last one goes on."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Generator, Iterator

import httpx

from shared.clock import Clock
from shared.errors import IntegrityError, QdrantError, UnreachableError
from shared.stores.qdrant.client import Peer
from shared.stores.qdrant.snapshots import ServerSnapshot

INTERRUPTIONS = 20
"""How often one download may break; each time it goes on where it was."""

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0


def download(peer: Peer, collection: str, snapshot: ServerSnapshot, clock: Clock) -> Generator[bytes]:
    """The bytes of a snapshot, in order, each exactly once.

    A broken connection is resumed with ``Range`` and ``If-Match``; ``If-Range`` is ignored by the server,
    which would then send the rest of another file (measured on Qdrant 1.16.3 and 1.19.0).

    Args:
        peer: the peer that made it; others answer 404.
        collection: its collection.
        snapshot: as the list describes it.
        clock: for the pauses between attempts.

    Raises:
        IntegrityError: the file on the server changed, or has another size.
        UnreachableError: the connection broke too often.
        QdrantError: status 404 when snapshot or collection is gone; code ``not_resumable``.
    """
    path = ("collections", collection, "snapshots", snapshot.name)
    offset, etag, wait = 0, "", _FIRST_PAUSE
    for interruption in range(INTERRUPTIONS + 1):
        headers = {"range": f"bytes={offset}-", "if-match": etag} if offset else {}
        try:
            with peer.stream(*path, headers=headers) as response:
                _demand_continuation(response, offset)
                etag = response.headers.get("etag", "")
                for chunk in response.iter_raw():  # as they arrive: a piece held back would be lost
                    offset, wait = offset + len(chunk), _FIRST_PAUSE
                    yield chunk
        except UnreachableError as error:
            if interruption == INTERRUPTIONS or (offset and not etag):
                raise UnreachableError(
                    f"The download of {snapshot.name!r} from {peer.url} broke off after {offset} bytes "
                    f"and could not be resumed: {error.message}",
                    "Look at the network between this app and the peer. The next run starts it again.",
                    code="download_broken",
                ) from None
            clock.sleep(wait * (0.5 + secrets.randbelow(1000) / 1000))  # jitter
            wait = min(2 * wait, _LONGEST_PAUSE)
            continue
        except QdrantError as error:
            if error.status in (412, 416):
                raise _changed(snapshot) from None
            raise
        break
    if offset != snapshot.size:
        raise IntegrityError(
            f"The snapshot {snapshot.name!r} has {snapshot.size} bytes by the server's list, "
            f"but {offset} came.",
            "Nothing was recorded; the next run takes a new snapshot.",
            code="size_mismatch",
        )


def judged(
    chunks: Iterator[bytes],
    snapshot: ServerSnapshot,
    at_end: Callable[[], None],
    passed: Callable[[int], None],
) -> Iterator[bytes]:
    """The same chunks; raises at the end when the whole is not what the server announced.

    Who consumes it must commit only after the last chunk: then bytes that are wrong are never committed.

    Args:
        chunks: the bytes.
        snapshot: with the checksum that the server announced.
        at_end: called when checksum and bytes agree; raises if something else is wrong.
        passed: told after each chunk how many bytes have passed by.

    Raises:
        IntegrityError: the SHA-256 of the bytes is another one.
    """
    digest, total = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        total += len(chunk)
        yield chunk
        passed(total)
    if digest.hexdigest() != snapshot.checksum:
        raise IntegrityError(
            f"The bytes of {snapshot.name!r} have SHA-256 {digest.hexdigest()}, "
            f"but the server announced {snapshot.checksum}.",
            "Nothing was recorded; the next run takes a new snapshot. If it happens again, "
            "check the server's disk.",
            code="checksum_mismatch",
        )
    at_end()


def _demand_continuation(response: httpx.Response, offset: int) -> None:
    if offset and response.status_code != 206:
        raise QdrantError(
            f"The connection broke after {offset} bytes, and the server does not resume downloads.",
            response.status_code,
            "Snapshots that it keeps in S3 cannot be resumed. The next run starts again.",
            code="not_resumable",
            retryable=True,
        )


def _changed(snapshot: ServerSnapshot) -> IntegrityError:
    return IntegrityError(
        f"The snapshot {snapshot.name!r} changed on the server while it was being downloaded.",
        "Another program makes snapshots of this collection at the same time. The next run takes a new one.",
        code="snapshot_changed",
    )
