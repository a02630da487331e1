"""One snapshot of one collection on one peer, from the server straight into Blob Storage."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from urllib.parse import quote

from pydantic import Field

from shared.blob.storage import Storage
from shared.blob.upload import upload
from shared.clock import Clock
from shared.errors import (
    BackupSystemError,
    IntegrityError,
    LockedError,
    QdrantError,
    RefusedError,
)
from shared.model.backups import BlobRef, Count, Quality, ShardPart, SnapshotPart
from shared.model.base import Request
from shared.stores.qdrant.client import Peer, address
from shared.stores.qdrant.peers import Peers, Placement, exact_count
from shared.stores.qdrant.snapshots import ServerSnapshot, create, delete, demand_name_fits, described
from shared.stores.qdrant.tar_walk import TarWalk, demand, walked
from shared.stores.qdrant.transfer import download, judged

log = logging.getLogger(__name__)

CONTAINER = "data"
Progress = Callable[[int], None]
"""Told how many bytes have passed so far."""


class SnapshotRequest(Request):
    """Which collection of which peer is wanted, and where its bytes go."""

    peer_id: int
    collection: str
    attempt: str
    prefix: str = Field(description="of the blob's name, ending with a slash; what follows it is unique")


class BusyCollections:
    """The collections that this process is taking a snapshot of: never two of one collection on one peer."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._busy: set[tuple[int, str]] = set()

    def enter(self, peer_id: int, collection: str) -> None:
        """Claim it.

        Raises:
            LockedError: it is claimed.
        """
        with self._guard:
            if (peer_id, collection) not in self._busy:
                self._busy.add((peer_id, collection))
                return
        raise LockedError(
            f"A snapshot of {collection!r} on the peer {peer_id} is being made already.",
            "Wait for it to end.",
            code="snapshot_running",
        )

    def leave(self, peer_id: int, collection: str) -> None:
        """Give it back."""
        with self._guard:
            self._busy.discard((peer_id, collection))


def back_up(
    peers: Peers, request: SnapshotRequest, storage: Storage, clock: Clock, progress: Progress
) -> SnapshotPart:
    """Take the snapshot, commit its bytes as a blob, and delete it on the server.

    Nothing is committed unless the bytes have the checksum that the server announced and the tar holds every
    shard that the peer held. Whatever happens, the snapshot on the server is deleted.

    Raises:
        QdrantError: code ``collection_gone`` when the collection was deleted meanwhile.
        RefusedError: the peer holds no shard of it, or one that is not whole.
        IntegrityError: the bytes are not what the server announced.
    """
    address(request.collection)
    started = clock.now()
    try:
        peer, placement = peers.holding(request.collection, request.peer_id)
        _demand_whole_shards(placement, request)
        demand_name_fits(request.collection, request.peer_id)
        before = exact_count(peer, request.collection)
        name = create(peer, request.collection, clock)
        try:
            after = exact_count(peer, request.collection)
            snapshot = described(peer, request.collection, name)
            blob, shards = _transfer(peer, placement, request, snapshot, storage, clock, progress)
        finally:
            _tidy(peer, request.collection, name)
    except QdrantError as error:
        # A server whose collection vanishes in the middle of its work answers 404 or 500.
        if error.status in (404, 500) and not _exists(peers, request.collection):
            raise _gone(request) from error
        raise
    return SnapshotPart(
        peer_id=request.peer_id,
        collection=request.collection,
        snapshot_name=snapshot.name,
        checksum=snapshot.checksum,
        started_at=started,
        finished_at=clock.now(),
        blob=blob,
        points=counted(before, after),
        shards=shards,
    )


def counted(*counts: int) -> Count:
    """Several exact counts of one collection as one: exact if they agree, else the interval they span."""
    low, high = min(counts), max(counts)
    if low == high:
        return Count(value=low, quality=Quality.EXACT)
    return Count(value=counts[-1], quality=Quality.APPROXIMATE, low=low, high=high)


def agreed(counts: Sequence[Count]) -> Count:
    """What several peers counted of one and the same collection: exact only if all of them are, and agree.

    Every peer counts the whole collection, whichever shards it holds (measured), so nothing is added up.

    Args:
        counts: one of each peer; without any nothing is known of it.
    """
    if not counts:
        return Count(value=0, quality=Quality.APPROXIMATE, low=0, high=0)
    low = min(count.value if count.low is None else count.low for count in counts)
    high = max(count.value if count.high is None else count.high for count in counts)
    if low == high and all(count.quality is Quality.EXACT for count in counts):
        return Count(value=low, quality=Quality.EXACT)
    return Count(value=counts[-1].value, quality=Quality.APPROXIMATE, low=low, high=high)


def _demand_whole_shards(placement: Placement, request: SnapshotRequest) -> None:
    where = f"{request.collection!r} on the peer {request.peer_id}"
    if not placement.local:
        raise RefusedError(
            f"There is no shard of {where}.",
            "Its snapshot would restore nothing. Ask only peers that hold shards.",
            code="no_shard_here",
        )
    sick = [f"{shard.id} ({shard.state})" for shard in placement.local if shard.state != "Active"]
    if sick:
        raise RefusedError(
            f"Not every shard of {where} is active: {', '.join(sick)}.",
            "Such a replica may lack points. Wait until the cluster has healed it; the next run tries again.",
            code="shard_not_active",
        )


def _transfer(
    peer: Peer,
    placement: Placement,
    request: SnapshotRequest,
    snapshot: ServerSnapshot,
    storage: Storage,
    clock: Clock,
    progress: Progress,
) -> tuple[BlobRef, tuple[ShardPart, ...]]:
    walk = TarWalk()
    shards: list[ShardPart] = []

    def look_inside() -> None:
        shards.extend(walk.shards())
        demand(shards, [shard.id for shard in placement.local], f"The snapshot {snapshot.name!r}")

    with closing(download(peer, request.collection, snapshot, clock)) as chunks:
        blob = upload(
            storage,
            CONTAINER,
            request.prefix + quote(snapshot.name, safe=""),
            judged(walked(chunks, walk), snapshot, look_inside, progress),
            attempt=request.attempt,
            size_hint=snapshot.size,
        )
    if (blob.size, blob.sha256) != (snapshot.size, snapshot.checksum):
        raise IntegrityError(
            f"The blob {blob.name!r} is not the snapshot that was sent to it.",
            "Nothing was recorded; the next run takes a new snapshot.",
        )
    return blob, tuple(shards)


def _tidy(peer: Peer, collection: str, name: str) -> None:
    """Delete our snapshot on the server; that it could not be done must not hide how the backup ended."""
    try:
        delete(peer, collection, name)
    except BackupSystemError as error:
        log.warning(
            "The snapshot %r of %r stays on the disk of %s and should be deleted there: %s",
            name, collection, peer.url, error.message,
        )  # fmt: skip


def _exists(peers: Peers, collection: str) -> bool:
    return bool(peers.first.read("collections", collection, "exists")["exists"])


def _gone(request: SnapshotRequest) -> QdrantError:
    return QdrantError(
        f"The collection {request.collection!r} was deleted while it was being backed up.",
        404,
        "If that was meant, nothing is to be done. A snapshot file may remain in the "
        "server's snapshots folder; "
        "Qdrant lists it only when a collection of that name exists again.",
        code="collection_gone",
    )
