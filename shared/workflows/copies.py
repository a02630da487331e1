"""Copies of live collections in Blob Storage, taken before something is done to them.

They are kept under names of their own among the backups' bytes, but no manifest commits them: no plan ever
chooses one. Who wants one back finds the command beside its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from shared.blob.upload import upload
from shared.catalogue import paths
from shared.composition import System
from shared.model.backups import BlobRef, Kind, SnapshotPart, Store
from shared.stores.qdrant import SnapshotRequest
from shared.workflows.runs import Ticket

AT_ONCE = 4
"""Snapshots that are taken at the same time; never two of one collection on one peer."""


def copies_id(system: System, run_id: str, key: str) -> str:
    """The id under which a step keeps its copies: the same one when it is repeated."""
    kept = system.catalogue.runs.find_part(run_id, f"copies/{key}")
    if kept is None:
        kept = {"id": system.new_id()}
        system.catalogue.runs.save_part(run_id, f"copies/{key}", kept)
    return str(kept["id"])


def find_copy(
    system: System, ticket: Ticket, copies: str, peer_id: int, collection: str
) -> SnapshotPart | None:
    """A copy that an earlier delivery of the step, or an earlier attempt, has finished."""
    kept = system.catalogue.runs.find_part(ticket.run_id, _key(copies, peer_id, collection))
    return SnapshotPart.model_validate(kept) if kept else None


def copy_collections(
    system: System,
    ticket: Ticket,
    copies: str,
    wanted: Sequence[tuple[int, str]],
    check: Callable[[], None],
    progress: Callable[[int], None] = lambda _: None,
) -> list[SnapshotPart]:
    """Snapshot collections on peers into Blob Storage; what is finished is not repeated.

    Args:
        system: the system.
        ticket: the run and the attempt.
        copies: the id from ``copies_id``.
        wanted: peer id and collection.
        check: raises when the run was taken over.
        progress: told the percentage.

    Returns:
        The copies, in the order of ``wanted``.

    Raises:
        LockedError: a recovery point takes a snapshot of one of them just now.
        BackupSystemError: a snapshot could not be taken; those that are finished are kept.
    """

    def one(place: tuple[int, str]) -> SnapshotPart:
        check()
        return _copied(system, ticket, copies, *place, check)

    made: list[SnapshotPart] = []
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="copies")
    try:
        for part in pool.map(one, wanted):
            made.append(part)
            progress(len(made) * 100 // len(wanted))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return made


def _copied(
    system: System,
    ticket: Ticket,
    copies: str,
    peer_id: int,
    collection: str,
    check: Callable[[], None],
) -> SnapshotPart:
    kept = find_copy(system, ticket, copies, peer_id, collection)
    if kept:
        return kept
    attempt = f"a{ticket.attempt}"
    prefix = paths.data_prefix(Store.QDRANT, paths.QDRANT_SCOPE, Kind.SNAPSHOT_SET, copies, attempt)
    request = SnapshotRequest(peer_id=peer_id, collection=collection, attempt=attempt, prefix=f"{prefix}/")
    lock = f"qdrant/{peer_id}/{paths.encoded(collection)}"  # that of a recovery point's snapshots
    with system.catalogue.locks.hold(lock, ticket.run_id) as held:
        part = system.qdrant.back_up(request, lambda _: check())
        held.check()
    check()
    system.catalogue.runs.save_part(ticket.run_id, _key(copies, peer_id, collection), part.as_json())
    return part


def _key(copies: str, peer_id: int, collection: str) -> str:
    return f"copy/{copies}/{peer_id}/{collection}"


def told(system: System, parts: Sequence[SnapshotPart]) -> list[dict[str, Any]]:
    """Copies as evidence: where each is, its SHA-256, and the command that brings it back."""
    return [
        {
            "collection": part.collection,
            "peer_id": part.peer_id,
            "points": part.points.as_json(),
            "blob": f"{part.blob.container}/{part.blob.name}",
            "size": part.blob.size,
            "sha256": part.checksum,
            "way_back": way_back,
        }
        for part, way_back in zip(parts, system.qdrant.ways_back(parts), strict=True)
    ]


def keep_listing(system: System, run_id: str, step_id: str, lines: Iterable[bytes]) -> BlobRef:
    """Keep what a step found as lines of JSON beside the run's report, under a name never used before."""
    listing_id = system.new_id()
    name = paths.listing(run_id, step_id, listing_id)
    return upload(system.storage, paths.CATALOGUE, name, lines, attempt=listing_id)


def json_lines(values: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Each value as a line of JSON."""
    for value in values:
        yield json.dumps(value, ensure_ascii=False).encode() + b"\n"
