"""Snapshots on a peer: made, listed, deleted. Only what was provably made here is ever deleted."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from shared.clock import Clock
from shared.errors import (
    BackupSystemError,
    InvalidRequestError,
    OutcomeUnknownError,
    QdrantError,
    RefusedError,
    UnreachableError,
)
from shared.model.base import Document
from shared.stores.qdrant.client import WORK_SECONDS, Peer
from shared.stores.qdrant.replies import gone
from shared.stores.qdrant.waiting import until

LOST_REPLY_SECONDS = 4 * 3600.0
"""How long the list is watched for a snapshot whose answer was lost; a snapshot is listed only when
complete."""

LONGEST_FILE_NAME = 255
_NAME_SUFFIX = len("--2026-01-31-04-00-00.snapshot-arc-XXXXXX")
_TRIES = 3


class ServerSnapshot(Document):
    """A snapshot as the peer's list describes it."""

    name: str
    size: int
    checksum: str


def demand_name_fits(collection: str, peer_id: int | None) -> None:
    """Demand that a snapshot of a collection of that name can exist on the peer.

    The server builds a file name of the collection's name, the peer's id, the time and a suffix of its own,
    and file systems take 255 bytes: a collection name of 200 characters is accepted but can never be
    snapshotted (measured on Qdrant 1.16.3 and 1.19.0).

    Raises:
        InvalidRequestError: the name is too long.
    """
    digits = len(str(peer_id)) if peer_id is not None else len(str(2**64 - 1))
    longest = LONGEST_FILE_NAME - _NAME_SUFFIX - digits
    if len(collection.encode()) > longest:
        raise InvalidRequestError(
            f"The collection name {collection[:40]!r}… has {len(collection.encode())} bytes; "
            f"at most {longest} can be snapshotted on this peer.",
            "Copy the collection to a shorter name.",
            code="name_too_long",
        )


def listed(peer: Peer, collection: str) -> dict[str, dict[str, Any]]:
    """Every snapshot of the collection on this peer, by name; other peers' are not among them."""
    found = peer.read("collections", collection, "snapshots")
    return {str(one["name"]): one for one in found}


def create(peer: Peer, collection: str, clock: Clock) -> str:
    """Make one snapshot; gives its name, by which it is described, downloaded and deleted.

    The caller sees to it that no other snapshot of this collection is made on this peer meanwhile: two in the
    same second get the same name, and one of the answers a wrong checksum (measured). For the same reason a
    name that was listed before is not taken for ours: a second is waited and another one is made.

    Raises:
        OutcomeUnknownError: no answer, and no new snapshot appeared in time.
        RefusedError: others make snapshots of it at the same time.
        QdrantError: the server could not make it.
    """
    before = listed(peer, collection)
    for _ in range(_TRIES):
        name = _create_once(peer, collection, clock, before)
        if name not in before:
            return name
        clock.sleep(1.1)  # names have whole seconds
    raise _colliding(peer, collection)


def described(peer: Peer, collection: str, name: str) -> ServerSnapshot:
    """One snapshot from the list, whose checksum is right where an answer's may not be.

    Raises:
        QdrantError: it is not listed, or without a checksum.
    """
    one = listed(peer, collection).get(name)
    if one is None:
        raise QdrantError(
            f"The snapshot {name!r} of {collection!r} vanished from {peer.url}.",
            404,
            "Was it deleted by another program, or is the address that of several peers?",
            code="snapshot_vanished",
        )
    if not one.get("checksum"):
        raise QdrantError(
            f"The server announces no checksum for the snapshot {name!r}.",
            200,
            "Qdrant announces one since 1.8 for snapshots on its own disk; upgrade or change its storage.",
            code="no_checksum",
        )
    return ServerSnapshot(name=name, size=int(one["size"]), checksum=str(one["checksum"]).lower())


def delete(peer: Peer, collection: str, name: str) -> bool:
    """Delete a snapshot that was made here.

    Returns:
        False if it was not there any more, which is as good.
    """
    try:
        peer.repeat("DELETE", "collections", collection, "snapshots", name, query={"wait": "true"})
    except BackupSystemError as error:
        if gone(error):
            return False
        raise
    return True


def _create_once(peer: Peer, collection: str, clock: Clock, before: dict[str, Any]) -> str:
    try:
        made = peer.send(
            "POST", "collections", collection, "snapshots", query={"wait": "true"}, seconds=WORK_SECONDS
        )
        return str(made["name"])
    except OutcomeUnknownError as error:
        why = error.message

    def appeared() -> set[str] | None:
        with suppress(UnreachableError):
            return set(listed(peer, collection)) - set(before) or None
        return None

    new = until(clock, LOST_REPLY_SECONDS, appeared)
    if new is None:
        raise OutcomeUnknownError(
            f"The answer to a snapshot of {collection!r} was lost, and none appeared since. {why}",
            "The server may still be working on it: look at its log, and delete the snapshot if one appears.",
            code="snapshot_outcome_unknown",
        )
    if len(new) > 1:  # which one is ours cannot be told, and only ours may be deleted
        raise _colliding(peer, collection)
    return new.pop()


def _colliding(peer: Peer, collection: str) -> RefusedError:
    return RefusedError(
        f"Others keep making snapshots of {collection!r} on {peer.url} at the same time.",
        "Stop them or move their schedule, then repeat.",
        code="snapshots_collide",
    )
