"""The activities of a recovery point.

What is too large for the engine (the list of snapshots, each finished part, the mark's counts) is kept in the
run's state, where a resumed run finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from shared.catalogue import paths
from shared.composition import System
from shared.errors import BackupSystemError, ConflictError, StoreError
from shared.model.backups import (
    CollectionFacts,
    Count,
    Kind,
    Manifest,
    PartFailure,
    QdrantFacts,
    Quality,
    SnapshotPart,
    Store,
)
from shared.model.base import Document, UtcTime
from shared.model.findings import ErrorInfo
from shared.model.hints import SqlHint
from shared.model.points import RecoveryPoint, SqlSide, VectorSide
from shared.planning.due import MOST_ATTEMPTS
from shared.stores.qdrant import CollectionState, QdrantState, SnapshotRequest
from shared.stores.sqlserver import MarkFacts
from shared.workflows.backups import RESTORES, made_by, refuse_while_restored
from shared.workflows.runs import Ticket, beating, working

WORKLIST, MARK = "worklist", "mark"
"""Keys of a run's parts. The wanted snapshots are kept in chunks, ``wanted/{n}``; a snapshot's own key is
``{peer id}/{collection}``."""

CHUNK = 200
"""Wanted snapshots in one part, so that taking one need not read the list of all."""


class Worklist(Document):
    """The snapshots that a recovery point wants, listed once and kept: what is deleted later is a failure."""

    started_at: UtcTime
    state: QdrantState
    wanted: int


class Chunk(Document):
    """Some of the wanted snapshots, each with its peer's id and its collection; sorted by peer."""

    wanted: tuple[tuple[int, str], ...]


class Marks(Document):
    """The mark as it was set in every database."""

    databases: tuple[MarkFacts, ...]


def list_snapshots(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: ask every peer for every collection it holds shards of, and write the list down.

    Returns:
        ``peers``: for each peer the first place of its snapshots in the list, and the one beyond its last.

    Raises:
        LockedError: one of the databases or collections is being restored.
    """
    ticket = Ticket.of(payload)
    with beating(system, ticket), system.catalogue.locks.hold(RESTORES, ticket.run_id):
        if system.catalogue.runs.find_part(ticket.run_id, WORKLIST):
            wanted = _wanted(partial(system.catalogue.runs.part, ticket.run_id))
        else:
            started = system.clock.now()
            state = system.qdrant.inspect()
            _refuse_while_restored(system, ticket, state)
            wanted = sorted((peer, c.name) for c in state.collections for peer in c.holders)
            for number, first in enumerate(range(0, len(wanted), CHUNK)):
                chunk = Chunk(wanted=tuple(wanted[first : first + CHUNK]))
                system.catalogue.runs.save_part(ticket.run_id, f"wanted/{number}", chunk.as_json())
            worklist = Worklist(started_at=started, state=state, wanted=len(wanted))
            system.catalogue.runs.save_part(ticket.run_id, WORKLIST, worklist.as_json())
    return {"peers": places_of_peers(wanted)}


def places_of_peers(wanted: Sequence[tuple[int, str]]) -> list[list[int]]:
    """For each peer of a list that is sorted by peer: its first place in it, and the one beyond its last.

    Two numbers for each peer, because what passes through the engine is bounded, and collections are not.
    """
    places: dict[int, list[int]] = {}
    for place, (peer, _) in enumerate(wanted):
        places.setdefault(peer, [place, place])[1] = place + 1
    return list(places.values())


def _wanted(part: Callable[[str], dict[str, Any]]) -> list[tuple[int, str]]:
    """The wanted snapshots, put together from parts of the run; ``part`` gives the one of a key."""
    worklist = Worklist.model_validate(part(WORKLIST))
    chunks = range(-(-worklist.wanted // CHUNK))
    return [one for number in chunks for one in Chunk.model_validate(part(f"wanted/{number}")).wanted]


def _chunk(system: System, ticket: Ticket, index: int) -> Chunk:
    return Chunk.model_validate(system.catalogue.runs.part(ticket.run_id, f"wanted/{index // CHUNK}"))


def _refuse_while_restored(system: System, ticket: Ticket, state: QdrantState) -> None:
    """A point made while one of its stores is half restored would pair what does not belong together."""
    databases = [f"database:{name}" for name in system.settings.sqlserver.databases]
    collections = [f"collection:{one.name}" for one in state.collections]
    refuse_while_restored(system, ticket, databases + collections)


def take_snapshot(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one snapshot of one collection on one peer. Written down as a part, or as a failure."""
    ticket = Ticket.of(payload)
    parts = system.catalogue.runs
    peer_id, collection = _chunk(system, ticket, payload["index"]).wanted[payload["index"] % CHUNK]
    key = f"{peer_id}/{collection}"
    if (done := parts.find_part(ticket.run_id, key)) and "blob" in done:
        return {}
    set_id = parts.get(ticket.kind, ticket.run_id).step("snapshots").evidence["snapshot_set_id"]
    attempt = f"a{ticket.attempt}"
    prefix = paths.data_prefix(Store.QDRANT, paths.QDRANT_SCOPE, Kind.SNAPSHOT_SET, set_id, attempt)
    request = SnapshotRequest(peer_id=peer_id, collection=collection, attempt=attempt, prefix=f"{prefix}/")
    lock = f"qdrant/{peer_id}/{paths.encoded(collection)}"
    with beating(system, ticket) as check:
        try:
            with system.catalogue.locks.hold(lock, ticket.run_id) as held:
                part = system.qdrant.back_up(request, lambda _: check())
                held.check()
        except ConflictError:
            raise  # somebody else does this part now; its end is theirs to write down
        except BackupSystemError as error:
            failure = PartFailure(peer_id=peer_id, collection=collection, error=ErrorInfo(**error.as_dict()))
            parts.save_part(ticket.run_id, key, failure.as_json())
            raise
        check()
    parts.save_part(ticket.run_id, key, part.as_json())
    return {}


def end_snapshots(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: sum the parts up in the step."""
    ticket = Ticket.of(payload)
    with working(system, ticket, payload["step"]) as work:
        _, parts, failures = _collected(system, ticket)
        work.evidence |= {
            "snapshots": len(parts),
            "failed": len(failures),
            "size": sum(part.blob.size for part in parts),
        }
        work.note = f"{len(parts)} snapshots" + (f", {len(failures)} failed" if failures else "")
        if failures and work.run.slot and ticket.attempt < MOST_ATTEMPTS:
            raise StoreError(
                f"{len(failures)} of {len(failures) + len(parts)} snapshots failed: "
                f"{failures[0].error.message}",
                "They are tried again with the next tick of sql_log; those that are finished are kept.",
                code="snapshots_failed",
                meaning="No recovery point was made yet.",
            )
        return {}


def _collected(system: System, ticket: Ticket) -> tuple[Worklist, list[SnapshotPart], list[PartFailure]]:
    kept = system.catalogue.runs.parts(ticket.run_id)
    worklist = Worklist.model_validate(kept[WORKLIST])
    parts, failures = [], []
    for peer_id, collection in _wanted(kept.__getitem__):
        value = kept.get(f"{peer_id}/{collection}")
        if value and "blob" in value:
            parts.append(SnapshotPart.model_validate(value))
        elif value:
            failures.append(PartFailure.model_validate(value))
        else:
            lost = ErrorInfo(code="not_taken", message="The snapshot was not taken.", retryable=True)
            failures.append(PartFailure(peer_id=peer_id, collection=collection, error=lost))
    return worklist, parts, failures


def commit_snapshot_set(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one manifest for all parts, complete or incomplete with reasons."""
    ticket = Ticket.of(payload)
    with working(system, ticket, payload["step"]) as work:
        set_id = work.evidence["snapshot_set_id"]
        done = system.catalogue.backups.find(Store.QDRANT, paths.QDRANT_SCOPE, Kind.SNAPSHOT_SET, set_id)
        if done:  # by an attempt that could not write its step down
            return {"backup_id": done.id}
        worklist, parts, failures = _collected(system, ticket)
        state = worklist.state
        manifest = Manifest(
            id=set_id,
            store=Store.QDRANT,
            scope=paths.QDRANT_SCOPE,
            kind=Kind.SNAPSHOT_SET,
            run_id=ticket.run_id,
            attempt=f"a{ticket.attempt}",
            slot=work.run.slot,
            started_at=worklist.started_at,
            finished_at=max((part.finished_at for part in parts), default=worklist.started_at),
            made_by=made_by(),
            facts=QdrantFacts(
                versions=state.versions,
                collections=tuple(_facts(c, parts) for c in state.collections),
                parts=tuple(parts),
                failures=tuple(failures),
                unprotected=state.unprotected,
            ),
            findings=state.findings,
        )
        work.check()
        system.catalogue.backups.commit(manifest)
        work.evidence |= {"size": manifest.size, "complete": manifest.complete}
        return {"backup_id": manifest.id}


def _facts(collection: CollectionState, parts: list[SnapshotPart]) -> CollectionFacts:
    """A collection's facts, with the sum of its parts' counts: exact only if every part's is."""
    counts = [part.points for part in parts if part.collection == collection.name]
    exact = bool(counts) and all(count.quality is Quality.EXACT for count in counts)
    total = sum(count.value for count in counts)
    points = Count(
        value=total,
        quality=Quality.EXACT if exact else Quality.APPROXIMATE,
        low=None if exact else sum(count.value if count.low is None else count.low for count in counts),
        high=None if exact else sum(count.value if count.high is None else count.high for count in counts),
    )
    return collection.facts(points)


def set_mark(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one marked transaction over all databases. A repetition makes a new mark, with a new name."""
    ticket = Ticket.of(payload)
    with working(system, ticket, payload["step"]) as work:
        worklist = Worklist.model_validate(system.catalogue.runs.part(ticket.run_id, WORKLIST))
        _refuse_while_restored(system, ticket, worklist.state)
        name = f"rp_{system.new_id()}"
        marks = system.sqlserver.set_mark(
            system.settings.sqlserver.databases,
            mark_name=name,
            point_id=work.evidence["point_id"],
            description=work.run.request.get("name") or "octopus-backup recovery point",
            vector_side=work.evidence["snapshot_set_id"],
        )
        system.catalogue.runs.save_part(ticket.run_id, MARK, Marks(databases=tuple(marks)).as_json())
        work.evidence |= {"mark_name": name}
        return {"mark_name": name}


def commit_point(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: the document that pairs both sides."""
    ticket = Ticket.of(payload)
    with working(system, ticket, payload["step"]) as work:
        vectors = system.catalogue.backups.get(work.evidence["snapshot_set_id"])
        sides, reasons = [], []
        for mark in Marks.model_validate(system.catalogue.runs.part(ticket.run_id, MARK)).databases:
            hints = system.catalogue.backups.sql_hints(mark.server, mark.database)
            log = _log_with(hints, mark.mark_lsn)
            if log is None:
                reasons.append(f"No log backup of {mark.database} holds the mark {mark.mark_name}.")
                continue
            sides.append(SqlSide(**mark.model_dump(), log_backup_id=log.id))
        if not isinstance(vectors.facts, QdrantFacts):
            raise TypeError("the snapshot set's manifest is not one of Qdrant")
        reasons += [f"{f.collection} on peer {f.peer_id}: {f.error.message}" for f in vectors.facts.failures]
        skew = max((side.at for side in sides), default=vectors.finished_at) - vectors.started_at
        point = RecoveryPoint(
            id=work.evidence["point_id"],
            name=work.run.request.get("name"),
            run_id=ticket.run_id,
            slot=work.run.slot,
            made_at=system.clock.now(),
            complete=not reasons,
            reasons=tuple(reasons),
            vectors=VectorSide(
                snapshot_set_id=vectors.id,
                started_at=vectors.started_at,
                finished_at=vectors.finished_at,
                collections={c.name: c.points for c in vectors.facts.collections},
            ),
            sql=tuple(sides),
            skew_seconds=skew.total_seconds(),
            findings=vectors.findings,
        )
        work.check()
        system.catalogue.points.commit(point)
        work.evidence |= {"complete": point.complete, "reasons": list(reasons)[:20]}
        if not point.complete:
            raise StoreError(
                f"Recovery point {point.id} is incomplete: {' '.join(reasons[:3])}",
                "Mend what the reasons name, and make another one; until then the one before it is chosen.",
                code="recovery_point_incomplete",
                meaning="It is recorded, and chosen only when it is asked for by its id.",
            )
        return {"point_id": point.id, "complete": point.complete}


def _log_with(hints: list[SqlHint], lsn: int) -> SqlHint | None:
    """The log backup that holds a record; last_lsn is the LSN of the next record after the backup."""
    logs = [h for h in hints if h.kind is Kind.LOG and h.first_lsn <= lsn < h.last_lsn and not h.is_damaged]
    return max(logs, key=lambda hint: hint.id, default=None)
