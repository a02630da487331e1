"""One snapshot into one peer: fetched by the server from Blob Storage, or uploaded where it cannot fetch.

Always ``priority=snapshot``: ``replica`` stops the consensus of a 1.19.0 cluster for good. Always with
checksum. Never with ``api_key``: it would be sent to the host that the snapshot is fetched from. (All
measured.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from shared.blob.download import read
from shared.blob.storage import Storage
from shared.clock import Clock
from shared.errors import BackupSystemError, LockedError, OutcomeUnknownError, QdrantError, UnreachableError
from shared.model.backups import SnapshotPart
from shared.stores.qdrant.client import WORK_SECONDS, Peer
from shared.stores.qdrant.peers import information
from shared.stores.qdrant.snapshots import delete
from shared.stores.qdrant.waiting import until

log = logging.getLogger(__name__)

READ_URL_SECONDS = 24 * 3600.0
"""How long the server may fetch from Blob Storage."""
LOST_REPLY_SECONDS = 4 * 3600.0
"""How long a recovery is watched whose answer was lost."""
BEGIN_SECONDS = 1.0
"""A request that was only just sent may not yet show as running."""

_CANNOT_FETCH = ("url_recovery_disabled", "storage_unreachable_from_server", "not_unpacked")


def recover(
    peer: Peer, storage: Storage, clock: Clock, target: str, part: SnapshotPart, *, fresh: bool
) -> dict[str, Any]:
    """Recover a snapshot, whose bytes have been verified, into the collection ``target`` on ``peer``.

    Args:
        peer: the peer that is to hold the snapshot's shards.
        storage: where the snapshot is.
        clock: for waiting.
        target: a name that is no alias.
        part: the snapshot.
        fresh: whether there was no such collection before.

    Returns:
        Evidence: peer, ``method`` (``url`` or ``upload``), bytes, seconds, and whether an answer was lost.

    Raises:
        BackupSystemError: the server refused; unless it says otherwise, what was there is unchanged.
        OutcomeUnknownError: the answer was lost twice.
    """
    began = clock.monotonic()
    method = "url"
    try:
        lost = _finished(peer, clock, target, lambda: _fetch(peer, storage, target, part), fresh)
    except QdrantError as error:
        if error.specific_code not in _CANNOT_FETCH:
            raise
        method = "upload"
        lost = _finished(peer, clock, target, lambda: _upload(peer, storage, target, part), fresh)
    return {
        "peer": peer.url,
        "snapshot_of_peer": part.peer_id,
        "method": method,
        "bytes": part.blob.size,
        "seconds": round(clock.monotonic() - began, 3),
        "answer_lost": lost,
    }


def _finished(peer: Peer, clock: Clock, target: str, work: Callable[[], None], fresh: bool) -> bool:
    """Do the work until it has an answer, twice at most; gives whether an answer was lost.

    The server goes on when the connection is lost. A collection that was not there before shows the end of
    the work by being there; one that was there does not, so the work is done again, which replaces what is
    there.
    """
    try:
        work()
    except OutcomeUnknownError:
        clock.sleep(BEGIN_SECONDS)
        there = until(clock, LOST_REPLY_SECONDS, lambda: _quiet(peer, target, fresh))
        if not (there and fresh):
            work()
        return True
    return False


def _quiet(peer: Peer, target: str, fresh: bool) -> bool | None:
    """Whether the collection is there and no recovery of it runs any more; None while it is worked on."""
    try:
        if _running(peer, target):
            return None
        information(peer, target)
    except UnreachableError:
        return None
    except QdrantError as error:
        return False if fresh and error.status == 404 else None
    return True


def wait_idle(peers: Iterable[Peer], target: str, clock: Clock) -> float:
    """Wait until no recovery of the collection runs on any peer.

    A recovery goes on in the server when its client is gone (measured). One that an earlier, killed attempt
    began would end after ours, and what was written since would be lost.

    Args:
        peers: all of them are asked.
        target: the collection's name.
        clock: for waiting.

    Returns:
        How many seconds were waited.

    Raises:
        LockedError: one still runs after four hours.
    """
    began = clock.monotonic()
    for peer in peers:
        idle = until(clock, LOST_REPLY_SECONDS, partial(_idle, peer, target))
        if not idle:
            raise LockedError(
                f"A recovery of {target!r} has been running on {peer.url} for hours, begun by an earlier "
                "attempt or by somebody else.",
                "Look into the server's log. Restart the peer if the recovery hangs, then repeat.",
                code="recovery_running",
            )
    return round(clock.monotonic() - began, 3)


def _idle(peer: Peer, target: str) -> bool | None:
    return None if _running(peer, target) else True


def _running(peer: Peer, target: str) -> bool:
    told = peer.read("telemetry", query={"details_level": "3"})
    snapshots = (told.get("collections") or {}).get("snapshots") or []
    return any(one.get("id") == target and one.get("running_snapshot_recovery") for one in snapshots)


def _fetch(peer: Peer, storage: Storage, target: str, part: SnapshotPart) -> None:
    body = {
        "location": storage.read_url(part.blob, READ_URL_SECONDS),
        "priority": "snapshot",
        "checksum": part.checksum,
    }
    peer.send(
        "PUT", "collections", target, "snapshots", "recover",
        body=body, query={"wait": "true"}, seconds=WORK_SECONDS,
    )  # fmt: skip


def _upload(peer: Peer, storage: Storage, target: str, part: SnapshotPart) -> None:
    """Upload and recover. The server keeps the file, also when it fails, so it is deleted by its name."""
    file_name = f"octopus-restore-{part.checksum[:32]}.snapshot"
    query = {"wait": "true", "priority": "snapshot", "checksum": part.checksum}
    try:
        peer.upload(
            "collections", target, "snapshots", "upload",
            query=query, field="snapshot", file_name=file_name,
            content=read(storage, part.blob), size=part.blob.size,
        )  # fmt: skip
    finally:
        _remove(peer, target, file_name)


def _remove(peer: Peer, target: str, file_name: str) -> None:
    try:
        delete(peer, target, file_name)
    except BackupSystemError:
        log.warning(
            "The file %r stays in the snapshots folder of %r on %s and can be deleted.",
            file_name, target, peer.url,
        )  # fmt: skip
